package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kdgate/audit"
	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/identity/session"
	"kdgate/internal/config"
	"kdgate/internal/strictwire"
	"kdgate/jobs"
	"kdgate/mapping/access"
	"kdgate/web"
)

// drainTime is how long requests in flight may take after the signal to stop. The
// rest of R52's ten seconds is for the work that is handed back after them.
const drainTime = 8 * time.Second

// Server is a running gateway: a Core behind its listeners.
type Server struct {
	*Core
	health   *health
	feeds    feeds
	pool     *jobs.Pool
	public   http.Server
	ops      http.Server
	publicAt net.Listener
	opsAt    net.Listener
	console  console
	book     *access.Book // of people who ask for access
	streams  streams      // of events
	cert     *certificate // nil without TLS
	untold   bool         // what changed of the configuration before the start; of governedAtStart once that runs
	pages    *web.Pages
	gateway  atomic.Pointer[http.Handler]
	stopping atomic.Bool
	began    time.Time
	token    identity.Secret // opens the local API

	reloading sync.Mutex    // one reload at a time
	rekeyed   chan struct{} // other sealing keys are in force
}

// NewServer opens everything and takes both ports. Run serves until its context
// ends; Close gives everything back when Run is not reached.
func NewServer(ctx context.Context, options Options) (*Server, error) {
	core, err := OpenCore(ctx, options)
	if err != nil {
		return nil, err
	}
	s := &Server{Core: core, rekeyed: make(chan struct{}, 1)}
	s.serving, s.began = true, core.options.Now()
	feeds, err := s.newFeeds()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.feeds, s.carriers = feeds, feeds
	s.metrics.Pause(s.egress.BannedFor)
	s.health = newHealth(s.options.Logger, s.metrics.Check, append(feeds.checks(),
		check{name: "store", ask: s.askStore},
		check{name: "audit", ask: s.log.Ping},
		check{name: "disk", ask: s.askDisk, advisory: true},
		check{name: "directory", ask: s.askDirectory, advisory: true},
		check{name: "audit anchor", ask: func(context.Context) error { return s.log.AnchorErr() }, advisory: true},
	)...)
	if err := s.assemble(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) assemble(ctx context.Context) error {
	cfg := s.options.Config
	var err error
	s.sessions, err = session.New(session.Config{
		Store: s.store, Idle: cfg.Sessions.Idle, Absolute: cfg.Sessions.Absolute, Now: s.options.Now, Logger: s.options.Logger,
		Source: func(ctx context.Context, _ *http.Request) string { return gateway.SourceOf(ctx) },
	})
	if err != nil {
		return err
	}
	if s.book, err = s.newBook(); err != nil {
		return err
	}
	if s.pages, err = web.New(); err != nil {
		return err
	}
	if err := s.openWorkshop(); err != nil {
		return err
	}
	s.openConsole()
	handler, err := s.newGateway(s.rooms.Load())
	if err != nil {
		return err
	}
	s.enter(handler)
	if err := s.listen(ctx, cfg); err != nil {
		return err
	}
	if err := s.recordStart(ctx, cfg); err != nil {
		return err
	}
	first, cancel := context.WithTimeout(ctx, prepareTime)
	defer cancel()
	_ = s.console.made.Load().Prepare(first) // prepareConsole goes on where this could not
	return nil
}

// recordStart puts on record with what the program begins to serve. What changed
// of the configuration meanwhile is told later where the store cannot be asked.
func (s *Server) recordStart(ctx context.Context, cfg *config.Config) error {
	changed, err := s.noteGoverned(ctx, cfg, s.rooms.Load().ring)
	if identity.CodeOf(err) == identity.CodeAuditDown {
		return err
	}
	s.untold = err != nil
	load := audit.Event{Action: audit.ActionConfigLoad, Outcome: audit.OK, Detail: map[string]string{"version": s.options.Version}}
	if len(changed) > 0 {
		load.Detail["changed"] = strings.Join(changed, ",")
	}
	if err := s.record(ctx, load); err != nil {
		return err
	}
	return s.record(ctx, audit.Event{Action: audit.ActionServeStart, Outcome: audit.OK, Detail: map[string]string{"version": s.options.Version}})
}

// enter puts a gateway in force. Sessions see each request first, so that a new
// one knows the browser it was started from.
func (s *Server) enter(f fronts) {
	if f.console != nil {
		inner := s.sessions.Wrap(f.console)
		s.console.front.Store(&inner)
	}
	front := f.public
	wrapped := s.sessions.Wrap(front)
	handler := s.recovered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gateway.IsProxied(r.URL.Path) { // no session begins there, and there are many of them
			front.ServeHTTP(w, r)
			return
		}
		wrapped.ServeHTTP(w, r)
	}))
	s.gateway.Store(&handler)
}

