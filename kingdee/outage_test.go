package kingdee_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/internal/handclock"
	"kdgate/internal/peer"
	"kdgate/kingdee"
)

// TestBadCertificate proves R23 and T121: a certificate that is not trusted is
// never retried, and is an administrator's matter, not an outage.
func TestBadCertificate(t *testing.T) {
	var hits atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for name, config := range map[string]*tls.Config{
		"unknown issuer": nil,
		"wrong host":     {RootCAs: roots, ServerName: "erp.invalid"},
	} {
		log := &logbook{}
		cfg := testConfig(server.URL)
		cfg.Logger, cfg.Peer = log.logger(), peer.New(peer.Config{TLS: config})
		_, err := newClient(t, cfg).StaffByNumber(t.Context(), "1001")
		if identity.KindOf(err) != identity.Misconfigured || !strings.Contains(log.String(), "certificate") || hits.Load() != 0 {
			t.Errorf("%s: %v after %d requests, log %s", name, err, hits.Load(), log.String())
		}
	}
}

// TestBreaker proves R19, R23 and R26: while Kingdee is down few requests are
// made however many people click, and the first probe after the heal closes the
// circuit again.
func TestBreaker(t *testing.T) {
	t.Parallel()
	down := make(chan struct{})
	var hits atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		select {
		case <-down:
			if strings.Contains(r.URL.Path, "AuthService") {
				_, _ = io.WriteString(w, goodLogin().body)
				return
			}
			_, _ = io.WriteString(w, staffRow)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	c := newClient(t, testConfig(server.URL))
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if _, err := c.StaffByNumber(t.Context(), "1001"); identity.CodeOf(err) != identity.CodeKingdeeDown {
				t.Errorf("%v", err)
			}
		})
	}
	group.Wait()
	if n := hits.Load(); n > 4 {
		t.Errorf("%d requests while down", n)
	}
	close(down)
	deadline, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if staff, err := c.StaffByNumber(deadline, "1001"); err == nil && len(staff) == 1 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.Done():
			t.Fatal("not recovered 10 s after the heal")
		}
	}
}

// TestPatience proves that an outage becomes an alarm when it has lasted, once,
// and that its end is told too (3.5 rows 1 and 2, R70).
func TestPatience(t *testing.T) {
	t.Parallel()
	server := newScripted(t, map[string][]step{"query": {{status: 503}, {status: 503}, {body: staffRow}, {status: 500}, {status: 500}, {body: staffRow}}})
	log, clock := &logbook{}, &handclock.Running{}
	cfg := testConfig(server.URL)
	cfg.Logger, cfg.Now = log.logger(), clock.Now
	c := newClient(t, cfg)
	ask := func() { _, _ = c.StaffByNumber(t.Context(), "1001") }
	ask() // heals within the retries: nobody is called
	ask() // 500 twice: told
	if n := strings.Count(log.String(), "an administrator must act"); n != 1 {
		t.Fatalf("%d alarms: %s", n, log.String())
	}
	ask()
	if !strings.Contains(log.String(), "works again") {
		t.Errorf("the heal is not told: %s", log.String())
	}
}

// TestCallLimit proves that Kingdee's limit stops further calls for a while (row 27, R20).
func TestCallLimit(t *testing.T) {
	server := newScripted(t, map[string][]step{"query": {{body: coded("14", "超过调用次数")}, {body: staffRow}}})
	clock := &handclock.Running{}
	cfg := testConfig(server.URL)
	cfg.Now = clock.Now
	c := newClient(t, cfg)
	for range 5 {
		if _, err := c.StaffByNumber(t.Context(), "1001"); identity.KindOf(err) != identity.Throttled {
			t.Fatalf("%v", err)
		}
	}
	if n := server.count("query"); n != 1 {
		t.Errorf("%d calls during the pause", n)
	}
	clock.Advance(2 * time.Minute)
	if _, err := c.StaffByNumber(t.Context(), "1001"); err != nil {
		t.Errorf("after the pause: %v", err)
	}
}

