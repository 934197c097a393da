package admin

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/directory"
	"kdgate/jobs/schedule"
)

const (
	pathDirectory = prefix + "directory"
	pathRun       = pathDirectory + "/run/{run}"
	apiDirectory  = apiPrefix + "directory"

	directoryRuns = 30
	driftPage     = 100
	changePage    = 200
	undoTime      = 5 * time.Minute
)

// Comparisons are the runs of the directory: a *directory.Keeper.
type Comparisons interface {
	Under(ctx context.Context) (directory.Run, bool, error)
	Runs(ctx context.Context, limit int) ([]directory.Run, error)
	RunOf(ctx context.Context, id string) (directory.Run, error)
	Changes(ctx context.Context, id string, fn func(directory.Change) error) error
	Place(ctx context.Context, o directory.Order) error
	Placed(ctx context.Context) (directory.Order, bool, error)
	Undo(ctx context.Context, by jobs.Actor, id string) (refused []string, err error)
}

// Differences are what waits for a person's answer: a *directory.Keeper.
type Differences interface {
	Drifts(ctx context.Context, after string, limit int) ([]directory.Drift, error)
	Holds(ctx context.Context) ([]directory.Hold, error)
	AcceptDingTalk(ctx context.Context, by jobs.Actor, number string) error
	KeepKingdee(ctx context.Context, by jobs.Actor, number string, until time.Time) error
	Release(ctx context.Context, by jobs.Actor, number string) error
	Waiting(ctx context.Context) ([]directory.Known, error)
}

// Directory is the comparison of DingTalk's address book with Kingdee's staff:
// what it does and did, and what it leaves to a person (F53, F55). The keeper
// and the schedule record the acts.
type Directory struct {
	Runs  Comparisons
	Drift Differences
	Clock Clock
	// Agree takes somebody who was hired again back.
	Agree func(ctx context.Context, by jobs.Actor, userid string) error
	Task  string // of the schedule, that does the comparison
	Scope Scope
	Now   func() time.Time
}

// Scope is whose records are kept, as it is configured.
type Scope struct {
	Corp        string  `json:"corp"`
	DataCentre  string  `json:"data_centre"`
	Departments []int64 `json:"departments"` // empty: the whole range of the application
	Preview     bool    `json:"preview"`     // nothing is written
}

// Mount implements Page.
func (d *Directory) Mount(rt *Router) {
	if d.Now == nil {
		d.Now = time.Now
	}
	rt.Link("directory", pathDirectory, ToAdmin)
	post := func(path, summary string, danger bool, serve Endpoint) Route {
		return Route{Pattern: "POST " + pathDirectory + path, Access: ToAdmin, Danger: danger, Summary: summary, Serve: serve}
	}
	rt.Add(
		Route{Pattern: "GET " + pathDirectory, Access: ToAdmin, Summary: "The directory: runs, and what waits for a person.", Serve: d.page},
		Route{Pattern: "GET " + pathDirectory + "/live", Access: ToAdmin, Live: true, Summary: "The run under way and the last runs.", Serve: d.live},
		Route{Pattern: "GET " + pathRun, Access: ToAdmin, Summary: "What one run did, person by person.", Query: changeParams, Serve: d.run},
		post("/run", "Compare now, as a preview or for real.", false, d.orderForm),
		post("/stop", "Stop the run under way.", false, d.stop),
		post("/override", "Let a run that the breaker stopped go on, for exactly so many leavers.", true, d.overrideForm),
		post("/run/{run}/undo", "Put back what a run wrote.", true, d.undoForm),
		post("/drift", "Answer a record that was changed in Kingdee.", false, d.answerForm),
		post("/release", "Let DingTalk win again.", false, d.releaseForm),
		post("/agree", "Take somebody who was hired again back.", true, d.agreeForm),
	)
	d.mountAPI(rt)
}

var changeParams = []Param{{"text", "part of a userid, name or staff number"}, {"cursor", "of the next page, as the page before gave it"}}

// RunUnderWay is the run under way with its progress.
type RunUnderWay struct {
	directory.Run
	Done  int64 `json:"done"` // of the phase
	Total int64 `json:"total"`
}

// DirectoryState is the directory as it stands.
type DirectoryState struct {
	Scope   Scope             `json:"scope"`
	Under   *RunUnderWay      `json:"under_way,omitempty"`
	Runs    []directory.Run   `json:"runs"` // the newest first
	Drift   []directory.Drift `json:"drift"`
	Holds   []directory.Hold  `json:"holds"`
	Waiting []directory.Known `json:"waiting"` // hired again
	// Override is how many leavers a person would have to agree to, after the
	// breaker stopped the last run; zero: nothing was stopped.
	Override int `json:"override"`
}

// underWay is the run under way, with the progress that the schedule knows.
func (d *Directory) underWay(ctx context.Context) (*RunUnderWay, error) {
	run, running, err := d.Runs.Under(ctx)
	if err != nil || !running {
		return nil, err
	}
	under := &RunUnderWay{Run: run}
	tasks, err := d.Clock.Tasks(ctx)
	if err != nil {
		return nil, err
	}
	for _, task := range tasks {
		if task.Name == d.Task && task.Last != nil && task.Last.State == schedule.Running {
			under.Done, under.Total = task.Last.Done, task.Last.Total
		}
	}
	return under, nil
}

