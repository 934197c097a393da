package admin_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/internal/peer"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/billbook"
	"kdgate/jobs/approval/rulebook"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
	"kdgate/web/admin"
)

// unasked is an organisation whose vendors nobody asks.
type unasked struct{}

func (unasked) Judge(rule approval.Rule) error { return approval.Check([]approval.Rule{rule}) }

func (unasked) Try(context.Context, approval.Rule, string) (approval.Preview, error) {
	return approval.Preview{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "test: no such approval")
}

func (unasked) Latest(context.Context, string, int) ([]string, error) { return nil, nil }

// fileRule is the rule that stands in the configuration file.
func fileRule() rulebook.Fixed {
	return rulebook.Fixed{Corp: corp, Mode: rulebook.ModeConsole, Rule: approval.Rule{
		Name: "费用报销", Process: "PROC-1", DataCentre: live, Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Template: "expense-reimbursement",
		Aliases:      map[string]string{"reason": "Text_1", "details": "Table_1", "item": "Choice_1", "amount": "Money_1", "note": "Text_9"},
		Dictionaries: map[string]map[string]string{"departments": {"*": "BM000001"}, "items": {"差旅": "CI001"}},
	}}
}

func (h *house) rulesPage() *admin.Rules {
	h.Helper()
	book := rulebook.New(rulebook.Config{Store: h.store, Recorder: h.log, Now: h.clock.Now})
	must(h, book.Refresh(h.Context()))
	h.scene = rulebook.Scene{
		Fixed: []rulebook.Fixed{fileRule()}, Bookers: map[string]rulebook.Booker{corp: unasked{}},
		Defaults: rulebook.Defaults{Corp: corp, DataCentre: live}, Console: true,
	}
	h.rules = &rulebook.Desk{Book: book, Scene: func() rulebook.Scene { return h.scene }}
	return &admin.Rules{Desk: h.rules, Centres: []admin.Centre{{ID: live, Name: "正式账套"}}, Corps: []string{corp}}
}

func (h *house) billsPage() *admin.Bills {
	h.Helper()
	h.bills = billbook.New(billbook.Config{Store: h.store, Queue: h.queue, Now: h.clock.Now})
	return &admin.Bills{
		Book: h.bills, List: h.queue, Now: h.clock.Now, Centres: []admin.Centre{{ID: live, Name: "正式账套"}}, Public: "https://gate.example.com",
		Forms: map[string]string{"ER_ExpReimbursement": "expense"}, Keys: func(string, string) []string { return []string{"FCausa", "FDate"} },
		Page: func(corp, instance string) string {
			return "https://aflow.example.com/?corpid=" + corp + "&procInstId=" + instance
		},
	}
}

