package approval_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/kingdee/kingdeesim"
	"kdgate/store"
)

// yidaReimburse is the shipped template with the ids of the sample's Yida form.
func yidaReimburse() approval.Rule {
	rule := reimburse()
	rule.Name, rule.Source, rule.App, rule.Process = "宜搭报销", approval.SourceYida, dingtalksim.SampleYidaApp, dingtalksim.SampleYidaForm
	rule.Aliases = map[string]string{
		"reason": "textareaField_reason", "details": "tableField_details", "item": "selectField_item", "amount": "numberField_amount", "note": "textField_note",
	}
	return rule
}

func yidaRig(t testing.TB, n int) *rig { return start(t, n, reimburse(), yidaReimburse()) }

// submit hands in a reimbursement, which runs.
func (r *rig) submit(userid, reason string, amounts ...string) dingtalksim.YidaInstance {
	r.t.Helper()
	in, err := r.ding.StartYida(dingtalksim.YidaOrder{
		Form: dingtalksim.SampleYidaForm, Title: "报销", Originator: userid, Data: dingtalksim.SampleYidaData(userid, "某人", reason, amounts...),
	})
	r.must(err)
	return in
}

func (r *rig) end(in dingtalksim.YidaInstance, result string) {
	r.t.Helper()
	_, err := r.ding.FinishYida(in.ID, result)
	r.must(err)
}

func (r *rig) agreedYida(userid, reason string, amounts ...string) dingtalksim.YidaInstance {
	in := r.submit(userid, reason, amounts...)
	r.end(in, "agree")
	return in
}

// poll looks at what was changed within some time and says how many were new.
func (r *rig) poll(back time.Duration) int {
	r.t.Helper()
	swept, err := r.Poll(r.t.Context(), back)
	r.must(err)
	return swept.Added
}

// as is a submission in the words of the checks for approvals.
func as(in dingtalksim.YidaInstance) dingtalksim.Instance { return dingtalksim.Instance{ID: in.ID} }

// dead are the words of the dead items, by key.
func (r *rig) dead() map[string]string {
	r.t.Helper()
	page, err := r.queue.List(r.t.Context(), jobs.Filter{State: jobs.Dead}, "", 100)
	r.must(err)
	out := map[string]string{}
	for _, it := range page.Items {
		out[it.Key] = it.Failure.Words
	}
	return out
}

// TestYidaBook proves F64: a submission that was agreed to becomes one bill with its
// number, its rows and one remark; it comes in every list of the day and stays one
// item, also when the remark counts as a change.
func TestYidaBook(t *testing.T) {
	r := yidaRig(t, 1)
	in := r.agreedYida("1001", "出差上海", "9007199254740993.01", "0.10")
	if n := r.poll(time.Hour); n != 1 {
		t.Fatalf("%d new", n)
	}
	r.work()
	bill := r.bill(as(in))
	if bill.Status != "B" || bill.Fields["FCausa"] != "出差上海 ("+in.ID+")" || bill.Fields["FExpAmountSum"] != "9007199254740993.11" || bill.Fields["FProposerID"] != "1001" {
		t.Errorf("%+v", bill)
	}
	if bill.Fields["FRequestDeptID"] != "BM000001" || len(bill.Entries) != 2 || bill.Entries[0]["FExpID"] != "CI001" {
		t.Errorf("%+v %+v", bill.Fields, bill.Entries)
	}
	if said := r.ding.Comments(in.ID); len(said) != 1 || said[0].UserID != "1001" || !strings.Contains(said[0].Text, bill.Number) {
		t.Errorf("%+v", said)
	}
	for range 2 {
		if n := r.poll(time.Hour); n != 0 {
			t.Errorf("%d new after the remark", n)
		}
	}
	if n := len(r.ding.Calls("forms/remarks")); n != 1 {
		t.Errorf("%d calls about remarks for one bill", n)
	}
	if dead := r.dead(); len(dead) != 0 || len(r.king.Bills("")) != 1 {
		t.Errorf("%v, %d bills", dead, len(r.king.Bills("")))
	}
}

