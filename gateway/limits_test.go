package gateway

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/audit"
	"kdgate/identity"
)

// T7: five thousand bad codes cost a bounded number of exchanges, and another
// address signs in meanwhile.
func TestFloodOfBadCodes(t *testing.T) {
	h := newHouse(t, func(cfg *Config) {
		cfg.Limits = Limits{PerAddress: 1, AddressSize: 20, Global: 1000, GlobalSize: 5000}
	})
	l := h.gateway.limiter
	refusedBefore := 0
	for range 5000 {
		leave, err := l.enter(t.Context(), mustAddr("198.51.100.7"), "b")
		if err != nil {
			if identity.KindOf(err) != identity.Throttled {
				t.Fatal(err)
			}
			refusedBefore++
			continue
		}
		leave(true)
	}
	if asked := 5000 - refusedBefore; asked > browserTries {
		t.Errorf("%d codes went upstream", asked)
	}
	leave, err := l.enter(t.Context(), mustAddr("198.51.100.8"), "c")
	if err != nil {
		t.Fatalf("another address: %v", err)
	}
	leave(false)
	h.clock.Advance(time.Minute)
	if leave, err = l.enter(t.Context(), mustAddr("198.51.100.7"), "d"); err != nil {
		t.Fatalf("the same address a minute later: %v", err)
	}
	leave(false)
}

// T7: five thousand bad codes at once, each from a browser of its own, cost no
// more exchanges than the budget over all addresses gives in that time, and from
// one address hardly more than it may waste; somebody else then still gets in
// within two seconds.
func TestFloodFromManyBrowsers(t *testing.T) {
	limits := Limits{PerAddress: 0.001, AddressSize: 10, Global: 20, GlobalSize: 100}.withDefaults()
	for name, c := range map[string]struct {
		addresses int
		most      func(seconds float64) float64
	}{
		"many addresses": {200, func(seconds float64) float64 { return 100 + 20*seconds }},
		"one address":    {1, func(seconds float64) float64 { return 10 + inFlight + spareBurst + spareRate*seconds }},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(limits, time.Now)
			var asked atomic.Int64
			began := time.Now()
			var all sync.WaitGroup
			for i := range 5000 {
				all.Go(func() {
					leave, err := l.enter(t.Context(), mustAddr(fmt.Sprintf("198.51.100.%d", i%c.addresses)), fmt.Sprint("b", i))
					if err == nil {
						asked.Add(1)
						<-time.After(50 * time.Millisecond) // by the bubble's clock: DingTalk's answer
						leave(true)
					} else if identity.KindOf(err) != identity.Throttled {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if most := c.most(time.Since(began).Seconds()); asked.Load() == 0 || float64(asked.Load()) > most {
				t.Errorf("%s: %d codes went upstream in %v, at most %v", name, asked.Load(), time.Since(began), most)
			}
			<-time.After(2 * time.Second)
			leave, err := l.enter(t.Context(), mustAddr("192.0.2.9"), "somebody else")
			if err != nil {
				t.Fatalf("%s: somebody else: %v", name, err)
			}
			leave(false)
		})
	}
}

// T7: whoever gets a turn behind an address that floods gets it in time to be
// signed in within two seconds; the others are told to come again at once.
func TestTurnsInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Limits{PerAddress: 0.001, AddressSize: 1}.withDefaults(), time.Now)
		address := mustAddr("198.51.100.7")
		leave, err := l.enter(t.Context(), address, "the one that used it up")
		if err != nil {
			t.Fatal(err)
		}
		leave(true)
		var admitted atomic.Int64
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				began := time.Now()
				leave, err := l.enter(t.Context(), address, fmt.Sprint("b", i))
				took := time.Since(began)
				switch {
				case err != nil && (identity.KindOf(err) != identity.Throttled || took > 0):
					t.Errorf("after %v: %v", took, err)
				case err == nil:
					admitted.Add(1)
					leave(false)
				}
				if took > 1500*time.Millisecond {
					t.Errorf("a turn after %v", took)
				}
			})
		}
		all.Wait()
		if n := admitted.Load(); n < spareBurst+14 || n > spareBurst+16 {
			t.Errorf("%d had a turn", n)
		}
	})
}

// T7 over HTTP: the answer is 429, KD-121, and nothing is asked.
func TestTooManyTries(t *testing.T) {
	h := newHouse(t, func(cfg *Config) { cfg.Limits = Limits{PerAddress: 0.001, AddressSize: 3} })
	b := h.browser(t)
	last := answer{}
	for i := range 5 {
		last = b.post(b.form(b.open("/launch/kingdee"), fmt.Sprintf("bad-%d", i)))
	}
	if last.StatusCode != 429 || !strings.Contains(last.text, "KD-121") || len(h.dingtalk.called()) != 3 {
		t.Errorf("%d, exchanges %v", last.StatusCode, h.dingtalk.called())
	}
}

// T118: failures of one address leave records at a bounded rate, and none is
// forgotten: the next record counts those that were left out.
func TestFloodOfRecords(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	for range 300 {
		b.post(url.Values{"state": {"x"}, "code": {"x"}})
	}
	before := len(h.audit.of(audit.ActionSignIn))
	h.clock.Advance(time.Minute)
	b.post(url.Values{"state": {"x"}, "code": {"x"}})
	records := h.audit.of(audit.ActionSignIn)
	if before >= 200 || len(records) != before+1 {
		t.Fatalf("%d records, then %d", before, len(records))
	}
	total := len(records)
	for _, e := range records {
		n, _ := strconv.Atoi(e.Detail[audit.LeftOut])
		total += n
	}
	if total != 301 {
		t.Errorf("%d failures are accounted for", total)
	}
}

