package approval_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/kingdee/kingdeesim"
)

// TestBook proves F60: an agreed approval becomes a submitted bill with its
// number, the instance in the remark, the right amounts, and one comment.
func TestBook(t *testing.T) {
	r := start(t, 1)
	in := r.agreed("1001", form("出差上海", "9007199254740993.01", "0.10"))
	r.take(in)
	r.work()
	bill := r.bill(in)
	if bill.Form != expense || bill.Status != "B" || bill.Fields["FCausa"] != "出差上海 ("+in.ID+")" || bill.Fields["FExpAmountSum"] != "9007199254740993.11" {
		t.Errorf("%+v", bill)
	}
	if bill.Fields["FProposerID"] != "1001" || bill.Fields["FRequestDeptID"] != "BM000001" || bill.Entries[0]["FExpID"] != "CI001" || bill.Entries[1]["FExpID"] != "CI002" {
		t.Errorf("%+v %+v", bill.Fields, bill.Entries)
	}
	if day := bill.Fields["FDate"]; !strings.HasPrefix(fmt.Sprint(day), time.Now().UTC().Add(8*time.Hour).Format("2006-01-02")) {
		t.Errorf("the day is %v", day)
	}
	said := r.ding.Comments(in.ID)
	if len(said) != 1 || said[0].UserID != "1001" || !strings.Contains(said[0].Text, bill.Number) {
		t.Errorf("%+v", said)
	}
	it := r.item(in)
	if it.State != jobs.Done || it.Step.Name != "commenting" || !strings.Contains(string(it.Step.Data), `"print":`) {
		t.Errorf("%+v", it)
	}
	records, err := r.log.Search(t.Context(), audit.Query{Action: approval.ActionBook})
	if err != nil || len(records) != 1 || records[0].Target != bill.Number || records[0].Detail["instance"] != in.ID {
		t.Errorf("%+v %v", records, err)
	}
}

// TestHundred proves F62 and R45: a hundred people at the same second give a
// hundred bills, right to the cent.
func TestHundred(t *testing.T) {
	const n = 100
	r := start(t, n)
	want := map[string]decimal.Decimal{}
	var all []dingtalksim.Instance
	for i := range n {
		amounts := []string{fmt.Sprintf("%d.%02d", i*37, i), "0.1", "0.2"}
		in := r.agreed(fmt.Sprint(1001+i), form(fmt.Sprint("第", i), amounts...))
		for _, a := range amounts {
			want[in.ID] = want[in.ID].Add(decimal.RequireFromString(a))
		}
		all = append(all, in)
	}
	for range 3 { // events come more than once
		for _, in := range all {
			r.take(in)
		}
	}
	r.work()
	if got := len(r.king.Bills("")); got != n {
		t.Fatalf("%d bills", got)
	}
	for _, in := range all {
		bill := r.bill(in)
		if sum := fmt.Sprint(bill.Fields["FExpAmountSum"]); bill.Status != "B" || !decimal.RequireFromString(sum).Equal(want[in.ID]) || bill.Fields["FProposerID"] != in.Originator {
			t.Errorf("%s: %s, want %s: %+v", in.ID, sum, want[in.ID], bill)
		}
		if said := r.ding.Comments(in.ID); len(said) != 1 {
			t.Errorf("%s: %d comments", in.ID, len(said))
		}
	}
}

// TestForged proves T67: whatever an event says, what DingTalk says counts.
func TestForged(t *testing.T) {
	r := start(t, 1)
	running, refused, revoked := r.asked("1001", form("a", "1")), r.asked("1001", form("b", "1")), r.asked("1001", form("c", "1"))
	for id, result := range map[string]string{refused.ID: "refuse", revoked.ID: "terminate"} {
		if _, err := r.ding.FinishApproval(id, result); err != nil {
			t.Fatal(err)
		}
	}
	for _, in := range []dingtalksim.Instance{running, refused, revoked, {ID: "neverwas"}} {
		r.take(in)
	}
	defer r.pool(r.Booker, r.queue)()
	r.until("all were looked at", func() bool {
		return r.count(jobs.Done) == 2 && r.count(jobs.Dead) == 1 && r.item(running).Step.Name == "running" && r.item(running).State == jobs.Ready
	})
	if n := len(r.king.Bills("")); n != 0 {
		t.Errorf("%d bills", n)
	}
	if it := r.item(refused); it.Step.Name != "passed-over" || !strings.Contains(string(it.Step.Data), "not agreed") {
		t.Errorf("%+v", it.Step)
	}
	for _, e := range []dingtalk.Event{
		{Type: dingtalk.EventInstance, Instance: "x", Process: process, Change: "start"},
		{Type: dingtalk.EventTask, Instance: "x", Process: process, Change: "finish", Result: "agree"},
		{Type: dingtalk.EventInstance, Instance: "x", Process: "PROC-OTHER", Change: "finish", Result: "agree"},
		{Type: dingtalk.EventInstance, Instance: "x?y=z", Process: process, Change: "finish", Result: "agree"},
		{Type: dingtalk.EventInstance, Instance: "x", Process: process, Change: "deleted", Result: "agree"},
	} {
		if err := r.Take(t.Context(), e); err != nil {
			t.Errorf("%+v: %v", e, err)
		}
	}
	if n := r.count(jobs.Ready) + r.count(jobs.Leased); n != 1 {
		t.Errorf("%d items wait", n)
	}
}

