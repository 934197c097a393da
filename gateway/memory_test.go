package gateway

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kdgate/store"
)

// memory is a store in memory with the semantics of store.Store.
type memory struct {
	mu      sync.Mutex
	now     func() time.Time
	version store.Version
	entries map[string]store.Entry
	watches map[chan store.Event]string
	down    atomic.Bool
	seen    bytes.Buffer // everything that was ever written, for the secrets test
	commits int
}

func newMemory(now func() time.Time) *memory {
	return &memory{now: now, entries: map[string]store.Entry{}, watches: map[chan store.Event]string{}}
}

func (m *memory) live(key string) (store.Entry, bool) {
	e, ok := m.entries[key]
	if ok && !e.ExpiresAt.IsZero() && !m.now().Before(e.ExpiresAt) {
		return store.Entry{}, false
	}
	return e, ok
}

func (m *memory) Get(_ context.Context, key string) (store.Entry, error) {
	if m.down.Load() {
		return store.Entry{}, store.ErrUnavailable
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.live(key)
	if !ok {
		return store.Entry{}, store.ErrNotFound
	}
	return e, nil
}

func (m *memory) Scan(_ context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []store.Entry
	for key := range m.entries {
		if e, ok := m.live(key); ok && strings.HasPrefix(key, prefix) && key > after {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b store.Entry) int { return strings.Compare(a.Key, b.Key) })
	return found[:min(limit, len(found))], nil
}

func (m *memory) Commit(_ context.Context, ops ...store.Op) error {
	if m.down.Load() {
		return store.ErrUnavailable
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.commits++
	for _, op := range ops {
		e, ok := m.live(op.Key)
		if op.Absent && ok || op.Expect != 0 && (!ok || e.Version != op.Expect) {
			return store.ErrConflict
		}
	}
	for _, op := range ops {
		m.apply(op)
	}
	return nil
}

func (m *memory) apply(op store.Op) {
	switch op.Kind {
	case store.OpPut:
		m.version++
		e := store.Entry{Key: op.Key, Value: bytes.Clone(op.Value), Version: m.version}
		if op.Lifetime > 0 {
			e.ExpiresAt = m.now().Add(op.Lifetime)
		}
		m.entries[op.Key] = e
		if op.Told != nil {
			*op.Told = e.Version
		}
		fmt.Fprintf(&m.seen, "%s=%s\n", op.Key, op.Value)
	case store.OpDelete:
		delete(m.entries, op.Key)
	case store.OpCheck:
		return
	}
	for ch, prefix := range m.watches {
		if strings.HasPrefix(op.Key, prefix) {
			select {
			case ch <- store.Event{Key: op.Key, Deleted: op.Kind == store.OpDelete}:
			default:
			}
		}
	}
}

func (m *memory) Watch(ctx context.Context, prefix string) (<-chan store.Event, error) {
	ch := make(chan store.Event, 8)
	m.mu.Lock()
	m.watches[ch] = prefix
	m.mu.Unlock()
	context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watches, ch)
		close(ch)
	})
	return ch, nil
}

func (m *memory) dump() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen.String()
}

func (m *memory) written() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.commits
}
