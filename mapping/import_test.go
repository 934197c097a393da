package mapping_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping"
)

const header = "corp,userid,data_centre,staff_number,login_user,owner,note\n"

func sheet(tb testing.TB, lines ...string) *mapping.Sheet {
	tb.Helper()
	s, err := mapping.ParseCSV(strings.NewReader(header + strings.Join(lines, "\n")))
	must(tb, err)
	return s
}

func line(userid, number, login string) string {
	return strings.Join([]string{corp, userid, live, number, login, "", ""}, ",")
}

func (r *rig) plan(lines ...string) *mapping.Plan {
	r.Helper()
	p, err := r.Plan(r.Context(), admin, sheet(r, lines...), nil)
	must(r, err)
	return p
}

func (r *rig) apply(lines ...string) mapping.Run {
	r.Helper()
	run, err := r.Apply(r.Context(), admin, r.plan(lines...), mapping.ApplyOptions{})
	must(r, err)
	return run
}

// content is what a person sees of the table: no versions, no stamps.
func (r *rig) content() map[string]string {
	r.Helper()
	rows, next, err := r.List(context.Background(), mapping.Filter{}, "", 1000)
	must(r, err)
	if next != "" {
		r.Fatal("more rows than the test looks at")
	}
	out := map[string]string{}
	for _, e := range rows {
		out[e.Key().String()] = fmt.Sprintf("%s %q %s %s %q", e.StaffNumber, e.LoginUser, e.Owner, e.Status, e.Note)
		for _, f := range []func() ([]mapping.Key, error){
			func() ([]mapping.Key, error) { return r.ByLoginUser(context.Background(), live, e.LoginUser) },
			func() ([]mapping.Key, error) { return r.ByStaffNumber(context.Background(), live, e.StaffNumber) },
		} {
			if holders, err := f(); err != nil || len(holders) > 1 {
				r.Errorf("%s: held by %v (%v)", e.Key(), holders, err)
			}
		}
	}
	return out
}

// TestPlan proves T16, T18, T23, T25: the preview judges each line by the same
// rules as a person's edit, against the table and the lines before it.
func TestPlan(t *testing.T) {
	r := newRig(t)
	r.create(mapping.Draft{Key: key("same"), StaffNumber: "1", LoginUser: "one"})
	r.create(mapping.Draft{Key: key("moved"), StaffNumber: "2", LoginUser: "two"})
	r.create(mapping.Draft{Key: key("locked"), StaffNumber: "3", LoginUser: "three", Owner: mapping.OwnerLocked})
	r.create(mapping.Draft{Key: key("gone"), StaffNumber: "4", LoginUser: "four"})
	r.create(mapping.Draft{Key: key("boss"), StaffNumber: "5", LoginUser: "Administrator"})
	_, err := r.Suspend(t.Context(), clerk, key("gone"), "left")
	must(t, err)
	type verdict struct {
		Verdict mapping.Verdict
		Reason  mapping.Reason
	}
	refused := func(reason mapping.Reason) verdict { return verdict{mapping.VerdictRefused, reason} }
	cases := []struct {
		line string
		want verdict
	}{
		{line("same", "1", "one"), verdict{mapping.VerdictSame, ""}},
		{line("moved", "2", "two-b"), verdict{mapping.VerdictChange, ""}},
		{line("takes", "9", "two"), verdict{mapping.VerdictCreate, ""}}, // freed one line above
		{line("takes", "10", "ten"), refused(mapping.ReasonDuplicate)},
		{line("again", "9", "eleven"), refused(mapping.ReasonTaken)},
		{line("alike", "12", "ONE"), refused(mapping.ReasonLookAlike)},
		{line("SAME", "13", ""), refused(mapping.ReasonLookAlike)},
		{line("locked", "3", "three"), verdict{mapping.VerdictSame, ""}},
		{line("locked", "3", "other"), refused(mapping.ReasonDuplicate)},
		{line("gone", "4", "four-b"), refused(mapping.ReasonSuspended)},
		{line("boss", "5", "five"), refused(mapping.ReasonPrivileged)},
		{line("new1", "14", "Administrator"), refused(mapping.ReasonPrivileged)},
		{line("new2", "15", "GUEST"), refused(mapping.ReasonPrivileged)},
		{line("new3", "", ""), refused(mapping.ReasonEmpty)},
		{line("new4", "=16", ""), refused(mapping.ReasonFormula)},
		{line("new5", "17", "seventeen"), verdict{mapping.VerdictCreate, ""}},
	}
	lines := make([]string, len(cases))
	for i, c := range cases {
		lines[i] = c.line
	}
	plan := r.plan(lines...)
	for i, c := range cases {
		got := verdict{Verdict: plan.Rows[i].Verdict}
		if plan.Rows[i].Refusal != nil {
			got.Reason = plan.Rows[i].Refusal.Reason
		}
		if got != c.want {
			t.Errorf("%s: %+v (%v), want %+v", c.line, got, plan.Rows[i].Refusal, c.want)
		}
	}
	locked := r.plan(line("locked", "3", "other"))
	if locked.Refused != 1 || locked.Rows[0].Refusal.Reason != mapping.ReasonLocked {
		t.Errorf("locked row: %+v", locked.Rows[0])
	}
	if plan.Create != 2 || plan.Change != 1 || plan.Same != 2 || plan.Refused != 11 {
		t.Errorf("counts %d %d %d %d", plan.Create, plan.Change, plan.Same, plan.Refused)
	}
	if again := r.plan(lines...); again.Digest != plan.Digest || again.Digest == locked.Digest {
		t.Error("the digest does not tell plans apart")
	}
	before := r.content()
	_, err = r.Apply(t.Context(), admin, plan, mapping.ApplyOptions{})
	wantReason(t, err, identity.Conflict, mapping.ReasonRefusedRows)
	if diff := cmp.Diff(before, r.content()); diff != "" {
		t.Errorf("a plan with refused rows wrote: %s", diff)
	}
	run, err := r.Apply(t.Context(), admin, plan, mapping.ApplyOptions{SkipRefused: true})
	must(t, err)
	if run.State != mapping.RunDone || run.Created != 2 || run.Changed != 1 || run.Refused != 11 {
		t.Errorf("run %+v", run)
	}
	if e := r.get("gone"); e.Status != mapping.StatusSuspended || e.LoginUser != "four" {
		t.Errorf("T23: %+v", e)
	}
}

