// Package strictwire vets HTTP/1.x requests on the wire, before net/http reads
// them. net/http accepts shapes that two servers in a row may read differently
// (both framing headers, bare LF, folded lines, chunk extensions, equal
// Content-Lengths) and hides them from handlers; and what it does refuse, it
// answers itself, without the headers that every answer of ours carries
// (T54, T59, T130, R59).
//
// It owns the listener, the TLS handshake, the shape and size of heads, the
// framing of bodies, and the answer to what it refuses. It refuses to judge
// hosts, paths, methods or the sense of a request: that is the gateway's. It
// changes no byte. A connection that negotiated HTTP/2 is handed on as it is.
//
// One request on the wire:
//
//	method → target → version → fields → (fixed length | chunks → trailers)? → next
//	   └────────┴────────┴─────────┴───────────────┴─────── fault → answer, close
//
// Heads of more than 4 KiB take turns: with too many unfinished, the next is not
// read on until one is done or the server's deadline ends it (R58).
//
// Over TLS a new connection waits in the foyer until its first head is there, or
// 4 KiB of it and a turn, and is handed on with what was read: a client that
// dawdles holds none of the server's buffers. Its first request has eight seconds
// in all, from before the handshake.
//
// Bytes are judged in the caller's own buffer. A Read never goes beyond the end
// of a request: net/http reads one byte ahead while a handler runs, so the first
// byte of a bad request is handed on and the refusal waits for the next Read,
// which only happens when everything before it has been answered. That byte
// makes net/http answer nothing by itself: between requests it waits for four.
//
// When the server writes a status of 101 to a request that asked for an upgrade,
// the bytes of both directions pass untouched from there on. A handler that
// takes a connection over without a 101 goes on being vetted.
package strictwire
