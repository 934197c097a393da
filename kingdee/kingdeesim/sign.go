package kingdeesim

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the vendor's algorithm before PT-146911
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf16"
)

// ordinal compares by UTF-16 code unit, as .NET's StringComparer.Ordinal does.
// UTF-8 byte order differs for characters beyond U+FFFF.
func ordinal(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

// passportDigest is the signature of links and logins: sorted, joined with
// nothing between, hashed, lower-case hex.
func passportDigest(hash string, values ...string) string {
	sorted := slices.Clone(values)
	slices.SortFunc(sorted, ordinal)
	joined := []byte(strings.Join(sorted, ""))
	if hash == hashSHA1 {
		sum := sha1.Sum(joined) //nolint:gosec // see the import
		return hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256(joined)
	return hex.EncodeToString(sum[:])
}

func same(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// headerDigest is the Base64 of the lower-case hex text of HMAC-SHA256.
func headerDigest(key, message string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(message))
	return base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(mac.Sum(nil))))
}

// xorKey is the text the vendor's SDKs carry to unwrap the client secret.
const xorKey = "0054f397c6234378b09ca7d3e5debce7"

// clientSecret takes the client id and the client secret out of an app id
// (K-HS-01). Only a 32-character second half is known to be safe.
func clientSecret(appID string) (id, secret string, ok bool) {
	id, enc, found := strings.Cut(appID, "_")
	raw, err := base64.StdEncoding.DecodeString(enc)
	if !found || len(enc) != 32 || err != nil || len(raw) > len(xorKey) {
		return "", "", false
	}
	for i := range raw {
		raw[i] ^= xorKey[i]
	}
	return id, base64.StdEncoding.EncodeToString(raw), true
}

// gatewayMessage is what X-Api-Signature signs.
func gatewayMessage(path, nonce, timestamp string) string {
	return "POST\n" + strings.ReplaceAll(path, "/", "%2F") + "\n\nx-api-nonce:" + nonce + "\nx-api-timestamp:" + timestamp + "\n"
}
