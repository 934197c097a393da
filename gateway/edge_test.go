package gateway

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kdgate/audit"
)

// raw sends bytes as they are, for requests that no client would write, and
// gives the first answer.
func (h *house) raw(t *testing.T, request string) (*http.Response, string) {
	t.Helper()
	conn, err := tls.Dial("tcp", h.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "HOST", h.Listener.Addr().String())); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// badPaths are paths that two programs could read differently.
var badPaths = []string{
	"/launch//kingdee", "//launch/kingdee", "/launch/./kingdee", "/launch/../signin", "/launch/..", "/.", "/..",
	"/launch/kingdee;x=1", "/launch;/kingdee", `/launch\kingdee`, "/launch/king%2fdee", "/launch%2Fkingdee", "/launch%5ckingdee",
	"/launch/%2e%2e/signin", "/launch/%2E/kingdee", "/launch/kingdee%2e", "/launch/kingdee%00", "/launch/kingdee%0a", "/launch/kingdee%0d%0aX: y",
	"/launch/kingdee%7f", "/launch/kingdee%3b", "/launch/kingdee%23", "/launch/kingdee%3f", "/launch/%252e%252e", "/launch/kingdee%25",
	"/launch/kingdee%", "/launch/kingdee%2", "/launch/kingdee%zz", "/launch/kingdee%u002f", "/launch/%c0%af", "/launch/%ff", "/launch/é",
	"/launch/king dee", "/launch/kingdee\x00", "/launch/kingdee#x", "/launch/kingdee\t", "/launch/%ed%a0%80",
}

