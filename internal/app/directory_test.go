package app

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/mapping"
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
	must(r.t, s.schedule.RunNow(ctx, jobs.Actor{Name: "cli:test"}, taskDirectory))
	keeper := s.rooms.Load().keeper
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
