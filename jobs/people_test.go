package jobs_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
)

// kill makes key dead in one attempt, after a step.
func (r *rig) kill(key string) jobs.Item {
	r.Helper()
	r.add(key)
	w := r.one(r.Queue)
	must(r, w.Step(r.Context(), "saved", []byte(`{"fid":1}`)))
	_, err := w.Fail(r.Context(), jobs.Permanent(errors.New("refused")), jobs.Retry{})
	must(r, err)
	return r.wantState(key, jobs.Dead)
}

// TestReplay: once, twice and again, also while it is worked; never of what is
// done; it goes on after its last step (F63, R44).
func TestReplay(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s)
		r.kill("x")
		for range 3 {
			it, err := r.Replay(t.Context(), admin, id("x"))
			must(t, err)
			if it.State != jobs.Ready || it.Tries != 0 || it.Step.Name != "saved" {
				t.Fatalf("replayed as %+v", it)
			}
		}
		w := r.one(r.Queue)
		it, err := r.Replay(t.Context(), admin, id("x"))
		if must(t, err); it.State != jobs.Leased {
			t.Errorf("replayed under a worker: %s", it.State)
		}
		must(t, w.Complete(t.Context()))
		_, err = r.Replay(t.Context(), admin, id("x"))
		wantErr(t, err, jobs.ErrState)
		if diff := cmp.Diff([]string{"queue.dead", "queue.replay"}, texts(r.log.actions())); diff != "" {
			t.Errorf("an act that did nothing was recorded, or one that did was not: %s", diff)
		}
	})
}

// TestReplayWaiting: a replay ends the back-off of one that waits.
func TestReplayWaiting(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	r.add("x")
	_, err := r.one(r.Queue).Fail(t.Context(), errors.New("no"), jobs.Retry{First: time.Hour, Max: time.Hour})
	must(t, err)
	if n := len(r.take(r.Queue, 1)); n != 0 {
		t.Fatal("no back-off")
	}
	_, err = r.Replay(t.Context(), admin, id("x"))
	must(t, err)
	r.one(r.Queue)
}

// TestEdit: of the version that was seen only, not under a worker, and the steps
// of the old payload are gone.
func TestEdit(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	seen := r.kill("x")
	it, err := r.Edit(t.Context(), admin, id("x"), seen.Version, []byte(`{"n":2}`))
	must(t, err)
	if string(it.Payload) != `{"n":2}` || it.State != jobs.Dead || it.Step.Name != "" {
		t.Errorf("edited: %+v", it)
	}
	_, err = r.Edit(t.Context(), admin, id("x"), seen.Version, []byte(`{"n":3}`))
	wantErr(t, err, jobs.ErrMoved)
	_, err = r.Edit(t.Context(), admin, id("x"), it.Version, []byte(`{"n":`))
	if identity.KindOf(err) != identity.Invalid {
		t.Errorf("no JSON: %v", err)
	}
	_, err = r.Replay(t.Context(), admin, id("x"))
	must(t, err)
	r.one(r.Queue)
	leased := r.get("x")
	_, err = r.Edit(t.Context(), admin, id("x"), leased.Version, []byte(`{}`))
	wantErr(t, err, jobs.ErrState)
	last := r.log.events[1]
	if last.Action != jobs.ActionEdit || last.Actor != admin.Name || last.RequestID != "req-1" || last.Before == last.After || last.Detail["changed"] != "n" {
		t.Errorf("recorded %+v", last)
	}
}

