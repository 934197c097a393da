package kingdee_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
)

const expense = "ER_ExpReimbursement"

// reimbursement is what an approval becomes.
func reimbursement(number, instance string) kingdee.Model {
	return kingdee.Model{
		{Key: "FID", Value: 0},
		{Key: "FBillNo", Value: number},
		{Key: "FBillTypeID", Value: kingdee.Number("FYBXD001_SYS")},
		{Key: "FDate", Value: kingdee.Day(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))},
		{Key: "FProposerID", Value: kingdee.StaffNumber("1001")},
		{Key: "FRequestDeptID", Value: kingdee.Number("BM000001")},
		{Key: "FOrgID", Value: kingdee.Number("100")},
		{Key: "FCausa", Value: "出差 " + instance},
		{Key: "FEntity", Value: []kingdee.Model{
			{{Key: "FExpID", Value: kingdee.Number("CI001")}, {Key: "FExpenseAmount", Value: kingdee.Decimal("9007199254740993.01")}},
			{{Key: "FExpID", Value: kingdee.Number("CI002")}, {Key: "FExpenseAmount", Value: kingdee.Decimal("0.10")}},
		}},
	}
}

// TestBillLife takes a bill through look-up, save, submit and audit (F60), right
// to the last cent (F62).
func TestBillLife(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil).Background()
	ctx := t.Context()
	if found, err := c.FindBill(ctx, expense, "DD-AAA", "proc-1"); err != nil || len(found) != 0 {
		t.Fatal(found, err)
	}
	bill, err := c.SaveBill(ctx, expense, reimbursement("DD-AAA", "proc-1"))
	if err != nil || bill.Number != "DD-AAA" || bill.ID == "" {
		t.Fatal(bill, err)
	}
	for _, ask := range [][2]string{{"DD-AAA", ""}, {"", "proc-1"}, {"DD-AAA", "proc-1"}, {"other", "proc-1"}} {
		found, err := c.FindBill(ctx, expense, ask[0], ask[1])
		if err != nil || len(found) != 1 || found[0].ID != bill.ID || found[0].Status != "A" || !strings.Contains(found[0].Remark, "proc-1") {
			t.Errorf("%v: %+v %v", ask, found, err)
		}
	}
	for i, step := range []kingdee.Operation{kingdee.OpAudit, kingdee.OpSubmit, kingdee.OpSubmit, kingdee.OpAudit, kingdee.OpDelete} {
		got, err := c.Operate(ctx, expense, step, bill.ID)
		if err != nil || (got[0].Err == nil) != (i == 1 || i == 3) { // the others come in a wrong state (SIM-K70)
			t.Errorf("step %d, %s: %v %v", i, step, got, err)
		}
	}
	if _, err := c.SaveBill(ctx, expense, reimbursement("DD-AAA", "proc-1").Set("FID", kingdee.Decimal(bill.ID))); refusal(err) == nil {
		t.Errorf("an audited bill was changed: %v", err)
	}
	record, err := c.View(ctx, expense, bill.ID)
	if err != nil {
		t.Fatal(err)
	}
	rows := record.Entries("ER_ExpenseReimbEntry")
	if record.Text("DocumentStatus", 2052) != "C" || record.Text("ExpAmountSum", 2052) != "9007199254740993.11" || len(rows) != 2 ||
		rows[0].Text("ExpenseAmount", 2052) != "9007199254740993.01" || rows[1].Sub("ExpID").Text("Name", 2052) != "办公费" ||
		record.Text("Date", 2052) != "2026-05-04T00:00:00" {
		t.Errorf("%+v", record)
	}
	cells, err := c.Query(ctx, kingdee.Query{Form: expense, Fields: []string{"FBillNo", "FExpID.FNumber", "FExpenseAmount", "FProposerID.FNumber"}, Filter: kingdee.Equals("FBillNo", "DD-AAA")})
	if err != nil || fmt.Sprint(cells) != "[[DD-AAA CI001 9007199254740993.01 1001] [DD-AAA CI002 0.10 1001]]" {
		t.Errorf("%v %v", cells, err)
	}
	for _, set := range []kingdeesim.Switches{{NullStatus: true}, {SlashDates: true}, {TextIDs: true, TextCodes: true}} {
		s.sim.SetSwitches(set)
		if record, err = c.View(ctx, expense, bill.ID); err != nil {
			t.Fatal(err)
		}
		if day, err := kingdee.ParseTime(record.Text("Date", 2052)); err != nil || day.Format(time.DateTime) != "2026-05-04 00:00:00" || record.Text("Id", 2052) != bill.ID {
			t.Errorf("%+v: %s %v", set, day, err)
		}
	}
	if _, err := c.View(ctx, expense, "77"); identity.KindOf(err) != identity.NotFound {
		t.Errorf("no such bill: %v", err)
	}
}

