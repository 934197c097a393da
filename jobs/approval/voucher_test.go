package approval_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/kingdee/kingdeesim"
	"kdgate/store/storetest"
)

const formVoucher = "GL_VOUCHER"

// bookkeeping is the shipped template of vouchers with the accounts of the test.
func bookkeeping() approval.Rule {
	return approval.Rule{
		Name: "付款凭证", Process: process, DataCentre: "live", Since: begin, Template: "voucher",
		Dictionaries: map[string]map[string]string{"accounts": {"办公": "6602", "现金": "1001"}},
	}
}

// spent is a filled-in form of the template: subjects and amounts in turn.
func spent(reason string, pairs ...string) []dingtalksim.FormValue {
	rows := [][]dingtalksim.FormValue{}
	for i := 0; i+1 < len(pairs); i += 2 {
		rows = append(rows, []dingtalksim.FormValue{
			{ID: "subject", Name: "科目", Type: "DDSelectField", Value: pairs[i]}, {ID: "amount", Name: "金额", Type: "MoneyField", Value: pairs[i+1]},
		})
	}
	return []dingtalksim.FormValue{
		{ID: "reason", Name: "事由", Type: "TextareaField", Value: reason}, {ID: "details", Name: "明细", Type: "TableField", Rows: rows},
	}
}

// vouchers are those of an instance, by the summary of their first row.
func (r *rig) vouchers(in dingtalksim.Instance) (list []kingdeesim.BillInfo) {
	r.t.Helper()
	for _, bill := range r.king.Bills(formVoucher) {
		if strings.Contains(fmt.Sprint(bill.Entries[0]["FEXPLANATION"]), "("+in.ID) {
			list = append(list, bill)
		}
	}
	return list
}

// voucher is the one voucher of an instance, handed in.
func (r *rig) voucher(in dingtalksim.Instance) kingdeesim.BillInfo {
	r.t.Helper()
	list := r.vouchers(in)
	if len(list) != 1 || list[0].Status != "B" {
		r.t.Fatalf("%d vouchers of %s: %+v", len(list), in.ID, list)
	}
	return list[0]
}

// TestVoucher proves F60 for vouchers: debits by row, one credit of their sum, the
// employee as its dimension, Kingdee's running number in the comment.
func TestVoucher(t *testing.T) {
	r := start(t, 1, bookkeeping())
	first, second := r.agreed("1001", spent("买纸", "办公", "0.1", "现金", "0.2")), r.agreed("1001", spent("买笔", "办公", "9007199254740993.01"))
	r.take(first)
	r.work()
	r.take(second)
	r.work()
	bill := r.voucher(first)
	now := time.Now().UTC().Add(8 * time.Hour)
	if bill.Number != "1" || bill.Fields["FYear"] != now.Format("2006") || bill.Fields["FPeriod"] != now.Format("1") || bill.Fields["FVOUCHERGROUPID"] != "PRE001" || bill.Fields["FAccountBookID"] != "001" {
		t.Errorf("%+v", bill)
	}
	want := []map[string]any{
		{"FEXPLANATION": "买纸 (" + first.ID + ")", "FACCOUNTID": "6602", "FDC": "1", "FDEBIT": "0.1"},
		{"FEXPLANATION": "买纸", "FACCOUNTID": "1001", "FDC": "1", "FDEBIT": "0.2"},
		{"FEXPLANATION": "买纸", "FACCOUNTID": "2241", "FDC": "2", "FCREDIT": "0.3"},
	}
	for i, row := range want {
		for key, value := range row {
			if got := bill.Entries[i][key]; got != value {
				t.Errorf("row %d: %s is %v, want %v", i+1, key, got, value)
			}
		}
	}
	if got := fmt.Sprint(bill.Entries[2]["FDetailID"]); !strings.Contains(got, `"FDETAILID__FFLEX7":{"FNumber":"1001"`) {
		t.Errorf("the dimension is %s", got)
	}
	if next := r.voucher(second); next.Number != "2" || next.Entries[1]["FCREDIT"] != "9007199254740993.01" {
		t.Errorf("%+v", next)
	}
	if said := r.ding.Comments(first.ID); len(said) != 1 || !strings.Contains(said[0].Text, fmt.Sprintf("1 号（内码 %d）", bill.ID)) {
		t.Errorf("%+v", said)
	}
	p, err := r.Preview(t.Context(), process, first.ID)
	if err != nil || p.Number != "" || p.Form != formVoucher || len(p.Mistakes) != 0 {
		t.Errorf("%+v %v", p, err)
	}
}

