package schedule

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/lease"
	"kdgate/store"
)

// leader is a Schedule while it holds the lease. Only the goroutine of lead
// touches active.
type leader struct {
	*Schedule
	term   *lease.Term
	active map[string]*active
	ended  chan string // names of tasks whose run has returned
}

// active is a run in hand.
type active struct {
	id     string
	cancel context.CancelCauseFunc
}

// maxAttempts is how often a run is begun that no replica lives to finish.
const maxAttempts = 3

// wait takes the end of every run in hand. Only then is the lease given back.
func (l *leader) wait() {
	for len(l.active) > 0 {
		delete(l.active, <-l.ended)
	}
}

// adopt ends the runs that a holder before us left running.
func (l *leader) adopt(ctx context.Context) error {
	for name := range l.tasks {
		page, err := l.cfg.Store.Scan(ctx, runPrefix(name), "", 5)
		if err != nil {
			return storeError(err)
		}
		for _, entry := range page {
			var run Run
			if _, err := l.load(ctx, entry.Key, &run); err != nil {
				return err
			}
			if run.State != Running || run.Token == l.term.Token() {
				continue
			}
			if err := l.endAbandoned(ctx, run); err != nil {
				return err
			}
		}
	}
	return nil
}

// endAbandoned writes a run off, and has it begun again.
func (l *leader) endAbandoned(ctx context.Context, run Run) error {
	run.State, run.Ended = Failed, l.now()
	run.Failure = &Failure{Words: "its replica went away", Private: "lease token " + fmt.Sprint(run.Token)}
	m, err := l.mark(ctx, run.Task)
	if err != nil {
		return err
	}
	m.Again, m.Asked = again(run.Attempt), run.asked()
	return l.commit(ctx, runKey(run.Task, run.ID), run, prefixTask+run.Task, m)
}

// again is the attempt that follows one that was cut off, zero when it is enough.
func again(attempt int) int {
	if attempt >= maxAttempts {
		return 0
	}
	return attempt + 1
}

// mark reads the account of a task.
func (s *Schedule) mark(ctx context.Context, name string) (mark, error) {
	var m mark
	_, err := s.load(ctx, prefixTask+name, &m)
	return m, err
}

// begin is the account from upTo on: of what it was only what this release does
// not know is left (R54).
func (s *Schedule) begin(ctx context.Context, name string, upTo time.Time) (mark, error) {
	m, err := s.mark(ctx, name)
	return mark{UpTo: upTo, Unknown: m.Unknown}, err
}

