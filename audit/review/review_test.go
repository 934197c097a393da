package review_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/audit/review"
	"kdgate/identity"
	"kdgate/mapping"
)

const corp = "dingcorp1"

// table is the rows that a mapping table would list, two a page.
type table []mapping.Entry

func (t table) List(_ context.Context, f mapping.Filter, cursor string, _ int) ([]mapping.Entry, string, error) {
	var page []mapping.Entry
	for _, row := range t {
		if row.UserID > cursor && (!f.Privileged || row.Privileged) && (f.Status == "" || row.Status == f.Status) {
			if page = append(page, row); len(page) == 2 {
				return page, row.UserID, nil
			}
		}
	}
	return page, "", nil
}

// desk is a reviewer over a real log whose clock the test sets.
type desk struct {
	*testing.T
	log *audit.Log
	now time.Time
	review.Reviewer
}

func newDesk(t *testing.T, rows ...mapping.Entry) *desk {
	t.Helper()
	d := &desk{T: t, now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return d.now }
	var err error
	d.log, err = audit.Open(t.Context(), audit.Config{Dir: t.TempDir(), Replica: "a", Key: []byte(strings.Repeat("k", 32)), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.log.Close() })
	d.Reviewer = review.Reviewer{Log: d.log, Rows: table(rows), Now: clock}
	return d
}

// at puts an event on record at a time of 1 May 2026 UTC, or a day of its own.
func (d *desk) at(stamp string, e audit.Event) {
	d.Helper()
	when, err := time.Parse("2006-01-02 15:04:05", stamp)
	if err != nil {
		d.Fatal(err)
	}
	d.now = when
	if e.Outcome == "" {
		e.Outcome = audit.OK
	}
	if err := d.log.Append(d.Context(), e); err != nil {
		d.Fatal(err)
	}
}

// month makes a sheet of May 2026.
func (d *desk) month(kind review.Kind) review.Sheet {
	d.Helper()
	d.now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	s, err := d.Make(d.Context(), kind, review.Period{From: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), To: d.now})
	if err != nil {
		d.Fatal(err)
	}
	for _, row := range s.Rows {
		if len(row) != len(s.Columns) {
			d.Fatalf("%d cells under %d columns: %q", len(row), len(s.Columns), row)
		}
	}
	return s
}

