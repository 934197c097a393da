package app

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/internal/checkup"
	"kdgate/jobs"
	"kdgate/jobs/approval/rulebook"
	"kdgate/kingdee/kingdeesim"
)

// used is a configuration that uses everything a check-up asks about.
func (r *rig) used() []string {
	replace := r.withNotices("  - {name: dead, kind: dead_letters, to: [\"1001\"]}\n", r.withApprovals()...)
	at := slices.Index(replace, "mapping: {verify_max_age: 10m}")
	replace[at+1] += "directory: {mode: on, every: '@every 1h', default_position: GW0001}\n"
	return replace
}

// checked is one check-up by the name of each test, with the peer where two share one.
func checked(t *testing.T, core *Core) map[string]checkup.Item {
	t.Helper()
	result, err := core.checkups.Do(t.Context(), "", audit.Event{Actor: audit.System}, nil)
	must(t, err)
	found := map[string]checkup.Item{}
	for _, item := range result.Items {
		if kind, _, _ := strings.Cut(item.Peer, "/"); kind == "dingtalk" || kind == "kingdee" {
			found[item.Check] = item
		}
	}
	return found
}

// allPermissions are those that the configuration of used needs.
var allPermissions = []string{
	"qyapi_base", "qyapi_get_member", "qyapi_get_department_list", "qyapi_get_department_member", "Workflow.Instance.Read", "Workflow.Instance.Write",
}

// TestCheckupOfUses proves F32 with both vendors simulated: everything that the
// configuration uses is tested, passes where it is granted, and each refusal is one
// fault at its own place with its own cause, while the rest still passes.
func TestCheckupOfUses(t *testing.T) {
	r := newRig(t)
	core := r.core(r.load(r.used()...))
	permit := func(without string) {
		must(t, r.ding.ChangeApp("dingapp1", func(a *dingtalksim.App) {
			a.Permissions = slices.DeleteFunc(slices.Clone(allPermissions), func(p string) bool { return p == without })
		}))
	}
	fault := func(f dingtalksim.Fault) func() {
		return func() {
			f.Times = -1
			_, err := r.ding.AddFault(f)
			must(t, err)
		}
	}
	rights := func(forms ...string) {
		must(t, r.king.PatchUser("61cd78fbc6aa78", "kdgate", kingdeesim.UserPatch{NoRights: &forms}))
	}
	agent := func(id int64) { must(t, r.ding.ChangeApp("dingapp1", func(a *dingtalksim.App) { a.AgentID = id })) }

	type want struct{ check, cause, key, value string }
	scope := func(name string) want { return want{name, "dingtalk-permission", "scope", name} }
	for _, c := range []struct {
		name  string
		spoil func()
		want
	}{
		{"nothing", func() {}, want{}},
		{"departments", func() { permit("qyapi_get_department_list") }, scope("qyapi_get_department_list")},
		{"members", func() { permit("qyapi_get_department_member") }, scope("qyapi_get_department_member")},
		{"approvals", func() { permit("Workflow.Instance.Read") }, scope("Workflow.Instance.Read")},
		{"comments", func() { permit("Workflow.Instance.Write") }, scope("Workflow.Instance.Write")},
		{"process", fault(dingtalksim.Fault{Kind: "errcode", Match: "instanceIds", Status: 400, ErrCode: "invalidProcessCode"}), want{"Workflow.Instance.Read", "dingtalk-process", "process", "PROC-1"}},
		{"stream", fault(dingtalksim.Fault{Kind: "errcode", Match: "connections/open", Status: 401, ErrCode: "authFailed"}), want{"stream", "dingtalk-stream", "", ""}},
		{"agent", func() { agent(999) }, want{"notices", "dingtalk-agent", "", ""}},
		{"bill", func() { rights("ER_ExpReimbursement") }, want{"ER_ExpReimbursement (bills)", "kingdee-no-rights", "form", "ER_ExpReimbursement"}},
	} {
		permit("")
		agent(1001)
		rights()
		r.ding.ClearFaults(0)
		c.spoil()
		found := checked(t, core)
		for check, item := range found {
			wanted := checkup.OK
			switch {
			case check == c.check:
				wanted = checkup.Fault
			case slices.Contains([]string{"notices", "robot ops", "once-only"}, check):
				wanted = checkup.Unknown
			}
			if item.Status != wanted {
				t.Errorf("without %s: %+v, want %s", c.name, item, wanted)
			}
		}
		if item := found[c.check]; c.check != "" && (item.Cause != c.cause || item.Values[c.key] != c.value) {
			t.Errorf("without %s: %+v", c.name, item)
		}
		for _, check := range []string{"stream", "qyapi_get_department_list", "qyapi_get_department_member", "Workflow.Instance.Read", "Workflow.Instance.Write", "notices", "robot ops", "ER_ExpReimbursement (bills)"} {
			if _, asked := found[check]; !asked {
				t.Errorf("without %s: %s is not asked, only %q", c.name, check, slices.Sorted(maps.Keys(found)))
			}
		}
	}
	if sent := r.ding.Messages(""); len(sent) != 0 {
		t.Errorf("the check-up sent something: %+v", sent)
	}
}

// TestCheckupOfConsoleRules: what a rule of the console needs is asked like that of a
// rule of the file, before it is switched on and after, and no longer once it is gone.
func TestCheckupOfConsoleRules(t *testing.T) {
	r := newRig(t)
	fixed, err := fixedRules(r.load(r.withApprovals()...))
	must(t, err)
	rule := fixed[0].Rule
	rule.Process = "PROC-2"
	core := r.core(r.load("mapping: {verify_max_age: 10m}", "mapping: {verify_max_age: 10m}\napproval_console: true"))
	expect := func(when string, wanted bool) {
		t.Helper()
		found := checked(t, core)
		_, bill := found["ER_ExpReimbursement (bills)"]
		if process := found["Workflow.Instance.Read"].Detail; (process == "PROC-2") != wanted || bill != wanted {
			t.Errorf("%s: %q %t", when, process, bill)
		}
	}
	expect("no rule", false)
	by, desk := jobs.Actor{Name: "cli:test"}, core.ruleDesk()
	written, err := desk.Save(t.Context(), by, rulebook.Draft{Text: rulebook.Text("dingcorp1", rule)})
	must(t, err)
	expect("written", true)
	must(t, core.rulebook.NoteTried(t.Context(), rulebook.Tried{Print: written.Print, Instance: "proc-1", By: by.Name}))
	must(t, desk.Switch(t.Context(), by, written.Key, written.Print, true))
	expect("switched on", true)
	must(t, desk.Switch(t.Context(), by, written.Key, written.Print, false))
	must(t, desk.Remove(t.Context(), by, written.Key))
	expect("removed", false)
}
