package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
)

const appHost = "app.example.com"

// application is what a proxy protects; it keeps what it was told.
func application(t *testing.T) (*httptest.Server, chan http.Header) {
	t.Helper()
	seen := make(chan http.Header, 1)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		_, _ = io.WriteString(w, "the application")
	}))
	t.Cleanup(app.Close)
	return app, seen
}

// pair writes the test server's certificate where a proxy can read it.
func pair(t *testing.T, h *house) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	own := h.TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: own.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// surfer is a browser for which every name is on this machine. It follows
// redirects as browsers do and keeps cookies by host.
func surfer(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: 20 * time.Second}
}

// throughHost is a person's way to an application on a host of its own, behind a
// real proxy at port: two host names, nothing shared but the gateway.
func throughHost(t *testing.T, h *house, port string, seen chan http.Header) {
	t.Helper()
	origin := "https://" + appHost + ":" + port
	h.gateway.cfg.ForwardHosts = []string{origin}
	client := surfer(t)
	get := func(address string, headers ...string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", pageType)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res, string(text)
	}
	res, text := get(origin + "/orders?q=1&x=2")
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Request.URL.String(), h.URL+"/signin?state=") || len(seen) != 0 {
		t.Fatalf("nobody ends at %s: %d, %d at the application\n%s", res.Request.URL, res.StatusCode, len(seen), text)
	}
	h.dingtalk.give("code1", corpOne, "zhang1")
	b := h.browser(t)
	form := b.form(answer{res, text}, "code1")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL+clientPath, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", h.URL)
	if res, err = client.Do(r); err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.Request.URL.String() != origin+"/orders?q=1&x=2" || res.StatusCode != http.StatusOK {
		t.Fatalf("signed in at %s: %d", res.Request.URL, res.StatusCode)
	}
	<-seen
	res, _ = get(origin+"/again", "X-Kdgate-User", "FORGED", "X-Kdgate-Assertion", "FORGED", "X-Kdgate-Login-User", "FORGED", "X-Forwarded-Host", "evil.example")
	got := <-seen
	if res.StatusCode != http.StatusOK || got.Get("X-Kdgate-User") != "zhang1" || got.Get("X-Kdgate-Assertion") != "signed:zhang1:for:"+origin {
		t.Errorf("%d %v", res.StatusCode, got)
	}
	for name, values := range got {
		if all := strings.Join(values, " "); strings.Contains(all, "FORGED") || strings.Contains(all, "__Host-") {
			t.Errorf("the application got %s: %q", name, values)
		}
	}
	h.sessions.endAll()
	if res, _ = get(origin + "/later"); len(seen) != 0 || !strings.HasPrefix(res.Request.URL.String(), h.URL) {
		t.Errorf("after the session's end: %s, %d at the application", res.Request.URL, len(seen))
	}
}

func (s *sessions) endAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = map[string]identity.Principal{}
}

// The documented nginx configuration for a host of its own, end to end.
func TestNginxHost(t *testing.T) {
	h, port := hosted(t), freePort(t)
	app, seen := application(t)
	cert, key := pair(t, h)
	block := snippet(t, "Applications on hosts of their own", "nginx",
		"https://gate.example.com", h.URL, "gate.example.com", strings.TrimPrefix(h.URL, "https://"), "http://127.0.0.1:3000", app.URL)
	nginx(t, "        listen 127.0.0.1:"+port+" ssl;\n        ssl_certificate "+cert+";\n        ssl_certificate_key "+key+";\n"+block)
	throughHost(t, h, port, seen)
}

// The documented Caddy configuration for a host of its own, end to end.
func TestCaddyHost(t *testing.T) {
	program, err := exec.LookPath("caddy")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no caddy: install the Debian package caddy")
		}
		t.Skip("no caddy on this machine: its configuration is not tried")
	}
	h, port := hosted(t), freePort(t)
	app, seen := application(t)
	cert, key := pair(t, h)
	const there = "\n\t\t\ttransport http {\n\t\t\t\ttls_insecure_skip_verify\n\t\t\t}\n"
	text := snippet(t, "Applications on hosts of their own", "caddy",
		"https://app.example.com {", "https://"+appHost+":"+port+" {\n\tbind 127.0.0.1\n\ttls "+cert+" "+key,
		"header_up Host gate.example.com", "header_up Host "+strings.TrimPrefix(h.URL, "https://")+there,
		"https://gate.example.com", h.URL, "127.0.0.1:3000", strings.TrimPrefix(app.URL, "http://"))
	dir := t.TempDir()
	file := filepath.Join(dir, "Caddyfile")
	text = "{\n\tadmin off\n\tauto_https off\n\tstorage file_system " + dir + "\n}\n" + text
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "run", "--config", file, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	until(t, func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, func() string { return "caddy does not listen" })
	throughHost(t, h, port, seen)
}
