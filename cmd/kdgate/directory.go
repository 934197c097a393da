package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kdgate/internal/config"
	"kdgate/internal/localapi"
	"kdgate/jobs/directory"
)

func (p *program) directory() *cobra.Command {
	return group("directory", "Look at and steer the sync of DingTalk's address book to Kingdee's staff",
		p.directoryStatus(), p.directoryRun(), p.directoryRuns(), p.directoryShow(), p.directoryUndo(), p.directoryDrift(), p.directoryWaiting(), p.directoryAgree())
}

func (p *program) directoryStatus() *cobra.Command {
	return p.asks("status", "Tell what runs, how the last run ended, when the next one is due and what waits for a person",
		func(ctx context.Context, c *localapi.Client) error {
			state, err := c.Directory(ctx)
			if err != nil {
				return err
			}
			if p.json {
				return p.printRows(state)
			}
			return p.printDirectory(state)
		})
}

// asks is a command without arguments that asks the gateway.
func (p *program) asks(use, short string, do func(context.Context, *localapi.Client) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withTable(cmd.Context(), func(c *localapi.Client, _ *config.Config) error { return do(cmd.Context(), c) })
		},
	}
}

// asksOf is a command about one thing.
func (p *program) asksOf(use, short string, do func(context.Context, *localapi.Client, string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withTable(cmd.Context(), func(c *localapi.Client, _ *config.Config) error { return do(cmd.Context(), c, args[0]) })
		},
	}
}

func (p *program) printDirectory(state localapi.DirectoryState) error {
	if state.Mode == "off" {
		_, err := fmt.Fprintln(p.stdout, "the directory is off; directory.mode in the configuration turns it on, preview first")
		return err
	}
	fmt.Fprintf(p.stdout, "%s: %s is kept like %s\n", state.Mode, state.DataCentre, state.Corp)
	if state.Under != nil {
		fmt.Fprintf(p.stdout, "under way: run %s since %s, phase %s\n", state.Under.ID, clock(state.Under.Began), state.Under.Phase)
	}
	if state.Last != nil {
		fmt.Fprint(p.stdout, "last: ")
		p.printRun(*state.Last)
	} else {
		fmt.Fprintln(p.stdout, "no run yet; kdgate directory run --dry-run shows what the first one would do")
	}
	if state.Task != nil {
		p.printNext(*state.Task)
	}
	fmt.Fprintf(p.stdout, "waiting for a person: %d hired again (kdgate directory waiting), %d changed in Kingdee (kdgate directory drift list)\n",
		state.Waiting, state.Drift)
	return nil
}

func (p *program) printNext(task localapi.Task) {
	switch {
	case task.Pause != nil:
		fmt.Fprintf(p.stdout, "next: paused by %s since %s: %s\n", task.Pause.By, clock(task.Pause.Since), task.Pause.Why)
	case !task.Next.IsZero():
		fmt.Fprintf(p.stdout, "next: %s (%s)\n", clock(task.Next), task.Spec)
	}
	if task.Held != "" {
		fmt.Fprintf(p.stdout, "  later than that: %s\n", task.Held)
	}
}

// clock is a time as people read it.
func clock(t time.Time) string { return t.In(china).Format("2006-01-02 15:04:05 UTC+8") }

// printRun tells one run in a line, and what was left out of it in one each.
func (p *program) printRun(run directory.Run) {
	ending := string(run.Ending)
	if run.Dry {
		ending = "dry run, " + ending
	}
	n := run.Counts
	fmt.Fprintf(p.stdout, "run %s: %s; DingTalk counts %d people, %d seen in %d departments: %d created, %d changed (%d moved), %d the same, %d left, %d hired again, %d set aside, %d drifted\n",
		run.ID, ending, n.Headcount, n.People, n.Departments, n.Created, n.Changed, n.Moved, n.Same, n.Left, n.Waiting, n.SetAside, n.Drift)
	if run.Why != "" {
		fmt.Fprintf(p.stdout, "  why: %s\n", run.Why)
	}
	for _, note := range run.Notes {
		fmt.Fprintf(p.stdout, "  %s\n", strings.TrimPrefix(note.Who+": "+note.Words, ": "))
	}
	if run.Dry {
		fmt.Fprintln(p.stdout, "  nothing was changed")
	}
	if run.First {
		fmt.Fprintln(p.stdout, "  the first run only shows what it would do; the next one is for real, also by the clock: kdgate jobs pause-task directory holds it")
	}
}

