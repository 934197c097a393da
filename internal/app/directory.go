package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/identity/session"
	"kdgate/internal/config"
	"kdgate/jobs"
	"kdgate/jobs/directory"
	"kdgate/jobs/schedule"
	"kdgate/mapping"
)

// newKeeper joins DingTalk's address book to Kingdee's staff; nil when the
// configuration leaves the directory off.
func (c *Core) newKeeper(cfg *config.Config, v vendors, table *mapping.Table) (*directory.Keeper, error) {
	d := cfg.Directory
	if !d.On() {
		return nil, nil
	}
	keys, _ := kingdeeKeys(v.kingdee[d.DataCentre].section)
	keeper, err := directory.New(directory.Config{
		Corp: d.Corp, DataCentre: d.DataCentre, Store: c.store, Recorder: c.log,
		Source: v.dingtalk[d.Corp].api.Background(), Target: v.kingdee[d.DataCentre].api.Background(),
		Accounts: v.kingdee[d.DataCentre].api.Background(), Spared: cfg.Privileged(),
		Consents: c.directoryConsents(d), Minimum: d.Consent.Without == "minimum",
		Numbers: numbers{table, d.Corp, d.DataCentre}, Rules: directoryRules(d), Breaker: directory.Breaker{Share: d.Breaker.Share, Least: d.Breaker.Least},
		Now: c.options.Now, Logger: c.options.Logger, Release: c.options.Version,
		Forms: directory.Forms{Post: v.kingdee[d.DataCentre].section.Users.PostForm, Forbid: keys.Staff.ForbidStatus},
	}, c.queue)
	if err != nil {
		return nil, err
	}
	return keeper, nil
}

// numbers are the staff numbers that people chose in the mapping table.
type numbers struct {
	table            *mapping.Table
	corp, dataCentre string
}

// Given implements directory.Numbers.
func (n numbers) Given(ctx context.Context, userid string) (directory.Given, error) {
	row, err := n.table.Get(ctx, mapping.KeyOf(identity.Subject{Corp: n.corp, UserID: userid}, n.dataCentre))
	if err != nil && absent(err) {
		return directory.Given{}, nil
	}
	return givenBy(row), err
}

// All implements directory.Numbers.
func (n numbers) All(ctx context.Context) (map[string]directory.Given, error) {
	all := map[string]directory.Given{}
	for cursor := ""; ; {
		rows, next, err := n.table.List(ctx, mapping.Filter{DataCentre: n.dataCentre, Corp: n.corp}, cursor, 0)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if given := givenBy(row); given.Number != "" {
				all[row.UserID] = given
			}
		}
		if cursor = next; cursor == "" {
			return all, nil
		}
	}
}

// givenBy is what a row says, unless we derived it ourselves.
func givenBy(row mapping.Entry) directory.Given {
	if row.Owner == mapping.OwnerAuto {
		return directory.Given{}
	}
	return directory.Given{Number: row.StaffNumber, Own: !row.Shared && !row.Privileged}
}

func directoryRules(d config.Directory) directory.Rules {
	rules := directory.Rules{
		Number: d.StaffNumberFrom, Scope: d.Scope, MakeDepartments: d.MakeDepartments, DepartmentPrefix: d.DepartmentPrefix,
		DefaultPosition: d.DefaultPosition, Posts: directory.Posts(d.Posts), CreateUser: d.CreateUser,
		Departments: map[int64]string{}, Positions: map[string]string{}, Mobiles: map[string]string{},
	}
	for _, row := range d.Departments {
		rules.Departments[row.ID] = row.Number
	}
	for _, row := range d.Positions {
		rules.Positions[row.Title] = row.Number
	}
	for _, row := range d.Mobiles {
		rules.Mobiles[row.Country] = row.Pattern
	}
	for _, row := range d.Fields {
		rule := directory.FieldRule{Field: row.Field, From: row.From}
		for _, value := range row.Dictionary {
			if rule.Dictionary == nil {
				rule.Dictionary = map[string]string{}
			}
			rule.Dictionary[value.Value] = value.Text
		}
		rules.More = append(rules.More, rule)
	}
	return rules
}

// keepers are the keepers in force, by corp.
func (r *rooms) keepers() map[string]*directory.Keeper {
	if r.keeper == nil {
		return nil
	}
	return map[string]*directory.Keeper{r.config.Directory.Corp: r.keeper}
}

// ownDoors are what a leaver still holds of us.
type ownDoors struct {
	rooms    func() *rooms
	sessions *session.Manager
}

