package billbook_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/handclock"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/billbook"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

var (
	key   = []byte("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk")
	start = time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
)

// rig is an index over a real store and a real work list.
type rig struct {
	testing.TB
	store *counted
	queue *jobs.Queue
	index *billbook.Index
	clock *handclock.Clock
}

// counted counts scans, and fails on demand.
type counted struct {
	store.Store
	mu    sync.Mutex
	scans int
	fail  error
}

func (c *counted) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	c.mu.Lock()
	fail := c.fail
	if prefix == approval.RecordPrefix {
		c.scans++
	}
	c.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	return c.Store.Scan(ctx, prefix, after, limit)
}

func (c *counted) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.scans
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func newRig(t testing.TB) *rig {
	r := &rig{TB: t, clock: handclock.New(start)}
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db")})
	r.must(err)
	t.Cleanup(func() { r.must(driver.Close()) })
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
	r.must(err)
	r.store = &counted{Store: sealed}
	log, err := audit.Open(t.Context(), audit.Config{Dir: t.TempDir(), Replica: "node1", Key: key})
	r.must(err)
	t.Cleanup(func() { r.must(log.Close()) })
	r.queue, err = jobs.New(jobs.Config{Store: r.store, Recorder: log, Owner: "node1", Alone: true, Now: r.clock.Now})
	r.must(err)
	r.index = billbook.New(billbook.Config{Store: r.store, Queue: r.queue, Now: r.clock.Now})
	return r
}

// booked writes the record that a finished approval leaves.
func (r *rig) booked(instance, person string, at time.Time) {
	r.Helper()
	r.record(approval.Record{
		Corp: "c1", Instance: instance, Process: "PROC-1", Title: "报销 " + instance, Originator: person, Rule: "费用报销", Print: "aaaaaaaaaaaa",
		Form: "ER_ExpReimbursement", Number: "DD-" + instance, Bill: "100", Received: at, Trail: []approval.Mark{{Step: "saved", At: at.Add(time.Minute)}},
	})
}

func (r *rig) record(rec approval.Record) {
	r.Helper()
	text, err := json.Marshal(rec)
	r.must(err)
	r.must(r.store.Commit(r.Context(), store.Put(approval.RecordKey(rec.Corp, rec.Instance), text)))
}

// item puts an approval on the work list; fail, if given, makes it a dead letter.
func (r *rig) item(instance string, fail error) jobs.ID {
	r.Helper()
	id := jobs.ID{Kind: approval.KindBill, Key: instance}
	_, _, err := r.queue.Add(r.Context(), jobs.Draft{ID: id, Payload: jsontext.Value(`{"corp":"c1","process":"PROC-1","why":"event"}`)})
	r.must(err)
	if fail == nil {
		return id
	}
	taken, err := r.queue.Take(r.Context(), id.Kind, 1)
	r.must(err)
	_, err = taken.Work[0].Fail(r.Context(), jobs.Permanent(fail), jobs.Retry{})
	r.must(err)
	return id
}

func (r *rig) find(q billbook.Query) billbook.Found {
	r.Helper()
	if q.Order == "" {
		q.Order = billbook.ByReceived
	}
	if q.Limit == 0 {
		q.Limit = 50
	}
	found, err := r.index.Search(r.Context(), q)
	r.must(err)
	return found
}

func names(bills []billbook.Bill) string {
	var out []string
	for _, b := range bills {
		out = append(out, b.Instance)
	}
	return fmt.Sprint(out)
}

// F31, F33: bills are found by state, form, person, day and text, in every order,
// and a list pages through all of them once, forwards and backwards.
func TestSearch(t *testing.T) {
	r := newRig(t)
	for i := range 7 {
		r.booked(fmt.Sprint("in", i), fmt.Sprint("p", i%2), start.Add(time.Duration(i)*time.Hour))
	}
	r.record(approval.Record{Corp: "c1", Instance: "out1", Received: start.Add(90 * time.Minute), Why: "it was not agreed", Trail: []approval.Mark{{Step: "passed-over", At: start.Add(2 * time.Hour)}}})
	r.clock.Advance(24 * time.Hour)
	r.item("dead1", jobs.Explain(errors.New("x"), "FDate: 已结账"))
	r.item("wait1", nil)
	found := r.find(billbook.Query{})
	if found.Total != 10 || found.States[billbook.Booked] != 7 || found.States[billbook.Failed] != 1 || found.States[billbook.Waiting] != 1 || found.States[billbook.Passed] != 1 || found.Cut {
		t.Errorf("%+v", found)
	}
	for want, f := range map[string]billbook.Filter{
		"[dead1]":   {State: billbook.Failed},
		"[in1 in3]": {Person: "p1", To: start.Add(4 * time.Hour)},
		"[in5 in6]": {From: start.Add(5 * time.Hour), Form: "ER_ExpReimbursement"},
		"[in4]":     {Text: "dd-IN4"},
		"[]":        {Corp: "c2"},
		"[in2]":     {Print: "aaaaaaaaaaaa", Rule: "费用报销", Text: "报销 in2"},
	} {
		if got := names(r.find(billbook.Query{Filter: f}).Bills); got != want {
			t.Errorf("%+v: %s, want %s", f, got, want)
		}
	}
	for _, order := range []billbook.Order{billbook.ByReceived, billbook.ByChanged, billbook.ByNumber, billbook.ByForm, billbook.ByPerson, billbook.ByState} {
		for _, down := range []bool{false, true} {
			seen, after := map[string]int{}, ""
			var all []billbook.Bill
			for pages := 0; pages < 9; pages++ {
				page := r.find(billbook.Query{Order: order, Down: down, After: after, Limit: 3})
				for _, b := range page.Bills {
					seen[b.Instance]++
				}
				all = append(all, page.Bills...)
				if after = page.Next; after == "" {
					break
				}
			}
			if len(seen) != 10 || len(all) != 10 {
				t.Errorf("%s down=%v: %s", order, down, names(all))
			}
			if order == billbook.ByReceived && (all[0].Instance == "in0") == down {
				t.Errorf("down=%v begins with %s", down, all[0].Instance)
			}
		}
	}
}

