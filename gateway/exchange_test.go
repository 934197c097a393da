package gateway

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// T1, F4: a hundred posts of one code at once are one exchange, one session,
// one record, and all of them succeed: they are one browser's double taps.
func TestHundredPostsOfOneCode(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	form := b.form(b.open("/launch/kingdee"), "auth-1")
	answers := together(100, func() answer { return b.post(form) })
	cookies := map[string]bool{}
	for _, a := range answers {
		if a.StatusCode != 303 || a.location() != "/launch/kingdee" {
			t.Fatalf("%d %q %s", a.StatusCode, a.location(), a.text)
		}
		for _, c := range a.Cookies() {
			cookies[c.Name+"="+c.Value] = true
		}
	}
	if got := h.dingtalk.called(); len(got) != 1 || h.sessions.count() != 1 || len(cookies) != 1 {
		t.Errorf("%d exchanges, %d sessions, %d cookies", len(got), h.sessions.count(), len(cookies))
	}
	if got := h.audit.of(audit.ActionSignIn); len(got) != 1 || got[0].Outcome != audit.OK {
		t.Errorf("records %+v", got)
	}
}

// T1: the same code from a hundred browsers, each with a state of its own: one
// of them gets the session, nobody else gets anything.
func TestOneCodeFromManyBrowsers(t *testing.T) {
	h := newHouse(t)
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	type tab struct {
		b    *browser
		form url.Values
	}
	tabs := make(chan tab, 100)
	for range cap(tabs) {
		b := h.browser(t)
		tabs <- tab{b, b.form(b.open("/launch/kingdee"), "auth-1")}
	}
	won := 0
	for _, a := range together(cap(tabs), func() answer { tab := <-tabs; return tab.b.post(tab.form) }) {
		if a.StatusCode == 303 {
			won++
			continue
		}
		if a.StatusCode != 401 || !strings.Contains(a.text, "KD-102") || len(a.Cookies()) != 0 {
			t.Errorf("loser: %d %v", a.StatusCode, a.Cookies())
		}
	}
	if won != 1 || len(h.dingtalk.called()) != 1 || h.sessions.count() != 1 {
		t.Errorf("%d won, %d exchanges, %d sessions", won, len(h.dingtalk.called()), h.sessions.count())
	}
}

func together(n int, do func() answer) []answer {
	answers, start := make([]answer, n), make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { <-start; answers[i] = do() })
	}
	close(start)
	all.Wait()
	return answers
}