// TestSweep proves F64: an approval whose event never came is found, one whose
// event came too early is found again, and none becomes two bills.
func TestSweep(t *testing.T) {
	r := start(t, 2)
	missed, known := r.agreed("1001", form("missed", "1")), r.agreed("1002", form("known", "2"))
	early := r.asked("1001", form("early", "3"))
	r.take(known)
	r.work()
	swept, err := r.Sweep(t.Context(), 24*time.Hour)
	if err != nil || swept.Seen != 2 || swept.Added != 1 {
		t.Fatalf("%+v %v", swept, err)
	}
	r.work()
	if r.bill(missed).Status != "B" || len(r.king.Bills("")) != 2 {
		t.Errorf("%d bills", len(r.king.Bills("")))
	}
	_ = early
	if swept, err := r.Sweep(t.Context(), 24*time.Hour); err != nil || swept.Added != 0 {
		t.Errorf("%+v %v", swept, err)
	}
	old := reimburse()
	old.Since = time.Now().Add(time.Hour)
	late := start(t, 1, old)
	in := late.agreed("1001", form("too early", "1"))
	late.take(in)
	late.work()
	if swept, err := late.Sweep(t.Context(), 24*time.Hour); err != nil || swept.Seen != 0 || len(late.king.Bills("")) != 0 {
		t.Errorf("before the first day: %+v %v", swept, err)
	}
}

// TestDeadAndMended proves F63 and R44: three retries, then a dead letter with
// words that say what is wrong, beside which others go on; edited or put right
// and replayed it becomes the one bill.
func TestDeadAndMended(t *testing.T) {
	r := start(t, 3)
	r.staff.set(func(s *staff) { s.missing["1002"] = true })
	good := r.agreed("1001", form("good", "1"))
	unmapped := r.agreed("1002", form("unmapped", "2"))
	nonsense := r.agreed("1003", form("nonsense", "１２元"))
	empty := r.agreed("1003", form("", "5"))
	for _, in := range []dingtalksim.Instance{good, unmapped, nonsense, empty} {
		r.take(in)
	}
	r.work()
	if len(r.king.Bills("")) != 1 || r.bill(good).Status != "B" {
		t.Fatalf("%d bills", len(r.king.Bills("")))
	}
	for _, tc := range []struct {
		in    dingtalksim.Instance
		words []string
	}{
		{unmapped, []string{"FProposerID", "not mapped"}}, {nonsense, []string{"FEntity[1].FExpenseAmount", "１２元"}}, {empty, []string{"FCausa", "nothing is filled in"}},
	} {
		it := r.item(tc.in)
		if it.State != jobs.Dead || it.Tries != 4 || it.Failure == nil {
			t.Fatalf("%+v", it)
		}
		for _, part := range tc.words {
			if !strings.Contains(it.Failure.Words, part) {
				t.Errorf("%q is not in %q", part, it.Failure.Words)
			}
		}
	}
	r.staff.set(func(s *staff) { s.missing["1002"] = false })
	_, err := r.queue.Replay(t.Context(), cli, r.item(unmapped).ID)
	r.must(err)
	it := r.item(empty)
	_, err = r.queue.Edit(t.Context(), cli, it.ID, it.Version, []byte(strings.Replace(string(it.Payload), `{`, `{"set":{"FCausa":"补填"},`, 1)))
	r.must(err)
	for range 2 { // the button twice is once
		_, err = r.queue.Replay(t.Context(), cli, it.ID)
		r.must(err)
	}
	r.work()
	if r.bill(unmapped).Status != "B" || r.bill(empty).Fields["FCausa"] != "补填 ("+empty.ID+")" || len(r.king.Bills("")) != 3 {
		t.Errorf("%d bills", len(r.king.Bills("")))
	}
}

