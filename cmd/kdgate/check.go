package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kdgate/audit"
	"kdgate/internal/app"
	"kdgate/internal/checkup"
	"kdgate/internal/config"
	"kdgate/internal/localapi"
	"kdgate/web"
)

// errUnwell is a check-up that found a fault: exit 1.
var errUnwell = errors.New("the check-up found a fault")

func (p *program) check() *cobra.Command {
	var only, lang string
	cmd := &cobra.Command{
		Use: "check", Short: "Test every peer, permission by permission, and say what to do; exit 1 on a fault", Args: cobra.NoArgs,
		Long: "Tests DingTalk, Kingdee, the store, the audit log and this machine. A gateway that runs does it and keeps the\n" +
			"result for the console; without one the command does it itself. The result is put on record.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			pages, err := web.New()
			if err != nil {
				return err
			}
			words := pages.Catalogue().In(lang)
			if words.Lang != lang {
				return fmt.Errorf("%w: --lang is en, zh-Hans or zh-Hant, not %s", errUsage, lang)
			}
			result, err := p.checkUp(cmd.Context(), only)
			if err != nil {
				return err
			}
			if p.json {
				err = p.printJSON(result)
			} else {
				err = p.printCheckup(words, result)
			}
			if err == nil && !result.OK {
				err = errUnwell
			}
			return err
		},
	}
	cmd.Flags().StringVar(&only, "only", "", "one peer: dingtalk/CORP, kingdee/ID, store, audit or host")
	cmd.Flags().StringVar(&lang, "lang", "en", "language of the words: en, zh-Hans or zh-Hant")
	return cmd
}

// checkUp lets the gateway that runs do it, because its clients know how their
// peers have been lately, and does it here when none runs.
func (p *program) checkUp(ctx context.Context, only string) (checkup.Result, error) {
	cfg, err := p.load()
	if err != nil {
		return checkup.Result{}, err
	}
	if peers := checkable(cfg); only != "" && !slices.Contains(peers, only) {
		return checkup.Result{}, fmt.Errorf("%w: --only is one of %s, not %s", errUsage, strings.Join(peers, ", "), only)
	}
	bar := p.progress("peers")
	defer bar.finish()
	name := osUser()
	client, err := localapi.Dial(ctx, app.DataDir(cfg), name)
	if err == nil {
		defer client.Close()
		return client.Check(ctx, only, bar.set)
	}
	if !errors.Is(err, localapi.ErrNoGateway) {
		return checkup.Result{}, err
	}
	return app.CheckUp(ctx, app.Options{
		Config: cfg, Replica: replicaName(p.hostname) + "-cli", Version: version, Logger: slog.New(slog.DiscardHandler),
	}, only, audit.Event{Actor: "cli:" + name, Source: "local"}, bar.set)
}

// checkable are the peers that --only may name.
func checkable(cfg *config.Config) []string {
	var peers []string
	for _, corp := range cfg.Corps {
		peers = append(peers, "dingtalk/"+corp.ID)
	}
	for _, centre := range cfg.DataCentres {
		peers = append(peers, "kingdee/"+centre.ID)
	}
	return append(peers, "store", "audit", "host")
}

// printCheckup is one line a test, and under it what is wrong and what to do.
func (p *program) printCheckup(words web.Words, result checkup.Result) error {
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, item := range result.Items {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", words.Word("checkup", item.Status), item.Peer, words.Word("checkup-item", item.Check), item.Detail)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, item := range result.Items {
		if what, fix := item.Advice(words); what+fix != "" {
			fmt.Fprintf(p.stdout, "\n%s %s: %s\n  → %s\n", item.Peer, words.Word("checkup-item", item.Check), what, fix)
		}
	}
	if confirmed := result.Confirmed(); len(result.Facts) > 0 {
		fmt.Fprintln(p.stdout, "\n"+words.T("checkup.weighed", "confirmed", fmt.Sprint(confirmed), "assumed", fmt.Sprint(len(result.Facts)-confirmed)))
	}
	_, err := fmt.Fprintln(p.stdout, "\n"+words.T("checkup.counts", "ok", fmt.Sprint(result.Count(checkup.OK)), "warning", fmt.Sprint(result.Count(checkup.Warning)),
		"fault", fmt.Sprint(result.Count(checkup.Fault)), "unknown", fmt.Sprint(result.Count(checkup.Unknown))))
	return err
}
