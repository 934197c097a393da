package gateway

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
)

// badge is an Asserter whose words can be read.
type badge struct{}

func (badge) Assert(_ context.Context, who identity.Principal, loginUser string) (identity.Secret, time.Time, error) {
	return identity.NewSecret("signed:" + who.Subject.UserID + ":" + loginUser), time.Time{}, nil
}

// fronted is a gateway that trusts this machine and knows two applications.
func fronted(cfg *Config) {
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	cfg.ForwardAuth = []string{"https://app.example.com", "http://localhost:8090"}
	cfg.Asserter = badge{}
}

const pageType = "text/html"

// asks is what Traefik and Caddy send for a page.
func asks(proto, host, uri string) []string {
	return []string{"Accept", pageType, "X-Forwarded-Method", "GET", "X-Forwarded-Proto", proto, "X-Forwarded-Host", host, "X-Forwarded-Uri", uri}
}

// F-door forward-auth: who is there, percent-encoded and signed; nobody is 401.
func TestForwardAuth(t *testing.T) {
	h := newHouse(t, fronted)
	b := h.browser(t)
	if a := b.get("/forward-auth"); a.StatusCode != http.StatusUnauthorized || a.location() != "" || a.Header.Get("X-Kdgate-User") != "" {
		t.Errorf("nobody: %d %v", a.StatusCode, a.Header)
	}
	b.signIn("zhang1")
	a := b.get("/forward-auth", "X-Kdgate-User", "FORGED")
	for name, want := range map[string]string{
		"X-Kdgate-Subject": "dingcorp1/zhang1", "X-Kdgate-Corp": "dingcorp1", "X-Kdgate-User": "zhang1",
		"X-Kdgate-Name": "%E5%90%8D%E5%AD%97%20zhang1", "X-Kdgate-Assertion": "signed:zhang1:", "X-Kdgate-Login-User": "", "Cache-Control": "no-store",
	} {
		if got := a.Header.Get(name); a.StatusCode != http.StatusOK || got != want {
			t.Errorf("%d, %s: %q, want %q", a.StatusCode, name, got, want)
		}
	}
	if name, err := url.PathUnescape(a.Header.Get("X-Kdgate-Name")); err != nil || name != "名字 zhang1" {
		t.Errorf("name %q %v", name, err)
	}
	if a := b.do(http.MethodHead, "/forward-auth", nil); a.StatusCode != http.StatusOK || a.Header.Get("X-Kdgate-User") != "zhang1" {
		t.Errorf("HEAD: %d", a.StatusCode)
	}
	a = b.get("/forward-auth?data_centre=live")
	if a.StatusCode != http.StatusOK || a.Header.Get("X-Kdgate-Login-User") != "user-zhang1" || a.Header.Get("X-Kdgate-Assertion") != "signed:zhang1:user-zhang1" {
		t.Errorf("with a data centre: %d %v", a.StatusCode, a.Header)
	}
	h.chain.faults["zhang1"] = identity.Fail(identity.NotFound, identity.CodeNotMapped, "none")
	for path, want := range map[string]int{"?data_centre=live": 403, "?data_centre=nowhere": 404, "": 200} {
		if a := b.get("/forward-auth" + path); a.StatusCode != want {
			t.Errorf("%q without a login user: %d", path, a.StatusCode)
		}
	}
	if a := b.do(http.MethodPost, "/forward-auth", url.Values{}); a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", a.StatusCode)
	}
}

