package admin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/store"
	"kdgate/web/admin"
)

const ownPassword = "correct horse battery staple"

// try sends account and password from an address.
func (b *browser) try(peer, password string) answer {
	b.Helper()
	form := url.Values{"account": {"breakglass"}, "password": {password}}
	return b.do(http.MethodPost, "/admin/breakglass", strings.NewReader(form.Encode()),
		"Content-Type", "application/x-www-form-urlencoded", peerHeader, peer)
}

// owned is a house whose emergency account has a password, and the browser that set it.
func owned(t *testing.T) (*house, *browser) {
	t.Helper()
	h := newHouse(t)
	b := h.browser()
	b.try("198.51.100.1", h.oneTimeSecret()).leads(t, "/admin/password")
	b.post("/admin/password", "password", ownPassword, "again", ownPassword).leads(t, "/admin/")
	h.clock.Advance(time.Hour) // every count of this is over
	return h, b
}

func (a answer) leads(t *testing.T, to string) {
	t.Helper()
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != to {
		t.Fatalf("%d to %q, want %q\n%s", a.StatusCode, a.Header.Get("Location"), to, a.main())
	}
}

// stranger is the n-th address of strangers.
func stranger(n int) string { return fmt.Sprintf("203.0.113.%d", n) }

// guess has strangers guess until all of their tries are refused unjudged, and
// counts those that were judged.
func (h *house) guess(strangers int) (judged int) {
	h.Helper()
	for n := range strangers {
		for range 6 {
			switch a := h.browser().try(stranger(n), "wrong"); a.StatusCode {
			case http.StatusUnauthorized:
				judged++
			case http.StatusTooManyRequests:
			default:
				h.Fatalf("a guess: %d %s", a.StatusCode, a.main())
			}
		}
	}
	return judged
}

// T106: tries are counted in the store, at once and by every replica together;
// past the limit the right password does not help, and where nothing can be
// counted nobody comes in.
func TestBreakGlassLimiter(t *testing.T) {
	h := newHouse(t)
	secret := h.oneTimeSecret()
	b := h.browser()
	h.store.breakWith(store.ErrUnavailable)
	b.post("/admin/breakglass", "account", "breakglass", "password", secret).has(t, http.StatusServiceUnavailable, "KD-501")
	h.store.breakWith(nil)
	second, err := admin.New(h.cfg) // another replica
	must(t, err)
	replica := httptest.NewServer(from(h.sessions.Wrap(second)))
	t.Cleanup(replica.Close)
	other := *h
	other.Server = replica
	var group sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for i := range 12 {
		group.Go(func() {
			at := h
			if i%2 == 1 {
				at = &other
			}
			a := at.browser().try("203.0.113.9", "wrong")
			mu.Lock()
			defer mu.Unlock()
			statuses[a.StatusCode]++
		})
	}
	group.Wait()
	if statuses[http.StatusUnauthorized] > 5 || statuses[http.StatusUnauthorized]+statuses[http.StatusTooManyRequests] != 12 {
		t.Errorf("statuses %v", statuses)
	}
	for range 5 { // those that met another at the counter were not counted
		b.try("203.0.113.9", "wrong")
	}
	for _, at := range []*house{h, &other} {
		at.browser().try("203.0.113.9", secret).has(t, http.StatusTooManyRequests, "KD-121")
	}
	h.clock.Advance(16 * time.Minute)
	b.try("203.0.113.9", secret).leads(t, "/admin/password")
}

// T106: guesses from many addresses slow one another to a hundred an hour, on
// all replicas together, and lock out nobody who was in before or stands at the
// machine.
func TestStrangersLockNobodyOut(t *testing.T) {
	h, own := owned(t)
	if judged := h.guess(10); judged != 20 {
		t.Errorf("%d guesses at once, want 20", judged)
	}
	refused := h.browser().try(stranger(99), ownPassword)
	refused.has(t, http.StatusTooManyRequests, "KD-121", `id="held"`)
	if wait, err := strconv.Atoi(refused.Header.Get("Retry-After")); err != nil || wait < 1 || wait > 45 {
		t.Errorf("Retry-After %q", refused.Header.Get("Retry-After"))
	}
	own.post("/admin/leave")
	own.try(stranger(1), ownPassword).leads(t, "/admin/") // its address is used up, the browser is known
	h.browser().try("127.0.0.1", ownPassword).leads(t, "/admin/")
	h.browser().try("::1", ownPassword).leads(t, "/admin/")
	judged := 0
	for range 80 { // an hour
		h.clock.Advance(45 * time.Second)
		for n := range 20 {
			if a := h.browser().try(stranger(100+n), "wrong"); a.StatusCode == http.StatusUnauthorized {
				judged++
				break
			}
		}
	}
	if judged > 80 {
		t.Errorf("%d guesses were judged in an hour after the first 20", judged)
	}
}

// T106: four addresses cannot keep the account from somebody at a new address.
func TestFourAddressesDoNotHoldTheAccount(t *testing.T) {
	h, _ := owned(t)
	for window := range 3 {
		h.guess(4)
		h.clock.Advance(45 * time.Second)
		h.browser().try(fmt.Sprintf("192.0.2.%d", window), ownPassword).leads(t, "/admin/")
		h.clock.Advance(15 * time.Minute)
	}
}

