package rulebook_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/jobs/approval/rulebook"
	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/storetest"
)

// failing are two books over one log and a Redis that forgets, as the replica that
// a failover promotes does: the rig's own, which wrote everything, and one that
// has seen nothing yet.
type failing struct {
	*rig
	redis *storetest.Redis
	other *rulebook.Book
}

func newFailing(t *testing.T) *failing {
	f := &failing{rig: &rig{TB: t}, redis: storetest.StartRedis(t)}
	var err error
	f.log, err = audit.Open(t.Context(), audit.Config{Dir: t.TempDir(), Replica: "node1", Key: key})
	f.must(err)
	t.Cleanup(func() { f.must(f.log.Close()) })
	f.book, f.other = f.replica(), f.replica()
	f.must(f.book.Refresh(t.Context()))
	return f
}

// replica is a book as internal/app joins it to its store.
func (f *failing) replica() *rulebook.Book {
	driver, err := redisstore.Open(redisstore.Config{Addrs: []string{f.redis.Addr}})
	f.must(err)
	f.Cleanup(func() { f.must(driver.Close()) })
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
	f.must(err)
	f.store = store.Accepting{Store: sealed, Renew: sealed.Renew, Prefixes: []string{"approval/version/", "approval/versions/", "approval/tried/"}}
	return rulebook.New(rulebook.Config{Store: f.store, AsFound: sealed.AsFound(), Recorder: f.log})
}

func (f *failing) failOver() {
	f.redis.Kill()
	f.redis.Start()
	for f.other.Refresh(f.Context()) != nil {
		f.must(f.Context().Err())
	}
}

// on switches a version on that was tried.
func (f *failing) on(print string) {
	f.Helper()
	f.must(f.book.NoteTried(f.Context(), rulebook.Tried{Print: print, Instance: "in1", By: admin.Name}))
	f.must(f.book.Switch(f.Context(), admin, loan, print, true))
}

// reassert is one pass of a replica over the log.
func (f *failing) reassert(b *rulebook.Book) int {
	f.Helper()
	var all []audit.Record
	for _, action := range rulebook.Actions() {
		records, err := f.log.Search(f.Context(), audit.Query{Action: action})
		f.must(err)
		all = append(all, records...)
	}
	slices.SortStableFunc(all, func(a, b audit.Record) int { return a.At.Compare(b.At) })
	changed, err := b.Reassert(f.Context(), all)
	f.must(err)
	return changed
}

// acting is the version that makes bills; "none" where the rule is not there.
func acting(b *rulebook.Book) string {
	_, list := b.Snapshot().Force(nil, sound)
	if len(list) == 0 {
		return "none"
	}
	return list[0].Acting
}

