package app

import (
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/internal/checkup"
	"kdgate/internal/localapi"
	"kdgate/jobs"
	"kdgate/jobs/approval"
)

const yidaSection = `
approvals:
  - name: 宜搭报销
    mode: on
    source: yida
    process: ` + dingtalksim.SampleYidaForm + `
    since: 2026-01-01
    template: expense-reimbursement
    aliases:
      - {name: reason, id: textareaField_reason}
      - {name: details, id: tableField_details}
      - {name: item, id: selectField_item}
      - {name: amount, id: numberField_amount}
      - {name: note, id: textField_note}
    dictionaries:
      - {name: departments, words: [{value: '*', text: BM000001}]}
      - {name: items, words: [{value: 差旅, text: CI001}]}
`

// withYida is the configuration with a Yida application and a rule about a form of
// it.
func (r *rig) withYida() []string {
	r.put("yida.token", dingtalksim.SampleYidaToken)
	return []string{
		"agent_id: 1001,", "agent_id: 1001, yida: [{app: " + dingtalksim.SampleYidaApp + ", system_token_file: yida.token, reader: \"1001\"}],",
		"mapping: {verify_max_age: 10m}", "mapping: {verify_max_age: 10m}" + yidaSection,
	}
}

func (r *rig) submitted() dingtalksim.YidaInstance {
	r.t.Helper()
	in, err := r.ding.StartYida(dingtalksim.YidaOrder{
		Form: dingtalksim.SampleYidaForm, Originator: "1001", Title: "报销", Data: dingtalksim.SampleYidaData("1001", "张三", "出差", "12.30"),
	})
	must(r.t, err)
	return in
}

// TestYidaByPolling proves F64 through the whole program: a submission that is
// agreed to in Yida becomes a bill by the next poll, and its number a remark; one
// that a poll missed is found by night.
func TestYidaByPolling(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load(r.withYida()...))
	r.mapped(s)
	for _, task := range []string{taskYida, taskApprovalsNightly} {
		in := r.submitted()
		_, err := r.ding.FinishYida(in.ID, "agree")
		must(t, err)
		must(t, s.schedule.RunNow(t.Context(), jobs.Actor{Name: "cli:test"}, task))
		r.booked("the submission is booked by "+task, dingtalksim.Instance{ID: in.ID})
	}
	if n := len(r.king.Bills("ER_ExpReimbursement")); n != 2 {
		t.Errorf("%d bills", n)
	}
	if strings.Contains(r.log.String(), dingtalksim.SampleYidaToken) {
		t.Error("the log tells the system token")
	}
}

// TestYidaPreviewed proves F61 for Yida: a command looks at a submission by its id.
func TestYidaPreviewed(t *testing.T) {
	r := newRig(t)
	core := r.core(r.load(r.withYida()...))
	in := r.submitted()
	client, closePort, err := core.LocalAPI(t.Context(), "tester")
	must(t, err)
	defer func() { must(t, closePort()) }()
	p, err := client.PreviewApproval(t.Context(), localapi.ApprovalOrder{Instance: in.ID})
	must(t, err)
	if p.Agreed || p.Number != approval.Number("dingcorp1", in.ID, "ER_ExpReimbursement", 1) || !strings.Contains(string(p.Model), `"FExpenseAmount":12.30`) {
		t.Errorf("%+v", p)
	}
}

// TestYidaChecked: the check-up reads each form that a rule is about, and names the
// permission that is missing.
func TestYidaChecked(t *testing.T) {
	r := newRig(t)
	core := r.core(r.load(r.withYida()...))
	look := func() checkup.Item {
		result, err := core.checkups.Do(t.Context(), "dingtalk/dingcorp1", audit.Event{Actor: audit.System}, nil)
		must(t, err)
		for _, item := range result.Items {
			if item.Check == "Yida.Process.Read" {
				return item
			}
		}
		t.Fatalf("no test of Yida: %+v", result.Items)
		return checkup.Item{}
	}
	if item := look(); item.Status != checkup.OK || item.Detail != dingtalksim.SampleYidaForm {
		t.Errorf("%+v", item)
	}
	must(t, r.ding.ChangeApp("dingapp1", func(a *dingtalksim.App) { a.Permissions = []string{"qyapi_base", "qyapi_get_member"} }))
	if item := look(); item.Status != checkup.Fault || item.Cause != "dingtalk-permission" || item.Values["scope"] != "Yida.Process.Read" {
		t.Errorf("%+v", item)
	}
}