// T106: a known browser has five tries of its own and no more; a token that the
// store does not have, or that comes twice, makes no browser known.
func TestKnownBrowser(t *testing.T) {
	h, own := owned(t)
	const name = "__Host-kdgate-known"
	token := own.cookies[name]
	own.post("/admin/leave")
	for n := range 6 {
		if a := own.try(stranger(n), "wrong"); (a.StatusCode == http.StatusTooManyRequests) != (n == 5) {
			t.Fatalf("try %d: %d", n, a.StatusCode)
		}
	}
	own.try(stranger(7), ownPassword).has(t, http.StatusTooManyRequests, "KD-121")
	h.clock.Advance(16 * time.Minute)
	own.try(stranger(7), ownPassword).leads(t, "/admin/")
	if own.cookies[name] == token {
		t.Error("the token did not change")
	}
	h.guess(10)
	for what, value := range map[string]string{
		"another": strings.Repeat("A", 43), "the old one": token, "two": own.cookies[name] + "; " + name + "=" + own.cookies[name], "none": "",
	} {
		b := h.browser()
		b.cookies[name] = value
		if a := b.try(stranger(98), ownPassword); a.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%s: %d", what, a.StatusCode)
		}
	}
	alone := h.browser()
	alone.cookies[name] = own.cookies[name]
	alone.get("/admin/mapping").leads(t, "/admin/enter?next=%2Fadmin%2Fmapping") // it proves nobody
	alone.try(stranger(98), ownPassword).leads(t, "/admin/")
}

// T106: who can run kdgate console reset is let in whatever strangers do, for an
// hour, and everybody's tries begin anew.
func TestResetLetsIn(t *testing.T) {
	h, own := owned(t)
	h.guess(10)
	for range 6 {
		h.browser().try("192.0.2.7", "wrong")
	}
	must(t, admin.ResetBreakGlass(t.Context(), h.cfg, "cli:root"))
	h.guess(10)
	for range 4 {
		h.browser().try("192.0.2.7", "wrong").has(t, http.StatusUnauthorized, "KD-607")
	}
	h.browser().try("192.0.2.7", h.oneTimeSecret()).leads(t, "/admin/password")
	own.try("198.51.100.1", ownPassword).has(t, http.StatusUnauthorized, "KD-607") // the old password is over
	must(t, admin.ResetBreakGlass(t.Context(), h.cfg, "cli:root"))
	h.clock.Advance(61 * time.Minute)
	h.guess(10)
	h.browser().try("192.0.2.8", h.oneTimeSecret()).has(t, http.StatusTooManyRequests, "KD-121")
}

// T106: whoever proves the secret gets their tries back, so that proving anew
// before dangerous acts locks nobody out.
func TestProvingGivesTriesBack(t *testing.T) {
	h, own := owned(t)
	for range 8 {
		own.try("198.51.100.1", ownPassword).leads(t, "/admin/")
	}
	b := h.browser()
	for range 3 {
		delete(b.cookies, "__Host-kdgate-known")
		for range 4 {
			b.try("192.0.2.1", "wrong").has(t, http.StatusUnauthorized, "KD-607")
		}
		b.try("192.0.2.1", ownPassword).leads(t, "/admin/")
	}
}

// T106: what is one machine or one household is one counter.
func TestOneHouseholdIsOneCounter(t *testing.T) {
	h, _ := owned(t)
	for _, same := range [][]string{
		{"2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::1"},
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"127.0.0.1", "127.9.9.9", "::1"},
	} {
		for n := range 6 {
			a := h.browser().try(same[n%len(same)], "wrong")
			if (a.StatusCode == http.StatusTooManyRequests) != (n == 5) {
				t.Errorf("%s: try %d: %d", same[n%len(same)], n, a.StatusCode)
			}
		}
	}
}

// T118: whoever hammers at the emergency account, or asks at the door without a
// role, leaves few records; each try is accounted for, and nobody else's record is left out.
func TestFloodAtTheDoor(t *testing.T) {
	const tries = 120
	h := newHouse(t)
	stranger, employee := h.browser(), h.browser().prove("1001")
	for range tries {
		if a := stranger.post("/admin/breakglass", "account", "breakglass", "password", "wrong"); a.StatusCode != http.StatusUnauthorized && a.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("%d", a.StatusCode)
		}
		employee.post("/admin/enter").has(t, http.StatusForbidden)
	}
	h.browser().prove("1002").post("/admin/enter").has(t, http.StatusForbidden)
	for _, action := range []audit.Action{audit.ActionBreakGlassEnter, admin.ActionConsoleEnter} {
		if n := len(h.records(action)); n < 20 || n > 40 {
			t.Errorf("%s: %d records of %d tries", action, n, tries)
		}
	}
	if n := len(h.records(admin.ActionConsoleEnter)); n != 21 {
		t.Errorf("%d records: somebody else's was left out", n)
	}
	must(t, h.log.Close()) // which tells the rest
	told, err := audit.OpenReader(t.Context(), h.auditDir)
	must(t, err)
	defer func() { must(t, told.Close()) }()
	for action, want := range map[audit.Action]int{audit.ActionBreakGlassEnter: tries, admin.ActionConsoleEnter: tries + 1} {
		total := 0
		found, err := told.Search(t.Context(), audit.Query{Action: action, Limit: 1000})
		must(t, err)
		for _, r := range found {
			n, _ := strconv.Atoi(r.Detail[audit.LeftOut])
			total += 1 + n
		}
		if total != want {
			t.Errorf("%s: %d of %d are accounted for", action, total, want)
		}
	}
}
