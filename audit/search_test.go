package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// populated is a log of 300 records a second apart, and what was appended.
func populated(t testing.TB) (*Log, []Event) {
	t.Helper()
	c := setup(t)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tick := 0
	c.Now = func() time.Time { return start.Add(time.Duration(tick) * time.Second) }
	l := open(t, c)
	var events []Event
	for i := range 300 {
		e := Event{
			Action: []Action{ActionSignIn, ActionMint, ActionMappingChange}[i%3], Outcome: []Outcome{OK, OK, OK, Refused, Failed}[i%5],
			Actor: fmt.Sprintf("dingcorp1/u%d", i%7), Target: fmt.Sprintf("dingcorp1/u%d", i%11), RequestID: fmt.Sprint(i),
		}
		if e.Outcome != OK {
			e.Reason = []string{"KD-101", "KD-203"}[i%2]
		}
		tick = i
		if err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return l, events
}

func TestSearchAgreesWithAPlainFilter(t *testing.T) { // F41
	l, events := populated(t)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, q := range map[string]Query{
		"all":                {},
		"person":             {Person: "dingcorp1/u3"},
		"person and action":  {Person: "dingcorp1/u3", Action: ActionMint},
		"person and outcome": {Person: "dingcorp1/u5", Outcome: Failed},
		"target only":        {Person: "dingcorp1/u10"},
		"action":             {Action: ActionMappingChange},
		"outcome":            {Outcome: Refused},
		"action and outcome": {Action: ActionSignIn, Outcome: Failed},
		"time":               {From: start.Add(30 * time.Second), To: start.Add(90 * time.Second)},
		"all at once":        {Person: "dingcorp1/u3", Action: ActionSignIn, Outcome: OK, From: start.Add(20 * time.Second), To: start.Add(250 * time.Second)},
		"nobody":             {Person: "dingcorp1/u"},
		"reason":             {Reason: "KD-203"},
		"reason and action":  {Reason: "KD-101", Action: ActionMint},
		"request":            {RequestID: "77"},
		"request of another": {RequestID: "77", Person: "dingcorp1/u1"},
		"person and reason":  {Person: "dingcorp1/u3", Reason: "KD-203"},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for i, e := range slices.Backward(events) {
				at := start.Add(time.Duration(i) * time.Second)
				if (q.Person == "" || e.Actor == q.Person || e.Target == q.Person) && (q.Action == "" || e.Action == q.Action) &&
					(q.Reason == "" || e.Reason == q.Reason) && (q.RequestID == "" || e.RequestID == q.RequestID) &&
					(q.Outcome == "" || e.Outcome == q.Outcome) && (q.From.IsZero() || !at.Before(q.From)) && (q.To.IsZero() || at.Before(q.To)) {
					want = append(want, e.RequestID)
				}
			}
			if got := paged(t, l, q, 7); !slices.Equal(got, want) {
				t.Errorf("pages\n got %v\nwant %v", got, want)
			}
			var exported []string
			if err := l.Each(t.Context(), q, func(r Record) error { exported = append(exported, r.RequestID); return nil }); err != nil {
				t.Fatal(err)
			}
			slices.Reverse(exported)
			if !slices.Equal(exported, want) {
				t.Errorf("export\n got %v\nwant %v", exported, want)
			}
		})
	}
}

// paged walks a query in pages.
func paged(t *testing.T, l *Log, q Query, limit int) (ids []string) {
	t.Helper()
	q.Limit = limit
	for {
		records, err := l.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			ids = append(ids, r.RequestID)
		}
		if len(records) < limit {
			return ids
		}
		q.Before = records[len(records)-1].Cursor()
	}
}

func TestSearchUsesIndexes(t *testing.T) { // F41: 9 million records in 500 ms
	l, _ := populated(t)
	for choice := range 1 << 7 { // every combination of filters
		chosen := func(bit int) bool { return choice>>bit&1 == 1 }
		var q Query
		if chosen(0) {
			q.Person = "p"
		}
		if chosen(1) {
			q.Action = ActionMint
		}
		if chosen(2) {
			q.Outcome = OK
		}
		if chosen(3) {
			q.Reason = "KD-101"
		}
		if chosen(4) {
			q.RequestID = "r"
		}
		if chosen(5) {
			q.From, q.To = time.Now(), time.Now()
		}
		if chosen(6) {
			q.Before = Cursor{time.Now(), 5}
		}
		plansUseIndexes(t, l.Reader, q)
	}
}

