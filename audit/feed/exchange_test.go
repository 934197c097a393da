package feed_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/audit/feed"
	"kdgate/identity"
	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/sqlitestore"
	"kdgate/store/storetest"
)

func sealed(t *testing.T, driver store.Driver) store.Store {
	t.Helper()
	s, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// join starts a replica's exchange and gives what stops it.
func join(t *testing.T, s store.Store, l *audit.Log, replica string) (x *feed.Exchange, stop func()) {
	t.Helper()
	x = feed.NewExchange(feed.ExchangeConfig{Store: s, Chain: l, Replica: replica})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the exchange ended with %v", err)
		}
		done <- context.Canceled
	}
	t.Cleanup(stop)
	return x, stop
}

// forgetful is a store after a failover that lost the newest tip: what it has is
// older than what was seen, until it is renewed.
type forgetful struct {
	store.Store
	renewed atomic.Bool
}

// Get implements store.Store.
func (f *forgetful) Get(ctx context.Context, key string) (store.Entry, error) {
	if strings.HasPrefix(key, "audit/tip/") && !f.renewed.Load() {
		return store.Entry{}, fmt.Errorf("%w: %q: %w", store.ErrTampered, key, store.ErrOutdated)
	}
	return f.Store.Get(ctx, key)
}

// TestExchangeAfterFailover proves R6 for the exchange: a tip that a failover put
// back is renewed by whose it is, and records go on; without that it says so.
func TestExchangeAfterFailover(t *testing.T) {
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "s.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	s := sealed(t, driver)
	for name, renews := range map[string]bool{"renewed": true, "left": false} {
		lossy, chain := &forgetful{Store: s}, openLog(t, name)
		var renewed atomic.Value
		config := feed.ExchangeConfig{Store: lossy, Chain: chain, Replica: name}
		if renews {
			config.Renew = func(_ context.Context, key string) error {
				renewed.Store(key)
				lossy.renewed.Store(true)
				return nil
			}
		}
		x := feed.NewExchange(config)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		_ = x.Run(ctx) // ends with its context
		cancel()
		if failed := errors.Is(x.Err(), store.ErrOutdated); failed == renews {
			t.Errorf("%s: %v", name, x.Err())
		}
		if key := renewed.Load(); renews && key != "audit/tip/"+name {
			t.Errorf("%s: renewed %v", name, key)
		}
	}
}

// holds waits until a replica holds so much of another's chain.
func holds(t *testing.T, l *audit.Log, replica string, want uint64, x *feed.Exchange) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for {
		held, err := l.Held(t.Context(), replica)
		if err != nil {
			t.Fatal(err)
		}
		if held == want {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("holds %d of %s, not %d; %v", held, replica, want, x.Err())
		}
	}
}

// TestExchange proves F41 for replicas: three of them hold each other's records
// with either store; one that comes late asks for what has left the store.
func TestExchange(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) store.Driver{
		"sqlite": func(t *testing.T) store.Driver {
			driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db")})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = driver.Close() })
			return driver
		},
		"redis": func(t *testing.T) store.Driver {
			redis, err := redisstore.FromURL(identity.NewSecret("redis://" + storetest.StartRedis(t).Addr))
			if err != nil {
				t.Fatal(err)
			}
			driver, err := redisstore.Open(redis)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = driver.Close() })
			return driver
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sealed(t, open(t))
			one, two, late := openLog(t, "node1"), openLog(t, "node2"), openLog(t, "node3")
			x1, _ := join(t, s, one, "node1")
			x2, stop := join(t, s, two, "node2")
			write(t, one, 30)
			write(t, two, 20)
			holds(t, two, "node1", 30, x2)
			holds(t, one, "node2", 20, x1)
			stop()
			write(t, one, 5)
			x2, _ = join(t, s, two, "node2")
			holds(t, two, "node1", 35, x2)
			forget(t, s)
			x3, _ := join(t, s, late, "node3")
			holds(t, late, "node1", 35, x3)
			holds(t, late, "node2", 20, x3)
			for _, x := range []*feed.Exchange{x1, x2, x3} {
				if err := x.Err(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// forget takes the parcels out of the store, as their end of life does.
func forget(t *testing.T, s store.Store) {
	t.Helper()
	page, err := s.Scan(t.Context(), "audit/parcel/", "", store.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range page {
		if err := s.Commit(t.Context(), store.Delete(entry.Key)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTwoUnderOneName: a second gateway with the name of another, or one whose
// folder was emptied, is told, and sends nothing that would fork the chain.
func TestTwoUnderOneName(t *testing.T) {
	t.Parallel()
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	s := sealed(t, driver)
	old, emptied, reader := openLog(t, "node1"), openLog(t, "node1"), openLog(t, "node2")
	_, stop := join(t, s, old, "node1")
	write(t, old, 10)
	xr, _ := join(t, s, reader, "node2")
	holds(t, reader, "node1", 10, xr)
	stop()
	write(t, emptied, 2)
	x, _ := join(t, s, emptied, "node1")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); x.Err() == nil; {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("nothing was told")
		}
	}
	if !strings.Contains(x.Err().Error(), "two gateways use one name") {
		t.Error(x.Err())
	}
}
