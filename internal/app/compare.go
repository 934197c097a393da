package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kdgate/identity"
	"kdgate/internal/localapi"
	"kdgate/internal/sleep"
	"kdgate/jobs"
	"kdgate/jobs/directory"
	"kdgate/jobs/schedule"
)

// workshopAPI is the work behind the browser's back, for commands.
func (c *Core) workshopAPI() localapi.Workshop {
	return localapi.Workshop{
		Queue: c.queue, Schedule: c.schedule, Keeper: func() *directory.Keeper { return c.rooms.Load().keeper },
		Directory: c.directoryState, Compare: c.order, Agree: c.agree, Preview: c.PreviewApproval, Rules: c.ruleDesk(), Bills: c.bills,
	}
}

func (c *Core) directoryState(ctx context.Context) (localapi.DirectoryState, error) {
	r := c.rooms.Load()
	d := r.config.Directory
	state := localapi.DirectoryState{Mode: d.Mode}
	if r.keeper == nil {
		return state, nil
	}
	state.Corp, state.DataCentre = d.Corp, d.DataCentre
	under, there, err := r.keeper.Under(ctx)
	if err != nil {
		return state, err
	}
	if there {
		state.Under = &under
	}
	runs, err := r.keeper.Runs(ctx, 1)
	if err != nil {
		return state, err
	}
	if len(runs) > 0 {
		state.Last = &runs[0]
	}
	plan, err := r.keeper.Plan(ctx, r.budget(ctx))
	if err != nil {
		return state, err
	}
	state.Calls = plan.Calls
	return state, c.directoryWaits(ctx, r.keeper, &state)
}

// directoryWaits adds what waits: for the clock and for people.
func (c *Core) directoryWaits(ctx context.Context, k *directory.Keeper, state *localapi.DirectoryState) error {
	tasks, err := c.schedule.Tasks(ctx)
	if err != nil {
		return err
	}
	for _, task := range tasks {
		if task.Name == taskDirectory {
			shown := localapi.TaskOf(task)
			state.Task = &shown
		}
	}
	waiting, err := k.Waiting(ctx)
	if err != nil {
		return err
	}
	drifts, err := k.Drifts(ctx, "", 1000)
	state.Waiting, state.Drift = len(waiting), len(drifts)
	return err
}

// agree takes somebody back who was hired again.
func (c *Core) agree(ctx context.Context, by jobs.Actor, userid string) error {
	r := c.rooms.Load()
	if r.keeper == nil {
		return errDirectoryOff
	}
	return r.keeper.Agree(ctx, by, userid, r.accounts()[r.config.Directory.DataCentre])
}

var errDirectoryOff = &identity.Error{Kind: identity.Conflict, Err: errors.New("the directory is off; directory.mode turns it on")}

const (
	orderLook  = 200 * time.Millisecond // how often an ordered run is looked at
	orderTaken = 45 * time.Second       // how long until some replica must have begun it
)

// order has a run done by whichever replica runs the tasks, so that no two
// compare at once, and tells how far it is until it has ended. A command that
// found no gateway offers itself as that replica meanwhile.
func (c *Core) order(ctx context.Context, by jobs.Actor, o directory.Order, tell directory.Progress) (directory.Run, error) {
	keeper := c.rooms.Load().keeper
	if keeper == nil {
		return directory.Run{}, errDirectoryOff
	}
	if err := allowed(ctx, keeper, o.Allow); err != nil {
		return directory.Run{}, err
	}
	before, _, err := c.schedule.Runs(ctx, taskDirectory, "", 1)
	if err != nil {
		return directory.Run{}, err
	}
	if len(before) > 0 && before[0].State == schedule.Running && !c.abandoned(ctx, before[0]) {
		return directory.Run{}, identity.Fail(identity.Conflict, "", "%w; kdgate jobs tasks shows it, kdgate jobs stop %s ends it", schedule.ErrRunning, taskDirectory)
	}
	if err := keeper.Place(ctx, o); err != nil {
		return directory.Run{}, err
	}
	if !c.serving {
		stop, err := c.offer(ctx)
		if err != nil {
			return directory.Run{}, err
		}
		defer stop()
	}
	last := ""
	if len(before) > 0 {
		last = before[0].ID
	}
	if err := c.wish(ctx, by, keeper); err != nil {
		return directory.Run{}, err
	}
	done, err := c.follow(ctx, last, tell)
	if err != nil {
		return directory.Run{}, err
	}
	return c.outcome(ctx, keeper, done)
}

