// Package dingtalk is the client of DingTalk: one Client for one internal
// application of one organisation.
//
// It owns the application token, the two sign-in exchanges, the address book
// (departments, members, one person, leavers, the range we may see), approvals
// (reading, listing, commenting), events by
// Stream, by HTTP callback and from the failed-event list, the JSAPI ticket, work
// notifications and what became of them, group robots, the counts of DingTalk's quotas, and above all the
// reading of answers: two
// generations of API, each with its own way to say no, become one table
// (decision.go) from a reason to a kind of failure, a code for people and an
// action.
//
//	call ──► queue ──► pauses ──► breaker ──► peer ──► answer ──► decision
//	          │          │           │                              │
//	          │          │           │        done ◄── success ─────┤
//	          │          │           └──────── ban ─────────────────┤
//	          │          └─────────────── throttled, quota ─────────┤
//	          └──────────── again (reads only) ◄── busy, no answer ─┤
//	                        new token, once ◄───── token invalid ───┤
//	                        error ◄─────────────── everything else ─┘
//
// A read of many pages is complete or it is an error that names the place to
// resume from; it is never a shorter list. An event is acknowledged when its
// receiver says that it is durable, and is only ever a hint: what is true now is
// read again.
//
// A stream holds one web socket and replaces it:
//
//	open ──ticket──► dial ──► reading ──"disconnect"──► leaving ──closed──► over
//	 ▲  (90 s, once)             │                         │
//	 ├──── back-off ◄── lost, no pong                      │
//	 └──────────────────── at once, old one still reads ◄──┘
//
// It refuses to guess. A code is sent once and never again; an identity that
// is missing, of the wrong type or named twice is an error; an answer that
// could not be read is "could not ask", never "not there". It knows nothing of
// Kingdee, of the mapping, of sessions or of web pages, and it never logs a
// token, a code, a secret or a text that the vendor wrote.
package dingtalk
