package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kdgate/identity"
	"kdgate/internal/app"
	"kdgate/internal/config"
	"kdgate/internal/localapi"
	"kdgate/mapping"
)

func (p *program) mapping() *cobra.Command {
	return group("mapping", "Look at and change the mapping table", p.mappingList(), p.mappingGet(), p.mappingImport(), p.mappingExport(),
		p.mappingDecide(localapi.ActSuspend, "Take a person's row out of force: nobody comes in by it until it is resumed"),
		p.mappingDecide(localapi.ActResume, "Put a suspended row back in force"),
		p.mappingDecide(localapi.ActRebind, "Give a row to whoever signs in next with this userid, after a re-hire (KD-210)"))
}

// filter are the flags that choose rows.
type filter struct{ dataCentre, corp, status, owner, code, text string }

func (f *filter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dataCentre, "data-centre", "", "id of the data centre")
	cmd.Flags().StringVar(&f.corp, "corp", "", "corpId")
	cmd.Flags().StringVar(&f.status, "status", "", "active, suspended or pending")
	cmd.Flags().StringVar(&f.owner, "owner", "", "auto, manual or locked")
	cmd.Flags().StringVar(&f.code, "code", "", "short code of the last check, for example KD-203")
	cmd.Flags().StringVar(&f.text, "text", "", "part of userid, staff number, login user or note")
}

// choose refuses words that no row has: nothing found would look like an answer.
func (f *filter) choose() (mapping.Filter, error) {
	if err := oneOf("--status", f.status, "active", "suspended", "pending"); err != nil {
		return mapping.Filter{}, err
	}
	return mapping.Filter{
		DataCentre: f.dataCentre, Corp: f.corp, Status: mapping.Status(f.status),
		Owner: mapping.Owner(f.owner), Code: identity.Code(f.code), Text: f.text,
	}, oneOf("--owner", f.owner, "auto", "manual", "locked")
}

// oneOf refuses a value that is there and not one of those.
func oneOf(flag, value string, known ...string) error {
	if value == "" || slices.Contains(known, value) {
		return nil
	}
	return fmt.Errorf("%w: %s %s is none of %s", errUsage, flag, value, strings.Join(known, ", "))
}

func (p *program) mappingList() *cobra.Command {
	var chosen filter
	cmd := &cobra.Command{
		Use: "list", Short: "List rows", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := chosen.choose()
			if err != nil {
				return err
			}
			return p.withTable(cmd.Context(), func(c *localapi.Client, _ *config.Config) error {
				return p.list(cmd.Context(), c, filter)
			})
		},
	}
	chosen.flags(cmd)
	return cmd
}

func (p *program) list(ctx context.Context, c *localapi.Client, f mapping.Filter) error {
	if p.json {
		list := jsonList{w: p.stdout}
		if err := eachEntry(ctx, c, f, func(e mapping.Entry) error { return list.add(e) }); err != nil {
			return err
		}
		return list.end()
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CENTRE\tCORP\tUSERID\tSTAFF NUMBER\tLOGIN USER\tOWNER\tSTATUS\tLAST CHECK")
	err := eachEntry(ctx, c, f, func(e mapping.Entry) error {
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.DataCentre, e.Corp, e.UserID,
			e.StaffNumber, e.LoginUser, e.Owner, e.Status, lastCheck(e.Check))
		return err
	})
	return errors.Join(err, table.Flush())
}

// eachEntry shows every row that matches, page by page.
func eachEntry(ctx context.Context, c *localapi.Client, f mapping.Filter, show func(mapping.Entry) error) error {
	for cursor := ""; ; {
		page, err := c.List(ctx, f, cursor)
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			if err := show(e); err != nil {
				return err
			}
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
	}
}

func lastCheck(c mapping.Check) string {
	switch {
	case c.At.IsZero():
		return "never"
	case c.Code == "":
		return "ok " + c.At.In(china).Format("2006-01-02 15:04 UTC+8")
	default:
		return string(c.Code) + " " + c.At.In(china).Format("2006-01-02 15:04 UTC+8")
	}
}

func (p *program) mappingGet() *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use: "get USERID", Short: "Walk one person's chain and tell every link; exit 1 when it is broken", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withTable(cmd.Context(), func(c *localapi.Client, cfg *config.Config) error {
				if err := at.check(cfg); err != nil {
					return err
				}
				return p.get(cmd.Context(), c, at.key(cfg, args[0]))
			})
		},
	}
	at.flags(cmd)
	return cmd
}

