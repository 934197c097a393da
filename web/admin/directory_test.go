package admin_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/internal/peer"
	"kdgate/jobs"
	"kdgate/jobs/directory"
	"kdgate/jobs/schedule"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
	"kdgate/web/admin"
)

// nowhere is a vendor that nobody listens for: pages that only read the store
// never ask it.
const nowhere = "http://127.0.0.1:1"

// directoryPage is the page over a real keeper of the two vendors.
func (h *house) directoryPage(ding, king string) *admin.Directory {
	h.Helper()
	quiet := slog.New(slog.DiscardHandler)
	client, err := dingtalk.New(dingtalk.Config{
		Corp: corp, AppKey: "dingapp1", AppSecret: identity.NewSecret("ding-secret-0001"), AgentID: "1001",
		Endpoints: dingtalk.Endpoints{OAPI: ding, API: ding, Login: ding}, Peer: peer.New(peer.Config{}), Logger: quiet,
		Limits: dingtalk.Limits{QPS: 1e6, DirectoryPerMinute: -1, Month: -1}, Egress: dingtalk.NewEgress(dingtalk.EgressConfig{Calls: 1e9}),
	})
	must(h, err)
	target, err := kingdee.New(kingdee.Config{
		ID: live, BaseURL: king + "/K3Cloud/", DBID: "61cd78fbc6aa78", AppID: "231784_Test",
		AppSecret: identity.NewSecret("0123456789abcdef0123456789abcdef"), IntegrationUser: "kdgate", Logger: quiet, AllowPlainHTTP: true,
	})
	must(h, err)
	h.keeper, err = directory.New(directory.Config{
		Corp: corp, DataCentre: live, Source: client.Background(), Target: target.Background(), Store: h.store, Recorder: h.log,
		Rules: directory.Rules{MakeDepartments: true, DefaultPosition: "GW0001"}, Breaker: directory.Breaker{Share: 0.05, Least: 4}, Now: h.clock.Now,
	}, h.queue)
	must(h, err)
	return &admin.Directory{
		Runs: h.keeper, Drift: h.keeper, Clock: h.schedule, Task: "directory", Scope: admin.Scope{Corp: corp, DataCentre: live}, Now: h.clock.Now,
		Agree: func(ctx context.Context, by jobs.Actor, userid string) error {
			return h.keeper.Agree(ctx, by, userid, target)
		},
	}
}

// compare is what the schedule does: the order that was left, or one of its own.
func (h *house) compare(ctx context.Context, p *schedule.Progress) error {
	order, placed, err := h.keeper.Placed(ctx)
	if err != nil {
		return err
	}
	if !placed {
		order = directory.Order{By: jobs.Actor{Name: p.Run().By}}
	}
	h.clock.Advance(time.Second) // a run's name is its time
	_, err = h.keeper.Run(ctx, order, nil)
	return err
}

// office is a house between both vendors, with a directory that runs.
type office struct {
	*house
	*browser
	ding *dingtalksim.Server
	king *kingdeesim.Server
}

func newOffice(t *testing.T, people int) *office {
	t.Helper()
	o := &office{house: newHouse(t)}
	list := make([]dingtalksim.Person, 0, people)
	for i := range people {
		list = append(list, dingtalksim.Person{UserID: fmt.Sprintf("u%02d", i), Name: fmt.Sprintf("员工%d", i), Departments: []int64{10}})
	}
	var err error
	o.ding, err = dingtalksim.New(dingtalksim.Config{QPS: -1, AddressLimit: -1, MonthQuota: -1, Corps: []dingtalksim.Corp{{
		ID: corp, Name: "演示公司", People: list, Departments: []dingtalksim.Department{{ID: 10, Name: "财务部"}},
		Apps: []dingtalksim.App{{Key: "dingapp1", Secret: "ding-secret-0001", AgentID: 1001, Name: "金蝶", HomeURL: "http://localhost/", Hosts: []string{"localhost"}}},
	}}})
	must(t, err)
	t.Cleanup(o.ding.Close)
	var tables kingdeesim.Tables
	tables.Hire(kingdeesim.Employee{Number: "0001", Name: "集成用户", Users: []kingdeesim.User{{Name: "kdgate", Account: "kdgate"}}})
	o.king, err = kingdeesim.New(kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{{
		ID: "61cd78fbc6aa78", Number: "001", Name: "演示账套", Tables: tables,
		Rows: []kingdeesim.Row{{AppID: "231784_Test", Secret: "0123456789abcdef0123456789abcdef", IntegrationUser: "kdgate"}},
	}}})
	must(t, err)
	t.Cleanup(func() { must(t, o.king.Close()) })
	ding, king := httptest.NewServer(o.ding), httptest.NewServer(o.king)
	t.Cleanup(ding.Close)
	t.Cleanup(king.Close)
	o.build(o.directoryPage(ding.URL, king.URL))
	o.inBackground(func(ctx context.Context) { _ = o.schedule.Run(ctx) }) // it ends with the test
	o.browser = o.enter("manager01")
	return o
}

// ended waits until n runs have ended and gives the newest.
func (o *office) ended(t *testing.T, n int) directory.Run {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for {
		runs, err := o.keeper.Runs(t.Context(), 50)
		must(t, err)
		tasks, err := o.schedule.Tasks(t.Context())
		must(t, err)
		if len(runs) == n && tasks[0].Last != nil && tasks[0].Last.State != schedule.Running {
			return runs[0]
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%d runs, want %d", len(runs), n)
		}
	}
}

