package redisstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kdgate/identity"
	"kdgate/store"
	"kdgate/store/storetest"
)

// TestFailover: a master killed under Sentinel is followed to its successor by
// itself, nothing reads as missing meanwhile, and watchers are told (R6, R7).
func TestFailover(t *testing.T) {
	t.Parallel()
	master := storetest.StartRedis(t)
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	replica := storetest.StartRedis(t, "--replicaof", host+" "+port)
	within(t, 10*time.Second, func() error {
		if info := replica.Do("INFO", "replication"); !strings.Contains(info, "master_link_status:up") {
			return errors.New(info)
		}
		return nil
	})
	sentinel := storetest.StartSentinel(t, master)
	within(t, 15*time.Second, func() error { // it learns of the replica from the master
		if got := sentinel.Do("SENTINEL", "REPLICAS", "gate"); !strings.Contains(got, replica.Addr) {
			return fmt.Errorf("replicas: %q", got)
		}
		return nil
	})
	d := openTest(t, Config{Addrs: []string{sentinel.Addr}, MasterName: "gate"})
	s := sealTest(t, d)
	events, err := s.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, func() error { return s.Commit(t.Context(), store.Put("k", []byte("v"))) })
	if ev := next(events); ev.Key != "k" {
		t.Errorf("heard %+v", ev)
	}
	within(t, 5*time.Second, func() error { // replication is not waited for
		if replica.Do("EXISTS", d.names.value+"k") != "1" {
			return errors.New("not replicated")
		}
		return nil
	})
	master.Kill()
	within(t, 15*time.Second, func() error {
		if entry, err := s.Get(t.Context(), "k"); errors.Is(err, store.ErrNotFound) || (err == nil && string(entry.Value) != "v") {
			t.Fatalf("during the failover: %q, %v", entry.Value, err)
		}
		return s.Commit(t.Context(), store.Put("k2", nil))
	})
	for ev := range events { // until told to forget everything
		if ev == (store.Event{}) {
			break
		}
	}
}

// next is the next event that names a key: on a busy machine listening may have
// begun late, which is told first.
func next(events <-chan store.Event) store.Event {
	for ev := range events {
		if ev.Key != "" {
			return ev
		}
	}
	return store.Event{}
}

// TestTenants: deployments that share a Redis do not see each other.
func TestTenants(t *testing.T) {
	server := storetest.StartRedis(t)
	one, two := configOf(server), configOf(server)
	one.Tenant, two.Tenant = "one", "two"
	a, b := sealTest(t, openTest(t, one)), sealTest(t, openTest(t, two))
	commit(t, a, store.Put("k", nil))
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if page, err := b.Scan(t.Context(), "", "", 9); err != nil || len(page) != 0 {
		t.Errorf("scan: %v, %v", page, err)
	}
}

// TestScriptsNameKeysLiterally: managed cluster editions refuse any other way,
// and so does a text search, which is how they find out.
func TestScriptsNameKeysLiterally(t *testing.T) {
	call := regexp.MustCompile(`redis\.call\('(\w+)'(?:, ([^,)]+))?`)
	literal := regexp.MustCompile(`^KEYS\[\d+\]$`)
	for name, source := range map[string]string{
		"find": find, "page": page, "commit of 1": commitSource(1), "commit of 128": commitSource(store.MaxOps),
	} {
		for _, found := range call.FindAllStringSubmatch(source, -1) {
			switch command, first := found[1], found[2]; {
			case command == "TIME" || command == "PUBLISH":
			case !literal.MatchString(first):
				t.Errorf("%s: %s has the key %s", name, command, first)
			}
		}
		if strings.Contains(source, "KEYS[V]") || strings.Contains(source, "ARGV[A") {
			t.Errorf("%s is not written out", name)
		}
	}
	if last := "KEYS[" + strconv.Itoa(fixedKeys+store.MaxOps) + "]"; !strings.Contains(commitSource(store.MaxOps), last) {
		t.Errorf("the last op does not reach %s", last)
	}
}

