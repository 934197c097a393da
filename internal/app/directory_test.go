package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/directory"
	"kdgate/jobs/schedule"
	"kdgate/mapping"
	"kdgate/store"
)

// withDirectory is the configuration with the directory on.
func (r *rig) withDirectory(more string, replace ...string) []string {
	return append(replace, "mapping: {verify_max_age: 10m}",
		"mapping: {verify_max_age: 10m}\ndirectory: {mode: on, every: '@every 1h', default_position: GW0001"+more+"}")
}

func (r *rig) sim(method, address string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, address, nil)
	must(r.t, err)
	res, err := http.DefaultClient.Do(req)
	must(r.t, err)
	must(r.t, res.Body.Close())
	if res.StatusCode > 299 {
		r.t.Fatalf("%s %s: %d", method, address, res.StatusCode)
	}
}

// leaves has person 1001 known by a run, mapped and then gone at DingTalk, who
// emits the event; it waits until every door is closed.
func (r *rig) leaves(s *running) {
	r.t.Helper()
	ctx := r.t.Context()
	keeper, by := s.rooms.Load().keeper, jobs.Actor{Name: "cli:test"}
	must(r.t, keeper.Place(ctx, directory.Order{By: by, Real: true}))
	must(r.t, s.schedule.RunFor(ctx, by, taskDirectory, directory.Ordered))
	eventually(r.t, "the run is over", func() bool {
		runs, err := keeper.Runs(ctx, 1)
		must(r.t, err)
		return len(runs) == 1
	})
	who := mapping.KeyOf(identity.Subject{Corp: "dingcorp1", UserID: "1001"}, "live")
	_, err := s.Table().Create(ctx, mapping.Actor{Name: "cli:test", Admin: true}, mapping.Draft{Key: who, StaffNumber: "1001", LoginUser: "zhangsan"})
	must(r.t, err)
	r.sim(http.MethodDelete, r.dingtalk.URL+"/sim/people/1001?event=1")
	eventually(r.t, "the leaver is cut off", func() bool {
		proof, err := s.log.Search(ctx, audit.Query{Action: "directory.leave", Outcome: audit.OK})
		must(r.t, err)
		return len(proof) == 1 && strings.Contains(proof[0].Detail["users.live"], "zhangsan")
	})
	row, err := s.Table().Get(ctx, who)
	must(r.t, err)
	if row.Status != "suspended" {
		r.t.Errorf("the mapping is %s", row.Status)
	}
}

// TestLeaverByStream proves F51 and F54: the default way of events needs no port
// of ours, and a leave event closes mapping, sessions and Kingdee.
func TestLeaverByStream(t *testing.T) {
	r := newRig(t)
	r.leaves(r.serve(r.load(r.withDirectory("")...)))
}

// TestLeaverByCallback proves the same over HTTP (T62), and that a forged
// callback is refused and recorded.
func TestLeaverByCallback(t *testing.T) {
	r := newRig(t)
	r.put("callback.token", "a-token-of-ours")
	r.put("callback.key", strings.Repeat("a", 43))
	s := r.serve(r.load(r.withDirectory("", "agent_id: 1001,", "agent_id: 1001, events: callback, callback: {token_file: callback.token, aes_key_file: callback.key},")...))
	at, err := url.Parse("http://" + s.PublicAddr().String())
	must(t, err)
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { // a balancer that keeps the name
		p.SetURL(at)
		p.Out.Host = "localhost:8080"
	}})
	defer front.Close()
	address := front.URL + "/callback/dingtalk/dingcorp1"
	must(t, r.ding.SaveCallback("dingapp1", address, "a-token-of-ours", strings.Repeat("a", 43)))
	r.leaves(s)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"?signature=x&timestamp=1&nonce=a", strings.NewReader(`{"encrypt":"AAAA"}`))
	must(t, err)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	must(t, res.Body.Close())
	refused, err := s.log.Search(t.Context(), audit.Query{Action: audit.ActionCallbackReject})
	must(t, err)
	if res.StatusCode != http.StatusForbidden || len(refused) == 0 {
		t.Errorf("a forgery: %d, %d records", res.StatusCode, len(refused))
	}
}

// TestPreviewWritesNothing proves F55: in preview mode runs only tell.
func TestPreviewWritesNothing(t *testing.T) {
	r := newRig(t)
	cfg := r.withDirectory("")
	cfg[len(cfg)-1] = strings.Replace(cfg[len(cfg)-1], "mode: on", "mode: preview", 1)
	s := r.serve(r.load(cfg...))
	must(t, s.schedule.RunNow(t.Context(), jobs.Actor{Name: "cli:test"}, taskDirectory))
	keeper := s.rooms.Load().keeper
	eventually(t, "the run is over", func() bool {
		runs, err := keeper.Runs(t.Context(), 1)
		must(t, err)
		return len(runs) == 1 && runs[0].Dry && runs[0].Counts.Differ == 1 && runs[0].Counts.Created == 0
	})
	for _, call := range r.king.Calls() {
		if strings.Contains(call.Route, "Save") {
			t.Errorf("a preview wrote: %s", call.Route)
		}
	}
}