// F50, F55, R46: a preview first; then for real, with the diff by person; a run
// that the breaker stopped goes on for exactly the number that is typed; and
// what a run wrote is put back.
func TestDirectoryIsComparedAndUndone(t *testing.T) {
	o := newOffice(t, 30)
	o.post("/admin/directory/run", "mode", "whatever").has(t, http.StatusBadRequest)
	o.post("/admin/directory/run", "mode", "preview").has(t, http.StatusSeeOther)
	if run := o.ended(t, 1); !run.Dry || run.Counts.Created != 30 || len(o.king.Staff()) != 1 {
		t.Fatalf("a preview: %+v, %d staff", run, len(o.king.Staff()))
	}
	o.post("/admin/directory/run", "mode", "real").has(t, http.StatusSeeOther)
	run := o.ended(t, 2)
	path := "/admin/directory/run/" + run.ID
	page := o.get(path + "?text=员工7")
	page.has(t, http.StatusOK, "员工7", "Created", `id="undo"`)
	if strings.Contains(page.body, "员工8") {
		t.Error("somebody else is in the search")
	}
	checkPage(t, path, "en", page.body)
	for i := range 10 {
		_, err := o.ding.RemovePerson(corp, fmt.Sprintf("u%02d", i), "leave")
		must(t, err)
	}
	o.post("/admin/directory/run", "mode", "real").has(t, http.StatusSeeOther)
	if stopped := o.ended(t, 3); stopped.Ending != directory.Stopped {
		t.Fatalf("%+v", stopped)
	}
	o.get("/admin/directory").has(t, http.StatusOK, `id="override"`, "10 people would be treated as leavers")
	o.post("/admin/directory/override", "leavers", "9").has(t, http.StatusConflict, "KD-605")
	o.post("/admin/directory/override", "leavers", "10").has(t, http.StatusSeeOther)
	if through := o.ended(t, 4); through.Ending != directory.Complete || through.Allowed != 10 || through.By != corp+"/manager01" {
		t.Errorf("%+v", through)
	}
	o.post(path+"/undo").has(t, http.StatusSeeOther)
	o.get(path+"?refused=0").has(t, http.StatusOK, "Kingdee refused 0")
	o.post(path+"/undo").has(t, http.StatusConflict)
	o.clock.Advance(6 * time.Minute)
	o.post("/admin/directory/override", "leavers", "10").has(t, http.StatusForbidden, "KD-603")
	o.post(path+"/undo").has(t, http.StatusForbidden, "KD-603")
}

// F53: a record that was changed in Kingdee waits for one of three answers; what
// is held is listed and released.
func TestDriftIsAnswered(t *testing.T) {
	o := newOffice(t, 4)
	o.post("/admin/directory/run", "mode", "real").has(t, http.StatusSeeOther)
	o.ended(t, 1)
	for i := range 3 {
		name := fmt.Sprintf("金蝶改的%d", i)
		must(t, o.king.PatchStaff("61cd78fbc6aa78", fmt.Sprintf("u%02d", i), kingdeesim.StaffPatch{Name: &name}))
	}
	o.send(http.MethodPost, "/admin/api/v1/directory/run", `{"preview":false}`).has(t, http.StatusOK)
	o.ended(t, 2)
	page := o.get("/admin/directory")
	page.has(t, http.StatusOK, "金蝶改的0", "员工0", "Changed in Kingdee (3)")
	checkPage(t, "directory with drift", "en", page.body)
	answer := func(pairs ...string) answer { return o.post("/admin/directory/drift", pairs...) }
	answer("number", "u00", "answer", "perhaps").has(t, http.StatusBadRequest)
	answer("number", "u00", "answer", "keep", "until", "someday").has(t, http.StatusBadRequest)
	answer("number", "u00", "answer", "accept", "until", "").has(t, http.StatusSeeOther)
	answer("number", "u01", "answer", "keep", "until", "2026-03-09").has(t, http.StatusSeeOther)
	answer("number", "u02", "answer", "lock", "until", "2026-03-09").has(t, http.StatusSeeOther)
	answer("number", "u02", "answer", "lock").has(t, http.StatusNotFound)
	o.get("/admin/directory").has(t, http.StatusOK, "Changed in Kingdee (0)", "2026-03-10 00:00:00", "locked")
	var state admin.DirectoryState
	decode(t, o.get("/admin/api/v1/directory"), &state)
	if len(state.Holds) != 2 || len(state.Drift) != 0 || len(state.Runs) != 2 {
		t.Errorf("%+v", state)
	}
	o.post("/admin/directory/release", "number", "u02").has(t, http.StatusSeeOther)
	o.post("/admin/directory/release", "number", "u02").has(t, http.StatusNotFound)
	o.post("/admin/directory/agree", "userid", "u03").has(t, http.StatusNotFound)
	o.send(http.MethodPost, "/admin/api/v1/directory/agree", `{"userid":"u03"}`).has(t, http.StatusNotFound)
	o.get("/admin/directory/run/no-such-run").has(t, http.StatusNotFound)
	o.get("/admin/directory/run/..%2F..%2Fx").has(t, http.StatusNotFound)
	var detail admin.RunDetail
	decode(t, o.get("/admin/api/v1/directory/runs/"+state.Runs[1].ID), &detail)
	if len(detail.Changes) != 4 || detail.Run.Counts.Created != 4 {
		t.Errorf("%+v", detail)
	}
}
