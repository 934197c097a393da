package audit

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/internal/handclock"
)

var (
	scale    = flag.Int("scale", 100_000, "records TestScale fills its log with; the full form takes 9000000 or more and half an hour")
	scaleDir = flag.String("scale-dir", "", "folder where TestScale leaves its log, to be used again; empty: a temporary one")
)

// The year that TestScale makes up: 50,000 events a day for 180 days (R67).
const (
	scalePeople = 20_000
	scaleStep   = 24 * time.Hour / 50_000
	fullScale   = 9_000_000
	searchBound = 500 * time.Millisecond
)

var scaleStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestScale fills a log through the real Append and asks every kind of question
// of it, for the newest page and for one far back (F41, R67). The plans of all of
// them must use an index. At full scale the bounds of time, memory and disk
// hold as well; in a small form a time would say nothing.
func TestScale(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a big log")
	}
	c := setup(t)
	if *scaleDir != "" {
		c.Dir, c.AnchorFile = filepath.Join(*scaleDir, "audit"), filepath.Join(*scaleDir, "anchor.jsonl")
	}
	l := fillScale(t, c, *scale)
	for _, q := range scaleQuestions(*scale) {
		plansUseIndexes(t, l.Reader, q.q)
		worst := timeSearch(t, l, q)
		t.Logf("%-42s %4d records, first page %9s, deep page %9s", q.name, worst.found, worst.first, worst.deep)
		if *scale >= fullScale && max(worst.first, worst.deep) > searchBound {
			t.Errorf("%s: %s and %s, at most %s", q.name, worst.first, worst.deep, searchBound)
		}
	}
	timeExports(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if *scale >= fullScale {
		weigh(t, c)
	}
}

