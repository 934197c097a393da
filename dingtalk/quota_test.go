package dingtalk

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"kdgate/identity"
)

// ledger is a shared counter of a test; it can be out of order.
type ledger struct {
	mu     sync.Mutex
	counts map[string]int64
	broken bool
	asked  int
}

func (l *ledger) Add(_ context.Context, name string, n int64) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.broken {
		return 0, errors.New("out of order")
	}
	l.counts[name] += n
	return l.counts[name], nil
}

func (l *ledger) set(broken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = broken
}

// TestMonthIsShared proves F92: replicas share the month, a counter that fails
// loses nothing, and a new month begins at nothing.
func TestMonthIsShared(t *testing.T) {
	shared := &ledger{counts: map[string]int64{}}
	one := func() *monthly { return &monthly{counter: shared, name: "corp/calls/", limit: 10} }
	a, b := one(), one()
	now := time.Date(2026, 9, 30, 12, 0, 0, 0, time.UTC)
	for range 3 {
		a.add(t.Context(), now, 1)
	}
	b.add(t.Context(), now, 1)
	if got := b.used(t.Context(), now); got != 4 {
		t.Errorf("b sees %d of 4", got)
	}
	if got := a.used(t.Context(), now.Add(freshCount)); got != 4 {
		t.Errorf("a sees %d of 4 a minute later", got)
	}
	shared.set(true)
	a.add(t.Context(), now, 2)
	if got := a.used(t.Context(), now); got != 6 {
		t.Errorf("while the counter is out of order: %d", got)
	}
	shared.set(false)
	a.add(t.Context(), now, 1)
	if got := shared.counts["corp/calls/2026-09"]; got != 7 {
		t.Errorf("handed over %d of 7", got)
	}
	if a.spent(t.Context(), now) {
		t.Error("spent at 7 of 10")
	}
	a.add(t.Context(), now, 3)
	if !a.spent(t.Context(), now) {
		t.Error("not spent at 10 of 10")
	}
	october := time.Date(2026, 9, 30, 16, 0, 0, 0, time.UTC) // midnight in Beijing
	if budget := a.budget(t.Context(), october); budget.Used != 0 || budget.Left != 10 || !budget.Ends.Equal(nextMonth(october)) {
		t.Errorf("a new month: %+v", budget)
	}
}

