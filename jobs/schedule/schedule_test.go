package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/lease"
	"kdgate/jobs/schedule"
	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/sqlitestore"
	"kdgate/store/storetest"
)

var admin = jobs.Actor{Name: "dingcorp1/manager01", Source: "203.0.113.7", RequestID: "req-1"}

// rig is a schedule over a real store, in a bubble whose clock moves by itself.
type rig struct {
	*testing.T
	store store.Store
	log   recorder
	skew  atomic.Int64 // of the wall clock
}

type recorder struct {
	mu     sync.Mutex
	events []audit.Event
	fault  error
}

func (r *recorder) Append(_ context.Context, e audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault == nil {
		r.events = append(r.events, e)
	}
	return r.fault
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func seal(t *testing.T, driver store.Driver) store.Store {
	t.Helper()
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{[]byte(strings.Repeat("k", store.MinSealKey))}})
	must(t, err)
	return sealed
}

// bubble runs a test over a SQLite file with a clock of its own.
func bubble(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(dir, "kdgate.db")})
		must(t, err)
		t.Cleanup(func() { must(t, driver.Close()) })
		test(t, &rig{T: t, store: seal(t, driver)})
	})
}

func (r *rig) replica(owner string, tasks ...schedule.Task) *schedule.Schedule {
	r.Helper()
	l, err := lease.New(lease.Config{Store: r.store, Name: "schedule", Owner: owner, Long: 5 * time.Minute})
	must(r, err)
	s, err := schedule.New(schedule.Config{
		Store: r.store, Lease: l, Recorder: &r.log, Tasks: tasks, KeepRuns: 5,
		Now: func() time.Time { return time.Now().Add(time.Duration(r.skew.Load())) },
	})
	must(r, err)
	return s
}

// run runs s until the function it gives is called.
func (r *rig) run(s *schedule.Schedule) (stop func()) {
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		r.Helper()
		cancel()
		must(r, <-done)
	}
}

func spec(t testing.TB, text string) schedule.Spec {
	t.Helper()
	parsed, err := schedule.Parse(text)
	must(t, err)
	return parsed
}

func (r *rig) runs(s *schedule.Schedule, task string) []schedule.Run {
	r.Helper()
	runs, _, err := s.Runs(r.Context(), task, "", 100)
	must(r, err)
	return runs
}

// states writes runs as text, newest first.
func states(runs []schedule.Run) string {
	var list []string
	for _, run := range runs {
		list = append(list, fmt.Sprintf("%s/%d", run.State, run.Attempt))
	}
	return strings.Join(list, " ")
}

// TestByTheClock: an interval and a cron task, in UTC+8, with a bounded history.
func TestByTheClock(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var often, nightly []time.Time
		s := r.replica("one",
			schedule.Task{Name: "often", Spec: spec(t, "@every 10m"), Do: func(context.Context, *schedule.Progress) error {
				often = append(often, time.Now())
				return nil
			}},
			schedule.Task{Name: "nightly", Spec: spec(t, "30 2 * * *"), Do: func(context.Context, *schedule.Progress) error {
				nightly = append(nightly, time.Now().UTC())
				return nil
			}})
		stop := r.run(s)
		time.Sleep(24*time.Hour + time.Minute)
		stop()
		if len(often) < 143 || len(often) > 144 {
			t.Errorf("%d runs a day, every ten minutes", len(often))
		}
		if len(nightly) != 1 || nightly[0].Hour() != 18 || nightly[0].Minute() != 30 {
			t.Errorf("02:30 in UTC+8 came as %v", nightly)
		}
		if n := len(r.runs(s, "often")); n != 5 {
			t.Errorf("%d runs kept, want 5", n)
		}
	})
}

// TestNoOverlap: a run longer than its period never runs twice at once, on two
// replicas; what it missed is made up for once (R48).
func TestNoOverlap(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var now, most, ran atomic.Int64
		task := schedule.Task{Name: "long", Spec: spec(t, "@every 1m"), Do: func(ctx context.Context, _ *schedule.Progress) error {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			ran.Add(1)
			select {
			case <-time.After(150 * time.Second):
			case <-ctx.Done():
			}
			return nil
		}}
		stop1, stop2 := r.run(r.replica("one", task)), r.run(r.replica("two", task))
		time.Sleep(time.Hour)
		stop1()
		time.Sleep(time.Hour)
		stop2()
		if most.Load() != 1 {
			t.Errorf("%d at once", most.Load())
		}
		if n := ran.Load(); n < 46 || n > 49 {
			t.Errorf("%d runs of 150 s in two hours", n)
		}
	})
}

