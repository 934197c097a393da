package schedule_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/jobs/schedule"
	"kdgate/store"
)

// TestHold proves F51's stretching: what is due by the clock waits as long as it
// is told to and people see why; what a person asks for is not held.
func TestHold(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var ran atomic.Int64
		began := time.Now()
		free := began.Add(3 * time.Hour)
		task := schedule.Task{
			Name: "often", Spec: spec(t, "@every 10m"),
			Do:   func(context.Context, *schedule.Progress) error { ran.Add(1); return nil },
			Hold: func(context.Context) (time.Time, string, error) { return free, "the budget is used", nil },
		}
		s := r.replica("one", task)
		defer r.run(s)()
		pass := func(d time.Duration) { <-time.After(d); synctest.Wait() }
		pass(2 * time.Hour)
		if ran.Load() != 0 {
			t.Errorf("ran %d times while it was held", ran.Load())
		}
		list, err := s.Tasks(t.Context())
		must(t, err)
		if list[0].Held != "the budget is used" || !list[0].Next.Equal(free) {
			t.Errorf("people see %+v", list[0])
		}
		must(t, s.RunNow(t.Context(), admin, "often"))
		pass(time.Minute)
		if ran.Load() != 1 {
			t.Errorf("a person's wish: ran %d times", ran.Load())
		}
		pass(time.Until(free.Add(time.Minute)))
		if ran.Load() != 2 {
			t.Errorf("once it was free: ran %d times", ran.Load())
		}
	})
}

// between is a store in which something happens right after a read, once.
type between struct {
	store.Store
	reads atomic.Int64 // until it happens; negative: it has, or never will
	what  func()
}

func (b *between) Get(ctx context.Context, key string) (store.Entry, error) {
	entry, err := b.Store.Get(ctx, key)
	if b.reads.Add(-1) == 0 {
		b.what()
	}
	return entry, err
}

// TestResumedBetweenReads proves F33: a pause is not made up for, wherever in the
// leader's look at the task the end of the pause falls.
func TestResumedBetweenReads(t *testing.T) {
	for reads := int64(1); reads <= 6; reads++ {
		bubble(t, func(t *testing.T, r *rig) {
			var ran atomic.Int64
			task := schedule.Task{Name: "sync", Spec: spec(t, "@every 1h"), Do: func(context.Context, *schedule.Progress) error {
				ran.Add(1)
				return nil
			}}
			console, b := r.replica("console", task), &between{Store: r.store}
			b.what = func() { must(t, console.Resume(t.Context(), admin, "sync")) }
			b.reads.Store(-1)
			r.store = b
			defer r.run(r.replica("one", task))()
			pass := func(d time.Duration) { <-time.After(d); synctest.Wait() }
			pass(time.Minute)
			must(t, console.Pause(t.Context(), admin, "sync", "month end"))
			pass(5 * time.Hour)
			b.reads.Store(reads)
			pass(50 * time.Minute)
			if b.reads.Load() >= 0 || ran.Load() != 0 {
				t.Errorf("resumed after read %d: ran %d times; %d reads are missing", reads, ran.Load(), b.reads.Load())
			}
			pass(30 * time.Minute)
			if ran.Load() != 1 {
				t.Errorf("resumed after read %d: ran %d times after the pause", reads, ran.Load())
			}
		})
	}
}
