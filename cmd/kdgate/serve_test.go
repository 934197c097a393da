package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServe proves T61 and the operations door: what is there is on its own
// listener, and the public one has none of it.
func TestServe(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	began := time.Now()
	g := h.start()
	g.ready(true)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("ready after %s, want 2 s (R4)", took)
	}
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": `"ready":true`, "/metrics": "\nkdgate_audit_records_total ",
	} {
		if status, body := g.opsGet(path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: status %d, want %q in\n%.500s", path, status, want, body)
		}
	}
	for _, path := range []string{
		"/healthz", "/readyz", "/metrics", "/local/mappings", "/local/hello?nonce=n", "/debug/pprof/", "/debug/vars", "/debug", "/sim/people",
	} {
		if status, body := g.publicGet(path); status != http.StatusNotFound || strings.Contains(body, "kdgate_") {
			t.Errorf("public %s: status %d\n%.300s", path, status, body)
		}
	}
	g.wantSignIn("1001", "zhangsan")
	_, served := g.opsGet("/metrics")
	for _, name := range []string{
		`kdgate_signin_total{door="in-client",fault="none",result="ok"} 1`, `kdgate_signin_seconds_count{door="in-client"} 1`,
		`kdgate_launch_total{result="ok",target="live"} 1`, `kdgate_peer_calls_total{operation="`, `peer="dingtalk"`, `peer="kingdee"`,
		`kdgate_peer_seconds_bucket`, `kdgate_store_seconds_count{driver="sqlite",op="commit"}`, "kdgate_store_tampered_total 0",
	} {
		if !strings.Contains(served, name) {
			t.Errorf("/metrics does not serve %s", name)
		}
	}
	if strings.Contains(served, "zhangsan") || strings.Contains(served, "1001") {
		t.Error("a metric names a person")
	}
	g.stop()
}

// TestFilesArePrivate proves T126: whatever the umask, what is written is its owner's.
func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	g.wantSignIn("1001", "zhangsan")
	count := 0
	must(t, filepath.Walk(h.path("data"), func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		count++
		return err
	}))
	if count < 6 {
		t.Errorf("only %d files: the test looks in the wrong place", count)
	}
}

// TestTermFinishesWhatIsInFlight proves R52.
func TestTermFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	g := newHouse(t).start()
	v := g.visitor()
	_, signIn := v.launch()
	form := v.form(signIn, "1001")
	entered, release := g.gate.hold()
	defer release()
	answered := make(chan int, 1)
	go func() {
		res, _, err := v.ask(http.MethodPost, "/signin/dingtalk", form)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		answered <- res.StatusCode
	}()
	<-entered
	g.signal(syscall.SIGTERM)
	eventually(t, "no new connections are taken", func() bool {
		conn, err := net.DialTimeout("tcp", g.public, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	if status, body := g.opsGet("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "stopping") {
		t.Errorf("readiness while it stops: %d %s", status, body)
	}
	release()
	if status := <-answered; status != http.StatusSeeOther {
		t.Errorf("the request in flight got status %d", status)
	}
	if code := g.ended(); code != 0 {
		t.Errorf("exit %d\n%s", code, g.log())
	}
	if _, err := os.Stat(g.path("data/local-api.json")); err == nil {
		t.Error("the local API's token is left behind")
	}
}

// TestTermCutsWhatDoesNotEnd: the drain has an end (R52), and it is a good end.
func TestTermCutsWhatDoesNotEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("waits eight seconds")
	}
	t.Parallel()
	g := newHouse(t).start()
	conn, err := net.Dial("tcp", g.public)
	must(t, err)
	defer conn.Close()
	// A header that is whole and a body that never comes: the handler waits.
	_, err = conn.Write([]byte("POST /signin/dingtalk HTTP/1.1\r\nHost: " + g.public +
		"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nstate="))
	must(t, err)
	began := time.Now()
	g.signal(syscall.SIGTERM)
	if code := g.ended(); code != 0 {
		t.Errorf("exit %d\n%s", code, g.log())
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("ended after %s", took)
	}
}