// TestMissedOnce: after a day of downtime a task that was due 144 times runs once.
func TestMissedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var ran atomic.Int64
		task := schedule.Task{Name: "often", Spec: spec(t, "@every 10m"), Do: func(context.Context, *schedule.Progress) error {
			ran.Add(1)
			return nil
		}}
		stop := r.run(r.replica("one", task))
		time.Sleep(time.Minute)
		stop()
		time.Sleep(24 * time.Hour)
		stop = r.run(r.replica("two", task))
		time.Sleep(5 * time.Minute)
		stop()
		if ran.Load() != 1 {
			t.Errorf("ran %d times", ran.Load())
		}
	})
}

// TestClockBack: the wall clock goes back an hour; tasks go on in their period (R50).
func TestClockBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var ran atomic.Int64
		stop := r.run(r.replica("one", schedule.Task{Name: "often", Spec: spec(t, "@every 10m"), Do: func(context.Context, *schedule.Progress) error {
			ran.Add(1)
			return nil
		}}))
		time.Sleep(31 * time.Minute)
		before := ran.Load()
		r.skew.Store(int64(-time.Hour))
		time.Sleep(31 * time.Minute)
		stop()
		if more := ran.Load() - before; before != 3 || more < 2 || more > 3 {
			t.Errorf("%d runs before the step, %d after", before, more)
		}
	})
}

// TestEnds: what a task returns, and a panic, become the state of its run.
func TestEnds(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		broken := identity.Fail(identity.Unavailable, identity.CodeKingdeeDown, "call https://k/x?token=s3cret: refused")
		ends := map[string]func() error{
			"complete": func() error { return nil },
			"partial":  func() error { return fmt.Errorf("3 of 9 refused: %w", schedule.ErrPartial) },
			"broken":   func() error { return broken },
			"panics":   func() error { panic("boom") },
		}
		var tasks []schedule.Task
		for name, end := range ends {
			tasks = append(tasks, schedule.Task{Name: name, AtOnce: true, Do: func(_ context.Context, p *schedule.Progress) error {
				p.Total(9)
				p.Add(6)
				p.Count("created", 6)
				p.Say("half way")
				return end()
			}})
		}
		s := r.replica("one", tasks...)
		stop := r.run(s)
		time.Sleep(time.Minute)
		stop()
		want := map[string]schedule.State{"complete": schedule.Complete, "partial": schedule.Partial, "broken": schedule.Failed, "panics": schedule.Failed}
		status, err := s.Tasks(t.Context())
		must(t, err)
		for _, task := range status {
			last := task.Last
			if last == nil || last.State != want[task.Name] || last.Done != 6 || last.Total != 9 || last.Counts["created"] != 6 || last.Words != "half way" {
				t.Errorf("%s ended as %+v", task.Name, last)
				continue
			}
			if task.Name == "broken" && (last.Failure.Code != identity.CodeKingdeeDown || strings.Contains(last.Failure.Private, "s3cret")) {
				t.Errorf("broken is shown as %+v", last.Failure)
			}
			if task.Name == "panics" && !strings.Contains(last.Failure.Private, "boom") {
				t.Errorf("the panic is shown as %+v", last.Failure)
			}
		}
	})
}

