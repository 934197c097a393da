package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kdgate/internal/config"
	"kdgate/internal/localapi"
	"kdgate/jobs"
)

func (p *program) jobs() *cobra.Command {
	return group("jobs", "Look at and steer the work list and the tasks by the clock",
		p.jobsList(), p.jobsGet(), p.jobsReplay(), p.jobsEdit(), p.jobsGiveUp(), p.jobsPause(), p.jobsResume(),
		p.jobsTasks(), p.taskAct("run", "run", "Ask for a run of a task now"), p.taskAct("stop", "stop", "End the run of a task that is going on"),
		p.taskPause(), p.taskAct("resume-task", "resume", "Let a paused task run by the clock again"))
}

func (p *program) jobsList() *cobra.Command {
	var kind, state string
	cmd := p.asks("list", "List items: those that wait, are worked or are dead, or of one state", func(ctx context.Context, c *localapi.Client) error {
		states := []jobs.State{jobs.Ready, jobs.Leased, jobs.Dead}
		if state != "" {
			if !slices.Contains(jobs.States(), jobs.State(state)) {
				return fmt.Errorf("%w: --state is one of %v, not %s", errUsage, jobs.States(), state)
			}
			states = []jobs.State{jobs.State(state)}
		}
		if p.json {
			list := jsonList{w: p.stdout}
			if err := eachItem(ctx, c, states, kind, func(item jobs.Item) error { return list.add(item) }); err != nil {
				return err
			}
			return list.end()
		}
		return p.printItems(ctx, c, states, kind)
	})
	cmd.Flags().StringVar(&kind, "kind", "", "for example directory.leave")
	cmd.Flags().StringVar(&state, "state", "", "ready, leased, dead, done or given-up")
	return cmd
}

func (p *program) printItems(ctx context.Context, c *localapi.Client, states []jobs.State, kind string) error {
	work, err := c.Work(ctx)
	if err != nil {
		return err
	}
	for _, pause := range work.Pauses {
		fmt.Fprintf(p.stdout, "%s is paused until %s by %s: %s\n", pause.Kind, clock(pause.Until), pause.By, pause.Why)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ITEM\tSTATE\tDUE\tTRIES\tWHY")
	err = eachItem(ctx, c, states, kind, func(item jobs.Item) error {
		why := item.Note
		if item.Failure != nil {
			why = item.Failure.Words
		}
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", item.ID, item.State, clock(item.Due), item.Tries, why)
		return err
	})
	return errors.Join(err, table.Flush())
}

// eachItem shows every item of these states, page by page.
func eachItem(ctx context.Context, c *localapi.Client, states []jobs.State, kind string, show func(jobs.Item) error) error {
	for _, state := range states {
		for after := ""; ; {
			page, err := c.Items(ctx, jobs.Filter{State: state, Kind: kind}, after)
			if err != nil {
				return err
			}
			for _, item := range page.Items {
				if err := show(item); err != nil {
					return err
				}
			}
			if after = page.Next; after == "" {
				break
			}
		}
	}
	return nil
}

func (p *program) jobsGet() *cobra.Command {
	return p.asksOf("get ITEM", "Show one item (KIND/KEY) with its payload and history", func(ctx context.Context, c *localapi.Client, id string) error {
		item, err := c.Item(ctx, id)
		if err != nil {
			return err
		}
		return p.printRows(item)
	})
}

// act does something to one item and tells how it then stands.
func (p *program) act(ctx context.Context, c *localapi.Client, act localapi.WorkAct) error {
	item, err := c.WorkAct(ctx, act)
	if err != nil {
		return err
	}
	if p.json {
		return p.printRows(item)
	}
	_, err = fmt.Fprintf(p.stdout, "%s is %s\n", item.ID, item.State)
	return err
}

func (p *program) jobsReplay() *cobra.Command {
	return p.asksOf("replay ITEM", "Have a dead or waiting item worked now, after its last step", func(ctx context.Context, c *localapi.Client, id string) error {
		return p.act(ctx, c, localapi.WorkAct{Act: "replay", ID: id})
	})
}

func (p *program) jobsEdit() *cobra.Command {
	return &cobra.Command{
		Use: "edit ITEM FILE", Short: "Give an item that is not being worked the payload in FILE (JSON); replay has it worked", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			payload, err := os.ReadFile(args[1])
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			if !jsonValue(payload) {
				return fmt.Errorf("%w: %s is not one JSON value", errUsage, args[1])
			}
			return p.withTable(cmd.Context(), func(c *localapi.Client, _ *config.Config) error {
				return p.act(cmd.Context(), c, localapi.WorkAct{Act: "edit", ID: args[0], Payload: payload})
			})
		},
	}
}

