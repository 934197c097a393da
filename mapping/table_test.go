package mapping_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping"
	"kdgate/store"
)

// TestParallelCreates proves T17: fifty at once give exactly one row, one
// holder and one success.
func TestParallelCreates(t *testing.T) {
	for name, draft := range map[string]func(i int) mapping.Draft{
		"one person": func(i int) mapping.Draft {
			return mapping.Draft{Key: key("u1"), StaffNumber: fmt.Sprintf("s%d", i)}
		},
		"one login user": func(i int) mapping.Draft {
			return mapping.Draft{Key: key(fmt.Sprintf("u%d", i)), LoginUser: "张三"}
		},
		"one staff number": func(i int) mapping.Draft {
			return mapping.Draft{Key: key(fmt.Sprintf("u%d", i)), StaffNumber: "1001"}
		},
		"look-alike people": func(i int) mapping.Draft {
			return mapping.Draft{Key: key([]string{"zhang1", "Zhang1", "ZHANG1", "ｚhang1"}[i%4]), StaffNumber: fmt.Sprintf("s%d", i)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			var group sync.WaitGroup
			var made atomic.Int64
			for i := range 50 {
				group.Go(func() {
					_, err := r.Create(t.Context(), admin, draft(i))
					if err == nil {
						made.Add(1)
					} else if identity.KindOf(err) != identity.Conflict {
						t.Errorf("create %d: %v", i, err)
					}
				})
			}
			group.Wait()
			rows, _, err := r.List(t.Context(), mapping.Filter{DataCentre: live}, "", 100)
			must(t, err)
			if made.Load() != 1 || len(rows) != 1 {
				t.Errorf("%d creates succeeded, %d rows", made.Load(), len(rows))
			}
			if kept := r.records(audit.Query{Outcome: audit.OK, Action: audit.ActionMappingCreate}); len(kept) < 1 {
				t.Error("the creation was not recorded")
			}
		})
	}
}

// TestUniqueBothWays proves T17 and F20: sharing needs the flag, the flag needs
// an administrator, and every holder shows.
func TestUniqueBothWays(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001", LoginUser: "counter"})
	for _, d := range []mapping.Draft{
		{Key: key("u2"), StaffNumber: "1002", LoginUser: "counter"},
		{Key: key("u2"), StaffNumber: "1001", LoginUser: "other"},
	} {
		_, err := r.Create(ctx, admin, d)
		wantReason(t, err, identity.Conflict, mapping.ReasonTaken)
	}
	shared := mapping.Draft{Key: key("u2"), StaffNumber: "1002", LoginUser: "counter", Shared: true}
	_, err := r.Create(ctx, clerk, shared)
	wantReason(t, err, identity.Forbidden, mapping.ReasonAdminNeeded)
	r.create(shared)
	holders, err := r.ByLoginUser(ctx, live, "counter")
	must(t, err)
	if diff := cmp.Diff([]mapping.Key{key("u1"), key("u2")}, holders); diff != "" {
		t.Error(diff)
	}
	if rows, _, err := r.List(ctx, mapping.Filter{Shared: true}, "", 10); err != nil || len(rows) != 1 {
		t.Errorf("shared rows: %v %v", rows, err)
	}
	no := false
	_, err = r.Change(ctx, admin, key("u2"), mapping.Edit{Version: 1, Shared: &no})
	wantReason(t, err, identity.Conflict, mapping.ReasonTaken)

	// A suspended holder leaves the account free, and does not get it back by force.
	_, err = r.Suspend(ctx, clerk, key("u1"), "left")
	must(t, err)
	_, err = r.Change(ctx, admin, key("u2"), mapping.Edit{Version: 1, Shared: &no})
	must(t, err)
	_, err = r.Reinstate(ctx, admin, key("u1"), 2)
	wantReason(t, err, identity.Conflict, mapping.ReasonTaken)
	other, err := mapping.New(r.cfg)
	must(t, err)
	_, err = other.Create(ctx, admin, mapping.Draft{Key: mapping.Key{DataCentre: "test", Corp: corp, UserID: "u9"}, LoginUser: "counter"})
	must(t, err) // another data centre is another world
}

