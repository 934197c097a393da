package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	"kdgate/jobs/notice"
	"kdgate/web/admin"
)

// told is an outbox over a simulated DingTalk, as the console looks at it. What
// internal/app adds, the rules and the records, is tested there.
type told struct {
	*notice.Outbox
	h       *house
	ding    *dingtalksim.Server
	mail    error // what sending a mail ends in
	resent  []string
	trials  []identity.Subject
	gaveUp  string
	preview notice.Preview
}

// post ends as it is told to.
func (p *told) post(context.Context, notice.Mail) error { return p.mail }

type postman func(context.Context, notice.Mail) error

func (p postman) Send(ctx context.Context, m notice.Mail) error { return p(ctx, m) }

func (p *told) Rules(context.Context) ([]notice.Rule, error) {
	return []notice.Rule{
		{
			Name: "low-stock", Kind: "low_stock", Every: "@every 10m", To: []string{"role:admin"}, Fallbacks: []string{"robot:ops"}, Task: "notice.low-stock",
			Next: p.h.clock.Now(), Last: &notice.RuleRun{Began: p.h.clock.Now(), State: "failed", Code: "KD-402", Words: "账套 <拒绝>"},
		},
		{Name: "leavers", Kind: "leavers", To: []string{"user:hr01"}, Sensitive: true},
	}, nil
}

func (p *told) Preview(_ context.Context, _ jobs.Actor, rule string) (notice.Preview, error) {
	if rule != "daily" {
		return notice.Preview{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "no rule")
	}
	return p.preview, nil
}

func (p *told) Test(_ context.Context, _ jobs.Actor, who identity.Subject) error {
	p.trials = append(p.trials, who)
	return nil
}

func (p *told) Resend(ctx context.Context, _ jobs.Actor, key string) error {
	p.resent = append(p.resent, key)
	_, err := p.Again(ctx, key)
	return err
}

func (p *told) GiveUp(ctx context.Context, by jobs.Actor, key, note string) error {
	l, err := p.Letter(ctx, key)
	if err != nil {
		return err
	}
	if _, err := p.h.queue.GiveUp(ctx, by, l.Item.ID, note); err != nil {
		return err
	}
	p.gaveUp = note
	return p.GaveUp(ctx, key, note)
}

// noticesPage is the page over a real outbox; jobsPage has made the queue.
func (h *house) noticesPage() *admin.Notices {
	h.Helper()
	ding, err := dingtalksim.New(dingtalksim.Config{QPS: -1, AddressLimit: -1, Now: h.clock.Now, Corps: []dingtalksim.Corp{{
		ID: corp, Name: "演示公司", Apps: []dingtalksim.App{{Key: "app1", Secret: "app-secret-1", AgentID: 1001, Name: "金蝶", HomeURL: "http://localhost/", Hosts: []string{"localhost"}}},
		People: []dingtalksim.Person{{UserID: "1001", Name: "张三"}, {UserID: "1002", Name: "李四"}},
	}}})
	must(h, err)
	h.Cleanup(ding.Close)
	at := httptest.NewServer(ding)
	h.Cleanup(at.Close)
	client, err := dingtalk.New(dingtalk.Config{
		Corp: corp, AppKey: "app1", AppSecret: identity.NewSecret("app-secret-1"), AgentID: "1001", Now: h.clock.Now,
		Endpoints: dingtalk.Endpoints{OAPI: at.URL, API: at.URL, Login: at.URL}, Peer: peer.New(peer.Config{Timeout: 2 * time.Second}),
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Limits: dingtalk.Limits{QPS: 1e6, Month: -1},
	})
	must(h, err)
	h.told = &told{h: h, ding: ding}
	h.told.Outbox, err = notice.New(notice.Config{
		Corp: corp, Store: h.store, Queue: h.queue, Messenger: client, Mailer: postman(h.told.post),
		Roles: map[string][]string{"admin": {"1001"}}, Now: h.clock.Now,
	})
	must(h, err)
	return &admin.Notices{Book: h.told, Desk: h.told, Now: h.clock.Now}
}

