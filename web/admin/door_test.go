package admin_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/web/admin"
)

// T14: a DingTalk session alone opens nothing; a fresh one and a click do.
func TestEnteringNeedsAFreshProofAndAClick(t *testing.T) {
	h := newHouse(t)
	b := h.browser().prove("manager01")
	if a := b.get("/admin/"); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/admin/enter?next=%2Fadmin%2F" {
		t.Fatalf("without a click: %d %s", a.StatusCode, a.Header.Get("Location"))
	}
	b.get("/admin/enter").has(t, http.StatusOK, `id="enter"`)
	h.clock.Advance(6 * time.Minute)
	b.get("/admin/enter").has(t, http.StatusOK, `id="fresh"`)
	b.post("/admin/enter").has(t, http.StatusForbidden, "KD-603")
	b.prove("manager01")
	if a := b.post("/admin/enter", "next", "/admin/mapping"); a.Header.Get("Location") != "/admin/mapping" {
		t.Fatalf("after a fresh proof: %d %s", a.StatusCode, a.Header.Get("Location"))
	}
	b.get("/admin/").has(t, http.StatusOK, "Overview")
	entered := h.records(admin.ActionConsoleEnter)
	if len(entered) != 2 || entered[0].Outcome != audit.OK || entered[0].Actor != "dingcorp1/manager01" || entered[1].Outcome != audit.Refused || entered[1].Reason != "KD-603" {
		t.Errorf("records %+v", entered)
	}
}

// T58: nobody is sent elsewhere by a door.
func TestDoorsLeadNowhereElse(t *testing.T) {
	h := newHouse(t)
	for _, next := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "/admin/../launch/live", "/launch/live", "/admin/%2e%2e/x", "/admin/enter", "javascript:alert(1)", "/admin/\r\nX: y", "/admin/api/v1/runs"} {
		b := h.browser().prove("manager01")
		if a := b.post("/admin/enter", "next", next); a.Header.Get("Location") != "/admin/" {
			t.Errorf("%q leads to %q", next, a.Header.Get("Location"))
		}
	}
}

// T40, T43, T45: whatever ends the person's session or role ends the console's
// with it, and a leaver is no administrator.
func TestConsoleEndsWithThePerson(t *testing.T) {
	barred := false
	var mu sync.Mutex
	h := newHouse(t, func(cfg *admin.Config) {
		cfg.Barred = func(_ context.Context, who identity.Subject) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return barred && who.UserID == "manager01", nil
		}
	})
	b, other := h.enter("manager01"), h.enter("manager02")
	mu.Lock()
	barred = true
	mu.Unlock()
	b.get("/admin/mapping").has(t, http.StatusForbidden, "KD-601")
	if _, err := h.sessions.EndAll(t.Context(), subject("manager02")); err != nil {
		t.Fatal(err)
	}
	if a := other.get("/admin/mapping"); !strings.HasPrefix(a.Header.Get("Location"), "/admin/enter") {
		t.Errorf("after the session ended: %d", a.StatusCode)
	}
	other.get("/admin/api/v1/runs").has(t, http.StatusUnauthorized, "KD-602")
}

// T44: an overview that refreshes itself keeps nobody signed in; use does.
func TestIdleEnd(t *testing.T) {
	h := newHouse(t)
	b, c := h.enter("manager01"), h.enter("manager02")
	for range 5 {
		h.clock.Advance(10 * time.Minute)
		b.do(http.MethodGet, "/admin/overview/live", nil, "HX-Request", "true")
		c.get("/admin/").has(t, http.StatusOK)
	}
	if a := b.do(http.MethodGet, "/admin/overview/live", nil, "HX-Request", "true"); a.StatusCode != http.StatusUnauthorized || a.Header.Get("HX-Redirect") != "/admin/enter" {
		t.Errorf("after 50 minutes of refreshing: %d %v", a.StatusCode, a.Header)
	}
	h.clock.Advance(8 * time.Hour)
	if a := c.get("/admin/"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("past the absolute end: %d", a.StatusCode)
	}
}

// T37, T38, T39: the cookie is new at each entry, the old one is dead, and odd ones are nobody.
func TestConsoleCookie(t *testing.T) {
	h := newHouse(t)
	b := h.enter("manager01")
	const name = "__Host-kdgate-admin"
	old := b.cookies[name]
	if len(old) != 43 {
		t.Fatalf("cookie %q", old)
	}
	if a := b.post("/admin/enter"); a.StatusCode != http.StatusSeeOther || b.cookies[name] == old {
		t.Error("the id did not change")
	}
	good := b.cookies[name]
	for what, value := range map[string]string{
		"the old one": old, "shorter": good[:42], "longer": good + "A", "padded": good + "=", "two": good + "; " + name + "=" + good, "none": "",
	} {
		b.cookies[name] = value
		if a := b.get("/admin/"); a.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %d", what, a.StatusCode)
		}
	}
	delete(b.cookies, name)
	for _, odd := range []string{"\u2000" + name, "\u00a0" + name, name + "\u3000", name + " ", "__HOST-kdgate-admin"} { // past the prefix
		b.cookies[odd] = good
		if a := b.get("/admin/"); a.StatusCode != http.StatusSeeOther {
			t.Errorf("%q: %d", odd, a.StatusCode)
		}
		delete(b.cookies, odd)
	}
	b.cookies[name] = good
	b.post("/admin/leave")
	b.cookies[name] = good
	if a := b.get("/admin/"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("after leaving: %d", a.StatusCode)
	}
}

