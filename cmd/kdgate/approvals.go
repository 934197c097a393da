package main

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"kdgate/internal/localapi"
)

func (p *program) approvals() *cobra.Command {
	return group("approvals", "Look at how approvals become bills, and write and switch rules", p.approvalsPreview(),
		p.approvalsRules(), p.approvalsShow(), p.approvalsCheck(), p.approvalsSave(), p.approvalsSwitch("on"), p.approvalsSwitch("off"),
		p.approvalsRemove(), p.approvalsVersions(), p.approvalsBills())
}

// approvalsPreview shows the bill that an approval would become, before a rule is
// switched on (F61).
func (p *program) approvalsPreview() *cobra.Command {
	var o localapi.ApprovalOrder
	cmd := p.asksOf("preview INSTANCE", "Show the bill that an approval would become, and post nothing",
		func(ctx context.Context, c *localapi.Client, instance string) error {
			o.Instance = instance
			preview, err := c.PreviewApproval(ctx, o)
			if err != nil {
				return err
			}
			if p.json {
				return p.printRows(preview)
			}
			return p.printPreview(preview)
		})
	cmd.Flags().StringVar(&o.Rule, "rule", "", "by this rule as it is written now, in force or not; a good preview lets it be switched on")
	cmd.Flags().StringVar(&o.Process, "process", "", "its process code, where the rules are about several")
	cmd.Flags().StringVar(&o.Corp, "corp", "", "its organisation, where several have rules")
	return cmd
}

func (p *program) printPreview(preview localapi.ApprovalPreview) error {
	fmt.Fprintf(p.stdout, "%s: %s\n", preview.Instance, preview.Title)
	if !preview.Agreed {
		fmt.Fprintln(p.stdout, "it is not agreed, so nothing would be made of it now")
	}
	if preview.Passed != "" {
		_, err := fmt.Fprintln(p.stdout, "no bill:", preview.Passed)
		return err
	}
	fmt.Fprintf(p.stdout, "rule %s (%s) makes %s %s\n", preview.Rule, preview.Print, preview.Form, preview.Number)
	for _, mistake := range preview.Mistakes {
		fmt.Fprintf(p.stdout, "to be mended: %s: %s\n", mistake.Field, mistake.Words)
	}
	text := preview.Model
	if err := text.Indent(jsontext.WithIndent("  ")); err != nil {
		return fmt.Errorf("the model: %w", err)
	}
	_, err := fmt.Fprintf(p.stdout, "%s\n", text)
	return err
}
