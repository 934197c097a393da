package archive

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"time"

	"kdgate/store"
)

// Format is the version that this package writes, and the only one it reads.
const Format = 1

const magic = "kdgate archive 1\n"

// The types of frame.
const (
	frameHeader  = 'H'
	frameEntry   = 'E'
	frameChange  = 'C'
	frameRemoval = 'R'
	frameFile    = 'F'
	frameData    = 'D'
	frameTrailer = 'T'
)

const (
	headSize   = 1 + 4
	entryFixed = 2 + 8 + 8
	chunkSize  = 1 << 16                                      // of a file's content
	maxPayload = entryFixed + store.MaxKey + store.MaxValue*2 // a sealed value is a little longer than a plain one
	minKey     = 32
)

// The errors of an archive, wrapped; compare with errors.Is.
var (
	ErrDamaged  = errors.New("archive: damaged")                // not the bytes that were written
	ErrOtherKey = errors.New("archive: made under another key") // whole, but not by this installation
	ErrNewer    = errors.New("archive: of a format that this version does not know")
)

// Header is what an archive says of itself.
type Header struct {
	Format  int       `json:"format"`
	Tenant  string    `json:"tenant"`   // store.tenant of the installation
	Program string    `json:"program"`  // version of kdgate
	Driver  string    `json:"driver"`   // of the store it was taken from
	At      time.Time `json:"at"`       // when the backup was begun: what happened later may not be in it
	LeftOut []string  `json:"left_out"` // prefixes of keys that are not in it
}

// Counts is what an archive holds, applied in order.
type Counts struct {
	Entries  int   `json:"entries"`  // E frames
	Changes  int   `json:"changes"`  // C frames
	Removals int   `json:"removals"` // R frames
	Files    int   `json:"files"`
	Bytes    int64 `json:"bytes"` // of those files
}

// sums are the two sums over all bytes so far.
type sums struct {
	plain, keyed hash.Hash
}

func newSums(key []byte) (sums, error) {
	if len(key) < minKey {
		return sums{}, fmt.Errorf("archive: the key has %d bytes, at least %d are needed", len(key), minKey)
	}
	return sums{plain: sha256.New(), keyed: hmac.New(sha256.New, key)}, nil
}

func (s sums) Write(p []byte) (int, error) {
	s.plain.Write(p) // a hash takes everything
	s.keyed.Write(p)
	return len(p), nil
}

// appendEntry is the payload of E and C.
func appendEntry(b []byte, e store.Entry) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.Key)))
	b = append(b, e.Key...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Version))
	var ends int64
	if !e.ExpiresAt.IsZero() {
		ends = e.ExpiresAt.UnixMicro()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(ends))
	return append(b, e.Value...)
}

func parseEntry(b []byte) (store.Entry, error) {
	if len(b) < entryFixed {
		return store.Entry{}, damaged("an entry of %d bytes", len(b))
	}
	size := int(binary.BigEndian.Uint16(b))
	if size == 0 || size > store.MaxKey || len(b) < entryFixed+size {
		return store.Entry{}, damaged("a key of %d bytes", size)
	}
	rest := b[2+size:]
	version, ends := binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:])
	if version == 0 || version > math.MaxInt64 || ends > math.MaxInt64 {
		return store.Entry{}, damaged("version or end out of range")
	}
	e := store.Entry{Key: string(b[2 : 2+size]), Version: store.Version(version), Value: rest[16:]}
	if ends > 0 {
		e.ExpiresAt = time.UnixMicro(int64(ends))
	}
	return e, nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// cut makes an early end of the file damage; other errors of reading stay.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("it is cut short")
	}
	return fmt.Errorf("archive: read: %w", err)
}
