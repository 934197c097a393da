package strictwire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// ErrRefused is what the server reads from, and gets for writing to, a
// connection whose client has been refused. It comes inside a *net.OpError,
// which net/http takes as a lost connection and does not answer.
var ErrRefused = errors.New("strictwire: request refused")

// conn vets what the server reads. net/http has one Read at a time, and may
// write meanwhile.
type conn struct {
	net.Conn
	refuser *refuser
	turn    *turn

	// Of the reading side alone.
	vet     vetter
	held    []byte // read ahead: the first head's beginning, or with pipelining what is beyond a request
	at      int    // how much of held has been handed on
	later   bool   // a request went before
	asked   bool   // the last request asked for an upgrade
	handled bool   // a handler may run for the faulty request

	first   atomic.Int64 // until when the first request may take, in nanoseconds of Unix time; 0: it is in
	raw     atomic.Bool  // protocols were switched: nothing is vetted any more
	mu      sync.Mutex   // guards what follows
	watch   watch
	refused bool
}

func (l *listener) newConn(inner net.Conn) *conn {
	return &conn{Conn: inner, refuser: l.refuser, turn: newTurn(l.heads), vet: vetter{limits: l.limits}}
}

// secureConn is a conn over TLS; net/http fills Request.TLS from it.
type secureConn struct {
	*conn
	state func() tls.ConnectionState
}

// ConnectionState is that of the TLS below.
func (c *secureConn) ConnectionState() tls.ConnectionState { return c.state() }

// Read hands on vetted bytes, of one request at most.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.raw.Load() {
		n, _, err := c.fetch(p)
		return n, err
	}
	if c.vet.fault != clean {
		return 0, c.refuse()
	}
	if c.vet.phase == finished {
		c.vet.reset()
	}
	if c.asked && c.vet.fresh() {
		p = p[:1] // the rest may be of another protocol, and is not ours to judge yet
	}
	if err := c.awaitTurn(); err != nil {
		return 0, err
	}
	n, ahead, err := c.fetch(p)
	switch {
	case c.raw.Load():
		return n, err
	case n == 0 && errors.Is(err, io.EOF) && c.vet.inHead() && !c.vet.fresh():
		// net/http would answer this by itself, without our headers.
		c.vet.fault = truncated
		return 0, c.refuse()
	case n == 0:
		return 0, err
	default: // a failure that came with bytes comes again without them
		return c.pass(p[:n], ahead)
	}
}

// awaitTurn lets only some long heads be read at a time.
func (c *conn) awaitTurn() error {
	if c.vet.size < freeHead || !c.vet.inHead() {
		return nil
	}
	if err := c.turn.take(c.refuser.now); err != nil {
		return &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
	}
	return nil
}

// fetch reads what was held, or else from the wire.
func (c *conn) fetch(p []byte) (n int, ahead bool, err error) {
	if c.at < len(c.held) {
		n = copy(p, c.held[c.at:])
		c.at += n
		return n, true, nil
	}
	c.held, c.at = nil, 0
	n, err = c.Conn.Read(p)
	return n, false, err
}

// pass vets p and says how much of it is handed on.
func (c *conn) pass(p []byte, ahead bool) (int, error) {
	fresh, head := c.vet.fresh(), c.vet.inHead()
	n := c.vet.feed(p)
	if c.vet.fault != clean {
		c.handled = !head
		if fresh && c.later {
			return 1, nil // an earlier request may be unanswered: see doc.go
		}
		return 0, c.refuse()
	}
	if head && !c.vet.inHead() {
		c.turn.give()
		c.later, c.asked = true, c.vet.upgrade
		c.mu.Lock()
		c.watch.begin(c.asked)
		c.mu.Unlock()
	}
	if c.vet.phase == finished {
		c.first.Store(0)
	}
	switch {
	case n == len(p):
	case ahead:
		c.at -= len(p) - n
	default:
		c.held, c.at = append(c.held[:0], p[n:]...), 0
	}
	return n, nil
}

// refuse answers once, unless the handler's own answer has begun, and gives the
// error that ends the connection.
func (c *conn) refuse() error {
	c.mu.Lock()
	first, answered := !c.refused, c.handled && !c.watch.untouched()
	c.refused = true
	c.mu.Unlock()
	if first {
		c.refuser.tell(c.vet.fault, c.RemoteAddr())
		if !answered {
			c.refuser.answer(c.Conn, c.vet.fault)
		}
	}
	return c.failure("read")
}

func (c *conn) failure(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: ErrRefused}
}

// Write passes the server's answer on and looks for the switch of protocols in
// it. After a refusal of our own there is nothing more to say.
func (c *conn) Write(p []byte) (int, error) {
	if !c.raw.Load() {
		c.mu.Lock()
		refused := c.refused
		if !refused && c.watch.see(p) {
			c.raw.Store(true) // before the client can know
		}
		c.mu.Unlock()
		if refused {
			return 0, c.failure("write")
		}
	}
	return c.Conn.Write(p)
}

// plainConn is a conn over TCP.
type plainConn struct{ *conn }

// ReadFrom lets the kernel move a body where it can (sendfile, splice). It is
// used behind a status line that Write has seen.
func (c plainConn) ReadFrom(r io.Reader) (int64, error) {
	c.mu.Lock()
	begun := !c.refused && (c.watch.state == unwatched || c.watch.state == switched)
	c.mu.Unlock()
	if begun {
		return io.Copy(c.Conn, r)
	}
	return io.Copy(struct{ io.Writer }{c.conn}, r)
}

// NetConn is the connection below, for whoever counts connections.
func (c *conn) NetConn() net.Conn { return c.Conn }

// CloseWrite ends our direction where the connection can; net/http asks for it.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
