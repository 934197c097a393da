package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/web"
)

// Bounds of a request (R59).
const (
	maxURL  = 8 << 10
	maxHead = 32 << 10 // names and values; with HTTP/1.1 the wire has refused more already
	maxBody = 64 << 10 // the largest thing a page of ours posts is a few KiB
)

// Records of panics: whoever finds one that a request brings about can repeat it (T118).
const (
	panicNotesAtOnce = 20
	panicNotePause   = 10 * time.Second
)

// visit is what the edge knows about a request before anybody handles it.
type visit struct {
	id      string     // request id, made here and taken from nobody
	address netip.Addr // the client, after trusted proxies
	source  string     // the same as text
	asked   original   // what a trusted proxy asks /forward-auth about
}

type visitKey struct{}

// visitOf gives the facts that the edge put into the request.
func visitOf(r *http.Request) visit {
	if v, _ := r.Context().Value(visitKey{}).(*visit); v != nil {
		return *v
	}
	return visit{}
}

// SourceOf is the client's address, after trusted proxies, of the request whose
// context this is; empty when that request did not pass a Gateway.
func SourceOf(ctx context.Context) string {
	v, _ := ctx.Value(visitKey{}).(*visit)
	if v == nil || !v.address.IsValid() {
		return ""
	}
	return v.source
}

// RequestIDOf is the id of the request whose context this is, empty when it did
// not pass a Gateway.
func RequestIDOf(ctx context.Context) string {
	if v, _ := ctx.Value(visitKey{}).(*visit); v != nil {
		return v.id
	}
	return ""
}

// edge wraps the routes: facts and log line outermost, so that a refused
// request has both; then what refuses without looking at routes; then same-origin.
func (g *Gateway) edge() http.Handler {
	deny := g.serve(func(_ http.ResponseWriter, r *http.Request) error {
		err := identity.Fail(identity.Forbidden, identity.CodeBadRequest, "cross-origin request")
		if r.URL.Path == clientPath {
			g.noteSignIn(r, attempt{door: identity.DoorInClient}, err)
		}
		return err
	})
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(deny)
	own := protection.Handler(http.HandlerFunc(g.route))
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isUnsafe(r.Method) && g.isForeign(r.Header["Origin"]) {
			deny.ServeHTTP(w, r)
			return
		}
		own.ServeHTTP(w, r)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.observe(inner, w, r) })
}

// isUnsafe reports a method that may change something (RFC 9110, 9.2.1).
func isUnsafe(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// isForeign reports an origin that is not ours, in its scheme too:
// CrossOriginProtection compares hosts alone, and does not look where
// Sec-Fetch-Site is there. What says null is left to it.
func (g *Gateway) isForeign(origins []string) bool {
	if len(origins) == 0 || len(origins) == 1 && origins[0] == "null" {
		return false
	}
	return len(origins) != 1 || !IsOrigin(g.cfg.PublicURL, origins[0])
}

// IsOrigin reports whether a browser's Origin header names the public address.
func IsOrigin(public *url.URL, origin string) bool {
	scheme, host, ok := strings.Cut(origin, "://")
	return ok && scheme == public.Scheme && canonicalHost(host, scheme) == canonicalHost(public.Host, scheme)
}

// observe gives the request its id, answers panics, and writes one log line
// that holds the path alone: no query, no ticket, no code (T6, T29).
func (g *Gateway) observe(next http.Handler, w http.ResponseWriter, r *http.Request) {
	began := g.cfg.Now()
	id, err := g.references.next()
	if err != nil {
		g.cfg.Logger.Error("no randomness", "error", err)
		http.Error(w, "503", http.StatusServiceUnavailable)
		return
	}
	v := &visit{id: id, address: clientAddress(r, g.cfg.TrustedProxies), asked: g.originalOf(r)}
	v.source = v.address.String()
	dropForwarded(r.Header)
	r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	out := &meter{ResponseWriter: w}
	proxied := g.proxied != nil && IsProxied(r.URL.Path)
	if !proxied { // what Kingdee answers gets its own
		g.baseline(out.Header(), v.id)
	}
	defer g.logRequest(r, out, began)
	defer func() {
		if cause := recover(); cause != nil {
			g.recovered(out, r, cause)
		}
	}()
	if refusal := g.screen(r, proxied); refusal != nil {
		out.Header().Set("Connection", "close")
		g.fail(out, r, refusal)
		return
	}
	if !proxied {
		g.rememberLanguage(out, r)
	}
	next.ServeHTTP(out, r)
}

// logRequest writes the access line.
func (g *Gateway) logRequest(r *http.Request, out *meter, began time.Time) {
	v := visitOf(r)
	g.cfg.Logger.LogAttrs(r.Context(), slog.LevelInfo, "request",
		slog.String("request_id", v.id), slog.String("method", clip(r.Method, 16)),
		slog.String("path", loggedPath(r)), slog.Int("status", out.code()),
		slog.Int64("bytes", out.bytes), slog.String("address", v.source),
		slog.Duration("took", g.took(began)))
}

// recovered answers a panic with the same page as any other fault, and puts it on
// record (T128, T130). The stack goes to the log; the value may hold request data
// and goes nowhere.
func (g *Gateway) recovered(out *meter, r *http.Request, cause any) {
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler) // the server's own way to end a connection: let it through
	}
	g.cfg.Logger.Error("panic", "request_id", visitOf(r).id, "type", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
	event := g.event(r, audit.ActionPanic, audit.Failed)
	event.Actor, event.Reason, event.Target = audit.System, string(identity.CodeInternal), loggedPath(r)
	event.Flood = audit.Flood{Key: "panic", AtOnce: panicNotesAtOnce, Pause: panicNotePause}
	_ = g.record(context.WithoutCancel(r.Context()), event) // the answer is a failure either way
	if out.status == 0 {
		g.fail(out, r, identity.Fail(identity.Internal, identity.CodeInternal, "panic of type %T", cause))
	}
}

