package strictwire

// stepBody follows the framing; it never looks at the data itself.
func (v *vetter) stepBody(p []byte) int {
	switch v.phase {
	case inLength:
		return v.skip(p, finished)
	case inChunk:
		return v.skip(p, inChunkCR)
	case inChunkCR:
		return v.expect(p[0], '\r', inChunkLF, badChunk)
	case inChunkLF:
		return v.expect(p[0], '\n', inChunkSize, badChunk)
	case inChunkSize:
		return v.stepChunkSize(p[0])
	default:
		return v.stepChunkSizeEnd(p[0])
	}
}

func (v *vetter) skip(p []byte, next phase) int {
	n := min(v.remaining, int64(len(p)))
	if v.remaining -= n; v.remaining == 0 {
		v.phase = next
	}
	return int(n)
}

// maxChunkDigits keeps a size within 60 bits; net/http takes one digit more.
const maxChunkDigits = 15

func (v *vetter) stepChunkSize(b byte) int {
	if b == '\r' && v.digits > 0 {
		v.phase, v.digits = inChunkSizeEnd, 0
		return 1
	}
	digit := unhex(b)
	switch {
	case digit >= 0 && v.digits < maxChunkDigits:
		v.digits++
		v.remaining = v.remaining<<4 | digit
		return 1
	case b == ';' || b == ' ' || b == '\t':
		return v.fail(chunkExtension)
	default:
		return v.misplaced(b, badChunk)
	}
}

func (v *vetter) stepChunkSizeEnd(b byte) int {
	next := inChunk
	if v.remaining == 0 {
		next = inFieldStart
		v.size, v.trailer = -1, true // this LF is not theirs
	}
	return v.expect(b, '\n', next, bareCR)
}
