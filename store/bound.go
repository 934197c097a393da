package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// BirthKey is where a store says which store it is.
const BirthKey = "store/born"

// Birth is what a store says of itself, once, when it is first used.
type Birth struct {
	ID       string    `json:"id"`                // random; every host that uses the store remembers it
	At       time.Time `json:"at"`                // when it was first used
	Restored time.Time `json:"restored,omitzero"` // when it was last restored from a backup
	Backup   time.Time `json:"backup,omitzero"`   // when that backup was begun
	MovedTo  string    `json:"moved_to,omitzero"` // what it was migrated to; nothing may use it since

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Encode is the value under BirthKey.
func (b Birth) Encode() ([]byte, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("store: birth: %w", err)
	}
	return text, nil
}

// DecodeBirth reads the value under BirthKey.
func DecodeBirth(value []byte) (Birth, error) {
	var b Birth
	if err := json.Unmarshal(value, &b); err != nil || b.ID == "" {
		return Birth{}, fmt.Errorf("%w: what it says under %s is no birth", ErrTampered, BirthKey)
	}
	return b, nil
}

// Memory is where one host remembers, apart from the store, which store it uses.
type Memory interface {
	// Recall gives the id that was kept last, empty when none ever was.
	Recall() (string, error)
	// Keep remembers id.
	Keep(id string) error
}

// BoundConfig is what Bind needs beside the store.
type BoundConfig struct {
	Memory Memory
	Now    func() time.Time    // time.Now by default
	OnLost func(because error) // hears of each loss once, and with nil that it is over; must not block
}

// Bound is a Store that knows which store it is, and stops where it is not that
// one any more: a Redis that lost its keys, by a flush, by eviction, on an empty
// disk, or that was exchanged for another one. No seal can prove that something
// is missing, and to a gate absence is dangerous: a suspended row that is gone
// reads as a person who was never there.
//
// The proof is an entry of the store's own, remembered on every host. Every
// Commit expects it in the version it has, and no absence is reported before it
// was seen to be there afterwards. Without it every answer is ErrLost, which is
// ErrUnavailable too, until a restore has put it back.
type Bound struct {
	inner *Sealed
	cfg   BoundConfig

	mu    sync.Mutex
	known *birth  // nil until the store was recognised, and when it is lost
	was   Version // of the birth that was seen last
	lost  bool    // told to OnLost

	watchers map[chan struct{}]struct{} // each of capacity 1
}

type birth struct {
	Birth
	version Version
}

// Bind binds a sealed store to what this host remembers of it.
func Bind(inner *Sealed, cfg BoundConfig) *Bound {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnLost == nil {
		cfg.OnLost = func(error) {}
	}
	return &Bound{inner: inner, cfg: cfg, watchers: map[chan struct{}]struct{}{}}
}

// Get implements Store.
func (b *Bound) Get(ctx context.Context, key string) (Entry, error) {
	if _, err := b.recognised(ctx); err != nil {
		return Entry{}, err
	}
	entry, err := b.inner.Get(ctx, key)
	if !errors.Is(err, ErrNotFound) {
		return entry, err
	}
	if lost := b.Recognise(ctx); lost != nil {
		return Entry{}, lost
	}
	return Entry{}, err
}

// Scan implements Store. A page that is not full says that there is no more,
// which only the right store may say.
func (b *Bound) Scan(ctx context.Context, prefix, after string, limit int) ([]Entry, error) {
	if _, err := b.recognised(ctx); err != nil {
		return nil, err
	}
	page, err := b.inner.Scan(ctx, prefix, after, limit)
	if err != nil || len(page) >= min(limit, MaxPage) {
		return page, err
	}
	if err := b.Recognise(ctx); err != nil {
		return nil, err
	}
	return page, nil
}

// bindTries bounds how often a Commit is repeated because the store was restored
// meanwhile: that happens once.
const bindTries = 3

// Commit implements Store.
func (b *Bound) Commit(ctx context.Context, ops ...Op) error {
	var err error
	for range bindTries {
		var known birth
		if known, err = b.recognised(ctx); err != nil {
			return err
		}
		if err = b.commit(ctx, known, ops); !errors.Is(err, ErrConflict) {
			return err
		}
		if key, judged := ConflictKey(err); judged && key != BirthKey {
			return err // the birth was judged before it, and is what it was
		}
		if lost := b.Recognise(ctx); lost != nil {
			return lost
		}
		if again, _ := b.recognised(ctx); again.version == known.version {
			return err // a conflict of the caller's own
		}
	}
	return err
}

