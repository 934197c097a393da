package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/store"
)

func testEntries(t *testing.T, b *bench) {
	values := map[string][]byte{
		"a/empty":   {},
		"a/text":    []byte("张三"),
		"a/binary":  {0, 1, 0xff, '\r', '\n'},
		"a/中文/路径":   []byte("x"),
		"a/with {}": []byte("y"),
	}
	for key, value := range values {
		commit(t, b.store, store.Create(key, value))
		for _, s := range []store.Store{b.store, b.other} {
			entry := get(t, s, key)
			if entry.Key != key || !bytes.Equal(entry.Value, value) || entry.Version == 0 || !entry.ExpiresAt.IsZero() {
				t.Errorf("%q: got %+v", key, entry)
			}
		}
	}
	if _, err := b.store.Get(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("missing key: %v", err)
	}
	commit(t, b.other, store.Delete("a/text"), store.Delete("a/never"))
	if _, err := b.store.Get(t.Context(), "a/text"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted key: %v", err)
	}
}

func testExpectations(t *testing.T, b *bench) {
	commit(t, b.store, store.Put("k", []byte("1")))
	old := get(t, b.store, "k").Version
	commit(t, b.store, store.Replace("k", []byte("2"), old))
	for _, value := range []string{"over nothing", "over that"} {
		seen, _ := b.store.Get(t.Context(), "fresh") // version zero where nothing is
		commit(t, b.store, store.Over("fresh", []byte(value), seen.Version))
		if entry := get(t, b.other, "fresh"); string(entry.Value) != value {
			t.Errorf("written %s: %+v", value, entry)
		}
	}
	now := get(t, b.other, "k").Version
	for _, c := range []struct {
		name string
		op   store.Op
		want error
	}{
		{"create over", store.Create("k", nil), store.ErrConflict},
		{"replace an old version", store.Replace("k", nil, old), store.ErrConflict},
		{"replace a missing key", store.Replace("none", nil, old), store.ErrConflict},
		{"write over an old version", store.Over("k", nil, old), store.ErrConflict},
		{"write over what was not there when it was read", store.Over("k", nil, 0), store.ErrConflict},
		{"write over what is not there any more", store.Over("none", nil, old), store.ErrConflict},
		{"delete an old version", store.DeleteAt("k", old), store.ErrConflict},
		{"delete a missing version", store.DeleteAt("none", old), store.ErrConflict},
		{"check an old version", store.Check("k", old), store.ErrConflict},
		{"check a missing key", store.Check("none", old), store.ErrConflict},
		{"check absence", store.CheckAbsent("k"), store.ErrConflict},
		{"check a future version", store.Check("k", now+1), store.ErrConflict},
		{"check the version", store.Check("k", now), nil},
		{"check a missing key's absence", store.CheckAbsent("none"), nil},
	} {
		for name, s := range map[string]store.Store{"store": b.store, "other": b.other} {
			if err := s.Commit(t.Context(), c.op); !errors.Is(err, c.want) {
				t.Errorf("%s by %s: %v", c.name, name, err)
			}
		}
	}
	if entry := get(t, b.store, "k"); entry.Version != now || string(entry.Value) != "2" {
		t.Errorf("a refused commit wrote: %+v", entry)
	}
	// The verdict names the first that did not hold, whoever stands behind it.
	err := b.store.Commit(t.Context(), store.Create("free", nil), store.Check("k", now), store.Check("none", old), store.Check("neither", old))
	if key, ok := store.ConflictKey(err); !ok || key != "none" || !errors.Is(err, store.ErrConflict) {
		t.Errorf("the first broken expectation: %q, %v", key, err)
	}
	commit(t, b.store, store.DeleteAt("k", now))
	commit(t, b.store, store.CheckAbsent("k"))
}

