package storetest

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"kdgate/internal/handclock"
	"kdgate/store"
)

// Harness is one empty store under test.
type Harness struct {
	// Driver and Other are two handles on the same data, as two replicas hold
	// them; the same driver twice where the engine has one owner.
	Driver, Other store.Driver
	// Overwrite writes a raw entry behind the drivers' backs, as somebody with
	// access to the engine would.
	Overwrite func(t *testing.T, raw store.Entry)
}

// Run holds a driver to the behaviour of store.Store. open gives an empty store
// for each test and cleans up by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, part := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"entries come back as written", testEntries},
		{"expectations are held", testExpectations},
		{"a commit is all or nothing", testAtomic},
		{"invalid operations are refused", testInvalid},
		{"the largest commit fits", testLimits},
		{"versions grow across delete and clocks that go back", testVersions},
		{"scans page in byte order", testScan},
		{"lifetimes end by the clock in hand", testLifetimes},
		{"one creator wins", testCreateRace},
		{"no update is lost", testReplaceRace},
		{"blind puts all pass", testPutRace},
		{"changes are told within a second", testWatch},
		{"a cancelled caller gets no answer", testCancelled},
		{"any history matches the model", testModel},
		{"a value that was touched is refused", testFlippedBits},
		{"a value under another key is refused", testCopied},
		{"a value put back is refused", testRolledBack},
		{"a driver keeps versions in order", testStale},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, newBench(t, open(t))) })
	}
}

// bench is a harness with two sealed stores on one hand clock.
type bench struct {
	Harness
	clock        *handclock.Clock
	store, other *store.Sealed
	tampered     *alarms
}

func newBench(t *testing.T, h Harness) *bench {
	t.Helper()
	b := &bench{Harness: h, clock: handclock.New(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)), tampered: &alarms{}}
	b.store = b.seal(t, h.Driver)
	b.other = b.seal(t, h.Other)
	return b
}

// sealingKey is the key of all benches.
func sealingKey() []byte { return bytes.Repeat([]byte("k"), store.MinSealKey) }

// seal is a fresh process's view of driver: nothing remembered.
func (b *bench) seal(t *testing.T, driver store.Driver) *store.Sealed {
	t.Helper()
	s, err := store.Seal(driver, store.SealConfig{
		Keys: [][]byte{sealingKey()}, Now: b.clock.Now, OnTamper: b.tampered.note,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// raw is what the engine holds under key.
func (b *bench) raw(t *testing.T, key string) store.Entry {
	t.Helper()
	entry, err := b.Driver.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("raw %q: %v", key, err)
	}
	entry.Key = key
	return entry
}

func commit(t *testing.T, s store.Store, ops ...store.Op) {
	t.Helper()
	if err := s.Commit(t.Context(), ops...); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func get(t *testing.T, s store.Store, key string) store.Entry {
	t.Helper()
	entry, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	return entry
}

// alarms counts what OnTamper heard.
type alarms struct {
	mu   sync.Mutex
	keys []string
}

func (a *alarms) note(key string, _ error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys = append(a.keys, key)
}

// take gives the keys heard of and forgets them.
func (a *alarms) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	keys := a.keys
	a.keys = nil
	return keys
}

// together runs n copies of do at once and waits for them.
func together(ctx context.Context, n int, do func(ctx context.Context, i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = do(ctx, i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}
