package main

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"kdgate/mapping/consent"
)

// consents is the register as consent list --json has it, by userid.
func consents(t *testing.T, h *house, flags ...string) map[string]consent.Row {
	t.Helper()
	said := h.run(append([]string{"consent", "list", "--json"}, flags...)...).want(t, 0)
	var rows []consent.Row
	if err := json.Unmarshal([]byte(said.stdout), &rows); err != nil {
		t.Fatalf("not one JSON value: %v\n%s", err, said.stdout)
	}
	by := map[string]consent.Row{}
	for _, row := range rows {
		by[row.UserID] = row
	}
	return by
}

// TestConsentAtTheCommandLine proves F44 at the command line, through a running
// gateway and with none: nobody is carried over before they agreed; the file of an HR
// process is looked at first, taken whole or not at all, and opens and closes the way
// to Kingdee; the register is listed, filtered and exported, its export comes in
// again, and every step is on record.
func TestConsentAtTheCommandLine(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]bool{"through the gateway": true, "with none running": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.write(h.text + "directory: {mode: on, every: '@every 24h', default_position: GW0001, breaker: {share: 0.01, least: 1}, consent: {mode: required, version: '2026-03'}}\n")
			if serve {
				g := h.start()
				defer g.stop()
			}
			h.consentRound(t)
			h.run("audit", "verify").want(t, 0, "No fault found")
		})
	}
}

func (h *house) consentRound(t *testing.T) {
	t.Helper()
	inKingdee := func(userid string) bool {
		return strings.Contains(h.sim(http.MethodGet, h.kingdee.URL+"/sim/staff", ""), `"`+userid+`"`)
	}
	h.run("consent", "list").want(t, 0, "USERID")
	h.run("directory", "run").want(t, 0, "0 created")

	wrong := h.put("wrong.csv", "userid,state\nlisi,given\nzhaoliu,perhaps\n")
	h.run("consent", "import", wrong).want(t, 1, "line 3", "nothing was written")
	h.run("consent", "import", h.put("odd.csv", "userid,state,colour\nlisi,given,red\n")).want(t, 1, "colour")
	h.run("consent", "import", h.path("none.csv")).want(t, 2, "none.csv")
	good := h.put("hr.csv", "userid,state,at,note\nlisi,given,2026-03-02,paper 7\nzhaoliu,withdrawn,2026-03-02T09:00:00+08:00,\n")
	h.run("consent", "import", good, "--dry-run").want(t, 0, "2 lines, 2 change something")
	if rows := consents(t, h); len(rows) != 0 {
		t.Fatalf("nothing was to be written: %+v", rows)
	}
	h.run("consent", "import", good).want(t, 0, "2 lines, 2 change something")
	h.run("consent", "import", good).want(t, 0, "0 change something, 2 say the same")
	rows := consents(t, h)
	if lisi := rows["lisi"]; len(rows) != 2 || lisi.State != consent.Given || lisi.Version != "2026-03" || lisi.Way != consent.Import || lisi.Note != "paper 7" || !strings.HasPrefix(lisi.By, "cli:") || lisi.Digest == "" {
		t.Errorf("%+v", rows)
	}
	if only := consents(t, h, "--state", "withdrawn"); len(only) != 1 || only["zhaoliu"].State != consent.Withdrawn {
		t.Errorf("withdrawn: %+v", only)
	}
	h.run("consent", "list", "--text", "lis").want(t, 0, "lisi", "given", "2026-03", "paper 7")

	h.run("directory", "run").want(t, 0, "complete") // one by the clock may have made them already
	if !inKingdee("lisi") || inKingdee("zhaoliu") {
		t.Error("who agreed is in Kingdee, and who did not is not")
	}
	h.exported(t)
	h.sim(http.MethodPatch, h.dingtalk.URL+"/sim/people/lisi", `{"name":"李四四"}`)
	h.runWith(func(cmd *exec.Cmd) { cmd.Stdin = strings.NewReader("userid,state\nlisi,withdrawn\n") }, "consent", "import", "-").want(t, 0, "1 change something")
	h.run("directory", "run").want(t, 0, "0 changed")
	if strings.Contains(h.sim(http.MethodGet, h.kingdee.URL+"/sim/staff", ""), "李四四") {
		t.Error("a change of somebody who withdrew is in Kingdee")
	}
	h.run("audit", "export", "--action", "consent.import").want(t, 0, `"actor":"cli:`, rows["lisi"].Digest)
	h.run("audit", "export", "--action", "consent.export").want(t, 0, `"actor":"cli:`)
}

// exported reads the export as a spreadsheet would, and has it taken in again.
func (h *house) exported(t *testing.T) {
	t.Helper()
	out := h.run("consent", "export", "--state", "given").want(t, 0)
	lines, err := csv.NewReader(strings.NewReader(out.stdout)).ReadAll()
	must(t, err)
	if len(lines) != 2 || !slices.Equal(lines[1][:4], []string{corpID, "lisi", "given", "2026-03"}) {
		t.Errorf("%q", lines)
	}
	h.run("consent", "import", h.put("back.csv", out.stdout)).want(t, 0, "1 lines, 0 change something, 1 say the same")
}
