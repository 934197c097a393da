package proxy

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	notesAtOnce    = 20 // records of one kind about one person, then one every notePause
	notePause      = 10 * time.Second
	maxNoted       = 4096 // kinds and persons counted apart
	launchesAtOnce = 4    // automatic launches of one session, then one every launchPause
	launchPause    = 20 * time.Second
)

// notes bounds what one person can make the audit log hold.
type notes struct {
	now   func() time.Time
	mu    sync.Mutex
	table map[string]*noted
	lost  int // left out by what was forgotten; the next record of anybody counts them
}

type noted struct {
	rate    *rate.Limiter
	leftOut int
}

func newNotes(now func() time.Time) *notes {
	return &notes{now: now, table: map[string]*noted{}}
}

// allow reports whether to write, and how many before were not written.
func (n *notes) allow(key string) (leftOut int, write bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	one, ok := n.table[key]
	if !ok {
		if len(n.table) >= maxNoted {
			for _, forgotten := range n.table {
				n.lost += forgotten.leftOut
			}
			clear(n.table)
		}
		one = &noted{rate: rate.NewLimiter(rate.Every(notePause), notesAtOnce)}
		n.table[key] = one
	}
	if !one.rate.AllowN(n.now(), 1) {
		one.leftOut++
		return 0, false
	}
	leftOut, one.leftOut, n.lost = one.leftOut+n.lost, 0, 0
	return leftOut, true
}

// turns bounds automatic launches, so that a Kingdee which sends people back at
// once is no loop.
type turns struct {
	now   func() time.Time
	mu    sync.Mutex
	table map[string]*rate.Limiter
}

func newTurns(now func() time.Time) *turns {
	return &turns{now: now, table: map[string]*rate.Limiter{}}
}

func (t *turns) take(session string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok := t.table[session]
	if !ok {
		if len(t.table) >= maxBindings {
			clear(t.table)
		}
		one = rate.NewLimiter(rate.Every(launchPause), launchesAtOnce)
		t.table[session] = one
	}
	return one.AllowN(t.now(), 1)
}
