package mapping_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/mapping"
	"kdgate/store"
)

// journal is what r's log says of everything so far.
func (r *rig) journal() []mapping.Entry {
	r.Helper()
	j := mapping.NewJournal()
	must(r, r.log.Each(r.Context(), audit.Query{}, j.Take))
	return j.Rows()
}

// TestJournalFollowsTheLog: the log's records alone bring an empty table to
// where another one stands, accounts that changed hands included.
func TestJournalFollowsTheLog(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	for _, u := range []string{"a", "b", "c"} {
		r.create(mapping.Draft{Key: key(u), StaffNumber: "N" + u, LoginUser: "l" + u})
	}
	_, err := r.Suspend(ctx, admin, key("a"), "left")
	must(t, err)
	login := "la" // freed by the suspension
	_, err = r.Change(ctx, admin, key("b"), mapping.Edit{Version: 1, LoginUser: &login})
	must(t, err)
	e, err := r.Suspend(ctx, admin, key("c"), "by mistake")
	must(t, err)
	_, err = r.Reinstate(ctx, admin, key("c"), e.Version)
	must(t, err)

	other := newRig(t)
	rows := r.journal()
	for range 2 { // the second time there is nothing left to do
		for _, row := range rows {
			_, err := other.Reapply(ctx, admin, row)
			must(t, err)
		}
	}
	for _, u := range []string{"a", "b", "c"} {
		want, err := r.Get(ctx, key(u))
		must(t, err)
		got, err := other.Get(ctx, key(u))
		must(t, err)
		if got.Status != want.Status || got.LoginUser != want.LoginUser || got.StaffNumber != want.StaffNumber || got.Version != want.Version {
			t.Errorf("%s: %+v, want %+v", u, got, want)
		}
	}
	for _, row := range rows {
		if changed, err := other.Reapply(ctx, admin, row); err != nil || changed {
			t.Errorf("a third time: changed %v, %v", changed, err)
		}
	}
}

