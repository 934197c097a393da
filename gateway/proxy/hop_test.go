package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wire is a raw connection to a replica, as a browser's cookies would have it.
type wire struct {
	net.Conn
	in   *bufio.Reader
	t    testing.TB
	head string // Host and Cookie
}

func (b *browser) wire() *wire {
	b.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(b.t.Context(), "tcp", b.at.Listener.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	host := strings.TrimPrefix(b.at.URL, "http://")
	return &wire{conn, bufio.NewReader(conn), b.t, "Host: " + host + "\r\nOrigin: http://" + host + "\r\nCookie: " + b.cookieHeader() + "\r\n"}
}

// send writes a request: its line, more fields, and what follows the head.
func (w *wire) send(line, fields, rest string) {
	w.t.Helper()
	if _, err := io.WriteString(w, line+"\r\n"+w.head+fields+"\r\n"+rest); err != nil {
		w.t.Fatal(err)
	}
}

// answer reads one whole answer, interim ones too.
func (w *wire) answer(method string) answer {
	w.t.Helper()
	res, err := http.ReadResponse(w.in, &http.Request{Method: method})
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res, string(text)}
}

// Both ways upstream carry the same: what a page posts arrives alike whether its
// size is known, and it goes the short way, or not.
func TestBothWaysAgree(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	fields := "Kdbiz-Info: {\"a\": 1}\r\nX-Kd-User: FORGED\r\nX-Request-Id: FORGED\r\nAccept: a\r\nAccept: b\r\nTe: trailers, deflate\r\n" +
		"Connection: Keep-Alive, Csrf-Token\r\nCsrf-Token: x\r\nX-Forwarded-For: 1.2.3.4\r\nContent-Type: text/plain\r\n"
	arrivals := map[string]arrival{}
	for name, framing := range map[string][2]string{
		"short": {"Content-Length: 5\r\n", "hello"}, "long": {"Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"},
	} {
		w := b.wire()
		w.send("POST /K3Cloud/x.kdsvc?a=%2F&b HTTP/1.1", fields+framing[0], framing[1])
		var got arrival
		a := w.answer(http.MethodPost)
		if err := json.Unmarshal([]byte(a.text), &got); err != nil {
			t.Fatalf("%s: %d %s", name, a.StatusCode, a.text)
		}
		if id := got.Header["X-Request-Id"]; len(id) != 1 || id[0] == "FORGED" || id[0] != a.Header.Get("X-Request-Id") {
			t.Errorf("%s: request id %q", name, id)
		}
		delete(got.Header, "X-Request-Id")
		delete(got.Header, "Content-Length")
		arrivals[name] = got
	}
	if diff := cmp.Diff(arrivals["short"], arrivals["long"]); diff != "" {
		t.Error(diff)
	}
	if got := arrivals["short"].Header; got.Get("Te") != "trailers" || got.Get("Csrf-Token") != "" || got.Get("X-Kd-User") != "" || fmt.Sprint(got["Accept"]) != "[a b]" {
		t.Errorf("%v", got)
	}
}

// Every method and body of a size arrives with the framing that it came with.
func TestMethodsAndBodies(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		for _, size := range []int{0, 1, 16 << 10, 16<<10 + 1, 100_000} {
			body := strings.Repeat("x", size)
			got := b.arrived(method, "/K3Cloud/x.kdsvc", body)
			if got.Method != method || got.Body != body {
				t.Errorf("%s of %d bytes arrived as %s of %d", method, size, got.Method, len(got.Body))
			}
			if want := fmt.Sprint(size); size > 0 && got.Header.Get("Content-Length") != want {
				t.Errorf("%s of %d bytes: length %q", method, size, got.Header.Get("Content-Length"))
			}
		}
	}
	if got := b.arrived(http.MethodPost, "/K3Cloud/x.kdsvc", ""); got.Header.Get("Content-Length") != "0" {
		t.Errorf("an empty POST: %v", got.Header)
	}
}

