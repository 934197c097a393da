package proxy_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"kdgate/gateway/proxy"
	"kdgate/identity"
)

// longerThan is a time that the listener's own deadlines would not survive.
const longerThan = 2 * listenerLimit

// bulk is how much is sent up and down: 200 MB, less where every check costs.
func bulk() int64 {
	if testing.Short() || os.Getenv("CI") != "" {
		return 32 << 20
	}
	return 200 << 20
}

// A download and an upload of any size pass in bounded memory, byte for byte.
func TestBulk(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	size := bulk()
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			sum := sha256.New()
			n, err := io.Copy(sum, r.Body)
			_, _ = fmt.Fprintf(w, "%d %x %v", n, sum.Sum(nil), err)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.Copy(w, io.LimitReader(pattern{}, size))
	})
	want := sha256.New()
	_, _ = io.Copy(want, io.LimitReader(pattern{}, size))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)

	res := b.send(http.MethodGet, "/K3Cloud/download.ashx", http.NoBody)
	got := sha256.New()
	n, err := io.Copy(got, res.Body)
	res.Body.Close()
	if err != nil || n != size || hex.EncodeToString(got.Sum(nil)) != hex.EncodeToString(want.Sum(nil)) {
		t.Errorf("download: %d bytes, %v", n, err)
	}
	res = b.send(http.MethodPost, "/K3Cloud/upload.ashx", io.LimitReader(pattern{}, size))
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if string(text) != fmt.Sprintf("%d %x <nil>", size, want.Sum(nil)) {
		t.Errorf("upload: %s", text)
	}
	runtime.ReadMemStats(&after)
	// Everything is in this process: both ends, the proxy, and their buffers.
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("%d MiB were allocated for %d MiB", used>>20, 2*size>>20)
	}
}

type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i * 7)
	}
	return len(p), nil
}

// Slow traffic lives as long as bytes move, whatever the listener's deadlines.
func TestSlowTraffic(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	tick := listenerLimit / 3
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/K3Cloud/poll.kdsvc": // says nothing for long
			pause(r.Context(), longerThan)
			_, _ = io.WriteString(w, "news")
		case "/K3Cloud/drip.ashx":
			for range 7 {
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
				pause(r.Context(), tick)
			}
		case "/K3Cloud/slow-upload.ashx":
			text, err := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%s %v", text, err)
		}
	})
	for path, want := range map[string]string{"/K3Cloud/poll.kdsvc": "news", "/K3Cloud/drip.ashx": "xxxxxxx"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			if a := b.do(http.MethodPost, path, "ap0=1"); a.StatusCode != http.StatusOK || a.text != want {
				t.Errorf("%d %q", a.StatusCode, a.text)
			}
			if a := b.get(path); a.StatusCode != http.StatusOK || a.text != want {
				t.Errorf("%d %q", a.StatusCode, a.text)
			}
		})
	}
	t.Run("upload", func(t *testing.T) {
		t.Parallel()
		reader, writer := io.Pipe()
		go func() {
			for range 7 {
				_, _ = io.WriteString(writer, "y")
				pause(t.Context(), tick)
			}
			_ = writer.Close()
		}()
		res := b.send(http.MethodPost, "/K3Cloud/slow-upload.ashx", reader)
		defer res.Body.Close()
		if text, err := io.ReadAll(res.Body); string(text) != "yyyyyyy <nil>" {
			t.Errorf("%q %v", text, err)
		}
	})
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// An event stream comes as it is written, not when it is full.
func TestEventStream(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	next := make(chan string)
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for line := range next {
			_, _ = io.WriteString(w, line+"\n")
			_ = http.NewResponseController(w).Flush()
		}
	})
	go func() { next <- "first" }() // an answer with nothing in it yet is no answer
	res := b.send(http.MethodGet, "/K3Cloud/events.ashx", http.NoBody)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || lines.Text() != "first" {
		t.Fatalf("%q %v", lines.Text(), lines.Err())
	}
	for _, want := range []string{"second", "third"} {
		next <- want // the next one is written only when this one has come
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("%q %v", lines.Text(), lines.Err())
		}
	}
	close(next)
}

// Somebody who stops reading does not hold a connection to Kingdee for ever.
func TestStalledReader(t *testing.T) {
	g := newRig(t)
	b := g.replica(func(c *proxy.Config) { c.Limits.Stall = time.Second }).browser(t).open("a1")
	gone := make(chan struct{})
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		_, _ = io.Copy(w, pattern{}) // until nobody takes it any more
	})
	res := b.send(http.MethodGet, "/K3Cloud/endless.ashx", http.NoBody)
	defer res.Body.Close()
	within(t, patience, "the stalled download ends", gone)
}

// A request whose client has gone leaves Kingdee too.
func TestClientGone(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	started, gone := make(chan struct{}), make(chan struct{})
	g.kingdee.answer(func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		res, err := b.http.Do(b.request(http.MethodGet, "/K3Cloud/poll.kdsvc", http.NoBody).WithContext(ctx))
		if err == nil {
			res.Body.Close()
		}
	}()
	within(t, patience, "the request arrives", started)
	cancel()
	within(t, patience, "Kingdee is left", gone)
}

