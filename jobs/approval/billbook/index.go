package billbook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kdgate/identity"
	"kdgate/internal/sleep"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/store"
)

// WorkList is the part of the work list that is looked at: a *jobs.Queue.
type WorkList interface {
	List(ctx context.Context, f jobs.Filter, after string, limit int) (jobs.Page, error)
	Get(ctx context.Context, id jobs.ID) (jobs.Item, error)
}

// Config is what New needs; Store and Queue are required.
type Config struct {
	Store  store.Store
	Queue  WorkList
	Now    func() time.Time
	Logger *slog.Logger
}

const (
	mostDirty   = 4000             // so many changes are read sooner by one scan
	mostRows    = 300_000          // bounds the memory, at about 150 MB: a year at 800 bills a day
	mostWaiting = 2000             // items of one state that one search looks at
	idleAfter   = 15 * time.Minute // without a look: then the rows are let go
	liveFor     = 2 * time.Second  // how old what the work list said may be
	followAgain = time.Second
)

// Index answers searches. It is safe for concurrent use.
type Index struct {
	cfg Config

	reading sync.Mutex // one reading at a time

	mu        sync.Mutex
	rows      map[string]*Bill // of records, by key in the store; replaced entry by entry, never changed
	loaded    bool
	following bool
	cut       bool // there are more than mostRows
	dirty     map[string]struct{}
	looked    time.Time
	live      live
}

// live is what the work list said.
type live struct {
	at    time.Time
	bills []*Bill
	cut   bool
}

// New makes an Index that holds nothing.
func New(cfg Config) *Index {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Index{cfg: cfg, dirty: map[string]struct{}{}}
}

// Run hears what changes until ctx ends, so that a look reads only that. Without
// it every look reads everything.
func (x *Index) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := x.follow(ctx); err != nil && ctx.Err() == nil {
			x.cfg.Logger.Warn("changes of bills are not heard; every look reads all of them", "error", err)
		}
		_ = sleep.For(ctx, followAgain) // it ends early with ctx, which ends the loop
	}
}

func (x *Index) follow(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	events, err := x.cfg.Store.Watch(ctx, approval.RecordPrefix)
	if err != nil {
		return fmt.Errorf("billbook: %w", err)
	}
	x.begin(true)
	defer x.begin(false)
	idle := time.NewTicker(idleAfter / 3)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-idle.C:
			x.rest()
		case e, open := <-events:
			if !open {
				return nil
			}
			x.soil(e.Key)
		}
	}
}

// begin forgets everything; what is read from now on is kept up to date, or is not.
func (x *Index) begin(following bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.following = following
	x.drop()
}

func (x *Index) drop() {
	x.rows, x.loaded, x.dirty, x.live = nil, false, map[string]struct{}{}, live{}
}

// rest lets the rows go when nobody has looked for a while.
func (x *Index) rest() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.loaded && x.cfg.Now().Sub(x.looked) > idleAfter {
		x.drop()
	}
}

func (x *Index) soil(key string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case !x.loaded:
	case key == "" || len(x.dirty) >= mostDirty:
		x.drop()
	default:
		x.dirty[key] = struct{}{}
	}
}

// refresh brings the rows up to date.
func (x *Index) refresh(ctx context.Context) error {
	x.reading.Lock()
	defer x.reading.Unlock()
	x.mu.Lock()
	x.looked = x.cfg.Now()
	whole, dirty := !x.loaded || !x.following, x.dirty
	x.dirty = map[string]struct{}{}
	// Marked before it is read, so that what changes meanwhile is dirty again.
	if whole {
		x.rows, x.loaded = map[string]*Bill{}, true
	}
	x.mu.Unlock()
	var err error
	if whole {
		err = x.readAll(ctx)
	} else {
		err = x.readSome(ctx, dirty)
	}
	if err != nil {
		x.mu.Lock()
		x.drop()
		x.mu.Unlock()
	}
	return err
}

func (x *Index) readAll(ctx context.Context) error {
	rows, cut := map[string]*Bill{}, false
	for after := ""; ; {
		page, err := x.cfg.Store.Scan(ctx, approval.RecordPrefix, after, store.MaxPage)
		if err != nil {
			return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "billbook: %w", err)
		}
		for _, e := range page {
			after = e.Key
			if cut = len(rows) >= mostRows; cut {
				break
			}
			row, err := short(e.Value)
			if err != nil {
				return err
			}
			rows[e.Key] = row
		}
		if cut || len(page) < store.MaxPage {
			break
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows, x.cut = rows, cut // where an event was lost meanwhile, loaded is false and the next look reads again
	return nil
}

func (x *Index) readSome(ctx context.Context, dirty map[string]struct{}) error {
	for key := range dirty {
		entry, err := x.cfg.Store.Get(ctx, key)
		gone := errors.Is(err, store.ErrNotFound)
		if err != nil && !gone {
			return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "billbook: %w", err)
		}
		var row *Bill
		if !gone {
			if row, err = short(entry.Value); err != nil {
				return err
			}
		}
		x.mu.Lock()
		if delete(x.rows, key); row != nil && x.rows != nil {
			x.rows[key] = row
		}
		x.mu.Unlock()
	}
	return nil
}

// waiting is what the work list says of approvals that are not over.
func (x *Index) waiting(ctx context.Context) (live, error) {
	x.mu.Lock()
	known := x.live
	x.mu.Unlock()
	if now := x.cfg.Now(); !known.at.IsZero() && now.Sub(known.at) < liveFor && !now.Before(known.at) {
		return known, nil
	}
	fresh := live{at: x.cfg.Now()}
	for _, state := range []jobs.State{jobs.Ready, jobs.Leased, jobs.Dead, jobs.GivenUp} {
		seen := 0
		for after := ""; ; {
			page, err := x.cfg.Queue.List(ctx, jobs.Filter{State: state, Kind: approval.KindBill}, after, 200)
			if err != nil {
				return live{}, err
			}
			for _, it := range page.Items {
				fresh.bills = append(fresh.bills, ofItem(it))
			}
			seen += len(page.Items)
			if after = page.After; after == "" || seen >= mostWaiting {
				fresh.cut = fresh.cut || after != ""
				break
			}
		}
	}
	x.mu.Lock()
	x.live = fresh
	x.mu.Unlock()
	return fresh, nil
}

// Forget makes the next look ask the work list again, for somebody who has just
// acted on an item.
func (x *Index) Forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.live = live{}
}

// all joins the records with what is not over.
func (x *Index) all(ctx context.Context) ([]*Bill, bool, error) {
	if err := x.refresh(ctx); err != nil {
		return nil, false, err
	}
	now, err := x.waiting(ctx)
	if err != nil {
		return nil, false, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	open := make(map[string]bool, len(now.bills))
	out := make([]*Bill, 0, len(x.rows)+len(now.bills))
	for _, b := range now.bills {
		key := approval.RecordKey(b.Corp, b.Instance)
		open[key] = true
		out = append(out, b)
	}
	for key, b := range x.rows {
		if !open[key] {
			out = append(out, b)
		}
	}
	return out, x.cut || now.cut, nil
}