// TestImportNeverReinstates proves T23 and T104: the exported status and version
// columns change nothing.
func TestImportNeverReinstates(t *testing.T) {
	r := newRig(t)
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "1", LoginUser: "one"})
	_, err := r.Suspend(t.Context(), clerk, key("u1"), "left")
	must(t, err)
	s, err := mapping.ParseCSV(strings.NewReader("corp,userid,data_centre,staff_number,login_user,status,version,shared\n" +
		"dingcorp1,u1,live,1,one,active,1,true\n"))
	must(t, err)
	plan, err := r.Plan(t.Context(), admin, s, nil)
	must(t, err)
	_, err = r.Apply(t.Context(), admin, plan, mapping.ApplyOptions{})
	must(t, err)
	if e := r.get("u1"); e.Status != mapping.StatusSuspended || e.Shared || e.Version != 2 {
		t.Errorf("got %+v", e)
	}
}

// TestSuspensionDuringAnImport proves T23 and F54: a leaver does not wait for an
// import, and neither its end nor its undoing opens the door again.
func TestSuspensionDuringAnImport(t *testing.T) {
	for name, stop := range map[string]error{"finished": nil, "taken back": errors.New("disk full")} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *mapping.Config) { c.Recorder = quiet{} })
			r.create(mapping.Draft{Key: key("leaver"), StaffNumber: "1", LoginUser: "one"})
			lines := []string{line("leaver", "1", "one-b")}
			for i := range 1000 { // more than is committed together
				lines = append(lines, line(fmt.Sprintf("u%04d", i), "", fmt.Sprintf("login%04d", i)))
			}
			plan := r.plan(lines...)
			var once sync.Once
			suspended := false
			r.store.around(func(n int, do func() error) error {
				if stop != nil && suspended && n >= 20 {
					failed := false
					once.Do(func() { failed = true })
					if failed {
						return stop
					}
				}
				return do()
			})
			_, err := r.Apply(t.Context(), admin, plan, mapping.ApplyOptions{Progress: func(done, _ int) {
				if suspended || done == 0 {
					return
				}
				suspended = true
				_, err := r.Create(t.Context(), admin, mapping.Draft{Key: key("x"), StaffNumber: "x"})
				wantReason(t, err, identity.Conflict, mapping.ReasonImportRunning)
				_, err = r.Suspend(t.Context(), clerk, key("leaver"), "left")
				must(t, err)
			}})
			if !suspended || (err == nil) != (stop == nil) {
				t.Fatalf("apply: %v", err)
			}
			e := r.get("leaver")
			want := "one-b"
			if stop != nil {
				want = "one"
			}
			if e.Status != mapping.StatusSuspended || e.LoginUser != want {
				t.Errorf("got %+v", e)
			}
			if rows, _, err := r.List(t.Context(), mapping.Filter{}, "", 10); stop != nil && (err != nil || len(rows) != 1) {
				t.Errorf("left half way: %v %v", rows, err)
			}
		})
	}
}