// T47: one reading of a path, or 400.
func TestCleanTarget(t *testing.T) {
	for _, path := range badPaths {
		if cleanTarget(path) {
			t.Errorf("%q passes", path)
		}
	}
	for _, path := range []string{"", "*", "launch", "http://gate/launch", "gate:443", "/a?x y", "/a?x\x00", "/a?%zz", "/a?%", `/a?\`, "/a?x#y"} {
		if cleanTarget(path) {
			t.Errorf("%q passes", path)
		}
	}
	for _, path := range []string{"/", "/launch/kingdee", "/launch/kingdee/", "/launch/%E5%BC%A0", "/a-b_c.d~e", "/a/.well-known", "/x?y=%2f%5c%00&z=..;//", "/a?corpId=$CORPID$"} {
		if !cleanTarget(path) {
			t.Errorf("%q is refused", path)
		}
	}
}

// T47, over the wire: before a session or a route is looked at.
func TestBadPathsAreRefused(t *testing.T) {
	h := newHouse(t)
	for _, path := range badPaths {
		if strings.ContainsAny(path, " \t\x00") {
			continue // Go's own server refuses these lines
		}
		resp, _ := h.raw(t, "GET "+path+" HTTP/1.1\r\nHost: HOST\r\n\r\n")
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %d", path, resp.StatusCode)
		}
	}
	if n := h.store.written(); n != 0 {
		t.Errorf("refused requests wrote %d times", n)
	}
}

// T52, T50, T59, R59: what the edge refuses, and that it says so on a page of ours.
func TestEdgeRefusals(t *testing.T) {
	h := newHouse(t)
	long := strings.Repeat("a", maxURL)
	tests := map[string]struct {
		request string
		status  int
	}{
		"underscore in header": {"GET / HTTP/1.1\r\nHost: HOST\r\nX_Staff_Id: admin\r\n\r\n", 400},
		"foreign host":         {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
		"other port":           {"GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", 421},
		"two ports":            {"GET / HTTP/1.1\r\nHost: HOST:443\r\n\r\n", 421},
		"host with a dot":      {"GET / HTTP/1.1\r\nHost: HOST.\r\n\r\n", 421},
		"absolute form":        {"GET https://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n", 400},
		"trace":                {"TRACE / HTTP/1.1\r\nHost: HOST\r\n\r\n", 405},
		"connect":              {"CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n", 405},
		"long address":         {"GET /?" + long + " HTTP/1.1\r\nHost: HOST\r\n\r\n", 414},
		"large body":           {"POST /signin/dingtalk HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1000000\r\n\r\n", 413},
		"debug":                {"GET /debug/pprof/ HTTP/1.1\r\nHost: HOST\r\n\r\n", 404},
		"metrics":              {"GET /metrics HTTP/1.1\r\nHost: HOST\r\n\r\n", 404},
		"health":               {"GET /healthz HTTP/1.1\r\nHost: HOST\r\n\r\n", 404},
		"cache deception":      {"GET /signed-out/x.css HTTP/1.1\r\nHost: HOST\r\n\r\n", 404},
		"unknown asset":        {"GET /assets/kdgate.css HTTP/1.1\r\nHost: HOST\r\n\r\n", 404},
		"vendored notes":       {"GET /assets/vendor/README.md HTTP/1.1\r\nHost: HOST\r\n\r\n", 404},
		"get sign-out":         {"GET /signout HTTP/1.1\r\nHost: HOST\r\n\r\n", 405},
		"method override":      {"GET /signout HTTP/1.1\r\nHost: HOST\r\nX-HTTP-Method-Override: POST\r\n\r\n", 405},
		"original address":     {"GET /nothing HTTP/1.1\r\nHost: HOST\r\nX-Original-URL: /\r\nX-Rewrite-URL: /\r\n\r\n", 404},
		"prefetch":             {"GET /launch/kingdee HTTP/1.1\r\nHost: HOST\r\nSec-Purpose: prefetch;prerender\r\n\r\n", 405},
		"head":                 {"HEAD /launch/kingdee HTTP/1.1\r\nHost: HOST\r\n\r\n", 405},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			resp, text := h.raw(t, test.request)
			if resp.StatusCode != test.status {
				t.Errorf("%d, want %d", resp.StatusCode, test.status)
			}
			checkBaseline(t, resp)
			if id := resp.Header.Get("X-Request-Id"); name != "head" && !strings.Contains(text, id) {
				t.Errorf("page without its request id %s", id)
			}
			if strings.Contains(text, "goroutine") || strings.Contains(text, ".go:") {
				t.Errorf("page shows the inside: %s", text)
			}
		})
	}
}

// checkBaseline: T59, on every answer.
func checkBaseline(t *testing.T, resp *http.Response) {
	t.Helper()
	for name, want := range map[string]string{
		"Strict-Transport-Security": "max-age=", "X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin",
		"Content-Security-Policy": "default-src 'none'", "X-Request-Id": "", "Referrer-Policy": "",
	} {
		if got := resp.Header.Get(name); got == "" || !strings.Contains(got, want) {
			t.Errorf("%s is %q", name, got)
		}
	}
	seconds, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Strict-Transport-Security"), "max-age="), ";")
	if age, err := strconv.Atoi(seconds); err != nil || age < 365*24*60*60 {
		t.Errorf("HTTPS is remembered for %q seconds, less than a year", seconds)
	}
	if csp := resp.Header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors") || !strings.Contains(csp, "base-uri 'none'") {
		t.Errorf("policy %q", csp)
	}
	if resp.Header.Get("Server") != "" {
		t.Errorf("server names itself %q", resp.Header.Get("Server"))
	}
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Cache-Control"), "public") {
		if resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("cacheable: %q", resp.Header.Get("Cache-Control"))
		}
	}
}

// T59, T60: the pages of a whole click carry the headers too; only assets may be cached.
func TestBaselineOnPages(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	for _, path := range []string{"/", "/launch/kingdee", "/signin?failed=KD-101", "/signed-out", "/launch/nowhere", "/handover/x"} {
		checkBaseline(t, b.get(path).Response)
	}
	page := b.open("/launch/kingdee")
	checkBaseline(t, page.Response)
	csp := page.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "frame-ancestors 'self' https://*.dingtalk.com") || !strings.Contains(csp, "form-action 'self' https://live.kingdee.test;") {
		t.Errorf("sign-in page: %q", csp)
	}
	_, rest, _ := strings.Cut(page.text, `rel="stylesheet" href="`)
	address, _, _ := strings.Cut(rest, `"`)
	css := b.get(address)
	checkBaseline(t, css.Response)
	if css.StatusCode != 200 || !strings.Contains(css.Header.Get("Cache-Control"), "immutable") || !strings.HasPrefix(css.Header.Get("Content-Type"), "text/css") {
		t.Errorf("asset %s: %d %v", address, css.StatusCode, css.Header)
	}
	if a := b.do(http.MethodPost, address, nil); a.StatusCode != 405 {
		t.Errorf("post to an asset: %d", a.StatusCode)
	}
}

// T49, T116: forwarded addresses count only from a listed peer, from the end,
// and an unreadable one ends the reading.
func TestClientAddress(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := []struct {
		peer, forwarded, want string
		trusted               []netip.Prefix
	}{
		{"203.0.113.9:5", "198.51.100.1", "203.0.113.9", nil},
		{"203.0.113.9:5", "198.51.100.1", "203.0.113.9", proxies},
		{"10.0.0.1:5", "198.51.100.1", "10.0.0.1", nil},
		{"10.0.0.1:5", "198.51.100.1", "198.51.100.1", proxies},
		{"10.0.0.1:5", "198.51.100.1, 10.0.0.2", "198.51.100.1", proxies},
		{"10.0.0.1:5", "6.6.6.6, 198.51.100.1", "198.51.100.1", proxies},
		{"10.0.0.1:5", "6.6.6.6, rubbish", "10.0.0.1", proxies},
		{"10.0.0.1:5", "rubbish, 198.51.100.1", "198.51.100.1", proxies},
		{"10.0.0.1:5", "198.51.100.1, unknown, 10.0.0.2", "10.0.0.2", proxies},
		{"10.0.0.1:5", "", "10.0.0.1", proxies},
		{"10.0.0.1:5", "198.51.100.1:80", "10.0.0.1", proxies},
		{"[fd00::1]:5", "2001:db8::7", "2001:db8::7", proxies},
		{"[::ffff:10.0.0.1]:5", "::ffff:198.51.100.1", "198.51.100.1", proxies},
		{"10.0.0.1:5", "fe80::1%eth0", "10.0.0.1", proxies},
	}
	for _, test := range tests {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = test.peer
		if test.forwarded != "" {
			r.Header.Set("X-Forwarded-For", test.forwarded)
		}
		if got := clientAddress(r, test.trusted).String(); got != test.want {
			t.Errorf("%s via %q: %s, want %s", test.peer, test.forwarded, got, test.want)
		}
	}
}

// T49, T51: no handler sees a forwarded header, in whatever spelling.
func TestForwardedAreDropped(t *testing.T) {
	h := newHouse(t)
	var seen http.Header
	h.gateway.Handle("GET /probe", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() }))
	resp, _ := h.raw(t, "GET /probe HTTP/1.1\r\nHost: HOST\r\nX-Forwarded-Host: evil\r\nx-forwarded-for: 1.2.3.4\r\nFORWARDED: for=1.2.3.4\r\n"+
		"X-Real-IP: 1.2.3.4\r\nCF-Connecting-IP: 1.2.3.4\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nTrue-Client-IP: 1.2.3.4\r\n"+
		"X-Forwarded: for=1.2.3.4\r\nClient-IP: 1.2.3.4\r\nfastly-client-ip: 1.2.3.4\r\nX-Client-IP: 1.2.3.4\r\nX-Cluster-Client-IP: 1.2.3.4\r\nX-HTTP-Method: PUT\r\n"+
		"X.Real.IP: 1.2.3.4\r\nX!Forwarded~For: 1.2.3.4\r\nX.Original-URL: /admin\r\nX-Rewrite.URL: /admin\r\nCF.Connecting.IP: 1.2.3.4\r\n"+
		"WL-Proxy-Client-IP: 1.2.3.4\r\nProxy-Client-IP: 1.2.3.4\r\nX-Kept: yes\r\n\r\n")
	if resp.StatusCode != 200 || len(seen) != 1 || seen.Get("X-Kept") != "yes" {
		t.Errorf("%d, handler saw %v", resp.StatusCode, seen)
	}
}

