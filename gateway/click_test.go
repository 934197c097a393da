package gateway

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/identity"
)

// F1, F7, T28, T30: one click through the client door lands on the form that
// was asked for, with query and fragment carried through the login.
func TestClickInClient(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	page := b.open("/launch/kingdee/expense/100042?corpId=dingcorp1&x=1")
	form := b.form(page, "auth-1")
	form.Set("fragment", "#part=2")
	a := b.post(form)
	if want := "/launch/kingdee/expense/100042?corpId=dingcorp1&x=1#part=2"; a.StatusCode != 303 || a.location() != want {
		t.Fatalf("post: %d %q, want %q", a.StatusCode, a.location(), want)
	}
	a = b.get("/launch/kingdee/expense/100042?corpId=dingcorp1&x=1")
	link, err := url.Parse(a.location())
	if err != nil || a.StatusCode != 303 || link.Host != "live.kingdee.test" {
		t.Fatalf("launch: %d %q %v", a.StatusCode, a.location(), err)
	}
	if q := link.Query(); q.Get("ud") != "LINKCANARY-user-zhang1" || q.Get("form") != "ER_ExpReimbursement" || q.Get("type") != "bill" || q.Get("pk") != "100042" {
		t.Errorf("link is %v", q)
	}
	if a.text != "" || a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the link's answer: body %q, %v", a.text, a.Header)
	}
	if got := h.dingtalk.called(); len(got) != 1 || got[0] != "client auth-1" {
		t.Errorf("exchanges %v", got)
	}
	events := h.audit.of(audit.ActionMint)
	if len(events) != 1 || events[0].Actor != "dingcorp1/zhang1" || events[0].Target != "user-zhang1" || events[0].DataCentre != "live" || events[0].Detail["pk"] != "100042" {
		t.Errorf("mint records %+v", events)
	}
	if h.sessions.source != "127.0.0.1" || SourceOf(t.Context()) != "" {
		t.Errorf("the session was started from %q", h.sessions.source)
	}
	if !h.counts.has("signin in-client ok none") || !h.counts.has("launch live ok") {
		t.Errorf("counted %v", h.counts.lines)
	}
}

// F3: the page's script asks for JSON and is told where to go.
func TestClickWithScript(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	h.dingtalk.give("auth-1", corpOne, "zhang1")
	a := b.post(b.form(b.open("/launch/live"), "auth-1"), "Accept", "application/json")
	var body map[string]string
	if err := json.Unmarshal([]byte(a.text), &body); err != nil || a.StatusCode != 200 || body["location"] != "/launch/live" {
		t.Fatalf("%d %s %v", a.StatusCode, a.text, err)
	}
	if a := b.get(body["location"]); !strings.HasPrefix(a.location(), "https://live.kingdee.test/") {
		t.Errorf("launch: %d %q", a.StatusCode, a.location())
	}
	a = b.post(b.form(h.browser(t).openAs(b, "/launch/live"), "made-up"), "Accept", "application/json")
	if a.StatusCode != 401 || !strings.Contains(a.text, `"code":"KD-102"`) || !strings.Contains(a.text, `"location":"/signin?state=`) {
		t.Errorf("refused code: %d %s", a.StatusCode, a.text)
	}
}