// TestCollectedKeysLeaveTheIndex: what Redis has collected leaves the index by
// being asked for, by being scanned, and by commits of others.
func TestCollectedKeysLeaveTheIndex(t *testing.T) {
	server := storetest.StartRedis(t)
	d := openTest(t, configOf(server))
	s := sealTest(t, d)
	for i := range 30 {
		commit(t, s, store.Create(fmt.Sprintf("gone/%02d", i), nil).For(time.Minute))
	}
	commit(t, s, store.Create("stays", nil).For(time.Minute), store.Create("stays too", nil))
	if kept, err := strconv.Atoi(server.Do("PTTL", d.names.value+"stays")); err != nil ||
		time.Duration(kept)*time.Millisecond < store.Collectable || time.Duration(kept)*time.Millisecond > store.Collectable+time.Minute {
		t.Errorf("kept for %d ms", kept)
	}
	for i := range 30 { // as if the time had come
		server.Do("DEL", fmt.Sprintf("%sgone/%02d", d.names.value, i))
		server.Do("ZADD", d.names.ends, "1", fmt.Sprintf("gone/%02d", i))
	}
	if _, err := s.Get(t.Context(), "gone/00"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if got := server.Do("ZCARD", d.names.index); got != "31" {
		t.Errorf("after a get: %s in the index", got)
	}
	page, err := s.Scan(t.Context(), "", "", 5)
	if err != nil || len(page) != 2 || page[0].Key != "stays" {
		t.Errorf("scan: %v, %v", page, err)
	}
	if got := server.Do("ZCARD", d.names.index); got != "2" {
		t.Errorf("after a scan: %s in the index", got)
	}
	for i := range 30 {
		server.Do("ZADD", d.names.index, "0", fmt.Sprintf("gone/%02d", i))
	}
	for i := range 4 {
		commit(t, s, store.Put("other", []byte{byte(i)}))
	}
	if index, ends := server.Do("ZCARD", d.names.index), server.Do("ZCARD", d.names.ends); index != "3" || ends != "1" {
		t.Errorf("after commits: %s in the index, %s with an end", index, ends)
	}
}

// TestNothingIsLeftBehind: when all entries are deleted, only the memory of the
// highest version and of recent requests is left, the latter with an end.
func TestNothingIsLeftBehind(t *testing.T) {
	server := storetest.StartRedis(t)
	d := openTest(t, configOf(server))
	s := sealTest(t, d)
	commit(t, s, store.Put("a", nil), store.Put("b", nil).For(time.Minute))
	commit(t, s, store.Delete("a"), store.Delete("b"))
	for _, name := range strings.Fields(server.Do("KEYS", "*")) {
		switch {
		case name == d.names.high:
		case strings.HasPrefix(name, d.names.request):
			if server.Do("PTTL", name) == "-1" {
				t.Errorf("%s has no end", name)
			}
		default:
			t.Errorf("%s is left", name)
		}
	}
}

// TestForeignTypes: a name of ours that holds something else is no answer.
func TestForeignTypes(t *testing.T) {
	server := storetest.StartRedis(t)
	d := openTest(t, configOf(server))
	s := sealTest(t, d)
	server.Do("RPUSH", d.names.value+"list", "x")
	server.Do("SET", d.names.value+"text", "not a record")
	server.Do("ZADD", d.names.index, "0", "list", "0", "text")
	for key, want := range map[string]error{"list": store.ErrUnavailable, "text": store.ErrTampered} {
		if _, err := s.Get(t.Context(), key); !errors.Is(err, want) {
			t.Errorf("get %s: %v", key, err)
		}
		if err := s.Commit(t.Context(), store.Put(key, nil)); !errors.Is(err, want) {
			t.Errorf("put %s: %v", key, err)
		}
		if _, err := s.Scan(t.Context(), key, "", 9); !errors.Is(err, want) {
			t.Errorf("scan %s: %v", key, err)
		}
	}
	commit(t, s, store.Delete("text")) // the way out
	commit(t, s, store.Create("text", nil))
}

// TestTLS: a certificate that does not verify is no connection (T121).
func TestTLS(t *testing.T) {
	server := storetest.StartRedis(t)
	addr, roots := tlsFront(t, server.Addr)
	good := sealTest(t, openTest(t, Config{Addrs: []string{addr}, TLS: &tls.Config{RootCAs: roots}, Timeout: unhurried}))
	commit(t, good, store.Put("k", []byte("v")))
	if _, err := good.Get(t.Context(), "k"); err != nil {
		t.Error(err)
	}
	for name, cfg := range map[string]*tls.Config{
		"unknown authority": {RootCAs: x509.NewCertPool()},
		"another name":      {RootCAs: roots, ServerName: "redis.example"},
	} {
		s := sealTest(t, openTest(t, Config{Addrs: []string{addr}, TLS: cfg, Timeout: unhurried}))
		if _, err := s.Get(t.Context(), "k"); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "x509") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// tlsFront speaks TLS and passes everything on to addr.
func tlsFront(t *testing.T, addr string) (string, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", addr)
			if err != nil {
				down.Close()
				continue
			}
			go func() { defer down.Close(); _, _ = io.Copy(down, up) }()
			go func() { defer up.Close(); _, _ = io.Copy(up, down) }()
		}
	}()
	return l.Addr().String(), roots
}

