package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
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

// T1: the code is the same at the other door and for another organisation: it
// goes upstream once, and the other door gives the browser what the first one did.
func TestOneCodeAtBothDoors(t *testing.T) {
	h := newHouse(t)
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	b := h.browser(t)
	client, callback := b.form(b.open("/launch/kingdee"), "auth-1"), b.open("/launch/kingdee").field(t, "state")
	if a := b.post(client); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("client door: %d", a.StatusCode)
	}
	if a := b.get("/signin/dingtalk/callback?code=auth-1&state=" + callback); a.StatusCode != http.StatusSeeOther || a.location() != "/launch/kingdee" {
		t.Errorf("browser door: %d %q", a.StatusCode, a.location())
	}
	other := h.browser(t)
	if a := other.post(other.form(other.open("/launch/kingdee?corpId="+corpTwo), "auth-1")); a.StatusCode != http.StatusUnauthorized || len(a.Cookies()) != 0 {
		t.Errorf("another organisation: %d", a.StatusCode)
	}
	if got := h.dingtalk.called(); len(got) != 1 || h.sessions.count() != 1 {
		t.Errorf("exchanges %v, %d sessions", got, h.sessions.count())
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
		"two foreign words":   {nil, []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://evil.example"}, 403, identity.CodeBadRequest},
		"without TLS":         {nil, []string{"Sec-Fetch-Site", "", "Origin", "http://HOST"}, 403, identity.CodeBadRequest},
		"origin with a path":  {nil, []string{"Sec-Fetch-Site", "", "Origin", "https://HOST/x"}, 403, identity.CodeBadRequest},
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
		"a broken cookie too": {nil, []string{"Cookie", browserCookie + "=COOKIE; " + browserCookie + `="a\b"`}, 401, identity.CodeSignInExpired},
		"cookie in quotes":    {nil, []string{"Cookie", browserCookie + `="COOKIE"`}, 401, identity.CodeSignInExpired},
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
			for i := range headers {
				headers[i] = strings.ReplaceAll(headers[i], "HOST", strings.TrimPrefix(h.URL, "https://"))
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

// T40: a person is proven as of the question, however long DingTalk took to
// answer: what ended their sessions meanwhile is newer.
func TestProvenWhenAsked(t *testing.T) {
	const answering = time.Minute
	for name, saysWhen := range map[string]bool{"without a time": false, "with the time of the answer": true} {
		h := newHouse(t)
		h.dingtalk.give("auth-1", corpOne, "zhang1")
		if saysWhen {
			who := h.dingtalk.codes["auth-1"]
			who.At = h.clock.Now().Add(answering)
			h.dingtalk.codes["auth-1"] = who
		}
		h.dingtalk.hook = func(context.Context, string) error { h.clock.Advance(answering); return nil }
		b := h.browser(t)
		form := b.form(b.open("/launch/kingdee"), "auth-1")
		if a := b.post(form); a.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", name, a.StatusCode, a.text)
		}
		for _, session := range h.sessions.open {
			if took := h.clock.Now().Sub(session.At); took < answering || took > answering+answering/2 {
				t.Errorf("%s: proven %v before the answer", name, took)
			}
		}
		if len(h.sessions.open) != 1 {
			t.Errorf("%s: %d sessions", name, len(h.sessions.open))
		}
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
	h.clock.Advance(4*time.Minute + 50*time.Second)
	first := b.post(form)
	h.clock.Advance(4*time.Minute + 50*time.Second)
	if a := b.post(form); first.StatusCode != 303 || a.StatusCode != 303 || h.sessions.count() != 1 {
		t.Errorf("first %d, repeat %d, sessions %d", first.StatusCode, a.StatusCode, h.sessions.count())
	}
	h.clock.Advance(20 * time.Second)
	if a := b.post(form); a.StatusCode != 401 || !strings.Contains(a.text, "KD-101") {
		t.Errorf("after five minutes: %d", a.StatusCode)
	}
	form = b.form(b.openAs(b, "/launch/kingdee"), "auth-1")
	if a := b.post(form); a.StatusCode != 401 || len(h.dingtalk.called()) != 1 {
		t.Errorf("used code on a new state: %d, exchanges %v", a.StatusCode, h.dingtalk.called())
	}
	form = b.form(b.open("/launch/kingdee"), "auth-2")
	h.clock.Advance(5*time.Minute + time.Second)
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

// TestFailedSignInSaysWhen proves R18 and R20: a sign-in that failed for now only
// tells when to come again, to the page, to its script and when the page is
// loaded anew; one that is refused does not.
func TestFailedSignInSaysWhen(t *testing.T) {
	for code, want := range map[identity.Code]string{identity.CodeDingTalkBusy: "5", identity.CodeAuthCodeRefused: ""} {
		kind := map[identity.Code]identity.Kind{identity.CodeDingTalkBusy: identity.Throttled, identity.CodeAuthCodeRefused: identity.Unauthenticated}[code]
		h := newHouse(t)
		h.dingtalk.hook = func(context.Context, string) error { return identity.Fail(kind, code, "for the test") }
		b := h.browser(t)
		a := b.post(b.form(b.open("/launch/kingdee"), "auth-1"))
		if got := a.Header.Get("Retry-After"); got != want || !strings.Contains(a.text, string(code)) {
			t.Errorf("%s: page %d, Retry-After %q", code, a.StatusCode, got)
		}
		c := h.browser(t)
		a = c.post(c.form(c.open("/launch/kingdee"), "auth-2"), "Accept", "application/json")
		if got := a.Header.Get("Retry-After"); got != want {
			t.Errorf("%s: script %d, Retry-After %q", code, a.StatusCode, got)
		}
		var told struct{ Location string }
		if err := json.Unmarshal([]byte(a.text), &told); err != nil {
			t.Fatal(err)
		}
		if again := c.get(told.Location); again.Header.Get("Retry-After") != want {
			t.Errorf("%s: shown again %d, Retry-After %q", code, again.StatusCode, again.Header.Get("Retry-After"))
		}
	}
}
