package chaos

import (
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"kdgate/store/storetest"
)

var whole = flag.Bool("chaos", false, "the whole campaign of make chaos, not its short form")

// fault is one thing that is done to Redis while people sign in.
type fault struct {
	name string
	do   func() // from the first moment of the fault to its heal
	gap  time.Duration
	over time.Duration // how long after the heal refusals are still allowed
	slow bool          // left out of the short form
}

// line is what a fault did, for the table.
type line struct {
	fault   fault
	lasted  time.Duration
	gap     time.Duration // longest time without anybody landing
	tally   tally
	allowed time.Duration
}

// campaign is the faults of one Redis and what has come of them so far.
type campaign struct {
	*estate
	t     *testing.T
	crowd *crowd
	calm  int // sign-ins that have to succeed between faults
	lines []line
	marks []window
}

// scale is how large a campaign is.
type scale struct {
	people, workers, calm int
	short, long           time.Duration // of a fault
}

// TestCampaign is `make chaos`: people sign in through two replicas while Redis
// suffers (R5–R13, R16, R63, R70, R71). It fails when somebody lands as somebody
// else, when anybody is refused outside the allowed gap, when a secret stands in
// a log, or when something is left running.
func TestCampaign(t *testing.T) {
	size := scale{people: 100, workers: 6, calm: 20, short: 300 * time.Millisecond, long: 600 * time.Millisecond}
	if *whole {
		size = scale{people: 1000, workers: 16, calm: 300, short: 2 * time.Second, long: 5 * time.Second}
	}
	before := runtime.NumGoroutine()
	var lines []line
	t.Run("single", func(t *testing.T) { lines = append(lines, single(t, size)...) })
	if *whole {
		t.Run("sentinel", func(t *testing.T) { lines = append(lines, sentinel(t, size)...) })
		t.Run("cluster", func(t *testing.T) { lines = append(lines, cluster(t, size)...) })
	}
	report(t, lines)
	settle(t, before)
}

// single is one Redis behind a proxy that mistreats its replies.
func single(t *testing.T, size scale) []line {
	redis := storetest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	var ill atomic.Pointer[func() storetest.Fate]
	proxy := storetest.StartProxy(t, redis.Addr, func([]byte, []byte) storetest.Fate {
		if fate := ill.Load(); fate != nil {
			return (*fate)()
		}
		return storetest.Pass
	})
	mistreat := func(fate func() storetest.Fate) func() {
		return func() {
			ill.Store(&fate)
			later(size.long)
			ill.Store(nil)
		}
	}
	one := func(in int, fates ...storetest.Fate) func() storetest.Fate {
		return func() storetest.Fate {
			if rand.IntN(in) == 0 {
				return fates[rand.IntN(len(fates))]
			}
			return storetest.Pass
		}
	}
	late := func(by time.Duration) func() storetest.Fate {
		return func() storetest.Fate {
			later(by)
			return storetest.Pass
		}
	}
	c := newCampaign(t, size, "url: 'redis://"+proxy+"/0'")
	faults := []fault{
		{"stopped and started (R5)", func() { redis.Stop(); later(size.short); redis.Start() }, 3 * time.Second, 3 * time.Second, false},
		{"killed and started (R5)", func() { redis.Kill(); later(size.short); redis.Start() }, 3 * time.Second, 3 * time.Second, false},
		{"hangs (R11)", func() { redis.Pause(); later(size.short); redis.Resume() }, 3 * time.Second, 3 * time.Second, false},
		{"replies swapped, 1 in 50 (R8)", mistreat(one(50, storetest.Swap, storetest.Lag)), 3 * time.Second, time.Second, false},
		{"replies cut short, 1 in 50 (R8, R13)", mistreat(one(50, storetest.Truncate, storetest.Cut)), 3 * time.Second, time.Second, false},
		{"replies 800 ms late (R10)", mistreat(late(800 * time.Millisecond)), 10 * time.Second, 3 * time.Second, true},
		{"replies 5 s late (R10)", mistreat(late(5 * time.Second)), 6 * time.Second, 6 * time.Second, true},
		{"read-only (R7)", func() {
			redis.Do("REPLICAOF", "127.0.0.1", "1")
			later(size.short)
			redis.Do("REPLICAOF", "NO", "ONE")
		}, 2 * time.Second, 2 * time.Second, false},
		{"out of memory (R9)", func() {
			redis.Do("CONFIG", "SET", "maxmemory", "1mb")
			later(size.short)
			redis.Do("CONFIG", "SET", "maxmemory", "0")
		}, 2 * time.Second, time.Second, false},
		{"locked out (R16)", func() {
			redis.Do("CONFIG", "SET", "requirepass", "other")
			redis.Password = "other"
			redis.Do("CLIENT", "KILL", "TYPE", "normal")
			later(size.short)
			redis.Do("CONFIG", "SET", "requirepass", "")
			redis.Password = ""
		}, 5 * time.Second, 5 * time.Second, false},
		{"clients killed 5 times a second (R12)", func() { killClients(redis, size.long) }, time.Second, time.Second, false},
	}
	if !*whole {
		faults = slices.DeleteFunc(faults, func(f fault) bool { return f.slow })
	}
	c.run(size, faults)
	return c.lines
}

