package proxy_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/gateway/proxy"
)

// F8, T30: the link is redeemed by the gateway, the browser lands on our own
// host with Kingdee's cookies re-scoped, and no link is in anything it is told.
func TestLaunch(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).signIn("a1")
	a := b.launch()
	if a.location() != "/K3Cloud/html5/dform.aspx?formId=BOS_HtmlConsole&usertoken=uuser-a1-1&kdsid=user-a1-1" {
		t.Errorf("lands at %s", a.location())
	}
	want := []string{
		"kdservice-sessionid=user-a1-1; path=/; HttpOnly; Secure; SameSite=Lax",
		"ASP.NET_SessionId=aspuser-a1-1; path=/; HttpOnly; Secure; SameSite=Lax",
		"Theme=standard; path=/k3cloud/html5; HttpOnly; Secure; SameSite=Lax",
	}
	if got := a.Header["Set-Cookie"]; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("cookies\n%s", strings.Join(got, "\n"))
	}
	if a.text != "" || strings.Contains(a.location(), "ud=") || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("answer %q %v", a.text, a.Header)
	}
	page := b.arrived(http.MethodGet, a.location(), "", navigation)
	if page.User != "user-a1" || page.Target != a.location() {
		t.Errorf("arrived %+v", page)
	}
	if got := g.audit.of(audit.ActionProxyRedeem); len(got) != 1 || got[0].Outcome != audit.OK || got[0].Target != "user-a1" || got[0].Actor != "dingcorp1/a1" {
		t.Errorf("records %+v", got)
	}
}

// K93: whether Kingdee goes on by a redirect or by a script is not known.
func TestLandingByScript(t *testing.T) {
	g := newRig(t)
	g.kingdee.script.Store(true)
	b := g.replica().browser(t).signIn("a1")
	if got := b.launch().location(); got != "/K3Cloud/html5/dform.aspx?formId=BOS_HtmlConsole&usertoken=uuser-a1-1&kdsid=user-a1-1" {
		t.Errorf("lands at %s", got)
	}
}

// A link that Kingdee refuses is a failure with a page and a record, not a loop.
func TestRefusedLink(t *testing.T) {
	g := newRig(t)
	g.kingdee.refuse.Store(true)
	b := g.replica().browser(t).signIn("a1")
	a := b.get("/launch/live", navigation)
	if a.StatusCode != http.StatusBadGateway || a.code() != "KD-403" || len(a.Header["Set-Cookie"]) != 0 {
		t.Errorf("%d %s %v", a.StatusCode, a.code(), a.Header)
	}
	if got := g.audit.of(audit.ActionProxyRedeem); len(got) != 1 || got[0].Outcome != audit.Failed || got[0].Reason != "KD-403" {
		t.Errorf("records %+v", got)
	}
	if len(g.kingdee.links) != 1 {
		t.Errorf("%d links were redeemed", len(g.kingdee.links))
	}
}

