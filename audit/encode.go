package audit

import (
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// timeForm has a fixed width, so that texts sort as times do.
const timeForm = "2006-01-02T15:04:05.000Z"

// The most bytes of each kind of field, before escaping.
const (
	maxShort    = 64
	maxID       = 128
	maxText     = 256
	maxTarget   = 512
	maxState    = 4096
	maxDetails  = 32
	maxDetail   = 1024
	ellipsis    = "…"
	droppedName = "_dropped" // Detail member that counts what did not fit
)

// head is what the writer adds in front of an encoded event.
type head struct {
	replica string
	seq     uint64
	prev    Digest
	at      time.Time
}

// appendHead begins a body. Together with an encoded event it is the text that
// is hashed; docs/audit-format.md describes it for those who write their own verifier.
func appendHead(dst []byte, h head) []byte {
	dst = append(dst, `{"v":1,"replica":`...)
	dst = appendText(dst, h.replica, maxShort)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, h.seq, 10)
	dst = append(dst, `,"prev":"`...)
	dst = hex.AppendEncode(dst, h.prev[:])
	dst = append(dst, `","at":"`...)
	dst = h.at.UTC().AppendFormat(dst, timeForm)
	return append(dst, '"')
}

// encodeEvent is the part of a body that the caller's goroutine can prepare:
// all members after "at", and the closing brace.
func encodeEvent(e Event) []byte {
	dst := make([]byte, 0, 512)
	for _, f := range [...]struct {
		name, text string
		limit      int
	}{
		{"action", string(e.Action), maxShort},
		{"outcome", string(e.Outcome), maxShort},
		{"reason", e.Reason, maxText},
		{"actor", e.Actor, maxText},
		{"on_behalf_of", e.OnBehalfOf, maxText},
		{"target", e.Target, maxTarget},
		{"door", e.Door, maxShort},
		{"data_centre", e.DataCentre, maxShort},
		{"source", e.Source, maxShort},
		{"user_agent", e.UserAgent, maxText},
		{"request_id", e.RequestID, maxID},
		{"before", e.Before, maxState},
		{"after", e.After, maxState},
	} {
		if f.text != "" {
			dst = append(dst, ',', '"')
			dst = append(dst, f.name...)
			dst = append(dst, '"', ':')
			dst = appendText(dst, f.text, f.limit)
		}
	}
	if len(e.Detail) > 0 {
		dst = appendDetail(append(dst, `,"detail":`...), e.Detail)
	}
	return append(dst, '}')
}

// appendDetail writes the members sorted by name, so that one event has one
// form. What is left out is counted in a member of its own.
func appendDetail(dst []byte, detail map[string]string) []byte {
	bounded := make(map[string]string, len(detail)) // names once more: two long ones may have become one
	for _, name := range slices.Sorted(maps.Keys(detail)) {
		if len(bounded) < maxDetails {
			bounded[clean(name, maxShort)] = detail[name]
		}
	}
	if dropped := len(detail) - len(bounded); dropped > 0 {
		bounded[droppedName] = strconv.Itoa(dropped)
	}
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(bounded)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, name, maxShort)
		dst = append(dst, ':')
		dst = appendText(dst, bounded[name], maxDetail)
	}
	return append(dst, '}')
}

// clean bounds text to limit bytes on a character's edge, marks a cut with an
// ellipsis, and replaces what is not UTF-8, and NUL, by U+FFFD.
func clean(text string, limit int) string {
	if len(text) <= limit && !needsRepair(text) {
		return text
	}
	out := make([]byte, 0, min(len(text), limit)+utf8.UTFMax)
	for _, r := range text { // an invalid byte ranges as U+FFFD
		if r == 0 {
			r = utf8.RuneError
		}
		out = utf8.AppendRune(out, r)
		if len(out) > limit {
			break
		}
	}
	if len(out) <= limit {
		return string(out)
	}
	cut := limit - len(ellipsis)
	for !utf8.RuneStart(out[cut]) {
		cut--
	}
	return string(out[:cut]) + ellipsis
}

func needsRepair(text string) bool {
	for i := range len(text) {
		if text[i] == 0 {
			return true
		}
	}
	return !utf8.ValidString(text)
}

// appendText appends text as a JSON string that is safe to print anywhere: no
// control, format (bidi, zero width), separator or private character leaves it
// unescaped, nor what HTML would read. Hostile input stays legible as \u202e
// and cannot move a cursor, reverse a line or end it (T113).
func appendText(dst []byte, text string, limit int) []byte {
	dst = append(dst, '"')
	for _, r := range clean(text, limit) {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20 || r == 0x7f || r == '<' || r == '>' || r == '&':
			dst = appendEscape(dst, r)
		case r < 0x7f:
			dst = append(dst, byte(r))
		case r == utf8.RuneError || harmless(r):
			dst = utf8.AppendRune(dst, r)
		case r > 0xffff:
			dst = appendEscape(dst, 0xd800+(r-0x10000)>>10)
			dst = appendEscape(dst, 0xdc00+(r-0x10000)&0x3ff)
		default:
			dst = appendEscape(dst, r)
		}
	}
	return append(dst, '"')
}

// harmless reports whether a character shows itself and does nothing else.
func harmless(r rune) bool {
	return unicode.IsGraphic(r) && (!unicode.Is(unicode.Zs, r) || r == '\u3000')
}

func appendEscape(dst []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