// mappingDecide is one act on one row.
func (p *program) mappingDecide(act localapi.Act, short string) *cobra.Command {
	var at place
	var reason string
	cmd := &cobra.Command{
		Use: string(act) + " USERID", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withTable(cmd.Context(), func(c *localapi.Client, cfg *config.Config) error {
				row, err := c.Decide(cmd.Context(), at.key(cfg, args[0]), act, reason)
				if err != nil {
					return err
				}
				if p.json {
					return p.printRows(row)
				}
				fmt.Fprintf(p.stdout, "%s is %s\n", row.Key(), row.Status)
				return nil
			})
		},
	}
	at.flags(cmd)
	if act == localapi.ActSuspend {
		cmd.Flags().StringVar(&reason, "reason", "", "why, for the history")
	}
	return cmd
}

// place says which of a person's rows is meant.
type place struct{ corp, dataCentre string }

func (at *place) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&at.corp, "corp", "", "corpId; the first of the configuration when left out")
	cmd.Flags().StringVar(&at.dataCentre, "data-centre", "", "id; the first of the configuration when left out")
}

func (at *place) key(cfg *config.Config, userid string) mapping.Key {
	return mapping.Key{
		DataCentre: cmp.Or(at.dataCentre, cfg.DataCentres[0].ID), Corp: cmp.Or(at.corp, cfg.Corps[0].ID), UserID: userid,
	}
}

// check refuses a place that the configuration does not have: nobody can be asked there.
func (at *place) check(cfg *config.Config) error {
	var corps, centres []string
	for _, corp := range cfg.Corps {
		corps = append(corps, corp.ID)
	}
	for _, centre := range cfg.DataCentres {
		centres = append(centres, centre.ID)
	}
	return cmp.Or(oneOf("--corp", at.corp, corps...), oneOf("--data-centre", at.dataCentre, centres...))
}

func (p *program) get(ctx context.Context, c *localapi.Client, key mapping.Key) error {
	found, err := c.Explain(ctx, key)
	if err != nil {
		return err
	}
	if p.json {
		if err := p.printRows(found); err != nil {
			return err
		}
	} else {
		p.printChain(found)
	}
	if found.Code != "" {
		return errors.New(found.Cause) // it begins with the code
	}
	return nil
}

func (p *program) printChain(found localapi.Explanation) {
	chain := found.Chain
	fmt.Fprintf(p.stdout, "%s in %s of %s\n", chain.Key.UserID, chain.Key.DataCentre, chain.Key.Corp)
	for _, link := range []struct {
		name string
		step mapping.Step
	}{
		{"userid → FStaffNumber (工号)", chain.Number},
		{"FStaffNumber → staff record (员工)", chain.Staff},
		{"person → login user (用户名称)", chain.User},
	} {
		mark := "✗"
		switch link.step.State {
		case mapping.StateOK, mapping.StateRenamed:
			mark = "✓"
		case mapping.StateUnchecked:
			mark = "·"
		}
		facts := make([]string, 0, len(link.step.Facts))
		for _, fact := range link.step.Facts {
			facts = append(facts, fact.Name+"="+fact.Value)
		}
		fmt.Fprintf(p.stdout, "  %s %s: %s %s %s\n", mark, link.name, link.step.State, link.step.Code, strings.Join(facts, " "))
	}
	if chain.Account.LoginUser != "" && found.Code == "" {
		fmt.Fprintf(p.stdout, "  → %s\n", chain.Account.LoginUser)
	}
}

func (p *program) mappingImport() *cobra.Command {
	var dryRun bool
	var undo string
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Import a CSV or XLSX file, all of it or nothing; --dry-run shows the difference first",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if undo == "" && len(args) == 0 {
				return fmt.Errorf("%w: give a FILE, or --undo RUN", errUsage)
			}
			if undo != "" && dryRun {
				return fmt.Errorf("%w: --undo takes a run back at once; --dry-run is for a FILE", errUsage)
			}
			return p.withTable(cmd.Context(), func(c *localapi.Client, _ *config.Config) error {
				if undo != "" {
					return p.undo(cmd.Context(), c, undo)
				}
				return p.importFile(cmd.Context(), c, args[0], dryRun)
			})
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would change and change nothing")
	cmd.Flags().StringVar(&undo, "undo", "", "take this run back; a FILE beside it is not read")
	return cmd
}

