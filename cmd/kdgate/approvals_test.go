package main

import (
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
