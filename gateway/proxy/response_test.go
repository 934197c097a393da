package proxy_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"kdgate/audit"
)

// T57, T59, T36: nothing in the answer tells of the machine behind or lets
// another origin read it; our headers are on it, and a page is not kept.
func TestResponseHeaders(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		for _, line := range []string{
			"Server: Microsoft-IIS/10.0", "Date: Thu, 01 Jan 1970 00:00:00 GMT", "X-Powered-By: ASP.NET", "X-AspNet-Version: 4.0", "Access-Control-Allow-Origin: *",
			"Access-Control-Allow-Credentials: true", "Alt-Svc: h3=\":443\"", "Clear-Site-Data: \"cookies\"", "Service-Worker-Allowed: /",
			"Strict-Transport-Security: max-age=0", "Referrer-Policy: unsafe-url", "X-Request-Id: theirs", "X-Kdgate-Assertion: echo",
			"Cache-Control: public, max-age=600", "Pvfgsdhsfg_cfg: {\"enableFlatShake\":true}", "X-Vendor-Thing: kept", "Pragma: cache",
			"Content-Security-Policy: default-src 'self' 'unsafe-inline'", "Set-Cookie: a=b; Domain=erp.internal; SameSite=None; path=/k3cloud",
			"Set-Cookie: __HOST-KDGATE=stolen; Path=/", "Set-Cookie: h=1; httponly; Partitioned", "Connection: X-Hop", "X-Hop: x",
			"X-Accel-Redirect: /internal/secret", "X-Accel-Buffering: no", "X-Sendfile: /etc/passwd", "X-Lighttpd-Send-File: /etc/passwd",
		} {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Add(name, value)
		}
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		_, _ = io.WriteString(w, "x")
	})
	a := b.get("/K3Cloud/html5/dform.aspx?type=text/html")
	for _, name := range []string{
		"Server", "X-Powered-By", "X-Aspnet-Version", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Alt-Svc",
		"Clear-Site-Data", "Service-Worker-Allowed", "Strict-Transport-Security", "X-Kdgate-Assertion", "X-Hop", "Pragma",
		"X-Accel-Redirect", "X-Sendfile", "X-Lighttpd-Send-File",
	} {
		if got := a.Header[name]; len(got) != 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, want := range map[string]string{
		"Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		"Pvfgsdhsfg_cfg": `{"enableFlatShake":true}`, "X-Vendor-Thing": "kept", "Cross-Origin-Opener-Policy": "same-origin",
		"Content-Security-Policy": "frame-ancestors 'self' https://*.dingtalk.com|default-src 'self' 'unsafe-inline'",
		"Set-Cookie":              "a=b; path=/k3cloud; Secure; SameSite=Lax|h=1; HttpOnly; Secure; SameSite=Lax",
	} {
		if got := strings.Join(a.Header[name], "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := a.Header["Date"]; len(got) != 1 || strings.Contains(got[0], "1970") {
		t.Errorf("date %q", got)
	}
	if got := a.Header["X-Request-Id"]; len(got) != 1 || got[0] == "theirs" {
		t.Errorf("request id %q", got)
	}
	for path, want := range map[string]string{
		"/K3Cloud/html5/a.js?type=text/javascript": "public, max-age=600", "/K3Cloud/html5/a.png?type=image/png": "public, max-age=600",
		"/K3Cloud/html5/a.woff?type=font/woff": "public, max-age=600", "/K3Cloud/a.xap?type=application/x-silverlight-app": "public, max-age=600",
		"/K3Cloud/Temp/salaries.xlsx?type=application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "no-store", "/K3Cloud/Temp/a.pdf?type=application/pdf": "no-store",
		"/K3Cloud/Temp/a.csv?type=text/csv": "no-store", "/K3Cloud/Temp/a.xml?type=text/xml": "no-store", "/K3Cloud/Temp/a?type=application/octet-stream": "no-store",
		"/K3Cloud/photo.ashx?type=image/png":      "no-store",
		"/K3Cloud/a.common.kdsvc?type=text/plain": "no-store", "/K3Cloud/html5/x.css?type=text/html": "no-store", "/K3Cloud/a?type=application/json": "no-store",
	} {
		if got := strings.Join(b.get(path).Header["Cache-Control"], "|"); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// T57: a redirect to Kingdee's own host comes to ours; one to a foreign host is
// neither passed nor followed, and is on record.
func TestRedirects(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Location"] = []string{strings.ReplaceAll(r.Header.Get("X-Go"), "KINGDEE", g.kingdee.URL)}
		w.WriteHeader(http.StatusFound)
	})
	for to, want := range map[string]string{
		"KINGDEE/K3Cloud/html5/b.aspx?x=1": "/K3Cloud/html5/b.aspx?x=1", "/K3Cloud/c": "/K3Cloud/c", "d.aspx": "d.aspx",
	} {
		if a := b.get("/K3Cloud/a.aspx", "X-Go: "+to); a.StatusCode != http.StatusFound || a.location() != want {
			t.Errorf("%s: %d %s", to, a.StatusCode, a.location())
		}
	}
	if n := len(g.audit.of("proxy.refuse")); n != 0 {
		t.Errorf("%d records before", n)
	}
	for _, to := range []string{"https://evil.example/x", "//evil.example", `/\evil.example`, "javascript:alert(1)"} {
		a := b.get("/K3Cloud/a.aspx", "X-Go: "+to)
		if a.StatusCode != http.StatusBadGateway || a.code() != "KD-402" || a.location() != "" || strings.Contains(a.text, "evil") {
			t.Errorf("%s: %d %s %s", to, a.StatusCode, a.location(), a.text)
		}
	}
	if got := g.audit.of("proxy.refuse"); len(got) != 4 || got[0].Outcome != audit.Refused {
		t.Errorf("records %+v", got)
	}
}

// T56: a closed path is a page with its own code, and a record, signed in or not.
func TestClosedPaths(t *testing.T) {
	g := newRig(t)
	r := g.replica()
	b := r.browser(t).open("a1")
	before := g.kingdee.requests.Load()
	for _, path := range []string{
		"/K3Cloud/Manager/", "/k3cloud/mAnAgEr/x", "/K3Cloud/%4Danager/", "/K3Cloud/Manager%20/", "/K3CLOUD/ManageSite/",
		"/K3Cloud/Kingdee.BOS.WebApi.ServicesStub.AuthService.ValidateUser.common.kdsvc",
		"/K3Cloud/Kingdee.BOS.WebApi.ServicesStub.AuthService.%4CoginBySign.common.kdsvc",
	} {
		if a := b.get(path, navigation); a.StatusCode != http.StatusForbidden || a.code() != "KD-405" {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.code())
		}
		if a := r.browser(t).get(path, navigation); a.StatusCode != http.StatusForbidden {
			t.Errorf("%s, nobody: %d", path, a.StatusCode)
		}
	}
	for _, path := range []string{ // T47: what two programs would read differently
		"/K3Cloud/html5/%2e%2e/Manager/", "/K3Cloud/html5%2fx", "/K3Cloud//Manager/", "/K3Cloud/html5;/Manager/", `/K3Cloud/html5%5cManager/`,
		"/K3Cloud/Manager:$i30:$INDEX_ALLOCATION/", "/K3Cloud/(S(x))/Manager/", "/K3Cloud/a%00", "/K3Cloud/%zz", "/K3Cloud/%25%32%66",
	} {
		res, err := b.http.Do(opaque(b, path))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if n := g.kingdee.requests.Load() - before; n != 0 {
		t.Errorf("%d requests reached Kingdee", n)
	}
	if got := g.audit.of("proxy.refuse"); len(got) != 14 {
		t.Errorf("%d records", len(got))
	}
}

// opaque is a request whose path the client does not touch.
func opaque(b *browser, path string) *http.Request {
	r := b.request(http.MethodGet, "/", http.NoBody)
	r.URL.Opaque = path
	return r
}

// K99, K100: bodies are the same bytes both ways, compressed ones too.
func TestBodiesUntouched(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = io.WriteString(zip, strings.Repeat("金蝶", 10_000))
	_ = zip.Close()
	noise := make([]byte, 100_000)
	_, _ = rand.Read(noise)
	for name, c := range map[string]struct {
		body     []byte
		encoding string
	}{
		"gzip": {packed.Bytes(), "gzip"}, "base64 of gzip": {[]byte(base64.StdEncoding.EncodeToString(packed.Bytes())), ""},
		"noise": {noise, ""}, "called br": {noise[:1000], "br"}, "empty": {nil, ""},
	} {
		var received []byte
		g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
			received, _ = io.ReadAll(r.Body)
			if c.encoding != "" {
				w.Header().Set("Content-Encoding", c.encoding)
			}
			w.Header().Set("Content-Type", "text/plain")
			_, _ = w.Write(c.body)
		})
		a := b.do(http.MethodPost, "/K3Cloud/x.common.kdsvc", string(c.body), "Accept-Encoding: gzip, br")
		if a.text != string(c.body) || !bytes.Equal(received, c.body) || a.Header.Get("Content-Encoding") != c.encoding {
			t.Errorf("%s: %d bytes there, %d back, %v", name, len(received), len(a.text), a.Header)
		}
	}
}

