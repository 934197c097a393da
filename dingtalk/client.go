package dingtalk

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"kdgate/identity"
	"kdgate/internal/peer"
)

// TokenCall chooses the call that gives the application token. The default
// suits both hosts; the others exist because sources disagree.
type TokenCall string

// The three token calls.
const (
	TokenAccessToken TokenCall = "accessToken" // POST /v1.0/oauth2/accessToken, the default
	TokenGetToken    TokenCall = "gettoken"    // GET /gettoken on the old host
	TokenCorp        TokenCall = "corp"        // POST /v1.0/oauth2/{corpId}/token
)

// Endpoints are the base addresses of DingTalk's three hosts. Empty ones are
// the public hosts in China.
type Endpoints struct {
	OAPI  string // old API
	API   string // new API
	Login string // browser sign-in page
}

// Observer is told of every call that left this process. The result is a rule
// name of the decision table or a transport class; both are short closed lists.
type Observer interface {
	PeerCall(operation, result string, took time.Duration)
}

// Config describes one application. Corp, AppKey, AppSecret and Peer are
// required; every other zero value takes the default named.
type Config struct {
	Corp      string // corpId of the organisation
	AppKey    string // Client ID
	AppSecret identity.Secret
	AgentID   string // needed by JSAPI pages only

	Endpoints      Endpoints
	AllowPlainHTTP bool           // http:// to a host that is not loopback
	TokenCall      TokenCall      // default TokenAccessToken
	Scope          string         // of browser sign-in, default "openid corpid"
	Digest         Digest         // of JSAPI signatures, default SHA256
	ApprovalZone   *time.Location // what a Z behind an approval's time means, default UTC+8 (reference 7.2)
	InvalidToken   []string       // reasons that mean "token invalid", default those of the reference
	MembersPage    int            // people of a department asked for at once, 1–100, default 100 (open question 16)

	Peer   *peer.Client
	Egress *Egress // shared by all clients behind one address; default one of its own
	Limits Limits
	Budget time.Duration // for one sign-in once it has its turn, retries included; default 8 s

	Now      func() time.Time
	Logger   *slog.Logger
	Observer Observer
}

const (
	defaultOAPI   = "https://oapi.dingtalk.com"
	defaultAPI    = "https://api.dingtalk.com"
	defaultLogin  = "https://login.dingtalk.com"
	defaultScope  = "openid corpid"
	defaultBudget = 8 * time.Second
	jobBudget     = 2 * time.Minute
)

// Client speaks to DingTalk for one application. It is safe for concurrent use.
type Client struct {
	cfg        Config
	oapi, api  *url.URL
	login      *url.URL
	peer       *peer.Client
	egress     *Egress
	limits     *limits
	pauses     *pauses
	meter      *meter
	hosts      map[host]breaker
	decisions  decisions
	retry      retrypolicy.RetryPolicy[any]
	tokens     *lease
	tickets    *lease
	spent      *spentCodes
	alerts     *alerts
	skew       *atomic.Int64 // DingTalk's clock minus ours, in nanoseconds
	now        func() time.Time
	background bool
}

// New checks the configuration and makes a client; it calls nobody. All
// mistakes are reported at once.
func New(cfg Config) (*Client, error) {
	cfg = withDefaults(cfg)
	limits := newLimits(cfg.Limits)
	c := &Client{
		cfg:       cfg,
		peer:      cfg.Peer,
		egress:    cfg.Egress,
		limits:    limits,
		pauses:    newPauses(cfg.Now),
		hosts:     map[host]breaker{oldHost: newHostBreaker(), newHost: newHostBreaker()},
		decisions: newDecisions(cfg.InvalidToken, limits.cfg.throttled()),
		retry:     newRetry(),
		spent:     newSpentCodes(cfg.Now),
		meter:     newMeter(cfg.Corp, limits.cfg),
		alerts:    newAlerts(cfg.Now, cfg.Logger.With("corp", cfg.Corp)),
		skew:      &atomic.Int64{},
		now:       cfg.Now,
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("dingtalk: %w", err)
	}
	c.tokens = newLease(cfg.Now, c.fetchToken)
	c.tickets = newLease(cfg.Now, c.fetchTicket)
	return c, nil
}

// Background is a view of the client for jobs: it shares everything with the
// client, leaves the reserve of the rate to people who sign in, and may wait
// longer for an answer.
func (c *Client) Background() *Client {
	view := *c
	view.background = true
	return &view
}

// Corp is the organisation this client speaks for.
func (c *Client) Corp() string { return c.cfg.Corp }

func withDefaults(cfg Config) Config {
	orText := func(field *string, text string) {
		if *field == "" {
			*field = text
		}
	}
	orText(&cfg.Endpoints.OAPI, defaultOAPI)
	orText(&cfg.Endpoints.API, defaultAPI)
	orText(&cfg.Endpoints.Login, defaultLogin)
	orText((*string)(&cfg.TokenCall), string(TokenAccessToken))
	orText(&cfg.Scope, defaultScope)
	orText((*string)(&cfg.Digest), string(SHA256))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ApprovalZone == nil {
		cfg.ApprovalZone = beijing(time.Time{}).Location()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Egress == nil {
		cfg.Egress = NewEgress(EgressConfig{})
	}
	if cfg.Budget == 0 {
		cfg.Budget = defaultBudget
	}
	if cfg.MembersPage == 0 {
		cfg.MembersPage = mostMembers
	}
	if cfg.InvalidToken == nil {
		cfg.InvalidToken = defaultInvalidToken()
	}
	return cfg
}

// check also keeps the parsed addresses.
func (c *Client) check() error {
	var errs []error
	complain := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New(text))
		}
	}
	complain(c.cfg.Corp == "", "the corp id is missing")
	complain(c.cfg.AppKey == "", "the app key is missing")
	complain(c.cfg.AppSecret.IsZero(), "the app secret is missing")
	complain(c.cfg.Peer == nil, "the outbound client is missing")
	complain(!c.cfg.TokenCall.valid(), "the token call must be accessToken, gettoken or corp")
	complain(!c.cfg.Digest.valid(), "the digest must be sha256 or sha1")
	complain(c.cfg.MembersPage < 1 || c.cfg.MembersPage > mostMembers, "a page of members must be 1 to 100")
	for _, address := range []struct {
		into **url.URL
		text string
	}{{&c.oapi, c.cfg.Endpoints.OAPI}, {&c.api, c.cfg.Endpoints.API}, {&c.login, c.cfg.Endpoints.Login}} {
		parsed, err := parseEndpoint(address.text, c.cfg.AllowPlainHTTP)
		errs = append(errs, err)
		*address.into = parsed
	}
	return errors.Join(errs...)
}

func (t TokenCall) valid() bool {
	return t == TokenAccessToken || t == TokenGetToken || t == TokenCorp
}

// parseEndpoint wants a bare https address; http goes to loopback only, unless
// the administrator has said otherwise (T121).
func parseEndpoint(text string, plain bool) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("endpoint %q is not a plain http(s) address", text)
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && (plain || isLoopback(u.Hostname())):
	default:
		return nil, fmt.Errorf("endpoint %q must use https", text)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
