package gateway

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kdgate/identity"
)

const (
	maxAddresses = 10_000          // bounds the table; a flood from more addresses shares one bucket
	queueLimit   = 4 * time.Second // how long a request waits before its page is told to ask again
	inFlight     = 64              // exchanges at once behind one address
	allInFlight  = 128             // exchanges at once: what DingTalk's 20 a second can finish within a deadline

	notesPerSecond = 5   // audit records of failed sign-ins per address
	notesAtOnce    = 100 // burst of them
)

// limiter protects DingTalk's quota (T7). An office often stands behind one
// address and comes all at once at 09:00, so what an address is charged for is
// refused codes, not sign-ins; exchanges at once are bounded, and the rest
// queues: here for a moment, then in the page, which posts its code again.
// A global bucket counts every exchange.
type limiter struct {
	limits Limits
	now    func() time.Time
	global *rate.Limiter
	slots  chan struct{}

	mu       sync.Mutex
	table    map[netip.Prefix]*caller
	overflow *caller
	swept    time.Time // a full table is searched once a second, not once a request
}

// caller is what is known about one client address (one /64 of IPv6).
type caller struct {
	failures *rate.Limiter
	notes    *rate.Limiter
	slots    chan struct{}
	waiting  int // callers that hold a reference; under limiter.mu
	leftOut  int // failures without a record; under limiter.mu
}

func newLimiter(limits Limits, now func() time.Time) *limiter {
	l := &limiter{
		limits: limits, now: now, table: map[netip.Prefix]*caller{},
		global: rate.NewLimiter(rate.Limit(limits.Global), limits.GlobalSize),
		slots:  make(chan struct{}, allInFlight),
	}
	l.overflow = l.newCaller()
	return l
}

func (l *limiter) newCaller() *caller {
	return &caller{
		failures: rate.NewLimiter(rate.Limit(l.limits.PerAddress), l.limits.AddressSize),
		notes:    rate.NewLimiter(notesPerSecond, notesAtOnce),
		slots:    make(chan struct{}, inFlight),
	}
}

// enter lets one exchange begin. The caller gives leave the code's fate.
func (l *limiter) enter(ctx context.Context, address netip.Addr) (leave func(refused bool), err error) {
	c := l.hold(address)
	ctx, cancel := context.WithTimeout(ctx, queueLimit)
	defer cancel()
	if !wait(ctx, c.slots) {
		l.release(c)
		return nil, tooMany("queue of the address")
	}
	if !wait(ctx, l.slots) {
		<-c.slots
		l.release(c)
		return nil, tooMany("queue of all addresses")
	}
	leave = func(refused bool) {
		if refused {
			c.failures.AllowN(l.now(), 1)
		}
		<-l.slots
		<-c.slots
		l.release(c)
	}
	if c.failures.TokensAt(l.now()) < 1 {
		leave(false)
		return nil, tooMany("refused codes of the address")
	}
	if !l.global.AllowN(l.now(), 1) {
		leave(false)
		return nil, tooMany("all addresses")
	}
	return leave, nil
}

// wait takes a slot, or reports that there was none in time.
func wait(ctx context.Context, slots chan<- struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// note reports whether a failed sign-in of this address is to be recorded, and
// how many before it were not.
func (l *limiter) note(address netip.Addr) (leftOut int, write bool) {
	c := l.hold(address)
	defer l.release(c)
	allowed := c.notes.AllowN(l.now(), 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !allowed {
		c.leftOut++
		return 0, false
	}
	leftOut, c.leftOut = c.leftOut, 0
	return leftOut, true
}

func tooMany(what string) error {
	return identity.Fail(identity.Throttled, identity.CodeTooManyTries, "limit: %s", what)
}

func (l *limiter) hold(address netip.Addr) *caller {
	bits := 32
	if address.Is6() {
		bits = 64
	}
	key, err := address.Prefix(bits)
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.overflow
	if err == nil {
		c = l.find(key)
	}
	c.waiting++
	return c
}

// find is the caller under key, made when there is room. Called with mu held.
func (l *limiter) find(key netip.Prefix) *caller {
	if c, ok := l.table[key]; ok {
		return c
	}
	if now := l.now(); len(l.table) >= maxAddresses && now.Sub(l.swept) >= time.Second {
		l.swept = now
		l.sweep()
	}
	if len(l.table) >= maxAddresses {
		return l.overflow
	}
	c := l.newCaller()
	l.table[key] = c
	return c
}

// sweep forgets addresses that owe nothing. Called with mu held.
func (l *limiter) sweep() {
	now := l.now()
	for key, c := range l.table {
		if c.waiting == 0 && c.leftOut == 0 && c.failures.TokensAt(now) >= float64(l.limits.AddressSize) {
			delete(l.table, key)
		}
	}
}

func (l *limiter) release(c *caller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.waiting--
}
