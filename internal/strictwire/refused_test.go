package strictwire

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

// refusals are whole inputs, each with one fault. Behind most stands a request
// that must never be answered.
var refusals = []struct {
	name, input string
	reason      fault
	status      int
}{
	{"CL and TE", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, twoFramings, 400},
	{"TE and CL", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + smuggled, twoFramings, 400},
	{"equal lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab" + smuggled, lengthTwice, 400},
	{"length list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nab" + smuggled, badLength, 400},
	{"length plus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nab" + smuggled, badLength, 400},
	{"length minus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\nab" + smuggled, badLength, 400},
	{"length empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n" + smuggled, badLength, 400},
	{"length hex", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\nab" + smuggled, badLength, 400},
	{"length spaced", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\nab" + smuggled, badLength, 400},
	{"length huge", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nab", badLength, 400},
	{"length cut", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000000000000000001\r\n\r\nab", badLength, 400},
	{"TE identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n" + smuggled, badCoding, 400},
	{"TE gzip, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", badCoding, 400},
	{"TE xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", badCoding, 400},
	{"TE quoted", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", badCoding, 400},
	{"TE vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", controlByte, 400},
	{"TE twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", badCoding, 400},
	{"TE in 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", badCoding, 400},
	{"bare LF line", "GET / HTTP/1.1\nHost: a\r\n\r\n", bareLF, 400},
	{"bare LF field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", bareLF, 400},
	{"bare LF end", "GET / HTTP/1.1\r\nHost: a\r\n\n" + smuggled, bareLF, 400},
	{"bare CR line", "GET / HTTP/1.1\rHost: a\r\n\r\n", bareCR, 400},
	{"bare CR value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", bareCR, 400},
	{"bare CR end", "GET / HTTP/1.1\r\nHost: a\r\n\rX" + smuggled, bareCR, 400},
	{"fold", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", foldedLine, 400},
	{"fold tab", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", foldedLine, 400},
	{"fold first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", foldedLine, 400},
	{"NUL value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", controlByte, 400},
	{"NUL target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", controlByte, 400},
	{"DEL value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", controlByte, 400},
	{"space before colon", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nabcde", spaceBeforeColon, 400},
	{"name with space", "GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", spaceBeforeColon, 400},
	{"name not token", "GET / HTTP/1.1\r\nHost: a\r\nX(Y): z\r\n\r\n", badName, 400},
	{"name not ASCII", "GET / HTTP/1.1\r\nHost: a\r\nXé: z\r\n\r\n", badName, 400},
	{"no name", "GET / HTTP/1.1\r\nHost: a\r\n: z\r\n\r\n", badName, 400},
	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nXYZ\r\n\r\n", bareCR, 400},
	{"no host", "GET / HTTP/1.1\r\nX: y\r\n\r\n", noHost, 400},
	{"host twice", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", hostTwice, 400},
	{"host with slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", badHost, 400},
	{"host with space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", badHost, 400},
	{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", badVersion, 505},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", badVersion, 505},
	{"h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", badVersion, 505},
	{"http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n", badLine, 400},
	{"HTTP/0.9", "GET /\r\n", bareCR, 400},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", badTarget, 400},
	{"space after version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", badLine, 400},
	{"empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", bareCR, 400},
	{"LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", bareLF, 400},
	{"method not token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", badLine, 400},
	{"long method", strings.Repeat("G", 25) + " / HTTP/1.1\r\nHost: a\r\n\r\n", badLine, 400},
	{"bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", badTarget, 400},
	{"short escape", "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", badTarget, 400},
	{"relative target", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", badTarget, 400},
	{"user in target", "GET http://u@h/ HTTP/1.1\r\nHost: a\r\n\r\n", badTarget, 400},
	{"other scheme", "GET ftp://h/ HTTP/1.1\r\nHost: a\r\n\r\n", badTarget, 400},
	{"expect", "POST / HTTP/1.1\r\nHost: a\r\nExpect: gold\r\nContent-Length: 1\r\n\r\na", badExpect, 417},
	{"chunk extension", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n" + smuggled, chunkExtension, 400},
	{"last chunk extension", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;\r\n\r\n" + smuggled, chunkExtension, 400},
	{"chunk size space", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n", chunkExtension, 400},
	{"chunk bare LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n" + smuggled, bareLF, 400},
	{"chunk data bare LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n" + smuggled, bareLF, 400},
	{"chunk size", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", badChunk, 400},
	{"chunk size empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", bareCR, 400},
	{"chunk size huge", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", badChunk, 400},
	{"chunk longer", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", badChunk, 400},
	{"trailer frames", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", badTrailer, 400},
	{"trailer fold", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\n b\r\n\r\n", foldedLine, 400},
	{"trailers long", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + strings.Repeat("a", 2<<10) + "\r\n\r\n", trailersTooLarge, 431},
	{"trailer named", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X, content-length\r\n\r\n0\r\n\r\n", badTrailer, 400},
	{"target 8193", "GET /" + strings.Repeat("a", 8<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", targetTooLong, 414},
	{"target 40 KB", "GET /" + strings.Repeat("a", 40_000) + " HTTP/1.1\r\nHost: a\r\n\r\n", targetTooLong, 414},
	{"head 33 KiB", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 33<<10) + "\r\n\r\n", headTooLarge, 431},
	{"head of many", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: aaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 1024) + "\r\n", headTooLarge, 431},
	{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", controlByte, 400},
}

// TestRefused: T54, T59, T130, R59. One answer, ours, and the end; the handler
// saw nothing, whether the bytes come at once or one by one.
func TestRefused(t *testing.T) {
	for _, test := range refusals {
		for _, piece := range []int{1 << 20, 1} {
			if piece == 1 && len(test.input) > 5000 {
				piece = 1000
			}
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				g := start(t, echo, nil)
				checkRefusal(t, answers(t, g.exchange(t, test.input, piece)), test.status)
				if seen := g.seen(); len(seen) != 0 {
					t.Errorf("the handler answered %q", seen)
				}
				if reasons := g.reasons(); len(reasons) != 1 || reasons[0] != test.reason.String() {
					t.Errorf("reasons %q, want %q", reasons, test.reason)
				}
			})
		}
	}
}

func checkRefusal(t *testing.T, all []*http.Response, status int) {
	t.Helper()
	if len(all) != 1 {
		t.Fatalf("%d answers, want one", len(all))
	}
	resp := all[0]
	if resp.StatusCode != status || !resp.Close {
		t.Errorf("status %d, close %t; want %d and close", resp.StatusCode, resp.Close, status)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'",
		"Content-Type": "text/plain; charset=utf-8", "X-Request-Id": "reference-1",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if resp.Header.Get("Server") != "" || resp.Header.Get("Date") == "" {
		t.Errorf("headers %v", resp.Header)
	}
	if body, _ := io.ReadAll(resp.Body); string(body) != "KD-300 reference-1\n" {
		t.Errorf("body %q", body)
	}
}

// TestRefusedBehindGood: T54. What stands before the fault is answered, in
// order, before the refusal: also while its handler still runs.
func TestRefusedBehindGood(t *testing.T) {
	const good = "POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := start(t, func(g *rig) http.Handler { return g }, nil)
			all := answers(t, g.exchange(t, good+good+test.input, 1<<20))
			if len(all) != 3 || all[0].StatusCode != 200 || all[1].StatusCode != 200 {
				t.Fatalf("%d answers, want two good ones and a refusal", len(all))
			}
			checkRefusal(t, all[2:], test.status)
			if seen := g.seen(); len(seen) != 2 {
				t.Errorf("the handler answered %q", seen)
			}
		})
	}
}

// TestSlowHandlerAnswersFirst: the refusal of a request that was read ahead
// waits for the handler before it.
func TestSlowHandlerAnswersFirst(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	g := start(t, func(*rig) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(inside)
			<-release
			_, _ = io.WriteString(w, "slow")
		})
	}, nil)
	conn := g.dial(t)
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-inside
	_, _ = io.WriteString(conn, "\x00 / HTTP/1.1\r\n\r\n")
	close(release)
	stream, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	all := answers(t, string(stream))
	if len(all) != 2 || all[0].StatusCode != 200 {
		t.Fatalf("answers %q", stream)
	}
	checkRefusal(t, all[1:], 400)
}

// TestFaultInBody: a handler that already runs has its answer replaced by ours,
// unless its own has begun; either way there is one answer and the end.
func TestFaultInBody(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, begun := range map[string]bool{"not begun": false, "begun": true} {
		t.Run(name, func(t *testing.T) {
			inside := make(chan struct{})
			g := start(t, func(*rig) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if begun {
						control := http.NewResponseController(w)
						_, _ = control.EnableFullDuplex(), control.Flush()
					}
					close(inside)
					if _, err := io.ReadAll(r.Body); err == nil {
						t.Error("the body read to its end")
					}
					_, _ = io.WriteString(w, "from the handler")
				})
			}, nil)
			conn := g.dial(t)
			_, _ = io.WriteString(conn, head)
			<-inside
			_, _ = io.WriteString(conn, "5;x\r\nabcde\r\n0\r\n\r\n"+smuggled)
			stream, _ := io.ReadAll(conn)
			if n := strings.Count(string(stream), "HTTP/1.1 "); n != 1 {
				t.Fatalf("%d answers in %q", n, stream)
			}
			if !begun {
				checkRefusal(t, answers(t, string(stream)), 400)
			} else if !strings.HasPrefix(string(stream), "HTTP/1.1 200") {
				t.Errorf("answer %q", stream)
			}
		})
	}
}

// TestHalfClosed: an end within a head is answered with our headers, an end
// between requests with nothing.
func TestHalfClosed(t *testing.T) {
	for input, count := range map[string]int{"": 0, "GET / HT": 1, "GET / HTTP/1.1\r\nHost: a\r\n": 1, smuggled: 1} {
		g := start(t, echo, nil)
		conn := g.dial(t)
		_, _ = io.WriteString(conn, input)
		_ = conn.(*net.TCPConn).CloseWrite()
		stream, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		all := answers(t, string(stream))
		if len(all) != count {
			t.Fatalf("%q: %d answers", input, len(all))
		}
		if count == 1 && input != smuggled {
			checkRefusal(t, all, 400)
		}
	}
}
