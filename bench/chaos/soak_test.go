package chaos

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/store/storetest"
)

// long is for how long the long forms go on; without -soak they are left out, as
// TestCampaign and TestRollingRestart play their short forms.
func long(t *testing.T) {
	t.Helper()
	if !*soak {
		t.Skip("a long form: make soak")
	}
}

// manyPeople come by run without that one of them meets a limit of Kingdee's: it
// takes one link of a person for each second that the last five minutes had.
const manyPeople = 1000

// verdictOf logs what became of a crowd and holds it to a share of good ones.
func verdictOf(t *testing.T, name string, sum tally, atLeast float64) {
	t.Helper()
	all := sum.good + sum.inside + sum.outside + sum.misled()
	share := float64(sum.good) / float64(max(1, all))
	t.Logf("%s: %s; %.3f %% landed, p50 %v, p99 %v", name, sum, 100*share, at(sum.times, 0.5), at(sum.times, 0.99))
	if sum.misled() > 0 || share < atLeast {
		t.Errorf("%s: %s\n%s", name, sum, strings.Join(sum.words, "\n"))
	}
}

// TestSoakClientKill proves R12: every connection is killed each second for a
// minute, and 99 of 100 sign-ins land.
func TestSoakClientKill(t *testing.T) {
	long(t)
	const people = 200
	redis := storetest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "everysec")
	h := newPair(t, redis, people)
	crowd := newCrowd(h.estate, h.gate, people)
	finish := crowd.pace(20 * time.Millisecond)
	crowd.await(people)
	w := window{from: time.Now()}
	for range 60 {
		redis.Do("CLIENT", "KILL", "TYPE", "normal")
		redis.Do("CLIENT", "KILL", "TYPE", "pubsub")
		later(time.Second)
	}
	w.until = time.Now()
	finish()
	verdictOf(t, "CLIENT KILL each second for a minute (R12)", crowd.during(w), 0.99)
}

// TestSoakRollingRestart proves R53: twenty rounds in which each of two replicas
// leaves and comes back, under a hundred sign-ins a second, and nobody notices.
func TestSoakRollingRestart(t *testing.T) {
	long(t)
	const people, rounds = 500, 20
	h := newPair(t, storetest.StartRedis(t), people)
	crowd := newCrowd(h.estate, h.gate, people)
	finish := crowd.pace(10 * time.Millisecond)
	crowd.await(people)
	began := time.Now()
	replicas := []*replica{h.a, h.b}
	for round := range rounds {
		for i, old := range replicas {
			if err := old.stop(); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			h.gate.remove(old)
			replicas[i] = h.start(fmt.Sprintf("%s%d", old.name[:1], round))
			h.gate.add(replicas[i])
		}
	}
	took := time.Since(began)
	finish()
	sum := crowd.judge(nil)
	verdictOf(t, fmt.Sprintf("%d restarts of two replicas in %v, %.0f attempts a second (R53)", 2*rounds, took.Round(time.Second),
		float64(sum.good)/took.Seconds()), sum, 1)
}

// TestSoakSentinel proves R6 again and again: the master is killed, another one
// takes over within fifteen seconds, the old one comes back as a replica.
func TestSoakSentinel(t *testing.T) {
	long(t)
	const people, rounds = manyPeople, 5
	set := storetest.StartReplicaSet(t, 2*time.Second, "--appendonly", "yes")
	e := newEstate(t, startVendors(t, people), sentinelStore(set))
	a, b := e.start("a"), e.start("b")
	addPeople(t, a, people)
	crowd := newCrowd(e, newBalancer(t, a, b), people)
	finish := crowd.run(8)
	crowd.await(people)
	var windows []window
	for round := range rounds {
		set.AwaitReplica(t)
		w := window{from: time.Now()}
		old := set.Current()
		old.Kill()
		crowd.awaitAfter(w.from.Add(time.Second), 20)
		w.until = w.from.Add(mostGap)
		gap := crowd.gap(window{w.from, time.Now()})
		t.Logf("failover %d: nobody landed for %v", round+1, gap.Round(10*time.Millisecond))
		if gap > mostGap {
			t.Logf("what the sentinels said last: %s", said(set.Sentinels))
		}
		old.Start()
		windows = append(windows, w)
		later(time.Until(w.until))
		crowd.await(50)
	}
	finish()
	sum := crowd.judge(windows)
	t.Logf("%d failovers (R6): %s", rounds, sum)
	if sum.misled()+sum.outside > 0 {
		t.Errorf("%s\n%s", sum, strings.Join(sum.words, "\n"))
	}
}

// mostGap is how long a failover may keep people out (R6).
const mostGap = 15 * time.Second

// said is the end of what each sentinel said: how long they took to agree.
func said(sentinels []*storetest.Redis) string {
	var text strings.Builder
	for _, s := range sentinels {
		lines := s.Said()
		fmt.Fprintf(&text, "\n%s\n  %s", s.Addr, strings.Join(lines[max(0, len(lines)-25):], "\n  "))
	}
	return text.String()
}

// TestSoakSlowRedis proves R10 and R11: replies 800 ms late are slow sign-ins,
// 5 s late or none at all are refusals within two and five seconds, and the gap
// ends with the fault.
func TestSoakSlowRedis(t *testing.T) {
	long(t)
	const people = manyPeople
	redis := storetest.StartRedis(t)
	var late atomic.Int64
	proxy := storetest.StartProxy(t, redis.Addr, func([]byte, []byte) storetest.Fate {
		if d := late.Load(); d > 0 {
			later(time.Duration(d))
		}
		return storetest.Pass
	})
	e := newEstate(t, startVendors(t, people), "url: 'redis://"+proxy+"/0'")
	a, b := e.start("a"), e.start("b")
	addPeople(t, a, people)
	crowd := newCrowd(e, newBalancer(t, a, b), people)
	finish := crowd.run(8)
	crowd.await(2*people + 16) // a sign-in and a click of everybody: see TestSlowRedisFirstTime for who was never here
	for _, f := range []struct {
		name  string
		begin func()
		heal  func()
		most  time.Duration // that an answer may take which refuses
	}{
		{"replies 800 ms late (R10)", func() { late.Store(int64(800 * time.Millisecond)) }, func() { late.Store(0) }, 12 * time.Second},
		{"replies 5 s late (R10)", func() { late.Store(int64(5 * time.Second)) }, func() { late.Store(0) }, 2 * time.Second},
		{"no reply at all (R11)", redis.Pause, redis.Resume, 5 * time.Second},
	} {
		w := window{from: time.Now()}
		f.begin()
		later(30 * time.Second)
		f.heal()
		w.until = time.Now()
		crowd.awaitAfter(w.until, 50)
		back := time.Since(w.until)
		sum := crowd.during(w)
		slowest := crowd.slowest(w)
		t.Logf("%s for 30 s: %s; p50 %v, p99 %v; the slowest refusal %v; back %v after the heal", f.name, sum,
			at(sum.times, 0.5), at(sum.times, 0.99), slowest.Round(10*time.Millisecond), back.Round(10*time.Millisecond))
		if sum.misled() > 0 || slowest > f.most {
			t.Errorf("%s: %s, slowest refusal %v", f.name, sum, slowest)
		}
	}
	finish()
}

// slowest is the longest that anybody waited within a window for the answer that
// refused them. A sign-in is several requests, and a page that comes again by
// itself is an answer too: what R10 and R11 bound is one answer.
func (c *crowd) slowest(w window) (longest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.attempts {
		if a.err != nil && a.until.Add(-a.last).After(w.from) && a.until.Before(w.until) {
			longest = max(longest, a.last)
		}
	}
	return longest
}
