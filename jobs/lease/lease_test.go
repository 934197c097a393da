package lease_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/jobs/lease"
	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/sqlitestore"
	"kdgate/store/storetest"
)

const long = 15 * time.Second

func eachStore(t *testing.T, test func(t *testing.T, s store.Store)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, sqliteStore(t)) })
	t.Run("redis", func(t *testing.T) {
		driver, err := redisstore.Open(redisstore.Config{Addrs: []string{storetest.StartRedis(t).Addr}})
		must(t, err)
		t.Cleanup(func() { must(t, driver.Close()) })
		test(t, seal(t, driver))
	})
}

func sqliteStore(t *testing.T) store.Store {
	t.Helper()
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db")})
	must(t, err)
	t.Cleanup(func() { must(t, driver.Close()) })
	return seal(t, driver)
}

func seal(t *testing.T, driver store.Driver) store.Store {
	t.Helper()
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{[]byte(strings.Repeat("k", store.MinSealKey))}})
	must(t, err)
	return sealed
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clock is a hand on one process's two clocks.
type clock struct {
	wall   atomic.Int64
	steady atomic.Int64
}

func (c *clock) advance(d time.Duration) { c.wall.Add(int64(d)); c.steady.Add(int64(d)) }

// replica is a Lease of the same name in a process with a clock of its own.
func replica(t *testing.T, s store.Store, owner string) (*lease.Lease, *clock) {
	t.Helper()
	c := &clock{}
	c.wall.Store(time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC).UnixNano())
	l, err := lease.New(lease.Config{
		Store: s, Name: "schedule", Owner: owner, Long: long,
		Now:     func() time.Time { return time.Unix(0, c.wall.Load()) },
		Elapsed: func() time.Duration { return time.Duration(c.steady.Load()) },
	})
	must(t, err)
	return l, c
}

// TestOneHolder: of fifty who try at once, one gets it, and only its guard holds.
func TestOneHolder(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		var group sync.WaitGroup
		var won atomic.Int64
		for range 50 {
			l, _ := replica(t, s, "r")
			group.Go(func() {
				term, err := l.Try(t.Context())
				switch {
				case err == nil:
					won.Add(1)
					if err := s.Commit(t.Context(), term.Guard(), store.Create("by", []byte(l.Owner()))); err != nil {
						t.Error(err)
					}
				case !errors.Is(err, lease.ErrHeld):
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Errorf("%d hold it", won.Load())
		}
	})
}

// TestFrozenHolder: a holder frozen past its lease commits nothing when it goes
// on, and its successor's token is higher (R35).
func TestFrozenHolder(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		one, _ := replica(t, s, "one")
		two, clock := replica(t, s, "two")
		frozen, err := one.Try(t.Context())
		must(t, err)
		if _, err := two.Try(t.Context()); !errors.Is(err, lease.ErrHeld) {
			t.Fatal(err)
		}
		clock.advance(long - 1)
		if _, err := two.Try(t.Context()); !errors.Is(err, lease.ErrHeld) {
			t.Fatalf("taken before it was silent for its length: %v", err)
		}
		clock.advance(1)
		term, err := two.Try(t.Context())
		must(t, err)
		if term.Token() <= frozen.Token() {
			t.Errorf("token %d after %d", term.Token(), frozen.Token())
		}
		if err := s.Commit(t.Context(), frozen.Guard(), store.Put("late", nil)); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a frozen holder committed: %v", err)
		}
		if err := frozen.Beat(t.Context()); !errors.Is(err, lease.ErrLost) {
			t.Errorf("a frozen holder's heartbeat: %v", err)
		}
		if err := frozen.Check(t.Context()); !errors.Is(err, lease.ErrLost) {
			t.Errorf("a frozen holder's check: %v", err)
		}
		must(t, frozen.Release(t.Context())) // takes nothing from the new holder
		must(t, s.Commit(t.Context(), term.Guard(), store.Put("mine", nil)))
	})
}

// TestHeartbeat: a holder that beats keeps it, its guard unchanged; a heartbeat
// and a takeover at the same moment do not both succeed.
func TestHeartbeat(t *testing.T) {
	s := sqliteStore(t)
	one, _ := replica(t, s, "one")
	two, clock := replica(t, s, "two")
	term, err := one.Try(t.Context())
	must(t, err)
	guard := term.Guard()
	for range 5 {
		if _, err := two.Try(t.Context()); !errors.Is(err, lease.ErrHeld) {
			t.Fatal(err)
		}
		clock.advance(long * 2)
		must(t, term.Beat(t.Context()))
		must(t, s.Commit(t.Context(), guard, store.Put("mine", nil)))
	}
}

// TestClockSteps: the wall clock of either side steps by an hour and nobody
// loses anything; a holder that doubts asks first (R50).
func TestClockSteps(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			s := sqliteStore(t)
			one, mine := replica(t, s, "one")
			two, theirs := replica(t, s, "two")
			term, err := one.Try(t.Context())
			must(t, err)
			_, _ = two.Try(t.Context())
			theirs.wall.Add(int64(step))
			mine.wall.Add(int64(step))
			if _, err := two.Try(t.Context()); !errors.Is(err, lease.ErrHeld) {
				t.Fatalf("a step took it away: %v", err)
			}
			must(t, term.Check(t.Context()))
			theirs.advance(long)
			if _, err := two.Try(t.Context()); !errors.Is(err, lease.ErrHeld) {
				t.Fatalf("the check was no heartbeat: %v", err)
			}
		})
	}
}

