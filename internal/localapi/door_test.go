package localapi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/internal/localapi"
)

// TestTokenIsNeeded proves T127's door: nothing without the whole token, not
// even which routes there are.
func TestTokenIsNeeded(t *testing.T) {
	g := open(t)
	for _, c := range []struct {
		path, authorization string
		want                int
	}{
		{"/local/mappings", "", http.StatusUnauthorized},
		{"/local/mappings", "Bearer", http.StatusUnauthorized},
		{"/local/mappings", "Bearer ", http.StatusUnauthorized},
		{"/local/mappings", "Bearer " + tokenText[:20], http.StatusUnauthorized},
		{"/local/mappings", "Bearer " + tokenText + "x", http.StatusUnauthorized},
		{"/local/mappings", "Basic " + tokenText, http.StatusUnauthorized},
		{"/local/mappings", "Bearer " + strings.ToLower(tokenText), http.StatusUnauthorized},
		{"/local/nothere", "", http.StatusUnauthorized},
		{"/local/nothere", "Bearer " + tokenText, http.StatusNotFound},
		{"/local/mappings", "Bearer " + tokenText, http.StatusOK},
		{"/local/hello", "", http.StatusBadRequest},
		{"/local/hello?nonce=" + strings.Repeat("n", 65), "", http.StatusBadRequest},
		{"/local/hello?nonce=n", "", http.StatusOK},
	} {
		if got := g.ask(t, c.path, c.authorization); got != c.want {
			t.Errorf("%s with %q: status %d, want %d", c.path, c.authorization, got, c.want)
		}
	}
}

// TestOnlyThisMachine: where the operations listener stands on a network, the
// right token from elsewhere opens nothing.
func TestOnlyThisMachine(t *testing.T) {
	g := open(t)
	handler := localapi.NewHandler(localapi.Config{
		Table: func() localapi.Table { return g.table }, Token: g.token, Logger: slog.New(slog.DiscardHandler),
	})
	here := &net.TCPAddr{IP: net.ParseIP("10.0.0.5"), Port: 9090}
	for peer, want := range map[string]int{
		"192.0.2.7:1234":     http.StatusForbidden,
		"10.0.0.6:1234":      http.StatusForbidden,
		"[2001:db8::1]:1234": http.StatusForbidden,
		"@":                  http.StatusForbidden,
		"10.0.0.5:1234":      http.StatusOK, // we ourselves, at the address that listens
		"127.0.0.1:1234":     http.StatusOK,
		"[::1]:1234":         http.StatusOK,
	} {
		req := httptest.NewRequest(http.MethodGet, "/local/mappings", nil)
		req = req.WithContext(context.WithValue(req.Context(), http.LocalAddrContextKey, here))
		req.RemoteAddr = peer
		req.Header.Set("Authorization", "Bearer "+tokenText)
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, req)
		if out.Code != want {
			t.Errorf("from %s: status %d, want %d", peer, out.Code, want)
		}
	}
}

// stranger is another program on a port that a dead gateway announced. It keeps
// every byte that it is told.
type stranger struct {
	listener net.Listener
	mu       sync.Mutex
	heard    bytes.Buffer
	group    sync.WaitGroup
}

func newStranger(t *testing.T, behave func(conn net.Conn)) *stranger {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	s := &stranger{listener: listener}
	s.group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.group.Go(func() {
				defer conn.Close()
				behave(tapped{conn, s})
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.group.Wait()
	})
	return s
}

type tapped struct {
	net.Conn
	to *stranger
}

func (c tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	c.to.heard.Write(p[:n])
	return n, err
}

// request reads to the empty line that ends a request's head.
func request(conn net.Conn) {
	var head []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		if _, err := conn.Read(one); err != nil {
			return
		}
		head = append(head, one[0])
	}
}

