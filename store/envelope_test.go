package store

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func testRing(t testing.TB, seeds ...string) keyring {
	t.Helper()
	secrets := make([][]byte, len(seeds))
	for i, seed := range seeds {
		secrets[i] = bytes.Repeat([]byte(seed), MinSealKey)
	}
	ring, err := newKeyring(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestEnvelopeRoundTrip(t *testing.T) {
	ring := testRing(t, "a")
	for _, want := range []Entry{
		{Key: "k", Value: []byte{}, Version: 1},
		{Key: strings.Repeat("键", MaxKey/3), Value: make([]byte, MaxValue), Version: maxVersion},
		{Key: "k", Value: []byte("v"), Version: 7, ExpiresAt: time.UnixMicro(1)},
	} {
		raw := want
		raw.Value = ring[0].seal(want.Key, want.Value, want.Version, want.ExpiresAt)
		got, err := ring.open(raw)
		if err != nil || got.Key != want.Key || !bytes.Equal(got.Value, want.Value) ||
			got.Version != want.Version || !got.ExpiresAt.Equal(want.ExpiresAt) {
			t.Errorf("%.10s…: version %d, %d bytes, ends %v, %v", got.Key, got.Version, len(got.Value), got.ExpiresAt, err)
		}
	}
}

// TestEnvelopeBorders: moving a byte from the key to the value, or the other
// way, is another envelope.
func TestEnvelopeBorders(t *testing.T) {
	ring := testRing(t, "a")
	sealed := ring[0].seal("ab", []byte("c"), 1, time.Time{})
	for _, key := range []string{"a", "abc", "ab\x00", ""} {
		if _, err := ring.open(Entry{Key: key, Value: sealed, Version: 1}); !errors.Is(err, errOtherKey) {
			t.Errorf("opened as %q: %v", key, err)
		}
	}
}

func TestKeyRotation(t *testing.T) {
	seal := func(ring keyring) Entry {
		return Entry{Key: "k", Version: 1, Value: ring[0].seal("k", []byte("v"), 1, time.Time{})}
	}
	before, during, after := testRing(t, "a"), testRing(t, "b", "a"), testRing(t, "b")
	for _, c := range []struct {
		name string
		raw  Entry
		ring keyring
		ok   bool
	}{
		{"old value, both keys", seal(before), during, true},
		{"new value, both keys", seal(during), during, true},
		{"new value, new key alone", seal(during), after, true},
		{"old value, new key alone", seal(before), after, false},
		{"new value, old key alone", seal(during), before, false},
	} {
		if _, err := c.ring.open(c.raw); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestShortKeysAreRefused(t *testing.T) {
	good := make([]byte, MinSealKey)
	for name, secrets := range map[string][][]byte{
		"none": {}, "empty": {{}}, "31 bytes": {good[1:]}, "one of two": {good, good[1:]},
	} {
		if _, err := newKeyring(secrets); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzOpen: whatever an engine holds, opening it never panics, and only what was
// sealed opens.
func FuzzOpen(f *testing.F) {
	ring := testRing(f, "a", "b")
	sealed := ring[0].seal("key", []byte("value"), 3, time.UnixMicro(5))
	f.Add(sealed, "key", uint64(3))
	f.Add(sealed[:headSize+macSize], "key", uint64(3))
	f.Add([]byte{envelopeFormat}, "", uint64(0))
	f.Fuzz(func(t *testing.T, value []byte, key string, version uint64) {
		_, err := ring.open(Entry{Key: key, Value: value, Version: Version(version), ExpiresAt: time.UnixMicro(5)})
		if err == nil && (!bytes.Equal(value, sealed) || key != "key" || version != 3) {
			t.Errorf("opened %x as %q", value, key)
		}
	})
}

// FuzzKey: a key that passes is one that both engines keep and print as it is.
func FuzzKey(f *testing.F) {
	for _, key := range []string{"a/b", "", "a\nb", "a\xff", "中文", "\u202e", strings.Repeat("k", MaxKey+1)} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if err := checkKey(key); err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Error(err)
			}
			return
		}
		if key == "" || len(key) > MaxKey || strings.ContainsAny(key, "\x00\n\r\x7f") || strings.ToValidUTF8(key, "") != key {
			t.Errorf("accepted %q", key)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	ring := testRing(b, "a")
	value := make([]byte, 300)
	b.ReportAllocs()
	for b.Loop() {
		ring[0].seal("session/0123456789abcdef", value, 1, time.Time{})
	}
}

func BenchmarkOpen(b *testing.B) {
	ring := testRing(b, "a")
	raw := Entry{Key: "session/0123456789abcdef", Version: 1}
	raw.Value = ring[0].seal(raw.Key, make([]byte, 300), 1, time.Time{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ring.open(raw); err != nil {
			b.Fatal(err)
		}
	}
}