// TestKillLosesNothing: after kill -9 the next start finds everything, sessions
// included, and does not mind the announcement that was left.
func TestKillLosesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	v := g.wantSignIn("1001", "zhangsan")
	g.kill()
	if _, err := os.Stat(h.path("data/local-api.json")); err != nil {
		t.Fatal("the test needs the stale file: ", err)
	}
	again := h.start()
	v.g = again
	if link, _ := v.launch(); link == "" {
		t.Error("the session is lost")
	}
	h.run("mapping", "get", "1001").want(t, 0, "zhangsan")
	again.stop()
	h.run("audit", "verify").want(t, 0, "No fault found")
}

// TestSecondOwner: one data folder, one gateway.
func TestSecondOwner(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	first := h.text
	h.edit(`listen: {address: "`+h.public, `listen: {address: "localhost:`+freePort(t))
	h.edit(h.ops, "127.0.0.1:"+freePort(t))
	h.run("serve").want(t, 1, "kdgate.db", "open in another process", "stop that process")
	h.write(first)
	if status, _ := g.opsGet("/readyz"); status != http.StatusOK {
		t.Errorf("the first gateway is not ready: %d", status)
	}
	h.run("mapping", "list").want(t, 0) // the announcement is still the first one's
}

// TestPortInUse: either port, and the words say which setting.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	good := h.text
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	h.edit(`listen: {address: "`+h.public, `listen: {address: "`+taken.Addr().String())
	h.run("serve").want(t, 1, "listen.address", "address already in use")
	h.write(good)
	h.edit(h.ops, taken.Addr().String())
	h.run("serve").want(t, 1, "ops.address", "address already in use")
	h.write(good)
	h.start().stop() // what failed left nothing locked
}

// TestReload proves R55.
func TestReload(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	v := g.wantSignIn("1001", "zhangsan")
	if status, _, _ := v.ask(http.MethodGet, "/launch/kingdee/travel", nil); status.StatusCode < 400 {
		t.Fatal("a form that is not on the list opens")
	}
	good := h.text
	h.edit("forms:\n", "forms:\n  - {name: travel, form_id: ER_ExpReimbursement_Travel, types: [list]}\n")
	g.reload("the new configuration is in force")
	res, _, err := v.ask(http.MethodGet, "/launch/kingdee/travel", nil)
	must(t, err)
	if where := res.Header.Get("Location"); !strings.HasPrefix(where, h.kingdee.URL) {
		t.Errorf("after the reload: status %d to %s; the session or the new form is not there", res.StatusCode, where)
	}
	for name, broken := range map[string]func(){
		"agentid: unknown key": func() { h.edit("agent_id", "agentid") },
		"not YAML":             func() { h.write("corps: [") },
		"store, sessions changed; that needs a restart": func() {
			h.edit("data/kdgate.db}", "data/other.db}\nsessions: {idle: 5m}")
			must(t, os.MkdirAll(h.path("data"), 0o700))
		},
		"there is no file": func() { h.edit("kingdee.secret", "gone.secret") },
	} {
		h.write(good)
		broken()
		g.reload("the old one goes on", name)
		if link, _ := v.launch(); link == "" {
			t.Errorf("%s: the gateway does not serve any more", name)
		}
	}
	must(t, os.Remove(h.path("kdgate.yaml")))
	g.reload("the old one goes on", "cannot read the file")
	h.write(good)
	h.run("audit", "tail").want(t, 0, "config.load", "refused")
	h.edit("forms:\n", "log: {level: debug}\nforms:\n")
	g.reload("the new configuration is in force")
	g.stop()
}

// TestReloadDropsNoConnection: requests in flight are finished by the gateway
// they came to (R55).
func TestReloadDropsNoConnection(t *testing.T) {
	t.Parallel()
	g := newHouse(t).start()
	v := g.visitor()
	_, signIn := v.launch()
	form := v.form(signIn, "1001")
	entered, release := g.gate.hold()
	defer release()
	answered := make(chan int, 1)
	go func() {
		res, _, err := v.ask(http.MethodPost, "/signin/dingtalk", form)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		answered <- res.StatusCode
	}()
	<-entered
	g.reload("the new configuration is in force")
	release()
	if status := <-answered; status != http.StatusSeeOther {
		t.Errorf("status %d", status)
	}
	if link, _ := v.launch(); link == "" {
		t.Error("the session that began before the reload does not count after it")
	}
}