// T118: somebody who is refused and asks again and again leaves few records; what
// another person is refused, and what they are refused for another reason, has its own.
func TestFloodOfRefusedLaunches(t *testing.T) {
	h := newHouse(t)
	h.gateway.tarpit = nil // it slows floods down, whoever they name
	b, other := h.browser(t), h.browser(t)
	b.signIn("u1")
	other.signIn("u2")
	signedIn := len(h.audit.of(audit.ActionMint))
	h.chain.faults["u1"] = identity.Fail(identity.NotFound, identity.CodeNotMapped, "not mapped")
	h.chain.faults["u2"] = h.chain.faults["u1"]
	const tries = 200
	for range tries {
		if a := b.get("/launch/kingdee"); a.StatusCode != 403 {
			t.Fatalf("%d", a.StatusCode)
		}
	}
	flood := len(h.audit.of(audit.ActionMint)) - signedIn
	other.get("/launch/kingdee")
	h.chain.faults["u1"] = identity.Fail(identity.Forbidden, identity.CodeUserForbidden, "forbidden")
	b.get("/launch/kingdee")
	if all := len(h.audit.of(audit.ActionMint)) - signedIn; flood > 100 || all != flood+2 {
		t.Errorf("%d records of the flood, %d of all", flood, all)
	}
	for _, e := range h.audit.damper.Rest() {
		left, _ := strconv.Atoi(e.Detail[audit.LeftOut])
		flood += 1 + left
	}
	if flood != tries {
		t.Errorf("%d of %d are accounted for", flood, tries)
	}
}

// T7: sign-ins that succeed are never charged for: an office behind one address.
func TestOfficeAtNine(t *testing.T) {
	h := newHouse(t, func(cfg *Config) { cfg.Limits = Limits{PerAddress: 0.001, AddressSize: 3} })
	for i := range 30 {
		h.browser(t).signIn(fmt.Sprintf("u%d", i))
	}
	if h.sessions.count() != 30 {
		t.Errorf("%d sessions", h.sessions.count())
	}
}

// R2, F92: more at once than can be in flight is a queue, not a refusal: the
// page is told to post the same again, the code is not used up, and it then works.
func TestQueueAtNine(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	form := b.form(b.open("/launch/kingdee"), "auth-1")
	l := h.gateway.limiter
	l.slots = make(chan struct{}) // nobody may be in flight
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.enter(ctx, mustAddr("192.0.2.1"), "b"); identity.CodeOf(err) != identity.CodeTooManyTries {
		t.Fatalf("full: %v", err)
	}
	h.gateway.limiter = newLimiter(Limits{Global: 0.2, GlobalSize: 1}.withDefaults(), h.clock.Now)
	leave, err := h.gateway.limiter.enter(t.Context(), mustAddr("127.0.0.1"), "b")
	if err != nil {
		t.Fatal(err)
	}
	leave(false) // the one exchange that there is for now
	a := b.post(form, "Accept", "application/json")
	if a.StatusCode != 429 || !strings.Contains(a.text, `"retry":"5"`) || a.Header.Get("Retry-After") != "5" || len(h.dingtalk.called()) != 0 {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	h.clock.Advance(10 * time.Second)
	if a := b.post(form, "Accept", "application/json"); a.StatusCode != 200 {
		t.Errorf("later: %d %s", a.StatusCode, a.text)
	}
}

// T7: one bad client behind an address stops itself, and the people beside it
// still get in.
func TestBadNeighbour(t *testing.T) {
	h := newHouse(t, func(cfg *Config) { cfg.Limits = Limits{PerAddress: 0.001, AddressSize: 8} })
	bad := h.browser(t)
	for i := range 40 {
		bad.post(bad.form(bad.open("/launch/kingdee"), fmt.Sprintf("never-issued-%d", i)))
	}
	if n := len(h.dingtalk.called()); n != browserTries {
		t.Errorf("%d codes of one browser reached DingTalk, want %d", n, browserTries)
	}
	for i := range 20 { // as many bad browsers as use up what the address has
		b := h.browser(t)
		b.post(b.form(b.open("/launch/kingdee"), fmt.Sprintf("other-%d", i)))
	}
	h.browser(t).signIn("zhang1")
	if h.sessions.count() != 1 {
		t.Errorf("%d sessions: a neighbour is locked out", h.sessions.count())
	}
	h.clock.Advance(browserMemory)
	before := len(h.dingtalk.called())
	bad.post(bad.form(bad.open("/launch/kingdee"), "never-issued-again"))
	if len(h.dingtalk.called()) != before+1 {
		t.Error("a browser is never forgiven")
	}
}

// T7: the table of addresses is bounded, and forgets who owes nothing.
func TestLimiterTable(t *testing.T) {
	now := time.Unix(1_700_000_000, 0) // stands: the first addresses are forgiven a second after
	l := newLimiter(Limits{Global: 1 << 20, GlobalSize: 1 << 20}.withDefaults(), func() time.Time { return now })
	for i := range maxAddresses + 50 {
		leave, err := l.enter(t.Context(), mustAddr(fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff)), fmt.Sprint("b", i))
		if err != nil {
			t.Fatal(err)
		}
		leave(true)
	}
	if len(l.table) != maxAddresses {
		t.Errorf("%d addresses", len(l.table))
	}
	now = now.Add(time.Hour)
	leave, err := l.enter(t.Context(), mustAddr("192.0.2.1"), "b")
	if err != nil {
		t.Fatal(err)
	}
	leave(false)
	if len(l.table) != 1 {
		t.Errorf("%d addresses after an hour", len(l.table))
	}
}
