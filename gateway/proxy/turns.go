package proxy

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	notesAtOnce    = 20 // records of one kind about one person, then one every notePause
	notePause      = 10 * time.Second
	launchesAtOnce = 4 // automatic launches of one session, then one every launchPause
	launchPause    = 20 * time.Second
)

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