// TestWhatCounts: which calls cost the month is a setting, because the vendor's list
// changes (open question 19). A sign-in that costs is counted and never held back.
func TestWhatCounts(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Limits.Month, c.Limits.Free, c.Limits.Counted, c.Now = 1, []string{"authscopes"}, []string{"userget"}, time.Now
	})
	b.fake.on("/auth/scopes", 200, `{"errcode":0,"auth_org_scopes":{"authed_user":[],"authed_dept":[1]}}`)
	b.fake.on("/topapi/v2/user/get", 200, `{"errcode":0,"result":{"userid":"a","name":"n","active":true}}`)
	for range 2 {
		if _, err := b.Scopes(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if used := b.Quota(t.Context()).Calls.Used; used != 0 {
		t.Errorf("free calls cost %d", used)
	}
	for range 2 {
		if _, err := b.Profile(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	if used := b.Quota(t.Context()).Calls.Used; used != 2 {
		t.Errorf("two counted calls cost %d", used)
	}
	if _, err := b.Scopes(t.Context()); err != nil {
		t.Errorf("a free call once the month is used up: %v", err)
	}
}

// TestMonthWithoutLimit: a negative limit counts and never ends.
func TestMonthWithoutLimit(t *testing.T) {
	m := &monthly{limit: -1}
	now := time.Unix(1_800_000_000, 0)
	m.add(t.Context(), now, 1_000_000)
	if b := m.budget(t.Context(), now); m.spent(t.Context(), now) || b.Left != -1 || b.Used != 1_000_000 {
		t.Errorf("%+v", b)
	}
}

// TestOwnCountHoldsBack proves F92: by our own count the month is used up before
// DingTalk says so; calls of jobs then stay here, sign-in goes on, and what
// DingTalk has throttled does not count.
func TestOwnCountHoldsBack(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Limits.Month, c.Limits.DirectoryPerMinute, c.Now = 2, -1, time.Now })
	b.fake.turns("/auth/scopes",
		`{"errcode":88,"sub_code":"90018","errmsg":"x"}`,
		`{"errcode":0,"auth_org_scopes":{"authed_user":[],"authed_dept":[1]}}`)
	if _, err := b.Scopes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if q := b.Quota(t.Context()); q.Calls.Used != 1 || q.Calls.Left != 1 || q.Classes[ClassDirectory].Month != 2 {
		t.Errorf("after a throttled and a good call: %+v", q)
	}
	if _, err := b.Scopes(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := b.fake.count("/auth/scopes")
	_, err := b.Scopes(t.Context())
	if identity.KindOf(err) != identity.Throttled || b.fake.count("/auth/scopes") != before {
		t.Errorf("the third of two: %v, %d calls", err, b.fake.count("/auth/scopes")-before)
	}
	b.fake.on("/topapi/v2/user/get", 200, `{"errcode":0,"result":{"userid":"a","name":"n","active":true}}`)
	if _, err := b.Profile(t.Context(), "a"); err != nil {
		t.Errorf("a free call: %v", err)
	}
}

// TestRetryAfter proves R20: an error of a pause says how long it lasts, and
// nothing is called meanwhile.
func TestRetryAfter(t *testing.T) {
	b := newBench(t)
	b.fake.on("/topapi/user/count", 200, `{"errcode":90003,"errmsg":"banned"}`)
	_, err := b.Headcount(t.Context(), false)
	wait, ok := RetryAfter(err)
	if !ok || wait < 4*time.Minute || wait > 5*time.Minute {
		t.Fatalf("%v %v for %v", wait, ok, err)
	}
	calls := b.fake.total()
	if _, err := b.Background().Headcount(t.Context(), false); identity.KindOf(err) != identity.Throttled || b.fake.total() != calls {
		t.Errorf("called while paused: %v", err)
	}
	if _, ok := RetryAfter(errors.New("another")); ok {
		t.Error("a pause in any error")
	}
}

// TestQuotaOfEvents proves F92 for events: approvals count, the address book is
// free.
func TestQuotaOfEvents(t *testing.T) {
	b := newBench(t)
	for _, kind := range []string{EventInstance, EventTask, "check_in", EventUserAdded, EventDeptRemoved, EventAdminAdded, "label_user_change", EventCheckURL} {
		b.CountEvent(Event{Type: kind})
	}
	if q := b.Quota(t.Context()); q.Events.Used != 3 || q.Events.Left != 2997 {
		t.Errorf("%+v", q.Events)
	}
	left := b.Quota(t.Context()).Remaining()
	if len(left) != 3 || left["events"] != 2997 || left["calls"] != 5000 || left["directory"] != 100 {
		t.Errorf("remaining %v", left)
	}
	free := newBench(t, func(c *Config) { c.Limits.Month, c.Limits.EventMonth, c.Limits.DirectoryPerMinute = -1, -1, -1 })
	if left := free.Quota(t.Context()).Remaining(); len(left) != 0 {
		t.Errorf("without limits: %v", left)
	}
}

// TestFailedListOddities: an element that cannot be read is not lost, another
// organisation's is nobody's here.
func TestFailedListOddities(t *testing.T) {
	b := newBench(t)
	b.fake.on("/call_back/get_call_back_failed_result", 200, `{"errcode":0,"has_more":false,"failed_list":[`+
		`{"call_back_tag":"user_add_org","event_time":1600000000000,"user_add_org":{"callbackData":"{\"userid\":[\"a\"]}","corpid":"dingcorp1"}},`+
		`{"call_back_tag":"user_add_org","user_add_org":{"userid":["b"],"corpid":"dingforeign"}},7]}`)
	events, more, err := b.FailedEvents(t.Context())
	if err != nil || more || len(events) != 2 {
		t.Fatalf("%+v %v %v", events, more, err)
	}
	if e := events[0]; len(e.Users) != 1 || e.Users[0] != "a" || e.At.UnixMilli() != 1600000000000 {
		t.Errorf("data inside a text: %+v", e)
	}
	if e := events[1]; e.Type != "" || string(e.Raw) != "7" || e.ID == "" || e.Corp != "dingcorp1" {
		t.Errorf("unreadable: %+v", e)
	}
	b.fake.on("/call_back/get_call_back_failed_result", 200, `{"errcode":0,"has_more":false}`)
	if _, _, err := b.FailedEvents(t.Context()); err == nil {
		t.Error("no list, and nothing said")
	}
}
