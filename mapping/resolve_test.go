package mapping_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/mapping"
	"kdgate/store"
)

func user(id, name string) kingdee.User { return kingdee.User{ID: id, Name: name} }

// TestDerivesAndRemembers proves F5 and F20: userid → staff number → login
// user, kept as an auto row of exactly this hire, byte for byte.
func TestDerivesAndRemembers(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("zhang01", user("100001", "张三（财务） 01"))
	want := identity.Account{DataCentre: live, StaffNumber: "zhang01", LoginUser: "张三（财务） 01"}
	if got := r.wantCode("zhang01", ""); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	e := r.get("zhang01")
	if e.Owner != mapping.OwnerAuto || e.UnionID != "union-zhang01" || e.KingdeeID != "100001" || e.LoginUser != want.LoginUser {
		t.Errorf("remembered %+v", e)
	}
	if got := r.wantCode("zhang01", ""); got != want || r.kingdee.questions() != 1 {
		t.Errorf("second sign-in: %+v after %d questions, want one", got, r.kingdee.questions())
	}
	if made := r.records(audit.Query{Action: audit.ActionMappingCreate}); len(made) != 1 || made[0].After == "" {
		t.Errorf("recorded %+v", made)
	}
}

// TestBrokenLinks proves F5: every broken link has its own code, and nothing is
// ever picked from several (reference 5).
func TestBrokenLinks(t *testing.T) {
	staff := func(change func(*kingdee.Staff)) func(*directory) {
		return func(d *directory) {
			d.add("u1", user("1", "one"))
			change(&d.staff[0])
		}
	}
	for _, c := range []struct {
		name  string
		setup func(*directory)
		code  identity.Code // with a row
		new   identity.Code // without
	}{
		{"no staff", func(*directory) {}, identity.CodeNoStaff, identity.CodeNotMapped},
		{"staff of another spelling", func(d *directory) { d.add("U1", user("1", "one")) }, identity.CodeNoStaff, identity.CodeNotMapped},
		{"two staff", func(d *directory) { d.add("u1", user("1", "one")); d.add("u1") }, identity.CodeManyStaff, identity.CodeManyStaff},
		{"staff forbidden", staff(func(s *kingdee.Staff) { s.Forbidden = true }), identity.CodeStaffForbidden, identity.CodeStaffForbidden},
		{"staff not approved", staff(func(s *kingdee.Staff) { s.Approved = false }), identity.CodeStaffForbidden, identity.CodeStaffForbidden},
		{"no user", func(d *directory) { d.add("u1") }, identity.CodeNoLoginUser, identity.CodeNoLoginUser},
		{"two users", func(d *directory) { d.add("u1", user("1", "one"), user("2", "two")) }, identity.CodeManyUsers, identity.CodeManyUsers},
		{"user forbidden", func(d *directory) { d.add("u1", kingdee.User{ID: "1", Name: "one", Forbidden: true}) }, identity.CodeUserForbidden, identity.CodeUserForbidden},
		{"user locked", func(d *directory) { d.add("u1", kingdee.User{ID: "1", Name: "one", Locked: true}) }, identity.CodeUserForbidden, identity.CodeUserForbidden},
		{"privileged user", func(d *directory) { d.add("u1", user("1", "administrator")) }, identity.CodePrivilegedUser, identity.CodePrivilegedUser},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.setup(r.kingdee)
			r.wantCode("u1", c.new)
			if _, err := r.Get(t.Context(), key("u1")); identity.KindOf(err) != identity.NotFound {
				t.Errorf("a broken chain was remembered: %v", err)
			}
			r.create(mapping.Draft{Key: key("u1"), StaffNumber: "u1"})
			r.wantCode("u1", c.code)
		})
	}
}

// TestManualRowChoosesAmongSeveral: a person may say which of two login users
// it is; kdgate may not.
func TestManualRowChoosesAmongSeveral(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("1001", user("1", "one"), user("2", "two"))
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001", LoginUser: "two"})
	if got := r.wantCode("u1", ""); got.LoginUser != "two" {
		t.Errorf("got %+v", got)
	}
}

