package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/store/storetest"
)

// pair is two replicas on one Redis, everybody mapped, behind a balancer.
type pair struct {
	*estate
	a, b *replica
	gate *balancer
}

func newPair(t *testing.T, redis *storetest.Redis, people int) *pair {
	t.Helper()
	e := newEstate(t, startVendors(t, people), "url: 'redis://"+redis.Addr+"/0'")
	p := &pair{estate: e, a: e.start("a"), b: e.start("b")}
	addPeople(t, p.a, people)
	p.gate = newBalancer(t, p.a, p.b)
	return p
}

// through is a gate that leads to one replica only.
func (p *pair) through(r *replica) http.RoundTripper {
	alone := newBalancer(p.tb, r)
	return alone
}

// TestHopping proves that logins hop: every request of a sign-in takes any of
// two replicas, by both doors, and double clicks land too.
func TestHopping(t *testing.T) {
	t.Parallel()
	const people = 20
	h := newPair(t, storetest.StartRedis(t), people)
	for i := range people {
		p := newPerson(h.vendors, h.gate, i)
		if err := p.as(p.signIn(door(i % 2))); err != nil {
			t.Errorf("person %d: %v", i, err)
		}
		for range 3 { // within one second: each click is another link
			if err := p.as(p.launch(launchPath)); err != nil {
				t.Errorf("person %d, again: %v", i, err)
			}
		}
	}
	if n := h.vendors.exchanges(); n != people {
		t.Errorf("%d exchanges for %d sign-ins", n, people)
	}
}

// TestSpoiltLinks: a link that Kingdee had before shows nobody, the crowd is told
// why, and no fault of Redis excuses it.
func TestSpoiltLinks(t *testing.T) {
	h := newPair(t, storetest.StartRedis(t), 1)
	p := newPerson(h.vendors, h.gate, 0)
	must(t, p.as(p.signIn(client)))
	a, err := p.ask(launchPath, nil)
	must(t, err)
	must(t, p.as(p.landed(a.location)))
	_, err = p.landed(a.location)
	if !isSpoilt(err) || !strings.HasSuffix(err.Error(), "used") {
		t.Fatalf("the second time: %v", err)
	}
	c, now := newCrowd(h.estate, h.gate, 1), time.Now()
	c.note(attempt{from: now, until: now, err: err})
	if sum := c.judge([]window{{now.Add(-time.Hour), now.Add(time.Hour)}}); sum.misled() != 1 || sum.inside != 0 {
		t.Errorf("%s", sum)
	}
}

// TestRevocationReachesTheOther proves that what ends on one replica ends on the
// other within a second, though that one had it in memory: a session by
// sign-out, a mapping by its suspension.
func TestRevocationReachesTheOther(t *testing.T) {
	t.Parallel()
	h := newPair(t, storetest.StartRedis(t), 2)
	viaA, viaB := h.through(h.a), h.through(h.b)
	for number, revoke := range map[int]func(*person) error{
		0: func(p *person) error { return p.signOut() },
		1: func(*person) error { return suspend(t, h.a, 1) },
	} {
		p := newPerson(h.vendors, viaA, number)
		must(t, p.as(p.signIn(client)))
		p.gate = viaB
		for range 3 {
			must(t, p.as(p.launch(launchPath)))
		}
		p.gate = viaA
		cookies := fmt.Sprint(p.cookies)
		other := newPerson(h.vendors, viaB, number)
		for name, value := range p.cookies {
			other.cookies[name] = value
		}
		must(t, revoke(p))
		began := time.Now()
		for {
			landed, err := other.launch(launchPath)
			if err != nil {
				if e, ok := errors.AsType[*refused](err); !ok || e.status == http.StatusServiceUnavailable {
					t.Errorf("person %d: %v", number, err)
				}
				break
			}
			if took := time.Since(began); took > time.Second {
				t.Fatalf("%v later %s still lands with %s", took, landed, cookies)
			}
		}
		t.Logf("person %d: effective on the other after %v", number, time.Since(began))
	}
}