// A look after the first reads only what changed, changes are seen, and what was
// acted on is not shown as it was. Nothing is read when nobody looks.
func TestFollows(t *testing.T) {
	r := newRig(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { r.index.Run(ctx); close(ended) }()
	defer func() { stop(); <-ended }()
	r.booked("in1", "p1", start)
	until(t, "the index follows", func() bool { // a look before that reads everything each time
		r.find(billbook.Query{})
		before := r.store.count()
		r.find(billbook.Query{})
		return r.store.count() == before
	})
	scans := r.store.count()
	r.booked("in2", "p1", start)
	until(t, "a new bill is seen", func() bool { return r.find(billbook.Query{}).Total == 2 })
	if r.store.count() != scans {
		t.Errorf("%d scans for one bill", r.store.count()-scans)
	}
	id := r.item("in3", errors.New("x"))
	r.clock.Advance(3 * time.Second)
	if n := r.find(billbook.Query{Filter: billbook.Filter{State: billbook.Failed}}).Total; n != 1 {
		t.Fatalf("%d failed", n)
	}
	_, err := r.queue.GiveUp(t.Context(), jobs.Actor{Name: "cli:test"}, id, "重复")
	r.must(err)
	r.index.Forget()
	if found := r.find(billbook.Query{}); found.States[billbook.GivenUp] != 1 || found.States[billbook.Failed] != 0 {
		t.Errorf("%+v", found.States)
	}
	r.store.mu.Lock()
	r.store.fail = store.ErrUnavailable
	r.store.mu.Unlock()
	r.clock.Advance(3 * time.Second)
	if _, err := r.index.Search(t.Context(), billbook.Query{Order: billbook.ByReceived}); identity.KindOf(err) != identity.Unavailable {
		t.Errorf("an old answer while the store is away: %v", err)
	}
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// Bills are counted in the hour in which they came to stand, dead letters in the
// one in which they died.
func TestSlots(t *testing.T) {
	r := newRig(t)
	r.booked("in1", "p1", start.Add(59*time.Minute+30*time.Second)) // saved a minute later
	r.booked("in2", "p1", start.Add(-time.Hour))
	r.clock.Advance(2*time.Hour + time.Minute)
	r.item("dead1", errors.New("x"))
	slots, err := r.index.Slots(t.Context(), billbook.Filter{}, start, time.Hour, 3)
	r.must(err)
	if len(slots) != 3 || slots[0].Booked != 0 || slots[1].Booked != 1 || slots[2].Failed != 1 || !slots[2].Start.Equal(start.Add(2*time.Hour)) {
		t.Errorf("%+v", slots)
	}
}

// One approval is shown from both sources; one of another organisation is not there.
func TestGet(t *testing.T) {
	r := newRig(t)
	r.booked("in1", "p1", start)
	r.item("dead1", jobs.Explain(errors.New("x"), "FDate: 已结账"))
	d, err := r.index.Get(t.Context(), "c1", "in1")
	if err != nil || d.State != billbook.Booked || d.Item != nil || len(d.Trail) != 1 {
		t.Errorf("%+v %v", d, err)
	}
	d, err = r.index.Get(t.Context(), "c1", "dead1")
	if err != nil || d.State != billbook.Failed || d.Item == nil || d.Failure.Words != "FDate: 已结账" {
		t.Errorf("%+v %v", d, err)
	}
	for _, key := range [][2]string{{"c2", "in1"}, {"c2", "dead1"}, {"c1", "x"}, {"c1", ""}} {
		if _, err := r.index.Get(t.Context(), key[0], key[1]); identity.KindOf(err) != identity.NotFound {
			t.Errorf("%v: %v", key, err)
		}
	}
	about, err := r.index.About(t.Context(), "c1", "p1")
	if err != nil || len(about) != 1 {
		t.Errorf("%v %v", about, err)
	}
}
