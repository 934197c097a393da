package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kdgate/store"
)

func key(letter string) []byte { return bytes.Repeat([]byte(letter), store.MinSealKey) }

// TestChangeOfTheKey proves R57 for the seal: at each of the three steps a process
// that is before it and one that is after it read each other's entries, and once
// everything is sealed anew the old key is needed by nothing.
func TestChangeOfTheKey(t *testing.T) {
	d := open(t)
	one, two := seal(t, d, store.SealConfig{Keys: [][]byte{key("a")}}), seal(t, d, store.SealConfig{Keys: [][]byte{key("a")}})
	both := func(step string) {
		t.Helper()
		for name, s := range map[string]*store.Sealed{"one": one, "two": two} {
			if err := s.Commit(t.Context(), store.Put("row/"+name, []byte(step))); err != nil {
				t.Fatalf("%s: %s writes: %v", step, name, err)
			}
			for _, reader := range []*store.Sealed{one, two} {
				if e, err := reader.Get(t.Context(), "row/"+name); err != nil || string(e.Value) != step {
					t.Fatalf("%s: %s of %s: %q, %v", step, name, step, e.Value, err)
				}
			}
		}
	}
	both("before")
	for _, ring := range [][][]byte{{key("a"), key("b")}, {key("b"), key("a")}} {
		for _, s := range []*store.Sealed{one, two} {
			if err := s.Rekey(ring); err != nil {
				t.Fatal(err)
			}
			both(fmt.Sprintf("%.1s first", ring[0]))
		}
	}
	for _, s := range []*store.Sealed{one, two} {
		if _, err := s.Reseal(t.Context(), nobody); err != nil {
			t.Fatal(err)
		}
		if err := s.Rekey([][]byte{key("b")}); err != nil {
			t.Fatal(err)
		}
		both("after")
	}
}

func nobody(store.Entry) bool { return false }

// TestRekeyKeepsTheKeyInForce: a list without the key that seals now, an empty one
// and one with a short key change nothing.
func TestRekeyKeepsTheKeyInForce(t *testing.T) {
	s := seal(t, open(t), store.SealConfig{Keys: [][]byte{key("a"), key("b")}})
	if err := s.Commit(t.Context(), store.Put("k", []byte("v"))); err != nil {
		t.Fatal(err)
	}
	for name, ring := range map[string][][]byte{"another": {key("c")}, "only the old one": {key("b")}, "none": nil, "short": {[]byte("short"), key("a")}} {
		if err := s.Rekey(ring); err == nil {
			t.Errorf("%s is taken", name)
		}
		if _, err := s.Get(t.Context(), "k"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// TestReseal: what others sealed is sealed anew with what it says and its end; who
// is changing it begins again; what ends soon, or is held, is counted and left.
func TestReseal(t *testing.T) {
	d := open(t)
	old := seal(t, d, store.SealConfig{Keys: [][]byte{key("a")}})
	var version store.Version
	ops := []store.Op{
		store.Put("row/1", []byte("one")).Tell(&version), store.Put("row/2", []byte("two")).For(72 * time.Hour),
		store.Put("session/1", []byte("soon over")).For(time.Hour), store.Put("job/held", []byte("held")),
	}
	for i := range 3 * store.MaxPage / 2 { // more than a page
		ops = append(ops, store.Put(fmt.Sprintf("many/%05d", i), []byte("x")))
	}
	for len(ops) > 0 {
		n := min(len(ops), store.MaxOps)
		if err := old.Commit(t.Context(), ops[:n]...); err != nil {
			t.Fatal(err)
		}
		ops = ops[n:]
	}
	fresh := seal(t, d, store.SealConfig{Keys: [][]byte{key("b"), key("a")}})
	if err := fresh.Commit(t.Context(), store.Put("row/3", []byte("new already"))); err != nil {
		t.Fatal(err)
	}
	held := func(e store.Entry) bool { return strings.HasPrefix(e.Key, "job/") && string(e.Value) == "held" }
	done, err := fresh.Reseal(t.Context(), held)
	if err != nil || done.Anew != 2+3*store.MaxPage/2 || done.Left != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	if again, err := fresh.Reseal(t.Context(), held); err != nil || again.Anew != 0 || again.Left != 2 {
		t.Errorf("a second look: %+v, %v", again, err)
	}
	alone := seal(t, d, store.SealConfig{Keys: [][]byte{key("b")}})
	for name, want := range map[string]string{"row/1": "one", "row/2": "two", "row/3": "new already"} {
		entry, err := alone.Get(t.Context(), name)
		if err != nil || string(entry.Value) != want {
			t.Errorf("%s without the old key: %q, %v", name, entry.Value, err)
		}
		if left := time.Until(entry.ExpiresAt); name == "row/2" && (left < 71*time.Hour || left > 72*time.Hour) {
			t.Errorf("%s ends in %s", name, left)
		}
	}
	for _, name := range []string{"session/1", "job/held"} {
		if _, err := alone.Get(t.Context(), name); !errors.Is(err, store.ErrTampered) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := fresh.Commit(t.Context(), store.Replace("row/1", []byte("of before"), version)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a change that was begun before: %v", err)
	}
	if done, err := fresh.Reseal(t.Context(), nobody); err != nil || done.Anew != 1 || done.Left != 1 {
		t.Errorf("when nobody holds it: %+v, %v", done, err)
	}
}

// TestResealMeetsAStranger: an entry that no key in force has sealed stops the
// pass and stays as it is.
func TestResealMeetsAStranger(t *testing.T) {
	d := open(t)
	stranger := seal(t, d, store.SealConfig{Keys: [][]byte{key("z")}})
	if err := stranger.Commit(t.Context(), store.Put("row/1", []byte("forged"))); err != nil {
		t.Fatal(err)
	}
	s := seal(t, d, store.SealConfig{Keys: [][]byte{key("b"), key("a")}})
	if _, err := s.Reseal(t.Context(), nobody); !errors.Is(err, store.ErrTampered) {
		t.Errorf("%v", err)
	}
	if _, err := s.Get(t.Context(), "row/1"); !errors.Is(err, store.ErrTampered) {
		t.Errorf("a forged entry was sealed: %v", err)
	}
}