func testAtomic(t *testing.T, b *bench) {
	commit(t, b.store, store.Put("there", []byte("1")), store.Put("keep", []byte("1")))
	for i, broken := range []store.Op{store.Create("there", nil), store.CheckAbsent("there"), store.Replace("none", nil, 7)} {
		for at := range 3 { // wherever the broken one stands
			ops := []store.Op{store.Put("new", nil), store.Delete("keep")}
			err := b.store.Commit(t.Context(), slices.Insert(ops, at, broken)...)
			if !errors.Is(err, store.ErrConflict) {
				t.Fatalf("broken op %d at %d: %v", i, at, err)
			}
		}
	}
	if _, err := b.other.Get(t.Context(), "new"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a refused commit put: %v", err)
	}
	get(t, b.other, "keep")
	commit(t, b.store, store.Create("new", nil), store.Delete("keep"), store.Check("there", get(t, b.store, "there").Version))
	get(t, b.other, "new")
	if _, err := b.other.Get(t.Context(), "keep"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted in a commit: %v", err)
	}
}

func testInvalid(t *testing.T, b *bench) {
	long := strings.Repeat("k", store.MaxKey+1)
	many := make([]store.Op, store.MaxOps+1)
	for i := range many {
		many[i] = store.Put(fmt.Sprint("k", i), nil)
	}
	for name, ops := range map[string][]store.Op{
		"nothing":           {},
		"too many":          many,
		"empty key":         {store.Put("", nil)},
		"long key":          {store.Put(long, nil)},
		"line feed":         {store.Put("a\nb", nil)},
		"NUL":               {store.Put("a\x00b", nil)},
		"C1 control":        {store.Put("a\u0085b", nil)},
		"bidi mark":         {store.Put("a\u202eb", nil)},
		"not UTF-8":         {store.Put("a\xffb", nil)},
		"large value":       {store.Put("k", make([]byte, store.MaxValue+1))},
		"twice":             {store.Put("k", nil), store.Delete("k")},
		"check of nothing":  {store.Check("k", 0)},
		"delete of absent":  {{Kind: store.OpDelete, Key: "k", Absent: true}},
		"both ways":         {{Kind: store.OpPut, Key: "k", Absent: true, Expect: 1}},
		"unknown kind":      {{Kind: 9, Key: "k"}},
		"negative lifetime": {store.Put("k", nil).For(-1)},
		"lifetime of check": {store.CheckAbsent("k").For(1)},
		"endless version":   {store.Check("k", 1<<63)},
	} {
		if err := b.store.Commit(t.Context(), ops...); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, key := range []string{"", long, "a\x00"} {
		if _, err := b.store.Get(t.Context(), key); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("get %q: %v", key, err)
		}
	}
	if _, err := b.store.Scan(t.Context(), "a", "", 0); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("scan of none: %v", err)
	}
	if _, err := b.store.Scan(t.Context(), "a\n", "", 1); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("scan of a bad prefix: %v", err)
	}
	if _, err := b.store.Watch(t.Context(), "a\xff"); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("watch of a bad prefix: %v", err)
	}
}

func testLimits(t *testing.T, b *bench) {
	key := strings.Repeat("k", store.MaxKey)
	large := bytes.Repeat([]byte("v"), store.MaxValue)
	commit(t, b.store, store.Put(key, large))
	if got := get(t, b.other, key); !bytes.Equal(got.Value, large) {
		t.Errorf("largest value came back with %d bytes", len(got.Value))
	}
	ops := make([]store.Op, store.MaxOps)
	for i := range ops {
		ops[i] = store.Create(fmt.Sprintf("many/%03d", i), []byte("v"))
	}
	commit(t, b.store, ops...)
	page, err := b.other.Scan(t.Context(), "many/", "", store.MaxPage+1)
	if err != nil || len(page) != store.MaxOps {
		t.Errorf("largest commit: %d entries, %v", len(page), err)
	}
}

// testVersions: a version names one write for ever, whatever the clocks do (R50).
func testVersions(t *testing.T, b *bench) {
	var last store.Version
	step := func(s store.Store, what string) {
		t.Helper()
		commit(t, s, store.Put("k", []byte(what)))
		entry := get(t, b.store, "k")
		if entry.Version <= last {
			t.Fatalf("%s: version %d after %d", what, entry.Version, last)
		}
		last = entry.Version
	}
	step(b.store, "first")
	step(b.store, "same instant")
	step(b.other, "same instant, other replica")
	b.clock.Advance(-time.Hour)
	step(b.store, "clock stepped back")
	commit(t, b.store, store.Delete("k"))
	step(b.other, "deleted and created by a replica that never saw it, clock back")
	commit(t, b.other, store.DeleteAt("k", last))
	step(b.seal(t, b.Driver), "deleted and created by a fresh process, clock back")
}

