package proxy_test

import (
	"bytes"
	"crypto/rand"
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

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"kdgate/gateway"
	"kdgate/internal/strictwire"
)

// wiretap stands between the gateway and Kingdee and keeps every byte of the
// way there: a server that parses would hide what it mends.
type wiretap struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func tap(t *testing.T, upstream string) (*wiretap, string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { w.relay(near, upstream) })
		}
	})
	t.Cleanup(func() { _ = listener.Close() })
	return w, listener.Addr().String()
}

func (w *wiretap) relay(near net.Conn, upstream string) {
	defer near.Close()
	far, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	defer far.Close()
	go func() {
		_, _ = io.Copy(near, far)
		_ = near.Close()
	}()
	_, _ = io.Copy(io.MultiWriter(w, far), near)
}

func (w *wiretap) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

// take gives what was heard since.
func (w *wiretap) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.text.Reset()
	return w.text.String()
}

// overTLS serves the replica's handler on a second port as the program does
// with a certificate of its own, and gives its address.
func (r *replica) overTLS(t *testing.T) string {
	t.Helper()
	donor := httptest.NewTLSServer(nil)
	certificates := donor.TLS.Certificates
	donor.Close()
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: r.Config.Handler, ReadHeaderTimeout: patience, ErrorLog: r.Config.ErrorLog, MaxHeaderBytes: 64 << 10}
	listener := strictwire.Listen(inner, strictwire.Config{
		TLS:     &tls.Config{MinVersion: tls.VersionTLS13, Certificates: certificates},
		Headers: gateway.Baseline("https"), RequestID: rand.Text,
	})
	go func() { _ = server.Serve(listener) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return inner.Addr().String()
}

// reply is what came back on a stream.
type reply struct {
	status string
	header map[string]string
	ended  string // how it ended otherwise: a reset, or the end of the connection
}

// frames sends one request as it stands, byte for byte, on a connection of its own.
func frames(t *testing.T, addr string, fields [][2]string) reply {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	framer.AllowIllegalWrites = true
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	code := hpack.NewEncoder(&block)
	for _, f := range fields {
		if err == nil {
			err = code.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
	}
	if err == nil {
		err = framer.WriteSettings()
	}
	if err == nil {
		err = writeBlock(framer, block.Bytes())
	}
	if err != nil {
		t.Fatal(err)
	}
	return readReply(framer)
}

func writeBlock(framer *http2.Framer, block []byte) error {
	const most = 16 << 10
	first := min(len(block), most)
	err := framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, EndStream: true, EndHeaders: first == len(block), BlockFragment: block[:first],
	})
	for at := first; err == nil && at < len(block); at += most {
		end := min(len(block), at+most)
		err = framer.WriteContinuation(1, end == len(block), block[at:end])
	}
	return err
}

func readReply(framer *http2.Framer) reply {
	answer := reply{header: map[string]string{}}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			answer.ended = "closed"
			return answer
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, field := range f.Fields {
				answer.header[field.Name] = field.Value
			}
			answer.status = answer.header[":status"]
		case *http2.RSTStreamFrame:
			answer.ended = f.ErrCode.String()
			return answer
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo { // else the answer still comes, and is the last one
				answer.ended = f.ErrCode.String()
				return answer
			}
		}
		if frame.Header().StreamID == 1 && frame.Header().Flags.Has(http2.FlagDataEndStream) {
			return answer
		}
	}
}