func killClients(redis *storetest.Redis, during time.Duration) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for end := time.After(during); ; {
		select {
		case <-end:
			return
		case <-ticker.C:
			redis.Do("CLIENT", "KILL", "TYPE", "normal")
			redis.Do("CLIENT", "KILL", "TYPE", "pubsub")
		}
	}
}

// sentinel is a replica set whose master dies.
func sentinel(t *testing.T, size scale) []line {
	set := storetest.StartReplicaSet(t, 2*time.Second, "--appendonly", "yes")
	c := newCampaign(t, size, sentinelStore(set))
	c.run(size, []fault{
		{"Sentinel: master killed (R6)", func() { set.Master.Kill(); later(size.long) }, 15 * time.Second, 15*time.Second - size.long, false},
		{"Sentinel: the old one comes back (R7)", func() { set.Master.Start(); later(size.long) }, 2 * time.Second, 2 * time.Second, false},
	})
	return c.lines
}

// cluster is three masters of which one dies and comes back, and a slot moves.
func cluster(t *testing.T, size scale) []line {
	const tag = "{kdgate:chaos}"
	nodes := storetest.StartCluster(t, "--appendonly", "yes", "--appendfsync", "always")
	c := newCampaign(t, size, clusterStore(nodes))
	c.run(size, []fault{
		{"Cluster: node killed and started (R5)", func() {
			owner := nodes.Owner(tag)
			owner.Kill()
			later(size.short)
			owner.Start()
			nodes.Await()
		}, 5 * time.Second, 5 * time.Second, false},
		{"Cluster: our slot moves (R7)", func() { nodes.Move(tag, nodes.Other(tag), func() {}) }, 5 * time.Second, 2 * time.Second, false},
	})
	return c.lines
}

// sentinelStore and clusterStore are what a person writes for each.
func sentinelStore(set *storetest.ReplicaSet) string {
	return "sentinel: " + storetest.MasterName + ", urls: " + urls(set.SentinelAddrs())
}

func clusterStore(c *storetest.Cluster) string { return "cluster: true, urls: " + urls(c.Addrs()) }

func urls(addrs []string) string { return "['redis://" + strings.Join(addrs, "', 'redis://") + "']" }

func newCampaign(t *testing.T, size scale, store string) *campaign {
	t.Helper()
	e := newEstate(t, startVendors(t, size.people), store)
	a, b := e.start("a"), e.start("b")
	addPeople(t, a, size.people)
	return &campaign{estate: e, t: t, calm: size.calm, crowd: newCrowd(e, newBalancer(t, a, b), size.people)}
}

// run does one fault after the other, with a calm between, and judges.
func (c *campaign) run(size scale, faults []fault) {
	resident := newPerson(c.vendors, c.crowd.gate, 0)
	if err := resident.as(resident.signIn(client)); err != nil {
		c.t.Fatal(err)
	}
	finish := c.crowd.run(size.workers)
	c.crowd.await(c.calm)
	for _, f := range faults {
		c.progress(f.name)
		began := time.Now()
		f.do()
		healed := time.Now()
		w := window{began, healed.Add(f.over)}
		c.marks = append(c.marks, w)
		c.crowd.awaitAfter(healed, c.calm)
		if !*whole { // held to more than is required, to be done sooner
			w.until = time.Now().Add(300 * time.Millisecond)
			c.marks[len(c.marks)-1] = w
		}
		later(time.Until(w.until)) // what is refused from here on is refused for no reason
		c.crowd.await(c.calm)
		c.lines = append(c.lines, line{fault: f, lasted: healed.Sub(began), gap: c.crowd.gap(w), allowed: healed.Sub(began) + f.gap})
	}
	finish()
	for i := range c.lines {
		c.lines[i].tally = c.crowd.during(c.marks[i])
	}
	c.verdict(resident)
}