// T101: a post from elsewhere does nothing.
func TestCrossOrigin(t *testing.T) {
	h := newHouse(t)
	b := h.enter("manager01")
	h.row("1001", "1001")
	for _, path := range []string{"/admin/leave", "/admin/mapping/row/suspend"} {
		a := b.do(http.MethodPost, path, strings.NewReader("data_centre=live&corp=dingcorp1&userid=1001&version=1"),
			"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
		a.has(t, http.StatusForbidden, "KD-300")
	}
	b.get("/admin/mapping").has(t, http.StatusOK)
	if e, err := h.table.Get(t.Context(), key("1001")); err != nil || e.Status != "active" {
		t.Errorf("%s %v", e.Status, err)
	}
}

// T101: no act of the console, by form or JSON, is anybody's who came from
// elsewhere, whoever is signed in; and what takes JSON takes nothing that a form
// of another site could send.
func TestEveryActIsOfOurOwnPages(t *testing.T) {
	h := newHouse(t)
	b := h.enter("manager01")
	acts := 0
	for _, route := range h.console.Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		if method == http.MethodGet {
			continue
		}
		acts++
		path = placeholder.ReplaceAllString(strings.TrimSuffix(path, "{$}"), "x")
		kind, body := "application/x-www-form-urlencoded", "x=1"
		if route.Body != nil {
			kind, body = "application/json", "{}"
		}
		for _, headers := range [][]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "", "Origin", "https://evil.example"}, {"Sec-Fetch-Site", "", "Origin", "null"},
		} {
			a := b.do(method, path, strings.NewReader(body), append(headers, "Content-Type", kind)...)
			if a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "KD-300") {
				t.Errorf("%s with %q: %d", route.Pattern, headers, a.StatusCode)
			}
		}
		if route.Body == nil {
			// Files have media types of their own; to take something away says no more than its address.
			if strings.HasPrefix(path, "/admin/api/") && method != http.MethodDelete && !strings.HasSuffix(path, "/import") && !strings.HasSuffix(path, "/imports") {
				t.Errorf("%s does not say that its body is JSON", route.Pattern)
			}
			continue
		}
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""} {
			if a := b.do(method, path, strings.NewReader(body), "Content-Type", kind); a.StatusCode != http.StatusUnsupportedMediaType {
				t.Errorf("%s takes %q: %d %s", route.Pattern, kind, a.StatusCode, a.body)
			}
		}
	}
	if acts < 30 {
		t.Errorf("only %d acts", acts)
	}
	if moved := h.records(admin.ActionConsoleLeave); len(moved) != 0 {
		t.Error("somebody was made to leave")
	}
}

// T114: nothing in the console changes or removes what is on record; its only
// acts are to have the log proven.
func TestNobodyChangesTheLog(t *testing.T) {
	h := newHouse(t)
	allowed := map[string]bool{"POST /admin/audit/proof": true, "POST /admin/audit/verify": true, "POST /admin/api/v1/audit/verify": true}
	seen := 0
	for _, route := range h.console.Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		if !strings.Contains(path, "/audit") && !strings.Contains(path, "/review") {
			continue
		}
		seen++
		if method != http.MethodGet && !allowed[route.Pattern] {
			t.Errorf("%s acts on the log", route.Pattern)
		}
	}
	if seen < 5 {
		t.Errorf("only %d routes about the log", seen)
	}
	b := h.enter("manager01")
	for _, method := range []string{http.MethodDelete, http.MethodPut, http.MethodPatch, http.MethodPost} {
		for _, path := range []string{"/admin/audit", "/admin/audit/record", "/admin/api/v1/audit", "/admin/api/v1/audit/1"} {
			if a := b.do(method, path, nil); a.StatusCode != http.StatusMethodNotAllowed && a.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, path, a.StatusCode)
			}
		}
	}
}