// An answer that breaks off in the middle breaks off here too, and is not a short one that looks whole.
func TestBrokenAnswer(t *testing.T) {
	g := newRig(t)
	b := g.replica().browser(t).open("a1")
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("early") {
			_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	res := b.send(http.MethodGet, "/K3Cloud/x.ashx", http.NoBody)
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the broken answer looks whole")
	}
	if a := b.do(http.MethodPost, "/K3Cloud/x.ashx?early", "x"); a.StatusCode != http.StatusBadGateway || a.code() != "KD-401" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

// A Kingdee that takes too long is a friendly page.
func TestSlowKingdee(t *testing.T) {
	g := newRig(t)
	b := g.replica(func(c *proxy.Config) { c.Limits.Wait = 300 * time.Millisecond }).browser(t).open("a1")
	g.kingdee.answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if a := b.get("/K3Cloud/x.aspx", navigation); a.StatusCode != http.StatusBadGateway || a.code() != "KD-401" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

// echo is a WebSocket in Kingdee that tells its end.
func echo(gone chan<- struct{}) http.HandlerFunc {
	server := websocket.Server{Handler: func(conn *websocket.Conn) {
		_, _ = io.Copy(conn, conn)
		close(gone)
	}}
	return server.ServeHTTP
}

// dial opens a WebSocket as a page does.
func (b *browser) dial(origin string) (*websocket.Conn, error) {
	cfg, err := websocket.NewConfig("ws"+strings.TrimPrefix(b.at.URL, "http")+"/K3Cloud/html5/notify.ashx", origin)
	if err != nil {
		return nil, err
	}
	cfg.Header = http.Header{"Cookie": {b.cookieHeader()}}
	return cfg.DialContext(b.t.Context())
}

// F8: a WebSocket passes, outlives the listener's deadlines, and its handshake
// needs a session and our own origin (T110).
func TestWebSocket(t *testing.T) {
	g := newRig(t)
	r := g.replica()
	b := r.browser(t).open("a1")
	gone := make(chan struct{})
	g.kingdee.answer(echo(gone))
	conn, err := b.dial(b.at.URL)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if i > 0 {
			pause(t.Context(), longerThan/2)
		}
		sent := fmt.Sprintf("message %d", i)
		var got string
		if err := websocket.Message.Send(conn, sent); err != nil {
			t.Fatal(err)
		}
		if err := websocket.Message.Receive(conn, &got); err != nil || got != sent {
			t.Fatalf("%q %v", got, err)
		}
	}
	_ = conn.Close()
	within(t, patience, "Kingdee's end closes", gone)
	g.kingdee.answer(func(http.ResponseWriter, *http.Request) { t.Error("a refused handshake reached Kingdee") })
	if _, err := b.dial("https://evil.example"); err == nil {
		t.Error("a page of another origin has a socket")
	}
	if _, err := r.browser(t).dial(b.at.URL); err == nil {
		t.Error("nobody has a socket")
	}
}

// cuts are the ways in which a session ends.
var cuts = map[string]func(t *testing.T, here, elsewhere *replica, b *browser){
	"one, elsewhere": func(t *testing.T, _, elsewhere *replica, _ *browser) {
		list, err := elsewhere.sessions.List(t.Context(), subject("a1"))
		if err != nil || len(list) != 1 {
			t.Fatalf("%v %v", list, err)
		}
		if err := elsewhere.sessions.EndOne(t.Context(), subject("a1"), list[0].Handle); err != nil {
			t.Fatal(err)
		}
	},
	"all, elsewhere": func(t *testing.T, _, elsewhere *replica, _ *browser) {
		if n, err := elsewhere.sessions.EndAll(t.Context(), subject("a1")); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	},
	"all, here": func(t *testing.T, here, _ *replica, _ *browser) {
		if n, err := here.sessions.EndAll(t.Context(), subject("a1")); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	},
	"sign-out": func(t *testing.T, _, _ *replica, b *browser) {
		if a := b.do(http.MethodPost, "/signout", ""); a.StatusCode != http.StatusSeeOther {
			t.Fatal(a.StatusCode)
		}
	},
}

func subject(user string) identity.Subject {
	return identity.Subject{Corp: "dingcorp1", UserID: user}
}

// T40, T110: whatever is open ends within a second of its session, wherever
// that was ended; somebody else's does not.
func TestSessionEndCuts(t *testing.T) {
	for name, end := range cuts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t)
			here, elsewhere := g.replica(), g.replica()
			b := here.browser(t).open("a1")
			poll := openPoll(t, g, b)
			stream := openStream(t, g, b)
			socket, socketGone := openSocket(t, g, b)
			stalled := openStalled(t, g, b)
			other, otherGone := openSocket(t, g, here.browser(t).open("b2"))
			defer other.Close()

			began := time.Now()
			end(t, here, elsewhere, b)
			within(t, patience, "the long poll ends", poll)
			within(t, patience, "the stream ends", stream)
			within(t, patience, "the socket ends in Kingdee", socketGone)
			within(t, patience, "a download that nobody reads ends", stalled)
			if _, err := socket.Read(make([]byte, 1)); err == nil {
				t.Error("the browser's socket is open")
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("cut after %v", took)
			}
			select {
			case <-otherGone:
				t.Error("somebody else's socket was cut")
			default:
			}
		})
	}
}