// Kingdee that is down is a friendly page, in the launch and in the middle of work.
func TestKingdeeDown(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	g.kingdee.Close()
	for _, path := range []string{"/launch/live", "/K3Cloud/html5/dform.aspx"} {
		a := b.get(path, navigation)
		if a.StatusCode != http.StatusBadGateway || a.code() != "KD-401" || !strings.Contains(a.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		}
		if a.Header.Get("Cache-Control") != "no-store" || !strings.Contains(a.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
	if strings.Contains(g.log.String(), "ud=") {
		t.Error("a link is in the log")
	}
}

// F8: the session is checked on every request. A person is sent to sign in and
// comes back to the same page; a script is told 401 and goes nowhere.
func TestWithoutSession(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t)
	a := b.get("/K3Cloud/html5/report.aspx?id=7", navigation)
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.location(), "/signin?state=") || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("navigation: %d %v", a.StatusCode, a.Header)
	}
	page := b.get(a.location(), navigation)
	if page.StatusCode != http.StatusOK {
		t.Fatalf("sign-in page: %d", page.StatusCode)
	}
	b.signIn("a1")
	if back := b.get(a.location(), navigation); back.location() != "/K3Cloud/html5/report.aspx?id=7" {
		t.Errorf("after the sign-in: %d %s", back.StatusCode, back.location())
	}
	other := g.replica().browser(t)
	for name, headers := range map[string][]string{
		"script":             {"Accept: */*"},
		"script of old kind": {"Accept: text/html", "X-Requested-With: XMLHttpRequest"},
		"fetch":              {"Accept: text/html", "Sec-Fetch-Mode: cors"},
		"prefetch":           {"Accept: text/html", "Sec-Purpose: prefetch"},
		"frame":              {"Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"},
	} {
		if a := other.get("/K3Cloud/html5/x.aspx", headers...); a.StatusCode != http.StatusUnauthorized || a.location() != "" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.location())
		}
	}
	if a := other.do(http.MethodPost, "/k3cloud/a.common.kdsvc", "ap0=1", navigation); a.StatusCode != http.StatusUnauthorized || a.location() != "" {
		t.Errorf("post: %d %s", a.StatusCode, a.location())
	}
	if n := g.kingdee.requests.Load(); n != 0 {
		t.Errorf("%d requests reached Kingdee", n)
	}
}

// T35: B's session with A's Kingdee cookie, header or address gets nothing,
// on any replica, and it is on record.
func TestForeignKingdeeSession(t *testing.T) {
	g := newRig(t)
	one, two := g.replica(), g.replica()
	a, b := one.browser(t).open("a1"), one.browser(t).open("b2")
	b.at = two
	stolen, aspStolen := a.cookie("kdservice-sessionid"), a.cookie("ASP.NET_SessionId")
	own, aspOwn, gate := b.cookie("kdservice-sessionid"), b.cookie("ASP.NET_SessionId"), b.cookie("__Host-kdgate")
	before := g.kingdee.requests.Load()
	raw := &browser{t: t, at: two, http: http.Client{Transport: b.http.Transport}}
	refused := 0
	for name, headers := range map[string][]string{
		"both":              {"kdservice-sessionid=" + stolen + "; ASP.NET_SessionId=" + aspStolen},
		"session":           {"kdservice-sessionid=" + stolen + "; ASP.NET_SessionId=" + aspOwn},
		"asp":               {"kdservice-sessionid=" + own + "; ASP.NET_SessionId=" + aspStolen},
		"second":            {"kdservice-sessionid=" + own + "; kdservice-sessionid=" + stolen},
		"first":             {"kdservice-sessionid=" + stolen + "; kdservice-sessionid=" + own},
		"name in capitals":  {"kdservice-sessionid=" + own + "; KDSERVICE-SESSIONID=" + stolen},
		"spaces":            {"kdservice-sessionid=" + own + ";  kdservice-sessionid = " + stolen},
		"no-break space":    {"kdservice-sessionid=" + own + "; \u00a0kdservice-sessionid=" + stolen}, // what ASP.NET takes off a name
		"in Latin-1":        {"kdservice-sessionid=" + own + "; \xa0kdservice-sessionid\x85=" + stolen},
		"wide space":        {"kdservice-sessionid=" + own + "; \u3000KDSERVICE-sessionid\u2003=" + stolen},
		"asp, odd space":    {"kdservice-sessionid=" + own + "; \u1680ASP.NET_SessionId=" + aspStolen},
		"comma":             {"kdservice-sessionid=" + own + "; x=1, kdservice-sessionid=" + stolen},
		"header":            {"kdservice-sessionid=" + own, "Kdservice-Sessionid: " + stolen},
		"header alone":      {"x=y", "kdservice-sessionid: " + stolen},
		"header of the sdk": {"kdservice-sessionid=" + own, "SID: " + stolen},
	} {
		headers[0] = "Cookie: __Host-kdgate=" + gate + "; " + headers[0]
		if got := raw.get("/K3Cloud/html5/x.ashx", headers...); got.StatusCode != http.StatusForbidden || got.code() != "KD-404" {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.text)
		}
		refused++
	}
	if got := raw.get("/K3Cloud/html5/x.ashx?KDSID="+stolen, "Cookie: __Host-kdgate="+gate+"; kdservice-sessionid="+own); got.StatusCode != http.StatusForbidden {
		t.Errorf("address: %d", got.StatusCode)
	}
	if n := g.kingdee.requests.Load() - before; n != 0 {
		t.Errorf("%d requests reached Kingdee", n)
	}
	records := g.audit.of("proxy.refuse")
	if len(records) != refused+1 || records[0].Actor != "dingcorp1/b2" || records[0].Detail["of"] != "dingcorp1/a1" {
		t.Errorf("%d records, first %+v", len(records), records)
	}
	if got := b.arrived(http.MethodGet, "/K3Cloud/html5/x.ashx", ""); got.User != "user-b2" {
		t.Errorf("B's own session: %+v", got)
	}
}

