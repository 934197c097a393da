package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kdgate/audit"
	"kdgate/internal/app"
	"kdgate/internal/config"
	"kdgate/internal/localapi"
)

func (p *program) audit() *cobra.Command {
	return group("audit", "Verify, export and follow the audit log", p.auditVerify(), p.auditExport(), p.auditTail(), p.auditPublicKey())
}

// auditVerify needs neither the gateway nor the store: with a PATH alone it
// proves the chain; with the configuration, the key and the anchor too.
func (p *program) auditVerify() *cobra.Command {
	var anchor, publicKey string
	cmd := &cobra.Command{
		Use: "verify [PATH]", Short: "Prove that the log is complete and unchanged; exit 3 on a fault",
		Long: "Without PATH the log of the configuration is verified with its key and anchor.\n" +
			"With PATH, a folder or a file, a copy is verified, with the key only if --config is given too.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			verify, err := p.verifyConfig(cmd, args, publicKey)
			if err != nil {
				return err
			}
			if anchor != "" {
				verify.Anchor = anchor
			}
			return p.runVerify(cmd.Context(), verify, len(args) == 1)
		},
	}
	cmd.Flags().StringVar(&anchor, "anchor", "", "file of checkpoints that was kept off the host")
	cmd.Flags().StringVar(&publicKey, "public-key", "", "file with the log's public key, for a reviewer without the key")
	return cmd
}

func (p *program) verifyConfig(cmd *cobra.Command, args []string, publicKey string) (audit.VerifyConfig, error) {
	var verify audit.VerifyConfig
	if len(args) == 0 || cmd.Flags().Changed("config") {
		cfg, err := p.load()
		if err != nil {
			return verify, err
		}
		if verify, err = app.VerifyConfig(cfg); err != nil {
			return verify, err
		}
	}
	if len(args) == 1 {
		verify.Dir = args[0]
	}
	if publicKey != "" {
		key, err := app.ReadPublicKey(publicKey)
		if err != nil {
			return verify, fmt.Errorf("%w: %w", errUsage, err)
		}
		verify.PublicKey = key
	}
	return verify, nil
}

// auditPublicKey prints what a reviewer needs to check the signed checkpoints.
func (p *program) auditPublicKey() *cobra.Command {
	return &cobra.Command{
		Use: "public-key", Short: "Print the key that checks the log's signed checkpoints", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			keys, err := cfg.SealKeys()
			if err != nil {
				return err
			}
			key, err := app.AuditKey(cfg.Audit.Dir, keys)
			if err != nil {
				return err
			}
			public, err := audit.PublicKey(key)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stdout, app.FormatPublicKey(public))
			return err
		},
	}
}

// errNothing is a copy without a chain in it: emptied and never used look alike.
var errNothing = errors.New("nothing was verified: there is no record and no checkpoint, as in a log that was emptied; give --anchor, or take the copy again")

// runVerify verifies and says what was found. The log of the configuration may be
// empty before the first start, a copy is made of something.
func (p *program) runVerify(ctx context.Context, verify audit.VerifyConfig, isCopy bool) error {
	bar := p.progress("records")
	verify.Progress = func(done, total uint64) { bar.set(int(done), int(total)) }
	report, err := audit.Verify(ctx, verify)
	bar.finish()
	if err != nil && !errors.Is(err, audit.ErrFault) {
		return err
	}
	var shown error
	if p.json {
		shown = p.printJSON(report)
	} else {
		shown = report.WriteText(p.stdout)
	}
	switch {
	case err != nil:
		return errors.Join(fmt.Errorf("%w: %w", errFault, err), shown)
	case isCopy && len(report.Chains) == 0:
		return errors.Join(errNothing, shown)
	}
	return shown
}

// query are the flags that choose records.
type query struct{ from, to, person, action, outcome, reason, request string }

func (q *query) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&q.from, "from", "", "first day (2026-01-31) or time (2026-01-31T08:00:00+08:00)")
	cmd.Flags().StringVar(&q.to, "to", "", "day or time before which to stop")
	cmd.Flags().StringVar(&q.person, "person", "", "actor or target: a userid, or corp/userid")
	cmd.Flags().StringVar(&q.action, "action", "", "for example signin, mint, mapping.change")
	cmd.Flags().StringVar(&q.outcome, "outcome", "", "ok, refused or failed")
	cmd.Flags().StringVar(&q.reason, "reason", "", "short code, for example KD-203")
	cmd.Flags().StringVar(&q.request, "request-id", "", "everything of one request")
}

// check is what can be said of the flags without a configuration.
func (q *query) check() (from, to time.Time, err error) {
	if from, err = parseTime(q.from); err != nil {
		return from, to, err
	}
	if to, err = parseTime(q.to); err != nil {
		return from, to, err
	}
	if !to.IsZero() && !to.After(from) {
		return from, to, fmt.Errorf("%w: --to %s is not after --from %s; the day or time of --to is not in it", errUsage, q.to, q.from)
	}
	return from, to, oneOf("--outcome", q.outcome, "ok", "refused", "failed")
}

func (q *query) parse(cfg *config.Config) (audit.Query, error) {
	from, to, err := q.check()
	if err != nil {
		return audit.Query{}, err
	}
	person := q.person
	if person != "" && !strings.ContainsAny(person, "/:") {
		if len(cfg.Corps) > 1 {
			return audit.Query{}, fmt.Errorf("%w: there are several organisations; write --person CORP/%s", errUsage, person)
		}
		person = cfg.Corps[0].ID + "/" + person
	}
	return audit.Query{
		From: from, To: to, Person: person, Action: audit.Action(q.action), Outcome: audit.Outcome(q.outcome), Reason: q.reason, RequestID: q.request,
	}, nil
}

