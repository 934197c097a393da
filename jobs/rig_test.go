package jobs_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/jobs"
	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/sqlitestore"
	"kdgate/store/storetest"
)

// rig is a queue over a real store. The clocks are hands: wall for due times,
// steady for leases.
type rig struct {
	testing.TB
	*jobs.Queue
	cfg   jobs.Config
	store store.Store
	clock *clock
	log   *recorder
}

const lease = 30 * time.Second

// eachStore runs a test over both drivers.
func eachStore(t *testing.T, test func(t *testing.T, s store.Store)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, sqliteStore(t)) })
	t.Run("redis", func(t *testing.T) { test(t, redisStore(t)) })
}

func sqliteStore(tb testing.TB) store.Store {
	tb.Helper()
	return sqliteAt(tb, filepath.Join(tb.TempDir(), "kdgate.db"))
}

func sqliteAt(tb testing.TB, path string) store.Store {
	tb.Helper()
	driver, err := sqlitestore.Open(tb.Context(), sqlitestore.Config{Path: path})
	must(tb, err)
	tb.Cleanup(func() { must(tb, driver.Close()) })
	return seal(tb, driver)
}

func redisStore(tb testing.TB) store.Store {
	tb.Helper()
	return redisAt(tb, storetest.StartRedis(tb).Addr)
}

func redisAt(tb testing.TB, addr string) store.Store {
	tb.Helper()
	driver, err := redisstore.Open(redisstore.Config{Addrs: []string{addr}})
	must(tb, err)
	tb.Cleanup(func() { must(tb, driver.Close()) })
	return seal(tb, driver)
}

func seal(tb testing.TB, driver store.Driver) store.Store {
	tb.Helper()
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{[]byte(strings.Repeat("k", store.MinSealKey))}})
	must(tb, err)
	return sealed
}

// newRig is a queue with its clocks at rest.
func newRig(tb testing.TB, s store.Store, adjust ...func(*jobs.Config)) *rig {
	tb.Helper()
	r := &rig{TB: tb, store: s, clock: &clock{wall: time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)}, log: &recorder{}}
	r.cfg = jobs.Config{
		Store: s, Recorder: r.log, Owner: "one", Lease: lease,
		Now: r.clock.Now, Elapsed: r.clock.Elapsed,
	}
	for _, f := range adjust {
		f(&r.cfg)
	}
	r.Queue = r.replica("one")
	return r
}

// replica is another process on the same store.
func (r *rig) replica(owner string) *jobs.Queue {
	r.Helper()
	cfg := r.cfg
	cfg.Owner = owner
	q, err := jobs.New(cfg)
	must(r, err)
	return q
}

func id(key string) jobs.ID { return jobs.ID{Kind: "bill", Key: key} }

func (r *rig) add(key string) jobs.Item {
	r.Helper()
	it, outcome, err := r.Add(r.Context(), jobs.Draft{ID: id(key), Payload: []byte(`{"n":1}`)})
	must(r, err)
	if outcome != jobs.Added {
		r.Fatalf("%s: %s", key, outcome)
	}
	return it
}

// take takes up to n bills for q.
func (r *rig) take(q *jobs.Queue, n int) []*jobs.Work {
	r.Helper()
	taken, err := q.Take(r.Context(), "bill", n)
	must(r, err)
	return taken.Work
}

// one takes exactly one bill for q.
func (r *rig) one(q *jobs.Queue) *jobs.Work {
	r.Helper()
	work := r.take(q, 1)
	if len(work) != 1 {
		r.Fatalf("took %d items", len(work))
	}
	return work[0]
}

func (r *rig) get(key string) jobs.Item {
	r.Helper()
	it, err := r.Get(r.Context(), id(key))
	must(r, err)
	return it
}

func (r *rig) wantState(key string, want jobs.State) jobs.Item {
	r.Helper()
	it := r.get(key)
	if it.State != want {
		r.Fatalf("%s is %s, want %s", key, it.State, want)
	}
	return it
}

// abandon lets the holder of every lease be silent for longer than it lasts, as
// q sees it.
func (r *rig) abandon(q *jobs.Queue) {
	r.Helper()
	r.take(q, 1)
	r.clock.Advance(lease + time.Second)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantErr(tb testing.TB, got, want error) {
	tb.Helper()
	if !errors.Is(got, want) {
		tb.Fatalf("got %v, want %v", got, want)
	}
}

// clock is a hand on both times.
type clock struct {
	mu     sync.Mutex
	wall   time.Time
	steady time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *clock) Elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steady
}

// Advance lets time pass.
func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.steady = c.wall.Add(d), c.steady+d
}

// Step sets the wall clock alone.
func (c *clock) Step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

// recorder keeps what was recorded, or fails.
type recorder struct {
	mu     sync.Mutex
	events []audit.Event
	fault  error
}

func (r *recorder) Append(_ context.Context, e audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault == nil {
		r.events = append(r.events, e)
	}
	return r.fault
}

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = err
}

func (r *recorder) actions() []audit.Action {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []audit.Action
	for _, e := range r.events {
		list = append(list, e.Action)
	}
	return list
}

var admin = jobs.Actor{Name: "dingcorp1/manager01", Source: "203.0.113.7", RequestID: "req-1"}