// TestVoucherMistakes: a voucher whose sides are not equal to the cent is not
// posted, and a person is told.
func TestVoucherMistakes(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(credit []approval.Field)
		amount string
		words  string
	}{
		"unbalanced":   {func(f []approval.Field) { f[6] = approval.Field{Key: "FCREDIT", Const: "1.00", As: approval.AsDecimal} }, "1.01", "the debits are 1.01 and the credits 1"},
		"no cents":     {func([]approval.Field) {}, "0.005", "whole cents"},
		"no amount":    {func([]approval.Field) {}, "0.00", "exactly one side"},
		"a wrong side": {func(f []approval.Field) { f[4] = approval.Field{Key: "FDC", Const: "1"} }, "1", "FDC names the other side"},
	} {
		t.Run(name, func(t *testing.T) {
			rule := bookkeeping()
			credit := []approval.Field{
				{Key: "FEXPLANATION", From: "reason"},
				{Key: "FACCOUNTID", Const: "2241", As: approval.AsNumber},
				{Key: "FDetailID.FDETAILID__FFLEX7", From: "@originator", As: approval.AsEmployee},
				{Key: "FCURRENCYID", Const: "PRE001", As: approval.AsNumber},
				{Key: "FDC", Const: "2"},
				{Key: "FAMOUNTFOR", Expr: `total("details", "amount")`, As: approval.AsDecimal},
				{Key: "FCREDIT", Expr: `total("details", "amount")`, As: approval.AsDecimal},
			}
			tc.change(credit)
			rule.Template, rule.Form = "", formVoucher
			rule.Header = []approval.Field{
				{Key: "FAccountBookID", Const: "001", As: approval.AsNumber}, {Key: "FVOUCHERGROUPID", Const: "PRE001", As: approval.AsNumber}, {Key: "FDate", From: "@finished", As: approval.AsDay},
			}
			rule.Rows = []approval.Table{
				{Entry: "FEntity", From: "details", Fields: []approval.Field{{Key: "FACCOUNTID", From: "subject", As: approval.AsNumber, Dictionary: "accounts"}, {Key: "FDEBIT", From: "amount", As: approval.AsDecimal}}},
				{Entry: "FEntity", Fields: credit},
			}
			r := start(t, 1, rule)
			in := r.agreed("1001", spent("x", "办公", tc.amount))
			r.take(in)
			r.work()
			if it := r.item(in); it.State != jobs.Dead || !strings.Contains(it.Failure.Words, tc.words) || r.calls(".Save.") != 0 {
				t.Errorf("%+v", it.Failure)
			}
		})
	}
}

// TestVoucherOnce proves R33 and R35 where Kingdee gives the numbers: after every
// kind of lost answer, and for a replica that is frozen past its lease in the
// middle of the Save, there is one voucher.
func TestVoucherOnce(t *testing.T) {
	for name, f := range map[string]kingdeesim.Fault{
		"save done, 500":   {Match: ".Save.", Kind: kingdeesim.FaultAfter},
		"save done, cut":   {Match: ".Save.", Kind: kingdeesim.FaultHang},
		"save garbled":     {Match: ".Save.", Kind: kingdeesim.FaultGarbage},
		"save not done":    {Match: ".Save.", Kind: kingdeesim.FaultReset},
		"submit done, 500": {Match: ".Submit.", Kind: kingdeesim.FaultAfter},
		"look-up fails":    {Match: ".ExecuteBillQuery.", Kind: kingdeesim.FaultStatus, Status: 500, Times: 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, 1, bookkeeping())
			in := r.agreed("1001", spent("x", "办公", "0.30"))
			r.must(r.king.AddFault(f))
			r.take(in)
			r.work()
			r.voucher(in)
		})
	}
	for _, at := range []string{kingdeesim.HoldHeaders, kingdeesim.HoldExecuted} {
		t.Run("frozen "+at, func(t *testing.T) {
			r := start(t, 1, bookkeeping())
			redis := storetest.StartRedis(t)
			in := r.agreed("1001", spent("x", "办公", "0.30"))
			r.must(r.king.AddFault(kingdeesim.Fault{Match: ".Save.", Kind: kingdeesim.FaultHold, At: at}))
			w := worker{Store: "redis:" + redis.Addr, Instances: []string{in.ID}, Rule: "voucher"}
			frozen := r.spawn(w)
			if _, err := r.king.AwaitHeld(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.must(frozen.Process.Signal(syscall.SIGSTOP))
			if err := <-r.spawn(worker{Store: w.Store, Rule: w.Rule}).ended; err != nil {
				t.Fatalf("the other replica: %v", err)
			}
			r.king.Release(0, false)
			r.must(frozen.Process.Signal(syscall.SIGCONT))
			if err := <-frozen.ended; err != nil {
				t.Errorf("the frozen replica: %v", err)
			}
			r.voucher(in)
		})
	}
}

// TestVoucherRefused: what Kingdee refused is sent again once it is put right,
// although Kingdee was asked to refuse the same data twice; and data that it
// knows and does not show is for a person to look at.
func TestVoucherRefused(t *testing.T) {
	r := start(t, 1, bookkeeping())
	r.must(r.king.ClosePeriods("", time.Now().UTC().Add(8*time.Hour).Format("2006-01")))
	in := r.agreed("1001", spent("x", "办公", "0.30"))
	r.take(in)
	r.work()
	if it := r.item(in); it.State != jobs.Dead || !strings.Contains(it.Failure.Words, "结账") {
		t.Fatalf("%+v", it.Failure)
	}
	r.must(r.king.ClosePeriods("", ""))
	_, err := r.queue.Replay(t.Context(), cli, r.item(in).ID)
	r.must(err)
	r.work()
	if bill := r.voucher(in); !strings.HasSuffix(fmt.Sprint(bill.Entries[0]["FEXPLANATION"]), "("+in.ID+"/5)") {
		t.Errorf("%+v", bill.Entries)
	}
	lost := r.agreed("1001", spent("y", "办公", "0.30"))
	r.must(r.king.AddFault(kingdeesim.Fault{Match: ".Save.", Kind: kingdeesim.FaultErrCode, Code: 11, Text: "重复的请求：相同的JSON数据已经提交过"}))
	r.take(lost)
	r.work()
	if it := r.item(lost); it.State != jobs.Dead || it.Tries != 1 || !strings.Contains(it.Failure.Words, "look there first") {
		t.Fatalf("%+v", it)
	}
	_, err = r.queue.Replay(t.Context(), cli, r.item(lost).ID)
	r.must(err)
	r.work()
	r.voucher(lost)
}
