package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/schedule"
	"kdgate/web"
)

const (
	pathTask = pathJobs + "/task/{task}"
	apiTask  = apiPrefix + "tasks/{task}"

	taskRuns = 50
)

// Clock is what the console does with the tasks by the clock: a *schedule.Schedule.
type Clock interface {
	Tasks(ctx context.Context) ([]schedule.Status, error)
	Runs(ctx context.Context, task, after string, limit int) ([]schedule.Run, string, error)
	RunNow(ctx context.Context, by jobs.Actor, task string) error
	RunFor(ctx context.Context, by jobs.Actor, task, purpose string) error
	Stop(ctx context.Context, by jobs.Actor, task string) error
	Pause(ctx context.Context, by jobs.Actor, task, why string) error
	Resume(ctx context.Context, by jobs.Actor, task string) error
}

// TaskInfo is a task as the API tells it.
type TaskInfo struct {
	Name  string          `json:"name"`
	Spec  string          `json:"spec,omitempty"` // absent: only when asked for
	Next  time.Time       `json:"next,omitzero"`
	Held  string          `json:"held,omitempty"` // why next is later than the spec says
	Pause *schedule.Pause `json:"pause,omitempty"`
	Last  *TaskRun        `json:"last,omitempty"`
}

// TaskRun is one run of a task.
type TaskRun struct {
	ID      string            `json:"id"`
	State   schedule.State    `json:"state"`
	By      string            `json:"by"`
	Replica string            `json:"replica"`
	Began   time.Time         `json:"began"`
	Ended   time.Time         `json:"ended,omitzero"`
	Done    int64             `json:"done"`
	Total   int64             `json:"total"`
	Words   string            `json:"words,omitempty"`
	Counts  map[string]int64  `json:"counts,omitempty"`
	Failure *schedule.Failure `json:"failure,omitempty"`
}

func taskRun(r schedule.Run) TaskRun {
	return TaskRun{
		ID: r.ID, State: r.State, By: r.By, Replica: r.Replica, Began: r.Began, Ended: r.Ended, Done: r.Done, Total: r.Total,
		Words: r.Words, Counts: r.Counts, Failure: r.Failure,
	}
}

// TaskWish is the body of an act on a task.
type TaskWish struct {
	Why string `json:"why,omitempty"` // of a pause
}

// wishes are the acts on a task, by the last part of their address.
func (j *Jobs) wishes() map[string]func(v *Visit, task, why string) error {
	return map[string]func(v *Visit, task, why string) error{
		"run":    func(v *Visit, task, _ string) error { return j.Clock.RunNow(v.R.Context(), v.worker(), task) },
		"stop":   func(v *Visit, task, _ string) error { return j.Clock.Stop(v.R.Context(), v.worker(), task) },
		"pause":  func(v *Visit, task, why string) error { return j.Clock.Pause(v.R.Context(), v.worker(), task, why) },
		"resume": func(v *Visit, task, _ string) error { return j.Clock.Resume(v.R.Context(), v.worker(), task) },
	}
}

var wishSummaries = [...][2]string{
	{"run", "Run a task now."},
	{"stop", "Stop the run of a task."},
	{"pause", "Keep a task from being run by the clock."},
	{"resume", "Let a task be run by the clock again."},
}

func (j *Jobs) mountTasks(rt *Router) {
	rt.Add(
		Route{Pattern: "GET " + pathTask, Access: ToAdmin, Summary: "The runs of a task.", Serve: j.task},
		Route{Pattern: "GET " + apiPrefix + "tasks", Access: ToAdmin, Summary: "The tasks by the clock.", Answer: []TaskInfo{}, Serve: j.tasksJSON},
		Route{Pattern: "GET " + apiTask + "/runs", Access: ToAdmin, Summary: "The last runs of a task.", Answer: []TaskRun{}, Serve: j.runsJSON},
	)
	wishes := j.wishes()
	for _, wish := range wishSummaries {
		act := wishes[wish[0]]
		rt.Add(
			Route{Pattern: "POST " + pathTask + "/" + wish[0], Access: ToAdmin, Summary: wish[1], Serve: wished(act)},
			Route{Pattern: "POST " + apiTask + "/" + wish[0], Access: ToAdmin, Summary: wish[1], Body: TaskWish{}, Answer: struct{}{}, Serve: wishedJSON(act)},
		)
	}
}

