package jobs

import (
	"context"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/store"
)

// Filter says which items List gives. Kind empty: all kinds.
type Filter struct {
	State State
	Kind  string
}

// Page is one page of a list.
type Page struct {
	Items []Item
	After string // mark of the next page; empty: this was the last
}

// List pages through the items of a state: ready by due time, leased by end of
// lease, dead oldest first, done and given-up newest first; within one kind,
// kinds by name. The mark after comes from the page before, empty for the first.
func (q *Queue) List(ctx context.Context, f Filter, after string, limit int) (Page, error) {
	prefix, err := f.prefix(after)
	if err != nil {
		return Page{}, err
	}
	limit = min(max(1, limit), 200)
	places, err := q.cfg.Store.Scan(ctx, prefix, after, limit)
	if err != nil {
		return Page{}, storeError(err, "list %s", f.State)
	}
	items, err := q.fetch(ctx, places, unreadable)
	if err != nil {
		return Page{}, err
	}
	page := Page{}
	if len(places) == limit {
		page.After = places[limit-1].Key
	}
	for _, it := range items {
		if it.ID != (ID{}) { // the others moved while the page was read
			page.Items = append(page.Items, it)
		}
	}
	return page, nil
}

// unreadable stands in a list for an item that cannot be read: a list that
// silently lacks something is worse than one that says so.
func unreadable(at place, err error) Item {
	return Item{
		ID: at.ID, State: at.State, Filed: at.At, Due: at.At,
		Failure: &Failure{Code: identity.CodeOf(err), Words: "cannot be read", Private: private(err)},
	}
}

func (f Filter) prefix(after string) (string, error) {
	known := false
	for _, state := range States() {
		known = known || state == f.State
	}
	if !known {
		return "", refuse(identity.Invalid, "%q is no state", f.State)
	}
	if f.Kind != "" {
		if err := checkKind(f.Kind); err != nil {
			return "", err
		}
	}
	prefix := statePrefix(f.State, f.Kind)
	if after != "" && !strings.HasPrefix(after, prefix) {
		return "", refuse(identity.Invalid, "a page mark of another list")
	}
	return prefix, nil
}

// Count is how many items of a kind are in a state.
type Count struct {
	Kind   string
	State  State
	N      int
	Oldest time.Time // due time, end of lease or time of ending of the oldest
}

// census is the last count.
type census struct {
	counts []Count
	taken  time.Duration // when, on the clock that nobody can set
	ever   bool
	cost   time.Duration // how long it took
}

// Counts gives the counts of every kind and state there is. They are read off
// the index page by page, so they are true and need no counter that every
// worker would have to write; a count may be some seconds old, older when the
// queue is so long that counting takes time: at most a fiftieth of it is spent so.
func (q *Queue) Counts(ctx context.Context) ([]Count, error) {
	q.counting.Lock()
	defer q.counting.Unlock()
	age := q.cfg.Elapsed() - q.census.taken
	if q.census.ever && age < max(2*time.Second, 50*q.census.cost) {
		return q.census.counts, nil
	}
	start := q.cfg.Elapsed()
	counts, err := q.count(ctx)
	if err != nil {
		return nil, err
	}
	end := q.cfg.Elapsed()
	q.census = census{counts: counts, taken: end, ever: true, cost: end - start}
	return counts, nil
}

func (q *Queue) count(ctx context.Context) ([]Count, error) {
	var counts []Count
	after := ""
	for {
		page, err := q.cfg.Store.Scan(ctx, prefixAt, after, store.MaxPage)
		if err != nil {
			return nil, storeError(err, "count")
		}
		for _, entry := range page {
			after = entry.Key
			at, ok := parsePlace(entry.Key)
			if !ok {
				continue
			}
			if last := len(counts) - 1; last < 0 || counts[last].Kind != at.ID.Kind || counts[last].State != at.State {
				counts = append(counts, Count{Kind: at.ID.Kind, State: at.State, Oldest: at.At})
			}
			c := &counts[len(counts)-1]
			c.N++
			if at.At.Before(c.Oldest) {
				c.Oldest = at.At
			}
		}
		if len(page) < store.MaxPage {
			return counts, nil
		}
	}
}
