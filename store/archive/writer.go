package archive

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"kdgate/store"
)

// Writer writes one archive. It is not safe for concurrent use. Without Close
// what it wrote is no archive.
type Writer struct {
	out    *bufio.Writer
	sums   sums
	counts Counts
	keys   map[string]store.Version // of what was written, to tell changes from entries
	buf    []byte
	err    error // the first; nothing is written after it
}

// NewWriter begins an archive. key is at least 32 bytes and for archives only.
func NewWriter(w io.Writer, key []byte, h Header) (*Writer, error) {
	s, err := newSums(key)
	if err != nil {
		return nil, err
	}
	a := &Writer{out: bufio.NewWriterSize(w, 1<<18), sums: s, keys: map[string]store.Version{}}
	a.write([]byte(magic))
	h.Format = Format
	a.writeJSON(frameHeader, h)
	return a, a.err
}

// Put writes an entry as GetSealed or ScanSealed gave it. One that was written
// before becomes a change, unless it is in the same version.
func (a *Writer) Put(e store.Entry) error {
	was, again := a.keys[e.Key]
	if again && was == e.Version {
		return a.err
	}
	a.keys[e.Key] = e.Version
	kind := byte(frameEntry)
	if again {
		kind = frameChange
		a.counts.Changes++
	} else {
		a.counts.Entries++
	}
	a.buf = appendEntry(a.buf[:0], e)
	a.frame(kind, a.buf)
	return a.err
}

// Remove says that an entry is gone; one that was never written is not named.
func (a *Writer) Remove(key string) error {
	if _, there := a.keys[key]; there {
		delete(a.keys, key)
		a.counts.Removals++
		a.frame(frameRemoval, []byte(key))
	}
	return a.err
}

// Keep removes every entry whose key is not in keys.
func (a *Writer) Keep(keys map[string]struct{}) error {
	for key := range a.keys {
		if _, there := keys[key]; !there {
			_ = a.Remove(key) // the error stays
		}
	}
	return a.err
}

// File writes the content of r under name.
func (a *Writer) File(name string, r io.Reader) error {
	a.frame(frameFile, []byte(name))
	a.counts.Files++
	chunk := make([]byte, chunkSize)
	for a.err == nil {
		n, err := io.ReadFull(r, chunk)
		if n > 0 {
			a.frame(frameData, chunk[:n])
			a.counts.Bytes += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return a.err
		}
		if err != nil {
			a.err = fmt.Errorf("archive: read %s: %w", name, err)
		}
	}
	return a.err
}

// Entries is how many entries were written.
func (a *Writer) Entries() int { return len(a.keys) }

// Close writes the trailer and the sums.
func (a *Writer) Close() (Counts, error) {
	a.writeJSON(frameTrailer, a.counts)
	if a.err != nil {
		return Counts{}, a.err
	}
	tail := a.sums.keyed.Sum(a.sums.plain.Sum(nil))
	a.write(tail)
	if a.err == nil {
		a.err = a.out.Flush()
	}
	return a.counts, a.err
}

func (a *Writer) writeJSON(kind byte, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		a.err = errors.Join(a.err, fmt.Errorf("archive: %w", err))
		return
	}
	a.frame(kind, text)
}

func (a *Writer) frame(kind byte, payload []byte) {
	var head [headSize]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(payload)))
	a.write(head[:])
	a.write(payload)
}

func (a *Writer) write(p []byte) {
	if a.err != nil {
		return
	}
	if _, err := a.out.Write(p); err != nil {
		a.err = fmt.Errorf("archive: write: %w", err)
		return
	}
	_, _ = a.sums.Write(p) // takes everything
}