// TestForeignLoginUser proves T18: a login user of another person is as good as
// privileged, and is not minted before two administrators approved it.
func TestForeignLoginUser(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("1001", user("1", "one"))
	r.kingdee.add("1002", user("2", "two"))
	e := r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001", LoginUser: "two"})
	r.wantCode("u1", identity.CodePrivilegedUser)
	e, err := r.Approve(t.Context(), admin2, e.Key(), r.get("u1").Version)
	must(t, err)
	r.wantCode("u1", identity.CodePrivilegedUser)
	_, err = r.Approve(t.Context(), admin3, e.Key(), e.Version)
	must(t, err)
	if got := r.wantCode("u1", ""); got.LoginUser != "two" {
		t.Errorf("got %+v", got)
	}
}

// TestTrustTable: where Kingdee does not link users to people, the table alone
// says whose a login user is; its status is still asked (reference 5, R0).
func TestTrustTable(t *testing.T) {
	r := newRig(t, func(c *mapping.Config) { c.TrustTable = true })
	r.kingdee.add("1001")
	r.kingdee.add("elsewhere", user("2", "two"))
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001", LoginUser: "two"})
	r.wantCode("u1", "")
	r.kingdee.set(func(d *directory) { d.users["p-elsewhere"][0].Locked = true })
	r.clock.Advance(11 * time.Minute)
	r.wantCode("u1", identity.CodeUserForbidden)
	r.kingdee.set(func(d *directory) { d.users["p-elsewhere"] = []kingdee.User{user("3", "two")} })
	r.wantCode("u1", identity.CodeIdentityChanged)
}

// TestPrivilegedNeedsTwoOthers proves F10, T100: pending until two
// administrators approved, and neither the author nor the person counts.
func TestPrivilegedNeedsTwoOthers(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("1001", user("16394", "Administrator"))
	ctx := t.Context()
	_, err := r.Create(ctx, clerk, mapping.Draft{Key: key("boss"), StaffNumber: "1001", LoginUser: "administrator"})
	wantReason(t, err, identity.Forbidden, mapping.ReasonPrivileged)
	e := r.create(mapping.Draft{Key: key("manager02"), StaffNumber: "1001", LoginUser: "Administrator"})
	if e.Status != mapping.StatusPending || !e.Privileged {
		t.Fatalf("created %+v", e)
	}
	r.wantCode("manager02", identity.CodePrivilegedUser)
	for _, c := range []struct {
		by     mapping.Actor
		kind   identity.Kind
		reason mapping.Reason
	}{
		{clerk, identity.Forbidden, mapping.ReasonAdminNeeded},
		{admin, identity.Forbidden, mapping.ReasonOwnChange},  // the author
		{admin2, identity.Forbidden, mapping.ReasonOwnChange}, // the person
	} {
		_, err := r.Approve(ctx, c.by, e.Key(), e.Version)
		wantReason(t, err, c.kind, c.reason)
	}
	e, err = r.Approve(ctx, admin3, e.Key(), e.Version)
	must(t, err)
	_, err = r.Approve(ctx, admin3, e.Key(), e.Version)
	wantReason(t, err, identity.Conflict, mapping.ReasonApproved)
	r.wantCode("manager02", identity.CodePrivilegedUser)
	_, err = r.Approve(ctx, mapping.Actor{Name: corp + "/manager04", Admin: true}, e.Key(), e.Version)
	must(t, err)
	r.wantCode("manager02", "")

	// Another account takes the approvals away.
	other := "财务总账"
	e, err = r.Change(ctx, admin, e.Key(), mapping.Edit{Version: r.get("manager02").Version, LoginUser: &other})
	must(t, err)
	if len(e.Approvals) != 0 || e.Status != mapping.StatusPending {
		t.Errorf("after a change of account: %+v", e)
	}
}

