package mapping

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// A run writes more keys than one Commit takes, so it is made whole by a journal:
//
//	begin ─► applying ──────────────────────────────► done ─► (Undo) undoing ─► undone
//	            │  every Commit: rows + their page            ▲
//	            └── refused, stopped, store lost, died ───────┘
//
// A Commit of a run holds its rows, the page that lists them and the expectation
// that the guard is still the run's, or nothing. While the guard stands nobody else edits the table,
// except that a row can be suspended at any time. Whoever finds a guard past its
// lease undoes the run page by page, backwards, from the versions that the rows
// superseded; every Commit of that shrinks the journal by what it restored, so
// dying again only means going on. At the end of either way everything or
// nothing of the file is in the table (T25).

// RunState is where a run stands.
type RunState string

// The states of a run.
const (
	RunApplying RunState = "applying"
	RunDone     RunState = "done"
	RunUndoing  RunState = "undoing"
	RunUndone   RunState = "undone"
)

// Run is one import, as it is kept.
type Run struct {
	ID      string         `json:"id"` // grows with time
	State   RunState       `json:"state"`
	By      string         `json:"by"`
	Begun   time.Time      `json:"begun"`
	Ended   time.Time      `json:"ended,omitzero"`
	Created int            `json:"created"`
	Changed int            `json:"changed"`
	Refused int            `json:"refused"` // lines left out
	Digest  string         `json:"digest"`
	Unknown jsontext.Value `json:",embed"`
}

// page lists the rows that one Commit of a run wrote.
type page struct {
	Rows    []pageRow      `json:"rows"`
	Unknown jsontext.Value `json:",embed"`
}

type pageRow struct {
	Corp       string `json:"corp"`
	UserID     string `json:"userid"`
	DataCentre string `json:"data_centre"`
	Version    uint64 `json:"version"` // that the run wrote
}

func (r pageRow) key() Key { return Key{DataCentre: r.DataCentre, Corp: r.Corp, UserID: r.UserID} }

// ApplyOptions are the choices of an Apply.
type ApplyOptions struct {
	SkipRefused bool // write the good lines of a plan with refused ones; otherwise nothing is written (T25)
	Progress    Progress
}

// Apply does what a plan says, all of it or nothing. A row that changed since
// the plan was made ends the run and takes it back, with identity.Conflict.
func (t *Table) Apply(ctx context.Context, by Actor, plan *Plan, o ApplyOptions) (Run, error) {
	if plan.known == nil {
		return Run{}, invalid("plan", ReasonEmpty) // not made by a Table of this process
	}
	if plan.Refused > 0 && !o.SkipRefused {
		return Run{}, errRefusedRows(plan.Refused)
	}
	id, err := freshID()
	if err != nil {
		return Run{}, err
	}
	run := Run{
		ID: id, State: RunApplying, By: by.Name, Begun: t.now(),
		Created: plan.Create, Changed: plan.Change, Refused: plan.Refused, Digest: plan.Digest,
	}
	a := act{by: by, way: plan.way, run: id, holder: id}
	if err := t.begin(ctx, a, &run, plan.runs); err != nil {
		return Run{}, err
	}
	if err := t.applyRows(ctx, a, plan, o.Progress); err != nil {
		// Stopped or not, the table does not stay half way.
		a.rewind = true
		if undoErr := t.takeBack(context.WithoutCancel(ctx), a, &run, nil); undoErr != nil {
			return run, fmt.Errorf("%w (taken back later: %w)", err, undoErr)
		}
		return run, err
	}
	return run, t.finish(context.WithoutCancel(ctx), a, &run, RunDone)
}

// freshID names runs and their holders; it grows with time.
func freshID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", identity.Fail(identity.Internal, identity.CodeInternal, "mapping: id: %w", err)
	}
	return id.String(), nil
}

// begin takes the guard and writes the run down, after its record.
func (t *Table) begin(ctx context.Context, a act, run *Run, action audit.Action) error {
	_, err := t.write(ctx, func(x *tx) (*Entry, error) {
		if err := t.checkGuard(ctx, x); err != nil {
			return nil, err
		}
		x.events = append(x.events, runEvent(a, run, action))
		if err := x.save(ctx, guardKey, guard{Run: run.ID, Holder: a.holder, Until: t.now().Add(guardLease)}); err != nil {
			return nil, err
		}
		return &Entry{}, x.save(ctx, runKey(run.ID), run)
	})
	return err
}

func runEvent(a act, run *Run, action audit.Action) audit.Event {
	return audit.Event{
		Action: action, Outcome: audit.OK, Actor: a.by.Name, Source: a.by.Source, RequestID: a.by.RequestID,
		Target: "run/" + run.ID,
		Detail: map[string]string{
			"run": run.ID, "digest": run.Digest, "created": strconv.Itoa(run.Created),
			"changed": strconv.Itoa(run.Changed), "refused": strconv.Itoa(run.Refused),
		},
	}
}

// finish writes the end of a run and gives the table free, at once.
func (t *Table) finish(ctx context.Context, a act, run *Run, state RunState) error {
	ended := *run
	ended.State, ended.Ended = state, t.now()
	err := t.decide(ctx, func(x *tx) error {
		if err := t.holdGuard(ctx, x, a); err != nil {
			return err
		}
		if err := x.remove(ctx, guardKey); err != nil {
			return err
		}
		return x.save(ctx, runKey(run.ID), ended)
	})
	if err == nil {
		*run = ended
	}
	return err
}

// holdGuard renews the lease within a Commit of the run, which fails when the
// guard is not the run's any more.
func (t *Table) holdGuard(ctx context.Context, x *tx, a act) error {
	if err := t.checkHold(ctx, x, a); err != nil {
		return err
	}
	return x.save(ctx, guardKey, guard{Run: a.run, Holder: a.holder, Until: t.now().Add(guardLease)})
}

// checkHold expects the guard to be the run's, without renewing it.
func (t *Table) checkHold(ctx context.Context, x *tx, a act) error {
	var g guard
	there, err := x.load(ctx, guardKey, &g)
	if err == nil && (!there || g.Run != a.run || g.Holder != a.holder) {
		return refuse(identity.Conflict, "", ReasonImportRunning, "the lease of the run was lost")
	}
	return err
}

// Runs lists the newest runs, newest first, at most limit.
func (t *Table) Runs(ctx context.Context, limit int) ([]Run, error) {
	var runs []Run
	err := eachPage(ctx, t.cfg.Store, prefixRun, func(e store.Entry) error {
		var run Run
		if err := decode(e.Value, &run); err != nil {
			return identity.Fail(identity.Internal, identity.CodeInternal, "%w", err)
		}
		runs = append(runs, run)
		return nil
	})
	if err != nil {
		return nil, err
	}
	newest := make([]Run, 0, min(limit, len(runs)))
	for i := len(runs) - 1; i >= 0 && len(newest) < limit; i-- {
		newest = append(newest, runs[i])
	}
	return newest, nil
}
