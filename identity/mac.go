package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// MAC is HMAC-SHA-256 (RFC 2104) under the secret, over the purpose and its
// parts, each with its length in front, so that no two lists of parts can read
// alike (T24).
func (s Secret) MAC(purpose string, parts ...string) []byte {
	h := hmac.New(sha256.New, []byte(s.Reveal()))
	for _, part := range append([]string{purpose}, parts...) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// The headers of a message between kdgate and another system that share a secret.
const (
	HeaderTimestamp = "X-Kdgate-Timestamp" // Unix seconds, when it was signed
	HeaderSignature = "X-Kdgate-Signature" // what SignMessage gives
)

// SignMessage is the signature of a message: "sha256=" and the hexadecimal
// HMAC-SHA-256 of the timestamp, a dot and the body.
func (s Secret) SignMessage(timestamp string, body []byte) string {
	h := hmac.New(sha256.New, []byte(s.Reveal()))
	h.Write([]byte(timestamp))
	h.Write([]byte{'.'})
	h.Write(body)
	return "sha256=" + hex.EncodeToString(h.Sum(nil))
}
