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
	"time"

	"kdgate/gateway"
	"kdgate/identity"
)

// lingers is how long a request lasts before it is treated as one that may
// last: its deadlines are ours from then on, and the end of its session cuts
// it. Most are over sooner and pay for neither.
const lingers = 250 * time.Millisecond

// passage is one request on its way: who sent it, and what became of it. As a
// ResponseWriter it gives a slow reader time as long as bytes move.
type passage struct {
	http.ResponseWriter
	proxy *Proxy
	who   identity.Principal
	bound *binding
	ended <-chan struct{}
	err   error // why there is no answer, when there is none

	control *http.ResponseController
	mu      sync.Mutex // deadlines are set by two goroutines, and by none after the end
	over    bool
	long    bool
	conn    net.Conn  // taken over for a WebSocket
	moved   time.Time // when the write deadline was last put off
	body    *body
}

type passageKey struct{}

// pass sends the request through.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request, one *passage) error {
	began := p.cfg.Now()
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
	if ps.isLong() {
		ps.putOff()
	}
	return ps.ResponseWriter.Write(b)
}

func (ps *passage) isLong() bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.long
}

// putOff moves the write deadline before the next bytes, now and then.
func (ps *passage) putOff() {
	now, stall := ps.proxy.cfg.Now(), ps.proxy.cfg.Limits.Stall
	if now.Sub(ps.moved) < stall/4 {
		return
	}
	ps.moved = now
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if !ps.cut() {
		_ = ps.control.SetWriteDeadline(now.Add(stall)) // not every connection has one
	}
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

// linger takes over a request that lasts. The listener's own deadlines are made
// for pages; a long poll says nothing for minutes, and that is all right. When
// the session ends, whatever the request waits for ends too.
func (ps *passage) linger(ctx context.Context, cancel context.CancelFunc) {
	ps.mu.Lock()
	if ps.over {
		ps.mu.Unlock()
		return
	}
	ps.takeOver()
	ps.mu.Unlock()
	select {
	case <-ctx.Done():
		return
	case <-ps.ended:
	}
	cancel()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	now := ps.proxy.cfg.Now()
	switch { // somebody who does not read must not keep it open either
	case ps.over:
	case ps.conn != nil:
		_ = ps.conn.SetDeadline(now)
	default:
		_ = ps.control.SetWriteDeadline(now.Add(farewell))
		_ = ps.control.SetReadDeadline(now)
	}
}

// farewell is how long a page may take to say that the session has ended.
const farewell = time.Second

// takeOver replaces the listener's deadlines. Called with mu held. Not every
// connection has deadlines, and one without needs none.
func (ps *passage) takeOver() {
	ps.long = true
	if ps.conn != nil {
		return
	}
	if ps.body == nil || ps.body.done {
		// The server watches the connection for its end meanwhile; a deadline
		// there would look like one.
		_ = ps.control.SetReadDeadline(time.Time{})
	}
	limits := ps.proxy.cfg.Limits
	_ = ps.control.SetWriteDeadline(ps.proxy.cfg.Now().Add(limits.Wait + limits.Stall))
}

func (ps *passage) finish(timer *time.Timer) {
	timer.Stop()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.over = true
}

// body gives an upload time as long as bytes move.
type body struct {
	io.ReadCloser
	passage *passage
	moved   time.Time
	done    bool  // under passage.mu
	err     error // what the client's side broke with; under passage.mu
}

// Read implements io.Reader.
func (b *body) Read(room []byte) (int, error) {
	n, err := b.ReadCloser.Read(room)
	ps := b.passage
	ps.mu.Lock()
	defer ps.mu.Unlock()
	switch {
	case ps.over:
	case err != nil:
		b.done = true
		if !errors.Is(err, io.EOF) {
			b.err = err
		} else if ps.long {
			_ = ps.control.SetReadDeadline(time.Time{})
		}
	case ps.long && !ps.cut():
		stall := ps.proxy.cfg.Limits.Stall
		if now := ps.proxy.cfg.Now(); now.Sub(b.moved) >= stall/4 {
			b.moved = now
			_ = ps.control.SetReadDeadline(now.Add(stall))
		}
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
	ps.mu.Lock()
	defer ps.mu.Unlock()
	switch {
	case identity.CodeOf(err) != "":
		return err
	case ps.cut():
		return identity.Fail(identity.Unauthenticated, identity.CodeSignInExpired, "proxy: the session ended meanwhile")
	case ctx.Err() != nil:
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "proxy: the client went away")
	case ps.body != nil && ps.body.err != nil:
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "proxy: the request's body broke off")
	default:
		return identity.Fail(identity.Upstream, identity.CodeKingdeeDown, "proxy: %s", reason(err))
	}
}
