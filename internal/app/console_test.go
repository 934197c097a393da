package app

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kdgate/internal/loopback"
)

// T59, T107: with an address of its own the console is there and nowhere else, and
// nothing else of the gateway is there; the secret is in its file.
func TestConsoleOnItsOwnListener(t *testing.T) {
	port, err := loopback.Port()
	must(t, err)
	address := net.JoinHostPort("localhost", port)
	r := newRig(t)
	s := r.serve(r.load("sessions:", `console: {address: "`+address+`", url: "http://`+address+`"}`+"\nsessions:"))
	for path, want := range map[string]int{
		"/admin/enter": http.StatusOK, "/admin/": http.StatusSeeOther, "/": http.StatusSeeOther, "/launch/live": http.StatusNotFound, "/handover/x": http.StatusNotFound,
		"/forward-auth": http.StatusNotFound, "/metrics": http.StatusNotFound, "/K3Cloud/": http.StatusNotFound,
	} {
		status, header := answerAt(t, address, path)
		if status != want {
			t.Errorf("%s on the console's listener: %d, want %d", path, status, want)
		}
		for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy", "X-Request-Id"} {
			if header.Get(name) == "" {
				t.Errorf("%s on the console's listener: no %s", path, name) // T59: refusals too
			}
		}
	}
	if status, body, err := s.get(s.PublicAddr(), "/admin/enter"); err != nil || status != http.StatusNotFound {
		t.Errorf("on the public listener: %d %s %v", status, body, err)
	}
	if s.ConsoleAddr() == nil || !strings.HasSuffix(s.ConsoleAddr().String(), port) {
		t.Errorf("it stands at %v", s.ConsoleAddr())
	}
}

func answerAt(t *testing.T, address, path string) (int, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	must(t, err)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	must(t, err)
	defer response.Body.Close()
	return response.StatusCode, response.Header
}

// T106: behind a trusted proxy, strangers at many addresses slow the emergency
// account for one another; the browser that was in before comes in all the same.
func TestEmergencyAccountBehindAProxy(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load(
		`listen: {address: "localhost:0"}`, `listen: {address: "localhost:0", trusted_proxies: ["127.0.0.0/8", "::1/128"]}`,
		"sessions:", "console: {break_glass: true}\nsessions:"))
	secret, err := os.ReadFile(filepath.Join(r.dir, "data", "console-secret"))
	must(t, err)
	try := func(from, password, cookie string) *http.Response {
		t.Helper()
		form := url.Values{"account": {"breakglass"}, "password": {password}}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.PublicAddr().String()+"/admin/breakglass", strings.NewReader(form.Encode()))
		must(t, err)
		request.Host = "localhost:8080"
		for name, value := range map[string]string{
			"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin", "X-Forwarded-For": from, "Cookie": cookie,
		} {
			request.Header.Set(name, value)
		}
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		response, err := client.Do(request)
		must(t, err)
		must(t, response.Body.Close())
		return response
	}
	entered := try("198.51.100.1", strings.TrimSpace(string(secret)), "")
	if entered.StatusCode != http.StatusSeeOther {
		t.Fatalf("the one-time secret: %d", entered.StatusCode)
	}
	known := ""
	for _, cookie := range entered.Cookies() {
		if cookie.Name == "__Host-kdgate-known" {
			known = cookie.Name + "=" + cookie.Value
		}
	}
	judged := 0
	for n := range 30 {
		if a := try(fmt.Sprintf("203.0.113.%d", n), "wrong", ""); a.StatusCode == http.StatusUnauthorized {
			judged++
		}
	}
	if judged < 18 || judged > 20 {
		t.Errorf("%d guesses of 30 addresses were judged, want 20 with the first entry", judged)
	}
	if a := try("203.0.113.77", "wrong", ""); a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		t.Errorf("one more stranger: %d, Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
	}
	if a := try("203.0.113.77", "wrong", known); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a known browser: %d", a.StatusCode)
	}
}
