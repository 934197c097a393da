// Package jobs is the work list: what has to be done behind the browser's back,
// at least once and, where the handler keeps to the step protocol, exactly once.
//
// It owns the items, their states, leases, failures and history, the indexes by
// which they are found, the pauses of a kind, and the Pool that works them. It
// refuses to know what an item means: a kind is a name, a payload is JSON, and
// what is done with it is a Handler's. Named leases are in jobs/lease, tasks by
// the clock in jobs/schedule.
//
// # States
//
//	          Add                 Take                      Complete
//	(none) ────────► ready ──────────────────► leased ─────────────────► done ──► (known)
//	                  ▲ ▲   Release, Fail: later  │                        KeepDone   KeepKnown
//	                  │ └────────────────────────┤
//	                  │    its worker died: taken │ Fail: tries used up, or permanent
//	                  │    again by another       ▼
//	                  └────────────────────────  dead ───────► given-up ──► (known)
//	                         Replay                   GiveUp
//
// An item is its kind and key: the same key twice is one item, for as long as
// the key is known. A done item can be looked at for KeepDone; its key is
// remembered for KeepKnown after it was done, and a late repeat of it is
// answered AlreadyKnown and does nothing. A ready or dead item never goes by itself.
//
// # Who may act
//
// Take writes an owner, an end and a fence into the item. The fence is one more
// than at any Take before, and every write of a holder is a Commit over exactly
// the version that still carries its fence: whoever lost the lease, however long
// it was frozen and whatever its clock says, gets ErrLost and has written
// nothing (R35, R50). The clock decides only when others may try: a lease counts
// as abandoned when this process has watched it unchanged for its whole length
// on a clock that nobody can set. The end that is written is for people.
//
// # Exactly once
//
// Step commits a named step with its data before the next one is begun, and may
// carry other writes in the same Commit. A handler that does "Step, act, Step"
// resumes after a crash at the last step committed, asks the peer whether the act
// between two steps happened, and after that answer, before it acts, asks Check
// whether the item is still its own. What a process frozen between Check and the
// act can still do is for the peer to refuse: the act carries a name that the
// peer knows it by, made from the item's key.
//
// # Keys
//
//	job/item/KIND/KEY                    the item
//	job/at/STATE/KIND/MICROSECONDS/KEY   where it stands: due, end of lease, or when it ended
//	job/known/KIND/KEY                   a key that was done and stays known
//	job/pause/KIND                       until when nobody works this kind
//
// An item has exactly one job/at key, written in the same Commit, so lists,
// counts and what is due are pages of one ordered range and cost no memory
// however long the queue is (R29).
package jobs
