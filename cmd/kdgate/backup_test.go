package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kdgate/mapping/consent"
	"kdgate/store/storetest"
)

// threeRows are two people who get in and one whose row is only kept.
const threeRows = csvHeader + "dingcorp1,zhangsan,live,1001,zhangsan\ndingcorp1,lisi,live,1002,李四（财务）\ndingcorp1,zhaoliu,live,1004,zhaoliu\n"

// emptyHost takes everything from the host but configuration and keys, and gives
// the folder where it went.
func (h *house) emptyHost() string {
	h.t.Helper()
	key, err := os.ReadFile(h.path("data/seal.key"))
	must(h.t, err)
	gone := h.path("gone")
	must(h.t, os.Rename(h.path("data"), gone))
	must(h.t, os.Rename(h.path("anchor.jsonl"), filepath.Join(gone, "anchor.jsonl")))
	must(h.t, os.Mkdir(h.path("data"), 0o700))
	h.put("data/seal.key", string(key))
	return gone
}

// refused signs somebody in who must not get through, and gives the page.
func (v *visitor) refused(userid string, code string) {
	v.g.t.Helper()
	_, signIn := v.launch()
	res, page, err := v.ask(http.MethodPost, "/signin/dingtalk", v.form(signIn, userid))
	must(v.g.t, err)
	if res.StatusCode == http.StatusSeeOther { // the session begins; the door opens no further
		res, page, err = v.ask(http.MethodGet, "/launch/kingdee", nil)
		must(v.g.t, err)
	}
	if res.StatusCode < 400 || !strings.Contains(page, code) {
		v.g.t.Errorf("%s: status %d, want a page with %s\n%.400s", userid, res.StatusCode, code, page)
	}
}

// TestBackupAndRestore proves R64 at the command line, through a gateway and
// without: saved online, put back on an empty host, exported the same to the
// byte, the log's chain proven, people in.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run("mapping", "import", h.put("rows.csv", threeRows)).want(t, 0)
	g := h.start()
	v := g.wantSignIn("zhangsan", "zhangsan")
	said := h.run("backup", h.path("online.backup")).want(t, 0, "verified", "the seal key is not in it")
	if said.stderr != "" {
		t.Errorf("piped, so no bar: %q", said.stderr)
	}
	g.stop()
	h.run("backup", h.path("offline.backup")).want(t, 0, "verified")
	before := h.run("mapping", "export").want(t, 0).stdout

	for _, file := range []string{"online.backup", "offline.backup"} {
		t.Run(file, func(t *testing.T) {
			gone := h.emptyHost()
			h.run("restore", h.path(file)).want(t, 0, "restored", "this host had no audit log")
			if after := h.run("mapping", "export").want(t, 0).stdout; after != before {
				t.Errorf("exported\n%s\nbefore\n%s", after, before)
			}
			h.run("audit", "verify").want(t, 0, "No fault found")
			h.run("audit", "tail", "-n", "100", "--json").want(t, 0, `"action":"backup"`, `"action":"restore"`, `"action":"mapping.import"`)
			h.run("restore", h.path(file)).want(t, 1, "not empty", "--over")
			must(t, os.RemoveAll(gone))
		})
	}
	g = h.start()
	res, _, err := (&visitor{g, v.cookies}).ask(http.MethodGet, "/launch/kingdee", nil)
	must(t, err)
	if to := res.Header.Get("Location"); !strings.HasPrefix(to, "/signin") {
		t.Errorf("a session from before the restore leads to %q", to)
	}
	g.wantSignIn("lisi", "李四（财务）")
	h.run("restore", h.path("online.backup"), "--over").want(t, 1, "a gateway runs on this store")
	g.stop()
	h.run("audit", "verify").want(t, 0, "No fault found")
}

// TestBackupTellsMachines: one JSON value, and a file that only its owner reads
// and that holds no key.
func TestBackupTellsMachines(t *testing.T) {
	inBothWays(t, func(t *testing.T, h *house) {
		h.run("mapping", "import", h.put("rows.csv", threeRows)).want(t, 0)
		said := h.run("backup", h.path("b"), "--json").want(t, 0)
		var report struct {
			File    string
			Size    int64
			Archive struct{ Entries int }
		}
		must(t, json.Unmarshal([]byte(said.stdout), &report))
		info, err := os.Stat(h.path("b"))
		must(t, err)
		if report.File != h.path("b") || report.Size != info.Size() || report.Archive.Entries < 3 || info.Mode().Perm() != 0o600 {
			t.Errorf("%+v, mode %v, size %d", report, info.Mode(), info.Size())
		}
		text, err := os.ReadFile(h.path("b"))
		must(t, err)
		key, err := os.ReadFile(h.path("data/seal.key"))
		must(t, err)
		if strings.Contains(string(text), string(key)) {
			t.Error("the backup holds the seal key")
		}
		for name, secret := range h.secrets {
			if strings.Contains(string(text), secret) {
				t.Errorf("the backup holds %s", name)
			}
		}
	})
}