// TestSignInsDuringAnImport: people without a row get in while the table is
// held; they are remembered afterwards.
func TestSignInsDuringAnImport(t *testing.T) {
	r := newRig(t)
	r.kingdee.add("new1", user("7", "seven"))
	plan := r.plan(line("u1", "1", "one"))
	signedIn := false
	r.store.around(func(n int, do func() error) error {
		if n == 1 && !signedIn {
			signedIn = true
			r.wantCode("new1", "")
			if _, err := r.Get(context.Background(), key("new1")); identity.KindOf(err) != identity.NotFound {
				t.Errorf("remembered under the import: %v", err)
			}
		}
		return do()
	})
	_, err := r.Apply(t.Context(), admin, plan, mapping.ApplyOptions{})
	must(t, err)
	r.wantCode("new1", "")
	if !signedIn || r.get("new1").Owner != mapping.OwnerAuto {
		t.Error("not remembered")
	}
}

// TestPlanGrowsOld: what changed between preview and Apply takes the whole run back.
func TestPlanGrowsOld(t *testing.T) {
	r := newRig(t)
	r.create(mapping.Draft{Key: key("z"), StaffNumber: "1", LoginUser: "one"})
	var lines []string
	for i := range 40 {
		lines = append(lines, line(fmt.Sprintf("u%02d", i), "", fmt.Sprintf("login%02d", i)))
	}
	plan := r.plan(append(lines, line("z", "1", "one-b"))...)
	note := "meanwhile"
	_, err := r.Change(t.Context(), clerk, key("z"), mapping.Edit{Version: 1, Note: &note})
	must(t, err)
	before := r.content()
	run, err := r.Apply(t.Context(), admin, plan, mapping.ApplyOptions{})
	wantReason(t, err, identity.Conflict, mapping.ReasonVersion)
	if diff := cmp.Diff(before, r.content()); diff != "" || run.State != mapping.RunUndone {
		t.Errorf("run %+v: %s", run, diff)
	}
}

// TestStopped proves F33: a run that is stopped takes itself back.
func TestStopped(t *testing.T) {
	r := newRig(t, func(c *mapping.Config) { c.Recorder = quiet{} })
	var lines []string
	for i := range 1500 {
		lines = append(lines, line(fmt.Sprintf("u%04d", i), "", fmt.Sprintf("login%04d", i)))
	}
	plan := r.plan(lines...)
	ctx, stop := context.WithCancel(t.Context())
	_, err := r.Apply(ctx, admin, plan, mapping.ApplyOptions{Progress: func(done, total int) {
		if done > 0 && total == 1500 {
			stop()
		}
	}})
	if !errors.Is(err, context.Canceled) || len(r.content()) != 0 {
		t.Errorf("stopped: %v, %d rows", err, len(r.content()))
	}
	r.create(mapping.Draft{Key: key("x"), StaffNumber: "1"})
}

// TestImportIsRecorded proves T111: the run and each of its rows, before they
// are there; and no record means no import.
func TestImportIsRecorded(t *testing.T) {
	r := newRig(t)
	run := r.apply(line("u1", "1", "one"), line("u2", "2", "two"))
	if records := r.records(audit.Query{Action: audit.ActionMappingImport}); len(records) != 1 || records[0].Detail["created"] != "2" {
		t.Errorf("run: %+v", records)
	}
	rows := r.records(audit.Query{Action: audit.ActionMappingCreate, Person: corp + "/u1"})
	if len(rows) != 1 || rows[0].Detail["run"] != run.ID || rows[0].RequestID != "req-1" {
		t.Errorf("row: %+v", rows)
	}
	cfg := r.cfg
	cfg.Recorder = deaf{}
	silent, err := mapping.New(cfg)
	must(t, err)
	plan, err := silent.Plan(t.Context(), admin, sheet(t, line("u3", "3", "three")), nil)
	must(t, err)
	if _, err := silent.Apply(t.Context(), admin, plan, mapping.ApplyOptions{}); identity.CodeOf(err) != identity.CodeAuditDown {
		t.Errorf("apply: %v", err)
	}
	if err := silent.ExportCSV(t.Context(), admin, io.Discard, mapping.Filter{}, nil); identity.CodeOf(err) != identity.CodeAuditDown {
		t.Errorf("export: %v", err)
	}
	if len(r.content()) != 2 {
		t.Errorf("rows %v", r.content())
	}
}

