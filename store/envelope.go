package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"sync"
	"time"
)

// MinSealKey is the least length of a sealing key in bytes: the output of SHA-256.
const MinSealKey = 32

const (
	envelopeFormat = 1
	macSize        = sha256.Size
	headSize       = 1 + 4 + 8 + 8 + 2
	maxVersion     = Version(math.MaxInt64 - 1) // fits the signed integers of every engine
)

// errOtherKey marks a sound envelope of another key: a copied value, or a reply
// that belongs to another question.
var errOtherKey = errors.New("it belongs to another key")

// sealKey signs and verifies with one key. Hash states are pooled: a reset HMAC
// costs a third of a new one.
type sealKey struct {
	id   [4]byte
	pool *sync.Pool // of *macState
}

type macState struct {
	mac hash.Hash
	sum [macSize]byte
}

func newSealKey(secret []byte) (sealKey, error) {
	if len(secret) < MinSealKey {
		return sealKey{}, fmt.Errorf("store: sealing key of %d bytes, at least %d are needed", len(secret), MinSealKey)
	}
	// Derived, so that the configured key may serve other purposes too.
	inner := derive(secret, "kdgate store seal 1")
	k := sealKey{pool: &sync.Pool{New: func() any {
		return &macState{mac: hmac.New(sha256.New, inner)}
	}}}
	copy(k.id[:], derive(secret, "kdgate store seal key id"))
	return k, nil
}

func derive(secret []byte, purpose string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(purpose))
	return mac.Sum(nil)
}

// seal wraps value for key. The layout is drawn in doc.go.
func (k sealKey) seal(key string, value []byte, v Version, end time.Time) []byte {
	b := make([]byte, 0, headSize+len(key)+len(value)+macSize)
	b = append(b, envelopeFormat)
	b = append(b, k.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(v))
	b = binary.BigEndian.AppendUint64(b, uint64(endMicros(end)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(key)))
	b = append(b, key...)
	b = append(b, value...)
	st := k.pool.Get().(*macState)
	defer k.pool.Put(st)
	st.mac.Reset()
	st.mac.Write(b)
	return st.mac.Sum(b)
}

// verifies reports in constant time whether the last bytes of b are its MAC.
func (k sealKey) verifies(b []byte) bool {
	st := k.pool.Get().(*macState)
	defer k.pool.Put(st)
	st.mac.Reset()
	st.mac.Write(b[:len(b)-macSize])
	return hmac.Equal(st.mac.Sum(st.sum[:0]), b[len(b)-macSize:])
}

// sealed reports whether the envelope b names this key.
func (k sealKey) sealed(b []byte) bool { return len(b) >= headSize && [4]byte(b[1:5]) == k.id }

// keyring is the list of keys in force: the first signs, all verify.
type keyring []sealKey

func newKeyring(secrets [][]byte) (keyring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("store: no sealing key")
	}
	ring := make(keyring, 0, len(secrets))
	for i, secret := range secrets {
		k, err := newSealKey(secret)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		ring = append(ring, k)
	}
	return ring, nil
}

// open verifies raw, an entry a driver gave for its key, and returns it with the
// value that was sealed. Every error is one of tampering.
func (r keyring) open(raw Entry) (Entry, error) {
	b := raw.Value
	if len(b) < headSize+macSize || b[0] != envelopeFormat {
		return Entry{}, errors.New("it is not an envelope")
	}
	if !r.verifies(b) {
		return Entry{}, errors.New("its seal is of no key in force")
	}
	version := Version(binary.BigEndian.Uint64(b[5:]))
	end := endTime(int64(binary.BigEndian.Uint64(b[13:])))
	body := b[headSize : len(b)-macSize]
	size := int(binary.BigEndian.Uint16(b[21:]))
	if size > len(body) || string(body[:size]) != raw.Key {
		return Entry{}, errOtherKey
	}
	if version != raw.Version || version > maxVersion || !end.Equal(raw.ExpiresAt) {
		return Entry{}, errors.New("its version or end is not the one it was sealed with")
	}
	return Entry{Key: raw.Key, Value: body[size:], Version: version, ExpiresAt: end}, nil
}

// verifies tries the keys that carry the envelope's key id: one, save for a
// collision of ids.
func (r keyring) verifies(b []byte) bool {
	for _, k := range r {
		if [4]byte(b[1:5]) == k.id && k.verifies(b) {
			return true
		}
	}
	return false
}

// endMicros is an end of life as engines keep it: microseconds, zero for none.
func endMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(1, t.UnixMicro())
}

func endTime(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros)
}
