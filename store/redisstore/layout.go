package redisstore

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"kdgate/store"
)

// names are the Redis names of one tenant.
type names struct{ value, index, ends, high, request, channel string }

func newNames(tenant string) names {
	tag := "{kdgate:" + tenant + "}"
	return names{value: tag + "k:", index: tag + "i", ends: tag + "e", high: tag + "h", request: tag + "r:", channel: tag + "c"}
}

const (
	digits   = 20 // of the largest uint64; fixed width, so text order is number order
	headSize = 2 * digits
)

// pad writes n in fixed width. Lua has only doubles: as text, versions compare exactly.
func pad(n uint64) string { return string(appendPadded(nil, n)) }

func appendPadded(b []byte, n uint64) []byte {
	var text [digits]byte
	for i := digits - 1; i >= 0; i-- {
		text[i] = byte('0' + n%10)
		n /= 10
	}
	return append(b, text[:]...)
}

// packHead is what stands before the value: version and end.
func packHead(v store.Version, end time.Time) string { return string(appendHead(nil, v, end)) }

func appendHead(b []byte, v store.Version, end time.Time) []byte {
	var micros int64
	if !end.IsZero() {
		micros = end.UnixMicro()
	}
	return appendPadded(appendPadded(b, uint64(v)), uint64(micros))
}

var errMalformed = errors.New("not a record of ours")

// unpack reads what Redis holds under the value name of key.
func unpack(key, text string) (store.Entry, error) {
	if len(text) < headSize {
		return store.Entry{}, errMalformed
	}
	version, err1 := unpad(text[:digits])
	micros, err2 := unpad(text[digits:headSize])
	if err1 != nil || err2 != nil || version == 0 || micros > math.MaxInt64 {
		return store.Entry{}, errMalformed
	}
	entry := store.Entry{Key: key, Value: []byte(text[headSize:]), Version: store.Version(version)}
	if micros != 0 {
		entry.ExpiresAt = time.UnixMicro(int64(micros))
	}
	return entry, nil
}

// unpad reads a fixed-width number, digits only.
func unpad(text string) (uint64, error) {
	if len(text) != digits || strings.Trim(text, "0123456789") != "" {
		return 0, errMalformed
	}
	return strconv.ParseUint(text, 10, 64)
}

// Marks of the lines of a change message.
const (
	markPut    = 'p'
	markDelete = 'd'
)

// packEvents writes the changes of a batch as lines; keys hold no line feed.
func packEvents(writes []store.Write) string {
	var b strings.Builder
	for _, w := range writes {
		mark := byte(markPut)
		switch w.Kind {
		case store.OpCheck:
			continue
		case store.OpDelete:
			mark = markDelete
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteByte(mark)
		b.WriteString(w.Key)
	}
	return b.String()
}

// unpackEvents reads a change message. What it does not understand, perhaps of
// a newer version, it reads as "forget everything".
func unpackEvents(text string) []store.Event {
	lines := strings.Split(text, "\n")
	events := make([]store.Event, 0, len(lines))
	for _, line := range lines {
		if len(line) < 2 || (line[0] != markPut && line[0] != markDelete) {
			return []store.Event{{}}
		}
		events = append(events, store.Event{Key: line[1:], Deleted: line[0] == markDelete})
	}
	return events
}
