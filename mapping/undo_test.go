package mapping_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping"
)

// TestUndo proves F22: created rows go, changed rows become what they were, a
// suspension and a first sign-in stay.
func TestUndo(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("2", user("22", "two-b"))
	r.create(mapping.Draft{Key: key("kept"), StaffNumber: "1", LoginUser: "one", Note: "first"})
	r.create(mapping.Draft{Key: key("used"), StaffNumber: "2", LoginUser: "two"})
	before := r.content()
	run := r.apply(
		"dingcorp1,kept,live,1b,one-b,locked,second", line("used", "2", "two-b"), line("new1", "3", "one"), line("new2", "4", ""))
	if len(r.content()) != 4 {
		t.Fatalf("after the import: %v", r.content())
	}
	r.wantCode("used", "") // binds and checks
	undone, err := r.Undo(t.Context(), admin, run.ID, nil)
	must(t, err)
	if diff := cmp.Diff(before, r.content()); diff != "" || undone.State != mapping.RunUndone {
		t.Errorf("run %+v: %s", undone, diff)
	}
	if e := r.get("used"); e.UnionID != "union-used" {
		t.Errorf("the hire was forgotten: %+v", e)
	}
	if again, err := r.Undo(t.Context(), admin, run.ID, nil); err != nil || again.State != mapping.RunUndone {
		t.Errorf("undo twice: %+v %v", again, err)
	}
	// The same file again: versions go on, history holds everything.
	r.apply(line("new1", "3", "three"))
	if e := r.get("new1"); e.Version != 3 {
		t.Errorf("recreated at version %d", e.Version)
	}
	old, err := r.History(t.Context(), key("new1"), 0, 10)
	if err != nil || len(old) != 2 || old[0].Status != mapping.StatusRemoved {
		t.Errorf("history %+v %v", old, err)
	}
	if _, err := r.Undo(t.Context(), admin, "nonsense", nil); identity.KindOf(err) != identity.NotFound {
		t.Errorf("undo of no run: %v", err)
	}
	runs, err := r.Runs(t.Context(), 10)
	if err != nil || len(runs) != 2 || runs[1].ID != run.ID {
		t.Errorf("runs %+v %v", runs, err)
	}
}

// TestUndoRefusesWhatPeopleChanged: an undo that would lose an edit does nothing.
func TestUndoRefusesWhatPeopleChanged(t *testing.T) {
	r := newRig(t)
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1", LoginUser: "one"})
	run := r.apply(line("u1", "1", "one-b"), line("u2", "2", "two"), line("u3", "3", "three"))
	note := "edited since"
	_, err := r.Change(t.Context(), clerk, key("u2"), mapping.Edit{Version: 1, Note: &note})
	must(t, err)
	before := r.content()
	_, err = r.Undo(t.Context(), admin, run.ID, nil)
	wantReason(t, err, identity.Conflict, mapping.ReasonChangedSince)
	if diff := cmp.Diff(before, r.content()); diff != "" {
		t.Error(diff)
	}

	// What a row had may be another's by now.
	other := r.apply(line("u1", "1", "one-c"))
	r.create(mapping.Draft{Key: key("u4"), StaffNumber: "4", LoginUser: "one-b"})
	_, err = r.Undo(t.Context(), admin, other.ID, nil)
	wantReason(t, err, identity.Conflict, mapping.ReasonTaken)
	r.create(mapping.Draft{Key: key("u5"), StaffNumber: "5"}) // the table is free again
}

