package chaos

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

var soak = flag.Bool("soak", false, "the long forms of make soak")

// Hosts of 127/8 that the two sides come from: limits are by address.
const (
	honestHost  = 1
	attackHost  = 2
	attackHost2 = 3
)

// abuse is a form of misuse and what the gateway must be like meanwhile.
type abuse struct {
	name string
	do   func(ctx context.Context, r *ring) // until ctx ends, or sooner; everything it holds is let go
	over time.Duration                      // how long processors may be busy afterwards
	p99  time.Duration                      // of honest people; zero: as it comes
}

// ring is a gateway under attack, with honest people at its door.
type ring struct {
	*program
	t      *testing.T
	size   force
	people *crowd

	mu    sync.Mutex
	notes map[string]int // what the attackers met, by word
	held  []time.Duration
}

// force is how strong the attackers are, and for how long.
type force struct {
	people int
	during time.Duration
	heads  int // connections with slow headers
	bodies int // and with slow bodies
	frames int // empty frames
	crowd  int // connections against few descriptors
	rate   int // requests a second of the one client
	rounds int
	round  time.Duration
	honest time.Duration // between honest people
	ratio  float64       // how much slower others may become
	calm   time.Duration // before and after, for the measure of calm
}

// bout is what one attack did.
type bout struct {
	name                string
	lasted, p50, p99    time.Duration
	good, bad           int
	memory, files, goes int // at most; goroutines after
	before              int // goroutines
	idle                time.Duration
	notes               string
}

const (
	mostMemory = 256 // MiB, R58 and R60
	idleShare  = 5   // percent of one processor that counts as idle, above what it was
)

// TestAbuse is R58 to R63 against the program as it ships. Its full form is
// `make soak`.
func TestAbuse(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute of both processors")
	}
	size := force{
		people: 50, during: time.Second, heads: 300, bodies: 100, frames: 100_000, crowd: 400, rate: 300,
		rounds: 3, round: 800 * time.Millisecond, honest: 100 * time.Millisecond, ratio: 4, calm: time.Second,
	}
	if *soak {
		size = force{
			people: 500, during: time.Minute, heads: 2000, bodies: 500, frames: 1_000_000, crowd: 1000, rate: 1000,
			rounds: 7, round: 10 * time.Second, honest: 50 * time.Millisecond, ratio: 1.2, calm: 3 * time.Second,
		}
	}
	v := startVendors(t, size.people)
	var bouts []bout
	r := newRing(t, v, size, 0)
	for _, a := range []abuse{
		{"slow heads and bodies (R58)", slow, 5 * time.Second, time.Second},
		{"heads, addresses and bodies too large (R59)", large, 5 * time.Second, 0},
		{"streams opened and reset (R60)", rapidReset, 5 * time.Second, 0},
		{"headers without end (R60)", continuation, 5 * time.Second, 0},
		{"empty frames (R60)", emptyFrames, 5 * time.Second, 0},
		{"settings and pings (R60)", controlFrames, 5 * time.Second, 0},
	} {
		bouts = append(bouts, r.bout(a))
	}
	r.oneClient()
	few := newRing(t, v, size, 256)
	bouts = append(bouts, few.bout(abuse{"256 descriptors (R61)", fewFiles, 5 * time.Second, 0}))
	few.sparingLog()
	table(t, bouts)
}

func newRing(t *testing.T, v *vendors, size force, files int) *ring {
	t.Helper()
	r := &ring{program: startProgram(t, v, size.people, files), t: t, size: size, notes: map[string]int{}}
	r.people = &crowd{tb: t, vendors: v, gate: r.door(honestHost), people: size.people, ended: make(chan struct{})}
	finish := r.people.run(2) // everything that is made once is made before anything is measured
	r.people.await(20)
	finish()
	return r
}

// note counts what an attacker met.
func (r *ring) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes[what]++
}

// keep remembers how long a connection was left open.
func (r *ring) keep(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = append(r.held, d)
}

