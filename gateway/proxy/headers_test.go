package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"kdgate/gateway/proxy"
)

// T51: nothing that a client writes about who it is reaches Kingdee, in no
// spelling; what Kingdee's own pages write does, byte for byte.
func TestHeaders(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	forged := []string{
		"X-Staff-Id", "x-staff-number", "X-STAFF", "Remote-User", "REMOTE-USER", "Remote-Groups", "X-Remote-User", "X-Forwarded-User", "X-Forwarded-For",
		"X-Forwarded-Email", "Forwarded", "X-Real-IP", "X-Original-URL", "X-Rewrite-URL", "CF-Connecting-IP", "X-Kd-Appkey", "x-kd-signature",
		"X-KDApi-UserName", "X-Kdgate-Assertion", "X-KDGATE-User", "X-Kd-Anything", "X-Auth-Request-User", "X-User", "X-WebAuth-User",
		"X-DingTalk-UserId", "X-Employee-Id", "X-Login-User", "X-Principal", "X-Identity", "X-SSO-User", "X-Goog-Authenticated-User-Email", "X-Amzn-Oidc-Identity",
		"X-ARR-ClientCert", "X-Client-Cert", "X-SSL-Client-S-DN", "SSL-Client-Verify", "Client-Cert", "X.Real.IP", "X.Original.URL", "CF.Connecting.IP",
		"X.Staff.Id", "X~Kd~User", "X-Api-Signature", "X-Request-Id", "X-HTTP-Method-Override", "Proxy-Authorization",
	}
	headers := []string{
		"kdbiz-info: {\"formId\":\"X\"}", "csrf-token: t; o=k", "pvfgsdhsfg: 2.5:0123", "accept-encoding_wpf: gzip",
		"X-Form-Trace: unknown, and  kept", "Accept-Encoding: br, gzip", "api-client-identity: c1",
	}
	for _, name := range forged {
		headers = append(headers, name+": FORGED")
	}
	got := b.arrived(http.MethodPost, "/K3Cloud/x.common.kdsvc", "ap0=%5B%5D&z=1", headers...)
	for name, values := range got.Header {
		if strings.Contains(strings.Join(values, " "), "FORGED") {
			t.Errorf("%s reached Kingdee", name)
		}
	}
	for name, want := range map[string]string{
		"Kdbiz-Info": `{"formId":"X"}`, "Csrf-Token": "t; o=k", "Pvfgsdhsfg": "2.5:0123", "Accept-Encoding_wpf": "gzip",
		"X-Form-Trace": "unknown, and  kept", "Accept-Encoding": "br, gzip", "Api-Client-Identity": "c1",
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": strings.TrimPrefix(b.at.URL, "http://"),
		proxy.AssertionHeader: "signed:a1:user-a1",
	} {
		if values := got.Header[http.CanonicalHeaderKey(name)]; len(values) != 1 || values[0] != want {
			t.Errorf("%s: %q, want %q", name, values, want)
		}
	}
	if got.Body != "ap0=%5B%5D&z=1" || got.Host != strings.TrimPrefix(g.kingdee.URL, "http://") || len(got.Header["X-Request-Id"]) != 1 {
		t.Errorf("body %q, host %q, %v", got.Body, got.Host, got.Header["X-Request-Id"])
	}
}

// The Host that Kingdee sees is a matter of configuration.
func TestPublicHost(t *testing.T) {
	g := newRig(t)
	r := g.replica(func(c *proxy.Config) { c.KeepHost = true })
	if got := r.browser(t).open("a1").arrived(http.MethodGet, "/K3Cloud/x.ashx", ""); got.Host != strings.TrimPrefix(r.URL, "http://") {
		t.Errorf("host %q", got.Host)
	}
}

// T52: a name with an underscore is read as another one by some upstreams. It
// is refused, but for the listed ones, and those only on Kingdee's paths.
func TestUnderscores(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	for _, name := range []string{"X_Staff_Id", "x_kd_user", "REMOTE_USER", "accept-encoding_wpf2", "accept_encoding-wpf"} {
		if a := b.get("/K3Cloud/x.ashx", name+": FORGED"); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	if a := b.get("/signin", "accept-encoding_wpf: gzip"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("on a page of ours: %d", a.StatusCode)
	}
	for _, names := range [][]string{{"X_Staff_Id"}, {"Remote_User"}, {"plain"}} {
		if _, err := proxy.New(proxy.Config{AllowHeaders: names}); err == nil || !strings.Contains(err.Error(), names[0]) {
			t.Errorf("%s can be allowed: %v", names, err)
		}
	}
}

// T53: no Connection header takes out what the gateway sets.
func TestHopByHop(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	got := b.arrived(http.MethodGet, "/K3Cloud/x.ashx", "",
		"Connection: X-Kdgate-Assertion, X-Request-Id, X-Forwarded-For, Cookie, Kdbiz-Info", "Kdbiz-Info: x", "Keep-Alive: 5", "Te: trailers", "Proxy-Connection: x")
	for _, name := range []string{proxy.AssertionHeader, "X-Request-Id", "X-Forwarded-For"} {
		if len(got.Header[name]) != 1 || got.Header[name][0] == "" {
			t.Errorf("%s was taken out", name)
		}
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Kdbiz-Info", "Cookie"} {
		if len(got.Header[name]) != 0 {
			t.Errorf("%s: %q", name, got.Header[name])
		}
	}
}

// The gateway's own cookies are between it and the browser.
func TestOwnCookies(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	raw := &browser{t: t, at: b.at, http: http.Client{Transport: b.http.Transport}}
	session := "kdservice-sessionid=" + b.cookie("kdservice-sessionid")
	for sent, want := range map[string]string{
		"__Host-kdgate=G; a=1; " + session + "; b=2":                         "a=1; " + session + "; b=2",
		"__Host-kdgate=G; \u2000__Host-kdgate-x=1; a=1; " + session:          "a=1; " + session,
		session + ";c=\"q;uoted\"; __Host-kdgate=G":                          session + ";c=\"q;uoted\"",
		"kdgate-lang=en;__Host-kdgate-browser=B; __Host-kdgate=G;" + session: session,
	} {
		got := raw.arrived(http.MethodGet, "/K3Cloud/x.ashx", "", "Cookie: "+strings.ReplaceAll(sent, "=G", "="+b.cookie("__Host-kdgate")))
		if strings.Join(got.Header["Cookie"], "|") != want {
			t.Errorf("%q arrived as %q", sent, got.Header["Cookie"])
		}
	}
}

// The query goes upstream as it came: a signature may cover it.
func TestTargetUnchanged(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	for _, target := range []string{
		"/K3Cloud/html5/a.ashx?b=2&a=1&b=", "/k3cloud/x.ashx?a;b=%2F&c=+%20", "/K3Cloud/%E9%99%84%E4%BB%B6.js?_=1", "/K3Cloud/x.ashx?", "/K3CLOUD/Kingdee.BOS.Web/x.ashx?q='x'",
	} {
		if got := b.arrived(http.MethodGet, target, ""); got.Target != target {
			t.Errorf("%s arrived as %s", target, got.Target)
		}
	}
}

// T110: a request of another origin is nobody's.
func TestForeignOrigin(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	for _, origin := range []string{"https://evil.example", "null", "http://localhost", b.at.URL + ".evil.example"} {
		if a := b.get("/K3Cloud/x.ashx", "Origin: "+origin); a.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", origin, a.StatusCode)
		}
	}
	if a := b.get("/K3Cloud/x.ashx", "Origin: "+b.at.URL); a.StatusCode != http.StatusOK {
		t.Errorf("our own: %d", a.StatusCode)
	}
}