func (p *program) jobsGiveUp() *cobra.Command {
	var note string
	cmd := p.asksOf("give-up ITEM", "End an item that will not be done", func(ctx context.Context, c *localapi.Client, id string) error {
		if note == "" {
			return fmt.Errorf("%w: --note says why", errUsage)
		}
		return p.act(ctx, c, localapi.WorkAct{Act: "give-up", ID: id, Note: note})
	})
	cmd.Flags().StringVar(&note, "note", "", "why, for the history (required)")
	return cmd
}

func (p *program) jobsPause() *cobra.Command {
	var length time.Duration
	var why string
	cmd := p.asksOf("pause KIND", "Keep every replica from working a kind for a time", func(ctx context.Context, c *localapi.Client, kind string) error {
		until := time.Now().Add(length)
		if _, err := c.WorkAct(ctx, localapi.WorkAct{Act: "pause", Kind: kind, Until: until, Note: why}); err != nil {
			return err
		}
		return p.printDone(kind, "paused until "+clock(until))
	})
	cmd.Flags().DurationVar(&length, "for", time.Hour, "how long")
	cmd.Flags().StringVar(&why, "why", "", "for whoever wonders")
	return cmd
}

func (p *program) jobsResume() *cobra.Command {
	return p.asksOf("resume KIND", "End a pause of a kind", func(ctx context.Context, c *localapi.Client, kind string) error {
		if _, err := c.WorkAct(ctx, localapi.WorkAct{Act: "resume", Kind: kind}); err != nil {
			return err
		}
		return p.printDone(kind, "is worked again")
	})
}

func (p *program) jobsTasks() *cobra.Command {
	return p.asks("tasks", "List the tasks by the clock, their last run and how far it is", func(ctx context.Context, c *localapi.Client) error {
		tasks, err := c.Tasks(ctx)
		if err != nil {
			return err
		}
		if p.json {
			return p.printRows(tasks)
		}
		for _, task := range tasks {
			fmt.Fprintf(p.stdout, "%s %s\n", task.Name, task.Spec)
			if run := task.Last; run != nil {
				fmt.Fprintf(p.stdout, "last: %s by %s on %s: %s, %d of %d: %s\n", clock(run.Began), run.By, run.Replica, run.State, run.Done, run.Total, run.Words)
				if run.Failure != nil {
					fmt.Fprintf(p.stdout, "  why: %s %s\n", run.Failure.Words, run.Failure.Private)
				}
			}
			p.printNext(task)
		}
		return nil
	})
}

// taskAct is one act on one task.
func (p *program) taskAct(use, act, short string) *cobra.Command {
	return p.asksOf(use+" TASK", short, func(ctx context.Context, c *localapi.Client, task string) error {
		if err := c.TaskAct(ctx, localapi.TaskAct{Task: task, Act: act}); err != nil {
			return err
		}
		return p.printDone(task, map[string]string{
			"run": "a running gateway begins it at once", "stop": "is asked to end", "resume": "runs by the clock again",
		}[act])
	})
}

func (p *program) taskPause() *cobra.Command {
	var why string
	cmd := p.asksOf("pause-task TASK", "Keep a task from being run by the clock", func(ctx context.Context, c *localapi.Client, task string) error {
		if err := c.TaskAct(ctx, localapi.TaskAct{Task: task, Act: "pause", Why: why}); err != nil {
			return err
		}
		return p.printDone(task, "is paused; kdgate jobs resume-task "+task+" ends that")
	})
	cmd.Flags().StringVar(&why, "why", "", "for whoever wonders")
	return cmd
}
