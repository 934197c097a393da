package gateway

import "sync"

// maxSpent bounds what is remembered of used sign-ins, per generation.
const maxSpent = 4096

// spent are the sign-ins that were used on this replica a moment ago: whoever
// comes back to one is answered from the store. It spares questions, and decides
// nothing: what it has forgotten, the commit of another use meets.
//
// Memory is bounded by two generations: when the young one is full, the old one
// is forgotten.
type spent struct {
	mu         sync.Mutex
	young, old map[string]struct{} // by id
}

func newSpent() *spent { return &spent{young: map[string]struct{}{}} }

func (s *spent) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.young[id]; ok {
		return true
	}
	_, ok := s.old[id]
	return ok
}

func (s *spent) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= maxSpent {
		s.old, s.young = s.young, map[string]struct{}{}
	}
	s.young[id] = struct{}{}
}
