package gateway

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/sleep"
)

const (
	maxAddresses = 10_000          // bounds the table; a flood from more addresses shares one bucket
	queueLimit   = 4 * time.Second // how long a request waits before its page is told to ask again
	inFlight     = 64              // exchanges at once behind one address
	allInFlight  = 128             // exchanges at once: what DingTalk's 20 a second can finish within a deadline

	browserTries    = 5               // refused codes of one browser …
	browserMemory   = 5 * time.Minute // … within this time, then it waits
	browserInFlight = 2               // exchanges at once of one browser
	maxBrowsers     = 1024            // remembered behind one address; the rest share one memory

	spareRate  = 10 // exchanges a second for clean browsers behind an address that has used up its refusals
	spareBurst = 5
	spareWait  = 1500 * time.Millisecond // for one of them: a sign-in that succeeds in a flood takes two seconds at most

	notePause   = 200 * time.Millisecond // between audit records of failed sign-ins of one address …
	notesAtOnce = 100                    // … after so many at once
)

// limiter protects DingTalk's quota (T7). An office often stands behind one
// address and comes all at once at 09:00, so what an address and a browser are
// charged for is refused codes, not sign-ins. A browser that sends refused codes
// stops itself first; when its whole address has used up its refusals, browsers
// without any still get a share, so that one bad client locks out nobody beside
// it. Exchanges at once are bounded, and the rest queues: here for a moment,
// then in the page, which posts its code again. A global bucket counts every exchange.
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
	spare    *rate.Limiter
	slots    chan struct{}
	browsers map[string]*visitor // with something under way or refused; under limiter.mu
	waiting  int                 // callers that hold a reference; under limiter.mu
}

// visitor is what is known about one browser behind an address.
type visitor struct {
	slots   chan struct{}
	waiting int // under limiter.mu, like the rest
	refused int
	last    time.Time // of the refused codes
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
		spare:    rate.NewLimiter(spareRate, spareBurst),
		slots:    make(chan struct{}, inFlight),
		browsers: map[string]*visitor{},
	}
}

// enter lets one exchange of a browser begin. The caller gives leave the code's fate.
func (l *limiter) enter(ctx context.Context, address netip.Addr, browser string) (leave func(refused bool), err error) {
	c := l.hold(address)
	b := l.meet(c, browser)
	var taken []chan struct{}
	leave = func(refused bool) {
		for _, slots := range taken {
			<-slots
		}
		if refused {
			c.failures.AllowN(l.now(), 1)
		}
		l.part(c, b, browser, refused)
		l.release(c)
	}
	ctx, cancel := context.WithTimeout(ctx, queueLimit)
	defer cancel()
	for _, slots := range []chan struct{}{b.slots, c.slots, l.slots} {
		if !wait(ctx, slots) {
			leave(false)
			return nil, tooMany("queue")
		}
		taken = append(taken, slots)
	}
	if err := l.admit(ctx, c, b); err != nil {
		leave(false)
		return nil, err
	}
	return leave, nil
}

// admit judges a browser that has its turn.
func (l *limiter) admit(ctx context.Context, c *caller, b *visitor) error {
	refused := l.refusals(b)
	if refused >= browserTries {
		return tooMany("refused codes of the browser")
	}
	if c.failures.TokensAt(l.now()) < 1 && (refused > 0 || !l.share(ctx, c)) {
		return tooMany("refused codes of the address")
	}
	if !l.global.AllowN(l.now(), 1) {
		return tooMany("all addresses")
	}
	return nil
}

// share waits for a turn in what is left to the clean browsers of an address.
func (l *limiter) share(ctx context.Context, c *caller) bool {
	now := l.now()
	turn := c.spare.ReserveN(now, 1)
	delay := turn.DelayFrom(now)
	if delay > spareWait {
		turn.CancelAt(now)
		return false
	}
	return sleep.For(ctx, delay) == nil
}

// meet is the memory of a browser. Past maxBrowsers all share one.
func (l *limiter) meet(c *caller, browser string) *visitor {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := c.browsers[browser]; !known && len(c.browsers) >= maxBrowsers {
		browser = ""
	}
	b := c.browsers[browser]
	if b == nil {
		b = &visitor{slots: make(chan struct{}, browserInFlight)}
		c.browsers[browser] = b
	}
	b.waiting++
	return b
}

// part forgets a browser that owes nothing.
func (l *limiter) part(c *caller, b *visitor, browser string, refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.waiting--
	if refused {
		b.refused++
		b.last = l.now()
	}
	if b.waiting == 0 && b.refused == 0 && c.browsers[browser] == b {
		delete(c.browsers, browser)
	}
}

// refusals are the browser's refused codes that are not forgotten yet.
func (l *limiter) refusals(b *visitor) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now().Sub(b.last) >= browserMemory {
		b.refused = 0
	}
	return b.refused
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

// addressFlood says that failures of one address are alike: a stranger makes as
// many of them as they like (T118).
func addressFlood(address netip.Addr) audit.Flood {
	return audit.Flood{Key: "address/" + networkOf(address).String(), AtOnce: notesAtOnce, Pause: notePause}
}

// networkOf is one client as far as addresses tell: an address, or a /64 of IPv6.
// It is zero for what is no address.
func networkOf(address netip.Addr) netip.Prefix {
	bits := 32
	if address.Is6() {
		bits = 64
	}
	key, _ := address.Prefix(bits) // zero beside an error
	return key
}

func tooMany(what string) error {
	return identity.Fail(identity.Throttled, identity.CodeTooManyTries, "limit: %s", what)
}

func (l *limiter) hold(address netip.Addr) *caller {
	key := networkOf(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.overflow
	if key.IsValid() {
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
		for browser, b := range c.browsers {
			if b.waiting == 0 && now.Sub(b.last) >= browserMemory {
				delete(c.browsers, browser)
			}
		}
		if c.waiting == 0 && c.failures.TokensAt(now) >= float64(l.limits.AddressSize) {
			delete(l.table, key)
		}
	}
}

func (l *limiter) release(c *caller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.waiting--
}
