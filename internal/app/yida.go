package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kdgate/dingtalk"
	"kdgate/internal/checkup"
	"kdgate/internal/config"
	"kdgate/jobs/approval"
)

// yidaBack is how far back a poll of Yida's forms looks. Yida filters by whole
// days: this is yesterday and today, over every midnight.
const yidaBack = 24 * time.Hour

// sectionOf is an organisation in the configuration.
func sectionOf(cfg *config.Config, corp string) config.Corp {
	for _, section := range cfg.Corps {
		if section.ID == corp {
			return section
		}
	}
	return config.Corp{}
}

// yidaApps are the Yida applications of an organisation, by appType.
func yidaApps(corp config.Corp, v vendors) (map[string]approval.Yida, error) {
	apps := map[string]approval.Yida{}
	var wrong []error
	for _, section := range corp.Yida {
		app, err := yidaApp(v.dingtalk[corp.ID].api.Background(), section)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("corps.yida: %s: %w", section.App, err))
		}
		apps[section.App] = app
	}
	return apps, errors.Join(wrong...)
}

func yidaApp(client *dingtalk.Client, section config.YidaApp) (*dingtalk.Yida, error) {
	app := dingtalk.YidaApp{App: section.App, SystemToken: section.SystemToken, Reader: section.Reader, Aliases: section.Aliases, Zone: time.UTC}
	if section.Times == "local" {
		app.Zone = time.FixedZone("UTC+8", 8*60*60)
	}
	return client.Yida(app)
}

// sourceOf is a rule's source as jobs/approval has it.
func sourceOf(a config.Approval) string {
	if a.Source == "approval" {
		return approval.SourceApproval
	}
	return a.Source
}

// yidaChecks are the forms that the rules of the file are about, each once.
func yidaChecks(cfg *config.Config, corp config.Corp, v vendors) []checkup.YidaForm {
	var checks []checkup.YidaForm
	seen := map[string]bool{}
	for _, a := range cfg.Approvals {
		if a.Corp != corp.ID || sourceOf(a) == approval.SourceApproval || seen[a.Process] {
			continue
		}
		seen[a.Process] = true
		form := dingtalk.YidaForm{ID: a.Process, Plain: a.Source == approval.SourceYidaForm}
		for _, section := range corp.Yida {
			if section.App != a.App {
				continue
			}
			checks = append(checks, checkup.YidaForm{Form: form.ID, Permission: form.Permission(), Test: func(ctx context.Context) error {
				app, err := yidaApp(v.dingtalk[corp.ID].api, section)
				if err != nil {
					return err
				}
				return app.Probe(ctx, form)
			}})
		}
	}
	return checks
}
