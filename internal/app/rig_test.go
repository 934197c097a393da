package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/internal/config"
	"kdgate/internal/lockedbuffer"
	"kdgate/kingdee/kingdeesim"
)

// patience is how long anything that happens at once may take on a busy machine.
const patience = time.Minute

// rig is a configuration on disk with both vendors simulated.
type rig struct {
	t                 *testing.T
	dir, text         string
	dingtalk, kingdee *httptest.Server
	ding              *dingtalksim.Server
	king              *kingdeesim.Server
	log               *lockedbuffer.Buffer
	now               func() time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), log: &lockedbuffer.Buffer{}, now: time.Now}
	ding, err := dingtalksim.New(dingtalksim.Config{QPS: -1, Corps: []dingtalksim.Corp{{
		ID: "dingcorp1", Name: "演示公司",
		Apps:   []dingtalksim.App{{Key: "dingapp1", Secret: "ding-secret-0001", AgentID: 1001, Name: "金蝶", HomeURL: "http://localhost/", Hosts: []string{"localhost"}}},
		People: []dingtalksim.Person{{UserID: "1001", Name: "张三"}},
	}}})
	must(t, err)
	var tables kingdeesim.Tables
	for number, user := range map[string]string{"0001": "kdgate", "1001": "zhangsan"} {
		tables.Hire(kingdeesim.Employee{Number: number, Name: user, Users: []kingdeesim.User{{Name: user, Account: user}}})
	}
	king, err := kingdeesim.New(kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{{
		ID: "61cd78fbc6aa78", Number: "001", Name: "演示账套", Tables: tables,
		Rows: []kingdeesim.Row{{AppID: "231784_Test", Secret: "0123456789abcdef0123456789abcdef", IntegrationUser: "kdgate"}},
	}}})
	must(t, err)
	r.ding, r.king = ding, king
	r.dingtalk, r.kingdee = httptest.NewServer(ding), httptest.NewServer(king)
	t.Cleanup(r.dingtalk.Close)
	t.Cleanup(r.kingdee.Close)
	r.put("ding.secret", "ding-secret-0001")
	r.put("kingdee.secret", "0123456789abcdef0123456789abcdef")
	r.text = fmt.Sprintf(template, r.dingtalk.URL, r.dingtalk.URL, r.dingtalk.URL, r.kingdee.URL)
	return r
}

const template = `public_url: http://localhost:8080
listen: {address: "localhost:0"}
ops: {address: "127.0.0.1:0"}
store: {driver: sqlite, path: data/kdgate.db}
audit: {dir: data/audit}
sessions: {idle: 30m}
seal: {old_key_files: []}
mapping: {verify_max_age: 10m}
corps:
  - {id: dingcorp1, app_key: dingapp1, app_secret_file: ding.secret, agent_id: 1001, endpoints: {oapi: "%s", api: "%s", login: "%s"}}
data_centres:
  - {id: live, url: "%s/K3Cloud/", db_id: 61cd78fbc6aa78, app_id: 231784_Test, app_secret_file: kingdee.secret, integration_user: kdgate}
`

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) put(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	must(r.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// load reads the configuration with some of it replaced.
func (r *rig) load(replace ...string) *config.Config {
	r.t.Helper()
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(r.text, replace[i]) {
			r.t.Fatalf("the configuration has no %q", replace[i])
		}
	}
	text := strings.NewReplacer(replace...).Replace(r.text)
	cfg, err := config.Load(r.put("kdgate.yaml", text), nil)
	must(r.t, err)
	return cfg
}

func (r *rig) options(cfg *config.Config) Options {
	return Options{Config: cfg, Replica: "test", Version: "test", Logger: slog.New(slog.NewTextHandler(r.log, nil)), Now: r.now}
}

// core opens what is below the listeners.
func (r *rig) core(cfg *config.Config) *Core {
	r.t.Helper()
	core, err := OpenCore(r.t.Context(), r.options(cfg))
	must(r.t, err)
	r.t.Cleanup(func() { must(r.t, core.Close()) })
	return core
}

// running is a server that serves.
type running struct {
	*Server
	t    *testing.T
	stop func() error
}

func (r *rig) serve(cfg *config.Config) *running {
	r.t.Helper()
	return r.serveWith(r.options(cfg))
}

func (r *rig) serveWith(options Options) *running {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	server, err := NewServer(ctx, options)
	if err != nil {
		cancel()
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	s := &running{Server: server, t: r.t}
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	r.t.Cleanup(func() { must(r.t, s.stop()) })
	return s
}

// get asks a listener once, over a connection of its own.
func (s *running) get(at net.Addr, path string) (status int, body string, err error) {
	s.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, "http://"+at.String()+path, nil)
	must(s.t, err)
	req.Host = "localhost:8080"
	res, err := transport.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// readiness asks /readyz.
func (s *running) readiness() (status int, answer readiness) {
	s.t.Helper()
	status, body, err := s.get(s.OpsAddr(), "/readyz")
	must(s.t, err)
	must(s.t, json.Unmarshal([]byte(body), &answer))
	return status, answer
}

// calls counts what a simulator was asked, by a part of the route.
func (r *rig) calls(sim *httptest.Server, route string) int {
	r.t.Helper()
	res, err := http.Get(sim.URL + "/sim/calls")
	must(r.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(r.t, err)
	return strings.Count(string(text), route)
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
