package gateway

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"kdgate/internal/sleep"
)

const (
	freeErrors   = 300.0 // errors that one address may have at once …
	errorsPer    = 50.0  // … and a second, before the next ones are slow
	errorDelay   = 250 * time.Millisecond
	mostDelayed  = 512  // answers held back at once; the rest is answered at once
	tarpitMemory = 4096 // addresses; a flood from more is the connections' and the openings' to bound
)

// tarpit holds answers back that refuse somebody, when an address gets very many
// of them: one client that asks a thousand times a second for what it does not
// get then gets it fifty times, and four times for each connection it waits on (R62).
// What succeeds is never held back, and a quarter of a second is little, so whoever
// else is behind the same address notices nothing.
type tarpit struct {
	now func() time.Time

	mu      sync.Mutex
	table   map[netip.Addr]*bucket
	delayed int
}

func newTarpit(now func() time.Time) *tarpit {
	return &tarpit{now: now, table: map[netip.Addr]*bucket{}}
}

// slow waits before an answer with an error of the client's, where it must. What
// a proxy asks for others is not held back.
func (t *tarpit) slow(r *http.Request, status int, address netip.Addr) {
	if t == nil || status < http.StatusBadRequest || status >= http.StatusInternalServerError || r.URL.Path == forwardAuthPath {
		return
	}
	if !t.enter(address) {
		return
	}
	defer t.leave()
	_ = sleep.For(r.Context(), errorDelay) // whoever has left need not wait
}

// enter charges an address and says whether its answer waits.
func (t *tarpit) enter(address netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	b, ok := t.table[address]
	if !ok {
		if len(t.table) >= tarpitMemory {
			t.sweep(now)
		}
		if len(t.table) >= tarpitMemory {
			return false
		}
		made := newBucket(freeErrors, errorsPer, now)
		b = &made
		t.table[address] = b
	}
	if b.take(now) || t.delayed >= mostDelayed {
		return false
	}
	t.delayed++
	return true
}

func (t *tarpit) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.delayed--
}

// sweep forgets addresses that owe nothing. Called with mu held.
func (t *tarpit) sweep(now time.Time) {
	for address, b := range t.table {
		if b.fill(now); b.tokens >= b.size {
			delete(t.table, address)
		}
	}
}