// HEAD, 304 and 204 have no body, keep what they say of one, and leave the
// connection in order.
func TestNoBody(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		switch {
		case r.Header.Get("If-None-Match") != "":
			w.WriteHeader(http.StatusNotModified)
		case r.URL.Path == "/K3Cloud/gone.js":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
		}
	})
	w := b.wire()
	for range 2 {
		w.send("HEAD /K3Cloud/a.js HTTP/1.1", "", "")
		if a := w.answer(http.MethodHead); a.StatusCode != http.StatusOK || a.text != "" || a.Header.Get("Content-Length") != "5" || a.Header.Get("Etag") != `"v1"` {
			t.Errorf("HEAD: %d %v %q", a.StatusCode, a.Header, a.text)
		}
		w.send("GET /K3Cloud/a.js HTTP/1.1", "If-None-Match: \"v1\"\r\n", "")
		if a := w.answer(http.MethodGet); a.StatusCode != http.StatusNotModified || a.text != "" || a.Header.Get("Etag") != `"v1"` || a.Header.Get("Cache-Control") != "" {
			t.Errorf("304: %d %v %q", a.StatusCode, a.Header, a.text)
		}
		w.send("GET /K3Cloud/gone.js HTTP/1.1", "", "")
		if a := w.answer(http.MethodGet); a.StatusCode != http.StatusNoContent || a.text != "" {
			t.Errorf("204: %d %v %q", a.StatusCode, a.Header, a.text)
		}
		w.send("GET /K3Cloud/a.js HTTP/1.1", "", "")
		if a := w.answer(http.MethodGet); a.StatusCode != http.StatusOK || a.text != "hello" {
			t.Errorf("GET: %d %q", a.StatusCode, a.text)
		}
	}
}

// Trailers pass both ways, announced or not; none that would be a header of
// another person, a cookie or a redirect (T51, T57).
func TestTrailers(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	var came http.Header
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		came = r.Trailer
		w.Header().Set("Trailer", "Sum, Set-Cookie")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("Sum", "1")
		w.Header().Set("Set-Cookie", "kdservice-sessionid=stolen")
		if r.URL.Query().Has("more") {
			w.Header().Set(http.TrailerPrefix+"More", "2")
			w.Header().Set(http.TrailerPrefix+"Server", "IIS")
		}
	})
	for target, want := range map[string]http.Header{
		"/K3Cloud/a.ashx":      {"Sum": {"1"}},
		"/K3Cloud/a.ashx?more": {"Sum": {"1"}, "More": {"2"}},
	} {
		w := b.wire()
		w.send("POST "+target+" HTTP/1.1", "Te: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: Check, X-Kd-User\r\n", "1\r\nx\r\n0\r\nCheck: yes\r\nX-Kd-User: FORGED\r\n\r\n")
		a := w.answer(http.MethodPost)
		if a.text != "body" || cmp.Diff(a.Trailer, want) != "" {
			t.Errorf("%s: %q, trailers %v", target, a.text, a.Trailer)
		}
		if cmp.Diff(came, http.Header{"Check": {"yes"}}) != "" {
			t.Errorf("%s: arrived %v", target, came)
		}
		w = b.wire()
		w.send("GET "+target+" HTTP/1.1", "Te: trailers\r\n", "")
		if a := w.answer(http.MethodGet); a.text != "body" || cmp.Diff(a.Trailer, want) != "" {
			t.Errorf("%s the short way: %q, trailers %v", target, a.text, a.Trailer)
		}
	}
}

// Expect: 100-continue: the body is asked for when Kingdee wants it, and an
// answer without it comes though no body was sent.
func TestExpectContinue(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") == "" {
			t.Error("Kingdee was not asked")
		}
		if r.URL.Query().Has("no") {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		text, _ := io.ReadAll(r.Body)
		_, _ = w.Write(text)
	})
	w := b.wire()
	w.send("POST /K3Cloud/up.ashx HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 5\r\n", "")
	if line, err := w.in.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" || err != nil {
		t.Fatalf("%q %v", line, err)
	}
	if line, err := w.in.ReadString('\n'); line != "\r\n" || err != nil {
		t.Fatalf("%q %v", line, err)
	}
	_, _ = io.WriteString(w, "hello")
	if a := w.answer(http.MethodPost); a.StatusCode != http.StatusOK || a.text != "hello" {
		t.Errorf("%d %q", a.StatusCode, a.text)
	}
	w = b.wire()
	w.send("POST /K3Cloud/up.ashx?no HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 5\r\n", "")
	a := w.answer(http.MethodPost)
	if a.StatusCode == http.StatusContinue { // net/http's Transport may ask before it looks at the answer
		a = w.answer(http.MethodPost)
	}
	if a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %q", a.StatusCode, a.text)
	}
}

