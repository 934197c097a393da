// Package direct asks one plain-HTTP origin on the caller's own goroutine: the
// whole request in one write, the answer read where it is needed. net/http's
// Transport has two goroutines for each connection and hands every request to
// one and every answer back from the other, which costs a small request more
// than its own work.
//
// It owns connections, and the order of one request and one answer on each:
//
//	idle ── looked at: closed, or bytes that nobody asked for? ──► thrown away
//	  │
//	  └─► request written ─► interim answers ─► head ─► body to its end ─► idle
//	                 │            any failure, an abort, bytes left over ─► closed
//
// An answer never reaches somebody who did not ask for it: a connection is used
// again only when the answer before was read to its end by the rules of
// net/http's own reader, with nothing behind it.
//
// It refuses TLS (records that were read ahead cannot be looked at), bodies that
// are not in memory yet, switches of protocols, and to send a request twice that
// is not safe to repeat.
package direct
