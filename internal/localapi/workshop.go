package localapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/billbook"
	"kdgate/jobs/approval/rulebook"
	"kdgate/jobs/directory"
	"kdgate/jobs/schedule"
)

// Workshop is what works behind the browser's back: the work list, the tasks by
// the clock, and the directory. The zero value has no routes.
type Workshop struct {
	Queue    *jobs.Queue
	Schedule *schedule.Schedule
	// Keeper is the directory in force now, nil while it is off.
	Keeper func() *directory.Keeper
	// Directory tells where it stands.
	Directory func(ctx context.Context) (DirectoryState, error)
	// Compare orders a run and returns when it has ended. It goes on when ctx ends.
	Compare func(ctx context.Context, by jobs.Actor, o directory.Order, p directory.Progress) (directory.Run, error)
	// Agree takes somebody back who was hired again.
	Agree func(ctx context.Context, by jobs.Actor, userid string) error
	// Preview tells what would become of an approval; an empty corp or process is
	// the only one that the rules are about.
	Preview func(ctx context.Context, by jobs.Actor, corp, process, instance string) (approval.Preview, error)
	// Rules is what people do with the rules of approvals, and Bills what became of
	// approvals.
	Rules *rulebook.Desk
	Bills *billbook.Index
}

// DirectoryState is the directory as people look at it.
type DirectoryState struct {
	Mode       string         `json:"mode"` // off, preview or on
	Corp       string         `json:"corp,omitzero"`
	DataCentre string         `json:"data_centre,omitzero"`
	Under      *directory.Run `json:"under_way,omitempty"`
	Last       *directory.Run `json:"last,omitempty"`
	Task       *Task          `json:"task,omitempty"`
	Calls      int            `json:"calls,omitzero"` // that a comparison takes, by the last one
	Waiting    int            `json:"waiting"`        // people hired again
	Drift      int            `json:"drift"`          // records that wait for a decision, counted to maxDrifts
}

// Task is a task by the clock on this wire.
type Task struct {
	Name  string          `json:"name"`
	Spec  string          `json:"spec,omitzero"`
	Next  time.Time       `json:"next,omitzero"`
	Held  string          `json:"held,omitzero"` // why Next is later than the spec says
	Pause *schedule.Pause `json:"pause,omitempty"`
	Last  *schedule.Run   `json:"last,omitempty"`
}

// TaskOf puts a task on the wire.
func TaskOf(s schedule.Status) Task {
	return Task{Name: s.Name, Spec: s.Spec, Next: s.Next, Held: s.Held, Pause: s.Pause, Last: s.Last}
}

// Items is one page of the work list.
type Items struct {
	Items []jobs.Item `json:"items"`
	Next  string      `json:"next,omitzero"`
}

// Work is the work list at a glance.
type Work struct {
	Counts []jobs.Count `json:"counts"`
	Pauses []jobs.Pause `json:"pauses"`
}

// WorkAct is what a person does to one item, or to a kind, of the work list.
type WorkAct struct {
	Act     string         `json:"act"` // replay, edit, give-up; pause, resume
	ID      string         `json:"id,omitzero"`
	Payload jsontext.Value `json:"payload,omitempty"`
	Note    string         `json:"note,omitzero"` // why
	Kind    string         `json:"kind,omitzero"`
	Until   time.Time      `json:"until,omitzero"`
}

// TaskAct is what a person does to a task.
type TaskAct struct {
	Task string `json:"task"`
	Act  string `json:"act"` // run, stop, pause or resume
	Why  string `json:"why,omitzero"`
}

// DirectoryAct is what a person decides about the directory.
type DirectoryAct struct {
	Act    string    `json:"act"` // undo, accept, keep, release or agree
	Run    string    `json:"run,omitzero"`
	Number string    `json:"number,omitzero"` // staff number of a drift
	Until  time.Time `json:"until,omitzero"`
	UserID string    `json:"userid,omitzero"`
}

// Order is what somebody wants of a run.
type Order struct {
	Dry   bool `json:"dry,omitzero"`
	Real  bool `json:"real,omitzero"` // for real, also when it is the first run
	Allow int  `json:"allow,omitzero"`
}

// maxDrifts bounds one answer.
const maxDrifts = 1000

