package jobs_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
)

// TestOneKeyIsOneItem: fifty who add the same key at once make one item.
func TestOneKeyIsOneItem(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s)
		var group sync.WaitGroup
		var added, there atomic.Int64
		for range 50 {
			group.Go(func() {
				_, outcome, err := r.Add(t.Context(), jobs.Draft{ID: id("a/b 张三")})
				if err != nil {
					t.Error(err)
				}
				switch outcome {
				case jobs.Added:
					added.Add(1)
				case jobs.AlreadyThere:
					there.Add(1)
				}
			})
		}
		group.Wait()
		if added.Load() != 1 || there.Load() != 49 {
			t.Errorf("%d added, %d there", added.Load(), there.Load())
		}
		if work := r.take(r.Queue, 10); len(work) != 1 || work[0].Item().Key != "a/b 张三" {
			t.Errorf("took %d items", len(work))
		}
	})
}

// TestLife: added, taken, stepped, completed; then known and no longer there.
func TestLife(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s, func(c *jobs.Config) { c.KeepDone, c.KeepKnown = time.Hour, 24*time.Hour })
		r.add("x")
		w := r.one(r.Queue)
		if again := r.take(r.Queue, 5); len(again) != 0 {
			t.Fatalf("a leased item was taken again")
		}
		must(t, w.Step(t.Context(), "fetched", []byte(`{"fid":7}`)))
		must(t, w.Complete(t.Context(), store.Put("bill/x", []byte("saved"))))
		it := r.wantState("x", jobs.Done)
		if it.Step.Name != "fetched" || string(it.Step.Data) != `{"fid":7}` || len(it.History) != 1 {
			t.Errorf("done as %+v", it)
		}
		if _, err := s.Get(t.Context(), "bill/x"); err != nil {
			t.Errorf("what went with the end: %v", err)
		}
		wantErr(t, w.Extend(t.Context()), jobs.ErrLost)
		_, outcome, err := r.Add(t.Context(), jobs.Draft{ID: id("x")})
		if must(t, err); outcome != jobs.AlreadyThere {
			t.Errorf("a done item again: %s", outcome)
		}
	})
}

// TestFrozenHolder: a holder that slept past its lease and was replaced writes
// nothing, whatever it tries (R35).
func TestFrozenHolder(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s)
		other := r.replica("two")
		r.add("x")
		frozen := r.one(r.Queue)
		r.abandon(other)
		w := r.one(other)
		before := r.get("x")
		wantErr(t, frozen.Extend(t.Context()), jobs.ErrLost)
		wantErr(t, frozen.Step(t.Context(), "late", nil, store.Put("late", nil)), jobs.ErrLost)
		wantErr(t, frozen.Complete(t.Context(), store.Put("late", nil)), jobs.ErrLost)
		wantErr(t, frozen.Release(t.Context(), time.Time{}), jobs.ErrLost)
		_, err := frozen.Fail(t.Context(), errors.New("late"), jobs.Retry{Tries: 1})
		wantErr(t, err, jobs.ErrLost)
		if diff := cmp.Diff(before, r.get("x")); diff != "" {
			t.Errorf("a lost holder changed the item: %s", diff)
		}
		if _, err := s.Get(t.Context(), "late"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a lost holder's other writes: %v", err)
		}
		must(t, w.Complete(t.Context()))
		if it := r.wantState("x", jobs.Done); it.History[0].Result != jobs.ResultLost || len(it.History) != 2 {
			t.Errorf("history %+v", it.History)
		}
	})
}

// TestClockStep: the wall clock of a replica goes off by an hour, either way, and
// nobody loses a lease to it (R50).
func TestClockStep(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			r := newRig(t, sqliteStore(t))
			other := r.replica("two")
			r.add("x")
			w := r.one(r.Queue)
			r.take(other, 1)
			r.clock.Step(step)
			r.clock.Advance(lease / 2)
			if stolen := r.take(other, 1); len(stolen) != 0 {
				t.Fatal("a step of the clock took a lease away")
			}
			must(t, w.Extend(t.Context()))
			r.clock.Advance(lease * 3 / 4)
			if stolen := r.take(other, 1); len(stolen) != 0 {
				t.Fatal("an extended lease was taken away")
			}
			r.take(other, 1)
			r.clock.Advance(lease + 1)
			r.one(other)
			wantErr(t, w.Complete(t.Context()), jobs.ErrLost)
		})
	}
}

// TestDead: four attempts fail, then the item is dead, recorded, and replayed to
// go on after its step (F63, R44, T111).
func TestDead(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	r.add("x")
	cause := identity.Fail(identity.Upstream, identity.CodeKingdeeSetup, "Save: %w", errors.New(`Post "https://k/save?token=s3cret": refused`))
	for try := range 4 {
		w := r.one(r.Queue)
		result, err := w.Fail(t.Context(), cause, jobs.Retry{})
		must(t, err)
		if want := map[bool]jobs.Result{true: jobs.ResultDead, false: jobs.ResultFailed}[try == 3]; result != want {
			t.Fatalf("try %d: %s", try, result)
		}
		if more := r.take(r.Queue, 1); len(more) != 0 {
			t.Fatalf("try %d: no back-off", try)
		}
		r.clock.Advance(time.Minute)
	}
	it := r.wantState("x", jobs.Dead)
	if it.Tries != 4 || it.Failure.Code != identity.CodeKingdeeSetup || it.Failure.Words != "upstream" {
		t.Errorf("dead as %+v, %+v", it, it.Failure)
	}
	if want := `KD-402: Save: Post "https://k/save": refused`; it.Failure.Private != want {
		t.Errorf("private words %q, want %q", it.Failure.Private, want)
	}
	if diff := cmp.Diff([]string{"queue.dead"}, texts(r.log.actions())); diff != "" {
		t.Error(diff)
	}
}

func texts[T ~string](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}

// TestManyAreDrainedByMany: four takers of two replicas empty a queue, each item once.
func TestManyAreDrainedByMany(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s)
		const n = 200
		for i := range n {
			r.add(fmt.Sprint(i))
		}
		var group sync.WaitGroup
		var mu sync.Mutex
		seen := map[string]int{}
		for i := range 4 {
			q := []*jobs.Queue{r.Queue, r.replica("two")}[i%2]
			group.Go(func() {
				for range 1000 {
					taken, err := q.Take(t.Context(), "bill", 8)
					if err != nil {
						t.Error(err)
						return
					}
					if len(taken.Work) == 0 && taken.Next.IsZero() {
						return
					}
					for _, w := range taken.Work {
						if err := w.Complete(t.Context()); err != nil {
							t.Error(err)
						}
						mu.Lock()
						seen[w.Item().Key]++
						mu.Unlock()
					}
				}
			})
		}
		group.Wait()
		for key, times := range seen {
			if times != 1 {
				t.Errorf("%s was done %d times", key, times)
			}
		}
		if len(seen) != n {
			t.Errorf("%d of %d done", len(seen), n)
		}
	})
}