func testScan(t *testing.T, b *bench) {
	keys := []string{"p", "p/", "p/0", "p/1", "p/10", "p/2", "p/a/b", "p/é", "p/中", "p/🙂", "p0", "q/1"}
	for _, key := range keys {
		commit(t, b.store, store.Put(key, []byte(key)))
	}
	for _, c := range []struct {
		prefix, after string
		limit         int
		want          string
	}{
		{"p/", "", 100, "p/ p/0 p/1 p/10 p/2 p/a/b p/é p/中 p/🙂"},
		{"p/", "p/1", 2, "p/10 p/2"},
		{"p/", "p/1", 1, "p/10"},
		{"p/", "p/11", 1, "p/2"},
		{"p/", "a", 2, "p/ p/0"},
		{"p/", "p/🙂", 9, ""},
		{"p/", "q", 9, ""},
		{"p/1", "", 9, "p/1 p/10"},
		{"r", "", 9, ""},
		{"", "p0", 9, "q/1"},
		{"", "", 2, "p p/"},
	} {
		page, err := b.other.Scan(t.Context(), c.prefix, c.after, c.limit)
		if got := join(page); err != nil || got != c.want {
			t.Errorf("scan %q after %q, %d: %q, %v", c.prefix, c.after, c.limit, got, err)
		}
		for _, entry := range page {
			if string(entry.Value) != entry.Key || entry.Version == 0 {
				t.Errorf("scanned %+v", entry)
			}
		}
	}
}

func join(page []store.Entry) string {
	keys := make([]string, len(page))
	for i, entry := range page {
		keys[i] = entry.Key
	}
	return strings.Join(keys, " ")
}

func testLifetimes(t *testing.T, b *bench) {
	ctx := t.Context()
	commit(t, b.store, store.Create("t/short", []byte("1")).For(time.Minute),
		store.Create("t/long", nil).For(time.Hour), store.Create("t/ever", nil))
	short := get(t, b.other, "t/short")
	if want := b.clock.Now().Add(time.Minute); !short.ExpiresAt.Equal(want) {
		t.Errorf("ends at %v, want %v", short.ExpiresAt, want)
	}
	b.clock.Advance(time.Minute - time.Microsecond)
	get(t, b.other, "t/short")
	b.clock.Advance(time.Microsecond)
	if _, err := b.other.Get(ctx, "t/short"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("past its end: %v", err)
	}
	page, err := b.other.Scan(ctx, "t/", "", 1)
	if err != nil || join(page) != "t/ever" {
		t.Errorf("first of a scan: %q, %v", join(page), err)
	}
	page, err = b.other.Scan(ctx, "t/", "t/long", 2)
	if err != nil || len(page) != 0 {
		t.Errorf("a page of entries past their end: %q, %v", join(page), err)
	}
	for name, op := range map[string]store.Op{
		"replace": store.Replace("t/short", nil, short.Version),
		"check":   store.Check("t/short", short.Version),
		"delete":  store.DeleteAt("t/short", short.Version),
	} {
		if err := b.other.Commit(ctx, op); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s past its end: %v", name, err)
		}
	}
	commit(t, b.other, store.CheckAbsent("t/short"))
	commit(t, b.other, store.Create("t/short", []byte("2"))) // sheds the lifetime too
	again := get(t, b.store, "t/short")
	if again.Version <= short.Version || !again.ExpiresAt.IsZero() {
		t.Errorf("created again: %+v after %+v", again, short)
	}
	b.clock.Advance(48 * time.Hour)
	get(t, b.other, "t/short")
	get(t, b.other, "t/ever")
}