func (h handler) workshop(mux *http.ServeMux) {
	mux.HandleFunc("GET "+Prefix+"jobs", h.items)
	mux.HandleFunc("GET "+Prefix+"jobs/work", h.work)
	mux.HandleFunc("GET "+Prefix+"jobs/item", h.item)
	mux.HandleFunc("POST "+Prefix+"jobs/act", h.workAct)
	mux.HandleFunc("GET "+Prefix+"tasks", h.tasks)
	mux.HandleFunc("POST "+Prefix+"tasks/act", h.taskAct)
	mux.HandleFunc("GET "+Prefix+"directory", h.directory)
	mux.HandleFunc("POST "+Prefix+"approvals/preview", h.previewApproval)
	h.ruleRoutes(mux)
	for route, serve := range map[string]func(http.ResponseWriter, *http.Request, *directory.Keeper){
		"POST " + Prefix + "directory/run": h.compare, "GET " + Prefix + "directory/runs": h.runs,
		"GET " + Prefix + "directory/changes": h.changes, "GET " + Prefix + "directory/drifts": h.drifts,
		"GET " + Prefix + "directory/waiting": h.waiting, "POST " + Prefix + "directory/act": h.directoryAct,
	} {
		mux.HandleFunc(route, h.kept(serve))
	}
}

// kept serves a route of the directory while it is on.
func (h handler) kept(serve func(http.ResponseWriter, *http.Request, *directory.Keeper)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		keeper := h.Workshop.Keeper()
		if keeper == nil {
			h.fail(w, identity.Fail(identity.Conflict, "", "the directory is off; directory.mode in the configuration turns it on"))
			return
		}
		serve(w, r, keeper)
	}
}

func workActor(r *http.Request) jobs.Actor {
	by := actor(r)
	return jobs.Actor{Name: by.Name, Source: by.Source, RequestID: by.RequestID}
}

func (h handler) reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		h.fail(w, err)
		return
	}
	answer(w, http.StatusOK, v)
}

func read[T any](w http.ResponseWriter, r *http.Request) (T, error) {
	var v T
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, 2*jobs.MaxPayload), &v); err != nil {
		return v, identity.Fail(identity.Invalid, identity.CodeBadRequest, "localapi: %w", err)
	}
	return v, nil
}

func (h handler) items(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit")) // zero means the least
	page, err := h.Workshop.Queue.List(r.Context(), jobs.Filter{State: jobs.State(q.Get("state")), Kind: q.Get("kind")}, q.Get("after"), limit)
	h.reply(w, Items{page.Items, page.After}, err)
}

func (h handler) work(w http.ResponseWriter, r *http.Request) {
	counts, err := h.Workshop.Queue.Counts(r.Context())
	if err != nil {
		h.fail(w, err)
		return
	}
	pauses, err := h.Workshop.Queue.Pauses(r.Context())
	h.reply(w, Work{counts, pauses}, err)
}

func (h handler) item(w http.ResponseWriter, r *http.Request) {
	id, err := jobs.ParseID(r.URL.Query().Get("id"))
	if err != nil {
		h.fail(w, err)
		return
	}
	item, err := h.Workshop.Queue.Get(r.Context(), id)
	h.reply(w, item, err)
}

// workAct acts on an item as it stands now: the caller saw no version.
func (h handler) workAct(w http.ResponseWriter, r *http.Request) {
	act, err := read[WorkAct](w, r)
	if err != nil {
		h.fail(w, err)
		return
	}
	queue, by := h.Workshop.Queue, workActor(r)
	switch act.Act {
	case "pause":
		h.reply(w, struct{}{}, queue.PauseKind(r.Context(), by, jobs.Pause{Kind: act.Kind, Until: act.Until, Why: act.Note}))
		return
	case "resume":
		h.reply(w, struct{}{}, queue.ResumeKind(r.Context(), by, act.Kind))
		return
	}
	id, err := jobs.ParseID(act.ID)
	if err != nil {
		h.fail(w, err)
		return
	}
	item, err := queue.Get(r.Context(), id)
	if err == nil {
		switch act.Act {
		case "replay":
			item, err = queue.Replay(r.Context(), by, id)
		case "edit":
			item, err = queue.Edit(r.Context(), by, id, item.Version, act.Payload)
		case "give-up":
			item, err = queue.GiveUp(r.Context(), by, id, act.Note)
		default:
			err = noAct(act.Act)
		}
	}
	h.reply(w, item, err)
}

