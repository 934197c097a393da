package redisstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kdgate/identity"
	"kdgate/store"
	"kdgate/store/storetest"
)

// sealTest seals d with the key of all tests.
func sealTest(t testing.TB, d store.Driver) *store.Sealed {
	t.Helper()
	s, err := store.Seal(d, store.SealConfig{Keys: [][]byte{[]byte(strings.Repeat("k", store.MinSealKey))}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func commit(t testing.TB, s store.Store, ops ...store.Op) {
	t.Helper()
	if err := s.Commit(t.Context(), ops...); err != nil {
		t.Fatal(err)
	}
}

// within tries do again and again until it succeeds, and fails after limit.
func within(t testing.TB, limit time.Duration, do func() error) {
	t.Helper()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	end := time.After(limit)
	for {
		err := do()
		if err == nil {
			return
		}
		select {
		case <-pause.C:
		case <-end:
			t.Fatalf("after %v still: %v", limit, err)
		}
	}
}

// noAnswer holds that every question is answered "could not ask", with hint.
func noAnswer(t *testing.T, s store.Store, hint string) {
	t.Helper()
	ctx := t.Context()
	_, there := s.Get(ctx, "k")
	_, missing := s.Get(ctx, "none")
	_, scan := s.Scan(ctx, "", "", 10)
	write := s.Commit(ctx, store.Create("new", nil))
	for name, err := range map[string]error{"get": there, "get missing": missing, "scan": scan, "commit": write} {
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		} else if !strings.Contains(err.Error(), hint) {
			t.Errorf("%s does not say %q: %v", name, hint, err)
		}
	}
}

// TestRestart: while Redis is down nothing reads as missing; when it is back so
// are we, by ourselves, with everything that was acknowledged (R5).
func TestRestart(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t, "--appendonly", "yes")
	d := openTest(t, configOf(server))
	s := sealTest(t, d)
	commit(t, s, store.Put("k", []byte("v")))
	events, err := s.Watch(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	noAnswer(t, s, "Redis cannot be asked")
	if err := d.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ready: %v", err)
	}
	server.Start()
	within(t, 3*time.Second, func() error { return d.Ping(t.Context()) })
	if entry, err := s.Get(t.Context(), "k"); err != nil || string(entry.Value) != "v" {
		t.Errorf("after the restart: %q, %v", entry.Value, err)
	}
	for end := time.After(5 * time.Second); ; {
		select {
		case ev := <-events:
			if ev == (store.Event{}) { // what was missed is unknown: forget everything
				return
			}
		case <-end:
			t.Fatal("the watch did not come back")
		}
	}
}

// TestAwayAtStart: a Redis that is away when we start is waited for (R17).
func TestAwayAtStart(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	server.Stop()
	cfg := configOf(server)
	cfg.Timeout = 300 * time.Millisecond
	d := openTest(t, cfg)
	s := sealTest(t, d)
	noAnswer(t, s, "Redis cannot be asked")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := s.Watch(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	within(t, 3*time.Second, func() error { return d.Ping(t.Context()) })
	if ev := <-events; ev != (store.Event{}) {
		t.Errorf("first heard %+v", ev)
	}
}

// TestReadOnlyReplica: a demoted master is not asked, and never says "missing" (R7).
func TestReadOnlyReplica(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	d := openTest(t, configOf(server))
	s := sealTest(t, d)
	commit(t, s, store.Put("k", nil))
	server.Do("REPLICAOF", "127.0.0.1", "1")
	if err := s.Commit(t.Context(), store.Put("k", nil)); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "read-only replica") {
		t.Errorf("commit: %v", err)
	}
	if _, err := s.Get(t.Context(), "none"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("missing key: %v", err)
	}
	if err := d.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ready: %v", err)
	}
	server.Do("CONFIG", "SET", "replica-serve-stale-data", "no")
	noAnswer(t, s, "replica")
	server.Do("REPLICAOF", "NO", "ONE")
	within(t, 2*time.Second, func() error { return s.Commit(t.Context(), store.Put("k", nil)) })
}

// TestOutOfMemory: reads go on, writes fail closed, no commit is halved (R9).
func TestOutOfMemory(t *testing.T) {
	server := storetest.StartRedis(t)
	s := sealTest(t, openTest(t, configOf(server)))
	commit(t, s, store.Put("k", nil), store.Put("gone", nil))
	server.Do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	server.Do("CONFIG", "SET", "maxmemory", "1mb")
	err := s.Commit(t.Context(), store.Delete("gone"), store.Put("a", nil), store.Put("b", nil))
	if err == nil { // a commit that begins with a delete makes room and passes whole
		if _, err := s.Get(t.Context(), "b"); err != nil {
			t.Errorf("half a commit: %v", err)
		}
	}
	err = s.Commit(t.Context(), store.Create("c", nil), store.Create("d", nil))
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("commit: %v", err)
	}
	for _, key := range []string{"c", "d"} {
		if _, err := s.Get(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("half a commit: %q: %v", key, err)
		}
	}
	if _, err := s.Get(t.Context(), "k"); err != nil {
		t.Errorf("reads: %v", err)
	}
	server.Do("CONFIG", "SET", "maxmemory", "0")
	commit(t, s, store.Create("c", nil))
}

