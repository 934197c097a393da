package strictwire

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// freeHead is how many bytes of an unfinished head cost nothing: what nearly
// every head has in all.
const freeHead = 4 << 10

// heads bounds how many unfinished heads longer than freeHead are in memory at
// once. Somebody who sends a long head slowly is not read on while there are too
// many; what was sent stays with the kernel, until the server's own deadline
// ends the connection (R58).
type heads chan struct{}

// turn is one connection's part in it.
type turn struct {
	heads    heads
	deadline atomic.Int64 // of reads, in nanoseconds of Unix time; 0: none
	over     chan struct{}
	end      sync.Once

	mu   sync.Mutex
	has  bool
	gone bool
}

func newTurn(h heads) *turn { return &turn{heads: h, over: make(chan struct{})} }

// take waits for a turn. It fails as a read would have failed.
func (t *turn) take(now func() time.Time) error {
	if t.holds() {
		return nil
	}
	var late <-chan time.Time
	if at := t.deadline.Load(); at != 0 {
		timer := time.NewTimer(time.Unix(0, at).Sub(now()))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case t.heads <- struct{}{}:
		return t.keep()
	case <-late:
		return os.ErrDeadlineExceeded
	case <-t.over:
		return net.ErrClosed
	}
}

func (t *turn) holds() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.has
}

func (t *turn) keep() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		<-t.heads
		return net.ErrClosed
	}
	t.has = true
	return nil
}

// give ends a turn, if there is one.
func (t *turn) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.has {
		t.has = false
		<-t.heads
	}
}

// close ends it for good.
func (t *turn) close() {
	t.end.Do(func() { close(t.over) })
	t.mu.Lock()
	t.gone = true
	t.mu.Unlock()
	t.give()
}

// until notes the deadline of reads.
func (t *turn) until(at time.Time) {
	if at.IsZero() {
		t.deadline.Store(0)
		return
	}
	t.deadline.Store(max(1, at.UnixNano()))
}

// Close ends the connection and its turn.
func (c *conn) Close() error {
	c.turn.close()
	return c.Conn.Close()
}

// SetDeadline is noted for who waits for a turn.
func (c *conn) SetDeadline(at time.Time) error {
	c.turn.until(at)
	return c.Conn.SetDeadline(at)
}

// SetReadDeadline is noted for who waits for a turn.
func (c *conn) SetReadDeadline(at time.Time) error {
	at = c.within(at)
	c.turn.until(at)
	return c.Conn.SetReadDeadline(at)
}