// TestBillRefused proves that each objection comes with its field (SIM-K64), and
// that nothing was written.
func TestBillRefused(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil)
	if err := s.sim.ClosePeriods("", "2026-03"); err != nil {
		t.Fatal(err)
	}
	broken := reimbursement("DD-B", "p").Set("FOrgID", kingdee.Number("404")).Set("FDate", "2026-03-31").Set("FRequestDeptID", "")
	_, err := c.SaveBill(t.Context(), expense, broken)
	no := refusal(err)
	if no == nil || no.MsgCode != "11" || errors.Is(err, kingdee.ErrAmbiguous) {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for _, e := range no.Errors {
		fields[e.Field] += e.Message
	}
	for field, part := range map[string]string{"FOrgID": "不存在", "FDate": "已结账", "FRequestDeptID": "必录"} {
		if !strings.Contains(fields[field], part) {
			t.Errorf("%s: %v", field, fields)
		}
	}
	if n := len(s.sim.Bills(expense)); n != 0 {
		t.Errorf("%d bills", n)
	}
	if _, err := c.SaveBill(t.Context(), expense, kingdee.Model{{Key: "FAmount", Value: 0.1}}); identity.KindOf(err) != identity.Invalid || !errors.Is(err, kingdee.ErrValue) {
		t.Errorf("a float: %v", err)
	}
	if got, err := c.FindBill(t.Context(), expense, "x' or '1'='1", ""); identity.KindOf(err) != identity.Invalid {
		t.Errorf("T27: %v %v", got, err)
	}
	if got, err := c.FindBill(t.Context(), expense, "", ""); identity.KindOf(err) != identity.Invalid {
		t.Errorf("looked up by nothing: %v %v", got, err)
	}
}

// TestAmbiguousWrites proves R19 and SIM-K72: a write that may have taken effect
// is sent once, its error says so, and a look-up tells.
func TestAmbiguousWrites(t *testing.T) {
	for kind, there := range map[string]int{
		kingdeesim.FaultAfter: 1, kingdeesim.FaultHang: 1, kingdeesim.FaultTruncate: 1, kingdeesim.FaultGarbage: 1, kingdeesim.FaultDuplicateKey: 1,
		kingdeesim.FaultReset: 0, kingdeesim.FaultStatus: 0, kingdeesim.FaultHTMLBan: 0, kingdeesim.FaultResponseError: 0,
	} {
		t.Run(kind, func(t *testing.T) {
			s := newStage(t, nil)
			c := s.client(t, nil)
			if err := s.sim.AddFault(kingdeesim.Fault{Match: ".Save.", Kind: kind}); err != nil {
				t.Fatal(err)
			}
			_, err := c.SaveBill(t.Context(), expense, reimbursement("DD-C", "p"))
			if !errors.Is(err, kingdee.ErrAmbiguous) || refusal(err) != nil {
				t.Errorf("%v", err)
			}
			if n := s.calls(".Save."); n > 1 { // a cut call may not be in the log yet
				t.Errorf("sent %d times", n)
			}
			if found, err := c.FindBill(t.Context(), expense, "DD-C", "p"); err != nil || len(found) != there {
				t.Errorf("%v %v", found, err)
			}
		})
	}
}