// T123: a list of proxies that trusts everybody is refused at start, with every other mistake.
func TestConfigMistakes(t *testing.T) {
	_, err := New(Config{
		PublicURL: &url.URL{Scheme: "http", Host: "gate.example.com"}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")},
		Corps:       []Corp{{ID: "DING1"}, {ID: "ding1"}, {ID: "ding1", JSAPI: "javascript:alert(1)", Provider: &provider{}}},
		DataCentres: []DataCentre{{ID: "kingdee"}, {ID: "a/b"}, {ID: "x", Origin: "https://x;script-src *", ServiceProvider: &kingdee{}}},
		Forms:       []Form{{Name: "a b"}, {Name: strings.Repeat("n", 65)}, {Name: "f"}},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"not https", "trusts everybody", `"DING1": not a corpId`, `"ding1": no provider`, "named twice", "jsapi", `"kingdee": not usable`,
		`"a/b": not usable`, `"x": origin`, `"a b": not usable`, `nnn": not usable`, `"f": form id or types`, "fewer than 32", "store: missing", "recorder: missing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not reported in:\n%v", want, err)
		}
	}
}

// T128, T130: a panic is one page, one log line and one record without the request, and the process stays.
func TestPanic(t *testing.T) {
	h := newHouse(t)
	h.gateway.Handle("GET /panic", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { panic("secret " + r.URL.RawQuery) }))
	b := h.browser(t)
	a := b.get("/panic?code=hush")
	if a.StatusCode != 500 || !strings.Contains(a.text, "KD-500") || strings.Contains(a.text, "hush") || strings.Contains(a.text, "goroutine") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	checkBaseline(t, a.Response)
	if log := h.log.String(); strings.Contains(log, "hush") || !strings.Contains(log, `"msg":"panic"`) {
		t.Errorf("log: %s", log)
	}
	if noted := h.audit.of(audit.ActionPanic); len(noted) != 1 || noted[0].Target != "/panic" || noted[0].RequestID != a.Header.Get("X-Request-Id") ||
		noted[0].Outcome != audit.Failed || strings.Contains(fmt.Sprint(noted), "hush") {
		t.Errorf("on record: %+v", noted)
	}
	h.audit.breakWith(errBroken)
	if a := b.get("/panic"); a.StatusCode != 500 || !strings.Contains(a.text, "KD-500") {
		t.Errorf("with a log that cannot be written: %d %s", a.StatusCode, a.text)
	}
	if a := b.get("/"); a.StatusCode != 200 {
		t.Errorf("afterwards: %d", a.StatusCode)
	}
}

