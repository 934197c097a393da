package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kdgate/internal/localapi"
	"kdgate/jobs/approval/billbook"
	"kdgate/jobs/approval/rulebook"
)

// approvalsRules lists the rules of file and console.
func (p *program) approvalsRules() *cobra.Command {
	return p.asks("rules", "List the rules, where they are written and whether they act", func(ctx context.Context, c *localapi.Client) error {
		list, err := c.Rules(ctx)
		if err != nil {
			return err
		}
		if p.json {
			return p.printRows(list)
		}
		table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "RULE\tCORP\tSOURCE\tSTATE\tPROCESS\tFORM\tVERSION")
		for _, r := range list {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.Corp, r.Source, ruleState(r), r.Process, r.Form, r.Print)
		}
		return table.Flush()
	})
}

func ruleState(r localapi.Rule) string {
	switch {
	case r.Shadow != "":
		return "not in force: the file's " + r.Shadow
	case r.Fault != "":
		return "faulty: " + r.Fault
	case r.Acting == "":
		return "off"
	case r.Acting != r.Print:
		return "on, version " + r.Acting
	}
	return "on"
}

// ruleNamed finds a rule by its name.
func ruleNamed(ctx context.Context, c *localapi.Client, corp, name string) (localapi.Rule, error) {
	list, err := c.Rules(ctx)
	if err != nil {
		return localapi.Rule{}, err
	}
	for _, r := range list {
		if r.Name == name && (corp == "" || r.Corp == corp) {
			return r, nil
		}
	}
	return localapi.Rule{}, fmt.Errorf("there is no rule %q", name)
}

// ofRule is a command about one rule.
func (p *program) ofRule(use, short string, do func(ctx context.Context, c *localapi.Client, corp, name string) error) *cobra.Command {
	var corp string
	cmd := p.asksOf(use, short, func(ctx context.Context, c *localapi.Client, name string) error { return do(ctx, c, corp, name) })
	cmd.Flags().StringVar(&corp, "corp", "", "its organisation, where several have one of this name")
	return cmd
}

func (p *program) approvalsShow() *cobra.Command {
	return p.ofRule("show RULE", "Show the text of a rule", func(ctx context.Context, c *localapi.Client, corp, name string) error {
		rule, err := ruleNamed(ctx, c, corp, name)
		if err != nil {
			return err
		}
		if p.json {
			return p.printRows(rule)
		}
		_, err = fmt.Fprint(p.stdout, rule.Text)
		return err
	})
}

func (p *program) approvalsCheck() *cobra.Command {
	return p.asksOf("check FILE", "Read the text of a rule and tell every mistake with its line; - is standard input", func(ctx context.Context, c *localapi.Client, file string) error {
		done, err := p.textOfRule(ctx, c, "check", file)
		if err != nil {
			return err
		}
		if done.Shadow != "" {
			fmt.Fprintf(p.stdout, "the rule %s of the configuration file is about the same form and would come first\n", done.Shadow)
		}
		_, err = fmt.Fprintln(p.stdout, "no mistake; version", done.Print)
		return err
	})
}

func (p *program) approvalsSave() *cobra.Command {
	return p.asksOf("save FILE", "Keep a rule as a new version, switched on only afterwards; - is standard input", func(ctx context.Context, c *localapi.Client, file string) error {
		done, err := p.textOfRule(ctx, c, "save", file)
		if err != nil {
			return err
		}
		return p.printRule(done)
	})
}

// textOfRule reads a file and has it checked or saved.
func (p *program) textOfRule(ctx context.Context, c *localapi.Client, act, file string) (localapi.RuleDone, error) {
	text, err := readText(file)
	if err != nil {
		return localapi.RuleDone{}, err
	}
	done, err := c.ActOnRule(ctx, localapi.RuleAct{Act: act, Text: text})
	if err == nil && len(done.Faults) > 0 {
		err = done.Faults
	}
	return done, err
}

func readText(file string) (string, error) {
	from := io.Reader(os.Stdin)
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("%w: %w", errUsage, err)
		}
		defer opened.Close()
		from = opened
	}
	text, err := io.ReadAll(io.LimitReader(from, rulebook.MaxText+1))
	return string(text), err
}

func (p *program) printRule(done localapi.RuleDone) error {
	if p.json || done.Rule == nil {
		return p.printRows(done)
	}
	_, err := fmt.Fprintf(p.stdout, "%s (%s): %s\n", done.Rule.Name, done.Rule.Print, ruleState(*done.Rule))
	return err
}

// approvalsSwitch switches the version that is written now on, or the rule off.
func (p *program) approvalsSwitch(to string) *cobra.Command {
	short := map[string]string{"on": "Switch a rule on, as it is written now; it was previewed without a mistake before", "off": "Switch a rule off"}[to]
	return p.ofRule(to+" RULE", short, func(ctx context.Context, c *localapi.Client, corp, name string) error {
		done, err := c.ActOnRule(ctx, localapi.RuleAct{Act: to, Corp: corp, Name: name})
		if err != nil {
			return err
		}
		return p.printRule(done)
	})
}

func (p *program) approvalsRemove() *cobra.Command {
	return p.ofRule("remove RULE", "Take a rule of the console out; its bills and versions stay", func(ctx context.Context, c *localapi.Client, corp, name string) error {
		_, err := c.ActOnRule(ctx, localapi.RuleAct{Act: "remove", Corp: corp, Name: name})
		return err
	})
}

func (p *program) approvalsVersions() *cobra.Command {
	return p.ofRule("versions RULE", "Show every version of a rule that is kept, the newest first", func(ctx context.Context, c *localapi.Client, corp, name string) error {
		list, err := c.RuleVersions(ctx, corp, name)
		if err != nil {
			return err
		}
		if p.json {
			return p.printRows(list)
		}
		for _, v := range list {
			if _, err := fmt.Fprintf(p.stdout, "# %s, kept since %s\n%s\n", v.Print, clock(v.Kept), v.Text); err != nil {
				return err
			}
		}
		return nil
	})
}

// approvalsBills lists what became of approvals.
func (p *program) approvalsBills() *cobra.Command {
	var f localapi.BillFilter
	var state string
	cmd := p.asks("bills", "List approvals and their bills, the newest first", func(ctx context.Context, c *localapi.Client) error {
		f.State = billbook.State(state)
		page, err := c.Bills(ctx, f)
		if err != nil {
			return err
		}
		if p.json {
			return p.printRows(page)
		}
		table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "RECEIVED\tAPPROVAL\tSTATE\tNUMBER\tFORM\tPERSON\tWHY")
		for _, b := range page.Bills {
			why := b.Why
			if b.Failure != nil {
				why = b.Failure.Words
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", clock(b.Received), b.Instance, b.State, b.Number, b.Form, b.Originator, why)
		}
		err = table.Flush()
		if more := page.Total - len(page.Bills); more > 0 && err == nil {
			_, err = fmt.Fprintf(p.stdout, "and %d more\n", more)
		}
		return err
	})
	cmd.Flags().StringVar(&state, "state", "", "booked, waiting, working, failed, given-up or passed")
	cmd.Flags().StringVar(&f.Text, "text", "", "part of an approval's id, a bill's number or a title")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "how many, at most 200")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		return oneOf("--state", state, "booked", "waiting", "working", "failed", "given-up", "passed")
	}
	return cmd
}
