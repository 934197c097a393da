// Package store is the one seam for state: a small transactional key-value
// interface with two drivers (sqlitestore, redisstore) that pass the same
// conformance suite (storetest), and the sealing that both are used through.
//
// It owns keys, versions, lifetimes and seals. It refuses to know what a value
// means: a domain keeps its own indexes as keys written in the same Commit.
// "Not there" (ErrNotFound) and "could not ask" (ErrUnavailable) are different
// errors everywhere.
//
// # Keys
//
// A key is a path of segments joined by slashes, the first of which names the
// domain that owns everything below it: mapping/id/dingcorp1/manager01,
// session/6f1c…, job/item/approval/42. A domain writes only under its own
// segment, escapes what it did not choose itself (url.PathEscape, a hash), and
// ends a Scan or Watch prefix with a slash, so that a/1 does not also name
// a/10. Keys are at most MaxKey bytes of UTF-8 without control characters and
// sort by bytes. Secrets do not belong in keys: engines print them.
//
// # Seals
//
// Seal wraps a Driver. Every value then travels in an envelope that carries its
// own key, version and end of life under an HMAC-SHA256 whose key the engine
// never sees:
//
//	1 format · 4 key id · 8 version · 8 end (µs) · 2 key length · key · value · 32 MAC
//
// What a seal proves is that this value was written by us, under this key, as
// this version. What one process has seen it remembers, so an engine cannot
// hand it an older version later. What no seal can prove is that something has
// not been removed: a deletion behind our back reads as ErrNotFound, therefore
// a domain lets absence mean "less", never "more". After an engine lost writes
// (a Redis failover) the keys concerned answer ErrTampered to the processes
// that saw the lost version, until they are written or deleted again.
package store
