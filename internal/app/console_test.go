package app

import (
	"net"
	"net/http"
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
