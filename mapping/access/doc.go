// Package access is the book of people who ask to be let in to a data centre
// that has no working row for them (F11).
//
// It owns the requests: that a person has at most one open per data centre, how
// often they may ask, who decided and why, and that each step is on record
// before it is done. It refuses to write the mapping table: whoever grants a
// request has made the row first. It tells a Notifier and does not know how
// messages are sent.
//
//	            Ask                    Grant
//	(none) ───────────► open ─────────────────► granted ──► gone after Keep
//	                      ▲  │ Refuse
//	      Ask, AskAgain   │  ▼
//	      later           └─ refused ─────────────────────► gone after Keep
//
// # Keys
//
//	access/request/CENTRE/CORP/USERID             a person's newest request
//	access/open/MICROSECONDS/CENTRE/CORP/USERID   it is open; the oldest first
//
// Both are written in one Commit. Parts are escaped as in addresses.
package access