// T2, T9, T10, T12: what a post must hold, one thing broken at a time.
func TestPostRefusals(t *testing.T) {
	tests := map[string]struct {
		change  func(url.Values)
		headers []string
		status  int
		code    identity.Code
	}{
		"cross-site":          {nil, []string{"Sec-Fetch-Site", "cross-site"}, 403, identity.CodeBadRequest},
		"same-site":           {nil, []string{"Sec-Fetch-Site", "same-site"}, 403, identity.CodeBadRequest},
		"foreign origin":      {nil, []string{"Sec-Fetch-Site", "", "Origin", "https://evil.example"}, 403, identity.CodeBadRequest},
		"null origin":         {nil, []string{"Sec-Fetch-Site", "", "Origin", "null"}, 403, identity.CodeBadRequest},
		"no nonce":            {func(v url.Values) { v.Del("nonce") }, nil, 401, identity.CodeSignInExpired},
		"wrong nonce":         {func(v url.Values) { v.Set("nonce", strings.Repeat("A", 43)) }, nil, 401, identity.CodeSignInExpired},
		"no state":            {func(v url.Values) { v.Del("state") }, nil, 401, identity.CodeSignInExpired},
		"made-up state":       {func(v url.Values) { v.Set("state", strings.Repeat("A", 43)) }, nil, 401, identity.CodeSignInExpired},
		"state twice":         {func(v url.Values) { v.Add("state", "x") }, nil, 400, identity.CodeBadRequest},
		"code twice":          {func(v url.Values) { v.Add("code", "auth-2") }, nil, 400, identity.CodeBadRequest},
		"empty code":          {func(v url.Values) { v.Set("code", "") }, nil, 400, identity.CodeBadAuthCode},
		"long code":           {func(v url.Values) { v.Set("code", strings.Repeat("a", 513)) }, nil, 400, identity.CodeBadAuthCode},
		"code with NUL":       {func(v url.Values) { v.Set("code", "auth\x00") }, nil, 400, identity.CodeBadAuthCode},
		"code with CR LF":     {func(v url.Values) { v.Set("code", "auth\r\nX: y") }, nil, 400, identity.CodeBadAuthCode},
		"code not ASCII":      {func(v url.Values) { v.Set("code", "授权码") }, nil, 400, identity.CodeBadAuthCode},
		"no cookie":           {nil, []string{"Cookie", "x=y"}, 401, identity.CodeSignInExpired},
		"cookie twice":        {nil, []string{"Cookie", browserCookie + "=COOKIE; " + browserCookie + "=COOKIE"}, 401, identity.CodeSignInExpired},
		"cookie cut short":    {nil, []string{"Cookie", browserCookie + "=CUT"}, 401, identity.CodeSignInExpired},
		"cookie with padding": {nil, []string{"Cookie", browserCookie + "=COOKIE="}, 401, identity.CodeSignInExpired},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			b := h.browser(t)
			h.dingtalk.give("auth-1", corpOne, "zhang1")
			form := b.form(b.open("/launch/kingdee"), "auth-1")
			if test.change != nil {
				test.change(form)
			}
			headers := append([]string(nil), test.headers...)
			if len(headers) > 1 && headers[0] == "Cookie" {
				base, _ := url.Parse(h.URL)
				value := b.Jar.Cookies(base)[0].Value
				headers[1] = strings.NewReplacer("COOKIE", value, "CUT", value[:42]).Replace(headers[1])
				b.Jar = nil
			}
			a := b.post(form, headers...)
			if a.StatusCode != test.status || !strings.Contains(a.text, string(test.code)) {
				t.Errorf("%d %s", a.StatusCode, a.text)
			}
			if n := len(h.dingtalk.called()); n != 0 || h.sessions.count() != 0 {
				t.Errorf("%d exchanges, %d sessions", n, h.sessions.count())
			}
			records := h.audit.of(audit.ActionSignIn)
			if len(records) != 1 {
				t.Errorf("%d records", len(records))
			}
			for _, e := range records {
				if e.Outcome == audit.OK || e.Reason != string(test.code) || e.Source != "127.0.0.1" || e.RequestID == "" {
					t.Errorf("record %+v", e)
				}
			}
		})
	}
}

// T2: an attacker's own code and state, posted by a victim's browser, opens nothing.
func TestForeignState(t *testing.T) {
	h := newHouse(t)
	attacker, victim := h.browser(t), h.browser(t)
	h.dingtalk.give("auth-evil", corpOne, "mallory")
	form := attacker.form(attacker.open("/launch/kingdee"), "auth-evil")
	victim.open("/launch/kingdee")
	if a := victim.post(form); a.StatusCode != 401 || len(a.Cookies()) != 0 {
		t.Errorf("post: %d %v", a.StatusCode, a.Cookies())
	}
	a := victim.get("/signin/dingtalk/callback?code=auth-evil&state=" + form.Get("state"))
	if a.StatusCode != 303 || a.location() != "/signin?failed=KD-101" {
		t.Errorf("callback: %d %q", a.StatusCode, a.location())
	}
	a = victim.get("/signin?state=" + form.Get("state"))
	if a.StatusCode != 303 || strings.Contains(a.location(), form.Get("state")) {
		t.Errorf("page: %d %q", a.StatusCode, a.location())
	}
	if a := h.browser(t).get("/signin?state=" + form.Get("state")); a.StatusCode != 401 {
		t.Errorf("page without a cookie: %d %q", a.StatusCode, a.location()) // and not a redirect for ever
	}
	if len(h.dingtalk.called()) != 0 {
		t.Errorf("exchanges %v", h.dingtalk.called())
	}
}

// T10: nobody is who the request says they are.
func TestClientSuppliedIdentity(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	form := b.form(b.open("/launch/kingdee?userid=admin"), "auth-1")
	for _, name := range []string{"userid", "user", "corp", "username", "staff"} {
		form.Set(name, "admin")
	}
	b.post(form, "X-Staff-Id", "admin", "Remote-User", "admin", "X-Kd-User", "admin")
	a := b.get("/launch/kingdee?userid=admin&username=Administrator&formid=evil&pkid=1&permitcount=0", "Remote-User", "admin")
	if !strings.Contains(a.location(), "LINKCANARY-user-zhang1") || strings.Contains(a.location(), "evil") {
		t.Errorf("link %q", a.location())
	}
}