// TestPassword: a wrong password fails closed and says what to do, without the
// password; a change at run time is recovered from (R16).
func TestPassword(t *testing.T) {
	server := storetest.StartRedis(t, "--requirepass", "right-secret")
	for name, password := range map[string]string{"wrong": "wrong-secret", "none": ""} {
		cfg := configOf(server)
		cfg.Password = identity.NewSecret(password)
		s := sealTest(t, openTest(t, cfg))
		noAnswer(t, s, "refused the password for user default: check store.username and store.password_file")
		if _, err := s.Get(t.Context(), "k"); strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error holds the password: %v", name, err)
		}
	}
	d := openTest(t, configOf(server))
	s := sealTest(t, d)
	commit(t, s, store.Put("k", nil))
	server.Do("CONFIG", "SET", "requirepass", "other-secret")
	server.Password = "other-secret"
	server.Do("CLIENT", "KILL", "TYPE", "normal")
	noAnswer(t, s, "refused the password")
	server.Do("CONFIG", "SET", "requirepass", "right-secret")
	server.Password = "right-secret"
	within(t, 5*time.Second, func() error { _, err := s.Get(t.Context(), "k"); return err })
}

// TestPermission: the rights listed in doc.go are enough, and fewer are named.
func TestPermission(t *testing.T) {
	server := storetest.StartRedis(t)
	rights := strings.Fields("~{kdgate:default}* &{kdgate:default}* +get +mget +set +del +exists +getrange +zadd +zrem " +
		"+zrangebylex +zrangebyscore +time +publish +subscribe +unsubscribe +eval +evalsha +ping +hello +auth +select +client")
	server.Do(append([]string{"ACL", "SETUSER", "gate", "on", ">pw"}, rights...)...)
	cfg := configOf(server)
	cfg.Username, cfg.Password = "gate", identity.NewSecret("pw")
	s := sealTest(t, openTest(t, cfg))
	events, err := s.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, store.Create("k", nil).For(time.Minute))
	for ev := range events {
		if ev.Key == "k" {
			break
		}
	}
	commit(t, s, store.Delete("k"))
	if _, err := s.Scan(t.Context(), "", "", 9); err != nil {
		t.Error(err)
	}
	server.Do("ACL", "SETUSER", "gate", "-publish")
	err = s.Commit(t.Context(), store.Create("k", nil))
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "user gate lacks a permission") {
		t.Errorf("without +publish: %v", err)
	}
	if _, err := s.Get(t.Context(), "k"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a refused commit wrote: %v", err)
	}
}

// TestErrorReplies: whatever error Redis answers with, it is never "missing" (R7, R8).
func TestErrorReplies(t *testing.T) {
	for reply, hint := range map[string]string{
		"-LOADING Redis is loading the dataset in memory":                    "still loading",
		"-MASTERDOWN Link with MASTER is down":                               "lost its master",
		"-CLUSTERDOWN The cluster is down":                                   "cluster is down",
		"-MISCONF Redis is configured to save RDB snapshots":                 "cannot persist",
		"-NOREPLICAS Not enough good replicas to write.":                     "want of replicas",
		"-WRONGTYPE Operation against a key holding the wrong kind of value": "another program",
		"-ERR max number of clients reached":                                 "cannot be asked",
		"-BUSY Redis is busy running a script.":                              "cannot be asked",
		"-ERR unknown command 'GET'":                                         "cannot be asked",
		"+OK":                                                                "",
		":1":                                                                 "",
		"$-1":                                                                "",
		"*0":                                                                 "",
		"*-1":                                                                "",
		"*2\r\n$5\r\nwrong\r\n$2\r\nok":                                      "",
		"!garbage":                                                           "",
		"$99999999999":                                                       "",
		"*1000000000":                                                        "",
		"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\nno Redis<>": "",
	} {
		t.Run(strings.Fields(reply)[0], func(t *testing.T) {
			t.Parallel()
			cfg := Config{Addrs: []string{cannedServer(t, func() string { return reply })}, Timeout: unhurried}
			s := sealTest(t, openTest(t, cfg))
			_, getErr := s.Get(t.Context(), "k")
			_, scanErr := s.Scan(t.Context(), "", "", 10)
			putErr := s.Commit(t.Context(), store.Create("k", nil))
			for name, err := range map[string]error{"get": getErr, "scan": scanErr, "commit": putErr} {
				if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrTampered) || errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s: %v", name, err)
				} else if !strings.Contains(err.Error(), hint) {
					t.Errorf("%s does not say %q: %v", name, hint, err)
				}
			}
		})
	}
}

