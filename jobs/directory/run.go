package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/schedule"
	"kdgate/store"
)

// Keeper keeps one data centre like one organisation. It is safe for concurrent
// use.
type Keeper struct {
	cfg   Config
	queue *jobs.Queue

	trees  sync.Mutex
	tree   tree // as last read
	treeAt time.Time
}

// New checks the configuration and makes a Keeper, which writes its work on the
// queue.
func New(cfg Config, queue *jobs.Queue) (*Keeper, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Keeper{cfg: cfg, queue: queue}, nil
}

// Phase is how far a run has come.
type Phase string

// The phases, in their order.
const (
	PhaseRead  Phase = "read"
	PhaseJudge Phase = "judge"
	PhaseWrite Phase = "write"
	PhaseLeave Phase = "leave"
	PhaseDrift Phase = "drift"
)

// Ending is how a run ended, empty while it is under way.
type Ending string

// The endings (F55: complete, partial and failed are different results).
const (
	Complete Ending = "complete"
	Partial  Ending = "partial" // some people were set aside, or the range is not the whole company
	Failed   Ending = "failed"  // nothing destructive was done
	Stopped  Ending = "stopped" // by the breaker or by a person
)

// Counts of a run.
type Counts struct {
	Headcount   int   `json:"headcount"` // of the organisation, as DingTalk counts it (F50)
	Departments int   `json:"departments"`
	People      int   `json:"people"`
	Same        int   `json:"same"`
	Differ      int   `json:"differ"`  // from what was last written; Kingdee may have it so already
	Created     int   `json:"created"` // in a dry run: would be
	Changed     int   `json:"changed"`
	Moved       int   `json:"moved"` // of the changed
	Left        int   `json:"left"`
	Waiting     int   `json:"waiting"`
	SetAside    int   `json:"set_aside"`
	NoConsent   int   `json:"no_consent"` // of those set aside: they have not agreed (F44)
	Outside     int   `json:"outside"`    // known, not seen, and not left: out of the scope
	Drift       int   `json:"drift"`
	Pages       int   `json:"pages"`
	Bytes       int64 `json:"bytes"` // of address book read
}

// Note says why something was left out of a run.
type Note struct {
	Who   string `json:"who"` // userid, or a department's number
	Words string `json:"words"`
}

// maxNotes bounds the notes a run keeps; the counts tell the rest.
const maxNotes = 500