// TestCallLimitEnds proves R20: a limit of its own grows only while it does not
// help. What was under way when it began counts once, a success between two limits
// makes the next one short again, and where Kingdee names a time that is the time.
func TestCallLimitEnds(t *testing.T) {
	t.Parallel()
	limited, fine := step{body: coded("14", "超过调用次数")}, step{body: staffRow}
	for name, c := range map[string]struct {
		steps []step
		waits []time.Duration // after each limit; the answer follows
	}{
		"twice, with success between": {[]step{limited, fine, limited, fine}, []time.Duration{91 * time.Second, 91 * time.Second}},
		"a time is named":             {[]step{{status: 429, header: map[string]string{"Retry-After": "7"}}, fine}, []time.Duration{11 * time.Second}},
		"a time that is none":         {[]step{{status: 429, header: map[string]string{"Retry-After": "soon"}}, fine}, []time.Duration{91 * time.Second}},
	} {
		clock := &handclock.Running{}
		server := newScripted(t, map[string][]step{"query": c.steps})
		cfg := testConfig(server.URL)
		cfg.Now = clock.Now
		client := newClient(t, cfg)
		ask := func() error { _, err := client.StaffByNumber(t.Context(), "1001"); return err }
		for i, wait := range c.waits {
			if err := ask(); identity.KindOf(err) != identity.Throttled {
				t.Errorf("%s: limit %d: %v", name, i, err)
			}
			clock.Advance(wait * 6 / 11) // within the stop even without its jitter
			if err := ask(); identity.KindOf(err) != identity.Throttled || server.count("query") != 2*i+1 {
				t.Errorf("%s: the stop after limit %d ended early: %v", name, i, err)
			}
			clock.Advance(wait - wait*6/11)
			if err := ask(); err != nil {
				t.Errorf("%s: after limit %d: %v", name, i, err)
			}
		}
	}
}

// TestManyLimitedAtOnce proves R20: five calls that meet the limit together are one limit.
func TestManyLimitedAtOnce(t *testing.T) {
	t.Parallel()
	const calls = 5
	var arrived sync.WaitGroup
	arrived.Add(calls)
	var healed atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case strings.Contains(r.URL.Path, "AuthService"):
			_, _ = io.WriteString(w, goodLogin().body)
		case healed.Load():
			_, _ = io.WriteString(w, staffRow)
		default:
			arrived.Done()
			arrived.Wait()
			_, _ = io.WriteString(w, coded("14", "超过调用次数"))
		}
	}))
	defer server.Close()
	clock := &handclock.Running{}
	cfg := testConfig(server.URL)
	cfg.Now, cfg.API.MaxSessions, cfg.API.MaxConcurrency = clock.Now, calls, calls
	c := newClient(t, cfg)
	var asking sync.WaitGroup
	for range calls {
		asking.Go(func() { _, _ = c.StaffByNumber(t.Context(), "1001") })
	}
	asking.Wait()
	healed.Store(true)
	clock.Advance(91 * time.Second)
	if _, err := c.StaffByNumber(t.Context(), "1001"); err != nil {
		t.Errorf("after the one stop: %v", err)
	}
}

// TestSlowLogins proves R18: logins go one at a time, and where each takes its time
// whoever comes late has no turn. Nobody is told that Kingdee is down, the breaker
// stays shut, and a session that came too late for its call serves the next one.
func TestSlowLogins(t *testing.T) {
	t.Parallel()
	const calls = 4
	var logins atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.Contains(r.URL.Path, "AuthService") {
			<-time.After(2500 * time.Millisecond)
			logins.Add(1)
			_, _ = io.WriteString(w, goodLogin().body)
			return
		}
		_, _ = io.WriteString(w, staffRow)
	}))
	defer server.Close()
	cfg := testConfig(server.URL)
	cfg.API.MaxSessions, cfg.API.MaxConcurrency = calls, calls
	c := newClient(t, cfg)
	ended := make(chan error, calls)
	for range calls {
		go func() { _, err := c.StaffByNumber(t.Context(), "1001"); ended <- err }()
	}
	for range calls {
		if err := <-ended; err != nil && identity.CodeOf(err) != identity.CodeKingdeeBusy {
			t.Errorf("a login that takes its time is %v", err)
		}
	}
	before := logins.Load()
	if before < calls-1 {
		t.Errorf("only %d logins came to their end", before)
	}
	if _, err := c.StaffByNumber(t.Context(), "1001"); err != nil || logins.Load() != before {
		t.Errorf("afterwards: %v, %d logins more", err, logins.Load()-before)
	}
}

// TestCallerGone proves that a person who leaves is no outage and no alarm.
func TestCallerGone(t *testing.T) {
	reached := make(chan struct{}, 8)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		reached <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	log := &logbook{}
	cfg := testConfig(server.URL)
	cfg.Logger = log.logger()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	_, err := newClient(t, cfg).StaffByNumber(ctx, "1001")
	if identity.KindOf(err) != identity.Unavailable || log.String() != "" {
		t.Errorf("%v, log %q", err, log.String())
	}
	done, stop := context.WithCancel(t.Context())
	stop()
	if _, err := newClient(t, cfg).StaffByNumber(done, "1001"); identity.KindOf(err) != identity.Unavailable {
		t.Errorf("ended context: %v", err)
	}
}

