package mapping_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

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

// TestParseCSV proves T25 for the file: what is no table is refused as a whole.
func TestParseCSV(t *testing.T) {
	good := line("u1", "1001", "张三")
	for name, file := range map[string]string{
		"plain":            header + good,
		"byte-order mark":  "\ufeff" + header + good,
		"CRLF":             strings.ReplaceAll(header+good+"\n", "\n", "\r\n"),
		"other order":      "userid,login_user,data_centre,corp,staff_number\nu1,张三," + live + "," + corp + ",1001",
		"quoted":           header + `"dingcorp1","u1","live","1001","张三","",""`,
		"columns of state": strings.TrimSpace(header) + ",status,version\n" + good + ",suspended,99",
	} {
		s, err := mapping.ParseCSV(strings.NewReader(file))
		if err != nil || len(s.Rows) != 1 || s.Rows[0].Refusal != nil || s.Rows[0].Key != key("u1") || s.Rows[0].LoginUser != "张三" || s.Rows[0].Line != 2 {
			t.Errorf("%s: %+v %v", name, s, err)
		}
	}
	for name, file := range map[string]string{
		"empty":            "",
		"duplicate header": "corp,userid,data_centre,userid\n",
		"unknown column":   "corp,userid,data_centre,role\n",
		"folded column":    "corp,UserID,data_centre\n",
		"missing column":   "corp,userid,staff_number\n",
		"GBK":              header + "dingcorp1,u1,live,1001,\xd5\xc5\xc8\xfd,,\n",
		"open quote":       header + "dingcorp1,\"u1,live,1001,x,,\n",
		"too many rows":    header + strings.Repeat("c,u,live,1,,,\n", mapping.MaxCSVRows+1),
		"too many bytes":   header + strings.Repeat(line("u1", "1", strings.Repeat("x", 1000))+"\n", 11<<10),
		"one endless line": header + strings.Repeat("x", 11<<20),
	} {
		if s, err := mapping.ParseCSV(strings.NewReader(file)); identity.KindOf(err) != identity.Invalid || mapping.RefusalOf(err) == nil {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
}

// TestParseCSVLines proves T25 and T103 for single lines.
func TestParseCSVLines(t *testing.T) {
	for text, want := range map[string]mapping.Reason{
		line("u1", "=1+1", ""):                             mapping.ReasonFormula,
		line("u1", "1", "@SUM(A1)"):                        mapping.ReasonFormula,
		line("u1", "1", "＝cmd"):                            mapping.ReasonFormula,
		line("u1", "1", "\tx"):                             mapping.ReasonFormula,
		line("-u1", "1", ""):                               mapping.ReasonFormula,
		line("u1", "1", " x"):                              mapping.ReasonSpaceAtEdge,
		line("u1", "1 or 1", ""):                           mapping.ReasonCharset,
		line("u\u200b1", "1", ""):                          mapping.ReasonInvisible,
		line("", "1", ""):                                  mapping.ReasonEmpty,
		line("u1", "1", "x") + ",more":                     mapping.ReasonColumns,
		"dingcorp1,u1,live":                                mapping.ReasonColumns,
		"dingcorp1,u1,live,1,,Manual,":                     mapping.ReasonOwner,
		"dingcorp1,u1,live,1,,,\"two\nlines\"":             mapping.ReasonControl,
		"dingcorp1,u1,li/ve,1,,,":                          mapping.ReasonCharset,
		"dingcorp1,u1,live,1,," + "manual," + "'=inert":    "",
		"dingcorp1,u1,live,'-1,'＠x,,":                      "",
		"dingcorp1,u1,live,1,O'Brien,,":                    "",
		"dingcorp1," + strings.Repeat("u", 65) + ",live,,": mapping.ReasonColumns,
	} {
		s := sheet(t, text)
		got := mapping.Reason("")
		if s.Rows[0].Refusal != nil {
			got = s.Rows[0].Refusal.Reason
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
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

// TestExportRoundTrip proves T103: no cell executes, and a file read back is the
// table again, byte for byte, whatever the cells begin with.
func TestExportRoundTrip(t *testing.T) {
	r := newRig(t)
	notes := []string{"=1+1", "+1", "-1", "@x", "'quoted", "''twice", "＝全角", "－x", "plain, with comma", `"quotes"`, ""}
	for i, note := range notes {
		r.create(mapping.Draft{Key: key(fmt.Sprintf("u%02d", i)), StaffNumber: fmt.Sprintf("-%d", i), LoginUser: fmt.Sprintf("@login%d", i), Note: note})
	}
	_, err := r.Suspend(t.Context(), clerk, key("u00"), "left")
	must(t, err)
	var file bytes.Buffer
	must(t, r.ExportCSV(t.Context(), admin, &file, mapping.Filter{}, nil))
	for _, text := range strings.FieldsFunc(file.String(), func(c rune) bool { return c == ',' || c == '\n' || c == '\r' || c == '"' }) {
		if strings.ContainsAny(text[:1], "=+-@\t") || strings.HasPrefix(text, "＝") || strings.HasPrefix(text, "－") {
			t.Errorf("cell %q would execute", text)
		}
	}
	s, err := mapping.ParseCSV(bytes.NewReader(file.Bytes()))
	must(t, err)
	plan, err := r.Plan(t.Context(), admin, s, nil)
	must(t, err)
	if plan.Same != len(notes) {
		t.Errorf("own export: %d same of %d, %+v", plan.Same, len(notes), plan.Rows)
	}
	fresh := newRig(t)
	plan, err = fresh.Plan(t.Context(), admin, s, nil)
	must(t, err)
	_, err = fresh.Apply(t.Context(), admin, plan, mapping.ApplyOptions{})
	must(t, err)
	for i, note := range notes {
		e := fresh.get(fmt.Sprintf("u%02d", i))
		if e.Note != note || e.LoginUser != fmt.Sprintf("@login%d", i) || e.StaffNumber != fmt.Sprintf("-%d", i) {
			t.Errorf("read back %+v, want note %q", e, note)
		}
	}
	if len(r.records(audit.Query{Action: audit.ActionMappingExport})) != 1 {
		t.Error("the export was not recorded")
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

// FuzzParseCSV: no file panics, and a line that is passed stays what it is
// through export and import.
func FuzzParseCSV(f *testing.F) {
	f.Add(header + line("u1", "1", "one"))
	f.Add("\ufeffcorp,userid,data_centre,note\r\nc,u,d,'=x\r\n")
	f.Add(header + "c,\"u\"\"1\",d,1,'＝,,''\n\n,,,,,,\n")
	f.Add("corp,userid,data_centre\n\"")
	f.Fuzz(func(t *testing.T, file string) {
		s, err := mapping.ParseCSV(strings.NewReader(file))
		if err != nil {
			return
		}
		for _, row := range s.Rows {
			if row.Refusal != nil {
				continue
			}
			if mapping.CheckUserID(row.Key.UserID) != nil || row.LoginUser != "" && mapping.CheckLoginUser(row.LoginUser) != nil {
				t.Errorf("passed %+v", row)
			}
		}
	})
}

// TestInertCells proves T103 as a property of notes of any text.
func TestInertCells(t *testing.T) {
	r, n := newRig(t, func(c *mapping.Config) { c.Recorder = quiet{} }), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		k := mapping.Key{DataCentre: fmt.Sprint("dc", n), Corp: corp, UserID: "u1"}
		note := rapid.StringOf(rapid.SampledFrom([]rune("=+-@'＝＋－＠a, \"张"))).Draw(rt, "note")
		if _, err := r.Create(context.Background(), admin, mapping.Draft{Key: k, StaffNumber: "1", Note: note}); err != nil {
			rt.Fatal(err)
		}
		var file bytes.Buffer
		if err := r.ExportCSV(context.Background(), admin, &file, mapping.Filter{DataCentre: k.DataCentre}, nil); err != nil {
			rt.Fatal(err)
		}
		s, err := mapping.ParseCSV(&file)
		if err != nil || len(s.Rows) != 1 || s.Rows[0].Refusal != nil || s.Rows[0].Note != note {
			rt.Fatalf("%q came back as %+v (%v)", note, s, err)
		}
	})
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