// TestUnprocessedWrites proves that what Kingdee plainly did not do is no doubt:
// the call limit, a record in use, a refused connection.
func TestUnprocessedWrites(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil)
	bill, err := c.SaveBill(t.Context(), expense, reimbursement("DD-D", "p"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.sim.Open("", expense, "DD-D", "zhangsan"); err != nil {
		t.Fatal(err)
	}
	got, err := c.Submit(t.Context(), expense, bill.ID)
	if err != nil || refusal(got[0].Err) == nil || !refusal(got[0].Err).InUse() {
		t.Errorf("in use: %v %v", got, err)
	}
	if n := s.calls(".Submit."); n != 3 { // MsgCode 13 says "try again", so it is tried again
		t.Errorf("%d tries", n)
	}
	if err := s.sim.AddFault(kingdeesim.Fault{Match: ".Save.", Kind: kingdeesim.FaultQuota}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SaveBill(t.Context(), expense, reimbursement("DD-E", "p")); identity.KindOf(err) != identity.Throttled || errors.Is(err, kingdee.ErrAmbiguous) {
		t.Errorf("call limit: %v", err)
	}
	other := newStage(t, nil)
	gone := other.client(t, nil)
	other.web.Close()
	if _, err := gone.SaveBill(t.Context(), expense, reimbursement("DD-F", "p")); identity.KindOf(err) != identity.Unavailable || errors.Is(err, kingdee.ErrAmbiguous) {
		t.Errorf("refused connection: %v", err)
	}
}

// TestRacingWorkers proves R33: twenty workers post the same bill at once, and
// Kingdee's number lets one of them through.
func TestRacingWorkers(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, func(cfg *kingdee.Config) { cfg.API.MaxSessions, cfg.API.MaxConcurrency = 8, 8 }).Background()
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() { _, errs[i] = c.SaveBill(t.Context(), expense, reimbursement("DD-RACE", "p")) })
	}
	wg.Wait()
	saved := 0
	for _, err := range errs {
		switch {
		case err == nil:
			saved++
		case refusal(err) == nil || !refusal(err).Duplicate():
			t.Error(err)
		}
	}
	if n := len(s.sim.Bills(expense)); n != 1 || saved != 1 {
		t.Errorf("%d bills, %d workers say saved", n, saved)
	}
}