// T3, T4: an assertion of another organisation, or of nobody, opens nothing.
func TestForeignAssertion(t *testing.T) {
	for who, code := range map[identity.Subject]identity.Code{
		{Corp: corpTwo, UserID: "zhang1"}: identity.CodeForeignCorp,
		{Corp: "", UserID: "zhang1"}:      identity.CodeForeignCorp,
		{Corp: corpOne, UserID: ""}:       identity.CodeAuthCodeRefused,
	} {
		h := newHouse(t)
		b := h.browser(t)
		h.dingtalk.give("auth-1", who.Corp, who.UserID)
		a := b.post(b.form(b.open("/launch/kingdee"), "auth-1"))
		if a.StatusCode < 400 || !strings.Contains(a.text, string(code)) || h.sessions.count() != 0 {
			t.Errorf("%+v: %d", who, a.StatusCode)
		}
	}
}

// F12: the workbench's corpId chooses the organisation; anything else is the first.
func TestCorpOfThePlace(t *testing.T) {
	h := newHouse(t)
	for query, want := range map[string]string{
		"corpId=dingcorp2": corpTwo, "corpid=dingcorp2": corpTwo, "corpId=$CORPID$": corpOne, "corpId=dingunknown": corpOne,
		"corpId=DINGCORP2": corpOne, "corpId=%3Cscript%3E": corpOne, "": corpOne,
	} {
		page := h.browser(t).open("/launch/kingdee?" + query)
		if !strings.Contains(page.text, `data-corp="`+want+`"`) {
			t.Errorf("%s: want %s", query, want)
		}
	}
}

// T12: two tabs, each with its own state and code.
func TestTwoTabs(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	h.dingtalk.give("auth-2", corpOne, "zhang1")
	one, two := b.form(b.open("/launch/kingdee/expense/1"), "auth-1"), b.form(b.open("/launch/kingdee/expense/2"), "auth-2")
	if a := b.post(two); a.location() != "/launch/kingdee/expense/2" {
		t.Errorf("second tab: %d %q", a.StatusCode, a.location())
	}
	if a := b.post(one); a.location() != "/launch/kingdee/expense/1" {
		t.Errorf("first tab: %d %q", a.StatusCode, a.location())
	}
	one.Set("nonce", two.Get("nonce"))
	if a := b.post(one); a.StatusCode != 401 {
		t.Errorf("nonce of the other tab: %d", a.StatusCode)
	}
}

// T2, F4: one state carries one code; a reload of the page keeps it.
func TestStateIsUsedOnce(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	h.dingtalk.give("auth-2", corpOne, "zhang1")
	page := b.open("/launch/kingdee")
	again := b.get("/signin?state=" + page.field(t, "state"))
	if again.field(t, "nonce") != page.field(t, "nonce") {
		t.Error("a reload changed the nonce")
	}
	b.post(b.form(again, "auth-1"))
	a := b.post(b.form(page, "auth-2"))
	if a.StatusCode != 401 || len(h.dingtalk.called()) != 1 {
		t.Errorf("second code on one state: %d, exchanges %v", a.StatusCode, h.dingtalk.called())
	}
	if a := b.get("/signin?state=" + page.field(t, "state")); a.StatusCode != 303 || a.location() != "/launch/kingdee" {
		t.Errorf("back to the page with a session: %d %q", a.StatusCode, a.location())
	}
}

// F4, T2: five minutes for a state, and five for the same answer to the same browser.
func TestLifetimes(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	form := b.form(b.open("/launch/kingdee"), "auth-1")
	h.clock.advance(4*time.Minute + 50*time.Second)
	first := b.post(form)
	h.clock.advance(4*time.Minute + 50*time.Second)
	if a := b.post(form); first.StatusCode != 303 || a.StatusCode != 303 || h.sessions.count() != 1 {
		t.Errorf("first %d, repeat %d, sessions %d", first.StatusCode, a.StatusCode, h.sessions.count())
	}
	h.clock.advance(20 * time.Second)
	if a := b.post(form); a.StatusCode != 401 || !strings.Contains(a.text, "KD-101") {
		t.Errorf("after five minutes: %d", a.StatusCode)
	}
	form = b.form(b.openAs(b, "/launch/kingdee"), "auth-1")
	if a := b.post(form); a.StatusCode != 401 || len(h.dingtalk.called()) != 1 {
		t.Errorf("used code on a new state: %d, exchanges %v", a.StatusCode, h.dingtalk.called())
	}
	form = b.form(b.open("/launch/kingdee"), "auth-2")
	h.clock.advance(5*time.Minute + time.Second)
	if a := b.post(form); a.StatusCode != 401 || len(h.dingtalk.called()) != 1 {
		t.Errorf("old state: %d", a.StatusCode)
	}
}

