package bench

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"
	"text/tabwriter"
	"time"
)

// result is what one line gave in one round.
type result struct {
	rate     float64 // clicks a second
	p50, p99 time.Duration
	cpu      float64 // seconds of the part's processor for 10,000 clicks
	busy     float64 // share of its one processor that the part used
}

// results are the rounds of every line, by name.
type results map[string][]result

// median takes each figure's own.
func (all results) median(name string) result {
	rounds := all[name]
	if len(rounds) == 0 {
		return result{}
	}
	return result{
		rate: middle(rounds, func(r result) float64 { return r.rate }),
		p50:  middle(rounds, func(r result) time.Duration { return r.p50 }),
		p99:  middle(rounds, func(r result) time.Duration { return r.p99 }),
		cpu:  middle(rounds, func(r result) float64 { return r.cpu }),
		busy: middle(rounds, func(r result) float64 { return r.busy }),
	}
}

func middle[T cmp.Ordered](rounds []result, of func(result) T) T {
	values := make([]T, len(rounds))
	for i, r := range rounds {
		values[i] = of(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// print writes one line for each measured line. Two ratios: against the floor's
// one request, which is the price of everything a person needs around it, and
// against the floor in as many requests, which compares like with like.
func (all results) print(w io.Writer) {
	fmt.Fprintf(w, "\nMedians of %d interleaved rounds. A whole first click of the gateway is four HTTP requests, the floor's is one;\n"+
		"\"same\" compares with the floor doing as many requests. Ratios of clicks/s, and of CPU per click (how many times the floor's).\n\n", rounds)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "part\tclick\trequests\tat once\tvendors ms\tclicks/s\tp50 ms\tp99 ms\tCPU-s/10k\tbusy\t÷ floor\t÷ same\tCPU × same\t")
	for _, l := range lines() {
		m, one, same := all.median(l.name()), all.median(l.floor(1)), all.median(l.floor(l.kind.requests))
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%.0f\t%.1f\t%.1f\t%.1f\t%.0f%%\t%s\t%s\t%s\t\n",
			l.part, l.kind.name, l.kind.requests, l.c, l.delay.Milliseconds(),
			m.rate, ms(m.p50), ms(m.p99), m.cpu, m.busy*100,
			ratio(m.rate, one.rate), ratio(m.rate, same.rate), ratio(m.cpu, same.cpu))
	}
	_ = table.Flush() // standard output
}

// floor is the name of the floor's line under the same load.
func (l line) floor(requests int) string {
	k := map[int]kind{1: floor1, 2: floor2, 4: floor4}[requests]
	return line{"floor", k, l.c, l.delay}.name()
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func ratio(a, b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}

func (r *rig) printMemory(w io.Writer, tb testing.TB, idle map[string]float64) {
	tb.Helper()
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\npart\tRSS at start MiB\tafter the load\tpeak\t")
	for _, name := range slices.Sorted(maps.Keys(r.parts)) {
		part := r.parts[name]
		fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%.0f\t\n", name, idle[name], part.memory(tb, "VmRSS"), part.memory(tb, "VmHWM"))
	}
	_ = table.Flush()
}
