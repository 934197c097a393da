package direct

import (
	"bufio"
	"context"
	"net"
	"sync"
	"time"
)

// Config says how an origin is reached. All fields are needed but Now.
type Config struct {
	Dial    func(ctx context.Context) (net.Conn, error)
	Idle    int              // connections kept for later
	IdleFor time.Duration    // how long one is kept
	MaxHead int64            // bytes of all heads of an answer, interim ones too
	Now     func() time.Time // nil: time.Now
}

// Pool keeps connections to one origin. It is safe for concurrent use.
type Pool struct {
	cfg Config

	mu     sync.Mutex
	idle   []*conn // the one used last at the end
	sweep  *time.Timer
	closed bool
}

// New makes a pool; it connects to nobody yet.
func New(cfg Config) *Pool {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Pool{cfg: cfg}
	p.sweep = time.AfterFunc(time.Hour, p.sweepIdle)
	p.sweep.Stop()
	return p
}

// conn is one connection, with what was read ahead on it.
type conn struct {
	net.Conn
	in    *bufio.Reader
	room  int64 // bytes that may still be read while a head is
	since time.Time
	look  look
}

// Read counts the bytes of a head. It is called by in.
func (c *conn) Read(p []byte) (int, error) {
	if c.room <= 0 {
		return 0, errHeadTooLarge
	}
	if int64(len(p)) > c.room {
		p = p[:c.room]
	}
	n, err := c.Conn.Read(p)
	c.room -= int64(n)
	return n, err
}

// take gives a connection on which nothing waits, and whether it was used before.
func (p *Pool) take(ctx context.Context, fresh bool) (c *conn, used bool, err error) {
	for !fresh {
		if c = p.pop(); c == nil {
			break
		}
		if c.quiet() {
			return c, true, nil
		}
		_ = c.Close()
	}
	inner, err := p.cfg.Dial(ctx)
	if err != nil {
		return nil, false, err
	}
	c = &conn{Conn: inner}
	c.in = bufio.NewReader(c)
	c.look.at(inner)
	return c, false, nil
}

func (p *Pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	if p.cfg.Now().Sub(c.since) >= p.cfg.IdleFor {
		_ = c.Close()
		return nil // the others are older still; the sweep has them
	}
	return c
}

// give takes back a connection whose answer was read to its end.
func (p *Pool) give(c *conn) {
	c.since = p.cfg.Now()
	p.mu.Lock()
	keep := !p.closed && len(p.idle) < p.cfg.Idle && c.look.possible()
	if keep {
		if len(p.idle) == 0 {
			p.sweep.Reset(p.cfg.IdleFor)
		}
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		_ = c.Close()
	}
}

// sweepIdle closes what was idle for too long, and comes again while anything is left.
func (p *Pool) sweepIdle() {
	now := p.cfg.Now()
	p.mu.Lock()
	old := 0
	for old < len(p.idle) && now.Sub(p.idle[old].since) >= p.cfg.IdleFor {
		old++
	}
	gone := p.idle[:old:old]
	p.idle = append([]*conn(nil), p.idle[old:]...)
	if len(p.idle) > 0 {
		p.sweep.Reset(max(p.cfg.IdleFor-now.Sub(p.idle[0].since), time.Second))
	}
	p.mu.Unlock()
	for _, c := range gone {
		_ = c.Close()
	}
}

// Close ends idle connections, and those in use after their answer.
func (p *Pool) Close() {
	p.mu.Lock()
	gone := p.idle
	p.idle, p.closed = nil, true
	p.sweep.Stop()
	p.mu.Unlock()
	for _, c := range gone {
		_ = c.Close()
	}
}
