package archive

import (
	"bufio"
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"kdgate/store"
)

// Visitor takes what an archive holds, in order; a nil field takes nothing. What
// it is handed is only good until it returns, and only to be believed after the
// whole archive was verified.
type Visitor struct {
	Header func(Header) error
	Entry  func(store.Entry) error // an entry, its value still sealed
	Change func(store.Entry) error // one that replaces an earlier one
	Remove func(key string) error
	File   func(name string) (io.Writer, error) // where a file's content goes; nil: nowhere
}

// Verify reads all of an archive and says whether it is what was written:
// ErrDamaged, ErrOtherKey, ErrNewer, or an error of reading.
func Verify(r io.Reader, key []byte) (Header, Counts, error) {
	return Read(r, key, Visitor{})
}

// Read is Verify with somebody who looks.
func Read(r io.Reader, key []byte, v Visitor) (Header, Counts, error) {
	s, err := newSums(key)
	if err != nil {
		return Header{}, Counts{}, err
	}
	a := &reader{in: bufio.NewReaderSize(r, 1<<18), sums: s, visitor: v, out: io.Discard}
	if err := a.begin(); err != nil {
		return Header{}, Counts{}, err
	}
	for done := false; !done; {
		if done, err = a.next(); err != nil {
			return a.header, a.counts, err
		}
	}
	return a.header, a.counts, a.end()
}

type reader struct {
	in      *bufio.Reader
	sums    sums
	visitor Visitor
	header  Header
	counts  Counts
	inFile  bool      // D may come
	out     io.Writer // of the file under way
	buf     []byte
}

// begin reads the magic and the header.
func (a *reader) begin() error {
	start := make([]byte, len(magic))
	if err := a.read(start); err != nil {
		return err
	}
	if string(start) != magic {
		if string(start[:len("kdgate archive ")]) == "kdgate archive " {
			return ErrNewer
		}
		return damaged("it does not begin as an archive of kdgate")
	}
	kind, payload, err := a.frame()
	if err != nil {
		return err
	}
	if kind != frameHeader || json.Unmarshal(payload, &a.header) != nil {
		return damaged("it has no header")
	}
	if a.header.Format != Format {
		return fmt.Errorf("%w: %d", ErrNewer, a.header.Format)
	}
	if a.visitor.Header != nil {
		return a.visitor.Header(a.header)
	}
	return nil
}

// next reads one frame; done after the trailer.
func (a *reader) next() (done bool, err error) {
	kind, payload, err := a.frame()
	if err != nil {
		return false, err
	}
	switch kind {
	case frameEntry, frameChange:
		return false, a.entry(kind, payload)
	case frameRemoval:
		a.counts.Removals++
		if a.visitor.Remove != nil {
			return false, a.visitor.Remove(string(payload))
		}
		return false, nil
	case frameFile:
		return false, a.file(string(payload))
	case frameData:
		return false, a.data(payload)
	case frameTrailer:
		var said Counts
		if json.Unmarshal(payload, &said) != nil || said != a.counts {
			return false, damaged("it does not hold what its trailer counts")
		}
		return true, nil
	}
	return false, damaged("a frame of type %q", kind)
}

func (a *reader) entry(kind byte, payload []byte) error {
	e, err := parseEntry(payload)
	if err != nil {
		return err
	}
	visit := a.visitor.Entry
	if kind == frameChange {
		a.counts.Changes++
		visit = a.visitor.Change
	} else {
		a.counts.Entries++
	}
	if visit == nil {
		return nil
	}
	return visit(e)
}

func (a *reader) file(name string) error {
	a.counts.Files++
	a.inFile, a.out = true, io.Discard
	if a.visitor.File == nil {
		return nil
	}
	out, err := a.visitor.File(name)
	if out != nil {
		a.out = out
	}
	return err
}

func (a *reader) data(payload []byte) error {
	if !a.inFile {
		return damaged("content of no file")
	}
	a.counts.Bytes += int64(len(payload))
	_, err := a.out.Write(payload)
	return err
}

// end compares the sums, and that nothing comes after them.
func (a *reader) end() error {
	want := a.sums.keyed.Sum(a.sums.plain.Sum(nil))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(a.in, got); err != nil {
		return cut(err)
	}
	plain := a.sums.plain.Size()
	switch {
	case subtle.ConstantTimeCompare(got[:plain], want[:plain]) != 1:
		return damaged("its content is not what was written")
	case subtle.ConstantTimeCompare(got[plain:], want[plain:]) != 1:
		return ErrOtherKey
	}
	if _, err := a.in.ReadByte(); err == nil {
		return damaged("it goes on after its end")
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("archive: read: %w", err)
	}
	return nil
}

// frame reads one frame; its payload is good until the next.
func (a *reader) frame() (kind byte, payload []byte, err error) {
	var head [headSize]byte
	if err := a.read(head[:]); err != nil {
		return 0, nil, err
	}
	size := int(binary.BigEndian.Uint32(head[1:]))
	if size > maxPayload {
		return 0, nil, damaged("a frame of %d bytes", size)
	}
	if cap(a.buf) < size {
		a.buf = make([]byte, size)
	}
	payload = a.buf[:size]
	return head[0], payload, a.read(payload)
}

func (a *reader) read(p []byte) error {
	if _, err := io.ReadFull(a.in, p); err != nil {
		return cut(err)
	}
	_, _ = a.sums.Write(p) // takes everything
	return nil
}