// TestJournalRecords walks records that the log may hold.
func TestJournalRecords(t *testing.T) {
	row := func(version, status string) string {
		return `{"corp":"dingcorp1","userid":"u","data_centre":"live","login_user":"l","owner":"manual","status":"` + status + `","version":` + version + `}`
	}
	record := func(action audit.Action, outcome audit.Outcome, before, after string) audit.Record {
		return audit.Record{Event: audit.Event{
			Action: action, Outcome: outcome, Target: "dingcorp1/u", DataCentre: "live", Before: before, After: after,
		}}
	}
	active, suspended, again := row("1", "active"), row("2", "suspended"), row("3", "active")
	for name, c := range map[string]struct {
		records []audit.Record
		want    mapping.Status // empty: no row
	}{
		"suspended":            {[]audit.Record{record("mapping.suspend", audit.OK, active, suspended)}, mapping.StatusSuspended},
		"suspension failed":    {[]audit.Record{record("mapping.suspend", audit.OK, active, suspended), record("mapping.suspend", audit.Failed, active, suspended)}, mapping.StatusSuspended},
		"resumed":              {[]audit.Record{record("mapping.suspend", audit.OK, active, suspended), record("mapping.resume", audit.OK, suspended, again)}, mapping.StatusActive},
		"resuming failed":      {[]audit.Record{record("mapping.resume", audit.OK, suspended, again), record("mapping.resume", audit.Failed, suspended, again)}, mapping.StatusSuspended},
		"replicas mixed":       {[]audit.Record{record("mapping.resume", audit.OK, suspended, again), record("mapping.suspend", audit.OK, active, suspended)}, mapping.StatusActive},
		"cut for its length":   {[]audit.Record{record("mapping.change", audit.OK, active, suspended[:40]+"…")}, mapping.StatusSuspended},
		"refused":              {[]audit.Record{record("mapping.change", audit.Refused, active, again)}, ""},
		"of something else":    {[]audit.Record{record("signin", audit.OK, active, suspended)}, ""},
		"a run, with no row":   {[]audit.Record{record("mapping.import", audit.OK, "", "")}, ""},
		"nonsense for a row":   {[]audit.Record{{Event: audit.Event{Action: "mapping.change", Outcome: audit.OK, After: "{", Target: "run/1"}}}, ""},
		"a later run of edits": {[]audit.Record{record("mapping.change", audit.OK, active, again)}, mapping.StatusActive},
	} {
		j := mapping.NewJournal()
		for _, r := range c.records {
			must(t, j.Take(r))
		}
		var got mapping.Status
		for _, e := range j.Rows() {
			got = e.Status
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestReapplyInDoubt: a row that cannot be brought to its recorded state opens
// no door; one whose record cannot be read is held if it is there.
func TestReapplyInDoubt(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	mine := r.create(mapping.Draft{Key: key("u"), StaffNumber: "N1", LoginUser: "mine"})
	r.create(mapping.Draft{Key: key("v"), StaffNumber: "N2", LoginUser: "theirs"})
	taken := mine
	taken.Version, taken.LoginUser = 5, "theirs"
	changed, err := r.Reapply(ctx, admin, taken)
	must(t, err)
	if e, err := r.Get(ctx, key("u")); err != nil || !changed || e.Status != mapping.StatusSuspended {
		t.Errorf("an account that is taken: %+v %v", e, err)
	}
	unreadable := mapping.Entry{Corp: corp, UserID: "v", DataCentre: live, Status: mapping.StatusSuspended}
	_, err = r.Reapply(ctx, admin, unreadable)
	must(t, err)
	if e, err := r.Get(ctx, key("v")); err != nil || e.Status != mapping.StatusSuspended {
		t.Errorf("an unreadable record: %+v %v", e, err)
	}
	unreadable.UserID = "nobody"
	if changed, err := r.Reapply(ctx, admin, unreadable); err != nil || changed {
		t.Errorf("of nobody: %v %v", changed, err)
	}
}

// TestRestoredRowsAreAskedAbout proves R64 at the row: after a restore neither
// Kingdee's old word nor a cached one opens it, DingTalk has to know the person,
// and whoever left is suspended for good (T23).
func TestRestoredRowsAreAskedAbout(t *testing.T) {
	var restored time.Time
	asked := 0
	fail := error(nil)
	r := newRig(t, func(c *mapping.Config) {
		c.Restored = func() time.Time { return restored }
		c.AllowCached = time.Hour
		c.Profiles = map[string]mapping.Profiler{corp: profilerFunc(func(_ context.Context, userid string) (identity.Profile, error) {
			asked++
			return identity.Profile{Subject: identity.Subject{Corp: corp, UserID: userid}}, fail
		})}
	})
	r.kingdee.add("N1", kingdee.User{ID: "7", Name: "login"})
	r.create(mapping.Draft{Key: key("u"), StaffNumber: "N1", LoginUser: "login"})
	who := identity.Assertion{Subject: identity.Subject{Corp: corp, UserID: "u"}}
	resolve := func() error { _, err := r.Resolve(t.Context(), who, live); return err }
	must(t, resolve())
	if asked != 0 {
		t.Fatalf("DingTalk was asked %d times without need", asked)
	}
	restored = r.clock.Now().Add(time.Second)
	r.clock.Advance(2 * time.Second)
	fail = identity.Fail(identity.Unavailable, identity.CodeDingTalkDown, "away")
	if err := resolve(); identity.CodeOf(err) != identity.CodeDingTalkDown {
		t.Errorf("DingTalk away: %v", err)
	}
	fail = nil
	must(t, resolve())
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	must(t, resolve())
	if asked != 2 {
		t.Errorf("asked again after the person was confirmed: %d", asked)
	}
	restored = r.clock.Now().Add(time.Second)
	r.clock.Advance(2 * time.Second)
	fail = identity.Fail(identity.NotFound, identity.CodeNotEmployee, "left")
	if err := resolve(); identity.CodeOf(err) != identity.CodeNotEmployee {
		t.Errorf("a leaver: %v", err)
	}
	fail = nil
	if err := resolve(); identity.CodeOf(err) != identity.CodeSuspended {
		t.Errorf("a leaver whom DingTalk knows again: %v", err)
	}
}

type profilerFunc func(ctx context.Context, userid string) (identity.Profile, error)

func (f profilerFunc) Profile(ctx context.Context, userid string) (identity.Profile, error) {
	return f(ctx, userid)
}

// TestUnknownMembersOfHolders proves R54 inside an index: what a newer release
// wrote of one holder stays when an older one writes another.
func TestUnknownMembersOfHolders(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "N1", LoginUser: "pool", Shared: true})
	page, err := r.store.Scan(ctx, "mapping/account/", "", 10)
	must(t, err)
	newer := strings.Replace(string(page[0].Value), `"userid":"u1"`, `"userid":"u1","colour":"blue"`, 1)
	must(t, r.store.Store.Commit(ctx, store.Replace(page[0].Key, []byte(newer), page[0].Version)))
	r.create(mapping.Draft{Key: key("u2"), StaffNumber: "N2", LoginUser: "pool", Shared: true})
	_, err = r.Suspend(ctx, admin, key("u1"), "")
	must(t, err)
	page, err = r.store.Scan(ctx, "mapping/account/", "", 10)
	must(t, err)
	if text := string(page[0].Value); !strings.Contains(text, `"colour":"blue"`) || !strings.Contains(text, "u2") {
		t.Errorf("kept of it: %s", text)
	}
}
