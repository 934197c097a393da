package approval_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/internal/peer"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

const (
	corp       = "dingcorp1"
	appKey     = "dingapp1"
	appSecret  = "ding-secret-0001"
	centreID   = "61cd78fbc6aa78"
	kingApp    = "231784_Test"
	kingSecret = "0123456789abcdef0123456789abcdef"
	integrator = "kdgate"
	process    = "PROC-REIMBURSE"
	expense    = "ER_ExpReimbursement"
)

var (
	key   = []byte("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk")
	cli   = jobs.Actor{Name: "cli:test"}
	begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

// staff maps userids to themselves, but for those that are not mapped.
type staff struct {
	mu      sync.Mutex
	missing map[string]bool
	away    error
}

func (s *staff) Staff(_ context.Context, centre, userid string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.away != nil:
		return "", s.away
	case s.missing[userid] || centre != "live":
		return "", identity.Fail(identity.NotFound, identity.CodeNotMapped, "test: %s is not mapped", userid)
	}
	return userid, nil
}

func (s *staff) set(change func(*staff)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// rig is both simulators and a Booker between them, on real files.
type rig struct {
	*approval.Booker
	t       testing.TB
	ding    *dingtalksim.Server
	king    *kingdeesim.Server
	dingURL string
	kingURL string
	front   *gate // before DingTalk
	store   store.Store
	log     *audit.Log
	queue   *jobs.Queue
	staff   *staff
	rules   []approval.Rule
	attach  approval.AttachmentConfig
	forms   kingdee.FormsConfig
	retry   jobs.Retry
}

// gate holds calls to DingTalk where a test wants them held.
type gate struct {
	next http.Handler
	mu   sync.Mutex
	hold func(w http.ResponseWriter, r *http.Request, next http.Handler) bool // true: answered or abandoned
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	hold := g.hold
	g.mu.Unlock()
	if hold == nil || !hold(w, r, g.next) {
		g.next.ServeHTTP(w, r)
	}
}

func (g *gate) set(hold func(http.ResponseWriter, *http.Request, http.Handler) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold = hold
}

// reimburse is the shipped template with the ids of the test's form.
func reimburse() approval.Rule {
	return approval.Rule{
		Name: "费用报销", Process: process, DataCentre: "live", Since: begin, Template: "expense-reimbursement",
		Aliases: map[string]string{"reason": "Text_1", "details": "Table_1", "item": "Choice_1", "amount": "Money_1", "note": "Text_9"},
		Dictionaries: map[string]map[string]string{
			"departments": {"*": "BM000001"}, "items": {"差旅": "CI001", "办公": "CI002"},
		},
	}
}

// form is a filled-in reimbursement with these amounts, in rows of two kinds.
func form(reason string, amounts ...string) []dingtalksim.FormValue {
	rows := [][]dingtalksim.FormValue{}
	for i, a := range amounts {
		rows = append(rows, []dingtalksim.FormValue{
			{ID: "Choice_1", Name: "类型", Type: "DDSelectField", Value: []string{"差旅", "办公"}[i%2]},
			{ID: "Money_1", Name: "金额", Type: "MoneyField", Value: a},
		})
	}
	return []dingtalksim.FormValue{
		{ID: "Text_1", Name: "事由", Type: "TextareaField", Value: reason},
		{ID: "Text_2", Name: "备注", Type: "TextField"},
		{ID: "Table_1", Name: "明细", Type: "TableField", Rows: rows},
	}
}

// start makes a rig with n people, who are employees under their userid.
func start(t testing.TB, n int, rules ...approval.Rule) *rig {
	t.Helper()
	r := &rig{t: t, staff: &staff{missing: map[string]bool{}}, rules: rules, retry: jobs.Retry{First: 10 * time.Millisecond, Max: 50 * time.Millisecond}}
	if len(rules) == 0 {
		r.rules = []approval.Rule{reimburse()}
	}
	var tables kingdeesim.Tables
	tables.Hire(kingdeesim.Employee{Number: "0001", Name: "集成用户", Users: []kingdeesim.User{{Name: integrator, Account: integrator}}})
	var people []dingtalksim.Person
	for i := range n {
		number := fmt.Sprint(1001 + i)
		people = append(people, dingtalksim.Person{UserID: number, Name: "员工" + number})
		tables.Hire(kingdeesim.Employee{Number: number, Name: "员工" + number})
	}
	var err error
	r.ding, err = dingtalksim.New(dingtalksim.Config{QPS: -1, AddressLimit: -1, MonthQuota: -1, EventQuota: -1, Corps: []dingtalksim.Corp{{
		ID: corp, Name: "演示公司", People: people,
		Apps: []dingtalksim.App{{Key: appKey, Secret: appSecret, AgentID: 1001, Name: "金蝶", HomeURL: "http://localhost/", Hosts: []string{"localhost"}}},
	}}})
	r.must(err)
	r.king, err = kingdeesim.New(kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{{
		ID: centreID, Number: "001", Name: "演示账套", Tables: tables,
		Rows: []kingdeesim.Row{{AppID: kingApp, Secret: kingSecret, IntegrationUser: integrator}},
	}}})
	r.must(err)
	t.Cleanup(func() { r.must(r.king.Close()) })
	t.Cleanup(r.ding.Close)
	r.front = &gate{next: r.ding}
	dingWeb, kingWeb := httptest.NewServer(r.front), httptest.NewServer(r.king)
	t.Cleanup(dingWeb.Close)
	t.Cleanup(kingWeb.Close)
	r.dingURL, r.kingURL = dingWeb.URL, kingWeb.URL
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db")})
	r.must(err)
	t.Cleanup(func() { r.must(driver.Close()) })
	r.store, err = store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
	r.must(err)
	r.log, err = audit.Open(t.Context(), audit.Config{Dir: t.TempDir(), Replica: "node1", Key: key})
	r.must(err)
	t.Cleanup(func() { r.must(r.log.Close()) })
	r.queue = r.newQueue("node1", true)
	r.Booker = r.booker(r.queue)
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// crashLease is how soon a dead worker's item is taken over.
const crashLease = 300 * time.Millisecond

func (r *rig) newQueue(owner string, alone bool) *jobs.Queue {
	r.t.Helper()
	q, err := jobs.New(jobs.Config{Store: r.store, Recorder: r.log, Owner: owner, Alone: alone, Lease: crashLease})
	r.must(err)
	return q
}

// booker is the machinery of one replica, with clients of its own.
func (r *rig) booker(q *jobs.Queue) *approval.Booker {
	r.t.Helper()
	b, err := newBooker(r.dingURL, r.kingURL, approval.Config{People: r.staff, Recorder: r.log, Rules: r.rules, Store: r.store, Attachments: r.attach}, q, r.forms)
	r.must(err)
	return b
}

// newBooker gives cfg clients of both simulators.
func newBooker(dingURL, kingURL string, cfg approval.Config, q *jobs.Queue, forms ...kingdee.FormsConfig) (*approval.Booker, error) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	ding, err := dingtalk.New(dingtalk.Config{
		Corp: corp, AppKey: appKey, AppSecret: identity.NewSecret(appSecret), AgentID: "1001",
		Endpoints: dingtalk.Endpoints{OAPI: dingURL, API: dingURL, Login: dingURL}, Peer: peer.New(peer.Config{}), Logger: quiet,
		Limits: dingtalk.Limits{QPS: 1e6, DirectoryPerMinute: -1, Month: -1}, Egress: dingtalk.NewEgress(dingtalk.EgressConfig{Calls: 1e9}),
	})
	if err != nil {
		return nil, err
	}
	king, err := kingdee.New(kingdee.Config{
		ID: "live", BaseURL: kingURL + "/K3Cloud/", DBID: centreID, AppID: kingApp, AppSecret: identity.NewSecret(kingSecret),
		IntegrationUser: integrator, Logger: quiet, Forms: append(forms, kingdee.FormsConfig{})[0],
	})
	if err != nil {
		return nil, err
	}
	yida, err := ding.Background().Yida(dingtalk.YidaApp{
		App: dingtalksim.SampleYidaApp, SystemToken: identity.NewSecret(dingtalksim.SampleYidaToken), Reader: "1001",
	})
	if err != nil {
		return nil, err
	}
	if cfg.Store != nil {
		cfg.Yida = map[string]approval.Yida{dingtalksim.SampleYidaApp: yida}
	}
	fetch, err := dingtalk.NewDownloader(dingtalk.DownloadConfig{Hosts: []string{dingURL}})
	if err != nil {
		return nil, err
	}
	if cfg.Attachments.Fetcher == nil {
		cfg.Attachments.Fetcher = fetch
	}
	cfg.Attachments.Files = ding.Background()
	cfg.Corp, cfg.Source, cfg.Targets = corp, ding.Background(), map[string]approval.Target{"live": king.Background()}
	return approval.New(cfg, q)
}

