package gateway

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"kdgate/identity"
)

const randomSize = 32 // bytes of every id, ticket and cookie (T37 asks for 16)

// keys derives everything that has to be the same on every replica. What others
// derived while the secret is changed is known by the old ones (R57).
type keys struct {
	secret identity.Secret
	old    []identity.Secret // of the last change, or staged for the next; nothing new is derived from them
}

// ring is keys of one secret each: the one in force first.
func (k keys) ring() []keys {
	all := make([]keys, 0, 1+len(k.old))
	for _, secret := range append([]identity.Secret{k.secret}, k.old...) {
		all = append(all, keys{secret: secret})
	}
	return all
}

// knows reports whether text is what any of the secrets derives.
func (k keys) knows(text, purpose string, parts ...string) bool {
	known := false
	for _, each := range k.ring() {
		known = sameText(text, each.text(purpose, parts...)) || known
	}
	return known
}

func (k keys) hex(purpose string, parts ...string) string {
	return hex.EncodeToString(k.secret.MAC(purpose, parts...))
}

func (k keys) text(purpose string, parts ...string) string {
	return base64.RawURLEncoding.EncodeToString(k.secret.MAC(purpose, parts...))
}

// sameText compares in constant time (T127).
func sameText(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// newID is an unguessable id for a URL or a cookie.
func newID(random io.Reader) (string, error) {
	var raw [randomSize]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("gateway: random: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

// references makes request ids, short enough to be read out on the phone. They
// are no secret and there is one for every request, so their randomness is
// drawn for many at a time.
type references struct {
	mu   sync.Mutex
	from *bufio.Reader
}

const referenceSize = 8 // bytes

func newReferences(random io.Reader) *references {
	return &references{from: bufio.NewReaderSize(random, 64*referenceSize)}
}

func (r *references) next() (string, error) {
	var raw [referenceSize]byte
	r.mu.Lock()
	_, err := io.ReadFull(r.from, raw[:])
	r.mu.Unlock()
	if err != nil {
		return "", fmt.Errorf("gateway: random: %w", err)
	}
	return hex.EncodeToString(raw[:]), nil
}

// isID reports whether text is exactly what newID writes: no padding, no other
// alphabet, no stray bits at the end (T39).
func isID(text string) bool {
	if len(text) != base64.RawURLEncoding.EncodedLen(randomSize) {
		return false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(raw) == randomSize
}

// cookieID is the id in a cookie of ours, false where there is none, more than
// one, or one that we did not write (T39). It reads the header itself: net/http
// takes quotes off and drops what is malformed, which would no longer count as
// the second one. A name inside U+2000 and its like counts but is not ours: a
// neighbouring host could set it past the prefix.
func cookieID(r *http.Request, cookie string) (id string, ok bool) {
	found := 0
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(pair, "=")
			if strings.EqualFold(strings.TrimSpace(name), cookie) {
				found++
				id, ok = strings.Trim(value, " \t"), strings.TrimLeft(name, " \t") == cookie
			}
		}
	}
	if found != 1 || !ok || !isID(id) {
		return "", false
	}
	return id, true
}

// hashed is how an id is named in the store: who reads the store cannot use it.
func hashed(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}