func (p *program) directoryRun() *cobra.Command {
	var order localapi.Order
	cmd := &cobra.Command{
		Use: "run", Short: "Compare both sides now; exit 1 when the run failed or was stopped", Args: cobra.NoArgs,
		Long: "Interrupting this command does not stop a run that a gateway does: kdgate jobs stop directory does.\n" +
			"Without a gateway this command does the run itself; interrupted, the next run goes on where it was.\n" +
			"The first run is a dry run; --dry-run=false has it write all the same.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			order.Real = cmd.Flags().Changed("dry-run") && !order.Dry
			return p.withTable(cmd.Context(), func(c *localapi.Client, _ *config.Config) error { return p.compare(cmd.Context(), c, order) })
		},
	}
	cmd.Flags().BoolVar(&order.Dry, "dry-run", false, "show what would be done and do nothing")
	cmd.Flags().IntVar(&order.Allow, "allow", 0, "agree to exactly so many leavers, after the breaker stopped a run over them")
	return cmd
}

func (p *program) compare(ctx context.Context, c *localapi.Client, order localapi.Order) error {
	if order.Allow < 0 {
		return fmt.Errorf("%w: --allow takes a number of leavers", errUsage)
	}
	bar := p.progress("people")
	run, err := c.Compare(ctx, order, func(phase directory.Phase, done, total int) { bar.named(string(phase), done, total) })
	bar.finish()
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w; a gateway goes on with the run: kdgate directory status shows it, kdgate jobs stop directory ends it", err)
	case err != nil:
		return err
	case p.json:
		err = p.printRows(run)
	default:
		p.printRun(run)
		p.printAfter(run, order)
	}
	if err == nil && (run.Ending == directory.Failed || run.Ending == directory.Stopped) {
		err = fmt.Errorf("run %s: %s", run.ID, run.Ending)
	}
	return err
}

// printAfter says what there is to do next.
func (p *program) printAfter(run directory.Run, order localapi.Order) {
	switch {
	case run.Ending == directory.Stopped && run.Counts.Left > order.Allow:
		fmt.Fprintf(p.stdout, "look at who left: kdgate directory show %s; when that is right: kdgate directory run --allow %d\n", run.ID, run.Counts.Left)
	case run.Dry:
		fmt.Fprintf(p.stdout, "person by person: kdgate directory show %s\n", run.ID)
	case run.Counts.Created+run.Counts.Changed > 0:
		fmt.Fprintf(p.stdout, "to take back what it wrote: kdgate directory undo %s\n", run.ID)
	}
	if run.Counts.Left > 0 && !run.Dry && run.Ending != directory.Stopped {
		fmt.Fprintln(p.stdout, "the leavers are on the work list; a running gateway closes their doors")
	}
}

func (p *program) directoryRuns() *cobra.Command {
	var limit int
	cmd := p.asks("runs", "List the runs that ended, newest first", func(ctx context.Context, c *localapi.Client) error {
		runs, err := c.Runs(ctx, limit)
		if err != nil {
			return err
		}
		if p.json {
			return p.printRows(runs)
		}
		table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "RUN\tBEGAN\tTOOK\tENDING\tBY\tPEOPLE\tCREATED\tCHANGED\tLEFT\tSET ASIDE\tDRIFT")
		for _, run := range runs {
			n := run.Counts
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", run.ID, clock(run.Began), run.Ended.Sub(run.Began).Round(time.Second),
				endingOf(run), run.By, n.People, n.Created, n.Changed, n.Left, n.SetAside, n.Drift)
		}
		return table.Flush()
	})
	cmd.Flags().IntVar(&limit, "limit", 20, "so many, at most 200")
	return cmd
}

func endingOf(run directory.Run) string {
	switch {
	case !run.Undone.IsZero():
		return "undone"
	case run.Dry:
		return "dry " + string(run.Ending)
	}
	return string(run.Ending)
}

func (p *program) directoryShow() *cobra.Command {
	return p.asksOf("show RUN", "Tell a run person by person: what it did, or a dry run would do", func(ctx context.Context, c *localapi.Client, id string) error {
		if p.json {
			list := jsonList{w: p.stdout}
			if err := c.Changes(ctx, id, func(directory.Run) error { return nil }, func(change directory.Change) error { return list.add(change) }); err != nil {
				return err
			}
			return list.end()
		}
		return c.Changes(ctx, id, func(run directory.Run) error { p.printRun(run); return nil }, p.printChange)
	})
}

func (p *program) printChange(change directory.Change) error {
	words := make([]string, 0, len(change.Diffs))
	for _, d := range change.Diffs {
		words = append(words, fmt.Sprintf("%s %q → %q", d.Field, d.Before, d.After))
	}
	what := string(change.Kind)
	if change.Refused != "" {
		what, words = "set aside", []string{change.Refused}
	}
	_, err := fmt.Fprintf(p.stdout, "%s\t%s\t%s\t%s\t%s\n", what, change.UserID, change.Number, change.Name, strings.Join(words, "; "))
	return err
}

