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

// lockouts are the temporary locks of one data centre.
type lockouts struct {
	mu     sync.Mutex
	byUser map[string]*lockout
}

type lockout struct {
	failures int
	until    time.Time
}

func (l *lockouts) locked(user string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry := l.byUser[user]
	return entry != nil && now.Before(entry.until)
}

// failed counts one more wrong password, secret or signature.
func (l *lockouts) failed(user string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry := l.byUser[user]
	if entry == nil {
		entry = &lockout{}
		l.byUser[user] = entry
	}
	entry.failures++
	if entry.failures >= lockAfter {
		entry.until, entry.failures = now.Add(lockFor), 0
	}
}

func (l *lockouts) forget(user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byUser, user)
}