// commit expects, before anything else, that this is the store. A commit that is
// full already has it judged just before.
func (b *Bound) commit(ctx context.Context, known birth, ops []Op) error {
	if len(ops) < MaxOps {
		bound := append(make([]Op, 0, len(ops)+1), Check(BirthKey, known.version))
		return b.inner.Commit(ctx, append(bound, ops...)...)
	}
	if err := b.Recognise(ctx); err != nil {
		return err
	}
	return b.inner.Commit(ctx, ops...)
}

// Watch implements Store. When the store is lost, or restored, whoever watches is
// told to forget everything: what was read is not what is there.
func (b *Bound) Watch(ctx context.Context, prefix string) (<-chan Event, error) {
	events, err := b.inner.Watch(ctx, prefix)
	if err != nil {
		return nil, err
	}
	forget, out := make(chan struct{}, 1), make(chan Event)
	b.mu.Lock()
	b.watchers[forget] = struct{}{}
	b.mu.Unlock()
	go b.relay(ctx, events, forget, out)
	return out, nil
}

// relay passes events on, and the order to forget between them.
func (b *Bound) relay(ctx context.Context, events <-chan Event, forget chan struct{}, out chan<- Event) {
	defer close(out)
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers, forget)
	}()
	for {
		var event Event
		var open bool
		select {
		case <-forget:
		case event, open = <-events:
			if !open {
				return
			}
		}
		select {
		case out <- event:
		case <-ctx.Done():
			return
		}
	}
}

// forgetAll tells the watchers. The caller holds mu.
func (b *Bound) forgetAll() {
	for forget := range b.watchers {
		select {
		case forget <- struct{}{}:
		default: // it is told already
		}
	}
}

// Restored is when the store was last restored from a backup, zero when it never
// was or was not reached yet. What was known before that has to be asked anew.
func (b *Bound) Restored() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known == nil {
		return time.Time{}
	}
	return b.known.Restored
}

// recognised gives the birth that was seen last, looking for it where none was.
func (b *Bound) recognised(ctx context.Context) (birth, error) {
	b.mu.Lock()
	known := b.known
	b.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	if err := b.Recognise(ctx); err != nil {
		return birth{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known == nil { // lost again at once
		return birth{}, lost("it comes and goes")
	}
	return *b.known, nil
}

// Recognise asks the store which one it is: nil when it is the one that this
// host remembers, or the first one it meets.
func (b *Bound) Recognise(ctx context.Context) error {
	found, err := b.ask(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		if b.was != 0 && found.version > b.was {
			b.inner.Forget() // restored: what was seen before is not what has to come
			b.forgetAll()
		}
		b.known, b.was = &found, found.version
		if b.lost {
			b.lost = false
			b.cfg.OnLost(nil)
		}
	case errors.Is(err, ErrLost):
		b.known = nil
		if !b.lost {
			b.lost = true
			b.forgetAll()
			b.cfg.OnLost(err)
		}
	}
	return err
}

func (b *Bound) ask(ctx context.Context) (birth, error) {
	remembered, err := b.cfg.Memory.Recall()
	if err != nil {
		return birth{}, fmt.Errorf("%w: which store is ours: %w", ErrUnavailable, err)
	}
	found, err := b.read(ctx)
	if errors.Is(err, ErrNotFound) {
		if remembered != "" {
			return birth{}, lost("its keys are gone (flushed, evicted, or an empty disk); restore a backup: kdgate restore FILE")
		}
		found, err = b.begin(ctx)
	}
	switch {
	case err != nil:
		return birth{}, err
	case found.MovedTo != "":
		return birth{}, lost("it was migrated to " + found.MovedTo + "; name that one in the configuration")
	case remembered == "":
		return found, b.cfg.Memory.Keep(found.ID)
	case remembered != found.ID:
		return birth{}, lost("it is another installation's, or was begun anew; check store.url and store.tenant, or restore a backup: kdgate restore FILE")
	}
	return found, nil
}

// begin is the first use of a store.
func (b *Bound) begin(ctx context.Context) (birth, error) {
	value, err := Birth{ID: rand.Text(), At: b.cfg.Now().UTC()}.Encode()
	if err != nil {
		return birth{}, err
	}
	if err := b.inner.Commit(ctx, Create(BirthKey, value)); err != nil && !errors.Is(err, ErrConflict) {
		return birth{}, err
	}
	return b.read(ctx) // another replica may have been first
}

func (b *Bound) read(ctx context.Context) (birth, error) {
	entry, err := b.inner.Get(ctx, BirthKey)
	if err != nil {
		return birth{}, err
	}
	said, err := DecodeBirth(entry.Value)
	return birth{said, entry.Version}, err
}

// lost is the error of a store that is not the one it was.
func lost(why string) error { return fmt.Errorf("%w: %w: %s", ErrUnavailable, ErrLost, why) }