// TestAdministratorWithoutStaffRecord: two approvals stand in for the staff
// record that a built-in login user does not have.
func TestAdministratorWithoutStaffRecord(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("somebody", user("16394", "Administrator"))
	e := r.create(mapping.Draft{Key: key("boss"), LoginUser: "Administrator"})
	for _, by := range []mapping.Actor{admin2, admin3} {
		var err error
		e, err = r.Approve(t.Context(), by, e.Key(), e.Version)
		must(t, err)
	}
	if got := r.wantCode("boss", ""); got.LoginUser != "Administrator" {
		t.Errorf("got %+v", got)
	}
}

// TestRecycledUserID proves T19: another unionid under the same userid gets
// nothing until a person gives the row to it.
func TestRecycledUserID(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("u1", user("1", "one"))
	r.wantCode("u1", "")
	for _, unionid := range []string{"union-somebody-else", ""} {
		_, err := r.Resolve(t.Context(), proven("u1", unionid), live)
		if identity.CodeOf(err) != identity.CodeIdentityChanged {
			t.Errorf("unionid %q: %v, want %s", unionid, err, identity.CodeIdentityChanged)
		}
	}
	unionid := "union-somebody-else"
	_, err := r.Change(t.Context(), clerk, key("u1"), mapping.Edit{Version: r.get("u1").Version, UnionID: &unionid})
	must(t, err)
	_, err = r.Resolve(t.Context(), proven("u1", unionid), live)
	must(t, err)
	r.wantCode("u1", identity.CodeIdentityChanged)
}

// TestBindsAtFirstSignIn proves T19 for rows made without a unionid (imports).
func TestBindsAtFirstSignIn(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("1001", user("1", "one"))
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1001", LoginUser: "one", Owner: mapping.OwnerLocked})
	r.wantCode("u1", "")
	if e := r.get("u1"); e.UnionID != "union-u1" || e.Owner != mapping.OwnerLocked {
		t.Fatalf("not bound: %+v", e)
	}
	_, err := r.Resolve(t.Context(), proven("u1", "union-other"), live)
	if identity.CodeOf(err) != identity.CodeIdentityChanged {
		t.Errorf("the next hire got in: %v", err)
	}
	asked := r.kingdee.questions()
	r.wantCode("u1", "")
	if r.kingdee.questions() != asked {
		t.Error("binding took Kingdee's word away")
	}
}

// TestSuspendedStaysOut proves T23, T41, T43: from the moment of the
// suspension nothing resolves, whoever asks and however fresh the last check.
func TestSuspendedStaysOut(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("u1", user("1", "one"))
	r.wantCode("u1", "")
	e, err := r.Suspend(t.Context(), clerk, key("u1"), "left")
	must(t, err)
	for _, door := range []identity.Door{identity.DoorInClient, identity.DoorBrowser, identity.DoorHandover, identity.DoorSAML} {
		a := proven("u1", "union-u1")
		a.Door = door
		if _, err := r.Resolve(t.Context(), a, live); identity.CodeOf(err) != identity.CodeSuspended {
			t.Errorf("door %s: %v", door, err)
		}
	}
	if _, err := r.Suspend(t.Context(), clerk, key("u1"), "left again"); err != nil || r.get("u1").Version != e.Version {
		t.Errorf("suspending twice: %v, version %d", err, r.get("u1").Version)
	}
	note := "back?"
	e, err = r.Change(t.Context(), admin, key("u1"), mapping.Edit{Version: e.Version, Note: &note})
	must(t, err)
	r.wantCode("u1", identity.CodeSuspended)
	_, err = r.Reinstate(t.Context(), clerk, key("u1"), e.Version)
	wantReason(t, err, identity.Forbidden, mapping.ReasonAdminNeeded)
	_, err = r.Reinstate(t.Context(), admin, key("u1"), e.Version)
	must(t, err)
	r.wantCode("u1", "")
}

