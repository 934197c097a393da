package jobs

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"kdgate/store"
)

// Limits of one Take.
const (
	MaxTake    = 32      // items
	takeBytes  = 1 << 20 // of payloads; what does not fit is taken next time
	takePages  = 6       // pages looked at, or commits lost to other takers
	pageBehind = 256     // items on a page behind one that cannot be read
	askAtOnce  = 8       // reads in flight
)

// Taken is what a Take brought.
type Taken struct {
	Work []*Work
	// Next is when the kind has something to do again as far as is known: the
	// next due time or the end of a pause. Zero: nothing is waiting.
	Next time.Time
}

// Take leases up to n due items of a kind, oldest due first, and takes over
// those whose worker has died. Items that others have, that cannot be read, or
// that are of other kinds never delay it. While the kind is paused it brings
// nothing.
func (q *Queue) Take(ctx context.Context, kind string, n int) (Taken, error) {
	if err := checkKind(kind); err != nil {
		return Taken{}, err
	}
	n = min(max(1, n), MaxTake)
	pause, err := q.Paused(ctx, kind)
	if err != nil || pause.Until.After(q.now()) {
		return Taken{Next: pause.Until}, err
	}
	taken := Taken{}
	if taken.Work, err = q.takeOver(ctx, kind, n); err != nil {
		return Taken{}, err
	}
	if len(taken.Work) < n {
		err = q.takeReady(ctx, kind, n-len(taken.Work), &taken)
	}
	if err != nil && len(taken.Work) > 0 {
		err = nil // what is leased is worked; the next Take meets the error again
	}
	return taken, err
}

// takeReady leases up to n ready items.
//
// It begins at the head of the queue. Where another taker was quicker it goes on
// somewhere else in the page, so that replicas part by themselves instead of
// meeting at the head again and again.
func (q *Queue) takeReady(ctx context.Context, kind string, n int, taken *Taken) error {
	after, size, crowded := "", max(16, 4*n), false
	for range takePages {
		due, err := q.duePage(ctx, kind, after, size, taken)
		if err != nil || len(due) == 0 {
			return err
		}
		from := 0
		if crowded {
			from = int(random(int64(max(1, len(due)-n+1))))
		}
		work, err := q.leaseSome(ctx, due[from:], n)
		taken.Work = append(taken.Work, work...)
		switch {
		case errors.Is(err, store.ErrConflict):
			crowded = true
		case err != nil || len(work) > 0:
			return err
		default: // nothing in it can be taken: look behind it
			after, size = due[len(due)-1].Key, pageBehind
		}
	}
	return nil
}

// leaseSome leases up to n of the items at places, from the first that can be taken.
func (q *Queue) leaseSome(ctx context.Context, places []store.Entry, n int) ([]*Work, error) {
	for len(places) > 0 {
		n = min(n, len(places))
		if work, err := q.lease(ctx, places[:n]); err != nil || len(work) > 0 {
			return work, err
		}
		places = places[n:]
	}
	return nil, nil
}

// duePage gives a page of the index of what is due, and notes when the next is.
func (q *Queue) duePage(ctx context.Context, kind, after string, limit int, taken *Taken) ([]store.Entry, error) {
	page, err := q.cfg.Store.Scan(ctx, statePrefix(Ready, kind), after, limit)
	if err != nil {
		return nil, storeError(err, "look for %s", kind)
	}
	now := q.now()
	for i, entry := range page {
		if at, ok := parsePlace(entry.Key); ok && at.At.After(now) {
			taken.Next = at.At
			return page[:i], nil
		}
	}
	if len(page) == limit {
		taken.Next = now
	}
	return page, nil
}

// lease takes the items at these places in one Commit. Those that have moved
// meanwhile or cannot be read are left out; ErrConflict says somebody was quicker.
func (q *Queue) lease(ctx context.Context, places []store.Entry) ([]*Work, error) {
	items, err := q.fetch(ctx, places, skip)
	if err != nil {
		return nil, err
	}
	now, size := q.now(), 0
	var ops []store.Op
	var work []*Work
	var lost []Item // whose worker died or froze
	for i := range items {
		before := items[i]
		if size += len(before.Payload); before.ID == (ID{}) || size > takeBytes && len(work) > 0 {
			continue
		}
		after := before.clone()
		after.leaseTo(q.owner, q.cfg.Lease, now)
		more, err := q.put(&before, &after)
		if err != nil {
			return nil, err
		}
		if before.State == Leased {
			lost = append(lost, before)
		}
		ops = append(ops, more...)
		work = append(work, &Work{queue: q, id: after.ID, fence: after.Lease.Fence, since: after.Lease.Since, item: after})
	}
	if len(work) == 0 {
		return nil, nil
	}
	if err := q.cfg.Store.Commit(ctx, ops...); err != nil {
		// After a lost answer the items may be ours without our knowing: then
		// nobody extends them, and they are taken over like a dead worker's.
		return nil, storeError(err, "take %s", work[0].item.Kind)
	}
	for _, before := range lost {
		q.cfg.Observer.JobAttempt(before.Kind, string(ResultLost), now.Sub(before.Lease.Since))
	}
	return work, nil
}