// TestProgress is written once a second however often it is told (F33).
func TestProgress(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.replica("one", schedule.Task{Name: "long", AtOnce: true, Do: func(ctx context.Context, p *schedule.Progress) error {
			p.Total(1000)
			for range 1000 {
				p.Add(1)
				time.Sleep(10 * time.Millisecond)
			}
			return nil
		}})
		events, err := r.store.Watch(t.Context(), "schedule/run/long/")
		must(t, err)
		var writes atomic.Int64
		go func() {
			for range events {
				writes.Add(1)
			}
		}()
		stop := r.run(s)
		time.Sleep(5500 * time.Millisecond)
		if run := r.runs(s, "long")[0]; run.State != schedule.Running || run.Done < 400 || run.Done > 560 || run.Total != 1000 {
			t.Errorf("after 5.5 s: %+v", run)
		}
		time.Sleep(time.Minute)
		stop()
		if run := r.runs(s, "long")[0]; run.State != schedule.Complete || run.Done != 1000 {
			t.Errorf("at the end: %+v", run)
		}
		if n := writes.Load(); n > 15 {
			t.Errorf("%d writes for a run of ten seconds", n)
		}
	})
}

// TestPeople: run now, stop, pause and resume, through a replica that does not
// run tasks; each recorded before it is done (F33, T111).
func TestPeople(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var ran atomic.Int64
		task := schedule.Task{Name: "sync", Spec: spec(t, "@every 1h"), Do: func(ctx context.Context, _ *schedule.Progress) error {
			ran.Add(1)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Minute):
				return nil
			}
		}}
		stop := r.run(r.replica("one", task))
		s := r.replica("console", task)
		time.Sleep(time.Minute)
		wantErr(t, s.Stop(t.Context(), admin, "sync"), schedule.ErrNotRunning)
		must(t, s.RunNow(t.Context(), admin, "sync"))
		time.Sleep(time.Second)
		if run := r.runs(s, "sync")[0]; run.State != schedule.Running || run.By != admin.Name {
			t.Fatalf("asked for, and is %+v", run)
		}
		wantErr(t, s.RunNow(t.Context(), admin, "sync"), schedule.ErrRunning)
		must(t, s.Stop(t.Context(), admin, "sync"))
		time.Sleep(time.Second)
		if got := states(r.runs(s, "sync")); got != "stopped/1" {
			t.Errorf("stopped as %s", got)
		}
		must(t, s.Pause(t.Context(), admin, "sync", "month end"))
		time.Sleep(5 * time.Hour)
		must(t, s.Resume(t.Context(), admin, "sync"))
		time.Sleep(50 * time.Minute)
		if ran.Load() != 1 {
			t.Errorf("ran %d times: a pause is not made up for", ran.Load())
		}
		time.Sleep(30 * time.Minute)
		stop()
		if ran.Load() != 2 {
			t.Errorf("ran %d times after the pause", ran.Load())
		}
		var acts []string
		for _, e := range r.log.events {
			acts = append(acts, string(e.Action))
		}
		if got := strings.Join(acts, " "); got != "schedule.run schedule.stop schedule.pause schedule.resume" {
			t.Errorf("recorded %s", got)
		}
		r.log.fault = errors.New("disk full")
		if err := s.RunNow(t.Context(), admin, "sync"); identity.CodeOf(err) != identity.CodeAuditDown {
			t.Errorf("an act that cannot be recorded: %v", err)
		}
		if err := s.RunNow(t.Context(), admin, "nothing"); identity.KindOf(err) != identity.NotFound {
			t.Errorf("an unknown task: %v", err)
		}
	})
}

// TestHandover: a replica that stops leaves its run to the next, three times at most.
func TestHandover(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		task := schedule.Task{Name: "long", Spec: spec(t, "@every 24h"), AtOnce: true, Do: func(ctx context.Context, _ *schedule.Progress) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		var s *schedule.Schedule
		for range 5 {
			s = r.replica("one", task)
			stop := r.run(s)
			time.Sleep(time.Minute)
			stop()
		}
		if got := states(r.runs(s, "long")); got != "stopped/3 stopped/2 stopped/1" {
			t.Errorf("runs: %s", got)
		}
	})
}