// listen takes the ports. Limits on headers and slow clients stand here (R58, R59).
func (s *Server) listen(ctx context.Context, cfg *config.Config) error {
	secure, err := s.publicTLS(cfg.Listen)
	if err != nil {
		return err
	}
	s.public.Handler = http.HandlerFunc(s.servePublic)
	s.ops.Handler = s.opsHandler()
	for _, server := range []*http.Server{&s.public, &s.ops, &s.console.server} {
		server.ReadHeaderTimeout, server.ReadTimeout = 5*time.Second, 8*time.Second
		server.WriteTimeout, server.IdleTimeout = 30*time.Second, 60*time.Second
		server.MaxHeaderBytes = 64 << 10 // the wire itself stops at 32 KiB, with our own answer
		// What net/http has to say is about clients that misbehave.
		server.ErrorLog = slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug)
	}
	var lc net.ListenConfig
	if s.publicAt, err = lc.Listen(ctx, "tcp", cfg.Listen.Address); err != nil {
		return fmt.Errorf("listen.address: %w", err)
	}
	if err := s.count(cfg); err != nil {
		return err
	}
	s.publicAt = s.vetted(s.publicAt, secure, cfg)
	// What a reset stream had begun goes on for a while; fewer at once are less of it (R60).
	s.public.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 100}
	s.public.DisableGeneralOptionsHandler = true // OPTIONS * gets our answer, with our headers
	if s.opsAt, err = lc.Listen(ctx, "tcp", cfg.Ops.Address); err != nil {
		return fmt.Errorf("ops.address: %w", err)
	}
	return s.listenConsole(ctx, cfg, secure)
}

// vetted puts what reads requests on the wire in front of net/http (T54, R59).
func (s *Server) vetted(at net.Listener, secure *tls.Config, cfg *config.Config) net.Listener {
	scheme, _, _ := strings.Cut(cfg.PublicURL, ":")
	return strictwire.Listen(at, strictwire.Config{
		TLS: secure, Headers: gateway.Baseline(scheme), RequestID: rand.Text,
		OnRefuse: func(reason string, remote net.Addr) {
			s.options.Logger.Debug("refused on the wire", "reason", reason, "remote", remote.String())
		},
	})
}

// publicTLS is nil where a proxy in front speaks TLS.
func (s *Server) publicTLS(cfg config.Listen) (*tls.Config, error) {
	if cfg.Cert == "" {
		return nil, nil
	}
	var err error
	if s.cert, err = newCertificate(cfg.Cert, cfg.Key, s.options.Logger, s.options.Now); err != nil {
		return nil, err
	}
	s.metrics.Certificate(func() time.Time { return s.cert.pair.Load().Leaf.NotAfter })
	oldest := uint16(tls.VersionTLS13)
	if cfg.MinVersion == "1.2" {
		oldest = tls.VersionTLS12
	}
	return &tls.Config{MinVersion: oldest, GetCertificate: s.cert.get}, nil
}

func (s *Server) servePublic(w http.ResponseWriter, r *http.Request) {
	if s.stopping.Load() {
		w.Header().Set("Connection", "close") // the next request finds another replica
	}
	(*s.gateway.Load()).ServeHTTP(w, r)
}

// PublicAddr is where the public listener stands.
func (s *Server) PublicAddr() net.Addr { return s.publicAt.Addr() }

// OpsAddr is where the operations listener stands.
func (s *Server) OpsAddr() net.Addr { return s.opsAt.Addr() }