// sends puts a notice into the outbox and works it to its end.
func (h *house) sends(n notice.Notice, to ...string) {
	h.Helper()
	var err error
	n.To, err = notice.ParseAddresses(to)
	must(h, err)
	must(h, h.told.Send(h.Context(), n))
	for range 6 {
		h.clock.Advance(time.Minute)
		for {
			taken, err := h.queue.Take(h.Context(), notice.Kind, 1)
			must(h, err)
			if len(taken.Work) == 0 {
				break
			}
			work := taken.Work[0]
			err = h.told.Handle(h.Context(), work)
			if err != nil {
				_, err = work.Fail(h.Context(), err, jobs.Retry{})
			} else if work.Item().State == jobs.Leased {
				err = work.Complete(h.Context())
			}
			must(h, err)
		}
	}
	h.clock.Advance(time.Minute)
}

// outbox fills it: one that came, one that was dropped in silence, one dead.
func (h *house) outbox() {
	h.Helper()
	h.sends(notice.Notice{Key: "a", Topic: "stock", Title: "库存低于安全库存", Text: "- 螺丝：**5**", Link: "https://gate.example.com/launch/live/stock"}, "role:admin", "1002")
	must(h, h.told.ding.SetSwitches(func(s *dingtalksim.Switches) { s.MessageForbidden = "利润" }))
	h.sends(notice.Notice{Key: "b", Topic: "digest", Title: "经营日报", Text: "**利润** -1,234,567.80\n\n▇▇▇▇", Sensitive: true}, "1002")
	h.told.mail = identity.Fail(identity.Invalid, "", "notice: mail: %w", fmt.Errorf("550 no such user"))
	h.sends(notice.Notice{Key: "c", Topic: "queue", Title: "任务失败 <b>", Text: "x × **3**"}, "mail:ops@example.com")
}

// list reads the outbox as a program does.
func (b *browser) outboxList(t *testing.T, query string) admin.NoticePage {
	t.Helper()
	var page admin.NoticePage
	decode(t, b.get("/admin/api/v1/notices?"+query), &page)
	return page
}

