package turnstile

import (
	"container/list"
	"errors"
	"io"
	"net"
	"net/netip"
)

// seat is one connection in its place.
type seat struct {
	net.Conn
	turnstile *Turnstile
	key       netip.Prefix
	home      *home

	// Guarded by the turnstile's mu.
	all, own     *list.List
	inAll, inOwn *list.Element
	gone         bool
}

// Close gives the place back.
func (s *seat) Close() error {
	s.turnstile.mu.Lock()
	s.turnstile.leave(s)
	s.turnstile.mu.Unlock()
	return s.Conn.Close()
}

// CloseWrite ends our direction where the connection can.
func (s *seat) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// ReadFrom lets the kernel move a body where it can.
func (s *seat) ReadFrom(r io.Reader) (int64, error) { return io.Copy(s.Conn, r) }

// seatOf finds the seat under what the server holds: TLS and whatever else wraps
// a connection says by NetConn what it wraps.
func seatOf(conn net.Conn) *seat {
	for {
		if s, ok := conn.(*seat); ok {
			return s
		}
		outer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = outer.NetConn()
	}
}