// TestDistrust: connections are dropped and new ones serve on; nobody notices.
func TestDistrust(t *testing.T) {
	server := storetest.StartRedis(t)
	d := openTest(t, configOf(server))
	s := sealTest(t, d)
	commit(t, s, store.Put("k", nil))
	ids := func() string {
		return strings.Join(regexp.MustCompile(`\bid=\d+`).FindAllString(server.Do("CLIENT", "LIST"), -1), " ")
	}
	before := ids()
	for range 20 {
		d.Distrust()
		if _, err := s.Get(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	first, _, _ := strings.Cut(before, " ")
	if strings.Contains(ids()+" ", first+" ") {
		t.Errorf("connection %s of %s is still there: %s", first, before, ids())
	}
}

// TestKilledConnections: connections killed under load cost nothing (R12, R13).
func TestKilledConnections(t *testing.T) {
	const steps = 300
	server := storetest.StartRedis(t)
	s := sealTest(t, openTest(t, configOf(server)))
	commit(t, s, store.Put("k", nil))
	failed := 0
	for i := range steps {
		if i%10 == 0 {
			server.Do("CLIENT", "KILL", "TYPE", "normal")
		}
		if err := s.Commit(t.Context(), store.Create(fmt.Sprint("new/", i), nil)); err != nil {
			failed++
		}
	}
	if failed > steps/100 {
		t.Errorf("%d of %d commits failed", failed, steps)
	}
}

// TestWatchAfterBreak: a subscription that was killed, or that died without a
// word, is found out and begun again, and watchers are told (R11).
func TestWatchAfterBreak(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	relay := startRelay(t, server.Addr)
	cfg := Config{Addrs: []string{relay.addr}, Timeout: time.Second} // shorter, a busy machine is a break too
	s := sealTest(t, openTest(t, cfg))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	events, err := s.Watch(ctx, "w/")
	if err != nil {
		t.Fatal(err)
	}
	for name, breakIt := range map[string]func(){
		"killed": func() { server.Do("CLIENT", "KILL", "TYPE", "pubsub") },
		"silent": relay.silence,
	} {
		breakIt()
		if ev := <-events; ev != (store.Event{}) {
			t.Errorf("%s: heard %+v, want to forget everything", name, ev)
		}
		within(t, 10*time.Second, func() error { return s.Commit(t.Context(), store.Put("w/1", nil)) })
		if ev := next(events); ev.Key != "w/1" {
			t.Errorf("%s: heard %+v", name, ev)
		}
	}
}

// relay passes bytes on, late if told to, and can make the connections it has
// fall silent.
type relay struct {
	addr  string
	delay atomic.Int64 // of every answer, in nanoseconds

	mu   sync.Mutex
	mute chan struct{} // closed: connections that hold it pass nothing more
}

func startRelay(t *testing.T, upstream string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &relay{addr: l.Addr().String(), mute: make(chan struct{})}
	go func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", upstream)
			if err != nil {
				down.Close()
				continue
			}
			r.mu.Lock()
			mute := r.mute
			r.mu.Unlock()
			go r.pass(up, down, mute, func() {})
			go r.pass(down, up, mute, r.dawdle)
		}
	}()
	return r
}

