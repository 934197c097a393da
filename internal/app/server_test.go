package app

import (
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kdgate/audit"
	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/internal/config"
	"kdgate/mapping"
)

// TestStartAndStopLeavesNothing proves R63: after the end no goroutine and no
// lock is left, so the next start in the same process finds everything free.
func TestStartAndStopLeavesNothing(t *testing.T) {
	r := newRig(t)
	must(t, r.serve(r.load()).stop()) // what starts once has started
	other := newRig(t)
	before := goleak.IgnoreCurrent()
	for range 3 {
		s := other.serve(other.load())
		if status, _ := s.readiness(); status != http.StatusOK {
			t.Errorf("readiness %d", status)
		}
		if _, err := s.Table().Explain(t.Context(), person("1001"), "live"); err != nil {
			t.Error(err)
		}
		must(t, s.stop())
	}
	goleak.VerifyNone(t, before)
}

func person(userid string) identity.Assertion {
	return identity.Assertion{Subject: identity.Subject{Corp: "dingcorp1", UserID: userid}, Door: identity.DoorInClient}
}

// TestReadinessSeesTheAuditLog proves R4, R37: a log that cannot be written makes
// the gateway unready before a sign-in fails, and it recovers alone.
func TestReadinessSeesTheAuditLog(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load())
	if status, answer := s.readiness(); status != http.StatusOK || !answer.Ready || answer.Checks["audit"] != "ok" || answer.Checks["store"] != "ok" {
		t.Fatalf("readiness %d %+v", status, answer)
	}
	other, err := sql.Open("sqlite", filepath.Join(r.dir, "data", "audit", "audit.db"))
	must(t, err)
	defer other.Close()
	connection, err := other.Conn(t.Context())
	must(t, err)
	_, err = connection.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	must(t, err)
	status, answer := s.readiness()
	if status != http.StatusServiceUnavailable || answer.Ready || answer.Checks["audit"] == "ok" || answer.Checks["store"] != "ok" {
		t.Errorf("while the log is held by another: %d %+v", status, answer)
	}
	if status, _, err := s.get(s.OpsAddr(), "/healthz"); err != nil || status != http.StatusOK {
		t.Errorf("liveness %d, %v: it asks nobody", status, err)
	}
	_, err = connection.ExecContext(t.Context(), "ROLLBACK")
	must(t, err)
	eventually(t, "ready again", func() bool { status, _ := s.readiness(); return status == http.StatusOK })
	if log := r.log.String(); strings.Count(log, "not ready") != 1 || strings.Count(log, "ready again") != 1 {
		t.Errorf("the log does not tell it once:\n%s", log)
	}
}

// TestReadinessSeesTheAnchor: checkpoints that cannot be put away are shown, and
// sign-ins go on.
func TestReadinessSeesTheAnchor(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load("audit: {dir: data/audit}", "audit: {dir: data/audit, anchor: {file: away/anchor.jsonl}}"))
	eventually(t, "the anchor's fault is shown", func() bool {
		_, answer := s.readiness()
		return answer.Checks["audit anchor"] != "ok"
	})
	if status, answer := s.readiness(); status != http.StatusOK || !answer.Ready {
		t.Errorf("readiness %d %+v", status, answer)
	}
	must(t, os.Mkdir(filepath.Join(r.dir, "away"), 0o700)) // as a mount that comes back
	must(t, s.stop())
	if text, err := os.ReadFile(filepath.Join(r.dir, "away", "anchor.jsonl")); err != nil || len(text) == 0 {
		t.Errorf("the anchor holds %q, %v", text, err)
	}
}

