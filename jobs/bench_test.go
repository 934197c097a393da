package jobs_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"kdgate/jobs"
	"kdgate/store"
)

// drain adds b.N items before the clock starts and has the replicas work them.
func drain(b *testing.B, s store.Store, replicas, workers int) {
	b.Helper()
	r := newRig(b, s, func(c *jobs.Config) { c.Now, c.Elapsed = nil, nil })
	fill(b, r.Queue, b.N)
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{})
	handler := jobs.HandlerFunc(func(context.Context, *jobs.Work) error {
		if left.Add(-1) == 0 {
			close(done)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(b.Context())
	var group sync.WaitGroup
	b.ResetTimer()
	for i := range replicas {
		pool, err := jobs.NewPool(jobs.PoolConfig{
			Queue: r.replica(fmt.Sprint(i)),
			Kinds: []jobs.Kind{{Name: "bill", Workers: workers, Handler: handler}},
		})
		must(b, err)
		group.Go(func() { _ = pool.Run(ctx) })
	}
	<-done
	b.StopTimer()
	cancel()
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
}

// fill adds n items from many hands.
func fill(tb testing.TB, q *jobs.Queue, n int) {
	tb.Helper()
	var group sync.WaitGroup
	var next atomic.Int64
	for range 32 {
		group.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if _, _, err := q.Add(tb.Context(), jobs.Draft{ID: id(fmt.Sprintf("%08d", i)), Payload: []byte(`{"corp":"dingcorp1","instance":"0123456789abcdef"}`)}); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// BenchmarkDrain: items a second from a full queue to done (R29 wants 50).
func BenchmarkDrain(b *testing.B) {
	for _, c := range []struct {
		name     string
		open     func(testing.TB) store.Store
		replicas int
	}{{"sqlite", sqliteStore, 1}, {"redis", redisStore, 1}, {"redis-two-replicas", redisStore, 2}} {
		b.Run(c.name, func(b *testing.B) { drain(b, c.open(b), c.replicas, 16) })
	}
}

// BenchmarkAdd: items a second onto the list.
func BenchmarkAdd(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		r := newRig(b, sqliteStore(b))
		b.ResetTimer()
		fill(b, r.Queue, b.N)
	})
	b.Run("redis", func(b *testing.B) {
		r := newRig(b, redisStore(b))
		b.ResetTimer()
		fill(b, r.Queue, b.N)
	})
}

// TestLongQueue: a queue of 100,000 items costs no memory of ours, is counted,
// and its head is found at once (R29). The default is a tenth of it.
func TestLongQueue(t *testing.T) {
	n := 10_000
	if *long {
		n = 100_000
	}
	r := newRig(t, redisStore(t))
	fill(t, r.Queue, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	counts, err := r.Counts(t.Context())
	must(t, err)
	if len(counts) != 1 || counts[0].N != n {
		t.Errorf("counted %+v", counts)
	}
	if work := r.take(r.Queue, jobs.MaxTake); len(work) != jobs.MaxTake {
		t.Errorf("took %d", len(work))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}
