package dingtalk_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
)

const (
	callbackToken = "callback-token-1"
	callbackKey   = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	otherKey      = "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba"
)

func newCallback(t *testing.T, key, owner string, now func() time.Time) *dingtalk.Callback {
	t.Helper()
	c, err := dingtalk.NewCallback(dingtalk.CallbackConfig{
		Token: identity.NewSecret(callbackToken), AESKey: identity.NewSecret(key), Owner: owner, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// office is a callback address made of our receiving half.
type office struct {
	*httptest.Server
	mu     sync.Mutex
	set    dingtalk.CallbackSet
	ill    bool // cannot keep events
	events []dingtalk.Delivery
	bad    int
}

func newOffice(t *testing.T, set dingtalk.CallbackSet) *office {
	t.Helper()
	o := &office{set: set}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	d, err := o.set.Receive(r.URL.Query(), body)
	if err != nil {
		o.bad++
		http.Error(w, "", http.StatusBadRequest)
		return
	}
	if o.ill && !d.Event.Check() {
		http.Error(w, "", http.StatusServiceUnavailable)
		return
	}
	if !d.Event.Check() {
		o.events = append(o.events, d)
	}
	reply, err := d.Reply()
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply)
}

func (o *office) got() []dingtalk.Delivery {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]dingtalk.Delivery{}, o.events...)
}

func (o *office) change(f func(*office)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o)
}

func (u *town) save(t *testing.T, url, key string) {
	t.Helper()
	if err := u.sim.SaveCallback(keyA, url, callbackToken, key); err != nil {
		t.Fatal(err)
	}
}

// TestCallbackMeetsSimulator proves SIM-D69 to SIM-D72 and SIM-D77 from our side:
// the check passes, every spelling is read, both forms name the same objects.
func TestCallbackMeetsSimulator(t *testing.T) {
	u := newTown(t)
	o := newOffice(t, dingtalk.CallbackSet{Corp: corpA, Current: newCallback(t, callbackKey, keyA, nil)})
	u.save(t, o.URL+"/callback/dingtalk/"+corpA, callbackKey)
	n := 0
	for _, names := range []string{"signature", "msg_signature", "both", "timeStamp"} {
		for _, legacy := range []bool{false, true} {
			if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) {
				s.CallbackNames, s.EventLegacy, s.CallbackPad16 = names, legacy, legacy
			}); err != nil {
				t.Fatal(err)
			}
			id := u.emit(t, "user_modify_org", map[string]any{"userId": []string{"zhangsan"}, "timeStamp": "1600000000000"})
			within(t, "acknowledged", func() bool { return u.state(id).State == dingtalksim.StateAcknowledged })
			n++
			e := o.got()[n-1].Event
			if e.Type != dingtalk.EventUserModified || e.Corp != corpA || len(e.Users) != 1 || e.Users[0] != "zhangsan" || e.At.IsZero() ||
				e.Via != dingtalk.ViaCallback {
				t.Errorf("%s %v: %+v", names, legacy, e)
			}
			if (e.ID == id) == legacy || strings.HasPrefix(e.ID, "sha256:") != legacy {
				t.Errorf("legacy %v: id %s", legacy, e.ID)
			}
		}
	}
}

// TestCallbackForgeries proves T62 to T64 and SIM-D80: what is not authentic is
// refused; a replayed body has the digest of the first.
func TestCallbackForgeries(t *testing.T) {
	u := newTown(t)
	o := newOffice(t, dingtalk.CallbackSet{Corp: corpA, Current: newCallback(t, callbackKey, keyA, nil)})
	u.save(t, o.URL, callbackKey)
	for _, kind := range []string{"signature", "owner", "old"} {
		if err := u.sim.Forge(keyA, kind, "bpms_instance_change", map[string]any{"type": "finish", "result": "agree"}); err == nil {
			t.Errorf("%s was taken in", kind)
		}
	}
	if o.bad != 3 || len(o.got()) != 0 {
		t.Errorf("%d refused, %d taken", o.bad, len(o.got()))
	}
	id := u.emit(t, "user_add_org", nil)
	within(t, "acknowledged", func() bool { return u.state(id).State == dingtalksim.StateAcknowledged })
	if err := u.sim.Forge(keyA, "replay", "", nil); err != nil {
		t.Fatal(err)
	}
	if got := o.got(); len(got) != 2 || got[0].Digest != got[1].Digest {
		t.Errorf("%d deliveries; the replay must be recognisable", len(got))
	}
}

// TestCallbackRotation proves T69: the old keys are accepted until their time is
// over, and the reply goes under the keys of the event.
func TestCallbackRotation(t *testing.T) {
	u := newTown(t)
	until := time.Now().Add(time.Hour)
	o := newOffice(t, dingtalk.CallbackSet{Corp: corpA, Current: newCallback(t, callbackKey, keyA, nil)})
	u.save(t, o.URL, callbackKey)
	o.change(func(o *office) {
		o.set.Previous, o.set.Until = o.set.Current, until
		o.set.Current = newCallback(t, otherKey, keyA, nil)
	})
	id := u.emit(t, "user_add_org", nil)
	within(t, "the old keys still serve", func() bool { return u.state(id).State == dingtalksim.StateAcknowledged })
	u.save(t, o.URL, otherKey) // and the new ones do
	u.save(t, o.URL, callbackKey)
	o.change(func(o *office) { o.set.Until = time.Now() })
	if err := u.sim.SaveCallback(keyA, o.URL, callbackToken, callbackKey); err == nil {
		t.Error("the old keys are accepted after their time")
	}
}