// TestRecordsHoldNoText: the log says what was done to an item and which
// members changed, and nothing of what stands in its payload (F73, T111).
func TestRecordsHoldNoText(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	r.kill("x")
	edit := func(payload string) {
		t.Helper()
		seen := r.get("x")
		_, err := r.Edit(t.Context(), admin, id("x"), seen.Version, []byte(payload))
		must(t, err)
	}
	edit(`{"title":"日报","text":"利润 -1,234.50 元","to":["boss01"]}`)
	edit(`{"to":["boss01"],  "title":"日报","text":"利润 9.99 元", "link":"x"}`)
	edit(`["利润"]`)
	_, err := r.Replay(t.Context(), admin, id("x"))
	must(t, err)
	var changed []string
	for _, e := range r.log.events {
		changed = append(changed, e.Detail["changed"])
		if told := fmt.Sprint(e.Before, e.After, e.Detail); strings.Contains(told, "1,234") || strings.Contains(told, "利润") || strings.Contains(told, "boss01") {
			t.Errorf("%s holds the text: %s", e.Action, told)
		}
	}
	if got := strings.Join(changed, "; "); got != "; n text title to; link text; payload; " {
		t.Errorf("changed: %s", got)
	}
}

// TestGiveUp: with a note; its key stays known; it can still be replayed.
func TestGiveUp(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	r.kill("x")
	if _, err := r.GiveUp(t.Context(), admin, id("x"), ""); identity.KindOf(err) != identity.Invalid {
		t.Errorf("without a note: %v", err)
	}
	for range 2 {
		it, err := r.GiveUp(t.Context(), admin, id("x"), "entered by hand")
		must(t, err)
		if it.State != jobs.GivenUp || it.Note != "entered by hand" {
			t.Fatalf("given up as %+v", it)
		}
	}
	_, outcome, err := r.Add(t.Context(), jobs.Draft{ID: id("x")})
	if must(t, err); outcome != jobs.AlreadyThere {
		t.Errorf("added again: %s", outcome)
	}
	_, err = r.Replay(t.Context(), admin, id("x"))
	must(t, err)
	must(t, r.one(r.Queue).Complete(t.Context()))
	_, err = r.GiveUp(t.Context(), admin, id("x"), "late")
	wantErr(t, err, jobs.ErrState)
}

// TestUnrecorded: no record, no act; and an item that would be dead waits instead (T111).
func TestUnrecorded(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	before := r.kill("x")
	r.add("y")
	w := r.one(r.Queue)
	r.log.fail(errors.New("disk full"))
	_, err1 := r.Replay(t.Context(), admin, id("x"))
	_, err2 := r.GiveUp(t.Context(), admin, id("x"), "note")
	_, err3 := r.Edit(t.Context(), admin, id("x"), before.Version, []byte(`{}`))
	err4 := r.PauseKind(t.Context(), admin, jobs.Pause{Kind: "bill", Until: r.clock.Now().Add(time.Hour)})
	for i, err := range []error{err1, err2, err3, err4} {
		if identity.CodeOf(err) != identity.CodeAuditDown {
			t.Errorf("act %d: %v", i, err)
		}
	}
	if diff := cmp.Diff(before, r.get("x")); diff != "" {
		t.Errorf("changed without a record: %s", diff)
	}
	result, err := w.Fail(t.Context(), jobs.Permanent(errors.New("no")), jobs.Retry{})
	if must(t, err); result != jobs.ResultPutOff {
		t.Errorf("dead without a record: %s", result)
	}
	r.wantState("y", jobs.Ready)
	r.log.fail(nil)
	r.clock.Advance(time.Minute)
	_, err = r.one(r.Queue).Fail(t.Context(), jobs.Permanent(errors.New("no")), jobs.Retry{})
	must(t, err)
	r.wantState("y", jobs.Dead)
}