// A session that Kingdee opens in an answer is this person's from then on.
func TestSessionRenewedUpstream(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("renew") {
			w.Header().Add("Set-Cookie", "ASP.NET_SessionId=renewed; path=/; HttpOnly")
			w.Header().Add("Set-Cookie", "kdservice-sessionid=renewed; path=/")
		}
		_, _ = fmt.Fprint(w, r.Header.Get("Cookie"))
	})
	b.get("/K3Cloud/x.ashx?renew")
	if a := b.get("/K3Cloud/x.ashx"); a.StatusCode != http.StatusOK || !strings.Contains(a.text, "kdservice-sessionid=renewed") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	other := b.at.browser(t).open("b2")
	raw := &browser{t: t, at: b.at, http: http.Client{Transport: b.http.Transport}}
	if a := raw.get("/K3Cloud/x.ashx", "Cookie: __Host-kdgate="+other.cookie("__Host-kdgate")+"; kdservice-sessionid=renewed"); a.StatusCode != http.StatusForbidden {
		t.Errorf("another person with it: %d", a.StatusCode)
	}
	if a := other.get("/K3Cloud/x.ashx?renew"); a.StatusCode != http.StatusBadGateway || other.cookie("kdservice-sessionid") == "renewed" {
		t.Errorf("one Kingdee session for two people: %d", a.StatusCode)
	}
}

