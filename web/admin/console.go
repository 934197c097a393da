package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/store"
	"kdgate/web"
)

const (
	prefix    = gateway.ConsolePrefix
	apiPrefix = prefix + "api/v1/"

	freshFor = 5 * time.Minute // how old a proof may be, to enter and for dangerous acts (T14)
	maxBody  = 64 << 10
)

// Sessions are the browser sessions of DingTalk sign-ins. It stands here so
// that admin need not import identity/session.
type Sessions interface {
	// Current is the person behind the request's cookie; Unauthenticated: nobody.
	Current(r *http.Request) (identity.Principal, error)
	// Peek is Current that does not count as use.
	Peek(r *http.Request) (identity.Principal, error)
}

// SignIn begins a sign-in with DingTalk that leads back to a path and query of
// ours, also where a session lives (gateway.Gateway.SignIn).
type SignIn func(w http.ResponseWriter, r *http.Request, address string) error

// Recorder is the audit log: it returns when the record is durable.
type Recorder interface {
	Append(ctx context.Context, event audit.Event) error
}

// Config is what a Console needs. New checks it and changes nothing in it.
type Config struct {
	Store    store.Store
	Sessions Sessions
	SignIn   SignIn
	Recorder Recorder
	Logger   *slog.Logger // nil: slog.Default
	Pages    *web.Pages   // nil: some of its own; they are large

	Admins map[identity.Subject]Role // who may enter, as configured now
	// Barred says that somebody may not enter whatever their role: a leaver
	// (T43). nil: nobody is.
	Barred func(ctx context.Context, who identity.Subject) (bool, error)
	Allow  []netip.Prefix  // client addresses that reach the console; empty: all (T107)
	Secret identity.Secret // key of cursors, 32 bytes or more, the same on every replica

	BreakGlass bool          // whether the emergency account is there
	SecretFile string        // where its one-time secret is put, mode 0600
	Idle       time.Duration // a console session ends when it is not used so long (30 minutes)
	Absolute   time.Duration // and so long after its start (8 hours)

	Now  func() time.Time // nil: time.Now
	Rand io.Reader        // nil: crypto/rand
}

// Console is the handler of everything below /admin/. Build it with New.
type Console struct {
	cfg        Config
	pages      *web.Pages
	router     *Router
	mux        *http.ServeMux
	handler    http.Handler
	desk       *desk
	breakGlass *breakGlass // nil: off
	cursors    cursors
}

// New checks cfg, mounts the doors, the API description and then the pages in
// the order given, which is the order of the navigation.
func New(cfg Config, pages ...Page) (*Console, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("admin: configuration: %w", err)
	}
	cfg = cfg.withDefaults()
	if cfg.Pages == nil {
		var err error
		if cfg.Pages, err = web.New(); err != nil {
			return nil, fmt.Errorf("admin: %w", err)
		}
	}
	c := &Console{cfg: cfg, pages: cfg.Pages, router: &Router{}, mux: http.NewServeMux(), cursors: cursors{cfg.Secret}}
	c.desk = &desk{Console: c}
	if cfg.BreakGlass {
		c.breakGlass = &breakGlass{Console: c, turn: make(chan struct{}, 1), limiter: limiter{c}}
	}
	for _, page := range append([]Page{doors{c}, description{c}}, pages...) {
		page.Mount(c.router)
	}
	if err := c.router.check(); err != nil {
		return nil, err
	}
	for i := range c.router.routes {
		route := &c.router.routes[i]
		c.mux.Handle(route.Pattern, c.run(route))
	}
	c.handler = c.guarded()
	return c, nil
}

func (cfg Config) check() error {
	var errs []error
	need := func(missing bool, what string) {
		if missing {
			errs = append(errs, errors.New(what+": missing"))
		}
	}
	need(cfg.Store == nil, "store")
	need(cfg.Sessions == nil, "sessions")
	need(cfg.SignIn == nil, "sign-in")
	need(cfg.Recorder == nil, "recorder")
	need(len(cfg.Secret.Reveal()) < 32, "secret of 32 bytes")
	need(cfg.BreakGlass && cfg.SecretFile == "", "file for the one-time secret")
	for who, role := range cfg.Admins {
		if role != Admin && role != MappingAdmin && role != Auditor {
			errs = append(errs, fmt.Errorf("%s: no role %q", audit.Person(who), role))
		}
	}
	return errors.Join(errs...)
}

func (cfg Config) withDefaults() Config {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Idle <= 0 {
		cfg.Idle = 30 * time.Minute
	}
	if cfg.Absolute <= 0 {
		cfg.Absolute = 8 * time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	return cfg
}

// ServeHTTP answers every request below /admin/.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	headers(w.Header())
	c.handler.ServeHTTP(w, r)
}

