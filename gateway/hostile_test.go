package gateway

import (
	"bytes"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// T47: whatever passes has one reading: decoding, splitting and cleaning it
// in any order gives the same path.
func FuzzCleanTarget(f *testing.F) {
	for _, path := range badPaths {
		f.Add(path)
	}
	f.Add("/launch/%E5%BC%A0/1?x=1")
	f.Fuzz(func(t *testing.T, target string) {
		if !cleanTarget(target) {
			return
		}
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatalf("%q passes, and is no address: %v", target, err)
		}
		again, err := url.PathUnescape(u.Path)
		if err != nil || again != u.Path {
			t.Errorf("%q decodes twice to something else: %q, %q, %v", target, u.Path, again, err)
		}
		if strings.ContainsAny(u.Path, "\\;\x00\r\n#?%") || strings.Contains(u.Path, "//") || strings.Contains(u.Path+"/", "/../") || strings.Contains(u.Path+"/", "/./") {
			t.Errorf("%q passes as %q", target, u.Path)
		}
		if strings.Count(u.Path, "/") != strings.Count(u.EscapedPath(), "/") {
			t.Errorf("%q hides a slash", target)
		}
	})
}

// T49: whatever is forwarded, the result is the peer or an address that was in the list.
func FuzzClientAddress(f *testing.F) {
	f.Add("198.51.100.1, 10.0.0.2")
	f.Add("::ffff:1.2.3.4,,\x00")
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, forwarded string) {
		r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-For": {forwarded}}}
		got := clientAddress(r, trusted)
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%q gives %v", forwarded, got)
		}
		if got == netip.MustParseAddr("10.0.0.1") {
			return
		}
		for _, hop := range strings.Split(forwarded, ",") {
			if addr, err := netip.ParseAddr(strings.TrimSpace(hop)); err == nil && addr.Unmap() == got {
				return
			}
		}
		t.Errorf("%q gives %v, which is not in it", forwarded, got)
	})
}

// T58: no stored or given place leads anywhere but to our own pages.
func FuzzWanted(f *testing.F) {
	for _, target := range hostileTargets {
		f.Add(target, "x=1", "f")
	}
	base := &url.URL{Scheme: "https", Host: "gate.example.com", Path: "/signin"}
	f.Fuzz(func(t *testing.T, path, query, fragment string) {
		address := wanted{Path: path, Query: query}.withFragment(fragment).address()
		u, err := url.Parse(address)
		if err != nil {
			t.Fatalf("%q is no address: %v", address, err)
		}
		target := base.ResolveReference(u)
		if target.Scheme != "https" || target.Host != base.Host || target.User != nil {
			t.Errorf("(%q, %q, %q) leads to %s", path, query, fragment, target)
		}
		if target.Path != "/" && !strings.HasPrefix(target.Path, "/launch/") {
			t.Errorf("(%q, %q, %q) leads to %s", path, query, fragment, target)
		}
		if bytes.ContainsAny([]byte(address), "\r\n\t\\ \x00") {
			t.Errorf("header injection: %q", address)
		}
	})
}

// hostileTargets are redirect targets in the spellings that have worked elsewhere.
var hostileTargets = func() []string {
	targets := []string{
		"https://evil.example", "//evil.example", "///evil.example", "////evil.example", `/\evil.example`, `\/evil.example`, `\\evil.example`,
		"/launch//evil.example", `/launch/\evil.example`, "/launch/..//evil.example", "/launch/%2e%2e//evil.example", "/launch/../../evil.example",
		"/%2f/evil.example", "/%5cevil.example", "/launch/%0d%0aLocation: https://evil.example", "javascript:alert(1)", "data:text/html,x", "/launch/\t/evil",
		"http:evil.example", "https:/evil.example", "/launch/kingdee@evil.example", "/launch", "/launch/", "/launchx", "/signin", "/signout", "/handover/x", "",
		"/launch/kingdee?x", "/launch/kingdee#x", "/launch/\u2028evil", "/launch/。evil", "/Launch/kingdee", "/launch/x;y", "/launch/.", "/launch/..", "./launch/x", "launch/x",
		"ｈttps://evil.example", "/\u00a0/evil.example", " /launch/x", "/launch/x ", "\x00/launch/x",
	}
	for _, prefix := range []string{"", "/", "//", `/\`, "/launch/", "/launch/..", "/./", "\t", "%2f", "%5c", "/%09/", "/%2e/", "/;/"} {
		for _, host := range []string{"evil.example", "//evil.example", `\evil.example`, "@evil.example", "evil.example%2f..", "[::1]", "0x7f000001", "evil。example", "evil.example:443"} {
			for _, suffix := range []string{"", "/", "/%2e%2e", "?x=/launch/", "#/launch/", ";/launch/"} {
				targets = append(targets, prefix+host+suffix)
			}
		}
	}
	return targets
}()

// T58, with the corpus: a place that is not plainly ours becomes home.
func TestHostileTargets(t *testing.T) {
	if len(hostileTargets) < 700 {
		t.Fatalf("only %d targets", len(hostileTargets))
	}
	for _, target := range hostileTargets {
		address := wanted{Path: target}.address()
		if address != homePath && !strings.HasPrefix(address, launchPath) {
			t.Errorf("%q becomes %q", target, address)
		}
		rest := strings.TrimPrefix(address, launchPath)
		if address != homePath && (rest == "" || strings.ContainsAny(rest, `\;`) || strings.Contains(address, "//") || strings.Contains(address+"/", "/../")) {
			t.Errorf("%q becomes %q", target, address)
		}
	}
}

// T58: the handover's place is the one target that a page posts.
func TestHostileHandover(t *testing.T) {
	h := newHouse(t)
	b := h.browser(t)
	b.signIn("zhang1")
	for i, target := range hostileTargets {
		if i%9 != 0 {
			continue
		}
		a := b.do(http.MethodPost, "/handover", url.Values{"wanted": {target}})
		_, rest, _ := strings.Cut(a.text, `id="handover-link" href="`)
		address, _, _ := strings.Cut(rest, `"`)
		a = h.browser(t).do(http.MethodPost, strings.TrimPrefix(address, h.URL), url.Values{})
		if a.StatusCode != 303 || !strings.HasPrefix(a.location(), "/launch/") {
			t.Fatalf("%q: %d %q %s", target, a.StatusCode, a.location(), a.text)
		}
	}
}