// TestPanicStaysInItsRequest proves T128 for what no room recovers.
func TestPanicStaysInItsRequest(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load())
	good := *s.gateway.Load()
	s.enter(fronts{public: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret request data") })})
	if status, body, err := s.get(s.PublicAddr(), "/"); err == nil {
		t.Errorf("the answer is whole: %d %s", status, body)
	}
	s.gateway.Store(&good)
	if status, _, err := s.get(s.PublicAddr(), "/signed-out"); err != nil || status != http.StatusOK {
		t.Errorf("the next request: %d, %v", status, err)
	}
	log := r.log.String()
	if !strings.Contains(log, "panic") || !strings.Contains(log, "server_test.go") || strings.Contains(log, "secret request data") {
		t.Errorf("the log has no place, or has the data:\n%s", log)
	}
	noted, err := s.log.Search(t.Context(), audit.Query{Action: audit.ActionPanic})
	if err != nil || len(noted) != 1 || noted[0].Outcome != audit.Failed || noted[0].Actor != audit.System {
		t.Errorf("on record: %+v, %v", noted, err)
	}
}

// T59: the operations listener's answers carry the headers of every other, errors
// and those of other hands included.
func TestOperationsHeaders(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load())
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/local/mappings", "/nothing"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.OpsAddr().String()+path, nil)
		must(t, err)
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		must(t, res.Body.Close())
		for name, want := range gateway.Baseline("") {
			if got := res.Header.Values(name); !slices.Equal(got, want) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

// TestReloadRefusesWhatNeedsARestart proves R55 section by section.
func TestReloadRefusesWhatNeedsARestart(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load())
	inForce := s.rooms.Load()
	for section, change := range map[string][2]string{
		"listen":   {`listen: {address: "localhost:0"}`, `listen: {address: "127.0.0.1:0"}`},
		"ops":      {`ops: {address: "127.0.0.1:0"}`, `ops: {address: "localhost:0"}`},
		"store":    {"{driver: sqlite, ", "{driver: sqlite, tenant: other, "},
		"audit":    {"dir: data/audit", "dir: data/audit, retain: 200d"},
		"sessions": {"idle: 30m", "idle: 29m"},
		"outbound": {"sessions: {", "outbound: {private: [10.0.0.0/8]}\nsessions: {"},
	} {
		cfg := r.load(change[0], change[1])
		err := s.Reload(t.Context(), func() (*config.Config, error) { return cfg, nil })
		if err == nil || !strings.Contains(err.Error(), section+" changed") || !strings.Contains(err.Error(), "restart") {
			t.Errorf("%s: %v", section, err)
		}
	}
	if s.rooms.Load() != inForce {
		t.Error("a refused configuration is in force")
	}
	cfg := r.load("verify_max_age: 10m", "verify_max_age: 5m")
	must(t, s.Reload(t.Context(), func() (*config.Config, error) { return cfg, nil }))
	if s.rooms.Load() == inForce {
		t.Error("a good configuration is not in force")
	}
	records, err := s.log.Search(t.Context(), audit.Query{Action: audit.ActionConfigLoad})
	must(t, err)
	if len(records) != 8 || records[0].Detail["changed"] != "mapping" || records[1].Outcome != audit.Refused {
		t.Errorf("%d records, the newest %+v", len(records), records[0].Event)
	}
}

// TestReloadKeepsClients: sessions in Kingdee are licence seats, and a token
// costs a call, so what did not change is not begun anew.
func TestReloadKeepsClients(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load("verify_max_age: 10m", "verify_max_age: 0s"))
	look := func() {
		t.Helper()
		if _, err := s.Table().Explain(t.Context(), person("1001"), "live"); err != nil {
			t.Fatal(err)
		}
	}
	const login = "AuthService.LoginBySign"
	look()
	if n := r.calls(r.kingdee, login); n != 1 {
		t.Fatalf("%d logins after the first look", n)
	}
	reload := func(replace ...string) {
		t.Helper()
		cfg := r.load(replace...)
		must(t, s.Reload(t.Context(), func() (*config.Config, error) { return cfg, nil }))
	}
	kept := s.rooms.Load().vendors.kingdee["live"].api
	reload("verify_max_age: 10m", "verify_max_age: 1s")
	look()
	if s.rooms.Load().vendors.kingdee["live"].api != kept {
		t.Error("the client is another one")
	}
	if n := r.calls(r.kingdee, login); n != 1 {
		t.Errorf("%d logins after a reload that left the data centre as it was", n)
	}
	egress := s.egress
	reload("integration_user: kdgate", "integration_user: kdgate, api: {page_size: 500}", "agent_id: 1001", "agent_id: 1002")
	if s.egress != egress {
		t.Error("the pause that DingTalk asked for is forgotten")
	}
	if s.rooms.Load().vendors.kingdee["live"].api == kept {
		t.Error("a changed section has the old client")
	}
}

