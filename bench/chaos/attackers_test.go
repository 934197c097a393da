package chaos

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// mostHeld is how long a connection that does not get on may last (R58).
const mostHeld = 10 * time.Second

// slow holds connections open with heads and bodies that never end, a byte a
// second, and opens a new one for each that is closed.
func slow(ctx context.Context, r *ring) {
	head := "GET /launch/kingdee HTTP/1.1\r\nHost: " + publicHost + "\r\nX-Filler: " + strings.Repeat("a", 28<<10)
	body := "POST /signin/dingtalk HTTP/1.1\r\nHost: " + publicHost + "\r\nContent-Type: application/x-www-form-urlencoded\r\n" +
		"Content-Length: 60000\r\n\r\nstate="
	var group sync.WaitGroup
	hold := func(host byte, start string) {
		for ctx.Err() == nil {
			r.hold(ctx, host, start)
		}
	}
	for i := range r.size.heads + r.size.bodies {
		host, start := byte(attackHost), head
		if i >= r.size.heads {
			host, start = attackHost2, body
		}
		group.Go(func() {
			pause(ctx, time.Duration(i%100)*r.size.during/200) // not in step: one wave of handshakes is no slow client
			hold(host, start)
		})
	}
	// The short form is shorter than the bound, so that one is asked alone.
	lone, end := context.WithTimeout(context.WithoutCancel(ctx), 2*mostHeld)
	defer end()
	group.Go(func() { r.hold(lone, attackHost, head) })
	group.Go(func() { r.hold(lone, attackHost2, body) })
	group.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.held {
		if d > mostHeld {
			r.t.Errorf("a slow connection was left open for %v", d)
			break
		}
	}
}

// hold keeps one connection for as long as it is left open.
func (r *ring) hold(ctx context.Context, host byte, start string) {
	conn, err := r.from(ctx, host, "http/1.1")
	if err != nil {
		r.note("not let in")
		pause(ctx, 100*time.Millisecond)
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	began := time.Now()
	go func() {
		_, err := io.WriteString(conn, start)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for err == nil {
			<-ticker.C
			_, err = conn.Write([]byte("a"))
		}
	}()
	_, _ = io.Copy(io.Discard, conn)
	if ctx.Err() == nil {
		r.note("closed")
		r.keep(time.Since(began))
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// large sends what is too large, by HTTP/1.1 and HTTP/2 (R59).
func large(ctx context.Context, r *ring) {
	for _, c := range []struct {
		name, method, path string
		headers            map[string]string
		body               int64 // bytes, -1: without a length, one GiB
		want               int
	}{
		{"heads of 33 KiB", "GET", "/launch/kingdee", map[string]string{"x-filler": strings.Repeat("a", 33<<10)}, 0, http.StatusRequestHeaderFieldsTooLarge},
		{"heads of 900 fields", "GET", "/launch/kingdee", many(900), 0, http.StatusRequestHeaderFieldsTooLarge},
		{"addresses of 9 KiB", "GET", "/launch/kingdee?x=" + strings.Repeat("a", 9<<10), nil, 0, http.StatusRequestURITooLong},
		{"bodies of 2 MiB", "POST", "/signin/dingtalk", nil, 2 << 20, http.StatusRequestEntityTooLarge},
		{"a body of 1 GiB", "POST", "/signin/dingtalk", nil, -1, http.StatusRequestEntityTooLarge},
		{"a body of 1 GiB for nothing", "POST", "/no/such/page", nil, -1, http.StatusNotFound},
	} {
		for _, protocol := range []string{"http/1.1", "h2"} {
			began := time.Now()
			status, sent, err := r.send(ctx, protocol, c.method, c.path, c.headers, c.body)
			took := time.Since(began)
			r.note(fmt.Sprintf("%s %d", protocol, status))
			if status != c.want && !(status == 0 && c.body < 0) {
				r.t.Errorf("%s by %s: %d, want %d (%v)", c.name, protocol, status, c.want, err)
			}
			if took > 2*time.Second || sent > 16<<20 {
				r.t.Errorf("%s by %s: over after %v and %d MiB", c.name, protocol, took, sent>>20)
			}
		}
	}
	<-ctx.Done()
}

func many(n int) map[string]string {
	headers := map[string]string{}
	for i := range n {
		headers[fmt.Sprintf("x-field-%04d", i)] = "aaaaaaaaaaaaaaaaaaaaaaaa"
	}
	return headers
}

// send makes one request on a connection of its own and says how much of the
// body went out before the connection was over.
func (r *ring) send(ctx context.Context, protocol, method, path string, headers map[string]string, body int64) (status int, sent int64, err error) {
	transport := &http.Transport{
		MaxResponseHeaderBytes: 1 << 20, Protocols: new(http.Protocols),
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return r.from(ctx, attackHost, protocol)
		},
	}
	transport.Protocols.SetHTTP1(protocol == "http/1.1")
	transport.Protocols.SetHTTP2(protocol == "h2")
	door, err := transport.NewClientConn(ctx, "https", publicHost)
	if err != nil {
		return 0, 0, err
	}
	defer door.Close()
	counted := &flow{left: max(body, 0)}
	var reader io.Reader = http.NoBody
	switch {
	case body < 0:
		counted.left = 1 << 30
		reader = struct{ io.Reader }{counted}
	case body > 0:
		reader = counted
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+publicHost+path, reader)
	if err != nil {
		return 0, 0, err
	}
	if body > 0 {
		req.ContentLength = body
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := door.RoundTrip(req)
	if err != nil {
		return 0, counted.read(), err
	}
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode, counted.read(), res.Body.Close()
}

// flow is a body that counts what was taken of it.
type flow struct {
	mu         sync.Mutex
	left, sent int64
}

func (f *flow) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), f.left)
	for i := range n {
		p[i] = 'a'
	}
	f.left -= n
	f.sent += n
	return int(n), nil
}