// Freeze implements directory.Doors.
func (d ownDoors) Freeze(ctx context.Context, who identity.Subject, reason string) (map[string][]string, error) {
	r := d.rooms()
	users := map[string][]string{}
	for _, dc := range r.config.DataCentres {
		row, err := r.table.Suspend(ctx, mapping.Actor{Name: audit.System}, mapping.KeyOf(who, dc.ID), reason)
		switch {
		case err == nil && row.LoginUser != "":
			users[dc.ID] = append(users[dc.ID], row.LoginUser)
		case err != nil && !absent(err):
			return nil, fmt.Errorf("data centre %s: %w", dc.ID, err)
		}
	}
	return users, nil
}

func absent(err error) bool {
	if identity.KindOf(err) == identity.NotFound {
		return true
	}
	refusal := mapping.RefusalOf(err)
	return refusal != nil && refusal.Reason == mapping.ReasonAbsent
}

// EndSessions implements directory.Doors.
func (d ownDoors) EndSessions(ctx context.Context, who identity.Subject) (int, error) {
	return d.sessions.EndAll(ctx, who)
}

// directoryKinds are the kinds of work that the directory puts on the list.
func (s *Server) directoryKinds() []jobs.Kind {
	wave := &directory.Wave{Now: s.options.Now}
	doors := ownDoors{s.rooms.Load, s.sessions}
	return []jobs.Kind{
		{Name: directory.KindPerson, Handler: jobs.HandlerFunc(func(ctx context.Context, w *jobs.Work) error {
			return directory.Persons{Keepers: s.rooms.Load().keepers()}.Handle(ctx, w)
		})},
		{Name: directory.KindLeave, Handler: jobs.HandlerFunc(func(ctx context.Context, w *jobs.Work) error {
			leave := &directory.Leave{Keepers: s.rooms.Load().keepers(), Doors: doors, Recorder: s.log, Now: s.options.Now}
			return leave.Handle(ctx, w)
		})},
		{Name: directory.KindForbid, Handler: jobs.HandlerFunc(func(ctx context.Context, w *jobs.Work) error {
			r := s.rooms.Load()
			forbid := &directory.Forbid{
				Keepers: r.keepers(), Accounts: r.accounts(), Wave: wave, Spared: r.config.Privileged(),
				Recorder: leaverBell{s.log, s.Core}, Now: s.options.Now,
			}
			return forbid.Handle(ctx, w)
		})},
	}
}

// accounts are the login users of every data centre, as jobs ask about them.
func (r *rooms) accounts() map[string]directory.Accounts {
	all := map[string]directory.Accounts{}
	for id, client := range r.vendors.kingdee {
		all[id] = client.api.Background()
	}
	return all
}

// compare is the scheduled run, or the one that a person ordered. A preview ends
// before anything is written.
func (c *Core) compare(ctx context.Context, p *schedule.Progress) error {
	r := c.rooms.Load()
	if r.keeper == nil {
		return nil
	}
	order, err := c.orderOf(ctx, r.keeper, p.Run())
	if err != nil {
		return err
	}
	order.Dry = order.Dry || r.config.Directory.Mode == "preview"
	if order, err = r.keeper.Cautious(ctx, order); err != nil {
		return err
	}
	run, err := r.keeper.Run(ctx, order, teller(p))
	p.Say(runWords(run))
	n := run.Counts
	for name, n := range map[string]int{
		"people": n.People, "created": n.Created, "changed": n.Changed, "left": n.Left, "waiting": n.Waiting, "set_aside": n.SetAside, "drift": n.Drift,
	} {
		p.Count(name, int64(n))
	}
	switch {
	case err != nil:
		return err
	case run.Ending == directory.Complete:
		c.metrics.SyncLag(0)
		return nil
	case run.Ending == directory.Partial:
		c.metrics.SyncLag(0)
		return schedule.ErrPartial
	default:
		return jobs.Explain(errors.New(run.Why), run.Why)
	}
}

// orderOf is the order that a run was asked for by. One that is gone, because
// nobody ran the tasks for so long, is not guessed: what was to be a preview must
// not become a run that writes. A run that a lost replica had begun for it goes
// on as what it was.
func (c *Core) orderOf(ctx context.Context, keeper *directory.Keeper, run schedule.Run) (directory.Order, error) {
	order, placed, err := keeper.Placed(ctx)
	if err != nil || placed {
		return order, err
	}
	order = directory.Order{By: jobs.Actor{Name: run.By}}
	if run.For != directory.Ordered {
		return order, nil
	}
	under, there, err := keeper.Under(ctx)
	if err != nil {
		return order, err
	}
	if !there || under.By != run.By {
		return order, jobs.Explain(errors.New("app: the order of a run is gone"), "这次运行的要求已过期,未执行;请重新下达")
	}
	order.Dry, order.Real, order.First, order.Allow = under.Dry, !under.Dry, under.First, under.Allowed
	return order, nil
}

