package mapping_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/mapping"
	"kdgate/store"
)

// follow runs an index of the rig's store until the test ends.
func (r *rig) follow(s store.Store) *mapping.Index {
	r.Helper()
	x := mapping.NewIndex(s, nil)
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { x.Run(ctx) })
	r.Cleanup(func() { stop(); group.Wait() })
	return x
}

// search gives the userids of one page.
func (r *rig) search(x *mapping.Index, q mapping.Query) ([]string, mapping.Found) {
	r.Helper()
	found, err := x.Search(r.Context(), r.Table, q)
	must(r, err)
	ids := make([]string, 0, len(found.Rows))
	for _, e := range found.Rows {
		ids = append(ids, e.UserID)
	}
	return ids, found
}

// until waits for a search to give what is wanted: changes arrive by Watch.
func (r *rig) until(x *mapping.Index, q mapping.Query, want ...string) {
	r.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		ids, _ := r.search(x, q)
		if slices.Equal(ids, want) {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("%+v: %v, want %v", q, ids, want)
		}
	}
}

// F20, F33: filters, folded text, every order in both directions, page by page.
func TestSearch(t *testing.T) {
	r := newRig(t)
	x := r.follow(r.store)
	for i, login := range []string{"赵六", "Adam", "eve", "ＢＯＢ"} {
		r.create(mapping.Draft{Key: key(fmt.Sprintf("p%d", i)), StaffNumber: fmt.Sprintf("9%d", 3-i), LoginUser: login, Note: "Team " + login})
	}
	_, err := r.Suspend(t.Context(), admin, key("p2"), "left")
	must(t, err)
	r.until(x, mapping.Query{Filter: mapping.Filter{Status: mapping.StatusSuspended}}, "p2")
	for text, want := range map[string][]string{"bob": {"p3"}, "TEAM": {"p0", "p1", "p2", "p3"}, "赵": {"p0"}, "93": {"p0"}, "nobody": {}, "p\x001": {}} {
		if ids, found := r.search(x, mapping.Query{Filter: mapping.Filter{Text: text}}); !slices.Equal(ids, want) || found.Total != len(want) {
			t.Errorf("%q: %v of %d, want %v", text, ids, found.Total, want)
		}
	}
	for order, want := range map[mapping.Order][]string{
		mapping.ByKey: {"p0", "p1", "p2", "p3"}, mapping.ByNumber: {"p3", "p2", "p1", "p0"}, mapping.ByLogin: {"p1", "p2", "p0", "p3"}, mapping.ByStatus: {"p0", "p1", "p3", "p2"},
	} {
		for _, down := range []bool{false, true} {
			var all []string
			for after := ""; ; {
				ids, found := r.search(x, mapping.Query{Order: order, Down: down, Limit: 1, After: after})
				all = append(all, ids...)
				if after = found.Next; after == "" {
					break
				}
			}
			expected := slices.Clone(want)
			if down {
				slices.Reverse(expected)
			}
			if !slices.Equal(all, expected) {
				t.Errorf("by %q down %v: %v, want %v", order, down, all, expected)
			}
		}
	}
	if _, err := x.Search(t.Context(), r.Table, mapping.Query{Order: "1; DROP TABLE"}); identity.KindOf(err) != identity.Invalid {
		t.Errorf("an order that is none: %v", err)
	}
	stats, err := x.Stats(t.Context())
	must(t, err)
	if stats.Rows != 4 || stats.Status[mapping.StatusSuspended] != 1 || stats.Unchecked != 3 {
		t.Errorf("stats %+v", stats)
	}
}

// deafStore loses events on demand and tells of it, as a driver does after a reconnect.
type deafStore struct {
	store.Store
	mu   sync.Mutex
	deaf bool
	out  chan store.Event
}

func (s *deafStore) Watch(ctx context.Context, prefix string) (<-chan store.Event, error) {
	events, err := s.Store.Watch(ctx, prefix)
	if err != nil {
		return nil, err
	}
	s.out = make(chan store.Event, 16)
	go func() {
		defer close(s.out)
		for e := range events {
			s.mu.Lock()
			deaf := s.deaf
			s.mu.Unlock()
			if !deaf {
				s.out <- e
			}
		}
	}()
	return s.out, nil
}

func (s *deafStore) hear(again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = !again
}

