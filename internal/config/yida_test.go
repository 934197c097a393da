package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const yidaYAML = `
corps:
  - id: ding1
    yida:
      - {app: APP_ONE, system_token_file: yida.token, reader: manager01}
      - {app: APP_TWO, system_token_file: yida.token, reader: manager01, times: local, aliases: true}
approvals:
  - {name: a, source: yida, process: FORM-1, since: 2026-01-31}
  - {name: b, source: yida-form, app: APP_TWO, process: FORM-2, since: 2026-01-31}
  - {name: c, process: PROC-1, since: 2026-01-31}
`

// yidaMistakes are those of a configuration that are about Yida.
func yidaMistakes(t *testing.T, text string) (*Config, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "yida.token"), []byte("hexSystemTokenOfYida0001\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse([]byte(text), dir, nil)
	var told []string
	if err != nil { // the rest of a configuration is missing, and said to be
		for line := range strings.Lines(err.Error()) {
			if strings.Contains(line, "yida") || strings.Contains(line, "source") || strings.Contains(line, "].app:") {
				told = append(told, line)
			}
		}
	}
	return cfg, strings.Join(told, "")
}

// TestYida reads Yida applications with their key from a file, and gives a rule the
// first of them.
func TestYida(t *testing.T) {
	cfg := Config{
		Corps:       []Corp{{ID: "ding1", Yida: []YidaApp{{App: "APP_ONE"}, {App: "APP_TWO"}}}},
		DataCentres: []DataCentre{{ID: "live"}},
		Approvals: []Approval{
			{Name: "a", Mode: "on", Source: "yida", Process: "FORM-1", Since: "2026-01-31", OnRefused: "dead"},
			{Name: "b", Mode: "on", Source: "yida-form", App: "APP_TWO", Since: "2026-01-31", OnRefused: "dead"},
		},
		Search: Search{Overlap: 1, LookBack: 1}, ApprovalFiles: ApprovalFile{MaxSize: 1, MaxMany: 1, Timeout: 1},
	}
	m := &Mistakes{}
	if cfg.checkApprovals(m); len(*m) > 0 || cfg.Approvals[0].App != "APP_ONE" || cfg.Approvals[1].App != "APP_TWO" || !cfg.HasYida() {
		t.Errorf("%v %+v", *m, cfg.Approvals)
	}
	if _, told := yidaMistakes(t, yidaYAML); told != "" {
		t.Errorf("a good section: %s", told)
	}
}

// TestYidaMistakes: every mistake at once, each with where it is, and none tells
// the key.
func TestYidaMistakes(t *testing.T) {
	_, told := yidaMistakes(t, `
corps:
  - id: ding1
    yida:
      - {app: "APP ONE", system_token_file: gone, times: gmt}
      - {app: APP_TWO, system_token_file: yida.token, reader: x}
      - {app: APP_TWO, reader: x}
approvals:
  - {name: a, source: yida, app: APP_OTHER, process: FORM-1, since: 2026-01-31}
  - {name: b, source: weather, process: FORM-1, since: 2026-01-31}
  - {name: c, app: APP_TWO, process: PROC-1, since: 2026-01-31}
`)
	for _, part := range []string{
		"corps[0].yida[0].app", "corps[0].yida[0].system_token_file", "corps[0].yida[0].reader", "corps[0].yida[0].times", "corps[0].yida[2].app: APP_TWO is there twice",
		"corps[0].yida[2].system_token", `approvals[0].app: "APP_OTHER"`, "approvals[1].source", "approvals[2].app",
	} {
		if !strings.Contains(told, part) {
			t.Errorf("%q is not told in %s", part, told)
		}
	}
	if strings.Contains(told, "hexSystemToken") {
		t.Error("the key is told")
	}
}
