package config

import (
	"fmt"
	"slices"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
)

// YidaApp is one Yida (宜搭) application of an organisation.
type YidaApp struct {
	App             string          `mapstructure:"app" doc:"appType, APP_…; it stands in the address of its pages"`
	SystemToken     identity.Secret `mapstructure:"system_token" secret:"true" doc:"its 应用密钥, on the page 应用设置 → 应用数据"`
	SystemTokenFile string          `mapstructure:"system_token_file" doc:"file whose content it is"`
	Reader          string          `mapstructure:"reader" doc:"userid of somebody who may see every submission"`
	Aliases         bool            `mapstructure:"aliases" default:"false" doc:"name components by the alias (字段别名) that their form gives them"`
	Times           string          `mapstructure:"times" default:"utc" doc:"what the Z behind its times means: utc or local (UTC+8)"`
}

var yidaAppPattern = lazyregexp.New(`^[A-Za-z0-9_-]{1,64}$`)

func checkYida(m *Mistakes, at string, apps []YidaApp) {
	seen := map[string]bool{}
	for i, app := range apps {
		at := fmt.Sprintf("%s[%d]", at, i)
		switch {
		case !yidaAppPattern().MatchString(app.App):
			m.add("%s.app: %q is no appType; APP_… stands in the address of the application's pages", at, app.App)
		case seen[app.App]:
			m.add("%s.app: %s is there twice", at, app.App)
		}
		seen[app.App] = true
		checkSecret(m, at+".system_token", app.SystemToken)
		required(m, at+".reader", app.Reader, "the userid of somebody who may see every submission, such as an administrator of the application")
		oneOf(m, at+".times", app.Times, "utc", "local")
	}
}

// HasYida reports whether any organisation has a Yida application.
func (c *Config) HasYida() bool {
	return slices.ContainsFunc(c.Corps, func(corp Corp) bool { return len(corp.Yida) > 0 })
}

// checkSource checks where the approvals of a rule come from, and fills in the
// application of one about Yida.
func (c *Config) checkSource(m *Mistakes, at string, a *Approval) {
	oneOf(m, at+".source", a.Source, "approval", "yida", "yida-form")
	if a.Source != "yida" && a.Source != "yida-form" {
		if a.App != "" {
			m.add("%s.app: only a rule about Yida has one; say source: yida", at)
		}
		return
	}
	corp := slices.IndexFunc(c.Corps, func(corp Corp) bool { return corp.ID == a.Corp })
	if corp < 0 {
		return // told already
	}
	apps := c.Corps[corp].Yida
	if a.App == "" && len(apps) > 0 {
		a.App = apps[0].App
	}
	if !slices.ContainsFunc(apps, func(app YidaApp) bool { return app.App == a.App }) {
		m.add("%s.app: %q is none of corps[%d].yida", at, a.App, corp)
	}
}
