package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// T54: a request that two programs could cut in two places is answered 400 and
// the connection ends; Kingdee sees nothing of it, and never a request more
// than came in at the front.
func TestSmuggling(t *testing.T) {
	g := newRig(t)
	r := g.replica()
	b := r.browser(t).open("a1")
	var smuggled atomic.Int64
	g.kingdee.answer(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "smuggled") {
			smuggled.Add(1)
		}
		_, _ = io.Copy(io.Discard, req.Body)
	})
	host := strings.TrimPrefix(r.URL, "http://")
	head := "POST /K3Cloud/x.kdsvc HTTP/1.1\r\nHost: " + host + "\r\nCookie: " + b.cookieHeader() + "\r\n"
	hidden := "GET /K3Cloud/smuggled HTTP/1.1\r\nHost: " + host + "\r\nCookie: " + b.cookieHeader() + "\r\n\r\n"
	for name, text := range map[string]string{
		"CL.TE":                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"TE.CL":                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + hidden,
		"two lengths":          "Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + hidden,
		"two equal lengths":    "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + hidden,
		"list of lengths":      "Content-Length: 5, 5\r\n\r\nhello" + hidden,
		"signed length":        "Content-Length: +5\r\n\r\nhello" + hidden,
		"length in hex":        "Content-Length: 0x5\r\n\r\nhello" + hidden,
		"negative length":      "Content-Length: -1\r\n\r\n" + hidden,
		"TE in capitals twice": "Transfer-Encoding: CHUNKED\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
		"TE list":              "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + hidden,
		"TE unknown":           "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden,
		"TE vertical tab":      "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + hidden,
		"space before colon":   "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden,
		"folded":               "X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello" + hidden,
		"bare line feeds":      "Content-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n" + hidden,
		"bare carriage return": "X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello" + hidden,
		"chunk size sign":      "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n" + hidden,
		"chunk ends in LF":     "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n" + hidden,
		"NUL in a header":      "X-A: b\x00c\r\nContent-Length: 5\r\n\r\nhello" + hidden,
		"no host":              "Host: other\r\nContent-Length: 5\r\n\r\nhello" + hidden,
	} {
		t.Run(name, func(t *testing.T) {
			before := g.kingdee.requests.Load()
			statuses := exchange(t, r.Listener.Addr().String(), head+text)
			if len(statuses) != 1 || statuses[0] < 400 || statuses[0] > 431 && statuses[0] != http.StatusNotImplemented {
				t.Errorf("answers %v", statuses)
			}
			if n := g.kingdee.requests.Load() - before; n > 1 {
				t.Errorf("%d requests reached Kingdee", n)
			}
		})
	}
	if n := smuggled.Load(); n != 0 {
		t.Errorf("%d hidden requests reached Kingdee", n)
	}
	before := g.kingdee.requests.Load()
	chunked := head + "Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\n\r\n"
	plain := head + "Content-Length: 5\r\n\r\nhello"
	if got := exchange(t, r.Listener.Addr().String(), plain+plain+plain); fmt.Sprint(got) != "[200 200 200]" || g.kingdee.requests.Load()-before != 3 {
		t.Errorf("three honest requests: %v, %d reached Kingdee", got, g.kingdee.requests.Load()-before)
	}
	if got := exchange(t, r.Listener.Addr().String(), chunked); len(got) != 1 || got[0] != 200 && got[0] != 400 {
		t.Errorf("a chunk extension: %v", got)
	}
}

// exchange writes raw text and gives the statuses of all answers, until the
// connection ends or says nothing more.
func exchange(t *testing.T, addr, text string) []int {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * listenerLimit))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	var statuses []int
	for in := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return statuses
		}
		_, _ = io.Copy(io.Discard, res.Body)
		statuses = append(statuses, res.StatusCode)
	}
}
