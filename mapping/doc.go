// Package mapping is the table that says which Kingdee login user a DingTalk
// person is, and the one way from a proven person to an account:
//
//	userid ──1──► FStaffNumber ──2──► staff record ──3──► login user (FName)
//
// It owns the rows and their history, the indexes that keep them unique in both
// directions, the rules of what may be mapped at all, the import and export of
// whole tables, and Resolve. Every broken link has its own code (KD-2xx).
//
// Row states, and the only ways between them:
//
//	            Create                      Suspend
//	(none) ───────────────► active ───────────────────► suspended
//	   │                      ▲  ◄─────────────────────────┘
//	   │ Create, privileged   │          Reinstate, only by an administrator
//	   └────────► pending ────┘
//	               two approvals by two others than its author
//
//	Undo of an import turns a row it created into removed: kept for the history,
//	holding nothing, read as absent.
//
// It refuses to guess: two candidates are an error, a look-alike is not a match,
// a name, mobile number or mail address is never a key (T22), a suspended row
// stays suspended whatever a sync, an import or a sign-in says (T23), and a
// store or a Kingdee that cannot be asked never reads as "not mapped" (R7).
//
// All keys of one change are written in one Commit, after the audit record of it
// is durable.
package mapping
