package gateway

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"time"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
	"kdgate/store"
	"kdgate/web"
)

// Config is everything a Gateway needs. New checks it and changes nothing in it.
type Config struct {
	PublicURL      *url.URL // scheme and host of every absolute address (T50); no path
	Corps          []Corp   // at least one; the first is used when the page does not know its own
	DataCentres    []DataCentre
	Forms          []Form         // what a deep link may name; nothing else opens
	TrustedProxies []netip.Prefix // peers whose X-Forwarded-For is read; empty: nobody's (T49)

	Store    store.Store
	Sessions Sessions
	Handles  Handles
	Resolver Resolver
	Foreseer Foreseer // nil: nobody is told who comes
	Access   Access   // nil: nobody can ask for access
	Consents Consents // nil: nobody is asked for consent
	Own      Own      // nil: people do not see their own sessions
	Recorder Recorder
	Observer Observer     // nil: nothing is counted
	Logger   *slog.Logger // nil: slog.Default
	Pages    *web.Pages   // nil: some of its own; they are large

	Secret identity.Secret // key of claims, nonces and session tokens, 32 bytes or more, the same on every replica
	// OldSecrets are known beside Secret while that is changed: a sign-in that
	// another of them began, here or on another replica, is finished under it (R57).
	OldSecrets []identity.Secret
	Limits     Limits

	// ForwardAuth lists the origins (scheme://host[:port]) of applications that
	// ask /forward-auth and may be returned to after a sign-in; nothing else is (T58).
	ForwardAuth []string
	Asserter    Asserter // nil: /forward-auth answers without a signed assertion

	// ForwardHosts lists the origins of applications on hosts of their own, which
	// get a cookie of their own.
	ForwardHosts []string
	HostAsserter func(origin string) Asserter // for one of them; nil: no signed assertion

	// Doors lists the prefixes of paths that are open; everything else is not
	// there, and / leads to the first. Empty: all routes are open.
	Doors []string

	Now  func() time.Time // nil: time.Now
	Rand io.Reader        // nil: crypto/rand

	// DevInsecure allows a PublicURL of http on localhost and leaves out HSTS.
	// Cookies keep their __Host- prefix and Secure: browsers take localhost for safe.
	DevInsecure bool
}

// Corp is one DingTalk organisation.
type Corp struct {
	ID       string // corpId, ding…
	ClientID string // AppKey, for requestAuthCode
	JSAPI    string // address of the client script; empty: our own copy
	Provider Provider
}

// DataCentre is one Kingdee data centre (账套) people can be let in to.
type DataCentre struct {
	ID              string // id in the configuration and in /launch/{id}
	Name            string // what people read
	Origin          string // scheme://host[:port] people's browsers land on, for the form-action of our pages
	ServiceProvider ServiceProvider
	Proxy           Proxy // nil: the browser goes to Kingdee itself
}

// Form is one entry of the server-side list of deep links.
type Form struct {
	Name    string         // what the address says: /launch/{target}/{name}/…
	FormID  string         // what Kingdee calls it
	Types   []string       // bill, list, …: what may be opened
	PK      *regexp.Regexp // what a bill's key looks like; nil: up to 20 digits
	Entry   string         // entry page, empty for the data centre's default
	Centres []string       // data centres it exists in; empty: all
}

// Limits bounds what reaches DingTalk (T7) and what sign-ins leave in the store. Zero values mean the defaults.
type Limits struct {
	PerAddress  float64       // refused codes per second and client address (2)
	AddressSize int           // burst of them (100: an office behind one address)
	Global      float64       // exchanges per second over all addresses (400: 80 % of what DingTalk bans for, R21)
	GlobalSize  int           // burst of them (1000: everybody at 09:00)
	Exchange    time.Duration // deadline of one exchange (7.5 s; R18)

	OpenPerAddress int // sign-ins of one client address begun and not finished within their life (10,000)
	OpenTotal      int // the same over all addresses (50,000)
}

