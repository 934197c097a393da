package gateway

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
)

// ByHandle implements Handles.
func (s *sessions) ByHandle(_ context.Context, who identity.Subject, handle string) (identity.Principal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.open {
		if p.SessionID == handle && p.Subject == who {
			return p, nil
		}
	}
	return identity.Principal{}, identity.Fail(identity.Unauthenticated, identity.CodeSignInExpired, "no session")
}

const (
	appOrigin   = "https://app.example.com"
	otherOrigin = "https://other.example.com"
)

// hosted is a house with two applications on hosts of their own.
func hosted(t testing.TB) *house {
	t.Helper()
	return newHouse(t, fronted, func(c *Config) {
		c.ForwardHosts = []string{appOrigin, otherOrigin}
		c.HostAsserter = func(origin string) Asserter { return stamped(origin) }
	})
}

// stamped is an Asserter for one audience.
type stamped string

func (s stamped) Assert(_ context.Context, who identity.Principal, _ string) (identity.Secret, time.Time, error) {
	return identity.NewSecret("signed:" + who.Subject.UserID + ":for:" + string(s)), time.Time{}, nil
}

// visitor is a browser that meets applications through a proxy: their cookies
// stay on their hosts, and what it asks there the proxy asks us.
type visitorOf struct {
	*browser
	jar *cookiejar.Jar
}

func (h *house) visitor(t *testing.T) *visitorOf {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitorOf{h.browser(t), jar}
}

// at asks for a path of an application's host, of which only /_kdgate/ and
// /forward-auth come to us.
func (v *visitorOf) at(origin, path string, headers ...string) answer {
	v.t.Helper()
	u := mustURL(v.t.(*testing.T), origin)
	ask := path
	if !strings.HasPrefix(path, hostPath) {
		ask = forwardAuthPath
	}
	r, err := http.NewRequest(http.MethodGet, v.house.URL+ask, http.NoBody)
	if err != nil {
		v.t.Fatal(err)
	}
	for i, forwarded := 0, append(asks(u.Scheme, u.Host, path), headers...); i < len(forwarded); i += 2 {
		r.Header.Set(forwarded[i], forwarded[i+1])
	}
	for _, c := range v.jar.Cookies(u) {
		r.AddCookie(c)
	}
	res, err := (&http.Client{Transport: v.Transport, CheckRedirect: v.CheckRedirect}).Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	_ = res.Body.Close()
	v.jar.SetCookies(u, res.Cookies())
	return answer{Response: res}
}

// follow goes wherever an answer leads until it leads nowhere, or to a page of
// an application that is let in.
func (v *visitorOf) follow(a answer) (string, answer) {
	v.t.Helper()
	for range 12 {
		location := a.location()
		switch {
		case location == "":
			return "", a
		case strings.HasPrefix(location, v.house.URL):
			a = v.get(strings.TrimPrefix(location, v.house.URL))
		case strings.HasPrefix(location, "/"):
			a = v.get(location)
		default:
			u, err := url.Parse(location)
			if err != nil {
				v.t.Fatal(err)
			}
			a = v.at(u.Scheme+"://"+u.Host, u.RequestURI())
			if a.StatusCode == http.StatusOK {
				return location, a
			}
		}
	}
	v.t.Fatalf("no end: %d %s", a.StatusCode, a.location())
	return "", a
}

// The way there: start, sign-in, ticket, callback, and the page that was wanted.
func TestForwardHost(t *testing.T) {
	h := hosted(t)
	v := h.visitor(t)
	const page = "/orders/7?q=%E4%B8%AD&x=1"
	a := v.at(appOrigin, page)
	if a.StatusCode != http.StatusSeeOther || a.location() != appOrigin+"/_kdgate/start?rd="+page {
		t.Fatalf("nobody: %d %s", a.StatusCode, a.location())
	}
	a = v.at(appOrigin, strings.TrimPrefix(a.location(), appOrigin))
	if !strings.HasPrefix(a.location(), h.URL+"/forward-auth/enter?") {
		t.Fatalf("start: %d %s", a.StatusCode, a.location())
	}
	sign := v.get(strings.TrimPrefix(a.location(), h.URL))
	h.dingtalk.give("code1", corpOne, "zhang1")
	signIn := v.get(sign.location())
	if !strings.Contains(signIn.Header.Get("Content-Security-Policy"), appOrigin) {
		t.Error("the sign-in page's form may not lead to the application")
	}
	landed, a := v.follow(v.post(v.form(signIn, "code1")))
	if landed != appOrigin+page || a.Header.Get("X-Kdgate-User") != "zhang1" || a.Header.Get("X-Kdgate-Assertion") != "signed:zhang1:for:"+appOrigin {
		t.Fatalf("landed on %q with %v", landed, a.Header)
	}
	for _, c := range v.jar.Cookies(mustURL(t, appOrigin)) {
		if !strings.HasPrefix(c.Name, "__Host-kdgate-app") {
			t.Errorf("cookie %s on the application's host", c.Name)
		}
	}
	// A second application needs no second sign-in.
	if landed, _ := v.follow(v.at(otherOrigin, "/")); landed != otherOrigin+"/" {
		t.Errorf("the other application: %q", landed)
	}
	if events := h.audit.of(audit.ActionForwardEnter); len(events) != 2 || events[0].Target != appOrigin || events[0].Outcome != audit.OK || events[1].Target != otherOrigin {
		t.Errorf("audit: %+v", events)
	}
	// It ends with the session here.
	v.do(http.MethodPost, "/signout", url.Values{})
	for _, origin := range []string{appOrigin, otherOrigin} {
		if a := v.at(origin, page); a.StatusCode != http.StatusSeeOther || a.Header.Get("X-Kdgate-User") != "" {
			t.Errorf("%s after sign-out: %d", origin, a.StatusCode)
		}
	}
}