// fillScale appends until the log holds n records, and tells how fast.
func fillScale(t *testing.T, c Config, n int) *Log {
	t.Helper()
	held := 0
	if r, err := OpenReader(t.Context(), c.Dir); err == nil {
		chains, err := r.Chains(t.Context())
		if err != nil || r.Close() != nil || len(chains) != 1 {
			t.Fatal(chains, err)
		}
		held = int(chains[0].Last)
	}
	clock := handclock.New(scaleStart.Add(time.Duration(held) * scaleStep))
	c.Now = clock.Now
	l := open(t, c)
	if n-held >= bulkFill {
		defer withoutIndexes(t, l)()
	}
	const writers = 4 * maxBatch
	began, from := time.Now(), held
	for held < n { // in rounds, so that the log's time goes with its records
		round := min(writers, n-held)
		var group sync.WaitGroup
		for i := range round {
			group.Go(func() {
				if err := l.Append(t.Context(), scaleEvent(held+i)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		held += round
		clock.Advance(time.Duration(round) * scaleStep)
		if held/250_000 != (held-round)/250_000 {
			t.Logf("%d records, %.0f/s", held, float64(held-from)/time.Since(began).Seconds())
		}
	}
	t.Logf("%d records appended, %.0f/s", held-from, float64(held-from)/time.Since(began).Seconds())
	return l
}

// bulkFill is from how many records on the indexes of searches are built at the end
// instead of record by record. What stands in the file is the same.
const bulkFill = 50_000

func withoutIndexes(t *testing.T, l *Log) (restore func()) {
	t.Helper()
	indexes := append([]string{actionIndex}, third...)
	for _, statement := range indexes {
		name, _, _ := strings.Cut(strings.TrimPrefix(statement, "CREATE INDEX "), " ")
		if _, err := l.write.ExecContext(t.Context(), "DROP INDEX "+name); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for _, statement := range indexes {
			start := time.Now()
			if _, err := l.write.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
			t.Logf("index built in %s: %.60s", time.Since(start).Round(time.Second), statement)
		}
	}
}

// scaleEvent is a day's mixture: sign-ins and mints, a tenth by the program
// itself, failures of several reasons, changes of the mapping now and then. The
// request ids are spread as the gateway's are.
func scaleEvent(i int) Event {
	sum := sha256.Sum256([]byte(strconv.Itoa(i)))
	person := fmt.Sprintf("dingcorp1/u%05d", (int(sum[8])<<16|int(sum[9])<<8|int(sum[10]))%scalePeople)
	e := Event{
		Action: ActionSignIn, Outcome: OK, Actor: person, Door: "in-client", Source: fmt.Sprintf("10.%d.%d.%d", sum[11], sum[12], sum[13]),
		RequestID: hex.EncodeToString(sum[:8]), UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 DingTalk/7.6.0",
	}
	switch {
	case i%10 == 1:
		e = Event{Action: ActionSync, Outcome: OK, Actor: System, Detail: map[string]string{"read": "20000", "changed": "3"}}
	case i%3 == 1:
		e.Action, e.Target, e.DataCentre = ActionMint, "user"+person[11:], "live"
	case i%20 == 2:
		e.Outcome, e.Reason = Failed, "KD-203"
	case i%40 == 6:
		e.Outcome, e.Reason = Refused, "KD-101"
	case i%1009 == 3:
		e.Action, e.Target, e.Actor = ActionMappingChange, person, "dingcorp1/manager01"
		e.Before, e.After = `{"staff_number":"1001","status":"active"}`, `{"staff_number":"1002","status":"active"}`
	case i%200_003 == 5:
		e.Action, e.Actor, e.Target, e.Reason = ActionMappingSuspend, System, person, "left"
	case i == 77:
		e.Action, e.Actor, e.Target = ActionTrim, System, "node1"
	}
	return e
}

type scaleQuestion struct {
	name string
	q    Query
}

// scaleQuestions are every filter alone, each in common and in rare, and their
// combinations; time cuts the log in the middle.
func scaleQuestions(n int) []scaleQuestion {
	middle := scaleStart.Add(time.Duration(n/2) * scaleStep)
	month := Query{From: middle, To: middle.Add(time.Duration(n/6) * scaleStep)}
	with := func(q Query, change func(*Query)) Query { change(&q); return q }
	person := "dingcorp1/u00077"
	questions := []scaleQuestion{
		{"newest", Query{}},
		{"person", Query{Person: person}},
		{"person in a month", with(month, func(q *Query) { q.Person = person })},
		{"person and action", Query{Person: person, Action: ActionMint}},
		{"person and rare action", Query{Person: person, Action: ActionMappingChange}},
		{"person and outcome", Query{Person: person, Outcome: Failed}},
		{"nobody", Query{Person: "dingcorp1/none"}},
		{"busy actor", Query{Person: System}},
		{"busy actor in a month", with(month, func(q *Query) { q.Person = System })},
		{"busy actor and its action", Query{Person: System, Action: ActionSync}},
		{"busy actor and rare action", Query{Person: System, Action: ActionTrim}},
		{"busy actor and an action it never did", Query{Person: System, Action: ActionMint}},
		{"busy actor and an outcome it never had", Query{Person: System, Outcome: Refused}},
		{"busy actor and a rare reason", Query{Person: System, Reason: "left"}},
		{"busy actor and a common reason", Query{Person: System, Reason: "KD-203"}},
		{"administrator and outcome", Query{Person: "dingcorp1/manager01", Outcome: OK}},
		{"action", Query{Action: ActionMint}},
		{"action in a month", with(month, func(q *Query) { q.Action = ActionMint })},
		{"rare action", Query{Action: ActionMappingSuspend}},
		{"action that never was", Query{Action: "bill.save"}},
		{"action and outcome", Query{Action: ActionSignIn, Outcome: Failed}},
		{"action and outcome that never met", Query{Action: ActionMint, Outcome: Refused}},
		{"outcome", Query{Outcome: Refused}},
		{"outcome in a month", with(month, func(q *Query) { q.Outcome = Failed })},
		{"reason", Query{Reason: "KD-203"}},
		{"reason in a month", with(month, func(q *Query) { q.Reason = "KD-203" })},
		{"reason and rare action", Query{Reason: "KD-203", Action: ActionMappingChange}},
		{"reason and an outcome it never had", Query{Reason: "KD-203", Outcome: OK}},
		{"reason that never was", Query{Reason: "KD-999"}},
		{"request", Query{RequestID: scaleEvent(n / 2 / 30 * 30).RequestID}},
		{"a month", month},
		{"before a time", Query{To: middle}},
		{"everything at once", with(month, func(q *Query) { q.Person, q.Action, q.Outcome, q.Reason = person, ActionSignIn, Failed, "KD-203" })},
	}
	return questions
}

// timed is how one question went; found is how many records its first page has.
type timed struct {
	found       int
	first, deep time.Duration
}

// timeSearch asks for the newest 50 and for the 50 after a place near the log's
// start, three times each, and keeps the worst.
func timeSearch(t *testing.T, l *Log, question scaleQuestion) (worst timed) {
	t.Helper()
	deep := question.q
	deep.Before = Cursor{At: scaleStart.Add(time.Duration(*scale/50) * scaleStep), ID: uint64(*scale / 50)}
	if !deep.From.IsZero() {
		deep.Before = Cursor{At: deep.From.Add(deep.To.Sub(deep.From) / 50), ID: 1 << 40}
	}
	ask := func(q Query) (found int, took time.Duration) {
		for range 3 {
			start := time.Now()
			records, err := l.Search(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			found, took = len(records), max(took, time.Since(start))
		}
		return found, took.Round(10 * time.Microsecond)
	}
	worst.found, worst.first = ask(question.q)
	_, worst.deep = ask(deep)
	return worst
}

// timeExports measures until an export's first record is out, also for one that
// few records fit, and where they lie in the log's second half.
func timeExports(t *testing.T, l *Log) {
	t.Helper()
	middle := scaleStart.Add(time.Duration(*scale/2) * scaleStep)
	for _, q := range []scaleQuestion{
		{"everything", Query{}},
		{"from the middle", Query{From: middle}},
		{"a person from the middle", Query{From: middle, Person: "dingcorp1/u00077"}},
		{"a rare action", Query{Action: ActionMappingSuspend}},
		{"nobody", Query{Person: "dingcorp1/none"}},
	} {
		start := time.Now()
		err := l.Each(t.Context(), q.q, func(Record) error { return io.EOF })
		if err != nil && err != io.EOF { //nolint:errorlint // the callback's own
			t.Fatal(err)
		}
		took := time.Since(start)
		t.Logf("export of %-33s first record after %s", q.name, took.Round(10*time.Microsecond))
	}
}

// R66: ten million records are verified in thirty seconds.
const (
	tenMillion = 10_000_000
	mostVerify = 30 * time.Second
)

// weigh holds a full log to the bounds of disk and of verification (R66, R67): a
// process of its own verifies, so that its memory can be told.
func weigh(t *testing.T, c Config) {
	t.Helper()
	var bytes int64
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if info, err := os.Stat(filepath.Join(c.Dir, fileName+suffix)); err == nil {
			bytes += info.Size()
		}
	}
	t.Logf("disk: %.2f GiB, %d bytes a record", float64(bytes)/(1<<30), bytes/int64(*scale))
	if bytes > 10<<30 {
		t.Errorf("%d bytes on the disk, at most 10 GiB", bytes)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestScaleVerifier$", "-test.v") //nolint:gosec // this very program
	child.Env = append(os.Environ(), "KDGATE_SCALE_VERIFY="+c.Dir, "KDGATE_SCALE_ANCHOR="+c.AnchorFile)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cpu := child.ProcessState.UserTime() + child.ProcessState.SystemTime()
	rate := float64(*scale) / cpu.Seconds()
	ten := time.Duration(float64(tenMillion) / rate * float64(time.Second))
	t.Logf("%sprocessor time %s, %.0f records a second of it, %s for ten million", out, cpu.Round(time.Millisecond), rate, ten.Round(100*time.Millisecond))
	if ten > mostVerify { // of processor time: the rest is decided by whoever else uses the machine
		t.Errorf("ten million records take %s to verify, at most %s", ten, mostVerify)
	}
}

// TestScaleVerifier is the process that verifies for TestScale.
func TestScaleVerifier(t *testing.T) {
	dir := os.Getenv("KDGATE_SCALE_VERIFY")
	if dir == "" {
		t.Skip("run by TestScale at full scale")
	}
	report := mustVerify(t, VerifyConfig{Dir: dir, Key: testKey, Anchor: os.Getenv("KDGATE_SCALE_ANCHOR"), Indexes: IndexesNever})
	peak := peakKiB(t)
	t.Logf("verified %d records in %s, %.0f/s, peak memory %d MiB", report.Records, report.Took.Round(time.Millisecond),
		float64(report.Records)/report.Took.Seconds(), peak>>10)
	if peak > 128<<10 {
		t.Errorf("at most 128 MiB")
	}
}

// peakKiB is the most memory this process ever had, as Linux tells.
func peakKiB(t *testing.T) int {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "VmHWM:" {
			kib, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return kib
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// plansUseIndexes asks SQLite how it would answer each branch of a question. It
// must go by an index that has the order of the answer already. Only where few
// records share what is looked for may others be read and passed over.
func plansUseIndexes(t *testing.T, r *Reader, q Query) {
	t.Helper()
	q.Limit = 50
	branches, err := q.branches(t.Context(), r.db, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, branch := range branches {
		statement, args := branch.newest(q.Limit)
		plan := planOf(t, r, statement, args)
		// The index of reasons holds the person after the time: records of one millisecond are put in order.
		plan = slices.DeleteFunc(plan, func(step string) bool {
			return step == "USE TEMP B-TREE FOR LAST TERM OF ORDER BY" && branch.index == "record_reason_did"
		})
		if len(plan) != 1 || !strings.HasPrefix(plan[0], "SEARCH record USING ") || !strings.Contains(plan[0], "INDEX "+cmp.Or(branch.index, "record_request")) {
			t.Errorf("%+v:\n%s\n%s", q, statement, strings.Join(plan, "\n"))
		}
	}
	for _, l := range []lead{{}, {column: "actor", value: "p"}, {column: "target", value: "p"}, {column: reasonText, value: "KD-101"}} {
		for _, fitting := range [][]condition{
			{{"action = ?", []any{"a"}}, {"outcome > ?", []any{"b"}}},
			{{"action > ?", []any{"a"}}},
		} {
			statement, args := l.leapTo(fitting...)
			if plan := planOf(t, r, statement, args); len(plan) != 1 || !strings.Contains(plan[0], "SEARCH record USING INDEX record_") {
				t.Errorf("%s: %s", statement, strings.Join(plan, "\n"))
			}
		}
	}
}

// planOf are the steps in which SQLite would answer.
func planOf(t *testing.T, r *Reader, statement string, args []any) (plan []string) {
	t.Helper()
	steps, err := r.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = steps.Close() }()
	for steps.Next() {
		var id, parent, unused int
		var detail string
		if err := steps.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := steps.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}
