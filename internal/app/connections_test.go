package app

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// R61: connections leave descriptors to everything else.
func TestConnectionsFor(t *testing.T) {
	for _, c := range []struct{ wanted, files, want int }{
		{4096, 0, 4096}, {4096, 1 << 20, 4096}, {4096, 1024, 480}, {4096, 256, 96}, {4096, 64, 8}, {16, 256, 16},
	} {
		if got := connectionsFor(c.wanted, c.files); got != c.want {
			t.Errorf("%d with %d files: %d, want %d", c.wanted, c.files, got, c.want)
		}
	}
}

// R58: past the bound of an address, a client that only holds connections loses
// the oldest, one that asks is answered, and the metrics say so.
func TestConnectionsAreShed(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load(`listen: {address: "localhost:0"}`, `listen: {address: "127.0.0.1:0", connections: 16, connections_per_address: 8}`))
	var held []net.Conn
	for range 20 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.PublicAddr().String())
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHo")
		held = append(held, conn)
	}
	must(t, held[0].SetReadDeadline(time.Now().Add(patience)))
	if _, err := held[0].Read(make([]byte, 1)); err == nil {
		t.Error("the oldest connection was answered")
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.PublicAddr().String())
	must(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /signed-out HTTP/1.1\r\nHost: localhost:8080\r\n\r\n")
	must(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("somebody who asks: %d", res.StatusCode)
	}
	_, text, err := s.get(s.OpsAddr(), "/metrics")
	must(t, err)
	if !strings.Contains(text, "kdgate_connections 8\n") || !strings.Contains(text, "kdgate_connections_shed_total 13\n") {
		t.Errorf("metrics:\n%s", text)
	}
}

// T121: readiness and metrics say which peers are reached without TLS.
func TestReadinessTellsPlaintext(t *testing.T) {
	r := newRig(t)
	if _, answer := r.serve(r.load()).readiness(); len(answer.Plaintext) != 0 {
		t.Errorf("on loopback: %q", answer.Plaintext)
	}
	other := newRig(t)
	cfg := other.load(`url: "`+other.kingdee.URL+`/K3Cloud/"`, `insecure: true, url: "http://erp.example.com/K3Cloud/"`)
	s := other.serve(cfg)
	_, answer := s.readiness()
	if len(answer.Plaintext) != 1 || !strings.Contains(answer.Plaintext[0], "erp.example.com without TLS") || answer.Checks["store"] != "ok" {
		t.Errorf("%+v", answer)
	}
	if _, text, err := s.get(s.OpsAddr(), "/metrics"); err != nil || !strings.Contains(text, "kdgate_plaintext_peers 1\n") {
		t.Errorf("metrics: %v", err)
	}
}
