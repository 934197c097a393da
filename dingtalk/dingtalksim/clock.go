package dingtalksim

import (
	"sync/atomic"
	"time"
)

// clock is the vendor's time: the machine's, plus a skew that the control door
// sets (SIM-D22, SIM-D114). Moving it ahead two hours ends every token.
type clock struct {
	base func() time.Time
	skew atomic.Int64 // nanoseconds
}

func (c *clock) now() time.Time {
	return c.base().Add(time.Duration(c.skew.Load()))
}

// beijing is the zone of the vendor's texts and of its quota month.
func beijing(t time.Time) time.Time {
	return t.In(time.FixedZone("CST", 8*60*60))
}

// SetClock sets how far the vendor's clock runs ahead of Config.Now; negative
// is behind.
func (s *Server) SetClock(skew time.Duration) {
	s.clock.skew.Store(int64(skew))
	s.ring()
}

// Advance moves the vendor's clock further ahead. What becomes due in between
// starts at once.
func (s *Server) Advance(d time.Duration) {
	s.clock.skew.Add(int64(d))
	s.ring()
}
