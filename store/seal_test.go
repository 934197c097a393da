package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/store"
	"kdgate/store/sqlitestore"
)

var _ store.Store = (*store.Sealed)(nil)

// open gives a real driver that the test closes.
func open(t testing.TB) *sqlitestore.Driver {
	t.Helper()
	d, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func seal(t testing.TB, d store.Driver, cfg store.SealConfig) *store.Sealed {
	t.Helper()
	if cfg.Keys == nil {
		cfg.Keys = [][]byte{bytes.Repeat([]byte("k"), store.MinSealKey)}
	}
	s, err := store.Seal(d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// meddler is a real driver whose answers a test changes on their way.
type meddler struct {
	store.Driver
	onGet      func(store.Entry, error) (store.Entry, error)
	onScan     func([]store.Entry) []store.Entry
	onApply    func(store.Batch) error // nil: go on
	distrusted int
}

func (m *meddler) Get(ctx context.Context, key string) (store.Entry, error) {
	entry, err := m.Driver.Get(ctx, key)
	if m.onGet != nil {
		return m.onGet(entry, err)
	}
	return entry, err
}

func (m *meddler) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	page, err := m.Driver.Scan(ctx, prefix, after, limit)
	if m.onScan != nil {
		page = m.onScan(page)
	}
	return page, err
}

func (m *meddler) Apply(ctx context.Context, batch store.Batch) error {
	if m.onApply != nil {
		if err := m.onApply(batch); err != nil {
			return err
		}
	}
	return m.Driver.Apply(ctx, batch)
}

func (m *meddler) Distrust() { m.distrusted++ }

func TestSealRefusesShortKeys(t *testing.T) {
	for _, keys := range [][][]byte{nil, {}, {[]byte("short")}} {
		if _, err := store.Seal(open(t), store.SealConfig{Keys: keys}); err == nil {
			t.Errorf("sealed with %q", keys)
		}
	}
}

// TestReplyOfAnotherKey: the sealer sees it, says so, and has the driver drop
// its connections (T20).
func TestReplyOfAnotherKey(t *testing.T) {
	m := &meddler{Driver: open(t)}
	var alarms []string
	s := seal(t, m, store.SealConfig{OnTamper: func(key string, err error) {
		alarms = append(alarms, fmt.Sprint(key, errors.Is(err, store.ErrTampered)))
	}})
	if err := s.Commit(t.Context(), store.Put("id/1", []byte("one")), store.Put("id/2", []byte("two"))); err != nil {
		t.Fatal(err)
	}
	other, err := m.Driver.Get(t.Context(), "id/2")
	if err != nil {
		t.Fatal(err)
	}
	m.onGet = func(store.Entry, error) (store.Entry, error) { return other, nil }
	if entry, err := s.Get(t.Context(), "id/1"); !errors.Is(err, store.ErrTampered) || entry.Value != nil {
		t.Errorf("got %q, %v", entry.Value, err)
	}
	if m.distrusted != 1 || !slices.Equal(alarms, []string{"id/1true"}) {
		t.Errorf("distrusted %d times, alarms %v", m.distrusted, alarms)
	}
}

// TestScanHoldsThePage: a page of another question, or out of order, is refused.
func TestScanHoldsThePage(t *testing.T) {
	m := &meddler{Driver: open(t)}
	s := seal(t, m, store.SealConfig{})
	for _, key := range []string{"a/1", "a/2", "a/3", "b/1"} {
		if err := s.Commit(t.Context(), store.Put(key, nil)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := m.Driver.Scan(t.Context(), "", "", 9)
	if err != nil {
		t.Fatal(err)
	}
	for name, page := range map[string][]store.Entry{
		"another prefix":   {all[3]},
		"before the mark":  {all[0], all[1]},
		"twice":            {all[1], all[1]},
		"descending":       {all[2], all[1]},
		"a key made up":    {{Key: "a/9", Value: all[1].Value, Version: all[1].Version}},
		"nothing of ours":  {{Key: "a/9", Value: []byte("x"), Version: 1}},
		"a good one first": {all[1], {Key: "a/9"}},
	} {
		m.onScan = func([]store.Entry) []store.Entry { return page }
		if got, err := s.Scan(t.Context(), "a/", "a/1", 5); !errors.Is(err, store.ErrTampered) || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestStaleVersions: a put is sealed again above what the engine knows, a
// bounded number of times, and never once an expectation has failed.
func TestStaleVersions(t *testing.T) {
	ctx := t.Context()
	m := &meddler{Driver: open(t)}
	s := seal(t, m, store.SealConfig{})
	floor, tries := store.Version(1)<<60, 0
	m.onApply = func(b store.Batch) error {
		if tries++; b.Writes[0].Version <= floor {
			return &store.StaleError{Key: "k", Floor: floor}
		}
		return nil
	}
	if err := s.Commit(ctx, store.Put("k", nil)); err != nil || tries != 2 {
		t.Errorf("%d tries, %v", tries, err)
	}
	if entry, err := s.Get(ctx, "k"); err != nil || entry.Version <= floor {
		t.Errorf("version %d, %v", entry.Version, err)
	}
	tries = 0
	m.onApply = func(b store.Batch) error {
		tries++
		return &store.StaleError{Key: "k", Floor: b.Writes[0].Version}
	}
	if err := s.Commit(ctx, store.Put("k", nil)); !errors.Is(err, store.ErrConflict) || tries < 2 || tries > 100 {
		t.Errorf("an engine always ahead: %d tries, %v", tries, err)
	}
	tries = 0
	m.onApply = func(store.Batch) error { tries++; return store.ErrConflict }
	if err := s.Commit(ctx, store.Create("k", nil)); !errors.Is(err, store.ErrConflict) || tries != 1 {
		t.Errorf("a broken expectation: %d tries, %v", tries, err)
	}
	m.onApply = func(store.Batch) error { return &store.StaleError{Key: "k", Floor: 1<<63 - 1} }
	if err := s.Commit(ctx, store.Put("k", nil)); !errors.Is(err, store.ErrTampered) {
		t.Errorf("a version that leaves no room: %v", err)
	}
}

// TestUnavailablePassesThrough: "could not ask" stays what it is, and raises no alarm.
func TestUnavailablePassesThrough(t *testing.T) {
	m := &meddler{Driver: open(t)}
	s := seal(t, m, store.SealConfig{OnTamper: func(key string, err error) { t.Errorf("alarm for %q: %v", key, err) }})
	m.onGet = func(store.Entry, error) (store.Entry, error) { return store.Entry{}, store.ErrUnavailable }
	m.onApply = func(store.Batch) error { return store.ErrUnavailable }
	if _, err := s.Get(t.Context(), "k"); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
	if err := s.Commit(t.Context(), store.Put("k", nil)); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}

// TestEngineHoldsNoKey: the engine never holds a value that a sealer with
// another key takes, and never the key itself.
func TestEngineHoldsNoKey(t *testing.T) {
	d := open(t)
	secret := []byte(strings.Repeat("secret-", 5))
	s := seal(t, d, store.SealConfig{Keys: [][]byte{secret}})
	if err := s.Commit(t.Context(), store.Put("k", []byte("v"))); err != nil {
		t.Fatal(err)
	}
	raw, err := d.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw.Value, secret) || !bytes.Contains(raw.Value, []byte("v")) {
		t.Errorf("the engine holds %q", raw.Value)
	}
	if _, err := seal(t, d, store.SealConfig{}).Get(t.Context(), "k"); !errors.Is(err, store.ErrTampered) {
		t.Errorf("another key opens it: %v", err)
	}
	both := seal(t, d, store.SealConfig{Keys: [][]byte{bytes.Repeat([]byte("k"), 32), secret}})
	if _, err := both.Get(t.Context(), "k"); err != nil { // R57
		t.Errorf("the old key, in second place, does not: %v", err)
	}
}

// TestNoFalseAlarms: readers beside writers and deleters on the same few keys
// never take a value that is merely overtaken for one put back.
func TestNoFalseAlarms(t *testing.T) {
	s := seal(t, open(t), store.SealConfig{
		Remember: 4, // so that floors are forgotten and found again too
		OnTamper: func(key string, err error) { t.Errorf("alarm: %v", err) },
	})
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			for i := range 200 {
				key := fmt.Sprint("k/", i%3)
				var err error
				switch worker % 3 {
				case 0:
					err = s.Commit(t.Context(), store.Put(key, []byte("v")).For(time.Minute))
				case 1:
					err = s.Commit(t.Context(), store.Delete(key))
				default:
					_, err = s.Get(t.Context(), key)
					if _, scanErr := s.Scan(t.Context(), "k/", "", 9); scanErr != nil {
						t.Error(scanErr)
					}
				}
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestClockBefore1970: a clock that was never set gives versions all the same.
func TestClockBefore1970(t *testing.T) {
	s := seal(t, open(t), store.SealConfig{Now: func() time.Time { return time.Time{} }})
	for range 2 {
		if err := s.Commit(t.Context(), store.Put("k", nil).For(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}