// TestRestoreRefuses: nothing is written before the whole file is proven (exit
// 3), and a file cannot be read without its key.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run("mapping", "import", h.put("rows.csv", threeRows)).want(t, 0)
	h.run("backup", h.path("good")).want(t, 0)
	good, err := os.ReadFile(h.path("good"))
	must(t, err)
	h.run("backup", h.path("kdgate.yaml")).want(t, 1, "is no backup")
	h.emptyHost()
	flipped := []byte(string(good))
	flipped[len(flipped)/2] ^= 1
	h.run("restore", h.put("flipped", string(flipped))).want(t, 3, "damaged", "nothing was changed")
	h.run("restore", h.put("short", string(good[:len(good)-7]))).want(t, 3, "cut short")
	h.run("restore", h.put("long", string(good)+"x")).want(t, 3, "damaged")
	h.run("restore", h.path("nowhere")).want(t, 2)
	if there, err := os.ReadDir(h.path("data")); err != nil || len(there) != 1 {
		t.Errorf("a refused restore left %v %v", there, err)
	}
	must(t, os.Remove(h.path("data/seal.key")))
	h.run("restore", h.path("good")).want(t, 1, "the seal key is not here")
	h.seal("data/seal.key")
	h.run("restore", h.path("good")).want(t, 1, "made under another key")
}

// TestRestoreBringsNobodyBack proves R64 and T23: who was suspended after the
// backup, who left DingTalk after it, and whose account was corrected after it
// stay as they are now, with an old snapshot put over the store or onto an
// empty one.
func TestRestoreBringsNobodyBack(t *testing.T) {
	for name, empty := range map[string]bool{"over": false, "empty store, log on the host": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.run("mapping", "import", h.put("rows.csv", threeRows)).want(t, 0)
			g := h.start()
			g.wantSignIn("lisi", "李四（财务）")
			h.run("backup", h.path("old")).want(t, 0)
			h.run("mapping", "suspend", "lisi", "--reason", "left").want(t, 0)
			g.stop()
			if empty {
				must(t, os.Remove(h.path("data/kdgate.db")))
				h.run("mapping", "list").want(t, 1, "the store", "restore")
				h.run("restore", h.path("old")).want(t, 0, "restored")
			} else {
				h.run("restore", h.path("old"), "--over").want(t, 0, "restored")
			}
			h.run("mapping", "get", "lisi").want(t, 1, "KD-206")
			h.dismiss("zhangsan")
			g = h.start()
			g.visitor().refused("lisi", "KD-206")
			h.run("mapping", "get", "zhangsan").want(t, 1, "KD-106")
			h.run("audit", "verify").want(t, 0, "No fault found")
		})
	}
}

// TestRestoreOpensNothing proves R64 and F44 for what is not a row: a consent that
// was withdrawn and a rule that was removed after the backup stay so.
func TestRestoreOpensNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.write(h.text + "directory: {mode: on, every: '@every 24h', default_position: GW0001, consent: {mode: required, version: '2026-03'}}\n")
	for _, name := range []string{"borrow", "travel"} {
		h.run("approvals", "save", h.put(name+".yaml", "name: "+name+"\nprocess: PROC-"+name+"\nsince: 2026-01-01\ntemplate: expense-reimbursement\n")).want(t, 0)
	}
	h.run("consent", "import", h.put("yes.csv", "userid,state\nlisi,given\nzhangsan,given\n")).want(t, 0)
	h.run("backup", h.path("old")).want(t, 0)
	h.run("approvals", "remove", "borrow").want(t, 0)
	h.run("consent", "import", h.put("no.csv", "userid,state\nlisi,withdrawn\n")).want(t, 0)
	h.run("restore", h.path("old"), "--over").want(t, 0, "restored")
	if rows := consents(t, h); rows["lisi"].State != consent.Withdrawn || rows["zhangsan"].State != consent.Given {
		t.Errorf("%+v", rows)
	}
	h.run("approvals", "show", "borrow").want(t, 1, "no rule")
	h.run("approvals", "show", "travel").want(t, 0, "PROC-travel")
	h.run("audit", "verify").want(t, 0, "No fault found")
}