// china is the zone people think in; days begin there.
var china = time.FixedZone("UTC+8", 8*60*60)

func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	t, err := time.ParseInLocation(time.DateOnly, text, china)
	if err != nil {
		return t, fmt.Errorf("%w: %q is neither a day (2026-01-31) nor a time (2026-01-31T08:00:00+08:00)", errUsage, text)
	}
	return t, nil
}

func (p *program) auditExport() *cobra.Command {
	var chosen query
	var format string
	cmd := &cobra.Command{
		Use: "export", Short: "Write records to standard output, oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "jsonl" && format != "csv" {
				return fmt.Errorf("%w: --format %s is neither csv nor jsonl", errUsage, format)
			}
			if _, _, err := chosen.check(); err != nil {
				return err
			}
			return p.withReader(cmd.Context(), func(reader *audit.Reader, cfg *config.Config) error {
				q, err := chosen.parse(cfg)
				if err != nil {
					return err
				}
				if err := p.look(cmd.Context(), cfg, localapi.Look{Action: audit.ActionAuditExport, Detail: chosen.detail(format)}); err != nil {
					return err
				}
				return p.exportRecords(cmd.Context(), reader, q, format)
			})
		},
	}
	chosen.flags(cmd)
	cmd.Flags().StringVar(&format, "format", "jsonl", "csv for spreadsheets, jsonl to verify")
	return cmd
}

// detail is what was chosen, for the record of an export.
func (q *query) detail(format string) map[string]string {
	detail := map[string]string{"format": format}
	for name, value := range map[string]string{
		"from": q.from, "to": q.to, "person": q.person, "action": q.action, "outcome": q.outcome, "reason": q.reason, "request_id": q.request,
	} {
		if value != "" {
			detail[name] = value
		}
	}
	return detail
}

// look puts a read of the log on record before anything is shown: by the gateway
// that runs, because one process writes a log, and directly when none does.
func (p *program) look(ctx context.Context, cfg *config.Config, l localapi.Look) error {
	name := osUser()
	client, err := localapi.Dial(ctx, app.DataDir(cfg), name)
	if err == nil {
		defer client.Close()
		return client.Look(ctx, l)
	}
	if !errors.Is(err, localapi.ErrNoGateway) {
		return err
	}
	event, err := l.Event(name)
	if err != nil {
		return err
	}
	return app.AppendAlone(ctx, app.Options{
		Config: cfg, Replica: replicaName(p.hostname) + "-cli", Logger: slog.New(slog.DiscardHandler),
	}, event)
}

func (p *program) exportRecords(ctx context.Context, reader *audit.Reader, q audit.Query, format string) error {
	if format == "jsonl" {
		return reader.Each(ctx, q, func(r audit.Record) error { return r.WriteLine(p.stdout) })
	}
	sheet, err := audit.NewCSVWriter(p.stdout)
	if err != nil {
		return err
	}
	return errors.Join(reader.Each(ctx, q, sheet.Write), sheet.Flush())
}

// mostLines is the most that a search of the log gives.
const mostLines = 1000

func (p *program) auditTail() *cobra.Command {
	var lines int
	var follow bool
	cmd := &cobra.Command{
		Use: "tail", Short: "Show the newest records, and with --follow those to come", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if lines < 1 || lines > mostLines {
				return fmt.Errorf("%w: --lines %d; 1 to %d, or kdgate audit export", errUsage, lines, mostLines)
			}
			return p.withReader(cmd.Context(), func(reader *audit.Reader, cfg *config.Config) error {
				return p.tail(cmd.Context(), reader, cfg, lines, follow)
			})
		},
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", 20, fmt.Sprintf("how many, at most %d", mostLines))
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more until interrupted")
	return cmd
}

// tail shows what was there before this look at it was put on record.
func (p *program) tail(ctx context.Context, reader *audit.Reader, cfg *config.Config, lines int, follow bool) error {
	newest, err := reader.Search(ctx, audit.Query{Limit: lines})
	if err != nil {
		return err
	}
	detail := map[string]string{"newest": strconv.Itoa(lines), "follow": strconv.FormatBool(follow)}
	if err := p.look(ctx, cfg, localapi.Look{Action: audit.ActionAuditRead, Detail: detail}); err != nil {
		return err
	}
	last := uint64(0)
	for i := len(newest) - 1; i >= 0; i-- {
		last = max(last, newest[i].ID)
		if err := p.printRecord(newest[i]); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	err = reader.Follow(ctx, last, p.printRecord)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// printRecord is one line for people, or the record's own JSON line.
func (p *program) printRecord(r audit.Record) error {
	if p.json {
		return r.WriteLine(p.stdout)
	}
	_, err := fmt.Fprintf(p.stdout, "%s  %-8s %-16s %-24s %s %s\n",
		r.At.In(china).Format("2006-01-02 15:04:05.000 UTC+8"), r.Outcome, r.Action, r.Actor, r.Target, r.Reason)
	return err
}

func (p *program) withReader(ctx context.Context, use func(*audit.Reader, *config.Config) error) (err error) {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	reader, err := p.openReader(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	return use(reader, cfg)
}

func (p *program) openReader(ctx context.Context, cfg *config.Config) (*audit.Reader, error) {
	reader, err := audit.OpenReader(ctx, cfg.Audit.Dir)
	if err != nil {
		return nil, fmt.Errorf("%w; is %s the log's folder, and has a gateway ever run?", err, cfg.Audit.Dir)
	}
	return reader, nil
}