// TestRefusedByKingdee: Kingdee's own words stand in the dead letter, and once
// the period is open again a replay makes the bill.
func TestRefusedByKingdee(t *testing.T) {
	r := start(t, 1)
	rule := reimburse()
	rule.Header = []approval.Field{{Key: "FDate", Const: "2026-03-31", As: approval.AsDay}}
	r.rules = []approval.Rule{rule}
	r.Booker = r.booker(r.queue)
	r.must(r.king.ClosePeriods("", "2026-03"))
	in := r.agreed("1001", form("closed", "1"))
	r.take(in)
	r.work()
	if it := r.item(in); it.State != jobs.Dead || !strings.Contains(it.Failure.Words, "FDate") || !strings.Contains(it.Failure.Words, "结账") {
		t.Errorf("%+v", it.Failure)
	}
	rule.Header[0].Const = "2026-04-01"
	r.Booker = r.booker(r.queue) // the rule was mended meanwhile
	_, err := r.queue.Replay(t.Context(), cli, r.item(in).ID)
	r.must(err)
	r.work()
	if r.bill(in).Status != "B" {
		t.Errorf("%+v", r.bill(in))
	}
}

// TestTakenBack: an approval that takes another back makes no bill; where the
// other's stands a person is asked, and one that was taken back in time makes none.
func TestTakenBack(t *testing.T) {
	r := start(t, 1)
	booked, inTime := r.agreed("1001", form("booked", "1")), r.agreed("1001", form("in time", "1"))
	r.take(booked)
	r.work()
	revoke := func(main dingtalksim.Instance) dingtalksim.Instance {
		in, err := r.ding.StartApproval(dingtalksim.Approval{
			ProcessCode: process, Originator: "1001", BizAction: "REVOKE", Main: main.ID, Form: form("revoke", "1"),
		})
		r.must(err)
		in, err = r.ding.FinishApproval(in.ID, "agree")
		r.must(err)
		return in
	}
	first, second := revoke(booked), revoke(inTime)
	for _, in := range []dingtalksim.Instance{first, second, inTime} {
		r.take(in)
	}
	r.work()
	if n := len(r.king.Bills("")); n != 1 {
		t.Errorf("%d bills", n)
	}
	if it := r.item(first); it.State != jobs.Dead || it.Tries != 1 || !strings.Contains(it.Failure.Words, r.bill(booked).Number) {
		t.Errorf("%+v", it)
	}
	for _, in := range []dingtalksim.Instance{second, inTime} {
		if it := r.item(in); it.State != jobs.Done || it.Step.Name != "passed-over" {
			t.Errorf("%+v", it)
		}
	}
}

// TestAudited takes a bill on to approved where the rule says so, and leaves the
// comment out where it says so.
func TestAudited(t *testing.T) {
	rule := reimburse()
	rule.Audit, rule.NoComment = true, true
	r := start(t, 1, rule)
	in := r.agreed("1001", form("x", "1"))
	r.take(in)
	r.work()
	if r.bill(in).Status != "C" || len(r.ding.Comments("")) != 0 {
		t.Errorf("%+v", r.bill(in))
	}
}

// TestPreview proves F61: what would be posted is shown to the last digit, with
// all mistakes, and nothing is posted.
func TestPreview(t *testing.T) {
	r := start(t, 1)
	in := r.asked("1001", form("", "1,000.50", "x"))
	p, err := r.Preview(t.Context(), "", in.ID)
	if err != nil || p.Agreed || p.Number != approval.Number(corp, in.ID, expense, 1) || len(p.Mistakes) != 3 {
		t.Fatalf("%+v %v", p, err)
	}
	text, err := p.Model.MarshalJSON()
	if err != nil || !strings.Contains(string(text), `"FExpenseAmount":1000.50`) || !strings.Contains(string(text), `"FBillNo":"DD-`) {
		t.Errorf("%s %v", text, err)
	}
	if n := r.calls(".Save."); n != 0 || len(r.king.Bills("")) != 0 || len(r.ding.Comments("")) != 0 {
		t.Error("a preview wrote")
	}
	dry := reimburse()
	dry.Preview = true
	tried := start(t, 1, dry)
	over := tried.agreed("1001", form("dry", "1"))
	tried.take(over)
	tried.work()
	swept, err := tried.Sweep(t.Context(), time.Hour)
	if p, perr := tried.Preview(t.Context(), process, over.ID); perr != nil || err != nil || !p.Agreed || p.Rule != dry.Name || swept.Seen != 0 || len(tried.king.Bills("")) != 0 {
		t.Errorf("a rule that is only previewed: %+v %v, %+v %v", p, perr, swept, err)
	}
	if _, err := r.Preview(t.Context(), "", "neverwas"); err == nil {
		t.Error("an approval that is not there has a preview")
	}
}