// ticketFor brings a signed-in browser to where it has a ticket in its hand.
func (v *visitorOf) ticketFor(origin string) string {
	v.t.Helper()
	a := v.at(origin, hostStartPath+"?rd=/page")
	a = v.get(strings.TrimPrefix(a.location(), v.house.URL))
	path, ok := strings.CutPrefix(a.location(), origin)
	if !ok || !strings.HasPrefix(path, hostCallbackPath+"?ticket=") {
		v.t.Fatalf("no ticket: %d %s", a.StatusCode, a.location())
	}
	return path
}

// A ticket opens one host, once, soon, in the browser that began there; a host's
// cookie opens that host; nobody but a trusted proxy says which host it is.
func TestForwardHostRefuses(t *testing.T) {
	h := hosted(t)
	refused := func(name string, a answer) {
		t.Helper()
		if a.StatusCode < 400 || a.Header.Get("Set-Cookie") != "" && strings.Contains(a.Header.Get("Set-Cookie"), hostCookie+"=") {
			t.Errorf("%s: %d %v", name, a.StatusCode, a.Header)
		}
	}
	v := h.visitor(t)
	v.signIn("zhang1")

	// Sent to somebody else: a victim in whose browser nothing, or another sign-in, was begun.
	victim := h.visitor(t)
	refused("a ticket for somebody who began nothing", victim.at(appOrigin, v.ticketFor(appOrigin)))
	victim.at(appOrigin, hostStartPath+"?rd=/")
	refused("a ticket for somebody who began another", victim.at(appOrigin, v.ticketFor(appOrigin)))
	if a := victim.at(appOrigin, "/"); a.StatusCode == http.StatusOK {
		t.Error("the victim is somebody")
	}

	// At another host, though it began there too.
	v.at(otherOrigin, hostStartPath+"?rd=/")
	refused("a ticket for another host", v.at(otherOrigin, v.ticketFor(appOrigin)))

	late := v.ticketFor(appOrigin)
	h.clock.Advance(hostTicketLife + time.Second)
	refused("a late ticket", v.at(appOrigin, late))

	for name, path := range map[string]string{
		"none": hostCallbackPath, "malformed": hostCallbackPath + "?ticket=x", "unknown": hostCallbackPath + "?ticket=" + strings.Repeat("A", 43),
		"two": v.ticketFor(appOrigin) + "&ticket=x",
	} {
		refused("ticket: "+name, v.at(appOrigin, path))
	}
	refused("fetched ahead", v.at(appOrigin, v.ticketFor(appOrigin), "Sec-Purpose", "prefetch"))

	gone := v.ticketFor(appOrigin)
	v.do(http.MethodPost, "/signout", url.Values{})
	refused("a ticket of a session that ended", v.at(appOrigin, gone))

	v.signIn("zhang2")
	ticket := v.ticketFor(appOrigin)
	if a := v.at(appOrigin, ticket); a.StatusCode != http.StatusSeeOther || a.location() != appOrigin+"/page" {
		t.Fatalf("an honest ticket: %d %s", a.StatusCode, a.location())
	}
	if a := v.at(appOrigin, ticket); a.location() != appOrigin+"/" || len(a.Cookies()) != 0 {
		t.Errorf("a reload of the callback: %d %v", a.StatusCode, a.Header)
	}
	thief := h.visitor(t)
	thief.jar.SetCookies(mustURL(t, otherOrigin), v.jar.Cookies(mustURL(t, appOrigin)))
	if a := thief.at(otherOrigin, "/"); a.StatusCode == http.StatusOK {
		t.Error("the cookie of one host opens another")
	}
	u := mustURL(t, appOrigin)
	cookie := v.jar.Cookies(u)[len(v.jar.Cookies(u))-1]
	for _, c := range v.jar.Cookies(u) {
		if c.Name == hostCookie {
			cookie = c
		}
	}
	if a := v.at(appOrigin, "/", "Cookie", hostCookie+"="+cookie.Value+"; "+hostCookie+"="+cookie.Value); a.StatusCode == http.StatusOK {
		t.Error("two cookies of the name are somebody (T39)")
	}
}