// Early hints come before the answer, with their links and nothing else, both ways.
func TestEarlyHints(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Link", "</K3Cloud/a.css>; rel=preload")
		h.Set("Set-Cookie", "kdservice-sessionid=stolen")
		h.Set("Server", "IIS")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		clear(h)
		_, _ = io.WriteString(w, "page")
	})
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		var heard []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			names := make([]string, 0, len(header))
			for name := range header {
				names = append(names, name)
			}
			slices.Sort(names)
			heard = append(heard, fmt.Sprint(code, names))
			return nil
		}})
		res, err := b.http.Do(b.request(method, "/K3Cloud/a.aspx", http.NoBody).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if fmt.Sprint(heard) != "[103 [Link] 102 []]" || string(text) != "page" || res.Header.Get("Link") != "" || res.Header.Get("X-Content-Type-Options") == "" {
			t.Errorf("%s: heard %v, then %q %v", method, heard, text, res.Header)
		}
	}
}

// An answer shorter than it said, or one that breaks off, ends the browser's
// connection: it never looks whole, however it went upstream.
func TestTruncated(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	for name, sent := range map[string]string{
		"length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", "chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	} {
		g.kingdee.answer(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, sent)
			_ = conn.Close()
		})
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
			res, err := b.http.Do(b.request(method, "/K3Cloud/x.ashx", strings.NewReader("")))
			if err != nil {
				continue // nothing of it came: not whole either
			}
			text, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err == nil {
				t.Errorf("%s by %s looks whole: %d %q", name, method, res.StatusCode, text)
			}
		}
	}
}

// A client that goes leaves Kingdee too, before the answer and in the middle of
// it, also when the request has a body.
func TestClientGoneAnywhere(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
		for _, begun := range []bool{false, true} {
			t.Run(fmt.Sprint(method, " begun ", begun), func(t *testing.T) {
				started, gone := make(chan struct{}), make(chan struct{})
				g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					if begun {
						_, _ = io.WriteString(w, "beginning")
						_ = http.NewResponseController(w).Flush()
					}
					close(started)
					<-r.Context().Done()
					close(gone)
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					if res, err := b.http.Do(b.request(method, "/K3Cloud/poll.kdsvc", strings.NewReader("x")).WithContext(ctx)); err == nil {
						_, _ = io.Copy(io.Discard, res.Body)
						_ = res.Body.Close()
					}
				}()
				within(t, patience, "the request arrives", started)
				cancel()
				within(t, patience, "Kingdee is left", gone)
			})
		}
	}
}

// An upload that breaks off reaches Kingdee as no whole one.
func TestUploadBreaksOff(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	whole := make(chan string, 10)
	g.kingdee.answer(func(_ http.ResponseWriter, r *http.Request) {
		if text, err := io.ReadAll(r.Body); err == nil {
			whole <- string(text)
		}
	})
	for _, framing := range []string{"Content-Length: 10\r\n\r\nhello", "Content-Length: 100000\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"} {
		w := b.wire()
		fields, rest, _ := strings.Cut(framing, "\r\n\r\n")
		w.send("POST /K3Cloud/up.ashx HTTP/1.1", fields+"\r\n", rest)
		if half, ok := w.Conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
		_, _ = io.Copy(io.Discard, w.in)
	}
	select {
	case text := <-whole:
		t.Errorf("a whole upload arrived: %q", text)
	default:
	}
}

// Connections that Kingdee has closed meanwhile cost nobody a request.
func TestIdleConnectionsDie(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	for range 5 {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if got := b.arrived(method, "/K3Cloud/x.kdsvc", ""); got.User != "user-a1" {
				t.Errorf("%s as %q", method, got.User)
			}
			g.kingdee.CloseClientConnections()
		}
	}
}

// What every answer of a stopping gateway says stays on proxied ones.
func TestHeadersBeforeStay(t *testing.T) {
	g := newRig(t)
	r := g.replica()
	b := r.browser(t).open("a1")
	inner := r.Config.Handler
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Connection", "close")
		inner.ServeHTTP(w, req)
	})
	g.kingdee.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "X-Private, keep-alive")
		w.Header().Set("X-Private", "hop")
		w.Header().Set("X-Public", "end")
	})
	if a := b.get("/K3Cloud/x.ashx"); !a.Close || a.Header.Get("X-Private") != "" || a.Header.Get("X-Public") != "end" {
		t.Errorf("closes %v, %v", a.Close, a.Header)
	}
}