// TestSuspendedWhileKingdeeIsAsked proves T41: an answer about a row that was
// suspended meanwhile opens nothing.
func TestSuspendedWhileKingdeeIsAsked(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("u1", user("1", "one"))
	r.wantCode("u1", "")
	r.clock.Advance(time.Hour)
	gate, begun := make(chan struct{}), make(chan struct{}, 8)
	r.kingdee.set(func(d *directory) { d.gate, d.begun = gate, begun })
	result := make(chan error)
	go func() {
		_, err := r.resolve("u1")
		result <- err
	}()
	<-begun
	_, err := r.Suspend(t.Context(), clerk, key("u1"), "left")
	must(t, err)
	close(gate)
	if err := <-result; identity.CodeOf(err) != identity.CodeSuspended {
		t.Errorf("got %v, want %s", err, identity.CodeSuspended)
	}
}

// TestKingdeeDown proves R28: fail closed by default, or an old good word for
// as long as the policy says; never "not mapped".
func TestKingdeeDown(t *testing.T) {
	down := identity.Fail(identity.Unavailable, "", "connection refused")
	setup := func(allow time.Duration) *rig {
		r := newRig(t, func(c *mapping.Config) { c.AllowCached = allow })
		r.kingdee.add("u1", user("1", "one"))
		r.wantCode("u1", "")
		r.kingdee.set(func(d *directory) { d.fault = down })
		r.wantCode("u1", "") // still fresh: nobody is asked
		return r
	}
	r := setup(0)
	r.clock.Advance(11 * time.Minute)
	r.wantCode("u1", identity.CodeKingdeeDown)
	r.wantCode("nobody", identity.CodeKingdeeDown)
	r.kingdee.set(func(d *directory) { d.fault = nil })
	r.wantCode("u1", "")

	r = setup(15 * time.Minute)
	r.clock.Advance(11 * time.Minute)
	r.wantCode("u1", "")
	r.clock.Advance(5 * time.Minute)
	r.wantCode("u1", identity.CodeKingdeeDown)

	r = setup(time.Hour)
	r.clock.Advance(11 * time.Minute)
	r.kingdee.set(func(d *directory) {
		d.fault = identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup, "no rights")
	})
	r.wantCode("u1", identity.CodeKingdeeSetup) // an answer, and it is no
	_, err := r.Resolve(t.Context(), proven("u1", "union-u1"), "test")
	if identity.CodeOf(err) != identity.CodeKingdeeSetup {
		t.Errorf("a data centre that is not configured: %v", err)
	}
}

// TestStoreDownIsNotUnmapped proves R7 and R15: the store's silence is KD-501.
func TestStoreDownIsNotUnmapped(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("u1", user("1", "one"))
	for _, fault := range []error{store.ErrUnavailable, store.ErrTampered, context.DeadlineExceeded} {
		r.store.fail(fmt.Errorf("driver: %w", fault))
		_, err := r.resolve("u1")
		if identity.CodeOf(err) != identity.CodeStoreDown || identity.KindOf(err) != identity.Unavailable || !errors.Is(err, fault) {
			t.Errorf("%v: %v", fault, err)
		}
	}
	r.store.fail(nil)
	r.wantCode("u1", "")
}

// TestRowUnderAnotherKey proves T20: a row that is not the one asked for is no answer.
func TestRowUnderAnotherKey(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("u1", user("1", "one"))
	r.kingdee.add("u2", user("2", "two"))
	r.wantCode("u1", "")
	r.wantCode("u2", "")
	one, err := r.store.Get(t.Context(), "mapping/id/live/dingcorp1/u1")
	must(t, err)
	must(t, r.store.Store.Commit(t.Context(), store.Put("mapping/id/live/dingcorp1/u2", one.Value)))
	r.wantCode("u2", identity.CodeStoreDown)
}