// T49, T50, T58: unlisted hosts, strangers' headers and odd addresses lead nowhere.
func TestForwardHostIsNoOpenRedirect(t *testing.T) {
	h := hosted(t)
	v := h.visitor(t)
	v.signIn("zhang1")
	bind := strings.Repeat("A", 43)
	for _, rd := range append([]string{
		"https://evil.example/", "http://app.example.com/", "https://app.example.com:8443/", "https://app.example.com@evil.example/", `https://app.example.com\@evil.example/`,
		"https://app.example.com.evil.example/", "https://gate.example.com/", "/x", "", "https://app.example.com/%2f..", h.URL + "/",
	}, hostileTargets...) {
		a := v.get("/forward-auth/enter?" + url.Values{"bind": {bind}, "rd": {rd}}.Encode())
		if a.StatusCode < 400 || a.location() != "" {
			t.Errorf("enter with %q: %d %s", rd, a.StatusCode, a.location())
		}
	}
	for _, target := range append([]string{"//evil.example/", "https://evil.example/", "/_kdgate/start?rd=/", `/\evil`, "/%2f", "x"}, hostileTargets...) {
		if strings.ContainsAny(target, " \t\x00\u2028。ｈ\u00a0") || !cleanQuery(target) {
			continue
		}
		a := v.at(appOrigin, hostStartPath+"?rd="+target)
		to, err := url.Parse(a.location())
		if a.StatusCode != http.StatusSeeOther {
			continue
		}
		rd := to.Query().Get("rd")
		place, ok := h.gateway.hostPlace(rd)
		if err != nil || !ok || place.Origin != appOrigin || "https://"+to.Host != h.URL {
			t.Errorf("start with %q leads to %s", target, a.location())
		}
	}
	for name, a := range map[string]answer{
		"start of an unlisted host":    v.at("https://evil.example", hostStartPath+"?rd=/"),
		"callback of an unlisted host": v.at("https://evil.example", hostCallbackPath+"?ticket="+bind),
		"start on the gate itself":     v.get(hostStartPath + "?rd=/"),
	} {
		if a.StatusCode != http.StatusNotFound || a.location() != "" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.location())
		}
	}
	if a := v.at("https://evil.example", "/"); a.StatusCode != http.StatusUnauthorized || a.location() != "" {
		t.Errorf("an unlisted host: %d %s", a.StatusCode, a.location())
	}
	h.gateway.cfg.TrustedProxies = nil
	for _, path := range []string{"/", hostStartPath + "?rd=/"} {
		if a := v.at(appOrigin, path); a.StatusCode != http.StatusUnauthorized && a.StatusCode != http.StatusNotFound {
			t.Errorf("%s from a peer that is not trusted: %d", path, a.StatusCode)
		}
	}
}

// One ticket, twenty at once: one cookie.
func TestForwardHostTicketIsUsedOnce(t *testing.T) {
	h := hosted(t)
	v := h.visitor(t)
	v.signIn("zhang1")
	path := v.ticketFor(appOrigin)
	cookies := v.jar.Cookies(mustURL(t, appOrigin))
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		opened int
	)
	for range 20 {
		group.Go(func() {
			r, err := http.NewRequest(http.MethodGet, h.URL+path, http.NoBody)
			if err != nil {
				return
			}
			for i, forwarded := 0, asks("https", "app.example.com", path); i < len(forwarded); i += 2 {
				r.Header.Set(forwarded[i], forwarded[i+1])
			}
			for _, c := range cookies {
				r.AddCookie(c)
			}
			res, err := (&http.Client{Transport: v.Transport, CheckRedirect: v.CheckRedirect}).Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			_ = res.Body.Close()
			for _, c := range res.Cookies() {
				if c.Name == hostCookie {
					mu.Lock()
					opened++
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	if opened != 1 {
		t.Errorf("%d cookies", opened)
	}
}
