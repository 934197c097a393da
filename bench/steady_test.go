package bench

import (
	"cmp"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/store/storetest"
)

var (
	steadyFor  = flag.Duration("steady", 0, "how long R1's load is held; an hour is what R3 speaks of, zero leaves it out")
	steadyRate = flag.Int("rate", 200, "first clicks a second while it is held")
)

// The bounds of R1 and R3.
const (
	mostIdle    = 40.0  // MiB, of a gateway that nobody asks
	mostAtLoad  = 200.0 // MiB
	mostGrowth  = 1.05  // of the last part over the second
	leastServed = 0.9998
	wholeSteady = 30 * time.Minute // a shorter run fills caches still, so its growth is told and not judged
)

// TestSteady proves R3 and R1's success on the production binary: so many people
// a second click for the first time, each from the icon to Kingdee's address,
// whether or not those before them are through, with Redis and with vendors that
// take 50 ms. Memory is that of the process, looked at every second.
func TestSteady(t *testing.T) {
	if *steadyFor == 0 {
		t.Skip("long: -args -steady 1h")
	}
	r := &rig{vendors: startVendors(t), redis: storetest.StartRedis(t).Addr, parts: map[string]*process{}}
	binary := build(t)
	config := writeConfig(t, r.vendors, settings{redis: r.redis, verify: "2h", sessions: 5, raised: true})
	gateway, stop := startServe(t, onFirstCore(binary, "serve", "--config", config), config)
	defer stop()
	r.parts["gateway"] = gateway
	toOtherCores(t)
	later(t.Context(), 2*time.Second)
	idle := gateway.memory(t, "VmRSS")
	if idle > mostIdle {
		t.Errorf("%.1f MiB at rest, at most %.0f", idle, mostIdle)
	}
	r.warm(t, "gateway")
	r.vendors.delay.Store(int64(50 * time.Millisecond))
	got := r.steady(t, "gateway")
	early, late := got.part(1), got.part(5)
	t.Logf("%d clicks in %s (%.1f/s): %d refused, %d late, p50 %s, p99 %s; memory %.1f MiB at rest, %.1f most, %.1f then %.1f (%+.1f %%)",
		got.clicks, *steadyFor, float64(got.clicks)/steadyFor.Seconds(), got.refused, got.late, at(got.times, 0.5).Round(time.Millisecond), at(got.times, 0.99).Round(time.Millisecond),
		idle, slices.Max(got.memory), early, late, 100*(late/early-1))
	if served := float64(len(got.times)) / float64(got.clicks); served < leastServed {
		t.Errorf("%.4f %% landed, at least %.2f %%; the first that did not: %v", 100*served, 100*leastServed, got.first)
	}
	if most := slices.Max(got.memory); most > mostAtLoad {
		t.Errorf("%.1f MiB at load, at most %.0f", most, mostAtLoad)
	}
	if *steadyFor >= wholeSteady && late > mostGrowth*early {
		t.Errorf("memory grew from %.1f to %.1f MiB", early, late)
	}
}

// held is what a steady load came to.
type held struct {
	clicks, refused, late int
	times                 []time.Duration // of those that landed, from when they were due; sorted
	memory                []float64       // MiB, second by second
	first                 error
}

// part is the middle of the memory in the n-th sixth of the time.
func (h held) part(n int) float64 {
	size := len(h.memory) / 6
	part := slices.Sorted(slices.Values(h.memory[n*size : (n+1)*size]))
	return part[len(part)/2]
}

// browsers is how many can be on their way at once: at 200 a second more than a
// second of waiting.
const browsers = 320

// steady has a click begin whenever one is due. One for which no browser is free
// is late, begins as soon as one is, and its time counts from when it was due.
func (r *rig) steady(t *testing.T, part string) held {
	t.Helper()
	var (
		got     held
		mu      sync.Mutex
		group   sync.WaitGroup
		pending atomic.Int64
	)
	due := make(chan time.Time, int(steadyFor.Seconds()+1)**steadyRate)
	for i, v := range r.visitors(t, part, browsers) {
		group.Go(func() {
			for when := range due {
				pending.Add(-1)
				code, err := r.vendors.ding.AuthCode(userid(int(when.UnixMicro()/7)+i), corpID, appKey)
				if err == nil {
					err = v.whole(code)
				}
				took := time.Since(when)
				mu.Lock()
				if err == nil {
					got.times = append(got.times, took)
				} else {
					got.refused++
					got.first = cmp.Or(got.first, fmt.Errorf("after %s: %w", took, err))
				}
				mu.Unlock()
			}
		})
	}
	every := time.Second / time.Duration(*steadyRate)
	beat := time.NewTicker(every)
	defer beat.Stop()
	began := time.Now()
	for next := began; next.Sub(began) < *steadyFor; {
		for now := time.Now(); !next.After(now); next = next.Add(every) {
			if pending.Add(1) > browsers {
				got.late++
			}
			due <- next
			if got.clicks++; got.clicks%*steadyRate == 0 {
				got.memory = append(got.memory, r.parts[part].memory(t, "VmRSS"))
			}
		}
		<-beat.C
	}
	close(due)
	group.Wait()
	slices.Sort(got.times)
	return got
}

// TestSteadyParts: the parts of the time that growth is told from.
func TestSteadyParts(t *testing.T) {
	var h held
	for i := range 60 {
		h.memory = append(h.memory, float64(i/10))
	}
	h.memory[15] = 1000 // one look is not the middle of ten
	for n := range 6 {
		if got := h.part(n); got != float64(n) {
			t.Errorf("part %d: %v", n, got)
		}
	}
}