// TestDeadReplica: the run of a replica that was killed is found, marked and
// begun again by the one that takes over; the dead one's words come too late (R35).
func TestDeadReplica(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		held := make(chan *schedule.Progress, 2)
		task := schedule.Task{Name: "sync", AtOnce: true, Do: func(ctx context.Context, p *schedule.Progress) error {
			held <- p
			<-ctx.Done()
			return ctx.Err()
		}}
		cut := &cutStore{Store: r.store}
		l, err := lease.New(lease.Config{Store: cut, Name: "schedule", Owner: "dead"})
		must(t, err)
		dead, err := schedule.New(schedule.Config{Store: cut, Lease: l, Recorder: &r.log, Tasks: []schedule.Task{task}})
		must(t, err)
		stopDead := r.run(dead)
		late := <-held
		cut.cut.Store(true)
		s := r.replica("two", task)
		stop := r.run(s)
		<-held
		if got := states(r.runs(s, "sync")); got != "running/2 failed/1" {
			t.Errorf("runs: %s", got)
		}
		if err := r.store.Commit(t.Context(), late.Guard(), store.Put("late", nil)); !errors.Is(err, store.ErrConflict) {
			t.Errorf("the dead replica's write: %v", err)
		}
		stop()
		stopDead()
	})
}

type cutStore struct {
	store.Store
	cut atomic.Bool
}

func (c *cutStore) Commit(ctx context.Context, ops ...store.Op) error {
	if c.cut.Load() {
		return store.ErrUnavailable
	}
	return c.Store.Commit(ctx, ops...)
}

// TestOnRedis: the same over the other driver, in real time: a wish of one
// replica is run by the other at once.
func TestOnRedis(t *testing.T) {
	driver, err := redisstore.Open(redisstore.Config{Addrs: []string{storetest.StartRedis(t).Addr}})
	must(t, err)
	t.Cleanup(func() { must(t, driver.Close()) })
	r := &rig{T: t, store: seal(t, driver)}
	ran := make(chan struct{}, 1)
	task := schedule.Task{Name: "sync", Do: func(context.Context, *schedule.Progress) error {
		ran <- struct{}{}
		return nil
	}}
	began := make(chan struct{})
	stop := r.run(r.replica("one", task, schedule.Task{Name: "first", AtOnce: true, Do: func(context.Context, *schedule.Progress) error {
		close(began)
		return nil
	}}))
	<-began
	must(t, r.replica("console", task).RunNow(t.Context(), admin, "sync"))
	<-ran
	stop()
}

func TestConfig(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		good := schedule.Task{Name: "x", Do: func(context.Context, *schedule.Progress) error { return nil }}
		l, err := lease.New(lease.Config{Store: r.store, Name: "schedule"})
		must(t, err)
		for _, tasks := range [][]schedule.Task{{{Name: "X", Do: good.Do}}, {{Name: "x"}}, {good, good}, {{Name: "a/b", Do: good.Do}}, {{Name: strings.Repeat("x", 41), Do: good.Do}}} {
			if _, err := schedule.New(schedule.Config{Store: r.store, Lease: l, Recorder: &r.log, Tasks: tasks}); err == nil {
				t.Errorf("%+v was taken", tasks)
			}
		}
		longest := schedule.Task{Name: strings.Repeat("x", 40), Do: good.Do}
		if _, err := schedule.New(schedule.Config{Store: r.store, Lease: l, Recorder: &r.log, Tasks: []schedule.Task{longest}}); err != nil {
			t.Error(err)
		}
		if _, err := schedule.New(schedule.Config{}); err == nil {
			t.Error("an empty configuration was taken")
		}
	})
}

// TestPurposeOutlivesTheReplica: what a run was asked for, and by whom, goes with
// it to the replica that begins it again; a run by the clock has none.
func TestPurposeOutlivesTheReplica(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var seen []string
		task := schedule.Task{Name: "long", Spec: spec(t, "@every 24h"), Do: func(ctx context.Context, p *schedule.Progress) error {
			seen = append(seen, fmt.Sprint(p.Run().By, " ", p.Run().For, " ", p.Run().Attempt))
			if len(seen) > 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		one := r.replica("one", task)
		stop := r.run(one)
		time.Sleep(time.Second)
		must(t, one.RunFor(t.Context(), jobs.Actor{Name: "cli:li"}, "long", "order"))
		time.Sleep(time.Minute)
		stop()
		stop = r.run(r.replica("two", task))
		time.Sleep(48 * time.Hour)
		stop()
		if len(seen) < 3 || seen[0] != "cli:li order 1" || seen[1] != "cli:li order 2" || seen[2] != "system  1" {
			t.Errorf("%q", seen)
		}
	})
}
