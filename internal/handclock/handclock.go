package handclock

import (
	"sync"
	"sync/atomic"
	"time"
)

// Clock stands still until it is moved. It is safe for concurrent use.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// New is a clock that stands at that time.
func New(at time.Time) *Clock { return &Clock{at: at} }

// Now is the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Advance moves the clock by d, back when d is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Running goes with the machine's clock, as far from it as it was moved: for
// tests with a peer that reads the machine's clock too. The zero value shows the
// machine's time. It is safe for concurrent use.
type Running struct{ ahead atomic.Int64 }

// Now is the time that the clock shows.
func (c *Running) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance moves the clock by d, back when d is negative.
func (c *Running) Advance(d time.Duration) { c.ahead.Add(int64(d)) }