// TestQueueIsNoOutage proves R2: who does not get a turn in time is told to wait,
// not that Kingdee is down, and the call is not begun when no answer could come.
func TestQueueIsNoOutage(t *testing.T) {
	hold, reached := make(chan struct{}), make(chan struct{}, 1)
	var queries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.Contains(r.URL.Path, "AuthService") {
			_, _ = io.WriteString(w, goodLogin().body)
			return
		}
		queries.Add(1)
		reached <- struct{}{}
		<-hold
		_, _ = io.WriteString(w, "[]")
	}))
	defer server.Close()
	cfg := testConfig(server.URL)
	cfg.API.MaxSessions, cfg.API.MaxConcurrency = 1, 1
	c := newClient(t, cfg)
	first := make(chan error, 1)
	go func() {
		_, err := c.StaffByNumber(t.Context(), "1001")
		first <- err
	}()
	<-reached
	waiting, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.StaffByNumber(waiting, "1002")
	if identity.KindOf(err) != identity.Throttled || identity.CodeOf(err) != identity.CodeKingdeeBusy {
		t.Errorf("in the queue: %v", err)
	}
	close(hold)
	if err := <-first; err != nil {
		t.Errorf("the one before: %v", err)
	}
	late, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := c.StaffByNumber(late, "1003"); identity.CodeOf(err) != identity.CodeKingdeeBusy || queries.Load() != 1 {
		t.Errorf("a turn without time: %v after %d queries", err, queries.Load())
	}
}

// TestBounds proves R22: a huge, a slow and an endless answer are errors within
// the bounds of the peer, never data.
func TestBounds(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "AuthService") {
			_, _ = io.WriteString(w, goodLogin().body)
			return
		}
		_, _ = io.WriteString(w, `[["`)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	cfg := testConfig(server.URL)
	cfg.Peer = peer.New(peer.Config{MaxBody: 1 << 20, Timeout: time.Second})
	_, err := newClient(t, cfg).StaffByNumber(t.Context(), "1001")
	if fault, ok := errors.AsType[*kingdee.Fault](err); !ok || fault.Row != 30 || !errors.Is(err, peer.ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

// TestSignOutIsAWrite proves that a sign-out whose request has left is not
// repeated, because its outcome is unknown (row 4), and that it needs no session.
func TestSignOutIsAWrite(t *testing.T) {
	for name, tc := range map[string]struct {
		step step
		row  int
	}{
		"cut": {step{cut: true}, 4}, "500": {step{status: 500}, 4}, "503": {step{status: 503}, 4},
		"html": {step{body: "<html>"}, 7}, "done": {step{}, 0},
	} {
		server := newScripted(t, map[string][]step{"logout": {tc.step}})
		err := newClient(t, testConfig(server.URL)).SignOut(t.Context(), "zhangsan")
		fault, _ := errors.AsType[*kingdee.Fault](err)
		if (tc.row == 0) != (err == nil) || (fault != nil && fault.Row != tc.row) || server.count("logout") != 1 || server.count("login") != 0 {
			t.Errorf("%s: %v after %d logouts, %d logins", name, err, server.count("logout"), server.count("login"))
		}
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	var tries []string
	cfg := testConfig(gone.URL)
	cfg.Observer = func(operation, result string, _ time.Duration) { tries = append(tries, operation+" "+result) }
	if err := newClient(t, cfg).SignOut(t.Context(), "zhangsan"); identity.CodeOf(err) != identity.CodeKingdeeDown || len(tries) != 3 {
		t.Errorf("refused connection: %v after %v", err, tries)
	}
}

// TestSignOutOff says so instead of pretending.
func TestSignOutOff(t *testing.T) {
	cfg := testConfig("https://erp.example.com")
	cfg.NoLogoutNotice = true
	if err := newClient(t, cfg).SignOut(t.Context(), "zhangsan"); !errors.Is(err, kingdee.ErrNoLogoutNotice) {
		t.Error(err)
	}
	cfg.NoLogoutNotice = false
	if err := newClient(t, cfg).SignOut(t.Context(), "a\nb"); identity.CodeOf(err) != identity.CodeKingdeeSetup {
		t.Error(err)
	}
}

// TestObserver hears of every exchange by operation and result.
func TestObserver(t *testing.T) {
	server := newScripted(t, map[string][]step{"query": {{status: 500}, {body: staffRow}}})
	var heard []string
	cfg := testConfig(server.URL)
	cfg.Observer = func(operation, result string, took time.Duration) {
		if took < 0 {
			t.Error("time runs backwards")
		}
		heard = append(heard, operation+" "+result)
	}
	if _, err := newClient(t, cfg).StaffByNumber(t.Context(), "1001"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(heard, ", "); got != "login ok, query server-error, query ok" {
		t.Error(got)
	}
}

// TestOneCallASession proves that a session never serves two calls at once (SIM-K42).
func TestOneCallASession(t *testing.T) {
	var logins, inside, most atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "AuthService") {
			logins.Add(1)
			_, _ = io.WriteString(w, goodLogin().body)
			return
		}
		if n := inside.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer inside.Add(-1)
		_, _ = io.WriteString(w, staffRow)
	}))
	defer server.Close()
	c := newClient(t, testConfig(server.URL))
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			if _, err := c.StaffByNumber(t.Context(), "1001"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if most.Load() > 2 || logins.Load() > 2 {
		t.Errorf("%d calls at once, %d logins", most.Load(), logins.Load())
	}
}