// TestKilledCaller proves R30 from the caller's side: it goes away at each of
// four points of a Save. What it then finds decides, and there is one bill.
func TestKilledCaller(t *testing.T) {
	for _, test := range []struct {
		at        string
		ambiguous bool
		there     int
	}{{kingdeesim.HoldHeaders, true, 0}, {kingdeesim.HoldExecuted, true, 1}, {kingdeesim.HoldReply, true, 1}, {kingdeesim.HoldAfter, false, 1}} {
		t.Run(test.at, func(t *testing.T) {
			s := newStage(t, nil)
			c := s.client(t, nil)
			if err := s.sim.AddFault(kingdeesim.Fault{Match: ".Save.", Kind: kingdeesim.FaultHold, At: test.at}); err != nil {
				t.Fatal(err)
			}
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			done := make(chan error, 1)
			go func() {
				_, err := c.SaveBill(ctx, expense, reimbursement("DD-K", "proc-k"))
				done <- err
			}()
			if _, err := s.sim.AwaitHeld(t.Context()); err != nil {
				t.Fatal(err)
			}
			if test.at == kingdeesim.HoldAfter {
				if err := <-done; err != nil { // the whole answer has come
					t.Fatal(err)
				}
				kill()
			} else {
				kill()
				if err := <-done; errors.Is(err, kingdee.ErrAmbiguous) != test.ambiguous {
					t.Errorf("%v", err)
				}
			}
			s.sim.Release(0, true)
			again := s.client(t, nil) // the gateway after its restart
			found, err := again.FindBill(t.Context(), expense, "DD-K", "proc-k")
			if err != nil || len(found) != test.there {
				t.Fatalf("%v %v", found, err)
			}
			if len(found) == 0 {
				if _, err := again.SaveBill(t.Context(), expense, reimbursement("DD-K", "proc-k")); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(s.sim.Bills(expense)); n != 1 {
				t.Errorf("%d bills", n)
			}
		})
	}
}

// TestPeopleFirst proves that jobs leave a session to people: however many wait
// in the background, a person is answered while a job's call hangs (R20, R29).
func TestPeopleFirst(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil)
	if err := s.sim.AddFault(kingdeesim.Fault{Match: ".Save.", Kind: kingdeesim.FaultHold, At: kingdeesim.HoldExecuted, Times: -1}); err != nil {
		t.Fatal(err)
	}
	var jobs sync.WaitGroup
	for i := range 5 {
		jobs.Go(func() {
			if _, err := c.Background().SaveBill(t.Context(), expense, reimbursement(fmt.Sprint("DD-", i), "p")); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := s.sim.AwaitHeld(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if staff, err := c.StaffByNumber(t.Context(), "1001"); err != nil || len(staff) != 1 {
			t.Errorf("a person waits for a job: %v", err)
		}
	}
	if n := len(s.sim.Held()); n != 1 {
		t.Errorf("%d jobs at once with two sessions", n)
	}
	s.sim.ClearFaults()
	s.sim.Release(0, false)
	jobs.Wait()
	if n := len(s.sim.Bills(expense)); n != 5 {
		t.Errorf("%d bills", n)
	}
}

// TestVoucher posts a balanced voucher and is refused an unbalanced one.
func TestVoucher(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil)
	voucher := func(credit kingdee.Decimal) kingdee.Model {
		return kingdee.Model{
			{Key: "FVoucherID", Value: 0},
			{Key: "FDate", Value: "2026-05-04"},
			{Key: "FAccountBookID", Value: kingdee.Number("001")},
			{Key: "FVOUCHERGROUPID", Value: kingdee.Number("PRE001")},
			{Key: "FEntity", Value: []kingdee.Model{
				{
					{Key: "FEXPLANATION", Value: "报销 (inst-1)"},
					{Key: "FACCOUNTID", Value: kingdee.Number("6602")},
					{Key: "FDetailID", Value: kingdee.Model{{Key: "FDETAILID__FFLEX7", Value: kingdee.Number("1001")}}},
					{Key: "FDEBIT", Value: kingdee.Decimal("0.30")},
				},
				{{Key: "FACCOUNTID", Value: kingdee.Number("2241")}, {Key: "FCREDIT", Value: credit}},
			}},
		}
	}
	if _, err := c.SaveBill(t.Context(), "GL_VOUCHER", voucher("0.29")); refusal(err) == nil {
		t.Errorf("unbalanced: %v", err)
	}
	bill, err := c.SaveBill(t.Context(), "GL_VOUCHER", voucher("0.30"))
	if err != nil {
		t.Fatal(err)
	}
	if found, err := c.FindBill(t.Context(), "GL_VOUCHER", bill.Number, ""); err != nil || len(found) != 1 || found[0].ID != bill.ID {
		t.Errorf("%v %v", found, err)
	}
	if found, err := c.FindBill(t.Context(), "GL_VOUCHER", "", "inst-1"); err != nil || len(found) != 1 || found[0].ID != bill.ID {
		t.Errorf("by the summary of its first row: %v %v", found, err)
	}
	if _, err := c.SaveBill(t.Context(), "GL_VOUCHER", voucher("0.30")); refusal(err) == nil || !refusal(err).Repeated() {
		t.Errorf("the same voucher again: %v", err)
	}
}
