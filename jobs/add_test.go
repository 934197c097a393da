package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

// put adds x in mode and expects an outcome.
func (r *rig) put(mode jobs.Mode, payload string, want jobs.Outcome) {
	r.Helper()
	_, outcome, err := r.Add(r.Context(), jobs.Draft{ID: id("x"), Payload: jsontext.Value(payload), Mode: mode})
	must(r, err)
	if outcome != want {
		r.Fatalf("%s: %s, want %s", payload, outcome, want)
	}
}

func (r *rig) wantPayload(want string) {
	r.Helper()
	if it := r.get("x"); string(it.Payload) != want {
		r.Fatalf("the payload is %s, want %s", it.Payload, want)
	}
}

// TestModes: what a second Add does to an item in each of its states.
func TestModes(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s)
		r.put(jobs.Once, `1`, jobs.Added)
		r.put(jobs.Once, `2`, jobs.AlreadyThere)
		r.wantPayload(`1`)
		r.put(jobs.Supersede, `3`, jobs.Replaced)
		r.wantPayload(`3`)
		w := r.one(r.Queue)
		r.put(jobs.Supersede, `4`, jobs.AlreadyThere)
		r.put(jobs.Renew, `5`, jobs.Queued)
		r.put(jobs.Renew, `6`, jobs.Queued)
		r.wantPayload(`3`)
		must(t, w.Step(t.Context(), "half", nil)) // the newer payload does not disturb the holder
		must(t, w.Complete(t.Context()))
		r.wantState("x", jobs.Ready)
		r.wantPayload(`6`)
		must(t, r.one(r.Queue).Complete(t.Context()))
		r.put(jobs.Supersede, `7`, jobs.AlreadyThere)
		r.put(jobs.Renew, `8`, jobs.Renewed)
		_, err := r.one(r.Queue).Fail(t.Context(), jobs.Permanent(errors.New("no")), jobs.Retry{})
		must(t, err)
		r.put(jobs.Once, `9`, jobs.AlreadyThere)
		r.put(jobs.Renew, `10`, jobs.Renewed)
		if it := r.wantState("x", jobs.Ready); it.Tries != 0 || it.Failure != nil {
			t.Errorf("renewed as %+v", it)
		}
		if n := len(r.take(r.Queue, 5)); n != 1 {
			t.Errorf("%d places in the index", n)
		}
	})
}

// TestSupersedeKeepsSteps: an item that has begun is not given another payload.
func TestSupersedeKeepsSteps(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	r.put(jobs.Supersede, `1`, jobs.Added)
	w := r.one(r.Queue)
	must(t, w.Step(t.Context(), "saved", nil))
	must(t, w.Release(t.Context(), time.Time{}))
	r.put(jobs.Supersede, `2`, jobs.AlreadyThere)
	r.put(jobs.Renew, `3`, jobs.Replaced)
	if it := r.get("x"); it.Step.Name != "" {
		t.Errorf("steps of the old payload: %+v", it.Step)
	}
}

// TestKnown: after KeepDone the item is gone and its key still known; after
// KeepKnown it is forgotten. Renew asks for the work again whatever is known.
func TestKnown(t *testing.T) {
	hand := &clock{wall: time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)}
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db"), Now: hand.Now})
	must(t, err)
	t.Cleanup(func() { must(t, driver.Close()) })
	s, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{[]byte(strings.Repeat("k", store.MinSealKey))}, Now: hand.Now})
	must(t, err)
	r := newRig(t, s, func(c *jobs.Config) {
		c.KeepDone, c.KeepKnown, c.Now, c.Elapsed = time.Hour, 24*time.Hour, hand.Now, hand.Elapsed
	})
	finish := func() { must(t, r.one(r.Queue).Complete(t.Context())) }
	r.put(jobs.Once, `1`, jobs.Added)
	finish()
	hand.Advance(59 * time.Minute)
	r.put(jobs.Once, `2`, jobs.AlreadyThere)
	hand.Advance(2 * time.Minute)
	if _, err := r.Get(t.Context(), id("x")); identity.KindOf(err) != identity.NotFound {
		t.Errorf("after KeepDone: %v", err)
	}
	if counts, err := r.Counts(t.Context()); err != nil || len(counts) != 0 {
		t.Errorf("counts %+v, %v", counts, err)
	}
	r.put(jobs.Once, `3`, jobs.AlreadyKnown)
	r.put(jobs.Supersede, `4`, jobs.AlreadyKnown)
	r.put(jobs.Renew, `5`, jobs.Added)
	finish()
	hand.Advance(25 * time.Hour)
	r.put(jobs.Once, `6`, jobs.Added)
}