// TestFailedEventsAreFetched proves R43: what callbacks missed, more than one
// answer holds, is picked up at the next start and by the task, once each.
func TestFailedEventsAreFetched(t *testing.T) {
	r := newRig(t)
	r.put("callback.token", "a-token-of-ours")
	r.put("callback.key", strings.Repeat("a", 43))
	cfg := r.load(r.withDirectory("", "agent_id: 1001,", "agent_id: 1001, events: callback, callback: {token_file: callback.token, aes_key_file: callback.key},")...)
	s := r.serve(cfg)
	at, err := url.Parse("http://" + s.PublicAddr().String())
	must(t, err)
	var down atomic.Bool
	var tries atomic.Int64
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(at)
		p.Out.Host = "localhost:8080"
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if down.Load() {
			tries.Add(1)
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(w, q)
	}))
	defer front.Close()
	must(t, r.ding.SaveCallback("dingapp1", front.URL+"/callback/dingtalk/dingcorp1", "a-token-of-ours", strings.Repeat("a", 43)))
	eventually(t, "the pull at the start is over", func() bool { return ended(t, s, taskFailed) == 1 })

	down.Store(true)
	const missed = 210
	for i := range missed {
		_, err := r.ding.AddPerson("dingcorp1", dingtalksim.Person{UserID: fmt.Sprintf("n%03d", i), Name: "新人"})
		must(t, err)
		_, err = r.ding.Emit("dingcorp1", "user_add_org", map[string]any{"userId": []string{fmt.Sprintf("n%03d", i)}})
		must(t, err)
	}
	eventually(t, "every push was tried three times", func() bool {
		r.ding.Advance(10 * time.Second) // however slow this machine is, no token expires over it
		return tries.Load() == 3*missed
	})
	r.ding.Advance(5 * time.Minute) // four minutes after its last try an event is on DingTalk's list
	eventually(t, "everything is fetched", func() bool {
		err := s.schedule.RunNow(t.Context(), jobs.Actor{Name: "cli:test"}, taskFailed)
		if err != nil && !errors.Is(err, schedule.ErrRunning) {
			t.Fatal(err)
		}
		return taken(t, s) >= missed
	})
	if n := taken(t, s); n != missed {
		t.Errorf("%d events taken of %d", n, missed)
	}
	items, err := s.store.Scan(t.Context(), "job/item/"+directory.KindPerson+"/", "", store.MaxPage)
	must(t, err)
	if len(items) != missed {
		t.Errorf("%d items for %d people", len(items), missed)
	}
}

// taken counts the events that were fetched.
func taken(t *testing.T, s *running) (n int64) {
	t.Helper()
	runs, _, err := s.schedule.Runs(t.Context(), taskFailed, "", 100)
	must(t, err)
	for _, run := range runs {
		n += run.Counts["taken"]
		if run.State == schedule.Failed || run.State == schedule.Partial {
			t.Errorf("%+v", run.Failure)
		}
	}
	return n
}

// ended counts the runs of a task that ended.
func ended(t *testing.T, s *running, task string) int {
	t.Helper()
	runs, _, err := s.schedule.Runs(t.Context(), task, "", 100)
	must(t, err)
	n := 0
	for _, run := range runs {
		if run.State != schedule.Running {
			n++
		}
	}
	return n
}

// TestBanMeansSilence proves R20: while DingTalk bans our address no comparison
// begins by the clock, nobody is asked anything, and readiness says why.
func TestBanMeansSilence(t *testing.T) {
	r := newRig(t)
	cfg := r.withDirectory("")
	cfg[len(cfg)-1] = strings.Replace(cfg[len(cfg)-1], "@every 1h", "@every 1s", 1)
	s := r.serve(r.load(cfg...))
	eventually(t, "a comparison came by the clock", func() bool { return ended(t, s, taskDirectory) > 0 })
	_, err := r.ding.AddFault(dingtalksim.Fault{Match: "topapi", Kind: "html-ban", Times: 1})
	must(t, err)
	eventually(t, "the ban is known", func() bool {
		return s.rooms.Load().vendors.dingtalk["dingcorp1"].api.Quota(t.Context()).Banned > 0
	})
	eventually(t, "readiness says it", func() bool {
		status, answer := s.readiness()
		return status == http.StatusOK && strings.Contains(answer.Checks["directory"], "silence") || strings.Contains(answer.Checks["directory"], "failed")
	})
	eventually(t, "the run that met it is over", func() bool {
		runs, _, err := s.schedule.Runs(t.Context(), taskDirectory, "", 1)
		must(t, err)
		return runs[0].State != schedule.Running
	})
	calls, runs := len(r.ding.Calls("topapi")), ended(t, s, taskDirectory)
	pass := time.NewTimer(3 * time.Second) // three times its period
	<-pass.C
	if more := len(r.ding.Calls("topapi")) - calls; more != 0 {
		t.Errorf("%d calls while the address is banned", more)
	}
	if more := ended(t, s, taskDirectory) - runs; more != 0 {
		t.Errorf("%d comparisons began while the address is banned", more)
	}
}