// TestList pages through each state, one item once, and says what cannot be read.
func TestList(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s)
		for i := range 25 {
			r.add(fmt.Sprintf("%02d", i))
			r.clock.Advance(time.Second)
		}
		for range 5 {
			must(t, r.one(r.Queue).Complete(t.Context()))
			r.clock.Advance(time.Second)
		}
		must(t, s.Commit(t.Context(), store.Put("job/item/bill/07", []byte(`{"state":`))))
		list := func(state jobs.State) (keys []string) {
			after := ""
			for {
				page, err := r.List(t.Context(), jobs.Filter{State: state, Kind: "bill"}, after, 3)
				must(t, err)
				for _, it := range page.Items {
					keys = append(keys, it.Key)
					if it.Key == "07" && it.Failure.Words != "cannot be read" {
						t.Errorf("07 is shown as %+v", it)
					}
				}
				if after = page.After; after == "" {
					return keys
				}
			}
		}
		if ready := list(jobs.Ready); len(ready) != 20 || ready[0] != "05" || ready[2] != "07" {
			t.Errorf("ready: %v", ready)
		}
		if diff := cmp.Diff([]string{"04", "03", "02", "01", "00"}, list(jobs.Done)); diff != "" {
			t.Errorf("done, newest first: %s", diff)
		}
		for _, bad := range []jobs.Filter{{State: "x"}, {}, {State: jobs.Ready, Kind: "a/b"}} {
			if _, err := r.List(t.Context(), bad, "", 3); identity.KindOf(err) != identity.Invalid {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		if _, err := r.List(t.Context(), jobs.Filter{State: jobs.Ready}, "mapping/id/", 3); identity.KindOf(err) != identity.Invalid {
			t.Errorf("a mark of another list: %v", err)
		}
		counts, err := r.Counts(t.Context())
		must(t, err)
		if len(counts) != 2 || counts[0].State != jobs.Done || counts[0].N != 5 || counts[1].N != 20 {
			t.Errorf("counts %+v", counts)
		}
		if oldest := counts[1].Oldest; !oldest.Equal(r.get("05").Due) {
			t.Errorf("oldest ready %s", oldest)
		}
	})
}

// TestUnreadableItems at the head of the queue do not stop those behind them (R44).
func TestUnreadableItems(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	for i := range 60 {
		key := fmt.Sprintf("%02d", i)
		r.add(key)
		must(t, r.store.Commit(t.Context(), store.Put("job/item/bill/"+key, []byte("garbage"))))
	}
	r.add("good")
	if w := r.one(r.Queue); w.Item().Key != "good" {
		t.Errorf("took %s", w.Item().Key)
	}
}

// TestRepair: a place whose item is gone or elsewhere is removed, and delays nobody.
func TestRepair(t *testing.T) {
	r := newRig(t, sqliteStore(t))
	r.add("lost")
	must(t, r.store.Commit(t.Context(), store.Delete("job/item/bill/lost")))
	it := r.add("moved")
	must(t, r.store.Commit(t.Context(), store.Put(fmt.Sprintf("job/at/ready/bill/%016d/moved", it.Due.UnixMicro()-5), nil)))
	must(t, r.store.Commit(t.Context(), store.Put("job/at/ready/bill/strange", nil)))
	if w := r.one(r.Queue); w.Item().Key != "moved" {
		t.Errorf("took %s", w.Item().Key)
	}
	page, err := r.store.Scan(t.Context(), "job/at/ready/", "", 10)
	must(t, err)
	if len(page) != 1 {
		t.Errorf("left in the index: %+v", page)
	}
}

func TestParseID(t *testing.T) {
	for _, want := range []jobs.ID{id("a"), id("a/b c?d#张三"), id("%2F"), id("."), id(".."), {Kind: strings.Repeat("k", 40), Key: "x"}} {
		got, err := jobs.ParseID(want.String())
		if err != nil || got != want {
			t.Errorf("%q came back as %+v, %v", want.String(), got, err)
		}
	}
	for _, bad := range []string{"", "bill", "bill/", "/x", "Bill/x", "bill/%zz", "bill/" + strings.Repeat("x", 129), strings.Repeat("k", 41) + "/x"} {
		if id, err := jobs.ParseID(bad); identity.KindOf(err) != identity.Invalid {
			t.Errorf("%q: %+v, %v", bad, id, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("bill/a%2Fb")
	f.Add("bill/%")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := jobs.ParseID(text)
		if err != nil {
			return
		}
		if again, err := jobs.ParseID(parsed.String()); err != nil || again != parsed {
			t.Errorf("%q: %+v, then %+v (%v)", text, parsed, again, err)
		}
	})
}