// TestAddWith: what is written with an item is written if and only if it is.
func TestAddWith(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s)
		must(t, s.Commit(t.Context(), store.Put("event/1", nil)))
		_, _, err := r.Add(t.Context(), jobs.Draft{ID: id("x")}, store.Create("event/1", nil))
		wantErr(t, err, store.ErrConflict)
		if _, err := r.Get(t.Context(), id("x")); identity.KindOf(err) != identity.NotFound {
			t.Errorf("half of it was written: %v", err)
		}
		_, outcome, err := r.Add(t.Context(), jobs.Draft{ID: id("x")}, store.Create("event/2", nil))
		if must(t, err); outcome != jobs.Added {
			t.Error(outcome)
		}
		if _, err := s.Get(t.Context(), "event/2"); err != nil {
			t.Error(err)
		}
		w := r.one(r.Queue)
		wantErr(t, w.Step(t.Context(), "saved", nil, store.Create("event/1", nil)), store.ErrConflict)
		if it := r.get("x"); it.Step.Name != "" {
			t.Errorf("a step whose other half did not hold: %+v", it.Step)
		}
		must(t, w.Complete(t.Context(), store.Create("event/3", nil)))
	})
}

func TestAddRefuses(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	for name, d := range map[string]jobs.Draft{
		"no kind":     {ID: jobs.ID{Key: "x"}},
		"strange":     {ID: jobs.ID{Kind: "a/b", Key: "x"}},
		"no key":      {ID: id("")},
		"long key":    {ID: id(strings.Repeat("键", 43))},
		"no JSON":     {ID: id("x"), Payload: jsontext.Value(`{`)},
		"two members": {ID: id("x"), Payload: jsontext.Value(`{"a":1,"a":2}`)},
		"too large":   {ID: id("x"), Payload: jsontext.Value(`"` + strings.Repeat("x", jobs.MaxPayload) + `"`)},
	} {
		if _, _, err := r.Add(t.Context(), d); identity.KindOf(err) != identity.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, outcome, err := r.Add(t.Context(), jobs.Draft{ID: id(strings.Repeat("键", 42))}); err != nil || outcome != jobs.Added {
		t.Errorf("the longest key: %s, %v", outcome, err)
	}
	r.one(r.Queue)
}

// TestNewerRelease: members that a newer release wrote survive all that this one
// does to an item (R54).
func TestNewerRelease(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	r.add("x")
	entry, err := r.store.Get(t.Context(), "job/item/bill/x")
	must(t, err)
	newer := strings.Replace(string(entry.Value), `{`, `{"priority":7,`, 1)
	must(t, r.store.Commit(t.Context(), store.Put(entry.Key, []byte(newer))))
	w := r.one(r.Queue)
	must(t, w.Step(t.Context(), "saved", nil))
	must(t, w.Complete(t.Context()))
	entry, err = r.store.Get(t.Context(), "job/item/bill/x")
	must(t, err)
	if !strings.Contains(string(entry.Value), `"priority":7`) {
		t.Errorf("lost from %s", entry.Value)
	}
}

// TestAlone: on the embedded store the leases of a process that died are free at
// once; on a shared one they are not.
func TestAlone(t *testing.T) {
	for _, alone := range []bool{true, false} {
		r := newRig(t, sqliteStore(t), func(c *jobs.Config) { c.Alone = alone })
		r.add("x")
		old := r.one(r.Queue)
		next := r.replica("next")
		if got := len(r.take(next, 1)); (got == 1) != alone {
			t.Errorf("alone %v: took %d", alone, got)
		}
		if err := old.Extend(t.Context()); errors.Is(err, jobs.ErrLost) != alone {
			t.Errorf("alone %v: the old holder: %v", alone, err)
		}
	}
}

// lossy is a store that does what it is told and loses the answer.
type lossy struct{ store.Store }

func (l *lossy) Commit(ctx context.Context, ops ...store.Op) error {
	if err := l.Store.Commit(ctx, ops...); err != nil {
		return err
	}
	return fmt.Errorf("%w: the answer was lost", store.ErrUnavailable)
}

// TestLostAnswers: a write whose answer was lost is recognised, not repeated and
// not reported as failed.
func TestLostAnswers(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s)
		cfg := r.cfg
		cfg.Store = &lossy{s}
		q, err := jobs.New(cfg)
		must(t, err)
		_, outcome, err := q.Add(t.Context(), jobs.Draft{ID: id("x")})
		if must(t, err); outcome != jobs.Added {
			t.Error(outcome)
		}
		if _, err := q.Take(t.Context(), "bill", 1); identity.KindOf(err) != identity.Unavailable {
			t.Errorf("a take whose answer was lost: %v", err)
		}
		r.abandon(r.Queue) // nobody knows that it is held, so nobody extends it
		w := r.one(r.Queue)
		must(t, w.Release(t.Context(), time.Time{}))
		if it := r.get("x"); it.Lease.Fence != 2 || it.Losses != 1 {
			t.Errorf("taken over as %+v", it)
		}
	})
}

