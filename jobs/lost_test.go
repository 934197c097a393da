package jobs_test

import (
	"errors"
	"testing"
	"time"

	"kdgate/jobs"
	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/storetest"
)

// TestFailoverPutsTheListBack proves R6, R14 and R30 for the work list: a failover
// that forgot takes, steps and ends puts items and their places back; the replica
// that had seen them gone goes on with all of them, those that were done come
// again, and who held one before the failover holds it no more.
func TestFailoverPutsTheListBack(t *testing.T) {
	redis := storetest.StartRedis(t)
	driver, err := redisstore.Open(redisstore.Config{Addrs: []string{redis.Addr}})
	must(t, err)
	t.Cleanup(func() { must(t, driver.Close()) })
	sealed := seal(t, driver).(*store.Sealed)
	failOver := func() {
		t.Helper()
		redis.Kill()
		redis.Start()
		for driver.Ping(t.Context()) != nil {
			must(t, t.Context().Err())
		}
	}
	r := newRig(t, store.Accepting{Store: sealed, Renew: sealed.Renew, Prefixes: []string{"job/"}})
	for _, key := range []string{"done", "held", "waiting"} {
		r.add(key)
	}
	redis.Do("SAVE") // all that the new master will know
	held := r.take(r.Queue, 2)
	for _, w := range held {
		must(t, w.Step(t.Context(), "half", nil))
	}
	must(t, held[0].Complete(t.Context()))
	r.add("lost")
	failOver()
	if _, err := sealed.Scan(t.Context(), "job/at/", "", 10); !errors.Is(err, store.ErrOutdated) {
		t.Fatalf("nothing was put back: %v", err)
	}
	if err := held[1].Step(t.Context(), "late", nil); !errors.Is(err, jobs.ErrLost) {
		t.Errorf("it is still held: %v", err)
	}
	r.clock.Advance(time.Millisecond)
	again := r.take(r.Queue, 10)
	if len(again) != 3 {
		t.Fatalf("%d of three items are taken again", len(again))
	}
	if err := held[1].Complete(t.Context()); !errors.Is(err, jobs.ErrLost) {
		t.Errorf("whoever held it before the failover ends it: %v", err)
	}
	for _, w := range again {
		must(t, w.Complete(t.Context()))
	}
	for _, key := range []string{"done", "held", "waiting"} {
		r.wantState(key, jobs.Done)
	}
	r.add("lost") // what was lost can come again
	must(t, r.one(r.Queue).Complete(t.Context()))
}