// TestAnyReply: no reply of a hostile Redis ends the process, or makes a key
// missing, found or written (R8).
func TestAnyReply(t *testing.T) {
	t.Parallel()
	var reply atomic.Pointer[string]
	reply.Store(new("+OK"))
	d := openTest(t, Config{Addrs: []string{cannedServer(t, func() string { return *reply.Load() })}, Timeout: 100 * time.Millisecond})
	s := sealTest(t, d)
	rapid.Check(t, func(rt *rapid.T) {
		text := drawReply(rt, 3)
		reply.Store(&text)
		if _, err := s.Get(t.Context(), "k"); err == nil || errors.Is(err, store.ErrNotFound) {
			rt.Errorf("get: %v", err)
		}
		if page, err := s.Scan(t.Context(), "", "", 3); err == nil {
			rt.Errorf("scan: %v", page)
		}
		if err := s.Commit(t.Context(), store.Put("k", nil)); err == nil || errors.Is(err, store.ErrConflict) {
			rt.Errorf("commit: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		if err := newEar(time.Millisecond).once(ctx, d.client, "channel"); err == nil {
			rt.Error("the subscription ended without a reason")
		}
	})
}

// drawReply draws one RESP2 reply, arrays nested at most depth deep, without its
// last line end.
func drawReply(rt *rapid.T, depth int) string {
	kinds := []string{"+", "-", ":", "$", "$-1", "*-1"}
	if depth > 0 {
		kinds = append(kinds, "*")
	}
	word := rapid.SampledFrom([]string{"", "OK", "ERR", "ok", "conflict", "stale", "subscribe", "message", "7", pad(7), pad(7) + pad(0)})
	switch kind := rapid.SampledFrom(kinds).Draw(rt, "kind"); kind {
	case "$-1", "*-1":
		return kind
	case "$":
		text := word.Draw(rt, "text")
		return fmt.Sprintf("$%d\r\n%s", len(text), text)
	case "*":
		n := rapid.IntRange(0, 4).Draw(rt, "items")
		reply := fmt.Sprintf("*%d", n)
		for range n {
			reply += "\r\n" + drawReply(rt, depth-1)
		}
		return reply
	default:
		return kind + word.Draw(rt, "line")
	}
}

// cannedServer answers every command, after the handshake, with a reply.
func cannedServer(t *testing.T, reply func() string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answer(conn, reply)
		}
	}()
	return l.Addr().String()
}

func answer(conn net.Conn, reply func() string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		command, err := readCommand(in)
		if err != nil {
			return
		}
		text := reply()
		if strings.Contains(strings.ToLower(string(command)), "\r\nhello\r\n") {
			text = "-ERR unknown command 'HELLO'"
		}
		if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
			return
		}
	}
}

// readCommand reads one command, an array of strings, as bytes.
func readCommand(in *bufio.Reader) ([]byte, error) {
	text, err := in.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	items, err := strconv.Atoi(strings.TrimSpace(string(text[1:])))
	for range items {
		var size int
		if _, err = fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
			break
		}
		item := make([]byte, size+2)
		if _, err = io.ReadFull(in, item); err != nil {
			break
		}
		text = append(append(text, "\r\n"...), item...)
	}
	return text, err
}

// TestBlackHole: a Redis that takes everything and says nothing is given up
// within the time of one operation, and whoever asks can leave earlier (R10, R11).
func TestBlackHole(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := sealTest(t, openTest(t, Config{Addrs: []string{l.Addr().String()}, Timeout: 300 * time.Millisecond}))
	patient := sealTest(t, openTest(t, Config{Addrs: []string{l.Addr().String()}, Timeout: time.Minute}))
	began := time.Now()
	if _, err := s.Get(t.Context(), "k"); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("gave up after %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	began = time.Now()
	if err := patient.Commit(ctx, store.Put("k", nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("left after %v", took)
	}
}

// TestKilledRedis: with appendfsync always nothing acknowledged is lost when
// Redis itself is killed (R5, R36).
func TestKilledRedis(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	d := openTest(t, configOf(server))
	s := sealTest(t, d)
	var acknowledged []string
	for round := range 3 {
		keys, killed := make(chan string), make(chan struct{})
		for worker := range 4 {
			go func() {
				defer func() { keys <- "" }()
				for i := 0; ; i++ {
					key := fmt.Sprintf("%d/%d/%d", round, worker, i)
					if s.Commit(t.Context(), store.Create(key, nil)) != nil {
						return
					}
					keys <- key
				}
			}()
		}
		for ended, n := 0, 0; ended < 4; n++ {
			if key := <-keys; key != "" {
				acknowledged = append(acknowledged, key)
			} else {
				ended++
			}
			if n == 100 {
				go func() { defer close(killed); server.Kill() }()
			}
		}
		<-killed
		server.Start()
		within(t, 5*time.Second, func() error { return d.Ping(t.Context()) })
		for _, key := range acknowledged {
			if _, err := s.Get(t.Context(), key); err != nil {
				t.Fatalf("round %d lost %s: %v", round, key, err)
			}
		}
	}
}
