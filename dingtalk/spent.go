package dingtalk

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"kdgate/identity"
)

// codeLife is longer than any code lives, so that a code forgotten here is
// dead at DingTalk too.
const codeLife = 10 * time.Minute

var errSpent = errors.New("this code has been sent before")

// spentCodes remembers, by hash, which codes this process has sent, so that no
// mistake above can send one twice. Agreement between replicas is the
// gateway's, through its store.
type spentCodes struct {
	now func() time.Time

	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
	swept time.Time
}

func newSpentCodes(now func() time.Time) *spentCodes {
	return &spentCodes{now: now, until: map[[sha256.Size]byte]time.Time{}}
}

// spend is true for the first who comes with a code.
func (s *spentCodes) spend(code identity.Secret) bool {
	key := sha256.Sum256([]byte(code.Reveal()))
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.sweep(now)
	if until, known := s.until[key]; known && now.Before(until) {
		return false
	}
	s.until[key] = now.Add(codeLife)
	return true
}

// restore forgets a code that was never sent.
func (s *spentCodes) restore(code identity.Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.until, sha256.Sum256([]byte(code.Reveal())))
}

// sweep runs once a minute at most; our own rate bounds how many codes can
// gather meanwhile.
func (s *spentCodes) sweep(now time.Time) {
	if now.Sub(s.swept) < time.Minute {
		return
	}
	s.swept = now
	for key, until := range s.until {
		if !now.Before(until) {
			delete(s.until, key)
		}
	}
}