// vendors puts both simulators behind the house's organisation, and a pool that
// books by the rules in force.
func (h *house) vendors() *dingtalksim.Server {
	h.Helper()
	var tables kingdeesim.Tables
	tables.Hire(kingdeesim.Employee{Number: "0001", Name: "集成用户", Users: []kingdeesim.User{{Name: "kdgate", Account: "kdgate"}}})
	tables.Hire(kingdeesim.Employee{Number: "1001", Name: "张三"})
	ding, err := dingtalksim.New(dingtalksim.Config{QPS: -1, AddressLimit: -1, MonthQuota: -1, EventQuota: -1, Corps: []dingtalksim.Corp{{
		ID: corp, Name: "演示公司", People: []dingtalksim.Person{{UserID: "1001", Name: "张三"}},
		Apps: []dingtalksim.App{{Key: "dingapp1", Secret: "ding-secret-0001", AgentID: 1, Name: "金蝶", HomeURL: "http://localhost/", Hosts: []string{"localhost"}}},
	}}})
	must(h, err)
	h.Cleanup(ding.Close)
	king, err := kingdeesim.New(kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{{
		ID: "61cd78fbc6aa78", Number: "001", Name: "演示账套", Tables: tables,
		Rows: []kingdeesim.Row{{AppID: "231784_Test", Secret: "0123456789abcdef0123456789abcdef", IntegrationUser: "kdgate"}},
	}}})
	must(h, err)
	h.Cleanup(func() { must(h, king.Close()) })
	dingWeb, kingWeb := httptest.NewServer(ding), httptest.NewServer(king)
	h.Cleanup(dingWeb.Close)
	h.Cleanup(kingWeb.Close)
	quiet := slog.New(slog.DiscardHandler)
	source, err := dingtalk.New(dingtalk.Config{
		Corp: corp, AppKey: "dingapp1", AppSecret: identity.NewSecret("ding-secret-0001"), AgentID: "1", Logger: quiet,
		Endpoints: dingtalk.Endpoints{OAPI: dingWeb.URL, API: dingWeb.URL, Login: dingWeb.URL}, Peer: peer.New(peer.Config{}),
		Limits: dingtalk.Limits{QPS: 1e6, DirectoryPerMinute: -1, Month: -1}, Egress: dingtalk.NewEgress(dingtalk.EgressConfig{Calls: 1e9}),
	})
	must(h, err)
	target, err := kingdee.New(kingdee.Config{
		ID: live, BaseURL: kingWeb.URL + "/K3Cloud/", DBID: "61cd78fbc6aa78", AppID: "231784_Test", Logger: quiet,
		AppSecret: identity.NewSecret("0123456789abcdef0123456789abcdef"), IntegrationUser: "kdgate",
	})
	must(h, err)
	booker, err := approval.New(approval.Config{
		Corp: corp, Source: source.Background(), Targets: map[string]approval.Target{live: target.Background()}, People: everybody{},
		Recorder: h.log, Versions: h.rules.Book,
	}, h.queue)
	must(h, err)
	h.scene.Bookers = map[string]rulebook.Booker{corp: booker}
	h.use = func() {
		rules, _ := h.scene.Force(h.rules.Book.Snapshot())
		must(h, booker.Use(rules[corp]))
	}
	h.book1 = booker
	return ding
}

// everybody is an employee under their userid.
type everybody struct{}

func (everybody) Staff(_ context.Context, _, userid string) (string, error) { return userid, nil }

// work carries an approval as far as it goes, by the rules in force now.
func (h *house) work(instance, process string) {
	h.Helper()
	h.use()
	must(h, h.book1.Take(h.Context(), dingtalk.Event{
		Corp: corp, Type: dingtalk.EventInstance, Instance: instance, Process: process, Change: "finish", Result: "agree", At: time.Now(),
	}))
	h.attempt()
}

// attempt is one attempt at everything that is due.
func (h *house) attempt() {
	h.Helper()
	taken, err := h.queue.Take(h.Context(), approval.KindBill, 10)
	must(h, err)
	for _, w := range taken.Work {
		if err := (approval.Bills{Bookers: map[string]*approval.Booker{corp: h.book1}}).Handle(h.Context(), w); err != nil {
			_, err = w.Fail(h.Context(), jobs.Permanent(err), jobs.Retry{})
			must(h, err)
			continue
		}
		must(h, w.Complete(h.Context()))
	}
}

const loanRule = `name: 借款/单
process: PROC-2
since: 2026-01-01
template: expense-reimbursement
aliases:
  - {name: reason, id: Text_1}
  - {name: details, id: Table_1}
  - {name: item, id: Choice_1}
  - {name: amount, id: Money_1}
dictionaries:
  - {name: departments, words: [{value: "*", text: BM000001}]}
  - {name: items, words: [{value: 差旅, text: CI001}]}
`

