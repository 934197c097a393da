package redisstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/store"
	"kdgate/store/storetest"
)

// crowd asks n times at once and gives the longest time and how many failed,
// none of them with a wrong answer.
func crowd(t *testing.T, n int, ask func(i int) error) (longest time.Duration, failed int) {
	t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			began := time.Now()
			err := ask(i)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			longest = max(longest, took)
			if err == nil {
				return
			}
			failed++
			if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
				t.Errorf("asked %d: %v", i, err)
			}
		})
	}
	group.Wait()
	return longest, failed
}

// TestSlowAnswers proves R10. Answers 800 ms late cost time but no answer, over
// a bounded number of connections; answers 5 s late cost everybody under 2 s,
// and soon nothing, and nobody piles up; when it is over so is the refusing.
func TestSlowAnswers(t *testing.T) {
	t.Parallel()
	const pool = 16
	server := storetest.StartRedis(t)
	relay := startRelay(t, server.Addr)
	d := openTest(t, Config{Addrs: []string{relay.addr}, PoolSize: pool})
	s := sealTest(t, d)
	commit(t, s, store.Put("k", []byte("v")))
	get := func(int) error { _, err := s.Get(t.Context(), "k"); return err }
	relay.delay.Store(int64(20 * time.Millisecond))
	crowd(t, pool, get) // so long at once that every connection is there: a new one would cost a second reply
	before := runtime.NumGoroutine()

	relay.delay.Store(int64(800 * time.Millisecond))
	longest, failed := crowd(t, pool, func(i int) error {
		if i%2 == 0 {
			return get(i)
		}
		return s.Commit(t.Context(), store.Put(fmt.Sprint("slow/", i), nil))
	})
	if failed > 0 || longest > 1800*time.Millisecond {
		t.Errorf("800 ms late: %d of %d failed, the longest took %v", failed, pool, longest)
	}
	crowd(t, 8*pool, get)
	if got := strings.Count(server.Do("CLIENT", "LIST", "TYPE", "normal"), "cmd="); got > 2*pool+1 { // closed ones linger at the server
		t.Errorf("%d connections for a pool of %d", got, pool)
	}

	relay.delay.Store(int64(5 * time.Second))
	longest, failed = crowd(t, 8*pool, get)
	if failed != 8*pool || longest > 2*time.Second {
		t.Errorf("5 s late: %d of %d failed, the longest took %v", failed, 8*pool, longest)
	}
	longest, failed = crowd(t, 1000, get)
	if failed != 1000 || longest > 2*time.Second {
		t.Errorf("known to be late: %d of 1000 failed, the longest took %v", failed, longest)
	}
	if now := runtime.NumGoroutine(); now > before+8*pool { // the relay's own included
		t.Errorf("%d goroutines, %d before", now, before)
	}
	relay.delay.Store(0)
	began := time.Now()
	within(t, 5*time.Second, func() error { return get(0) })
	t.Logf("answers again %v after the end", time.Since(began))
}

