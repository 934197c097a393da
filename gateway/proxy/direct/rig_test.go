package direct_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/gateway/proxy/direct"
)

// patience is how long what happens at once may take on a busy machine.
const patience = 30 * time.Second

// visit is one connection to the origin: the script reads requests from in and
// writes what it likes.
type visit struct {
	net.Conn
	in     *bufio.Reader
	number int // counted from 1
}

// next reads a request whole, and gives its target; empty at the end.
func (v visit) next() string {
	r, err := http.ReadRequest(v.in)
	if err != nil {
		return ""
	}
	_, _ = io.Copy(io.Discard, r.Body)
	return r.RequestURI
}

func (v visit) say(text string) { _, _ = io.WriteString(v, text) }

// origin is a server that answers by a script, and a pool in front of it.
type origin struct {
	*direct.Pool
	visits atomic.Int64
}

func newOrigin(t testing.TB, script func(visit), change ...func(*direct.Config)) *origin {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			v := visit{conn, bufio.NewReader(conn), int(o.visits.Add(1))}
			all.Go(func() { script(v); _ = conn.Close() })
		}
	})
	cfg := direct.Config{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
		},
		Idle: 8, IdleFor: time.Minute, MaxHead: 8 << 10,
	}
	for _, c := range change {
		c(&cfg)
	}
	o.Pool = direct.New(cfg)
	t.Cleanup(func() { o.Close(); _ = l.Close(); all.Wait() })
	return o
}

func call(method, target string) *direct.Call {
	return &direct.Call{
		Request: &http.Request{Method: method}, Safe: method != http.MethodPost,
		Message: []byte(method + " " + target + " HTTP/1.1\r\nHost: kingdee\r\n\r\n"),
	}
}

// ask gives status and body.
func (o *origin) ask(t testing.TB, c *direct.Call) (string, error) {
	t.Helper()
	res, err := o.Do(t.Context(), c)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return fmt.Sprint(res.StatusCode, " ", string(text)), err
}

func (o *origin) want(t testing.TB, c *direct.Call, want string) {
	t.Helper()
	if got, err := o.ask(t, c); err != nil || got != want {
		t.Fatalf("%q, want %q: %v", got, want, err)
	}
}

func ok(text string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
}
