package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"kdgate/gateway/proxy/direct"
	"kdgate/identity"
)

// lingers is how long a request lasts before it is treated as one that may
// last: its deadlines are ours from then on, and the end of its session cuts
// it. Most are over sooner and pay for neither.
const lingers = 250 * time.Millisecond

// passage is one request on its way: who sent it, and what became of it. It is
// the ResponseWriter too, and notes since when the browser's side has been
// waited for.
type passage struct {
	http.ResponseWriter
	proxy   *Proxy
	request *http.Request
	who     identity.Principal
	bound   *binding
	ended   <-chan struct{}
	body    *body // of an upload; nil: none

	writing atomic.Int64 // since when a write waits, Unix nanoseconds; 0: none does
	reading atomic.Int64 // the same of the request's body
	waiting atomic.Int64 // since when Kingdee's answer is waited for; 0: it has begun
	late    atomic.Bool  // it did not come in time
	barred  atomic.Bool  // the person's row was suspended or changed meanwhile

	mu    sync.Mutex // deadlines are set by two goroutines, and by none after the end
	over  bool
	gone  chan struct{} // closed at the end; only a request that lasts has one
	abort func()        // leaves Kingdee
	left  bool          // it was called, or would have been
	conn  net.Conn      // taken over for a WebSocket
}

// Unwrap lets http.ResponseController through, to flush and to take over the
// connection for a WebSocket.
func (ps *passage) Unwrap() http.ResponseWriter { return ps.ResponseWriter }

// Hijack implements http.Hijacker. A connection that was taken over has no
// deadlines of ours: its ends know their own silence.
func (ps *passage) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	conn, rw, err := http.NewResponseController(ps.ResponseWriter).Hijack()
	ps.conn = conn
	return conn, rw, err
}

// Write implements http.ResponseWriter.
func (ps *passage) Write(b []byte) (int, error) {
	ps.writing.Store(ps.proxy.cfg.Now().UnixNano())
	n, err := ps.ResponseWriter.Write(b)
	ps.writing.Store(0)
	return n, err
}

// cut reports whether the session has ended.
func (ps *passage) cut() bool {
	select {
	case <-ps.ended:
		return true
	default:
		return false
	}
}

// endBy says how Kingdee is left, should it come to that. It reports false when
// it has come to that already.
func (ps *passage) endBy(abort func()) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.abort = abort
	return !ps.left
}

// leave ends the exchange with Kingdee, whatever is being waited for.
func (ps *passage) leave() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.left = true
	if ps.abort != nil && !ps.over {
		ps.abort()
	}
}

// lasting begins the watch over a request, unless that is over.
func (ps *passage) lasting() (gone <-chan struct{}, ok bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.over {
		return nil, false
	}
	ps.gone = make(chan struct{})
	return ps.gone, true
}

// linger takes over a request that lasts, until it is over. The listener's own
// deadlines are made for pages; a long poll says nothing for minutes, and that
// is all right, but a browser that takes or gives no byte for long is gone. When
// the session ends, or the row behind it, or the client goes, whatever the request waits for ends too.
func (ps *passage) linger() {
	gone, ok := ps.lasting()
	if !ok {
		return
	}
	ps.deadlines(time.Time{}, time.Time{})
	stall := ps.proxy.cfg.Limits.Stall
	look := time.NewTicker(min(stall, ps.proxy.cfg.Limits.Wait) / 4)
	defer look.Stop()
	standing := time.NewTicker(ps.proxy.cfg.Limits.Standing)
	defer standing.Stop()
	for {
		select {
		case <-gone:
			return
		case <-ps.request.Context().Done():
			ps.leave()
			return
		case <-ps.ended:
			ps.leave()
			ps.sayFarewell()
			return
		case <-standing.C:
			if !ps.proxy.stands(ps.request.Context(), ps.who, ps.bound) {
				ps.barred.Store(true)
				ps.leave()
				ps.sayFarewell()
				return
			}
		case <-look.C:
			now := ps.proxy.cfg.Now()
			if stalled(&ps.waiting, now, ps.proxy.cfg.Limits.Wait) {
				ps.late.Store(true)
				ps.leave()
				return
			}
			if stalled(&ps.writing, now, stall) || stalled(&ps.reading, now, stall) {
				ps.leave()
				ps.deadlines(now, now)
				return
			}
		}
	}
}

func stalled(since *atomic.Int64, now time.Time, limit time.Duration) bool {
	began := since.Load()
	return began != 0 && now.Sub(time.Unix(0, began)) > limit
}

// sayFarewell leaves the time for a last page.
func (ps *passage) sayFarewell() {
	now := ps.proxy.cfg.Now()
	ps.deadlines(now, now.Add(farewell))
}

// farewell is how long a page may take to say that the session has ended.
const farewell = time.Second

