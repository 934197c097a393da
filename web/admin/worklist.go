package admin

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
	"kdgate/web"
)

const (
	pathJobs = prefix + "jobs"
	pathItem = pathJobs + "/item/{kind}/{key}"
	apiJobs  = apiPrefix + "jobs"
	apiItem  = apiJobs + "/{kind}/{key}"

	itemsPage  = 50
	maxItem    = 4 * jobs.MaxPayload // a payload as a form sends it
	longPause  = 30 * 24 * time.Hour
	soonPaused = time.Minute
)

// WorkList is what the console does with the work list: a *jobs.Queue.
type WorkList interface {
	Counts(ctx context.Context) ([]jobs.Count, error)
	List(ctx context.Context, f jobs.Filter, after string, limit int) (jobs.Page, error)
	Get(ctx context.Context, id jobs.ID) (jobs.Item, error)
	Edit(ctx context.Context, by jobs.Actor, id jobs.ID, version store.Version, payload jsontext.Value) (jobs.Item, error)
	Replay(ctx context.Context, by jobs.Actor, id jobs.ID) (jobs.Item, error)
	GiveUp(ctx context.Context, by jobs.Actor, id jobs.ID, note string) (jobs.Item, error)
	PauseKind(ctx context.Context, by jobs.Actor, pause jobs.Pause) error
	ResumeKind(ctx context.Context, by jobs.Actor, kind string) error
	Pauses(ctx context.Context) ([]jobs.Pause, error)
}

// Jobs is the work that is done behind the browser's back: the list with its
// dead letters, and the tasks by the clock (F33, F63). The list and the
// schedule record what people do to them.
type Jobs struct {
	List  WorkList
	Clock Clock
	Now   func() time.Time
}

// Mount implements Page.
func (j *Jobs) Mount(rt *Router) {
	if j.Now == nil {
		j.Now = time.Now
	}
	rt.Link("jobs", pathJobs, ToAdmin)
	post := func(path, summary string, serve Endpoint) Route {
		return Route{Pattern: "POST " + path, Access: ToAdmin, Summary: summary, Serve: serve}
	}
	edit := post(pathItem, "Give an item another payload.", j.edit)
	edit.Danger, edit.MaxBody = true, maxItem
	rt.Add(
		Route{Pattern: "GET " + pathJobs, Access: ToAdmin, Summary: "The work list and the tasks by the clock.", Query: itemParams, Serve: j.page},
		Route{Pattern: "GET " + pathJobs + "/live", Access: ToAdmin, Live: true, Summary: "The moving part of the work list.", Serve: j.live},
		Route{Pattern: "GET " + pathItem, Access: ToAdmin, Summary: "One item with its failure, history and payload.", Serve: j.item},
		edit,
		post(pathItem+"/replay", "Do a dead item again.", j.onItem(func(v *Visit, id jobs.ID, _ string) error {
			_, err := j.List.Replay(v.R.Context(), v.worker(), id)
			return err
		})),
		post(pathItem+"/give-up", "End an item that will not be done, with a note.", j.onItem(func(v *Visit, id jobs.ID, note string) error {
			_, err := j.List.GiveUp(v.R.Context(), v.worker(), id, note)
			return err
		})),
		post(pathJobs+"/pause", "Keep a kind of work from being done.", j.pause),
		post(pathJobs+"/resume", "Let a kind of work be done again.", j.resume),
	)
	j.mountAPI(rt)
	j.mountTasks(rt)
}

var itemParams = []Param{
	{"state", "ready, leased, done, dead or given-up; dead when left out"},
	{"kind", "a kind of work; left out: all"},
	{"cursor", "of the next page, as the page before gave it"},
}

// worker is the person towards the work list and the schedule.
func (v *Visit) worker() jobs.Actor {
	return jobs.Actor{Name: v.Who.Name, Source: v.Source(), RequestID: v.RequestID()}
}

// kindRow is one kind with its counts, drawn.
type kindRow struct {
	Kind   string
	Counts []stateCount
	Oldest string // of the dead ones
	Pause  *jobs.Pause
	Until  string
}

// stateCount is one piece of the drawing.
type stateCount struct {
	State jobs.State
	N     int
	Class string  // colour
	X, W  float64 // of a hundred
}

// stateClass is the colour of a state.
var stateClass = map[jobs.State]string{
	jobs.Ready: "dingtalk", jobs.Leased: "kingdee", jobs.Done: "none", jobs.Dead: "gateway", jobs.GivenUp: "user",
}

