package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"kdgate/audit"
	"kdgate/gateway"
	"kdgate/gateway/proxy/direct"
	"kdgate/identity"
)

// Proxy passes requests on to one data centre. Build it with New.
type Proxy struct {
	cfg       Config
	policy    policy
	bindings  *bindings
	turns     *turns
	transport *http.Transport
	direct    *direct.Pool // the short way; nil with TLS
	pages     http.Header  // what every proxied answer carries, ready to be shared
	upstream  upstream     // what every request upstream carries
	allowed   map[string]bool
	buffers   buffers
	messages  messages
}

// New checks cfg, reports all its mistakes at once, and builds the proxy. It
// does not call Kingdee.
func New(cfg Config) (*Proxy, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	p := &Proxy{
		cfg: cfg, policy: newPolicy(cfg.DenyPaths, cfg.AllowPaths), bindings: newBindings(cfg.Store, cfg.Centre, cfg.Now),
		turns: newTurns(cfg.Now), transport: newTransport(cfg), pages: pageHeaders(cfg.PublicURL),
		direct: newDirect(cfg), allowed: map[string]bool{},
	}
	var err error
	if p.upstream, err = newUpstream(cfg); err != nil {
		return nil, fmt.Errorf("proxy: configuration: %w", err)
	}
	for _, name := range cfg.AllowHeaders {
		p.allowed[http.CanonicalHeaderKey(name)] = true
	}
	return p, nil
}

// newTransport keeps a connection for everybody who is at work, and leaves
// bodies as they are: a proxy that decompresses changes what a checksum covers.
func newTransport(cfg Config) *http.Transport {
	return &http.Transport{
		DialContext: newDialer().DialContext, TLSClientConfig: cfg.TLS, TLSHandshakeTimeout: 5 * time.Second,
		DisableCompression: true, Protocols: onlyHTTP1(),
		MaxIdleConns: cfg.Limits.Connections, MaxIdleConnsPerHost: cfg.Limits.Connections,
		IdleConnTimeout:        idleFor,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxAnswerHead,
	}
}

const (
	idleFor       = 50 * time.Second // IIS closes after two minutes
	maxAnswerHead = 64 << 10
)

func newDialer() *net.Dialer {
	return &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
}

// newDirect is the short way to a Kingdee without TLS.
func newDirect(cfg Config) *direct.Pool {
	if cfg.Upstream.Scheme != "http" {
		return nil
	}
	address := cfg.Upstream.Host
	if cfg.Upstream.Port() == "" {
		address = net.JoinHostPort(cfg.Upstream.Hostname(), "80")
	}
	return direct.New(direct.Config{
		Dial: func(ctx context.Context) (net.Conn, error) { return newDialer().DialContext(ctx, "tcp", address) },
		Idle: cfg.Limits.Connections, IdleFor: idleFor, MaxHead: maxAnswerHead,
	})
}

// onlyHTTP1 is what IIS speaks to proxies, and what WebSockets need.
func onlyHTTP1() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	return &p
}

// pageHeaders stand on every proxied answer. Kingdee's pages have scripts in
// them, so of a content security policy only the frame rule is ours.
func pageHeaders(public *url.URL) http.Header {
	h := http.Header{
		"X-Content-Type-Options":     {"nosniff"},
		"Referrer-Policy":            {"same-origin"}, // session ids stand in addresses (T30)
		"Content-Security-Policy":    {"frame-ancestors 'self' https://*.dingtalk.com"},
		"Cross-Origin-Opener-Policy": {"same-origin"},
	}
	if public.Scheme == "https" {
		h["Strict-Transport-Security"] = []string{"max-age=63072000"}
	}
	return h
}

// HeaderAllowed reports whether a header name with an underscore passes here.
func (p *Proxy) HeaderAllowed(name string) bool { return p.allowed[http.CanonicalHeaderKey(name)] }

// Close ends idle connections to Kingdee.
func (p *Proxy) Close() {
	p.transport.CloseIdleConnections()
	if p.direct != nil {
		p.direct.Close()
	}
}

