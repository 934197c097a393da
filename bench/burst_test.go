package bench

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// burst is many people who click for the first time in the same instant, each
// on a new connection, all behind one address, with vendors at 50 ms (R2).
type burst struct {
	part   string
	people int
	note   string
}

var bursts = []burst{
	{"redis", 100, "limits raised, Kingdee's word known"},
	{"redis", 1000, "limits raised, Kingdee's word known"},
	{"sqlite", 100, "limits raised, Kingdee's word known"},
	{"sqlite", 1000, "limits raised, Kingdee's word known"},
	{"sqlite new", 100, "limits raised, Kingdee asked about each, 5 sessions"},
	{"defaults", 100, "every default: 20 calls/s to DingTalk, Kingdee asked about each, 2 sessions"},
	{"defaults", 300, "the same, and Kingdee's word known on the first 100"},
}

// BenchmarkBurst prints how long it takes until all are served, and who is refused.
func BenchmarkBurst(b *testing.B) {
	if testing.Short() {
		b.Skip("takes a minute")
	}
	r := newRig(b, "redis", "sqlite", "sqlite new", "defaults")
	toOtherCores(b)
	r.warm(b, "redis")
	r.warm(b, "sqlite")
	r.vendors.delay.Store(int64(50 * time.Millisecond))
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\nburst\tpeople\tserved\trefused\twaits\tlast served s\tp50 s\tCPU s\tconditions\t")
	for _, s := range bursts {
		var got served
		b.Run(fmt.Sprintf("%s/%d", strings.ReplaceAll(s.part, " ", "-"), s.people), func(b *testing.B) {
			for b.Loop() { // 1x: see the Makefile
				before := r.parts[s.part].cpu(b)
				got = r.burst(b, s)
				got.cpu = r.parts[s.part].cpu(b) - before
			}
			b.ReportMetric(got.last.Seconds(), "s/all")
			b.ReportMetric(float64(s.people-len(got.times)), "refused")
		})
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%d\t%.2f\t%.2f\t%.2f\t%s\t\n", s.part, s.people, len(got.times), got.why(),
			got.queued, got.last.Seconds(), at(got.times, 0.5).Seconds(), got.cpu.Seconds(), s.note)
	}
	_ = table.Flush() // standard output
}

// served is how a burst ended.
type served struct {
	times    []time.Duration // of the served, sorted
	refusals map[string]int  // by short code or cause
	queued   int             // times that anybody was told to wait and come again
	last     time.Duration
	cpu      time.Duration
}

func (s served) why() string {
	if len(s.refusals) == 0 {
		return "0"
	}
	var parts []string
	for code, n := range s.refusals {
		parts = append(parts, fmt.Sprintf("%d %s", n, code))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func (r *rig) burst(tb testing.TB, s burst) served {
	codes := r.codes(tb, s.people)
	got := served{refusals: map[string]int{}}
	var (
		mu    sync.Mutex
		group sync.WaitGroup
		start = make(chan struct{})
		began time.Time
	)
	for i := range s.people {
		group.Go(func() {
			<-start
			queued, err := clickOnce(r.parts[s.part].addr, codes[i])
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			got.queued += queued
			if err == nil {
				got.times, got.last = append(got.times, took), max(got.last, took)
				return
			}
			got.refusals[causeOf(err)]++
		})
	}
	began = time.Now()
	close(start)
	group.Wait()
	slices.Sort(got.times)
	return got
}

// clickOnce is a first click on a connection of its own; queued is how often it
// was told to wait.
func clickOnce(addr, code string) (queued int, err error) {
	v, err := dial(addr, 0)
	if err != nil {
		return 0, err
	}
	defer v.conn.Close()
	err = v.whole(code)
	return v.queued, err
}

func causeOf(err error) string {
	if r, ok := errors.AsType[*refused](err); ok {
		return strings.TrimSpace(fmt.Sprintf("%s (%s, %d)", r.code, r.step, r.status))
	}
	return err.Error()
}