// TestYidaOnlyAgreed: what runs, was refused or taken back makes nothing; what is
// agreed to later on the same day is found, and what was begun too early is not.
func TestYidaOnlyAgreed(t *testing.T) {
	r := yidaRig(t, 1)
	running, refused, revoked := r.submit("1001", "a", "1"), r.submit("1001", "b", "1"), r.submit("1001", "c", "1")
	r.end(refused, "disagree")
	r.end(revoked, "terminate")
	early, err := r.ding.StartYida(dingtalksim.YidaOrder{
		Form: dingtalksim.SampleYidaForm, Originator: "1001", Created: begin.Add(-time.Hour), Data: dingtalksim.SampleYidaData("1001", "x", "早", "1"),
	})
	r.must(err)
	r.end(early, "agree")
	if n := r.poll(time.Hour); n != 0 || len(r.king.Bills("")) != 0 {
		t.Fatalf("%d new", n)
	}
	r.end(running, "agree")
	if n := r.poll(time.Hour); n != 1 {
		t.Fatalf("%d new", n)
	}
	r.work()
	if r.bill(as(running)).Status != "B" || len(r.king.Bills("")) != 1 {
		t.Errorf("%d bills", len(r.king.Bills("")))
	}
}

// TestYidaChangedAfter: what is changed or taken back after its bill waits for a
// person, once for each change; what changes between the list and the bill does
// not, because the bill is of it as it stood.
func TestYidaChangedAfter(t *testing.T) {
	r := yidaRig(t, 1)
	changed, revoked, between := r.agreedYida("1001", "one", "1"), r.agreedYida("1001", "two", "2"), r.agreedYida("1001", "three", "3")
	if n := r.poll(time.Hour); n != 3 {
		t.Fatalf("%d new", n)
	}
	amend := func(in dingtalksim.YidaInstance, data map[string]any) {
		_, err := r.ding.AmendYida(in.ID, data)
		r.must(err)
	}
	amend(between, map[string]any{"textareaField_reason": "three, mended"})
	r.work()
	if got := r.bill(as(between)).Fields["FCausa"]; !strings.HasPrefix(fmt.Sprint(got), "three, mended") {
		t.Errorf("%v", got)
	}
	amend(changed, map[string]any{"textareaField_reason": "other words"})
	r.end(revoked, "terminate")
	if n := r.poll(time.Hour); n != 3 {
		t.Errorf("%d new", n)
	}
	r.work()
	dead := r.dead()
	if len(dead) != 2 {
		t.Fatalf("%v", dead)
	}
	for key, words := range dead {
		id, _, _ := strings.Cut(key, "~")
		if id != changed.ID && id != revoked.ID || !strings.Contains(words, "after its bill "+approval.Number(corp, id, expense, 1)) {
			t.Errorf("%s: %s", key, words)
		}
	}
	if n := r.poll(time.Hour); n != 0 || len(r.king.Bills("")) != 3 {
		t.Errorf("%d new, %d bills", n, len(r.king.Bills("")))
	}
	for _, in := range []dingtalksim.YidaInstance{changed, revoked, between} {
		if said := r.ding.Comments(in.ID); len(said) != 1 {
			t.Errorf("%s: %d remarks", in.ID, len(said))
		}
	}
}

// TestYidaMended: a dead letter whose cause is mended in the form itself comes back
// by the next poll and becomes the one bill.
func TestYidaMended(t *testing.T) {
	r := yidaRig(t, 1)
	in := r.agreedYida("1001", "", "1")
	r.poll(time.Hour)
	r.work()
	if dead := r.dead(); !strings.Contains(dead[in.ID], "FCausa") {
		t.Fatalf("%v", dead)
	}
	_, err := r.ding.AmendYida(in.ID, map[string]any{"textareaField_reason": "补填"})
	r.must(err)
	if n := r.poll(time.Hour); n != 1 {
		t.Fatalf("%d new", n)
	}
	r.work()
	if bill := r.bill(as(in)); bill.Status != "B" || len(r.dead()) != 0 || len(r.ding.Comments(in.ID)) != 1 {
		t.Errorf("%+v %v", bill, r.dead())
	}
}

