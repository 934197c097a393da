package dingtalksim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testToken  = "token123"
	testAESKey = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	testApp    = "dingkey1"
	testCorp   = "dingcorp1"
)

// pushed is one push as a receiver saw it.
type pushed struct {
	query   url.Values
	encrypt string
	message map[string]any
}

// receiver is a callback address that keeps what comes and answers as told.
type receiver struct {
	*httptest.Server
	keys keys

	mu    sync.Mutex
	got   []pushed
	bad   []string // what was wrong with pushes
	reply func(w http.ResponseWriter, r *receiver)
	came  chan pushed
}

func newReceiver(t *testing.T, owner string) *receiver {
	t.Helper()
	k, err := newKeys(testToken, testAESKey, owner)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{keys: k, came: make(chan pushed, 64)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	var in struct{ Encrypt string }
	_ = json.Unmarshal(body, &in)
	q := req.URL.Query()
	signature, timestamp := q.Get("signature")+q.Get("msg_signature"), q.Get("timestamp")+q.Get("timeStamp")
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(signature) == 80 { // both names
		signature = signature[:40]
	}
	text, err := r.keys.unseal(in.Encrypt)
	if err != nil || r.keys.sign(timestamp, q.Get("nonce"), in.Encrypt) != signature {
		r.bad = append(r.bad, fmt.Sprint(err))
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	p := pushed{query: q, encrypt: in.Encrypt}
	_ = json.Unmarshal([]byte(text), &p.message)
	r.got = append(r.got, p)
	r.came <- p
	if r.reply != nil && p.message["EventType"] != "check_url" {
		r.reply(w, r)
		return
	}
	r.accept(w, "success")
}

func (r *receiver) accept(w http.ResponseWriter, word string) {
	encrypt := r.keys.seal(make([]byte, 16), []byte(word), 32)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encode(map[string]string{
		"msg_signature": r.keys.sign("1", "n", encrypt), "timeStamp": "1", "nonce": "n", "encrypt": encrypt,
	}))
}

func (r *receiver) answer(f func(w http.ResponseWriter, r *receiver)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reply = f
}

// patience is how long what happens by itself may take on a busy machine.
const patience = 20 * time.Second

func (r *receiver) wait(t *testing.T) pushed {
	t.Helper()
	select {
	case p := <-r.came:
		return p
	case <-time.After(patience):
		t.Fatal("no push came")
		return pushed{}
	}
}

// newEventSim is a simulator whose clock stands until a test moves it, with a
// receiver that the console has accepted.
func newEventSim(t *testing.T, path string) (*Server, *receiver) {
	t.Helper()
	cfg := Sample("http://gate.example.com/launch")
	now := time.Date(2026, 9, 14, 4, 0, 0, 0, time.UTC)
	cfg.Now = func() time.Time { return now }
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	r := newReceiver(t, testApp)
	if err := s.SaveCallback(testApp, r.URL+path, testToken, testAESKey); err != nil {
		t.Fatal(err)
	}
	if p := r.wait(t); p.message["EventType"] != "check_url" {
		t.Fatalf("saving sent %v (SIM-D69)", p.message)
	}
	return s, r
}

// eventually waits until what is asked holds; events settle a moment after the
// reply that settles them.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if holds() {
			return
		}
		pause := time.NewTimer(time.Millisecond)
		<-pause.C
	}
	t.Fatal("never: " + what)
}

func (s *Server) stateOf(id string) Event {
	for _, e := range s.Events("") {
		if e.ID == id {
			return e
		}
	}
	return Event{}
}