// TestBackOff grows threefold with jitter up to its limit.
func TestBackOff(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	r.add("x")
	policy := jobs.Retry{Tries: 10, First: time.Second, Max: 20 * time.Second}
	for _, base := range []time.Duration{1, 3, 9, 20, 20} {
		_, err := r.one(r.Queue).Fail(t.Context(), errors.New("no"), policy)
		must(t, err)
		delay := r.get("x").Due.Sub(r.clock.Now())
		if base *= time.Second; delay < base*3/4 || delay > base*5/4 {
			t.Errorf("waits %s, want about %s", delay, base)
		}
		r.clock.Advance(time.Minute)
	}
}

// TestPatience: a peer that is away uses up no tries; after a day it is enough (R19).
func TestPatience(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	r.add("x")
	away := identity.Fail(identity.Unavailable, identity.CodeKingdeeDown, "refused")
	for range 23 {
		result, err := r.one(r.Queue).Fail(t.Context(), away, jobs.Retry{})
		must(t, err)
		if it := r.get("x"); result != jobs.ResultPutOff || it.Tries != 0 {
			t.Fatalf("%s after %d tries", result, it.Tries)
		}
		r.clock.Advance(time.Hour)
	}
	r.clock.Advance(time.Hour)
	result, err := r.one(r.Queue).Fail(t.Context(), away, jobs.Retry{})
	if must(t, err); result != jobs.ResultDead {
		t.Errorf("after a day: %s", result)
	}
}

// TestAddNew proves R39's half of the list: new items and what goes with them are
// one Commit that reads nothing; the conflict names what was in the way, first
// what the caller expected; and nothing is written where anything was.
func TestAddNew(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s)
		draft := func(key string) jobs.Draft {
			return jobs.Draft{ID: id(key), Payload: jsontext.Value(`1`), Mode: jobs.Renew}
		}
		must(t, r.AddNew(t.Context(), []jobs.Draft{draft("a"), draft("b")}, store.Create("mark/1", nil)))
		r.wantState("a", jobs.Ready)
		r.wantState("b", jobs.Ready)
		for _, c := range []struct {
			what, mark, key, blamed string
		}{
			{"an item is in the way", "mark/2", "a", "job/item/bill/a"},
			{"the caller's expectation is judged first", "mark/1", "a", "mark/1"},
			{"and alone", "mark/1", "c", "mark/1"},
		} {
			err := r.AddNew(t.Context(), []jobs.Draft{draft("new"), draft(c.key)}, store.Create(c.mark, nil))
			if blamed, ok := store.ConflictKey(err); !ok || blamed != c.blamed || identity.KindOf(err) != identity.Conflict {
				t.Errorf("%s: %q, %v", c.what, blamed, err)
			}
			if _, err := r.Get(t.Context(), id("new")); identity.KindOf(err) != identity.NotFound {
				t.Errorf("%s: half of it was written: %v", c.what, err)
			}
		}
		must(t, r.AddNew(t.Context(), []jobs.Draft{draft("new")}, store.Create("mark/2", nil)))
		if err := r.AddNew(t.Context(), []jobs.Draft{{ID: id("bad"), Payload: jsontext.Value(`{`)}}); identity.KindOf(err) != identity.Invalid {
			t.Errorf("no JSON: %v", err)
		}
		var most []jobs.Draft
		for i := range jobs.MaxNew {
			most = append(most, draft(fmt.Sprint("many", i)))
		}
		must(t, r.AddNew(t.Context(), most, store.Create("mark/3", nil), store.Create("mark/4", nil)))
	})
}