func (r *relay) silence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.mute)
	r.mute = make(chan struct{})
}

// dawdle waits as long as answers take.
func (r *relay) dawdle() { <-time.After(time.Duration(r.delay.Load())) }

func (r *relay) pass(to, from net.Conn, mute chan struct{}, wait func()) {
	defer to.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		select {
		case <-mute:
			continue
		default:
		}
		wait()
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no address":            {},
		"two without a mode":    {Addrs: []string{"a:1", "b:1"}},
		"cluster and sentinel":  {Addrs: []string{"a:1"}, Cluster: true, MasterName: "m"},
		"cluster with a number": {Addrs: []string{"a:1"}, Cluster: true, DB: 1},
		"tenant with a brace":   {Addrs: []string{"a:1"}, Tenant: "a}b"},
		"tenant with a newline": {Addrs: []string{"a:1"}, Tenant: "a\n"},
	} {
		if d, err := Open(cfg); err == nil {
			t.Errorf("%s: opened", name)
			d.Close()
		}
	}
}

func TestFromURL(t *testing.T) {
	cfg, err := FromURL(identity.NewSecret("rediss://gate:p%40ss@redis.example:6390/3"))
	if err != nil || cfg.Addrs[0] != "redis.example:6390" || cfg.Username != "gate" || cfg.Password.Reveal() != "p@ss" ||
		cfg.DB != 3 || cfg.TLS == nil {
		t.Errorf("%+v, %v", cfg, err)
	}
	for _, bad := range []string{"", "http://gate:hunter2@x", "redis://gate:hunter2@x:1/y", "redis://gate:hunter2%zz@x"} {
		if _, err := FromURL(identity.NewSecret(bad)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	first := identity.NewSecret("rediss://gate:hunter2@a:1/3")
	cfg, err = FromURL(first, identity.NewSecret("rediss://gate:hunter2@b:2/3"))
	if err != nil || strings.Join(cfg.Addrs, " ") != "a:1 b:2" || cfg.DB != 3 || cfg.TLS.ServerName != "" {
		t.Errorf("two: %+v, %v", cfg, err)
	}
	for _, other := range []string{"redis://gate:hunter2@b:2/3", "rediss://gate:hunter2@b:2/4", "rediss://gate:hunter3@b:2/3", "rediss://b:2/3"} {
		if _, err := FromURL(first, identity.NewSecret(other)); err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s beside another: %v", other, err)
		}
	}
}

// TestCloseLeavesNothing: no goroutine outlives Close.
func TestCloseLeavesNothing(t *testing.T) {
	server := storetest.StartRedis(t)
	before := goleak.IgnoreCurrent()
	d, err := Open(configOf(server))
	if err != nil {
		t.Fatal(err)
	}
	s := sealTest(t, d)
	commit(t, s, store.Put("k", nil))
	events, err := s.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice is once
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range events { // closed with the store
	}
	if _, err := s.Get(t.Context(), "k"); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "closed") {
		t.Errorf("get when closed: %v", err)
	}
	goleak.VerifyNone(t, before)
}