// loggedPath is the escaped path, so that it is one clean line whatever was
// sent (T113), with a ticket left out.
func loggedPath(r *http.Request) string {
	path := r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, "/handover/"); ok && rest != "" {
		return "/handover/-"
	}
	return clip(path, 256)
}

// clip bounds a text that a stranger wrote.
func clip(text string, size int) string {
	if len(text) > size {
		return text[:size]
	}
	return text
}

// refusal is an answer of the edge with a status that no error kind names.
type refusal struct {
	status int
	reason string
}

func (e *refusal) Error() string { return "refused: " + e.reason }

// screen refuses what no page of ours sends, before routes and sessions are looked at.
func (g *Gateway) screen(r *http.Request, proxied bool) error {
	underscores := noUnderscores
	if proxied {
		underscores = g.proxied.Proxy.HeaderAllowed
	}
	switch {
	case r.Method == http.MethodTrace || r.Method == http.MethodConnect:
		return &refusal{http.StatusMethodNotAllowed, "method"}
	case len(r.RequestURI) > maxURL:
		return &refusal{http.StatusRequestURITooLong, "address too long"}
	case headSize(r.Header) > maxHead:
		return &refusal{http.StatusRequestHeaderFieldsTooLarge, "header size"}
	case !cleanHeaders(r.Header, underscores):
		return &refusal{http.StatusBadRequest, "header name"}
	case !g.ownHost(r.Host):
		return &refusal{http.StatusMisdirectedRequest, "host"}
	case !cleanTarget(r.RequestURI):
		return &refusal{http.StatusBadRequest, "path"}
	default:
		return nil
	}
}

// Baseline are the headers that every answer of ours carries, errors included
// (T59); scheme is the public address's. For whoever answers before a Gateway can.
func Baseline(scheme string) http.Header {
	header := http.Header{
		"Content-Security-Policy":      {policy{}.text()},
		"X-Content-Type-Options":       {"nosniff"},
		"Referrer-Policy":              {"no-referrer"},
		"Cross-Origin-Opener-Policy":   {"same-origin"},
		"Cross-Origin-Resource-Policy": {"same-origin"},
		"Permissions-Policy":           {"camera=(), microphone=(), geolocation=(), payment=()"},
		"Cache-Control":                {"no-store"},
	}
	if scheme == "https" {
		header["Strict-Transport-Security"] = []string{"max-age=63072000"}
	}
	return header
}

// baseline sets them. Their values are shared: whoever wants another sets the
// header anew.
func (g *Gateway) baseline(header http.Header, id string) {
	for name, values := range g.fixed {
		header[name] = values
	}
	header["X-Request-Id"] = []string{id}
}

// rememberLanguage keeps the choice of ?lang= for later pages.
func (g *Gateway) rememberLanguage(w http.ResponseWriter, r *http.Request) {
	if lang, ok := g.pages.Catalogue().Asked(r); ok {
		http.SetCookie(w, &http.Cookie{
			Name: web.LanguageCookie, Value: lang, Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()),
			Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
	}
}

// route finds the handler, or says 404 or 405 on our own page.
func (g *Gateway) route(w http.ResponseWriter, r *http.Request) {
	if !g.isOpen(r.URL.Path) {
		if r.URL.Path == "/" {
			seeOther(w, g.cfg.Doors[0])
			return
		}
		g.fail(w, r, notFound())
		return
	}
	if g.proxied != nil && IsProxied(r.URL.Path) {
		g.passOn(w, r)
		return
	}
	handler, pattern := g.mux.Handler(r)
	if pattern != "" {
		g.mux.ServeHTTP(w, r)
		return
	}
	probe := &meter{ResponseWriter: discard{http.Header{}}}
	handler.ServeHTTP(probe, r)
	if probe.code() == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.Header().Get("Allow"))
		g.fail(w, r, &refusal{http.StatusMethodNotAllowed, "method"})
		return
	}
	g.fail(w, r, notFound())
}

// isOpen reports a path behind one of the doors.
func (g *Gateway) isOpen(path string) bool {
	return len(g.cfg.Doors) == 0 || slices.ContainsFunc(g.cfg.Doors, func(door string) bool { return strings.HasPrefix(path, door) })
}

// meter counts what goes out. Unwrap lets http.ResponseController through.
type meter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (m *meter) WriteHeader(status int) {
	if m.status == 0 && status >= http.StatusOK {
		m.status = status
	}
	m.ResponseWriter.WriteHeader(status)
}

func (m *meter) Write(p []byte) (int, error) {
	if m.status == 0 {
		m.status = http.StatusOK
	}
	n, err := m.ResponseWriter.Write(p)
	m.bytes += int64(n)
	return n, err
}

// Hijack implements http.Hijacker, so that a WebSocket has its own line in the log.
func (m *meter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(m.ResponseWriter).Hijack()
	if err == nil {
		m.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

func (m *meter) Unwrap() http.ResponseWriter { return m.ResponseWriter }

func (m *meter) code() int {
	if m.status == 0 {
		return http.StatusOK
	}
	return m.status
}

// discard takes the mux's own 404 or 405, of which only status and Allow are wanted.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