// guarded is what stands before the routes: the list of addresses, then
// same-origin (T101). The gateway's edge has done the same-origin check for
// requests that came through it; the console does not rely on that.
func (c *Console) guarded() http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.fail(c.visit(w, r, nil), identity.Fail(identity.Forbidden, identity.CodeBadRequest, "admin: cross-origin request"))
	}))
	inner := protection.Handler(http.HandlerFunc(c.dispatch))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := c.visit(w, r, nil)
		if !c.allowed(v.Source()) {
			c.fail(v, identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: %s is not on the list of addresses", v.Source()))
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// allowed reports whether a client address may reach the console. What is not
// an address is on no list.
func (c *Console) allowed(source string) bool {
	if len(c.cfg.Allow) == 0 {
		return true
	}
	addr, err := netip.ParseAddr(source)
	if err != nil {
		return false
	}
	for _, network := range c.cfg.Allow {
		if network.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// dispatch finds the route, or answers 404 or 405 on our own page.
func (c *Console) dispatch(w http.ResponseWriter, r *http.Request) {
	handler, pattern := c.mux.Handler(r)
	if pattern != "" {
		c.mux.ServeHTTP(w, r)
		return
	}
	probe := &statusProbe{header: http.Header{}}
	handler.ServeHTTP(probe, r)
	v := c.visit(w, r, nil)
	v.Who, _ = c.desk.who(r, false) // only for the navigation around the page
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		c.fail(v, &statusError{http.StatusMethodNotAllowed, "method"})
		return
	}
	c.fail(v, identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: no such page"))
}

// statusProbe takes the mux's own 404 or 405, of which only status and Allow are wanted.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }

func (c *Console) visit(w http.ResponseWriter, r *http.Request, route *Route) *Visit {
	return &Visit{W: w, R: r, Words: c.pages.Catalogue().For(r), console: c, route: route}
}

// run serves one route: who is there, may they, and then the page.
func (c *Console) run(route *Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := c.visit(w, r, route)
		limit := route.MaxBody
		if limit == 0 {
			limit = maxBody
		}
		if r.ContentLength > limit {
			c.fail(v, &statusError{http.StatusRequestEntityTooLarge, "body too large"})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		err := c.admit(v)
		switch {
		case err == nil:
			err = route.Serve(v)
		case route.Stale != nil && v.Who.May(route.Access) && !v.Who.mustChange && identity.CodeOf(err) == identity.CodeProveAgain:
			err = route.Stale(v)
		}
		if err != nil {
			c.fail(v, err)
		}
	})
}

// ActionConsoleRefuse is somebody at the console who asked for what is not theirs.
const ActionConsoleRefuse audit.Action = "console.refuse"

// admit finds out who is there and holds them to the route's access. Who is in
// the console and asks for more than their role is put on record.
func (c *Console) admit(v *Visit) error {
	who, err := c.desk.who(v.R, !v.route.Live)
	v.Who = who
	switch {
	case v.route.Access&Anyone != 0:
		return nil
	case err != nil:
		return err
	case who.mustChange && v.route.path() != pathPassword && v.route.path() != pathLeave:
		return identity.Fail(identity.Forbidden, identity.CodeProveAgain, "admin: the one-time secret opens nothing but a new password")
	case !who.May(v.route.Access):
		err = identity.Fail(identity.Forbidden, identity.CodeNoConsole, "admin: %s is not for the role %s", v.route.Pattern, who.Role)
	case v.route.Danger && !c.fresh(who.ProvenAt):
		return identity.Fail(identity.Forbidden, identity.CodeProveAgain, "admin: the proof is of %s", who.ProvenAt)
	default:
		return c.noteRead(v)
	}
	event := v.Event(ActionConsoleRefuse, audit.Refused)
	event.Flood = v.flood("refuse")
	event.Reason, event.Target = string(identity.CodeNoConsole), strings.ToLower(v.route.method())+" "+v.route.path()
	if note := c.record(v.R.Context(), event); note != nil {
		return note
	}
	return err
}

// ActionConsoleRead is an auditor at a page.
const ActionConsoleRead audit.Action = "console.read"

// noteRead puts on record what an auditor looks at, before it is shown (T117).
// What a page fetches again by itself is the look that opened it.
func (c *Console) noteRead(v *Visit) error {
	if v.Who.Role != Auditor || v.R.Method != http.MethodGet || v.route.Live || v.route.Noted {
		return nil
	}
	event := v.Event(ActionConsoleRead, audit.OK)
	event.Target = v.R.URL.EscapedPath()
	return c.record(v.R.Context(), event)
}

// record appends, and names the failure: nothing is done that is not recorded.
func (c *Console) record(ctx context.Context, event audit.Event) error {
	if err := c.cfg.Recorder.Append(ctx, event); err != nil {
		return identity.Fail(identity.Unavailable, identity.CodeAuditDown, "admin: audit: %w", err)
	}
	return nil
}

// peerOf is the direct peer, for a console that stands behind no gateway (tests).
func peerOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}