// rows says who stands; everybody does who is not barred.
type rows struct{ barred sync.Map }

func (r *rows) Stands(_ context.Context, who identity.Subject, loginUser string) bool {
	_, barred := r.barred.Load(who.UserID + "=" + loginUser)
	return !barred
}

// T40: whoever is suspended, or mapped to somebody else, while they work in
// Kingdee is out with the next request, and what is open ends soon, although the
// session lives: a page load meets the launch, which says why.
func TestSuspensionCuts(t *testing.T) {
	g := newRig(t)
	table := &rows{}
	here := g.replica(func(c *proxy.Config) { c.Standing, c.Limits.Standing = table, 50*time.Millisecond })
	b, other := here.browser(t).open("a1"), here.browser(t).open("b2")
	poll, stream := openPoll(t, g, b), openStream(t, g, b)
	socket, socketGone := openSocket(t, g, b)
	stalled := openStalled(t, g, b)
	_, otherGone := openSocket(t, g, other)
	before := g.kingdee.requests.Load()
	table.barred.Store("a1=user-a1", true)
	within(t, patience, "the long poll ends", poll)
	within(t, patience, "the stream ends", stream)
	within(t, patience, "the socket ends in Kingdee", socketGone)
	within(t, patience, "a download that nobody reads ends", stalled)
	if _, err := socket.Read(make([]byte, 1)); err == nil {
		t.Error("the browser's socket is open")
	}
	if a := b.get("/K3Cloud/html5/x.aspx", navigation); a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.location(), "/launch/live") {
		t.Errorf("a page: %d %s", a.StatusCode, a.location())
	}
	if a := b.do(http.MethodPost, "/K3Cloud/a.common.kdsvc", "ap0=1"); a.StatusCode != http.StatusUnauthorized || a.code() != "KD-404" {
		t.Errorf("a call: %d %s", a.StatusCode, a.text)
	}
	if n := g.kingdee.requests.Load() - before; n != 0 {
		t.Errorf("%d requests reached Kingdee", n)
	}
	g.kingdee.answer(g.kingdee.mirror)
	select {
	case <-otherGone:
		t.Error("somebody else's socket was cut")
	default:
	}
	if got := other.arrived(http.MethodGet, "/K3Cloud/html5/x.ashx", ""); got.User != "user-b2" {
		t.Errorf("somebody else: %+v", got)
	}
	table.barred.Delete("a1=user-a1")
	if got := b.arrived(http.MethodGet, "/K3Cloud/html5/x.ashx", ""); got.User != "user-a1" {
		t.Errorf("reinstated: %+v", got)
	}
}

// openPoll starts a long poll; the channel closes when it was answered 401 or broke off.
func openPoll(t *testing.T, g *rig, b *browser) <-chan struct{} {
	t.Helper()
	started, done := make(chan struct{}), make(chan struct{})
	g.kingdee.answer(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does a server notice that its client has gone
		close(started)
		<-r.Context().Done()
	})
	request := b.request(http.MethodPost, "/K3Cloud/_pr_.kdsvc", strings.NewReader("ap0=1"))
	go func() {
		defer close(done)
		res, err := b.http.Do(request)
		if err != nil {
			return
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("long poll: %d", res.StatusCode)
		}
	}()
	within(t, patience, "the long poll arrives", started)
	return done
}

// openStream reads an answer that goes on.
func openStream(t *testing.T, g *rig, b *browser) <-chan struct{} {
	t.Helper()
	g.kingdee.answer(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "beginning")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	res := b.send(http.MethodGet, "/K3Cloud/stream.ashx", http.NoBody)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err == nil {
			t.Error("the cut stream looks whole")
		}
	}()
	return done
}

// openSocket opens a WebSocket that says nothing.
func openSocket(t *testing.T, g *rig, b *browser) (*websocket.Conn, <-chan struct{}) {
	t.Helper()
	gone := make(chan struct{})
	g.kingdee.answer(echo(gone))
	conn, err := b.dial(b.at.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // and is not collected before, which would close it too
	_ = conn.SetReadDeadline(time.Now().Add(2 * patience))
	return conn, gone
}

// openStalled downloads without reading.
func openStalled(t *testing.T, g *rig, b *browser) <-chan struct{} {
	t.Helper()
	gone := make(chan struct{})
	g.kingdee.answer(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, pattern{})
		close(gone)
	})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(b.at.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET /K3Cloud/endless.ashx HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n", strings.TrimPrefix(b.at.URL, "http://"), b.cookieHeader())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return gone
}
