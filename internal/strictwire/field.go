package strictwire

import "encoding/binary"

// field is a set of the header fields that decide how a message is read.
type field uint8

const (
	fieldHost field = 1 << iota
	fieldLength
	fieldCoding
	fieldExpect
	fieldUpgrade
	fieldTrailer

	fieldOther field = 0
)

// known names the field of a lower-case name.
func known(name []byte) field {
	switch string(name) {
	case "host":
		return fieldHost
	case "content-length":
		return fieldLength
	case "transfer-encoding":
		return fieldCoding
	case "expect":
		return fieldExpect
	case "upgrade":
		return fieldUpgrade
	case "trailer":
		return fieldTrailer
	default:
		return fieldOther
	}
}

// stepField reads "name: value CRLF" (RFC 9112 section 5) up to the empty line.
func (v *vetter) stepField(p []byte) int {
	n := 0
	for n < len(p) && v.fault == clean && v.phase >= inFieldStart && v.phase < inLength {
		n += v.stepPart(p[n:])
	}
	return n
}

// stepPart reads what one phase of a field takes.
func (v *vetter) stepPart(p []byte) int {
	switch v.phase {
	case inFieldStart:
		return v.stepFieldStart(p)
	case inName:
		return v.stepName(p)
	case inPad:
		if p[0] == ' ' || p[0] == '\t' {
			return 1
		}
		v.phase = inValue
		return v.stepValue(p)
	case inValue:
		return v.stepValue(p)
	case inValueEnd:
		n := v.expect(p[0], '\n', inFieldStart, bareCR)
		if v.fault == clean {
			v.fault = v.judge()
		}
		v.clearWord()
		return n
	default:
		if p[0] != '\n' {
			return v.fail(bareCR)
		}
		v.endHead()
		return 1
	}
}

func (v *vetter) stepFieldStart(p []byte) int {
	switch p[0] {
	case '\r':
		v.phase = inHeadEnd
		return 1
	case ' ', '\t':
		return v.fail(foldedLine)
	default:
		v.phase = inName
		return v.stepName(p)
	}
}

func (v *vetter) stepName(p []byte) int {
	if n := v.stepWholeName(p); n > 0 {
		return n
	}
	for i, b := range p {
		switch {
		case isToken(b):
			v.push(lower(b))
		case b == ':' && v.wordLen > 0:
			v.phase = inPad
			v.fault = v.named(known(v.text()))
			v.clearWord()
			return i + 1
		case b == ' ' || b == '\t':
			return v.fail(spaceBeforeColon)
		default:
			return v.misplaced(b, badName)
		}
	}
	return len(p)
}

// stepWholeName takes a name that is here from its first byte to its colon and
// is no longer than the word; 0 leaves anything else to the loop. A length that
// no known name has need not be looked at again.
func (v *vetter) stepWholeName(p []byte) int {
	if v.wordLen > 0 {
		return 0
	}
	end := 0
	for end < len(p) && end < len(v.word) && isToken(p[end]) {
		end++
	}
	if end == 0 || end == len(p) || p[end] != ':' {
		return 0
	}
	f := fieldOther
	switch end {
	case len("host"), len("expect"), len("upgrade"), len("content-length"), len("transfer-encoding"): // trailer is as long as upgrade
		for _, b := range p[:end] {
			v.push(lower(b))
		}
		f = known(v.text())
		v.clearWord()
	}
	v.phase = inPad
	v.fault = v.named(f)
	return end + 1
}

// named judges that this field stands here, whatever its value. Two fields that
// frame the body are refused even when they agree: the server behind or in front
// may believe the other one (RFC 9112 section 6.3).
func (v *vetter) named(f field) fault {
	const framing = fieldLength | fieldCoding
	v.field = f
	if v.trailer {
		v.field = fieldOther
		if f&(framing|fieldHost|fieldTrailer) != 0 {
			return badTrailer
		}
		return clean
	}
	again := v.seen&f != 0
	v.seen |= f
	switch {
	case again && f == fieldHost:
		return hostTwice
	case again && f == fieldLength:
		return lengthTwice
	case again && f == fieldCoding, f == fieldCoding && v.old:
		return badCoding
	case v.seen&framing == framing:
		return twoFramings
	default:
		return clean
	}
}

func (v *vetter) stepValue(p []byte) int {
	if v.field != fieldOther {
		return v.stepKnownValue(p)
	}
	// Most bytes of a head pass here, eight at a time.
	i := 0
	for ; i+8 <= len(p) && !anyControl(binary.LittleEndian.Uint64(p[i:])); i += 8 {
	}
	for ; i < len(p); i++ {
		if b := p[i]; isControl(b) && b != '\t' {
			return v.endValue(b, i)
		}
	}
	return len(p)
}

// anyControl reports whether one of eight bytes is below a space or DEL, by the
// arithmetic for finding a byte in a word (Warren, Hacker's Delight, 6-1).
func anyControl(eight uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	below := (eight - ones*' ') &^ eight
	del := eight ^ ones*0x7f
	return (below|(del-ones)&^del)&tops != 0
}

func (v *vetter) stepKnownValue(p []byte) int {
	for i, b := range p {
		if isControl(b) && b != '\t' {
			return v.endValue(b, i)
		}
		if v.fault = v.collect(b); v.fault != clean {
			return i + 1
		}
	}
	return len(p)
}

// endValue takes the CR behind a value of n more bytes; nothing else ends one.
func (v *vetter) endValue(b byte, n int) int {
	if b != '\r' {
		return v.misplaced(b, controlByte)
	}
	v.phase = inValueEnd
	return n + 1
}

// collect takes one byte of a known field's value.
func (v *vetter) collect(b byte) fault {
	if b == ' ' || b == '\t' {
		if v.wordLen > 0 {
			v.push(' ')
		}
		return clean
	}
	if v.field == fieldHost && (!isHost(b) || v.trimmed < v.wordLen) {
		return badHost
	}
	if v.field == fieldTrailer && b == ',' {
		f := v.judge()
		v.clearWord()
		return f
	}
	v.push(lower(b))
	v.trimmed = v.wordLen
	return clean
}

// judge weighs a known field's value. Of Trailer it weighs one element.
func (v *vetter) judge() fault {
	switch v.field {
	case fieldLength:
		return v.judgeLength()
	case fieldCoding:
		if string(v.value()) != "chunked" {
			return badCoding
		}
	case fieldExpect:
		if string(v.value()) != "100-continue" {
			return badExpect
		}
	case fieldUpgrade:
		v.upgrade = !v.old
	case fieldTrailer:
		if known(v.value())&(fieldLength|fieldCoding|fieldTrailer) != 0 {
			return badTrailer
		}
	}
	return clean
}

// judgeLength takes 1 to 18 digits and nothing else.
func (v *vetter) judgeLength() fault {
	digits := v.value()
	if len(digits) == 0 || len(digits) > 18 {
		return badLength
	}
	for _, b := range digits {
		if !isDigit(b) {
			return badLength
		}
		v.remaining = v.remaining*10 + int64(b-'0')
	}
	return clean
}

// endHead decides what follows the empty line.
func (v *vetter) endHead() {
	switch {
	case v.trailer:
		v.phase = finished
	case v.seen&fieldHost == 0 && !v.old:
		v.fault = noHost
	case v.seen&fieldCoding != 0:
		v.phase = inChunkSize
	case v.remaining > 0:
		v.phase = inLength
	default:
		v.phase = finished
	}
}
