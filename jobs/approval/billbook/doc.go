// Package billbook finds what became of approvals: their bills, how far each came,
// and those that wait or failed.
//
// It owns the answer to a search (filter, order, page, counts by hour or day). It
// joins two sources: the records that jobs/approval writes in the Commit of each
// step, which last for over a year, and the work list, which knows what waits and
// why something failed. It refuses to write anything: acts on an approval are acts
// on its item of the work list.
//
// The records are held in memory in short form while somebody looks, so that a
// search over a year of bills takes milliseconds. Until then, and again some time
// after the last look, a replica holds nothing and reads nothing.
package billbook
