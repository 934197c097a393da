package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
)

// bubble runs a test over a SQLite file in a bubble whose clock moves by itself.
func bubble(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		test(t, newRig(t, sqliteAt(t, dir+"/kdgate.db"), func(c *jobs.Config) { c.Now, c.Elapsed = nil, nil }))
	})
}

// run runs a pool over q until the function it gives is called.
func (r *rig) run(q *jobs.Queue, kinds ...jobs.Kind) (stop func() error) {
	r.Helper()
	pool, err := jobs.NewPool(jobs.PoolConfig{Queue: q, Kinds: kinds})
	must(r, err)
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error, 1)
	go func() { done <- pool.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

func bill(h jobs.HandlerFunc) jobs.Kind { return jobs.Kind{Name: "bill", Handler: h} }

func (r *rig) addKind(kind, key string) {
	r.Helper()
	_, _, err := r.Add(r.Context(), jobs.Draft{ID: jobs.ID{Kind: kind, Key: key}})
	must(r, err)
}

// TestPoolWakes: a new item is worked at once, not at the next poll.
func TestPoolWakes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		worked := make(chan time.Time, 10)
		stop := r.run(r.Queue, bill(func(context.Context, *jobs.Work) error {
			worked <- time.Now()
			return nil
		}))
		time.Sleep(time.Minute + 777*time.Millisecond)
		began := time.Now()
		r.add("x")
		if took := (<-worked).Sub(began); took > 10*time.Millisecond {
			t.Errorf("worked after %s", took)
		}
		_, _, err := r.Add(t.Context(), jobs.Draft{ID: id("later"), Due: began.Add(3210 * time.Millisecond)})
		must(t, err)
		if late := (<-worked).Sub(began.Add(3210 * time.Millisecond)); late < 0 || late > 10*time.Millisecond {
			t.Errorf("worked %s after it was due", late)
		}
		must(t, stop())
	})
}

// TestPoisonAndSlow: a poison item, an item that panics, one that ends its
// goroutine, and a kind that hangs delay nobody else (R44, T128).
func TestPoisonAndSlow(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var good atomic.Int64
		finished := make(chan time.Time, 1)
		for i := range 100 {
			r.add(fmt.Sprintf("%03d", i))
			r.addKind("slow", fmt.Sprintf("%03d", i))
		}
		began := time.Now()
		stop := r.run(r.Queue,
			jobs.Kind{Name: "slow", Handler: jobs.HandlerFunc(func(ctx context.Context, _ *jobs.Work) error {
				<-ctx.Done()
				return context.Cause(ctx)
			})},
			bill(func(_ context.Context, w *jobs.Work) error {
				switch w.Item().Key {
				case "000":
					return errors.New("poison")
				case "001":
					panic("poison")
				case "002":
					runtime.Goexit()
				}
				if good.Add(1) == 97 {
					finished <- time.Now()
				}
				return nil
			}))
		if took := (<-finished).Sub(began); took > time.Second {
			t.Errorf("the good ones took %s", took)
		}
		time.Sleep(2 * time.Minute)
		must(t, stop())
		for _, key := range []string{"000", "001", "002"} {
			it := r.wantState(key, jobs.Dead)
			if it.Tries != 4 || len(it.History) != 4 {
				t.Errorf("%s: %d tries, %d lines", key, it.Tries, len(it.History))
			}
		}
		if it := r.get("001"); !strings.Contains(it.Failure.Private, "panic: poison") || it.Failure.Words != "a fault of ours" {
			t.Errorf("the panic is kept as %+v", it.Failure)
		}
		if n := len(r.log.actions()); n != 3 {
			t.Errorf("%d dead items recorded", n)
		}
	})
}

// TestHandBack: at the end handlers get their grace, and what they have not
// finished is ready again at once, no try used up (R52).
func TestHandBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.add("quick")
		r.add("slow")
		began := make(chan struct{}, 2)
		stop := r.run(r.Queue, bill(func(ctx context.Context, w *jobs.Work) error {
			began <- struct{}{}
			limit := time.Hour
			if w.Item().Key == "quick" {
				limit = 3 * time.Second
			}
			select {
			case <-time.After(limit):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
		<-began
		<-began
		asked := time.Now()
		must(t, stop())
		if took := time.Since(asked); took > 9*time.Second {
			t.Errorf("stopping took %s", took)
		}
		r.wantState("quick", jobs.Done)
		it := r.wantState("slow", jobs.Ready)
		if it.Tries != 0 || it.Due.After(time.Now()) || it.History[0].Result != jobs.ResultReturned {
			t.Errorf("handed back as %+v", it)
		}
		r.one(r.replica("two"))
	})
}

// TestDeafHandler: a handler that does not listen keeps its lease, and Run says so.
func TestDeafHandler(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.add("x")
		began, end := make(chan struct{}), make(chan struct{})
		stop := r.run(r.Queue, bill(func(context.Context, *jobs.Work) error {
			close(began)
			<-end
			return nil
		}))
		<-began
		if err := stop(); err == nil || !strings.Contains(err.Error(), "bill") {
			t.Errorf("stopped with %v", err)
		}
		r.wantState("x", jobs.Leased)
		close(end)
		synctest.Wait()
	})
}