// The binding is in the store: a browser may hop to another replica.
func TestAnyReplica(t *testing.T) {
	g := newRig(t)
	one, two := g.replica(), g.replica()
	b := one.browser(t).open("a1")
	b.at = two
	if got := b.arrived(http.MethodGet, "/k3cloud/HTML5/x.ashx", ""); got.User != "user-a1" || got.Target != "/k3cloud/HTML5/x.ashx" {
		t.Errorf("%+v", got)
	}
	entries, err := g.store.Scan(t.Context(), "kingdee-session/", "", 10)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d bindings, %v", len(entries), err)
	}
	for _, e := range entries {
		if strings.Contains(e.Key+string(e.Value), "user-a1-1") || e.ExpiresAt.IsZero() {
			t.Errorf("the store holds the cookie, or for ever: %s %s", e.Key, e.Value)
		}
	}
}

// A Kingdee session of an earlier sign-in, of nobody, idle for too long or no
// longer there: the next page load launches again, a script is told 401.
func TestLostKingdeeSession(t *testing.T) {
	for name, lose := range map[string]func(g *rig, b *browser){
		"none":            func(_ *rig, b *browser) { b.signIn("a1") },
		"earlier sign-in": func(_ *rig, b *browser) { b.open("a1").signIn("a1") },
		"idle": func(g *rig, b *browser) {
			b.open("a1")
			g.clock.Advance(21 * time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			b := g.replica().browser(t)
			lose(g, b)
			if name != "idle" { // there Kingdee itself answers its page's calls
				if a := b.get("/K3Cloud/a.common.kdsvc"); a.StatusCode != http.StatusUnauthorized || a.location() != "" {
					t.Errorf("script: %d %s", a.StatusCode, a.location())
				}
			}
			a := b.get("/K3Cloud/html5/report.aspx?id=7", navigation)
			if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.location(), "/launch/live?to=") {
				t.Fatalf("navigation: %d %s", a.StatusCode, a.location())
			}
			a = b.get(a.location(), navigation)
			if a.location() != "/K3Cloud/html5/report.aspx?id=7" {
				t.Fatalf("launch: %d %s", a.StatusCode, a.location())
			}
			if got := b.arrived(http.MethodGet, a.location(), "", navigation); got.User != "user-a1" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Kingdee's own entrances are ours: nobody sees its login page or brings a link.
func TestEntrances(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	before := g.kingdee.requests.Load()
	for _, path := range []string{"/K3Cloud", "/k3cloud/", "/K3Cloud/html5/index.aspx", "/K3CLOUD/HTML5/Index.aspx?ud=of-somebody", "/K3Cloud/other.aspx?%75d=x"} {
		a := b.get(path, navigation)
		if a.StatusCode == http.StatusSeeOther && strings.HasPrefix(a.location(), "/launch/live") && !strings.Contains(a.location(), "somebody") {
			continue
		}
		if a.StatusCode != http.StatusBadGateway || a.code() != "KD-403" {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.location())
		}
	}
	if n := g.kingdee.requests.Load() - before; n != 0 {
		t.Errorf("%d requests reached Kingdee", n)
	}
	if a := b.get("/K3Cloud/", navigation); a.StatusCode != http.StatusBadGateway || a.code() != "KD-403" {
		t.Errorf("a loop is not ended: %d %s", a.StatusCode, a.location())
	}
	if a := b.get("/launch/live", navigation); a.StatusCode != http.StatusSeeOther {
		t.Errorf("a click by hand: %d", a.StatusCode)
	}
}

// A launch goes back to a page of Kingdee's, and nowhere else.
func TestWantedPage(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).signIn("a1")
	for _, to := range []string{
		"//evil.example/K3Cloud/", "https://evil.example/K3Cloud/", "/signout", "/K3Cloud/Manager/", "/K3Cloud/html5/index.aspx",
		"/K3Cloud/html5/dform.aspx?kdsid=x", `/K3Cloud/\evil`, "javascript:alert(1)", "/K3Cloudx/a", "/K3Cloud/x?ud=1", "/K3Cloud/..//evil.example/a%0d%0ab",
	} {
		a := b.get("/launch/live?to="+strings.NewReplacer("%", "%25", "&", "%26", "?", "%3F", `\`, "%5C").Replace(to), navigation)
		if !strings.HasPrefix(a.location(), "/K3Cloud/html5/dform.aspx?formId") {
			t.Errorf("%s: %d %q", to, a.StatusCode, a.location())
		}
	}
}

// T36: sign-out ends Kingdee's session, the binding and the cookies.
func TestSignOut(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	a := b.do(http.MethodPost, "/signout", "")
	if a.StatusCode != http.StatusSeeOther || a.location() != "/signed-out?kingdee=ended" || b.cookie("kdservice-sessionid") != "" || len(g.kingdee.sessions) != 0 {
		t.Errorf("%d %s, cookies %s, sessions %v", a.StatusCode, a.location(), b.cookieHeader(), g.kingdee.sessions)
	}
	if left, err := g.store.Scan(t.Context(), "kingdee-session/", "", 10); err != nil || len(left) != 0 {
		t.Errorf("%d bindings are left, %v", len(left), err)
	}
}

// Kingdee ends its session by its own button: the next page load opens another.
func TestSignedOutOfKingdee(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	g.kingdee.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "kdservice-sessionid=; expires=Thu, 01-Jan-1970 00:00:00 GMT; path=/")
	})
	cookies := b.cookieHeader()
	if a := b.do(http.MethodPost, "/K3Cloud/html5/logout.aspx", ""); a.StatusCode != http.StatusOK {
		t.Fatal(a.StatusCode)
	}
	raw := &browser{t: t, at: b.at, http: http.Client{Transport: b.http.Transport}}
	if a := raw.get("/K3Cloud/html5/x.ashx", "Cookie: "+cookies); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old cookies: %d", a.StatusCode)
	}
}

// T24: people at work at once, each with their own cookies, are never mixed.
func TestManyPeople(t *testing.T) {
	const people, rounds = 12, 40
	g := newRig(t)
	r := g.replica()
	g.kingdee.answer(func(w http.ResponseWriter, req *http.Request) {
		_, _ = w.Write([]byte(g.kingdee.userOf(req) + " " + req.Header.Get(proxy.AssertionHeader)))
	})
	var all sync.WaitGroup
	for i := range people {
		user := "u" + strings.Repeat("x", i)
		b := r.browser(t).open(user)
		all.Go(func() {
			for range rounds {
				res, err := b.http.Do(b.request(http.MethodGet, "/K3Cloud/who.ashx", http.NoBody))
				if err != nil {
					t.Error(err)
					return
				}
				text := make([]byte, 256)
				n, _ := res.Body.Read(text)
				res.Body.Close()
				if got, want := string(text[:n]), "user-"+user+" signed:"+user+":user-"+user; got != want {
					t.Errorf("%s got %q", user, got)
				}
			}
		})
	}
	all.Wait()
	if n := g.signer.signed.Load(); n > 2*people {
		t.Errorf("%d signatures for %d people", n, people)
	}
}
