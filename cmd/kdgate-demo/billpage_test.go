package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// loanRule is what somebody types into the console.
const loanRule = `name: 差旅借款
process: PROC-LOAN
since: 2020-01-01
template: expense-reimbursement
when: total("details", "amount") > dec("0")
dictionaries:
  - name: departments
    words: [{value: "*", text: BM000001}]
  - name: items
    words: [{value: 差旅, text: CI001}]
`

// started starts an approval at the simulated DingTalk and gives its id.
func (tr *trial) started(t *testing.T, body string) string {
	t.Helper()
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(sim(t, http.MethodPost, tr.workbench+"/sim/approvals", body)), &made); err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// TestRuleInTheConsole proves F31, F33, F61 to F63 as an administrator does it in
// a real browser: a rule is written with a mistake and mended, previewed on a real
// approval, switched on; the approval that is agreed to then becomes a bill whose
// timeline, version and links are there, and a dead letter is mended on its page.
func TestRuleInTheConsole(t *testing.T) {
	tr := start(t)
	sample := tr.started(t, `{"userid":"zhangsan","process_code":"PROC-LOAN","title":"张三提交的差旅借款","amounts":["9007199254740993.10","0.07"]}`)
	ctx := enterConsole(t, tr, "manager01")
	languages := []string{"zh-Hans"}
	if *shots != "" {
		languages = []string{"zh-Hans", "zh-Hant", "en"}
	}
	do(t, ctx, chromedp.Navigate(tr.gateway+"/admin/approvals"), chromedp.WaitVisible("#rules tbody th a"), chromedp.Click("#new"), chromedp.WaitVisible("#text"),
		chromedp.SetValue("#text", strings.Replace(loanRule, "since: 2020-01-01", "since: 去年\nmode: on", 1)), chromedp.Click("#save"), chromedp.WaitVisible("#faults"))
	if told := read(t, ctx, chromedp.Text("#faults")); !strings.Contains(told, "第 3 行") || !strings.Contains(told, "第 4 行") {
		t.Errorf("the mistakes are %s", told)
	}
	phoneToo(t, ctx, "rule-mistakes")
	do(t, ctx, chromedp.SetValue("#text", loanRule), chromedp.SetValue("#instance", sample), chromedp.Click("#check"), chromedp.WaitVisible("#filled"),
		chromedp.Click("#save"), chromedp.WaitVisible("#switch"))
	rule := "/admin/approvals/rule/" + corpID + "/" + url.PathEscape("差旅借款")
	do(t, ctx, chromedp.Click("#latest"), chromedp.WaitVisible("#offered button"), chromedp.Click("#offered button"), chromedp.WaitVisible("#turn-on"))
	if shown := read(t, ctx, chromedp.Text("#filled")); !strings.Contains(shown, "9007199254740993.10") || !strings.Contains(shown, "金额（元）") {
		t.Errorf("the preview is %s", shown)
	}
	phoneToo(t, ctx, "rule-preview")
	do(t, ctx, chromedp.Click("#turn-on"), chromedp.WaitVisible("#turn-off"))
	// The stream is opened anew for the organisation if nothing of it acted before.
	sim(t, http.MethodPost, tr.workbench+"/sim/approvals/"+sample+"/finish", `{"result":"agree"}`)
	bill := "/admin/bills/" + corpID + "/" + sample
	tr.sees(t, ctx, bill, "#state.ok")
	if text := read(t, ctx, chromedp.Text("#steps")); strings.Count(text, "UTC+08:00") != 6 {
		t.Errorf("the timeline is %s", text)
	}
	number := read(t, ctx, chromedp.Text("#number"))
	revoke := tr.started(t, `{"userid":"zhangsan","process_code":"PROC-LOAN","title":"撤销：差旅借款","bizAction":"REVOKE","main":"`+sample+`","finish":"agree"}`)
	tr.started(t, `{"userid":"lisi","title":"李四提交的费用报销","amounts":["12.30"],"finish":"agree"}`)
	tr.started(t, `{"userid":"zhangsan","process_code":"PROC-LOAN","title":"零元借款","amounts":["0.00"],"finish":"agree"}`)
	tr.sees(t, ctx, "/admin/bills/"+corpID+"/"+revoke, "#failure")
	if told := read(t, ctx, chromedp.Text("#failure")); !strings.Contains(told, number) {
		t.Errorf("the reason does not name %s: %s", number, told)
	}
	for _, lang := range languages {
		ctx := enterConsole(t, tr, "manager01") // a tab's time is bounded, and these are many looks
		for name, page := range map[string]appears{
			"approvals": {"/admin/approvals", "#rules tbody th a"}, "rule": {rule, "#turn-off"}, "bills": {"/admin/bills", "#bills tbody th a"},
			"bill": {bill, "#version"}, "bill-dead": {"/admin/bills/" + corpID + "/" + revoke, "#set"}, "bills-days": {"/admin/bills?state=booked&by=day&text=" + number, "#bills tbody th a"},
		} {
			looksSound(t, ctx, tr, name, lang, page)
		}
	}
	ctx = enterConsole(t, tr, "manager01")
	do(t, ctx, chromedp.Navigate(tr.gateway+bill), chromedp.WaitVisible("#kingdee"))
	if link := read(t, ctx, chromedp.Evaluate[string](`document.querySelector("#kingdee").href`)); !strings.HasPrefix(link, tr.gateway+"/launch/kingdee/expense/") {
		t.Errorf("the deep link is %s", link)
	}
	do(t, ctx, chromedp.Navigate(tr.gateway+rule), chromedp.Click("#edit"), chromedp.WaitVisible("#text"),
		chromedp.SetValue("#text", strings.Replace(loanRule, `> dec("0")`, `>= dec("1")`, 1)), chromedp.Click("#save"), chromedp.WaitVisible("#versions tbody th a"),
		chromedp.Click("#versions tbody th a"), chromedp.WaitVisible("#diff tr.new"))
	phoneToo(t, ctx, "rule-versions")
	do(t, ctx, chromedp.Navigate(tr.gateway+"/admin/bills/"+corpID+"/"+revoke), chromedp.WaitVisible("#note"), chromedp.SetValue("#note", "已在金蝶冲销"),
		chromedp.Click("#give-up"), chromedp.WaitNotPresent("#give-up"))
}

// phoneToo holds the page that is open to F33, wide and on a phone.
func phoneToo(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	for view, size := range map[string][2]int64{"": {1280, 900}, "-phone": {390, 844}} {
		do(t, ctx, chromedp.EmulateViewport(size[0], size[1]))
		soundPage(t, ctx, name+view)
		shot(t, ctx, "console-"+name+view+"-zh-Hans")
	}
	do(t, ctx, chromedp.EmulateViewport(1280, 900))
}

// sees opens a page until something stands on it.
func (tr *trial) sees(t *testing.T, ctx context.Context, path, what string) {
	t.Helper()
	within(t, 30*time.Second, path+" shows "+what, func() bool {
		do(t, ctx, chromedp.Navigate(tr.gateway+path), chromedp.WaitVisible("h1"))
		return read(t, ctx, chromedp.Evaluate[bool](`document.querySelector("`+what+`") !== null`))
	})
}