// TestFailedEvents proves R37 and R43 and SIM-D74, SIM-D75 from our side: what
// we refused three times is in the list, in every family's shape, 200 a call.
func TestFailedEvents(t *testing.T) {
	u := newTown(t)
	o := newOffice(t, dingtalk.CallbackSet{Corp: corpA, Current: newCallback(t, callbackKey, keyA, nil)})
	u.save(t, o.URL, callbackKey)
	o.change(func(o *office) { o.ill = true })
	const users = 250
	var ids []string
	for range users {
		ids = append(ids, u.emit(t, "user_leave_org", map[string]any{"userId": []string{"zhangsan"}, "timeStamp": "1"}))
	}
	ids = append(ids,
		u.emit(t, "bpms_instance_change", map[string]any{"processInstanceId": "p-1", "processCode": "C", "type": "finish", "result": "agree"}),
		u.emit(t, "org_dept_remove", map[string]any{"deptId": []int{9}}),
		u.emit(t, "label_user_change", map[string]any{"userIdList": []string{"zhangsan"}}))
	tried := func(n int) {
		within(t, "all tried", func() bool {
			for _, e := range u.sim.Events("") {
				if len(e.Deliveries) != n || e.Deliveries[n-1].Outcome == "sent" {
					return false
				}
			}
			return true
		})
	}
	tried(1)
	u.sim.Advance(10 * time.Second)
	tried(2)
	u.sim.Advance(30 * time.Second)
	tried(3)
	u.sim.Advance(5 * time.Minute)
	var all []dingtalk.Event
	within(t, "everything is picked up", func() bool {
		events, more, err := u.FailedEvents(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) > 200 || more != (len(events) == 200) {
			t.Fatalf("%d events, more %v", len(events), more)
		}
		all = append(all, events...)
		return len(all) == len(ids)
	})
	seen := map[string]bool{}
	for _, e := range all {
		seen[e.Type] = true
		switch {
		case e.Via != dingtalk.ViaFailed || e.Corp != corpA || e.At.IsZero() || e.ID == "":
			t.Errorf("%+v", e)
		case e.Type == dingtalk.EventInstance && (e.Instance != "p-1" || e.Result != "agree" || e.Change != "finish"):
			t.Errorf("%+v", e)
		case e.Type == dingtalk.EventDeptRemoved && (len(e.Departments) != 1 || e.Departments[0] != 9):
			t.Errorf("%+v", e)
		case (e.Type == dingtalk.EventUserLeft || strings.HasPrefix(e.Type, "label")) && (len(e.Users) != 1 || e.Users[0] != "zhangsan"):
			t.Errorf("%+v", e)
		}
	}
	if len(seen) != 4 {
		t.Errorf("types %v", seen)
	}
}

// TestRegistration proves the old register calls (6.2): the owner key is then
// the corpId, and the address is tried before it is kept.
func TestRegistration(t *testing.T) {
	u := newTown(t)
	o := newOffice(t, dingtalk.CallbackSet{Corp: corpA, Current: newCallback(t, callbackKey, corpA, nil)})
	_, err := u.RegisteredCallback(ctx)
	if err == nil {
		t.Fatal("something is registered already")
	}
	r := dingtalk.Registration{
		URL: o.URL, Events: []string{"user_add_org"},
		Token: identity.NewSecret(callbackToken), AESKey: identity.NewSecret(callbackKey),
	}
	if err := u.UpdateCallback(ctx, r); err == nil {
		t.Error("updated what is not there")
	}
	if err := u.RegisterCallback(ctx, r); err != nil {
		t.Fatal(err)
	}
	if err := u.RegisterCallback(ctx, r); err == nil {
		t.Error("registered twice")
	}
	id := u.emit(t, "user_add_org", nil)
	within(t, "acknowledged", func() bool { return u.state(id).State == dingtalksim.StateAcknowledged })
	r.Events = append(r.Events, "org_dept_remove")
	if err := u.UpdateCallback(ctx, r); err != nil {
		t.Fatal(err)
	}
	if got, err := u.RegisteredCallback(ctx); err != nil || got.URL != o.URL || len(got.Events) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	wrong := r
	wrong.AESKey = identity.NewSecret(otherKey)
	if err := u.UpdateCallback(ctx, wrong); err == nil || strings.Contains(err.Error(), otherKey) {
		t.Errorf("an address that refuses: %v", err)
	}
	if err := u.DeleteCallback(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := u.RegisteredCallback(ctx); identity.KindOf(err) != identity.NotFound {
		t.Errorf("after the deletion: %v", err)
	}
}
