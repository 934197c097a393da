// Package redisstore is the driver of store for more than one replica: Redis,
// single, under Sentinel, or as a Cluster. It is the only importer of go-redis.
//
// It owns the layout in Redis, the script of a Commit, and the words for what
// can go wrong between us and Redis. It knows nothing of seals.
//
// # Layout
//
// Everything of one tenant carries the hash tag {kdgate:TENANT} and so lives in
// one slot, where one script may touch all of it:
//
//	{kdgate:T}k:KEY   version (20 digits) · end in µs (20 digits) · value
//	{kdgate:T}i       sorted set of all keys at score 0: byte order, for Scan
//	{kdgate:T}e       sorted set of keys that end, scored by when Redis collects them
//	{kdgate:T}h       highest version ever deleted (20 digits)
//	{kdgate:T}r:ID    a Commit that was applied, remembered for a minute
//	{kdgate:T}c       channel of changes
//
// A user of its own needs: ~{kdgate:T}* &{kdgate:T}* +get +mget +set +del +exists
// +getrange +zadd +zrem +zrangebylex +zrangebyscore +time +publish +subscribe
// +unsubscribe +eval +evalsha +ping +hello +auth +select +client, in a cluster
// also +cluster|slots +asking, with WaitReplicas also +wait.
//
// # Replies that are lost or belong to somebody else
//
// go-redis repeats a command whose connection broke, and a Commit may have been
// applied before it broke. The script therefore carries a request id and answers
// a repeated one as it answered the first; so a repeat is safe, and a connection
// that dies costs no sign-in. Every script answers with the id it was asked
// with, and a plain GET that finds nothing is asked again that way: a
// connection that has lost step cannot make a record vanish. Records that are
// found prove themselves by their seal.
//
// # A Redis that does not answer
//
// An operation has 1.8 s with all its repeats. A question that is not answered
// in half of that drops every connection, since a network that forgot one forgot
// all; after five operations without an answer the next ones are refused at
// once, while one every half second tries (breaker.go). The pool is bounded.
//
// In a cluster a Commit, which names several keys, is refused from the moment
// its slot begins to move until it has moved (TRYAGAIN): some of its keys are
// here and some there.
//
// Life is judged by our clock in the script; Redis's own expiry only collects,
// store.Collectable after the end, by a relative time, so its clock does not
// matter.
package redisstore