// bout plays one attack and holds the gateway to its bounds.
func (r *ring) bout(a abuse) bout {
	r.t.Helper()
	r.settled()
	if *soak {
		fmt.Printf("%s  %s\n", time.Now().Format("15:04:05"), a.name)
	}
	r.notes, r.held = map[string]int{}, nil
	b := bout{name: a.name, before: r.metric("go_goroutines")}
	ctx, cancel := context.WithCancel(r.t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(ctx, &b)
	}()
	began := time.Now()
	finish := r.people.pace(r.size.honest)
	attack, end := context.WithTimeout(ctx, r.size.during)
	a.do(attack, r)
	end()
	w := window{began, time.Now()}
	b.lasted = w.until.Sub(began)
	b.idle = r.cooled(a.over)
	finish()
	cancel()
	<-watched
	sum := r.people.during(w)
	b.good, b.bad, b.p50, b.p99 = sum.good, sum.inside+sum.outside+sum.misled(), at(sum.times, 0.5), at(sum.times, 0.99)
	b.goes = r.settled()
	b.notes = r.words()
	r.judge(a, b, sum)
	return b
}

func (r *ring) judge(a abuse, b bout, sum tally) {
	r.t.Helper()
	if sum.misled() > 0 || b.good == 0 || float64(b.bad) > 0.01*float64(b.good+b.bad) {
		r.t.Errorf("%s: %s\n%s", a.name, sum, strings.Join(sum.words, "\n"))
	}
	if a.p99 > 0 && b.p99 > a.p99 {
		r.t.Errorf("%s: 99 of 100 within %v", a.name, b.p99)
	}
	if b.memory > mostMemory {
		r.t.Errorf("%s: %d MiB", a.name, b.memory)
	}
	if b.idle > a.over {
		r.t.Errorf("%s: still busy after %v", a.name, b.idle)
	}
	if b.goes > b.before+b.before/10+3 {
		r.t.Errorf("%s: %d goroutines, %d before", a.name, b.goes, b.before)
	}
}

// words is what the attackers met.
func (r *ring) words() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var said []string
	for _, what := range slices.Sorted(maps.Keys(r.notes)) {
		said = append(said, fmt.Sprintf("%s×%d", what, r.notes[what]))
	}
	if n := len(r.held); n > 0 {
		slices.Sort(r.held)
		said = append(said, fmt.Sprintf("held at most %v", r.held[n-1].Round(100*time.Millisecond)))
	}
	return strings.Join(said, ", ")
}

// watch notes the most that the gateway uses.
func (r *ring) watch(ctx context.Context, b *bout) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		b.memory, b.files = max(b.memory, r.resident()), max(b.files, r.files())
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// cooled is how long the processors go on after an attack, before what is left
// is what honest people cost.
func (r *ring) cooled(most time.Duration) time.Duration {
	began := time.Now()
	for time.Since(began) < 2*most {
		before := r.worked()
		later(500 * time.Millisecond)
		if r.worked()-before < 500*time.Millisecond*2*(idleShare+30)/100 {
			break
		}
	}
	return time.Since(began)
}

// settled waits until nothing is under way and gives the goroutines (R63).
func (r *ring) settled() int {
	last, same := -1, 0
	for range 100 {
		now := r.metric("go_goroutines")
		if now == last {
			same++
		} else {
			last, same = now, 0
		}
		if same >= 4 && r.metric("kdgate_connections") == 0 {
			break
		}
		r.hush()
		later(150 * time.Millisecond)
	}
	return last
}

// hush closes the connections that honest people and vendors keep for later:
// each is a goroutine or two.
func (r *ring) hush() {
	r.vendors.hush()
	if s, ok := r.people.gate.(secured); ok {
		s.transport.CloseIdleConnections()
	}
}

func table(t *testing.T, bouts []bout) {
	t.Helper()
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "lasted s\tlanded\trefused\tp50 ms\tp99 ms\tMiB\tfiles\tgoroutines\tbusy after s\tattack  \t")
	for _, b := range bouts {
		fmt.Fprintf(w, "%.1f\t%d\t%d\t%d\t%d\t%d\t%d\t%d → %d\t%.1f\t%s  \t\n", b.lasted.Seconds(), b.good, b.bad,
			b.p50.Milliseconds(), b.p99.Milliseconds(), b.memory, b.files, b.before, b.goes, b.idle.Seconds(), b.name)
	}
	must(t, w.Flush())
	t.Logf("%d processors\n%s", runtime.NumCPU(), text.String())
	for _, b := range bouts {
		t.Logf("%s: %s", b.name, b.notes)
	}
}

func sorted(times []time.Duration) []time.Duration {
	times = slices.Clone(times)
	slices.Sort(times)
	return times
}
