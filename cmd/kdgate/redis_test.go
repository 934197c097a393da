package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"kdgate/store/storetest"
)

// onRedis is a house whose state is in a real Redis, which asks for a password
// or, where it is empty, for none.
func onRedis(t *testing.T, redis *storetest.Redis, password string) *house {
	t.Helper()
	h := newHouse(t)
	h.seal("seal.key")
	secret := ""
	if password != "" {
		h.secrets["redis password"] = password
		h.put("redis.secret", password)
		secret = ", password_file: redis.secret"
	}
	h.edit("store: {driver: sqlite, path: data/kdgate.db}",
		"store: {driver: redis, url: redis://"+redis.Addr+"/0"+secret+"}\nseal: {key_file: seal.key}")
	return h
}

// TestRedisThatIsNotThere proves R17: the process stays up, says what is wrong
// where one looks and in the log, and recovers alone.
func TestRedisThatIsNotThere(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t, "--requirepass", "redis-pass-0001")
	redis.Stop()
	h := onRedis(t, redis, redis.Password)
	g := h.start()
	g.logged("not ready", "store", "Redis cannot be asked")
	if status, _ := g.opsGet("/healthz"); status != http.StatusOK {
		t.Errorf("liveness %d: it must not depend on a peer", status)
	}
	status, body := g.opsGet("/readyz")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "Redis cannot be asked") || !strings.Contains(body, `"audit":"ok"`) {
		t.Errorf("readiness %d %s", status, body)
	}
	if status, body := g.publicGet("/launch/kingdee"); status != http.StatusServiceUnavailable || !strings.Contains(body, "KD-501") {
		t.Errorf("a click meets status %d\n%.300s", status, body)
	}
	redis.Start()
	began := time.Now()
	g.ready(true)
	g.logged("ready again", "store")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("ready %s after Redis came", took)
	}
	g.wantSignIn("1001", "zhangsan")
	if n := strings.Count(g.log(), `"msg":"not ready"`); n != 1 {
		t.Errorf("the log says %d times that it is not ready, want once", n)
	}
	g.stop()
}

// TestWrongRedisPassword proves R16 at boot and in flight: fails closed, says
// what to mend, recovers within five seconds of the mending, loses nothing.
func TestWrongRedisPassword(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t, "--requirepass", "redis-pass-0001")
	h := onRedis(t, redis, "redis-pass-0002")
	g := h.start()
	g.logged("not ready", "refused the password", "store.username and store.password_file")
	if _, body := g.opsGet("/readyz"); !strings.Contains(body, "refused the password for user default") {
		t.Errorf("readiness: %s", body)
	}
	change := func(password string) {
		redis.Do("CONFIG", "SET", "requirepass", password)
		redis.Password = password
		redis.Do("CLIENT", "KILL", "TYPE", "normal")
	}
	change("redis-pass-0002")
	began := time.Now()
	g.ready(true)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("recovered after %s", took)
	}
	v := g.wantSignIn("1001", "zhangsan")

	change("redis-pass-0003")
	g.ready(false)
	res, _, err := v.ask(http.MethodGet, "/launch/kingdee", nil)
	must(t, err)
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while it is locked out: status %d", res.StatusCode)
	}
	change("redis-pass-0002")
	g.ready(true)
	if link, _ := v.launch(); link == "" {
		t.Error("the session is lost")
	}
	for _, password := range []string{"redis-pass-0001", "redis-pass-0002", "redis-pass-0003"} {
		if strings.Contains(g.log(), password) {
			t.Errorf("the log holds %s", password)
		}
	}
	g.stop()
}

// TestRedisConfiguration: what can be known without Redis is a mistake of the
// configuration, and a password has no place in an address (T122).
func TestRedisConfiguration(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.edit("store: {driver: sqlite, path: data/kdgate.db}",
		"store: {driver: redis, url: 'redis://:pass-in-url@127.0.0.1:6379/0'}")
	said := h.run("check-config").want(t, 2, "store.password_file", "seal.key_file: missing", "openssl rand")
	if strings.Contains(said.stderr, "pass-in-url") {
		t.Errorf("the password is repeated: %s", said.stderr)
	}
	h.edit("redis://:pass-in-url@127.0.0.1:6379/0", "redis://redis.example.com:6379/0")
	h.run("check-config").want(t, 2, "needs TLS (rediss://)")
}

// TestMappingOnRedis: commands work with the gateway and without it, and the
// audit log beside it has one writer at a time.
func TestMappingOnRedis(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	h := onRedis(t, redis, "")
	file := h.put("rows.csv", csvHeader+"dingcorp1,zhangsan,live,1001,zhangsan\n")
	h.run("mapping", "import", file).want(t, 0, "1 to create")
	g := h.start()
	h.run("mapping", "get", "zhangsan").want(t, 0, "→ zhangsan")
	g.stop()
	redis.Stop()
	h.run("mapping", "list").want(t, 1, "Redis cannot be asked")
}
