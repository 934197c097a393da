package hr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/internal/peer"
	"kdgate/jobs"
	"kdgate/jobs/hr"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

const corp = "dingcorp1"

var key = []byte("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk")

type rig struct {
	*hr.Desk
	t   *testing.T
	sim *dingtalksim.Server
	log *audit.Log
}

func start(t *testing.T, people int) *rig {
	t.Helper()
	r := &rig{t: t}
	list := []dingtalksim.Person{{UserID: "z1", Name: "张三", Mobile: "13900000001", Departments: []int64{10}}}
	for i := range people {
		list = append(list, dingtalksim.Person{UserID: fmt.Sprintf("u%03d", i), Name: "员工", Departments: []int64{10}})
	}
	var err error
	r.sim, err = dingtalksim.New(dingtalksim.Config{QPS: -1, Corps: []dingtalksim.Corp{{
		ID: corp, Name: "演示公司", People: list, Departments: []dingtalksim.Department{{ID: 10, Name: "财务部"}, {ID: 20, Name: "销售部"}},
		Apps: []dingtalksim.App{{Key: "dingapp1", Secret: "ding-secret-0001", AgentID: 1001, Name: "金蝶", HomeURL: "http://localhost/", Hosts: []string{"localhost"}}},
	}}})
	r.must(err)
	t.Cleanup(r.sim.Close)
	web := httptest.NewServer(r.sim)
	t.Cleanup(web.Close)
	client, err := dingtalk.New(dingtalk.Config{
		Corp: corp, AppKey: "dingapp1", AppSecret: identity.NewSecret("ding-secret-0001"), AgentID: "1001", Peer: peer.New(peer.Config{}),
		Endpoints: dingtalk.Endpoints{OAPI: web.URL, API: web.URL, Login: web.URL}, Limits: dingtalk.Limits{QPS: 1e6, DirectoryPerMinute: -1},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	r.must(err)
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db")})
	r.must(err)
	t.Cleanup(func() { r.must(driver.Close()) })
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
	r.must(err)
	r.log, err = audit.Open(t.Context(), audit.Config{Dir: t.TempDir(), Replica: "node1", Key: key})
	r.must(err)
	t.Cleanup(func() { r.must(r.log.Close()) })
	queue, err := jobs.New(jobs.Config{Store: sealed, Recorder: r.log, Owner: "node1", Alone: true})
	r.must(err)
	r.Desk = &hr.Desk{Corp: corp, People: client.Background(), Queue: queue, Recorder: r.log, Breaker: hr.Breaker{Share: 0.05, Least: 3}}
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// work works the list until nothing is ready or leased.
func (r *rig) work() {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	defer stop()
	pool, err := jobs.NewPool(jobs.PoolConfig{Queue: r.Queue, Kinds: []jobs.Kind{{Name: hr.Kind, Handler: r.Desk}}})
	r.must(err)
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); ; {
		left := 0
		for _, state := range []jobs.State{jobs.Ready, jobs.Leased} {
			page, err := r.Queue.List(r.t.Context(), jobs.Filter{State: state}, "", 10)
			r.must(err)
			left += len(page.Items)
		}
		if left == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-late:
			r.t.Fatalf("%d items are left", left)
		}
	}
	stop()
	<-ended
}

func (r *rig) person(userid string) (found dingtalksim.Member, there bool) {
	for _, p := range r.sim.People() {
		if p.UserID == userid {
			return p, p.Left.IsZero()
		}
	}
	return found, false
}

func (r *rig) dead() string {
	r.t.Helper()
	page, err := r.Queue.List(r.t.Context(), jobs.Filter{State: jobs.Dead}, "", 10)
	r.must(err)
	var words []string
	for _, item := range page.Items {
		words = append(words, item.Failure.Words)
	}
	return strings.Join(words, " ")
}

// TestHRIsTheMaster proves F57: people are made, moved and taken out at DingTalk,
// the same word twice does nothing more, and it is on record.
func TestHRIsTheMaster(t *testing.T) {
	r := start(t, 0)
	accept := func(list ...hr.Change) {
		t.Helper()
		r.must(r.Accept(t.Context(), hr.Origin{Name: "hr:http"}, list))
		r.work()
	}
	join := hr.Change{Act: hr.Join, UserID: "n1", Name: "新人", Mobile: "13900000009", JobNumber: "A9", Departments: []int64{10, 20}, Hired: "2026-11-01"}
	accept(join)
	p, there := r.person("n1")
	if !there || p.Name != "新人" || p.JobNumber != "A9" || len(p.Departments) != 2 {
		t.Fatalf("%v %+v", there, p)
	}
	calls := len(r.sim.Calls("user/create")) + len(r.sim.Calls("user/update"))
	accept(join)
	if again := len(r.sim.Calls("user/create")) + len(r.sim.Calls("user/update")); again != calls {
		t.Error("the same word was said to DingTalk twice")
	}
	accept(hr.Change{Act: hr.Move, UserID: "n1", Title: "经理", Departments: []int64{20}})
	if p, _ := r.person("n1"); p.Title != "经理" || len(p.Departments) != 1 || p.Name != "新人" {
		t.Errorf("%+v", p)
	}
	accept(hr.Change{Act: hr.Leave, UserID: "n1"}, hr.Change{Act: hr.Leave, UserID: "never-there"})
	if _, there := r.person("n1"); there {
		t.Error("the leaver is still there")
	}
	acts, err := r.log.Search(t.Context(), audit.Query{Action: hr.ActionAccept})
	r.must(err)
	if len(acts) != 4 || acts[0].Detail["leave"] != "2" {
		t.Errorf("%d records, the newest %v", len(acts), acts[0].Detail)
	}
}

// TestDingTalkRefuses: what a person has to mend is said in words, once.
func TestDingTalkRefuses(t *testing.T) {
	r := start(t, 0)
	r.must(r.sim.SetSwitches(func(s *dingtalksim.Switches) { s.HRManagesPosts = true }))
	r.must(r.Accept(t.Context(), hr.Origin{}, []hr.Change{
		{Act: hr.Move, UserID: "z1", Title: "经理"},
		{Act: hr.Move, UserID: "nobody", Name: "无"},
		{Act: hr.Join, UserID: "n2", Name: "重号", Mobile: "13900000001", Departments: []int64{10}},
		{Act: hr.Join, UserID: "n3", Name: "无部门", Mobile: "13900000003", Departments: []int64{99}},
	}))
	r.work()
	for _, words := range []string{"智能人事", "没有这个人", "已属于另一人", "部门不存在"} {
		if !strings.Contains(r.dead(), words) {
			t.Errorf("%q lacks %q", r.dead(), words)
		}
	}
}

// TestBreaker proves R46 for HR's word: a batch that would take out too many is
// refused as a whole.
func TestBreaker(t *testing.T) {
	r := start(t, 40)
	var list []hr.Change
	for i := range 10 {
		list = append(list, hr.Change{Act: hr.Leave, UserID: fmt.Sprintf("u%03d", i)})
	}
	if err := r.Accept(t.Context(), hr.Origin{}, list); !errors.Is(err, hr.ErrBatch) {
		t.Errorf("ten of forty-one: %v", err)
	}
	r.work()
	if _, there := r.person("u000"); !there {
		t.Error("somebody was taken out all the same")
	}
	r.must(r.Accept(t.Context(), hr.Origin{}, list[:3]))
	r.work()
	if _, there := r.person("u002"); there {
		t.Error("three were not taken out")
	}
}

// TestDrop proves F57's folder: a good file goes to done, a bad one is refused as
// a whole with every reason beside it, and one that is still written waits.
func TestDrop(t *testing.T) {
	r := start(t, 0)
	dir := t.TempDir()
	now := time.Now().Add(time.Minute)
	put := func(name, text string, at time.Time) {
		path := filepath.Join(dir, name)
		r.must(os.WriteFile(path, []byte(text), 0o600))
		r.must(os.Chtimes(path, at, at))
	}
	old := now.Add(-time.Minute)
	put("a.csv", "\xef\xbb\xbfact,userid,name,mobile,departments\r\njoin,n1,新人,13900000009,10;20\r\n", old)
	put("b.csv", "act,userid,name\nfire,n2,x\njoin,n 3,y\n", old)
	put("c.csv", "act,userid\nleave,z1\n", now)
	drop := &hr.Drop{Dir: dir, Desk: r.Desk, Now: func() time.Time { return now }}
	accepted, refused, err := drop.Take(t.Context())
	if accepted != 1 || refused != 1 || err != nil {
		t.Fatalf("%d, %d, %v", accepted, refused, err)
	}
	r.work()
	if _, there := r.person("n1"); !there {
		t.Error("the good file was not done")
	}
	reasons, err := os.ReadFile(filepath.Join(dir, "refused", "b.csv.txt"))
	r.must(err)
	if !strings.Contains(string(reasons), "line 1") || !strings.Contains(string(reasons), "line 2") || !strings.Contains(string(reasons), "join, move or leave") {
		t.Errorf("the reasons: %s", reasons)
	}
	done, err := os.ReadDir(filepath.Join(dir, "done"))
	r.must(err)
	if len(done) != 1 || !strings.HasSuffix(done[0].Name(), " a.csv") {
		t.Errorf("done holds %v", done)
	}
	if _, there := r.person("z1"); !there {
		t.Error("a file that is still written was read")
	}
}

// TestDropStaysInside: links that whoever drops files puts there make the
// gateway neither read nor write what lies elsewhere (T126).
func TestDropStaysInside(t *testing.T) {
	r := start(t, 0)
	now := time.Now().Add(time.Minute)
	secret := filepath.Join(t.TempDir(), "database")
	drop := func(links map[string]string, bad bool) (string, error) {
		dir := t.TempDir()
		r.must(os.WriteFile(secret, []byte("act,userid\nleave,z1\n"), 0o600))
		for name, target := range links {
			path := filepath.Join(dir, name)
			r.must(os.MkdirAll(filepath.Dir(path), 0o700))
			r.must(os.Symlink(target, path))
		}
		if bad {
			r.must(os.WriteFile(filepath.Join(dir, "b.csv"), []byte("nonsense"), 0o600))
			r.must(os.Chtimes(filepath.Join(dir, "b.csv"), now.Add(-time.Minute), now.Add(-time.Minute)))
		}
		_, _, err := (&hr.Drop{Dir: dir, Desk: r.Desk, Now: func() time.Time { return now }}).Take(t.Context())
		return dir, err
	}
	dir, err := drop(map[string]string{"refused/b.csv.txt": secret}, true)
	r.must(err)
	if info, err := os.Lstat(filepath.Join(dir, "refused", "b.csv.txt")); err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o600 {
		t.Errorf("the reasons: %v, %v", info, err)
	}
	elsewhere := t.TempDir()
	if _, err := drop(map[string]string{"refused": elsewhere}, true); err == nil {
		t.Error("a folder that leads elsewhere was taken for ours")
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Errorf("written elsewhere: %v, %v", left, err)
	}
	if _, err := drop(map[string]string{"a.csv": secret}, false); err != nil {
		t.Error(err)
	}
	r.work()
	if _, there := r.person("z1"); !there {
		t.Error("a file was read through a link")
	}
	if text, err := os.ReadFile(secret); err != nil || !strings.HasPrefix(string(text), "act,userid") {
		t.Errorf("the file elsewhere now holds %q, %v", text, err)
	}
}

// TestParseRefuses: hostile and careless input, with a clear word and no panic.
func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		``, `{}`, `[]`, `{"changes":[]}`, `{"changes":[{"act":"join","userid":"a"}]}`, `{"changes":[{"act":"leave","userid":"a","USERID":"b"}]}`,
		`{"changes":[{"act":"leave","userid":"a"},{"act":"leave","userid":"a"}]}`, `{"changes":[{"act":"leave","userid":"a\u0000"}]}`,
		`{"changes":[{"act":"leave","userid":"a","role":"admin"}]}`, `{"changes":[{"act":"move","userid":"a","name":"x\ny"}]}`,
		`{"changes":[{"act":"move","userid":"a","hired":"31.12.2026"}]}`, `{"changes":[{"act":"move","userid":"a","departments":[0]}]}`,
	} {
		if list, err := hr.ParseJSON([]byte(text)); !errors.Is(err, hr.ErrBatch) || list != nil {
			t.Errorf("%s: %v, %v", text, list, err)
		}
	}
	for _, text := range []string{"", "x\n", "act,userid,act\n", "act\nleave\n", "act,userid\n", "act,userid\nleave\n", "act,userid,departments\nmove,a,x\n"} {
		if list, err := hr.ParseCSV(strings.NewReader(text)); !errors.Is(err, hr.ErrBatch) || list != nil {
			t.Errorf("%q: %v, %v", text, list, err)
		}
	}
	many := "act,userid\n" + strings.Repeat("leave,a\n", hr.MaxBatch+1)
	if _, err := hr.ParseCSV(strings.NewReader(many)); !errors.Is(err, hr.ErrBatch) {
		t.Errorf("too many: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"changes":[{"act":"leave","userid":"a"}]}`))
	f.Add([]byte("act,userid,departments\nmove,a,1;2\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, list := range [][]hr.Change{first(hr.ParseJSON(text)), first(hr.ParseCSV(strings.NewReader(string(text))))} {
			if slices.ContainsFunc(list, func(c hr.Change) bool { return c.UserID == "" || strings.ContainsAny(c.Name, "\r\n\x00") }) {
				t.Errorf("accepted %+v", list)
			}
		}
	})
}

func first(list []hr.Change, _ error) []hr.Change { return list }