// kinds counts what there is of each kind.
func (j *Jobs) kinds(ctx context.Context) ([]kindRow, error) {
	counts, err := j.List.Counts(ctx)
	if err != nil {
		return nil, err
	}
	pauses, err := j.List.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	byKind := map[string]map[jobs.State]jobs.Count{}
	note := func(kind string) {
		if byKind[kind] == nil {
			byKind[kind] = map[jobs.State]jobs.Count{}
		}
	}
	for _, c := range counts {
		note(c.Kind)
		byKind[c.Kind][c.State] = c
	}
	paused := map[string]*jobs.Pause{}
	for _, p := range pauses {
		note(p.Kind)
		paused[p.Kind] = &p
	}
	var rows []kindRow
	for kind, states := range byKind {
		row := drawKind(kind, states)
		if row.Pause = paused[kind]; row.Pause != nil {
			row.Until = When(row.Pause.Until)
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b kindRow) int { return strings.Compare(a.Kind, b.Kind) })
	return rows, nil
}

func drawKind(kind string, states map[jobs.State]jobs.Count) kindRow {
	row, sum, x := kindRow{Kind: kind}, 0, 0.0
	for _, c := range states {
		sum += c.N
	}
	for _, state := range jobs.States() {
		n := states[state].N
		w := 0.0
		if sum > 0 {
			w = 100 * float64(n) / float64(sum)
		}
		row.Counts = append(row.Counts, stateCount{State: state, N: n, Class: stateClass[state], X: x, W: w})
		x += w
	}
	if dead := states[jobs.Dead]; dead.N > 0 {
		row.Oldest = When(dead.Oldest)
	}
	return row
}

// jobsView is the page.
type jobsView struct {
	Kinds  []kindRow
	Tasks  []taskRow
	States []jobs.State
	State  jobs.State
	Kind   string
	Items  []jobs.Item
	Next   string // address
	First  string // address, empty on the first page
	AsOf   string
}

// When is a time for the page.
func (jobsView) When(t time.Time) string { return When(t) }

// Task is a task's name for people.
func (jobsView) Task(w web.Words, name string) string { return taskName(w, name) }

// Rhythm is when it comes.
func (jobsView) Rhythm(w web.Words, spec string) string { return rhythm(w, spec) }

// At is where an item is.
func (jobsView) At(i jobs.Item) string { return pathJobs + "/item/" + i.String() }

// Filter is the address of the items of a kind in a state.
func (jobsView) Filter(kind string, state jobs.State) string {
	return address(pathJobs, url.Values{"kind": {kind}, "state": {string(state)}})
}

// chosen reads which items are wanted, and gives a page of them.
func (j *Jobs) chosen(v *Visit) (f jobs.Filter, page jobs.Page, next string, err error) {
	read, err := v.Query("state", "kind", "cursor")
	if err != nil {
		return f, page, "", err
	}
	f = jobs.Filter{State: jobs.State(read["state"]), Kind: read["kind"]}
	if f.State == "" {
		f.State = jobs.Dead
	}
	if !slices.Contains(jobs.States(), f.State) || len(f.Kind) > 40 {
		return f, page, "", badRequest("a filter that no page of ours makes")
	}
	list := "jobs " + string(f.State) + " " + f.Kind
	after, err := v.OpenCursor(list, read["cursor"])
	if err != nil {
		return f, page, "", err
	}
	if page, err = j.List.List(v.R.Context(), f, after, itemsPage); err != nil {
		return f, page, "", err
	}
	if page.After != "" {
		next = v.Cursor(list, page.After)
	}
	return f, page, next, nil
}

func (j *Jobs) page(v *Visit) error {
	view, err := j.moving(v)
	if err != nil {
		return err
	}
	f, page, next, err := j.chosen(v)
	if err != nil {
		return err
	}
	view.State, view.Kind, view.Items = f.State, f.Kind, page.Items
	kept := url.Values{"state": {string(f.State)}}
	if f.Kind != "" {
		kept.Set("kind", f.Kind)
	}
	if next != "" {
		view.Next = address(pathJobs, kept, "cursor", next)
	}
	if v.R.URL.Query().Has("cursor") {
		view.First = address(pathJobs, kept)
	}
	return v.Page("jobs", view)
}