// T113, T29: whatever is in the path or the user agent, the access line is one
// line of JSON, with the path and without the query.
func TestLogInjection(t *testing.T) {
	h := newHouse(t)
	h.raw(t, "GET /x%E2%80%AEy?code=hush&authCode=hush HTTP/1.1\r\nHost: HOST\r\nUser-Agent: a\x1b[31m\"}{\r\n\r\n")
	h.browser(t).get("/handover/TICKETHUSH")
	lines := strings.Split(strings.TrimSpace(h.log.String()), "\n")
	if len(lines) < 2 {
		t.Fatalf("log: %q", lines)
	}
	for _, line := range lines {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil || !utf8.ValidString(line) || strings.ContainsRune(line, '\u202e') {
			t.Errorf("not a clean line: %q %v", line, err)
		}
	}
	if log := h.log.String(); strings.Contains(log, "hush") || strings.Contains(log, "TICKETHUSH") {
		t.Errorf("log holds what it must not: %s", log)
	}
}

// R70: the request id of the page is that of the log line and comes from nobody.
func TestRequestID(t *testing.T) {
	h := newHouse(t)
	a := h.browser(t).get("/nothing", "X-Request-Id", "chosen-by-client")
	id := a.Header.Get("X-Request-Id")
	if len(id) != 16 || strings.Contains(a.text, "chosen-by-client") || !strings.Contains(a.text, id) {
		t.Errorf("id %q, page %s", id, a.text)
	}
	if log := h.log.String(); !strings.Contains(log, `"request_id":"`+id+`"`) || strings.Contains(log, "chosen-by-client") {
		t.Errorf("log: %s", log)
	}
}

