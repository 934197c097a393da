package gateway

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"sync"

	"kdgate/identity"
)

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

// hashed is how an id is named in the store: who reads the store cannot use it.
func hashed(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}
