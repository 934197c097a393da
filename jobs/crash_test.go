package jobs_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kdgate/jobs"
	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/sqlitestore"
	"kdgate/store/storetest"
)

var long = flag.Bool("long", false, "kill a thousand workers on each store")

// The environment that makes the test binary a worker that is to be killed.
const (
	envStore = "KDGATE_TEST_JOBS_STORE" // sqlite:PATH or redis:ADDRESS
	envPeer  = "KDGATE_TEST_JOBS_PEER"  // URL of the peer that keeps count
	envPlan  = "KDGATE_TEST_JOBS_PLAN"  // number of the run
	envKill  = "KDGATE_TEST_JOBS_KILL"  // N before|after: kill yourself around the Nth commit
)

const crashLease = 400 * time.Millisecond

func TestMain(m *testing.M) {
	if os.Getenv(envStore) != "" {
		if err := workUntilKilled(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// workUntilKilled adds some items, prints those that were acknowledged, and works
// what there is until nothing is left or somebody kills it.
func workUntilKilled(ctx context.Context) error {
	kind, where, _ := strings.Cut(os.Getenv(envStore), ":")
	sealed, err := openStore(ctx, kind, where)
	if err != nil {
		return err
	}
	q, err := jobs.New(jobs.Config{
		Store: &suicidal{Store: sealed, plan: os.Getenv(envKill)}, Recorder: &recorder{},
		Lease: crashLease, Alone: kind == "sqlite",
	})
	if err != nil {
		return err
	}
	plan, err := strconv.Atoi(os.Getenv(envPlan))
	if err != nil {
		return err
	}
	for n := max(0, plan*5-3); n < plan*5+5; n++ { // some are of the run before
		if _, _, err := q.Add(ctx, jobs.Draft{ID: id(fmt.Sprintf("b%05d", n))}); err != nil {
			return err
		}
		fmt.Printf("added b%05d\n", n)
	}
	workers := 0 // the default
	if plan == 0 {
		workers = 1 // the one that is stopped stands at one place: past a Check, only the peer can refuse
	}
	pool, err := jobs.NewPool(jobs.PoolConfig{Queue: q, Kinds: []jobs.Kind{{
		Name: "bill", Handler: jobs.HandlerFunc(handleBill), Retry: jobs.Retry{Losses: 1 << 20}, Workers: workers,
	}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go cancelWhenEmpty(ctx, q, cancel)
	return pool.Run(ctx)
}

func openStore(ctx context.Context, kind, where string) (store.Store, error) {
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
	return store.Seal(driver, store.SealConfig{Keys: [][]byte{[]byte(strings.Repeat("k", store.MinSealKey))}})
}

// cancelWhenEmpty ends the run when nothing is ready or leased.
func cancelWhenEmpty(ctx context.Context, q *jobs.Queue, cancel context.CancelFunc) {
	for range time.Tick(20 * time.Millisecond) {
		left := 0
		for _, state := range []jobs.State{jobs.Ready, jobs.Leased} {
			page, err := q.List(ctx, jobs.Filter{State: state}, "", 1)
			if err != nil {
				return
			}
			if left += len(page.Items); page.After != "" { // it moved while it was read
				left++
			}
		}
		if left == 0 {
			cancel()
			return
		}
	}
}

// handleBill does a bill, and says so when the item was not its own any more:
// refused by a Check or a Step, or told by the keeper of its lease.
func handleBill(ctx context.Context, w *jobs.Work) error {
	err := carry(ctx, w)
	if errors.Is(err, jobs.ErrLost) || errors.Is(context.Cause(ctx), jobs.ErrLost) {
		fmt.Printf("refused %s\n", w.Item().Key)
	}
	return err
}

// carry is a bill's way: each step committed before the next, and the peer asked
// before anything is repeated.
func carry(ctx context.Context, w *jobs.Work) error {
	next := map[string]string{"": "looked-up", "looked-up": "saved", "saved": "submitted"}
	for {
		step := next[w.Item().Step.Name]
		if step == "" {
			return nil
		}
		if step != "looked-up" {
			if err := once(ctx, w, step); err != nil {
				return err
			}
		}
		if err := w.Step(ctx, step, nil); err != nil {
			return err
		}
	}
}

// once does an act that the peer has not seen, if it is still ours to do.
func once(ctx context.Context, w *jobs.Work, act string) error {
	key := w.Item().Key
	status, err := call(ctx, http.MethodGet, act, key)
	if err != nil || status == http.StatusOK {
		return err
	}
	if _, err := w.Check(ctx); err != nil {
		return err
	}
	_, err = call(ctx, http.MethodPost, act, key)
	return err
}

func call(ctx context.Context, method, act, key string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, os.Getenv(envPeer)+"/"+act+"/"+key, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Worker", os.Getenv(envPlan))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// suicidal is a store whose process is killed around one of its commits.
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

// peer plays the vendor: it counts what was done for each key, and kills a worker
// at one moment of one call.
type peer struct {
	*httptest.Server
	mu      sync.Mutex
	done    map[string]int // act/key
	workers map[string]*worker
	busy    sync.WaitGroup
}

// worker is a child process, and when the peer is to kill it.
type worker struct {
	cmd    *exec.Cmd
	call   int    // which call; 0: none
	moment string // before, executed or replied
	calls  int
	freeze chan struct{} // stop it at that call instead, and say so
}

func startPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{done: map[string]int{}, workers: map[string]*worker{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what := strings.TrimPrefix(r.URL.Path, "/")
	child := p.workers[r.Header.Get("Worker")]
	now := false
	if child != nil {
		child.calls++
		now = child.calls == child.call
	}
	switch {
	case now && child.freeze != nil:
		_ = child.cmd.Process.Signal(syscall.SIGSTOP)
		awaitStopped(child.cmd.Process.Pid) // answered sooner, it may get past its Check before the signal takes hold
		close(child.freeze)
	case now && child.moment == "before":
		_ = child.cmd.Process.Kill()
		return
	}
	switch {
	case r.Method == http.MethodPost:
		p.done[what]++
	case p.done[what] == 0:
		w.WriteHeader(http.StatusNotFound)
	}
	if now && child.freeze == nil && child.moment == "executed" {
		_ = child.cmd.Process.Kill()
		panic(http.ErrAbortHandler)
	}
	if now && child.freeze == nil && child.moment == "replied" {
		w.(http.Flusher).Flush()
		_ = child.cmd.Process.Kill()
	}
}

// awaitStopped returns when the process stands still: state T of proc(5).
func awaitStopped(pid int) {
	for range 1000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return // another system: the signal alone has to do
		}
		if _, rest, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(rest, "T") {
			return
		}
		<-time.After(time.Millisecond)
	}
}

// start starts a worker; plan is its number and decides when it is killed.
func (p *peer) start(t *testing.T, where string, plan int, mortal bool) (*worker, *bufio.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envStore+"="+where, envPeer+"="+p.URL, envPlan+"="+strconv.Itoa(plan))
	cmd.Stderr = os.Stderr
	child := &worker{cmd: cmd}
	if mortal {
		nth, moments := plan/5, []string{"before", "executed", "replied"}
		if plan%5 < 3 {
			child.call, child.moment = 1+nth%20, moments[plan%5]
		} else {
			cmd.Env = append(cmd.Env, envKill+"="+fmt.Sprintf("%d %s", 1+nth%50, []string{"before", "after"}[plan%2]))
		}
	}
	out, err := cmd.StdoutPipe()
	must(t, err)
	p.mu.Lock() // before the peer hears of it
	defer p.mu.Unlock()
	must(t, cmd.Start())
	p.workers[strconv.Itoa(plan)] = child
	return child, bufio.NewReader(out)
}

// work runs one worker to its end and gives what it acknowledged and whether it was killed.
func (p *peer) work(t *testing.T, where string, plan int, mortal bool) (added []string, killed bool) {
	child, out := p.start(t, where, plan, mortal)
	for {
		line, err := out.ReadString('\n')
		if err != nil { // a line without end was not said
			break
		}
		if key, ok := strings.CutPrefix(strings.TrimSpace(line), "added "); ok {
			added = append(added, key)
		}
	}
	err := child.cmd.Wait()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		status, _ := failed.Sys().(syscall.WaitStatus)
		if !status.Signaled() {
			t.Errorf("worker %d failed: %v", plan, err)
		}
		return added, status.Signaled()
	}
	return added, false
}

// TestKill: workers are killed at every kind of moment, before and after each of
// their commits and around each of their calls to the peer. Nothing that was
// acknowledged is lost, nothing is stuck, nothing is done twice (R30, R31, F63).
func TestKill(t *testing.T) {
	kills := 100
	if *long {
		kills = 1000
	}
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "kdgate.db")
		killWorkers(t, "sqlite:"+path, kills, 1)
	})
	t.Run("redis", func(t *testing.T) {
		killWorkers(t, "redis:"+storetest.StartRedis(t).Addr, kills, 2)
	})
}

func killWorkers(t *testing.T, where string, kills, atOnce int) {
	t.Parallel()
	p := startPeer(t)
	var plan, killed atomic.Int64
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for int(killed.Load()) < kills && !t.Failed() {
				added, dead := p.work(t, where, int(plan.Add(1)), true)
				if dead {
					killed.Add(1)
				}
				mu.Lock()
				for _, key := range added {
					acknowledged[key] = true
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if _, dead := p.work(t, where, int(plan.Add(1)), false); dead {
		t.Fatal("the last worker did not end by itself")
	}
	t.Logf("%d workers killed, %d items", killed.Load(), len(acknowledged))
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range acknowledged {
		for _, act := range []string{"saved", "submitted"} {
			if n := p.done[act+"/"+key]; n != 1 {
				t.Errorf("%s was %s %d times", key, act, n)
			}
		}
	}
	wantAllDone(t, where, len(acknowledged))
}

// wantAllDone looks into the store that the workers left behind.
func wantAllDone(t *testing.T, where string, least int) {
	t.Helper()
	kind, address, _ := strings.Cut(where, ":")
	s, err := openStore(t.Context(), kind, address)
	must(t, err)
	q, err := jobs.New(jobs.Config{Store: s, Recorder: &recorder{}})
	must(t, err)
	counts, err := q.Counts(t.Context())
	must(t, err)
	if len(counts) != 1 || counts[0].State != jobs.Done || counts[0].N < least {
		t.Errorf("left behind: %+v, want %d done", counts, least)
	}
}

// TestStopped: a worker is stopped by SIGSTOP between asking the peer and acting,
// for longer than its lease, and goes on when another has done the work: it is
// refused and does no more (R35).
func TestStopped(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	where := "redis:" + storetest.StartRedis(t).Addr
	stopped, out := p.start(t, where, 0, false)
	frozen := make(chan struct{})
	p.mu.Lock()
	stopped.call, stopped.freeze = 1, frozen
	p.mu.Unlock()
	<-frozen
	if _, dead := p.work(t, where, 1, false); dead { // takes over, and ends when nothing is left
		t.Fatal("the second worker died")
	}
	p.mu.Lock()
	before := len(p.done)
	for what, n := range p.done {
		if n != 1 {
			t.Errorf("%s %d times before the first worker goes on", what, n)
		}
	}
	p.mu.Unlock()
	must(t, stopped.cmd.Process.Signal(syscall.SIGCONT))
	said, err := io.ReadAll(out)
	must(t, err)
	must(t, stopped.cmd.Wait())
	if !strings.Contains(string(said), "refused ") {
		t.Errorf("the stopped worker was not refused; it said %q", said)
	}
	wantAllDone(t, where, 10)
	for what, n := range p.done {
		if n != 1 {
			t.Errorf("%s %d times after the first worker went on", what, n)
		}
	}
	if len(p.done) != before {
		t.Errorf("%d acts before, %d after", before, len(p.done))
	}
}
