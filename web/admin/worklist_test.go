package admin_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/lease"
	"kdgate/jobs/schedule"
	"kdgate/web/admin"
)

// jobsPage is the page over a real list and a real schedule of one task.
func (h *house) jobsPage() *admin.Jobs {
	h.Helper()
	var err error
	h.queue, err = jobs.New(jobs.Config{Store: h.store, Recorder: h.log, Owner: "test", Alone: true, Now: h.clock.Now})
	must(h, err)
	held, err := lease.New(lease.Config{Store: h.store, Name: "schedule", Owner: "test", Now: h.clock.Now})
	must(h, err)
	h.schedule, err = schedule.New(schedule.Config{Store: h.store, Lease: held, Recorder: h.log, Now: h.clock.Now, Tasks: []schedule.Task{
		{Name: "directory", Do: h.compare},
	}})
	must(h, err)
	return &admin.Jobs{List: h.queue, Clock: h.schedule, Now: h.clock.Now}
}

// deadItem puts an item on the list and fails it for good.
func (h *house) deadItem(key, payload string) jobs.ID {
	h.Helper()
	id := jobs.ID{Kind: "directory.person", Key: key}
	_, _, err := h.queue.Add(h.Context(), jobs.Draft{ID: id, Payload: jsontext.Value(payload)})
	must(h, err)
	taken, err := h.queue.Take(h.Context(), id.Kind, 1)
	must(h, err)
	if len(taken.Work) != 1 {
		h.Fatalf("took %d", len(taken.Work))
	}
	cause := jobs.Explain(identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup, "kingdee: %w", errors.New("no right to save")), "没有保存权限 <b>")
	_, err = taken.Work[0].Fail(h.Context(), jobs.Permanent(cause), jobs.Retry{})
	must(h, err)
	return id
}

var versionField = regexp.MustCompile(`name="version" value="([0-9]+)"`)

// F63: a dead letter is shown with its reason, edited at the version that was
// looked at, done again, and given up only with a note; each act is on record.
func TestDeadLetters(t *testing.T) {
	h := newHouse(t)
	id := h.deadItem("dingcorp1/1001 周", `{"userid":"1001"}`)
	b := h.enter("manager01")
	b.get("/admin/jobs").has(t, http.StatusOK, "没有保存权限 &lt;b&gt;", "KD-402", "/admin/jobs/item/"+id.String())
	path := "/admin/jobs/item/" + id.String()
	page := b.get(path)
	page.has(t, http.StatusOK, "no right to save", "userid", `id="edit"`)
	checkPage(t, path, "en", strings.ReplaceAll(page.body, "<textarea", "<select"))
	version := versionField.FindStringSubmatch(page.body)[1]
	b.post(path, "version", version, "payload", `{"userid":`).has(t, http.StatusBadRequest)
	b.post(path, "version", version, "payload", `{"userid":"1002"}`).has(t, http.StatusSeeOther)
	b.post(path, "version", version, "payload", `{"userid":"1003"}`).has(t, http.StatusConflict, "KD-605")
	b.post(path+"/give-up", "note", " ").has(t, http.StatusBadRequest)
	b.post(path+"/replay").has(t, http.StatusSeeOther)
	it, err := h.queue.Get(t.Context(), id)
	must(t, err)
	if it.State != jobs.Ready || string(it.Payload) != `{"userid":"1002"}` {
		t.Errorf("%s %s", it.State, it.Payload)
	}
	b.post(path+"/give-up", "note", "已离职").has(t, http.StatusSeeOther)
	b.get("/admin/jobs?state=given-up&kind=directory.person").has(t, http.StatusOK, "已离职")
	b.get("/admin/jobs?state=lost").has(t, http.StatusBadRequest)
	if len(h.records(jobs.ActionEdit)) != 1 || len(h.records(jobs.ActionReplay)) != 1 || len(h.records(jobs.ActionGiveUp)) != 1 {
		t.Error("an act is not on record")
	}
	h.clock.Advance(6 * time.Minute)
	if late := b.get(path); strings.Contains(late.body, `id="edit"`) {
		t.Error("an old proof is offered the edit that it would lose")
	}
	b.post(path, "version", version, "payload", `{}`).has(t, http.StatusForbidden, "KD-603")
}

