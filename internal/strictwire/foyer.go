package strictwire

import (
	"errors"
	"io"
	"net"
	"time"
)

const (
	// maxFirst is how long the first request of a connection may take to come in
	// whole, from before the handshake: with an answer and its farewell, slow ones are gone
	// within ten seconds (R58).
	maxFirst = 8 * time.Second

	firstPiece = 512 // bytes; what is held grows as it comes, up to freeHead
)

// await reads the first head ahead, so that a connection whose client dawdles
// costs its bytes and a small stack, and none of the buffers that net/http sets up
// before it reads: with two thousand of them that is half of the memory (R58). It
// returns when there is something to judge: the end of a head, a fault, the end of
// the stream, or so much that the connection has a turn for long heads. What was
// read is vetted again when net/http reads it.
func (c *conn) await() error {
	ahead := vetter{limits: c.vet.limits}
	held := make([]byte, 0, firstPiece)
	for {
		if len(held) == cap(held) {
			held = append(make([]byte, 0, min(2*cap(held), freeHead)), held...)
		}
		n, err := c.Conn.Read(held[len(held):cap(held)])
		fresh := held[len(held) : len(held)+n]
		held = held[:len(held)+n]
		c.held = held
		ahead.feed(fresh)
		switch {
		case ahead.fault != clean || !ahead.inHead():
			return nil
		case errors.Is(err, io.EOF):
			return c.cutShort(len(held))
		case err != nil:
			return err
		case len(held) >= freeHead:
			return c.turn.take(c.refuser.now)
		}
	}
}

// cutShort lets a head that ends too early be refused in the usual way; a
// connection on which nothing came just ends.
func (c *conn) cutShort(bytes int) error {
	if bytes == 0 {
		return net.ErrClosed
	}
	return nil
}

// bound holds read deadlines to a moment, until the first request is in.
func (c *conn) bound(until time.Time) { c.first.Store(max(1, until.UnixNano())) }

// within is a deadline held to that moment.
func (c *conn) within(at time.Time) time.Time {
	if bound := c.first.Load(); bound != 0 && at.UnixNano() > bound && !at.IsZero() {
		return time.Unix(0, bound)
	}
	return at
}
