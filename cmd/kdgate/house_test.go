package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/internal/loopback"
	"kdgate/kingdee/kingdeesim"
)

// patience is how long anything that happens at once may take on a busy machine.
const patience = time.Minute

// builtVersion is what the linker puts into the binary under test.
const builtVersion = "1.2.3-test"

// binary is the path of the program that people run, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kdgate-test-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "kdgate")
	build := exec.Command("go", "build", "-ldflags", "-X main.version="+builtVersion, "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

const (
	corpID     = "dingcorp1"
	appKey     = "dingdemoapp0001"
	agentID    = 1001
	centreID   = "live"
	dbID       = "61cd78fbc6aa78"
	appID      = "231784_Test4CcK1jgWTczoWZ3NSDWK1l5b6Ppx"
	integrator = "kdgate"
)

// house is an installation as an administrator has it: a folder with the
// configuration, secrets in files, and the two vendors, played by simulators.
type house struct {
	t           *testing.T
	dir         string
	public, ops string // host:port
	scheme      string
	secrets     map[string]string // what must not be seen, by name
	dingtalk    *httptest.Server
	kingdee     *httptest.Server
	gate        *holdable // in front of DingTalk
	ding        *dingtalksim.Server
	king        *kingdeesim.Server
	text        string // of kdgate.yaml
}

// holdable lets a test hold the calls to a vendor, to have requests in flight.
type holdable struct {
	next    http.Handler
	mu      sync.Mutex
	entered chan struct{} // nil: nothing is held
	release chan struct{}
	gone    bool // every connection is cut
}

func (h *holdable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	entered, release, gone := h.entered, h.release, h.gone
	h.mu.Unlock()
	if gone && !strings.HasPrefix(r.URL.Path, "/sim/") {
		panic(http.ErrAbortHandler)
	}
	if entered != nil && !strings.HasPrefix(r.URL.Path, "/sim/") {
		select {
		case entered <- struct{}{}:
		default:
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	h.next.ServeHTTP(w, r)
}

// hold begins to hold calls. entered tells that one is held; release lets all go.
func (h *holdable) hold() (entered <-chan struct{}, release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entered, h.release = make(chan struct{}, 1), make(chan struct{})
	return h.entered, sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.entered = nil
		close(h.release)
	})
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{
		t: t, dir: t.TempDir(), public: "localhost:" + freePort(t), ops: "127.0.0.1:" + freePort(t), scheme: "http",
		secrets: map[string]string{"dingtalk.secret": "ding-" + rand.Text(), "kingdee.secret": strings.ToLower(rand.Text() + "abcdef")},
	}
	for name, text := range h.secrets {
		h.put(name, text)
	}
	ding, err := dingtalksim.New(people(h.public, h.secrets["dingtalk.secret"]))
	must(t, err)
	h.ding, h.gate = ding, &holdable{next: ding}
	h.dingtalk = httptest.NewServer(h.gate)
	t.Cleanup(h.dingtalk.Close)
	king, err := kingdeesim.New(centre(h.secrets["kingdee.secret"]))
	must(t, err)
	h.king, h.kingdee = king, httptest.NewServer(king)
	t.Cleanup(h.kingdee.Close)
	d, k := h.dingtalk.URL, h.kingdee.URL
	h.write(fmt.Sprintf(template, h.public, h.public, h.ops, corpID, appKey, agentID, d, d, d, d, centreID, k, dbID, appID, integrator))
	return h
}

const template = `public_url: http://%s
listen: {address: "%s"}
ops: {address: "%s"}
store: {driver: sqlite, path: data/kdgate.db}
audit: {dir: data/audit, anchor: {file: anchor.jsonl}}
corps:
  - id: %s
    app_key: %s
    app_secret_file: dingtalk.secret
    agent_id: %d
    endpoints: {oapi: "%s", api: "%s", login: "%s", jsapi: "%s/jsapi/dingtalk.open.js"}
data_centres:
  - id: %s
    name: 演示账套
    url: %s/K3Cloud/
    db_id: %s
    app_id: %s
    app_secret_file: kingdee.secret
    integration_user: %s
forms:
  - {name: expense, form_id: ER_ExpReimbursement, types: [bill, list]}
`

// people is DingTalk with four of them.
func people(gateway, secret string) dingtalksim.Config {
	corp := dingtalksim.Corp{
		ID: corpID, Name: "演示公司",
		Apps: []dingtalksim.App{{
			Key: appKey, Secret: secret, AgentID: agentID, Name: "金蝶云·星空",
			HomeURL: "http://" + gateway + "/launch/kingdee?corpId=$CORPID$", Hosts: []string{gateway},
		}},
	}
	for userid, name := range map[string]string{"1001": "张三", "zhangsan": "张三", "lisi": "李四", "zhaoliu": "赵六"} {
		corp.People = append(corp.People, dingtalksim.Person{UserID: userid, Name: name})
	}
	return dingtalksim.Config{Corps: []dingtalksim.Corp{corp}, QPS: -1}
}

// centre is Kingdee: 1001 and 1002 have a login user, 1004 has none.
func centre(secret string) kingdeesim.Config {
	var tables kingdeesim.Tables
	for _, e := range []kingdeesim.Employee{
		{Number: "0001", Name: "集成用户", Users: []kingdeesim.User{{Name: integrator, Account: integrator}}},
		{Number: "1001", Name: "张三", Users: []kingdeesim.User{{Name: "zhangsan", Account: "zs"}}},
		{Number: "1002", Name: "李四", Users: []kingdeesim.User{{Name: "李四（财务）", Account: "lisi"}}},
		{Number: "1004", Name: "赵六"},
	} {
		tables.Hire(e)
	}
	return kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{{
		ID: dbID, Number: "001", Name: "演示账套", Tables: tables,
		Rows: []kingdeesim.Row{
			{AppID: appID, Secret: secret, IntegrationUser: integrator},
			{AppID: nextAppID, Secret: nextSecret, IntegrationUser: integrator},
		},
	}}}
}

