package bench

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"kdgate/store/storetest"
)

// rounds is how often the lines follow each other; the table shows medians.
const rounds = 3

// rig is everything that clicks can be done against.
type rig struct {
	vendors *vendors
	redis   string              // address, empty until a part needs it
	parts   map[string]*process // by name in the table
}

// newRig starts the vendors and the parts named.
func newRig(tb testing.TB, names ...string) *rig {
	tb.Helper()
	r := &rig{vendors: startVendors(tb), parts: map[string]*process{}}
	for _, name := range names {
		r.add(tb, name)
	}
	return r
}

// add starts one more part.
func (r *rig) add(tb testing.TB, name string) {
	tb.Helper()
	if r.redis == "" && (name == "floor" || strings.HasPrefix(name, "redis")) {
		r.redis = storetest.StartRedis(tb).Addr
	}
	r.parts[name] = r.start(tb, name, r.redis)
}

// Kingdee's word on a person is never young enough in the cold gateways, so
// each click asks: three queries, and a row written.
const never = "1ns"

func (r *rig) start(tb testing.TB, name, redis string) *process {
	tb.Helper()
	if name == "floor" {
		order, err := json.Marshal(floorOrder{Redis: redis, DingTalk: r.vendors.dingAddr, Secret: r.vendors.dingSecret})
		if err != nil {
			tb.Fatal(err)
		}
		return startPart(tb, "floor", string(order))
	}
	return startGateway(tb, r.vendors, map[string]settings{
		"redis":       {redis: redis, verify: "2h", sessions: 5, raised: true},
		"redis cold":  {redis: redis, verify: never, sessions: 5, raised: true},
		"sqlite":      {verify: "2h", sessions: 5, raised: true},
		"sqlite cold": {verify: never, sessions: 5, raised: true},
		"sqlite new":  {sessions: 5, raised: true},
		"defaults":    {},
	}[name])
}

// visitors dials n connections to a part.
func (r *rig) visitors(tb testing.TB, part string, n int) []*visitor {
	tb.Helper()
	list := make([]*visitor, n)
	for i := range list {
		v, err := dial(r.parts[part].addr, i)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = v.conn.Close() })
		list[i] = v
	}
	return list
}

// warm lets everybody click once, so that Kingdee's word on them is known.
func (r *rig) warm(tb testing.TB, part string) {
	tb.Helper()
	codes := r.codes(tb, people)
	_, _, err := crowd(r.visitors(tb, part, 32), people, func(v *visitor, i int) error { return v.whole(codes[i]) })
	if err != nil {
		tb.Fatal(err)
	}
}

func (r *rig) codes(tb testing.TB, n int) []string {
	tb.Helper()
	list := make([]string, n)
	for i := range list {
		list[i] = r.vendors.code(tb, i)
	}
	return list
}

// sessionsOfAgain is how many sessions click by turns: one person gets some
// hundred links in five minutes at most, because two of a second are one to Kingdee.
const sessionsOfAgain = 1000

// kind is one way to click. prepare does what is not measured and gives the rest.
type kind struct {
	name     string
	requests int // of the gateway or the floor
	prepare  func(tb testing.TB, r *rig, visitors []*visitor, n int) func(v *visitor, i int) error
}

