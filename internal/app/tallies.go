package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"kdgate/dingtalk"
	"kdgate/store"
)

const (
	tallyPrefix = "quota/"
	tallyLife   = 40 * 24 * time.Hour // the count of a month is looked at after its end
	tallyEvery  = 10 * time.Second    // how long counts gather before they are written
	tallyBatch  = 50                  // and how many at most
	tallyTries  = 10                  // over other replicas
)

// tallies counts DingTalk's months in the store, so that a count outlives the
// process and is one for all replicas (F92). Counts are written some at a time:
// what a crash loses is at most tallyBatch calls of a month's thousands.
type tallies struct {
	store store.Store
	now   func() time.Time

	mu  sync.Mutex
	all map[string]*tally
}

// tally is one count: what the store said last, and what it was not yet told.
type tally struct {
	total, pending int64
	written        time.Time
	busy           bool // somebody writes it now
}

func newTallies(s store.Store, now func() time.Time) *tallies {
	return &tallies{store: s, now: now, all: map[string]*tally{}}
}

var _ dingtalk.Counter = (*tallies)(nil)

// Add implements dingtalk.Counter. Adding nothing asks for the total of all
// replicas; adding something may wait for company. After an error n is not
// counted, and the caller comes with it again.
func (t *tallies) Add(ctx context.Context, name string, n int64) (int64, error) {
	now := t.now()
	t.mu.Lock()
	one := t.all[name]
	if one == nil {
		one = &tally{}
		t.all[name] = one
	}
	one.pending += n
	waits := n > 0 && one.pending < tallyBatch && now.Sub(one.written) < tallyEvery
	if one.busy || waits {
		defer t.mu.Unlock()
		return one.total + one.pending, nil
	}
	one.busy = true
	take := one.pending
	t.mu.Unlock()

	total, err := t.write(ctx, name, take)

	t.mu.Lock()
	defer t.mu.Unlock()
	one.busy = false
	if err != nil {
		one.pending -= n
		return 0, fmt.Errorf("count %s: %w", name, err)
	}
	one.pending -= take
	one.total, one.written = total, now
	return one.total + one.pending, nil
}

// write adds n to what the store has.
func (t *tallies) write(ctx context.Context, name string, n int64) (int64, error) {
	key := tallyPrefix + name
	var err error
	for range tallyTries {
		var entry store.Entry
		total := int64(0)
		entry, err = t.store.Get(ctx, key)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return 0, err
		default:
			if total, err = strconv.ParseInt(string(entry.Value), 10, 64); err != nil {
				return 0, fmt.Errorf("%s: %w", key, err)
			}
		}
		if n == 0 {
			return total, nil
		}
		value := []byte(strconv.FormatInt(total+n, 10))
		if err = t.store.Commit(ctx, store.Over(key, value, entry.Version).For(tallyLife)); !errors.Is(err, store.ErrConflict) {
			return total + n, err
		}
	}
	return 0, err
}

// close writes what is left.
func (t *tallies) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for name, one := range t.all {
		if one.pending == 0 {
			continue
		}
		if _, err := t.write(ctx, name, one.pending); err != nil {
			errs = append(errs, fmt.Errorf("count %s: %w", name, err))
			continue
		}
		one.pending = 0
	}
	return errors.Join(errs...)
}
