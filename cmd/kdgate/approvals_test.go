package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const rule = `approvals:
  - name: reimbursement
    process: PROC-1
    since: 2026-01-01
    template: expense-reimbursement
    when: total("details", "amount") > dec("0")
data_centres:`

// TestApprovalRules: check-config reads the rules to their last expression, and
// tells every mistake with the field that it is in (T123).
func TestApprovalRules(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.edit("data_centres:", rule)
	h.run("check-config").want(t, 0, "is well")
	h.edit(`> dec("0")`, `> 0.5`)
	h.edit("template: expense-reimbursement", "template: expense-reimbursement\n    header: [{key: FCausa, from: reason, as: dya}, {key: 'F;', const: x}]")
	said := h.run("check-config").want(t, 2, `approvals: rule "reimbursement": when`, "header.FCausa.as", "is no field key")
	if strings.Contains(said.stderr, "...^") {
		t.Errorf("a drawing: %s", said.stderr)
	}
	h.run("approvals").want(t, 2, "name a command")
	h.run("approvals", "preview").want(t, 2, "arg")
}

// TestRulesByCommand proves F35, F61: what the console does with rules, commands
// do too: every mistake of a text at once, a version that is kept, and no switch
// before a preview on a real approval.
func TestRulesByCommand(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "rule.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := "name: 借款\nprocess: PROC-2\nsince: 2026-01-01\ntemplate: expense-reimbursement\n"
	h.run("approvals", "check", write("name: 借款\nprocess: PROC-2\nsince: soon\nmode: on\nform: 1x\n")).want(t, 1, "line 3: since", "line 4: mode", "line 5: form")
	h.run("approvals", "save", write(strings.Replace(good, "since", "sincee", 1))).want(t, 1, "no such key")
	h.run("approvals", "check", write(good)).want(t, 0, "no mistake")
	h.run("approvals", "save", write(good)).want(t, 0, "借款", "off")
	h.run("approvals", "save", write(good+"audit: true\n")).want(t, 0, "off")
	h.run("approvals", "rules").want(t, 0, "借款", "console", "off", "ER_ExpReimbursement")
	h.run("approvals", "show", "借款").want(t, 0, "audit: true")
	if said := h.run("approvals", "versions", "借款").want(t, 0, "FBillTypeID"); strings.Count(said.stdout, "# ") != 2 {
		t.Errorf("%s", said.stdout)
	}
	h.run("approvals", "on", "借款").want(t, 1, "not tried on a real approval")
	h.run("approvals", "off", "借款").want(t, 0, "off")
	h.run("approvals", "bills").want(t, 0, "APPROVAL")
	h.run("approvals", "remove", "借款").want(t, 0)
	h.run("approvals", "show", "借款").want(t, 1, "no rule")
	h.run("audit", "tail").want(t, 0, "approval.rule.save", "approval.rule.remove")
}