// TestYidaMissed: what ended while nobody polled is found by the nightly look back,
// each day of it, and a book and a work list that were lost make no second bill
// and no second remark.
func TestYidaMissed(t *testing.T) {
	r := yidaRig(t, 1)
	r.ding.SetClock(-5 * 24 * time.Hour)
	missed := r.agreedYida("1001", "missed", "1")
	r.ding.SetClock(0)
	if n := r.poll(24 * time.Hour); n != 0 {
		t.Fatalf("%d new of a day", n)
	}
	if n := r.poll(30 * 24 * time.Hour); n != 1 {
		t.Fatalf("%d new of a month", n)
	}
	r.work()
	book, err := r.store.Scan(t.Context(), "approval/seen/", "", 10)
	r.must(err)
	work, err := r.store.Scan(t.Context(), "job/", "", 100)
	r.must(err)
	for _, entry := range slices.Concat(book, work) {
		r.must(r.store.Commit(t.Context(), store.Delete(entry.Key)))
	}
	r.poll(30 * 24 * time.Hour)
	r.work()
	if len(book) != 1 || len(r.king.Bills("")) != 1 || len(r.ding.Comments(missed.ID)) != 1 {
		t.Errorf("%d entries, %d bills, %d remarks", len(book), len(r.king.Bills("")), len(r.ding.Comments(missed.ID)))
	}
}

// TestYidaPlainForm: a form without a process: what is handed in is booked, from its
// first day on, with the title that only the list tells.
func TestYidaPlainForm(t *testing.T) {
	rule := yidaReimburse()
	rule.Source, rule.Process = approval.SourceYidaForm, dingtalksim.SampleYidaPlain
	rule.Header = []approval.Field{{Key: "FRemark", From: "@title"}}
	r := start(t, 1, rule)
	hand := func(at time.Time) dingtalksim.YidaInstance {
		in, err := r.ding.StartYida(dingtalksim.YidaOrder{
			Form: dingtalksim.SampleYidaPlain, Plain: true, Title: "登记", Originator: "1001", Created: at, Data: dingtalksim.SampleYidaData("1001", "x", "登记", "12.34", "0.01"),
		})
		r.must(err)
		return in
	}
	in, early := hand(time.Time{}), hand(begin.Add(-time.Hour))
	_, err := r.ding.AmendYida(early.ID, map[string]any{"textField_x": "today"})
	r.must(err)
	if n := r.poll(time.Hour); n != 1 {
		t.Fatalf("%d new", n)
	}
	r.work()
	if bill := r.bill(as(in)); bill.Fields["FRemark"] != "登记" {
		t.Errorf("%+v", bill.Fields)
	}
	r.rightly(as(in))
}

// TestYidaPreview proves F61 for Yida: a submission is looked at by its id, with the
// rule in force and with one that is not, and the latest are listed.
func TestYidaPreview(t *testing.T) {
	r := yidaRig(t, 1)
	in := r.submit("1001", "出差", "12.34")
	p, err := r.Preview(t.Context(), dingtalksim.SampleYidaForm, in.ID)
	if err != nil || p.Agreed || p.Rule != "宜搭报销" || len(p.Mistakes) != 0 || p.Number != approval.Number(corp, in.ID, expense, 1) {
		t.Fatalf("%+v %v", p, err)
	}
	amounts := 0
	for _, f := range p.Fields {
		if f.Field == "FEntity[1].FExpenseAmount" && f.Value == "12.34" {
			amounts++
		}
	}
	if amounts != 1 {
		t.Errorf("%+v", p.Fields)
	}
	rule := yidaReimburse()
	rule.Rows = []approval.Table{{Entry: "FEntity", From: "details", Fields: []approval.Field{
		{Key: "FX", From: "item#key"}, {Key: "FY", From: "employeeField_who", As: approval.AsStaff}, {Key: "FZ", Expr: `total("details", "amount") * dec("2")`},
	}}}
	p, err = r.Try(t.Context(), rule, in.ID)
	r.must(err)
	values := map[string]string{}
	for _, f := range p.Fields {
		values[f.Field] = f.Value
	}
	if values["FEntity[1].FX"] != `"option_0"` || values["FEntity[1].FY"] != `{"FSTAFFNUMBER":"1001"}` || values["FEntity[1].FZ"] != `"24.68"` {
		t.Errorf("%v %v", values, p.Mistakes)
	}
	ids, err := r.Latest(t.Context(), dingtalksim.SampleYidaForm, 5)
	if err != nil || !slices.Equal(ids, []string{in.ID}) {
		t.Errorf("%v %v", ids, err)
	}
	if n := r.calls("Save"); n != 0 {
		t.Errorf("%d saves", n)
	}
}

