// Package moving takes the state of an installation from one place to another:
// out of a running store into an archive, out of an archive into a store, and
// from one store into another.
//
// It owns the order in which that is done, so that a death at any moment leaves
// either what was there or something that no gateway takes for its store:
//
//	restore:  holds ─► store/born gone ─► all else gone ─► entries ─► journal ─► store/born
//	migrate:  entries ─► compared, both sides, by digest ─► store/born there ─► moved, here
//
// A store without store/born is nobody's (store.Bound), so both can be run again
// until they are through, and nobody is let in meanwhile.
//
// It refuses to move what is of the moment: sessions, sign-ins under way,
// claims. The prefixes of those are named by the rooms that own them and handed
// in. It never moves a key: what is moved stays sealed.
package moving