// openAs opens a place in other's name after its session is dropped, keeping its browser cookie.
func (b *browser) openAs(other *browser, path string) answer {
	b.t.Helper()
	drop, err := url.Parse(b.house.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	other.Jar.SetCookies(drop, []*http.Cookie{{Name: sessionCookie, Path: "/", MaxAge: -1, Secure: true}})
	return other.open(path)
}

// F1, F3, T6: the browser door. The address with the code is answered with a
// 303 to one without it.
func TestClickInBrowser(t *testing.T) {
	for _, query := range []string{"code=%s", "authCode=%s", "code=%[1]s&authCode=%[1]s"} {
		t.Run(query, func(t *testing.T) {
			h := newHouse(t)
			b := h.browser(t)
			h.dingtalk.give("oauth-1", corpOne, "li2")
			state := b.open("/launch/kingdee/stock?a=b").field(t, "state")
			a := b.get("/signin/dingtalk/oauth?state=" + state + "&fragment=top")
			away, err := url.Parse(a.location())
			if err != nil || a.StatusCode != 303 || away.Host != "login.dingtalk.test" {
				t.Fatalf("oauth: %d %q", a.StatusCode, a.location())
			}
			if got, want := away.Query().Get("redirect_uri"), h.URL+"/signin/dingtalk/callback"; got != want {
				t.Errorf("redirect_uri %q, want %q", got, want)
			}
			a = b.get("/signin/dingtalk/callback?" + strings.ReplaceAll(strings.ReplaceAll(query, "%s", "oauth-1"), "%[1]s", "oauth-1") + "&state=" + away.Query().Get("state"))
			if a.StatusCode != 303 || a.location() != "/launch/kingdee/stock?a=b#top" || a.Header.Get("Referrer-Policy") != "no-referrer" {
				t.Fatalf("callback: %d %q", a.StatusCode, a.location())
			}
			if a := b.get("/launch/kingdee/stock?a=b"); !strings.Contains(a.location(), "form=STK_Inventory&pk=&type=list") {
				t.Errorf("launch: %d %q", a.StatusCode, a.location())
			}
			if got := h.dingtalk.called(); len(got) != 1 || got[0] != "browser oauth-1" {
				t.Errorf("exchanges %v", got)
			}
		})
	}
}

// F3, T6: whatever comes back, the answer is a clean address, and a code is not
// redeemed unless the state holds.
func TestCallbackRefusals(t *testing.T) {
	tests := map[string]struct {
		query string
		code  identity.Code
		fresh bool // a new state is opened
	}{
		"declined":           {"error=access_denied&state=STATE", identity.CodeSignInDeclined, true},
		"codes differ":       {"code=oauth-1&authCode=oauth-2&state=STATE", identity.CodeBadAuthCode, true},
		"no code":            {"state=STATE", identity.CodeBadAuthCode, true},
		"no state":           {"code=oauth-1", identity.CodeSignInExpired, false},
		"unknown state":      {"code=oauth-1&state=" + strings.Repeat("A", 43), identity.CodeSignInExpired, false},
		"malformed state":    {"code=oauth-1&state=../..", identity.CodeSignInExpired, false},
		"state twice":        {"code=oauth-1&state=STATE&state=STATE", identity.CodeSignInExpired, false},
		"code twice":         {"code=oauth-1&code=oauth-1&state=STATE", identity.CodeSignInExpired, false},
		"line break in code": {"code=oauth%0d%0a&state=STATE", identity.CodeBadAuthCode, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			b := h.browser(t)
			h.dingtalk.give("oauth-1", corpOne, "li2")
			state := b.open("/launch/kingdee").field(t, "state")
			a := b.get("/signin/dingtalk/callback?" + strings.ReplaceAll(test.query, "STATE", state))
			if a.StatusCode != 303 || strings.Contains(a.location(), "oauth-") || strings.Contains(a.location(), "code=") {
				t.Fatalf("%d %q", a.StatusCode, a.location())
			}
			if fresh := strings.HasPrefix(a.location(), "/signin?state="); fresh != test.fresh {
				t.Errorf("went to %q", a.location())
			}
			page := b.get(a.location())
			if !strings.Contains(page.text, string(test.code)) || page.StatusCode < 400 {
				t.Errorf("page %d does not show %s", page.StatusCode, test.code)
			}
			if len(h.dingtalk.called()) != 0 || h.sessions.count() != 0 {
				t.Errorf("exchanges %v, sessions %d", h.dingtalk.called(), h.sessions.count())
			}
			if got := h.audit.of(audit.ActionSignIn); len(got) != 1 || got[0].Reason != string(test.code) {
				t.Errorf("records %+v", got)
			}
		})
	}
}