// T49, T58: a person whose page a trusted proxy names is sent to sign in and
// comes back to exactly that page; the rest is told 401.
func TestForwardAuthLeadsBack(t *testing.T) {
	h := newHouse(t, fronted)
	b := h.browser(t)
	a := b.get("/forward-auth", asks("https", "APP.example.com:443", "/orders/7?q=%E4%B8%AD&x=1")...)
	want := h.URL + "/forward-auth/signin?rd=" + url.QueryEscape("https://APP.example.com:443/orders/7?q=%E4%B8%AD&x=1")
	if a.StatusCode != http.StatusSeeOther || a.location() != want {
		t.Fatalf("%d %s", a.StatusCode, a.location())
	}
	sign := b.get(strings.TrimPrefix(a.location(), h.URL))
	if !strings.HasPrefix(sign.location(), "/signin?state=") {
		t.Fatalf("%d %s", sign.StatusCode, sign.location())
	}
	h.dingtalk.give("code1", corpOne, "zhang1")
	in := b.post(b.form(b.get(sign.location()), "code1"))
	if in.StatusCode != http.StatusSeeOther || !strings.HasPrefix(in.location(), "/forward-auth/signin?rd=") {
		t.Fatalf("%d %s", in.StatusCode, in.location())
	}
	if back := b.get(in.location()); back.location() != "https://app.example.com/orders/7?q=%E4%B8%AD&x=1" {
		t.Errorf("back at %d %s", back.StatusCode, back.location())
	}
	nobody := h.browser(t)
	for name, headers := range map[string][]string{
		"unlisted host":   asks("https", "evil.example", "/"),
		"other scheme":    asks("http", "app.example.com", "/"),
		"other port":      asks("https", "app.example.com:8443", "/"),
		"user in host":    asks("https", "app.example.com@evil.example", "/"),
		"no slash":        asks("https", "app.example.com", ".evil.example/"),
		"backslash":       asks("https", "app.example.com", `/\evil.example`),
		"encoded slash":   asks("https", "app.example.com", "/%2fevil.example"),
		"two slashes":     asks("https", "app.example.com", "//evil.example"),
		"javascript":      asks("javascript", "app.example.com", "/"),
		"a script's call": append(asks("https", "app.example.com", "/"), "X-Requested-With", "XMLHttpRequest"),
		"a post":          append(asks("https", "app.example.com", "/"), "X-Forwarded-Method", "POST"),
		"no headers":      {"Accept", pageType},
	} {
		if a := nobody.get("/forward-auth", headers...); a.StatusCode != http.StatusUnauthorized || a.location() != "" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.location())
		}
	}
	stranger := newHouse(t, fronted, func(c *Config) { c.TrustedProxies = nil })
	if a := stranger.browser(t).get("/forward-auth", asks("https", "app.example.com", "/")...); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("from a peer that is not trusted: %d", a.StatusCode)
	}
}

// T58: the address to return to is on the list, or it is not returned to.
func TestForwardSignInIsNoOpenRedirect(t *testing.T) {
	h := newHouse(t, fronted)
	b := h.browser(t)
	b.signIn("zhang1")
	for rd, want := range map[string]string{
		"https://app.example.com/a?b=1&c=2":                     "https://app.example.com/a?b=1&c=2", // as nginx writes it
		url.QueryEscape("https://app.example.com/a?b=1") + "&x": "https://app.example.com/a?b=1",
		"http://localhost:8090/":                                "http://localhost:8090/",
		"https://app.example.com":                               "https://app.example.com/",
		"https://evil.example/":                                 "/", "//evil.example/": "/", "/launch/kingdee": "/", "https:app.example.com": "/",
		"https://app.example.com.evil.example/": "/", "https://app.example.com@evil.example/": "/", `https://app.example.com\@evil.example/`: "/",
		"https://evil.example%23app.example.com/": "/", "https://app.example.com:443/x": "https://app.example.com/x", "": "/", "javascript:alert(1)": "/",
		"https%3A%2F%2Fapp.example.com%2F%0d%0aSet-Cookie:x": "/", "HTTPS://app.example.com/": "/", "https://app.example.com?x=1": "/", "https://app.example.com/%5c..": "/",
	} {
		if a := b.get("/forward-auth/signin?rd=" + rd); a.StatusCode != http.StatusSeeOther && a.StatusCode != http.StatusBadRequest || a.StatusCode == http.StatusSeeOther && a.location() != want {
			t.Errorf("%s: %d %q, want %q", rd, a.StatusCode, a.location(), want)
		}
	}
	if a := h.browser(t).get("/forward-auth/signin?rd=https://evil.example/"); !strings.HasPrefix(a.location(), "/signin?state=") {
		t.Errorf("nobody, to a foreign host: %s", a.location())
	}
}

func TestForwardAuthConfig(t *testing.T) {
	for _, origin := range []string{"https://app.example.com/", "app.example.com", "https://", "ftp://x", "https://u@x", "https://*.example.com", "https://x/y"} {
		err := Config{ForwardAuth: []string{origin}}.check()
		if err == nil || !strings.Contains(err.Error(), "not an origin") {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

// FuzzReturnPlace: whatever is taken is on a listed origin, read as browsers do.
func FuzzReturnPlace(f *testing.F) {
	h := buildHouse(f, fronted)
	for _, seed := range []string{"https://app.example.com/a", "https://app.example.com@evil/", "http://localhost:8090?x", `https:\\app.example.com/`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		place, ok := h.gateway.returnPlace(address)
		if !ok {
			return
		}
		u, err := url.Parse(h.gateway.outward(place))
		if err != nil || u.User != nil || u.Scheme+"://"+u.Host != "https://app.example.com" && u.Scheme+"://"+u.Host != "http://localhost:8090" {
			t.Errorf("%q leads to %q", address, h.gateway.outward(place))
		}
	})
}