// dismiss takes somebody out of DingTalk.
func (h *house) dismiss(userid string) {
	h.t.Helper()
	req, err := http.NewRequest(http.MethodDelete, h.dingtalk.URL+"/sim/people/"+url.PathEscape(userid), nil)
	must(h.t, err)
	res, err := http.DefaultClient.Do(req)
	must(h.t, err)
	_ = res.Body.Close()
	if res.StatusCode >= 300 {
		h.t.Fatalf("dismiss %s: %d", userid, res.StatusCode)
	}
}

// TestRedisLosesEverything proves R15: after FLUSHALL nobody is let in and
// nobody is taken for unmapped, readiness and the metric say why, and one
// command brings it back under the running gateway.
func TestRedisLosesEverything(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	h := onRedis(t, redis, "")
	h.run("mapping", "import", h.put("rows.csv", threeRows)).want(t, 0)
	g := h.start()
	inside := g.wantSignIn("zhangsan", "zhangsan")
	h.run("mapping", "suspend", "lisi").want(t, 0)
	h.run("backup", h.path("b")).want(t, 0, "verified")
	h.run("mapping", "suspend", "zhaoliu").want(t, 0) // no backup knows of it

	redis.Do("FLUSHALL")
	res, page, err := inside.ask(http.MethodGet, "/launch/kingdee", nil)
	must(t, err)
	if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(page, "KD-501") {
		t.Errorf("a live session after FLUSHALL: %d\n%.300s", res.StatusCode, page)
	}
	if status, page := g.publicGet("/launch/kingdee"); status != http.StatusServiceUnavailable || !strings.Contains(page, "KD-501") {
		t.Errorf("a sign-in after FLUSHALL: %d\n%.300s", status, page)
	}
	if status, body := g.opsGet("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "kdgate restore") {
		t.Errorf("readiness: %d %s", status, body)
	}
	if _, metrics := g.opsGet("/metrics"); !strings.Contains(metrics, "kdgate_store_lost 1") {
		t.Error("the metric does not say that the store is lost")
	}
	g.logged("not the one that was here")
	h.run("backup", h.path("c")).want(t, 1, "its keys are gone")
	if keys := redis.Do("KEYS", "*"); strings.Contains(keys, "mapping") || strings.Contains(keys, "session") {
		t.Errorf("written to a lost store: %s", keys)
	}

	h.run("restore", h.path("b")).want(t, 0, "restored")
	g.ready(true)
	if _, metrics := g.opsGet("/metrics"); !strings.Contains(metrics, "kdgate_store_lost 0") {
		t.Error("the metric does not say that the store is back")
	}
	if _, signIn := inside.launch(); signIn == "" {
		t.Error("a session outlived the loss of the store")
	}
	g.visitor().refused("lisi", "KD-206")
	h.run("mapping", "get", "zhaoliu").want(t, 1, "KD-206") // suspended after the backup
	h.run("restore", h.path("b"), "--over").want(t, 1, "a gateway runs on this store")
	g.stop()
	h.run("audit", "verify").want(t, 0, "No fault found")
}

// TestAnotherRedis proves the rest of R15: a Redis that is another
// installation's, or was begun anew, is not taken for ours.
func TestAnotherRedis(t *testing.T) {
	t.Parallel()
	redis, other := storetest.StartRedis(t), storetest.StartRedis(t)
	h := onRedis(t, redis, "")
	h.run("mapping", "import", h.put("rows.csv", threeRows)).want(t, 0)
	h.edit(redis.Addr, other.Addr)
	h.run("mapping", "list").want(t, 1, "its keys are gone")
	stranger := strings.NewReplacer("data/audit", "elsewhere", "anchor.jsonl", "other.jsonl").Replace(h.text)
	ours := h.text
	h.write(stranger)
	h.run("mapping", "list").want(t, 0) // a host that remembers nothing begins anew
	h.write(ours)
	h.run("mapping", "list").want(t, 1, "another installation's")
	h.edit(other.Addr, redis.Addr)
	h.run("mapping", "list").want(t, 0, "zhangsan")
}