func approvalOf(t testing.TB, ding *dingtalksim.Server, process, item, amount string) string {
	t.Helper()
	in, err := ding.StartApproval(dingtalksim.Approval{ProcessCode: process, Originator: "1001", Title: "张三提交的借款", Form: []dingtalksim.FormValue{
		{ID: "Text_1", Name: "事由", Type: "TextField", Value: "出差 <b>"},
		{ID: "Table_1", Name: "明细", Type: "TableField", Rows: [][]dingtalksim.FormValue{{
			{ID: "Choice_1", Name: "类型", Type: "DDSelectField", Value: item}, {ID: "Money_1", Name: "金额", Type: "MoneyField", Value: amount},
		}}},
	}})
	must(t, err)
	_, err = ding.FinishApproval(in.ID, "agree")
	must(t, err)
	return in.ID
}

// F31, F61, F62: a rule is written in the console, every mistake told with its
// line, saved with a fresh proof, tried on a real approval to the last digit and
// switched on; the approval becomes a bill with its timeline and the version that
// made it; a changed rule is compared with it.
func TestRuleFromTextToBill(t *testing.T) {
	h := newHouse(t)
	ding := h.vendors()
	b := h.enter("manager01")
	page := b.get("/admin/approvals")
	page.has(t, http.StatusOK, "费用报销", "ER_ExpReimbursement", "configuration file", "/admin/approvals/rule/dingcorp1/%E8%B4%B9")
	b.get("/admin/approvals/new").has(t, http.StatusOK, "process: PROC-")
	bad := strings.Replace(loanRule, "since: 2026-01-01", "since: soon\nmode: on", 1)
	b.post("/admin/approvals/check", "text", bad).has(t, http.StatusBadRequest, "Line 3:", "Line 4:", "switched on beside the rule", "since: soon")
	b.post("/admin/approvals/save", "text", bad).has(t, http.StatusBadRequest, "Line 3:")
	b.post("/admin/approvals/save", "text", strings.Replace(loanRule, "PROC-2", "PROC-1", 1)).has(t, http.StatusSeeOther)
	b.get("/admin/approvals").has(t, http.StatusOK, "Not in force", "first: <bdi>费用报销")
	saved := b.post("/admin/approvals/save", "text", loanRule, "corp", corp, "name", "借款/单", "expect", latest(t, h))
	saved.has(t, http.StatusSeeOther)
	at := saved.Header.Get("Location")
	if at != "/admin/approvals/rule/dingcorp1/"+url.PathEscape("借款/单") {
		t.Fatal(at)
	}
	print := latest(t, h)
	b.post(at+"/switch", "on", "1", "print", print).has(t, http.StatusConflict) // nobody tried it
	good := approvalOf(t, ding, "PROC-2", "差旅", "9007199254740993.01")
	wrong := approvalOf(t, ding, "PROC-2", "餐饮", "1.00")
	b.post(at+"/latest").has(t, http.StatusOK, good, wrong)
	b.post(at+"/preview", "instance", "https://aflow.dingtalk.com/x?procInstId="+wrong+"&a=1").has(t, http.StatusOK, "1 mistake(s)", "the dictionary items does not have")
	b.post(at+"/switch", "on", "1", "print", print).has(t, http.StatusConflict) // its preview had a mistake
	b.post(at+"/preview", "instance", "neverwas").has(t, http.StatusOK, "KD-")
	preview := b.post(at+"/preview", "instance", good)
	preview.has(t, http.StatusOK, "9007199254740993.01", "FEntity[1].FExpenseAmount", "出差 &lt;b&gt;", "金额", "would become this bill", `id="turn-on"`)
	checkPage(t, at, "en", preview.body)
	b.post(at+"/switch", "on", "1", "print", print).has(t, http.StatusSeeOther)
	b.get(at).has(t, http.StatusOK, `id="state">On`, "dingcorp1/manager01")

	h.work(good, "PROC-2")
	bill := b.get("/admin/bills/" + corp + "/" + good)
	bill.has(t, http.StatusOK, `class="done"><strong>Written back`, "/admin/approvals/version/"+print, "https://gate.example.com/launch/kingdee/expense/", "procInstId="+good, approval.Number(corp, good, "ER_ExpReimbursement", 1))
	checkPage(t, "bill", "en", bill.body)
	b.get("/admin/bills?state=booked&text="+good[:12]+"&form=ER_ExpReimbursement&person=1001").has(t, http.StatusOK, "张三提交的借款", "1 in all")
	b.get("/admin/bills?by=day&order=number&down=0&print="+print).has(t, http.StatusOK, "Bills of the last 30 days", "1 in all")
	for _, query := range []string{"state=x", "order=x", "from=x", "cursor=x"} {
		b.get("/admin/bills?"+query).has(t, http.StatusBadRequest)
	}

	next := strings.Replace(loanRule, "template:", "audit: true\ntemplate:", 1)
	b.post("/admin/approvals/save", "text", next, "corp", corp, "name", "借款/单", "expect", "elsewhere").has(t, http.StatusConflict, "audit: true")
	b.post("/admin/approvals/save", "text", next, "corp", corp, "name", "借款/单", "expect", print).has(t, http.StatusSeeOther)
	b.get(at).has(t, http.StatusOK, "Older version on")
	b.get("/admin/approvals/version/"+latest(t, h)+"?with="+print).has(t, http.StatusOK, `<tr class="new">`, "audit: true")
	h.clock.Advance(6 * time.Minute)
	b.post("/admin/approvals/save", "text", next+"# mine\n", "corp", corp, "name", "借款/单", "expect", latest(t, h)).has(t, http.StatusForbidden, "# mine", "older than five minutes")
	b.post(at+"/switch", "on", "0").has(t, http.StatusForbidden, "KD-603")
	if n := len(h.records(rulebook.ActionSave)); n != 3 {
		t.Errorf("%d saves on record", n)
	}
	if n := len(h.records(rulebook.ActionPreview)); n != 3 {
		t.Errorf("%d previews on record", n)
	}
}

