package schedule_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/jobs/schedule"
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