// Serve passes a request on. An error means that nothing was answered yet. Its
// kind is Unauthenticated when there is no session here or, with KD-404, none
// of this person's in Kingdee; then a launch helps.
func (p *Proxy) Serve(w http.ResponseWriter, r *http.Request) error {
	who, ended, err := p.cfg.Sessions.Attend(r)
	decision := p.policy.judge(r.URL.Path, r.URL.RawQuery)
	if decision == closed || decision == malformed {
		return p.refusePath(r, who, decision)
	}
	if err != nil {
		return err
	}
	if origin, given := r.Header["Origin"]; given && !p.ownOrigin(origin) {
		return identity.Fail(identity.Forbidden, identity.CodeBadRequest, "proxy: request of another origin")
	}
	if decision == entrance {
		return p.launchAgain(r, who, "an entrance of Kingdee's own")
	}
	bound, err := p.bound(r, who)
	if identity.KindOf(err) == identity.Forbidden { // somebody else's cookies: the next try is without them
		w.Header().Add("Set-Cookie", expired(sessionCookie))
		w.Header().Add("Set-Cookie", expired(aspCookie))
	}
	if err != nil {
		return err
	}
	return p.pass(w, r, &passage{who: who, bound: bound, ended: ended})
}

// ownOrigin is the check that a WebSocket's handshake needs most, because no
// same-origin policy stands in front of it (T110).
func (p *Proxy) ownOrigin(origins []string) bool {
	return len(origins) == 1 && gateway.IsOrigin(p.cfg.PublicURL, origins[0])
}

func (p *Proxy) refusePath(r *http.Request, who identity.Principal, decision verdict) error {
	if decision == malformed {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "proxy: path with two readings")
	}
	p.note(r, who, "closed path", map[string]string{"path": clip(r.URL.EscapedPath())})
	return identity.Fail(identity.Forbidden, identity.CodeClosedPath, "proxy: closed path")
}

// launchAgain asks for a launch, but not for ever: a Kingdee that sends people
// back to its entrance at once would be asked again and again.
func (p *Proxy) launchAgain(r *http.Request, who identity.Principal, why string) error {
	if gateway.IsNavigation(r) && !p.turns.take(who.SessionID) {
		return identity.Fail(identity.Upstream, identity.CodeLinkRefused, "proxy: launched too often: %s", why)
	}
	return identity.Fail(identity.Unauthenticated, identity.CodeNoKingdee, "proxy: %s", why)
}

// bound is the binding of the request's Kingdee session. Every session that it
// names must be this gateway session's own (T35).
func (p *Proxy) bound(r *http.Request, who identity.Principal) (*binding, error) {
	c := claimsOf(r)
	if c.tooMany {
		return nil, identity.Fail(identity.Invalid, identity.CodeBadRequest, "proxy: more sessions than a browser sends")
	}
	for _, id := range addressed(r.URL.RawQuery) {
		// A page that is loaded again names the session it was opened with.
		if m := markOf(sessionCookie, id); !p.holds(r.Context(), m, who) {
			return nil, p.foreign(r, who, m, "address")
		}
	}
	var session *binding
	for i, m := range c.marks[:c.count] {
		found, err := p.bindings.find(r.Context(), m)
		if err != nil {
			return nil, err
		}
		if found == nil || found.Handle != who.SessionID || found.subject() != who.Subject {
			return nil, p.foreign(r, who, m, "cookie")
		}
		if i == c.session {
			session = found
		}
	}
	if session == nil {
		return nil, p.launchAgain(r, who, "no Kingdee session in the request")
	}
	m := c.marks[c.session]
	if p.forgotten(r, m, session) {
		return nil, p.launchAgain(r, who, "the Kingdee session was idle too long")
	}
	if !p.stands(r.Context(), who, session) {
		return nil, p.launchAgain(r, who, "the person may not act as that login user any more")
	}
	p.bindings.use(r.Context(), m, session)
	return session, nil
}

