package approval_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"kdgate/audit"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/kingdee/kingdeesim"
)

// envMarathon makes the test binary a replica of its own process whose memory
// can be looked at; its value is a marathon as JSON.
const envMarathon = "KDGATE_TEST_APPROVAL_MARATHON"

// marathon is what such a replica is told: production's retries and workers, a
// real audit log, and a clock of the work list that may run faster.
type marathon struct {
	Dir, Ding, King string
	Instances       string  // file of instance ids, whose events it takes as fast as it can
	Pace            float64 // seconds of the list's clock to one, until it is told "real"
}

// runningClock runs at a pace, and at that of the world once it is told to.
type runningClock struct {
	mu    sync.Mutex
	base  time.Time // of the list
	since time.Time // of the world
	pace  float64
}

func (c *runningClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base.Add(time.Duration(float64(time.Since(c.since)) * c.pace))
}

func (c *runningClock) setPace(pace float64) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.since, c.pace = now, time.Now(), pace
}

// runMarathon prints "added" when all events are taken, reads "real" from its
// input, and prints "empty" when nothing waits any more.
func runMarathon(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	var m marathon
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	sealed, err := openStore(ctx, "sqlite:"+filepath.Join(m.Dir, "kdgate.db"))
	if err != nil {
		return err
	}
	log, err := audit.Open(ctx, audit.Config{Dir: filepath.Join(m.Dir, "audit"), Replica: "node1", Key: key})
	if err != nil {
		return err
	}
	defer log.Close()
	clock := &runningClock{base: time.Now(), since: time.Now(), pace: m.Pace}
	q, err := jobs.New(jobs.Config{Store: sealed, Recorder: log, Owner: "node1", Alone: true, Now: clock.now})
	if err != nil {
		return err
	}
	b, err := newBooker(m.Ding, m.King, approval.Config{People: &staff{}, Recorder: log, Rules: []approval.Rule{reimburse()}}, q)
	if err != nil {
		return err
	}
	pool, err := jobs.NewPool(jobs.PoolConfig{Queue: q, Kinds: []jobs.Kind{
		{Name: approval.KindBill, Handler: approval.Bills{Bookers: map[string]*approval.Booker{corp: b}}},
	}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		if err := takeAll(ctx, b, m.Instances); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		fmt.Fprintln(out, "added")
		lines := bufio.NewScanner(in)
		lines.Scan()
		clock.setPace(1)
		go func() {
			defer cancel()
			lines.Scan() // the end: whoever started us has died
		}()
		cancelWhenEmpty(ctx, q, func() { fmt.Fprintln(out, leftOver(ctx, q)) })
	}()
	return pool.Run(ctx)
}

// leftOver is "empty", or why an item is dead.
func leftOver(ctx context.Context, q *jobs.Queue) string {
	page, err := q.List(ctx, jobs.Filter{State: jobs.Dead}, "", 1)
	if err != nil || len(page.Items) > 0 {
		return fmt.Sprintf("dead: %+v %v", page.Items[0].Failure, err)
	}
	return "empty"
}

// takeAll takes the events of all instances in a file, from eight hands.
func takeAll(ctx context.Context, b *approval.Booker, file string) error {
	ids, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for id := range strings.FieldsSeq(string(ids)) {
		group.Go(func() error { return b.Take(ctx, finish(dingtalksim.Instance{ID: id})) })
	}
	return group.Wait()
}

// runner is a marathon in a process of its own.
type runner struct {
	*exec.Cmd
	t     testing.TB
	in    io.Writer
	lines *bufio.Scanner
}

func (r *rig) run(m marathon) *runner {
	r.t.Helper()
	m.Dir, m.Ding, m.King = r.t.TempDir(), r.dingURL, r.kingURL
	text, err := json.Marshal(m)
	r.must(err)
	cmd := exec.Command(os.Args[0], "-test.run=^$") //nolint:gosec // this very binary
	cmd.Env = append(os.Environ(), envMarathon+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	r.must(err)
	out, err := cmd.StdoutPipe()
	r.must(err)
	r.must(cmd.Start())
	r.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return &runner{Cmd: cmd, t: r.t, in: in, lines: bufio.NewScanner(out)}
}

// await reads the next line of the process.
func (p *runner) await(want string) {
	p.t.Helper()
	if !p.lines.Scan() || p.lines.Text() != want {
		p.t.Fatalf("the replica said %q, want %q: %v", p.lines.Text(), want, p.lines.Err())
	}
}

// peak is the most memory that the process ever held, in MiB.
func (p *runner) peak() int {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest + " x")[0])
	if err != nil {
		p.t.Fatalf("no VmHWM: %v", err)
	}
	return kib >> 10
}