// state reads everything that the page shows.
func (d *Directory) state(ctx context.Context) (s DirectoryState, err error) {
	s.Scope = d.Scope
	if s.Under, err = d.underWay(ctx); err != nil {
		return s, err
	}
	if s.Runs, err = d.Runs.Runs(ctx, directoryRuns); err != nil {
		return s, err
	}
	s.Override = directory.Overridable(s.Runs)
	if s.Drift, err = d.Drift.Drifts(ctx, "", driftPage); err != nil {
		return s, err
	}
	if s.Holds, err = d.Drift.Holds(ctx); err != nil {
		return s, err
	}
	s.Waiting, err = d.Drift.Waiting(ctx)
	return s, err
}

// order places an order and asks the schedule to take it up at once. An order
// that cannot be taken up does not wait for the next run.
func (d *Directory) order(v *Visit, o directory.Order) error {
	o.By = v.worker()
	ctx := v.R.Context()
	if err := d.Runs.Place(ctx, o); err != nil {
		return err
	}
	err := d.Clock.RunFor(ctx, o.By, d.Task, directory.Ordered)
	if err != nil {
		if _, _, withdrawn := d.Runs.Placed(ctx); withdrawn != nil {
			return withdrawn
		}
	}
	return err
}

// override agrees to exactly the number of leavers that the breaker stopped at.
func (d *Directory) override(v *Visit, leavers int) error {
	runs, err := d.Runs.Runs(v.R.Context(), directoryRuns)
	if err != nil {
		return err
	}
	if stopped := directory.Overridable(runs); stopped == 0 || leavers != stopped {
		return identity.Fail(identity.Conflict, identity.CodeChangedBetween, "admin: %d leavers typed, %d stopped", leavers, stopped)
	}
	return d.order(v, directory.Order{Allow: leavers})
}

// undo puts back what a run wrote. It goes on when the browser has gone.
func (d *Directory) undo(v *Visit) (refused []string, err error) {
	run, err := d.runOf(v)
	if err != nil {
		return nil, err
	}
	v.unhurried()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.R.Context()), undoTime)
	defer cancel()
	return d.Runs.Undo(ctx, v.worker(), run.ID)
}

// The answers to a record that was changed in Kingdee (F53).
const (
	answerAccept = "accept" // DingTalk's word is written
	answerKeep   = "keep"   // Kingdee's stays until a day
	answerLock   = "lock"   // Kingdee's stays until somebody releases it
)

func (d *Directory) answer(v *Visit, number, what, until string) error {
	ctx := v.R.Context()
	switch what {
	case answerAccept:
		return d.Drift.AcceptDingTalk(ctx, v.worker(), number)
	case answerLock:
		return d.Drift.KeepKingdee(ctx, v.worker(), number, time.Time{})
	case answerKeep:
		day, err := time.ParseInLocation(time.DateOnly, until, beijing)
		if err != nil {
			return badRequest("until: %w", err)
		}
		return d.Drift.KeepKingdee(ctx, v.worker(), number, day.AddDate(0, 0, 1)) // the day itself included
	default:
		return badRequest("an answer that no page of ours gives")
	}
}

func (d *Directory) orderForm(v *Visit) error {
	form, err := v.Form("mode")
	if err != nil {
		return err
	}
	if form["mode"] != "preview" && form["mode"] != "real" {
		return badRequest("neither preview nor real")
	}
	if err := d.order(v, directory.Order{Dry: form["mode"] == "preview", Real: form["mode"] == "real"}); err != nil {
		return err
	}
	return v.SeeOther(pathDirectory)
}

func (d *Directory) stop(v *Visit) error {
	if _, err := v.Form(); err != nil {
		return err
	}
	if err := d.Clock.Stop(v.R.Context(), v.worker(), d.Task); err != nil {
		return err
	}
	return v.SeeOther(pathDirectory)
}

func (d *Directory) overrideForm(v *Visit) error {
	form, err := v.Form("leavers")
	if err != nil {
		return err
	}
	leavers, err := strconv.Atoi(form["leavers"])
	if err != nil {
		return badRequest("leavers: %w", err)
	}
	if err := d.override(v, leavers); err != nil {
		return err
	}
	return v.SeeOther(pathDirectory)
}

func (d *Directory) undoForm(v *Visit) error {
	if _, err := v.Form(); err != nil {
		return err
	}
	id := v.R.PathValue("run")
	refused, err := d.undo(v)
	if err != nil {
		return err
	}
	return v.SeeOther(address(runAddress(id), nil, "refused", strconv.Itoa(len(refused))))
}

func (d *Directory) answerForm(v *Visit) error {
	form, err := v.Form("number", "answer", "until")
	if err != nil {
		return err
	}
	if err := d.answer(v, form["number"], form["answer"], form["until"]); err != nil {
		return err
	}
	return v.SeeOther(pathDirectory)
}

func (d *Directory) releaseForm(v *Visit) error {
	form, err := v.Form("number")
	if err != nil {
		return err
	}
	if err := d.release(v, form["number"]); err != nil {
		return err
	}
	return v.SeeOther(pathDirectory)
}

// release ends a hold that there is.
func (d *Directory) release(v *Visit, number string) error {
	holds, err := d.Drift.Holds(v.R.Context())
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(holds, func(h directory.Hold) bool { return h.Number == number }) {
		return identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: nothing is held for that number")
	}
	return d.Drift.Release(v.R.Context(), v.worker(), number)
}

func (d *Directory) agreeForm(v *Visit) error {
	form, err := v.Form("userid")
	if err != nil {
		return err
	}
	if err := d.Agree(v.R.Context(), v.worker(), form["userid"]); err != nil {
		return err
	}
	return v.SeeOther(pathDirectory)
}

func (d *Directory) stateJSON(v *Visit) error {
	state, err := d.state(v.R.Context())
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, state)
}

var (
	_ Comparisons = (*directory.Keeper)(nil)
	_ Differences = (*directory.Keeper)(nil)
)