func (f *flow) read() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent
}

// framer speaks raw HTTP/2.
type framer struct {
	*http2.Framer
	out    *bufio.Writer
	stream uint32
	block  bytes.Buffer
	code   *hpack.Encoder
	gone   chan struct{} // the server has closed
}

// speak opens a connection for frames; nil when it was not let in.
func (r *ring) speak(ctx context.Context) *framer {
	conn, err := r.from(ctx, attackHost, "h2")
	if err != nil {
		r.note("not let in")
		pause(ctx, 100*time.Millisecond)
		return nil
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	f := &framer{out: bufio.NewWriterSize(conn, 64<<10), stream: 1, gone: make(chan struct{})}
	f.Framer = http2.NewFramer(f.out, conn)
	f.AllowIllegalWrites = true
	f.code = hpack.NewEncoder(&f.block)
	_, _ = f.out.WriteString(http2.ClientPreface)
	_ = f.WriteSettings()
	go func() {
		defer close(f.gone)
		defer conn.Close()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if away, ok := frame.(*http2.GoAwayFrame); ok {
				r.note("sent away: " + away.ErrCode.String())
			}
		}
	}()
	return f
}

// headers is the block of a request.
func (f *framer) headers(method, path string) []byte {
	f.block.Reset()
	for _, h := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", publicHost}, {":path", path}} {
		_ = f.code.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	return f.block.Bytes()
}

// again opens connections for as long as the attack lasts and lets misuse use
// each until it is closed.
func (r *ring) again(ctx context.Context, connections int, misuse func(ctx context.Context, f *framer) error) {
	var group sync.WaitGroup
	for range connections {
		group.Go(func() {
			for ctx.Err() == nil {
				f := r.speak(ctx)
				if f == nil {
					continue
				}
				err := misuse(ctx, f)
				if err == nil {
					err = f.out.Flush()
				}
				if errors.Is(err, os.ErrDeadlineExceeded) {
					r.note("blocked")
				}
				select {
				case <-f.gone:
					r.note("closed")
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
	group.Wait()
}

// rapidReset opens streams and takes them back at once (CVE-2023-44487).
func rapidReset(ctx context.Context, r *ring) {
	r.again(ctx, 4, func(ctx context.Context, f *framer) error {
		for ctx.Err() == nil {
			err := f.WriteHeaders(http2.HeadersFrameParam{
				StreamID: f.stream, BlockFragment: f.headers("GET", "/launch/kingdee"), EndStream: true, EndHeaders: true,
			})
			if err == nil {
				err = f.WriteRSTStream(f.stream, http2.ErrCodeCancel)
			}
			if err != nil {
				return err
			}
			f.stream += 2
		}
		return nil
	})
}

// continuation sends headers that never end (CVE-2023-45288).
func continuation(ctx context.Context, r *ring) {
	r.again(ctx, 4, func(ctx context.Context, f *framer) error {
		err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.headers("GET", "/"), EndStream: true})
		f.block.Reset()
		_ = f.code.WriteField(hpack.HeaderField{Name: "x-filler", Value: strings.Repeat("a", 4000), Sensitive: true})
		fragment := bytes.Clone(f.block.Bytes())
		for err == nil && ctx.Err() == nil {
			err = f.WriteContinuation(1, false, fragment)
		}
		return err
	})
}

// emptyFrames sends frames without content on an open stream.
func emptyFrames(ctx context.Context, r *ring) {
	left := r.size.frames
	r.again(ctx, 1, func(ctx context.Context, f *framer) error {
		err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.headers("POST", "/signin/dingtalk"), EndHeaders: true})
		for ; err == nil && left > 0 && ctx.Err() == nil; left-- {
			err = f.WriteData(1, false, nil)
		}
		return err
	})
}

// controlFrames asks for answers that it does not read.
func controlFrames(ctx context.Context, r *ring) {
	r.again(ctx, 2, func(ctx context.Context, f *framer) error {
		var err error
		for i := 0; err == nil && i < r.size.frames && ctx.Err() == nil; i++ {
			if err = f.WriteSettings(); err == nil {
				err = f.WritePing(false, [8]byte{})
			}
		}
		return err
	})
}

// fewFiles opens more connections than the process may open files, and holds them.
func fewFiles(ctx context.Context, r *ring) {
	var group sync.WaitGroup
	for i := range r.size.crowd {
		host := byte(attackHost + i%2)
		group.Go(func() {
			for ctx.Err() == nil {
				r.hold(ctx, host, "GET / HTTP/1.1\r\nHo")
				pause(ctx, time.Second)
			}
		})
	}
	group.Wait()
}

// sparingLog proves R61: no more than a line a second about it, and not none.
func (r *ring) sparingLog() {
	lines := 0
	seconds := map[string]int{}
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "connections are shed") || strings.Contains(line, "no connection can be taken") {
			lines++
			_, at, _ := strings.Cut(line, `"time":"`)
			seconds[at[:min(19, len(at))]]++
		}
	}
	for second, n := range seconds {
		if n > 2 { // one, and one more where the clock's second ends
			r.t.Errorf("%d lines about connections at %s", n, second)
		}
	}
	if lines == 0 {
		r.t.Errorf("the log does not tell that connections were shed\n%s", tail(r.log.String()))
	}
	r.t.Logf("%d lines about connections; %d were shed", lines, r.metric("kdgate_connections_shed_total"))
}