// T107: the list of addresses uses the client's address, not what it says of itself.
func TestAddressList(t *testing.T) {
	h := newHouse(t, func(cfg *admin.Config) { cfg.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	b := h.browser()
	for _, headers := range [][]string{nil, {"X-Forwarded-For", "10.0.0.1"}, {"Forwarded", "for=10.0.0.1"}, {"X-Real-Ip", "10.0.0.1"}} {
		b.do(http.MethodGet, "/admin/enter", nil, headers...).has(t, http.StatusNotFound)
	}
	near := newHouse(t, func(cfg *admin.Config) {
		cfg.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	near.browser().get("/admin/enter").has(t, http.StatusOK)
}

// T106: the one-time secret is in a file of mode 0600, works once, and opens
// nothing but a password of one's own, which ends every session of the old one.
func TestBreakGlass(t *testing.T) {
	h := newHouse(t)
	info, err := os.Stat(h.secret)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	secret := h.oneTimeSecret()
	b := h.browser()
	if a := b.post("/admin/breakglass", "account", "breakglass", "password", secret); a.Header.Get("Location") != "/admin/password" {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if _, err := os.Stat(h.secret); !errors.Is(err, os.ErrNotExist) {
		t.Error("the used secret is still in its file")
	}
	b.get("/admin/mapping").has(t, http.StatusForbidden, "KD-603")
	h.browser().post("/admin/breakglass", "account", "breakglass", "password", secret).has(t, http.StatusUnauthorized, "KD-607")
	for _, bad := range [][2]string{{"short", "short"}, {"a password that is long", "another"}} {
		b.post("/admin/password", "password", bad[0], "again", bad[1]).has(t, http.StatusBadRequest, `id="reason"`)
	}
	stolen := b.cookies["__Host-kdgate-admin"]
	const password = "correct horse battery staple"
	if a := b.post("/admin/password", "password", password, "again", password); a.Header.Get("Location") != "/admin/" {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	b.get("/admin/mapping").has(t, http.StatusOK, "emergency account")
	old := h.browser()
	old.cookies["__Host-kdgate-admin"] = stolen
	if a := old.get("/admin/mapping"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("a session of the old secret: %d", a.StatusCode)
	}
	used := h.records(audit.ActionBreakGlassEnter)
	if len(used) != 2 || used[0].Outcome != audit.Refused || used[1].Outcome != audit.OK || used[1].Actor != "breakglass:breakglass" {
		t.Errorf("records %+v", used)
	}
	if log := h.logged.String(); strings.Contains(log, secret) || strings.Contains(log, password) {
		t.Error("a secret is in the log")
	}
}

// allocated is what the process has ever asked for, in bytes.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// T126, T106: a one-time secret is written to a file of its owner's alone,
// whatever was put in its way: a link, or a file that others may read.
func TestOneTimeSecretIsPrivate(t *testing.T) {
	h := newHouse(t)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	for name, prepare := range map[string]func(path string) error{
		"link": func(path string) error { return os.Symlink(elsewhere, path) },
		"open": func(path string) error { return os.WriteFile(path, nil, 0o666) },
	} {
		must(t, prepare(h.secret+".new"))
		must(t, admin.ResetBreakGlass(t.Context(), h.cfg, "cli:test"))
		info, err := os.Lstat(h.secret)
		must(t, err)
		if info.Mode() != 0o600 {
			t.Errorf("%s: mode %v", name, info.Mode())
		}
		if _, err := os.Stat(elsewhere); err == nil {
			t.Errorf("%s: written elsewhere", name)
		}
		if h.oneTimeSecret() == "" {
			t.Errorf("%s: no secret", name)
		}
	}
}

// T8, T127: a wrong name is refused like a wrong password, in words and in work:
// the password is hashed all the same. The hash is told by the memory that it
// fills, which unlike its time is the same on a busy machine.
func TestBreakGlassTellsNoName(t *testing.T) {
	h, _ := owned(t)
	tries := map[string][2]string{"wrong password": {"breakglass", "wrong"}, "wrong name": {"root", "wrong"}, "nothing": {"", ""}, "long": {"breakglass", strings.Repeat("x", 5000)}}
	least, pages := map[string]uint64{}, map[string]string{}
	for range 3 {
		for name, try := range tries {
			h.clock.Advance(16 * time.Minute) // a window for each
			b := h.browser()
			before := allocated()
			a := b.post("/admin/breakglass", "account", try[0], "password", try[1])
			filled := allocated() - before
			a.has(t, http.StatusUnauthorized, "KD-607")
			if known, ok := least[name]; !ok || filled < known {
				least[name] = filled
			}
			pages[name] = a.body
		}
	}
	for name, filled := range least {
		if filled < least["wrong password"]/2 {
			t.Errorf("%s: %d bytes filled, by a wrong password %d", name, filled, least["wrong password"])
		}
		if len(pages[name]) != len(pages["wrong password"]) {
			t.Errorf("%s: a page of %d bytes, of a wrong password %d", name, len(pages[name]), len(pages["wrong password"]))
		}
	}
}
