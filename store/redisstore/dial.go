package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// dialer opens connections and knows those that are open, so that they can be
// dropped when one of them has lost step: go-redis offers no way to do that.
type dialer struct {
	net   *net.Dialer
	tls   *tls.Config
	quiet time.Duration // a question unanswered for so long means that nobody is there
	now   func() time.Time

	mu   sync.Mutex
	open map[*conn]struct{}
}

func newDialer(cfg *tls.Config, timeout time.Duration) *dialer {
	return &dialer{
		net:   &net.Dialer{Timeout: timeout, KeepAlive: 15 * time.Second},
		tls:   cfg,
		quiet: timeout / 2,
		now:   time.Now,
		open:  map[*conn]struct{}{},
	}
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.tls != nil {
		secure, err := (&tls.Dialer{NetDialer: d.net, Config: d.tls}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return d.track(secure), nil
	}
	plain, err := d.net.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if sys, ok := plain.(syscall.Conn); ok {
		// go-redis looks at the socket itself to find connections that died idle.
		return plainConn{conn: d.track(plain), Conn: sys}, nil
	}
	return d.track(plain), nil
}

func (d *dialer) track(inner net.Conn) *conn {
	c := &conn{Conn: inner, dialer: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[c] = struct{}{}
	return c
}

// dropAll closes every connection. Commands in flight fail and are repeated on
// new ones.
func (d *dialer) dropAll() {
	d.mu.Lock()
	open := d.open
	d.open = map[*conn]struct{}{}
	d.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close() // its user finds out by its next read
	}
}

// conn is a connection that its dialer knows until it is closed, and whose
// replies are held to what Redis gives us.
type conn struct {
	net.Conn
	dialer *dialer
	guard  guard       // of the one goroutine that reads
	asked  atomic.Bool // something was written since something was read
}

// Read gives nothing of a reply that the guard refuses. Where a question stays
// unanswered, the network has most likely forgotten this connection without
// telling (a firewall, a machine that vanished), and with it all others: they
// are dropped together, or each would cost one more question its time (R11).
func (c *conn) Read(p []byte) (int, error) {
	began := c.dialer.now()
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.asked.Store(false)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && c.asked.Load() && c.dialer.now().Sub(began) >= c.dialer.quiet {
		c.dialer.dropAll()
	}
	if refused := c.guard.check(p[:n]); refused != nil {
		return 0, refused
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	c.asked.Store(true)
	return c.Conn.Write(p)
}

func (c *conn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.open, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}

// plainConn is a conn whose socket can be looked at.
type plainConn struct {
	*conn
	syscall.Conn
}

// Close resolves the embedded names in favour of conn.
func (c plainConn) Close() error { return c.conn.Close() }
