package moving

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"kdgate/store"
	"kdgate/store/archive"
)

// Progress hears how far long work is; total is zero while it is not known.
type Progress func(done, total int)

func (p Progress) tell(done, total int) {
	if p != nil {
		p(done, total)
	}
}

// LeftOut are prefixes of keys that are not moved.
type LeftOut []string

// own are the prefixes of this package's own marks; they are never moved.
var own = [...]string{fencePrefix, restorePrefix, migratePrefix}

const (
	fencePrefix   = "backup/"
	restorePrefix = "restore/"
	migratePrefix = "migrate/"
)

func (l LeftOut) has(key string) bool {
	starts := func(prefix string) bool { return strings.HasPrefix(key, prefix) }
	return slices.ContainsFunc(l, starts) || slices.ContainsFunc(own[:], starts)
}

const (
	fenceLife   = time.Minute
	fenceWait   = 5 * time.Second // how long a change may take to be heard of
	catchRounds = 500             // a round is a few milliseconds of a busy store
)

var (
	errMissed = errors.New("changes were missed")

	// ErrBusy is a store that changes faster than it can be read.
	ErrBusy = errors.New("moving: the store changes too fast for one consistent picture; try in a quieter minute")
)

// Save writes what is in the store, as it is at one moment, while others write.
//
// It reads everything once, then what it heard was changed meanwhile, until
// nothing was. To know that it heard everything it writes an entry of its own
// and waits for the news of it, which comes after that of all earlier changes.
func Save(ctx context.Context, s *store.Sealed, to *archive.Writer, leave LeftOut, p Progress) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	news, err := hear(ctx, s, leave)
	if err != nil {
		return err
	}
	if err := readAll(ctx, s, to, leave, p); err != nil {
		return err
	}
	for range catchRounds {
		changed, err := news.settle(ctx, s)
		switch {
		case errors.Is(err, errMissed):
			err = readAll(ctx, s, to, leave, p)
		case err == nil && len(changed) == 0:
			return nil
		case err == nil:
			err = reread(ctx, s, to, changed)
		}
		if err != nil {
			return err
		}
		p.tell(to.Entries(), 0)
	}
	return ErrBusy
}

// readAll writes every entry in its present version and takes out what is gone.
func readAll(ctx context.Context, s *store.Sealed, to *archive.Writer, leave LeftOut, p Progress) error {
	seen := map[string]struct{}{}
	for after := ""; ; {
		page, err := s.ScanSealed(ctx, "", after, store.MaxPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return to.Keep(seen)
		}
		for _, e := range page {
			after = e.Key
			if leave.has(e.Key) {
				continue
			}
			if err := to.Put(e); err != nil {
				return err
			}
			seen[e.Key] = struct{}{}
		}
		p.tell(to.Entries(), 0)
	}
}

// reread writes entries that changed.
func reread(ctx context.Context, s *store.Sealed, to *archive.Writer, keys []string) error {
	for _, key := range keys {
		e, err := s.GetSealed(ctx, key)
		switch {
		case errors.Is(err, store.ErrNotFound):
			err = to.Remove(key)
		case err == nil:
			err = to.Put(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// news gathers the keys that were changed.
type news struct {
	leave LeftOut

	mu      sync.Mutex
	changed map[string]struct{}
	missed  bool
	fence   string        // the key that is waited for
	heard   chan struct{} // capacity 1: something that settle waits for
}

func hear(ctx context.Context, s *store.Sealed, leave LeftOut) (*news, error) {
	events, err := s.Watch(ctx, "")
	if err != nil {
		return nil, err
	}
	n := &news{leave: leave, changed: map[string]struct{}{}, heard: make(chan struct{}, 1)}
	go func() {
		for event := range events {
			n.take(event)
		}
	}()
	return n, nil
}

func (n *news) take(event store.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case event.Key == "":
		n.missed = true
	case event.Key == n.fence:
		n.fence = ""
	case n.leave.has(event.Key):
		return
	default:
		n.changed[event.Key] = struct{}{}
		return
	}
	select {
	case n.heard <- struct{}{}:
	default:
	}
}

// settle gives the keys that were changed since it was last called, all of them,
// or errMissed when nobody can say.
func (n *news) settle(ctx context.Context, s *store.Sealed) ([]string, error) {
	fence := fencePrefix + rand.Text()
	n.mu.Lock()
	n.fence = fence
	n.mu.Unlock()
	if err := s.Commit(ctx, store.Create(fence, nil).For(fenceLife)); err != nil {
		return nil, err
	}
	patience := time.NewTimer(fenceWait)
	defer patience.Stop()
	for {
		changed, done, err := n.collect()
		if done {
			return changed, err
		}
		select {
		case <-n.heard:
		case <-patience.C:
			return nil, fmt.Errorf("%w: moving: the store does not tell of changes", store.ErrUnavailable)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (n *news) collect() (changed []string, done bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.missed {
		n.missed, n.fence = false, ""
		clear(n.changed)
		return nil, true, errMissed
	}
	if n.fence != "" {
		return nil, false, nil
	}
	for key := range n.changed {
		changed = append(changed, key)
	}
	clear(n.changed)
	slices.Sort(changed)
	return changed, true, nil
}
