package strictwire

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// secureListener does the handshakes, each in its own goroutine, so that Accept
// only gives out connections that are ready and nobody slow stands in the way.
type secureListener struct {
	*listener
	tls     *tls.Config
	timeout time.Duration
	most    int

	start sync.Once
	stop  sync.Once
	ready chan accepted
	done  chan struct{}

	mu      sync.Mutex
	pending list.List // of net.Conn, the oldest first
	foyer   list.List // of net.Conn: those whose first head is awaited
	closed  bool
}

type accepted struct {
	conn net.Conn
	err  error
}

func newSecureListener(plain *listener, cfg Config) *secureListener {
	config := cfg.TLS.Clone()
	if len(config.NextProtos) == 0 {
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	return &secureListener{
		listener: plain, tls: config, timeout: cfg.HandshakeTimeout, most: cfg.MaxHandshakes,
		ready: make(chan accepted), done: make(chan struct{}),
	}
}

// Accept waits for the next connection whose handshake is done.
func (l *secureListener) Accept() (net.Conn, error) {
	l.start.Do(func() { go l.loop() })
	select {
	case next := <-l.ready:
		return next.conn, next.err
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// Close stops accepting and ends the handshakes under way.
func (l *secureListener) Close() error {
	l.stop.Do(func() { close(l.done) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, row := range []*list.List{&l.pending, &l.foyer} {
		for e := row.Front(); e != nil; e = e.Next() {
			cut(e)
		}
	}
	return l.Listener.Close()
}

// loop accepts until the listener is closed. A failure is handed to the server,
// which waits a little and asks again when it may pass (R61).
func (l *secureListener) loop() {
	for {
		conn, err := l.Listener.Accept()
		if err == nil {
			if e := l.enlist(conn); e != nil {
				go l.handshake(conn, e)
			}
			continue
		}
		if !l.deliver(accepted{err: err}) || errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// enlist counts a handshake, at the cost of the oldest when there are too many.
// It is nil after Close.
func (l *secureListener) enlist(conn net.Conn) *list.Element {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return nil
	}
	if l.pending.Len() >= l.most {
		oldest := l.pending.Front()
		l.pending.Remove(oldest)
		if slow := cut(oldest); slow != nil {
			l.refuser.tell(handshakeCrowded, slow.RemoteAddr())
		}
	}
	return l.pending.PushBack(conn)
}

// cut closes the connection of a handshake, whose goroutine then gives up.
func cut(e *list.Element) net.Conn {
	conn, ok := e.Value.(net.Conn)
	if ok {
		_ = conn.Close()
	}
	return conn
}

// handshake brings one connection to where HTTP begins, and hands it on.
func (l *secureListener) handshake(inner net.Conn, e *list.Element) {
	defer func() {
		l.mu.Lock()
		l.pending.Remove(e) // nothing, when it was evicted
		l.mu.Unlock()
	}()
	began := l.refuser.now()
	_ = inner.SetDeadline(began.Add(l.timeout))
	conn := tls.Server(inner, l.tls)
	// The deadline above ends it; there is no caller whose context could.
	if err := conn.HandshakeContext(context.Background()); err != nil {
		l.failed(inner, err)
		return
	}
	_ = inner.SetDeadline(time.Time{})
	l.admit(conn, e, began)
}

// admit hands a connection on: HTTP/2 at once, as it has its own framing, and
// HTTP/1.x when there is a head to read.
func (l *secureListener) admit(secure *tls.Conn, e *list.Element, began time.Time) {
	var next net.Conn = secure
	if secure.ConnectionState().NegotiatedProtocol != "h2" {
		c := &secureConn{conn: l.newConn(secure), state: secure.ConnectionState}
		if !l.wait(c.conn, e, began) {
			_ = c.Close()
			return
		}
		next = c
	}
	if !l.deliver(accepted{conn: next}) {
		_ = next.Close()
	}
}

// wait keeps a connection in the foyer until its first head is there.
func (l *secureListener) wait(c *conn, e *list.Element, began time.Time) bool {
	l.mu.Lock()
	l.pending.Remove(e) // the handshake is over
	if l.closed {
		l.mu.Unlock()
		return false
	}
	place := l.foyer.PushBack(net.Conn(c))
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.foyer.Remove(place)
		l.mu.Unlock()
	}()
	c.bound(began.Add(maxFirst))
	_ = c.SetReadDeadline(l.refuser.now().Add(l.timeout))
	err := c.await()
	_ = c.SetReadDeadline(time.Time{})
	return err == nil
}

func (l *secureListener) deliver(next accepted) bool {
	select {
	case l.ready <- next:
		return true
	case <-l.done:
		return false
	}
}

// failed ends a connection without a session. One that speaks plain HTTP to a
// TLS port is answered, in plain: somebody typed the address without the s.
func (l *secureListener) failed(inner net.Conn, err error) {
	f := handshakeFailed
	var record tls.RecordHeaderError
	if errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
		f = plainToTLS
	}
	l.refuser.tell(f, inner.RemoteAddr())
	if f == plainToTLS {
		l.refuser.answer(inner, f)
	}
	_ = inner.Close()
}

func looksLikeHTTP(header [5]byte) bool {
	return slices.ContainsFunc([]string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO"}, func(s string) bool {
		return strings.HasPrefix(string(header[:]), s)
	})
}
