package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kdgate/store"
	"kdgate/store/sqlitestore"
)

// memory is what a host remembers, in a test.
type memory struct {
	mu sync.Mutex
	id string
}

func (m *memory) Recall() (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id, nil
}

func (m *memory) Keep(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id = id
	return nil
}

// bench is a bound store over a real embedded one, with the engine in hand.
type bench struct {
	*store.Bound
	sealed *store.Sealed
	memory *memory
	losses []error
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOver(t, func(d store.Driver) store.Driver { return d })
}

// newBenchOver puts something between the engine and its store.
func newBenchOver(t *testing.T, between func(store.Driver) store.Driver) *bench {
	t.Helper()
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "k.db")})
	check(t, err)
	t.Cleanup(func() { check(t, driver.Close()) })
	sealed, err := store.Seal(between(driver), store.SealConfig{Keys: [][]byte{make([]byte, store.MinSealKey)}})
	check(t, err)
	b := &bench{sealed: sealed, memory: &memory{}}
	b.Bound = store.Bind(sealed, store.BoundConfig{
		Memory: b.memory, OnLost: func(err error) { b.losses = append(b.losses, err) },
	})
	return b
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// flush takes everything away behind everybody's back, as FLUSHALL does.
func (b *bench) flush(t *testing.T) {
	t.Helper()
	keys, err := b.sealed.ScanKeys(t.Context(), "", "", store.MaxPage)
	check(t, err)
	for _, key := range keys {
		check(t, b.sealed.Commit(t.Context(), store.Delete(key)))
	}
}

// TestAbsenceIsProven proves R15: after the keys are gone no answer says "not
// there", nothing is written, and both say what to do.
func TestAbsenceIsProven(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	check(t, b.Commit(ctx, store.Create("mapping/a", []byte("suspended"))))
	if _, err := b.Get(ctx, "mapping/b"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("what never was: %v", err)
	}
	if b.memory.id == "" || !b.Restored().IsZero() {
		t.Fatalf("born as %q, restored %v", b.memory.id, b.Restored())
	}
	b.flush(t)
	many := make([]store.Op, store.MaxOps)
	for i := range many {
		many[i] = store.Put("x/"+string(rune('a'+i%26))+string(rune('a'+i/26)), nil)
	}
	for what, ask := range map[string]func() error{
		"get":         func() error { _, err := b.Get(ctx, "mapping/a"); return err },
		"scan":        func() error { _, err := b.Scan(ctx, "mapping/", "", 10); return err },
		"create":      func() error { return b.Commit(ctx, store.Create("mapping/a", nil)) },
		"put":         func() error { return b.Commit(ctx, store.Put("mapping/c", nil)) },
		"full commit": func() error { return b.Commit(ctx, many...) },
	} {
		if err := ask(); !errors.Is(err, store.ErrLost) || !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s in a lost store: %v", what, err)
		}
	}
	if keys, err := b.sealed.ScanKeys(ctx, "", "", 10); err != nil || len(keys) != 0 {
		t.Errorf("written to a lost store: %q %v", keys, err)
	}
	if len(b.losses) != 1 {
		t.Errorf("told %d times: %v", len(b.losses), b.losses)
	}
}

// TestRestoredStore: one that a restore gave its birth back is taken up again,
// also where values are older than what was seen, and watchers forget.
func TestRestoredStore(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	check(t, b.Commit(ctx, store.Create("a", []byte("old"))))
	old, err := b.sealed.GetSealed(ctx, "a")
	check(t, err)
	check(t, b.Commit(ctx, store.Put("a", []byte("new"))))
	events, err := b.Watch(ctx, "a")
	check(t, err)
	b.flush(t)
	if _, err := b.Get(ctx, "a"); !errors.Is(err, store.ErrLost) {
		t.Fatalf("lost: %v", err)
	}
	forgotten(t, events)
	check(t, b.sealed.PutSealed(ctx, old))
	when := time.Now().UTC()
	value, err := store.Birth{ID: b.memory.id, Restored: when}.Encode()
	check(t, err)
	check(t, b.sealed.Commit(ctx, store.Put(store.BirthKey, value)))
	got, err := b.Get(ctx, "a")
	if err != nil || string(got.Value) != "old" {
		t.Errorf("after the restore: %q %v", got.Value, err)
	}
	if !b.Restored().Equal(when) || len(b.losses) != 2 || b.losses[1] != nil {
		t.Errorf("restored %v, told %v", b.Restored(), b.losses)
	}
}

