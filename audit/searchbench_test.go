package audit

import (
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

var records = flag.Int("records", 20_000, "how many records BenchmarkSearch fills its log with")

// BenchmarkSearch measures the slowest of each kind of question over a big log:
// the newest 50, and pages far back (F41: 500 ms over nine million records).
// The figures of docs/performance.md come from -records 1000000.
func BenchmarkSearch(b *testing.B) {
	l := filled(b, *records)
	middle := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(*records/2) * time.Second)
	for _, c := range []struct {
		name string
		q    Query
	}{
		{"newest", Query{}},
		{"person", Query{Person: "dingcorp1/u77"}},
		{"person and rare action", Query{Person: "dingcorp1/u77", Action: ActionMappingChange}},
		{"busy person and rare action", Query{Person: System, Action: ActionTrim}},
		{"action", Query{Action: ActionMint}},
		{"action and outcome", Query{Action: ActionSignIn, Outcome: Failed}},
		{"outcome", Query{Outcome: Refused}},
		{"reason", Query{Reason: "KD-203"}},
		{"reason and rare action", Query{Reason: "KD-203", Action: ActionMappingChange}},
		{"request", Query{RequestID: fmt.Sprintf("r%d", *records/2)}},
		{"time", Query{To: middle}},
		{"everything at once", Query{Person: "dingcorp1/u77", Action: ActionSignIn, Outcome: Failed, Reason: "KD-203", To: middle}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if _, err := l.Search(b.Context(), c.q); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			b.ReportMetric(float64(slices.Max(took).Microseconds())/1000, "ms/worst")
		})
	}
}

// filled is a log of n records a second apart: 5,000 people, a tenth of it by the
// program itself, a twentieth of sign-ins failing.
func filled(b *testing.B, n int) *Log {
	b.Helper()
	c := setup(b)
	var mu sync.Mutex
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		at = at.Add(time.Second)
		return at
	}
	l := open(b, c)
	var group sync.WaitGroup
	const writers = 64
	for w := range writers {
		group.Go(func() {
			for i := w; i < n; i += writers {
				if err := l.Append(b.Context(), benchEvent(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return l
}

func benchEvent(i int) Event {
	e := Event{
		Action: ActionSignIn, Outcome: OK, Actor: fmt.Sprintf("dingcorp1/u%d", i%5000), Source: "10.0.0.1", RequestID: fmt.Sprintf("r%d", i),
		UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) DingTalk/7.6.0",
	}
	switch {
	case i%10 == 1:
		e.Action, e.Actor = ActionSync, System
	case i%3 == 1:
		e.Action, e.Target, e.DataCentre = ActionMint, fmt.Sprintf("user%d", i%5000), "live"
	case i%20 == 2:
		e.Outcome, e.Reason = Failed, "KD-203"
	case i%997 == 3:
		e.Action, e.Target = ActionMappingChange, fmt.Sprintf("dingcorp1/u%d", i%5000)
	case i%40 == 6:
		e.Outcome, e.Reason = Refused, "KD-101"
	}
	return e
}
