package chaos

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/store/storetest"
)

// trips writes down what Redis is asked, and makes its replies late.
type trips struct {
	late atomic.Int64 // how late, a time.Duration

	mu    sync.Mutex
	asked []string
}

// fate is for storetest.StartProxy.
func (s *trips) fate(command, _ []byte) storetest.Fate {
	if about := aboutOf(command); about != "" {
		s.mu.Lock()
		s.asked = append(s.asked, about)
		s.mu.Unlock()
	}
	if late := time.Duration(s.late.Load()); late > 0 {
		<-time.After(late)
	}
	return storetest.Pass
}

// aboutOf is what a command of a sign-in is about: its verb, and the rooms whose
// keys it names. It is empty for what goes on beside: leases, probes, handshakes.
func aboutOf(command []byte) string {
	verb := ""
	for _, known := range []string{"get", "evalsha", "eval", "mget"} {
		if bytes.Contains(bytes.ToLower(command[:min(40, len(command))]), []byte("\r\n"+known+"\r\n")) {
			verb = known
		}
	}
	rooms := []string{verb}
	for _, room := range []string{"signin/", "code/", "session/", "mapping/", "link/"} {
		if bytes.Contains(command, []byte("}k:"+room)) {
			rooms = append(rooms, room)
		}
	}
	if verb == "" || len(rooms) == 1 {
		return ""
	}
	return strings.Join(rooms, " ")
}

// calm waits until nothing is asked any more: the console's index reads the rows
// that a sign-in has changed, in its own time.
func (s *trips) calm() {
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	for before := -1; ; {
		s.mu.Lock()
		n := len(s.asked)
		s.mu.Unlock()
		if n == before {
			return
		}
		before = n
		<-tick.C
	}
}

// during gives what was asked while do ran.
func (s *trips) during(do func()) []string {
	s.mu.Lock()
	s.asked = nil
	s.mu.Unlock()
	do()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// direct takes every request to one replica.
type direct struct{ to *replica }

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = d.to.PublicAddr().String()
	return http.DefaultTransport.RoundTrip(r)
}

// TestTrips counts what a sign-in asks of Redis, from the icon to Kingdee, by a
// person whose row is settled: two commits (the claim that uses the state up; the
// outcome with the session) and one read (the row, at the mint, T41).
func TestTrips(t *testing.T) {
	e, seen := newSlowEstate(t)
	a := e.start("a")
	addPeople(t, a, 2)
	p := newPerson(e.vendors, direct{a}, 0)
	signIn := func(by door) func() {
		return func() {
			if err := p.as(p.signIn(by)); err != nil {
				t.Fatal(err)
			}
		}
	}
	signIn(client)() // Kingdee is asked about the row, and the scripts are loaded
	for name, by := range map[string]door{"client": client, "browser": browser} {
		seen.calm()
		asked := seen.during(signIn(by))
		commits := 0
		for _, about := range asked {
			if strings.HasPrefix(about, "eval") {
				commits++
			}
		}
		if len(asked) > 3 || commits != 2 {
			t.Errorf("%s: %d trips, %d of them commits:\n%s", name, len(asked), commits, strings.Join(asked, "\n"))
		}
	}
	seen.calm()
	again := seen.during(func() {
		if err := p.as(p.launch(launchPath)); err != nil {
			t.Error(err)
		}
	})
	if len(again) > 2 { // the row, and the session when its first second is over
		t.Errorf("a click with a session: %q", again)
	}
}

// TestSlowRedis proves R10: with every reply of Redis 800 ms late a person is in
// within 3 s, by either door.
func TestSlowRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	e, seen := newSlowEstate(t)
	a := e.start("a")
	addPeople(t, a, 2)
	p := newPerson(e.vendors, direct{a}, 0)
	if err := p.as(p.signIn(client)); err != nil {
		t.Fatal(err)
	}
	seen.late.Store(int64(800 * time.Millisecond))
	defer seen.late.Store(0)
	for name, by := range map[string]door{"client": client, "browser": browser} {
		began := time.Now()
		err := p.as(p.signIn(by))
		took := time.Since(began)
		t.Logf("%s: %v", name, took)
		if err != nil || took > 3*time.Second {
			t.Errorf("%s: %v after %v, allowed 3 s", name, err, took)
		}
	}
}

// TestSlowRedisFirstTime: somebody who was never here makes Kingdee be asked and a
// row be settled and bound. With every reply of Redis 800 ms late that is to be
// eight replies one after the other, not a refusal: what a decision reads, it
// reads at once.
func TestSlowRedisFirstTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	const late, replies = 800 * time.Millisecond, 8
	e, seen := newSlowEstate(t)
	a := e.start("a")
	addPeople(t, a, 2)
	known := newPerson(e.vendors, direct{a}, 0)
	if err := known.as(known.signIn(client)); err != nil {
		t.Fatal(err)
	}
	p := newPerson(e.vendors, direct{a}, 1)
	seen.late.Store(int64(late))
	defer seen.late.Store(0)
	began := time.Now()
	err := p.as(p.signIn(client))
	took := time.Since(began)
	t.Logf("%v", took)
	if err != nil || took > (replies+1)*late {
		t.Errorf("%v after %v, allowed %d replies", err, took, replies)
	}
}

// newSlowEstate is an estate on one Redis behind trips.
func newSlowEstate(t *testing.T) (*estate, *trips) {
	t.Helper()
	seen := &trips{}
	redis := storetest.StartRedis(t)
	proxy := storetest.StartProxy(t, redis.Addr, seen.fate)
	return newEstate(t, startVendors(t, 2), "url: 'redis://"+proxy+"/0'"), seen
}
