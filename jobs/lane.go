package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"kdgate/identity"
)

// lane works one kind.
type lane struct {
	kind  Kind
	pool  *Pool
	queue *Queue
	slots chan struct{} // one token per item in hand
	wake  chan struct{} // capacity 1: there may be something to do

	paused atomic.Int64 // end of the pause as last heard, microseconds
	absent atomic.Int64 // failures in a row because the peer was away
}

// probeMost is the longest a lane waits between two probes of a peer that is
// away, so that work goes on within ten seconds of its return (R26).
const probeMost = 8 * time.Second

// crowded is the pause after a Take that found work and got none of it.
const crowded = 50 * time.Millisecond

func newLane(kind Kind, p *Pool) *lane {
	if kind.Workers <= 0 {
		kind.Workers = 4
	}
	if kind.Timeout <= 0 {
		kind.Timeout = 5 * time.Minute
	}
	kind.Retry = kind.Retry.withDefaults()
	return &lane{
		kind: kind, pool: p, queue: p.queue,
		slots: make(chan struct{}, kind.Workers), wake: make(chan struct{}, 1),
	}
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run takes and hands out items until ctx ends. Handlers live under working.
func (l *lane) run(ctx, working context.Context, hands *sync.WaitGroup) {
	for ctx.Err() == nil {
		next, err := l.tick(ctx, working, hands)
		if err != nil && ctx.Err() == nil {
			l.pool.cfg.Log.WarnContext(ctx, "jobs: nothing taken", "kind", l.kind.Name, "err", err)
		}
		l.rest(ctx, next)
	}
}

// tick takes as many items as hands are free, waiting for the first, and gives
// the time to come again.
func (l *lane) tick(ctx, working context.Context, hands *sync.WaitGroup) (time.Time, error) {
	free := l.reserve(ctx)
	if free == 0 {
		return time.Time{}, nil
	}
	taken, err := l.queue.Take(ctx, l.kind.Name, free)
	for range free - len(taken.Work) {
		<-l.slots
	}
	for _, w := range taken.Work {
		hands.Go(func() {
			defer func() { <-l.slots; l.nudge() }()
			l.work(working, w)
		})
	}
	now := l.queue.now()
	switch {
	case err == nil && len(taken.Work) > 0 && taken.Next.IsZero():
		return now, nil // perhaps more came while we took
	case len(taken.Work) == 0 && !taken.Next.IsZero() && !taken.Next.After(now):
		return now.Add(crowded), err // others were quicker with all of it
	}
	return taken.Next, err
}

// reserve waits for a free hand and gives as many as there are; a single one
// while the peer is away. Zero: ctx has ended.
func (l *lane) reserve(ctx context.Context) int {
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	free := 1
	for free < MaxTake && l.absent.Load() == 0 {
		select {
		case l.slots <- struct{}{}:
			free++
		default:
			return free
		}
	}
	return free
}

// rest waits until next, a nudge, or the time to look anyway. While the peer is
// away only its return shortens the wait between two probes.
func (l *lane) rest(ctx context.Context, next time.Time) {
	wait := min(l.pool.cfg.Poll, l.queue.cfg.Lease/4)
	if !next.IsZero() {
		wait = min(wait, next.Sub(l.queue.now()))
	}
	probing := l.absent.Load()
	if probing > 0 {
		wait = Retry{First: time.Second / 2, Max: probeMost}.delay(int(probing))
	}
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-l.wake:
			if probing == 0 || l.absent.Load() == 0 {
				return
			}
		}
	}
}

// work carries one item through one attempt.
func (l *lane) work(working context.Context, w *Work) {
	it := w.Item()
	if l.paused.Load() > l.queue.now().UnixMicro() {
		l.settle(w, w.Release(working, it.Due))
		return
	}
	if it.Losses > l.kind.Retry.Losses {
		l.fail(working, w, Permanent(Explain(fmt.Errorf("jobs: %d workers in a row were lost on it", it.Losses), "its worker died each time")))
		return
	}
	ctx, cancel := context.WithCancelCause(working)
	timer := time.AfterFunc(l.kind.Timeout, func() { cancel(ErrTooLong) })
	beating := make(chan struct{})
	go func() { defer close(beating); l.beat(ctx, w, cancel) }()
	err := l.call(ctx, w)
	cause := context.Cause(ctx)
	timer.Stop()
	cancel(nil)
	<-beating
	l.finish(context.WithoutCancel(working), w, err, cause)
}

