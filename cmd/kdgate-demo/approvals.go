package main

import "kdgate/dingtalk/dingtalksim"

// approvalRule are the rules that the trial books reimbursements by: those that
// POST /sim/approvals and POST /sim/yida make when they are told no form. Yida is
// polled rarely, because every poll is a call of the simulated month's 5,000; one
// at once is on the console's page of tasks.
const approvalRule = `approval_files: {hosts: ["http://%s"]}   # the simulated DingTalk; plain HTTP is for loopback only
approvals:
  - name: 费用报销
    mode: on
    process: ` + dingtalksim.SampleProcess + `
    since: 2020-01-01
    attachments: true
    template: expense-reimbursement   # the form's components carry the names of the template as bizAlias
    dictionaries:
      - {name: departments, words: [{value: "*", text: BM000001}]}
      - {name: items, words: [{value: 差旅, text: CI001}, {value: 办公, text: CI002}, {value: 招待, text: CI003}]}
  - name: 宜搭报销
    mode: on
    source: yida
    process: ` + dingtalksim.SampleYidaForm + `
    since: 2020-01-01
    template: expense-reimbursement
    aliases:
      - {name: reason, id: textareaField_reason}
      - {name: details, id: tableField_details}
      - {name: item, id: selectField_item}
      - {name: amount, id: numberField_amount}
      - {name: note, id: textField_note}
    dictionaries:
      - {name: departments, words: [{value: "*", text: BM000001}]}
      - {name: items, words: [{value: 差旅, text: CI001}]}
approval_search: {yida: "@every 3m"}
`
