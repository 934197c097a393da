package strictwire

// phase is where in a request the next byte stands.
type phase uint8

const (
	inMethod phase = iota
	inTarget       // its first byte
	inScheme
	inSlashes
	inAuthority
	inPort
	inPath
	inEscape
	inStar
	inQuery
	inVersion
	inLineEnd // the LF of the request line
	inFieldStart
	inName
	inPad // spaces before a value
	inValue
	inValueEnd // the LF of a field
	inHeadEnd  // the LF of the empty line
	inLength
	inChunkSize
	inChunkSizeEnd
	inChunk
	inChunkCR
	inChunkLF
	finished
)

// limits are sizes in bytes.
type limits struct{ target, head, trailers int }

// vetter follows one request at a time through its bytes, in whatever pieces
// they come. It keeps no input but the short word it is looking at.
type vetter struct {
	limits limits
	phase  phase
	fault  fault

	size      int      // of the head, or of the trailers, so far
	target    int      // bytes of the target so far
	word      [24]byte // method, version, name or known value; longer ones are cut
	wordLen   int      // its full length
	trimmed   int      // its length without spaces at the end
	field     field    // whose value is being read
	seen      field    // the known fields that this head has named
	connect   bool     // the method is CONNECT
	old       bool     // HTTP/1.0
	upgrade   bool     // a switch of protocols is asked for
	trailer   bool     // the fields are those after a chunked body
	remaining int64    // bytes of the body, or of the chunk
	digits    int      // of a chunk size, or still missing of an escape
}

// reset begins a new request.
func (v *vetter) reset() { *v = vetter{limits: v.limits} }

// fresh says that nothing of the next request has been seen.
func (v *vetter) fresh() bool { return v.phase == inMethod && v.wordLen == 0 }

// inHead says that the head is not complete: no handler runs for it.
func (v *vetter) inHead() bool { return v.phase < inLength && !v.trailer }

// feed judges p up to the end of the request and says how much that was; the
// request is over when phase is finished, and refused when fault is set.
func (v *vetter) feed(p []byte) int {
	done := 0
	for done < len(p) && v.fault == clean && v.phase != finished {
		rest := v.within(p[done:])
		if v.fault != clean {
			break
		}
		before := v.phase
		n := v.step(rest)
		v.size += n
		if before.ofTarget() {
			v.target += n
		}
		done += n
	}
	return done
}

func (p phase) ofTarget() bool { return p >= inTarget && p <= inQuery }

// within cuts p at the nearest limit, and faults when that is reached.
func (v *vetter) within(p []byte) []byte {
	if v.phase >= inLength {
		return p
	}
	most, over := v.limits.head, headTooLarge
	if v.trailer {
		most, over = v.limits.trailers, trailersTooLarge
	}
	room := most - v.size
	if v.phase.ofTarget() && p[0] != ' ' && v.limits.target-v.target < room {
		room, over = v.limits.target-v.target, targetTooLong
	}
	if room <= 0 {
		v.fault = over
		return nil
	}
	return p[:min(room, len(p))]
}

// step consumes a run of at least one byte, or faults.
func (v *vetter) step(p []byte) int {
	switch {
	case v.phase < inFieldStart:
		return v.stepLine(p)
	case v.phase < inLength:
		return v.stepField(p)
	default:
		return v.stepBody(p)
	}
}

func (v *vetter) fail(f fault) int {
	v.fault = f
	return 1
}

// misplaced faults for a byte that may not stand here: its own name for line
// ends and control bytes, else otherwise.
func (v *vetter) misplaced(b byte, otherwise fault) int {
	switch {
	case b == '\n':
		return v.fail(bareLF)
	case b == '\r':
		return v.fail(bareCR)
	case isControl(b):
		return v.fail(controlByte)
	default:
		return v.fail(otherwise)
	}
}

// expect takes the one byte that may stand here and goes on to next.
func (v *vetter) expect(b, want byte, next phase, otherwise fault) int {
	if b != want {
		return v.misplaced(b, otherwise)
	}
	v.phase = next
	return 1
}

func (v *vetter) push(b byte) {
	if v.wordLen < len(v.word) {
		v.word[v.wordLen] = b
	}
	v.wordLen++
}

func (v *vetter) clearWord() { v.wordLen, v.trimmed = 0, 0 }

// text is the word; only for comparing, where it costs no allocation. One that
// was cut equals nothing.
func (v *vetter) text() []byte {
	if v.wordLen > len(v.word) {
		return nil
	}
	return v.word[:v.wordLen]
}

// value is text without spaces at its end.
func (v *vetter) value() []byte {
	if v.trimmed > len(v.word) {
		return nil
	}
	return v.word[:v.trimmed]
}

func isControl(b byte) bool { return b < ' ' || b == 0x7f }

func isDigit(b byte) bool { return b-'0' < 10 }

func isLetter(b byte) bool { return (b|0x20)-'a' < 26 }

func lower(b byte) byte {
	if b-'A' < 26 {
		return b | 0x20
	}
	return b
}

// unhex is the value of a hexadecimal digit, or -1.
func unhex(b byte) int64 {
	switch {
	case isDigit(b):
		return int64(b - '0')
	case (b|0x20)-'a' < 6:
		return int64(b|0x20-'a') + 10
	default:
		return -1
	}
}

// inSet looks b up in 128 bits of ASCII.
func inSet(b byte, low, high uint64) bool {
	return (low>>b|high>>(b-64))&1 == 1 // a shift by 64 or more gives 0, and b-64 wraps
}

const (
	digitBits  = (1<<10 - 1) << '0'
	letterBits = (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64)

	tokenLow  = digitBits | 1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.'
	tokenHigh = letterBits | 1<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('|'-64) | 1<<('~'-64)

	hostLow  = digitBits | 1<<'!' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'(' | 1<<')' | 1<<'*' | 1<<'+' | 1<<',' | 1<<'-' | 1<<'.' | 1<<':' | 1<<';' | 1<<'=' | 1<<'\''
	hostHigh = letterBits | 1<<('['-64) | 1<<(']'-64) | 1<<('_'-64) | 1<<('~'-64)
)

// isToken is tchar of RFC 9110 section 5.6.2.
func isToken(b byte) bool { return inSet(b, tokenLow, tokenHigh) }

// isHost are the bytes that net/http takes in a Host header (uri-host of RFC 3986).
func isHost(b byte) bool { return inSet(b, hostLow, hostHigh) }