// latest is the print of the rule of the console.
func latest(t *testing.T, h *house) string {
	t.Helper()
	s, err := h.rules.Get(rulebook.Key{Corp: corp, Name: "借款/单"})
	must(t, err)
	return s.Latest.Print
}

// F63: a dead letter of an approval is found on the bills page with its reason,
// its header is filled by a person, and it is done again; another is given up
// only with a note.
func TestDeadApprovals(t *testing.T) {
	h := newHouse(t)
	ding := h.vendors()
	rule := fileRule()
	rule.Mode = rulebook.ModeOn
	rule.Rule.Header = []approval.Field{{Key: "FCausa", From: "absent"}}
	h.scene.Fixed = []rulebook.Fixed{rule}
	b := h.enter("manager01")
	one, two := approvalOf(t, ding, "PROC-1", "差旅", "1.00"), approvalOf(t, ding, "PROC-1", "差旅", "2.00")
	h.work(one, "PROC-1")
	h.work(two, "PROC-1")
	b.get("/admin/bills?state=failed").has(t, http.StatusOK, one, two, "FCausa: the form has no component", "2 in all")
	at := "/admin/bills/" + corp + "/" + one
	page := b.get(at)
	page.has(t, http.StatusOK, `class="failed"><strong>Fetched`, `name="set.FCausa"`, `id="give-up"`)
	checkPage(t, at, "en", page.body)
	version := versionField.FindStringSubmatch(page.body)[1]
	b.post(at+"/values", "version", "1", "set.FCausa", "补填").has(t, http.StatusConflict)
	b.post(at+"/values", "version", version, "set.FOther", "x").has(t, http.StatusBadRequest)
	b.post(at+"/values", "version", version, "set.FCausa", "补填").has(t, http.StatusSeeOther)
	h.attempt()
	b.get(at).has(t, http.StatusOK, `id="state">Booked`, "Edited", "Replayed")
	b.post("/admin/bills/"+corp+"/"+two+"/give-up", "note", "").has(t, http.StatusBadRequest)
	b.post("/admin/bills/"+corp+"/"+two+"/give-up", "note", "重复报销").has(t, http.StatusSeeOther)
	b.get("/admin/bills?state=given-up").has(t, http.StatusOK, "重复报销", "1 in all")
	b.post("/admin/bills/dingother/"+two+"/replay").has(t, http.StatusNotFound)
	h.clock.Advance(6 * time.Minute)
	b.post(at+"/values", "version", "1").has(t, http.StatusForbidden, "KD-603")
}

