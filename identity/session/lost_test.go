package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/storetest"
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

// TestLostWritesKeepNoSessionOpen proves R14 and T40 on a Redis that forgot the last
// moment: all sessions of a person end, also one whose record and place were put
// back, and also where another replica never saw that they were newer.
func TestLostWritesKeepNoSessionOpen(t *testing.T) {
	redis := storetest.StartRedis(t)
	open := func() *store.Sealed {
		driver, err := redisstore.Open(redisstore.Config{Addrs: []string{redis.Addr}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = driver.Close() })
		sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{make([]byte, store.MinSealKey)}})
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	sealed := open()
	h := replica(t, store.Accepting{Store: sealed, Renew: sealed.Renew, Prefixes: []string{indexPrefix}}, newClock())
	gone, stays := &browser{t: t}, &browser{t: t}
	gone.signIn(h, "u1", "")
	stays.signIn(h, "u1", "")
	who := as("u1").Subject
	redis.Do("SAVE") // all that the new master will know
	if err := h.EndOne(t.Context(), who, handleOf(gone.token())); err != nil {
		t.Fatal(err)
	}
	redis.Kill()
	redis.Start()
	for {
		if _, err := sealed.ScanKeys(t.Context(), "", "", 1); err == nil {
			break
		}
	}
	if _, err := sealed.Get(t.Context(), recordPrefix+hashOf(gone.token())); !errors.Is(err, store.ErrOutdated) {
		t.Fatalf("nothing was put back: %v", err)
	}
	if n, err := h.EndAll(t.Context(), who); n != 2 || err != nil {
		t.Errorf("%d ended: %v", n, err)
	}
	other := replica(t, open(), newClock())
	for _, b := range []*browser{gone, stays} {
		if _, user := b.me(other); user != "" {
			t.Errorf("%s is still in at another replica", user)
		}
	}
}