func (p *program) importFile(ctx context.Context, c *localapi.Client, path string, dryRun bool) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	defer file.Close()
	bar := p.progress("rows")
	done, err := c.Import(ctx, file, dryRun, bar.set)
	bar.finish()
	if err != nil {
		return fmt.Errorf("%s: %w; %s", path, err, importEnd(err))
	}
	if p.json {
		err = p.printRows(done)
	} else {
		err = p.printPlan(done.Plan)
	}
	switch {
	case err != nil:
		return err
	case done.Plan.Refused > 0:
		return fmt.Errorf("%d line(s) refused, so nothing was changed; correct them and import again", done.Plan.Refused)
	case done.Run != nil && !p.json:
		fmt.Fprintf(p.stdout, "done; to take it back: kdgate mapping import --undo %s\n", done.Run.ID)
	case !p.json:
		fmt.Fprintln(p.stdout, "dry run: nothing was changed")
	}
	return nil
}

// importEnd says what became of an import that ended with err. An import is
// whole or nothing, but when the gateway's word is missing it may be either.
func importEnd(err error) string {
	if _, told := errors.AsType[*localapi.Fault](err); told {
		return "nothing was changed"
	}
	return "the gateway did not say how it ended: it is done or taken back as a whole; see kdgate audit tail"
}

// printPlan shows what is not the same, line by line.
func (p *program) printPlan(plan *mapping.Plan) error {
	for _, row := range plan.Rows {
		switch row.Verdict {
		case mapping.VerdictSame:
		case mapping.VerdictRefused:
			fmt.Fprintf(p.stdout, "line %d: refused: %v\n", row.Line, row.Refusal)
		default:
			fmt.Fprintf(p.stdout, "line %d: %s %s: %s → %s\n", row.Line, row.Verdict, row.Key, side(row.Before), side(row.After))
		}
	}
	_, err := fmt.Fprintf(p.stdout, "%d to create, %d to change, %d the same, %d refused\n", plan.Create, plan.Change, plan.Same, plan.Refused)
	return err
}

func side(e *mapping.Entry) string {
	if e == nil {
		return "(none)"
	}
	return fmt.Sprintf("%q %q %s", e.StaffNumber, e.LoginUser, e.Owner)
}

func (p *program) undo(ctx context.Context, c *localapi.Client, run string) error {
	bar := p.progress("rows")
	done, err := c.Undo(ctx, run, bar.set)
	bar.finish()
	if err != nil {
		return err
	}
	if p.json {
		return p.printRows(done)
	}
	_, err = fmt.Fprintf(p.stdout, "run %s is taken back\n", run)
	return err
}

func (p *program) mappingExport() *cobra.Command {
	var chosen filter
	var format string
	cmd := &cobra.Command{
		Use: "export", Short: "Write rows to standard output, inert for spreadsheets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "csv" && format != "xlsx" {
				return fmt.Errorf("%w: --format is csv or xlsx, not %s", errUsage, format)
			}
			filter, err := chosen.choose()
			if err != nil {
				return err
			}
			return p.withTable(cmd.Context(), func(c *localapi.Client, _ *config.Config) error {
				return c.Export(cmd.Context(), filter, format, p.stdout)
			})
		},
	}
	chosen.flags(cmd)
	cmd.Flags().StringVar(&format, "format", "csv", "csv or xlsx")
	return cmd
}

// withTable reaches the table through the running gateway, or opens it when
// none runs: the embedded store has one owner.
func (p *program) withTable(ctx context.Context, use func(*localapi.Client, *config.Config) error) (err error) {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	name := osUser()
	client, err := localapi.Dial(ctx, app.DataDir(cfg), name)
	if err == nil {
		defer client.Close()
		return use(client, cfg)
	}
	if !errors.Is(err, localapi.ErrNoGateway) {
		return err
	}
	core, err := p.core(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, core.Close()) }()
	client, closePort, err := core.LocalAPI(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closePort()) }()
	return use(client, cfg)
}

// core opens what is below the gateway for one command.
func (p *program) core(ctx context.Context, cfg *config.Config) (*app.Core, error) {
	return app.OpenCore(ctx, app.Options{
		Config: cfg, Replica: replicaName(p.hostname) + "-cli", Version: version,
		Logger: slog.New(slog.DiscardHandler), // what goes wrong comes back as an error
	})
}

// osUser is who types the command, for the audit log.
func osUser() string {
	if who, err := user.Current(); err == nil {
		return who.Username
	}
	return "unknown"
}