// overrideLook is how many runs are looked through for the one that the breaker
// stopped; previews may have come after it.
const overrideLook = 20

// allowed refuses a person's word for another number of leavers than the breaker
// stopped at: whoever types a great one has not looked (F55).
func allowed(ctx context.Context, k *directory.Keeper, leavers int) error {
	if leavers < 0 {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "a number of leavers is wanted, not %d", leavers)
	}
	if leavers == 0 {
		return nil
	}
	runs, err := k.Runs(ctx, overrideLook)
	if err != nil {
		return err
	}
	switch stopped := directory.Overridable(runs); stopped {
	case leavers:
		return nil
	case 0:
		return identity.Fail(identity.Conflict, identity.CodeChangedBetween, "there is no run that the breaker stopped: nothing to allow")
	default:
		return identity.Fail(identity.Conflict, identity.CodeChangedBetween, "the breaker stopped a run over %d leavers, not %d: look at who they are", stopped, leavers)
	}
}

// abandoned reports whether a run is only written down as running: nobody holds
// the lease that it ran under.
func (c *Core) abandoned(ctx context.Context, run schedule.Run) bool {
	if !c.serving && c.options.Config.Store.Driver == "sqlite" {
		return true // the embedded store has one owner, and that is this command
	}
	leader, err := c.schedule.Leader(ctx)
	return err == nil && (leader.Owner == "" || leader.Token != run.Token)
}

// wish asks for the run, again where one that a crash left has first to be
// written off. An order that is not taken must not wait for the next run.
func (c *Core) wish(ctx context.Context, by jobs.Actor, k *directory.Keeper) error {
	within, cancel := context.WithTimeout(ctx, orderTaken)
	defer cancel()
	for {
		err := c.schedule.RunFor(ctx, by, taskDirectory, directory.Ordered)
		if err == nil {
			return nil
		}
		if !errors.Is(err, schedule.ErrRunning) || sleep.For(within, orderLook) != nil {
			_, _, drop := k.Placed(context.WithoutCancel(ctx))
			return errors.Join(err, drop)
		}
	}
}

// offer runs the directory's task here while nobody else holds the lease; stop
// takes the offer back.
func (c *Core) offer(ctx context.Context) (stop func(), err error) {
	offered, err := c.newSchedule([]schedule.Task{{Name: taskDirectory, Do: c.compare}})
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := offered.Run(within); err != nil && within.Err() == nil {
			c.options.Logger.Error("schedule", "error", err)
		}
	}()
	return func() { cancel(); <-ended }, nil
}

// follow waits for the end of the first run that is not the one before, and
// tells of it.
func (c *Core) follow(ctx context.Context, before string, tell directory.Progress) (schedule.Run, error) {
	waits, cancel := context.WithTimeout(ctx, orderTaken)
	defer cancel()
	for {
		runs, _, err := c.schedule.Runs(ctx, taskDirectory, "", 1)
		if err != nil {
			return schedule.Run{}, err
		}
		switch {
		case len(runs) == 0 || runs[0].ID == before:
			if waits.Err() != nil && ctx.Err() == nil {
				return schedule.Run{}, identity.Fail(identity.Unavailable, "", "no replica has begun the run within %s; it is done when one runs the tasks again", orderTaken)
			}
		case runs[0].State != schedule.Running:
			return runs[0], nil
		default:
			tell(directory.Phase(runs[0].Words), int(runs[0].Done), int(runs[0].Total))
		}
		if err := sleep.For(ctx, orderLook); err != nil {
			return schedule.Run{}, err
		}
	}
}

// outcome is the directory's own account of a run that the schedule has ended.
func (c *Core) outcome(ctx context.Context, k *directory.Keeper, done schedule.Run) (directory.Run, error) {
	runs, err := k.Runs(ctx, 1)
	if err != nil {
		return directory.Run{}, err
	}
	if len(runs) > 0 && !runs[0].Ended.Before(done.Began) {
		return runs[0], nil
	}
	words := "it was interrupted; the next run goes on from there"
	if done.Failure != nil {
		words = fmt.Sprintf("%s %s", done.Failure.Words, done.Failure.Private)
	}
	return directory.Run{}, identity.Fail(identity.Unavailable, "", "the run came to no end: %s", words)
}
