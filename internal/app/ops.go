package app

import (
	"context"
	"crypto/rand"
	"maps"
	"net/http"
	"time"

	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/internal/localapi"
	"kdgate/internal/sleep"
)

// repairEvery is how long to wait before asking again for imports that died.
const repairEvery = 5 * time.Second

// opsHandler is the operations door: liveness, readiness, metrics, local API.
// Nothing of it is on the public listener (T61).
func (s *Server) opsHandler() http.Handler {
	api := s.localAPI()
	s.token = api.Token
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.Handle(localapi.Prefix, localapi.NewHandler(api))
	return s.recovered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), gateway.Baseline("")) // a browser may look here too (T59)
		mux.ServeHTTP(w, r)
	}))
}

// recovered notes a panic that no room answered and cuts that one connection;
// the process stays (T128). The panic's value may hold request data and is left out.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if cause := recover(); cause != nil {
				s.notePanic(r, cause)
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// localAPI is the door for commands on this machine, with a token of its own.
func (c *Core) localAPI() localapi.Config {
	return localapi.Config{
		Table:  func() localapi.Table { return c.Table() },
		Keeper: c, Recorder: c.log, Doctor: c.checkups,
		Workshop: c.workshopAPI(), Outbox: c.outboxAPI(), Consents: c.consentAPI(),
		Token: identity.NewSecret(rand.Text()), Logger: c.options.Logger,
	}
}

// LocalAPI serves the same door to a command that found no gateway. close ends it.
func (c *Core) LocalAPI(ctx context.Context, user string) (client *localapi.Client, closePort func() error, err error) {
	return localapi.Serve(ctx, c.localAPI(), user)
}

// announce tells commands on this machine where the local API is and what opens
// it. withdraw takes that back.
func (s *Server) announce() (withdraw func() error, err error) {
	dir := DataDir(s.options.Config)
	err = localapi.Announce(dir, s.opsAt.Addr(), s.token)
	return func() error { return localapi.Withdraw(dir) }, err
}

// repair takes back imports that died with their process, as soon as the store
// can be asked.
func (s *Server) repair(ctx context.Context) {
	for {
		err := s.Table().Recover(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if identity.KindOf(err) != identity.Unavailable { // readiness tells that one
			s.options.Logger.Error("an import that died cannot be taken back yet", "error", err)
		}
		_ = sleep.For(ctx, repairEvery) // it ends early with ctx, which ends the loop
	}
}
