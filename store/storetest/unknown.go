package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"kdgate/store"
)

// KeepsUnknown proves R54 for one kind of record: two releases share a store, so
// whatever a newer one wrote into a record comes out again when this one reads
// the record and writes it. sample is a record of this release as JSON; rewrite
// reads it and writes it as the package does. Nested names the members of the
// sample, objects or lists of objects, that keep what they do not know too.
func KeepsUnknown(t *testing.T, sample []byte, rewrite func([]byte) ([]byte, error), nested ...string) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		future := map[string]jsontext.Value{}
		for range rapid.IntRange(1, 4).Draw(t, "members") {
			name := "future" + rapid.StringMatching(`[A-Za-z0-9_ -]{0,12}`).Draw(t, "name")
			future[name] = anyValue(t, 2)
		}
		var record map[string]jsontext.Value
		check(t, json.Unmarshal(sample, &record))
		for name, value := range future {
			record[name] = value
		}
		for _, name := range nested {
			record[name] = into(t, record[name], future)
		}
		before, err := json.Marshal(record)
		check(t, err)
		after, err := rewrite(before)
		check(t, err)
		var written map[string]jsontext.Value
		check(t, json.Unmarshal(after, &written))
		holds(t, "the record", written, future)
		for _, name := range nested {
			holds(t, name, firstObject(t, written[name]), future)
		}
	})
}

// Future adds a member to an object in the store, as a newer release would have
// written it. What it gives back fails the test where the member is gone: for what
// is rewritten by way of a room's own methods.
func Future(t testing.TB, s store.Store, key string) (kept func()) {
	t.Helper()
	get := func() store.Entry {
		t.Helper()
		entry, err := s.Get(t.Context(), key)
		if err != nil {
			t.Fatalf("storetest: %s: %v", key, err)
		}
		return entry
	}
	was := get()
	end := bytes.LastIndexByte(was.Value, '}')
	value := append(slices.Clip(was.Value[:end]), `,"future":{"kept":[1,2]}}`...)
	if err := s.Commit(t.Context(), store.Replace(key, value, was.Version)); err != nil {
		t.Fatalf("storetest: %s: %v", key, err)
	}
	return func() {
		t.Helper()
		now := get()
		var members map[string]jsontext.Value
		if err := json.Unmarshal(now.Value, &members); err != nil {
			t.Fatalf("storetest: %s: %v", key, err)
		}
		switch {
		case now.Version <= was.Version+1:
			t.Errorf("%s was not written again", key)
		case len(members["future"]) == 0:
			t.Errorf("%s has lost what a newer release wrote: %s", key, now.Value)
		}
	}
}

func check(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holds compares by what the values say, not by their spaces.
func holds(t *rapid.T, what string, written, future map[string]jsontext.Value) {
	t.Helper()
	for name, want := range future {
		got := written[name].Clone()
		if len(got) == 0 {
			t.Fatalf("%s has lost %q", what, name)
		}
		check(t, got.Canonicalize())
		want = want.Clone()
		check(t, want.Canonicalize())
		if !bytes.Equal(got, want) {
			t.Fatalf("%s: %q was %s and is %s", what, name, want, got)
		}
	}
}

// into adds members to an object, or to the first of a list.
func into(t *rapid.T, value jsontext.Value, members map[string]jsontext.Value) jsontext.Value {
	t.Helper()
	object := firstObject(t, value)
	for name, member := range members {
		object[name] = member
	}
	text, err := json.Marshal(object)
	check(t, err)
	if value.Kind() == '[' {
		return jsontext.Value(fmt.Sprintf("[%s]", text))
	}
	return text
}

func firstObject(t *rapid.T, value jsontext.Value) map[string]jsontext.Value {
	t.Helper()
	if value.Kind() == '[' {
		var list []jsontext.Value
		check(t, json.Unmarshal(value, &list))
		value = list[0]
	}
	var object map[string]jsontext.Value
	check(t, json.Unmarshal(value, &object))
	return object
}

// anyValue is a JSON value of at most that depth.
func anyValue(t *rapid.T, depth int) jsontext.Value {
	kind := rapid.IntRange(0, 3+min(depth, 1)*2).Draw(t, "kind")
	switch kind {
	case 0:
		return jsontext.Value("true")
	case 1:
		return jsontext.Value(fmt.Sprint(rapid.Int32().Draw(t, "number")))
	case 2:
		text, err := json.Marshal(rapid.StringMatching(`[a-zA-Z0-9一-十"\\ ]{0,20}`).Draw(t, "text"))
		check(t, err)
		return text
	case 3:
		return jsontext.Value("null")
	case 4:
		return jsontext.Value(fmt.Sprintf("[%s]", anyValue(t, depth-1)))
	}
	return jsontext.Value(fmt.Sprintf(`{"a":%s}`, anyValue(t, depth-1)))
}
