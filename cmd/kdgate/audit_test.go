package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kdgate/audit"
)

// withLog is a house whose log holds a sign-in and what goes with it.
func withLog(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	g := h.start()
	g.wantSignIn("1001", "zhangsan")
	g.stop()
	return h
}

// copyLog copies the log as a reviewer takes it away.
func (h *house) copyLog(name string) string {
	h.t.Helper()
	to := h.path(name)
	must(h.t, os.MkdirAll(to, 0o700))
	for _, file := range []string{"audit.db"} {
		text, err := os.ReadFile(filepath.Join(h.path("data/audit"), file))
		must(h.t, err)
		must(h.t, os.WriteFile(filepath.Join(to, file), text, 0o600))
	}
	return to
}

// flip changes one byte of the first place where text stands in the file.
func flip(t *testing.T, path, text string) {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	i := strings.Index(string(content), text)
	if i < 0 {
		t.Fatalf("%s does not hold %q", path, text)
	}
	content[i] ^= 1
	must(t, os.WriteFile(path, content, 0o600))
}

// TestAuditVerify proves F42 at the command line: 0 on a good log, 3 on one
// changed byte, by key and by public key, as words and as JSON.
func TestAuditVerify(t *testing.T) {
	t.Parallel()
	h := withLog(t)
	h.run("audit", "verify").want(t, 0, "No fault found")
	var report struct {
		Records    int   `json:"records"`
		FaultCount int   `json:"fault_count"`
		Took       int64 `json:"took_ns"`
	}
	said := h.run("audit", "verify", "--json").want(t, 0)
	must(t, json.Unmarshal([]byte(said.stdout), &report))
	if report.Records < 5 || report.FaultCount != 0 {
		t.Errorf("report %+v", report)
	}

	public := h.put("log.pub", h.run("audit", "public-key").want(t, 0).stdout)
	copied := h.copyLog("copy")
	anywhere := func(args ...string) result { // no configuration, another folder
		cmd := exec.Command(binary, args...)
		cmd.Dir, cmd.Env = t.TempDir(), nil
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run() // the code tells
		return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	}
	anywhere("audit", "verify", copied, "--public-key", public, "--anchor", h.path("anchor.jsonl")).want(t, 0, "No fault found")
	anywhere("audit", "verify", filepath.Join(copied, "audit.db"), "--public-key", public).want(t, 0, "No fault found")
	anywhere("audit", "verify", copied).want(t, 0, "This does not prove")
	anywhere("audit", "verify", copied, "--public-key", h.path("kdgate.yaml")).want(t, 2, "holds no public key")
	anywhere("audit", "verify", h.path("nothing-here")).want(t, 1, "nothing-here")
	anywhere("audit", "verify").want(t, 2, "kdgate.yaml")
	anywhere("audit", "verify", "one", "two").want(t, 2)

	flip(t, filepath.Join(copied, "audit.db"), `"action":"signin"`)
	anywhere("audit", "verify", copied, "--public-key", public).want(t, 3, "FAULTS")
	anywhere("audit", "verify", copied).want(t, 3, "FAULTS")
	h.run("audit", "verify", copied).want(t, 3, "FAULTS") // with the key of the configuration
	broken := anywhere("audit", "verify", copied, "--json").want(t, 3)
	must(t, json.Unmarshal([]byte(broken.stdout), &report))
	if report.FaultCount == 0 {
		t.Errorf("the JSON report tells no fault: %s", broken.stdout)
	}
	// The very file that is named is read, not the audit.db beside it.
	must(t, os.Rename(filepath.Join(copied, "audit.db"), filepath.Join(copied, "march.db")))
	anywhere("audit", "verify", h.copyLog("copy")).want(t, 0, "No fault found")
	anywhere("audit", "verify", filepath.Join(copied, "march.db"), "--public-key", public).want(t, 3, "FAULTS")
	emptied := h.put("emptied.db", "")
	anywhere("audit", "verify", emptied).want(t, 3, "0 records", "the layout lacks")
	h.run("audit", "verify").want(t, 0) // the log itself is as it was

	// T112: a copy from which everything is gone is no good log, though nothing in it is wrong.
	none, err := audit.Open(t.Context(), audit.Config{Dir: h.path("none"), Replica: "none", Key: make([]byte, 32)})
	must(t, err)
	must(t, none.Close())
	anywhere("audit", "verify", h.path("none")).want(t, 1, "0 records", "nothing was verified")
	anywhere("audit", "verify", h.path("none"), "--json").want(t, 1, `"records": 0`, "nothing was verified")
	h.run("audit", "verify", h.path("none")).want(t, 3, "FAULTS") // the anchor of the configuration knows better
}

// TestCutTailIsFound: the end of the log is proven by what lies off the host.
func TestCutTailIsFound(t *testing.T) {
	t.Parallel()
	h := withLog(t)
	older := h.copyLog("older")
	g := h.start()
	g.visitor().signIn("1001")
	g.stop()
	h.run("audit", "verify", older, "--anchor", h.path("anchor.jsonl")).want(t, 3, "truncated")
}

