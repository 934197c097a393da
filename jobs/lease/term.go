package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/store"
)

// Term is one holding of a lease. It is safe for concurrent use.
type Term struct {
	lease   *Lease
	record  record
	version store.Version

	mu     sync.Mutex
	kept   time.Duration // when the last heartbeat that arrived was sent
	keptAt time.Time     // the same by the wall clock
	lost   bool
}

// Token is the fencing token: higher in every later term, for whoever can refuse
// a lower one.
func (t *Term) Token() uint64 { return t.record.Token }

// Guard is an expectation to put into a Commit: it holds exactly as long as this
// term has not ended, and costs nothing to ask for.
func (t *Term) Guard() store.Op { return store.Check(t.lease.termKey(), t.version) }

// Check reports whether the lease is held: from memory while the last heartbeat
// is fresh on both clocks, otherwise by sending one. The error is ErrLost or the
// store's. What follows a Check may still happen late; only Guard is proof.
func (t *Term) Check(ctx context.Context) error {
	t.mu.Lock()
	fresh, lost := t.fresh(), t.lost
	t.mu.Unlock()
	switch {
	case lost:
		return t.gone()
	case fresh:
		return nil
	}
	return t.Beat(ctx)
}

// fresh reports whether the last heartbeat is young enough to believe in.
func (t *Term) fresh() bool {
	cfg := t.lease.cfg
	limit := cfg.Long - cfg.Long/3
	wall := cfg.Now().Round(0).Sub(t.keptAt.Round(0))
	return cfg.Elapsed()-t.kept < limit && wall < limit && wall > -limit
}

// Beat tells everybody that the holder lives. The error is ErrLost when another
// has taken over.
func (t *Term) Beat(ctx context.Context) error {
	asked, at := t.lease.cfg.Elapsed(), t.lease.cfg.Now()
	err := t.lease.cfg.Store.Commit(ctx, t.Guard(), store.Put(t.lease.beatKey(), []byte(t.lease.owner)))
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.kept, t.keptAt = asked, at
		return nil
	case errors.Is(err, store.ErrConflict):
		t.lost = true
		return t.gone()
	}
	return fmt.Errorf("lease: keep %s: %w", t.lease.cfg.Name, err)
}

func (t *Term) gone() error {
	return fmt.Errorf("%w: %s, token %d", ErrLost, t.lease.cfg.Name, t.record.Token)
}

// Release gives the lease back; another may take it at once. A lease that is
// lost already stays as it is.
func (t *Term) Release(ctx context.Context) error {
	t.mu.Lock()
	t.lost = true
	t.mu.Unlock()
	free := t.record
	free.Owner, free.Since = "", t.lease.cfg.Now().UTC()
	value, err := json.Marshal(free)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	err = t.lease.cfg.Store.Commit(ctx, store.Replace(t.lease.termKey(), value, t.version))
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// keep sends heartbeats until ctx ends, and ends it when the lease is lost or
// cannot be kept.
func (t *Term) keep(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(t.lease.cfg.Long / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := t.Beat(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		t.mu.Lock()
		over := t.lost || !t.fresh()
		t.mu.Unlock()
		if over {
			cancel(fmt.Errorf("%w: %w", ErrLost, err))
			return
		}
	}
}
