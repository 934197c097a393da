package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kdgate/internal/localapi"
	"kdgate/jobs/notice"
)

// noticesRules shows the rules with their last look, as the console's page does.
func (p *program) noticesRules() *cobra.Command {
	return p.asks("rules", "List the rules with their last look and their next", func(ctx context.Context, c *localapi.Client) error {
		rules, err := c.NoticeRules(ctx)
		if err != nil {
			return err
		}
		if p.json {
			return p.printRows(rules)
		}
		table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "RULE\tKIND\tTO\tLAST\tCAME TO\tTOLD\tNEXT")
		for _, r := range rules {
			last, state, told := "", "", ""
			if r.Last != nil {
				last, state, told = clock(r.Last.Began), strings.TrimSpace(r.Last.State+" "+r.Last.Words), fmt.Sprint(r.Last.Told)
			}
			next := "when it happens"
			switch {
			case r.Paused:
				next = "paused"
			case r.Task != "":
				next = clock(r.Next)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.Kind, strings.Join(r.To, " "), last, state, told, next)
		}
		return table.Flush()
	})
}

// noticesPreview says what a rule would tell now, and sends nothing.
func (p *program) noticesPreview() *cobra.Command {
	return p.asksOf("preview RULE", "Show what a rule would tell now, and to whom; nothing is sent", func(ctx context.Context, c *localapi.Client, rule string) error {
		preview, err := c.PreviewNotice(ctx, rule)
		if err != nil {
			return err
		}
		if p.json {
			return p.printRows(preview)
		}
		return p.printNotice(preview)
	})
}

func (p *program) printNotice(preview notice.Preview) error {
	fmt.Fprintf(p.stdout, "%s found %d, of which %d are news\n", preview.Rule, preview.Found, preview.News)
	if preview.Quiet {
		fmt.Fprintln(p.stdout, "nothing would be sent now; it would go to:")
	}
	for _, l := range preview.Letters {
		fmt.Fprintf(p.stdout, "to %s", strings.Join(l.To, " "))
		if len(l.Fallbacks) > 0 {
			fmt.Fprintf(p.stdout, ", else %s", strings.Join(l.Fallbacks, " "))
		}
		fmt.Fprintln(p.stdout)
	}
	if preview.Quiet {
		return nil
	}
	_, err := fmt.Fprintf(p.stdout, "\n%s\n\n%s\n", preview.Title, preview.Text)
	return err
}

// noticesShow shows one message with every attempt.
func (p *program) noticesShow() *cobra.Command {
	return p.asksOf("show MESSAGE", "Show one message: each attempt, what DingTalk said of it, and the work behind it", func(ctx context.Context, c *localapi.Client, key string) error {
		letter, err := c.NoticeLetter(ctx, key)
		if err != nil {
			return err
		}
		return p.printRows(letter)
	})
}

func (p *program) noticesResend() *cobra.Command {
	return p.asksOf("resend MESSAGE", "Try a message again that is dead or was dropped, for those who do not have it", func(ctx context.Context, c *localapi.Client, key string) error {
		return p.onNotice(ctx, c, localapi.NoticeAct{Act: "resend", Letter: key}, "is tried again")
	})
}

func (p *program) noticesGiveUp() *cobra.Command {
	var note string
	cmd := p.asksOf("give-up MESSAGE", "End a message that will not be sent, with a note", func(ctx context.Context, c *localapi.Client, key string) error {
		return p.onNotice(ctx, c, localapi.NoticeAct{Act: "give-up", Letter: key, Note: note}, "is given up")
	})
	cmd.Flags().StringVar(&note, "note", "", "why; required")
	return cmd
}

func (p *program) onNotice(ctx context.Context, c *localapi.Client, act localapi.NoticeAct, done string) error {
	if err := c.ActOnNotice(ctx, act); err != nil || p.json {
		return err
	}
	_, err := fmt.Fprintln(p.stdout, act.Letter, done)
	return err
}