// R19, F33: a kind is paused for a while and let go on; a task is run when asked,
// stopped and paused; the moving part keeps nobody signed in.
func TestPausesAndTasks(t *testing.T) {
	h := newHouse(t)
	h.deadItem("x", `{}`)
	b := h.enter("manager01")
	b.post("/admin/jobs/pause", "kind", "directory.person", "minutes", "60", "why", "盘点").has(t, http.StatusSeeOther)
	b.post("/admin/jobs/pause", "kind", "directory.person", "minutes", "0").has(t, http.StatusBadRequest)
	b.do(http.MethodGet, "/admin/jobs/live", nil, "HX-Request", "true").has(t, http.StatusOK, "盘点", "2026-03-02 10:00:00")
	b.post("/admin/jobs/resume", "kind", "directory.person").has(t, http.StatusSeeOther)
	if pauses, err := h.queue.Pauses(t.Context()); err != nil || len(pauses) != 0 {
		t.Errorf("%v %v", pauses, err)
	}
	b.post("/admin/jobs/task/directory/stop").has(t, http.StatusConflict)
	b.post("/admin/jobs/task/nothing/run").has(t, http.StatusNotFound)
	b.post("/admin/jobs/task/directory/pause", "why", "盘点").has(t, http.StatusSeeOther)
	b.get("/admin/jobs").has(t, http.StatusOK, "dingcorp1/manager01")
	b.post("/admin/jobs/task/directory/resume").has(t, http.StatusSeeOther)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.schedule.Run(ctx) }()
	b.post("/admin/jobs/task/directory/run").has(t, http.StatusSeeOther)
	for ended := false; !ended; { // the schedule looks for wishes as they come
		runs, _, err := h.schedule.Runs(t.Context(), "directory", "", 1)
		must(t, err)
		ended = len(runs) == 1 && runs[0].State != schedule.Running // of vendors that nobody listens for
	}
	stop()
	<-done
	page := b.get("/admin/jobs/task/directory")
	page.has(t, http.StatusOK, "dingcorp1/manager01")
	checkPage(t, "task", "en", page.body)
}

// F35: the same by JSON.
func TestWorkByJSON(t *testing.T) {
	h := newHouse(t)
	id := h.deadItem("a/b", `{"n":1}`)
	b := h.enter("manager01")
	var page admin.WorkPage
	decode(t, b.get("/admin/api/v1/jobs"), &page)
	if len(page.Items) != 1 || page.Items[0].Key != "a/b" || page.Items[0].Failure == nil {
		t.Fatalf("%+v", page)
	}
	path := "/admin/api/v1/jobs/" + id.String()
	var item admin.WorkItem
	decode(t, b.send(http.MethodPut, path, `{"version":1,"payload":{}}`), &item)
	b.send(http.MethodPut, path, `{"version":1,"payload":{}}`).has(t, http.StatusConflict)
	decode(t, b.get(path), &item)
	decode(t, b.send(http.MethodPut, path, `{"version":`+itoa(item.Version)+`,"payload":{"n":2}}`), &item)
	if item.Payload.(map[string]any)["n"] != 2.0 {
		t.Errorf("%+v", item)
	}
	b.send(http.MethodPost, path+"/give-up", `{"note":""}`).has(t, http.StatusBadRequest)
	decode(t, b.send(http.MethodPost, path+"/replay", `{}`), &item)
	if item.State != jobs.Ready {
		t.Errorf("%s after a replay", item.State)
	}
	var picture admin.WorkPicture
	b.send(http.MethodPost, "/admin/api/v1/jobs/pause", `{"kind":"directory.person","minutes":5}`).has(t, http.StatusOK)
	decode(t, b.get("/admin/api/v1/jobs/counts"), &picture)
	if len(picture.Pauses) != 1 || len(picture.Counts) == 0 {
		t.Errorf("%+v", picture)
	}
	b.send(http.MethodPost, "/admin/api/v1/jobs/resume", `{"kind":"directory.person"}`).has(t, http.StatusOK)
	var tasks []admin.TaskInfo
	decode(t, b.get("/admin/api/v1/tasks"), &tasks)
	if len(tasks) != 1 || tasks[0].Name != "directory" {
		t.Errorf("%+v", tasks)
	}
	b.send(http.MethodPost, "/admin/api/v1/tasks/directory/run", `{}`).has(t, http.StatusAccepted)
	b.get("/admin/api/v1/tasks/directory/runs").has(t, http.StatusOK)
	b.get("/admin/api/v1/tasks/none/runs").has(t, http.StatusNotFound)
	b.get("/admin/jobs/task/none").has(t, http.StatusNotFound)
}
