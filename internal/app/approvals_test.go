package app

import (
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/internal/localapi"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/rulebook"
	"kdgate/mapping"
)

const approvalsSection = `
approvals:
  - name: 费用报销
    mode: on
    process: PROC-1
    since: 2026-01-01
    template: expense-reimbursement
    aliases: [{name: reason, id: Text_1}, {name: details, id: Table_1}, {name: item, id: Choice_1}, {name: amount, id: Money_1}]
    dictionaries:
      - {name: departments, words: [{value: '*', text: BM000001}]}
      - {name: items, words: [{value: 差旅, text: CI001}]}
    header: [{key: FDate, from: '@created', as: day}]
`

func (r *rig) withApprovals(replace ...string) []string {
	return append(replace, "mapping: {verify_max_age: 10m}", "mapping: {verify_max_age: 10m}"+approvalsSection)
}

// reimbursed starts an approval of person 1001 and agrees to it; the simulator
// emits its events.
func (r *rig) reimbursed() dingtalksim.Instance {
	r.t.Helper()
	in, err := r.ding.StartApproval(dingtalksim.Approval{
		ProcessCode: "PROC-1", Originator: "1001", Title: "报销", Form: []dingtalksim.FormValue{
			{ID: "Text_1", Name: "事由", Type: "TextField", Value: "出差"},
			{ID: "Table_1", Name: "明细", Type: "TableField", Rows: [][]dingtalksim.FormValue{{
				{ID: "Choice_1", Name: "类型", Type: "DDSelectField", Value: "差旅"}, {ID: "Money_1", Name: "金额", Type: "MoneyField", Value: "12.30"},
			}}},
		},
	})
	must(r.t, err)
	in, err = r.ding.FinishApproval(in.ID, "agree")
	must(r.t, err)
	return in
}

func (r *rig) mapped(s *running) {
	r.t.Helper()
	who := mapping.KeyOf(identity.Subject{Corp: "dingcorp1", UserID: "1001"}, "live")
	_, err := s.Table().Create(r.t.Context(), mapping.Actor{Name: "cli:test", Admin: true}, mapping.Draft{Key: who, StaffNumber: "1001", LoginUser: "zhangsan"})
	must(r.t, err)
}

func (r *rig) booked(what string, in dingtalksim.Instance) {
	r.t.Helper()
	eventually(r.t, what, func() bool {
		for _, bill := range r.king.Bills("ER_ExpReimbursement") {
			if bill.Number == approval.Number("dingcorp1", in.ID, "ER_ExpReimbursement", 1) {
				return bill.Status == "B" && bill.Fields["FExpAmountSum"] == "12.30" && bill.Fields["FProposerID"] == "1001" && len(r.ding.Comments(in.ID)) == 1
			}
		}
		return false
	})
}

// TestApprovalByStream proves F60 and F64 through the whole program: an approval
// becomes a bill by its event, and one whose event never came by the search.
func TestApprovalByStream(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load(r.withApprovals()...))
	r.mapped(s)
	eventually(t, "the stream is open", func() bool { return len(r.ding.StreamConnections("dingapp1")) > 0 })
	r.booked("the approval of the event is booked", r.reimbursed())
	_, err := r.ding.AddFault(dingtalksim.Fault{Match: "EVENT bpms", Kind: "event-lost", Times: 2})
	must(t, err)
	missed := r.reimbursed()
	must(t, s.schedule.RunNow(t.Context(), jobs.Actor{Name: "cli:test"}, taskApprovals))
	r.booked("the missed approval is booked", missed)
}

// TestApprovalMistakes: a rule with a mistake is never in force, and all of them
// are told.
func TestApprovalMistakes(t *testing.T) {
	r := newRig(t)
	bad := strings.Replace(approvalsSection, "as: day", "as: dya, expr: '1 +'", 1)
	cfg := r.load("mapping: {verify_max_age: 10m}", "mapping: {verify_max_age: 10m}"+bad)
	core, err := OpenCore(t.Context(), r.options(cfg))
	if err == nil {
		must(t, core.Close())
		t.Fatal("it is in force")
	}
	for _, part := range []string{`"dya" is none`, "exactly one of from", "header.FDate.expr"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not told: %v", part, err)
		}
	}
}

// TestApprovalPreview proves F61: a command asks the running gateway what an
// approval would become; who looks is on record, and nothing is posted.
func TestApprovalPreview(t *testing.T) {
	r := newRig(t)
	core := r.core(r.load(r.withApprovals()...))
	in := r.reimbursed()
	client, closePort, err := core.LocalAPI(t.Context(), "tester")
	must(t, err)
	defer func() { must(t, closePort()) }()
	p, err := client.PreviewApproval(t.Context(), localapi.ApprovalOrder{Instance: in.ID})
	must(t, err)
	if !p.Agreed || p.Form != "ER_ExpReimbursement" || !strings.Contains(string(p.Model), `"FExpenseAmount":12.30`) || len(p.Mistakes) != 2 || p.Mistakes[0].Field != "FProposerID" {
		t.Errorf("%+v", p)
	}
	if n := len(r.king.Bills("")); n != 0 {
		t.Errorf("%d bills", n)
	}
	records, err := core.log.Search(t.Context(), audit.Query{Action: rulebook.ActionPreview})
	must(t, err)
	if len(records) != 1 || records[0].Target != in.ID || !strings.Contains(records[0].Actor, "tester") {
		t.Errorf("%+v", records)
	}
	if _, err := client.PreviewApproval(t.Context(), localapi.ApprovalOrder{Instance: in.ID, Corp: "dingother"}); err == nil {
		t.Error("an organisation without rules has a preview")
	}
}
