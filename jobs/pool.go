package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kdgate/store"
)

// Handler does the work of one kind. It returns nil when the item is done, and
// otherwise why not; Permanent, Throttled and Explain say more. Its context ends
// when the lease is lost, the attempt takes too long or the replica stops. It
// may end the item itself (Work.Complete, with writes of its own).
type Handler interface {
	Handle(ctx context.Context, w *Work) error
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, w *Work) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, w *Work) error { return f(ctx, w) }

// Kind is one kind of work and who does it.
type Kind struct {
	Name    string
	Handler Handler
	Workers int           // items at once in this process; 4 by default
	Timeout time.Duration // of one attempt; 5 min by default
	Retry   Retry
}

// PoolConfig is what NewPool needs.
type PoolConfig struct {
	Queue *Queue
	Kinds []Kind
	// Poll is how often a kind is looked at when nothing wakes it; 5 s by
	// default. Changes wake it at once, this is for those that were missed.
	Poll time.Duration
	// Grace is how long handlers may go on when Run is to end, and once more
	// half of that after their context has ended; 6 s by default (R52).
	Grace time.Duration
	// Census is how often the counts are given to the Observer; 15 s by default.
	Census time.Duration
	Log    *slog.Logger // nil: discard
}

// Causes of a handler's context to end.
var (
	ErrStopping = errors.New("jobs: the replica stops")
	ErrTooLong  = errors.New("jobs: the attempt took too long")
)

// Pool works the kinds it was given. Kinds do not wait for each other, nor does
// an item for one that failed.
type Pool struct {
	cfg   PoolConfig
	queue *Queue
	lanes map[string]*lane
}

// NewPool builds a Pool; Run works.
func NewPool(cfg PoolConfig) (*Pool, error) {
	if cfg.Queue == nil {
		return nil, errors.New("jobs: a pool needs a queue")
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 5 * time.Second
	}
	if cfg.Grace <= 0 {
		cfg.Grace = 6 * time.Second
	}
	if cfg.Census <= 0 {
		cfg.Census = 15 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pool{cfg: cfg, queue: cfg.Queue, lanes: map[string]*lane{}}
	for _, kind := range cfg.Kinds {
		if err := checkKind(kind.Name); err != nil {
			return nil, err
		}
		if kind.Handler == nil || p.lanes[kind.Name] != nil {
			return nil, fmt.Errorf("jobs: kind %s has no handler, or two", kind.Name)
		}
		p.lanes[kind.Name] = newLane(kind, p)
	}
	return p, nil
}

// Run works until ctx ends. Then it takes nothing more, lets the handlers finish
// within Grace, ends the context of those that have not, and hands their items
// back. The error says which handlers did not listen; their leases run out.
func (p *Pool) Run(ctx context.Context) error {
	working, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var loops, hands sync.WaitGroup
	loops.Go(func() { p.listen(ctx) })
	loops.Go(func() { p.report(ctx) })
	for _, l := range p.lanes {
		loops.Go(func() { l.run(ctx, working, &hands) })
	}
	loops.Wait()
	idle := make(chan struct{})
	go func() { hands.Wait(); close(idle) }()
	if waitFor(idle, p.cfg.Grace) {
		return nil
	}
	stop(ErrStopping)
	if waitFor(idle, p.cfg.Grace/2) {
		return nil
	}
	return fmt.Errorf("jobs: handlers of %v go on after their context has ended", p.busy())
}

// waitFor reports whether done is closed within d.
func waitFor(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func (p *Pool) busy() []string {
	var kinds []string
	for name, l := range p.lanes {
		if len(l.slots) > 0 {
			kinds = append(kinds, name)
		}
	}
	return kinds
}

// listen wakes the lanes that something happened to, until ctx ends. While
// nothing can be heard they look by themselves.
func (p *Pool) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := p.hear(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Log.WarnContext(ctx, "jobs: changes are not heard; polling", "err", err)
		}
		waitFor(ctx.Done(), p.cfg.Poll)
	}
}

func (p *Pool) hear(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready, err := p.queue.cfg.Store.Watch(ctx, statePrefix(Ready, ""))
	if err != nil {
		return err
	}
	pauses, err := p.queue.cfg.Store.Watch(ctx, prefixPause)
	if err != nil {
		return err
	}
	p.wakeAll() // what happened before we listened
	for {
		var ev store.Event
		var open bool
		select {
		case ev, open = <-ready:
			if at, ok := parsePlace(ev.Key); ok && open && !ev.Deleted {
				p.wake(at.ID.Kind)
				continue
			} else if ok && open {
				continue
			}
		case ev, open = <-pauses:
			if open && len(ev.Key) > len(prefixPause) {
				p.repause(ctx, ev.Key[len(prefixPause):])
				continue
			}
		}
		if !open {
			return nil
		}
		p.wakeAll()
	}
}

func (p *Pool) wake(kind string) {
	if l := p.lanes[kind]; l != nil {
		l.nudge()
	}
}

func (p *Pool) wakeAll() {
	for _, l := range p.lanes {
		l.nudge()
	}
}

// repause tells the lane of kind that its pause was set or taken away.
func (p *Pool) repause(ctx context.Context, kind string) {
	l := p.lanes[kind]
	if l == nil {
		return
	}
	if pause, err := p.queue.Paused(ctx, kind); err == nil {
		l.paused.Store(pause.Until.UnixMicro())
	}
	l.nudge()
}

// report gives the counts to the observer.
func (p *Pool) report(ctx context.Context) {
	seen := map[[2]string]bool{}
	for {
		if counts, err := p.queue.Counts(ctx); err == nil {
			p.publish(counts, seen)
		} else if ctx.Err() == nil {
			p.cfg.Log.WarnContext(ctx, "jobs: not counted", "err", err)
		}
		if waitFor(ctx.Done(), p.cfg.Census) {
			return
		}
	}
}

// publish sets a count of zero for what was there before and is no longer.
func (p *Pool) publish(counts []Count, seen map[[2]string]bool) {
	for name := range seen {
		seen[name] = false
	}
	for _, l := range p.lanes {
		for _, state := range States() {
			seen[[2]string{l.kind.Name, string(state)}] = false
		}
	}
	for _, c := range counts {
		seen[[2]string{c.Kind, string(c.State)}] = true
		p.queue.cfg.Observer.Jobs(c.Kind, string(c.State), c.N)
	}
	for name, there := range seen {
		if !there {
			p.queue.cfg.Observer.Jobs(name[0], name[1], 0)
		}
	}
}
