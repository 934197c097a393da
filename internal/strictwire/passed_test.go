package strictwire

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// passes are whole streams of good requests, the last with Connection: close,
// and what the handler sees of them.
var passes = []struct {
	name, input string
	seen        []string
}{
	{"one", "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", []string{"GET /a 0"}},
	{
		"pipelined", strings.Repeat("GET /a?x=%zz HTTP/1.1\r\nHost: a:1\r\n\r\n", 3) + "GET /b HTTP/1.1\r\nHost: [::1]:1\r\nConnection: close\r\n\r\n",
		[]string{"GET /a?x=%zz 0", "GET /a?x=%zz 0", "GET /a?x=%zz 0", "GET /b 0"},
	},
	{
		"bodies", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\r\n\x00\nPUT /b HTTP/1.1\r\nHost: a\r\ntransfer-encoding: CHUNKED \r\nConnection: close\r\n\r\n1\r\n\n\r\n0A\r\n0123456789\r\n00\r\nX-T: y\r\n\r\n",
		[]string{"POST /a 4", "PUT /b 11"},
	},
	{"1.0", "GET /a HTTP/1.0\r\n\r\n", []string{"GET /a 0"}},
	{"1.0 kept", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nPOST /b HTTP/1.0\r\nContent-Length: 1\r\n\r\na", []string{"GET /a 0", "POST /b 1"}},
	{"odd values", "GET /a HTTP/1.1\r\nHost:\t a \r\nEmpty:\r\nX: \xe4\xb8\xad\t\"'\r\n~!#$%&'*+-.^_`|9: x\r\nConnection: close\r\n\r\n", []string{"GET /a 0"}},
	{
		"forms", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nGET http://a:80/x?y HTTP/1.1\r\nHost: a\r\n\r\nGET HTTPS://a?y HTTP/1.1\r\nHost: a\r\n\r\nGET //a/%41 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		[]string{"OPTIONS * 0", "GET http://a:80/x?y 0", "GET HTTPS://a?y 0", "GET //a/%41 0"},
	},
	{"methods", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\nCONNECT a:443 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", []string{"TRACE / 0", "CONNECT a:443 0"}},
	{"target 8192", "GET /" + strings.Repeat("a", 8<<10-1) + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", []string{"GET /" + strings.Repeat("a", 8<<10-1) + " 0"}},
	{"head 32 KiB", fill("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ", 32<<10), []string{"GET /a 0"}},
	{"trailers 2 KiB", "PUT /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nConnection: close\r\n\r\n0\r\n" + fill("X: ", 2<<10), []string{"PUT /b 0"}},
}

func fill(head string, size int) string {
	return head + strings.Repeat("a", size-len(head)-4) + "\r\n\r\n"
}

// TestPassed: what is well-formed reaches the handler unchanged, in any pieces.
func TestPassed(t *testing.T) {
	for _, test := range passes {
		for _, piece := range []int{1 << 20, 7, 1} {
			t.Run(fmt.Sprint(test.name, piece), func(t *testing.T) {
				t.Parallel()
				if len(test.input) > 5000 {
					piece *= 100
				}
				g := start(t, echo, nil)
				stream := g.exchange(t, test.input, piece)
				if seen := g.seen(); !slices.Equal(seen, test.seen) {
					t.Errorf("the handler saw %q, want %q; answer %.200q", seen, test.seen, stream)
				}
				if reasons := g.reasons(); len(reasons) != 0 {
					t.Errorf("refused: %q", reasons)
				}
			})
		}
	}
}

// TestHead: an answer to HEAD has no body, and the next request is found.
func TestHead(t *testing.T) {
	g := start(t, echo, nil)
	stream := g.exchange(t, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 1<<20)
	if n := strings.Count(stream, "HTTP/1.1 200"); n != 2 {
		t.Errorf("%d answers in %q", n, stream)
	}
}

// TestLargeChunkedUploadAndReuse goes through net/http's own client, on one connection.
func TestLargeChunkedUploadAndReuse(t *testing.T) {
	g := start(t, echo, nil)
	transport := &http.Transport{MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	body := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
	for range 3 {
		// A reader of unknown length is sent in chunks.
		resp, err := client.Post("http://"+g.addr+"/up", "text/plain", io.MultiReader(bytes.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		back, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !bytes.Equal(back, body) {
			t.Fatalf("%d bytes came back of %d: %v", len(back), len(body), err)
		}
	}
}

// TestContinue: the interim answer goes out before the body is sent; a fault in
// the body behind it still has our answer.
func TestContinue(t *testing.T) {
	for body, want := range map[string]string{"1\r\na\r\n0\r\n\r\n": "HTTP/1.1 200", "1;\r\na\r\n0\r\n\r\n": "HTTP/1.1 400"} {
		g := start(t, echo, nil)
		conn := g.dial(t)
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
		interim := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
		if _, err := io.ReadFull(conn, interim); err != nil || string(interim) != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("%q %v", interim, err)
		}
		_, _ = io.WriteString(conn, body)
		if rest, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(rest), want) || strings.Count(string(rest), "Connection: close") != 1 {
			t.Errorf("%q, %v; want %s", rest, err, want)
		}
	}
}

// switchTo answers 101 and echoes every byte.
func switchTo(w http.ResponseWriter, _ *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(conn, rw.Reader)
}

// TestWebSocket: after a 101 bytes of any shape pass both ways, in front of a
// handler that takes the connection over and of a reverse proxy.
func TestWebSocket(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(switchTo))
	defer inside.Close()
	target, _ := url.Parse(inside.URL)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	const upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	frames := append([]byte("\x82\xfe\x00\x80\r\n\n\x00 GET / HTTP/9\n"), bytes.Repeat([]byte{0, 0xff, '\n'}, 20_000)...)
	for name, handler := range map[string]http.Handler{"hijack": http.HandlerFunc(switchTo), "proxy": proxy} {
		for _, early := range []bool{false, true} { // early: frames in one segment with the request
			if early && name == "proxy" {
				continue // ReverseProxy forgets what was read ahead, on a bare listener too
			}
			t.Run(fmt.Sprint(name, early), func(t *testing.T) {
				g := start(t, func(*rig) http.Handler { return handler }, nil)
				conn := g.dial(t)
				first := []byte(upgrade)
				if early {
					first = append(first, frames[:40]...)
				}
				_, _ = conn.Write(first)
				r := bufio.NewReader(conn)
				resp, err := http.ReadResponse(r, nil)
				if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
					t.Fatalf("%v %v", resp, err)
				}
				go func() {
					if early {
						_, _ = conn.Write(frames[40:])
					} else {
						_, _ = conn.Write(frames)
					}
				}()
				back := make([]byte, len(frames))
				if _, err := io.ReadFull(r, back); err != nil || !bytes.Equal(back, frames) {
					t.Fatalf("the echo differs: %v", err)
				}
				if reasons := g.reasons(); len(reasons) != 0 {
					t.Errorf("refused: %q", reasons)
				}
			})
		}
	}
}

// TestUpgradeNotAccepted: without a 101 the next request is vetted as ever, and
// a 101 to somebody who asked for nothing switches nothing.
func TestUpgradeNotAccepted(t *testing.T) {
	g := start(t, echo, nil)
	all := answers(t, g.exchange(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET / HTTP/1.1\nHost: a\r\n\r\n", 1<<20))
	if len(all) != 2 || all[0].StatusCode != 200 {
		t.Fatalf("%d answers", len(all))
	}
	checkRefusal(t, all[1:], 400)

	var w watch
	w.begin(false)
	if w.see([]byte("HTTP/1.1 101 Switching Protocols\r\n\r\n")) {
		t.Error("switched unasked")
	}
}

// TestWatch: the status is found in any pieces, behind interim answers.
func TestWatch(t *testing.T) {
	for text, want := range map[string]bool{
		"HTTP/1.1 101 Switching Protocols\r\n\r\n":                        true,
		"HTTP/1.1 103 Early Hints\r\nX: \r\r\n\r\nHTTP/1.1 101 S\r\n\r\n": true,
		"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 S\r\n\r\n":                   false,
		"HTTP/1.1 1": false,
	} {
		for piece := 1; piece <= len(text); piece++ {
			var w watch
			w.begin(true)
			got := false
			for part := range slices.Chunk([]byte(text), piece) {
				got = w.see(part)
			}
			if got != want {
				t.Errorf("%q in pieces of %d: %t", text, piece, got)
			}
		}
	}
}

// TestFileBody: a large answer takes the kernel's way and arrives whole.
func TestFileBody(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 1<<20)
	g := start(t, func(*rig) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, ok := w.(io.ReaderFrom); !ok {
				t.Error("no ReaderFrom")
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			_, _ = io.Copy(w, struct{ io.Reader }{bytes.NewReader(body)})
		})
	}, nil)
	stream := g.exchange(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 1<<20)
	if !strings.HasSuffix(stream, string(body)) {
		t.Errorf("%d bytes", len(stream))
	}
}

// TestReaderFromBeforeStatus: bytes moved before a status line are watched too.
func TestReaderFromBeforeStatus(t *testing.T) {
	client, server := net.Pipe()
	defer func() { _ = client.Close() }()
	c := plainConn{(&listener{refuser: newRefuser(Config{}.withDefaults()), limits: limits{8 << 10, 32 << 10, 2 << 10}}).newConn(server)}
	go func() { _, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n") }()
	if _, err := c.Read(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, client) }()
	if _, err := c.ReadFrom(strings.NewReader("HTTP/1.1 101 S\r\n\r\n")); err != nil || !c.raw.Load() {
		t.Errorf("raw %t, %v", c.raw.Load(), err)
	}
}

// Every byte at every place of a value is judged alike, whether eight are looked
// at together or one by one, with a name before it that is known by its length
// or not.
func TestValueBytes(t *testing.T) {
	for _, name := range []string{"X", "Accept", "Trailing", "X-Fourteen-abc", "X-Seventeen-abcde", "X-A-Name-That-Is-Longer-Than-A-Word"} {
		for at := range 20 {
			for b := range 256 {
				value := []byte("abcdefghijklmnopqrst")
				value[at] = byte(b)
				v := vetter{limits: limits{8 << 10, 32 << 10, 2 << 10}}
				head := "GET / HTTP/1.1\r\nHost: a\r\n" + name + ": " + string(value) + "\r\n\r\n"
				n := v.feed([]byte(head))
				want := b == '\t' || b >= ' ' && b != 0x7f
				if got := v.fault == clean && v.phase == finished && n == len(head); got != want {
					t.Fatalf("%s, byte %#x at %d: passed %v, fault %v", name, b, at, got, v.fault)
				}
			}
		}
	}
}