func (p *program) directoryUndo() *cobra.Command {
	return p.asksOf("undo RUN", "Put back what a run wrote; records it made are forbidden, leavers stay out", func(ctx context.Context, c *localapi.Client, id string) error {
		refused, err := c.DirectoryAct(ctx, localapi.DirectoryAct{Act: "undo", Run: id})
		switch {
		case err != nil:
			return err
		case p.json:
			err = p.printJSON(map[string]any{"run": id, "refused": refused})
		default:
			fmt.Fprintf(p.stdout, "run %s is undone; until the rules or DingTalk differ the next run does the same again: kdgate jobs pause-task directory\n", id)
		}
		if err == nil && len(refused) > 0 {
			err = fmt.Errorf("kingdee did not take back %d record(s): %s", len(refused), strings.Join(refused, ", "))
		}
		return err
	})
}

func (p *program) directoryDrift() *cobra.Command {
	return group("drift", "Records that somebody changed in Kingdee: DingTalk wins only when a person says so",
		p.driftList(), p.driftKeep(),
		p.driftAct("accept", "accepted: DingTalk's word is written over it", "Write DingTalk's word over the record"),
		p.driftAct("release", "released: DingTalk wins again at the next run", "End a keep"))
}

func (p *program) driftList() *cobra.Command {
	return p.asks("list", "List what waits for a decision", func(ctx context.Context, c *localapi.Client) error {
		list := jsonList{w: p.stdout}
		show := list.add
		if !p.json {
			show = func(v any) error {
				drift, _ := v.(directory.Drift)
				return p.printDrift(drift)
			}
		}
		for after := ""; ; {
			page, err := c.Drifts(ctx, after)
			if err != nil {
				return err
			}
			for _, drift := range page {
				if err := show(drift); err != nil {
					return err
				}
				after = drift.Number
			}
			if len(page) == 0 {
				break
			}
		}
		if p.json {
			return list.end()
		}
		return nil
	})
}

func (p *program) printDrift(drift directory.Drift) error {
	_, err := fmt.Fprintf(p.stdout, "%s\t%s\t%s\tsince %s\n", drift.Number, drift.UserID, drift.Name, clock(drift.Found))
	for _, d := range drift.Diffs {
		_, err = fmt.Fprintf(p.stdout, "  %s: Kingdee %q, DingTalk %q\n", d.Field, d.Before, d.After)
	}
	return err
}

func (p *program) driftAct(act, words, short string) *cobra.Command {
	return p.asksOf(act+" NUMBER", short, func(ctx context.Context, c *localapi.Client, number string) error {
		if _, err := c.DirectoryAct(ctx, localapi.DirectoryAct{Act: act, Number: number}); err != nil {
			return err
		}
		return p.printDone(number, words)
	})
}

// printDone confirms a decision.
func (p *program) printDone(what, words string) error {
	if p.json {
		return p.printJSON(map[string]string{"of": what, "done": words})
	}
	_, err := fmt.Fprintf(p.stdout, "%s: %s\n", what, words)
	return err
}

func (p *program) driftKeep() *cobra.Command {
	var until string
	cmd := p.asksOf("keep NUMBER", "Leave the drifted fields as Kingdee has them", func(ctx context.Context, c *localapi.Client, number string) error {
		act := localapi.DirectoryAct{Act: "keep", Number: number}
		words := "kept as Kingdee has it until somebody releases it"
		if until != "" {
			day, err := time.ParseInLocation(time.DateOnly, until, china)
			if err != nil {
				return fmt.Errorf("%w: --until is a day such as 2026-12-31, not %s", errUsage, until)
			}
			act.Until, words = day.AddDate(0, 0, 1), "kept as Kingdee has it until the end of "+until
		}
		if _, err := c.DirectoryAct(ctx, act); err != nil {
			return err
		}
		return p.printDone(number, words)
	})
	cmd.Flags().StringVar(&until, "until", "", "last day (2026-12-31, UTC+8); left out: until somebody releases it")
	return cmd
}

func (p *program) directoryWaiting() *cobra.Command {
	return p.asks("waiting", "List the people who left and were hired again", func(ctx context.Context, c *localapi.Client) error {
		list, err := c.Waiting(ctx)
		if err != nil {
			return err
		}
		if p.json {
			return p.printRows(list)
		}
		for _, known := range list {
			fmt.Fprintf(p.stdout, "%s\t%s\t%s\tsince %s\n", known.UserID, known.Number, known.Name, clock(known.Since))
		}
		return nil
	})
}

func (p *program) directoryAgree() *cobra.Command {
	return p.asksOf("agree USERID", "Take somebody back who was hired again: enable their record and login user", func(ctx context.Context, c *localapi.Client, userid string) error {
		if _, err := c.DirectoryAct(ctx, localapi.DirectoryAct{Act: "agree", UserID: userid}); err != nil {
			return err
		}
		return p.printDone(userid, fmt.Sprintf("is enabled in Kingdee again; the mapping stays suspended until "+
			"kdgate mapping resume %s, and for another person of that userid also kdgate mapping rebind %s", userid, userid))
	})
}