// teller shows how far a run is, phase by phase.
func teller(p *schedule.Progress) directory.Progress {
	var mu sync.Mutex
	var phase directory.Phase
	var told int64
	return func(now directory.Phase, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if now != phase {
			p.Say(string(now))
			phase = now
		}
		p.Total(int64(total))
		p.Add(int64(done) - told)
		told = int64(done)
	}
}

// runWords name a run and how it ended.
func runWords(run directory.Run) string {
	ending := string(run.Ending)
	if run.Ending == "" {
		ending = "interrupted"
	}
	if run.Dry {
		ending = "dry run, " + ending
	}
	return fmt.Sprintf("%s: %s", run.ID, ending)
}

// holdCompare says until when a comparison by the clock has to wait for DingTalk.
func (c *Core) holdCompare(ctx context.Context) (time.Time, string, error) {
	r := c.rooms.Load()
	if r.keeper == nil {
		return time.Time{}, "", nil
	}
	plan, err := r.keeper.Plan(ctx, r.budget(ctx))
	return plan.Next, plan.Words, err
}

// budget is what the directory may ask of DingTalk now.
func (r *rooms) budget(ctx context.Context) directory.Budget {
	client := r.vendors.dingtalk[r.config.Directory.Corp]
	quota := client.api.Quota(ctx)
	return directory.Budget{PerMinute: client.section.Quota.DirectoryPerMinute, Rest: quota.Banned}
}

// askDirectory is readiness's question about the comparison. Nobody's sign-in
// waits for it.
func (c *Core) askDirectory(ctx context.Context) error {
	r := c.rooms.Load()
	if r.keeper == nil {
		return nil
	}
	runs, err := r.keeper.Runs(ctx, 1)
	if err != nil {
		return err
	}
	if len(runs) == 1 && (runs[0].Ending == directory.Failed || runs[0].Ending == directory.Stopped) {
		return fmt.Errorf("run %s %s: %s", runs[0].ID, runs[0].Ending, runs[0].Why)
	}
	tasks, err := c.schedule.Tasks(ctx)
	if err != nil {
		return err
	}
	for _, task := range tasks {
		if task.Name == taskDirectory && task.Held != "" {
			return errors.New("comparisons are further apart than directory.every: " + task.Held)
		}
	}
	return nil
}

// mostDrifts bounds the count of what waits: that it is many is all that matters.
const mostDrifts = 1000

// drifts is how many records wait for somebody's word, as far as they can be counted.
func drifts(ctx context.Context, keeper *directory.Keeper) int {
	list, err := keeper.Drifts(ctx, "", mostDrifts)
	if err != nil {
		return 0 // the store's own fault is told by its own series
	}
	return len(list)
}

// lagEvery is how often the lag of the comparison is shown.
const lagEvery = 5 * time.Second

// showLag keeps the series near the truth that stand for something as it is now.
func (s *Server) showLag(ctx context.Context) {
	ticker := time.NewTicker(lagEvery)
	defer ticker.Stop()
	var whole time.Time
	for {
		whole = s.show(ctx, whole)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// wholeLook is how many runs are looked through for a whole one after a start.
const wholeLook = 200

// lastWhole is when the newest run that came to its end did so; known is what the
// look before found, which stands while runs fail or are stopped.
func lastWhole(ctx context.Context, k *directory.Keeper, known time.Time) time.Time {
	limit := 1
	if known.IsZero() {
		limit = wholeLook
	}
	runs, err := k.Runs(ctx, limit)
	if err != nil {
		return known
	}
	for _, run := range runs {
		if (run.Ending == directory.Complete || run.Ending == directory.Partial) && run.Ended.After(known) {
			return run.Ended
		}
	}
	return known
}

// show sets them once: what is left of quotas, how far clocks are apart, what
// waits for somebody's word, and how old the last whole comparison is. whole is
// when that was, as the look before found it; it gives what this one found.
func (s *Server) show(ctx context.Context, whole time.Time) time.Time {
	r := s.rooms.Load()
	for corp, client := range r.vendors.dingtalk {
		quota := client.api.Quota(ctx)
		s.metrics.QuotaLeft(corp, "calls", quota.Calls.Left)
		s.metrics.QuotaLeft(corp, "events", quota.Events.Left)
		s.metrics.Skew("dingtalk", corp, client.api.Skew())
	}
	for id, client := range r.vendors.kingdee {
		s.metrics.Skew("kingdee", id, client.api.Skew())
	}
	if r.keeper == nil {
		return whole
	}
	s.metrics.Drift(drifts(ctx, r.keeper))
	if whole = lastWhole(ctx, r.keeper, whole); !whole.IsZero() {
		s.metrics.SyncLag(s.options.Now().Sub(whole))
	}
	return whole
}