// T38: after sign-out the same post opens nothing, although its outcome is remembered.
func TestRepeatAfterSignOut(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	form := b.form(b.open("/launch/kingdee"), "auth-1")
	b.post(form)
	b.do(http.MethodPost, "/signout", url.Values{})
	if a := b.post(form); a.StatusCode != 401 {
		t.Errorf("%d %q", a.StatusCode, a.location())
	}
	if a := b.get("/launch/kingdee"); !strings.HasPrefix(a.location(), "/signin?") {
		t.Errorf("launch: %q", a.location())
	}
}

// F4: a refused code stays refused, without asking again, and the page offers both ways on.
func TestRefusalIsRemembered(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	form := b.form(b.open("/launch/kingdee/stock"), "made-up")
	for range 3 {
		a := b.post(form)
		if a.StatusCode != 401 || !strings.Contains(a.text, "KD-102") || !strings.Contains(a.text, `data-auto="off"`) ||
			!strings.Contains(a.text, `href="/signin/dingtalk/oauth?state=`) {
			t.Fatalf("%d %s", a.StatusCode, a.text)
		}
	}
	if n := len(h.dingtalk.called()); n != 1 {
		t.Errorf("%d exchanges", n)
	}
	a := b.post(form)
	h.dingtalk.give("auth-2", corpOne, "zhang1")
	if a = b.post(b.form(a, "auth-2")); a.StatusCode != 303 || a.location() != "/launch/kingdee/stock" {
		t.Errorf("next try: %d %q", a.StatusCode, a.location())
	}
	if !h.counts.has("signin in-client failed user") {
		t.Errorf("counted %v", h.counts.lines)
	}
}

// R25: not knowing whether the code was used, the login starts again by itself,
// once; the code is never sent twice.
func TestAmbiguousExchange(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	down := identity.Fail(identity.Unavailable, identity.CodeDingTalkDown, "reset after sending")
	h.dingtalk.hook = func(context.Context, string) error { return down }
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	form := b.form(b.open("/launch/kingdee"), "auth-1")
	a := b.post(form)
	if a.StatusCode != 303 || !strings.HasPrefix(a.location(), "/signin?state=") {
		t.Fatalf("first failure: %d %q", a.StatusCode, a.location())
	}
	page := b.get(a.location())
	if page.StatusCode != 200 || !strings.Contains(page.text, `data-auto="on"`) || !strings.Contains(page.text, "KD-111") {
		t.Errorf("restart: %d %s", page.StatusCode, page.text)
	}
	a = b.post(b.form(page, "auth-2"))
	if a.StatusCode != 503 || !strings.Contains(a.text, `data-auto="off"`) || !strings.Contains(a.text, "KD-111") {
		t.Errorf("second failure: %d %s", a.StatusCode, a.text)
	}
	b.post(form) // a repeat asks nobody
	if got := h.dingtalk.called(); fmt.Sprint(got) != "[client auth-1 client auth-2]" {
		t.Errorf("exchanges %v", got)
	}
	h.dingtalk.hook = nil
	h.dingtalk.give("auth-3", corpOne, "zhang1")
	if a = b.post(b.form(a, "auth-3")); a.StatusCode != 303 || a.location() != "/launch/kingdee" {
		t.Errorf("after healing: %d %q", a.StatusCode, a.location())
	}
}

