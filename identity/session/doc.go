// Package session keeps browser sessions: who sits behind a cookie, since when,
// and until when. It is the only importer of gorilla/sessions.
//
// The cookie holds 256 random bits and nothing else. Everything about the
// session is a record in the store, under the SHA-256 of those bits, so that
// neither a reader of the store nor a reader of a backup can become somebody.
//
//	session/HASH                       the record
//	session-of/CORP/USERID/HANDLE      HASH, written in the same commit, so that a person's sessions can be listed and ended
//	session-bar/CORP/USERID            when all of them were ended last, for a quarter of an hour: no older proof begins one
//
//	          Start                     End, EndOne, EndAll, a later Start in the same browser
//	(none) ──────────► live ─────────────────────────────────────────────► ended
//	                     │ idle end, absolute end                            ▲
//	                     └────────────────────────────────────────────────────┘
//
// An ended record stays until its absolute end, so that the token it was
// started with cannot start it again. There is no way back from ended.
//
// It refuses to guess: two cookies of our name, a value that is not exactly in
// our form, or a store that cannot be asked never give a person, and the last
// is an error of its own, not a new session.
package session