// T29, T30: no session id, token or link in the log.
func TestLogHoldsNoSession(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	b.get("/K3Cloud/html5/dform.aspx?usertoken=TOKENCANARY&kdsid="+b.cookie("kdservice-sessionid"), navigation)
	b.get("/K3Cloud/html5/dform.aspx?usertoken=TOKENCANARY&kdsid=unknown", navigation)
	log := g.log.String()
	if !strings.Contains(log, "/K3Cloud/html5/dform.aspx") {
		t.Fatal("the requests are not in the log")
	}
	for _, secret := range []string{"TOKENCANARY", b.cookie("kdservice-sessionid"), b.cookie("__Host-kdgate"), "ud=", "signed:"} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	for _, e := range g.audit.events {
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, "TOKENCANARY") || strings.Contains(text, b.cookie("kdservice-sessionid")) {
			t.Errorf("in the audit log: %s", text)
		}
	}
}

// T56: Kingdee never has the whole of a call in the binary format, whichever way
// it goes, and it is on record; a call of a page's own passes, as large as it is.
func TestBinaryFormatStaysOutside(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	var whole atomic.Int64
	g.kingdee.answer(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			whole.Add(1)
		}
	})
	const path = "/K3Cloud/Kingdee.BOS.ServiceFacade.ServicesStub.User.UserService.GetUser.common.kdsvc"
	attack := func(size int) string {
		return `{"ap0":"` + strings.Repeat("A", size) + `","format":"3"}`
	}
	for name, body := range map[string]io.Reader{
		"short": strings.NewReader(attack(100)), "large": strings.NewReader(attack(100_000)), "chunked": io.MultiReader(strings.NewReader(attack(100_000))),
	} {
		res := b.send(http.MethodPost, path, body, "Content-Type: text/json")
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusForbidden || !strings.Contains(string(text), "KD-405") {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	if a := b.do(http.MethodPost, path, attack(10), "Content-Type: text/json", "Content-Encoding: gzip"); a.StatusCode != http.StatusForbidden {
		t.Errorf("compressed: %d", a.StatusCode)
	}
	if n := whole.Load(); n != 0 {
		t.Errorf("%d calls reached Kingdee whole", n)
	}
	if records := g.audit.of("proxy.refuse"); len(records) != 4 || records[0].Actor != "dingcorp1/a1" {
		t.Errorf("records %+v", records)
	}
	for _, size := range []int{10, 100_000} {
		if a := b.do(http.MethodPost, path, "ap0="+strings.Repeat("A", size)+"&format=1", "Content-Type: application/x-www-form-urlencoded"); a.StatusCode != http.StatusOK {
			t.Errorf("a page's call of %d bytes: %d", size, a.StatusCode)
		}
	}
	if n := whole.Load(); n != 2 {
		t.Errorf("%d of 2 calls arrived", n)
	}
}