// F4: a double tap cancels the first request; its exchange goes on, and the
// second request gets its outcome.
func TestFirstRequestIsCancelled(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	form := b.form(b.open("/launch/kingdee"), "auth-1")
	inside, release := make(chan struct{}), make(chan struct{})
	h.dingtalk.hook = func(ctx context.Context, _ string) error {
		close(inside)
		<-release
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL+"/signin/dingtalk", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	gone := make(chan error, 1)
	go func() {
		resp, err := b.Do(r)
		if err == nil {
			resp.Body.Close()
		}
		gone <- err
	}()
	<-inside
	cancel()
	if err := <-gone; err == nil {
		t.Fatal("the first request was not cancelled")
	}
	second := make(chan answer, 1)
	go func() { second <- b.post(form) }()
	close(release)
	if a := <-second; a.StatusCode != 303 || len(h.dingtalk.called()) != 1 || h.sessions.count() != 1 {
		t.Errorf("%d, exchanges %v, sessions %d", a.StatusCode, h.dingtalk.called(), h.sessions.count())
	}
}

// R18, R25: a loser waits at most eight seconds; a claim whose winner died is
// abandoned, not exchanged again.
func TestWaitingForTheWinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(time.Now)
		c := &claims{store: m, now: time.Now}
		put := func(text string) {
			if err := m.Commit(t.Context(), store.Put("code/x", []byte(text))); err != nil {
				t.Fatal(err)
			}
		}
		pending := fmt.Sprintf(`{"browser":"b","random":"r","at":%q}`, time.Now().Format(time.RFC3339Nano))
		put(pending)
		began := time.Now()
		if _, err := c.await(t.Context(), "code/x", "b", 7*time.Second); identity.CodeOf(err) != identity.CodeDingTalkDown || time.Since(began) > waitLimit {
			t.Errorf("dead winner: %v after %v", err, time.Since(began))
		}
		began = time.Now()
		if _, err := c.await(t.Context(), "code/x", "b", 7*time.Second); identity.CodeOf(err) != identity.CodeDingTalkDown || time.Since(began) != 0 {
			t.Errorf("dead for long: %v after %v", err, time.Since(began))
		}
		if _, err := c.await(t.Context(), "code/x", "other", 7*time.Second); identity.CodeOf(err) != identity.CodeAuthCodeRefused {
			t.Errorf("other browser: %v", err)
		}
		put(fmt.Sprintf(`{"browser":"b","random":"r","at":%q}`, time.Now().Format(time.RFC3339Nano)))
		began = time.Now()
		time.AfterFunc(3*time.Second, func() {
			put(fmt.Sprintf(`{"browser":"b","random":"r","done":true,"at":%q,"who":{"Subject":{"Corp":"c","UserID":"u"}}}`, began.Format(time.RFC3339Nano)))
		})
		found, err := c.await(t.Context(), "code/x", "b", 7*time.Second)
		if err != nil || found.Who == nil || found.Who.Subject.UserID != "u" || time.Since(began) != 3*time.Second {
			t.Errorf("slow winner: %+v %v after %v", found, err, time.Since(began))
		}
		m.down.Store(true)
		if _, err := c.await(t.Context(), "code/x", "b", time.Second); identity.CodeOf(err) != identity.CodeStoreDown {
			t.Errorf("store down: %v", err)
		}
		synctest.Wait()
	})
}