// TestDecisionsPutBack proves R14 and F61 for decisions about a rule that a failover
// lost: what was switched off or removed acts on no replica that saw it, and on no
// other one once it has compared the log; what was switched on is off; and the
// rules can be decided about again without anything being started anew.
func TestDecisionsPutBack(t *testing.T) {
	const changed = good + "audit: true\n"
	first, second := printOf(t, good), printOf(t, changed)
	for name, tc := range map[string]struct {
		kept, lost func(f *failing)
		saw        string // what acts where the lost decision was seen, until the log is compared
		found      string // what acts elsewhere until then
		after      string // what acts everywhere from then on
	}{
		"switched off": {
			kept: func(f *failing) { f.on(first) },
			lost: func(f *failing) { f.must(f.book.Switch(f.Context(), admin, loan, "", false)) },
			saw:  "", found: first, after: "",
		},
		"removed": {
			kept: func(f *failing) { f.on(first) },
			lost: func(f *failing) { f.must(f.book.Remove(f.Context(), admin, loan)) },
			saw:  "none", found: first, after: "none",
		},
		"switched on": {
			kept: func(*failing) {},
			lost: func(f *failing) { f.on(first) },
			saw:  "", found: "", after: "",
		},
		"switched off and on again": {
			kept: func(f *failing) { f.on(first) },
			lost: func(f *failing) { f.must(f.book.Switch(f.Context(), admin, loan, "", false)); f.on(first) },
			saw:  first, found: first, after: first,
		},
		"switched on anew after it was off": {
			kept: func(f *failing) { f.on(first); f.must(f.book.Switch(f.Context(), admin, loan, "", false)) },
			lost: func(f *failing) { f.on(first) },
			saw:  first, found: "", after: "",
		},
		"another version": {
			kept: func(f *failing) { f.on(first) },
			lost: func(f *failing) { f.save(changed, first); f.on(second) },
			saw:  second, found: first, after: "",
		},
		"another text": {
			kept: func(f *failing) { f.on(first) },
			lost: func(f *failing) { f.save(changed, first) },
			saw:  first, found: first, after: first,
		},
		"removed and written anew": {
			kept: func(f *failing) { f.on(first) },
			lost: func(f *failing) { f.must(f.book.Remove(f.Context(), admin, loan)); f.save(changed, "") },
			saw:  "", found: first, after: "none",
		},
	} {
		for _, order := range []string{"the one that saw it", "the other"} {
			t.Run(name+", "+order, func(t *testing.T) {
				f := newFailing(t)
				f.save(good, "")
				tc.kept(f)
				f.redis.Do("SAVE") // all that the new master will know
				tc.lost(f)
				f.failOver()
				if err := f.book.Refresh(t.Context()); err != nil && !errors.Is(err, store.ErrOutdated) {
					t.Fatal(err)
				}
				saw := acting(f.book)
				if found := acting(f.other); saw != tc.saw || found != tc.found {
					t.Fatalf("%q acts where it was seen, %q elsewhere", saw, found)
				}
				books := []*rulebook.Book{f.book, f.other}
				if order == "the other" {
					slices.Reverse(books)
				}
				for range 2 {
					for _, b := range books {
						f.reassert(b)
						f.must(b.Refresh(t.Context()))
						if got := acting(b); got != tc.after {
							t.Errorf("%q acts, want %q", got, tc.after)
						}
					}
				}
				if f.reassert(f.book)+f.reassert(f.other) != 0 {
					t.Error("what is right was put right")
				}
				f.decideAgain()
			})
		}
	}
}

// decideAgain switches the rule on, as it is written then; no later look at the
// log takes that back.
func (f *failing) decideAgain() {
	f.Helper()
	w, there := f.book.Snapshot().Written(loan)
	if !there {
		w = f.save(good, "")
	}
	f.on(w.Print)
	if f.reassert(f.book) != 0 || acting(f.book) != w.Print {
		f.Errorf("%q acts, which was switched on as %q", acting(f.book), w.Print)
	}
}

// printOf is the print of the version that a text is.
func printOf(t *testing.T, text string) string {
	t.Helper()
	r := newRig(t)
	return r.save(text, "").Print
}

// TestReassertWithoutTheLog: where the log does not tell what was seen, a switch
// that a failover put back stays an error, unless it is off; records of others
// change nothing.
func TestReassertWithoutTheLog(t *testing.T) {
	f := newFailing(t)
	w := f.save(good, "")
	f.on(w.Print)
	f.redis.Do("SAVE")
	f.must(f.book.Switch(t.Context(), admin, loan, "", false))
	f.failOver()
	at := time.Now().Add(-time.Hour)
	for name, r := range map[string]audit.Record{
		"a text":         {At: at, Event: audit.Event{Action: rulebook.ActionSave, Outcome: audit.OK, Target: loan.Name, Detail: map[string]string{"corp": "c1"}}},
		"an older off":   {At: at, Event: audit.Event{Action: rulebook.ActionSwitch, Outcome: audit.OK, Target: loan.Name, Detail: map[string]string{"corp": "c1", "on": "false"}}},
		"another's rule": {At: time.Now(), Event: audit.Event{Action: rulebook.ActionSwitch, Outcome: audit.OK, Target: loan.Name, Detail: map[string]string{"corp": "c2", "on": "false"}}},
		"a refusal":      {At: time.Now(), Event: audit.Event{Action: rulebook.ActionSwitch, Outcome: audit.Refused, Target: loan.Name, Detail: map[string]string{"corp": "c1", "on": "false"}}},
	} {
		if n, err := f.book.Reassert(t.Context(), []audit.Record{r}); n != 0 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		if err := f.book.Refresh(t.Context()); !errors.Is(err, store.ErrOutdated) || acting(f.book) != "" {
			t.Errorf("%s: %q acts, %v", name, acting(f.book), err)
		}
	}
}
