package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// said are tallies in words, sorted.
func said(list []Tally) string {
	var words []string
	for _, t := range list {
		words = append(words, strings.TrimSpace(fmt.Sprintf("%s %s %s %s ×%d", t.Hour.Format("15"), t.Action, t.Outcome, t.Reason, t.N)))
	}
	slices.Sort(words)
	return strings.Join(words, "; ")
}

// TestTallies: counts by hour, outcome and reason are those of the records; what
// comes later is counted once, also when another replica wrote it long before (F15).
func TestTallies(t *testing.T) {
	c := setup(t)
	at := time.Date(2026, 3, 1, 8, 59, 0, 0, time.UTC)
	c.Now = func() time.Time { return at }
	l := open(t, c)
	put := func(action Action, outcome Outcome, reason string, n int) {
		t.Helper()
		for range n {
			if err := l.Append(t.Context(), Event{Action: action, Outcome: outcome, Reason: reason, Actor: "dingcorp1/x"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	actions := []Action{ActionSignIn, ActionMint}
	none, upTo, err := l.Tallies(t.Context(), actions, at)
	if err != nil || len(none) != 0 || upTo != 0 {
		t.Fatalf("an empty log: %v, %d, %v", none, upTo, err)
	}
	put(ActionSignIn, OK, "", 2)
	at = at.Add(time.Hour)
	put(ActionSignIn, OK, "", 3)
	put(ActionSignIn, Failed, "KD-111", 2)
	put(ActionMint, Refused, "KD-203", 1)
	put(ActionMint, Failed, "", 1)
	put(ActionSync, Failed, "KD-111", 4)
	list, upTo, err := l.Tallies(t.Context(), actions, at.Truncate(time.Hour))
	const ten = "09 mint failed  ×1; 09 mint refused KD-203 ×1; 09 signin failed KD-111 ×2; 09 signin ok  ×3"
	if err != nil || said(list) != ten || upTo != 13 {
		t.Errorf("%s, %d, %v", said(list), upTo, err)
	}
	all, _, err := l.TalliesAfter(t.Context(), actions, 0)
	if err != nil || said(all) != "08 signin ok  ×2; "+ten {
		t.Errorf("%s, %v", said(all), err)
	}
	nothing, same, err := l.TalliesAfter(t.Context(), actions, upTo)
	if err != nil || len(nothing) != 0 || same != upTo {
		t.Errorf("%v, %d, %v", nothing, same, err)
	}
	put(ActionMint, OK, "", 1)
	more, next, err := l.TalliesAfter(t.Context(), actions, upTo)
	if err != nil || said(more) != "09 mint ok  ×1" || next != upTo+1 {
		t.Errorf("%s, %d, %v", said(more), next, err)
	}
}

// TestTalliesOfAllReplicas: what another replica wrote is counted at its own
// hour, once it is in this file, however late that is (F15, F31).
func TestTalliesOfAllReplicas(t *testing.T) {
	writer, _ := another(t, "node1")
	reader, _ := another(t, "node2")
	put := func(l *Log, n int) {
		t.Helper()
		for range n {
			if err := l.Append(t.Context(), Event{Action: ActionMint, Outcome: OK, Actor: "dingcorp1/x"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	sum := func(list []Tally) (n int) {
		for _, one := range list {
			n += one.N
		}
		return n
	}
	put(writer, 7)
	put(reader, 2)
	first, upTo, err := reader.Tallies(t.Context(), []Action{ActionMint}, time.Time{})
	if err != nil || sum(first) != 2 {
		t.Fatalf("%v, %v", first, err)
	}
	carry(t, writer, reader)
	later, _, err := reader.TalliesAfter(t.Context(), []Action{ActionMint}, upTo)
	if err != nil || sum(later) != 7 {
		t.Errorf("%v, %v", later, err)
	}
	whole, _, err := reader.Tallies(t.Context(), []Action{ActionMint}, time.Time{})
	if err != nil || sum(whole) != 9 {
		t.Errorf("%v, %v", whole, err)
	}
}

// BenchmarkTallies measures the first count of a day over a big log, and one that
// goes on. The figures of docs/performance.md come from -records 1000000.
func BenchmarkTallies(b *testing.B) {
	l := filled(b, *records)
	actions := []Action{ActionSignIn, ActionMint}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := l.Tallies(b.Context(), actions, time.Time{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("on", func(b *testing.B) {
		newest := uint64(*records - 100)
		for b.Loop() {
			if _, _, err := l.TalliesAfter(b.Context(), actions, newest); err != nil {
				b.Fatal(err)
			}
		}
	})
}
