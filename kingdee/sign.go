package kingdee

import (
	"crypto/sha1" //nolint:gosec // the only digest servers before PT-146911 know; off unless a data centre asks for it (T34)
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"unicode/utf8"

	"kdgate/identity"
)

// Hash is the digest of a Kingdee signature.
type Hash string

// The digests Kingdee knows. SHA1 is for servers before 8.0.0.202205 (reference 1.1).
const (
	SHA256 Hash = "sha256"
	SHA1   Hash = "sha1"
)

// sign is Kingdee's signature over the values and the app secret: sorted by
// UTF-16 code unit, joined with nothing between, digested as UTF-8, lower-case
// hex (reference 1.3). The joined text holds the secret in clear, so it lives in
// one buffer here, is wiped, and is never returned.
func sign(hash Hash, secret identity.Secret, values ...string) string {
	sorted := append(make([]string, 0, 8), values...)
	sorted = append(sorted, secret.Reveal())
	slices.SortFunc(sorted, compareUTF16)
	var space [512]byte
	joined := space[:0]
	for _, value := range sorted {
		joined = append(joined, value...)
	}
	defer clear(joined)
	if hash == SHA1 {
		sum := sha1.Sum(joined) //nolint:gosec // see the import
		return hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256(joined)
	return hex.EncodeToString(sum[:])
}

// compareUTF16 is .NET's StringComparer.Ordinal. Go compares UTF-8 bytes, which
// differs only where a character outside the BMP meets one in U+E000–U+FFFF.
func compareUTF16(a, b string) int {
	for len(a) > 0 && len(b) > 0 {
		ra, na := utf8.DecodeRuneInString(a)
		rb, nb := utf8.DecodeRuneInString(b)
		if ra != rb {
			ua, la := codeUnits(ra)
			ub, lb := codeUnits(rb)
			if ua != ub {
				return int(ua - ub)
			}
			return int(la - lb)
		}
		a, b = a[na:], b[nb:]
	}
	return len(a) - len(b)
}

// codeUnits gives the UTF-16 form of r: the first unit, and the second one or zero.
func codeUnits(r rune) (first, second rune) {
	const surrogates = 0x10000
	if r < surrogates {
		return r, 0
	}
	r -= surrogates
	return 0xD800 + r>>10, 0xDC00 + r&0x3FF
}
