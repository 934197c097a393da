package turnstile

import (
	"log/slog"
	"sync"
	"time"
)

// sparing logs at most one line a second and says how many it left out: what
// fills the log is part of the attack (R61, R70).
type sparing struct {
	logger *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	last    time.Time
	leftOut int
}

func (s *sparing) say(message string, attrs ...any) {
	s.mu.Lock()
	now := s.now()
	if !s.last.IsZero() && now.Sub(s.last) < time.Second {
		s.leftOut++
		s.mu.Unlock()
		return
	}
	leftOut := s.leftOut
	s.last, s.leftOut = now, 0
	s.mu.Unlock()
	s.logger.Warn(message, append(attrs, "left_out", leftOut)...)
}
