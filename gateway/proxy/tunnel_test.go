package proxy_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// What a WebSocket client sends right behind its handshake, without waiting for
// the answer, arrives: all of it, in order, before what it sends later.
func TestWebSocketEarlyBytes(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	g.kingdee.answer(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nServer: IIS\r\n\r\n")
		_, _ = io.Copy(conn, rw.Reader)
	})
	for _, early := range []string{"e", "early bytes", strings.Repeat("0123456789", 2000)} {
		w := b.wire()
		w.send("GET /K3Cloud/ws.ashx HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n", early)
		res, err := http.ReadResponse(w.in, nil)
		if err != nil || res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Server") != "" || res.Header.Get("Sec-Websocket-Accept") != "x" {
			t.Fatalf("%v %v", res, err)
		}
		_, _ = io.WriteString(w, "later")
		got := make([]byte, len(early)+len("later"))
		if n, err := io.ReadFull(w.in, got); err != nil || !bytes.Equal(got, []byte(early+"later")) {
			t.Errorf("%d early bytes: %d came back, %v", len(early), n, err)
		}
		if half, ok := w.Conn.(*net.TCPConn); ok { // one way's end is passed on, and the other way's comes back
			_ = half.CloseWrite()
		}
		if rest, err := io.ReadAll(w.in); len(rest) != 0 || err != nil {
			t.Errorf("%q %v", rest, err)
		}
	}
}

// A switch of protocols that was not asked for, or to another one, is no answer.
func TestSwitchedUnasked(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	g.kingdee.answer(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
		_ = conn.Close()
	})
	for method, fields := range map[string]string{"GET": "", "PUT": "Content-Length: 0\r\n", "HEAD": "Connection: Upgrade\r\nUpgrade: websocket\r\n"} {
		w := b.wire()
		w.send(method+" /K3Cloud/ws.ashx HTTP/1.1", fields, "")
		if a := w.answer(method); a.StatusCode != http.StatusBadGateway {
			t.Errorf("%s: %d", method, a.StatusCode)
		}
	}
}

// T54, T56: nothing but a WebSocket gets a connection of its own to Kingdee: over
// h2c a client would speak to it past every rule of ours. The request itself
// passes as an ordinary one.
func TestOnlyWebSocketsSwitch(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		if kind := r.Header.Get("Upgrade"); kind != "" { // a server that switches to whatever is asked for
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", kind)
			w.WriteHeader(http.StatusSwitchingProtocols)
			return
		}
		_, _ = io.WriteString(w, "ordinary")
	})
	for name, fields := range map[string]string{
		"h2c":            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
		"TLS":            "Connection: upgrade\r\nUpgrade: TLS/1.2\r\n",
		"list":           "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
		"two fields":     "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
		"odd space":      "Connection: Upgrade\r\nUpgrade: websocket\u00a0\r\n",
		"not the hop's":  "Upgrade: h2c\r\n",
		"of another one": "Connection: Upgrade\r\nUpgrade: IRC/6.9, RTA/x11\r\n",
	} {
		for _, method := range []string{"GET", "POST"} {
			w := b.wire()
			w.send(method+" /K3Cloud/html5/x.ashx HTTP/1.1", fields+"Content-Length: 0\r\n", "")
			if a := w.answer(method); a.StatusCode == http.StatusSwitchingProtocols || a.StatusCode == http.StatusOK && a.text != "ordinary" {
				t.Errorf("%s %s: %d %q", method, name, a.StatusCode, a.text)
			}
		}
	}
}
