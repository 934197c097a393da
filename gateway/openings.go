package gateway

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Sign-ins that anybody may begin behind an address that has used up its own.
const (
	spareOpenings     = 10.0 // a second
	spareOpeningsSize = 20.0
)

// openings bounds the sign-ins that are begun and not finished: each may bring a
// code within stateLife, and beginning one needs no proof of anything. As
// with refused codes, an address is charged for what comes to nothing: a
// sign-in that ends well gives its place back, so an office of any size behind
// one address is not held up by its own people.
//
// Half of a bound may be used at once and half comes back over stateLife, so no
// more than the bound are alive at any time. Past it, browsers that bring our
// cookie get a share; one without is given the cookie, and its page comes again.
// What floods keeps no cookies.
type openings struct {
	now        func() time.Time
	size, rate float64 // of an address

	mu       sync.Mutex
	all      bucket
	table    map[netip.Prefix]*opener
	overflow opener
	swept    time.Time
}

// opener is one client address (one /64 of IPv6).
type opener struct{ own, spare bucket }

// bucket is a token bucket that takes tokens back, which rate.Limiter does not.
type bucket struct {
	tokens, size, rate float64
	at                 time.Time
}

func newBucket(size, rate float64, now time.Time) bucket {
	return bucket{tokens: size, size: size, rate: rate, at: now}
}

func (b *bucket) fill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = min(b.size, b.tokens+passed.Seconds()*b.rate)
		b.at = now
	}
}

func (b *bucket) take(now time.Time) bool {
	b.fill(now)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func (b *bucket) give() { b.tokens = min(b.size, b.tokens+1) }

func newOpenings(limits Limits, now func() time.Time) *openings {
	half := func(n int) (size, rate float64) { return float64(n) / 2, float64(n) / 2 / stateLife.Seconds() }
	o := &openings{now: now, table: map[netip.Prefix]*opener{}}
	o.size, o.rate = half(limits.OpenPerAddress)
	size, rate := half(limits.OpenTotal)
	o.all = newBucket(size, rate, now())
	o.overflow = o.newOpener()
	return o
}

func (o *openings) newOpener() opener {
	now := o.now()
	return opener{own: newBucket(o.size, o.rate, now), spare: newBucket(spareOpeningsSize, spareOpenings, now)}
}

// begin charges an address for one more sign-in; known is a browser that brings
// our cookie.
func (o *openings) begin(address netip.Addr, known bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, who := o.now(), o.find(address)
	switch {
	case who.own.take(now):
		if !o.all.take(now) {
			who.own.give()
			return tooMany("sign-ins begun, all addresses")
		}
	case !known || !who.spare.take(now) || !o.all.take(now):
		return tooMany("sign-ins begun, of the address")
	}
	return nil
}

// finished gives back the place of a sign-in that ended well.
func (o *openings) finished(address netip.Addr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	who := o.find(address)
	who.own.give()
	o.all.give()
}

// find is the opener of an address, made when there is room. Called with mu held.
func (o *openings) find(address netip.Addr) *opener {
	bits := 32
	if address.Is6() {
		bits = 64
	}
	key, err := address.Prefix(bits)
	if err != nil {
		return &o.overflow
	}
	if who, ok := o.table[key]; ok {
		return who
	}
	if now := o.now(); len(o.table) >= maxAddresses && now.Sub(o.swept) >= time.Second {
		o.swept = now
		o.sweep(now)
	}
	if len(o.table) >= maxAddresses {
		return &o.overflow
	}
	made := o.newOpener()
	o.table[key] = &made
	return &made
}

// sweep forgets addresses that owe nothing. Called with mu held.
func (o *openings) sweep(now time.Time) {
	for key, who := range o.table {
		who.own.fill(now)
		if who.own.tokens >= who.own.size {
			delete(o.table, key)
		}
	}
}

// mayBegin says whether one more sign-in may begin. A browser that is told no
// comes again by itself, with the cookie it has got meanwhile.
func (g *Gateway) mayBegin(w http.ResponseWriter, r *http.Request, known bool) error {
	err := g.openings.begin(visitOf(r).address, known)
	if err != nil && IsNavigation(r) {
		w.Header().Set("Refresh", retryAfter)
	}
	return err
}