// TestVerifyMaxAgeZeroAsksEveryTime: 0s is not the default of ten minutes.
func TestVerifyMaxAgeZeroAsksEveryTime(t *testing.T) {
	for age, want := range map[string]bool{"0s": true, "10m": false} {
		r := newRig(t)
		core := r.core(r.load("verify_max_age: 10m", "verify_max_age: "+age))
		resolve := func() int {
			if _, err := core.Table().Resolve(t.Context(), person("1001"), "live"); err != nil {
				t.Fatal(err)
			}
			return r.calls(r.kingdee, "ExecuteBillQuery")
		}
		first := resolve()
		if asked := resolve() > first; asked != want {
			t.Errorf("verify_max_age %s: asked again %v, want %v", age, asked, want)
		}
	}
}

// TestImportThatDiedIsTakenBack: the next start undoes the half that was written (T25).
func TestImportThatDiedIsTakenBack(t *testing.T) {
	r := newRig(t)
	cfg := r.load()
	core := r.core(cfg)
	var csv strings.Builder
	csv.WriteString("corp,userid,data_centre,staff_number\n")
	for i := range 2000 {
		fmt.Fprintf(&csv, "dingcorp1,user%04d,live,S%04d\n", i, i)
	}
	sheet, err := mapping.ParseCSV(strings.NewReader(csv.String()))
	must(t, err)
	by := mapping.Actor{Name: "cli:test", Admin: true}
	plan, err := core.Table().Plan(t.Context(), by, sheet, nil)
	must(t, err)
	died := false
	_, err = core.Table().Apply(t.Context(), by, plan, mapping.ApplyOptions{Progress: func(int, int) {
		if !died { // the process dies after the first rows
			died = true
			must(t, core.driver.Close())
		}
	}})
	if err == nil || !died {
		t.Fatalf("the import did not die: %v", err)
	}
	must(t, core.Close())
	r.now = func() time.Time { return time.Now().Add(time.Minute) } // its lease is over
	s := r.serve(cfg)
	eventually(t, "the half import is gone", func() bool {
		runs, err := s.Table().Runs(t.Context(), 1)
		must(t, err)
		return len(runs) == 1 && runs[0].State == mapping.RunUndone
	})
	left, _, err := s.Table().List(t.Context(), mapping.Filter{}, "", 10)
	must(t, err)
	if len(left) != 0 {
		t.Errorf("rows of the dead import are left: %v", left)
	}
}

// TestDataDir: beside the embedded database, else beside the log.
func TestDataDir(t *testing.T) {
	r := newRig(t)
	if got := DataDir(r.load()); got != filepath.Join(r.dir, "data") {
		t.Errorf("embedded: %s", got)
	}
	r.put("seal.key", strings.Repeat("k", 32))
	cfg := r.load("store: {driver: sqlite, path: data/kdgate.db}", "store: {driver: redis, url: 'redis://127.0.0.1:6379/0'}", "old_key_files: []", "key_file: seal.key")
	if got := DataDir(cfg); got != filepath.Join(r.dir, "data", "audit") {
		t.Errorf("redis: %s", got)
	}
}

// TestServerGivesBackWhatItTook: a start that fails half-way leaves nothing held.
func TestServerGivesBackWhatItTook(t *testing.T) {
	r := newRig(t)
	taken := r.serve(r.load())
	other := newRig(t)
	bad := other.load(`ops: {address: "127.0.0.1:0"}`, `ops: {address: "`+taken.OpsAddr().String()+`"}`)
	if s, err := NewServer(t.Context(), other.options(bad)); err == nil || !strings.Contains(err.Error(), "ops.address") {
		t.Fatalf("got %v, %v", s, err)
	}
	s := other.serve(other.load())
	if slices.Contains([]string{"", taken.OpsAddr().String()}, s.OpsAddr().String()) {
		t.Errorf("address %s", s.OpsAddr())
	}
}

// TestIntegrationUserIsPrivileged proves T18: the user that may do what the gateway
// may is nobody's by one person's word, though no list names it.
func TestIntegrationUserIsPrivileged(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load())
	admin := mapping.Actor{Name: "cli:test", Admin: true}
	for userid, login := range map[string]string{"1001": "kdgate", "1002": "Administrator"} {
		key := mapping.KeyOf(identity.Subject{Corp: "dingcorp1", UserID: userid}, "live")
		row, err := s.Table().Create(t.Context(), admin, mapping.Draft{Key: key, StaffNumber: userid, LoginUser: login})
		must(t, err)
		if !row.Privileged || row.Status != mapping.StatusPending {
			t.Errorf("%s: %+v", login, row)
		}
	}
}
