package audit

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Flood says of which others an event is one more, so that many alike leave few
// records (T118). The zero Flood is of an event that has a record of its own
// whatever happens.
type Flood struct {
	Key    string        // one and the same for those that are alike
	AtOnce int           // so many have a record each …
	Pause  time.Duration // … and then one in this time, which counts those before it
}

// LeftOut is the member of Detail that counts the events before a record which
// were like it and left none.
const LeftOut = "left_out"

const (
	maxFloods = 4096 // kept apart; further ones are told apart by their action alone
	maxKept   = 256  // bytes of a stranger's text in an event that waits to be told
)

// Damper holds floods back. None of their events is forgotten: the next record
// of the same kind counts them, and where none comes, Rest does. It is safe for
// concurrent use.
type Damper struct {
	now func() time.Time

	mu    sync.Mutex
	table map[string]*flood
}

type flood struct {
	rate *rate.Limiter
	last Event // of those left out
	left int
}

// NewDamper makes a Damper that goes by this clock.
func NewDamper(now func() time.Time) *Damper {
	return &Damper{now: now, table: map[string]*flood{}}
}

// Pass reports whether e is to be recorded, and gives it with the count of
// those that were not.
func (d *Damper) Pass(e Event) (Event, bool) {
	if e.Flood.Key == "" {
		return e, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.find(e)
	if !f.rate.AllowN(d.now(), 1) {
		f.leave(e, 1)
		return e, false
	}
	return f.told(e), true
}

// Rest takes out what no record has told yet: of each kind its last event, which
// stands for itself and counts the others.
func (d *Damper) Rest() []Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	var rest []Event
	for key, f := range d.table {
		switch {
		case f.left > 0:
			f.left-- // the record stands for one of them
			rest = append(rest, f.told(f.last))
		case f.rate.TokensAt(d.now()) >= float64(f.rate.Burst()):
			delete(d.table, key)
		}
	}
	return rest
}

// GiveBack counts an event that was passed, or was the rest, and could not be
// written, with all that it would have told.
func (d *Damper) GiveBack(e Event) {
	if e.Flood.Key == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	told, _ := strconv.Atoi(e.Detail[LeftOut]) // none there: none told
	d.find(e).leave(e, told+1)
}

// find is the flood of an event. Called with mu held.
func (d *Damper) find(e Event) *flood {
	key := e.Flood.Key
	f := d.table[key]
	if f == nil && len(d.table) >= maxFloods {
		key = "others/" + string(e.Action)
		f = d.table[key]
	}
	if f == nil {
		f = &flood{rate: rate.NewLimiter(rate.Every(e.Flood.Pause), e.Flood.AtOnce)}
		d.table[key] = f
	}
	return f
}

// leave counts an event that has no record for now.
func (f *flood) leave(e Event, n int) {
	if len(e.UserAgent) > maxKept {
		e.UserAgent = strings.Clone(e.UserAgent[:maxKept])
	}
	f.last, f.left = e, f.left+n
}

// told gives an event that tells of those left out, which are none any more.
func (f *flood) told(e Event) Event {
	left := f.left
	f.last, f.left = Event{}, 0
	e.Detail = maps.Clone(e.Detail)
	delete(e.Detail, LeftOut)
	if left == 0 {
		return e
	}
	if e.Detail == nil {
		e.Detail = map[string]string{}
	}
	e.Detail[LeftOut] = strconv.Itoa(left)
	return e
}
