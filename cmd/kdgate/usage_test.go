package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if said := h.run("version").want(t, 0); said.stdout != "kdgate "+builtVersion+"\n" {
		t.Errorf("said %q", said.stdout)
	}
	var answer struct{ Version string }
	must(t, json.Unmarshal([]byte(h.run("version", "--json").want(t, 0).stdout), &answer))
	if answer.Version != builtVersion {
		t.Errorf("version %q", answer.Version)
	}
}

// TestUsage: exit 2 and words for whatever cannot be understood.
func TestUsage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "name a command"},
		{[]string{"srve"}, "did you mean serve?"},
		{[]string{"serve", "--port", "80"}, "--port"},
		{[]string{"serve", "now"}, "now"},
		{[]string{"mapping"}, "name a command"},
		{[]string{"mapping", "lst"}, "lst"},
		{[]string{"mapping", "list", "--statuss", "x"}, "statuss"},
		{[]string{"mapping", "get"}, "arg"},
		{[]string{"mapping", "export", "--format", "ods"}, "csv or xlsx"},
		{[]string{"audit", "tail", "-n", "many"}, "many"},
		{[]string{"audit", "tail", "-n", "0"}, "1 to 1000"},
		{[]string{"audit", "tail", "-n", "1001"}, "1 to 1000"},
		{[]string{"audit", "export", "--from", "2026-02-02", "--to", "2026-02-01"}, "--to 2026-02-01 is not after --from 2026-02-02"},
		{[]string{"audit", "export", "--outcome", "well"}, "ok, refused, failed"},
		{[]string{"mapping", "list", "--status", "activ"}, "active, suspended, pending"},
		{[]string{"mapping", "export", "--owner", "me"}, "auto, manual, locked"},
		{[]string{"mapping", "get", "1001", "--corp", "dingother"}, "--corp dingother is none of dingcorp1"},
		{[]string{"mapping", "get", "1001", "--data-centre", "test"}, "--data-centre test is none of live"},
		{[]string{"mapping", "import", "--undo", "RUN", "--dry-run"}, "--dry-run is for a FILE"},
		{[]string{"consent", "list", "--state", "yes"}, "given, withdrawn"},
		{[]string{"consent", "export", "--way", "mail"}, "self, import, paper"},
		{[]string{"approvals", "bills", "--state", "done"}, "booked, waiting"},
		{[]string{"approvals", "check", "none.yaml"}, "none.yaml"},
		{[]string{"audit", "shred"}, "shred"},
		{[]string{"check-config", "extra"}, "extra"},
	} {
		said := h.run(c.args...).want(t, 2, c.want)
		if !strings.Contains("\n"+said.stderr, "\nkdgate: ") || said.stdout != "" {
			t.Errorf("%q: said %q, and on standard output %q", c.args, said.stderr, said.stdout)
		}
	}
}

// TestCheckConfig: 0 and its warnings on a good file, 2 and every mistake on a
// bad one, for people and for programs (T123, T124).
func TestCheckConfig(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run("check-config").want(t, 0, "kdgate.yaml is well: 1 organisation(s), 1 data centre(s)")
	var report struct {
		OK                 bool
		Mistakes, Warnings []string
	}
	must(t, json.Unmarshal([]byte(h.run("check-config", "--json").want(t, 0).stdout), &report))
	if !report.OK || report.Mistakes == nil || len(report.Mistakes) > 0 {
		t.Errorf("report %+v", report)
	}
	if _, err := os.Stat(h.path("data")); err == nil {
		t.Error("a check made files")
	}

	must(t, os.Chmod(h.path("dingtalk.secret"), 0o644))
	h.put("kingdee.secret", "changeme")
	h.put("short.key", "short")
	h.edit("agent_id", "agentid")
	unknown := h.run("check-config").want(t, 2, "agentid: unknown key; did you mean corps.agent_id?")
	if unknown.stdout != "" {
		t.Errorf("mistakes on standard output: %q", unknown.stdout)
	}
	h.edit("agentid", "agent_id")
	h.edit("db_id: "+dbID, "db_id: ")
	h.edit("audit: {", "seal: {key_file: short.key}\nsessions: {idle: 2h}\naudit: {retain: 30d, ")
	words := []string{
		"mistake(s)", "chmod 600", "still holds a placeholder", "db_id: missing", "audit.retain", "183d", "sessions.idle", "short.key holds 5 bytes",
	}
	h.run("check-config").want(t, 2, words...)
	h.run("serve").want(t, 2, words...)
	h.run("mapping", "list").want(t, 2, words...)
	must(t, json.Unmarshal([]byte(h.run("check-config", "--json").want(t, 2).stdout), &report))
	if report.OK || len(report.Mistakes) < 6 {
		t.Errorf("report %+v", report)
	}
	must(t, os.Remove(h.path("kdgate.yaml")))
	h.run("check-config").want(t, 2, "kdgate.yaml", "no such file")
	must(t, json.Unmarshal([]byte(h.run("check-config", "--json").want(t, 2).stdout), &report))
	if report.OK {
		t.Error("a file that is not there is well")
	}
}