func noAct(act string) error {
	return identity.Fail(identity.Invalid, identity.CodeBadRequest, "localapi: no act %q", act)
}

func (h handler) tasks(w http.ResponseWriter, r *http.Request) {
	list, err := h.Workshop.Schedule.Tasks(r.Context())
	tasks := make([]Task, 0, len(list))
	for _, status := range list {
		tasks = append(tasks, TaskOf(status))
	}
	h.reply(w, tasks, err)
}

func (h handler) taskAct(w http.ResponseWriter, r *http.Request) {
	act, err := read[TaskAct](w, r)
	if err != nil {
		h.fail(w, err)
		return
	}
	s, by := h.Workshop.Schedule, workActor(r)
	switch act.Act {
	case "run":
		err = s.RunNow(r.Context(), by, act.Task)
	case "stop":
		err = s.Stop(r.Context(), by, act.Task)
	case "pause":
		err = s.Pause(r.Context(), by, act.Task, act.Why)
	case "resume":
		err = s.Resume(r.Context(), by, act.Task)
	default:
		err = noAct(act.Act)
	}
	h.reply(w, struct{}{}, err)
}

func (h handler) directory(w http.ResponseWriter, r *http.Request) {
	state, err := h.Workshop.Directory(r.Context())
	h.reply(w, state, err)
}

// compare answers with lines: the phases as they come, the run at the end. A
// caller that goes away stops nothing; the task is stopped by its name.
func (h handler) compare(w http.ResponseWriter, r *http.Request, _ *directory.Keeper) {
	o, err := read[Order](w, r)
	if err != nil {
		h.fail(w, err)
		return
	}
	noDeadline(w)
	s := newStream(w)
	run, err := h.Workshop.Compare(r.Context(), workActor(r), directory.Order{By: workActor(r), Dry: o.Dry, Real: o.Real, Allow: o.Allow},
		func(phase directory.Phase, done, total int) { s.write(line{Phase: phase, Done: done, Total: total}) })
	s.finish(line{Run: &run}, err)
}

func (h handler) runs(w http.ResponseWriter, r *http.Request, k *directory.Keeper) {
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	runs, err := k.Runs(r.Context(), min(max(1, limit), 200))
	h.reply(w, runs, err)
}

// changes answers with the run, then what it did, line by line: there may be a
// hundred thousand.
func (h handler) changes(w http.ResponseWriter, r *http.Request, k *directory.Keeper) {
	id := r.URL.Query().Get("run")
	run, err := k.RunOf(r.Context(), id)
	if err != nil {
		h.fail(w, err)
		return
	}
	noDeadline(w)
	s := newStream(w)
	s.put(line{Run: &run})
	err = k.Changes(r.Context(), id, func(c directory.Change) error {
		s.put(line{Change: &c})
		return r.Context().Err()
	})
	s.finish(line{End: true}, err)
}

func (h handler) drifts(w http.ResponseWriter, r *http.Request, k *directory.Keeper) {
	list, err := k.Drifts(r.Context(), r.URL.Query().Get("after"), maxDrifts)
	h.reply(w, list, err)
}

func (h handler) waiting(w http.ResponseWriter, r *http.Request, k *directory.Keeper) {
	list, err := k.Waiting(r.Context())
	h.reply(w, list, err)
}

// refusedNumbers is the answer to an undo.
type refusedNumbers struct {
	Refused []string `json:"refused"` // what Kingdee would not take back: staff number and its words
}

func (h handler) directoryAct(w http.ResponseWriter, r *http.Request, k *directory.Keeper) {
	act, err := read[DirectoryAct](w, r)
	if err != nil {
		h.fail(w, err)
		return
	}
	noDeadline(w) // an undo writes as much as the run did
	by, ctx := workActor(r), r.Context()
	var done refusedNumbers
	switch act.Act {
	case "undo":
		done.Refused, err = k.Undo(ctx, by, act.Run)
	case "accept":
		err = k.AcceptDingTalk(ctx, by, act.Number)
	case "keep":
		err = k.KeepKingdee(ctx, by, act.Number, act.Until)
	case "release":
		err = k.Release(ctx, by, act.Number)
	case "agree":
		err = h.Workshop.Agree(ctx, by, act.UserID)
	default:
		err = noAct(act.Act)
	}
	h.reply(w, done, err)
}