// TestRelease: what is given back can be taken at once, under a higher token,
// also when the record was removed behind our back.
func TestRelease(t *testing.T) {
	s := sqliteStore(t)
	one, clock := replica(t, s, "one")
	two, _ := replica(t, s, "two")
	first, err := one.Try(t.Context())
	must(t, err)
	must(t, first.Release(t.Context()))
	if state, err := two.Look(t.Context()); err != nil || state.Owner != "" {
		t.Errorf("after the release %+v, %v", state, err)
	}
	second, err := two.Try(t.Context())
	must(t, err)
	if state, err := one.Look(t.Context()); err != nil || state.Owner != two.Owner() || state.Token != second.Token() {
		t.Errorf("held as %+v, %v", state, err)
	}
	must(t, s.Commit(t.Context(), store.Delete("lease/schedule/term")))
	clock.advance(time.Minute)
	third, err := one.Try(t.Context())
	must(t, err)
	if first.Token() >= second.Token() || second.Token() >= third.Token() {
		t.Errorf("tokens %d, %d, %d", first.Token(), second.Token(), third.Token())
	}
	if err := s.Commit(t.Context(), second.Guard(), store.Put("late", nil)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the guard of a removed term: %v", err)
	}
}

// TestRun: two replicas compete for an hour; one works at a time, and when it
// leaves, the other is there within seconds.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqliteStore(t)
		var working, most atomic.Int64
		entered := make(chan string, 10)
		contend := func(ctx context.Context, owner string) <-chan error {
			l, err := lease.New(lease.Config{Store: s, Name: "schedule", Owner: owner, Long: long})
			must(t, err)
			done := make(chan error, 1)
			go func() {
				done <- l.Run(ctx, func(ctx context.Context, _ *lease.Term) error {
					most.Store(max(most.Load(), working.Add(1)))
					entered <- owner
					<-ctx.Done()
					working.Add(-1)
					return nil
				})
			}()
			return done
		}
		ctx1, stop1 := context.WithCancel(t.Context())
		ctx2, stop2 := context.WithCancel(t.Context())
		done1 := contend(ctx1, "one")
		if got := <-entered; got != "one" {
			t.Fatal(got)
		}
		done2 := contend(ctx2, "two")
		time.Sleep(time.Hour)
		if len(entered) != 0 {
			t.Fatal("the lease moved while its holder lived")
		}
		stop1()
		must(t, <-done1)
		began := time.Now()
		if got := <-entered; got != "two" || time.Since(began) > time.Second {
			t.Errorf("%s took over after %s", got, time.Since(began))
		}
		stop2()
		must(t, <-done2)
		if most.Load() != 1 {
			t.Errorf("%d worked at once", most.Load())
		}
	})
}

// failing is a store that can be cut off.
type failing struct {
	store.Store
	cut atomic.Bool
}

func (f *failing) Commit(ctx context.Context, ops ...store.Op) error {
	if f.cut.Load() {
		return store.ErrUnavailable
	}
	return f.Store.Commit(ctx, ops...)
}

// TestCutOff: a holder that cannot reach the store stops working before another
// may begin, and competes again afterwards.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failing{Store: sqliteStore(t)}
		l, err := lease.New(lease.Config{Store: s, Name: "schedule", Long: long})
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		worked := make(chan time.Duration, 5)
		go func() {
			ended <- l.Run(ctx, func(ctx context.Context, _ *lease.Term) error {
				began := time.Now()
				<-ctx.Done()
				worked <- time.Since(began)
				return context.Cause(ctx)
			})
		}()
		time.Sleep(time.Minute)
		s.cut.Store(true)
		if took := <-worked; took < time.Minute || took >= time.Minute+long {
			t.Errorf("stopped %s after it was cut off", took-time.Minute)
		}
		s.cut.Store(false)
		time.Sleep(time.Minute)
		stop()
		<-ended
		if len(worked) != 1 {
			t.Error("did not compete again")
		}
	})
}

func TestConfig(t *testing.T) {
	for _, cfg := range []lease.Config{{}, {Name: "x"}, {Store: &failing{}}, {Store: &failing{}, Name: strings.Repeat("x", 101)}} {
		if _, err := lease.New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// TestFailoverPutsTheLeaseBack proves R6 and R14 for leases: heartbeats that a
// failover forgot keep nobody from taking the lease when its time is over.
func TestFailoverPutsTheLeaseBack(t *testing.T) {
	redis := storetest.StartRedis(t)
	driver, err := redisstore.Open(redisstore.Config{Addrs: []string{redis.Addr}})
	must(t, err)
	t.Cleanup(func() { must(t, driver.Close()) })
	sealed := seal(t, driver).(*store.Sealed)
	s := store.Accepting{Store: sealed, Renew: sealed.Renew, Prefixes: []string{"lease/"}}
	one, _ := replica(t, s, "one")
	two, second := replica(t, s, "two")
	term, err := one.Try(t.Context())
	must(t, err)
	redis.Do("SAVE") // all that the new master will know
	must(t, term.Beat(t.Context()))
	if _, err := two.Try(t.Context()); !errors.Is(err, lease.ErrHeld) {
		t.Fatal(err)
	}
	redis.Kill()
	redis.Start()
	for driver.Ping(t.Context()) != nil {
		must(t, t.Context().Err())
	}
	if _, err := sealed.Get(t.Context(), "lease/schedule/beat"); !errors.Is(err, store.ErrOutdated) {
		t.Fatalf("nothing was put back: %v", err)
	}
	// The holder died with the master.
	if _, err := two.Try(t.Context()); !errors.Is(err, lease.ErrHeld) {
		t.Errorf("before its time: %v", err)
	}
	second.advance(long)
	if _, err := two.Try(t.Context()); err != nil {
		t.Errorf("nobody can lead any more: %v", err)
	}
}
