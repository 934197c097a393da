package checkup_test

import (
	"maps"
	"slices"
	"testing"

	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/internal/checkup"
)

// F32: what an application is used for beside sign-ins is tested, and each refusal is
// told apart with words of its own; what only a message would prove is never called
// fine.
func TestUses(t *testing.T) {
	all := checkup.App{
		Directory: true, Events: "stream", Approvals: []string{"PROC-1"}, Comments: true, Notices: true, Robots: []string{"ops"},
	}
	denied := &dingtalk.CallError{Permission: "Scope.It.Names", ApplyLink: "https://open.dingtalk.com/x"}
	wrong := kind(identity.Misconfigured)
	for name, c := range map[string]struct {
		probe  string
		err    error
		check  string
		status checkup.Status
		cause  string
	}{
		"stream":             {"stream", nil, "stream", checkup.OK, ""},
		"no ticket":          {"stream", wrong, "stream", checkup.Fault, "dingtalk-stream"},
		"no way out":         {"stream", kind(identity.Unavailable), "stream", checkup.Fault, "dingtalk-unreachable"},
		"departments":        {"departments", denied, "qyapi_get_department_list", checkup.Fault, "dingtalk-permission"},
		"members":            {"members", denied, "qyapi_get_department_member", checkup.Fault, "dingtalk-permission"},
		"approvals":          {"PROC-1", denied, "Workflow.Instance.Read", checkup.Fault, "dingtalk-permission"},
		"comments":           {"comments", denied, "Workflow.Instance.Write", checkup.Fault, "dingtalk-permission"},
		"nothing sent":       {"agent", nil, "notices", checkup.Unknown, "dingtalk-notices"},
		"nothing told":       {"agent", dingtalk.ErrUntold, "notices", checkup.Unknown, "dingtalk-notices"},
		"no AgentId":         {"agent", wrong, "notices", checkup.Fault, "dingtalk-agent"},
		"no right to notify": {"agent", denied, "notices", checkup.Fault, "dingtalk-permission"},
		"robots":             {"", nil, "robot ops", checkup.Unknown, "dingtalk-robot"},
	} {
		t.Run(name, func(t *testing.T) {
			found := examine(t, checkup.DingTalkPeer("dingcorp1", ding{report: report(), uses: map[string]error{c.probe: c.err}}, all))
			item, there := found[c.check]
			if !there || item.Status != c.status || item.Cause != c.cause || item.Peer != "dingtalk/dingcorp1" {
				t.Errorf("%+v, want %s %s", item, c.status, c.cause)
			}
			for check, other := range found {
				if check != c.check && other.Status == checkup.Fault {
					t.Errorf("%s is spoiled: %+v", check, other)
				}
			}
		})
	}
}

// What nothing is used for is not asked: a permission that is not needed is nobody's
// fault.
func TestUnused(t *testing.T) {
	found := examine(t, checkup.DingTalkPeer("dingcorp1", ding{report: report(dingtalk.Check{Name: "token"})}, checkup.App{Events: "callback"}))
	if got, want := slices.Sorted(maps.Keys(found)), []string{"clock", "egress", "events", "quota", "range", "token"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
