// Package sqlitestore is the embedded driver of store: one machine, one process,
// one SQLite file (modernc.org/sqlite, no cgo), durable over kill -9 and power
// loss, also on Windows.
//
// It owns the file, its lock and its one writer. Commits that arrive together
// share one transaction and one fsync, yet each is judged by itself and in
// order; all of a group become durable or none. Readers have a pool of their
// own and never wait for the writer (WAL).
//
// It refuses a second owner of the file, a file that is not ours and a schema
// newer than it knows. It knows nothing of seals.
package sqlitestore
