package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kdgate/internal/config"
	"kdgate/internal/localapi"
	"kdgate/jobs/notice"
)

func (p *program) notices() *cobra.Command {
	return group("notices", "Look at what people were told, and try a way to them", p.noticesList(), p.noticesShow(), p.noticesTest(),
		p.noticesRules(), p.noticesPreview(), p.noticesResend(), p.noticesGiveUp())
}

// noticesList shows what became of each message (F71), newest first.
func (p *program) noticesList() *cobra.Command {
	var f localapi.DeliveryFilter
	var state string
	cmd := p.asks("list", "List messages and what became of them, newest first", func(ctx context.Context, c *localapi.Client) error {
		f.State = notice.State(state)
		if p.json {
			list := jsonList{w: p.stdout}
			if err := eachDelivery(ctx, c, f, func(d notice.Delivery) error { return list.add(d) }); err != nil {
				return err
			}
			return list.end()
		}
		table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "WHEN\tTOPIC\tTITLE\tSTATE\tTO\tWHY\tMESSAGE")
		err := eachDelivery(ctx, c, f, func(d notice.Delivery) error {
			for i, r := range d.Recipients {
				when, topic, title, key := clock(d.Created), d.Topic, d.Title, d.Key()
				if i > 0 {
					when, topic, title, key = "", "", "", ""
				}
				if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", when, topic, title, outcomeOf(d, r), r.Who, reasonOf(d, r), key); err != nil {
					return err
				}
			}
			return nil
		})
		return errors.Join(err, table.Flush())
	})
	cmd.Flags().StringVar(&f.Topic, "topic", "", "for example stock, access or queue")
	cmd.Flags().StringVar(&state, "state", "", "for example delivered, dropped, detoured or waiting")
	return cmd
}

func outcomeOf(d notice.Delivery, r notice.Recipient) notice.State {
	if d.State == notice.Merged {
		return notice.Merged
	}
	return r.State
}

// reasonOf says why, or by which other way.
func reasonOf(d notice.Delivery, r notice.Recipient) string {
	switch {
	case d.State == notice.Merged:
		return "with " + d.Into
	case r.By != "":
		return r.Why + "; told by " + r.By
	case r.Why != "":
		return r.Why
	}
	return d.Failure
}

// eachDelivery shows every delivery that fits, page by page.
func eachDelivery(ctx context.Context, c *localapi.Client, f localapi.DeliveryFilter, show func(notice.Delivery) error) error {
	for f.Limit = 200; ; {
		page, err := c.Deliveries(ctx, f)
		if err != nil {
			return err
		}
		for _, d := range page.Deliveries {
			if err := show(d); err != nil {
				return err
			}
		}
		if f.After = page.After; f.After == "" {
			return nil
		}
	}
}

// noticesTest tries the ways that a rule would use.
func (p *program) noticesTest() *cobra.Command {
	var o localapi.TrialNotice
	cmd := &cobra.Command{
		Use: "test TO...", Short: "Send a trial message: userid, dept:ID, role:ROLE, robot:NAME or mail:ADDRESS", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withTable(cmd.Context(), func(c *localapi.Client, _ *config.Config) error {
				o.To = args
				if err := c.TryNotice(cmd.Context(), o); err != nil {
					return err
				}
				if p.json {
					return nil
				}
				_, err := fmt.Fprintln(p.stdout, "it is in the outbox and leaves while the gateway runs; kdgate notices list --topic test tells what became of it")
				return err
			})
		},
	}
	cmd.Flags().StringVar(&o.Corp, "corp", "", "whose people, where there are several organisations")
	return cmd
}
