package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kdgate/internal/config"
	"kdgate/internal/localapi"
	"kdgate/mapping/consent"
)

func (p *program) consent() *cobra.Command {
	return group("consent", "Who has agreed that their data go to Kingdee", p.consentList(), p.consentImport(), p.consentExport())
}

// consentFlags are the filter that list and export share.
func consentFlags(cmd *cobra.Command, f *consent.Filter) {
	cmd.Flags().StringVar(&f.Corp, "corp", "", "of one organisation")
	cmd.Flags().StringVar((*string)(&f.State), "state", "", "given or withdrawn")
	cmd.Flags().StringVar((*string)(&f.Way), "way", "", "self, import or paper")
	cmd.Flags().StringVar(&f.Text, "text", "", "part of a userid")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		return cmp.Or(oneOf("--state", string(f.State), "given", "withdrawn"), oneOf("--way", string(f.Way), "self", "import", "paper"))
	}
}

func (p *program) consentList() *cobra.Command {
	var f consent.Filter
	cmd := p.asks("list", "List the consent register", func(ctx context.Context, c *localapi.Client) error {
		list := jsonList{w: p.stdout}
		table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		show := func(r consent.Row) error {
			_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.UserID, r.State, r.Version, clock(r.At), r.Way, r.By, r.Note)
			return err
		}
		end := table.Flush
		if p.json {
			show, end = func(r consent.Row) error { return list.add(r) }, list.end
		} else {
			fmt.Fprintln(table, "USERID\tSTATE\tVERSION\tAT\tHOW\tBY\tNOTE")
		}
		for after := ""; ; {
			page, err := c.ConsentList(ctx, f, after)
			if err != nil {
				return err
			}
			for _, row := range page.Rows {
				if err := show(row); err != nil {
					return err
				}
			}
			if after = page.Next; after == "" {
				return end()
			}
		}
	})
	consentFlags(cmd, &f)
	return cmd
}

// errRefusedLines is a file with wrong lines, of which nothing was written.
var errRefusedLines = errors.New("lines are wrong; nothing was written")

func (p *program) consentImport() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Bring a CSV file of an HR process: userid, state, and if wanted corp, version, at, note; - reads standard input", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withTable(cmd.Context(), func(c *localapi.Client, _ *config.Config) error {
				file := io.NopCloser(cmd.InOrStdin())
				if args[0] != "-" {
					opened, err := os.Open(args[0])
					if err != nil {
						return fmt.Errorf("%w: %w", errUsage, err)
					}
					file = opened
				}
				defer file.Close()
				report, err := c.ImportConsents(cmd.Context(), file, dry)
				if err != nil {
					return err
				}
				return p.tellConsents(report)
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would change")
	return cmd
}

func (p *program) tellConsents(report consent.Report) error {
	if p.json {
		if err := p.printJSON(report); err != nil {
			return err
		}
	} else {
		for _, fault := range report.Faults {
			fmt.Fprintf(p.stderr, "line %d: %s\n", fault.Line, fault.Why)
		}
		fmt.Fprintf(p.stdout, "%d lines, %d change something, %d say the same; file %s\n", report.Rows, report.Changed, report.Same, report.Digest)
	}
	if len(report.Faults) > 0 {
		return errRefusedLines
	}
	return nil
}

func (p *program) consentExport() *cobra.Command {
	var f consent.Filter
	cmd := &cobra.Command{
		Use: "export", Short: "Write the consent register as CSV to standard output", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withTable(cmd.Context(), func(c *localapi.Client, _ *config.Config) error {
				return c.ExportConsents(cmd.Context(), f, p.stdout)
			})
		},
	}
	consentFlags(cmd, &f)
	return cmd
}