func (p *Proxy) stands(ctx context.Context, who identity.Principal, bound *binding) bool {
	return p.cfg.Standing == nil || p.cfg.Standing.Stands(ctx, who.Subject, bound.LoginUser)
}

func (p *Proxy) holds(ctx context.Context, m mark, who identity.Principal) bool {
	found, err := p.bindings.find(ctx, m)
	return err == nil && found != nil && found.Handle == who.SessionID && found.subject() == who.Subject
}

// foreign tells a session that ended with an earlier sign-in of the same
// person, or that nobody knows, from one that is somebody else's.
func (p *Proxy) foreign(r *http.Request, who identity.Principal, m mark, where string) error {
	found, err := p.bindings.load(r.Context(), m)
	if err != nil {
		return err
	}
	if found == nil || found.subject() == who.Subject {
		return p.launchAgain(r, who, "a Kingdee session of an earlier sign-in")
	}
	p.note(r, who, "foreign kingdee session", map[string]string{"where": where, "of": audit.Person(found.subject())})
	return identity.Fail(identity.Forbidden, identity.CodeNoKingdee, "proxy: the Kingdee session is another person's")
}

// forgotten reports a page load of a session that Kingdee has forgotten. Calls
// of a page pass: Kingdee itself answers them, and the page knows what to do.
func (p *Proxy) forgotten(r *http.Request, m mark, bound *binding) bool {
	if p.cfg.Now().Sub(bound.lastUse()) < p.cfg.Limits.Idle || !gateway.IsNavigation(r) {
		return false
	}
	fresh, err := p.bindings.load(r.Context(), m) // another replica may have seen it since
	return err != nil || fresh == nil || p.cfg.Now().Sub(fresh.lastUse()) >= p.cfg.Limits.Idle
}

// note writes an audit record about something refused, at a bounded rate: a
// flood from one person is one record with a count (T118).
func (p *Proxy) note(r *http.Request, who identity.Principal, what string, detail map[string]string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), noteLimit)
	defer cancel()
	event := p.event(r, who, audit.Refused)
	event.Reason, event.Detail = what, detail
	event.Flood = audit.Flood{Key: "proxy/" + event.Actor + "/" + what, AtOnce: notesAtOnce, Pause: notePause}
	if err := p.cfg.Recorder.Append(ctx, event); err != nil {
		p.cfg.Logger.Error("audit", "request_id", event.RequestID, "action", string(event.Action), "error", err)
	}
}

// event fills what every record of this room carries.
func (p *Proxy) event(r *http.Request, who identity.Principal, outcome audit.Outcome) audit.Event {
	return audit.Event{
		Action: actionRefuse, Outcome: outcome, Actor: audit.Person(who.Subject), DataCentre: p.cfg.Centre, Door: string(who.Door),
		Source: gateway.SourceOf(r.Context()), RequestID: gateway.RequestIDOf(r.Context()), UserAgent: clip(r.UserAgent()),
	}
}

// actionRefuse is a request to a proxied data centre that was not passed on.
const actionRefuse audit.Action = "proxy.refuse"

const noteLimit = 5 * time.Second

// clip bounds a text that a stranger wrote.
func clip(text string) string {
	const most = 256
	if len(text) > most {
		return text[:most]
	}
	return text
}

// reason is what a log may say of a failed call: never what the peer sent.
func reason(err error) string {
	var network *net.OpError
	switch {
	case errors.As(err, &network):
		return network.Error()
	case errors.Is(err, context.DeadlineExceeded), strings.Contains(err.Error(), "timeout awaiting response headers"):
		return "no answer in time"
	default:
		return fmt.Sprintf("broken answer (%T)", err)
	}
}

// buffers are what bodies are copied through.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (b *buffers) get() *[bufferSize]byte {
	if room, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return room
	}
	return new([bufferSize]byte)
}

func (b *buffers) put(room *[bufferSize]byte) { b.pool.Put(room) }
