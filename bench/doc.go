// Package bench measures what a click costs: the real gateway in a process of
// its own on one processor, real Redis or the embedded store, both vendors
// simulated, and beside it the floor — the least Go that does the same round
// trips — in the same interleaved run. Only the ratio of the two means anything
// on a shared machine; `make bench` prints it.
//
// A run of the directory over 100,000 people stands beside a floor of its own.
//
// It owns the load, the floor and the table. It refuses to hold anything that
// production runs, and to print a figure that it has not measured.
//
// The test binary plays three parts, chosen by an environment variable: the
// load with the simulators (none), the gateway, and the floor.
package bench
