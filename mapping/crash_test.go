package mapping_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdgate/identity"
	"kdgate/mapping"
)

// TestDiesAnywhere proves R31 for imports and undos: whichever Commit is the
// last that a process makes, and whether or not it heard of its success, the
// next process finds or makes either all of the file or nothing of it.
func TestDiesAnywhere(t *testing.T) {
	lines := []string{line("old1", "1", "one-b"), line("old2", "2", "")}
	for i := range 70 {
		lines = append(lines, line(fmt.Sprintf("u%02d", i), fmt.Sprint("s", i), fmt.Sprintf("login%02d", i)))
	}
	setup := func() *rig {
		r := newRig(t, func(c *mapping.Config) { c.Recorder = quiet{} })
		r.create(mapping.Draft{Key: key("old1"), StaffNumber: "1", LoginUser: "one"})
		r.create(mapping.Draft{Key: key("old2"), StaffNumber: "2-old", LoginUser: "two"})
		return r
	}
	r := setup()
	nothing := r.content()
	plan := r.plan(lines...)
	r.store.around(nil)
	run, err := r.Apply(t.Context(), admin, plan, mapping.ApplyOptions{})
	must(t, err)
	commits := r.store.around(nil)
	everything := r.content()
	_, err = r.Undo(t.Context(), admin, run.ID, nil)
	must(t, err)
	undoCommits := r.store.around(nil)
	if commits < 5 || undoCommits < 5 {
		t.Fatalf("too few commits to die at: %d, %d", commits, undoCommits)
	}
	r = setup()
	for heard := range 2 {
		for n := range max(commits, undoCommits) {
			for _, work := range []string{"import", "undo"} {
				r.dieAt(n, heard == 1, work, lines, nothing, everything)
			}
		}
	}
}

// dieAt lets a process die at its nth Commit, another one die while it
// recovers, and a third one recover; then it looks.
func (r *rig) dieAt(n int, unheard bool, work string, lines []string, nothing, everything map[string]string) {
	r.Helper()
	name := fmt.Sprintf("%s dies at commit %d (done: %v)", work, n, unheard)
	dying := func(at int) func(int, func() error) error {
		return func(i int, do func() error) error {
			if i < at {
				return do()
			}
			if i == at && unheard {
				if err := do(); err != nil {
					return err
				}
			}
			return errDied
		}
	}
	plan := r.plan(lines...)
	var err error
	if work == "undo" {
		run, applyErr := r.Apply(r.Context(), admin, plan, mapping.ApplyOptions{})
		must(r, applyErr)
		r.store.around(dying(n))
		_, err = r.Undo(r.Context(), admin, run.ID, nil)
	} else {
		r.store.around(dying(n))
		_, err = r.Apply(r.Context(), admin, plan, mapping.ApplyOptions{})
	}
	survived := r.store.around(nil) <= n
	if err == nil != survived {
		r.Fatalf("%s: %v", name, err)
	}
	r.clock.Advance(time.Minute)
	r.store.around(dying(2))
	_ = r.Recover(r.Context()) // may die itself
	r.store.around(nil)
	r.clock.Advance(time.Minute)
	must(r, r.Recover(r.Context()))
	got := r.content()
	if !cmp.Equal(got, nothing) && !cmp.Equal(got, everything) {
		r.Fatalf("%s: half way: %s", name, cmp.Diff(nothing, got))
	}
	r.reset(nothing)
}

// reset undoes whatever the newest run left.
func (r *rig) reset(nothing map[string]string) {
	r.Helper()
	runs, err := r.Runs(r.Context(), 1)
	must(r, err)
	if len(runs) == 1 && runs[0].State == mapping.RunDone {
		_, err = r.Undo(r.Context(), admin, runs[0].ID, nil)
		must(r, err)
	}
	if diff := cmp.Diff(nothing, r.content()); diff != "" {
		r.Fatal(diff)
	}
}

// TestLateRiserIsFencedOff: a process that was frozen past its lease writes
// nothing more once another one has taken its run over.
func TestLateRiserIsFencedOff(t *testing.T) {
	r := newRig(t)
	var lines []string
	for i := range 100 {
		lines = append(lines, line(fmt.Sprintf("u%02d", i), "", fmt.Sprintf("login%02d", i)))
	}
	plan := r.plan(lines...)
	r.store.around(func(n int, do func() error) error {
		if n != 2 {
			return do()
		}
		r.store.around(nil)
		r.clock.Advance(time.Minute) // frozen
		must(t, r.Recover(context.Background()))
		return do() // thawed: its Commit is already on its way
	})
	_, err := r.Apply(t.Context(), admin, plan, mapping.ApplyOptions{})
	if err == nil || len(r.content()) != 0 {
		t.Errorf("the late riser: %v, %d rows", err, len(r.content()))
	}
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1"})
}

// TestExpiredGuardHealsItself: nobody has to call Recover by hand.
func TestExpiredGuardHealsItself(t *testing.T) {
	r := newRig(t)
	plan := r.plan(line("u1", "1", "one"))
	r.store.around(func(n int, do func() error) error {
		if n > 1 {
			return errDied
		}
		return do()
	})
	_, err := r.Apply(t.Context(), admin, plan, mapping.ApplyOptions{})
	if identity.CodeOf(err) != identity.CodeStoreDown {
		t.Fatalf("apply: %v", err)
	}
	r.store.around(nil)
	_, err = r.Create(t.Context(), admin, mapping.Draft{Key: key("u2"), StaffNumber: "2"})
	wantReason(t, err, identity.Conflict, mapping.ReasonImportRunning)
	r.clock.Advance(time.Minute)
	r.create(mapping.Draft{Key: key("u2"), StaffNumber: "2"})
	if len(r.content()) != 1 {
		t.Errorf("rows %v", r.content())
	}
}
