package dingtalksim

import (
	"slices"
	"sync"
	"time"
)

// schedule runs what the vendor does later - retries, redeliveries - on the
// vendor's clock: at its time, or at once when the control door moves the clock
// past it.
type schedule struct {
	mu     sync.Mutex
	due    []alarm // soonest first
	timer  *time.Timer
	closed bool
	busy   sync.WaitGroup // alarms that run now
}

type alarm struct {
	at time.Time
	do func()
}

// later runs do once the vendor's clock shows at.
func (s *Server) later(at time.Time, do func()) {
	s.alarms.mu.Lock()
	i, _ := slices.BinarySearchFunc(s.alarms.due, at, func(a alarm, t time.Time) int {
		if a.at.After(t) {
			return 1
		}
		return -1 // behind its equals: first come, first served
	})
	s.alarms.due = slices.Insert(s.alarms.due, i, alarm{at, do})
	s.alarms.mu.Unlock()
	s.ring()
}

// ring starts every alarm that is due and sets the timer for the next one.
func (s *Server) ring() {
	a, now := &s.alarms, s.clock.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	for len(a.due) > 0 && !a.due[0].at.After(now) {
		do := a.due[0].do
		a.due = a.due[1:]
		a.busy.Go(do)
	}
	if a.timer != nil {
		a.timer.Stop()
	}
	if len(a.due) > 0 {
		a.timer = time.AfterFunc(max(a.due[0].at.Sub(now), time.Millisecond), s.ring)
	}
}

// Close ends what the simulator does by itself: retries, redeliveries and the
// web sockets. It may be called more than once.
func (s *Server) Close() {
	s.alarms.mu.Lock()
	s.alarms.closed = true
	if s.alarms.timer != nil {
		s.alarms.timer.Stop()
	}
	s.alarms.due = nil
	s.alarms.mu.Unlock()
	for _, l := range s.streams.all("") {
		l.drop()
	}
	s.alarms.busy.Wait()
	s.pushClient.CloseIdleConnections()
}
