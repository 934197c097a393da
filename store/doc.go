// Package store is the one seam for state: a small transactional key-value
// interface with two drivers (sqlitestore, redisstore) that pass the same
// conformance suite (storetest), and the sealing that both are used through.
//
// It owns keys, versions, lifetimes and seals. It refuses to know what a value
// means: a domain keeps its own indexes as keys written in the same Commit.
// "Not there" (ErrNotFound) and "could not ask" (ErrUnavailable) are different
// errors everywhere.
package store