// TestEnvironment: every key can come from the environment, and a variable that
// names none is a mistake.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	with := func(env string) func(*exec.Cmd) {
		return func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, env) }
	}
	h.runWith(with("KDGATE_SESSIONS_IDLE=2h"), "check-config").want(t, 2, "sessions.idle")
	h.runWith(with("KDGATE_SESIONS_IDLE=5m"), "check-config").want(t, 2, "KDGATE_SESIONS_IDLE")
	h.edit("    app_secret_file: kingdee.secret\n", "")
	h.run("check-config").want(t, 2, "KDGATE_DATA_CENTRES_0_APP_SECRET")
	h.runWith(with("KDGATE_DATA_CENTRES_0_APP_SECRET="+h.secrets["kingdee.secret"]), "check-config").want(t, 0)
}

// TestReference: the generated page holds every key and no mistake of Markdown.
func TestReference(t *testing.T) {
	t.Parallel()
	said := newHouse(t).run("config-reference").want(t, 0, "| `seal.old_key_files` |", "KDGATE_CORPS_N_APP_SECRET_FILE", "Generated by")
	for line := range strings.Lines(said.stdout) {
		if strings.HasPrefix(line, "|") && strings.Count(line, "|") != 6 {
			t.Errorf("not five cells: %s", line)
		}
	}
}

// TestSecretsAreNowhere proves T122, T115: not in help, checks, logs, arguments,
// the audit log or what commands print.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.seal("seal.key")
	h.edit("audit: {", "log: {level: debug}\nseal: {key_file: seal.key}\naudit: {")
	g := h.start()
	seen := map[string]string{}
	see := func(name, text string) { seen[name] += text }
	v := g.visitor()
	_, signIn := v.launch()
	form := v.form(signIn, "1001")
	h.secrets["auth code"], h.secrets["nonce"] = form.Get("code"), form.Get("nonce")
	res, _, err := v.ask(http.MethodPost, "/signin/dingtalk", form)
	must(t, err)
	see("answer", fmt.Sprint(res.StatusCode))
	link, _ := v.launch()
	_, h.secrets["link"], _ = strings.Cut(link, "ud=")
	for name, value := range v.cookies {
		if strings.HasPrefix(name, "__Host-") {
			h.secrets["cookie "+name] = value
		}
	}
	announcement, err := os.ReadFile(h.path("data/local-api.json"))
	must(t, err)
	var announced struct{ Token string }
	must(t, json.Unmarshal(announcement, &announced))
	h.secrets["local API token"] = announced.Token

	h.run("mapping", "import", h.put("rows.csv", csvHeader+"dingcorp1,zhangsan,live,1002,x\n"))
	for _, args := range [][]string{
		{"--help"},
		{"serve", "--help"},
		{"mapping", "import", "--help"},
		{"audit", "verify", "--help"},
		{"check-config"},
		{"check-config", "--json"},
		{"config-reference"},
		{"mapping", "list", "--json"},
		{"mapping", "export"},
		{"mapping", "get", "1001", "--json"},
		{"audit", "export"},
		{"audit", "verify", "--json"},
		{"audit", "public-key"},
	} {
		said := h.run(args...)
		see(strings.Join(args, " "), said.stdout+said.stderr)
	}
	for _, file := range []string{"cmdline", "environ", "comm"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", g.cmd.Process.Pid, file))
		must(t, err)
		see("/proc/"+file, string(text))
	}
	for _, path := range []string{"/metrics", "/readyz", "/healthz"} {
		_, body := g.opsGet(path)
		see(path, body)
	}
	g.stop()
	see("log", g.log())
	if len(h.secrets) < 8 || !strings.Contains(seen["log"], "/signin/dingtalk") || len(seen) < 15 {
		t.Fatalf("the test looks in the wrong place: %d secrets, %d places", len(h.secrets), len(seen))
	}
	for name, secret := range h.secrets {
		if len(secret) < 10 {
			t.Errorf("secret %s is too short to look for: %q", name, secret)
		}
		for place, text := range seen {
			if strings.Contains(text, secret) || strings.Contains(strings.ToLower(text), hex.EncodeToString([]byte(secret))) {
				t.Errorf("%s stands in %s", name, place)
			}
		}
	}
}