// TestTemplatesBook takes an approval through each further template (F60).
func TestTemplatesBook(t *testing.T) {
	words := map[string]map[string]string{"departments": {"*": "BM000001"}, "materials": {"螺丝": "M001"}, "customers": {"第一客户": "CUST0001"}}
	rule := reimburse()
	rule.Dictionaries, rule.Aliases = words, nil
	values := []dingtalksim.FormValue{
		{ID: "customer", Name: "客户", Type: "TextField", Value: "第一客户"},
		{ID: "details", Name: "明细", Type: "TableField", Rows: [][]dingtalksim.FormValue{{
			{ID: "material", Name: "物料", Type: "TextField", Value: "螺丝"},
			{ID: "quantity", Name: "数量", Type: "NumberField", Value: "3"},
			{ID: "price", Name: "价", Type: "MoneyField", Value: "0.07"},
		}}},
	}
	for template, form := range map[string]string{"purchase-request": "PUR_Requisition", "sales-order": "SAL_SaleOrder"} {
		rule.Template, rule.Name = template, template
		r := start(t, 1, rule)
		_, err := r.king.Put("", kingdeesim.Document{Form: "BD_MATERIAL", Model: map[string]any{"FNumber": "M001", "FName": "螺丝"}})
		r.must(err)
		in := r.agreed("1001", values)
		r.take(in)
		r.work()
		bills := r.king.Bills(form)
		if len(bills) != 1 || bills[0].Status != "B" || bills[0].Number != approval.Number(corp, in.ID, form, 1) || bills[0].Fields["FNote"] != in.ID || len(bills[0].Entries) != 1 {
			t.Errorf("%s: %+v, %+v", template, bills, r.item(in).Failure)
		}
	}
}

// TestNoRemark: a form without a field for the approval's id is refused, because
// its bills could not be told apart once Kingdee gave them numbers of its own.
func TestNoRemark(t *testing.T) {
	r := start(t, 1)
	rule := reimburse()
	rule.Template, rule.Form, rule.Header = "", "AP_Payable", []approval.Field{{Key: "FDate", From: "@finished", As: approval.AsDay}}
	_, err := newBooker(r.dingURL, r.kingURL, approval.Config{People: r.staff, Recorder: r.log, Rules: []approval.Rule{rule}}, r.queue)
	if err == nil || !strings.Contains(err.Error(), "data_centres.forms.bills") {
		t.Errorf("%v", err)
	}
}

// TestRenumbered: where Kingdee gives a bill another number, its remark finds it.
func TestRenumbered(t *testing.T) {
	r := start(t, 1)
	in := r.agreed("1001", form("renumbered", "12.34", "0.01"))
	_, err := r.king.Put("", kingdeesim.Document{Form: expense, Model: map[string]any{
		"FBillNo": "FYBX000777", "FDate": "2026-05-04", "FProposerID": "1001", "FRequestDeptID": "BM000001", "FOrgID": "100", "FCausa": "x (" + in.ID + ")",
	}})
	r.must(err)
	r.take(in)
	r.work()
	bills := r.king.Bills(expense)
	if len(bills) != 1 || bills[0].Status != "B" || !strings.Contains(r.ding.Comments(in.ID)[0].Text, "FYBX000777") {
		t.Errorf("%+v %+v", bills, r.ding.Comments(in.ID))
	}
}

// TestForeignID: whoever writes another approval's id into their own neither
// takes its bill nor keeps it from being made.
func TestForeignID(t *testing.T) {
	r := start(t, 2)
	victim := r.agreed("1001", form("mine", "12.34", "0.01"))
	thief := r.agreed("1002", form("as in ("+victim.ID+")", "12.34", "0.01"))
	r.take(thief)
	r.work()
	r.take(victim)
	r.work()
	r.rightly(victim)
	r.rightly(thief)
}
