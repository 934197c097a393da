package mapping

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"kdgate/identity"
	"kdgate/internal/sleep"
	"kdgate/store"
)

const (
	indexPause  = 100 * time.Millisecond // how long changes gather before they are taken in
	indexAnew   = 4000                   // so many changes at once are read sooner by one scan
	indexResync = 10 * time.Minute       // how often all is read again, should an event have been lost unnoticed
	indexRetry  = time.Second
	indexRows   = 2_000_000 // bounds the memory, at about 400 MB; no installation comes near it
)

// Index holds what a search looks at of every row, in memory, so that a search
// over 100,000 rows takes milliseconds. It follows the store by Watch; what it
// finds is read from the store again before it is shown, so a row is never shown
// as it was. Any replica can have one. It holds no secret and no row's history.
type Index struct {
	store  store.Store
	logger *slog.Logger

	mu    sync.RWMutex
	rows  []*indexed // by key, in order; replaced as a whole, so a reader keeps what it has
	ready bool       // rows are what the store had a moment ago
	dirty map[string]struct{}
	all   bool          // what changed is not known: read everything
	heard uint64        // changes heard of
	taken uint64        // of these, in rows
	wake  chan struct{} // something is dirty
	done  chan struct{} // closed and renewed whenever dirty was taken in
}

// indexed is one row. Organisations and data centres are few, so their names
// are shared.
type indexed struct {
	key        string
	dataCentre string
	corp       string
	userID     string
	text       string // skeletons of the searchable fields, joined by what no skeleton holds
	loginUser  string
	number     string
	changed    int64
	status     Status
	owner      Owner
	code       identity.Code
	checked    bool
	flags      uint8
}

const (
	flagShared = 1 << iota
	flagPrivileged
)

// NewIndex makes an Index of the table in s. Run fills it.
func NewIndex(s store.Store, logger *slog.Logger) *Index {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Index{
		store: s, logger: logger, all: true,
		dirty: map[string]struct{}{}, wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// Run follows the store until ctx ends. While the store cannot be asked the
// index says so instead of answering from what it had.
func (x *Index) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := x.follow(ctx); err != nil && ctx.Err() == nil {
			x.logger.Warn("mapping: the search index cannot follow the store; trying again", "error", err)
			x.forget()
			_ = sleep.For(ctx, indexRetry) // it ends early with ctx, which ends the loop
		}
	}
}

// follow watches first and reads then, so that nothing falls in between.
func (x *Index) follow(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	events, err := x.store.Watch(ctx, prefixRow)
	if err != nil {
		return storeError("watch", err)
	}
	resync := time.NewTicker(indexResync)
	defer resync.Stop()
	x.soil(store.Event{})
	for {
		select {
		case e, open := <-events:
			if !open {
				return errWatchEnded
			}
			x.soil(e)
			continue
		case <-resync.C:
			x.soil(store.Event{})
		case <-x.wake:
		case <-ctx.Done():
			return nil
		}
		if err := x.takeIn(ctx); err != nil {
			return err
		}
		if err := x.gather(ctx, events); err != nil {
			return err
		}
	}
}

var errWatchEnded = errors.New("mapping: the watch ended")

// gather collects events for a moment, so that an import is not taken in row by row.
func (x *Index) gather(ctx context.Context, events <-chan store.Event) error {
	timer := time.NewTimer(indexPause)
	defer timer.Stop()
	for {
		select {
		case e, open := <-events:
			if !open {
				return errWatchEnded
			}
			x.soil(e)
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// soil notes that a key changed; without a key, that anything may have.
func (x *Index) soil(e store.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.heard++
	switch {
	case e.Key == "" || len(x.dirty) >= indexAnew:
		x.all = true
	default:
		x.dirty[e.Key] = struct{}{}
	}
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// forget makes the index say that it does not know.
func (x *Index) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows, x.ready, x.all, x.taken = nil, false, true, 0
	x.heard++
}

// takeIn reads what changed.
func (x *Index) takeIn(ctx context.Context) error {
	x.mu.Lock()
	all, dirty, rows, heard := x.all, x.dirty, x.rows, x.heard
	x.all, x.dirty = false, map[string]struct{}{}
	x.mu.Unlock()
	var err error
	switch {
	case all:
		rows, err = x.readAll(ctx)
	case len(dirty) > 0:
		rows, err = x.readSome(ctx, rows, dirty)
	}
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows, x.ready, x.taken = rows, true, heard
	close(x.done)
	x.done = make(chan struct{})
	return nil
}

func (x *Index) readAll(ctx context.Context) ([]*indexed, error) {
	names := map[string]string{}
	var rows []*indexed
	err := eachPage(ctx, x.store, prefixRow, func(stored store.Entry) error {
		e, err := decodeRow(stored)
		if err != nil {
			return err
		}
		if e.holds() {
			rows = append(rows, newIndexed(stored.Key, e, names))
		}
		if len(rows) > indexRows {
			return fmt.Errorf("mapping: more than %d rows", indexRows)
		}
		return nil
	})
	return rows, err
}

// readSome merges changed rows into a copy of the old ones.
func (x *Index) readSome(ctx context.Context, old []*indexed, dirty map[string]struct{}) ([]*indexed, error) {
	names := map[string]string{}
	changed := make([]*indexed, 0, len(dirty))
	for key := range dirty {
		stored, err := x.store.Get(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, storeError("read a changed row", err)
		}
		e, err := decodeRow(stored)
		if err != nil {
			return nil, err
		}
		if e.holds() {
			changed = append(changed, newIndexed(key, e, names))
		}
	}
	slices.SortFunc(changed, func(a, b *indexed) int { return strings.Compare(a.key, b.key) })
	merged := make([]*indexed, 0, len(old)+len(changed))
	for _, row := range old {
		for len(changed) > 0 && changed[0].key < row.key {
			merged, changed = append(merged, changed[0]), changed[1:]
		}
		if _, stale := dirty[row.key]; !stale {
			merged = append(merged, row)
		}
	}
	return append(merged, changed...), nil
}

func newIndexed(key string, e *Entry, names map[string]string) *indexed {
	shared := func(s string) string {
		if known, ok := names[s]; ok {
			return known
		}
		names[s] = s
		return s
	}
	row := &indexed{
		key: key, dataCentre: shared(e.DataCentre), corp: shared(e.Corp), userID: e.UserID,
		loginUser: e.LoginUser, number: e.StaffNumber, changed: e.Changed.At.UnixMilli(),
		status: Status(shared(string(e.Status))), owner: Owner(shared(string(e.Owner))),
		code: identity.Code(shared(string(e.Check.Code))), checked: !e.Check.At.IsZero(),
		text: strings.Join([]string{skeleton(e.UserID), skeleton(e.StaffNumber), skeleton(e.LoginUser), skeleton(e.Note), skeleton(e.Name)}, "\x00"),
	}
	if e.Shared {
		row.flags |= flagShared
	}
	if e.Privileged {
		row.flags |= flagPrivileged
	}
	return row
}

// snapshot gives rows that are at most a watch behind the store, and with every
// change that this process heard of before the call.
func (x *Index) snapshot(ctx context.Context) ([]*indexed, error) {
	x.mu.RLock()
	wanted := x.heard
	x.mu.RUnlock()
	for {
		x.mu.RLock()
		rows, done, good := x.rows, x.done, x.ready && x.taken >= wanted
		x.mu.RUnlock()
		if good {
			return rows, nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return nil, identity.Fail(identity.Unavailable, identity.CodeStoreDown, "mapping: the search index is not ready: %w", ctx.Err())
		}
	}
}