// TestSecondEditorLoses proves T26: no lost update.
func TestSecondEditorLoses(t *testing.T) {
	r := newRig(t)
	e := r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001"})
	mine, yours := "mine", "yours"
	_, err := r.Change(t.Context(), admin, e.Key(), mapping.Edit{Version: e.Version, Note: &mine})
	must(t, err)
	_, err = r.Change(t.Context(), clerk, e.Key(), mapping.Edit{Version: e.Version, Note: &yours})
	wantReason(t, err, identity.Conflict, mapping.ReasonVersion)
	var group sync.WaitGroup
	var won atomic.Int64
	for i := range 20 {
		group.Go(func() {
			note := fmt.Sprint(i)
			if _, err := r.Change(t.Context(), clerk, e.Key(), mapping.Edit{Version: 2, Note: &note}); err == nil {
				won.Add(1)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 || r.get("u1").Version != 3 {
		t.Errorf("%d editors of one version won, version %d", won.Load(), r.get("u1").Version)
	}
}

// TestChecksDoNotDisturbEditors: a look at Kingdee between an editor's read and
// write is no conflict.
func TestChecksDoNotDisturbEditors(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("1001", user("1", "one"))
	e := r.create(mapping.Draft{Key: key("u1"), UnionID: "union-u1", StaffNumber: "1001", LoginUser: "one"})
	r.store.around(func(_ int, do func() error) error { // between the editor's read and their Commit
		r.store.around(nil)
		r.wantCode("u1", "")
		return do()
	})
	note := "looked at"
	e, err := r.Change(t.Context(), admin, e.Key(), mapping.Edit{Version: e.Version, Note: &note})
	must(t, err)
	if e.Version != 2 || e.Check.LoginUser != "one" || e.KingdeeID != "1" {
		t.Errorf("got %+v", e)
	}
}

// TestHistory proves F20: every version is kept, newest first, with who and why.
func TestHistory(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	e := r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001"})
	for i := range 5 {
		note := fmt.Sprint("note ", i)
		var err error
		e, err = r.Change(ctx, clerk, e.Key(), mapping.Edit{Version: e.Version, Note: &note})
		must(t, err)
	}
	e, err := r.Change(ctx, clerk, e.Key(), mapping.Edit{Version: e.Version})
	if err != nil || e.Version != 6 {
		t.Fatalf("an edit of nothing made version %d (%v)", e.Version, err)
	}
	old, err := r.History(ctx, e.Key(), 0, 3)
	must(t, err)
	older, err := r.History(ctx, e.Key(), old[len(old)-1].Version, 10)
	must(t, err)
	var versions []uint64
	for _, e := range append(old, older...) {
		versions = append(versions, e.Version)
	}
	if diff := cmp.Diff([]uint64{5, 4, 3, 2, 1}, versions); diff != "" {
		t.Error(diff)
	}
	first := older[len(older)-1]
	if first.Action != audit.ActionMappingCreate || first.Changed.By != admin.Name {
		t.Errorf("first version: %+v", first)
	}
	records := r.records(audit.Query{Action: audit.ActionMappingChange, Person: corp + "/u1"})
	if len(records) != 5 || records[0].Before == "" || records[0].After == "" || records[0].Actor != clerk.Name {
		t.Errorf("records: %+v", records)
	}
}

// TestUnknownMembersSurvive proves R54: an older release keeps what a newer wrote.
func TestUnknownMembersSurvive(t *testing.T) {
	r := newRig(t)
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001"})
	at := "mapping/id/live/dingcorp1/u1"
	stored, err := r.store.Get(t.Context(), at)
	must(t, err)
	newer := strings.Replace(string(stored.Value), `"corp"`, `"colour":{"b":2,"a":[1]},"corp"`, 1)
	must(t, r.store.Store.Commit(t.Context(), store.Replace(at, []byte(newer), stored.Version)))
	note := "edited by the older release"
	_, err = r.Change(t.Context(), admin, key("u1"), mapping.Edit{Version: 1, Note: &note})
	must(t, err)
	stored, err = r.store.Get(t.Context(), at)
	must(t, err)
	var members map[string]any
	must(t, json.Unmarshal(stored.Value, &members))
	if diff := cmp.Diff(map[string]any{"b": 2.0, "a": []any{1.0}}, members["colour"]); diff != "" {
		t.Error(diff)
	}
}

// TestDigitOnlyLoginUsers proves T33: one length in a data centre, another only
// with two approvals, and a report that finds what got in.
func TestDigitOnlyLoginUsers(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	r.create(mapping.Draft{Key: key("u1"), LoginUser: "10001"})
	r.create(mapping.Draft{Key: key("u2"), LoginUser: "10002"})
	r.create(mapping.Draft{Key: key("u3"), LoginUser: "1x"})
	_, err := r.Create(ctx, admin, mapping.Draft{Key: key("u4"), LoginUser: "110001"})
	wantReason(t, err, identity.Conflict, mapping.ReasonDigits)
	x := r.follow(r.store)
	r.until(x, mapping.Query{}, "u1", "u2", "u3")
	if found, err := x.Ambiguities(ctx, live); err != nil || len(found) != 0 {
		t.Fatalf("a clean table: %+v %v", found, err)
	}
	e := r.create(mapping.Draft{Key: key("u4"), LoginUser: "110001", Privileged: true})
	if e.Status != mapping.StatusPending {
		t.Errorf("an override in force at once: %+v", e)
	}
	r.create(mapping.Draft{Key: key("u5"), LoginUser: "01x"}) // 1x with permitcount 0
	r.until(x, mapping.Query{}, "u1", "u2", "u3", "u4", "u5")
	found, err := x.Ambiguities(ctx, live)
	must(t, err)
	joined := map[string]bool{}
	for _, a := range found {
		joined[a.Joined] = true
	}
	if !joined[""] || !joined["110001"] || !joined["01x"] {
		t.Errorf("found %+v", found)
	}
	// The length may change once nobody has the old one.
	for i, k := range []mapping.Key{key("u1"), key("u2")} {
		name := fmt.Sprint("letters", i)
		_, err := r.Change(ctx, admin, k, mapping.Edit{Version: 1, LoginUser: &name})
		must(t, err)
	}
	r.create(mapping.Draft{Key: key("u6"), LoginUser: "7654321"})
}

// TestList proves paging and filters.
func TestList(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	for i := range 25 {
		r.create(mapping.Draft{Key: key(fmt.Sprintf("u%02d", i)), StaffNumber: fmt.Sprintf("S%02d", i), Note: "第" + fmt.Sprint(i%5)})
	}
	r.create(mapping.Draft{Key: mapping.Key{DataCentre: "test", Corp: corp, UserID: "u00"}, StaffNumber: "S00"})
	_, err := r.Suspend(ctx, clerk, key("u07"), "left")
	must(t, err)
	seen, cursor := 0, ""
	for {
		rows, next, err := r.List(ctx, mapping.Filter{DataCentre: live, Corp: corp}, cursor, 10)
		must(t, err)
		for _, e := range rows {
			if want := fmt.Sprintf("u%02d", seen); e.UserID != want {
				t.Fatalf("got %s, want %s", e.UserID, want)
			}
			seen++
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if seen != 25 {
		t.Errorf("saw %d rows", seen)
	}
	for want, f := range map[int]mapping.Filter{
		1:  {Status: mapping.StatusSuspended},
		5:  {Text: "第0"},
		2:  {Text: "s00"},
		26: {Owner: mapping.OwnerManual},
		0:  {Corp: "other"},
	} {
		rows, _, err := r.List(ctx, f, "", 100)
		if err != nil || len(rows) != want {
			t.Errorf("%+v: %d rows (%v), want %d", f, len(rows), err, want)
		}
	}
	if _, _, err := r.List(ctx, mapping.Filter{DataCentre: live}, "session/x", 1); identity.KindOf(err) != identity.Invalid {
		t.Errorf("a foreign cursor: %v", err)
	}
}

// TestRefusedDrafts holds creation to its rules.
func TestRefusedDrafts(t *testing.T) {
	r := newRig(t)
	for name, d := range map[string]mapping.Draft{
		"nothing":          {Key: key("u1")},
		"locked and open":  {Key: key("u1"), StaffNumber: "1", Owner: mapping.OwnerLocked},
		"unknown owner":    {Key: key("u1"), StaffNumber: "1", Owner: "nobody"},
		"staff number":     {Key: key("u1"), StaffNumber: "x' or '1'='1"},
		"login user":       {Key: key("u1"), LoginUser: "zhang\u200b1"},
		"userid":           {Key: key(" u1"), StaffNumber: "1"},
		"no userid":        {Key: key(""), StaffNumber: "1"},
		"long userid":      {Key: key(strings.Repeat("u", 65)), StaffNumber: "1"},
		"corp":             {Key: mapping.Key{DataCentre: live, Corp: "a/b", UserID: "u1"}, StaffNumber: "1"},
		"data centre":      {Key: mapping.Key{DataCentre: "", Corp: corp, UserID: "u1"}, StaffNumber: "1"},
		"note of lines":    {Key: key("u1"), StaffNumber: "1", Note: "a\nb"},
		"unionid with NUL": {Key: key("u1"), StaffNumber: "1", UnionID: "a\x00"},
	} {
		if _, err := r.Create(t.Context(), admin, d); identity.KindOf(err) != identity.Invalid || mapping.RefusalOf(err) == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := r.Change(t.Context(), admin, key("nobody"), mapping.Edit{Version: 1})
	wantReason(t, err, identity.NotFound, mapping.ReasonAbsent)
}

// TestLockedRowsAreAdministrators': a mapping administrator may not edit them.
func TestLockedRowsAreAdministrators(t *testing.T) {
	r := newRig(t)
	r.create(mapping.Draft{Key: key("u1"), LoginUser: "one", Owner: mapping.OwnerLocked})
	note := "x"
	_, err := r.Change(t.Context(), clerk, key("u1"), mapping.Edit{Version: 1, Note: &note})
	wantReason(t, err, identity.Forbidden, mapping.ReasonAdminNeeded)
	_, err = r.Change(t.Context(), admin, key("u1"), mapping.Edit{Version: 1, Note: &note})
	must(t, err)
}

// TestEditedAutoRowBecomesManual proves F20: what a person chose stays chosen.
func TestEditedAutoRowBecomesManual(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("u1", user("1", "one"))
	r.wantCode("u1", "")
	number := "1001"
	e, err := r.Change(t.Context(), clerk, key("u1"), mapping.Edit{Version: 1, StaffNumber: &number})
	must(t, err)
	if e.Owner != mapping.OwnerManual || !e.Check.At.IsZero() || e.KingdeeID != "" {
		t.Errorf("got %+v", e)
	}
}

// TestStoreFailsTheCommit: an unknown outcome is KD-501 and is recorded as failed.
func TestStoreFailsTheCommit(t *testing.T) {
	r := newRig(t)
	r.store.around(func(int, func() error) error { return fmt.Errorf("driver: %w", store.ErrUnavailable) })
	_, err := r.Create(t.Context(), admin, mapping.Draft{Key: key("u1"), StaffNumber: "1"})
	if identity.CodeOf(err) != identity.CodeStoreDown || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if failed := r.records(audit.Query{Outcome: audit.Failed}); len(failed) != 1 {
		t.Errorf("%d failed records", len(failed))
	}
}

// TestUniqueUnderRandomOperations proves T16 and T17 as properties: whatever is
// done in whatever order, no two rows in force hold one account or staff number
// unless one is shared, no two ids fold alike, and the indexes say what the rows say.
func TestUniqueUnderRandomOperations(t *testing.T) {
	r, world := newRig(t, func(c *mapping.Config) { c.Recorder, c.Directories = quiet{}, nil }), 0
	rapid.Check(t, func(rt *rapid.T) {
		world++ // a data centre for each case: opening a store for each costs more than the case
		key := func(userid string) mapping.Key {
			return mapping.Key{DataCentre: fmt.Sprint("dc", world), Corp: corp, UserID: userid}
		}
		ids := []string{"u1", "U1", "ｕ1", "u2", "u3", "u4"}
		logins := []string{"", "one", "One", "ONE ", "張三", "张三", "two"}
		numbers := []string{"", "1", "2", "a", "A"}
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(rt *rapid.T) {
				_, _ = r.Create(context.Background(), admin, mapping.Draft{
					Key:       key(rapid.SampledFrom(ids).Draw(rt, "id")),
					LoginUser: rapid.SampledFrom(logins).Draw(rt, "login"), StaffNumber: rapid.SampledFrom(numbers).Draw(rt, "number"),
					Shared: rapid.Bool().Draw(rt, "shared"),
				})
			},
			"change": func(rt *rapid.T) {
				k := key(rapid.SampledFrom(ids).Draw(rt, "id"))
				login, number := rapid.SampledFrom(logins).Draw(rt, "login"), rapid.SampledFrom(numbers).Draw(rt, "number")
				shared := rapid.Bool().Draw(rt, "shared")
				if e, err := r.Get(context.Background(), k); err == nil {
					_, _ = r.Change(context.Background(), admin, k, mapping.Edit{
						Version: e.Version, LoginUser: &login, StaffNumber: &number, Shared: &shared,
					})
				}
			},
			"suspend": func(rt *rapid.T) {
				_, _ = r.Suspend(context.Background(), admin, key(rapid.SampledFrom(ids).Draw(rt, "id")), "")
			},
			"reinstate": func(rt *rapid.T) {
				k := key(rapid.SampledFrom(ids).Draw(rt, "id"))
				if e, err := r.Get(context.Background(), k); err == nil {
					_, _ = r.Reinstate(context.Background(), admin, k, e.Version)
				}
			},
			"import and undo": func(rt *rapid.T) {
				sheet := &mapping.Sheet{}
				for i := range rapid.IntRange(1, 3).Draw(rt, "lines") {
					sheet.Rows = append(sheet.Rows, mapping.SheetRow{
						Line: i + 2, Key: key(rapid.SampledFrom(ids).Draw(rt, "id")),
						LoginUser: rapid.SampledFrom(logins).Draw(rt, "login"), StaffNumber: rapid.SampledFrom(numbers).Draw(rt, "number"),
					})
				}
				plan, err := r.Plan(context.Background(), admin, sheet, nil)
				if err != nil {
					rt.Fatal(err)
				}
				run, err := r.Apply(context.Background(), admin, plan, mapping.ApplyOptions{SkipRefused: true})
				if err != nil {
					rt.Fatal(err)
				}
				if rapid.Bool().Draw(rt, "undo") {
					if _, err := r.Undo(context.Background(), admin, run.ID, nil); err != nil {
						rt.Fatal(err)
					}
				}
			},
			"": func(rt *rapid.T) { r.checkUnique(rt, fmt.Sprint("dc", world)) },
		})
	})
}

// checkUnique compares every two rows, and every row with the indexes.
func (r *rig) checkUnique(rt *rapid.T, dataCentre string) {
	rows, _, err := r.List(context.Background(), mapping.Filter{DataCentre: dataCentre}, "", 1000)
	if err != nil {
		rt.Fatal(err)
	}
	for i, a := range rows {
		for _, b := range rows[i+1:] {
			if strings.EqualFold(a.UserID, b.UserID) {
				rt.Fatalf("look-alike userids %q and %q", a.UserID, b.UserID)
			}
			if a.LoginUser != b.LoginUser && a.LoginUser != "" && strings.EqualFold(a.LoginUser, b.LoginUser) {
				rt.Fatalf("look-alike login users %q and %q", a.LoginUser, b.LoginUser)
			}
			free := a.Status == mapping.StatusSuspended || b.Status == mapping.StatusSuspended || a.Shared || b.Shared
			if !free && (a.LoginUser != "" && a.LoginUser == b.LoginUser || a.StaffNumber != "" && a.StaffNumber == b.StaffNumber) {
				rt.Fatalf("one account for two: %+v and %+v", a, b)
			}
		}
		if a.LoginUser == "" {
			continue
		}
		holders, err := r.ByLoginUser(context.Background(), dataCentre, a.LoginUser)
		if err != nil || len(holders) == 0 {
			rt.Fatalf("%q is held by nobody (%v)", a.LoginUser, err)
		}
	}
}