func (c *campaign) progress(what string) {
	if *whole {
		fmt.Printf("%s  %s\n", time.Now().Format("15:04:05"), what)
	}
}

func (c *campaign) verdict(resident *person) {
	c.t.Helper()
	sum := c.crowd.judge(c.marks)
	c.t.Logf("%s; half landed within %v, 99 of 100 within %v", sum, at(sum.times, 0.5), at(sum.times, 0.99))
	if sum.misled() > 0 || sum.outside > 0 {
		c.t.Errorf("%s\n%s", sum, strings.Join(sum.words, "\n"))
	}
	for _, code := range []string{"KD-201", "KD-202", "KD-203"} {
		if sum.codes[code] > 0 {
			c.t.Errorf("%d people with a mapping were told %s", sum.codes[code], code)
		}
	}
	for _, l := range c.lines {
		if l.gap > l.allowed {
			c.t.Errorf("%s: nobody landed for %v, allowed %v", l.fault.name, l.gap, l.allowed)
		}
	}
	before := c.vendors.exchanges()
	if err := resident.as(resident.launch(launchPath)); err != nil || c.vendors.exchanges() != before {
		c.t.Errorf("a session from before did not outlive it all: %v", err)
	}
	found := c.leaks()
	c.t.Logf("wrong identities %d, links that Kingdee refused %d, refused outside the allowed gaps %d, secrets found in logs %d", sum.wrong, sum.spoilt, sum.outside, len(found))
	if len(found) > 0 {
		c.t.Errorf("secrets found:\n%s", strings.Join(found, "\n"))
	}
}

// leaks looks for secrets in everything that is kept: the log, the folders of
// the replicas with their audit logs, and the metrics (T29, R71).
func (c *campaign) leaks() (found []string) {
	secrets := append([]string{c.vendors.dingSecret, c.vendors.kingdeeSecret, "signeddata", "ud=eyJ"}, c.crowd.secrets...)
	if key, err := os.ReadFile(filepath.Join(c.dir, "seal.key")); err == nil {
		secrets = append(secrets, string(key))
	}
	search := func(where, text string) {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				found = append(found, fmt.Sprintf("%s holds one of %d bytes beginning with %.6s", where, len(secret), secret))
			}
		}
	}
	search("the log", c.log.String())
	must(c.t, filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Dir(path) == c.dir {
			return err // the secrets themselves stand at the top
		}
		text, err := os.ReadFile(path)
		if err == nil {
			search(path, string(text))
		}
		return err
	}))
	return found
}

// at is the share of sorted times, from 0 to 1.
func at(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))].Round(time.Millisecond)
}

// during counts the attempts that met a window.
func (c *crowd) during(w window) tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	part := &crowd{}
	for _, a := range c.attempts {
		if w.meets(a) {
			part.attempts = append(part.attempts, a)
		}
	}
	return part.judge([]window{w})
}

func report(t *testing.T, lines []line) {
	t.Helper()
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "lasted s\tlanded\trefused\twrong\tp50 ms\tp99 ms\tnobody for s\tallowed s\tfault  \t")
	for _, l := range lines {
		fmt.Fprintf(table, "%.1f\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%s  \t\n", l.lasted.Seconds(), l.tally.good, l.tally.inside,
			l.tally.wrong, at(l.tally.times, 0.5).Milliseconds(), at(l.tally.times, 0.99).Milliseconds(), l.gap.Seconds(), l.allowed.Seconds(), l.fault.name)
	}
	must(t, table.Flush())
	t.Log("\n" + text.String())
}

// settle proves R63: what was started for a campaign is gone after it.
func settle(t *testing.T, before int) {
	t.Helper()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	end := time.After(10 * time.Second)
	for runtime.NumGoroutine() > before+before/10+1 {
		select {
		case <-ticker.C:
		case <-end:
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
	t.Logf("goroutines: %d before, %d after", before, runtime.NumGoroutine())
}