// TestFirstRunIsAPreview proves F55: with mode on, whoever asks and the clock get a
// dry run first, also after one that failed; the one after it writes.
func TestFirstRunIsAPreview(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load(r.withDirectory("")...))
	by := jobs.Actor{Name: "cli:test"}
	ordered := func(o directory.Order) directory.Run {
		t.Helper()
		o.By = by
		run, err := s.order(t.Context(), by, o, func(directory.Phase, int, int) {})
		must(t, err)
		return run
	}
	fault, err := r.ding.AddFault(dingtalksim.Fault{Match: "/topapi/v2/user/list", Kind: "garbage", Times: 100})
	must(t, err)
	if run := ordered(directory.Order{}); run.Ending != directory.Failed || !run.First {
		t.Errorf("the first: %+v", run)
	}
	r.ding.ClearFaults(fault)
	must(t, s.schedule.RunNow(t.Context(), by, taskDirectory)) // as the clock does
	keeper := s.rooms.Load().keeper
	eventually(t, "the second is over", func() bool {
		runs, err := keeper.Runs(t.Context(), 10)
		must(t, err)
		turns, _, err := s.schedule.Runs(t.Context(), taskDirectory, "", 1)
		must(t, err)
		return len(runs) == 2 && len(turns) == 1 && turns[0].State != schedule.Running // or the third finds it still going on
	})
	runs, err := keeper.Runs(t.Context(), 1)
	must(t, err)
	if run := runs[0]; run.Ending != directory.Complete || !run.Dry || !run.First || run.Counts.Changed != 1 || r.calls(r.kingdee, "BatchSave") != 0 {
		t.Errorf("the second: %+v", run)
	}
	if run := ordered(directory.Order{}); run.Dry || run.First || run.Counts.Changed != 1 || r.calls(r.kingdee, "BatchSave") == 0 {
		t.Errorf("the third: %+v", run)
	}
}

// TestLagGrowsWhileRunsFail proves F51 and R70: the lag is counted from the last
// run that came to its end, remembered or looked up, however many failed since.
func TestLagGrowsWhileRunsFail(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load(r.withDirectory("")...))
	keeper, by := s.rooms.Load().keeper, jobs.Actor{Name: "cli:test"}
	if at := lastWhole(t.Context(), keeper, time.Time{}); !at.IsZero() {
		t.Errorf("before any run: %s", at)
	}
	whole, err := keeper.Run(t.Context(), directory.Order{By: by}, nil)
	must(t, err)
	if at := lastWhole(t.Context(), keeper, time.Time{}); !at.Equal(whole.Ended) {
		t.Errorf("after a whole run of %s: %s", whole.Ended, at)
	}
	_, err = r.ding.AddFault(dingtalksim.Fault{Match: "/topapi/v2/user/list", Kind: "garbage", Times: 100})
	must(t, err)
	for range 2 {
		if run, _ := keeper.Run(t.Context(), directory.Order{By: by}, nil); run.Ending != directory.Failed {
			t.Fatalf("%+v", run)
		}
	}
	for _, known := range []time.Time{{}, whole.Ended} {
		if at := lastWhole(t.Context(), keeper, known); !at.Equal(whole.Ended) {
			t.Errorf("after failed runs, %s known: %s, want %s", known, at, whole.Ended)
		}
	}
}

// TestAnExpiredOrderIsNotGuessed proves F55: a preview that a person ordered while
// nobody ran the tasks, and whose order has ended when somebody does, is not run
// at all: least of all for real. The next one that is ordered in time is.
func TestAnExpiredOrderIsNotGuessed(t *testing.T) {
	r := newRig(t)
	var ahead atomic.Int64
	r.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	cfg := r.load(r.withDirectory("")...)
	person := jobs.Actor{Name: "cli:test"}
	core, err := OpenCore(t.Context(), r.options(cfg))
	must(t, err)
	keeper := core.rooms.Load().keeper
	must(t, keeper.Place(t.Context(), directory.Order{By: person, Dry: true}))
	must(t, core.schedule.RunFor(t.Context(), person, taskDirectory, directory.Ordered))
	must(t, core.Close())

	ahead.Store(int64(11 * time.Minute))
	s := r.serve(cfg)
	eventually(t, "the wish is taken up", func() bool { return ended(t, s, taskDirectory) == 1 })
	runs, _, err := s.schedule.Runs(t.Context(), taskDirectory, "", 1)
	must(t, err)
	if runs[0].State != schedule.Failed || runs[0].By != person.Name || !strings.Contains(runs[0].Failure.Words, "过期") {
		t.Errorf("%+v, %+v", runs[0], runs[0].Failure)
	}
	keeper = s.rooms.Load().keeper
	done, err := keeper.Runs(t.Context(), 10)
	must(t, err)
	if n := r.calls(r.kingdee, "BatchSave"); n != 0 || len(done) != 0 {
		t.Errorf("%d writes, runs %+v", n, done)
	}
	run, err := s.order(t.Context(), person, directory.Order{By: person, Dry: true}, func(directory.Phase, int, int) {})
	must(t, err)
	if !run.Dry || r.calls(r.kingdee, "BatchSave") != 0 {
		t.Errorf("%+v", run)
	}
}