// agreedMany makes n agreed approvals of many people, each of other amounts, and
// a file of their ids.
func (r *rig) agreedMany(n, people int) (all []dingtalksim.Instance, file string) {
	r.t.Helper()
	var ids strings.Builder
	for i := range n {
		in := r.agreed(fmt.Sprint(1001+i%people), form(fmt.Sprint("第", i), fmt.Sprintf("%d.%02d", i, i%100), "0.1", "0.2"))
		all = append(all, dingtalksim.Instance{ID: in.ID})
		fmt.Fprintln(&ids, in.ID)
	}
	file = filepath.Join(r.t.TempDir(), "instances")
	r.must(os.WriteFile(file, []byte(ids.String()), 0o600))
	return all, file
}

// allRight checks that every approval has its one bill, handed in and right to
// the cent, and one comment.
func (r *rig) allRight(all []dingtalksim.Instance) {
	r.t.Helper()
	bills := map[string]kingdeesim.BillInfo{}
	for _, b := range r.king.Bills("") {
		bills[b.Number] = b
	}
	said := map[string]int{}
	for _, c := range r.ding.Comments("") {
		said[c.Instance]++
	}
	if n := len(r.king.Bills("")); n != len(all) || len(bills) != len(all) {
		r.t.Errorf("%d bills, %d numbers of %d approvals", n, len(bills), len(all))
	}
	wrong := 0
	for i, in := range all {
		bill := bills[approval.Number(corp, in.ID, expense, 1)]
		cents := i*100 + i%100 + 30
		if want := fmt.Sprintf("%d.%02d", cents/100, cents%100); bill.Status != "B" || bill.Fields["FExpAmountSum"] != want || said[in.ID] != 1 {
			if wrong++; wrong < 5 {
				r.t.Errorf("%s: want %s, %d comments: %+v", in.ID, want, said[in.ID], bill)
			}
		}
	}
	if wrong > 0 {
		r.t.Errorf("%d are wrong", wrong)
	}
}

// TestTenThousand proves R45: 10,000 approvals become bills within 15 minutes,
// each once and right to the cent. The default is a fiftieth of them, at the same
// pace.
func TestTenThousand(t *testing.T) {
	n := 200
	if *long {
		n = 10_000
	}
	r := start(t, 100)
	all, file := r.agreedMany(n, 100)
	begun := time.Now()
	replica := r.run(marathon{Instances: file, Pace: 1})
	replica.await("added")
	added := time.Since(begun)
	_, err := io.WriteString(replica.in, "real\n")
	r.must(err)
	replica.await("empty")
	took := time.Since(begun)
	t.Logf("%d approvals in %s, %.0f/s; all on the list after %s; peak %d MiB", n, took.Round(time.Millisecond),
		float64(n)/took.Seconds(), added.Round(time.Millisecond), replica.peak())
	r.allRight(all)
	if most := 15 * time.Minute * time.Duration(n) / 10_000; took > most {
		t.Errorf("took %s, at most %s", took, most)
	}
}

// TestAwayForHours proves R29: while Kingdee is away for eight hours of the work
// list's clock 100,000 approvals are agreed to; none is lost or dead, the replica
// keeps within 256 MiB and hardly asks; afterwards they are booked at 50 a second
// and more, never by more calls at once than Kingdee bears. The default is a
// hundredth of them, without the rate.
func TestAwayForHours(t *testing.T) {
	n, away := 1000, 5*time.Second
	if *long {
		n, away = 100_000, time.Minute
	}
	r := start(t, 100)
	r.must(r.king.AddFault(kingdeesim.Fault{Match: "/K3Cloud/", Kind: kingdeesim.FaultStatus, Status: http.StatusServiceUnavailable, Times: -1}))
	all, file := r.agreedMany(n, 100)
	replica := r.run(marathon{Instances: file, Pace: (8 * time.Hour).Seconds() / away.Seconds()})
	gone := time.After(away)
	replica.await("added")
	<-gone
	asked := len(r.king.Calls())
	t.Logf("%d on the list while Kingdee was away; %d calls to it; peak so far %d MiB", n, asked, replica.peak())
	if most := int(away/time.Second)*4 + 40; asked > most {
		t.Errorf("%d calls to a Kingdee that is away, at most %d", asked, most)
	}
	if n := len(r.king.Bills("")); n != 0 {
		t.Errorf("%d bills", n)
	}
	r.king.SetSwitches(kingdeesim.Switches{MaxConcurrent: 2}) // one call more at once is refused
	r.king.ClearFaults()
	back := time.Now()
	_, err := io.WriteString(replica.in, "real\n")
	r.must(err)
	replica.await("empty")
	took := time.Since(back)
	rate, peak := float64(n)/took.Seconds(), replica.peak()
	t.Logf("%d drained in %s, %.0f/s; peak %d MiB", n, took.Round(time.Millisecond), rate, peak)
	if *long && rate < 50 { // ten seconds beside other tests say nothing about a rate
		t.Errorf("%.0f/s, at least 50/s", rate)
	}
	if peak > 256 {
		t.Errorf("%d MiB, at most 256 MiB", peak)
	}
	r.allRight(all)
}