// F71, F31, F33: every message stands in the list with what DingTalk made of it;
// it filters, sorts and pages by address, and refuses what no page of ours makes.
func TestOutboxList(t *testing.T) {
	h := newHouse(t)
	h.outbox()
	b := h.enter("auditor01")
	b.get("/admin/notices").has(t, http.StatusOK, "Delivered", "Silently dropped", "Dead letter", "user:1001", "Administrator", "1 could not be sent",
		"任务失败 &lt;b&gt;", "账套 &lt;拒绝&gt;", "when it happens", "<svg", "03-02", "unread")
	for query, want := range map[string]string{
		"": "queue digest stock", "sort=created": "stock digest queue", "sort=topic": "digest queue stock", "sort=-topic": "stock queue digest",
		"state=dropped": "digest", "state=dead": "queue", "topic=stock": "stock", "text=OPS@": "queue", "text=admin": "stock", "text=经营": "digest",
		"state=merged": "", "page=7": "",
	} {
		page := b.outboxList(t, query)
		var topics []string
		for _, d := range page.Deliveries {
			topics = append(topics, d.Topic)
		}
		if got := strings.Join(topics, " "); got != want || len(page.Keys) != len(page.Deliveries) {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
		b.do(http.MethodGet, "/admin/notices/list?"+query, nil, "HX-Request", "true").has(t, http.StatusOK, `id="list"`)
	}
	for _, query := range []string{"state=lost", "sort=who", "page=0", "page=x", "page=1&page=2", "text=" + strings.Repeat("x", 300)} {
		b.get("/admin/notices?"+query).has(t, http.StatusBadRequest, "KD-300")
	}
	b.do(http.MethodGet, "/admin/notices/live", nil, "HX-Request", "true").has(t, http.StatusOK, `id="rules"`)
	var days []admin.NoticeDay
	decode(t, b.get("/admin/api/v1/notices/days"), &days)
	if last := days[len(days)-1]; len(days) != 14 || last.Day != "2026-03-02" || last.Messages != 3 || last.States["dropped"] != 1 || last.States["dead"] != 1 {
		t.Errorf("%+v", days)
	}
	var rules []notice.Rule
	decode(t, b.get("/admin/api/v1/notices/rules"), &rules)
	if len(rules) != 2 || rules[0].Last.Code != "KD-402" {
		t.Errorf("%+v", rules)
	}
}

// F33: more than one page turns by address.
func TestOutboxPages(t *testing.T) {
	h := newHouse(t)
	for i := range 120 {
		must(h, h.told.Send(h.Context(), notice.Notice{Key: fmt.Sprint(i), Topic: "test", Title: fmt.Sprint("n", i), Text: "x", To: []notice.Address{{Way: notice.WayPerson, Who: "1001"}}}))
		h.clock.Advance(time.Second)
	}
	b := h.enter("manager01")
	page := b.get("/admin/notices?state=waiting")
	page.has(t, http.StatusOK, "1 / 3", `id="next"`, "n119")
	if strings.Contains(page.body, `id="previous"`) || strings.Count(page.body, `id="m-`) != 50 {
		t.Error("the first page is not one")
	}
	last := b.get("/admin/notices?state=waiting&page=3")
	last.has(t, http.StatusOK, "3 / 3", `href="/admin/notices?page=2&amp;state=waiting#outbox"`, ">n0<")
	if strings.Contains(last.body, `id="next"`) {
		t.Error("there is a page after the last")
	}
}

// F73: who may read what. An administrator reads the words; an auditor reads no
// figure; the emergency account reads none that is for people.
func TestFiguresAreMasked(t *testing.T) {
	h := newHouse(t)
	h.outbox()
	h.told.preview = notice.Preview{
		Rule: "daily", Title: "经营日报 12", Text: "**利润** -1,234,567.80\n\n▇▇▇▇", Link: "https://x/1", Sensitive: true, News: 1,
		Letters: []notice.Planned{{To: []string{"user:boss01"}, Fallbacks: []string{"mail:boss@example.com"}}},
	}
	paths := func(b *browser) (list []string) {
		digest := b.outboxList(t, "topic=digest").Keys[0]
		return []string{"/admin/notices/letter/" + digest, "/admin/api/v1/notices/letters/" + digest, "/admin/notices/rule/daily", "/admin/api/v1/notices/rules/daily/preview"}
	}
	admin, auditor := h.enter("manager01"), h.enter("auditor01")
	for _, path := range paths(admin) {
		admin.get(path).has(t, http.StatusOK, "1,234,567.80")
	}
	for name, b := range map[string]*browser{"auditor": auditor, "emergency account": h.breakGlass()} {
		for _, path := range paths(b) {
			a := b.get(path)
			a.has(t, http.StatusOK, "利润", "•••")
			for _, figure := range []string{"1,234", "234,567", "▇", "https://x/1"} {
				if strings.Contains(a.body, figure) {
					t.Errorf("%s reads %q at %s", name, figure, path)
				}
			}
		}
	}
	stock := "/admin/api/v1/notices/letters/" + auditor.outboxList(t, "topic=stock").Keys[0]
	if a := auditor.get(stock); strings.Contains(a.body, "**5**") {
		t.Error("an auditor reads a figure")
	}
	h.breakGlass().get(stock).has(t, http.StatusOK, "**5**")
	admin.get("/admin/notices/rule/nothing").has(t, http.StatusNotFound)
}

// breakGlass enters with the emergency account and a password of its own.
func (h *house) breakGlass() *browser {
	h.Helper()
	if h.password == "" {
		first := h.browser()
		first.post("/admin/breakglass", "account", "breakglass", "password", h.oneTimeSecret()).has(h, http.StatusSeeOther)
		h.password = "a long password of the safe"
		first.post("/admin/password", "password", h.password, "again", h.password).has(h, http.StatusSeeOther)
	}
	b := h.browser()
	b.post("/admin/breakglass", "account", "breakglass", "password", h.password).has(h, http.StatusSeeOther)
	return b
}

// F71, F33: what failed is sent again or given up with a note, by administrators;
// a trial message goes to oneself only.
func TestOutboxActs(t *testing.T) {
	h := newHouse(t)
	h.outbox()
	b := h.enter("manager01")
	dropped, dead := b.outboxList(t, "state=dropped").Keys[0], b.outboxList(t, "state=dead").Keys[0]
	page := b.get("/admin/notices/letter/" + dropped)
	page.has(t, http.StatusOK, "1430002", "words that DingTalk does not let pass", "task_id", `id="resend"`)
	checkPage(t, "letter", "en", page.body)
	must(t, h.told.ding.SetSwitches(func(s *dingtalksim.Switches) { s.MessageForbidden = "" }))
	b.post("/admin/notices/letter/"+dropped+"/resend").has(t, http.StatusSeeOther)
	b.get("/admin/notices/letter/"+dropped).has(t, http.StatusOK, `id="again"`, "Nothing can be done")
	b.send(http.MethodPost, "/admin/api/v1/notices/letters/"+dropped+"/resend", `{}`).has(t, http.StatusConflict, "KD-605")
	h.sends(notice.Notice{Key: "d", Topic: "test", Title: "d", Text: "d"}, "1001")
	if list := b.outboxList(t, "topic=digest"); len(list.Deliveries) != 2 || list.Deliveries[0].State != notice.Delivered {
		t.Errorf("%+v", list.Deliveries)
	}

	page = b.get("/admin/notices/letter/" + dead)
	page.has(t, http.StatusOK, `id="give-up"`, `id="resend"`, "/admin/jobs/item/notice/")
	checkPage(t, "dead letter", "en", page.body)
	b.post("/admin/notices/letter/"+dead+"/give-up", "note", " ").has(t, http.StatusBadRequest)
	b.post("/admin/notices/letter/"+dead+"/give-up", "note", "已电话通知").has(t, http.StatusSeeOther)
	b.get("/admin/notices?state=given-up").has(t, http.StatusOK, dead)
	b.get("/admin/notices/letter/"+dead).has(t, http.StatusOK, "已电话通知", "Given up")

	b.post("/admin/notices/test").has(t, http.StatusSeeOther)
	b.send(http.MethodPost, "/admin/api/v1/notices/test", `{}`).has(t, http.StatusAccepted)
	b.send(http.MethodPost, "/admin/api/v1/notices/test", `{"to":["1002"]}`).has(t, http.StatusBadRequest)
	if len(h.told.trials) != 2 || h.told.trials[0] != subject("manager01") {
		t.Errorf("trials to %v", h.told.trials)
	}
	h.breakGlass().post("/admin/notices/test").has(t, http.StatusBadRequest)
	h.enter("auditor01").post("/admin/notices/letter/"+dead+"/resend").has(t, http.StatusForbidden)
	if strings.Contains(h.enter("auditor01").get("/admin/notices/letter/"+dead).body, `id="resend"`) {
		t.Error("an auditor is offered an act")
	}
}

// A key that no message has, in whatever shape, is an error page and no failure.
func TestOutboxKeys(t *testing.T) {
	h := newHouse(t)
	b := h.enter("manager01")
	for key, status := range map[string]int{"1-a": http.StatusNotFound, "x": http.StatusBadRequest, "-": http.StatusBadRequest, "9999999999999999-a": http.StatusNotFound, "1-<b>": http.StatusBadRequest} {
		b.get("/admin/notices/letter/"+url.PathEscape(key)).has(t, status)
		b.send(http.MethodPost, "/admin/api/v1/notices/letters/"+url.PathEscape(key)+"/give-up", `{"note":"x"}`).has(t, status)
	}
	var fault map[string]any
	if err := json.Unmarshal([]byte(b.get("/admin/api/v1/notices/letters/1-a").body), &fault); err != nil || fault["code"] == "" {
		t.Errorf("%v %v", fault, err)
	}
}
