// Package turnstile bounds how many connections a listener has, in all and from
// one address, so that neither memory nor file descriptors are a stranger's to
// use up (R58, R61).
//
// It owns the count, and the choice of whom to send away: a connection that
// waits, never one that is being served. It refuses to look at what is said on
// a connection; how far a client has come it hears from the server's ConnState.
//
//	Accept → fresh ──first request read──► served ◄──next request──┐
//	           │                              │                    │
//	           │                              └──answered──► idle ─┘
//	           └──── full: the oldest ────┬─── full: the oldest ┘
//	                                      ▼
//	                                    closed
//
// An honest client sends its first request in a moment and takes the end of an
// idle connection for what it is; one that holds a connection open to hold it
// open is the oldest. Where everybody is being served, the newcomer is closed.
package turnstile