// TestAuditWhileItRuns: reading and verifying need no pause of the gateway.
func TestAuditWhileItRuns(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	follow := exec.CommandContext(t.Context(), binary, "audit", "tail", "--follow", "--config", h.path("kdgate.yaml")) // ends with a test that fails, too
	stdout, err := follow.StdoutPipe()
	must(t, err)
	must(t, follow.Start())
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || !strings.Contains(lines.Text(), "config.load") {
		t.Fatalf("the first line is %q", lines.Text())
	}
	g.wantSignIn("1001", "zhangsan")
	seen := make(chan bool, 1)
	go func() {
		for lines.Scan() {
			if strings.Contains(lines.Text(), "mint") && strings.Contains(lines.Text(), "dingcorp1/1001") {
				seen <- true
				break
			}
		}
		close(seen)
	}()
	select {
	case ok := <-seen:
		if !ok {
			t.Error("the mint was not followed")
		}
	case <-time.After(patience):
		t.Error("the mint is not shown")
	}
	must(t, follow.Process.Signal(syscall.SIGINT))
	if err := follow.Wait(); err != nil {
		t.Errorf("an interrupted follow: %v", err)
	}
	h.run("audit", "verify").want(t, 0, "No fault found")
	h.run("audit", "tail", "-n", "9").want(t, 0, "mint", "audit.read") // the follow's own look was recorded by the gateway (F40)
	g.stop()
}

// TestAuditExport: the same records as lines that verify and as a sheet.
func TestAuditExport(t *testing.T) {
	t.Parallel()
	h := withLog(t)
	said := h.run("audit", "export").want(t, 0)
	var actions []string
	for line := range strings.Lines(said.stdout) {
		var record struct{ Action, At, Hash string }
		must(t, json.Unmarshal([]byte(line), &record))
		actions = append(actions, record.Action)
	}
	if len(actions) < 5 || actions[0] != "config.load" || actions[1] != "serve.start" || actions[len(actions)-2] != "serve.stop" || actions[len(actions)-1] != "audit.export" {
		t.Errorf("oldest first, and this export itself as the last (F40): %q", actions)
	}
	sheet := h.run("audit", "export", "--format", "csv").want(t, 0)
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(sheet.stdout, "\ufeff"))).ReadAll()
	if err != nil || len(rows) != len(actions)+2 { // a head, and its own record
		t.Errorf("%d rows of a sheet for %d records, %v", len(rows), len(actions), err)
	}
	one := h.run("audit", "export", "--person", "dingcorp1/1001", "--action", "mint").want(t, 0)
	if strings.Count(one.stdout, "\n") != 1 || !strings.Contains(one.stdout, `"action":"mint"`) {
		t.Errorf("chosen: %s", one.stdout)
	}
	tomorrow := time.Now().Add(48 * time.Hour).Format(time.DateOnly)
	if none := h.run("audit", "export", "--from", tomorrow).want(t, 0); none.stdout != "" {
		t.Errorf("from tomorrow: %s", none.stdout)
	}
	if all := h.run("audit", "export", "--to", tomorrow).want(t, 0); !strings.HasPrefix(all.stdout, said.stdout) {
		t.Error("until tomorrow is not everything")
	}
	h.run("audit", "export", "--from", "last week").want(t, 2, "2026-01-31")
	h.run("audit", "export", "--outcome", "maybe").want(t, 2, "ok, refused, failed")
	h.run("audit", "export", "--format", "pdf").want(t, 2, "csv nor jsonl")
	h.run("audit", "tail", "--json", "-n", "1").want(t, 0, `"action":"audit.export"`, `"actor":"cli:`)
	h.run("audit", "verify").want(t, 0, "No fault found") // also with the commands' own chain
}

// TestKeyRotation proves R57: a new sealing key in front, the old one listed;
// sessions, rows and the log's chain go on. A log whose key is gone says so.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.seal("first.key")
	h.seal("second.key")
	h.edit("audit: {", "seal: {key_file: first.key}\naudit: {")
	g := h.start()
	v := g.wantSignIn("1001", "zhangsan")
	waiting := g.visitor()
	_, pending := waiting.launch()
	form := waiting.form(pending, "1001")
	g.stop()

	for _, step := range []string{ // with replicas the new key is first made known, then used
		"seal: {key_file: first.key, old_key_files: [second.key]}",
		"seal: {key_file: second.key, old_key_files: [first.key]}",
	} {
		before, after, _ := strings.Cut(h.text, "seal: {")
		_, after, _ = strings.Cut(after, "\n")
		h.write(before + step + "\n" + after)
		g = h.start()
		v.g = g
		if link, _ := v.launch(); link == "" {
			t.Errorf("%s: the session is lost", step)
		}
		h.run("mapping", "get", "1001").want(t, 0, "zhangsan")
		h.run("audit", "verify").want(t, 0, "No fault found")
		g.stop()
	}
	g = h.start()
	waiting.g = g
	res, page, err := waiting.ask("POST", "/signin/dingtalk", form)
	must(t, err)
	if res.StatusCode != 303 {
		t.Errorf("a sign-in that was under way: status %d\n%.400s", res.StatusCode, page)
	}
	g.stop()
	public := h.run("audit", "public-key").want(t, 0).stdout
	h.edit("key_file: second.key, old_key_files: [first.key]", "key_file: second.key")
	h.run("serve").want(t, 1, "seal.old_key_files")
	h.run("audit", "verify").want(t, 1, "seal.old_key_files")
	h.put("log.pub", public)
	h.run("audit", "verify", h.path("data/audit"), "--public-key", h.path("log.pub")).want(t, 1, "seal.old_key_files")
}