// TestStaleFileLeadsToAStranger: after kill -9 the file is left, and whatever
// owns the port then is neither told the token nor believed.
func TestStaleFileLeadsToAStranger(t *testing.T) {
	say := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			request(conn)
			_, _ = io.WriteString(conn, text)
			request(conn) // stays to hear what comes next
		}
	}
	page := `{"entries":[]}`
	for name, behave := range map[string]func(net.Conn){
		"says yes to everything": say("HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + page),
		"gives a proof of its own": say("HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" +
			strings.Repeat("0", 64)),
		"asks for credentials":  say("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n"),
		"sends elsewhere":       say("HTTP/1.1 302 Found\r\nLocation: /local/mappings\r\nContent-Length: 0\r\n\r\n"),
		"is no web server":      say("220 smtp.example.com ESMTP\r\n"),
		"hangs up":              func(net.Conn) {},
		"says nothing":          request,
		"never ends its header": func(conn net.Conn) { flood(conn, "HTTP/1.1 200 OK\r\n", "X-A: aaaaaaaaaaaaaaaa\r\n") },
		"never ends its answer": func(conn net.Conn) { flood(conn, "HTTP/1.1 200 OK\r\n\r\n", "aaaaaaaaaaaaaaaaaaaaa") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStranger(t, behave)
			dir := t.TempDir()
			must(t, localapi.Announce(dir, s.listener.Addr(), identity.NewSecret(tokenText)))
			client, err := localapi.Dial(t.Context(), dir, "root")
			if !errors.Is(err, localapi.ErrNoGateway) {
				t.Errorf("client %v, error %v, want ErrNoGateway", client, err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if strings.Contains(s.heard.String(), tokenText) {
				t.Errorf("the stranger was told the token:\n%s", s.heard.String())
			}
			if name != "hangs up" && s.heard.Len() == 0 {
				t.Error("nobody spoke to the stranger: the test looks in the wrong place")
			}
		})
	}
}

func flood(conn net.Conn, head, more string) {
	request(conn)
	_, err := io.WriteString(conn, head)
	for err == nil {
		_, err = io.WriteString(conn, more)
	}
}

// TestPortChangesHands: the proof belongs to the connection, so a port that is
// taken over after the greeting gains nothing either.
func TestPortChangesHands(t *testing.T) {
	g := open(t)
	client := g.dial(t)
	if _, err := client.List(t.Context(), filterAll, ""); err != nil {
		t.Fatal(err)
	}
	address := g.server.Listener.Addr().String()
	g.server.Close()
	var heard sync.Map
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", address)
	must(t, err)
	taker := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard.Store(r.Header.Get("Authorization"), true)
		_, _ = io.WriteString(w, `{"entries":[]}`)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = taker.Serve(listener)
	}()
	defer func() {
		_ = taker.Close()
		<-done
	}()
	if page, err := client.List(t.Context(), filterAll, ""); err == nil {
		t.Errorf("believed %+v", page)
	}
	if _, told := heard.Load("Bearer " + tokenText); told {
		t.Error("the new owner of the port was told the token")
	}
}

// TestNoAnnouncement: no file means no gateway; a file that is none is said.
func TestNoAnnouncement(t *testing.T) {
	if _, err := localapi.Dial(t.Context(), t.TempDir(), "root"); !errors.Is(err, localapi.ErrNoGateway) {
		t.Errorf("no file: %v", err)
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, localapi.TokenFile), []byte("not json"), 0o600))
	if _, err := localapi.Dial(t.Context(), dir, "root"); err == nil || errors.Is(err, localapi.ErrNoGateway) ||
		!strings.Contains(err.Error(), localapi.TokenFile) {
		t.Errorf("a broken file: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := localapi.Dial(ended, open(t).dir, "root"); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v; it must not be read as: no gateway", err)
	}
}

// TestAnnouncementIsPrivate: mode 0600 whatever lay there before (T122).
func TestAnnouncementIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	at := &net.TCPAddr{IP: net.IPv4zero, Port: 9090}
	path := filepath.Join(dir, localapi.TokenFile)
	must(t, localapi.Announce(dir, at, identity.NewSecret("first")))
	must(t, os.Chmod(path, 0o644))
	must(t, localapi.Announce(dir, at, identity.NewSecret("second")))
	target := filepath.Join(t.TempDir(), "elsewhere")
	must(t, os.WriteFile(target, nil, 0o644))
	must(t, os.Remove(path))
	must(t, os.Symlink(target, path))
	must(t, localapi.Announce(dir, at, identity.NewSecret("third")))
	info, err := os.Lstat(path)
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	text, err := os.ReadFile(path)
	must(t, err)
	if want := `{"address":"127.0.0.1:9090","token":"third"}`; string(text) != want {
		t.Errorf("content %s, want %s", text, want)
	}
	if through, err := os.ReadFile(target); err != nil || len(through) > 0 {
		t.Errorf("the token went through a link: %q, %v", through, err)
	}
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(left) != 1 {
		t.Errorf("%d files are left, want one", len(left))
	}
	must(t, localapi.Withdraw(dir))
	must(t, localapi.Withdraw(dir)) // twice is once
}

// TestAnnouncementIsWhole: whoever reads while it is written reads all of the
// old one or all of the new one.
func TestAnnouncementIsWhole(t *testing.T) {
	dir := t.TempDir()
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9090}
	write := func() { must(t, localapi.Announce(dir, at, identity.NewSecret(strings.Repeat("t", 4000)))) }
	write()
	whole, err := os.ReadFile(filepath.Join(dir, localapi.TokenFile))
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			write()
		}
	}()
	for reads := 0; ; reads++ {
		text, err := os.ReadFile(filepath.Join(dir, localapi.TokenFile))
		must(t, err)
		if !bytes.Equal(text, whole) {
			t.Fatalf("read %d: %d bytes of %d", reads, len(text), len(whole))
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
