package mapping

import (
	"context"
	"sync"
	"time"

	"kdgate/identity"
	"kdgate/store"
)

const (
	aheadFor = time.Second // how long what was read ahead may serve, from before it was asked
	maxAhead = 4096        // rows kept so at once
)

// ahead is the store of a Table, with the rows read for people who are about to
// be resolved. T41 holds: a row serves once, only the sign-in that it was read
// for, and no longer than aheadFor after the question, which is no later than
// the session's begin. So whoever's row is put out of force a second after they
// signed in, or later, meets a row read after that; and what this process writes
// is forgotten at once.
type ahead struct {
	store.Store
	now func() time.Time

	mu   sync.Mutex
	kept map[string]*aheadRow // by key
}

// aheadRow is a row on its way, or there.
type aheadRow struct {
	began time.Time
	door  identity.Door
	at    time.Time // of the sign-in
	entry store.Entry
	there bool
}

func newAhead(s store.Store, now func() time.Time) *ahead {
	return &ahead{Store: s, now: now, kept: map[string]*aheadRow{}}
}

// Commit implements store.Store. A read that overlaps it is worth nothing.
func (a *ahead) Commit(ctx context.Context, ops ...store.Op) error {
	a.drop(ops)
	defer a.drop(ops)
	return a.Store.Commit(ctx, ops...)
}

func (a *ahead) drop(ops []store.Op) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.kept) == 0 {
		return
	}
	for _, op := range ops {
		delete(a.kept, op.Key)
	}
}

// read asks for key and keeps the answer for the sign-in who.
func (a *ahead) read(ctx context.Context, key string, who identity.Assertion) {
	row := &aheadRow{began: a.now(), door: who.Door, at: who.At}
	if !a.expect(key, row) {
		return
	}
	entry, err := a.Get(ctx, key)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept[key] != row { // written meanwhile, or asked for another sign-in
		return
	}
	if err != nil {
		delete(a.kept, key)
		return
	}
	row.entry, row.there = entry, true
}

// expect makes room for a row; false when there is none.
func (a *ahead) expect(key string, row *aheadRow) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.kept) >= maxAhead {
		for old, r := range a.kept {
			if row.began.Sub(r.began) >= aheadFor {
				delete(a.kept, old)
			}
		}
	}
	if len(a.kept) >= maxAhead {
		return false
	}
	a.kept[key] = row
	return true
}

// take gives what was read ahead for exactly this sign-in, once.
func (a *ahead) take(key string, who identity.Assertion) (store.Entry, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	row, ok := a.kept[key]
	if !ok || !row.there || row.door != who.Door || !row.at.Equal(who.At) {
		return store.Entry{}, false
	}
	delete(a.kept, key)
	age := a.now().Sub(row.began)
	return row.entry, age >= 0 && age < aheadFor
}

// Expect reads the row of somebody who is being signed in, while the session is
// written: the next Resolve of the same sign-in, when it comes within a second,
// need not ask again. It returns when it has read; what went wrong is for
// Resolve to meet.
func (t *Table) Expect(ctx context.Context, who identity.Assertion, dataCentre string) {
	if k := KeyOf(who.Subject, dataCentre); checkKey(k) == nil && !who.At.IsZero() {
		t.ahead.read(ctx, rowKey(k), who)
	}
}

// rowFor is the row that a walk begins with.
func (t *Table) rowFor(ctx context.Context, w walk, first bool) (*Entry, error) {
	x := newTx(t.cfg.Store)
	if key := rowKey(w.key); first && !w.look {
		if entry, ok := t.ahead.take(key, w.assertion); ok {
			x.cells[key], x.order = &cell{seen: entry, found: true, value: entry.Value}, append(x.order, key)
		}
	}
	return row(ctx, x, w.key)
}
