package strictwire

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func secure(t testing.TB, change func(*Config)) (*rig, *tls.Config) {
	t.Helper()
	server := certificate(t)
	roots := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(server.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(leaf)
	g := start(t, echo, func(cfg *Config) {
		cfg.TLS = server
		if change != nil {
			change(cfg)
		}
	})
	return g, &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}
}

// TestBothProtocols: HTTP/2 and HTTP/1.1 over TLS through http.Server.Serve; both
// handlers see Request.TLS.
func TestBothProtocols(t *testing.T) {
	g, config := secure(t, nil)
	for _, proto := range []string{"HTTP/2.0", "HTTP/1.1"} {
		transport := &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: proto == "HTTP/2.0"}
		for range 2 {
			resp, err := (&http.Client{Transport: transport}).Post("https://"+g.addr+"/x", "text/plain", strings.NewReader("abc"))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if got := resp.Header.Get("X-Proto"); got != proto+" tls=true" || string(body) != "abc" {
				t.Errorf("%s: handler saw %q, body %q", proto, got, body)
			}
		}
		transport.CloseIdleConnections()
	}
}

// TestRefusedOverTLS: T54, the same answer inside TLS, and a clean end of it.
func TestRefusedOverTLS(t *testing.T) {
	g, config := secure(t, nil)
	for _, test := range refusals {
		conn := tls.Client(g.dial(t), config)
		go func() { _, _ = io.WriteString(conn, test.input) }()
		stream, err := io.ReadAll(conn)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		checkRefusal(t, answers(t, string(stream)), test.status)
		_ = conn.Close()
	}
	if seen := g.seen(); len(seen) != 0 {
		t.Errorf("the handler answered %q", seen)
	}
}

// TestPlainToTLS: plain HTTP on a TLS port has our answer, not net/http's.
func TestPlainToTLS(t *testing.T) {
	g, _ := secure(t, nil)
	checkRefusal(t, answers(t, g.exchange(t, smuggled, 1<<20)), 400)
	if reasons := g.reasons(); len(reasons) != 1 || reasons[0] != plainToTLS.String() {
		t.Errorf("reasons %q", reasons)
	}
}

// TestSilentHandshakes: R58. Clients that connect and say nothing stand in
// nobody's way: the oldest goes when there are too many, and all go in time.
func TestSilentHandshakes(t *testing.T) {
	g, config := secure(t, func(cfg *Config) {
		cfg.MaxHandshakes, cfg.HandshakeTimeout = 4, 3*time.Second
	})
	var silent []net.Conn
	for range 12 {
		silent = append(silent, g.dial(t))
	}
	conn := tls.Client(g.dial(t), config)
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	for _, c := range silent {
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatal("a silent client is still connected")
		}
	}
	crowded := 0
	for _, reason := range g.reasons() {
		if reason == handshakeCrowded.String() {
			crowded++
		}
	}
	if crowded < 8 {
		t.Errorf("%d evicted, want 8 or more", crowded)
	}
}

// TestCloseEndsHandshakes: nothing is left behind by Close, and Accept says so.
func TestCloseEndsHandshakes(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(inner, Config{TLS: certificate(t)})
	failed := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		failed <- err
	}()
	var dialer net.Dialer
	conn, err := dialer.DialContext(context.Background(), "tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write([]byte{0x16})
	_ = l.Close()
	if err := <-failed; err == nil {
		t.Error("Accept gave a connection after Close")
	}
	_, _ = io.Copy(io.Discard, conn) // ends when the handshake was cut
	_ = conn.Close()
	if _, err := l.Accept(); err == nil {
		t.Error("Accept goes on after Close")
	}
}

// brittle fails once, as with too many open files, and then accepts (R61).
type brittle struct {
	net.Listener
	failures chan error
}

func (b *brittle) Accept() (net.Conn, error) {
	select {
	case err := <-b.failures:
		return nil, err
	default:
		return b.Listener.Accept()
	}
}

func TestAcceptFailurePasses(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	failures := make(chan error, 1)
	failures <- io.ErrNoProgress
	l := Listen(&brittle{inner, failures}, Config{TLS: certificate(t)})
	defer func() { _ = l.Close() }()
	if _, err := l.Accept(); !errors.Is(err, io.ErrNoProgress) {
		t.Fatalf("%v", err)
	}
	go func() {
		conn, err := tls.Dial("tcp", inner.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err == nil {
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, bare := conn.(*tls.Conn); !bare {
		t.Errorf("an h2 connection came out as %T", conn)
	}
	_ = conn.Close()
}
