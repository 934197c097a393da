package dingtalksim

import (
	"time"
)

// eventFault is what happens to an event as it is emitted: a fault of the
// control door, else what the shares of the switches bring by chance.
func (s *Server) eventFault(kind string) (fault string, delay time.Duration) {
	if f := s.faults.takeEvent("EVENT "+kind, faultLose, faultTwice, faultLate, faultReorder, faultDropSocket); f != nil {
		delay = time.Duration(f.DelayMS) * time.Millisecond
		if delay == 0 {
			delay = time.Minute
		}
		return f.Kind, delay
	}
	sw := s.sw()
	for _, share := range []struct {
		percent int
		kind    string
	}{{sw.EventLost, faultLose}, {sw.EventDuplicate, faultTwice}, {sw.EventReorder, faultReorder}} {
		if share.percent > 0 && s.chance(share.percent) {
			return share.kind, 0
		}
	}
	return "", 0
}

// chance is true in percent of a hundred cases.
func (s *Server) chance(percent int) bool {
	b := s.rand.bytes(2)
	return (int(b[0])<<8|int(b[1]))%100 < percent
}
