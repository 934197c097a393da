package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	"kdgate/gateway"
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
	proxy *Proxy
	who   identity.Principal
	bound *binding
	ended <-chan struct{}
	err   error // why there is no answer, when there is none
	body  *body

	control *http.ResponseController
	writing atomic.Int64 // since when a write waits, Unix nanoseconds; 0: none does
	reading atomic.Int64 // the same of the request's body
	waiting atomic.Int64 // since when Kingdee's answer is waited for; 0: it has begun
	late    atomic.Bool  // it did not come in time

	mu   sync.Mutex // deadlines are set by two goroutines, and by none after the end
	over bool
	conn net.Conn // taken over for a WebSocket
}

type passageKey struct{}

// pass sends the request through.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request, one *passage) error {
	began := p.cfg.Now()
	one.waiting.Store(began.UnixNano())
	one.ResponseWriter, one.proxy, one.control = w, p, http.NewResponseController(w)
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), passageKey{}, one))
	defer cancel()
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		one.body = &body{ReadCloser: r.Body, passage: one}
		r.Body = one.body
	}
	if err := p.assert(ctx, one); err != nil {
		return err
	}
	timer := time.AfterFunc(lingers, func() { one.linger(ctx, cancel) })
	defer one.finish(timer)
	p.reverse.ServeHTTP(one, r)
	p.cfg.Observer.Proxied(p.cfg.Now().Sub(began))
	return one.err
}

// Unwrap lets http.ResponseController through, to flush and to take over the
// connection for a WebSocket.
func (ps *passage) Unwrap() http.ResponseWriter { return ps.ResponseWriter }

// Hijack implements http.Hijacker. A connection that was taken over has no
// deadlines of ours: its ends know their own silence.
func (ps *passage) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	conn, rw, err := ps.control.Hijack()
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

// linger takes over a request that lasts, until it is over. The listener's own
// deadlines are made for pages; a long poll says nothing for minutes, and that
// is all right, but a browser that takes or gives no byte for long is gone. When
// the session ends, whatever the request waits for ends too.
func (ps *passage) linger(ctx context.Context, cancel context.CancelFunc) {
	ps.deadlines(time.Time{}, time.Time{})
	stall := ps.proxy.cfg.Limits.Stall
	look := time.NewTicker(min(stall, ps.proxy.cfg.Limits.Wait) / 4)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ps.ended:
			cancel()
			now := ps.proxy.cfg.Now()
			ps.deadlines(now, now.Add(farewell))
			return
		case <-look.C:
			now := ps.proxy.cfg.Now()
			if stalled(&ps.waiting, now, ps.proxy.cfg.Limits.Wait) {
				ps.late.Store(true)
				cancel()
				return
			}
			if stalled(&ps.writing, now, stall) || stalled(&ps.reading, now, stall) {
				cancel()
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
		_ = ps.control.SetReadDeadline(read)
		_ = ps.control.SetWriteDeadline(write)
	}
}

func (ps *passage) finish(timer *time.Timer) {
	timer.Stop()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.over = true
}

// body notes since when the next bytes of an upload have been waited for, and
// what the client's side broke with.
type body struct {
	io.ReadCloser
	passage *passage
	broken  atomic.Bool
}

// Read implements io.Reader.
func (b *body) Read(room []byte) (int, error) {
	b.passage.reading.Store(b.passage.proxy.cfg.Now().UnixNano())
	n, err := b.ReadCloser.Read(room)
	b.passage.reading.Store(0)
	if since := b.passage.waiting.Load(); since != 0 { // Kingdee answers when it has everything
		b.passage.waiting.CompareAndSwap(since, b.passage.proxy.cfg.Now().UnixNano())
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.broken.Store(true)
	}
	return n, err
}

// rewrite makes the request that goes upstream. Whatever is set here no client
// can take away: its hop-by-hop headers are gone already (T53).
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	out, ps := pr.Out, passageOf(pr.In.Context())
	out.URL.Scheme, out.URL.Host = p.cfg.Upstream.Scheme, p.cfg.Upstream.Host
	out.URL.RawQuery = pr.In.URL.RawQuery // byte for byte; the edge has judged it
	out.Host = ""
	if p.cfg.KeepHost {
		out.Host = p.cfg.PublicURL.Host
	}
	cleanRequest(out.Header)
	out.Header["X-Forwarded-For"] = []string{gateway.SourceOf(pr.In.Context())}
	out.Header["X-Forwarded-Proto"] = p.upstream.proto
	out.Header["X-Forwarded-Host"] = p.upstream.host
	out.Header["X-Request-Id"] = []string{gateway.RequestIDOf(pr.In.Context())}
	if held := ps.bound.badge.Load(); held != nil {
		out.Header[AssertionHeader] = held.header
	}
}

func passageOf(ctx context.Context) *passage {
	ps, _ := ctx.Value(passageKey{}).(*passage)
	return ps
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

// failed keeps the reason; Serve's caller has the pages.
func (p *Proxy) failed(_ http.ResponseWriter, r *http.Request, err error) {
	if ps := passageOf(r.Context()); ps != nil {
		ps.err = ps.verdict(r.Context(), err)
	}
}

// verdict is whose fault it was that there is no answer.
func (ps *passage) verdict(ctx context.Context, err error) error {
	switch {
	case identity.CodeOf(err) != "":
		return err
	case ps.cut():
		return identity.Fail(identity.Unauthenticated, identity.CodeSignInExpired, "proxy: the session ended meanwhile")
	case ps.body != nil && ps.body.broken.Load():
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "proxy: the request's body broke off")
	case ps.late.Load():
		return identity.Fail(identity.Upstream, identity.CodeKingdeeDown, "proxy: no answer in time")
	case ctx.Err() != nil:
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "proxy: the client went away")
	default:
		return identity.Fail(identity.Upstream, identity.CodeKingdeeDown, "proxy: %s", reason(err))
	}
}
