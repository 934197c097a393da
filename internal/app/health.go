package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	askTime     = 2 * time.Second // bounds one readiness question
	healthEvery = 5 * time.Second // how often the questions are asked when nobody else asks
)

// check is one question that readiness asks.
type check struct {
	name     string
	ask      func(context.Context) error
	advisory bool // shown, but sign-ins can be served all the same
}

// health answers whether sign-ins can be served, and logs each change of the
// answer once: what is wrong and what to do about it, then that it is over.
type health struct {
	checks []check
	logger *slog.Logger
	told   func(check string, failed bool) // hears of every answer

	mu   sync.Mutex
	said map[string]string // check → what was wrong when last asked, empty when nothing was
}

func newHealth(logger *slog.Logger, told func(string, bool), checks ...check) *health {
	return &health{checks: checks, logger: logger, told: told, said: map[string]string{}}
}

// readiness is the body of /readyz.
type readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"` // ok, or what is wrong, without secrets

	Plaintext []string `json:"plaintext,omitempty"` // connections without TLS that the configuration allows (T121)
}

// ask asks every question at once. A caller that goes away does not make an
// answer wrong, so its context is not the questions'.
func (h *health) ask(ctx context.Context) readiness {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
	defer cancel()
	wrong := make([]error, len(h.checks))
	var group sync.WaitGroup
	for i, c := range h.checks {
		group.Go(func() { wrong[i] = c.ask(ctx) })
	}
	group.Wait()
	answer := readiness{Ready: true, Checks: map[string]string{}}
	for i, c := range h.checks {
		answer.Checks[c.name] = "ok"
		if wrong[i] != nil {
			answer.Checks[c.name] = wrong[i].Error()
			answer.Ready = answer.Ready && c.advisory
		}
		h.told(c.name, wrong[i] != nil)
		h.tell(c.name, wrong[i])
	}
	return answer
}

// tell logs a change. A fault whose words change is the same fault.
func (h *health) tell(name string, wrong error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.said[name]
	switch {
	case wrong != nil && was == "":
		h.logger.Error("not ready", "check", name, "error", wrong)
		h.said[name] = wrong.Error()
	case wrong == nil && was != "":
		h.logger.Info("ready again", "check", name)
		h.said[name] = ""
	}
}

// watch asks at once and then again and again, until ctx ends, so that the log
// tells what is wrong even where nobody looks at /readyz (R17).
func (h *health) watch(ctx context.Context) {
	ticker := time.NewTicker(healthEvery)
	defer ticker.Stop()
	for {
		h.ask(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// alive answers while the process can answer at all; it asks nobody (R4).
func alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// ready answers whether sign-ins can be served now.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	answer := s.health.ask(r.Context())
	answer.Plaintext = s.rooms.Load().config.Plaintext()
	if s.stopping.Load() {
		answer.Ready = false
		answer.Checks["serving"] = "stopping: requests in flight are finished, no new ones are taken"
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) // a caller that is gone needs no answer
}
