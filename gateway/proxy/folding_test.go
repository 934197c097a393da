package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kdgate/gateway/proxy"
	"kdgate/internal/loopback"
)

// phpUpstream and wsgiUpstream are Kingdees that redeem links and otherwise list
// what their interface makes of a request's headers: names in capitals, with
// everything folded into underscores.
const phpUpstream = `<?php
if (isset($_GET['ud'])) {
    header('Set-Cookie: kdservice-sessionid=s1; path=/');
    header('Location: /K3Cloud/html5/dform.aspx?kdsid=s1', true, 302);
    exit;
}
foreach ($_SERVER as $name => $value) { if (is_string($value)) { echo "$name=$value\n"; } }
`

const wsgiUpstream = `
import sys
from wsgiref.simple_server import make_server, WSGIRequestHandler
class Quiet(WSGIRequestHandler):
    def log_message(self, *args): pass
def app(environ, start):
    if 'ud=' in environ.get('QUERY_STRING', ''):
        start('302 Found', [('Set-Cookie', 'kdservice-sessionid=s1; path=/'), ('Location', '/K3Cloud/html5/dform.aspx?kdsid=s1')])
        return [b'']
    start('200 OK', [('Content-Type', 'text/plain')])
    return [''.join('%s=%s\n' % (k, v) for k, v in environ.items() if isinstance(v, str)).encode()]
make_server('127.0.0.1', int(sys.argv[1]), app, handler_class=Quiet).serve_forever()
`

// script starts an upstream written in another language and gives its address.
func script(t *testing.T, file, text string, command func(port, path string) []string) string {
	t.Helper()
	port, err := loopback.Port()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), file)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := command(port, path)
	if _, err := exec.LookPath(args[0]); err != nil {
		if os.Getenv("CI") != "" && args[0] == "php" {
			t.Fatal("no php: install the Debian package php-cli")
		}
		t.Skipf("no %s on this machine: what it makes of header names is not tried", args[0])
	}
	var said bytes.Buffer
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	address, late := "127.0.0.1:"+port, time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return address
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%v does not listen: %s", args, said.String())
		}
	}
}

// T51, T52: an upstream that folds names, as PHP and WSGI do, never takes what a
// client wrote for what the gateway says, in whatever spelling. The same
// upstream asked past the gateway shows that it does fold.
func TestUpstreamsThatFoldNames(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) string{
		"php": func(t *testing.T) string {
			return script(t, "router.php", phpUpstream, func(port, path string) []string { return []string{"php", "-S", "127.0.0.1:" + port, path} })
		},
		"wsgi": func(t *testing.T) string {
			return script(t, "app.py", wsgiUpstream, func(port, path string) []string { return []string{"python3", path, port} })
		},
	} {
		t.Run(name, func(t *testing.T) { foldsNothing(t, start(t)) })
	}
}

func foldsNothing(t *testing.T, address string) {
	t.Helper()
	direct, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/K3Cloud/x", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	direct.Header["X_Staff_Id"] = []string{"FORGED"}
	res, err := http.DefaultClient.Do(direct)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if !strings.Contains(string(text), "HTTP_X_STAFF_ID=FORGED") {
		t.Fatalf("this upstream does not fold names:\n%s", text)
	}

	g := newRig(t)
	g.kingdee.URL = "http://" + address
	r := g.replica(func(c *proxy.Config) {
		c.Upstream = &url.URL{Scheme: "http", Host: address, Path: "/K3Cloud/"}
		c.AllowHeaders = []string{"accept-encoding_wpf"}
	})
	b := r.browser(t).open("a1")
	for _, header := range []string{
		"X_Staff_Id", "x_staff_id", "X-Staff_Id", "X_Kdgate_Assertion", "X-Kdgate_Assertion", "REMOTE_USER", "Remote_User", "X_Forwarded_User", "X_Kd_User",
		"X-Staff-Id", "x-staff-id", "X.Staff.Id", "X-Staff.Id", "X!Staff!Id", "X-Kdgate-Assertion", "X.Kdgate.Assertion", "X~Kdgate~Assertion", "Remote-User", "Remote.User", "X.Forwarded.For",
	} {
		a := b.get("/K3Cloud/x", header+": FORGED")
		switch {
		case strings.Contains(a.text, "FORGED"):
			t.Errorf("%s arrives:\n%s", header, a.text)
		case strings.Contains(header, "_") && a.StatusCode != http.StatusBadRequest:
			t.Errorf("%s: %d", header, a.StatusCode)
		case !strings.Contains(header, "_") && (a.StatusCode != http.StatusOK || !strings.Contains(a.text, "HTTP_X_KDGATE_ASSERTION=signed:a1:user-a1\n")):
			t.Errorf("%s: %d, the gateway's own is missing:\n%s", header, a.StatusCode, a.text)
		}
	}
	a := b.get("/K3Cloud/x", "accept-encoding_wpf: gzip", "X-Plain: passes")
	if a.StatusCode != http.StatusOK || fmt.Sprint(strings.Contains(a.text, "HTTP_X_PLAIN=passes\n"), strings.Contains(a.text, "HTTP_ACCEPT_ENCODING_WPF=gzip\n")) != "true true" {
		t.Errorf("what may pass: %d\n%s", a.StatusCode, a.text)
	}
}