// TestBadWordIsAskedAgain: who was unlocked gets in at once, not in ten minutes.
func TestBadWordIsAskedAgain(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("u1", user("1", "one"))
	r.wantCode("u1", "")
	r.kingdee.set(func(d *directory) { d.users["p-u1"][0].Locked = true })
	r.wantCode("u1", "") // Kingdee's word is good for ten minutes
	r.clock.Advance(10 * time.Minute)
	r.wantCode("u1", identity.CodeUserForbidden)
	if e := r.get("u1"); e.Check.Code != identity.CodeUserForbidden || e.Version != 1 {
		t.Errorf("kept %+v at version %d", e.Check, e.Version)
	}
	r.kingdee.set(func(d *directory) { d.users["p-u1"][0].Locked = false })
	r.wantCode("u1", "")
}

// TestRename proves the rule of reference 5: auto rows follow a renamed login
// user, rows of people are told and do not.
func TestRename(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("u1", user("1", "one"))
	r.kingdee.add("u2", user("2", "two"))
	r.wantCode("u1", "")
	r.create(mapping.Draft{Key: key("u2"), StaffNumber: "u2", LoginUser: "two"})
	r.wantCode("u2", "")
	r.kingdee.set(func(d *directory) {
		d.users["p-u1"][0].Name, d.users["p-u2"][0].Name = "one-new", "two-new"
	})
	r.clock.Advance(time.Hour)
	if got := r.wantCode("u1", ""); got.LoginUser != "one-new" || r.get("u1").LoginUser != "one-new" {
		t.Errorf("auto row: %+v", got)
	}
	if old, err := r.ByLoginUser(t.Context(), live, "one"); err != nil || len(old) != 0 {
		t.Errorf("the old name is still held: %v %v", old, err)
	}
	r.wantCode("u2", identity.CodeNoLoginUser)
	if e := r.get("u2"); e.LoginUser != "two" || e.Check.RenamedTo != "two-new" || e.Check.User != mapping.StateRenamed {
		t.Errorf("manual row: %+v", e.Check)
	}
}

// TestDerivedAccountOfAnother proves T17 for derived rows: what another row
// holds is not linked a second time.
func TestDerivedAccountOfAnother(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("u1", user("1", "one"))
	r.kingdee.add("1001", user("9", "nine"))
	r.create(mapping.Draft{Key: key("owner"), StaffNumber: "1001", LoginUser: "ONE"}) // a look-alike is enough
	r.wantCode("u1", identity.CodeNotMapped)
	c, err := r.Explain(t.Context(), proven("u1", "union-u1"), live)
	if identity.CodeOf(err) != identity.CodeNotMapped || c.User.State != mapping.StateTaken {
		t.Errorf("explain: %v %+v", err, c)
	}
}

// TestNoRecordNoMapping proves T111: what cannot be recorded is not linked.
func TestNoRecordNoMapping(t *testing.T) {
	r := newRig(t, func(c *mapping.Config) { c.Recorder = deaf{} })
	r.kingdee.add("u1", user("1", "one"))
	r.wantCode("u1", identity.CodeAuditDown)
	_, err := r.Create(t.Context(), admin, mapping.Draft{Key: key("u2"), StaffNumber: "u2"})
	if identity.CodeOf(err) != identity.CodeAuditDown {
		t.Errorf("create: %v", err)
	}
	if rows, _, err := r.List(t.Context(), mapping.Filter{}, "", 0); err != nil || len(rows) != 0 {
		t.Errorf("unrecorded rows: %v %v", rows, err)
	}
}

// deaf is an audit log whose disk is full.
type deaf struct{}

func (deaf) Append(context.Context, audit.Event) error { return errors.New("no space left on device") }

// quiet keeps nothing, where records are not what is tested.
type quiet struct{}

func (quiet) Append(context.Context, audit.Event) error { return nil }

// BenchmarkResolve is the price of links 1 to 3 on a click: one read of the row.
func BenchmarkResolve(b *testing.B) {
	r := newRig(b)
	r.kingdee.add("u1", user("1", "one"))
	r.wantCode("u1", "")
	a := proven("u1", "union-u1")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Resolve(b.Context(), a, live); err != nil {
			b.Fatal(err)
		}
	}
}