// leaseTo gives the item to owner. A lease it still has was lost.
func (it *Item) leaseTo(owner string, length time.Duration, now time.Time) {
	if it.State == Leased {
		it.Losses++
		it.ended(now, ResultLost, Failure{})
	}
	fence := it.Lease.Fence + 1
	it.move(Leased, now.Add(length), now)
	it.Lease = Lease{Owner: owner, Since: now, Heard: now, Until: it.Filed, Fence: fence}
}

// skip is what Take makes of an item that cannot be read: it must not stop the others.
func skip(place, error) Item { return Item{} }

// fetch reads the items at places, in their order. One that is no longer where
// its place says is left zero; one that cannot be read is what unread makes of it.
func (q *Queue) fetch(ctx context.Context, places []store.Entry, unread func(place, error) Item) ([]Item, error) {
	items := make([]Item, len(places))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askAtOnce)
	for i, entry := range places {
		at, ok := parsePlace(entry.Key)
		if !ok {
			continue
		}
		group.Go(func() error {
			it, err := q.load(ctx, at.ID)
			switch {
			case err == nil && it.atKey() == entry.Key:
				items[i] = it
				return nil
			case err == nil || errors.Is(err, store.ErrNotFound):
				return q.repair(ctx, entry, at.ID, it)
			case errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil:
				return err
			}
			items[i] = unread(at, err)
			return nil
		})
	}
	return items, group.Wait()
}

// repair removes a place whose item stands elsewhere or is gone. Both are held to
// what was read, so it does nothing to an item that just moved.
func (q *Queue) repair(ctx context.Context, entry store.Entry, id ID, it Item) error {
	item := store.CheckAbsent(itemKey(id))
	if it.Version != 0 {
		item = store.Check(itemKey(id), it.Version)
	}
	err := q.cfg.Store.Commit(ctx, store.DeleteAt(entry.Key, entry.Version), item)
	if err == nil || errors.Is(err, store.ErrConflict) {
		return nil
	}
	return storeError(err, "repair the index of %s", id)
}

// sighting is a lease that was seen: since when it has stood unchanged.
type sighting struct{ since time.Duration }

// takeOver leases items whose holder has been silent for the whole length of its
// lease, by the clock that nobody can set: a step of the wall clock takes
// nothing away from anybody (R50). It looks a few times per lease, not at every
// Take.
func (q *Queue) takeOver(ctx context.Context, kind string, n int) ([]*Work, error) {
	if !q.lookNow(kind) {
		return nil, nil
	}
	var abandoned []store.Entry
	seen, after := map[string]bool{}, ""
	for {
		page, err := q.cfg.Store.Scan(ctx, statePrefix(Leased, kind), after, store.MaxPage)
		if err != nil {
			return nil, storeError(err, "look for leases of %s", kind)
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].Key
		for _, entry := range page {
			seen[entry.Key] = true
			if q.silent(entry.Key) {
				abandoned = append(abandoned, entry)
			}
		}
	}
	q.forget(statePrefix(Leased, kind), seen)
	return q.takeSilent(ctx, abandoned, n)
}

// lookNow reports whether it is time to look at the leases of kind, and notes it.
func (q *Queue) lookNow(kind string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	last, ever := q.looked[kind]
	if ever && q.cfg.Elapsed()-last < q.cfg.Lease/4 {
		return false
	}
	q.looked[kind] = q.cfg.Elapsed()
	return true
}

// silent reports whether the lease at key has stood for as long as our own
// leases last, or deserves a look because nobody else can be alive.
func (q *Queue) silent(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.cfg.Elapsed()
	seen, known := q.sighted[key]
	if !known {
		q.sighted[key] = sighting{since: now}
	}
	return q.cfg.Alone && !known || known && now-seen.since >= q.cfg.Lease
}

// forget drops sightings under prefix that are no longer there.
func (q *Queue) forget(prefix string, seen map[string]bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key := range q.sighted {
		if len(key) > len(prefix) && key[:len(prefix)] == prefix && !seen[key] {
			delete(q.sighted, key)
		}
	}
}

// takeSilent leases those of places whose own lease length has passed, too.
func (q *Queue) takeSilent(ctx context.Context, places []store.Entry, n int) ([]*Work, error) {
	var work []*Work
	for _, entry := range places {
		if len(work) == n {
			q.mu.Lock()
			clear(q.looked) // there is more: look again at the next Take
			q.mu.Unlock()
			break
		}
		items, err := q.fetch(ctx, []store.Entry{entry}, skip)
		if err != nil {
			return work, err
		}
		if items[0].ID == (ID{}) || !q.mayTake(entry.Key, items[0].Lease) {
			continue
		}
		more, err := q.lease(ctx, []store.Entry{entry})
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return work, err
		}
		work = append(work, more...)
	}
	return work, nil
}

func (q *Queue) mayTake(key string, held Lease) bool {
	if q.cfg.Alone && held.Owner != q.owner {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	seen, known := q.sighted[key]
	return known && q.cfg.Elapsed()-seen.since >= max(held.length(), q.cfg.Lease)
}
