package directory_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/directory"
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
)

var (
	key = []byte("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk")
	cli = jobs.Actor{Name: "cli:test"}
)

// doors are ours, as the gateway would close them.
type doors struct {
	mu     sync.Mutex
	frozen map[string]int
	ended  map[string]int
	users  map[string]map[string][]string // userid → data centre → login users
	broken error
}

func (d *doors) Freeze(_ context.Context, who identity.Subject, _ string) (map[string][]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken != nil {
		return nil, d.broken
	}
	d.frozen[who.UserID]++
	return d.users[who.UserID], nil
}

func (d *doors) EndSessions(_ context.Context, who identity.Subject) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended[who.UserID]++
	return 1, nil
}

func (d *doors) closed(userid string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.frozen[userid] > 0 && d.ended[userid] > 0
}

// rig is both simulators and a Keeper between them, on real files.
type rig struct {
	*directory.Keeper
	t       testing.TB
	ding    *dingtalksim.Server
	king    *kingdeesim.Server
	client  *dingtalk.Client
	kingdee *kingdee.Client
	store   store.Store
	log     *audit.Log
	queue   *jobs.Queue
	doors   *doors
	wave    *directory.Wave
	spared  []string
	config  directory.Config
}

// person is somebody of the address book.
func person(userid, name string, departments ...int64) dingtalksim.Person {
	return dingtalksim.Person{UserID: userid, Name: name, Departments: departments, Title: "会计"}
}

// start makes a rig with these people at DingTalk and these numbers in Kingdee.
func start(t testing.TB, people []dingtalksim.Person, change func(*directory.Config)) *rig {
	t.Helper()
	r := &rig{t: t, doors: &doors{frozen: map[string]int{}, ended: map[string]int{}, users: map[string]map[string][]string{}}}
	var err error
	r.ding, err = dingtalksim.New(dingtalksim.Config{QPS: -1, AddressLimit: -1, MonthQuota: -1, Corps: []dingtalksim.Corp{{
		ID: corp, Name: "演示公司", People: people,
		Apps:        []dingtalksim.App{{Key: appKey, Secret: appSecret, AgentID: 1001, Name: "金蝶", HomeURL: "http://localhost/", Hosts: []string{"localhost"}}},
		Departments: []dingtalksim.Department{{ID: 10, Name: "财务部"}, {ID: 20, Name: "销售部"}, {ID: 21, ParentID: 20, Name: "华东区"}},
	}}})
	r.must(err)
	var tables kingdeesim.Tables
	tables.Hire(kingdeesim.Employee{Number: "0001", Name: "集成用户", Users: []kingdeesim.User{{Name: integrator, Account: integrator}}})
	r.king, err = kingdeesim.New(kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{{
		ID: centreID, Number: "001", Name: "演示账套", Tables: tables,
		Rows: []kingdeesim.Row{{AppID: kingApp, Secret: kingSecret, IntegrationUser: integrator}},
	}}})
	r.must(err)
	t.Cleanup(func() { r.must(r.king.Close()) })
	t.Cleanup(r.ding.Close)
	dingWeb, kingWeb := httptest.NewServer(r.ding), httptest.NewServer(r.king)
	t.Cleanup(dingWeb.Close)
	t.Cleanup(kingWeb.Close)
	r.open()
	r.connect(dingWeb.URL, kingWeb.URL)
	r.keep(change)
	return r
}

func (r *rig) open() {
	r.t.Helper()
	driver, err := sqlitestore.Open(r.t.Context(), sqlitestore.Config{Path: filepath.Join(r.t.TempDir(), "kdgate.db")})
	r.must(err)
	r.t.Cleanup(func() { r.must(driver.Close()) })
	r.store, err = store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
	r.must(err)
	r.log, err = audit.Open(r.t.Context(), audit.Config{Dir: r.t.TempDir(), Replica: "node1", Key: key})
	r.must(err)
	r.t.Cleanup(func() { r.must(r.log.Close()) })
	r.queue, err = jobs.New(jobs.Config{Store: r.store, Recorder: r.log, Owner: "node1", Alone: true})
	r.must(err)
}

