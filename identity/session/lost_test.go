package session

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"kdgate/store"
)

// rolledBack is a store after a failover that lost its last writes: what it
// still has is older than what this process saw.
type rolledBack struct {
	store.Store
	lost atomic.Bool
}

func (s *rolledBack) Get(ctx context.Context, key string) (store.Entry, error) {
	if s.lost.Load() {
		return store.Entry{}, fmt.Errorf("%w: %q: %w", store.ErrTampered, key, store.ErrOutdated)
	}
	return s.Store.Get(ctx, key)
}

// TestLostWritesEndTheSession proves R6, R14: a session whose latest state is
// lost is over, because the loss may be its end; but its browser can sign in
// again at once, and is not told that the store is down.
func TestLostWritesEndTheSession(t *testing.T) {
	h := newHouse(t)
	s := &rolledBack{Store: h.store.Store}
	h.store.Store = s
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	s.lost.Store(true)
	if status, user := b.me(h); status == http.StatusServiceUnavailable || user != "" {
		t.Errorf("status %d, user %q", status, user)
	}
	who := as("u1").Subject
	if err := h.EndOne(t.Context(), who, handleOf(b.token())); err == nil {
		t.Error("an end that may not have happened was reported as done")
	}
	b.signIn(h, "u1", "")
	s.lost.Store(false)
	b.expect(h, "u1")
}