// deadlines sets those of the browser's connection, zero for none. One that was
// taken over for a WebSocket has none, unless it is to end.
func (ps *passage) deadlines(read, write time.Time) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	switch { // not every connection has deadlines, and one without needs none
	case ps.over:
	case ps.conn != nil && !read.IsZero():
		_ = ps.conn.SetDeadline(read)
	case ps.conn == nil:
		control := http.NewResponseController(ps.ResponseWriter)
		_ = control.SetReadDeadline(read)
		_ = control.SetWriteDeadline(write)
	}
}

func (ps *passage) finish(timer *time.Timer) {
	timer.Stop()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.over = true
	if ps.body != nil {
		_ = ps.body.Close()
	}
	if ps.gone != nil {
		close(ps.gone)
	}
}

// body notes since when the next bytes of an upload have been waited for, and
// what the client's side broke with.
type body struct {
	io.ReadCloser
	passage *passage
	guard   *formatGuard // nil: nothing in it can be closed
	broken  atomic.Bool
	refused atomic.Bool // by the guard
	ended   atomic.Bool // the end was read
	closed  atomic.Bool

	came, out http.Header // trailers: as the client sends them, and as they go on
}

// announce gives the trailers that go on, still without their values. What may
// not stand among the headers may not come behind them either.
func (b *body) announce(came http.Header) http.Header {
	for name := range came {
		if isOfHop(name) || isIdentity(name) || name == "Cookie" {
			continue
		}
		if b.out == nil {
			b.out = http.Header{}
		}
		b.out[name] = nil
	}
	b.came = came
	return b.out
}

// Close implements io.Closer. The server closes what is its own: its Close may
// wait for the rest of the body, which is not for net/http's Transport to do.
func (b *body) Close() error {
	b.closed.Store(true)
	return nil
}

// errClosedBody ends a body that asks for what is closed.
var errClosedBody = errors.New("proxy: the body asks for the binary format")

// Read implements io.Reader. It gives nothing after the end of the passage,
// which the Transport's own goroutine may outlive. The end, once it was read, stays
// the end: the Transport looks for more behind the last byte, and by then Kingdee's
// answer may have begun and our server have closed what is its own, an error that
// would cut the answer short.
func (b *body) Read(room []byte) (int, error) {
	if b.ended.Load() {
		return 0, io.EOF
	}
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	b.passage.reading.Store(b.passage.proxy.cfg.Now().UnixNano())
	n, err := b.ReadCloser.Read(room)
	b.passage.reading.Store(0)
	if since := b.passage.waiting.Load(); since != 0 { // Kingdee answers when it has everything
		b.passage.waiting.CompareAndSwap(since, b.passage.proxy.cfg.Now().UnixNano())
	}
	if b.guard.look(room[:n]) {
		b.refused.Store(true)
		return 0, errClosedBody
	}
	if errors.Is(err, io.EOF) {
		b.ended.Store(true)
		for name := range b.out {
			b.out[name] = b.came[name]
		}
	} else if err != nil {
		b.broken.Store(true)
	}
	return n, err
}

// assert sees to it that the binding has a badge that holds. One signature does
// for all requests of a session for a while.
func (p *Proxy) assert(ctx context.Context, ps *passage) error {
	if p.cfg.Signer == nil {
		return nil
	}
	if held := ps.bound.badge.Load(); held != nil && p.cfg.Now().Before(held.renew) {
		return nil
	}
	now := p.cfg.Now()
	token, until, err := p.cfg.Signer.Assert(ctx, ps.who, ps.bound.LoginUser)
	if err != nil {
		return identity.Fail(identity.Internal, identity.CodeInternal, "proxy: assertion: %w", err)
	}
	// Used for the first half of its life, so that it never arrives expired.
	ps.bound.badge.Store(&badge{header: []string{token.Reveal()}, renew: now.Add(until.Sub(now) / 2)})
	return nil
}

// verdict is whose fault it was that there is no answer.
func (ps *passage) verdict(ctx context.Context, err error) error {
	switch {
	case identity.CodeOf(err) != "":
		return err
	case ps.body != nil && ps.body.refused.Load():
		return ps.proxy.refusePath(ps.request, ps.who, closed)
	case ps.cut():
		return identity.Fail(identity.Unauthenticated, identity.CodeSignInExpired, "proxy: the session ended meanwhile")
	case ps.barred.Load():
		return identity.Fail(identity.Unauthenticated, identity.CodeNoKingdee, "proxy: the person's row was suspended or changed meanwhile")
	case ps.body != nil && ps.body.broken.Load():
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "proxy: the request's body broke off")
	case ps.late.Load():
		return identity.Fail(identity.Upstream, identity.CodeKingdeeDown, "proxy: no answer in time")
	case ctx.Err() != nil, errors.Is(err, direct.ErrAborted):
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "proxy: the client went away")
	default:
		return identity.Fail(identity.Upstream, identity.CodeKingdeeDown, "proxy: %s", reason(err))
	}
}
