package app

import (
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/web/admin"
)

// TestQuotaDays: one record a day and kind, which no replica lowers, however
// many write it at once; a month that turned meanwhile is nobody's day, and
// after 400 days a record is gone.
func TestQuotaDays(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	now := time.Date(2026, 3, 31, 15, 50, 0, 0, time.UTC) // ten to midnight in Beijing, on the last day
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	set := func(t time.Time) { mu.Lock(); defer mu.Unlock(); now = t }
	r.now = clock
	core := r.core(r.load())
	ctx := t.Context()
	march := admin.Month{Limit: 5000, Ends: time.Date(2026, 3, 31, 16, 0, 0, 0, time.UTC)}
	april := admin.Month{Limit: 5000, Used: 3, Ends: time.Date(2026, 4, 30, 16, 0, 0, 0, time.UTC)}
	var group sync.WaitGroup
	for i := range 4 { // replicas, each behind the others by some
		days := &quotaDays{core.store, clock}
		group.Go(func() {
			for n := range 10 {
				m := march
				m.Used = int64(100*n + 10*i)
				if err := days.note(ctx, "dingcorp1", "calls", m, clock()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	days := &quotaDays{core.store, clock}
	must(t, days.note(ctx, "dingcorp1", "calls", april, clock())) // asked for before midnight, answered after
	must(t, days.note(ctx, "dingcorp1", "events", march, clock()))
	set(now.Add(20 * time.Minute))
	must(t, days.note(ctx, "dingcorp1", "calls", march, clock())) // and the other way round
	must(t, days.note(ctx, "dingcorp1", "calls", april, clock()))
	list, err := days.list(ctx, "dingcorp1", "calls")
	must(t, err)
	want := []admin.QuotaDay{
		{Corp: "dingcorp1", Kind: "calls", Day: "2026-03-31", Used: 930, Limit: 5000}, {Corp: "dingcorp1", Kind: "calls", Day: "2026-04-01", Used: 3, Limit: 5000},
	}
	if len(list) != 2 || list[0] != want[0] || list[1] != want[1] {
		t.Errorf("%+v", list)
	}
	set(now.Add(401 * 24 * time.Hour))
	if list, err = days.list(ctx, "dingcorp1", "calls"); err != nil || len(list) != 0 {
		t.Errorf("after 400 days: %+v, %v", list, err)
	}
}

// TestQuotaDaysAreKept: a gateway that runs writes the day.
func TestQuotaDaysAreKept(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load())
	history := s.quotaHistory(s.rooms.Load())
	eventually(t, "the day is written", func() bool {
		list, err := history(t.Context())
		must(t, err)
		return len(list) == 2 && strings.HasPrefix(list[0].Day, time.Now().In(beijing()).Format("2006-01"))
	})
}
