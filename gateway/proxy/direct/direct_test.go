package direct_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kdgate/gateway/proxy/direct"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// One connection does for one after the other, whatever shape the answers have.
func TestKept(t *testing.T) {
	answers := map[string]string{
		"/length":   ok("/length"),
		"/chunked":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n/chunked\r\n0\r\n\r\n",
		"/nothing":  "HTTP/1.1 204 No Content\r\n\r\n",
		"/known":    "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nEtag: \"a\"\r\n\r\n",
		"/empty":    ok(""),
		"/head":     "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
		"/large":    ok(strings.Repeat("x", 100_000)),
		"/trailers": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n1\r\nt\r\n0\r\nSum: 1\r\n\r\n",
	}
	o := newOrigin(t, func(v visit) {
		for target := v.next(); target != ""; target = v.next() {
			v.say(answers[target])
		}
	})
	for range 3 {
		o.want(t, call("GET", "/length"), "200 /length")
		o.want(t, call("GET", "/chunked"), "200 /chunked")
		o.want(t, call("GET", "/nothing"), "204 ")
		o.want(t, call("GET", "/known"), "304 ")
		o.want(t, call("POST", "/empty"), "200 ")
		o.want(t, call("HEAD", "/head"), "200 ")
		o.want(t, call("GET", "/large"), "200 "+strings.Repeat("x", 100_000))
		res, err := o.Do(t.Context(), call("GET", "/trailers"))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(res.Body); string(text) != "t" || err != nil || res.Trailer.Get("Sum") != "1" {
			t.Errorf("%q %v %v", text, err, res.Trailer)
		}
		_ = res.Body.Close()
	}
	if n := o.visits.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// T54: what nobody asked for is nobody's answer. Bytes behind an answer, at once
// or while the connection is idle, end the connection and are never read as the
// next answer.
func TestUnasked(t *testing.T) {
	const stray = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
	for name, first := range map[string]string{
		"with the answer": ok("first") + stray,
		"half a line":     ok("first") + "H",
		"behind chunks":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n" + stray,
		"behind nothing":  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, func(v visit) {
				v.next()
				if v.number == 1 {
					v.say(first)
					v.next()
					return
				}
				v.say(ok("second"))
			})
			o.want(t, call("GET", "/1"), "200 first")
			o.want(t, call("POST", "/2"), "200 second")
		})
	}
	t.Run("while idle", func(t *testing.T) {
		idle, said := make(chan struct{}), make(chan struct{})
		o := newOrigin(t, func(v visit) {
			v.next()
			if v.number > 1 {
				v.say(ok("second"))
				return
			}
			v.say(ok("first"))
			<-idle
			v.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 6\r\n\r\nstolen")
			close(said)
			v.next()
		})
		o.want(t, call("GET", "/1"), "200 first")
		close(idle)
		<-said
		o.want(t, call("POST", "/2"), "200 second")
	})
}

// A connection that the origin has closed meanwhile is noticed before anything
// is written, so that a request which must not be sent twice is not lost.
func TestClosedWhileIdle(t *testing.T) {
	closed := make(chan struct{})
	o := newOrigin(t, func(v visit) {
		v.next()
		v.say(ok(fmt.Sprint(v.number)))
		if v.number == 1 {
			_ = v.Close()
			close(closed)
		}
	})
	o.want(t, call("GET", "/"), "200 1")
	<-closed
	o.want(t, call("POST", "/"), "200 2")
}

// Only what is safe to repeat is repeated, and only on a connection that may
// have died of its age.
func TestRepeats(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			var asked atomic.Int64
			o := newOrigin(t, func(v visit) {
				v.next()
				v.say(ok("first"))
				if v.next() != "" {
					asked.Add(1) // and the connection ends without a word
				}
			})
			o.want(t, call("GET", "/"), "200 first")
			got, err := o.ask(t, call(method, "/again"))
			if method == "GET" && (got != "200 first" || err != nil) {
				t.Errorf("%q %v", got, err)
			}
			if method == "POST" && (err == nil || o.visits.Load() != 1) {
				t.Errorf("%q %v after %d connections", got, err, o.visits.Load())
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
	t.Run("never on a new one", func(t *testing.T) {
		o := newOrigin(t, func(v visit) { v.next() })
		if got, err := o.ask(t, call("GET", "/")); err == nil || o.visits.Load() != 1 {
			t.Errorf("%q %v after %d connections", got, err, o.visits.Load())
		}
	})
}

// An answer that is not whole never looks whole.
func TestBroken(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":           "",
		"half a head":       "HTTP/1.1 200 OK\r\nContent-Le",
		"no HTTP":           "hello\r\n\r\n",
		"short body":        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"no last chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"half a chunk":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"bad chunk":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"unended trailers":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n",
		"two lengths":       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"large head":        "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 9<<10) + "\r\n\r\n",
		"only interim":      strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100),
		"switched":          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
		"interim then none": "HTTP/1.1 100 Continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, func(v visit) { v.next(); v.say(answer) })
			if got, err := o.ask(t, call("GET", "/")); err == nil {
				t.Errorf("looks whole: %q", got)
			}
		})
	}
}

