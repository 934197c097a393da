package strictwire

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// foyer is a TLS listener whose connections are counted as they come out.
func foyer(t *testing.T, patience time.Duration) (addr string, out chan net.Conn, end func()) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(inner, Config{TLS: certificate(t), HandshakeTimeout: patience})
	out = make(chan net.Conn, 8)
	go func() {
		defer close(out)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			out <- conn
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return inner.Addr().String(), out, func() { _ = l.Close() }
}

func dialTLS(t *testing.T, addr string, protocols ...string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// TestFoyer: R58. Whoever has not sent a head yet is not handed on and gone in
// time; whoever has, is, with every byte.
func TestFoyer(t *testing.T) {
	addr, out, _ := foyer(t, 3*time.Second) // the quick one comes out in that, on a busy machine too
	silent, slow := dialTLS(t, addr, "http/1.1"), dialTLS(t, addr, "http/1.1")
	_, _ = io.WriteString(slow, "GET /slow HTTP/1.1\r\nHost: a\r\n")
	quick := dialTLS(t, addr, "http/1.1")
	const head = "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, b := range []byte(head) { // a record each
		_, _ = quick.Write([]byte{b})
	}
	conn := <-out
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil || request.RequestURI != "/quick" {
		t.Fatalf("%v %v", request, err)
	}
	for name, late := range map[string]*tls.Conn{"silent": silent, "slow": slow} {
		if n, err := io.Copy(io.Discard, late); n > 0 || err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
	select {
	case conn := <-out:
		t.Errorf("%v was handed on without a head", conn.RemoteAddr())
	default:
	}
}

// TestFoyerCloses: Close ends who waits there.
func TestFoyerCloses(t *testing.T) {
	addr, out, end := foyer(t, time.Minute)
	waiting := dialTLS(t, addr, "http/1.1")
	_, _ = io.WriteString(waiting, "GET / HTTP/1.1\r\n")
	passing := dialTLS(t, addr, "http/1.1") // the one before is in the foyer or about to be
	_, _ = io.WriteString(passing, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = (<-out).Close()
	end()
	if _, err := io.Copy(io.Discard, waiting); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("somebody still waits")
	}
}

// TestFoyerLongHeads: more than freeHead goes on with a turn only.
func TestFoyerLongHeads(t *testing.T) {
	g, config := secure(t, func(cfg *Config) { cfg.MaxLongHeads = 1 })
	over := func(text string) net.Conn {
		conn := tls.Client(g.dial(t), config)
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	first := over(long)
	if got := answered(t, over("GET /short HTTP/1.1\r\nHost: a\r\n\r\n")); got != http.StatusOK {
		t.Fatalf("a short head: %d", got)
	}
	second := over(long + "\r\n\r\n")
	if _, err := io.WriteString(first, "\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]net.Conn{"first": first, "second": second} {
		if got := answered(t, conn); got != http.StatusOK {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// noted is a connection that remembers its read deadline.
type noted struct {
	net.Conn
	at time.Time
}

// SetReadDeadline implements net.Conn.
func (n *noted) SetReadDeadline(at time.Time) error {
	n.at = at
	return nil
}

// TestFirstRequestIsBounded: R58. Deadlines of the first request are held to a
// moment counted from the beginning; later ones, and none at all, are as set.
func TestFirstRequestIsBounded(t *testing.T) {
	below := &noted{}
	plain := &listener{limits: limits{target: 8 << 10, head: 32 << 10, trailers: 2 << 10}, heads: make(heads, 1)}
	c := plain.newConn(below)
	end := time.Now().Add(maxFirst).Round(0)
	c.bound(end)
	for _, test := range []struct{ at, want time.Time }{
		{end.Add(time.Minute), end}, {end.Add(-time.Second), end.Add(-time.Second)}, {time.Time{}, time.Time{}},
	} {
		if _ = c.SetReadDeadline(test.at); !below.at.Equal(test.want) {
			t.Errorf("%v became %v", test.at, below.at)
		}
	}
	const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
	for _, part := range []struct {
		text    string
		bounded bool
	}{{head, true}, {"ab", true}, {"c", false}} {
		if _, err := c.pass([]byte(part.text), false); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(end.Add(time.Minute))
		if bounded := below.at.Equal(end); bounded != part.bounded {
			t.Errorf("after %q: bounded %t", part.text, bounded)
		}
	}
}