// TestMigrate proves F95: to Redis and back by one command, the same to the
// byte, with everything suspended still suspended and the old store out of use.
func TestMigrate(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	h := newHouse(t)
	h.run("mapping", "import", h.put("rows.csv", threeRows)).want(t, 0)
	h.run("mapping", "suspend", "lisi").want(t, 0)
	before := h.run("mapping", "export").want(t, 0).stdout
	embedded := h.text
	h.edit("store: {driver: sqlite, path: data/kdgate.db}",
		fmt.Sprintf("store: {driver: redis, url: redis://%s/0}\nseal: {key_file: data/seal.key}", redis.Addr))
	onRedis := h.text

	h.run("migrate", "--from", "redis", "--to", "sqlite").want(t, 2, "--config names the configuration with the new store")
	h.run("migrate", "--from", "sqlite", "--to", "redis", "--from-path", h.path("none.db")).want(t, 1, "there is no store at")
	said := h.run("migrate", "--from", "sqlite", "--to", "redis", "--json").want(t, 0)
	var done struct {
		Entries, Written int
		Digest           string
	}
	must(t, json.Unmarshal([]byte(said.stdout), &done))
	if done.Entries < 9 || done.Written != done.Entries || len(done.Digest) != 64 {
		t.Errorf("%+v", done)
	}
	if after := h.run("mapping", "export").want(t, 0).stdout; after != before {
		t.Errorf("exported\n%s\nbefore\n%s", after, before)
	}
	h.run("migrate", "--from", "sqlite", "--to", "redis").want(t, 0) // already there: no harm
	g := h.start()
	g.wantSignIn("zhangsan", "zhangsan")
	g.visitor().refused("lisi", "KD-206")
	h.run("migrate", "--from", "sqlite", "--to", "redis").want(t, 1, "in use")
	g.stop()

	old := h.put("redis.yaml", onRedis)
	h.write(embedded)
	h.run("mapping", "list").want(t, 1, "it was migrated to redis")
	h.run("migrate", "--from", "redis", "--to", "sqlite", "--source-config", old).want(t, 1, "not empty")
	must(t, os.Remove(h.path("data/kdgate.db")))
	h.run("migrate", "--from", "redis", "--to", "sqlite", "--source-config", old).want(t, 0, "out of use")
	g = h.start()
	g.wantSignIn("zhangsan", "zhangsan")
	g.visitor().refused("lisi", "KD-206")
	g.stop()
	h.run("audit", "tail", "-n", "200", "--json").want(t, 0, `"action":"migrate"`)
	h.run("audit", "verify").want(t, 0, "No fault found")
}

// TestMigrateIsKilled proves F95 and R68 by kill -9 at many moments: whatever is
// half done is nobody's store, and the next run ends it.
func TestMigrateIsKilled(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	h := newHouse(t)
	var rows strings.Builder
	rows.WriteString(csvHeader)
	for i := range 1500 {
		fmt.Fprintf(&rows, "dingcorp1,u%04d,live,N%04d,login%04d\n", i, i, i)
	}
	h.run("mapping", "import", h.put("rows.csv", rows.String())).want(t, 0)
	before := h.run("mapping", "export").want(t, 0).stdout
	h.edit("store: {driver: sqlite, path: data/kdgate.db}",
		fmt.Sprintf("store: {driver: redis, url: redis://%s/0}\nseal: {key_file: data/seal.key}", redis.Addr))
	commits := func() int { return len(strings.Fields(redis.Do("KEYS", "*"))) }
	killed := 0
	for wait := 1; killed < 8; wait += 400 {
		cmd := exec.Command(binary, "migrate", "--from", "sqlite", "--to", "redis", "--config", h.path("kdgate.yaml"))
		must(t, cmd.Start())
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		for over := false; !over && commits() < wait; {
			select {
			case <-ended:
				over = true
			default:
			}
		}
		_ = cmd.Process.Kill()
		<-ended
		if cmd.ProcessState.Success() {
			break
		}
		killed++
		if there := redis.Do("EXISTS", "{kdgate:main}k:store/born"); there == "0" {
			h.run("mapping", "list").want(t, 1, "restore a backup") // this host remembers its store: half of it is none
		}
	}
	if killed < 3 {
		t.Fatalf("killed only %d times", killed)
	}
	h.run("migrate", "--from", "sqlite", "--to", "redis").want(t, 0, "out of use")
	if after := h.run("mapping", "export").want(t, 0).stdout; after != before {
		t.Error("the export is not the same")
	}
	h.run("audit", "verify").want(t, 0, "No fault found")
}