// An answer may end with its connection, and that connection is not used again.
func TestLast(t *testing.T) {
	for name, answer := range map[string]string{
		"until the end": "HTTP/1.1 200 OK\r\n\r\nlast", "says so": "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast",
		"HTTP/1.0": "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nlast",
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, func(v visit) { v.next(); v.say(answer) })
			o.want(t, call("POST", "/"), "200 last")
			o.want(t, call("POST", "/"), "200 last")
		})
	}
}

// Interim answers are heard in order and are not the answer.
func TestInterim(t *testing.T) {
	o := newOrigin(t, func(v visit) {
		v.next()
		v.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + ok("done"))
	})
	var heard []string
	c := call("GET", "/")
	c.Interim = func(res *http.Response) { heard = append(heard, fmt.Sprint(res.StatusCode, res.Header.Get("Link"))) }
	o.want(t, c, "200 done")
	if fmt.Sprint(heard) != "[100 103</a.css>]" {
		t.Error(heard)
	}
}

// An abort ends the call wherever it is.
func TestAbort(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		o := newOrigin(t, func(v visit) { v.next() })
		c := call("GET", "/")
		c.Abort()
		if _, err := o.ask(t, c); !errors.Is(err, direct.ErrAborted) {
			t.Error(err)
		}
	})
	t.Run("waiting", func(t *testing.T) {
		o := newOrigin(t, func(v visit) { v.next(); v.next() })
		c := call("GET", "/")
		time.AfterFunc(20*time.Millisecond, c.Abort)
		if _, err := o.ask(t, c); !errors.Is(err, direct.ErrAborted) {
			t.Error(err)
		}
	})
	t.Run("reading", func(t *testing.T) {
		gone := make(chan struct{})
		o := newOrigin(t, func(v visit) {
			v.next()
			v.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
			v.next()
			close(gone)
		})
		c := call("GET", "/")
		res, err := o.Do(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(20*time.Millisecond, c.Abort)
		if text, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("whole: %q", text)
		}
		_ = res.Body.Close()
		within(t, gone, "the origin is left")
	})
	t.Run("after the end, of somebody else's turn", func(t *testing.T) {
		o := newOrigin(t, func(v visit) {
			for v.next() != "" {
				v.say(ok(fmt.Sprint(v.number)))
			}
		})
		c := call("GET", "/")
		o.want(t, c, "200 1")
		c.Abort()
		o.want(t, call("POST", "/"), "200 1")
	})
}

func within(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("not in time: " + what)
	}
}

// A body that is left unread costs the connection, and is not waited for.
func TestUnread(t *testing.T) {
	gone := make(chan struct{})
	o := newOrigin(t, func(v visit) {
		v.next()
		v.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello")
		v.next()
		close(gone)
	})
	res, err := o.Do(t.Context(), call("GET", "/"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if _, err := res.Body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read after the end: %v", err)
	}
	within(t, gone, "the origin is left")
}

// What is idle is bounded by number and by time.
func TestIdleBounds(t *testing.T) {
	var offset atomic.Int64
	o := newOrigin(t, func(v visit) {
		for v.next() != "" {
			v.say(ok(fmt.Sprint(v.number)))
		}
	}, func(c *direct.Config) {
		c.Idle, c.Now = 1, func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	})
	a, errA := o.Do(t.Context(), call("GET", "/"))
	b, errB := o.Do(t.Context(), call("GET", "/"))
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	for _, res := range []*http.Response{a, b} { // the first is kept, the second has no room
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	o.want(t, call("GET", "/"), "200 1")
	offset.Add(int64(2 * time.Minute))
	o.want(t, call("GET", "/"), "200 3")
	o.Close()
	o.want(t, call("GET", "/"), "200 4") // what comes after Close has connections of its own
	o.want(t, call("GET", "/"), "200 5")
}

// Everybody gets their own answer, however many ask at once, also while some leave.
func TestManyAtOnce(t *testing.T) {
	o := newOrigin(t, func(v visit) {
		for target := v.next(); target != ""; target = v.next() {
			v.say(ok(target))
		}
	})
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := range 100 {
				target := fmt.Sprintf("/%d/%d", w, i)
				c := call("GET", target)
				if i%7 == 0 {
					go c.Abort()
				}
				got, err := o.ask(t, c)
				if err == nil && got != "200 "+target || err != nil && i%7 != 0 {
					t.Errorf("%s: %q %v", target, got, err)
				}
			}
		})
	}
	all.Wait()
}

// Nobody is there.
func TestNoOrigin(t *testing.T) {
	refused := errors.New("refused")
	p := direct.New(direct.Config{Dial: func(context.Context) (net.Conn, error) { return nil, refused }, Idle: 1, IdleFor: time.Second, MaxHead: 1 << 10})
	if _, err := p.Do(t.Context(), call("GET", "/")); !errors.Is(err, refused) {
		t.Error(err)
	}
}

// Whatever an origin sends to one, the next one gets an answer of their own.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		ok("x"), ok("x") + ok("y"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nHTTP/1.1 200", "HTTP/1.1 100 Continue\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nabc", "HTTP/1.1 304 X\r\nContent-Length: 3\r\n\r\nabc",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, first string) {
		o := newOrigin(t, func(v visit) {
			v.next()
			if v.number == 1 {
				v.say(first)
				_ = v.Conn.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert // of a TCP listener
				v.next()
				return
			}
			v.say(ok("own"))
		})
		_, _ = o.ask(t, call("POST", "/"))
		o.want(t, call("GET", "/"), "200 own") // not POST: the first connection may end only after it was looked at
	})
}