func testCreateRace(t *testing.T, b *bench) {
	const racers = 50
	errs := together(t.Context(), racers, func(ctx context.Context, i int) error {
		s := b.store
		if i%2 == 1 {
			s = b.other
		}
		return s.Commit(ctx, store.Create("once", []byte(fmt.Sprint(i))), store.Create(fmt.Sprint("mine/", i), nil))
	})
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Fatalf("%d and %d both created", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, store.ErrConflict):
			t.Errorf("racer %d: %v", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody created")
	}
	if got := string(get(t, b.store, "once").Value); got != fmt.Sprint(winner) {
		t.Errorf("winner %d, stored %s", winner, got)
	}
	page, err := b.store.Scan(t.Context(), "mine/", "", racers)
	if err != nil || join(page) != fmt.Sprint("mine/", winner) {
		t.Errorf("losers left %q, %v", join(page), err)
	}
}

func testReplaceRace(t *testing.T, b *bench) {
	const workers, steps = 8, 10
	commit(t, b.store, store.Create("count", nil))
	errs := together(t.Context(), workers, func(ctx context.Context, i int) error {
		s := b.store
		if i%2 == 1 {
			s = b.other
		}
		for range steps {
			if err := addOne(ctx, s, "count"); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got := len(get(t, b.store, "count").Value); got != workers*steps {
		t.Errorf("%d of %d updates are there", got, workers*steps)
	}
}

// addOne makes the value one byte longer, however often it has to try.
func addOne(ctx context.Context, s store.Store, key string) error {
	for {
		entry, err := s.Get(ctx, key)
		if err != nil {
			return err
		}
		err = s.Commit(ctx, store.Replace(key, append(entry.Value, '+'), entry.Version))
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func testPutRace(t *testing.T, b *bench) {
	errs := together(t.Context(), 30, func(ctx context.Context, i int) error {
		s := b.store
		if i%2 == 1 {
			s = b.other
		}
		if err := s.Commit(ctx, store.Put("k", []byte(fmt.Sprint(i)))); err != nil {
			return err
		}
		_, err := s.Get(ctx, "k") // never "tampered": no version goes back for a reader
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if heard := b.tampered.take(); heard != nil {
		t.Errorf("false alarms: %v", heard)
	}
}

// testWatch: whoever caches hears of a change on another replica within a second.
func testWatch(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := b.other.Watch(ctx, "w/")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ops  []store.Op
		want store.Event
	}{
		{[]store.Op{store.Put("w/1", nil)}, store.Event{Key: "w/1"}},
		{[]store.Op{store.Put("elsewhere", nil), store.Put("w/2", nil)}, store.Event{Key: "w/2"}},
		{[]store.Op{store.CheckAbsent("w/9"), store.Delete("w/1")}, store.Event{Key: "w/1", Deleted: true}},
	} {
		began := time.Now()
		commit(t, b.store, c.ops...)
		if got := next(t, events); got != c.want {
			t.Errorf("heard %+v, want %+v", got, c.want)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("heard after %v", took)
		}
	}
	if err := b.store.Commit(t.Context(), store.Create("w/2", nil)); !errors.Is(err, store.ErrConflict) {
		t.Fatal(err)
	}
	cancel()
	for ev := range events {
		if ev.Key != "" {
			t.Errorf("heard %+v of a commit that was refused", ev)
		}
	}
}

// next is the next event that names a key.
func next(t *testing.T, events <-chan store.Event) store.Event {
	t.Helper()
	for {
		select {
		case ev, open := <-events:
			if !open {
				t.Fatal("the watch ended")
			}
			if ev.Key != "" {
				return ev
			}
		case <-time.After(patience):
			t.Fatal("nothing heard")
		}
	}
}

func testCancelled(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	commit(t, b.store, store.Put("k", nil))
	_, getErr := b.store.Get(ctx, "k")
	_, noneErr := b.store.Get(ctx, "none")
	_, scanErr := b.store.Scan(ctx, "k", "", 1)
	commitErr := b.store.Commit(ctx, store.Put("k2", nil))
	for name, err := range map[string]error{"get": getErr, "get none": noneErr, "scan": scanErr, "commit": commitErr} {
		if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.store.Get(t.Context(), "k2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a cancelled commit wrote: %v", err)
	}
}