// TestPushForms proves SIM-D70, SIM-D71, SIM-D77: the names in the query, the
// query of the address itself, and both forms of a message.
func TestPushForms(t *testing.T) {
	s, r := newEventSim(t, "/cb?own=1")
	for _, names := range []string{namesPlain, namesMsg, paramBoth, namesTimeStamp} {
		for _, legacy := range []bool{false, true} {
			if err := s.SetSwitches(func(sw *Switches) {
				sw.CallbackNames, sw.EventLegacy, sw.CallbackPad16 = names, legacy, legacy
			}); err != nil {
				t.Fatal(err)
			}
			id, err := s.Emit("", "user_leave_org", map[string]any{"userId": []string{"zhangwei"}, "timeStamp": "1"})
			if err != nil {
				t.Fatal(err)
			}
			p := r.wait(t)
			if p.query.Get("own") != "1" || p.query.Has("msg_signature") == (names == namesPlain || names == namesTimeStamp) ||
				p.query.Has("timeStamp") != (names == namesTimeStamp) {
				t.Errorf("%s: query %v", names, p.query)
			}
			user := "userId"
			if legacy {
				user = "UserId"
			}
			if p.message[user] == nil || (p.message["eventId"] == id) == legacy || p.message["CorpId"] != testCorp {
				t.Errorf("legacy %v: %v", legacy, p.message)
			}
			eventually(t, "acknowledged", func() bool { return s.stateOf(id).State == StateAcknowledged })
		}
	}
}

// TestPushRetries proves SIM-D74 and SIM-D75: a failed push comes again after 10
// and 30 seconds, same event, new nonce and random; then it is in the failed
// list, whose reading consumes it.
func TestPushRetries(t *testing.T) {
	s, r := newEventSim(t, "")
	r.answer(func(w http.ResponseWriter, _ *receiver) { _, _ = w.Write([]byte("success")) }) // 71009
	id, err := s.Emit("", "user_add_org", map[string]any{"userId": []string{"new1"}})
	if err != nil {
		t.Fatal(err)
	}
	first := r.wait(t)
	tries := func(n int) {
		eventually(t, "the outcome is known", func() bool {
			d := s.stateOf(id).Deliveries
			return len(d) == n && d[n-1].Outcome != outcomeSent
		})
	}
	tries(1)
	s.Advance(9 * time.Second)
	if n := len(s.stateOf(id).Deliveries); n != 1 {
		t.Fatalf("%d tries before the ten seconds", n)
	}
	s.Advance(time.Second)
	second := r.wait(t)
	tries(2)
	s.Advance(30 * time.Second)
	third := r.wait(t)
	tries(3)
	if first.message["eventId"] != id || second.message["eventId"] != id || third.message["eventId"] != id {
		t.Errorf("other ids: %v %v %v", first.message, second.message, third.message)
	}
	if first.encrypt == second.encrypt || first.query.Get("nonce") == second.query.Get("nonce") {
		t.Error("the retry repeats the ciphertext")
	}
	eventually(t, "given up", func() bool { return s.stateOf(id).State == StateFailed })
	if list, _ := s.callbacks.take(testApp, true); len(list) != 0 {
		t.Error("in the failed list at once")
	}
	s.Advance(5 * time.Minute)
	eventually(t, "in the failed list", func() bool { l, _ := s.callbacks.take(testApp, true); return len(l) == 1 })
	list, more := s.callbacks.take(testApp, false)
	raw, _ := json.Marshal(list)
	if more || !strings.Contains(string(raw), `"user_add_org":{"corpid":"dingcorp1","userid":["new1"]}`) {
		t.Errorf("failed list %s", raw)
	}
	if again, _ := s.callbacks.take(testApp, false); len(again) != 0 {
		t.Error("reading did not consume")
	}
}

// TestFailedPages proves SIM-D75: 200 at most, and has_more.
func TestFailedPages(t *testing.T) {
	s, _ := newEventSim(t, "")
	for i := range 450 {
		s.callbacks.fail(s.apps[testApp], Event{Type: "org_dept_modify", Corp: testCorp, Fields: map[string]any{"deptId": i}})
	}
	for _, want := range []struct {
		n    int
		more bool
	}{{200, true}, {200, true}, {50, false}, {0, false}} {
		list, more := s.callbacks.take(testApp, false)
		if len(list) != want.n || more != want.more {
			t.Errorf("%d %v, want %+v", len(list), more, want)
		}
	}
}

