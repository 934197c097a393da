package kingdeesim

import (
	"sync"
	"time"
)

// After five failed attempts a user is locked for half an hour (K24).
const (
	lockAfter = 5
	lockFor   = 30 * time.Minute
)

type lockouts struct {
	mu     sync.Mutex
	byUser map[string]*lockout
}

type lockout struct {
	failures int
	until    time.Time
}

func (l *lockouts) locked(centreID, user string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry := l.byUser[centreID+"|"+user]
	return entry != nil && now.Before(entry.until)
}

// failed counts one more wrong password, secret or signature.
func (l *lockouts) failed(centreID, user string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := centreID + "|" + user
	entry := l.byUser[key]
	if entry == nil {
		entry = &lockout{}
		l.byUser[key] = entry
	}
	entry.failures++
	if entry.failures >= lockAfter {
		entry.until, entry.failures = now.Add(lockFor), 0
	}
}

func (l *lockouts) forget(centreID, user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byUser, centreID+"|"+user)
}
