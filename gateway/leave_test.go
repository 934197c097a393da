package gateway

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
)

// T36, T46, F9: sign-out is a same-origin POST, ends both sessions, and says so when Kingdee's did not end.
func TestSignOut(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	b.signIn("zhang1")
	for name, a := range map[string]answer{
		"get":        b.get("/signout"),
		"cross-site": b.do(http.MethodPost, "/signout", url.Values{}, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"),
	} {
		if a.StatusCode != 405 && a.StatusCode != 403 {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	if a := b.get("/launch/kingdee"); a.StatusCode != 303 || strings.HasPrefix(a.location(), "/signin") {
		t.Fatal("a refused sign-out ended the session")
	}
	a := b.do(http.MethodPost, "/signout", url.Values{})
	if a.location() != "/signed-out?kingdee=ended" || strings.Join(h.live.signedOut, " ") != "user-zhang1" {
		t.Errorf("%d %q, Kingdee signed out %v", a.StatusCode, a.location(), h.live.signedOut)
	}
	if a := b.get("/launch/kingdee"); !strings.HasPrefix(a.location(), "/signin") {
		t.Errorf("afterwards: %q", a.location())
	}
	if got := h.audit.of(audit.ActionSignOut); len(got) != 1 || got[0].Actor != "dingcorp1/zhang1" || got[0].Outcome != audit.OK {
		t.Errorf("records %+v", got)
	}
	b.signIn("li2")
	h.live.fault = errBroken
	a = b.do(http.MethodPost, "/signout", url.Values{})
	if a.location() != "/signed-out?kingdee=open" {
		t.Errorf("Kingdee down: %q", a.location())
	}
	if page := parse(t, b.get(a.location())); page.attr("kingdee", "data-state") != "open" {
		t.Error("the page does not say that Kingdee is still open")
	}
	h.chain.faults["wu4"] = identity.Fail(identity.NotFound, identity.CodeNotMapped, "none")
	b.signIn("wu4")
	if a := b.do(http.MethodPost, "/signout", url.Values{}); a.location() != "/signed-out?kingdee=ended" {
		t.Errorf("nobody in Kingdee: %q", a.location())
	}
	if a := b.do(http.MethodPost, "/signout", url.Values{}); a.location() != "/signed-out" {
		t.Errorf("twice: %q", a.location())
	}
}

// T36: sign-out works while the log cannot be written: a door is closed, not opened.
func TestSignOutWithoutLog(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	b.signIn("zhang1")
	h.audit.breakWith(errBroken)
	b.do(http.MethodPost, "/signout", url.Values{})
	if a := b.get("/launch/kingdee"); !strings.HasPrefix(a.location(), "/signin") {
		t.Errorf("still signed in: %q", a.location())
	}
}

// F3: a ticket works once, for a minute, after a click on a page that names the person.
func TestHandover(t *testing.T) {
	h := newHouse(t)
	inside := h.browser(t)
	inside.agent = "Mozilla/5.0 dingtalk-win/1.0.0 DingTalk(7.8.10)"
	inside.signIn("zhang1")
	issue := func() string {
		a := inside.do(http.MethodPost, "/handover", url.Values{"wanted": {"/launch/live/stock"}}, "Accept", "application/json")
		var body map[string]string
		if err := json.Unmarshal([]byte(a.text), &body); err != nil || !strings.HasPrefix(body["url"], h.URL+"/handover/") {
			t.Fatalf("%d %s %v", a.StatusCode, a.text, err)
		}
		return strings.TrimPrefix(body["url"], h.URL)
	}
	ticket := issue()
	if strings.Contains(h.store.dump(), strings.TrimPrefix(ticket, "/handover/")) {
		t.Error("the store knows the ticket")
	}
	outside := h.browser(t)
	for range 2 { // looking does not use it up
		if a := outside.get(ticket); a.StatusCode != 200 || !strings.Contains(a.text, "zhang1") || len(a.Cookies()) != 0 {
			t.Fatalf("page: %d %s", a.StatusCode, a.text)
		}
	}
	if a := outside.do(http.MethodPost, ticket, url.Values{}, "Sec-Fetch-Site", "cross-site"); a.StatusCode != 403 {
		t.Errorf("cross-site: %d", a.StatusCode)
	}
	a := outside.do(http.MethodPost, ticket, url.Values{})
	if a.StatusCode != 303 || a.location() != "/launch/live/stock" {
		t.Fatalf("redeem: %d %q", a.StatusCode, a.location())
	}
	if a := outside.get(a.location()); !strings.HasPrefix(a.location(), "https://live.kingdee.test/") {
		t.Errorf("launch: %q", a.location())
	}
	if a := outside.do(http.MethodPost, ticket, url.Values{}); a.StatusCode != 303 || a.location() != "/" {
		t.Errorf("double tap: %d %q", a.StatusCode, a.location())
	}
	if a := h.browser(t).do(http.MethodPost, ticket, url.Values{}); a.StatusCode != 401 || len(a.Cookies()) != 0 {
		t.Errorf("second use: %d", a.StatusCode)
	}
	late := issue()
	h.clock.Advance(ticketLife + time.Second)
	if a := h.browser(t).do(http.MethodPost, late, url.Values{}); a.StatusCode != 401 {
		t.Errorf("too late: %d", a.StatusCode)
	}
	if a := h.browser(t).do(http.MethodPost, "/handover", url.Values{}); a.StatusCode != 401 {
		t.Errorf("ticket for nobody: %d", a.StatusCode)
	}
	if got := h.audit.of(audit.ActionSignIn); got[1].Door != string(identity.DoorHandover) || got[1].Actor != "dingcorp1/zhang1" {
		t.Errorf("records %+v", got)
	}
}

// T40, T45, T38: whatever ends the session that a ticket was made in ends the
// ticket, so that no session grows out of one that is over.
func TestHandoverEndsWithItsSession(t *testing.T) {
	h := newHouse(t)
	inside := h.browser(t)
	inside.signIn("zhang1")
	a := inside.do(http.MethodPost, "/handover", url.Values{}, "Accept", "application/json")
	var body map[string]string
	if err := json.Unmarshal([]byte(a.text), &body); err != nil {
		t.Fatal(err)
	}
	ticket := strings.TrimPrefix(body["url"], h.URL)
	inside.do(http.MethodPost, "/signout", url.Values{})
	for _, a := range []answer{h.browser(t).get(ticket), h.browser(t).do(http.MethodPost, ticket, url.Values{})} {
		if a.StatusCode != http.StatusUnauthorized || strings.Contains(a.text, "zhang1") || len(a.Cookies()) != 0 {
			t.Errorf("%d %v", a.StatusCode, a.Cookies())
		}
	}
	if h.sessions.count() != 1 {
		t.Errorf("%d sessions were opened", h.sessions.count())
	}
}

// F3: a ticket raced by fifty browsers opens one session.
func TestHandoverRace(t *testing.T) {
	h := newHouse(t)
	inside := h.browser(t)
	inside.signIn("zhang1")
	a := inside.do(http.MethodPost, "/handover", url.Values{})
	_, rest, _ := strings.Cut(a.text, `id="handover-link" href="`)
	address, _, _ := strings.Cut(rest, `"`)
	won := 0
	for _, a := range together(50, func() answer {
		return h.browser(t).do(http.MethodPost, strings.TrimPrefix(address, h.URL), url.Values{})
	}) {
		if a.StatusCode == 303 {
			won++
		}
	}
	if won != 1 || h.sessions.count() != 2 {
		t.Errorf("%d won, %d sessions", won, h.sessions.count())
	}
}

// F3: the client on a computer is offered the system browser where the address asks for it.
func TestHandoverOffer(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	b.agent = "Mozilla/5.0 DingTalk(7.8.10)"
	b.signIn("zhang1")
	a := b.get("/launch/kingdee/stock?via=browser")
	if a.StatusCode != 200 || a.field(t, "wanted") != "/launch/kingdee/stock" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	b.agent = "Mozilla/5.0 Mobile DingTalk/7.8.1"
	if a := b.get("/launch/kingdee/stock?via=browser"); a.StatusCode != 303 {
		t.Errorf("phone: %d", a.StatusCode)
	}
}