// F34: the language follows ?lang=, which is remembered, then the browser's.
func TestLanguage(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	for _, test := range []struct{ accept, path, want string }{
		{"", "/signed-out", `lang="zh-Hans"`},
		{"fr-FR", "/signed-out", `lang="zh-Hans"`},
		{"en-GB,en;q=0.8", "/signed-out", `lang="en"`},
		{"zh-TW", "/signed-out", `lang="zh-Hant"`},
		{"zh-HK", "/signed-out", `lang="zh-Hant"`},
		{"zh-CN", "/signed-out", `lang="zh-Hans"`},
		{"en", "/signed-out?lang=zh-Hant", `lang="zh-Hant"`},
		{"en", "/signed-out", `lang="zh-Hant"`},              // remembered
		{"en", "/signed-out?lang=xx", `lang="zh-Hant"`},      // not one of ours
		{strings.Repeat("en,", 5000), "/", `lang="zh-Hant"`}, // not worth parsing
	} {
		if a := b.get(test.path, "Accept-Language", test.accept); !strings.Contains(a.text, "<html "+test.want) {
			t.Errorf("%.20q %s: want %s in %.80s", test.accept, test.path, test.want, a.text)
		}
	}
}

// T54, as far as it is ours to say: a body that never ends is not read on.
func TestEndlessBody(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	body := io.MultiReader(strings.NewReader("state="), &endless{})
	r, err := http.NewRequest(http.MethodPost, h.URL+"/signin/dingtalk", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%d", resp.StatusCode)
	}
}

type endless struct{}

func (*endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

func TestVerdictTable(t *testing.T) {
	for kind, status := range kindStatus {
		if status < 400 || http.StatusText(status) == "" {
			t.Errorf("kind %d has status %d", kind, status)
		}
	}
	if status, code := verdict(fmt.Errorf("wrapped: %w", errBroken)); status != 500 || code != "KD-500" {
		t.Errorf("unknown error: %d %s", status, code)
	}
}

// T128: a handler that gives a response up half-way ends the connection, as it
// asked for, instead of getting an error page behind what it wrote.
func TestAbortedResponse(t *testing.T) {
	h := newHouse(t)
	h.gateway.Handle("GET /abort", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		panic(fmt.Errorf("copy: %w", http.ErrAbortHandler))
	}))
	resp, err := h.Client().Get(h.URL + "/abort")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("the half response looks whole")
	}
	if log := h.log.String(); !strings.Contains(log, `"path":"/abort"`) || strings.Contains(log, `"msg":"panic"`) {
		t.Errorf("log: %s", log)
	}
}

// F35, T101: what the edge itself refuses of the console's API is told to
// programs as the API tells it, and to people as a page.
func TestRefusedAPIAnswersJSON(t *testing.T) {
	b := newHouse(t).browser(t)
	for path, want := range map[string]string{"/admin/api/v1/mappings": "application/json; charset=utf-8", "/admin/mapping/row": "text/html; charset=utf-8"} {
		a := b.do(http.MethodPost, path, url.Values{}, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test")
		if a.StatusCode != http.StatusForbidden || a.Header.Get("Content-Type") != want || !strings.Contains(a.text, "KD-300") {
			t.Errorf("%s: %d %s\n%s", path, a.StatusCode, a.Header.Get("Content-Type"), a.text)
		}
	}
}
