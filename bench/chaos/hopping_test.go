package chaos

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// turns takes every request to the other replica, which is the worst that a
// balancer without sticky sessions can do, and writes down what each one asks.
type turns struct {
	replicas []*replica
	seen     *trips

	mu    sync.Mutex
	next  int
	asked []string // a line for each request
}

// RoundTrip implements http.RoundTripper.
func (t *turns) RoundTrip(r *http.Request) (res *http.Response, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	to := t.replicas[t.next%len(t.replicas)]
	t.next++
	began := time.Now()
	asked := t.seen.during(func() { res, err = direct{to}.RoundTrip(r) })
	t.asked = append(t.asked, r.Method+" "+r.URL.Path+" at "+to.name+" in "+time.Since(began).Round(10*time.Millisecond).String()+":\n\t"+
		strings.Join(asked, "\n\t"))
	return res, err
}

// TestSlowRedisHopping counts how often a sign-in waits for Redis that meets
// another replica at every request: for the claim, for the outcome, and at the
// launch for the session with the row beside it. The page and the way over
// DingTalk wait for nothing.
func TestSlowRedisHopping(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	const late, waits = 800 * time.Millisecond, 3
	e, seen := newSlowEstate(t)
	a, b := e.start("a"), e.start("b")
	addPeople(t, a, 2)
	gate := &turns{replicas: []*replica{a, b}, seen: seen}
	p := newPerson(e.vendors, gate, 0)
	for range 2 { // each replica once, so that both know the scripts and Kingdee's word
		if err := p.as(p.signIn(client)); err != nil {
			t.Fatal(err)
		}
		gate.next++
	}
	seen.late.Store(int64(late))
	defer seen.late.Store(0)
	for _, each := range gate.replicas { // waits for the first late answer, and then knows
		for learnt := false; !learnt; {
			began := time.Now()
			if _, err := newPerson(e.vendors, direct{each}, 1).begin(); err != nil {
				t.Fatal(err)
			}
			learnt = time.Since(began) >= late
		}
	}
	for name, by := range map[string]door{"client": client, "browser": browser} {
		gate.asked = nil
		began := time.Now()
		err := p.as(p.signIn(by))
		took := time.Since(began)
		t.Logf("%s: %v\n%s", name, took, strings.Join(gate.asked, "\n"))
		if err != nil || took >= (waits+1)*late-late/4 { // 3 s: R10
			t.Errorf("%s: %v after %v, allowed %d waits", name, err, took, waits)
		}
	}
}
