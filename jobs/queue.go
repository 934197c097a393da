package jobs

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// The errors that callers branch on, wrapped; compare with errors.Is.
var (
	ErrLost  = errors.New("jobs: the lease is lost; nothing was written") // somebody else has, or had, the item since
	ErrState = errors.New("jobs: not in this state")                      // the item is not where this act needs it
	ErrMoved = errors.New("jobs: it has changed meanwhile")               // Edit of a version that is no longer
)

// Recorder writes the audit log; *audit.Log is one.
type Recorder interface {
	Append(ctx context.Context, e audit.Event) error
}

// Observer is told what metrics want to know. It must not block.
type Observer interface {
	// Jobs sets how many items of a kind are in a state (kdgate_jobs).
	Jobs(kind, state string, n int)
	// JobAttempt counts one finished attempt by its Result.
	JobAttempt(kind, result string, took time.Duration)
}

// Config is what New needs.
type Config struct {
	Store    store.Store
	Recorder Recorder // acts of people and dead items; required
	Observer Observer // nil: nobody watches

	// Owner names this replica to people; New makes it unique to the process.
	Owner string
	// Lease is how long an item stays with a worker that says nothing; 20 s by
	// default. A worker that lives extends it long before.
	Lease time.Duration
	// Alone says that no other process shares the store (the embedded one):
	// leases of others are then of the dead, and are taken over at once.
	Alone bool
	// KeepDone is how long a done or given-up item can be looked at; 7 days by
	// default. KeepKnown is how long its key is known after it was done, so that
	// a late repeat is no new item; 90 days by default and never less than
	// KeepDone. A known key costs the store about 300 bytes.
	KeepDone, KeepKnown time.Duration

	Now     func() time.Time     // wall clock, for due times and people; time.Now by default
	Elapsed func() time.Duration // clock that nobody can set, for leases; monotonic since New by default
}

// Queue is the work list. It is safe for concurrent use.
type Queue struct {
	cfg   Config
	owner string

	mu       sync.Mutex
	sighted  map[string]sighting      // leases of others that were seen, by index key
	looked   map[string]time.Duration // when the leases of a kind were last looked at
	counting sync.Mutex               // one census at a time
	census   census
}

// New builds a Queue and writes nothing.
func New(cfg Config) (*Queue, error) {
	if cfg.Store == nil || cfg.Recorder == nil {
		return nil, errors.New("jobs: a queue needs a store and a recorder")
	}
	if cfg.Observer == nil {
		cfg.Observer = nobody{}
	}
	if cfg.Lease <= 0 {
		cfg.Lease = 20 * time.Second
	}
	if cfg.KeepDone <= 0 {
		cfg.KeepDone = 7 * 24 * time.Hour
	}
	if cfg.KeepKnown <= 0 {
		cfg.KeepKnown = 90 * 24 * time.Hour
	}
	cfg.KeepKnown = max(cfg.KeepKnown, cfg.KeepDone)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Elapsed == nil {
		start := time.Now()
		cfg.Elapsed = func() time.Duration { return time.Since(start) }
	}
	owner := rand.Text()[:8]
	if cfg.Owner != "" {
		owner = cfg.Owner + "#" + owner
	}
	return &Queue{
		cfg: cfg, owner: owner,
		sighted: map[string]sighting{}, looked: map[string]time.Duration{},
	}, nil
}

// Owner is the name that leases of this process carry.
func (q *Queue) Owner() string { return q.owner }

// now is the wall clock at the precision that is stored.
func (q *Queue) now() time.Time { return trim(q.cfg.Now()) }