// TestHalfOpenConnections proves R11: a network that forgot all connections
// without a word is found out by the first question, which is answered all the
// same, and the others do not find it out one by one.
func TestHalfOpenConnections(t *testing.T) {
	t.Parallel()
	const open = 12
	relay := startRelay(t, storetest.StartRedis(t).Addr)
	// The first question has a third of its time left when it has found out: a second, on a busy machine.
	s := sealTest(t, openTest(t, Config{Addrs: []string{relay.addr}, Timeout: 3 * time.Second}))
	commit(t, s, store.Put("k", nil))
	get := func(int) error { _, err := s.Get(t.Context(), "k"); return err }
	relay.delay.Store(int64(20 * time.Millisecond)) // so that all of them are opened
	crowd(t, open, get)
	relay.delay.Store(0)
	relay.silence()
	began := time.Now()
	for i := range open {
		if err := get(i); err != nil {
			t.Errorf("question %d, %v after the silence began: %v", i, time.Since(began), err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%d questions one after the other took %v", open, took)
	}
}

// TestHangingRedis: a Redis that keeps its connections and stops answering, then
// goes on, loses nothing and is never mistaken for an empty one (R10, R11).
func TestHangingRedis(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	d := openTest(t, Config{Addrs: []string{server.Addr}, Timeout: time.Second}) // the default, 1.8 s, leaves a busy machine little of R10's two
	s := sealTest(t, d)
	commit(t, s, store.Put("k", []byte("v")))
	server.Pause()
	for range 2 {
		longest, failed := crowd(t, 20, func(i int) error {
			_, err := s.Get(t.Context(), []string{"k", "none"}[i%2])
			return err
		})
		if failed != 20 || longest > 2*time.Second {
			t.Errorf("%d of 20 failed, the longest took %v", failed, longest)
		}
	}
	if err := d.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ready: %v", err)
	}
	server.Resume()
	within(t, 3*time.Second, func() error { return d.Ping(t.Context()) })
	if entry, err := s.Get(t.Context(), "k"); err != nil || string(entry.Value) != "v" {
		t.Errorf("afterwards: %q, %v", entry.Value, err)
	}
}

// TestWhoLeavesEarlyBreaksNothing: callers without patience do not count as
// silence of Redis, and one that was let through to try does not keep the door.
func TestWhoLeavesEarlyBreaksNothing(t *testing.T) {
	t.Parallel()
	relay := startRelay(t, storetest.StartRedis(t).Addr)
	d := openTest(t, Config{Addrs: []string{relay.addr}, Timeout: 400 * time.Millisecond})
	s := sealTest(t, d)
	commit(t, s, store.Put("k", nil))
	get := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := s.Get(ctx, "k")
		return err
	}
	relay.delay.Store(int64(50 * time.Millisecond))
	for range 3 * breakerAfter {
		if err := get(time.Millisecond); err == nil {
			t.Fatal("answered before it could be")
		}
	}
	if !d.breaker.IsClosed() {
		t.Fatal("impatient callers locked the others out")
	}
	relay.delay.Store(int64(time.Minute))
	crowd(t, 2*breakerAfter, func(int) error { return get(time.Hour) })
	if !d.breaker.IsOpen() {
		t.Fatal("nobody was locked out")
	}
	within(t, 5*time.Second, func() error { // until it was the one that was let through to try
		if err := get(20 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return nil
	})
	relay.silence() // what waits a minute is gone
	relay.delay.Store(0)
	within(t, 5*time.Second, func() error {
		_ = get(0) // takes nobody's place
		return get(time.Hour)
	})
}

// TestKillStorm proves R12 under load: all connections killed ten times a
// second, subscriptions too, and 99 of 100 operations succeed.
func TestKillStorm(t *testing.T) {
	t.Parallel()
	const workers, rounds = 8, 20
	server := storetest.StartRedis(t)
	s := sealTest(t, openTest(t, configOf(server)))
	events, err := s.Watch(t.Context(), "last")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var good, bad atomic.Int64
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprint("storm/", w, "/", i%10)
				err := s.Commit(t.Context(), store.Put(key, nil))
				if err == nil {
					_, err = s.Get(t.Context(), key)
				}
				if errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s vanished", key)
				}
				if err == nil {
					good.Add(1)
				} else {
					bad.Add(1)
				}
			}
		})
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for range rounds {
		<-ticker.C
		server.Do("CLIENT", "KILL", "TYPE", "normal")
		server.Do("CLIENT", "KILL", "TYPE", "pubsub")
	}
	stop()
	group.Wait()
	t.Logf("%d good, %d failed", good.Load(), bad.Load())
	if bad.Load()*100 > good.Load() || good.Load() < rounds {
		t.Errorf("%d failed beside %d good ones", bad.Load(), good.Load())
	}
	within(t, 5*time.Second, func() error { // the subscription has come back
		if err := s.Commit(t.Context(), store.Put("last", nil)); err != nil {
			return err
		}
		select {
		case ev := <-events:
			if ev.Key == "last" {
				return nil
			}
		default:
		}
		return errors.New("not heard")
	})
}

// TestLoading proves R7 with a Redis that is really loading: what it has not
// read yet is not missing.
func TestLoading(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t, "--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024")
	d := openTest(t, configOf(server))
	s := sealTest(t, d)
	for i := range 100 {
		commit(t, s, store.Create(fmt.Sprintf("k/%03d", i), make([]byte, 1<<10)))
	}
	server.Do("SAVE") // how it loads an RDB file can be slowed down
	server.Stop()
	back := make(chan struct{})
	go func() {
		defer close(back)
		server.Start() // returns when all is loaded
	}()
	loading := 0
	within(t, 15*time.Second, func() error {
		_, err := s.Get(t.Context(), "k/099")
		switch {
		case err == nil:
		case !errors.Is(err, store.ErrUnavailable):
			t.Fatalf("while it loads: %v", err)
		case strings.Contains(err.Error(), "still loading"):
			loading++
		}
		return err
	})
	<-back
	if loading == 0 {
		t.Error("Redis was never met while it loaded")
	}
	if page, err := s.Scan(t.Context(), "k/", "", 200); err != nil || len(page) != 100 {
		t.Errorf("afterwards %d keys, %v", len(page), err)
	}
}

// TestRightsTakenAway proves R16 for users: one that is switched off, deleted,
// or confined to other keys meanwhile fails closed and says so, and works again
// within 5 s of the mending.
func TestRightsTakenAway(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t)
	grant := func() {
		server.Do("ACL", "SETUSER", "gate", "reset", "on", ">pw", "~*", "&*", "+@all")
	}
	grant()
	cfg := configOf(server)
	cfg.Username, cfg.Password = "gate", identity.NewSecret("pw")
	d := openTest(t, cfg)
	s := sealTest(t, d)
	commit(t, s, store.Put("k", []byte("v")))
	for name, step := range map[string]struct {
		take []string
		hint string
	}{
		"deleted":      {[]string{"ACL", "DELUSER", "gate"}, "refused the password for user gate"},
		"switched off": {[]string{"ACL", "SETUSER", "gate", "off"}, "refused the password for user gate"},
		"other keys":   {[]string{"ACL", "SETUSER", "gate", "resetkeys", "~other:*"}, "user gate lacks a permission"},
		"no commands":  {[]string{"ACL", "SETUSER", "gate", "-@all", "+ping", "+hello"}, "user gate lacks a permission"},
	} {
		server.Do(step.take...)
		server.Do("CLIENT", "KILL", "TYPE", "normal")
		noAnswer(t, s, step.hint)
		if err := d.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: ready: %v", name, err)
		}
		grant()
		within(t, 5*time.Second, func() error { _, err := s.Get(t.Context(), "k"); return err })
	}
}