// TestYidaMistakes: a rule that cannot be about Yida is refused, all mistakes at once.
func TestYidaMistakes(t *testing.T) {
	odd := func(change func(*approval.Rule)) approval.Rule {
		rule := yidaReimburse()
		change(&rule)
		return rule
	}
	r := yidaRig(t, 1)
	err := r.Use([]approval.Rule{
		yidaReimburse(),
		odd(func(r *approval.Rule) { r.Name, r.Source = "a", "yida-v1" }),
		odd(func(r *approval.Rule) { r.Name, r.Process = "b", "PROC-1" }),
		odd(func(r *approval.Rule) { r.Name, r.App, r.Process = "c", "APP_OTHER", "FORM-OTHER" }),
		odd(func(r *approval.Rule) { r.Name, r.Source = "d", approval.SourceYidaForm }),
		odd(func(r *approval.Rule) { r.Name, r.Source, r.Process = "e", "", "PROC-2" }),
	})
	for _, part := range []string{`"a": source`, `"b": process: "PROC-1"`, `"c": Yida application "APP_OTHER"`, `"d": another rule`, `"e": app: only`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not told: %v", part, err)
		}
	}
}

// TestYidaAway: while DingTalk cannot be asked a poll says so and forgets nothing.
func TestYidaAway(t *testing.T) {
	r := yidaRig(t, 1)
	in := r.agreedYida("1001", "away", "12.34", "0.01")
	_, err := r.ding.AddFault(dingtalksim.Fault{Match: "POST /v2.0/yida/processes/instances", Kind: "status", Status: 503, Times: -1})
	r.must(err)
	if swept, err := r.Poll(t.Context(), time.Hour); err == nil || swept.Added != 0 {
		t.Errorf("%+v %v", swept, err)
	}
	r.ding.ClearFaults(0)
	r.until("it is found", func() bool { swept, err := r.Poll(t.Context(), time.Hour); return err == nil && swept.Added == 1 })
	r.work()
	r.rightly(as(in))
}

// yidaPoints are the crash points of a submission: each of its calls to DingTalk at
// two moments, the post, and commits from both sides.
func yidaPoints(id string) []point {
	var list []point
	for _, at := range []string{kingdeesim.HoldHeaders, kingdeesim.HoldExecuted} {
		list = append(list, point{route: "yida", path: "/yida/processes/instances", at: at}, point{route: "yida", path: "/instancesInfos/" + id, at: at},
			point{route: "yida", path: "/yida/forms/remarks", at: at}, point{route: ".Save.", at: at})
	}
	for _, n := range []int{1, 2, 4, 6, 8, 10} {
		list = append(list, point{kill: fmt.Sprint(n, " before")}, point{kill: fmt.Sprint(n, " after")})
	}
	return list
}

// TestYidaKilledReplica proves R30 and R31 for submissions: killed by SIGKILL at the
// poll, at every call and round commits, in the end each has one bill and one
// remark.
func TestYidaKilledReplica(t *testing.T) {
	r := yidaRig(t, 1)
	w := worker{Store: "sqlite:" + filepath.Join(t.TempDir(), "crash.db"), Poll: true}
	var all []dingtalksim.YidaInstance
	for i := range yidaPoints("") {
		in := r.agreedYida("1001", fmt.Sprint("crash ", i), "12.34", "0.01")
		all = append(all, in)
		r.killAt(w, yidaPoints(in.ID)[i])
	}
	for range 2 {
		if err := <-r.spawn(w).ended; err != nil {
			t.Fatalf("the last replica: %v", err)
		}
	}
	if n := len(r.king.Bills("")); n != len(all) {
		t.Errorf("%d bills of %d submissions", n, len(all))
	}
	for _, in := range all {
		r.rightly(as(in))
	}
	t.Logf("%d crashes", len(all))
}

// TestYidaOrderOfMembers: a submission is the same whatever the order in which Yida
// writes the members of a value.
func TestYidaOrderOfMembers(t *testing.T) {
	r := yidaRig(t, 1)
	in := r.agreedYida("1001", "order", "12.34", "0.01")
	r.poll(time.Hour)
	r.work()
	data := maps.Clone(in.Data)
	data["addressField_x"] = json.RawMessage(`{"b":1,"a":2}`)
	_, err := r.ding.AmendYida(in.ID, data)
	r.must(err)
	r.poll(time.Hour)
	r.work()
	before := len(r.dead())
	_, err = r.ding.AmendYida(in.ID, map[string]any{"addressField_x": json.RawMessage(`{"a":2,"b":1}`)})
	r.must(err)
	if n := r.poll(time.Hour); n != 0 || before != 1 {
		t.Errorf("%d new, %d dead before", n, before)
	}
}

var _ approval.Yida = (*dingtalk.Yida)(nil)
