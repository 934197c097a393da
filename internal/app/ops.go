package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/localapi"
)

// askTime bounds one readiness question.
const askTime = 2 * time.Second

// opsHandler is the operations door: liveness, readiness, metrics, local API.
func (s *Server) opsHandler() http.Handler {
	api := s.localAPI()
	s.token = api.Token
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.Handle(localapi.Prefix, localapi.NewHandler(api))
	return mux
}

// localAPI is the door for commands on this machine, with a token of its own.
func (c *Core) localAPI() localapi.Config {
	return localapi.Config{
		Table: func() localapi.Table { return c.Table() },
		Token: identity.NewSecret(rand.Text()), Logger: c.options.Logger,
	}
}

// LocalAPI serves the same door to a command that found no gateway. close ends it.
func (c *Core) LocalAPI(ctx context.Context, user string) (client *localapi.Client, closePort func() error, err error) {
	return localapi.Serve(ctx, c.localAPI(), user)
}

// alive answers while the process can answer at all; it asks nobody (R4).
func alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// readiness is the body of /readyz.
type readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"` // ok, or what is wrong, without secrets
}

// ready answers whether sign-ins can be served now.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	answer := readiness{Ready: !s.stopping.Load(), Checks: map[string]string{}}
	for name, ask := range map[string]func(context.Context) error{
		"store": s.driver.Ping,
		"audit": s.auditReadable,
	} {
		ctx, cancel := context.WithTimeout(r.Context(), askTime)
		err := ask(ctx)
		cancel()
		answer.Checks[name] = "ok"
		if err != nil {
			answer.Ready = false
			answer.Checks[name] = err.Error()
			s.options.Logger.Error("not ready", "check", name, "error", err)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// auditReadable asks the log for its newest record.
func (s *Server) auditReadable(ctx context.Context) error {
	_, err := s.log.Search(ctx, audit.Query{Limit: 1})
	return err
}

// announce writes where the local API is and what opens it, for commands on
// this machine. The path is returned so that the end of the gateway removes it.
func (s *Server) announce() (string, error) {
	path := filepath.Join(DataDir(s.options.Config), localapi.TokenFile)
	text, err := json.Marshal(localapi.Announcement{Address: s.opsAt.Addr().String(), Token: s.token.Reveal()})
	if err != nil {
		return path, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return path, fmt.Errorf("local API: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return path, fmt.Errorf("local API: %w", err)
	}
	return path, nil
}
