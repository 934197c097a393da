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

// TestWire proves T54 and R59 at the public listener: shapes that two servers
// may read differently are answered once, with our headers, and the connection
// ends; a good request on the wire is served.
func TestWire(t *testing.T) {
	r := newRig(t)
	g := r.serve(r.load())
	host := g.PublicAddr().String()
	for name, c := range map[string]struct {
		raw    string
		status int
	}{
		"both framings":     {"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n", 400},
		"two equal lengths": {"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400},
		"bare line feeds":   {"GET / HTTP/1.1\nHost: HOST\n\n", 400},
		"folded line":       {"GET / HTTP/1.1\r\nHost: HOST\r\nX-A: b\r\n c\r\n\r\n", 400},
		"long target":       {"GET /" + strings.Repeat("a", 9<<10) + " HTTP/1.1\r\nHost: HOST\r\n\r\n", 414},
		"large head":        {"GET / HTTP/1.1\r\nHost: HOST\r\nX-A: " + strings.Repeat("a", 33<<10) + "\r\n\r\n", 431},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", host)
			must(t, err)
			defer conn.Close()
			must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			go func() { _, _ = io.WriteString(conn, strings.ReplaceAll(c.raw, "HOST", host)) }()
			reader := bufio.NewReader(conn)
			res, err := http.ReadResponse(reader, nil)
			must(t, err)
			_, err = io.Copy(io.Discard, res.Body)
			must(t, err)
			if res.StatusCode != c.status || res.Header.Get("X-Content-Type-Options") != "nosniff" || !res.Close {
				t.Errorf("%d, %v", res.StatusCode, res.Header)
			}
			if rest, _ := io.ReadAll(reader); len(rest) != 0 {
				t.Errorf("a second answer: %.80q", rest)
			}
		})
	}
}
