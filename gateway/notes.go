package gateway

import "sync"

// Bounds of what is remembered of sign-ins: some megabytes, and more than
// begin anywhere in the seconds a person needs.
const (
	maxNotes = 4096 // per generation
	maxNoted = 1024 // bytes of a place; a longer one is read from the store
)

// notes are the open sign-ins that this replica wrote a moment ago. Its next two
// requests most often come here too, and need not ask the store what it was just
// told. A note may be out of date when another replica changed the record: then
// the commit that uses the sign-in up fails, for it expects the noted version,
// and the record is read.
//
// Memory is bounded by two generations: when the young one is full, the old one
// is forgotten.
type notes struct {
	mu         sync.Mutex
	young, old map[string]signIn // by id
}

func newNotes() *notes { return &notes{young: map[string]signIn{}} }

// get gives what is noted under id.
func (n *notes) get(id string) (signIn, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if st, ok := n.young[id]; ok {
		return st, true
	}
	st, ok := n.old[id]
	return st, ok
}

// put notes an open sign-in as it was written.
func (n *notes) put(st signIn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.old, st.id)
	delete(n.young, st.id)
	if st.version == 0 || len(st.Wanted.Path)+len(st.Wanted.Query)+len(st.Wanted.Fragment)+len(st.Wanted.Origin) > maxNoted {
		return
	}
	if len(n.young) >= maxNotes {
		n.old, n.young = n.young, map[string]signIn{}
	}
	n.young[st.id] = st
}

// drop forgets id: it was used, or is not what was noted.
func (n *notes) drop(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.old, id)
	delete(n.young, id)
}
