package setup

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"kdgate/dingtalk"
	"kdgate/gateway"
	"kdgate/internal/app"
	"kdgate/internal/checkup"
	"kdgate/internal/config"
	"kdgate/web"
)

// Config is what a Wizard needs. Path is required.
type Config struct {
	Path    string   // of the configuration to be written
	Environ []string // of the process: what is set there is in force, here as later
	Replica string
	Version string
	Logger  *slog.Logger
	Egress  dingtalk.EgressConfig // see app.Options
	Now     func() time.Time      // nil: time.Now
}

// Wizard is one set-up. Build it with New; Serve shows it until it is done.
type Wizard struct {
	cfg   Config
	dir   string // of the configuration; relative paths count from it
	pages *web.Pages
	mux   *http.ServeMux
	ended chan outcome // what the last step came to

	mu      sync.Mutex
	token   string // in the printed address; empty once used
	cookie  string // of the one browser that came with it
	draft   *draft
	results map[checkup.Step][]checkup.Item
	trial   *trial // nil: no gateway is on trial
}

// outcome is how the set-up ended.
type outcome struct {
	server *app.Server
	config *config.Config
	err    error
}

// New reads the draft that an earlier set-up left. It refuses where there is a
// configuration already: nothing is written over.
func New(cfg Config) (*Wizard, error) {
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("setup: %w", err)
	}
	if isThere(path) {
		return nil, fmt.Errorf("%w: %s; change it in an editor, kdgate check-config tells mistakes, and the console's page \"set-up\" walks through the same steps", ErrConfigured, path)
	}
	cfg.Path = path
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	pages, err := web.New()
	if err != nil {
		return nil, err
	}
	w := &Wizard{
		cfg: cfg, dir: filepath.Dir(path), pages: pages, mux: http.NewServeMux(), ended: make(chan outcome, 1),
		token: rand.Text(), results: map[checkup.Step][]checkup.Item{},
	}
	if w.draft, err = loadDraft(w.draftPath()); err != nil {
		return nil, err
	}
	w.mount()
	return w, nil
}

// ErrConfigured is a set-up where a configuration is already.
var ErrConfigured = errors.New("setup: there is a configuration already")

// draftPath is where a half-done set-up waits.
func (w *Wizard) draftPath() string { return w.cfg.Path + ".setup" }

func (w *Wizard) mount() {
	for pattern, serve := range map[string]http.HandlerFunc{
		"GET /{$}":               w.begin,
		"GET /step/{step}":       w.show,
		"POST /step/{step}":      w.enter,
		"GET /trial":             w.watch,
		"POST /trial":            w.try,
		"POST /trial/admin":      w.appoint,
		"POST /finish":           w.finish,
		"GET " + web.AssetPrefix: w.pages.Assets().ServeHTTP,
	} {
		w.mux.Handle(pattern, w.known(serve))
	}
	w.mux.HandleFunc("GET /enter", w.letIn)
}

// Address is what is printed: the first browser that opens it is let in.
func (w *Wizard) Address(at net.Addr) string {
	return "http://" + at.String() + "/enter?" + url.Values{"token": {w.token}}.Encode()
}

// Listen takes a port for the pages. One that others could reach is refused.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !isLoopback(host) {
		return nil, fmt.Errorf("setup: %q is not a loopback address such as 127.0.0.1:8499; from elsewhere: ssh -L 8499:127.0.0.1:8499 HOST", address)
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", address)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

// Serve shows the pages until the last step is done or ctx ends. It gives the
// gateway, which has its ports and is still to be Run, and its configuration.
func (w *Wizard) Serve(ctx context.Context, at net.Listener) (*app.Server, *config.Config, error) {
	server := &http.Server{Handler: w, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(w.cfg.Logger.Handler(), slog.LevelDebug)}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(at) }()
	var end outcome
	select {
	case end = <-w.ended:
	case <-ctx.Done():
		end.err = ctx.Err()
	case end.err = <-failed:
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second) // the last page is on its way
	defer stop()
	if err := server.Shutdown(last); err != nil {
		_ = server.Close() // a browser that holds a connection must not hold the gateway
	}
	w.stopTrial()
	return end.server, end.config, end.err
}

// policy is the content security policy of every page: nothing from elsewhere,
// nothing inline, no frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP answers on loopback only, under loopback's names only, and takes
// acts from its own pages only (T101).
func (w *Wizard) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	for name, values := range gateway.Baseline("") {
		rw.Header()[name] = values
	}
	rw.Header().Set("Content-Security-Policy", policy)
	rw.Header().Set("Referrer-Policy", "same-origin") // forms post to ourselves
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if !isLoopback(host) {
		http.Error(rw, "this page is on loopback only", http.StatusMisdirectedRequest)
		return
	}
	r.Body = http.MaxBytesReader(rw, r.Body, 64<<10)
	if lang, asked := w.pages.Catalogue().Asked(r); asked {
		http.SetCookie(rw, &http.Cookie{Name: web.LanguageCookie, Value: lang, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	http.NewCrossOriginProtection().Handler(w.mux).ServeHTTP(rw, r)
}

// cookieName is the cookie of the one browser. Without TLS it can be no __Host- one.
const cookieName = "kdgate-setup"

// letIn takes the token out of the address at once: it is good once, and the
// browser that brought it is the one that is let in.
func (w *Wizard) letIn(rw http.ResponseWriter, r *http.Request) {
	given := r.URL.Query().Get("token")
	w.mu.Lock()
	fits := w.token != "" && subtle.ConstantTimeCompare([]byte(given), []byte(w.token)) == 1
	if fits {
		w.token, w.cookie = "", rand.Text()
		http.SetCookie(rw, &http.Cookie{Name: cookieName, Value: w.cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	w.mu.Unlock()
	if !fits && !w.isKnown(r) {
		w.render(rw, r, http.StatusForbidden, "setup/door", nil)
		return
	}
	http.Redirect(rw, r, "/", http.StatusSeeOther)
}

func (w *Wizard) isKnown(r *http.Request) bool {
	cookie, err := r.Cookie(cookieName)
	w.mu.Lock()
	defer w.mu.Unlock()
	return err == nil && w.cookie != "" && subtle.ConstantTimeCompare([]byte(cookie.Value), []byte(w.cookie)) == 1
}

// known lets the one browser through. Assets hold nothing and are anybody's.
func (w *Wizard) known(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, web.AssetPrefix) && !w.isKnown(r) {
			w.render(rw, r, http.StatusForbidden, "setup/door", nil)
			return
		}
		next(rw, r)
	})
}

// render writes a page.
func (w *Wizard) render(rw http.ResponseWriter, r *http.Request, status int, page string, data any) {
	words := w.pages.Catalogue().For(r)
	view := web.View{Words: words, Page: page, Data: data}
	if r.Method == http.MethodGet {
		view.Canonical = r.URL.Path + "?"
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.Header().Set("Content-Language", words.Lang)
	rw.WriteHeader(status)
	if err := w.pages.Render(rw, view); err != nil {
		w.cfg.Logger.Error("set-up page", "page", page, "error", err)
	}
}
