package schedule

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"kdgate/jobs"
	"kdgate/store"
)

// writeEvery is how often progress is written down, however often it is told.
const writeEvery = time.Second

// Progress is how a task tells how far it is. Telling costs nothing: it is
// written down once a second. It is safe for concurrent use.
type Progress struct {
	leader *leader

	mu    sync.Mutex
	run   Run
	dirty bool
}

// Guard is an expectation that holds as long as this replica may run tasks: a
// Commit that carries it is refused once another replica has taken over.
func (p *Progress) Guard() store.Op { return p.leader.term.Guard() }

// Check reports whether this replica may still run tasks (lease.Term.Check).
func (p *Progress) Check(ctx context.Context) error { return p.leader.term.Check(ctx) }

// Run is the run as told so far.
func (p *Progress) Run() Run {
	p.mu.Lock()
	defer p.mu.Unlock()
	run := p.run
	run.Counts = maps.Clone(run.Counts)
	return run
}

// Total says how much there is to do.
func (p *Progress) Total(n int64) { p.tell(func(r *Run) { r.Total = n }) }

// Add says that n more are done.
func (p *Progress) Add(n int64) { p.tell(func(r *Run) { r.Done += n }) }

// Say says what the task is at, in words for everybody.
func (p *Progress) Say(words string) { p.tell(func(r *Run) { r.Words = words }) }

// Count adds n to a named count.
func (p *Progress) Count(name string, n int64) {
	p.tell(func(r *Run) {
		if r.Counts == nil {
			r.Counts = Counts{}
		}
		r.Counts[name] += n
	})
}

func (p *Progress) tell(what func(*Run)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what(&p.run)
	p.dirty = true
}

// keep writes what was told until ctx ends.
func (p *Progress) keep(ctx context.Context) {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if run, told := p.told(); told {
			p.leader.report(ctx, p.leader.commit(ctx, runKey(run.Task, run.ID), run))
		}
	}
}

// told gives the run if anything was told since the last time.
func (p *Progress) told() (Run, bool) {
	p.mu.Lock()
	told := p.dirty
	p.dirty = false
	if told {
		p.run.Updated = p.leader.now()
	}
	p.mu.Unlock()
	return p.Run(), told
}

// end gives the run as it ended.
func (p *Progress) end(err, cause error, now time.Time) Run {
	run := p.Run()
	run.Ended, run.Updated = now, now
	if err != nil {
		f := jobs.FailureOf(err, now)
		run.Failure = &Failure{Code: f.Code, Words: f.Words, Private: f.Private}
	}
	switch {
	case err == nil:
		run.State = Complete
	case errors.Is(cause, ErrStopped):
		run.State, run.Failure = Stopped, &Failure{Words: "stopped by a person"}
	case cause != nil:
		run.State, run.Failure = Stopped, &Failure{Words: "the replica stopped", Private: cause.Error()}
	case errors.Is(err, ErrPartial):
		run.State = Partial
	default:
		run.State = Failed
	}
	return run
}