// F35: the same by JSON.
func TestRulesAndBillsByJSON(t *testing.T) {
	h := newHouse(t)
	ding := h.vendors()
	b := h.enter("manager01")
	const api = "/admin/api/v1/approvals"
	var reading admin.RuleReading
	decode(t, b.send(http.MethodPost, api+"/check", `{"text":"name: a\nnothing: 1\n"}`), &reading)
	if len(reading.Faults) < 3 || reading.Faults[0].Words == "" {
		t.Errorf("%+v", reading)
	}
	b.send(http.MethodPut, api+"/rules", `{"text":"name: a\nnothing: 1\n"}`).has(t, http.StatusBadRequest, `"line":2`)
	var rule admin.RuleInfo
	decode(t, b.send(http.MethodPut, api+"/rules", `{"text":`+quote(loanRule)+`}`), &rule)
	if rule.State != "off" || rule.Source != rulebook.FromConsole || rule.Print == "" {
		t.Fatalf("%+v", rule)
	}
	b.send(http.MethodPut, api+"/rules", `{"text":`+quote(loanRule+"audit: true\n")+`}`).has(t, http.StatusConflict)
	at := api + "/rules/" + corp + "/" + url.PathEscape(rule.Name)
	in := approvalOf(t, ding, "PROC-2", "差旅", "12.30")
	var preview admin.BillPreview
	a := b.send(http.MethodPost, at+"/preview", `{"instance":"`+in+`"}`)
	decode(t, a, &preview)
	if len(preview.Mistakes) != 0 || !strings.Contains(a.body, `"FExpenseAmount":12.30`) || len(preview.Fields) < 12 {
		t.Errorf("%s", a.body)
	}
	decode(t, b.send(http.MethodPost, at+"/switch", `{"on":true,"print":"`+rule.Print+`"}`), &rule)
	if rule.State != "on" || rule.Switch == nil || rule.Acting != rule.Print {
		t.Errorf("%+v", rule)
	}
	h.work(in, "PROC-2")
	var page admin.BillPage
	decode(t, b.get("/admin/api/v1/bills?text="+in), &page)
	if len(page.Bills) != 1 || page.Bills[0].Number == "" || page.States[billbook.Booked] != 1 {
		t.Errorf("%+v", page)
	}
	var bill admin.BillInfo
	decode(t, b.get("/admin/api/v1/bills/"+corp+"/"+in), &bill)
	if len(bill.Milestones) != 6 || bill.Milestones[5].Step != "written-back" || bill.Milestones[5].At.IsZero() || bill.Print != rule.Print || bill.Kingdee == "" {
		t.Errorf("%+v", bill)
	}
	var slots []billbook.Slot
	decode(t, b.get("/admin/api/v1/bill-counts?by=day"), &slots)
	var version admin.RuleVersion
	decode(t, b.get(api+"/versions/"+bill.Print), &version)
	if len(slots) != 30 || version.Name != rule.Name || !strings.Contains(version.Text, "FBillTypeID") {
		t.Errorf("%d %+v", len(slots), version)
	}
	b.send(http.MethodDelete, at, "").has(t, http.StatusOK)
	b.get(at).has(t, http.StatusNotFound)
	b.get(api+"/versions/"+bill.Print).has(t, http.StatusOK)
}

func quote(text string) string {
	return `"` + strings.NewReplacer("\\", "\\\\", `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}
