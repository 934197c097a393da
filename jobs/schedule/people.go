package schedule

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/lease"
	"kdgate/store"
)

// The acts of people, as the audit log names them.
const (
	ActionRun    audit.Action = "schedule.run"
	ActionStop   audit.Action = "schedule.stop"
	ActionPause  audit.Action = "schedule.pause"
	ActionResume audit.Action = "schedule.resume"
)

// Status is a task as people see it.
type Status struct {
	Name  string
	Spec  string    // empty: only when asked for
	Next  time.Time // zero while paused, running or only when asked for
	Held  string    // why Next is later than the spec says; empty: it is not
	Pause *Pause    // nil: not paused
	Last  *Run      // nil: never ran
}

// Tasks gives every task, by name.
func (s *Schedule) Tasks(ctx context.Context) ([]Status, error) {
	list := make([]Status, 0, len(s.tasks))
	for _, task := range s.tasks {
		status, err := s.status(ctx, task)
		if err != nil {
			return nil, err
		}
		list = append(list, status)
	}
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (s *Schedule) status(ctx context.Context, task Task) (Status, error) {
	status := Status{Name: task.Name, Spec: task.Spec.String()}
	runs, _, err := s.Runs(ctx, task.Name, "", 1)
	if err != nil {
		return status, err
	}
	if len(runs) > 0 {
		status.Last = &runs[0]
	}
	var pause Pause
	paused, err := s.load(ctx, prefixPause+task.Name, &pause)
	if err != nil {
		return status, err
	}
	if paused {
		status.Pause = &pause
		return status, nil
	}
	m, err := s.mark(ctx, task.Name)
	if err != nil {
		return status, err
	}
	if task.Spec.next != nil && !m.UpTo.IsZero() && (status.Last == nil || status.Last.State != Running) {
		status.Next = task.Spec.Next(m.UpTo)
		if task.Hold != nil {
			until, why, err := task.Hold(ctx)
			if err != nil {
				return status, err
			}
			if until.After(status.Next) {
				status.Next, status.Held = until, why
			}
		}
	}
	return status, nil
}

// Runs pages through the runs of a task, newest first; after is the mark that the
// page before gave, empty for the first.
func (s *Schedule) Runs(ctx context.Context, task, after string, limit int) ([]Run, string, error) {
	if !isName(task) {
		return nil, "", s.unknown(task)
	}
	if after != "" {
		after = runKey(task, after)
	}
	limit = min(max(1, limit), 200)
	page, err := s.cfg.Store.Scan(ctx, runPrefix(task), after, limit)
	if err != nil {
		return nil, "", storeError(err)
	}
	runs := make([]Run, len(page))
	for i, entry := range page {
		if err := json.Unmarshal(entry.Value, &runs[i]); err != nil {
			return nil, "", identity.Fail(identity.Internal, identity.CodeInternal, "schedule: %q: %w", entry.Key, err)
		}
	}
	if len(page) < limit {
		return runs, "", nil
	}
	return runs, runs[limit-1].ID, nil
}

// Leader tells which replica runs the tasks.
func (s *Schedule) Leader(ctx context.Context) (lease.State, error) { return s.cfg.Lease.Look(ctx) }

// RunNow asks for a run of a task, also of a paused one; ErrRunning when one is
// going on.
func (s *Schedule) RunNow(ctx context.Context, by jobs.Actor, task string) error {
	return s.RunFor(ctx, by, task, "")
}

// RunFor is RunNow for a purpose that the task finds in its Run, also where a
// replica was lost over it and another begins it again.
func (s *Schedule) RunFor(ctx context.Context, by jobs.Actor, task, purpose string) error {
	last, err := s.last(ctx, task)
	if err != nil {
		return err
	}
	if last.State == Running {
		return identity.Fail(identity.Conflict, "", "%w: %s", ErrRunning, task)
	}
	op, err := put(wishRun(task), wish{By: by.Name, At: s.now(), For: purpose})
	if err != nil {
		return err
	}
	return s.act(ctx, by, ActionRun, task, op)
}

// Stop asks the run that is going on to end; ErrNotRunning when there is none.
func (s *Schedule) Stop(ctx context.Context, by jobs.Actor, task string) error {
	last, err := s.last(ctx, task)
	if err != nil {
		return err
	}
	if last.State != Running {
		return identity.Fail(identity.Conflict, "", "%w: %s", ErrNotRunning, task)
	}
	op, err := put(wishStop(task), wish{By: by.Name, At: s.now(), Run: last.ID})
	if err != nil {
		return err
	}
	return s.act(ctx, by, ActionStop, task, op)
}

// Pause keeps a task from being run by the clock. A run that is going on goes on.
func (s *Schedule) Pause(ctx context.Context, by jobs.Actor, task, why string) error {
	if _, err := s.last(ctx, task); err != nil {
		return err
	}
	op, err := put(prefixPause+task, Pause{By: by.Name, Why: why, Since: s.now()})
	if err != nil {
		return err
	}
	return s.act(ctx, by, ActionPause, task, op)
}

// Resume ends a pause; what was due meanwhile is not made up for.
func (s *Schedule) Resume(ctx context.Context, by jobs.Actor, task string) error {
	if _, err := s.last(ctx, task); err != nil {
		return err
	}
	m, err := s.begin(ctx, task, s.now())
	if err != nil {
		return err
	}
	account, err := put(prefixTask+task, m)
	if err != nil {
		return err
	}
	return s.act(ctx, by, ActionResume, task, store.Delete(prefixPause+task), account)
}

// last gives the newest run of a task that there is.
func (s *Schedule) last(ctx context.Context, task string) (Run, error) {
	if _, known := s.tasks[task]; !known {
		return Run{}, s.unknown(task)
	}
	runs, _, err := s.Runs(ctx, task, "", 1)
	if err != nil || len(runs) == 0 {
		return Run{}, err
	}
	return runs[0], nil
}

func (s *Schedule) unknown(task string) error {
	return identity.Fail(identity.NotFound, identity.CodeNotFound, "schedule: no task %q", task)
}

// act records what a person wants and then writes it.
func (s *Schedule) act(ctx context.Context, by jobs.Actor, action audit.Action, task string, ops ...store.Op) error {
	e := audit.Event{
		Action: action, Outcome: audit.OK, Actor: by.Name, Source: by.Source,
		RequestID: by.RequestID, Target: "schedule/" + task,
	}
	if err := s.cfg.Recorder.Append(ctx, e); err != nil {
		return identity.Fail(identity.Unavailable, identity.CodeAuditDown, "schedule: record %s: %w", action, err)
	}
	if err := s.cfg.Store.Commit(ctx, ops...); err != nil {
		err = storeError(err)
		e.Outcome, e.Reason = audit.Failed, identity.KindOf(err).String()
		return errors.Join(err, s.cfg.Recorder.Append(context.WithoutCancel(ctx), e))
	}
	return nil
}
