package gateway

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/identity"
)

// opened counts what sign-ins have left in the store.
func (h *house) opened(t *testing.T) int {
	t.Helper()
	entries, err := h.store.Scan(t.Context(), signInPrefix, "", 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// flood asks for launches as somebody who keeps no cookies.
func (h *house) flood(t *testing.T, launches int, from func(i int) string) (refused int) {
	t.Helper()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		turns = make(chan int, 64)
	)
	for range 8 {
		group.Go(func() {
			for i := range turns {
				status := h.anonymous(from(i))
				if status == http.StatusTooManyRequests {
					mu.Lock()
					refused++
					mu.Unlock()
				} else if status != http.StatusSeeOther {
					t.Errorf("launch %d: %d", i, status)
				}
			}
		})
	}
	for i := range launches {
		turns <- i
	}
	close(turns)
	group.Wait()
	return refused
}

// anonymous is one launch of nobody, straight into the handler.
func (h *house) anonymous(address string) int {
	out := &meter{ResponseWriter: discard{http.Header{}}}
	r, err := http.NewRequest(http.MethodGet, h.URL+"/launch/kingdee", http.NoBody)
	if err != nil {
		return 0
	}
	r.RequestURI, r.RemoteAddr = "/launch/kingdee", address+":1234"
	h.gateway.ServeHTTP(out, r)
	return out.code()
}

// A flood of 100,000 anonymous launches leaves nothing in the store, and begins
// a bounded number of sign-ins; meanwhile people sign in, from other addresses
// and from the same one.
func TestFloodOfLaunches(t *testing.T) {
	launches := 100_000
	if testing.Short() {
		launches = 10_000
	}
	h := newHouse(t, func(c *Config) {
		c.Limits = Limits{OpenPerAddress: 1000, OpenTotal: 5000, Global: 1e6, GlobalSize: 1e6}
	})
	h.gateway.tarpit = nil // a hundred thousand answers that are no longer slow on purpose
	refused := h.flood(t, launches, func(int) string { return "127.0.0.1" })
	if n := launches - refused; n < 500 || n > 1000 || h.opened(t) != 0 {
		t.Errorf("one address: %d begun, %d refused of %d, %d records", n, refused, launches, h.opened(t))
	}
	if status := h.anonymous("198.51.100.7"); status != http.StatusSeeOther {
		t.Errorf("another address: %d", status)
	}

	// The same address: told to come again, and given the cookie with which it may.
	b := h.browser(t)
	b.get("/assets/", "Accept", pageType)                 // connected: what came back to the address meanwhile is taken next, not by it
	for h.anonymous("127.0.0.1") == http.StatusSeeOther { // a place came back every 0.6 s
	}
	a := b.get("/launch/kingdee", "Accept", pageType)
	if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Refresh") == "" || !strings.Contains(a.text, "KD-121") {
		t.Fatalf("first: %d %v", a.StatusCode, a.Header)
	}
	b.signIn("zhang1")

	refused = h.flood(t, launches/5, func(i int) string { return fmt.Sprintf("10.1.%d.%d", i/250%250, i%250) })
	if n := launches/5 - refused; n > 5000 || h.opened(t) != 1 {
		t.Errorf("many addresses: %d begun, %d refused, %d records of one use", n, refused, h.opened(t))
	}
	h.clock.Advance(stateLife)
	if status := h.anonymous("198.51.100.8"); status != http.StatusSeeOther {
		t.Errorf("after the flood: %d", status)
	}
}

// An office is not held up by its own people: what is finished is not charged.
func TestFinishedSignInsAreNotCharged(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Limits = Limits{OpenPerAddress: 10, OpenTotal: 10} })
	for i := range 30 {
		h.browser(t).signIn(fmt.Sprintf("zhang%d", i))
	}
}

// The bound holds at any time: what is used at once and what comes back within
// the life of a record are together no more than it.
func TestOpeningsNeverExceedTheirBound(t *testing.T) {
	now := time.Unix(1000, 0)
	const bound = 100
	o := newOpenings(Limits{OpenPerAddress: bound, OpenTotal: 10 * bound}, func() time.Time { return now })
	who := netip.MustParseAddr("2001:db8::1")
	var begun []time.Time
	for range 3000 {
		if o.begin(who, false) == nil {
			begun = append(begun, now)
		}
		now = now.Add(100 * time.Millisecond)
		alive := 0
		for _, at := range begun {
			if now.Sub(at) < stateLife {
				alive++
			}
		}
		if alive > bound {
			t.Fatalf("%d alive after %v", alive, now.Sub(time.Unix(1000, 0)))
		}
	}
	if len(begun) < bound-1 {
		t.Errorf("only %d begun", len(begun))
	}
}

// The table of addresses is bounded, and forgets those that owe nothing.
func TestOpeningsTable(t *testing.T) {
	now := time.Unix(1000, 0)
	o := newOpenings(Limits{OpenPerAddress: 10, OpenTotal: 1_000_000}, func() time.Time { return now })
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	refused := 0
	for i := range 2 * maxAddresses {
		if err := o.begin(address(i), false); identity.KindOf(err) == identity.Throttled {
			refused++
		}
	}
	if len(o.table) != maxAddresses || refused == 0 {
		t.Errorf("%d addresses, %d refused", len(o.table), refused)
	}
	now = now.Add(stateLife)
	if err := o.begin(address(3*maxAddresses), false); err != nil || len(o.table) > 1 {
		t.Errorf("later: %v, %d addresses", err, len(o.table))
	}
}