// TestLargeImportIntoFullTable takes the way of large files (keys known from a
// scan) over rows that are there.
func TestLargeImportIntoFullTable(t *testing.T) {
	r := newRig(t, func(c *mapping.Config) { c.Recorder = quiet{} })
	lines := make([]string, 2500)
	for i := range lines {
		lines[i] = line(fmt.Sprintf("u%04d", i), fmt.Sprintf("s%04d", i), fmt.Sprintf("login%04d", i))
	}
	r.apply(lines[:1500]...)
	for i := 1000; i < 1500; i++ {
		lines[i] = line(fmt.Sprintf("u%04d", i), fmt.Sprintf("s%04d", i), fmt.Sprintf("other%04d", i))
	}
	plan := r.plan(lines...)
	if plan.Same != 1000 || plan.Change != 500 || plan.Create != 1000 {
		t.Fatalf("plan %d same, %d change, %d create", plan.Same, plan.Change, plan.Create)
	}
	run, err := r.Apply(t.Context(), admin, plan, mapping.ApplyOptions{})
	must(t, err)
	if again := r.plan(lines...); again.Same != len(lines) {
		t.Errorf("after the import %d lines are the same", again.Same)
	}
	_, err = r.Undo(t.Context(), admin, run.ID, nil)
	must(t, err)
	if again := r.plan(lines...); again.Same != 1000 || again.Change != 500 || again.Create != 1000 {
		t.Errorf("after the undo: %d same, %d change, %d create", again.Same, again.Change, again.Create)
	}
}

// BenchmarkImport proves F22's number: 100,000 rows, parsed, planned and
// applied over the embedded store with the real audit log, in at most 30 s.
func BenchmarkImport(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		r := newRig(b)
		var file strings.Builder
		file.WriteString(header)
		for i := range mapping.MaxCSVRows {
			fmt.Fprintf(&file, "%s,u%06d,%s,S%06d,员工%06d,,\n", corp, i, live, i, i)
		}
		b.StartTimer()
		s, err := mapping.ParseCSV(strings.NewReader(file.String()))
		must(b, err)
		plan, err := r.Plan(b.Context(), admin, s, nil)
		must(b, err)
		planned := time.Now()
		run, err := r.Apply(b.Context(), admin, plan, mapping.ApplyOptions{})
		must(b, err)
		b.ReportMetric(time.Since(planned).Seconds(), "s/apply")
		if run.Created != mapping.MaxCSVRows {
			b.Fatalf("run %+v", run)
		}
	}
}

// BenchmarkSearch is a search through 100,000 rows that finds one, and the undo
// of the import that made them.
func BenchmarkSearch(b *testing.B) {
	r := newRig(b, func(c *mapping.Config) { c.Recorder = quiet{} })
	lines := make([]string, mapping.MaxCSVRows)
	for i := range lines {
		lines[i] = line(fmt.Sprintf("u%06d", i), fmt.Sprintf("S%06d", i), fmt.Sprintf("员工%06d", i))
	}
	run := r.apply(lines...)
	for b.Loop() {
		rows, _, err := r.List(b.Context(), mapping.Filter{Text: "员工099999"}, "", 50)
		if err != nil || len(rows) != 1 {
			b.Fatalf("%d rows, %v", len(rows), err)
		}
	}
	begun := time.Now()
	_, err := r.Undo(b.Context(), admin, run.ID, nil)
	must(b, err)
	b.ReportMetric(time.Since(begun).Seconds(), "s/undo")
}

// TestUnknownPlace: a row for an organisation or a data centre that is not
// configured is a slip of the pen, and refused before it hides in the table.
func TestUnknownPlace(t *testing.T) {
	r := newRig(t)
	for field, file := range map[string]string{
		"corp":        "corp,userid,data_centre,staff_number\ndingother,u1,live,1001\n",
		"data_centre": "corp,userid,data_centre,staff_number\n" + corp + ",u1,livee,1001\n",
	} {
		sheet, err := mapping.ParseCSV(strings.NewReader(file))
		must(t, err)
		plan, err := r.Plan(t.Context(), admin, sheet, nil)
		must(t, err)
		if plan.Refused != 1 || plan.Rows[0].Refusal.Field != field || plan.Rows[0].Refusal.Reason != mapping.ReasonUnknown {
			t.Errorf("%s: %+v", field, plan.Rows)
		}
	}
}
