package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/identity/session"
	"kdgate/internal/config"
)

// drainTime is how long requests in flight may take after the signal to stop (R52).
const drainTime = 10 * time.Second

// Server is a running gateway: a Core behind its two listeners.
type Server struct {
	*Core
	sessions *session.Manager
	public   http.Server
	ops      http.Server
	publicAt net.Listener
	opsAt    net.Listener
	cert     *certificate // nil without TLS
	gateway  atomic.Pointer[http.Handler]
	stopping atomic.Bool
	token    identity.Secret // opens the local API

	reloading sync.Mutex // one reload at a time
}

// NewServer opens everything and takes both ports. Run serves until its context
// ends; Close gives everything back when Run is not reached.
func NewServer(ctx context.Context, options Options) (*Server, error) {
	core, err := OpenCore(ctx, options)
	if err != nil {
		return nil, err
	}
	s := &Server{Core: core}
	if err := s.assemble(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) assemble(ctx context.Context) error {
	cfg := s.options.Config
	var err error
	s.sessions, err = session.New(session.Config{
		Store: s.store, Idle: cfg.Sessions.Idle, Absolute: cfg.Sessions.Absolute, Now: s.options.Now,
	})
	if err != nil {
		return err
	}
	handler, err := s.newGateway(cfg, s.rooms.Load())
	if err != nil {
		return err
	}
	s.enter(handler)
	if err := s.listen(ctx, cfg); err != nil {
		return err
	}
	return s.record(ctx, audit.ActionServeStart, map[string]string{"version": s.options.Version})
}

// enter puts a gateway in force. Sessions see each request first, so that a new
// one knows the browser it was started from.
func (s *Server) enter(gateway http.Handler) {
	handler := s.sessions.Wrap(gateway)
	s.gateway.Store(&handler)
}

// listen takes the ports. Limits on headers and slow clients stand here (R58, R59).
func (s *Server) listen(ctx context.Context, cfg *config.Config) error {
	var err error
	quiet := slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug)
	s.public = http.Server{
		Handler:           http.HandlerFunc(s.servePublic),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 60 * time.Second,
		MaxHeaderBytes: 32 << 10, ErrorLog: quiet,
	}
	if cfg.Listen.Cert != "" {
		if s.cert, err = newCertificate(cfg.Listen.Cert, cfg.Listen.Key); err != nil {
			return err
		}
		s.public.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: s.cert.get}
		if cfg.Listen.MinVersion == "1.2" {
			s.public.TLSConfig.MinVersion = tls.VersionTLS12
		}
	}
	s.ops = http.Server{Handler: s.opsHandler(), ReadHeaderTimeout: 5 * time.Second, ErrorLog: quiet}
	var lc net.ListenConfig
	if s.publicAt, err = lc.Listen(ctx, "tcp", cfg.Listen.Address); err != nil {
		return fmt.Errorf("listen.address: %w", err)
	}
	if s.opsAt, err = lc.Listen(ctx, "tcp", cfg.Ops.Address); err != nil {
		return errors.Join(fmt.Errorf("ops.address: %w", err), s.publicAt.Close())
	}
	return nil
}

func (s *Server) servePublic(w http.ResponseWriter, r *http.Request) {
	(*s.gateway.Load()).ServeHTTP(w, r)
}

// PublicAddr is where the public listener stands.
func (s *Server) PublicAddr() net.Addr { return s.publicAt.Addr() }

// OpsAddr is where the operations listener stands.
func (s *Server) OpsAddr() net.Addr { return s.opsAt.Addr() }

// Run serves until ctx ends, then lets requests in flight finish and closes
// everything (R52).
func (s *Server) Run(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, 2)
	var group sync.WaitGroup
	group.Go(func() { s.sessions.Run(working) })
	group.Go(func() { failed <- s.servePort(&s.public, s.publicAt, s.cert != nil) })
	group.Go(func() { failed <- s.servePort(&s.ops, s.opsAt, false) })
	token, err := s.announce()
	if err != nil {
		failed <- err
	}
	s.options.Logger.Info("ready", "public", s.publicAt.Addr().String(), "ops", s.opsAt.Addr().String())

	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	cause = errors.Join(cause, s.shutdown(ctx), os.Remove(token))
	stop()
	group.Wait()
	cause = errors.Join(cause, s.record(context.WithoutCancel(ctx), audit.ActionServeStop, nil))
	return errors.Join(cause, s.Close())
}

func (s *Server) servePort(server *http.Server, at net.Listener, encrypted bool) error {
	var err error
	if encrypted {
		err = server.ServeTLS(at, "", "")
	} else {
		err = server.Serve(at)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// shutdown stops accepting, waits for what is in flight, and answers "not
// ready" meanwhile, so that a balancer looks elsewhere.
func (s *Server) shutdown(ctx context.Context) error {
	s.stopping.Store(true)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	return errors.Join(s.public.Shutdown(drain), s.ops.Shutdown(drain))
}

// Close gives back what NewServer took, without serving.
func (s *Server) Close() error {
	for _, listener := range []net.Listener{s.publicAt, s.opsAt} {
		if listener != nil {
			_ = listener.Close() // closed already after Run
		}
	}
	return s.Core.Close()
}

// Reload puts a new configuration in force without dropping a connection. What
// cannot change while serving is refused, and the old configuration stays (R55).
func (s *Server) Reload(ctx context.Context, cfg *config.Config) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	old := s.options.Config
	for name, pair := range map[string][2]any{
		"listen": {old.Listen, cfg.Listen}, "ops": {old.Ops, cfg.Ops}, "store": {old.Store, cfg.Store},
		"seal": {old.Seal, cfg.Seal}, "audit": {old.Audit, cfg.Audit}, "sessions": {old.Sessions, cfg.Sessions},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			return fmt.Errorf("reload: %s changed; that needs a restart", name)
		}
	}
	if err := s.replace(cfg); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	return s.record(ctx, audit.ActionConfigLoad, nil)
}

func (s *Server) replace(cfg *config.Config) error {
	options := s.options
	options.Config = cfg
	fresh, err := s.furnish(options)
	if err != nil {
		return err
	}
	handler, err := s.newGateway(cfg, fresh)
	if err != nil {
		return err
	}
	if s.cert != nil {
		if err := s.cert.load(); err != nil {
			return err
		}
	}
	s.options = options
	s.rooms.Store(fresh)
	s.enter(handler)
	return nil
}

func (s *Server) record(ctx context.Context, action audit.Action, detail map[string]string) error {
	return recorder{s.log, s.metrics}.Append(ctx, audit.Event{
		Action: action, Outcome: audit.OK, Actor: audit.System, Detail: detail,
	})
}

// certificate serves the newest pair that was loaded.
type certificate struct {
	certFile, keyFile string
	pair              atomic.Pointer[tls.Certificate]
}

func newCertificate(certFile, keyFile string) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	return c, c.load()
}

// load reads the pair; one that does not fit together leaves the old one (R56).
func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("listen.cert: %w", err)
	}
	c.pair.Store(&pair)
	return nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil }
