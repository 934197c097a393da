package strictwire

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a real http.Server on a vetted listener.
type rig struct {
	addr  string
	heads heads // of a plain listener

	mu      sync.Mutex
	handled []string // "METHOD uri body"
	refused []string
}

func (g *rig) seen() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.handled...)
}

func (g *rig) reasons() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.refused...)
}

// ServeHTTP echoes the body and notes what came.
func (g *rig) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "body", http.StatusTeapot) // must not reach the client beside our refusal
		return
	}
	g.mu.Lock()
	g.handled = append(g.handled, fmt.Sprintf("%s %s %d", r.Method, r.RequestURI, len(body)))
	g.mu.Unlock()
	w.Header().Set("X-Proto", fmt.Sprintf("%s tls=%t", r.Proto, r.TLS != nil))
	_, _ = w.Write(body)
}

func start(t testing.TB, handler func(*rig) http.Handler, change func(*Config)) *rig {
	t.Helper()
	g := &rig{}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr = inner.Addr().String()
	cfg := Config{
		Headers:   http.Header{"X-Content-Type-Options": {"nosniff"}, "Content-Security-Policy": {"default-src 'none'"}},
		RequestID: func() string { return "reference-1" },
		OnRefuse: func(reason string, _ net.Addr) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.refused = append(g.refused, reason)
		},
	}
	if change != nil {
		change(&cfg)
	}
	server := &http.Server{
		Handler: handler(g), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 32 << 10,
		DisableGeneralOptionsHandler: true,
	}
	vetted := Listen(inner, cfg)
	if l, plain := vetted.(*listener); plain {
		g.heads = l.heads
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(vetted) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return g
}

func echo(g *rig) http.Handler { return g }

func (g *rig) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// exchange sends the input in pieces of the given size and reads to the end.
func (g *rig) exchange(t testing.TB, input string, piece int) string {
	t.Helper()
	conn := g.dial(t)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for len(input) > 0 {
			n := min(piece, len(input))
			if _, err := io.WriteString(conn, input[:n]); err != nil {
				return // refused already
			}
			input = input[n:]
		}
	}()
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("the connection did not end cleanly after %q: %v", answer, err)
	}
	_ = conn.Close()
	<-sent
	return string(answer)
}

// answers parses a stream of responses to the given number of requests or to its end.
func answers(t testing.TB, stream string) []*http.Response {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(stream))
	var all []*http.Response
	for {
		if _, err := r.Peek(1); err != nil {
			return all
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("not a response: %v in %q", err, stream)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body = io.NopCloser(strings.NewReader(string(body)))
		all = append(all, resp)
	}
}

// certificate borrows the one of httptest.
func certificate(t testing.TB) *tls.Config {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Close()
	return &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS13}
}
