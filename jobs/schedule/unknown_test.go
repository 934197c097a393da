package schedule_test

import (
	"context"
	"testing"
	"time"

	"kdgate/jobs/schedule"
	"kdgate/store/storetest"
)

// TestUnknownMembers proves R54 for the account of a task and for its runs, whoever
// writes them: what a newer release added is there after a run by the clock, after
// one that its replica left behind, and after a pause.
func TestUnknownMembers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		task := schedule.Task{Name: "sync", Spec: spec(t, "@every 1h"), Do: func(ctx context.Context, _ *schedule.Progress) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Minute):
				return nil
			}
		}}
		const account = "schedule/task/sync"
		console := r.replica("console", task)
		stop := r.run(r.replica("one", task))
		<-time.After(65 * time.Minute)
		if got := states(r.runs(console, "sync")); got != "running/1" {
			t.Fatalf("%s", got)
		}
		kept := storetest.Future(t, r.store, account)
		stop()
		kept() // cut off, to be begun again
		stop = r.run(r.replica("two", task))
		<-time.After(time.Minute)
		if got := states(r.runs(console, "sync")); got != "running/2 stopped/1" {
			t.Fatalf("%s", got)
		}
		kept() // begun again
		<-time.After(2 * time.Hour)
		kept() // begun by the clock
		must(t, console.Pause(t.Context(), admin, "sync", "month end"))
		must(t, console.Resume(t.Context(), admin, "sync"))
		kept()
		stop()
	})
}