// The ways to click. The floor does in one request what the gateway, which has
// to show a page and start a session, does in four; so it is also measured in
// two and in four.
var (
	first = kind{"first", 4, func(tb testing.TB, r *rig, _ []*visitor, n int) func(*visitor, int) error {
		codes := r.codes(tb, n)
		return func(v *visitor, i int) error { return v.whole(codes[i]) }
	}}
	exchange = kind{"exchange+launch", 2, func(tb testing.TB, r *rig, visitors []*visitor, n int) func(*visitor, int) error {
		codes := r.codes(tb, n)
		forms, cookies := make([]url.Values, n), make([]map[string]string, n)
		_, _, err := crowd(visitors, n, func(v *visitor, i int) (err error) {
			v.cookies = map[string]string{}
			forms[i], err = v.begin()
			cookies[i] = v.cookies
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
		return func(v *visitor, i int) error {
			v.cookies = cookies[i]
			return v.finish(forms[i], codes[i])
		}
	}}
	again = kind{"again", 1, func(tb testing.TB, r *rig, visitors []*visitor, _ int) func(*visitor, int) error {
		sessions := make([]map[string]string, sessionsOfAgain)
		codes := r.codes(tb, len(sessions))
		_, _, err := crowd(visitors, len(sessions), func(v *visitor, i int) error {
			v.cookies = map[string]string{}
			err := v.whole(codes[i])
			sessions[i] = v.cookies
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
		return func(v *visitor, i int) error {
			v.cookies = sessions[i%len(sessions)]
			return v.launch(launchPath)
		}
	}}
	floor1 = kind{"click", 1, floorClick()}
	floor2 = kind{"click in two", 2, func(tb testing.TB, r *rig, _ []*visitor, n int) func(*visitor, int) error {
		codes := r.codes(tb, n)
		return func(v *visitor, i int) error {
			who, err := v.redirected("/exchange?code=" + codes[i])
			if err == nil {
				_, err = v.redirected("/launch?user=" + who)
			}
			return err
		}
	}}
	floor4 = kind{"click and three empty", 4, floorClick("/empty", "/empty", "/empty")}
	empty  = kind{"empty", 1, func(testing.TB, *rig, []*visitor, int) func(*visitor, int) error {
		return func(v *visitor, _ int) error {
			_, err := v.redirected("/empty")
			return err
		}
	}}
)

// floorClick asks before for other addresses, as a whole click has to.
func floorClick(before ...string) func(testing.TB, *rig, []*visitor, int) func(*visitor, int) error {
	return func(tb testing.TB, r *rig, _ []*visitor, n int) func(*visitor, int) error {
		codes := r.codes(tb, n)
		return func(v *visitor, i int) error {
			for _, path := range append(before, "/click?code="+codes[i]) {
				if _, err := v.redirected(path); err != nil {
					return err
				}
			}
			return nil
		}
	}
}

// line is one line of the table.
type line struct {
	part  string
	kind  kind
	c     int // people at once
	delay time.Duration
}

func (l line) name() string {
	return fmt.Sprintf("%s/%s/c=%d/vendors=%dms", l.part, l.kind.name, l.c, l.delay.Milliseconds())
}

// lines are grouped by what they are compared with; the floors come first.
func lines() []line {
	const slow = 50 * time.Millisecond
	list := []line{{"floor", empty, 32, 0}}
	for _, load := range []struct {
		c     int
		delay time.Duration
		kinds []kind // of the warm gateways
		cold  bool
	}{
		{32, 0, []kind{first, exchange, again}, true},
		{256, 0, []kind{first}, false},
		{32, slow, []kind{first}, true},
		{256, slow, []kind{first}, false},
	} {
		for _, k := range []kind{floor1, floor2, floor4} {
			if k.requests != 2 || len(load.kinds) > 1 {
				list = append(list, line{"floor", k, load.c, load.delay})
			}
		}
		for _, part := range []string{"redis", "sqlite"} {
			for _, k := range load.kinds {
				list = append(list, line{part, k, load.c, load.delay})
			}
			if load.cold {
				list = append(list, line{part + " cold", first, load.c, load.delay})
			}
		}
	}
	return list
}

// BenchmarkClick measures performance.md's "one click": every line once a round,
// so that a noisy minute falls on all of them alike, and prints the table.
func BenchmarkClick(b *testing.B) {
	if testing.Short() {
		b.Skip("takes minutes")
	}
	r := newRig(b)
	toOtherCores(b)
	idle := map[string]float64{}
	all := results{}
	for range rounds {
		for _, l := range lines() {
			var got result
			if !b.Run(l.name(), func(part *testing.B) {
				r.ready(b, l.part, idle) // of the whole run: it outlives this line
				got = r.measure(part, l)
			}) {
				return
			}
			all[l.name()] = append(all[l.name()], got)
		}
	}
	all.print(os.Stdout)
	r.printMemory(os.Stdout, b, idle)
}

// ready starts a part when its first line comes, so that a run of a few lines
// starts only what they need, and lets everybody click once.
func (r *rig) ready(tb testing.TB, name string, idle map[string]float64) {
	tb.Helper()
	if _, ok := r.parts[name]; ok {
		return
	}
	r.add(tb, name)
	idle[name] = r.parts[name].memory(tb, "VmRSS")
	if name != "floor" {
		r.vendors.delay.Store(0)
		r.warm(tb, name)
	}
}

// measure is one line in one round: b.N clicks.
func (r *rig) measure(b *testing.B, l line) result {
	r.vendors.delay.Store(0)
	visitors := r.visitors(b, l.part, l.c)
	click := l.kind.prepare(b, r, visitors, b.N)
	r.vendors.delay.Store(int64(l.delay))
	part := r.parts[l.part]
	before := part.cpu(b)
	b.ResetTimer()
	each, all, err := crowd(visitors, b.N, click)
	b.StopTimer()
	if err != nil {
		b.Fatal(err)
	}
	used := part.cpu(b) - before
	got := result{
		rate: float64(b.N) / all.Seconds(),
		p50:  at(each, 0.50), p99: at(each, 0.99),
		cpu:  used.Seconds() / float64(b.N) * 10_000,
		busy: used.Seconds() / all.Seconds(),
	}
	b.ReportMetric(got.rate, "clicks/s")
	b.ReportMetric(float64(got.p50.Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(got.p99.Microseconds())/1000, "p99-ms")
	b.ReportMetric(got.cpu, "cpu-s/10k")
	return got
}