// moving is the part of the page that refreshes by itself.
func (j *Jobs) moving(v *Visit) (jobsView, error) {
	kinds, err := j.kinds(v.R.Context())
	if err != nil {
		return jobsView{}, err
	}
	tasks, err := j.tasks(v.R.Context())
	if err != nil {
		return jobsView{}, err
	}
	return jobsView{Kinds: kinds, Tasks: tasks, States: jobs.States(), AsOf: When(j.Now())}, nil
}

func (j *Jobs) live(v *Visit) error {
	view, err := j.moving(v)
	if err != nil {
		return err
	}
	return v.Part("jobs", "live", view)
}

// itemView is one item.
type itemView struct {
	jobs.Item
	Payload string // indented
	Here    string
	Fresh   bool   // an edit would be taken without a further proof
	Prove   string // where to prove oneself
	MayEdit, MayReplay,
	MayGiveUp bool
}

// When is a time for the page.
func (itemView) When(t time.Time) string { return When(t) }

func itemID(v *Visit) jobs.ID {
	return jobs.ID{Kind: v.R.PathValue("kind"), Key: v.R.PathValue("key")}
}

func (j *Jobs) item(v *Visit) error {
	it, err := j.List.Get(v.R.Context(), itemID(v))
	if err != nil {
		return err
	}
	here := pathJobs + "/item/" + it.String()
	waits := it.State == jobs.Dead || it.State == jobs.Ready
	view := itemView{
		Item: it, Payload: indented(it.Payload), Here: here, Fresh: v.Fresh(),
		Prove:   pathConfirm + "?" + url.Values{"next": {here}}.Encode(),
		MayEdit: waits || it.State == jobs.GivenUp, MayReplay: waits || it.State == jobs.GivenUp, MayGiveUp: waits,
	}
	return v.Page("job", view)
}

// indented is a payload for people.
func indented(payload jsontext.Value) string {
	text := payload.Clone()
	if err := text.Indent(); err != nil { // it was JSON when it was put on the list
		return string(payload)
	}
	return string(text)
}

// edit changes a payload at the version that was looked at (T26).
func (j *Jobs) edit(v *Visit) error {
	form, err := v.Form("version", "payload")
	if err != nil {
		return err
	}
	version, err := strconv.ParseUint(form["version"], 10, 64)
	if err != nil {
		return badRequest("version: %w", err)
	}
	id := itemID(v)
	if _, err := j.List.Edit(v.R.Context(), v.worker(), id, store.Version(version), jsontext.Value(form["payload"])); err != nil {
		return err
	}
	return v.SeeOther(pathJobs + "/item/" + id.String())
}

// onItem serves an act on the item of the address.
func (j *Jobs) onItem(act func(v *Visit, id jobs.ID, note string) error) Endpoint {
	return func(v *Visit) error {
		form, err := v.Form("note")
		if err != nil {
			return err
		}
		id := itemID(v)
		if err := act(v, id, strings.TrimSpace(form["note"])); err != nil {
			return err
		}
		return v.SeeOther(pathJobs + "/item/" + id.String())
	}
}

// pauseOf is a pause that a person asks for, in minutes.
func (j *Jobs) pauseOf(kind string, minutes int, why string) (jobs.Pause, error) {
	length := time.Duration(minutes) * time.Minute
	if kind == "" || length < soonPaused || length > longPause || len(why) > maxText {
		return jobs.Pause{}, badRequest("a pause of %d minutes", minutes)
	}
	return jobs.Pause{Kind: kind, Until: j.Now().Add(length), Why: why}, nil
}

func (j *Jobs) pause(v *Visit) error {
	form, err := v.Form("kind", "minutes", "why")
	if err != nil {
		return err
	}
	minutes, err := strconv.Atoi(form["minutes"])
	if err != nil {
		return badRequest("minutes: %w", err)
	}
	pause, err := j.pauseOf(form["kind"], minutes, strings.TrimSpace(form["why"]))
	if err != nil {
		return err
	}
	if err := j.List.PauseKind(v.R.Context(), v.worker(), pause); err != nil {
		return err
	}
	return v.SeeOther(pathJobs)
}

func (j *Jobs) resume(v *Visit) error {
	form, err := v.Form("kind")
	if err != nil {
		return err
	}
	if form["kind"] == "" {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "admin: no kind")
	}
	if err := j.List.ResumeKind(v.R.Context(), v.worker(), form["kind"]); err != nil {
		return err
	}
	return v.SeeOther(pathJobs)
}

var _ WorkList = (*jobs.Queue)(nil)
