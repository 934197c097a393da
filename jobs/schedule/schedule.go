package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"kdgate/jobs"
	"kdgate/jobs/lease"
	"kdgate/store"
)

// The errors that callers branch on, wrapped; compare with errors.Is.
var (
	// ErrPartial wrapped by what a task returns says that some of it was done.
	ErrPartial = errors.New("schedule: done in part")
	// ErrStopped is the cause of a task's context when a person stops it.
	ErrStopped = errors.New("schedule: stopped by a person")
	// ErrRunning and ErrNotRunning refuse a wish that does not fit.
	ErrRunning    = errors.New("schedule: it is running")
	ErrNotRunning = errors.New("schedule: it is not running")
)

// Task is something that is done by the clock.
type Task struct {
	Name string // a-z, 0-9, dot and dash, at most 40 bytes
	Spec Spec   // zero: only when a person asks
	// Do does it once. It must end soon after its context does; whatever it
	// writes late is its own to guard (Progress.Guard).
	Do func(ctx context.Context, p *Progress) error
	// AtOnce runs it as soon as it is seen for the first time, not first when
	// its spec says.
	AtOnce bool
	// Hold says until when a run that is due by the clock has to wait, and why in
	// public words; a time that is over: not at all. It must be quick and ask no
	// peer. Nil: never. What people ask for is not held.
	Hold func(ctx context.Context) (until time.Time, why string, err error)
}

// Config is what New needs.
type Config struct {
	Store    store.Store
	Lease    *lease.Lease // who runs the tasks
	Recorder jobs.Recorder
	Tasks    []Task
	KeepRuns int // runs remembered of each task; 100 by default

	Now func() time.Time // time.Now by default
	Log *slog.Logger     // nil: discard
}

// Schedule is the tasks and their history. It is safe for concurrent use.
type Schedule struct {
	cfg   Config
	tasks map[string]Task
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9.-]*$`) // {0,39} would be compiled 39 times over, and kept

func isName(text string) bool { return len(text) <= 40 && namePattern.MatchString(text) }

// New builds a Schedule and runs nothing.
func New(cfg Config) (*Schedule, error) {
	if cfg.Store == nil || cfg.Lease == nil || cfg.Recorder == nil {
		return nil, errors.New("schedule: needs a store, a lease and a recorder")
	}
	if cfg.KeepRuns <= 0 {
		cfg.KeepRuns = 100
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Schedule{cfg: cfg, tasks: map[string]Task{}}
	for _, task := range cfg.Tasks {
		if !isName(task.Name) || task.Do == nil || s.tasks[task.Name].Do != nil {
			return nil, fmt.Errorf("schedule: task %q: bad name, nothing to do, or there twice", task.Name)
		}
		s.tasks[task.Name] = task
	}
	return s, nil
}

// Run runs tasks whenever this process holds the lease, until ctx ends. It
// returns when the last of them has returned.
func (s *Schedule) Run(ctx context.Context) error { return s.cfg.Lease.Run(ctx, s.lead) }

// lead runs tasks for one term.
func (s *Schedule) lead(ctx context.Context, term *lease.Term) error {
	l := &leader{Schedule: s, term: term, active: map[string]*active{}, ended: make(chan string)}
	defer l.wait()
	heard := l.listen(ctx)
	for adopted := false; ; {
		next := s.now().Add(retryAfter)
		if !adopted {
			adopted = l.report(ctx, l.adopt(ctx))
		}
		if adopted {
			next = l.tick(ctx)
		}
		if !l.rest(ctx, next, heard) {
			return nil
		}
	}
}

const (
	// retryAfter is the pause after the store could not be asked.
	retryAfter = 2 * time.Second
	// longestRest bounds how long the wall clock is trusted to run evenly.
	longestRest = 30 * time.Second
)

// rest waits until next, a wish, or the end of a run; false when ctx has ended.
func (l *leader) rest(ctx context.Context, next time.Time, heard <-chan struct{}) bool {
	timer := time.NewTimer(min(max(0, next.Sub(l.now())), longestRest))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case name := <-l.ended:
		delete(l.active, name)
	case <-heard:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// listen gives a channel that tells of changes of wishes and pauses. When nothing
// can be heard, what people ask for is seen at the latest after longestRest.
func (l *leader) listen(ctx context.Context) <-chan struct{} {
	heard := make(chan struct{}, 1)
	for _, prefix := range []string{prefixWish, prefixPause} {
		events, err := l.cfg.Store.Watch(ctx, prefix)
		if !l.report(ctx, err) {
			continue
		}
		go func() {
			for range events {
				select {
				case heard <- struct{}{}:
				default:
				}
			}
		}()
	}
	return heard
}

// report logs err and tells whether there was none.
func (l *leader) report(ctx context.Context, err error) bool {
	if err != nil && ctx.Err() == nil {
		l.cfg.Log.WarnContext(ctx, "schedule: held up", "err", err)
	}
	return err == nil
}
