// Package audit is the log that can be proved: who did what, on what, from
// where, with which result, chained so that a change, a gap or a cut shows.
//
// It owns the record and its one-line text form (docs/audit-format.md), the chain, the
// signed checkpoints, the SQLite file they are kept in and the verifier that
// needs neither the gateway nor the store.
//
// It refuses to know what an action means, to edit or delete a record, and to
// take what must never be written: codes, tokens, links, cookies and secrets
// are not fields here, and callers do not put them into one.
//
// The order everywhere is: decide, append, act. Append returns when the record
// is on the disk; when it returns an error, the caller does not act.
//
//	Append ──► queue ──► one writer: chain, insert, commit (grouped) ──► Append returns
//	                        │
//	                        └── every 1,000 records or minute: signed checkpoint ──► anchor file, off the host
package audit