func row(userid string, change func(*mapping.Entry)) mapping.Entry {
	e := mapping.Entry{
		DataCentre: "live", Corp: corp, UserID: userid, LoginUser: "user" + userid, Status: mapping.StatusActive,
		Created: mapping.Stamp{By: "x", At: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	if change != nil {
		change(&e)
	}
	return e
}

func mint(userid string) audit.Event {
	return audit.Event{Action: audit.ActionMint, Actor: corp + "/" + userid, Target: "user" + userid, DataCentre: "live"}
}

// F43: "left 14:02:11, last door closed 14:02:14"; the newest try counts, one
// that did not end is open, and whoever came in afterwards is shown as such.
func TestLeavers(t *testing.T) {
	d := newDesk(t)
	cut := func(userid string, outcome audit.Outcome, detail map[string]string) audit.Event {
		return audit.Event{Action: "directory.leave", Outcome: outcome, Actor: audit.System, Target: corp + "/" + userid, Detail: detail}
	}
	d.at("2026-05-04 06:02:12", cut("1", audit.Failed, map[string]string{"happened": "2026-05-04T06:02:11.000Z", "began": "2026-05-04T06:02:11.500Z", "mapping_frozen": "2026-05-04T06:02:12.000Z"}))
	d.at("2026-05-04 06:02:14", cut("1", audit.OK, map[string]string{
		"happened": "2026-05-04T06:02:11.000Z", "mapping_frozen": "2026-05-04T06:02:12.000Z", "sessions_ended": "2026-05-04T06:02:13.000Z",
		"sessions": "2", "kingdee_forbidden": "2026-05-04T06:02:14.000Z",
	}))
	d.at("2026-05-05 00:00:00", cut("2", audit.Failed, map[string]string{"began": "2026-05-05T00:00:00.000Z", "mapping_frozen": "2026-05-05T00:00:00.000Z"}))
	d.at("2026-05-06 00:00:01", cut("3", audit.OK, map[string]string{"began": "2026-05-06T00:00:00.000Z", "mapping_frozen": "2026-05-06T00:00:01.000Z"}))
	d.at("2026-05-07 00:00:00", mint("3"))
	d.at("2026-04-01 00:00:00", cut("4", audit.OK, nil)) // another month
	s := d.month(review.Leavers)
	got := map[string][]string{}
	for _, r := range s.Rows {
		got[r[0]] = r
	}
	if len(s.Rows) != 3 {
		t.Fatalf("%q", s.Rows)
	}
	one := got[corp+"/1"]
	want := []string{corp + "/1", "2026-05-04 14:02:11 UTC+08:00", "2026-05-04 14:02:12 UTC+08:00", "2026-05-04 14:02:13 UTC+08:00", "2", "2026-05-04 14:02:14 UTC+08:00", "2026-05-04 14:02:14 UTC+08:00", "3s", "closed"}
	if !slices.Equal(one, want) {
		t.Errorf("\n got %q\nwant %q", one, want)
	}
	if state := got[corp+"/2"][8]; state != "open" {
		t.Errorf("one whose doors could not be closed is %s", state)
	}
	if state := got[corp+"/3"][8]; state != "used" {
		t.Errorf("one who came in afterwards is %s", state)
	}
}

// F43: privileged mints with who approved the row; others' mints are not shown.
func TestPrivilegedMints(t *testing.T) {
	d := newDesk(t, row("1", nil), row("2", func(e *mapping.Entry) {
		e.Privileged, e.Approvals = true, []mapping.Stamp{{By: corp + "/boss"}}
	}))
	d.at("2026-05-02 00:00:00", mint("1"))
	d.at("2026-05-03 00:00:00", mint("2"))
	refused := mint("2")
	refused.Outcome, refused.Reason = audit.Refused, "KD-207"
	d.at("2026-05-04 00:00:00", refused)
	s := d.month(review.Privileged)
	if len(s.Rows) != 2 || s.Rows[0][5] != "KD-207" || s.Rows[1][1] != corp+"/2" || !strings.Contains(s.Rows[1][8], "boss") {
		t.Errorf("%q", s.Rows)
	}
}

// F43: dormant is a row in force, there before the period, without one good mint
// in its own data centre; what failed or was elsewhere does not count as use.
func TestDormant(t *testing.T) {
	d := newDesk(t,
		row("1", nil), row("2", nil), row("3", nil),
		row("4", func(e *mapping.Entry) { e.Created.At = time.Date(2026, 5, 20, 0, 0, 0, 0, time.UTC) }),
		row("5", func(e *mapping.Entry) { e.Status = mapping.StatusSuspended }))
	d.at("2026-04-02 00:00:00", mint("2"))
	d.at("2026-05-02 00:00:00", mint("1"))
	failed, elsewhere := mint("3"), mint("3")
	failed.Outcome, elsewhere.DataCentre = audit.Failed, "test"
	d.at("2026-05-03 00:00:00", failed)
	d.at("2026-05-04 00:00:00", elsewhere)
	s := d.month(review.Dormant)
	if len(s.Rows) != 2 || s.Rows[0][0] != corp+"/2" || s.Rows[0][6] != "2026-04-02 08:00:00 UTC+08:00" || s.Rows[1][0] != corp+"/3" || s.Rows[1][6] != "" {
		t.Errorf("%q", s.Rows)
	}
}

// F43: access is listed by department with who decided.
func TestAccessByDepartment(t *testing.T) {
	d := newDesk(t, row("1", nil), row("2", func(e *mapping.Entry) { e.Changed.By = corp + "/mapper" }), row("3", nil))
	d.Department = func(_ context.Context, who identity.Subject) (string, error) {
		return map[string]string{"1": "sales", "2": "finance"}[who.UserID], nil
	}
	s := d.month(review.Access)
	if len(s.Rows) != 3 || s.Rows[0][0] != "" || s.Rows[1][0] != "finance" || s.Rows[1][9] != corp+"/mapper" || s.Rows[2][0] != "sales" {
		t.Errorf("%q", s.Rows)
	}
}

// F43, F30: who administers, and every act about it.
func TestAdministration(t *testing.T) {
	d := newDesk(t)
	d.Administrators = []review.Administrator{{Person: corp + "/boss", Role: "admin"}}
	d.at("2026-05-02 00:00:00", audit.Event{Action: audit.ActionBreakGlassEnter, Actor: "breakglass:breakglass"})
	d.at("2026-05-03 00:00:00", audit.Event{Action: "console.enter", Actor: corp + "/boss"})
	d.at("2026-05-03 00:00:01", mint("1"))
	s := d.month(review.Administration)
	if len(s.Rows) != 3 || s.Rows[0][1] != corp+"/boss" || s.Rows[0][2] != "admin" || s.Rows[1][2] != "console.enter" || s.Rows[2][2] != "breakglass.enter" {
		t.Errorf("%q", s.Rows)
	}
}

// F43: failures are counted by person and reason, the most frequent first.
func TestFailures(t *testing.T) {
	d := newDesk(t)
	for _, second := range []string{"00", "01", "02"} {
		d.at("2026-05-02 00:00:"+second, audit.Event{Action: audit.ActionSignIn, Outcome: audit.Refused, Reason: "KD-101", Actor: corp + "/1", Source: "10.0.0.1"})
	}
	d.at("2026-05-03 00:00:00", audit.Event{Action: audit.ActionMint, Outcome: audit.Failed, Reason: "KD-203", Actor: corp + "/1", Source: "10.0.0.2"})
	d.at("2026-05-03 00:00:00", audit.Event{Action: audit.ActionSignIn, Actor: corp + "/1"})
	s := d.month(review.Failures)
	want := [][]string{
		{corp + "/1", "KD-101", "3", "2026-05-02 08:00:00 UTC+08:00", "2026-05-02 08:00:02 UTC+08:00", "10.0.0.1"},
		{corp + "/1", "KD-203", "1", "2026-05-03 08:00:00 UTC+08:00", "2026-05-03 08:00:00 UTC+08:00", "10.0.0.2"},
	}
	if !slices.EqualFunc(s.Rows, want, slices.Equal) {
		t.Errorf("\n got %q\nwant %q", s.Rows, want)
	}
	if _, err := d.Make(t.Context(), "gossip", review.Period{}); identity.KindOf(err) != identity.Invalid {
		t.Errorf("an unknown question: %v", err)
	}
}
