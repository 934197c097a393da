package dingtalksim

import (
	"bufio"
	"net"
	"net/http"
	"sync/atomic"
)

// stallable hands out a connection that can be made half open: as if the
// network between had died without telling anybody.
type stallable struct {
	http.ResponseWriter
	conn *stallConn
}

// Hijack takes the connection over for a web socket.
func (s *stallable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(s.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	s.conn.Conn = conn
	return s.conn, buffer, nil
}

// stallConn swallows what is written and brings nothing more once it is dead.
type stallConn struct {
	net.Conn
	dead atomic.Bool
	gone <-chan struct{} // closed when the link is dropped
}

// Read waits for the end once the connection is dead.
func (c *stallConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.dead.Load() && err == nil {
		<-c.gone
		return 0, net.ErrClosed
	}
	return n, err
}

// Write pretends.
func (c *stallConn) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}
