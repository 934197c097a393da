package directory_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/directory"
	"kdgate/jobs/schedule"
)

// TestPlan proves F51: a comparison that the budget cannot afford at its times is
// stretched, and says so; silence that DingTalk asked for comes first.
func TestPlan(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	r := start(t, crowd(300), func(c *directory.Config) { c.Now = func() time.Time { return now } })
	plan := func(b directory.Budget) directory.Plan {
		t.Helper()
		p, err := r.Plan(t.Context(), b)
		r.must(err)
		return p
	}
	if p := plan(directory.Budget{PerMinute: 1}); p != (directory.Plan{}) {
		t.Errorf("before the first run: %+v", p)
	}
	before := len(r.ding.Calls(""))
	r.run(directory.Order{})
	made := len(r.ding.Calls("")) - before
	p := plan(directory.Budget{PerMinute: 2})
	if p.Calls < made/2 || p.Calls > made*2 {
		t.Errorf("estimated %d, %d were made", p.Calls, made)
	}
	if p.Every != time.Duration(p.Calls)*time.Minute || !p.Next.Equal(now.Add(p.Every)) || !strings.Contains(p.Words, "2 a minute") {
		t.Errorf("half of two calls a minute: %+v", p)
	}
	now = now.Add(p.Every)
	if p := plan(directory.Budget{PerMinute: 2}); !p.Next.IsZero() || p.Words != "" {
		t.Errorf("when it is affordable again: %+v", p)
	}
	if p := plan(directory.Budget{Rest: time.Hour}); !p.Next.Equal(now.Add(time.Hour)) || !strings.Contains(p.Words, "silence") {
		t.Errorf("while DingTalk wants silence: %+v", p)
	}
}

// TestScopesOncePerDay proves F92: the range of the application, which costs
// monthly quota, is asked for once a day, and an old answer serves while none
// can be had.
func TestScopesOncePerDay(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	r := start(t, crowd(3), func(c *directory.Config) { c.Now = func() time.Time { return now } })
	clock := func() directory.Run {
		t.Helper()
		now = now.Add(time.Minute)
		run, err := r.Run(t.Context(), directory.Order{By: jobs.Actor{Name: audit.System}}, nil)
		r.must(err)
		return run
	}
	asked := func() int { return len(r.ding.Calls("auth/scopes")) }
	for range 3 {
		clock()
	}
	if asked() != 1 {
		t.Errorf("asked %d times in three runs", asked())
	}
	r.run(directory.Order{})
	if asked() != 2 {
		t.Errorf("a person's run asked %d times", asked()-1)
	}
	now = now.Add(25 * time.Hour)
	_, err := r.ding.AddFault(dingtalksim.Fault{Match: "auth/scopes", Kind: "status", Status: 503, Times: 1000})
	r.must(err)
	run := clock()
	if run.Ending != directory.Complete || !run.Whole || len(run.Notes) != 1 {
		t.Errorf("while it cannot be asked: %s %+v", run.Ending, run.Notes)
	}
}

// TestStopped proves F55: a run that a person stops ends, and the next one is
// another.
func TestStopped(t *testing.T) {
	r := start(t, crowd(30), nil)
	ctx, stop := context.WithCancelCause(t.Context())
	run, err := r.Run(ctx, directory.Order{By: cli, Dry: true}, func(directory.Phase, int, int) { stop(schedule.ErrStopped) })
	if !errors.Is(err, schedule.ErrStopped) || run.Ending != directory.Stopped {
		t.Fatalf("%v, %+v", err, run)
	}
	if next := r.run(directory.Order{}); next.ID == run.ID || next.Ending != directory.Complete || next.Counts.Created != 30 {
		t.Errorf("after it: %+v", next)
	}
	runs, err := r.Runs(t.Context(), 5)
	r.must(err)
	if len(runs) != 2 || runs[1].ID != run.ID {
		t.Errorf("%d runs", len(runs))
	}
	if again, err := r.RunOf(t.Context(), run.ID); err != nil || again.Why == "" {
		t.Errorf("%v, %+v", err, again)
	}
}

// TestAnotherOrder: a run that a crash left gives way to one of another kind.
func TestAnotherOrder(t *testing.T) {
	r := start(t, crowd(30), nil)
	ctx, kill := context.WithCancel(t.Context())
	left, err := r.Run(ctx, directory.Order{By: cli, Dry: true}, func(directory.Phase, int, int) { kill() })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if run := r.run(directory.Order{}); run.ID == left.ID || run.Dry || run.Counts.Created != 30 {
		t.Errorf("%+v", run)
	}
	ended, err := r.RunOf(t.Context(), left.ID)
	r.must(err)
	if ended.Ending != directory.Stopped {
		t.Errorf("what was left: %+v", ended)
	}
}

// TestOrderWaits: an order reaches whoever runs the tasks, once, and none
// takes the place of another: a preview stays one.
func TestOrderWaits(t *testing.T) {
	r := start(t, nil, nil)
	r.must(r.Place(t.Context(), directory.Order{By: cli, Dry: true, Allow: 31}))
	if err := r.Place(t.Context(), directory.Order{By: cli, Allow: 30}); identity.KindOf(err) != identity.Conflict {
		t.Errorf("a second order: %v", err)
	}
	o, there, err := r.Placed(t.Context())
	if err != nil || !there || !o.Dry || o.Allow != 31 || o.By.Name != cli.Name {
		t.Errorf("%+v, %v, %v", o, there, err)
	}
	if _, again, err := r.Placed(t.Context()); again || err != nil {
		t.Errorf("taken twice: %v, %v", again, err)
	}
	r.must(r.Place(t.Context(), directory.Order{By: cli}))
}
