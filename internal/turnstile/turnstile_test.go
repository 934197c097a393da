package turnstile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kdgate/internal/lockedbuffer"
)

const patience = 30 * time.Second

// gate is a server behind a turnstile.
type gate struct {
	*Turnstile
	addr string
	shed atomic.Int64
	log  *lines
	hold chan struct{} // requests for /hold wait for it
}

// lines is a log that is counted.
type lines struct{ lockedbuffer.Buffer }

func (l *lines) count() int { return strings.Count(l.String(), "\n") }

func newGate(t *testing.T, cfg Config) *gate {
	t.Helper()
	g := &gate{log: &lines{}, hold: make(chan struct{})}
	cfg.OnShed = func() { g.shed.Add(1) }
	cfg.Logger = slog.New(slog.NewTextHandler(g.log, nil))
	g.Turnstile = New(cfg)
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr = inner.Addr().String()
	server := &http.Server{ReadHeaderTimeout: time.Minute, ConnState: g.Follow, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			<-g.hold
		}
		_, _ = io.WriteString(w, "here")
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(g.Listen(inner)) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return g
}

// from is a connection of the client address 127.0.0.host.
func (g *gate) from(t *testing.T, host byte) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}, Timeout: patience}
	conn, err := dialer.DialContext(t.Context(), "tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// ask sends a request and reports whether it was answered.
func ask(conn net.Conn, path string) error {
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

func isClosed(conn net.Conn) bool {
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || err != nil && !strings.Contains(err.Error(), "timeout")
}

func (g *gate) until(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: %d open, %d shed", what, g.Open(), g.shed.Load())
		}
	}
}

// R58, R61: at the bound of an address, who waits longest goes and the newcomer
// is served; other addresses notice nothing.
func TestTheLongestWaiterGoes(t *testing.T) {
	g := newGate(t, Config{Total: 100, PerAddress: 4})
	neighbour := g.from(t, 9)
	g.until(t, "the neighbour is in", func() bool { return g.Open() == 1 })
	var slow []net.Conn
	for i := range 4 {
		slow = append(slow, g.from(t, 2))
		g.until(t, "the slow one is in", func() bool { return g.Open() == i+2 })
	}
	if err := ask(g.from(t, 2), "/"); err != nil {
		t.Fatalf("the newcomer: %v", err)
	}
	if !isClosed(slow[0]) {
		t.Error("the longest waiter is still there")
	}
	if g.shed.Load() != 1 || g.Open() != 5 {
		t.Errorf("%d shed, %d open", g.shed.Load(), g.Open())
	}
	for i, conn := range append(slow[1:], neighbour) {
		if err := ask(conn, "/"); err != nil {
			t.Errorf("waiter %d: %v", i, err)
		}
	}
}

// Those who never asked go before those who were served and rest.
func TestFreshGoBeforeIdle(t *testing.T) {
	g := newGate(t, Config{Total: 2, PerAddress: 2})
	resting := g.from(t, 2)
	if err := ask(resting, "/"); err != nil {
		t.Fatal(err)
	}
	g.until(t, "it rests", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.rows.idle.Len() == 1 })
	fresh := g.from(t, 3)
	g.until(t, "both are in", func() bool { return g.Open() == 2 })
	if err := ask(g.from(t, 4), "/"); err != nil {
		t.Fatal(err)
	}
	if !isClosed(fresh) {
		t.Error("the fresh one is still there")
	}
	if err := ask(resting, "/"); err != nil {
		t.Errorf("the resting one: %v", err)
	}
}

// Nobody who is being served is sent away: then the newcomer is.
func TestServedStay(t *testing.T) {
	g := newGate(t, Config{Total: 2, PerAddress: 2})
	answers := make(chan error, 2)
	for range 2 {
		conn := g.from(t, 2)
		go func() { answers <- ask(conn, "/hold") }()
	}
	g.until(t, "both are served", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.open == 2 && g.rows.fresh.Len() == 0
	})
	for _, host := range []byte{2, 3} {
		if conn := g.from(t, host); !isClosed(conn) {
			t.Errorf("address %d got in", host)
		}
	}
	close(g.hold)
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	g.until(t, "they rest", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.rows.idle.Len() == 2 })
	if err := ask(g.from(t, 3), "/"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A trusted proxy brings everybody and is held to the total only.
func TestExempt(t *testing.T) {
	g := newGate(t, Config{Total: 6, PerAddress: 1, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}})
	for i := range 5 {
		g.from(t, 2)
		g.until(t, "all are in", func() bool { return g.Open() == i+1 })
	}
	if g.shed.Load() != 0 {
		t.Errorf("%d shed", g.shed.Load())
	}
}

// R61, R63: a flood leaves the count where it was, and one line a second at most.
func TestFloodLeavesNothing(t *testing.T) {
	began := time.Now()
	g := newGate(t, Config{Total: 8, PerAddress: 8})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				conn, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", g.addr)
				if err == nil {
					_ = conn.Close()
				}
			}
		})
	}
	group.Wait()
	g.until(t, "everybody has left", func() bool { return g.Open() == 0 })
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.homes) != 0 || g.rows.fresh.Len()+g.rows.idle.Len() != 0 {
		t.Errorf("left behind: %d addresses, %d waiting", len(g.homes), g.rows.fresh.Len()+g.rows.idle.Len())
	}
	if most := int(time.Since(began)/time.Second) + 1; g.log.count() > most {
		t.Errorf("%d lines in %v", g.log.count(), time.Since(began))
	}
}

// spent is a listener whose process has no descriptor left, some times.
type spent struct {
	net.Listener
	times int
}

func (l *spent) Accept() (net.Conn, error) {
	if l.times == 0 {
		return nil, net.ErrClosed
	}
	l.times--
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
}

// R61: no descriptors is said once a second, with how often it was not said.
func TestNoDescriptors(t *testing.T) {
	log, now := &lines{}, time.Unix(1000, 0)
	gate := New(Config{Total: 1, PerAddress: 1, Logger: slog.New(slog.NewTextHandler(log, nil)), Now: func() time.Time { return now }})
	l := gate.Listen(&spent{times: 30})
	for i := range 30 {
		if _, err := l.Accept(); err == nil {
			t.Fatal("accepted")
		}
		if i%10 == 9 {
			now = now.Add(time.Second)
		}
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if log.count() != 3 || !strings.Contains(log.String(), "left_out=9") {
		t.Errorf("%d lines: %s", log.count(), log.String())
	}
}

func TestAddressOf(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8::1": "2001:db8::/64", "fe80::1": "fe80::/64",
	} {
		conn := stranger{remote: &net.TCPAddr{IP: net.ParseIP(addr)}}
		if got := fmt.Sprint(addressOf(conn)); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if got := addressOf(stranger{remote: &net.UnixAddr{}}); got.IsValid() {
		t.Errorf("a socket file: %v", got)
	}
}

type stranger struct {
	net.Conn
	remote net.Addr
}

func (s stranger) RemoteAddr() net.Addr { return s.remote }
