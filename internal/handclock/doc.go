// Package handclock gives tests a clock that only they move.
//
// It owns the two kinds that the house's tests need: one that stands until it
// is moved, and one that goes with the machine's and is moved beside that. It
// refuses to tick, and to serve production code. Who needs a ticker or a time
// limit to end uses testing/synctest.
package handclock
