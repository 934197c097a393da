package store

import "sync"

// floors remembers the highest version seen per key, so that an engine cannot
// hand out an older one. Memory is bounded by two generations: when the young
// one is full the old one is forgotten, and what is used moves back to the young.
type floors struct {
	mu         sync.Mutex
	limit      int    // entries per generation
	clock      uint64 // counts raises, orders them against reads in flight
	young, old map[string]floor
}

type floor struct {
	version Version
	raised  uint64 // clock when the version was first seen
	gone    bool   // version is one above a deleted one, not one that was seen
	edition uint64 // of the value that was seen, see SealConfig.Edition
}

func newFloors(limit int) *floors {
	return &floors{limit: max(1, limit/2), young: map[string]floor{}}
}

// mark is taken before a read is asked: only floors raised by then bind its answer.
func (f *floors) mark() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clock
}

// of gives the floor of key, zero when none is remembered.
func (f *floors) of(key string) Version {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lookup(key).version
}

// see takes the version read under a mark and reports the floor it falls below,
// zero when it is good. A version below a floor raised after the mark is the
// honest answer to a read that overlapped a write.
func (f *floors) see(key string, v Version, mark uint64) Version {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.lookup(key)
	if v < known.version && known.raised <= mark {
		return known.version
	}
	f.raise(key, known, floor{version: v})
	return 0
}

// edition gives that of the newest value of key that was seen, zero when it has
// none.
func (f *floors) edition(key string) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lookup(key).edition
}

// note adds the edition to what is known of version v, unless that is not the
// newest any more.
func (f *floors) note(key string, v Version, edition uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.lookup(key); known.version == v && known.edition != edition && !known.gone {
		known.edition = edition
		f.keep(key, known)
	}
}

// afterDelete gives the least version key can have once expect, or whatever is
// there, is deleted: one more than the newest known. Zero when nothing is known.
func (f *floors) afterDelete(key string, expect Version) Version {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.lookup(key)
	if known.gone && expect < known.version {
		return known.version
	}
	if newest := max(expect, known.version); newest > 0 {
		return newest + 1
	}
	return 0
}

// wrote takes a version this process wrote, or for a delete what afterDelete
// said before it was applied: a put that overtook it is above that.
func (f *floors) wrote(key string, v Version, gone bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.raise(key, f.lookup(key), floor{version: v, gone: gone})
}

func (f *floors) lookup(key string) floor {
	if known, ok := f.young[key]; ok {
		return known
	}
	known, ok := f.old[key]
	if ok {
		f.keep(key, known)
	}
	return known
}

func (f *floors) raise(key string, known, next floor) {
	if next.version > known.version {
		f.clock++
		next.raised = f.clock
		f.keep(key, next)
	}
}

func (f *floors) keep(key string, known floor) {
	if len(f.young) >= f.limit { // or nobody needs to look
		if _, ok := f.young[key]; !ok {
			f.age()
		}
	}
	f.young[key] = known
}

// age forgets the old generation and begins another young one.
func (f *floors) age() {
	room := f.old // used again: growing it anew costs more than filling it
	clear(room)
	if room == nil {
		room = make(map[string]floor, len(f.young))
	}
	f.old, f.young = f.young, room
}

// forget drops every floor. The clock goes on, so that reads in flight are not
// held to what comes after.
func (f *floors) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.young, f.old = map[string]floor{}, nil
}