// TestOneCodeTwoReplicas proves T1, F4 over replicas: 100 parallel posts of one
// code, spread over both, are one exchange and one session.
func TestOneCodeTwoReplicas(t *testing.T) {
	t.Parallel()
	const posts = 100
	h := newPair(t, storetest.StartRedis(t), 1)
	p := newPerson(h.vendors, h.gate, 0)
	form, err := p.begin()
	must(t, err)
	code, err := h.vendors.ding.AuthCode(userid(0), corpID, appKey)
	must(t, err)
	form.Set("code", code)
	var (
		mu       sync.Mutex
		sessions = map[string]int{}
		landings int
		group    sync.WaitGroup
		start    = make(chan struct{})
	)
	for range posts {
		group.Go(func() {
			tab := newPerson(h.vendors, h.gate, 0)
			for name, value := range p.cookies {
				tab.cookies[name] = value
			}
			<-start
			a, err := tab.ask("/signin/dingtalk", form)
			var next struct{ Location string }
			if err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &next) != nil {
				t.Errorf("%v, %v", refuse("code", a), err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			sessions[tab.cookies["__Host-kdgate"]]++
			if strings.HasPrefix(next.Location, "/launch/") {
				landings++
			}
		})
	}
	close(start)
	group.Wait()
	if len(sessions) != 1 || landings != posts {
		t.Errorf("%d sessions, %d of %d go on", len(sessions), landings, posts)
	}
	if n := h.vendors.exchanges(); n != 1 {
		t.Errorf("%d exchanges", n)
	}
	thief := newPerson(h.vendors, h.gate, 0)
	form, err = thief.begin()
	must(t, err)
	form.Set("code", code)
	if _, err := thief.finish(form); codeOf(err) != "KD-102" {
		t.Errorf("a replay from another browser: %v", err)
	}
}

// TestRollingRestart proves R52, R53: each replica in turn leaves and comes back,
// again and again, under sign-ins, and nobody notices.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	const people, workers, rounds = 50, 4, 6
	h := newPair(t, storetest.StartRedis(t), people)
	crowd := newCrowd(h.estate, h.gate, people)
	finish := crowd.run(workers)
	replicas := []*replica{h.a, h.b}
	for i := range rounds {
		old := replicas[i%2]
		if err := old.stop(); err != nil {
			t.Errorf("round %d: %v", i, err)
		}
		h.gate.remove(old)
		replicas[i%2] = h.start(fmt.Sprintf("%s%d", old.name[:1], i))
		h.gate.add(replicas[i%2])
	}
	finish()
	sum := crowd.judge(nil)
	t.Logf("%d restarts: %s", rounds, sum)
	if sum.misled()+sum.outside+sum.inside > 0 || sum.good < rounds {
		t.Errorf("%s\n%s", sum, strings.Join(sum.words, "\n"))
	}
}

// TestRedisAwayForTwoSeconds proves R5 at the door: Redis is stopped for two
// seconds under sign-ins; they go on at most three seconds after it is back,
// nobody is told that no mapping exists, and sessions outlive it.
func TestRedisAwayForTwoSeconds(t *testing.T) {
	t.Parallel()
	const people, workers = 30, 4
	redis := storetest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	h := newPair(t, redis, people)
	resident := newPerson(h.vendors, h.gate, 0)
	must(t, resident.as(resident.signIn(client)))
	crowd := newCrowd(h.estate, h.gate, people)
	finish := crowd.run(workers)
	crowd.await(people)
	var away window
	away.from = time.Now()
	redis.Stop()
	later(2 * time.Second)
	redis.Start()
	away.until = time.Now().Add(3 * time.Second)
	crowd.awaitAfter(away.until, people)
	finish()
	sum := crowd.judge([]window{away})
	t.Logf("%s", sum)
	// Inside the gap a sign-in may be refused or may have waited it out.
	if sum.misled()+sum.outside > 0 {
		t.Errorf("%s\n%s", sum, strings.Join(sum.words, "\n"))
	}
	for _, code := range []string{"KD-201", "KD-202", "KD-203"} {
		if sum.codes[code] > 0 {
			t.Errorf("%d people were told %s while Redis was away", sum.codes[code], code)
		}
	}
	before := h.vendors.exchanges()
	if err := resident.as(resident.launch(launchPath)); err != nil || h.vendors.exchanges() != before {
		t.Errorf("the session did not outlive Redis: %v", err)
	}
}

// later waits: what is tested is time itself.
func later(d time.Duration) { <-time.After(d) }

// TestEveryForm: the same gateway on Redis by Sentinel and as a Cluster, with
// nothing but the store section changed.
func TestEveryForm(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(t *testing.T) string{
		"sentinel": func(t *testing.T) string {
			return sentinelStore(storetest.StartReplicaSet(t, time.Second))
		},
		"cluster": func(t *testing.T) string { return clusterStore(storetest.StartCluster(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEstate(t, startVendors(t, 2), store(t))
			a, b := e.start("a"), e.start("b")
			addPeople(t, a, 2)
			gate := newBalancer(t, a, b)
			for i := range 2 {
				p := newPerson(e.vendors, gate, i)
				if err := p.as(p.signIn(door(i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
