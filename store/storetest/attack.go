package storetest

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"kdgate/store"
)

// refused holds that key reads as tampered by Get and Scan, never as missing,
// and that the alarm was raised.
func (b *bench) refused(t *testing.T, s store.Store, key, what string) {
	t.Helper()
	b.tampered.take()
	if entry, err := s.Get(t.Context(), key); !errors.Is(err, store.ErrTampered) || errors.Is(err, store.ErrNotFound) {
		t.Errorf("%s: get gave %q, %v", what, entry.Value, err)
	}
	if page, err := s.Scan(t.Context(), key, "", 10); !errors.Is(err, store.ErrTampered) {
		t.Errorf("%s: scan gave %q, %v", what, join(page), err)
	}
	if heard := b.tampered.take(); !slices.Equal(heard, []string{key, key}) {
		t.Errorf("%s: alarms for %q", what, heard)
	}
}

// testFlippedBits: no bit of what the engine holds can change unseen (T21).
func testFlippedBits(t *testing.T, b *bench) {
	commit(t, b.store, store.Put("k", []byte("manager01")).For(time.Hour))
	good := b.raw(t, "k")
	for i := range good.Value {
		bad := good
		bad.Value = bytes.Clone(good.Value)
		bad.Value[i] ^= 1 << (i % 8)
		b.Overwrite(t, bad)
		if _, err := b.other.Get(t.Context(), "k"); !errors.Is(err, store.ErrTampered) {
			t.Fatalf("bit of byte %d: %v", i, err)
		}
	}
	for name, change := range map[string]func(*store.Entry){
		"emptied":           func(e *store.Entry) { e.Value = nil },
		"cut short":         func(e *store.Entry) { e.Value = e.Value[:len(e.Value)-1] },
		"made longer":       func(e *store.Entry) { e.Value = append(bytes.Clone(e.Value), 0) },
		"another version":   func(e *store.Entry) { e.Version++ },
		"the last version":  func(e *store.Entry) { e.Version = 1<<63 - 1 },
		"a longer life":     func(e *store.Entry) { e.ExpiresAt = e.ExpiresAt.Add(time.Hour) },
		"an earlier end":    func(e *store.Entry) { e.ExpiresAt = e.ExpiresAt.Add(-2 * time.Hour) },
		"an endless life":   func(e *store.Entry) { e.ExpiresAt = time.Time{} },
		"nothing of a seal": func(e *store.Entry) { e.Value = []byte("manager01") },
	} {
		bad := good
		change(&bad)
		b.Overwrite(t, bad)
		b.refused(t, b.other, "k", name)
	}
	b.Overwrite(t, good)
	get(t, b.other, "k")
}

// testCopied: another person's record under this person's key is nobody's (T20, T21).
func testCopied(t *testing.T, b *bench) {
	commit(t, b.store, store.Put("id/1", []byte("one")), store.Put("id/2", []byte("two")))
	stolen := b.raw(t, "id/2")
	stolen.Key = "id/1"
	b.Overwrite(t, stolen)
	b.refused(t, b.other, "id/1", "copied over")
	b.refused(t, b.store, "id/1", "copied over, seen by its writer")
	stolen.Key = "id/3"
	b.Overwrite(t, stolen)
	b.refused(t, b.other, "id/3", "copied to a new key")
	foreign, err := store.Seal(b.Driver, store.SealConfig{Keys: [][]byte{bytes.Repeat([]byte("x"), store.MinSealKey)}})
	if err != nil {
		t.Fatal(err)
	}
	commit(t, foreign, store.Put("id/4", []byte("four")))
	b.refused(t, b.other, "id/4", "sealed with a foreign key")
	commit(t, b.other, store.Put("id/4", []byte("ours")))
	get(t, b.store, "id/4") // writing again heals
}

// testRolledBack: what a process has seen cannot be taken back from it (T21).
func testRolledBack(t *testing.T, b *bench) {
	commit(t, b.store, store.Put("k", []byte("active")))
	old := b.raw(t, "k")
	commit(t, b.store, store.Put("k", []byte("suspended")))
	get(t, b.other, "k")
	b.Overwrite(t, old)
	b.refused(t, b.store, "k", "rolled back, seen by its writer")
	if _, err := b.store.Get(t.Context(), "k"); !errors.Is(err, store.ErrOutdated) {
		t.Errorf("rolled back: not told from a forgery: %v", err)
	}
	b.refused(t, b.other, "k", "rolled back, seen by a reader")
	for name, op := range map[string]store.Op{
		"replace": store.Replace("k", nil, old.Version),
		"check":   store.Check("k", old.Version),
	} {
		if err := b.other.Commit(t.Context(), op); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s of a version put back: %v", name, err)
		}
	}
	commit(t, b.store, store.Put("k", []byte("again")))
	gone := get(t, b.other, "k")
	raw := b.raw(t, "k")
	commit(t, b.store, store.DeleteAt("k", gone.Version))
	b.Overwrite(t, raw)
	b.refused(t, b.store, "k", "deleted and put back")
}

// testStale: the driver itself refuses a put that would take a version back.
func testStale(t *testing.T, b *bench) {
	put := func(key string, v store.Version, op store.Op) error {
		op.Key, op.Value = key, []byte("raw")
		return b.Driver.Apply(t.Context(), store.Batch{Now: b.clock.Now(), Writes: []store.Write{{Op: op, Version: v}}})
	}
	stale := func(err error, floor store.Version) {
		t.Helper()
		got, ok := errors.AsType[*store.StaleError](err)
		if !ok || got.Floor != floor || !errors.Is(err, store.ErrConflict) {
			t.Errorf("want stale at %d, got %v", floor, err)
		}
	}
	if err := put("k", 10, store.Op{}); err != nil {
		t.Fatal(err)
	}
	stale(put("k", 10, store.Op{}), 10)
	stale(put("k", 9, store.Op{Expect: 10}), 10)
	if err := put("k", 9, store.Op{Absent: true}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("expectations come first: %v", err)
	}
	if err := put("k", 1<<62, store.Op{Expect: 10}); err != nil { // beyond what a double holds exactly
		t.Fatal(err)
	}
	stale(put("k", 1<<62, store.Op{}), 1<<62)
	if err := put("k", 1<<62+1, store.Op{}); err != nil {
		t.Errorf("one above: %v", err)
	}
	if err := b.Driver.Apply(t.Context(), store.Batch{Now: b.clock.Now(), Writes: []store.Write{{Op: store.Delete("k")}}}); err != nil {
		t.Fatal(err)
	}
	stale(put("k", 1<<62+1, store.Op{}), 1<<62+1)
	stale(put("another", 11, store.Op{Absent: true}), 1<<62+1)
}
