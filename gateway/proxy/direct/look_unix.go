//go:build unix

package direct

import (
	"errors"
	"net"
	"syscall"
)

// look peeks at a connection without waiting and without taking anything.
type look struct {
	raw   syscall.RawConn
	byte  [1]byte
	quiet bool
	try   func(fd uintptr) bool // made once: peek
}

// at prepares for looking at inner.
func (l *look) at(inner net.Conn) {
	if open, ok := inner.(syscall.Conn); ok {
		if raw, err := open.SyscallConn(); err == nil {
			l.raw, l.try = raw, l.peek
		}
	}
}

// possible reports whether one can look at all; what cannot be looked at is not kept.
func (l *look) possible() bool { return l.raw != nil }

func (l *look) peek(fd uintptr) bool {
	_, _, err := syscall.Recvfrom(int(fd), l.byte[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	l.quiet = errors.Is(err, syscall.EAGAIN)
	return true
}

// quiet reports a connection that is open and has nothing to read.
func (c *conn) quiet() bool {
	c.look.quiet = false
	return c.in.Buffered() == 0 && c.look.raw.Read(c.look.try) == nil && c.look.quiet
}
