package admin

import (
	"context"
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

// The faults a sign-in or a launch can end in (F15).
const (
	faultNone = "none"
	faultUser = "user"
)

// faults in the order in which they are drawn and listed.
var faults = [...]string{faultNone, faultUser, "dingtalk", "kingdee", "gateway"}

const (
	tallyHours = 24
	tallyPage  = 1000
	tallyFresh = 3 * time.Second // several open overviews share one look at the log
	tallyLate  = 2 * time.Minute // how late another replica's record may come in
)

// tally counts sign-ins and launches by hour and by whose fault a failure was.
// It reads each record of the log once: a refresh asks only for what is new.
type tally struct {
	log Log
	now func() time.Time

	mu     sync.Mutex
	hours  map[time.Time]*hour
	last   uint64    // newest record counted
	read   time.Time // when the log was last looked at
	newest time.Time // time of the newest record counted
}

// hour is what happened in one.
type hour struct {
	Start  time.Time
	Faults [len(faults)]int      // as faults
	Codes  map[identity.Code]int // of failures
}

func newTally(log Log, now func() time.Time) *tally {
	return &tally{log: log, now: now, hours: map[time.Time]*hour{}}
}

// counted are the actions that are somebody's try to get in.
var counted = [...]audit.Action{audit.ActionSignIn, audit.ActionMint}

// refresh counts what is new in the log.
func (t *tally) refresh(ctx context.Context) error {
	now := t.now()
	if since := now.Sub(t.read); since >= 0 && since < tallyFresh {
		return nil
	}
	from := now.Truncate(time.Hour).Add(-(tallyHours - 1) * time.Hour)
	if t.newest.After(from) {
		from = t.newest
	}
	fresh, err := t.fresh(ctx, from.Add(-tallyLate))
	if err != nil {
		return err
	}
	for _, record := range fresh {
		t.count(record)
		t.last, t.newest = max(t.last, record.ID), later(t.newest, record.At)
	}
	t.read = now
	for start := range t.hours {
		if now.Sub(start) > (tallyHours+1)*time.Hour {
			delete(t.hours, start)
		}
	}
	return nil
}

// fresh are the records of tries that were not counted yet.
func (t *tally) fresh(ctx context.Context, from time.Time) ([]audit.Record, error) {
	var fresh []audit.Record
	for _, action := range counted {
		q := audit.Query{Action: action, From: from, Limit: tallyPage}
		for {
			records, err := t.log.Search(ctx, q)
			if err != nil {
				return nil, err
			}
			for _, record := range records {
				if record.ID > t.last {
					fresh = append(fresh, record)
				}
			}
			if len(records) < tallyPage {
				break
			}
			q.Before = records[len(records)-1].Cursor()
		}
	}
	return fresh, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (t *tally) count(record audit.Record) {
	start := record.At.Truncate(time.Hour)
	h := t.hours[start]
	if h == nil {
		h = &hour{Start: start, Codes: map[identity.Code]int{}}
		t.hours[start] = h
	}
	code := identity.Code(record.Reason)
	fault := faultNone
	if record.Outcome != audit.OK {
		fault = failureOf(code)
		h.Codes[code]++
	}
	for i, name := range faults {
		if name == fault {
			h.Faults[i]++
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

// day gives the last hours, the oldest first, with empty ones where nothing happened.
func (t *tally) day(ctx context.Context) ([]hour, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refresh(ctx); err != nil {
		return nil, err
	}
	now := t.now().Truncate(time.Hour)
	day := make([]hour, 0, tallyHours)
	for i := tallyHours - 1; i >= 0; i-- {
		start := now.Add(-time.Duration(i) * time.Hour)
		h := hour{Start: start}
		if found := t.hours[start.UTC()]; found != nil {
			h = *found
			h.Codes = maps.Clone(found.Codes)
		}
		day = append(day, h)
	}
	return day, nil
}
