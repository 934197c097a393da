package app

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"kdgate/dingtalk"
	"kdgate/internal/config"
	"kdgate/jobs"
	"kdgate/jobs/lease"
	"kdgate/jobs/schedule"
)

// openQueue makes the work list, which commands look at too.
func (c *Core) openQueue() error {
	var err error
	c.queue, err = jobs.New(jobs.Config{
		Store: c.store, Recorder: c.log, Observer: c.metrics, Owner: c.options.Replica,
		Alone: c.options.Config.Store.Driver == "sqlite", Now: c.options.Now,
	})
	return err
}

// The tasks by the clock.
const (
	taskDirectory = "directory"     // the comparison of both sides
	taskFailed    = "failed-events" // what callbacks missed
)

// failedEvery is when events whose callback failed are picked up: each question
// costs monthly quota, and what comparisons find they find anyway. Not on the
// hour, when everybody asks.
const failedEvery = "10 * * * *"

// openSchedule makes the tasks, which one replica runs. Commands look at them too.
func (c *Core) openSchedule() error {
	tasks, err := c.tasks()
	if err != nil {
		return err
	}
	c.schedule, err = c.newSchedule(tasks)
	return err
}

func (c *Core) newSchedule(tasks []schedule.Task) (*schedule.Schedule, error) {
	held, err := lease.New(lease.Config{Store: c.store, Name: "schedule", Owner: c.options.Replica, Now: c.options.Now, Log: c.options.Logger})
	if err != nil {
		return nil, err
	}
	return schedule.New(schedule.Config{
		Store: c.store, Lease: held, Recorder: c.log, Tasks: tasks, Now: c.options.Now, Log: c.options.Logger,
	})
}

func (c *Core) tasks() ([]schedule.Task, error) {
	tasks, err := c.searches()
	if err != nil {
		return nil, err
	}
	told, err := c.noticeTasks()
	if err != nil {
		return nil, err
	}
	dropped, err := c.hrTasks()
	if err != nil {
		return nil, err
	}
	tasks = slices.Concat(tasks, told, dropped)
	if cfg := c.options.Config.Directory; cfg.On() {
		spec, err := schedule.Parse(cfg.Every)
		if err != nil {
			return nil, fmt.Errorf("directory.every: %w", err)
		}
		tasks = append(tasks, schedule.Task{Name: taskDirectory, Spec: spec, Do: c.compare, Hold: c.holdCompare})
	}
	if every := c.options.Config.Mapping.Recheck; every != "off" {
		spec, err := schedule.Parse(every)
		if err != nil {
			return nil, fmt.Errorf("mapping.recheck: %w", err)
		}
		tasks = append(tasks, schedule.Task{Name: taskRecheck, Spec: spec, Do: c.recheck})
	}
	monthly, err := schedule.Parse(c.options.Config.Check.Every)
	if err != nil {
		return nil, fmt.Errorf("check.every: %w", err)
	}
	tasks = append(tasks, schedule.Task{Name: taskCheckup, Spec: monthly, Do: c.selfCheck})
	if len(c.rooms.Load().eventCorps("callback")) > 0 {
		spec, err := schedule.Parse(failedEvery)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, schedule.Task{Name: taskFailed, Spec: spec, Do: c.pullFailed})
	}
	return tasks, nil
}

// openWorkshop makes what works the list on every replica.
func (s *Server) openWorkshop() error {
	var err error
	s.pool, err = jobs.NewPool(jobs.PoolConfig{Queue: s.queue, Kinds: slices.Concat(s.directoryKinds(), s.hrKinds(), []jobs.Kind{s.approvalKind(), s.noticeKind(), s.arrivalKind()}), Log: s.options.Logger})
	return err
}

// workshop is the background work; each ends with its context.
func (s *Server) workshop() []func(context.Context) {
	told := func(what string, run func(context.Context) error) func(context.Context) {
		return func(ctx context.Context) {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				s.options.Logger.Error("background work ended", "what", what, "error", err)
			}
		}
	}
	return []func(context.Context){told("schedule", s.schedule.Run), told("jobs", s.pool.Run), s.listenToEvents, s.pullFailedAtStart, s.showLag}
}

// listenToEvents keeps an event stream open for every organisation that wants
// one, and changes over when the configuration does.
func (s *Server) listenToEvents(ctx context.Context) {
	for ctx.Err() == nil {
		r := s.rooms.Load()
		inner, stop := context.WithCancel(ctx)
		var group sync.WaitGroup
		s.streams.begin()
		for corp := range r.heardCorps("stream") {
			stream := r.vendors.dingtalk[corp].api.Stream(dingtalk.StreamConfig{})
			s.streams.hold(corp, stream)
			group.Go(func() {
				if err := stream.Run(inner, s.keepHeard); err != nil && inner.Err() == nil {
					s.options.Logger.Error("event stream ended", "corp", corp, "error", err)
				}
			})
		}
		select {
		case <-ctx.Done():
		case <-r.left:
		case <-s.retune:
		}
		stop()
		group.Wait()
	}
}

// eventCorps are the organisations whose events anything here may act on, and
// that get them this way.
func (r *rooms) eventCorps(way string) map[string]config.Corp {
	return r.corpsWith(way, func(corp string) bool { return r.bookers[corp] != nil })
}

// heardCorps are those of eventCorps whose events anything acts on now.
func (r *rooms) heardCorps(way string) map[string]config.Corp {
	return r.corpsWith(way, func(corp string) bool { return r.bookers[corp] != nil && r.bookers[corp].Acts() })
}

func (r *rooms) corpsWith(way string, books func(corp string) bool) map[string]config.Corp {
	list := map[string]config.Corp{}
	for _, corp := range r.config.Corps {
		if corp.Events == way && (books(corp.ID) || r.config.Directory.On() && r.config.Directory.Corp == corp.ID) {
			list[corp.ID] = corp
		}
	}
	return list
}
