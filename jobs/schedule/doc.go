// Package schedule runs named tasks by the clock, on one replica at a time, and
// keeps the history that people read.
//
// It owns when a task is due, that it never runs twice at once (R48), its runs
// with their progress, and the wishes of people: run now, stop, pause. It refuses
// to know what a task does. The replica that holds the lease runs all tasks; the
// others, and commands without a gateway, read and wish through the store.
//
// # A run
//
//	          due, wished, or begun again             returns nil
//	(none) ───────────────────────────────► running ───────────────► complete
//	                                          │ │ │   ErrPartial
//	                                          │ │ └─────────────────► partial
//	                                          │ │     another error, a panic, its replica died
//	                                          │ └───────────────────► failed
//	                                          │       a person, or the replica stops
//	                                          └─────────────────────► stopped
//
// A run that its replica could not finish is begun again by the next holder of
// the lease, at most three times in a row. Every write of a run carries the
// guard of the lease, so a replica that lost it writes nothing more; a task whose
// own writes must not come late puts Progress.Guard into its Commits.
//
// # What is missed
//
// A task remembers up to when its times are accounted for. After a downtime, or
// when a run took longer than its period, what was missed is run once. What
// passes while a task is paused is not made up for. When the wall clock went back
// the account goes back with it, so that no task waits for an hour that was.
//
// # Keys
//
//	schedule/task/NAME                  up to when it is accounted for
//	schedule/pause/NAME                 it is paused, by whom
//	schedule/wish/NAME/run, …/stop      what a person asked for
//	schedule/run/NAME/INVERTED-TIME     a run, newest first, at most KeepRuns
package schedule
