package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kdgate/internal/loopback"
)

// nginx starts the real thing with a server block, and gives its address.
func nginx(t *testing.T, block string) string {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx"
		if _, err := os.Stat(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal("no nginx: install the Debian package nginx-light")
			}
			t.Skip("no nginx: install the Debian package nginx-light")
		}
	}
	dir := t.TempDir()
	port := freePort(t)
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(nginxMain, dir, dir, dir, dir, dir, dir, dir, port, block)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "-c", conf, "-p", dir, "-e", filepath.Join(dir, "error.log"))
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	until(t, func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, func() string { return said.String() })
	return "127.0.0.1:" + port
}

const nginxMain = `
daemon off;
master_process off;
pid %s/nginx.pid;
events {}
http {
    access_log off;
    error_log %s/error.log warn;
    client_body_temp_path %s/body; proxy_temp_path %s/proxy; fastcgi_temp_path %s/fcgi; uwsgi_temp_path %s/uwsgi; scgi_temp_path %s/scgi;
    server {
        listen 127.0.0.1:%s;
%s
    }
}
`

func freePort(t *testing.T) string {
	t.Helper()
	port, err := loopback.Port()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func until(t *testing.T, so func() bool, why func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatal(why())
		}
	}
}

// snippet is the first block of a language under a heading of
// docs/forward-auth.md, so that what people copy is what was run.
func snippet(t *testing.T, heading, language string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/forward-auth.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(text), "## "+heading+"\n")
	_, rest, ok := strings.Cut(part, "```"+language+"\n")
	block, _, closed := strings.Cut(rest, "```")
	if !found || !ok || !closed {
		t.Fatalf("docs/forward-auth.md has no %s block under %s", language, heading)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(block, replace[i]) {
			t.Fatalf("the snippet has no %q", replace[i])
		}
	}
	return strings.NewReplacer(replace...).Replace(block)
}

// T47, T51: the documented nginx configuration keeps strangers out, tells the
// application who is there, lets nobody tell it otherwise, and leads a person
// through the sign-in and back.
func TestNginx(t *testing.T) {
	seen := make(chan http.Header, 1)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		_, _ = io.WriteString(w, "the application")
	}))
	defer app.Close()
	listed := ""
	h := newHouse(t, fronted, func(c *Config) {
		listed = "http://127.0.0.1:9" // replaced below, when nginx has its port
		c.ForwardAuth = []string{listed}
	})
	address := nginx(t, snippet(t, "nginx, on the gateway's host name", "nginx",
		"https://gate.example.com", h.URL, "gate.example.com", strings.TrimPrefix(h.URL, "https://"), "http://127.0.0.1:3000", app.URL))
	h.gateway.cfg.ForwardAuth[0] = "http://" + address

	b := h.browser(t)
	at := func(headers ...string) *http.Response {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, "http://"+address+"/orders?q=1&x=2", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range b.Jar.Cookies(mustURL(t, h.URL)) { // one host, other port: browsers send them too
			r.AddCookie(c)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		res, err := b.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	res := at("Accept", pageType)
	want := h.URL + "/forward-auth/signin?rd=http://" + address + "/orders?q=1&x=2"
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != want {
		t.Fatalf("nobody: %d %q, want %q", res.StatusCode, res.Header.Get("Location"), want)
	}
	if len(seen) != 0 {
		t.Fatal("the application was asked")
	}
	sign := b.get(strings.TrimPrefix(res.Header.Get("Location"), h.URL))
	h.dingtalk.give("code1", corpOne, "zhang1")
	in := b.post(b.form(b.get(sign.location()), "code1"))
	if back := b.get(in.location()); back.location() != "http://"+address+"/orders?q=1&x=2" {
		t.Fatalf("back at %s", back.location())
	}
	res = at("Accept", pageType, "X-Kdgate-User", "FORGED", "X-Kdgate-Assertion", "FORGED", "X-Kdgate-Login-User", "FORGED")
	got := <-seen
	if res.StatusCode != http.StatusOK || got.Get("X-Kdgate-User") != "zhang1" || got.Get("X-Kdgate-Assertion") != "signed:zhang1:" {
		t.Errorf("%d %v", res.StatusCode, got)
	}
	for name, values := range got {
		if strings.Contains(strings.Join(values, " "), "FORGED") || strings.Contains(strings.Join(values, " "), "__Host-kdgate=") {
			t.Errorf("the application got %s: %q", name, values)
		}
	}
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