func wished(act func(v *Visit, task, why string) error) Endpoint {
	return func(v *Visit) error {
		form, err := v.Form("why")
		if err != nil {
			return err
		}
		if err := act(v, v.R.PathValue("task"), strings.TrimSpace(form["why"])); err != nil {
			return err
		}
		return v.SeeOther(pathJobs)
	}
}

func wishedJSON(act func(v *Visit, task, why string) error) Endpoint {
	return func(v *Visit) error {
		var body TaskWish
		if err := v.Body(&body); err != nil {
			return err
		}
		if err := act(v, v.R.PathValue("task"), strings.TrimSpace(body.Why)); err != nil {
			return err
		}
		return v.JSON(http.StatusAccepted, struct{}{})
	}
}

// taskRow is one task for the page.
type taskRow struct {
	schedule.Status
	Running bool
	NextAt  string
	Began   string
	Counts  []namedCount
}

// namedCount is one number of a run.
type namedCount struct {
	Name string
	N    int64
}

func countsOf(counts schedule.Counts) []namedCount {
	list := make([]namedCount, 0, len(counts))
	for name, n := range counts {
		list = append(list, namedCount{name, n})
	}
	slices.SortFunc(list, func(a, b namedCount) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (j *Jobs) tasks(ctx context.Context) ([]taskRow, error) {
	statuses, err := j.Clock.Tasks(ctx)
	if err != nil {
		return nil, err
	}
	rows := make([]taskRow, 0, len(statuses))
	for _, s := range statuses {
		row := taskRow{Status: s, NextAt: When(s.Next)}
		if s.Last != nil {
			row.Running, row.Began, row.Counts = s.Last.State == schedule.Running, When(s.Last.Began), countsOf(s.Last.Counts)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// taskView is a task's history.
type taskView struct {
	Name string
	Runs []schedule.Run
}

// When is a time for the page.
func (taskView) When(t time.Time) string { return When(t) }

// Task is its name for people.
func (taskView) Task(w web.Words, name string) string { return taskName(w, name) }

// Counts are the numbers of a run in order.
func (taskView) Counts(r schedule.Run) []namedCount { return countsOf(r.Counts) }

func (j *Jobs) task(v *Visit) error {
	runs, err := j.runsOf(v)
	if err != nil {
		return err
	}
	return v.Page("task", taskView{Name: v.R.PathValue("task"), Runs: runs})
}

// runsOf reads the runs of the task that the address names. A task that this
// program does not have is one only while it has runs, of an earlier version.
func (j *Jobs) runsOf(v *Visit) ([]schedule.Run, error) {
	name := v.R.PathValue("task")
	runs, _, err := j.Clock.Runs(v.R.Context(), name, "", taskRuns)
	if err != nil || len(runs) > 0 {
		return runs, err
	}
	tasks, err := j.Clock.Tasks(v.R.Context())
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(tasks, func(s schedule.Status) bool { return s.Name == name }) {
		return nil, identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: no task %q", name)
	}
	return runs, nil
}

func (j *Jobs) tasksJSON(v *Visit) error {
	statuses, err := j.Clock.Tasks(v.R.Context())
	if err != nil {
		return err
	}
	infos := make([]TaskInfo, 0, len(statuses))
	for _, s := range statuses {
		info := TaskInfo{Name: s.Name, Spec: s.Spec, Next: s.Next, Held: s.Held, Pause: s.Pause}
		if s.Last != nil {
			last := taskRun(*s.Last)
			info.Last = &last
		}
		infos = append(infos, info)
	}
	return v.JSON(http.StatusOK, infos)
}

func (j *Jobs) runsJSON(v *Visit) error {
	runs, err := j.runsOf(v)
	if err != nil {
		return err
	}
	list := make([]TaskRun, 0, len(runs))
	for _, r := range runs {
		list = append(list, taskRun(r))
	}
	return v.JSON(http.StatusOK, list)
}

var _ Clock = (*schedule.Schedule)(nil)
