package dingtalk_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
)

// TestSimProbes proves F32: each probe of a permission passes where it is granted, by
// a question that leaves nothing behind, and names the permission where it is not. A
// range that leaves the root out proves the permission all the same.
func TestSimProbes(t *testing.T) {
	u := newTown(t)
	probes := map[string]func(context.Context) error{
		"qyapi_get_department_list":   u.ProbeDepartments,
		"qyapi_get_department_member": u.ProbeMembers,
		"Workflow.Instance.Read":      func(ctx context.Context) error { return u.ProbeApprovals(ctx, "PROC-1") },
		"Workflow.Instance.Write":     u.ProbeComments,
		"":                            u.ProbeStream,
	}
	pass := func(when string) {
		for scope, probe := range probes {
			if err := probe(ctx); err != nil {
				t.Errorf("%s, %s: %v", when, scope, err)
			}
		}
	}
	pass("all granted")
	if err := u.sim.ChangeApp(keyA, func(a *dingtalksim.App) {
		a.Range = &dingtalksim.Range{Departments: []int64{}, Users: []string{"zhangsan"}}
	}); err != nil {
		t.Fatal(err)
	}
	pass("a narrow range")
	if strings.Contains(u.log.String(), "level=ERROR") {
		t.Errorf("a probe alarms: %s", u.log)
	}
	if err := u.sim.ChangeApp(keyA, func(a *dingtalksim.App) { a.Permissions = []string{"qyapi_base"} }); err != nil {
		t.Fatal(err)
	}
	for scope, probe := range probes {
		call, _ := errors.AsType[*dingtalk.CallError](probe(ctx))
		if scope == "" {
			continue // a ticket hangs on no permission
		}
		if call == nil || call.Permission != scope || !strings.Contains(call.ApplyLink, keyA) && strings.HasPrefix(scope, "qyapi") {
			t.Errorf("%s: %+v", scope, call)
		}
	}
}

// TestSimProbeRefusals: what is refused for another reason keeps that reason.
func TestSimProbeRefusals(t *testing.T) {
	u := newTown(t)
	u.fault(t, dingtalksim.Fault{Kind: "errcode", Match: "instanceIds", Status: 400, ErrCode: "invalidProcessCode"})
	if call, _ := errors.AsType[*dingtalk.CallError](u.ProbeApprovals(ctx, "PROC-9")); call == nil || !call.WrongProcess() {
		t.Errorf("process: %+v", call)
	}
	u.fault(t, dingtalksim.Fault{Kind: "errcode", Match: "connections/open", Status: 401, ErrCode: "authFailed"})
	if err := u.ProbeStream(ctx); identity.KindOf(err) != identity.Misconfigured {
		t.Errorf("stream: %v", err)
	}
	if err := u.ProbeAgent(ctx); !errors.Is(err, dingtalk.ErrUntold) {
		t.Errorf("a task that nobody sent: %v", err)
	}
	if strings.Contains(u.log.String(), "operation=sendprogress") {
		t.Errorf("a probe alarms: %s", u.log)
	}
	other := u.client(t, corpA, keyA, secretA, func(c *dingtalk.Config) { c.AgentID = "999" })
	if call, _ := errors.AsType[*dingtalk.CallError](other.ProbeAgent(ctx)); call == nil || !call.WrongAgent() {
		t.Errorf("another's AgentId: %+v", call)
	}
	if err := u.client(t, corpA, keyA, secretA, func(c *dingtalk.Config) { c.AgentID = "" }).ProbeAgent(ctx); identity.KindOf(err) != identity.Misconfigured {
		t.Errorf("no AgentId: %v", err)
	}
	if sent := u.sim.Messages(""); len(sent) != 0 {
		t.Errorf("a probe sent something: %+v", sent)
	}
}