// TestBulkSuspension proves T109 and T23: previewed, one piece, recorded row by
// row; taking it back is a reinstatement, and only an administrator's.
func TestBulkSuspension(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	var keys []mapping.Key
	for i := range 100 {
		e := r.create(mapping.Draft{Key: key(fmt.Sprintf("u%02d", i)), StaffNumber: fmt.Sprint(i)})
		keys = append(keys, e.Key())
	}
	_, err := r.Suspend(ctx, clerk, keys[0], "left before")
	must(t, err)
	before := r.content()
	plan, err := r.PlanSuspend(ctx, clerk, append(keys, key("nobody"), keys[1]), "site closed")
	must(t, err)
	if plan.Change != 99 || plan.Same != 1 || plan.Refused != 2 {
		t.Fatalf("plan: %d %d %d", plan.Change, plan.Same, plan.Refused)
	}
	_, err = r.Apply(ctx, clerk, plan, mapping.ApplyOptions{})
	wantReason(t, err, identity.Conflict, mapping.ReasonRefusedRows)

	plan, err = r.PlanSuspend(ctx, clerk, keys, "site closed")
	must(t, err)
	r.store.around(func(n int, do func() error) error { // the second page fails, once
		if n == 3 {
			return errors.New("disk full")
		}
		return do()
	})
	_, err = r.Apply(ctx, clerk, plan, mapping.ApplyOptions{})
	r.store.around(nil)
	if diff := cmp.Diff(before, r.content()); err == nil || diff != "" {
		t.Fatalf("half a suspension: %v %s", err, diff)
	}

	plan, err = r.PlanSuspend(ctx, clerk, keys, "site closed")
	must(t, err)
	run, err := r.Apply(ctx, clerk, plan, mapping.ApplyOptions{})
	must(t, err)
	if rows, _, err := r.List(ctx, mapping.Filter{Status: mapping.StatusSuspended}, "", 0); err != nil || len(rows) != 100 {
		t.Fatalf("%d suspended (%v)", len(rows), err)
	}
	if e := r.get("u50"); e.Reason != "site closed" || e.Changed.By != clerk.Name {
		t.Errorf("suspended as %+v", e)
	}
	_, err = r.Suspend(ctx, clerk, keys[7], "left") // for a reason of their own
	must(t, err)
	_, err = r.Undo(ctx, clerk, run.ID, nil)
	wantReason(t, err, identity.Forbidden, mapping.ReasonAdminNeeded)
	_, err = r.Undo(ctx, admin, run.ID, nil)
	must(t, err)
	rows, _, err := r.List(ctx, mapping.Filter{Status: mapping.StatusSuspended}, "", 0)
	if err != nil || len(rows) != 2 || rows[0].UserID != "u00" || rows[1].UserID != "u07" {
		t.Errorf("still suspended: %v %v", rows, err)
	}
}

// TestBulkReinstatement proves T23: explicit, an administrator's, and by the
// same rules as for one row.
func TestBulkReinstatement(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	for i := range 3 {
		e := r.create(mapping.Draft{Key: key(fmt.Sprint("u", i)), StaffNumber: fmt.Sprint(i)})
		_, err := r.Suspend(ctx, clerk, e.Key(), "by mistake")
		must(t, err)
	}
	r.create(mapping.Draft{Key: key("heir"), StaffNumber: "2", Shared: true})
	no := false
	_, err := r.Change(ctx, admin, key("heir"), mapping.Edit{Version: 1, Shared: &no})
	must(t, err)
	keys := []mapping.Key{key("u0"), key("u1"), key("u2"), key("heir")}
	_, err = r.PlanReinstate(ctx, clerk, keys)
	wantReason(t, err, identity.Forbidden, mapping.ReasonAdminNeeded)
	plan, err := r.PlanReinstate(ctx, admin, keys)
	must(t, err)
	if plan.Change != 2 || plan.Same != 1 || plan.Refused != 1 || plan.Rows[2].Refusal.Reason != mapping.ReasonTaken {
		t.Fatalf("plan %+v", plan.Rows)
	}
	_, err = r.Apply(ctx, clerk, plan, mapping.ApplyOptions{SkipRefused: true})
	if err == nil || r.get("u0").Status != mapping.StatusSuspended {
		t.Errorf("a clerk applied an administrator's plan: %v", err)
	}
	_, err = r.Apply(ctx, admin, plan, mapping.ApplyOptions{SkipRefused: true})
	must(t, err)
	if r.get("u0").Status != mapping.StatusActive || r.get("u2").Status != mapping.StatusSuspended {
		t.Errorf("got %+v %+v", r.get("u0"), r.get("u2"))
	}
	if runs := r.records(audit.Query{Action: audit.ActionMappingResume}); len(runs) < 3 {
		t.Errorf("%d records", len(runs))
	}
	if _, err := r.Apply(context.Background(), admin, &mapping.Plan{}, mapping.ApplyOptions{}); identity.KindOf(err) != identity.Invalid {
		t.Errorf("a plan from elsewhere: %v", err)
	}
}