// oneClient proves R62: somebody who asks much too often costs others at most so
// much. Rounds with and without take turns; the middle one of each counts.
func (r *ring) oneClient() {
	var quiet, loud []time.Duration
	for range r.size.rounds {
		quiet = append(quiet, r.measured(func(context.Context) {}))
		loud = append(loud, r.measured(r.pester))
	}
	q, l := middle(quiet), middle(loud)
	ratio := float64(l) / float64(q)
	r.t.Logf("one client at %d requests a second (R62): others' p99 %v, without it %v, ratio %.2f; rounds %v and %v; it met %s",
		r.size.rate, l, q, ratio, loud, quiet, r.words())
	if ratio > r.size.ratio {
		r.t.Errorf("others are slower by %.2f, allowed %.2f", ratio, r.size.ratio)
	}
}

func middle(times []time.Duration) time.Duration {
	return at(sorted(times), 0.5)
}

// measured is the p99 of honest people while something goes on.
func (r *ring) measured(beside func(ctx context.Context)) time.Duration {
	ctx, end := context.WithTimeout(r.t.Context(), r.size.round)
	defer end()
	began := time.Now()
	finish := r.people.pace(r.size.honest / 2)
	var group sync.WaitGroup
	group.Go(func() { beside(ctx) })
	<-ctx.Done()
	finish()
	group.Wait()
	sum := r.people.during(window{began, time.Now()})
	if sum.misled()+sum.inside > 0 {
		r.t.Errorf("one client: %s\n%s", sum, strings.Join(sum.words, "\n"))
	}
	return at(sum.times, 0.99)
}

// pester is one client without cookies that launches and posts codes of its own
// making, over a few connections.
func (r *ring) pester(ctx context.Context) {
	const connections = 10
	var group sync.WaitGroup
	for i := range connections {
		group.Go(func() {
			conn, err := r.from(ctx, attackHost, "http/1.1")
			if err != nil {
				r.note("not let in")
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			request := "GET /launch/kingdee HTTP/1.1\r\nHost: " + publicHost + "\r\nAccept: text/html\r\n\r\n"
			if i%2 == 1 {
				form := "state=" + strings.Repeat("A", 43) + "&nonce=x&code=guess&fragment="
				request = fmt.Sprintf("POST /signin/dingtalk HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\nSec-Fetch-Site: same-origin\r\n"+
					"Cookie: __Host-kdgate-browser=%s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
					publicHost, strings.Repeat("A", 43), len(form), form)
			}
			ticker := time.NewTicker(time.Second * connections / time.Duration(r.size.rate))
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
				if _, err := io.WriteString(conn, request); err != nil {
					return
				}
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				r.note(res.Status[:3])
			}
		})
	}
	group.Wait()
}
