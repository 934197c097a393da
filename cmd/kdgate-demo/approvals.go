package main

import "kdgate/dingtalk/dingtalksim"

// approvalRule is the rule that the trial books reimbursements by: those that
// POST /sim/approvals makes when it is told no form.
const approvalRule = `approvals:
  - name: 费用报销
    mode: on
    process: ` + dingtalksim.SampleProcess + `
    since: 2020-01-01
    template: expense-reimbursement   # the form's components carry the names of the template as bizAlias
    dictionaries:
      - {name: departments, words: [{value: "*", text: BM000001}]}
      - {name: items, words: [{value: 差旅, text: CI001}, {value: 办公, text: CI002}, {value: 招待, text: CI003}]}
`