// TestSaveRefuses proves SIM-D69: what is wrong with the reply is named.
func TestSaveRefuses(t *testing.T) {
	s, good := newEventSim(t, "")
	foreign := newReceiver(t, "dingother")
	for name, tc := range map[string]struct {
		address string
		want    string
	}{
		"no json":       {answering(t, 200, "success"), "71009"},
		"plain":         {answering(t, 500, ""), "71012"},
		"nobody":        {"http://127.0.0.1:1/", "71012"},
		"remote":        {"http://203.119.0.1/", "71013"},
		"not an url":    {"ftp://x", "71011"},
		"foreign owner": {foreign.URL, "71012"}, // refuses our owner itself
	} {
		err := s.SaveCallback(testApp, tc.address, testToken, testAESKey)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	if err := s.SaveCallback(testApp, good.URL, testToken, "short"); !errors.Is(err, ErrInvalid) {
		t.Errorf("short key: %v", err)
	}
	for _, token := range []string{"12", strings.Repeat("t", 33)} {
		if err := s.SaveCallback(testApp, good.URL, token, testAESKey); !errors.Is(err, ErrInvalid) {
			t.Errorf("a token of %d characters: %v", len(token), err)
		}
	}
	if s.callbacks.of(testApp).url != good.URL {
		t.Error("a refused address replaced the saved one")
	}
}

func answering(t *testing.T, status int, body string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// TestEventFaults proves SIM-D76: duplicates keep their id, reordering swaps,
// late waits, lost never comes.
func TestEventFaults(t *testing.T) {
	s, r := newEventSim(t, "")
	emit := func(user string) string {
		id, err := s.Emit("", "user_add_org", map[string]any{"userId": []string{user}})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	fault := func(kind string) {
		if _, err := s.AddFault(Fault{Kind: kind, Match: "user_add_org"}); err != nil {
			t.Fatal(err)
		}
	}
	fault(faultTwice)
	id := emit("a")
	if one, two := r.wait(t), r.wait(t); one.message["eventId"] != id || two.message["eventId"] != id || one.encrypt == two.encrypt {
		t.Error("the duplicate is not one")
	}
	fault(faultReorder)
	overtaken, quick := emit("b"), emit("c")
	if one, two := r.wait(t), r.wait(t); fmt.Sprint(one.message["eventId"], two.message["eventId"]) != fmt.Sprint(quick, overtaken) {
		// Both go out at once over connections of their own; the order of
		// sending is in the record.
		if s.stateOf(overtaken).Deliveries[0].Time.Before(s.stateOf(quick).Deliveries[0].Time) {
			t.Error("not reordered")
		}
	}
	fault(faultLate)
	late := emit("d")
	if len(s.stateOf(late).Deliveries) != 0 {
		t.Error("late was not late")
	}
	s.Advance(time.Minute)
	if p := r.wait(t); p.message["eventId"] != late {
		t.Errorf("late: %v", p.message)
	}
	fault(faultLose)
	if lost := emit("e"); s.stateOf(lost).State != StateLost || len(s.Faults()) != 0 {
		t.Error("lost was sent")
	}
}

// TestEventQuota proves SIM-D111: at the limit approval events stop and contact
// events go on.
func TestEventQuota(t *testing.T) {
	s, r := newEventSim(t, "")
	if err := s.SetSwitches(func(sw *Switches) { sw.EventQuota = 1 }); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ kind, state string }{
		{"bpms_instance_change", StateAcknowledged}, {"bpms_instance_change", StateLost}, {"org_dept_create", StateAcknowledged},
	} {
		id, err := s.Emit("", want.kind, map[string]any{"type": "start"})
		if err != nil {
			t.Fatal(err)
		}
		if want.state != StateLost {
			r.wait(t)
		}
		eventually(t, fmt.Sprint(i, " is ", want.state), func() bool { return s.stateOf(id).State == want.state })
	}
}

// TestForgeries proves SIM-D80: each of them leaves the simulator, and a
// receiver that checks refuses those it can know.
func TestForgeries(t *testing.T) {
	s, r := newEventSim(t, "")
	for kind, refused := range map[string]bool{"signature": true, "owner": true, "old": false, "replay": false} {
		err := s.Forge(testApp, kind, "bpms_instance_change", map[string]any{"result": "agree"})
		if (err != nil) != refused {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if len(r.bad) != 2 {
		t.Errorf("refused %v", r.bad)
	}
	if err := s.Forge(testApp, "nonsense", "x", nil); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

// TestPersonEvents proves what a change of a person tells (6.5): hired, moved,
// activated, made an administrator, left, hired again with the same userid.
func TestPersonEvents(t *testing.T) {
	s, _ := newEventSim(t, "")
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	do := func(method, path, body string) {
		req, _ := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil || res.StatusCode >= 300 {
			t.Fatalf("%s %s: %v %v", method, path, res, err)
		}
		_ = res.Body.Close()
	}
	for _, step := range []struct {
		method, path, body string
		want               []string
	}{
		{"POST", "/sim/people?event=1", `{"userid":"n1","name":"新","active":false}`, []string{"user_add_org"}},
		{"PATCH", "/sim/people/n1?event=1", `{"dept_id_list":[101]}`, []string{"user_modify_org"}},
		{"PATCH", "/sim/people/n1?event=1", `{"nick":"x","avatar":"y"}`, nil},
		{"PATCH", "/sim/people/n1?event=1", `{"active":true,"admin":true}`, []string{"user_active_org", "org_admin_add"}},
		{"PATCH", "/sim/people/n1?event=0", `{"title":"x"}`, nil},
		{"DELETE", "/sim/people/n1?event=1", "", []string{"user_leave_org"}},
		{"POST", "/sim/people?event=1", `{"userid":"n1","name":"新"}`, []string{"user_add_org"}},
		{"POST", "/sim/departments?event=1", `{"dept_id":900,"name":"新部"}`, []string{"org_dept_create"}},
		{"PATCH", "/sim/departments/900?event=1", `{"name":"改部"}`, []string{"org_dept_modify"}},
		{"DELETE", "/sim/departments/900?event=1", "", []string{"org_dept_remove"}},
		{"PATCH", "/sim/people/n1?event=1", `{"role_list":[{"id":1,"name":"r","group_name":"g"}]}`, []string{"label_user_change"}},
	} {
		s.ForgetEvents()
		do(step.method, step.path, step.body)
		got := []string{}
		for _, e := range s.Events("") {
			got = append(got, e.Type)
		}
		if fmt.Sprint(got) != fmt.Sprint(step.want) {
			t.Errorf("%s %s: %v, want %v", step.method, step.path, got, step.want)
		}
	}
}

// TestRegisterToken: the old register call takes tokens of 6 to 64 characters,
// where the console takes 3 to 32 (6.1).
func TestRegisterToken(t *testing.T) {
	s, _ := newEventSim(t, "")
	if err := s.SaveCallback(testApp, "", "", ""); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	register := func(token string) float64 {
		body := encode(map[string]any{"call_back_tag": []string{"user_add_org"}, "url": answering(t, 200, "{}"), "token": token, "aes_key": testAESKey})
		value := s.tokens.issue(s, s.apps[testApp], false, s.clock.now())
		res, err := http.Post(srv.URL+"/call_back/register_call_back?access_token="+value, "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var out struct {
			ErrCode float64 `json:"errcode"`
		}
		if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return out.ErrCode
	}
	for n, want := range map[int]float64{5: 71010, 6: 71009, 64: 71009, 65: 71010} { // 71009: the address was tried, and says nothing
		if got := register(strings.Repeat("t", n)); got != want {
			t.Errorf("a token of %d characters: %v, want %v", n, got, want)
		}
	}
}
