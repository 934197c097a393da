package audit

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// failure is one more of a kind of which ten at once have a record each.
func failure(kind string) Event {
	return Event{
		Action: ActionSignIn, Outcome: Refused, Reason: kind, UserAgent: fmt.Sprintf("%01000d", 0), Detail: map[string]string{"corp": "dingcorp1"},
		Flood: Flood{Key: kind, AtOnce: 10, Pause: time.Second},
	}
}

// told adds up what records account for.
func told(records ...Event) (n int) {
	for _, e := range records {
		left, _ := strconv.Atoi(e.Detail[LeftOut])
		n += 1 + left
	}
	return n
}

// T118: a flood is few records, other events keep theirs, and every one that was
// left out is told: by the next of its kind, or by the rest when none comes.
func TestDamper(t *testing.T) {
	now := time.Unix(0, 0)
	d := NewDamper(func() time.Time { return now })
	var written []Event
	pass := func(e Event) bool {
		e, write := d.Pass(e)
		if write {
			written = append(written, e)
		}
		return write
	}
	for range 1000 {
		pass(failure("a"))
	}
	if len(written) != 10 {
		t.Errorf("%d records of a flood", len(written))
	}
	if !pass(failure("b")) || !pass(Event{Action: ActionSignIn, Outcome: OK}) {
		t.Error("somebody else's record was left out")
	}
	now = now.Add(time.Second)
	if !pass(failure("a")) || written[len(written)-1].Detail[LeftOut] != "990" || told(written...) != 1003 {
		t.Errorf("the next record tells %q of 990, all tell %d", written[len(written)-1].Detail[LeftOut], told(written...))
	}
	for range 5 {
		pass(failure("a"))
	}
	rest := d.Rest()
	if len(rest) != 1 || told(rest...) != 5 || rest[0].Reason != "a" || rest[0].Detail["corp"] != "dingcorp1" || len(rest[0].UserAgent) != maxKept {
		t.Errorf("the rest is %+v", rest)
	}
	d.GiveBack(rest[0]) // it could not be written
	if again := d.Rest(); told(again...) != 5 || len(d.Rest()) != 0 {
		t.Errorf("given back, the rest tells %d of 5", told(again...))
	}
	if e := failure("a"); e.Detail[LeftOut] != "" {
		t.Error("a caller's own map was written to")
	}
}

// T118: floods of many kinds are bounded in memory, and none is forgotten.
func TestDamperOfManyKinds(t *testing.T) {
	now := time.Unix(0, 0)
	d := NewDamper(func() time.Time { return now })
	sum := 0
	const kinds, each = 2 * maxFloods, 12
	for i := range kinds * each {
		if e, write := d.Pass(failure(strconv.Itoa(i % kinds))); write {
			sum += told(e)
		}
	}
	if len(d.table) > maxFloods+1 {
		t.Errorf("%d kinds in memory", len(d.table))
	}
	if sum += told(d.Rest()...); sum != kinds*each {
		t.Errorf("%d of %d are accounted for", sum, kinds*each)
	}
	now = now.Add(time.Hour)
	if d.Rest(); len(d.table) != 0 {
		t.Errorf("%d kinds are kept that are over", len(d.table))
	}
}

// T118: the log itself tells what a flood left out within a minute of it, and
// when it is closed; the chain stays whole.
func TestLogTellsTheRestOfAFlood(t *testing.T) {
	c := setup(t)
	written := 0
	c.Written = func(n int) { written += n }
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		flood := func(want int) {
			t.Helper()
			for range 100 {
				if err := l.Append(t.Context(), failure("a")); err != nil {
					t.Fatal(err)
				}
			}
			found, err := l.Search(t.Context(), Query{Action: ActionSignIn})
			if err != nil || len(found) != want {
				t.Fatalf("%d records, not %d: %v", len(found), want, err)
			}
		}
		flood(10)
		time.Sleep(61 * time.Second) // of the bubble's clock
		synctest.Wait()
		flood(10 + 1 + 10)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
	l := open(t, c)
	records, err := l.Search(t.Context(), Query{Action: ActionSignIn})
	sum := 0
	for _, r := range records {
		sum += told(Event{Detail: r.Detail})
	}
	if err != nil || len(records) != 22 || sum != 200 || written != 22 {
		t.Errorf("%d records tell of %d failures, %d were reported written: %v", len(records), sum, written, err)
	}
	if report, err := Verify(t.Context(), VerifyConfig{Dir: c.Dir, Key: c.Key, Anchor: c.AnchorFile}); err != nil || len(report.Faults) > 0 {
		t.Errorf("%v %v", report.Faults, err)
	}
}

// T118: what could not be written is told once the disk is back.
func TestFloodOverAClosedLog(t *testing.T) {
	l := open(t, setup(t))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := l.Append(t.Context(), failure("a")); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
	}
	if rest := l.damper.Rest(); told(rest...) != 10 {
		t.Errorf("%d of 10 are accounted for", told(rest...))
	}
}