// call runs the handler. A panic is an error of this item alone, and so is a
// handler that ends its goroutine (T128).
func (l *lane) call(ctx context.Context, w *Work) (err error) {
	returned := make(chan error, 1)
	go func() {
		left := errors.New("jobs: the handler ended its goroutine")
		defer func() {
			if value := recover(); value != nil {
				left = Explain(fmt.Errorf("jobs: panic: %v\n%s", value, debug.Stack()), "a fault of ours")
			}
			returned <- left
		}()
		left = l.kind.Handler.Handle(ctx, w)
	}()
	return <-returned
}

// beat keeps the lease while the handler works, and ends its context when the
// lease is lost or has not been kept for its whole length.
func (l *lane) beat(ctx context.Context, w *Work, cancel context.CancelCauseFunc) {
	length, elapsed := l.queue.cfg.Lease, l.queue.cfg.Elapsed
	kept := elapsed()
	for !waitFor(ctx.Done(), length/3) {
		asked := elapsed()
		err := w.Extend(ctx)
		switch {
		case err == nil:
			kept = asked
		case errors.Is(err, ErrLost) && ctx.Err() == nil:
			cancel(err)
			return
		case elapsed()-kept >= length-length/3:
			cancel(fmt.Errorf("%w: not extended in time: %w", ErrLost, err))
			return
		}
	}
}

// finish writes down how the attempt ended.
func (l *lane) finish(ctx context.Context, w *Work, err, cause error) {
	ctx, cancel := context.WithTimeout(ctx, l.queue.cfg.Lease)
	defer cancel()
	switch {
	case w.Item().State != Leased:
		l.absent.Store(0) // the handler ended it
	case err == nil:
		l.absent.Store(0)
		l.settle(w, w.Complete(ctx))
	case errors.Is(cause, ErrStopping):
		l.settle(w, w.Release(ctx, time.Time{}))
	case errors.Is(cause, ErrLost):
		l.settle(w, cause)
	case errors.Is(cause, ErrTooLong):
		l.fail(ctx, w, Explain(fmt.Errorf("%w: %w", cause, err), "took too long"))
	default:
		l.fail(ctx, w, err)
	}
}

// fail writes a failure down, and holds the kind back when it says that the peer
// is away.
func (l *lane) fail(ctx context.Context, w *Work, cause error) {
	said := advice(cause)
	if said.away() {
		l.absent.Add(1)
	} else {
		l.absent.Store(0)
	}
	if !said.until.IsZero() {
		l.absent.Store(0) // the pause is what holds it back
		l.paused.Store(said.until.UnixMicro())
		why := said.failure(l.queue.now()).Words
		if err := l.queue.hush(ctx, Pause{Kind: l.kind.Name, Until: said.until, Why: why, By: l.queue.owner}); err != nil {
			l.pool.cfg.Log.WarnContext(ctx, "jobs: not paused on the other replicas", "kind", l.kind.Name, "err", err)
		}
	}
	result, err := w.Fail(ctx, cause, l.kind.Retry)
	if err == nil {
		l.pool.cfg.Log.InfoContext(ctx, "jobs: attempt failed", "kind", l.kind.Name, "item", w.Item().String(),
			"result", string(result), "code", string(identity.CodeOf(cause)), "err", private(cause))
	}
	l.settle(w, err)
}

// settle logs that an attempt's end could not be written. Nothing is lost by it:
// the lease runs out and the item is worked again from its last step.
func (l *lane) settle(w *Work, err error) {
	if err != nil {
		l.pool.cfg.Log.Warn("jobs: the end of an attempt is not written", "kind", l.kind.Name, "item", w.id.String(), "err", err)
	}
}