// R18: DingTalk that does not answer is an error within eight seconds, told as such.
func TestExchangeDeadline(t *testing.T) {
	h := newHouse(t, func(cfg *Config) { cfg.Limits.Exchange = 20 * time.Millisecond })
	b := h.browser(t)
	h.dingtalk.hook = func(ctx context.Context, _ string) error { <-ctx.Done(); return fmt.Errorf("call: %w", ctx.Err()) }
	a := b.post(b.form(b.open("/launch/kingdee"), "auth-1"), "Accept", "application/json")
	if a.StatusCode != 503 || !strings.Contains(a.text, "KD-111") || !strings.Contains(a.text, `"location":"/signin?state=`) {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if !h.counts.has("signin in-client failed dingtalk") {
		t.Errorf("counted %v", h.counts.lines)
	}
}

// T7: five thousand bad codes cost a bounded number of exchanges, and another
// address signs in meanwhile.
func TestFloodOfBadCodes(t *testing.T) {
	h := newHouse(t, func(cfg *Config) {
		cfg.Limits = Limits{PerAddress: 1, AddressSize: 20, Global: 1000, GlobalSize: 5000}
	})
	l := h.gateway.limiter
	refusedBefore := 0
	for range 5000 {
		leave, err := l.enter(t.Context(), mustAddr("198.51.100.7"))
		if err != nil {
			if identity.KindOf(err) != identity.Throttled {
				t.Fatal(err)
			}
			refusedBefore++
			continue
		}
		leave(true)
	}
	if asked := 5000 - refusedBefore; asked > 20+inFlight {
		t.Errorf("%d codes went upstream", asked)
	}
	leave, err := l.enter(t.Context(), mustAddr("198.51.100.8"))
	if err != nil {
		t.Fatalf("another address: %v", err)
	}
	leave(false)
	h.clock.advance(time.Minute)
	if leave, err = l.enter(t.Context(), mustAddr("198.51.100.7")); err != nil {
		t.Fatalf("the same address a minute later: %v", err)
	}
	leave(false)
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
	h.clock.advance(time.Minute)
	b.post(url.Values{"state": {"x"}, "code": {"x"}})
	records := h.audit.of(audit.ActionSignIn)
	if before >= 200 || len(records) != before+1 {
		t.Fatalf("%d records, then %d", before, len(records))
	}
	total := len(records)
	for _, e := range records {
		n, _ := strconv.Atoi(e.Detail["left_out"])
		total += n
	}
	if total != 301 {
		t.Errorf("%d failures are accounted for", total)
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

// T7: the table of addresses is bounded, and forgets who owes nothing.
func TestLimiterTable(t *testing.T) {
	c := &clock{}
	l := newLimiter(Limits{}.withDefaults(), c.now)
	l.limits.GlobalSize = 1 << 20
	l.global.SetBurst(1 << 20)
	l.global.SetLimit(1 << 20)
	for i := range maxAddresses + 50 {
		leave, err := l.enter(t.Context(), mustAddr(fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff)))
		if err != nil {
			t.Fatal(err)
		}
		leave(true)
	}
	if len(l.table) != maxAddresses {
		t.Errorf("%d addresses", len(l.table))
	}
	c.advance(time.Hour)
	leave, err := l.enter(t.Context(), mustAddr("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	leave(false)
	if len(l.table) != 1 {
		t.Errorf("%d addresses after an hour", len(l.table))
	}
}

// Store and audit failures close the door and are not taken for anything else.
func TestPeersDown(t *testing.T) {
	t.Run("store, before", func(t *testing.T) {
		h := newHouse(t)
		h.store.down.Store(true)
		if a := h.browser(t).get("/launch/kingdee"); a.StatusCode != 503 || !strings.Contains(a.text, "KD-501") {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
	})
	t.Run("store, at the post", func(t *testing.T) {
		h := newHouse(t)
		b := h.browser(t)
		form := b.form(b.open("/launch/kingdee"), "auth-1")
		h.store.down.Store(true)
		if a := b.post(form); a.StatusCode != 503 || !strings.Contains(a.text, "KD-501") || len(h.dingtalk.called()) != 0 {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
		if a := b.get("/signin/dingtalk/callback?code=x&state=" + form.Get("state")); a.StatusCode != 303 || a.location() != "/signin?failed=KD-501" {
			t.Errorf("callback: %d %q", a.StatusCode, a.location())
		}
	})
	t.Run("audit, at the sign-in (T111)", func(t *testing.T) {
		h := newHouse(t)
		b := h.browser(t)
		h.dingtalk.give("auth-1", corpOne, "zhang1")
		form := b.form(b.open("/launch/kingdee"), "auth-1")
		h.audit.break_(errBroken)
		if a := b.post(form); a.StatusCode != 503 || !strings.Contains(a.text, "KD-502") || h.sessions.count() != 0 {
			t.Errorf("%d, sessions %d", a.StatusCode, h.sessions.count())
		}
		h.audit.break_(nil)
		if a := b.post(form); a.StatusCode != 503 || h.sessions.count() != 0 {
			t.Errorf("a repeat opened a session without a record: %d", a.StatusCode)
		}
	})
}

// afterUnknown: a commit of unknown outcome is read, not repeated (store.Store).
func TestUnknownCommit(t *testing.T) {
	m := newMemory(time.Now)
	lossy := &lossyStore{memory: m}
	k := keys{secret: identity.NewSecret(strings.Repeat("k", 32))}
	st := &states{store: m, keys: k, now: time.Now, rand: zeros{}}
	browserID := identity.NewSecret(strings.Repeat("A", 43))
	open, err := st.create(t.Context(), browserID, signIn{Corp: corpOne})
	if err != nil {
		t.Fatal(err)
	}
	if open, err = st.load(t.Context(), open.id, browserID); err != nil {
		t.Fatal(err)
	}
	c := &claims{store: lossy, keys: k, now: time.Now, rand: zeros{}}
	if _, won, err := c.take(t.Context(), "code/x", open, st); err != nil || !won {
		t.Errorf("applied, answer lost: won %v, %v", won, err)
	}
	lossy.drop = true
	if _, won, err := c.take(t.Context(), "code/y", open, st); won || identity.CodeOf(err) != identity.CodeStoreDown {
		t.Errorf("not applied: won %v, %v", won, err)
	}
}

// lossyStore applies or drops a commit and says that it could not ask.
type lossyStore struct {
	*memory
	drop bool
}

func (l *lossyStore) Commit(ctx context.Context, ops ...store.Op) error {
	if !l.drop {
		if err := l.memory.Commit(ctx, ops...); err != nil {
			return err
		}
	}
	return store.ErrUnavailable
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