// TestLongWork: a handler that works for ten leases keeps its item.
func TestLongWork(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.add("x")
		var began atomic.Int64
		work := bill(func(ctx context.Context, _ *jobs.Work) error {
			began.Add(1)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * lease):
				return nil
			}
		})
		work.Timeout = time.Hour
		stop1, stop2 := r.run(r.Queue, work), r.run(r.replica("two"), work)
		time.Sleep(11 * lease)
		must(t, stop1())
		must(t, stop2())
		if it := r.wantState("x", jobs.Done); began.Load() != 1 || it.Losses != 0 {
			t.Errorf("begun %d times, %d losses", began.Load(), it.Losses)
		}
	})
}

// frozen is a store that answers nothing while it is cut off.
type frozen struct {
	store.Store
	cut atomic.Bool
}

func (f *frozen) Commit(ctx context.Context, ops ...store.Op) error {
	if f.cut.Load() {
		return store.ErrUnavailable
	}
	return f.Store.Commit(ctx, ops...)
}

// TestLostLease: a handler whose replica is cut off from the store has its
// context ended before the lease is over; another works the item; the late one
// changes nothing.
func TestLostLease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		cut := &frozen{Store: r.store}
		cfg := r.cfg
		cfg.Store = cut
		q, err := jobs.New(cfg)
		must(t, err)
		r.add("x")
		began, ended := make(chan struct{}), make(chan time.Time, 1)
		stop := r.run(q, bill(func(ctx context.Context, w *jobs.Work) error {
			close(began)
			<-ctx.Done()
			ended <- time.Now()
			return w.Step(context.WithoutCancel(ctx), "late", nil)
		}))
		<-began
		cutAt := time.Now()
		cut.cut.Store(true)
		stop2 := r.run(r.replica("two"), bill(func(context.Context, *jobs.Work) error { return nil }))
		if took := (<-ended).Sub(cutAt); took > lease {
			t.Errorf("its context ended %s after it was cut off", took)
		}
		time.Sleep(2 * lease)
		cut.cut.Store(false)
		must(t, stop2())
		if it := r.wantState("x", jobs.Done); it.Step.Name != "" || it.History[0].Result != jobs.ResultLost {
			t.Errorf("done as %+v", it)
		}
		must(t, stop())
	})
}

// TestPeerAway: while the peer is away for an hour it is asked rarely, no
// item uses up a try, and work goes on within ten seconds of its return (R26, R29).
func TestPeerAway(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range 300 {
			r.add(fmt.Sprint(i))
		}
		var away atomic.Bool
		var asked, done atomic.Int64
		away.Store(true)
		finished := make(chan struct{})
		stop := r.run(r.Queue, bill(func(context.Context, *jobs.Work) error {
			asked.Add(1)
			if away.Load() {
				return identity.Fail(identity.Unavailable, identity.CodeKingdeeDown, "refused")
			}
			if done.Add(1) == 300 {
				close(finished)
			}
			return nil
		}))
		time.Sleep(time.Hour)
		if n := asked.Load(); n < 360 || n > 900 {
			t.Errorf("asked %d times in an hour", n)
		}
		away.Store(false)
		back := time.Now()
		<-finished
		if took := time.Since(back); took > 20*time.Second {
			t.Errorf("drained %s after the return", took)
		}
		must(t, stop())
	})
}

// TestThrottled: when the peer asks for silence nobody calls it until then, on
// either replica; a person ends a pause early (R20).
func TestThrottled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range 50 {
			r.add(fmt.Sprint(i))
		}
		var until atomic.Int64
		var during, after atomic.Int64
		work := bill(func(context.Context, *jobs.Work) error {
			switch end := until.Load(); {
			case end == 0:
				silence := time.Now().Add(5 * time.Minute)
				until.Store(silence.UnixNano())
				return jobs.Throttled(errors.New("status 1111"), silence)
			case time.Now().UnixNano() < end:
				during.Add(1)
			default:
				after.Add(1)
			}
			return nil
		})
		work.Workers = 1
		stop1 := r.run(r.Queue, work)
		time.Sleep(time.Second)
		stop2 := r.run(r.replica("two"), work)
		time.Sleep(4 * time.Minute)
		r.add("new")
		time.Sleep(55 * time.Second)
		if pauses, err := r.Pauses(t.Context()); err != nil || len(pauses) != 1 || pauses[0].Kind != "bill" {
			t.Errorf("pauses %+v, %v", pauses, err)
		}
		time.Sleep(15 * time.Second)
		if during.Load() != 0 || after.Load() != 51 {
			t.Errorf("%d calls during the pause, %d after it", during.Load(), after.Load())
		}
		must(t, r.PauseKind(t.Context(), admin, jobs.Pause{Kind: "bill", Until: time.Now().Add(time.Hour), Why: "month end"}))
		r.add("paused")
		time.Sleep(30 * time.Minute)
		r.wantState("paused", jobs.Ready)
		must(t, r.ResumeKind(t.Context(), admin, "bill"))
		time.Sleep(time.Second)
		r.wantState("paused", jobs.Done)
		must(t, stop1())
		must(t, stop2())
	})
}

