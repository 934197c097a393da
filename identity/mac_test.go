package identity

import (
	"encoding/hex"
	"testing"
)

// A MAC is of its parts, not of their text in a row (T24).
func TestMACParts(t *testing.T) {
	s := NewSecret("key")
	seen := map[string]string{}
	for name, sum := range map[string][]byte{
		"ab c":       s.MAC("ab", "c"),
		"a bc":       s.MAC("a", "bc"),
		"abc":        s.MAC("abc"),
		"abc empty":  s.MAC("abc", ""),
		"other key":  NewSecret("kez").MAC("abc"),
		"empty a bc": s.MAC("", "a", "bc"),
	} {
		if other, twice := seen[hex.EncodeToString(sum)]; twice {
			t.Errorf("%q and %q have the same MAC", name, other)
		}
		seen[hex.EncodeToString(sum)] = name
	}
}

// The signature is what an outsider makes with a tool of their own:
// printf '1763800000.{"a":1}' | openssl dgst -sha256 -hmac shared
func TestSignMessage(t *testing.T) {
	const want = "sha256=225c596554715593c197ceb7942f2b2f690b2c0214c67ad41ff22a3c7fdf997a"
	if got := NewSecret("shared").SignMessage("1763800000", []byte(`{"a":1}`)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
