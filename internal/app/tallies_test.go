package app

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"kdgate/store"
	"kdgate/store/sqlitestore"
)

// silentStore is a store that can stop to answer.
type silentStore struct {
	store.Store
	commits int
	silent  bool
}

func (s *silentStore) Get(ctx context.Context, key string) (store.Entry, error) {
	if s.silent {
		return store.Entry{}, store.ErrUnavailable
	}
	return s.Store.Get(ctx, key)
}

func (s *silentStore) Commit(ctx context.Context, ops ...store.Op) error {
	s.commits++
	return s.Store.Commit(ctx, ops...)
}

// TestTallies proves F92: the month's count is one for all replicas, outlives
// the process, costs few writes, and loses nothing while the store is away.
func TestTallies(t *testing.T) {
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db")})
	must(t, err)
	defer func() { must(t, driver.Close()) }()
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{[]byte("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk")}})
	must(t, err)
	shared := &silentStore{Store: sealed}
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	one, two := newTallies(shared, clock), newTallies(shared, clock)
	add := func(c *tallies, n, want int64) {
		t.Helper()
		if got, err := c.Add(t.Context(), "dingcorp1/calls/2026-11", n); err != nil || got != want {
			t.Errorf("%d, %v; want %d", got, err, want)
		}
	}
	for i := range int64(40) {
		add(one, 1, i+1)
	}
	if shared.commits != 1 {
		t.Errorf("%d writes for 40 calls", shared.commits)
	}
	add(two, 0, 1) // what the first write told
	now = now.Add(tallyEvery)
	add(one, 1, 41)
	add(two, 2, 43)
	add(one, 0, 43)
	add(two, 3, 46)
	must(t, two.close())
	add(newTallies(shared, clock), 0, 46)

	shared.silent = true
	if _, err := one.Add(t.Context(), "dingcorp1/calls/2026-11", 0); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a store that is away: %v", err)
	}
	now = now.Add(tallyEvery)
	if _, err := one.Add(t.Context(), "dingcorp1/calls/2026-11", 5); err == nil {
		t.Error("counted without a store")
	}
	shared.silent = false
	add(one, 5, 51) // the caller comes with the same five again
}