// T55, T51, T53: what HTTP/2 can carry and HTTP/1 cannot never reaches Kingdee,
// in whatever field it stands; nor do names of people in any spelling.
func TestHTTP2ToHTTP1(t *testing.T) {
	g := newRig(t)
	heard, address := tap(t, g.kingdee.Listener.Addr().String())
	g.kingdee.URL = "http://" + address
	r := g.replica()
	b := r.browser(t).open("a1")
	addr := r.overTLS(t)
	host := strings.TrimPrefix(r.URL, "http://")
	request := func(change map[string]string, more ...[2]string) [][2]string {
		var fields [][2]string
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", host}, {":path", "/K3Cloud/x.kdsvc"}} {
			if value, ok := change[f[0]]; ok {
				f[1] = value
			}
			fields = append(fields, f)
		}
		return append(append(fields, [2]string{"cookie", b.cookieHeader()}), more...)
	}

	heard.take()
	if got := frames(t, addr, request(nil, [2]string{"x-plain", "passes"})); got.status != "200" {
		t.Fatalf("an honest request: %+v", got)
	}
	if text := heard.take(); strings.Count(text, "HTTP/1.1\r\n") != 1 || !strings.Contains(text, "X-Plain: passes\r\n") {
		t.Fatalf("an honest request arrives as %q", text)
	}

	const sting = "\r\nX-Injected: 1\r\n\r\nGET /K3Cloud/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	path := func(p string) [][2]string { return request(map[string]string{":path": p}) }
	value := func(v string) [][2]string { return request(nil, [2]string{"x-value", v}) }
	name := func(n string) [][2]string { return request(nil, [2]string{n, "X-Injected"}) }
	for what, fields := range map[string][][2]string{
		"CRLF in a value": value("a" + sting), "LF in a value": value("a\nX-Injected: 1"), "CR in a value": value("a\rX-Injected: 1"), "NUL in a value": value("a\x00X-Injected"),
		"CRLF in a name": name("x-a\r\nx-injected"), "colon in a name": name("x-injected: 1\r\nx-b"), "colon": name("x-injected:"), "space in a name": name("x-injected x"),
		"capitals in a name": name("X-Injected"), "empty name": name(""), "NUL in a name": name("x-injected\x00"), "underscore in a name": name("x_injected"), "dot": name("x\x7finjected"),
		"CRLF in the path": path("/K3Cloud/x.kdsvc HTTP/1.1" + sting), "space in the path": path("/K3Cloud/X-Injected HTTP/1.1"), "NUL in the path": path("/K3Cloud/X-Injected\x00"),
		"LF in the path": path("/K3Cloud/X-Injected\n"), "tab in the path": path("/K3Cloud/X-Injected\tx"), "no slash": path("K3Cloud/X-Injected"), "empty path": path(""),
		"absolute path": path("http://evil.example/X-Injected"), "fragment": path("/K3Cloud/X-Injected#x"), "star": path("*"), "query with CRLF": path("/K3Cloud/x.kdsvc?a" + sting),
		"CRLF in the method":    request(map[string]string{":method": "GET / HTTP/1.1" + sting}),
		"space in the method":   request(map[string]string{":method": "GET /K3Cloud/X-Injected"}),
		"CRLF in the authority": request(map[string]string{":authority": host + sting}),
		"user in the authority": request(map[string]string{":authority": "X-Injected@" + host}),
		"other authority":       request(map[string]string{":authority": "x-injected.example"}),
		"CRLF in the scheme":    request(map[string]string{":scheme": "https" + sting}),
		"CRLF in a cookie":      request(nil, [2]string{"cookie", "a=b" + sting}),
		"two paths":             request(nil, [2]string{":path", "/K3Cloud/X-Injected"}),
		"unknown pseudo field":  request(nil, [2]string{":x-injected", "1"}),
		"other host":            request(nil, [2]string{"host", "x-injected.example"}),
		"connection (T53)":      request(nil, [2]string{"connection", "cookie, x-kdgate-assertion"}, [2]string{"x-injected", "1"}),
		"transfer-encoding":     request(nil, [2]string{"transfer-encoding", "chunked"}, [2]string{"x-injected", "1"}),
		"upgrade":               request(nil, [2]string{"upgrade", "websocket"}, [2]string{"x-injected", "1"}),
		"te":                    request(nil, [2]string{"te", "gzip, X-Injected"}),
		"content-length":        request(nil, [2]string{"content-length", "5"}),
		"two content-lengths":   request(nil, [2]string{"content-length", "0"}, [2]string{"content-length", "5"}),
		"trailer":               request(nil, [2]string{"trailer", "X-Injected"}),
	} {
		got := frames(t, addr, fields)
		text := heard.take()
		if strings.Contains(strings.ToLower(text), "injected") || strings.Contains(text, "smuggled") || strings.Count(text, "HTTP/1.1\r\n") > 1 ||
			strings.Contains(text, "Content-Length") {
			t.Errorf("%s: %+v, and Kingdee hears %q", what, got, text)
		}
	}

	for _, name := range []string{ // T51
		"x-staff-id", "x-kd-user", "x-kdgate-assertion", "remote-user", "x-remote-user", "x-forwarded-user", "x-auth-request-user", "x.staff.id", "x-staff.id",
		"x!kd!user", "x~kdgate~user", "auth-user", "x-webauth-user", "forwarded", "x-forwarded-for", "x-api-acctid", "x-user",
	} {
		frames(t, addr, request(nil, [2]string{name, "FORGED"}))
		if text := heard.take(); strings.Contains(text, "FORGED") || !strings.Contains(text, "X-Kdgate-Assertion: signed:a1:user-a1\r\n") {
			t.Errorf("%s: Kingdee hears %q", name, text)
		}
	}
}

// R59, T59: what is too large over HTTP/2 is refused with our own page and
// headers. Past the double of the bound, and where a field is malformed, net/http
// answers by itself and leaves no place for headers: that much is pinned here.
func TestHTTP2Refusals(t *testing.T) {
	r := newRig(t).replica()
	addr := r.overTLS(t)
	host := strings.TrimPrefix(r.URL, "http://")
	ask := func(path string, more ...[2]string) reply {
		return frames(t, addr, append([][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", host}, {":path", path}}, more...))
	}
	filler := func(size int) [2]string { return [2]string{"x-filler", strings.Repeat("a", size)} }
	for what, c := range map[string]struct {
		got  reply
		want string
		ours bool
	}{
		"head of 33 KiB":       {ask("/", filler(33<<10)), "431", true},
		"address of 9 KiB":     {ask("/?" + strings.Repeat("a", 9<<10)), "414", true},
		"encoded slash":        {ask("/launch/%2f"), "400", true},
		"underscore in a name": {ask("/", [2]string{"x_staff_id", "1"}), "400", true},
		"unknown host":         {frames(t, addr, [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "other.example"}, {":path", "/"}}), "421", true},
		"head of 66 KiB":       {ask("/", many(79, filler(800))...), "431", false},
		"connection":           {ask("/", [2]string{"connection", "close"}), "400", false},
	} {
		if c.got.status != c.want {
			t.Errorf("%s: %+v", what, c.got)
		}
		for name := range gateway.Baseline("http") {
			if _, there := c.got.header[strings.ToLower(name)]; there != c.ours && name != "X-Content-Type-Options" { // net/http sets that one
				t.Errorf("%s: %s there: %v", what, name, there)
			}
		}
	}
	if got := fmt.Sprint(ask("/signed-out").status); got != "200" {
		t.Errorf("an honest request: %s", got)
	}
}

func many(n int, field [2]string) [][2]string {
	var fields [][2]string
	for i := range n {
		fields = append(fields, [2]string{fmt.Sprintf("%s-%d", field[0], i), field[1]})
	}
	return fields
}
