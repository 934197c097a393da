package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kdgate/store"
)

// modelKeys is how many keys a history touches: few, so that steps meet.
const modelKeys = 4

// modelled is what the model thinks a key holds.
type modelled struct {
	value   string
	version store.Version
	ends    time.Time
}

// testModel holds random histories of commits, by either handle, against a map.
func testModel(t *testing.T, b *bench) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := &model{bench: b, t: t, prefix: fmt.Sprintf("run%d/", run), held: map[string]modelled{}}
		rt.Repeat(map[string]func(*rapid.T){
			"commit": m.commit,
			"wait": func(rt *rapid.T) {
				b.clock.Advance(time.Duration(rapid.IntRange(1, 90).Draw(rt, "seconds")) * time.Second)
			},
			"": m.compare,
		})
	})
}

type model struct {
	*bench
	t      *testing.T
	prefix string
	held   map[string]modelled
}

func (m *model) live(key string) (modelled, bool) {
	held, ok := m.held[key]
	if ok && !held.ends.IsZero() && !held.ends.After(m.clock.Now()) {
		return modelled{}, false
	}
	return held, ok
}

// either is one of the two handles.
func (m *model) either(rt *rapid.T) store.Store {
	if rapid.Bool().Draw(rt, "other") {
		return m.other
	}
	return m.store
}

func (m *model) commit(rt *rapid.T) {
	numbers := rapid.SliceOfNDistinct(rapid.IntRange(0, modelKeys-1), 1, modelKeys, rapid.ID[int]).Draw(rt, "keys")
	ops := make([]store.Op, len(numbers))
	holds := true
	for i, n := range numbers {
		var ok bool
		ops[i], ok = m.op(rt, fmt.Sprintf("%s%d", m.prefix, n))
		holds = holds && ok
	}
	err := m.either(rt).Commit(m.t.Context(), ops...)
	if holds != (err == nil) || (err != nil && !errors.Is(err, store.ErrConflict)) {
		rt.Fatalf("%+v: %v, want success %v", ops, err, holds)
	}
	if err == nil {
		m.apply(ops)
	}
}

// op draws one op and tells whether its expectation holds.
func (m *model) op(rt *rapid.T, key string) (store.Op, bool) {
	held, live := m.live(key)
	version := held.version + store.Version(rapid.IntRange(0, 1).Draw(rt, "off"))
	exact := live && version == held.version
	version = max(version, 1)
	value := []byte(rapid.StringN(0, 8, 8).Draw(rt, "value"))
	life := time.Duration(rapid.IntRange(0, 2).Draw(rt, "minutes")) * time.Minute
	switch rapid.IntRange(0, 6).Draw(rt, "kind") {
	case 0:
		return store.Put(key, value).For(life), true
	case 1:
		return store.Create(key, value).For(life), !live
	case 2:
		return store.Replace(key, value, version).For(life), exact
	case 3:
		return store.Delete(key), true
	case 4:
		return store.DeleteAt(key, version), exact
	case 5:
		return store.Check(key, version), exact
	default:
		return store.CheckAbsent(key), !live
	}
}

func (m *model) apply(ops []store.Op) {
	for _, op := range ops {
		switch op.Kind {
		case store.OpDelete:
			delete(m.held, op.Key)
		case store.OpPut:
			next := modelled{value: string(op.Value), version: m.held[op.Key].version}
			if op.Lifetime > 0 {
				next.ends = m.clock.Now().Add(op.Lifetime)
			}
			m.held[op.Key] = next
		}
	}
}

// compare reads everything by either handle, and learns the new versions.
func (m *model) compare(rt *rapid.T) {
	page, err := m.either(rt).Scan(m.t.Context(), m.prefix, "", modelKeys)
	if err != nil {
		rt.Fatal(err)
	}
	found := map[string]store.Entry{}
	for _, entry := range page {
		found[entry.Key] = entry
	}
	for n := range modelKeys {
		key := fmt.Sprintf("%s%d", m.prefix, n)
		held, live := m.live(key)
		entry, ok := found[key]
		if live != ok || (ok && (string(entry.Value) != held.value || entry.Version < held.version || !entry.ExpiresAt.Equal(held.ends))) {
			rt.Fatalf("%s: model has %+v (%v), store has %+v (%v)", key, held, live, entry, ok)
		}
		if ok {
			held.version = entry.Version
			m.held[key] = held
		}
	}
}
