// Package dingtalk is the client of DingTalk: one Client for one internal
// application of one organisation.
//
// It owns the application token, the two sign-in exchanges, the address book
// reads they need, the JSAPI ticket, the cryptography of event callbacks, the
// signature of group robots, and above all the reading of answers: two
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
// It refuses to guess. A code is sent once and never again; an identity that
// is missing, of the wrong type or named twice is an error; an answer that
// could not be read is "could not ask", never "not there". It knows nothing of
// Kingdee, of the mapping, of sessions or of web pages, and it never logs a
// token, a code, a secret or a text that the vendor wrote.
package dingtalk