// TestCrashLoop: an item whose workers die each time is dead after so many
// losses; one step made starts the count anew.
func TestCrashLoop(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.add("x")
		r.one(r.replica("dead")) // and never heard of again
		for range 2 {
			q := r.replica("dead too")
			r.take(q, 1)
			time.Sleep(lease + time.Second)
			r.one(q)
		}
		work := bill(func(context.Context, *jobs.Work) error { return errors.New("never called") })
		work.Retry.Losses = 2
		stop := r.run(r.Queue, work)
		time.Sleep(2 * lease)
		must(t, stop())
		if it := r.wantState("x", jobs.Dead); it.Failure.Words != "its worker died each time" || it.Losses != 3 {
			t.Errorf("dead as %+v, %+v", it, it.Failure)
		}
	})
}

// gauge keeps the counts it is told.
type gauge struct {
	mu       sync.Mutex
	jobs     map[string]int
	attempts map[string]int
}

func (g *gauge) Jobs(kind, state string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.jobs[kind+" "+state] = n
}

func (g *gauge) JobAttempt(kind, result string, _ time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.attempts[kind+" "+result]++
}

// TestObserver: the gauge follows the queue, down to zero (kdgate_jobs).
func TestObserver(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := &gauge{jobs: map[string]int{}, attempts: map[string]int{}}
		r := newRig(t, sqliteAt(t, dir+"/kdgate.db"), func(c *jobs.Config) { c.Now, c.Elapsed, c.Observer = nil, nil, g })
		r.addKind("other", "x")
		for i := range 3 {
			r.add(fmt.Sprint(i))
		}
		begin := make(chan struct{})
		stop := r.run(r.Queue, bill(func(_ context.Context, w *jobs.Work) error {
			<-begin
			if w.Item().Key == "0" {
				return jobs.Permanent(errors.New("no"))
			}
			return nil
		}))
		time.Sleep(time.Minute)
		g.mu.Lock()
		before := fmt.Sprint(g.jobs)
		g.mu.Unlock()
		close(begin)
		time.Sleep(time.Minute)
		must(t, stop())
		if want := "map[bill dead:0 bill done:0 bill given-up:0 bill leased:3 bill ready:0 other ready:1]"; before != want {
			t.Errorf("counts %s, want %s", before, want)
		}
		if want := "map[bill dead:1 bill done:2 bill given-up:0 bill leased:0 bill ready:0 other ready:1]"; fmt.Sprint(g.jobs) != want {
			t.Errorf("counts %v, want %s", g.jobs, want)
		}
		if want := "map[bill dead:1 bill done:2]"; fmt.Sprint(g.attempts) != want {
			t.Errorf("attempts %v, want %s", g.attempts, want)
		}
	})
}

// TestStepsResume: a handler that fails half way goes on after its last step.
func TestStepsResume(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.add("x")
		var path []string
		stop := r.run(r.Queue, bill(func(ctx context.Context, w *jobs.Work) error {
			for i, name := range []string{"fetched", "saved", "submitted"} {
				var n int
				if data := w.Item().Step.Data; len(data) > 0 {
					must(t, json.Unmarshal(data, &n))
				}
				if n > i {
					continue
				}
				path = append(path, name)
				data, err := json.Marshal(i + 1)
				must(t, err)
				must(t, w.Step(ctx, name, data))
				if name == "saved" {
					return errors.New("cut off")
				}
			}
			return nil
		}))
		time.Sleep(time.Minute)
		must(t, stop())
		r.wantState("x", jobs.Done)
		if got := strings.Join(path, " "); got != "fetched saved submitted" {
			t.Errorf("steps: %s", got)
		}
	})
}

func TestPoolConfig(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	work := bill(func(context.Context, *jobs.Work) error { return nil })
	for _, cfg := range []jobs.PoolConfig{
		{},
		{Queue: r.Queue, Kinds: []jobs.Kind{work, work}},
		{Queue: r.Queue, Kinds: []jobs.Kind{{Name: "x"}}},
		{Queue: r.Queue, Kinds: []jobs.Kind{{Name: "A/b", Handler: work.Handler}}},
	} {
		if _, err := jobs.NewPool(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
	if _, err := jobs.New(jobs.Config{}); err == nil {
		t.Error("an empty configuration was taken")
	}
}
