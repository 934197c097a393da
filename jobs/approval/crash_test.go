package approval_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/kingdee/kingdeesim"
	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/sqlitestore"
	"kdgate/store/storetest"
)

var long = flag.Bool("long", false, "fifty rounds of the crash points instead of one")

// envWorker makes the test binary a replica that is to be killed; its value is a
// worker as JSON.
const envWorker = "KDGATE_TEST_APPROVAL_WORKER"

// worker is what a killed process was told to do.
type worker struct {
	Store      string // sqlite:PATH or redis:ADDRESS
	Ding, King string
	Instances  []string // whose event it takes before it works
	Rule       string   // which: empty, audited, voucher or attachments
	Kill       string   // "N before" or "N after": itself, round its Nth commit
	Poll       bool     // polls Yida before it works
}

func TestMain(m *testing.M) {
	if text := os.Getenv(envWorker); text != "" {
		if err := workUntilKilled(context.Background(), text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if text := os.Getenv(envMarathon); text != "" {
		if err := runMarathon(context.Background(), text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func ruleNamed(name string) approval.Rule {
	switch name {
	case "voucher":
		return bookkeeping()
	case "attachments":
		return attaching()
	case "audited":
		return audited()
	}
	return reimburse()
}

// audited is the rule with every call of the scenario.
func audited() approval.Rule {
	rule := reimburse()
	rule.Audit = true
	return rule
}

// silent keeps no audit log: a process that dies is none's business here.
type silent struct{}

func (silent) Append(context.Context, audit.Event) error { return nil }

func workUntilKilled(ctx context.Context, text string) error {
	var w worker
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return err
	}
	sealed, err := openStore(ctx, w.Store)
	if err != nil {
		return err
	}
	killer := &suicidal{Store: sealed, plan: w.Kill}
	q, err := jobs.New(jobs.Config{
		Store: killer, Recorder: silent{}, Lease: crashLease, Alone: strings.HasPrefix(w.Store, "sqlite"),
	})
	if err != nil {
		return err
	}
	rules := []approval.Rule{ruleNamed(w.Rule), yidaReimburse()}
	b, err := newBooker(w.Ding, w.King, approval.Config{People: &staff{}, Recorder: silent{}, Rules: rules, Store: killer}, q)
	if err != nil {
		return err
	}
	if w.Poll {
		if _, err := b.Poll(ctx, time.Hour); err != nil {
			return err
		}
	}
	for _, id := range w.Instances {
		if err := b.Take(ctx, finish(dingtalksim.Instance{ID: id})); err != nil {
			return err
		}
	}
	pool, err := jobs.NewPool(jobs.PoolConfig{Queue: q, Poll: 20 * time.Millisecond, Kinds: []jobs.Kind{{
		Name: approval.KindBill, Handler: approval.Bills{Bookers: map[string]*approval.Booker{corp: b}},
		Retry: jobs.Retry{First: 10 * time.Millisecond, Max: 50 * time.Millisecond, Losses: 1 << 20},
	}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go cancelWhenEmpty(ctx, q, cancel)
	return pool.Run(ctx)
}

func openStore(ctx context.Context, where string) (store.Store, error) {
	kind, where, _ := strings.Cut(where, ":")
	var driver store.Driver
	var err error
	if kind == "sqlite" {
		driver, err = sqlitestore.Open(ctx, sqlitestore.Config{Path: where})
	} else {
		driver, err = redisstore.Open(redisstore.Config{Addrs: []string{where}})
	}
	if err != nil {
		return nil, err
	}
	return store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
}

// cancelWhenEmpty ends the run when nothing is ready or leased, twice in a row: an
// item may move between the two lists while they are read.
func cancelWhenEmpty(ctx context.Context, q *jobs.Queue, cancel context.CancelFunc) {
	empty := 0
	for range time.Tick(20 * time.Millisecond) {
		left := 0
		for _, state := range []jobs.State{jobs.Ready, jobs.Leased, jobs.Ready} {
			page, err := q.List(ctx, jobs.Filter{State: state}, "", 1)
			if err != nil {
				return
			}
			if left += len(page.Items); page.After != "" { // the head of a page may just have moved
				left++
			}
		}
		if empty++; left > 0 {
			empty = 0
		}
		if empty == 2 {
			cancel()
			return
		}
	}
}

// suicidal is a store whose process is killed round one of its commits (R31).
type suicidal struct {
	store.Store
	plan string
	n    atomic.Int64
}

func (s *suicidal) Commit(ctx context.Context, ops ...store.Op) error {
	n := s.n.Add(1)
	s.dieAt(fmt.Sprintf("%d before", n))
	err := s.Store.Commit(ctx, ops...)
	s.dieAt(fmt.Sprintf("%d after", n))
	return err
}

func (s *suicidal) dieAt(moment string) {
	if s.plan == moment {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// replica is one in a process of its own.
type replica struct {
	*exec.Cmd
	ended chan error
}

// spawn starts one.
func (r *rig) spawn(w worker) *replica {
	r.t.Helper()
	w.Ding, w.King = r.dingURL, r.kingURL
	text, err := json.Marshal(w)
	r.must(err)
	cmd := exec.Command(os.Args[0], "-test.run=^$") //nolint:gosec // this very binary
	cmd.Env = append(os.Environ(), envWorker+"="+string(text))
	cmd.Stderr = os.Stderr
	p := &replica{cmd, make(chan error, 1)}
	r.must(cmd.Start())
	go func() { p.ended <- cmd.Wait() }()
	r.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return p
}

// point is a moment at which the peer kills its caller.
type point struct {
	route string // of Kingdee, or "comment" or "instance" of DingTalk
	at    string
	after int    // calls of it let through first
	kill  string // instead: the process itself, round a commit
	path  string // of Yida, where the route is "yida"
}

// points are every call of the scenario at each of its four moments, and every
// commit from both sides.
func points() []point {
	var list []point
	for _, at := range []string{kingdeesim.HoldHeaders, kingdeesim.HoldExecuted, kingdeesim.HoldReply, kingdeesim.HoldAfter} {
		for _, route := range []string{".ExecuteBillQuery.", ".Save.", ".Submit.", ".Audit.", "comment", "instance"} {
			list = append(list, point{route: route, at: at})
		}
		list = append(list, point{route: ".ExecuteBillQuery.", at: at, after: 1})
	}
	for n := range 10 {
		for _, side := range []string{"before", "after"} {
			list = append(list, point{kill: fmt.Sprint(n+1, " ", side)})
		}
	}
	return list
}

// holdDingTalk holds the next call to DingTalk whose path ends so, at a moment; held
// is closed when it is there, and the call is abandoned when free is.
func (r *rig) holdDingTalk(suffix, at string) (held <-chan struct{}, free func()) {
	came, gone := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r.front.set(func(w http.ResponseWriter, req *http.Request, next http.Handler) bool {
		first := false
		if strings.HasSuffix(req.URL.Path, suffix) {
			once.Do(func() { first = true })
		}
		if !first {
			return false
		}
		stay := func() { close(came); <-gone }
		if at == kingdeesim.HoldHeaders {
			stay()
			panic(http.ErrAbortHandler)
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, req)
		if at == kingdeesim.HoldExecuted {
			stay()
			panic(http.ErrAbortHandler)
		}
		body := answer.Body.Bytes()
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(answer.Code)
		send := func(part []byte) {
			_, _ = w.Write(part)
			_ = http.NewResponseController(w).Flush()
		}
		if at == kingdeesim.HoldAfter {
			send(body)
			close(came)
			return true
		}
		send(body[:len(body)/2])
		stay()
		panic(http.ErrAbortHandler)
	})
	return came, sync.OnceFunc(func() { close(gone); r.front.set(nil) })
}

// killAt runs a replica and kills it at a point.
func (r *rig) killAt(w worker, p point) {
	r.t.Helper()
	if p.kill != "" {
		w.Kill = p.kill
		<-r.spawn(w).ended // killed, or done before its Nth commit
		return
	}
	held, free := make(chan struct{}), func() {}
	switch p.route {
	case "comment":
		ding, let := r.holdDingTalk("/processInstances/comments", p.at)
		free = let
		go func() { <-ding; close(held) }()
	case "instance", "/urls/download", ".file":
		suffix := map[string]string{"instance": "/processInstances"}[p.route]
		ding, let := r.holdDingTalk(suffix+strings.TrimPrefix(p.route, "instance"), p.at)
		free = let
		go func() { <-ding; close(held) }()
	case "yida":
		ding, let := r.holdDingTalk(p.path, p.at)
		free = let
		go func() { <-ding; close(held) }()
	default:
		r.must(r.king.AddFault(kingdeesim.Fault{Match: p.route, Kind: kingdeesim.FaultHold, At: p.at, After: p.after}))
		go func() {
			if _, err := r.king.AwaitHeld(r.t.Context()); err == nil {
				close(held)
			}
		}()
	}
	child := r.spawn(w)
	select {
	case <-held:
		r.must(child.Process.Kill()) // SIGKILL
		<-child.ended
	case err := <-child.ended:
		r.t.Fatalf("%+v: the replica ended without meeting it: %v", p, err)
	case <-time.After(60 * time.Second):
		r.t.Fatalf("%+v was not met", p)
	}
	free()
	r.king.Release(0, true)
	r.king.ClearFaults()
}

// TestKilledReplica proves R30 and R31: a replica is killed by SIGKILL at every
// call of the scenario, at four moments of it, and round every commit. Whoever
// comes after it goes on, with no event but those that were never taken in charge
// (DingTalk repeats no others), and within a minute every approval has one bill,
// handed in, approved and right, and one comment.
func TestKilledReplica(t *testing.T) {
	rounds := 1
	if *long {
		rounds = 50
	}
	r := start(t, 1, audited())
	w := worker{Store: "sqlite:" + filepath.Join(t.TempDir(), "crash.db"), Rule: "audited"}
	var all []dingtalksim.Instance
	crashes := 0
	for range rounds {
		for _, p := range points() {
			in := r.agreed("1001", form("crash", "12.34", "0.01"))
			all = append(all, in)
			w.Instances = []string{in.ID}
			r.killAt(w, p)
			crashes++
		}
		again := r.untaken(strings.TrimPrefix(w.Store, "sqlite:"), all)
		if len(again) > mostUntaken {
			t.Errorf("%d events of a round were not taken in charge, or were lost: %v", len(again), again)
		}
		began := time.Now()
		if err := <-r.spawn(worker{Store: w.Store, Rule: w.Rule, Instances: again}).ended; err != nil {
			t.Fatalf("the last replica: %v", err)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("after a restart it took %s", took)
		}
	}
	if swept := len(r.king.Bills("")); swept != len(all) {
		t.Errorf("%d bills of %d approvals after %d crashes", swept, len(all), crashes)
	}
	for _, in := range all {
		r.rightlyAs(in, "C")
	}
	t.Logf("%d crashes, %d approvals", crashes, len(all))
}

// mostUntaken bounds the events of a round that no replica took in charge: one is
// killed before it can, few others are.
const mostUntaken = 4

// untaken are the approvals whose events no replica lived to take in charge, those
// that DingTalk sends again: whoever was killed may have been held by a call that a
// replica before it had sent.
func (r *rig) untaken(path string, all []dingtalksim.Instance) (ids []string) {
	r.t.Helper()
	driver, err := sqlitestore.Open(r.t.Context(), sqlitestore.Config{Path: path})
	r.must(err)
	defer func() { r.must(driver.Close()) }()
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
	r.must(err)
	q, err := jobs.New(jobs.Config{Store: sealed, Recorder: silent{}})
	r.must(err)
	for _, in := range all {
		switch _, err := q.Get(r.t.Context(), jobs.ID{Kind: approval.KindBill, Key: in.ID}); {
		case identity.KindOf(err) == identity.NotFound:
			ids = append(ids, in.ID)
		default:
			r.must(err)
		}
	}
	return ids
}

// rightly checks that an approval has one bill, handed in and right, and one
// comment.
func (r *rig) rightly(in dingtalksim.Instance) { r.t.Helper(); r.rightlyAs(in, "B") }

// rightlyAs is rightly of a bill that has come to a status.
func (r *rig) rightlyAs(in dingtalksim.Instance, status string) {
	r.t.Helper()
	if bill := r.bill(in); bill.Status != status || bill.Fields["FExpAmountSum"] != "12.35" {
		r.t.Errorf("%s: %+v", in.ID, bill)
	}
	if said := r.ding.Comments(in.ID); len(said) != 1 {
		r.t.Errorf("%s: %d comments", in.ID, len(said))
	}
}

// TestFrozenReplica proves R35: a replica is stopped by SIGSTOP for longer than
// its lease, in the middle of a call; another takes its item and finishes it; the
// first goes on. There is one bill.
func TestFrozenReplica(t *testing.T) {
	for _, p := range []point{
		{route: ".ExecuteBillQuery.", at: kingdeesim.HoldExecuted},
		{route: ".Save.", at: kingdeesim.HoldHeaders},
		{route: ".Save.", at: kingdeesim.HoldExecuted},
		{route: ".Submit.", at: kingdeesim.HoldHeaders},
	} {
		t.Run(p.route+p.at, func(t *testing.T) {
			r := start(t, 1)
			redis := storetest.StartRedis(t)
			w := worker{Store: "redis:" + redis.Addr}
			in := r.agreed("1001", form("frozen", "12.34", "0.01"))
			r.must(r.king.AddFault(kingdeesim.Fault{Match: p.route, Kind: kingdeesim.FaultHold, At: p.at}))
			w.Instances = []string{in.ID}
			frozen := r.spawn(w)
			if _, err := r.king.AwaitHeld(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.must(frozen.Process.Signal(syscall.SIGSTOP))
			if err := <-r.spawn(w).ended; err != nil {
				t.Fatalf("the other replica: %v", err)
			}
			if done := r.bill(in); done.Status != "B" {
				t.Errorf("while the first is frozen: %+v", done)
			}
			r.king.Release(0, false) // the call of the frozen one goes through now
			r.must(frozen.Process.Signal(syscall.SIGCONT))
			if err := <-frozen.ended; err != nil {
				t.Errorf("the frozen replica: %v", err)
			}
			if n := len(r.king.Bills("")); n != 1 {
				t.Errorf("%d bills", n)
			}
			r.rightly(in)
		})
	}
}