// agreed starts an approval and agrees to it.
func (r *rig) agreed(userid string, values []dingtalksim.FormValue) dingtalksim.Instance {
	r.t.Helper()
	in := r.asked(userid, values)
	ended, err := r.ding.FinishApproval(in.ID, "agree")
	r.must(err)
	return ended
}

func (r *rig) asked(userid string, values []dingtalksim.FormValue) dingtalksim.Instance {
	r.t.Helper()
	in, err := r.ding.StartApproval(dingtalksim.Approval{ProcessCode: process, Title: "费用报销", Originator: userid, Form: values})
	r.must(err)
	return in
}

// finish is the event that an approval was agreed to.
func finish(in dingtalksim.Instance) dingtalk.Event {
	return dingtalk.Event{
		Corp: corp, Type: dingtalk.EventInstance, Instance: in.ID, Process: process, Change: "finish", Result: "agree", At: time.Now(),
	}
}

func (r *rig) take(in dingtalksim.Instance) {
	r.t.Helper()
	r.must(r.Take(r.t.Context(), finish(in)))
}

func (r *rig) kind(b *approval.Booker) jobs.Kind {
	return jobs.Kind{Name: approval.KindBill, Handler: approval.Bills{Bookers: map[string]*approval.Booker{corp: b}}, Workers: 8, Retry: r.retry}
}