func freePort(t *testing.T) string {
	t.Helper()
	port, err := loopback.Port()
	must(t, err)
	return port
}

// path of a file in the installation's folder.
func (h *house) path(name string) string { return filepath.Join(h.dir, name) }

// put writes a file that only its owner reads.
func (h *house) put(name, text string) string {
	h.t.Helper()
	must(h.t, os.WriteFile(h.path(name), []byte(text), 0o600))
	return h.path(name)
}

func (h *house) write(yaml string) {
	h.text = yaml
	h.put("kdgate.yaml", yaml)
}

// edit changes the configuration and writes it.
func (h *house) edit(old, with string) {
	h.t.Helper()
	text := strings.Replace(h.text, old, with, 1)
	if text == h.text {
		h.t.Fatalf("the configuration has no %q", old)
	}
	h.write(text)
}

// seal makes a sealing key.
func (h *house) seal(name string) {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	h.put(name, string(key))
	h.secrets[name] = string(key)
	h.secrets[name+" in hex"] = hex.EncodeToString(key)
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

// run runs one command to its end.
func (h *house) run(args ...string) result {
	h.t.Helper()
	return h.runWith(nil, args...)
}

// runWith lets the test change the command first.
func (h *house) runWith(adjust func(*exec.Cmd), args ...string) result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, binary, append(args, "--config", h.path("kdgate.yaml"))...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &stdout, &stderr, []string{"PATH=" + os.Getenv("PATH")}
	if adjust != nil {
		adjust(cmd)
	}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	if ctx.Err() != nil {
		h.t.Fatalf("kdgate %q does not end; it said:\n%s%s", args, &stdout, &stderr)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want checks how a command ended and that it said every one of words, on
// either stream.
func (r result) want(t *testing.T, code int, words ...string) result {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	for _, word := range words {
		if !strings.Contains(r.stdout+r.stderr, word) {
			t.Errorf("%q is not said in\nstdout: %s\nstderr: %s", word, r.stdout, r.stderr)
		}
	}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, ask func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	end := time.After(patience)
	for !ask() {
		select {
		case <-ticker.C:
		case <-end:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