// Run serves until ctx ends, then lets requests in flight finish and closes
// everything (R52). It may be called once.
func (s *Server) Run(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, 4)
	var group sync.WaitGroup
	group.Go(func() { failed <- s.servePort(&s.public, s.publicAt) })
	group.Go(func() { failed <- s.servePort(&s.ops, s.opsAt) })
	if s.console.at != nil {
		group.Go(func() { failed <- s.servePort(&s.console.server, s.console.at) })
	}
	for _, work := range s.background() {
		group.Go(func() { work(working) })
	}
	withdraw, err := s.announce()
	if err != nil {
		failed <- err
	}
	s.options.Logger.Info("serving", "public", s.publicAt.Addr().String(), "ops", s.opsAt.Addr().String())

	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	s.shutdown(ctx)
	cause = errors.Join(cause, withdraw())
	stop()
	group.Wait()
	cause = errors.Join(cause, s.record(context.WithoutCancel(ctx), audit.Event{Action: audit.ActionServeStop, Outcome: audit.OK}))
	return errors.Join(cause, s.Close())
}

// background is the work beside requests; each ends with its context.
func (s *Server) background() []func(context.Context) {
	work := []func(context.Context){
		func(ctx context.Context) { _ = s.sessions.Run(ctx) }, // it has no error to give
		s.health.watch, s.repair, s.governedAtStart, s.countSessions, s.retain, s.prepareConsole, s.index.Run, s.console.imports.Run, s.console.verifier.Run, s.checkups.Run,
		s.console.traffic.Run, s.keepQuotaDays, s.rulebook.Run, s.bills.Run, s.canary, s.keepSealed,
	}
	if s.options.Config.Store.Driver != "sqlite" {
		work = append(work, s.lane.keep, s.keepPresence, s.recoverLost)
	}
	if s.cert != nil {
		work = append(work, s.cert.watch)
	}
	work = append(work, s.workshop()...)
	for _, f := range s.feeds {
		work = append(work, f.work)
	}
	return work
}

// countEvery is how often the sessions are counted for the metrics.
const countEvery = 30 * time.Second

// countSessions keeps kdgate_sessions near the truth. A count that fails leaves
// the old one: the store's own trouble has a metric of its own.
func (s *Server) countSessions(ctx context.Context) {
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for {
		if n, err := s.sessions.Count(ctx); err == nil {
			s.metrics.Sessions(n)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Server) servePort(server *http.Server, at net.Listener) error {
	if err := server.Serve(at); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// shutdown answers "not ready" and goes on serving for as long as a balancer
// takes to look elsewhere (R53), then stops accepting and waits for what is in
// flight. What is still in flight after drainTime is cut: somebody who does not
// read must not keep us alive.
func (s *Server) shutdown(ctx context.Context) {
	s.stopping.Store(true)
	if leave := s.options.Config.Listen.Leave; leave > 0 {
		<-time.After(leave)
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	for _, server := range []*http.Server{&s.public, &s.ops, &s.console.server} {
		if err := server.Shutdown(drain); err != nil {
			s.options.Logger.Warn("requests were cut short by the end", "error", errors.Join(err, server.Close()))
		}
	}
}

// Close gives back what NewServer took, without serving.
func (s *Server) Close() error {
	for _, listener := range []net.Listener{s.publicAt, s.opsAt, s.console.at} {
		if listener != nil {
			_ = listener.Close() // closed already after Run
		}
	}
	return s.Core.Close()
}

// record writes down what the program itself did.
func (s *Server) record(ctx context.Context, event audit.Event) error {
	event.Actor = audit.System
	return s.log.Append(ctx, event)
}

// notePanic logs where, but not what: the value may hold request data. That there
// was one is on record (T128).
func (s *Server) notePanic(r *http.Request, cause any) {
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return // net/http's own word for "end this connection"
	}
	s.options.Logger.Error("panic", "type", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
	err := s.record(context.WithoutCancel(r.Context()), audit.Event{
		Action: audit.ActionPanic, Outcome: audit.Failed, Reason: string(identity.CodeInternal),
		Flood: audit.Flood{Key: "panic", AtOnce: 20, Pause: 10 * time.Second},
	})
	if err != nil {
		s.options.Logger.Error("audit", "action", string(audit.ActionPanic), "error", err)
	}
}