func TestSearchLimits(t *testing.T) {
	l, _ := populated(t)
	for limit, want := range map[int]int{0: 50, -3: 50, 10: 10, 5000: 300} {
		if records, err := l.Search(t.Context(), Query{Limit: limit}); err != nil || len(records) != want {
			t.Errorf("limit %d: %d records, %v; want %d", limit, len(records), err, want)
		}
	}
}

func TestFollowGivesWhatComes(t *testing.T) {
	l, _ := populated(t)
	ctx, stop := context.WithCancel(t.Context())
	var ids []string
	done := make(chan error)
	seen := make(chan struct{}, 10)
	go func() {
		done <- l.Follow(ctx, 298, func(r Record) error {
			ids = append(ids, r.RequestID)
			seen <- struct{}{}
			return nil
		})
	}()
	<-seen
	<-seen
	if err := l.Append(t.Context(), Event{Action: ActionMint, Outcome: OK, RequestID: "new"}); err != nil {
		t.Fatal(err)
	}
	<-seen
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if want := []string{"298", "299", "new"}; !slices.Equal(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
}

func TestReadersStopWhenToldTo(t *testing.T) {
	l, _ := populated(t)
	enough := errors.New("enough")
	if err := l.Each(t.Context(), Query{}, func(Record) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("Each: %v", err)
	}
	if err := l.Follow(t.Context(), 0, func(Record) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("Follow: %v", err)
	}
}

func TestReaderOpensACopyOnReadOnlyMedia(t *testing.T) { // F42: off-box
	c, _ := written(t, 10)
	for _, side := range []string{"-wal", "-shm"} {
		if err := os.Remove(filepath.Join(c.Dir, fileName+side)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(c.Dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(c.Dir, 0o700) })
	if report := mustVerify(t, verifyConfig(c)); report.Records != 10 {
		t.Errorf("%d records", report.Records)
	}
	if os.Getuid() == 0 {
		t.Skip("verified, but root writes in a read-only folder, so it was opened as on any other")
	}
	if _, err := os.Stat(filepath.Join(c.Dir, fileName+"-shm")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("side files were written: %v", err)
	}
}

func TestReaderNeedsALog(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenReader(t.Context(), dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("asking left %v behind", entries)
	}
}

func TestTrimLeavesAChainThatVerifies(t *testing.T) { // R65, T114
	c := setup(t)
	day := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	now := day
	c.Now = func() time.Time { return now }
	l := open(t, c)
	for d := range 300 {
		now = day.AddDate(0, 0, d)
		for i := range 3 {
			if err := l.Append(t.Context(), signIn(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := l.Trim(t.Context(), now.AddDate(0, 0, -100)); err == nil {
		t.Error("records younger than 183 days were trimmed")
	}
	for n := range 100 {
		removed, err := l.Trim(t.Context(), day.AddDate(0, 0, n))
		if want := uint64(min(n, 1) * 3); err != nil || removed != want {
			t.Fatalf("trim %d: removed %d, %v; want %d", n, removed, err, want)
		}
	}
	trims, err := l.Search(t.Context(), Query{Action: ActionTrim, Limit: 1000})
	if err != nil || len(trims) != 99 || trims[0].Detail["last"] != "297" {
		t.Fatalf("%d trim records, %v", len(trims), err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	report := mustVerify(t, verifyConfig(c))
	if report.Chains[0].First != 298 || report.Chains[0].Trimmed != 297 {
		t.Errorf("chain %+v", report.Chains[0])
	}
	again := open(t, c)
	appendMany(t, again, 1)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, verifyConfig(c))
	tamper(t, c.Dir, "DELETE FROM record WHERE seq = 298")
	if _, err := Verify(t.Context(), verifyConfig(c)); !errors.Is(err, ErrFault) {
		t.Errorf("a deletion at the trimmed start: %v", err)
	}
}
