// Package lease gives one name to at most one replica at a time: who runs the
// schedule, who renews a vendor's token.
//
// It owns the record of who holds a name, the heartbeat, and the fencing token.
// It refuses to promise that two processes never think they hold a name (no
// lease can: a process may be frozen between looking and acting); it promises
// that only one of them can commit. Every write of a holder carries Term.Guard,
// and a Commit with the guard of a lost term is store.ErrConflict, whatever the
// clocks say (R35, R50).
//
//	         Try, Run                 Release, Run ends
//	free ───────────────► held ─────────────────────────► free
//	                      │  ▲
//	    silent for its    │  │ another takes over: token + 1,
//	    whole length      └──┘ the old guard is void
//
// # Clocks
//
// A candidate takes over only after it has itself watched the heartbeat stand
// still for the whole length, on a clock that nobody can set. So a step of the
// wall clock, of either side, takes nothing away. A holder stops believing in
// its lease, on that clock or on the wall clock, whichever passes more, after two
// thirds of the length without a heartbeat: the wall clock also runs while the
// machine sleeps. Then it asks the store before it goes on.
//
// # Keys
//
//	lease/NAME/term   who holds it, under which token; written when that changes
//	lease/NAME/beat   the heartbeat of the holder
//
// Two keys, so that a guard, which is the version of the term, stays good over
// all heartbeats. The term is never removed: its token must not start again.
package lease