func (r *rig) connect(ding, king string) {
	r.t.Helper()
	client, spoken, err := clients(ding, king)
	r.must(err)
	r.client, r.kingdee = client.Background(), spoken
}

func (r *rig) keep(change func(*directory.Config)) {
	r.t.Helper()
	r.config = directory.Config{
		Corp: corp, DataCentre: "live", Source: r.client, Target: r.kingdee.Background(), Accounts: r.kingdee.Background(), Store: r.store, Recorder: r.log,
		Rules: directory.Rules{MakeDepartments: true, DefaultPosition: "GW0001"},
	}
	if change != nil {
		change(&r.config)
	}
	var err error
	r.Keeper, err = directory.New(r.config, r.queue)
	r.must(err)
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// run orders a run and gives what came of it.
func (r *rig) run(o directory.Order) directory.Run {
	r.t.Helper()
	o.By = cli
	run, err := r.Run(r.t.Context(), o, nil)
	r.must(err)
	return run
}

// work works the list until nothing is due.
func (r *rig) work() {
	r.t.Helper()
	keepers := map[string]*directory.Keeper{corp: r.Keeper}
	leave := &directory.Leave{Keepers: keepers, Doors: r.doors, Recorder: r.log, Now: time.Now}
	forbid := &directory.Forbid{
		Keepers: keepers, Accounts: map[string]directory.Accounts{"live": r.kingdee}, Wave: r.wave, Spared: r.spared, Recorder: r.log, Now: time.Now,
	}
	ctx, stop := context.WithCancel(r.t.Context())
	defer stop()
	pool, err := jobs.NewPool(jobs.PoolConfig{Queue: r.queue, Kinds: []jobs.Kind{
		{Name: directory.KindPerson, Handler: directory.Persons{Keepers: keepers}},
		{Name: directory.KindLeave, Handler: leave},
		{Name: directory.KindForbid, Handler: forbid},
	}})
	r.must(err)
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()
	r.until("the work list is empty", func() bool {
		for _, state := range []jobs.State{jobs.Ready, jobs.Leased} {
			page, err := r.queue.List(r.t.Context(), jobs.Filter{State: state}, "", 100)
			r.must(err)
			if slices.ContainsFunc(page.Items, func(it jobs.Item) bool {
				return it.State == jobs.Leased || !it.Due.After(time.Now()) && !r.paused(it.Kind)
			}) {
				return false
			}
		}
		return true
	})
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		r.t.Fatal(err)
	}
}

func (r *rig) paused(kind string) bool {
	r.t.Helper()
	pause, err := r.queue.Paused(r.t.Context(), kind)
	r.must(err)
	return !pause.Until.IsZero()
}

func (r *rig) until(what string, so func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(5 * time.Minute)
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			r.t.Fatalf("not within five minutes: %s", what)
		}
	}
}

// staff is the one record of a number in Kingdee.
func (r *rig) staff(number string) kingdeesim.StaffInfo {
	r.t.Helper()
	var found []kingdeesim.StaffInfo
	for _, one := range r.king.Staff() {
		if one.Number == number {
			found = append(found, one)
		}
	}
	if len(found) != 1 {
		r.t.Fatalf("%d staff records of %s", len(found), number)
	}
	return found[0]
}

func (r *rig) has(number string) bool {
	return slices.ContainsFunc(r.king.Staff(), func(s kingdeesim.StaffInfo) bool { return s.Number == number })
}

// crowd is n invented people.
func crowd(n int) []dingtalksim.Person {
	list := make([]dingtalksim.Person, 0, n)
	for i := range n {
		list = append(list, person(fmt.Sprintf("u%05d", i), fmt.Sprintf("员工%d", i), []int64{10, 20, 21}[i%3]))
	}
	return list
}