// forgotten waits for the order to forget everything.
func forgotten(t *testing.T, events <-chan store.Event) {
	t.Helper()
	for end := time.After(10 * time.Second); ; {
		select {
		case e := <-events:
			if e.Key == "" {
				return
			}
		case <-end:
			t.Fatal("nobody said to forget")
		}
	}
}

// TestOtherStores: another installation's store, and one that was moved away.
func TestOtherStores(t *testing.T) {
	for name, birth := range map[string]store.Birth{
		"another's": {ID: "another"},
		"moved":     {ID: "ours", MovedTo: "redis"},
	} {
		b := newBench(t)
		b.memory.id = "ours"
		value, err := birth.Encode()
		check(t, err)
		check(t, b.sealed.Commit(t.Context(), store.Put(store.BirthKey, value)))
		if _, err := b.Get(t.Context(), "a"); !errors.Is(err, store.ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFirstUse: of many first callers one bears the store, and a host that
// remembers nothing takes what it finds.
func TestFirstUse(t *testing.T) {
	b := newBench(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := b.Commit(t.Context(), store.Put("a", nil)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	second := &memory{}
	other := store.Bind(b.sealed, store.BoundConfig{Memory: second})
	if _, err := other.Get(t.Context(), "a"); err != nil || second.id != b.memory.id {
		t.Errorf("%v, %q and %q", err, second.id, b.memory.id)
	}
}

// TestConflictStaysConflict: the expectation that is added hides no conflict.
func TestConflictStaysConflict(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	check(t, b.Commit(ctx, store.Create("a", nil)))
	if err := b.Commit(ctx, store.Create("a", nil)); !errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrLost) {
		t.Errorf("second create: %v", err)
	}
}

// TestWatchEnds: the channel closes with its context.
func TestWatchEnds(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	events, err := b.Watch(ctx, "a")
	check(t, err)
	cancel()
	for range events { //nolint:revive // until it closes
	}
}

// TestSealedTransfer: what leaves a store sealed keeps its version where it is
// taken in, is sealed anew above what was deleted there, and is refused when it
// was changed on the way (T21).
func TestSealedTransfer(t *testing.T) {
	from, to, ctx := newBench(t), newBench(t), t.Context()
	check(t, from.sealed.Commit(ctx, store.Create("a", []byte("1")), store.Create("b", []byte("2")).For(time.Hour)))
	page, err := from.sealed.ScanSealed(ctx, "", "", 10)
	check(t, err)
	check(t, to.sealed.PutSealed(ctx, page...))
	for _, e := range page {
		got, err := to.sealed.GetSealed(ctx, e.Key)
		if err != nil || got.Version != e.Version || string(got.Value) != string(e.Value) || !got.ExpiresAt.Equal(e.ExpiresAt) {
			t.Errorf("%s: %+v %v", e.Key, got, err)
		}
	}
	check(t, to.sealed.Commit(ctx, store.Delete("a"), store.Delete("b")))
	check(t, to.sealed.PutSealed(ctx, page...))
	got, err := to.sealed.Get(ctx, "b")
	if err != nil || got.Version <= page[1].Version || string(got.Value) != "2" || !got.ExpiresAt.Equal(page[1].ExpiresAt) {
		t.Errorf("after a delete: %+v %v", got, err)
	}
	page[0].Value[len(page[0].Value)-1] ^= 1
	if err := to.sealed.PutSealed(ctx, page...); !errors.Is(err, store.ErrTampered) {
		t.Errorf("a changed value: %v", err)
	}
}

// TestRenew proves the mending of R14: an entry that a failover put back answers
// "older than what was seen" until it is renewed, and then says what it said.
func TestRenew(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	check(t, b.sealed.Commit(ctx, store.Create("a", []byte("before"))))
	old, err := b.sealed.GetSealed(ctx, "a")
	check(t, err)
	twin := newBench(t) // the engine after the failover: it never saw the second write
	check(t, twin.sealed.PutSealed(ctx, old))
	check(t, twin.sealed.Renew(ctx, "a"))
	got, err := twin.sealed.Get(ctx, "a")
	if err != nil || string(got.Value) != "before" || got.Version <= old.Version {
		t.Errorf("renewed: %+v %v", got, err)
	}
	if err := twin.sealed.Renew(ctx, "none"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
}

// TestConflictCostsNoSecondQuestion proves R39 of a bound store: its own
// expectation is judged first, so a conflict of the caller's proves that the
// store is ours, and nobody is asked again.
func TestConflictCostsNoSecondQuestion(t *testing.T) {
	counted := &countingDriver{}
	b := newBenchOver(t, func(d store.Driver) store.Driver { counted.Driver = d; return counted })
	ctx := t.Context()
	check(t, b.Commit(ctx, store.Create("a", nil)))
	before := counted.asked
	err := b.Commit(ctx, store.Create("b", nil), store.Create("a", nil))
	if key, ok := store.ConflictKey(err); !ok || key != "a" || !errors.Is(err, store.ErrConflict) {
		t.Errorf("%q: %v", key, err)
	}
	if n := counted.asked - before; n != 1 {
		t.Errorf("%d questions for one conflict", n)
	}
	b.flush(t)
	if err := b.Commit(ctx, store.Create("b", nil), store.Check("a", 1)); !errors.Is(err, store.ErrLost) {
		t.Errorf("a conflict in a store that is lost: %v", err)
	}
}

// countingDriver counts what it is asked.
type countingDriver struct {
	store.Driver
	asked int
}

func (d *countingDriver) Get(ctx context.Context, key string) (store.Entry, error) {
	d.asked++
	return d.Driver.Get(ctx, key)
}

func (d *countingDriver) Apply(ctx context.Context, batch store.Batch) error {
	d.asked++
	return d.Driver.Apply(ctx, batch)
}

// rewound is an engine that answers with an older entry than it holds.
type rewound struct {
	store.Driver
	back map[string]store.Entry
}

func (r *rewound) Get(ctx context.Context, key string) (store.Entry, error) {
	if old, ok := r.back[key]; ok {
		return old, nil
	}
	return r.Driver.Get(ctx, key)
}

// TestEditions: an error of an older value tells how far it and the newest one had
// come, to whoever wrote that one and to whoever only read it (R14, T21).
func TestEditions(t *testing.T) {
	ctx := t.Context()
	driver, err := sqlitestore.Open(ctx, sqlitestore.Config{Path: filepath.Join(t.TempDir(), "k.db")})
	check(t, err)
	t.Cleanup(func() { check(t, driver.Close()) })
	engine := &rewound{Driver: driver, back: map[string]store.Entry{}}
	count := func(key string, value []byte) uint64 {
		if key == "other" {
			return 0
		}
		return uint64(len(value))
	}
	writer, err := store.Seal(engine, store.SealConfig{Keys: [][]byte{make([]byte, store.MinSealKey)}, Edition: count})
	check(t, err)
	reader, err := store.Seal(engine, store.SealConfig{Keys: [][]byte{make([]byte, store.MinSealKey)}, Edition: count})
	check(t, err)
	for _, key := range []string{"row", "other"} {
		check(t, writer.Commit(ctx, store.Put(key, []byte("1"))))
		old, err := driver.Get(ctx, key)
		check(t, err)
		check(t, writer.Commit(ctx, store.Put(key, []byte("333"))))
		_, err = reader.Get(ctx, key)
		check(t, err)
		engine.back[key] = old
	}
	for name, s := range map[string]*store.Sealed{"writer": writer, "reader": reader} {
		_, err := s.Get(ctx, "row")
		if found, seen := store.OutdatedEditions(err); !errors.Is(err, store.ErrOutdated) || found != 1 || seen != 3 {
			t.Errorf("%s: found %d, seen %d: %v", name, found, seen, err)
		}
		_, err = s.Get(ctx, "other")
		if found, seen := store.OutdatedEditions(err); !errors.Is(err, store.ErrOutdated) || found != 0 || seen != 0 {
			t.Errorf("%s, not counted: found %d, seen %d: %v", name, found, seen, err)
		}
	}
}
