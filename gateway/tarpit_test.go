package gateway

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func failing(ctx context.Context, path string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://gate.example.com"+path, http.NoBody)
	if err != nil {
		panic(err)
	}
	return r
}

// R62: whoever gets errors by the hundred gets them slowly; others, successes,
// our own faults and what a proxy asks come at once.
func TestTarpit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTarpit(time.Now)
		bad, good := mustAddr("198.51.100.7"), mustAddr("198.51.100.8")
		took := func(path string, status int, address netip.Addr) time.Duration {
			began := time.Now()
			p.slow(failing(t.Context(), path), status, address)
			return time.Since(began)
		}
		for range int(freeErrors) {
			if d := took("/x", 404, bad); d != 0 {
				t.Fatalf("an early error took %v", d)
			}
		}
		if d := took("/x", 404, bad); d != errorDelay {
			t.Errorf("an error too many took %v", d)
		}
		for range int(errorsPer * errorDelay.Seconds()) {
			took("/x", 401, bad)
		}
		for name, d := range map[string]time.Duration{
			"somebody else": took("/x", 404, good), "a page": took("/x", 200, bad), "a redirect": took("/x", 303, bad),
			"our fault": took("/x", 503, bad), "a proxy's question": took(forwardAuthPath, 401, bad),
		} {
			if d != 0 {
				t.Errorf("%s took %v", name, d)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		p.slow(failing(ctx, "/x"), 404, bad)
		if time.Since(began) != 0 {
			t.Error("somebody who is gone is waited for")
		}
	})
}

// A flood is slowed to the delay's pace, and what waits is bounded.
func TestTarpitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTarpit(time.Now)
		address := mustAddr("2001:db8::1")
		var group sync.WaitGroup
		for range 3 * mostDelayed {
			group.Go(func() { p.slow(failing(t.Context(), "/x"), 400, address) })
		}
		synctest.Wait()
		p.mu.Lock()
		if p.delayed != mostDelayed {
			t.Errorf("%d wait", p.delayed)
		}
		p.mu.Unlock()
		group.Wait()
		if p.delayed != 0 {
			t.Errorf("%d left behind", p.delayed)
		}
		for i := range 2 * tarpitMemory {
			p.enter(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
		}
		if len(p.table) > tarpitMemory {
			t.Errorf("%d addresses", len(p.table))
		}
	})
}