// Run is one comparison, under way or ended.
type Run struct {
	ID      string         `json:"id"` // sorts by time
	Corp    string         `json:"corp"`
	Dry     bool           `json:"dry,omitzero"`
	First   bool           `json:"first,omitzero"` // dry because it was the first
	By      string         `json:"by"`
	Began   time.Time      `json:"began"`
	Ended   time.Time      `json:"ended,omitzero"`
	Phase   Phase          `json:"phase"`
	Ending  Ending         `json:"ending,omitzero"`
	Why     string         `json:"why,omitzero"`   // of Failed and Stopped, in words
	Whole   bool           `json:"whole,omitzero"` // the range is the whole company
	Allowed int            `json:"allowed,omitzero"`
	Counts  Counts         `json:"counts"`
	Notes   []Note         `json:"notes,omitempty"`
	Undone  time.Time      `json:"undone,omitzero"`
	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

func (r *Run) note(who, words string) {
	if len(r.Notes) < maxNotes {
		r.Notes = append(r.Notes, Note{who, words})
	}
}

// Order is what somebody wants of a run.
type Order struct {
	By  jobs.Actor
	Dry bool
	// Real asks for a run that writes even where it is the first. First is set on
	// a dry one that nobody asked to be dry.
	Real, First bool
	// Allow is the number of leavers that a person has agreed to, after the
	// breaker stopped a run over exactly that many.
	Allow int
}

// Cautious makes the first run a dry one (F55), unless the order says otherwise:
// until one has come to its end nobody can have seen what runs would do. A run
// that a crash left goes on as what it was.
func (k *Keeper) Cautious(ctx context.Context, o Order) (Order, error) {
	if o.Dry || o.Real || o.Allow > 0 {
		return o, nil
	}
	under, there, err := k.Under(ctx)
	if err != nil || there && !under.Dry {
		return o, err
	}
	runs, err := k.Runs(ctx, firstLook)
	if err != nil {
		return o, err
	}
	for _, run := range runs {
		if !run.Dry || run.Ending == Complete || run.Ending == Partial {
			return o, nil
		}
	}
	o.Dry, o.First = true, true
	return o, nil
}

// firstLook is how many runs are looked through for one that came to its end.
const firstLook = 200

// Overridable is how many leavers the breaker stopped the last real run over;
// runs are the newest first. A person's word counts for exactly that many (F55).
func Overridable(runs []Run) int {
	for _, run := range runs {
		if run.Dry {
			continue
		}
		if run.Ending == Stopped && run.Phase == PhaseJudge {
			return run.Counts.Left
		}
		return 0
	}
	return 0
}

// Progress hears how far a run is: done of total in a phase, total 0 while it is
// not known. It must not block.
type Progress func(phase Phase, done, total int)

// ErrRunning is an order for another run than the one under way.
var ErrRunning = errors.New("directory: a run is under way")

// What stops a run.
var (
	errBreaker = errors.New("directory: the breaker")
	errStopped = errors.New("directory: stopped by a person")
	errOther   = errors.New("directory: another run was ordered")
)

// lastWords bounds how long a run that was stopped may take to write that down.
const lastWords = 5 * time.Second

// keepRuns is how long runs, with what they did, can be looked at.
const keepRuns = 90 * 24 * time.Hour

// Run compares both sides and brings Kingdee after DingTalk. A run that a crash
// left is taken up where it was, whoever ordered it, unless the order is for
// another kind of run: then it ends. A person stops it by the cause
// schedule.ErrStopped. The caller sees to it that no two replicas run at once,
// which the schedule's lease does. The error is why the run failed or was
// interrupted; what was done until then is in the Run.
func (k *Keeper) Run(ctx context.Context, o Order, progress Progress) (Run, error) {
	if progress == nil {
		progress = func(Phase, int, int) {}
	}
	run, err := k.take(ctx, o)
	if err != nil {
		return run, err
	}
	w := &walk{Keeper: k, run: &run, progress: progress}
	err = w.through(ctx)
	switch {
	case ctx.Err() == nil:
		return run, k.finish(ctx, &run, err)
	case errors.Is(context.Cause(ctx), schedule.ErrStopped):
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		return run, errors.Join(context.Cause(ctx), k.finish(last, &run, errStopped))
	}
	return run, fmt.Errorf("directory: interrupted; the next run goes on from here: %w", ctx.Err())
}

// take takes up the run under way, or begins one. That it begins is recorded
// before it does.
func (k *Keeper) take(ctx context.Context, o Order) (Run, error) {
	entry, err := k.cfg.Store.Get(ctx, nowPrefix+k.cfg.Corp)
	if err == nil {
		run, err := decode[Run](entry)
		if err != nil || run.Dry == o.Dry && (o.Allow == run.Allowed || o.Allow == 0) {
			return run, err
		}
		if err := k.finish(ctx, &run, errOther); err != nil {
			return run, err
		}
	} else if !errors.Is(err, store.ErrNotFound) {
		return Run{}, fmt.Errorf("directory: %w", err)
	}
	now := k.cfg.Now()
	run := Run{
		ID: runIDOf(now), Corp: k.cfg.Corp, Dry: o.Dry, First: o.First, By: o.By.Name,
		Began: now, Phase: PhaseRead, Allowed: o.Allow,
	}
	if err := k.record(ctx, run, o.By, "begin"); err != nil {
		return run, err
	}
	value, err := put(nowPrefix+k.cfg.Corp, run, 0)
	if err != nil {
		return run, err
	}
	if err := k.cfg.Store.Commit(ctx, store.Create(value.Key, value.Value)); err != nil {
		return run, fmt.Errorf("%w: %w", ErrRunning, err)
	}
	return run, nil
}

func (k *Keeper) record(ctx context.Context, run Run, by jobs.Actor, what string) error {
	outcome := audit.OK
	switch run.Ending {
	case Failed:
		outcome = audit.Failed
	case Stopped:
		outcome = audit.Refused
	}
	return k.cfg.Recorder.Append(ctx, audit.Event{
		Action: audit.ActionSync, Outcome: outcome, Reason: run.Why, Actor: by.Name, Target: k.cfg.Corp, DataCentre: k.cfg.DataCentre,
		Source: by.Source, RequestID: by.RequestID,
		Detail: map[string]string{
			"run": run.ID, "act": what, "ending": string(run.Ending), "dry": fmt.Sprint(run.Dry), "people": fmt.Sprint(run.Counts.People),
			"created": fmt.Sprint(run.Counts.Created), "changed": fmt.Sprint(run.Counts.Changed), "left": fmt.Sprint(run.Counts.Left),
			"set_aside": fmt.Sprint(run.Counts.SetAside), "allowed": fmt.Sprint(run.Allowed),
		},
	})
}

// save keeps how far the run has come, with whatever belongs into one commit.
func (k *Keeper) save(ctx context.Context, run Run, with ...store.Op) error {
	now, err := put(nowPrefix+k.cfg.Corp, run, 0)
	if err != nil {
		return err
	}
	if err := k.cfg.Store.Commit(ctx, append(with, now)...); err != nil {
		return fmt.Errorf("directory: keep the run: %w", err)
	}
	return nil
}

// finish writes how the run ended and clears what only a running one needs.
func (k *Keeper) finish(ctx context.Context, run *Run, cause error) error {
	run.Ended = k.cfg.Now()
	switch {
	case errors.Is(cause, errBreaker):
		run.Ending = Stopped
	case errors.Is(cause, errStopped):
		run.Ending, run.Why = Stopped, "由管理员停止;已完成的部分保留"
	case errors.Is(cause, errOther):
		run.Ending, run.Why = Stopped, "中断后未继续:之后另下达了新的运行"
	case cause != nil:
		run.Ending, run.Why = Failed, publicWords(cause)
	case run.Counts.SetAside > run.Counts.NoConsent || !run.Whole && len(k.cfg.Rules.Scope) == 0:
		run.Ending = Partial
	default:
		run.Ending = Complete
	}
	if err := k.record(ctx, *run, jobs.Actor{Name: run.By}, "end"); err != nil {
		return errors.Join(cause, err)
	}
	kept, err := put(runPrefix+k.cfg.Corp+"/"+run.ID, run, keepRuns)
	if err != nil {
		return err
	}
	if err := k.cfg.Store.Commit(ctx, kept, store.Delete(nowPrefix+k.cfg.Corp)); err != nil {
		return fmt.Errorf("directory: end the run: %w", err)
	}
	for _, prefix := range []string{pagePrefix, gonePrefix} {
		if err := k.clear(ctx, prefix+k.cfg.Corp+"/"+run.ID+"/"); err != nil {
			k.cfg.Logger.Warn("directory: what a run left could not be removed", "run", run.ID, "error", err)
		}
	}
	k.cfg.Logger.Info("directory run", "run", run.ID, "ending", string(run.Ending), "people", run.Counts.People,
		"created", run.Counts.Created, "changed", run.Counts.Changed, "left", run.Counts.Left, "set_aside", run.Counts.SetAside)
	if run.Ending == Stopped {
		return nil
	}
	return cause
}

// Under gives the run under way; false when there is none.
func (k *Keeper) Under(ctx context.Context) (Run, bool, error) {
	entry, err := k.cfg.Store.Get(ctx, nowPrefix+k.cfg.Corp)
	if errors.Is(err, store.ErrNotFound) {
		return Run{}, false, nil
	}
	if err != nil {
		return Run{}, false, fmt.Errorf("directory: %w", err)
	}
	run, err := decode[Run](entry)
	return run, err == nil, err
}

// Runs are the newest runs that ended, newest first, at most limit. They sort by
// their beginning, so it looks further and further back: there may be thousands.
func (k *Keeper) Runs(ctx context.Context, limit int) ([]Run, error) {
	for _, back := range []time.Duration{time.Hour, 24 * time.Hour, 10 * 24 * time.Hour} {
		runs, err := k.runsSince(ctx, runIDOf(k.cfg.Now().Add(-back)), limit)
		if err != nil || len(runs) >= limit {
			return runs, err
		}
	}
	return k.runsSince(ctx, "", limit)
}

func (k *Keeper) runsSince(ctx context.Context, id string, limit int) ([]Run, error) {
	var runs []Run
	prefix := runPrefix + k.cfg.Corp + "/"
	after := ""
	if id != "" {
		after = prefix + id
	}
	err := scanAfter(ctx, k.cfg.Store, prefix, after, func(entry store.Entry) error {
		run, err := decode[Run](entry)
		if runs = append(runs, run); len(runs) > limit {
			runs = runs[1:]
		}
		return err
	})
	slices.Reverse(runs)
	return runs, err
}

// RunOf gives one run, also the one under way.
func (k *Keeper) RunOf(ctx context.Context, id string) (Run, error) {
	entry, err := k.cfg.Store.Get(ctx, runPrefix+k.cfg.Corp+"/"+id)
	if err == nil {
		return decode[Run](entry)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return Run{}, wrap(err)
	}
	run, there, err := k.Under(ctx)
	if err == nil && (!there || run.ID != id) {
		err = identity.Fail(identity.NotFound, identity.CodeNotFound, "directory: there is no run %s", id)
	}
	return run, err
}

// runIDOf names a run by its beginning.
func runIDOf(began time.Time) string { return began.UTC().Format("20060102-150405.000000") }
