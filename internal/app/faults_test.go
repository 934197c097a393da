package app

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/internal/config"
	"kdgate/jobs"
	"kdgate/jobs/hr"
	"kdgate/kingdee/kingdeesim"
	"kdgate/store"
	"kdgate/store/storetest"
)

// sample is one line of /metrics.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

var (
	sampleLine = regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? (\S+)$`)
	labelPair  = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
)

func (s *Server) scrape(t *testing.T) []sample {
	t.Helper()
	w := httptest.NewRecorder()
	s.metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	var list []sample
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		found := sampleLine.FindStringSubmatch(lines.Text())
		if found == nil {
			continue
		}
		one := sample{name: found[1], labels: map[string]string{}}
		for _, pair := range labelPair.FindAllStringSubmatch(found[2], -1) {
			one.labels[pair[1]] = pair[3]
		}
		var err error
		one.value, err = strconv.ParseFloat(found[3], 64)
		must(t, err)
		list = append(list, one)
	}
	return list
}

// rule is one alert of deploy/prometheus.
type rule struct {
	Alert, Expr string
}

func alerts(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/prometheus/kdgate.rules.yaml")
	must(t, err)
	var file struct {
		Groups []struct{ Rules []rule }
	}
	must(t, yaml.Unmarshal(text, &file))
	all := map[string]string{}
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			all[r.Alert] = strings.TrimSpace(r.Expr)
		}
	}
	return all
}

// A small part of PromQL: what the alerts of one fault each are written in. Two
// looks at the series stand for the window of increase.
var (
	comparison = regexp.MustCompile(`^(.+?) (>=|>|<) ([0-9.]+)$`)
	aggregate  = regexp.MustCompile(`^(sum|max|abs|increase)(?: by \([a-z]+\) )?\((.*)\)$`)
	selector   = regexp.MustCompile(`^([a-z_]+)(?:\{([^}]*)\})?(?:\[1m\])?$`)
)

// fires tells whether an expression holds between two looks.
func fires(t *testing.T, expr string, before, after []sample) bool {
	t.Helper()
	for part := range strings.SplitSeq(expr, " and ") {
		c := comparison.FindStringSubmatch(part)
		if c == nil {
			t.Fatalf("not a comparison: %s", part)
		}
		bound, err := strconv.ParseFloat(c[3], 64)
		must(t, err)
		holds := false
		for _, v := range value(t, c[1], before, after) {
			holds = holds || (c[2] == ">" && v > bound) || (c[2] == ">=" && v >= bound) || (c[2] == "<" && v < bound)
		}
		if !holds {
			return false
		}
	}
	return true
}

// value gives the elements of a term.
func value(t *testing.T, term string, before, after []sample) []float64 {
	t.Helper()
	if left, ok := strings.CutSuffix(term, " - time()"); ok {
		list := value(t, left, before, after)
		for i := range list {
			list[i] -= float64(time.Now().Unix())
		}
		return list
	}
	if above, below, ok := strings.Cut(term, " / "); ok {
		return []float64{total(value(t, above, before, after)) / total(value(t, below, before, after))}
	}
	if a := aggregate.FindStringSubmatch(term); a != nil {
		inner := value(t, a[2], before, after)
		switch a[1] {
		case "sum":
			return []float64{total(inner)}
		case "abs":
			for i := range inner {
				inner[i] = math.Abs(inner[i])
			}
		case "increase":
			return []float64{total(inner) - total(value(t, a[2], nil, before))}
		}
		return inner
	}
	s := selector.FindStringSubmatch(term)
	if s == nil {
		t.Fatalf("not a term: %s", term)
	}
	var list []float64
	for _, one := range after {
		if one.name == s[1] && one.fits(s[2]) {
			list = append(list, one.value)
		}
	}
	return list
}

func total(list []float64) (sum float64) {
	for _, v := range list {
		sum += v
	}
	return sum
}

func (s sample) fits(matchers string) bool {
	for _, m := range labelPair.FindAllStringSubmatch(matchers, -1) {
		has := s.labels[m[1]]
		whole := regexp.MustCompile("^(?:" + m[3] + ")$").MatchString(has)
		if fits := map[string]bool{"=": has == m[3], "!=": has != m[3], "=~": whole, "!~": !whole}[m[2]]; !fits {
			return false
		}
	}
	return true
}

// faultRig is a server on which every fault can be laid and taken away, driven by
// hand: nothing in it happens by the clock.
type faultRig struct {
	*rig
	s         *Server
	redis     *storetest.Redis
	late      atomic.Int64 // of replies of Redis
	cut       atomic.Bool
	lock      *sql.Conn // holds the audit log
	callbacks string
}

func newFaultRig(t *testing.T) *faultRig {
	t.Helper()
	r := &faultRig{rig: newRig(t), redis: storetest.StartRedis(t)}
	relay := storetest.StartProxy(t, r.redis.Addr, func([]byte, []byte) storetest.Fate {
		if late := time.Duration(r.late.Load()); late > 0 {
			<-time.After(late)
		}
		if r.cut.Load() {
			return storetest.Cut
		}
		return storetest.Pass
	})
	r.put("callback.token", "a-token-of-ours")
	r.put("callback.key", strings.Repeat("a", 43))
	r.put("seal.key", strings.Repeat("s", 32))
	text := r.withDirectory("",
		"seal: {old_key_files: []}", "seal: {key_file: seal.key}",
		"{driver: sqlite, path: data/kdgate.db}", "{driver: redis, url: 'redis://"+relay+"/0'}",
		"agent_id: 1001,", "agent_id: 1001, events: callback, callback: {token_file: callback.token, aes_key_file: callback.key},")
	cfg := r.load(text...)
	cfg.Mapping.VerifyMaxAge = 0
	options := r.options(cfg)
	options.Egress = dingtalk.EgressConfig{Ban: time.Second}
	var err error
	r.s, err = NewServer(t.Context(), options)
	must(t, err)
	t.Cleanup(func() { must(t, r.s.Close()) })
	r.callbacks = "/callback/dingtalk/dingcorp1"
	return r
}

// look is what the background does by the clock.
func (r *faultRig) look() {
	r.s.health.ask(r.t.Context())
	if r.late.Load() == 0 { // what it shows takes as many replies as there are corps
		r.s.show(r.t.Context(), time.Time{})
	}
}

// askDingTalk and askKingdee make some calls, whatever comes of them.
func (r *faultRig) askDingTalk(n int) (err error) {
	for range n {
		ctx, cancel := context.WithTimeout(r.t.Context(), 6*time.Second)
		_, err = r.s.rooms.Load().vendors.dingtalk["dingcorp1"].api.Person(ctx, "1001")
		cancel()
	}
	return err
}

func (r *faultRig) askKingdee(n int) (err error) {
	for range n {
		ctx, cancel := context.WithTimeout(r.t.Context(), 6*time.Second)
		_, err = r.s.rooms.Load().vendors.kingdee["live"].api.StaffByNumber(ctx, "1001")
		cancel()
	}
	return err
}

func (r *faultRig) dingFault(f dingtalksim.Fault) {
	r.t.Helper()
	_, err := r.ding.AddFault(f)
	must(r.t, err)
}

func (r *faultRig) kingFault(f kingdeesim.Fault) { r.t.Helper(); must(r.t, r.king.AddFault(f)) }

// well waits until both vendors answer again.
func (r *faultRig) well() {
	r.t.Helper()
	var ding, king error
	defer func() {
		if r.t.Failed() {
			r.t.Logf("DingTalk: %v, Kingdee: %v", ding, king)
		}
	}()
	eventually(r.t, "both vendors answer", func() bool {
		ding, king = r.askDingTalk(1), r.askKingdee(1)
		return ding == nil && king == nil
	})
}

// fault is one row of the list of reliability.
type fault struct {
	name, alert string
	lay, mend   func(r *faultRig)
}

var always = dingtalksim.Fault{Match: "/user/get", Times: -1}

func dingFault(kind string, delay int) func(*faultRig) {
	return func(r *faultRig) {
		f := always
		f.Kind, f.DelayMS = kind, delay
		r.dingFault(f)
		_ = r.askDingTalk(4)
	}
}

func dingMend(r *faultRig) { r.ding.ClearFaults(0); r.well() }

func kingFault(f kingdeesim.Fault, calls int) func(*faultRig) {
	return func(r *faultRig) { r.kingFault(f); _ = r.askKingdee(calls) }
}

func kingMend(r *faultRig) { r.king.ClearFaults(); r.well() }

func faultList() []fault {
	return []fault{
		{"store away", "KdgateStoreAway", func(r *faultRig) { r.cut.Store(true) }, func(r *faultRig) { r.cut.Store(false); r.storeBack() }},
		{"store slow", "KdgateStoreSlow", func(r *faultRig) { r.late.Store(int64(700 * time.Millisecond)) }, func(r *faultRig) { r.late.Store(0); r.storeBack() }},
		{"DingTalk refused", "KdgateDingTalkAway", dingFault("reset", 0), dingMend},
		{"DingTalk slow", "KdgateDingTalkSlow", func(r *faultRig) {
			r.dingFault(dingtalksim.Fault{Match: "/user/get", Kind: "slow", Times: 1, DelayMS: 2500})
			_ = r.askDingTalk(1)
		}, dingMend},
		{"DingTalk throttles", "KdgateDingTalkThrottled", dingFault("throttle", 0), dingMend},
		{"DingTalk bans", "KdgateDingTalkBanned", dingFault("html-ban", 0), dingMend},
		{"DingTalk's month is used up", "KdgateQuota", dingFault("quota", 0), func(r *faultRig) {
			r.ding.ClearFaults(0)
			_, err := r.s.rooms.Load().vendors.dingtalk["dingcorp1"].api.Probe(r.t.Context())
			must(r.t, err)
		}},
		{"Kingdee refused", "KdgateKingdeeAway", kingFault(kingdeesim.Fault{Kind: kingdeesim.FaultReset, Times: -1}, 4), kingMend},
		{"Kingdee slow", "KdgateKingdeeSlow", kingFault(kingdeesim.Fault{Kind: kingdeesim.FaultSlow, Times: 1, Delay: "2500ms"}, 1), kingMend},
		{"Kingdee's session lost", "KdgateKingdeeSession", func(r *faultRig) {
			for range 2 { // each is asked again under a new session
				kingFault(kingdeesim.Fault{Match: "ExecuteBillQuery", Kind: kingdeesim.FaultLoseSession, Times: 1}, 1)(r)
			}
		}, kingMend},
		{"Kingdee's licence", "KdgateKingdeeLicence", kingFault(kingdeesim.Fault{Match: "ExecuteBillQuery", Kind: kingdeesim.FaultErrCode, Code: 7, Times: 2}, 2), kingMend},
		{"clocks apart", "KdgateClock", func(r *faultRig) { r.king.SetSkew(3 * time.Minute); _ = r.askKingdee(1) }, func(r *faultRig) { r.king.SetSkew(0); r.well() }},
		{"audit log cannot be written", "KdgateAuditRefuses", func(r *faultRig) { r.holdLog() }, func(r *faultRig) { r.releaseLog() }},
		{"forged callbacks", "KdgateCallbackForged", func(r *faultRig) {
			for range 7 {
				req := httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, r.callbacks+"?signature=x&timestamp=1&nonce=a", strings.NewReader(`{"encrypt":"AAAA"}`))
				req.Host = "localhost:8080"
				w := httptest.NewRecorder()
				r.s.public.Handler.ServeHTTP(w, req)
				if w.Code != http.StatusForbidden {
					r.t.Fatalf("a forged callback: %d", w.Code)
				}
			}
		}, func(*faultRig) {}},
		{"records changed in Kingdee", "KdgateDrift", func(r *faultRig) {
			must(r.t, r.s.store.Commit(r.t.Context(), store.Put("directory/drift/dingcorp1/1001", []byte(`{"number":"1001","userid":"1001","name":"张三","diffs":[],"found":"2026-01-01T00:00:00Z"}`))))
		}, func(r *faultRig) {
			must(r.t, r.s.store.Commit(r.t.Context(), store.Delete("directory/drift/dingcorp1/1001")))
		}},
		{"a lease is lost", "KdgateLeaseLost", func(r *faultRig) {
			_, _, err := r.s.queue.Add(r.t.Context(), jobs.Draft{ID: jobs.ID{Kind: hr.Kind, Key: "frozen"}, Payload: []byte(`{}`)})
			must(r.t, err)
			r.take(1) // and its worker is never heard of again
			r.takeOver()
		}, func(*faultRig) {}},
		{"dead letters", "KdgateDead", func(r *faultRig) {
			_, _, err := r.s.queue.Add(r.t.Context(), jobs.Draft{ID: jobs.ID{Kind: hr.Kind, Key: "poison"}, Payload: []byte(`{}`)})
			must(r.t, err)
			for _, w := range r.take(1) {
				_, err := w.Fail(r.t.Context(), jobs.Permanent(errors.New("no such person")), jobs.Retry{})
				must(r.t, err)
			}
			r.publish()
		}, func(r *faultRig) {
			_, err := r.s.queue.GiveUp(r.t.Context(), jobs.Actor{Name: "cli:test"}, jobs.ID{Kind: hr.Kind, Key: "poison"}, "not one of ours")
			must(r.t, err)
			r.publish()
		}},
	}
}

func (r *faultRig) take(n int) []*jobs.Work {
	r.t.Helper()
	taken, err := r.s.queue.Take(r.t.Context(), hr.Kind, n)
	must(r.t, err)
	if len(taken.Work) != n {
		r.t.Fatalf("%d items taken, want %d", len(taken.Work), n)
	}
	return taken.Work
}

// another is the work list as another replica has it.
func (r *faultRig) another(elapsed func() time.Duration) *jobs.Queue {
	r.t.Helper()
	other, err := jobs.New(jobs.Config{
		Store: r.s.store, Recorder: r.s.log, Observer: r.s.metrics, Owner: "other", Elapsed: elapsed,
	})
	must(r.t, err)
	return other
}

// takeOver is another replica that finds the lease of a silent worker.
func (r *faultRig) takeOver() {
	r.t.Helper()
	var passed time.Duration
	other := r.another(func() time.Duration { return passed })
	for range 3 {
		taken, err := other.Take(r.t.Context(), hr.Kind, 1)
		must(r.t, err)
		if len(taken.Work) == 1 {
			must(r.t, taken.Work[0].Complete(r.t.Context()))
			return
		}
		passed += time.Minute
	}
	r.t.Fatal("nobody takes the silent worker's item over")
}

// publish is what the pool does by the clock.
func (r *faultRig) publish() {
	r.t.Helper()
	for _, state := range jobs.States() {
		r.s.metrics.Jobs(hr.Kind, string(state), 0)
	}
	counts, err := r.another(nil).Counts(r.t.Context()) // whose own are not a moment old
	must(r.t, err)
	for _, c := range counts {
		r.s.metrics.Jobs(c.Kind, string(c.State), c.N)
	}
}

func (r *faultRig) storeBack() {
	r.t.Helper()
	eventually(r.t, "the store answers", func() bool {
		_, err := r.s.store.Get(r.t.Context(), "nothing")
		return errors.Is(err, store.ErrNotFound)
	})
}

func (r *faultRig) holdLog() {
	r.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(r.dir, "data", "audit", "audit.db"))
	must(r.t, err)
	r.t.Cleanup(func() { _ = db.Close() })
	r.lock, err = db.Conn(r.t.Context())
	must(r.t, err)
	_, err = r.lock.ExecContext(r.t.Context(), "BEGIN IMMEDIATE")
	must(r.t, err)
}

func (r *faultRig) releaseLog() {
	r.t.Helper()
	_, err := r.lock.ExecContext(r.t.Context(), "ROLLBACK")
	must(r.t, err)
	must(r.t, r.lock.Close())
}

// TestEveryFaultIsTold proves R70: each fault of the list raises an alert of its
// own, by the very expression that is shipped and at the first look after it, and
// the alert ends at the first look after the mending. Looks are 5 s apart.
func TestEveryFaultIsTold(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for breakers and pauses, half a minute")
	}
	r := newFaultRig(t)
	all := alerts(t)
	r.well()
	for _, f := range faultList() {
		expr := all[f.alert]
		if expr == "" {
			t.Errorf("%s: no alert %s", f.name, f.alert)
			continue
		}
		r.look()
		before := r.s.scrape(t)
		if fires(t, expr, before, before) {
			t.Errorf("%s: %s fires before anything happened", f.name, f.alert)
		}
		f.lay(r)
		r.look()
		during := r.s.scrape(t)
		if !fires(t, expr, before, during) {
			t.Errorf("%s: %s stays silent\n%s", f.name, f.alert, told(before, during))
		}
		f.mend(r)
		r.look()
		mended := r.s.scrape(t)
		r.look()
		if later := r.s.scrape(t); fires(t, expr, mended, later) {
			t.Errorf("%s: %s goes on after the mending\n%s", f.name, f.alert, told(mended, later))
		}
	}
}

// told is what changed between two looks.
func told(before, after []sample) string {
	was := map[string]float64{}
	for _, one := range before {
		was[fmt.Sprint(one.name, one.labels)] = one.value
	}
	var out bytes.Buffer
	for _, one := range after {
		if name := fmt.Sprint(one.name, one.labels); strings.HasPrefix(name, "kdgate_") && !strings.Contains(name, "_bucket") && was[name] != one.value {
			fmt.Fprintf(&out, "%s %v → %v\n", name, was[name], one.value)
		}
	}
	return out.String()
}

// TestCertificateIsTold: R70 of R56, on a listener with TLS.
func TestCertificateIsTold(t *testing.T) {
	r := newRig(t)
	pair(t, r.dir, time.Now().Add(3*24*time.Hour))
	cfg := r.load("public_url: http:", "public_url: https:", `listen: {address: "localhost:0"}`, `listen: {address: "localhost:0", cert: tls.crt, key: tls.key}`)
	s := r.serve(cfg)
	expr := alerts(t)["KdgateCertificate"]
	if look := s.scrape(t); !fires(t, expr, look, look) {
		t.Error("a certificate that ends in three days is not told")
	}
	pair(t, r.dir, time.Now().Add(300*24*time.Hour))
	must(t, s.Reload(t.Context(), func() (*config.Config, error) { return cfg, nil }))
	if look := s.scrape(t); fires(t, expr, look, look) {
		t.Error("it is told after the change")
	}
}
