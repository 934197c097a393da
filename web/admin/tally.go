package admin

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"kdgate/audit"
	"kdgate/gateway"
	"kdgate/identity"
)

// Log is what is read of the audit log.
type Log interface {
	// Search gives the newest records that q chooses, the newest first.
	Search(ctx context.Context, q audit.Query) ([]audit.Record, error)
}

// Counter counts records of the log. It holds those of every replica.
type Counter interface {
	Tallies(ctx context.Context, actions []audit.Action, from time.Time) ([]audit.Tally, uint64, error)
	TalliesAfter(ctx context.Context, actions []audit.Action, after uint64) ([]audit.Tally, uint64, error)
}

// The faults a sign-in or a launch can end in (F15).
const (
	faultNone = "none"
	faultUser = "user"
)

// faults in the order in which they are drawn and listed.
var faults = [...]string{faultNone, faultUser, "dingtalk", "kingdee", "gateway"}

const (
	tallyHours = 24
	tallyFresh = 3 * time.Second // several open overviews share one look at the log
	tallyWait  = 60 * time.Millisecond
)

// Traffic counts sign-ins and launches by hour and by whose fault a failure was,
// of all replicas. The first look asks the log's index for a whole day; after
// that each record is counted once, when it comes into the file. It counts
// beside the requests: a page waits a moment for it, and shows what is known.
type Traffic struct {
	Log    Counter
	Logger *slog.Logger
	Now    func() time.Time
	Wait   time.Duration // for a count that is under way; 60 ms by default

	once sync.Once
	ask  chan struct{} // somebody wants a fresh count

	mu    sync.Mutex
	done  chan struct{} // closed when the count that is asked for is there
	hours map[time.Time]*hour
	upTo  uint64    // newest record counted
	read  time.Time // when the log was last looked at; zero: never
	err   error     // of the last look
}

// hour is what happened in one.
type hour struct {
	Start  time.Time
	Faults [len(faults)]int      // as faults
	Codes  map[identity.Code]int // of failures
}

// counted are the actions that are somebody's try to get in.
var counted = []audit.Action{audit.ActionSignIn, audit.ActionMint}

func (t *Traffic) init() {
	t.once.Do(func() {
		t.ask, t.done, t.hours = make(chan struct{}, 1), make(chan struct{}), map[time.Time]*hour{}
		if t.Now == nil {
			t.Now = time.Now
		}
		if t.Wait <= 0 {
			t.Wait = tallyWait
		}
		if t.Logger == nil {
			t.Logger = slog.New(slog.DiscardHandler)
		}
	})
}

// Run counts whenever a page asks, until ctx ends.
func (t *Traffic) Run(ctx context.Context) {
	t.init()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.ask:
			t.refresh(ctx)
		}
	}
}

// refresh counts what is new in the log and tells those who wait.
func (t *Traffic) refresh(ctx context.Context) {
	now := t.Now()
	first := now.Truncate(time.Hour).Add(-(tallyHours - 1) * time.Hour)
	t.mu.Lock()
	upTo, again := t.upTo, !t.read.IsZero() && now.Sub(t.read) < time.Hour && !now.Before(t.read)
	t.mu.Unlock()
	var fresh []audit.Tally
	var err error
	if again {
		fresh, upTo, err = t.since(ctx, upTo)
	} else { // never, or so long ago that the index is quicker; a clock that was set begins anew
		fresh, upTo, err = t.Log.Tallies(ctx, counted, first)
	}
	if err != nil && ctx.Err() == nil {
		t.Logger.WarnContext(ctx, "the overview cannot count", "error", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err = err; err == nil {
		if !again {
			t.hours = map[time.Time]*hour{}
		}
		t.upTo, t.read = upTo, now
		t.add(fresh, first)
	}
	close(t.done)
	t.done = make(chan struct{})
}

// since counts everything that came after a record.
func (t *Traffic) since(ctx context.Context, after uint64) (list []audit.Tally, upTo uint64, err error) {
	for upTo = after; ; {
		found, next, err := t.Log.TalliesAfter(ctx, counted, upTo)
		if err != nil || next == upTo {
			return list, upTo, err
		}
		list, upTo = append(list, found...), next
	}
}

// add enters counts, and forgets hours that are over.
func (t *Traffic) add(list []audit.Tally, first time.Time) {
	for _, one := range list {
		if one.Hour.Before(first) {
			continue
		}
		h := t.hours[one.Hour]
		if h == nil {
			h = &hour{Start: one.Hour, Codes: map[identity.Code]int{}}
			t.hours[one.Hour] = h
		}
		fault := faultNone
		if one.Outcome != audit.OK {
			fault = failureOf(identity.Code(one.Reason))
			h.Codes[identity.Code(one.Reason)] += one.N
		}
		for i, name := range faults {
			if name == fault {
				h.Faults[i] += one.N
			}
		}
	}
	for start := range t.hours {
		if start.Before(first) {
			delete(t.hours, start)
		}
	}
}

// failureOf is whose fault a failure is. One that names no reason is ours to explain.
func failureOf(code identity.Code) string {
	if fault := gateway.FaultOf(code); fault != faultNone {
		return fault
	}
	return "gateway"
}

// day gives the last hours, the oldest first, with empty ones where nothing
// happened. asOf is zero as long as nothing was counted yet.
func (t *Traffic) day(ctx context.Context) (day []hour, asOf time.Time, err error) {
	t.init()
	now := t.Now()
	t.mu.Lock()
	age, done := now.Sub(t.read), t.done
	t.mu.Unlock()
	if age < 0 || age >= tallyFresh {
		select {
		case t.ask <- struct{}{}:
		default: // somebody has asked already
		}
		timer := time.NewTimer(t.Wait)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return nil, time.Time{}, t.err
	}
	this := now.Truncate(time.Hour)
	for i := tallyHours - 1; i >= 0; i-- {
		start := this.Add(-time.Duration(i) * time.Hour)
		h := hour{Start: start}
		if found := t.hours[start.UTC()]; found != nil {
			h = *found
			h.Codes = maps.Clone(found.Codes)
		}
		day = append(day, h)
	}
	return day, t.read, nil
}
