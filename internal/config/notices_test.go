package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// noticeYAML is a configuration around some notices.
func noticeYAML(t *testing.T, more string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"app.secret": "ding-secret-0001", "king.secret": "0123456789abcdef0123456789abcdef", "robot.token": "0123456789", "robot.secret": "SEC0123",
		"mail.password": "mail-password-1",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Parse([]byte(`
public_url: https://gate.example.com
listen: {address: "localhost:0"}
corps: [{id: dingcorp1, app_key: dingapp1, app_secret_file: app.secret, agent_id: 1001}]
data_centres: [{id: live, url: "https://erp.example.com/K3Cloud/", db_id: 61cd78fbc6aa78, app_id: 231784_Test, app_secret_file: king.secret, integration_user: kdgate}]
forms: [{name: stock, form_id: STK_Inventory, types: [list, bill]}]
robots: [{name: ops, token_file: robot.token, secret_file: robot.secret}]
mail: {host: smtp.example.com, user: kdgate, password_file: mail.password, from: kdgate@example.com}
`+more), dir, nil)
}

// TestNotices: rules as the guide shows them, with what is left out filled in.
func TestNotices(t *testing.T) {
	cfg, err := noticeYAML(t, `
notices:
  - {name: low-stock, kind: low_stock, to: [zhangsan, "role:mapping-admin"], fallbacks: ["robot:ops", "mail:ops@example.com"], link: stock}
  - {name: small, kind: query, form: STK_Inventory, columns: [{field: FBaseQty, title: 数量}], where: [{field: FBaseQty, is: "<", values: [5]}], to: ["dept:10"]}
  - {name: daily, kind: digest, to: [boss], figures: [{title: 收入, form: AR_receivable, field: FALLAMOUNTFOR}]}
  - {name: leavers, kind: leavers, to: ["robot:ops"], groups: true}
`)
	if err != nil {
		t.Fatal(err)
	}
	first, second := cfg.Notices[0], cfg.Notices[1]
	if first.Corp != "dingcorp1" || first.DataCentre != "live" || first.Every != "@every 10m" || second.Key != "FID" || second.Where[0].Values[0] != "5" {
		t.Errorf("%+v", cfg.Notices)
	}
	if cfg.Robots[0].Token.Reveal() != "0123456789" || cfg.Mail.Password.Reveal() != "mail-password-1" || cfg.Mail.Port != 587 {
		t.Error("robots and mail are not read")
	}
}

// TestNoticeMistakes: what would fail only when there is something to tell is
// told when the configuration is read; figures and groups are kept apart (F73).
func TestNoticeMistakes(t *testing.T) {
	for what, rule := range map[string]string{
		"open group":               `{name: a, kind: low_stock, sensitive: true, to: ["robot:ops"]}`,
		"is an open group":         `{name: a, kind: digest, to: ["dept:1"], figures: [{title: x, form: F, field: F}]}`,
		"notices[0].to: nobody":    `{name: a, kind: errors}`,
		"none of robots":           `{name: a, kind: errors, to: ["robot:other"]}`,
		"names nobody":             `{name: a, kind: errors, to: ["mail:"]}`,
		"role":                     `{name: a, kind: errors, to: ["role:king"]}`,
		"a robot or a mail":        `{name: a, kind: errors, to: [x], fallbacks: [y]}`,
		"kind":                     `{name: a, kind: poem, to: [x]}`,
		"each name once":           `{name: A, kind: errors, to: [x]}`,
		"none of forms":            `{name: a, kind: low_stock, to: [x], link: other}`,
		"needs form and columns":   `{name: a, kind: query, to: [x]}`,
		"figures: missing":         `{name: a, kind: digest, to: [x]}`,
		"no data centre":           `{name: a, kind: errors, to: [x], data_centre: other}`,
		"where[0].is":              `{name: a, kind: query, form: F, columns: [{field: F}], where: [{field: F, is: like, values: [x]}], to: [x]}`,
		"write userid, dept:ID, r": `{name: a, kind: errors, to: ["fax:1"]}`,
	} {
		_, err := noticeYAML(t, "notices: ["+rule+"]\n")
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestRobotsAndMailMistakes: secrets by file only, and no mail without TLS settings that fit.
func TestRobotsAndMailMistakes(t *testing.T) {
	for what, change := range map[string][2]string{
		"robots[0].token_file": {"token_file: robot.token, ", ""},
		"begins with SEC":      {"secret_file: robot.secret", "secret_file: robot.token"},
		"mail.from":            {"from: kdgate@example.com", "from: kdgate"},
		"mail.envelope_from":   {"from: kdgate@example.com", "from: kdgate@example.com, envelope_from: 'B <b@example.com>'"},
		"belong together":      {"user: kdgate, ", ""},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"app.secret", "king.secret", "robot.token", "mail.password"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "robot.secret"), []byte("SEC0123"), 0o600); err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(`
public_url: https://gate.example.com
listen: {address: "localhost:0"}
corps: [{id: dingcorp1, app_key: dingapp1, app_secret_file: app.secret, agent_id: 1001}]
data_centres: [{id: live, url: "https://erp.example.com/K3Cloud/", db_id: 61cd78fbc6aa78, app_id: a_b, app_secret_file: king.secret, integration_user: kdgate}]
robots: [{name: ops, token_file: robot.token, secret_file: robot.secret}]
mail: {host: smtp.example.com, user: kdgate, password_file: mail.password, from: kdgate@example.com}
`, change[0], change[1], 1)
			_, err := Parse([]byte(text), dir, nil)
			if err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%v", err)
			}
		})
	}
}
