package dingtalksim

import (
	"cmp"
	"crypto/rand"
	"html/template"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// maxBody bounds a request body; no simulated API takes more.
const maxBody = 1 << 20

// Server is the simulated DingTalk. It is an http.Handler, safe for concurrent
// use. Each resource has its own lock, so that calls meet only where they share
// something.
type Server struct {
	clock       clock
	rand        random
	serial      atomic.Uint64 // alternates what the vendor does not fix
	log         *slog.Logger
	allowRemote bool
	corps       []*corp // in configured order; the list itself never changes
	apps        map[string]*app
	endpoints   map[string]endpoint
	control     *http.ServeMux
	pages       *template.Template
	switches    atomic.Pointer[Switches]
	tokens      tokens
	userTokens  userTokens
	codes       codes
	tickets     tickets
	quotas      quotas
	addresses   addresses
	faults      faults
	calls       calls
	alarms      schedule
	events      events
	eventQuota  quotas
	approvals   approvals
	yida        yida
	callbacks   callbacks
	lastPush    *sentPush // guarded by callbacks.mu
	pushClient  *http.Client
	streams     streams
	messages    messages
	robots      robots
	streamPing  time.Duration
	streamPong  time.Duration
}

// corp is one organisation while running.
type corp struct {
	id, name string
	apps     []*app
	dir      directory
	yida     []YidaApp // never changes
}

// app is one application while running; its settings are replaced whole.
type app struct {
	key  string
	corp *corp
	cfg  atomic.Pointer[App]
}

func (a *app) load() *App { return a.cfg.Load() }

// New checks cfg, reporting every mistake at once, and builds a Server.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	pages, err := parsePages()
	if err != nil {
		return nil, err
	}
	s := &Server{apps: map[string]*app{}, pages: pages, allowRemote: cfg.AllowRemote, log: cfg.Logger}
	s.clock.base, s.rand.src = cfg.Now, cfg.Rand
	if s.clock.base == nil {
		s.clock.base = time.Now
	}
	if s.rand.src == nil {
		s.rand.src = rand.Reader
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	sw := defaultSwitches(cfg)
	s.switches.Store(&sw)
	s.calls.keep = cfg.KeepCalls
	if s.calls.keep <= 0 {
		s.calls.keep = 2000
	}
	s.pushClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	s.streamPing, s.streamPong = cmp.Or(cfg.StreamPing, 30*time.Second), cmp.Or(cfg.StreamPong, 10*time.Second)
	for _, c := range cfg.Corps {
		s.addCorp(c)
	}
	s.endpoints = endpoints()
	maps.Copy(s.endpoints, approvalEndpoints())
	maps.Copy(s.endpoints, yidaEndpoints())
	maps.Copy(s.endpoints, messageEndpoints())
	maps.Copy(s.endpoints, userWriteEndpoints())
	s.control = s.controlRoutes()
	return s, nil
}

func (s *Server) addCorp(cfg Corp) {
	c := &corp{id: cfg.ID, name: cfg.Name, yida: cfg.Yida}
	if len(c.yida) == 0 {
		c.yida = []YidaApp{{App: SampleYidaApp, SystemToken: SampleYidaToken}}
	}
	c.dir.load(cfg, s.clock.now())
	for _, a := range cfg.Apps {
		run := &app{key: a.Key, corp: c}
		run.cfg.Store(&a)
		c.apps = append(c.apps, run)
		s.apps[a.Key] = run
	}
	s.corps = append(s.corps, c)
}

func (s *Server) corpByID(id string) *corp {
	for _, c := range s.corps {
		if c.id == id {
			return c
		}
	}
	return nil
}

// ServeHTTP answers for every host. See the package comment for which path is
// which.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.allowRemote && !arrivedOnLoopback(r) {
		http.Error(w, "dingtalksim answers on loopback addresses only (SIM-D118)", http.StatusForbidden)
		return
	}
	p := r.URL.Path
	if p == "/" || p == "/workbench" || strings.HasPrefix(p, "/workbench/") || strings.HasPrefix(p, "/sim/") || strings.HasPrefix(p, "/jsapi/") {
		s.control.ServeHTTP(w, r)
		return
	}
	if p == "/connect" {
		s.connect(w, r)
		return
	}
	s.serveVendor(w, r)
}

// arrivedOnLoopback looks at the address the connection was accepted on; a
// request without one was made inside the process (SIM-D118).
func arrivedOnLoopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true
	}
	ap, err := netip.ParseAddrPort(local.String())
	return err != nil || ap.Addr().Unmap().IsLoopback()
}

// serveVendor runs one vendor call: faults before, the call, faults after, the
// record, the answer.
func (s *Server) serveVendor(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, r: r, started: s.clock.now(), ip: callerIP(r)}
	w.Header().Set("Date", c.started.UTC().Format(http.TimeFormat)) // a server tells its own clock
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	c.body = body
	f := s.faults.take(r.Method + " " + r.URL.Path)
	var a answer
	switch {
	case err != nil:
		a = c.badParam("请求体过大或不完整")
	case s.addresses.banned(s, c.ip, c.started):
		a = c.banPage(s.sw().BanJSON)
	default:
		var done bool
		if a, done = f.before(c); !done {
			a = c.run()
		}
	}
	a = f.after(c, a)
	s.calls.add(c.record(a, f))
	s.log.Debug("dingtalksim", "method", r.Method, "path", r.URL.Path, "status", a.status, "code", a.code)
	f.write(w, c, a)
}

// write sends the answer. The old host names its server and always sends
// chunks (SIM-D11).
func (c *call) write(w http.ResponseWriter, a answer) {
	h := w.Header()
	for k, v := range a.header {
		h[k] = v
	}
	h.Set("Content-Type", a.ctype)
	if c.oldHost() {
		h.Set("Server", "DingTalk/1.0.0")
		h.Set("Transfer-Encoding", "chunked")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the caller went away; nothing to do
}

func callerIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