// pool runs a replica until stop is called.
func (r *rig) pool(b *approval.Booker, q *jobs.Queue) (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	pool, err := jobs.NewPool(jobs.PoolConfig{Queue: q, Kinds: []jobs.Kind{r.kind(b)}, Grace: 50 * time.Millisecond, Poll: 20 * time.Millisecond})
	r.must(err)
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			r.t.Error(err)
		}
	})
}

// work works the list until nothing waits.
func (r *rig) work() {
	r.t.Helper()
	defer r.pool(r.Booker, r.queue)()
	r.idle()
}

func (r *rig) idle() {
	r.t.Helper()
	empty := 0
	r.until("the work list is empty", func() bool {
		if empty++; r.count(jobs.Ready)+r.count(jobs.Leased)+r.count(jobs.Ready)+r.count(jobs.Leased) > 0 {
			empty = 0 // one may move between the lists while they are read
		}
		return empty == 2
	})
}

func (r *rig) count(state jobs.State) int {
	r.t.Helper()
	page, err := r.queue.List(r.t.Context(), jobs.Filter{State: state}, "", 1000)
	r.must(err)
	return len(page.Items)
}

func (r *rig) item(in dingtalksim.Instance) jobs.Item {
	r.t.Helper()
	it, err := r.queue.Get(r.t.Context(), jobs.ID{Kind: approval.KindBill, Key: in.ID})
	r.must(err)
	return it
}

func (r *rig) until(what string, so func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(3 * time.Minute)
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			r.t.Fatalf("not within three minutes: %s", what)
		}
	}
}

// bill is the one bill of an approval.
func (r *rig) bill(in dingtalksim.Instance) kingdeesim.BillInfo {
	r.t.Helper()
	number := approval.Number(corp, in.ID, expense, 1)
	var found []kingdeesim.BillInfo
	for _, b := range r.king.Bills("") {
		if b.Number == number {
			found = append(found, b)
		}
	}
	if len(found) != 1 {
		r.t.Fatalf("%d bills of %s", len(found), in.ID)
	}
	return found[0]
}

// calls counts the calls to Kingdee whose route holds part.
func (r *rig) calls(part string) int {
	n := 0
	for _, c := range r.king.Calls() {
		if strings.Contains(c.Route, part) {
			n++
		}
	}
	return n
}
