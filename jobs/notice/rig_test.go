package notice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/internal/handclock"
	"kdgate/internal/lockedbuffer"
	"kdgate/internal/peer"
	"kdgate/jobs"
	"kdgate/jobs/notice"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

// rig is an outbox between a real store and the simulated DingTalk, on a clock
// that the test moves.
type rig struct {
	*notice.Outbox
	t     testing.TB
	ding  *dingtalksim.Server
	store store.Store
	queue *jobs.Queue
	log   *lockedbuffer.Buffer
	mail  *postman
	cfg   notice.Config
	robot *dingtalk.Robot
	clock *handclock.Clock
}

// postman keeps mail, or fails. The real way is tested in mail_test.go.
type postman struct {
	got   []notice.Mail
	fault error
}

func (p *postman) Send(_ context.Context, m notice.Mail) error {
	if p.fault == nil {
		p.got = append(p.got, m)
	}
	return p.fault
}

type nobody struct{}

func (nobody) Append(context.Context, audit.Event) error { return nil }

const corp, appKey, appSecret = "dingcorp1", "dingapp1", "ding-secret-0001"

// noon is in the middle of a Beijing day.
var noon = time.Date(2026, 9, 14, 4, 0, 0, 0, time.UTC)

func newRig(t testing.TB, change ...func(*notice.Config)) *rig {
	t.Helper()
	r := &rig{t: t, clock: handclock.New(noon), log: &lockedbuffer.Buffer{}, mail: &postman{}}
	var err error
	r.ding, err = dingtalksim.New(dingtalksim.Config{QPS: -1, AddressLimit: -1, Now: r.clock.Now, Corps: []dingtalksim.Corp{{
		ID: corp, Name: "演示公司",
		Apps:        []dingtalksim.App{{Key: appKey, Secret: appSecret, AgentID: 1001, Name: "金蝶", HomeURL: "http://localhost/", Hosts: []string{"localhost"}}},
		Departments: []dingtalksim.Department{{ID: 10, Name: "财务部"}},
		People: []dingtalksim.Person{
			{UserID: "zhangsan", Name: "张三", Departments: []int64{10}}, {UserID: "lisi", Name: "李四"}, {UserID: "wangwu", Name: "王五"},
		},
	}}})
	r.must(err)
	r.must(r.ding.AddRobot(dingtalksim.Robot{Name: "ops", Token: "robot-token", Secret: "SEC-robot"}))
	t.Cleanup(r.ding.Close)
	web := httptest.NewServer(r.ding)
	t.Cleanup(web.Close)
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db"), Now: r.clock.Now})
	r.must(err)
	t.Cleanup(func() { r.must(driver.Close()) })
	r.store, err = store.Seal(driver, store.SealConfig{Keys: [][]byte{[]byte(strings.Repeat("k", store.MinSealKey))}, Now: r.clock.Now})
	r.must(err)
	r.queue, err = jobs.New(jobs.Config{Store: r.store, Recorder: nobody{}, Owner: "one", Alone: true, Now: r.clock.Now})
	r.must(err)
	client := r.client(web.URL)
	r.robot, err = client.Robot(dingtalk.RobotConfig{Token: identity.NewSecret("robot-token"), Secret: identity.NewSecret("SEC-robot")})
	r.must(err)
	r.cfg = notice.Config{
		Corp: corp, Store: r.store, Queue: r.queue, Messenger: client, Robots: map[string]notice.Speaker{"ops": r.robot}, Mailer: r.mail,
		Roles: map[string][]string{"mapping-admin": {"wangwu"}}, Now: r.clock.Now, Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, f := range change {
		f(&r.cfg)
	}
	r.Outbox, err = notice.New(r.cfg)
	r.must(err)
	return r
}

func (r *rig) client(url string) *dingtalk.Client {
	r.t.Helper()
	client, err := dingtalk.New(dingtalk.Config{
		Corp: corp, AppKey: appKey, AppSecret: identity.NewSecret(appSecret), AgentID: "1001", Now: r.clock.Now,
		Endpoints: dingtalk.Endpoints{OAPI: url, API: url, Login: url}, Peer: peer.New(peer.Config{Timeout: 2 * time.Second}),
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Limits: dingtalk.Limits{QPS: 1e6, Month: -1},
	})
	r.must(err)
	return client
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// work works whatever is due now, as the pool does, and gives the errors.
func (r *rig) work() (errs []error) {
	r.t.Helper()
	ctx := r.t.Context()
	for range 50 {
		taken, err := r.queue.Take(ctx, notice.Kind, 1)
		r.must(err)
		if len(taken.Work) == 0 {
			return errs
		}
		w := taken.Work[0]
		err = r.Handle(ctx, w)
		switch {
		case err != nil:
			errs = append(errs, err)
			_, err = w.Fail(ctx, err, jobs.Retry{})
			r.must(err)
		case w.Item().State == jobs.Leased:
			r.must(w.Complete(ctx))
		}
	}
	r.t.Fatal("the list does not come to an end")
	return nil
}

// through sends and lets enough time pass for everything to be decided.
func (r *rig) through() {
	r.t.Helper()
	for range 8 {
		r.clock.Advance(20 * time.Second)
		r.work()
		r.clock.Advance(time.Minute)
		r.work()
	}
}

// received are the texts that a person got.
func (r *rig) received(userid string) []dingtalksim.Message {
	var list []dingtalksim.Message
	for _, m := range r.ding.Messages(userid) {
		if m.State == "received" {
			list = append(list, m)
		}
	}
	return list
}

// group are the messages of the robot.
func (r *rig) group() []dingtalksim.Message {
	var list []dingtalksim.Message
	for _, m := range r.ding.Messages("") {
		if m.Robot != "" {
			list = append(list, m)
		}
	}
	return list
}

// deliveries are all of them, newest first.
func (r *rig) deliveries() []notice.Delivery {
	r.t.Helper()
	page, err := r.Deliveries(r.t.Context(), "", "", "", 100)
	r.must(err)
	return page.Deliveries
}

// one is the only delivery, in a state.
func (r *rig) one(want notice.State) notice.Delivery {
	r.t.Helper()
	list := r.deliveries()
	if len(list) != 1 || list[0].State != want {
		r.t.Fatalf("want one delivery that is %s: %+v", want, list)
	}
	return list[0]
}

func (r *rig) fault(f dingtalksim.Fault) {
	r.t.Helper()
	_, err := r.ding.AddFault(f)
	r.must(err)
}

func (r *rig) send(n notice.Notice) {
	r.t.Helper()
	r.must(r.Send(r.t.Context(), n))
}

func (r *rig) calls(match string) int { return len(r.ding.Calls(match)) }

// to makes addresses.
func to(texts ...string) []notice.Address {
	list, err := notice.ParseAddresses(texts)
	if err != nil {
		panic(err)
	}
	return list
}

// stock is a notice as the watch of stock makes it.
func stock(key string, who ...string) notice.Notice {
	return notice.Notice{
		Key: key, Topic: "stock", To: to(who...), Title: "库存低于安全库存", Text: "- 螺丝 M6: **5** / 10",
		Link: "https://gate.example.com/launch/live/stock",
	}
}

func wants(t *testing.T, err error, kind identity.Kind) {
	t.Helper()
	if err == nil || identity.KindOf(err) != kind {
		t.Fatalf("got %v (%v), want %v", err, identity.KindOf(err), kind)
	}
}

var errAway = errors.New("away")

func unavailable() error { return identity.Fail(identity.Unavailable, "", "test: %w", errAway) }

func names(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("u%04d", i)
	}
	return list
}