// trim cuts t to what is stored and indexed.
func trim(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Get gives an item, or identity.NotFound.
func (q *Queue) Get(ctx context.Context, id ID) (Item, error) {
	if err := id.check(); err != nil {
		return Item{}, err
	}
	return q.load(ctx, id)
}

func (q *Queue) load(ctx context.Context, id ID) (Item, error) {
	entry, err := q.cfg.Store.Get(ctx, itemKey(id))
	if err != nil {
		return Item{}, storeError(err, "read %s", id)
	}
	return decode(entry)
}

func decode(entry store.Entry) (Item, error) {
	var it Item
	if err := json.Unmarshal(entry.Value, &it); err != nil {
		return Item{}, identity.Fail(identity.Internal, identity.CodeInternal, "jobs: %q is not an item: %w", entry.Key, err)
	}
	it.Version = entry.Version
	return it, nil
}

// put is the part of a Commit that turns before into after: the item over
// exactly the version read, and its place in the index.
func (q *Queue) put(before, after *Item) ([]store.Op, error) {
	value, err := json.Marshal(after)
	if err != nil {
		return nil, identity.Fail(identity.Internal, identity.CodeInternal, "jobs: encode %s: %w", after.ID, err)
	}
	item := store.Replace(itemKey(after.ID), value, before.Version)
	place := store.Put(after.atKey(), nil)
	ops := make([]store.Op, 0, 4)
	if before.State == Done || before.State == GivenUp { // its key leaves what is only known
		ops = append(ops, store.Delete(knownKey(after.ID)))
	}
	if after.State == Done || after.State == GivenUp {
		item, place = item.For(q.cfg.KeepDone), place.For(q.cfg.KeepDone)
		ops = append(ops[:0], store.Put(knownKey(after.ID), nil).For(q.cfg.KeepKnown))
	}
	ops = append(ops, item)
	if old := before.atKey(); old != after.atKey() {
		ops = append(ops, store.Delete(old), place)
	}
	return ops, nil
}

// changeTries bounds how often a change is made anew on an item that moved.
const changeTries = 8

// change reads an item, has edit decide what becomes of it, and writes that over
// exactly what was read, again when somebody was quicker. The ops in with are
// written in the same Commit; when it is they that do not hold, the error is
// store.ErrConflict.
func (q *Queue) change(ctx context.Context, id ID, edit func(*Item) error, with ...store.Op) (Item, error) {
	for range changeTries {
		before, err := q.load(ctx, id)
		if err != nil {
			return Item{}, err
		}
		after := before.clone()
		if err := edit(&after); err != nil {
			return before, err
		}
		ops, err := q.put(&before, &after)
		if err != nil {
			return Item{}, err
		}
		err = q.commit(ctx, append(ops, with...), itemKey(id))
		switch {
		case err == nil:
			return after, nil
		case !errors.Is(err, store.ErrConflict):
			return Item{}, storeError(err, "write %s", id)
		}
		if now, err := q.load(ctx, id); err == nil && now.Version == before.Version && len(with) > 0 {
			return before, fmt.Errorf("jobs: what goes with %s: %w", id, store.ErrConflict)
		}
	}
	return Item{}, refuse(identity.Conflict, "%s changes too fast: %w", id, store.ErrConflict)
}

// commit is Store.Commit that finds out what became of a write whose answer was
// lost: the value of key, which only this commit can have written, tells.
func (q *Queue) commit(ctx context.Context, ops []store.Op, key string) error {
	err := q.cfg.Store.Commit(ctx, ops...)
	if !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
		return err
	}
	for _, op := range ops {
		if op.Key != key {
			continue
		}
		if entry, asked := q.cfg.Store.Get(ctx, key); asked == nil && bytes.Equal(entry.Value, op.Value) {
			return nil
		}
	}
	return err
}

// clone copies what a change may touch.
func (it *Item) clone() Item {
	c := *it
	c.History = append([]Attempt(nil), it.History...)
	return c
}

// storeError gives a failure of the store its kind: not there is never "could not ask".
func storeError(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return identity.Fail(identity.NotFound, identity.CodeNotFound, "jobs: %s: %w", what, err)
	case errors.Is(err, store.ErrConflict):
		return identity.Fail(identity.Conflict, "", "jobs: %s: %w", what, err)
	case errors.Is(err, store.ErrInvalid):
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "jobs: %s: %w", what, err)
	}
	return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "jobs: %s: %w", what, err)
}

// nobody is an Observer that looks away.
type nobody struct{}

func (nobody) Jobs(string, string, int)                 {}
func (nobody) JobAttempt(string, string, time.Duration) {}