// An index that missed events is right again after the store says so, and a row
// that it still has as it was is never shown as it was.
func TestIndexMissesEvents(t *testing.T) {
	r := newRig(t)
	deaf := &deafStore{Store: r.store}
	x := r.follow(deaf)
	r.create(mapping.Draft{Key: key("a"), StaffNumber: "1", LoginUser: "one"})
	r.until(x, mapping.Query{}, "a")
	deaf.hear(false)
	r.create(mapping.Draft{Key: key("b"), StaffNumber: "2", LoginUser: "two"})
	_, err := r.Suspend(t.Context(), admin, key("a"), "left")
	must(t, err)
	if ids, _ := r.search(x, mapping.Query{Filter: mapping.Filter{Status: mapping.StatusActive}}); len(ids) != 0 {
		t.Errorf("shown as active: %v", ids)
	}
	deaf.hear(true)
	deaf.out <- store.Event{}
	r.until(x, mapping.Query{}, "a", "b")
	if ids, _ := r.search(x, mapping.Query{Filter: mapping.Filter{Text: "two"}}); !slices.Equal(ids, []string{"b"}) {
		t.Errorf("found %v", ids)
	}
}

// An index that is not filled says so; it never answers "nothing".
func TestIndexNotReady(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := mapping.NewIndex(r.store, nil).Stats(ctx); identity.CodeOf(err) != identity.CodeStoreDown {
		t.Errorf("%v", err)
	}
}

// Search over 100,000 rows; performance.md asks for 200 ms.
func BenchmarkIndex(b *testing.B) {
	r := newRig(b)
	var file strings.Builder
	file.WriteString("corp,userid,data_centre,staff_number,login_user\n")
	for i := range 100_000 {
		fmt.Fprintf(&file, "%s,%06d,%s,S%06d,员工%06d\n", corp, i, live, i, i)
	}
	sheet, err := mapping.ParseCSV(strings.NewReader(file.String()))
	must(b, err)
	plan, err := r.Plan(b.Context(), admin, sheet, nil)
	must(b, err)
	_, err = r.Apply(b.Context(), admin, plan, mapping.ApplyOptions{})
	must(b, err)
	x := r.follow(r.store)
	_, err = x.Stats(b.Context())
	must(b, err)
	for _, order := range []mapping.Order{mapping.ByKey, mapping.ByLogin} {
		b.Run("by "+string(order), func(b *testing.B) {
			for b.Loop() {
				if _, found := r.search(x, mapping.Query{Filter: mapping.Filter{Text: "工0999"}, Order: order}); found.Total == 0 {
					b.Fatal("nothing found")
				}
			}
		})
	}
}

// F13, F20: a person is found by the name they signed in with, whichever way
// their row came to be; a later name replaces it without a new version of the
// row, and whoever only looks leaves none.
func TestNamesOfSignIns(t *testing.T) {
	r := newRig(t)
	x := r.follow(r.store)
	for i, id := range []string{"u1", "u2", "u3"} {
		r.kingdee.add(id, user(fmt.Sprint(i+1), "login-"+id))
	}
	r.create(mapping.Draft{Key: key("u2"), StaffNumber: "u2", LoginUser: "login-u2"})                      // open
	r.create(mapping.Draft{Key: key("u3"), UnionID: "union-u3", StaffNumber: "u3", LoginUser: "login-u3"}) // of a hire
	as := func(userid, name string) identity.Assertion {
		a := proven(userid, "union-"+userid)
		a.Name = name
		return a
	}
	for _, id := range []string{"u1", "u2", "u3"} { // u1 has no row yet
		_, err := r.Explain(t.Context(), as(id, "路人"), live)
		must(t, err)
		_, err = r.Resolve(t.Context(), as(id, "张"+id), live)
		must(t, err)
	}
	r.until(x, mapping.Query{Filter: mapping.Filter{Text: "张u"}}, "u1", "u2", "u3")
	if ids, _ := r.search(x, mapping.Query{Filter: mapping.Filter{Text: "路人"}}); len(ids) > 0 {
		t.Errorf("a look named %v", ids)
	}
	before := r.get("u3")
	r.clock.Advance(time.Hour)
	_, err := r.Resolve(t.Context(), as("u3", strings.Repeat("长", 100)), live)
	must(t, err)
	after := r.get("u3")
	if after.Version != before.Version || after.Name != strings.Repeat("长", 64) {
		t.Errorf("version %d to %d, named %q", before.Version, after.Version, after.Name)
	}
	r.clock.Advance(time.Hour)
	_, err = r.Resolve(t.Context(), as("u3", ""), live)
	must(t, err)
	if got := r.get("u3").Name; got != after.Name {
		t.Errorf("a sign-in without a name took it away: %q", got)
	}
}