// commit writes values under keys, given in pairs, while the lease is held.
func (l *leader) commit(ctx context.Context, pairs ...any) error {
	ops := []store.Op{l.term.Guard()}
	for i := 0; i+1 < len(pairs); i += 2 {
		key, _ := pairs[i].(string)
		op, err := put(key, pairs[i+1])
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	if err := l.cfg.Store.Commit(ctx, ops...); err != nil {
		return storeError(err)
	}
	return nil
}

// tick starts what is due, stops what is to be stopped, and gives the time to
// come again.
func (l *leader) tick(ctx context.Context) time.Time {
	next := l.now().Add(longestRest)
	for name, task := range l.tasks {
		at, err := l.look(ctx, task)
		if !l.report(ctx, err) {
			at = l.now().Add(retryAfter)
		}
		if _, running := l.active[name]; !running && !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return next
}

// look does what is to be done about one task now, and gives when it is next due.
func (l *leader) look(ctx context.Context, task Task) (time.Time, error) {
	if run, running := l.active[task.Name]; running {
		return time.Time{}, l.stopIfWished(ctx, task, run)
	}
	var w wish
	wished, err := l.load(ctx, wishRun(task.Name), &w)
	if err != nil {
		return time.Time{}, err
	}
	if !wished {
		if paused, err := l.load(ctx, prefixPause+task.Name, new(Pause)); err != nil || paused {
			return time.Time{}, err
		}
	}
	// Read last: Resume ends the pause and moves the account at once. The account
	// from before with the pause from after would make up for what was paused.
	m, err := l.mark(ctx, task.Name)
	if err != nil {
		return time.Time{}, err
	}
	if wished {
		return time.Time{}, l.start(ctx, task, w, max(1, m.Again))
	}
	return l.byTheClock(ctx, task, m)
}

// byTheClock starts a task that is due.
func (l *leader) byTheClock(ctx context.Context, task Task, m mark) (time.Time, error) {
	now := l.now()
	if m.UpTo.IsZero() && !task.AtOnce || m.UpTo.After(now) {
		m.UpTo = now // seen for the first time, or the clock went back
		if err := l.commit(ctx, prefixTask+task.Name, m); err != nil {
			return time.Time{}, err
		}
	}
	due := m.due(task.Spec, now)
	if due.IsZero() || due.After(now) {
		return due, nil
	}
	if until, err := task.heldUntil(ctx); err != nil || until.After(now) {
		return until, err
	}
	return time.Time{}, l.start(ctx, task, m.begunBy(), max(1, m.Again))
}

// due is when a task with this account has to be run next, zero when its spec
// names no time. A run that was cut off, and the first of all, are due now.
func (m mark) due(spec Spec, now time.Time) time.Time {
	if m.Again > 0 || m.UpTo.IsZero() {
		return now
	}
	return spec.Next(m.UpTo)
}

// begunBy is who has a run begun by the clock: one that was cut off is still that
// of whoever asked for it.
func (m mark) begunBy() wish {
	if m.Again > 0 && m.Asked != nil {
		return *m.Asked
	}
	return wish{By: audit.System}
}

// heldUntil is until when a run that is due has to wait, zero when nothing holds
// the task.
func (t Task) heldUntil(ctx context.Context) (time.Time, error) {
	if t.Hold == nil {
		return time.Time{}, nil
	}
	until, _, err := t.Hold(ctx)
	return until, err
}

// stopIfWished ends the context of a run that a person wants to stop.
func (l *leader) stopIfWished(ctx context.Context, task Task, run *active) error {
	var w wish
	there, err := l.load(ctx, wishStop(task.Name), &w)
	if err != nil || !there {
		return err
	}
	if w.Run == run.id {
		run.cancel(fmt.Errorf("%w: %s", ErrStopped, w.By))
	}
	if err := l.cfg.Store.Commit(ctx, l.term.Guard(), store.Delete(wishStop(task.Name))); err != nil {
		return storeError(err)
	}
	return nil
}

// start writes a run down with the account, and begins it.
func (l *leader) start(ctx context.Context, task Task, by wish, attempt int) error {
	now := l.now()
	run := Run{
		Task: task.Name, ID: runID(now), State: Running, By: by.By, For: by.For, Replica: l.cfg.Lease.Owner(),
		Token: l.term.Token(), Attempt: attempt, Began: now, Updated: now,
	}
	m, err := l.begin(ctx, task.Name, now)
	if err != nil {
		return err
	}
	account, err := put(prefixTask+task.Name, m)
	if err != nil {
		return err
	}
	entry, err := put(runKey(run.Task, run.ID), run)
	if err != nil {
		return err
	}
	err = l.cfg.Store.Commit(ctx, l.term.Guard(), entry, account,
		store.Delete(wishRun(task.Name)), store.Delete(wishStop(task.Name)))
	if err != nil {
		return storeError(err)
	}
	within, cancel := context.WithCancelCause(ctx)
	l.active[task.Name] = &active{id: run.ID, cancel: cancel}
	go func() {
		defer func() { l.ended <- task.Name }()
		defer cancel(nil)
		l.carry(within, task, run)
	}()
	return nil
}

// carry does one run from its beginning to its written end.
func (l *leader) carry(ctx context.Context, task Task, run Run) {
	p := &Progress{leader: l, run: run}
	flushed := make(chan struct{})
	within, cancel := context.WithCancel(ctx)
	go func() { defer close(flushed); p.keep(within) }()
	err := guarded(ctx, task, p)
	cancel()
	<-flushed
	cut := ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrStopped)
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	run = p.end(err, context.Cause(ctx), l.now())
	pairs := []any{runKey(run.Task, run.ID), run}
	if cut && err != nil {
		m, err := l.begin(last, run.Task, run.Began)
		l.report(last, err)
		m.Again, m.Asked = again(run.Attempt), run.asked()
		pairs = append(pairs, prefixTask+run.Task, m)
	}
	l.report(last, l.commit(last, pairs...))
	l.report(last, l.prune(last, run.Task))
	l.cfg.Log.InfoContext(last, "schedule: run", "task", run.Task, "state", string(run.State), "done", run.Done,
		"total", run.Total, "took", run.Ended.Sub(run.Began))
}

// guarded calls the task; a panic is a failure of this run alone (T128), and so
// is a task that ends its goroutine.
func guarded(ctx context.Context, task Task, p *Progress) error {
	returned := make(chan error, 1)
	go func() {
		left := errors.New("schedule: the task ended its goroutine")
		defer func() {
			if value := recover(); value != nil {
				left = jobs.Explain(identity.Fail(identity.Internal, identity.CodeInternal, "schedule: panic: %v\n%s", value, debug.Stack()), "a fault of ours")
			}
			returned <- left
		}()
		left = task.Do(ctx, p)
	}()
	return <-returned
}

// prune removes the oldest runs beyond KeepRuns, some at a time.
func (l *leader) prune(ctx context.Context, name string) error {
	page, err := l.cfg.Store.Scan(ctx, runPrefix(name), "", l.cfg.KeepRuns+50)
	if err != nil {
		return storeError(err)
	}
	if len(page) <= l.cfg.KeepRuns {
		return nil
	}
	ops := []store.Op{l.term.Guard()}
	for _, entry := range page[l.cfg.KeepRuns:] {
		ops = append(ops, store.Delete(entry.Key))
	}
	if err := l.cfg.Store.Commit(ctx, ops...); err != nil {
		return storeError(err)
	}
	return nil
}