var (
	corpPattern   = regexp.MustCompile(`^ding[a-z0-9]+$`)
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`) // {0,63} would be compiled 63 times over, and kept
	defaultPK     = lazyregexp.New(`^[0-9]{1,20}$`)
	reservedNames = map[string]bool{targetDefault: true, "choose": true}
)

func isName(text string) bool { return len(text) <= 64 && namePattern.MatchString(text) }

const (
	targetDefault = "kingdee"
	typeBill      = "bill"
	minKey        = 32
)

// withDefaults fills what may be left out, in the copy that New was given.
func (c Config) withDefaults() Config {
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	c.Limits = c.Limits.withDefaults()
	return c
}

func (l Limits) withDefaults() Limits {
	if l.PerAddress <= 0 {
		l.PerAddress = 2
	}
	if l.AddressSize <= 0 {
		l.AddressSize = 100
	}
	if l.Global <= 0 {
		l.Global = 400
	}
	if l.GlobalSize <= 0 {
		l.GlobalSize = 1000
	}
	if l.OpenPerAddress <= 0 {
		l.OpenPerAddress = 10_000
	}
	if l.OpenTotal <= 0 {
		l.OpenTotal = 50_000
	}
	if l.Exchange <= 0 {
		l.Exchange = 7500 * time.Millisecond
	}
	return l
}

// check reports every mistake at once.
func (c Config) check() error {
	errs := []error{c.checkURL(), c.checkParts(), c.checkProxies()}
	errs = append(errs, c.checkCorps()...)
	errs = append(errs, c.checkCentres()...)
	errs = append(errs, c.checkForms()...)
	errs = append(errs, c.checkForwardAuth()...)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("gateway: configuration: %w", err)
	}
	return nil
}

func (c Config) checkURL() error {
	u := c.PublicURL
	switch {
	case u == nil || u.Host == "":
		return errors.New("public URL: missing host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		return errors.New("public URL: scheme and host only")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && c.DevInsecure && isLoopbackName(u.Hostname()):
		return nil
	default:
		return fmt.Errorf("public URL: %s is not https", u.Redacted())
	}
}

func isLoopbackName(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return host == "localhost"
}

func (c Config) checkParts() error {
	var errs []error
	need := func(missing bool, what string) {
		if missing {
			errs = append(errs, errors.New(what+": missing"))
		}
	}
	need(c.Store == nil, "store")
	need(c.Sessions == nil, "sessions")
	need(c.Handles == nil, "handles")
	need(c.Resolver == nil, "resolver")
	need(c.Recorder == nil, "recorder")
	need(len(c.Corps) == 0, "corps")
	need(len(c.DataCentres) == 0, "data centres")
	if len(c.Secret.Reveal()) < minKey {
		errs = append(errs, fmt.Errorf("secret: fewer than %d bytes", minKey))
	}
	return errors.Join(errs...)
}

// checkProxies refuses a list that would trust everybody (T49, T123).
func (c Config) checkProxies() error {
	for _, p := range c.TrustedProxies {
		if !p.IsValid() || p.Bits() == 0 {
			return fmt.Errorf("trusted proxies: %v trusts everybody", p)
		}
	}
	return nil
}

func (c Config) checkCorps() []error {
	var errs []error
	seen := map[string]bool{}
	for _, corp := range c.Corps {
		switch {
		case !corpPattern.MatchString(corp.ID):
			errs = append(errs, fmt.Errorf("corp %q: not a corpId", corp.ID))
		case seen[corp.ID]:
			errs = append(errs, fmt.Errorf("corp %q: named twice", corp.ID))
		case corp.Provider == nil:
			errs = append(errs, fmt.Errorf("corp %q: no provider", corp.ID))
		}
		if _, err := originOf(corp.JSAPI); err != nil {
			errs = append(errs, fmt.Errorf("corp %q: jsapi: %w", corp.ID, err))
		}
		seen[corp.ID] = true
	}
	return errs
}

func (c Config) checkCentres() []error {
	var errs []error
	seen := map[string]bool{}
	for _, dc := range c.DataCentres {
		switch {
		case !isName(dc.ID) || reservedNames[dc.ID] && len(c.DataCentres) > 1:
			errs = append(errs, fmt.Errorf("data centre %q: not usable as an id", dc.ID))
		case seen[dc.ID]:
			errs = append(errs, fmt.Errorf("data centre %q: named twice", dc.ID))
		case dc.ServiceProvider == nil:
			errs = append(errs, fmt.Errorf("data centre %q: no service provider", dc.ID))
		}
		if _, err := originOf(dc.Origin); err != nil {
			errs = append(errs, fmt.Errorf("data centre %q: origin: %w", dc.ID, err))
		}
		seen[dc.ID] = true
	}
	if proxied := c.proxied(); len(proxied) > 1 {
		errs = append(errs, fmt.Errorf("data centres %s and %s: both are proxied; one host has one %s", proxied[0].ID, proxied[1].ID, proxiedBase))
	}
	return errs
}

// proxied are the data centres behind the reverse proxy.
func (c Config) proxied() []DataCentre {
	var found []DataCentre
	for _, dc := range c.DataCentres {
		if dc.Proxy != nil {
			found = append(found, dc)
		}
	}
	return found
}

func (c Config) checkForwardAuth() []error {
	var errs []error
	for _, text := range append(slices.Clone(c.ForwardAuth), c.ForwardHosts...) {
		if origin, err := originOf(text); err != nil || origin != text || origin == "" {
			errs = append(errs, fmt.Errorf("forward-auth: %q is not an origin such as https://app.example.com", text))
		}
	}
	return errs
}

func (c Config) checkForms() []error {
	var errs []error
	seen := map[string]bool{}
	for _, f := range c.Forms {
		switch {
		case !isName(f.Name):
			errs = append(errs, fmt.Errorf("form %q: not usable as a name", f.Name))
		case seen[f.Name]:
			errs = append(errs, fmt.Errorf("form %q: named twice", f.Name))
		case f.FormID == "" || len(f.Types) == 0:
			errs = append(errs, fmt.Errorf("form %q: form id or types missing", f.Name))
		}
		seen[f.Name] = true
	}
	return errs
}

// originOf is scheme://host of an absolute http(s) address, empty for an empty one.
func originOf(address string) (string, error) {
	if address == "" {
		return "", nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("not an address")
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || !cleanHost(u.Host) {
		return "", errors.New("not an absolute http address")
	}
	return u.Scheme + "://" + u.Host, nil
}

// cleanHost keeps anything out of the content security policy that could end
// its directive.
func cleanHost(host string) bool {
	for i := range len(host) {
		if b := host[i]; b <= ' ' || b >= 0x7f || b == ';' || b == ',' || b == '\'' || b == '"' || b == '*' {
			return false
		}
	}
	return true
}
