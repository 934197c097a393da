package strictwire

// stepLine reads "method SP target SP version CRLF" (RFC 9112 section 3), with
// exactly one space at each place. Whatever passes here, net/url can parse.
func (v *vetter) stepLine(p []byte) int {
	switch v.phase {
	case inMethod:
		return v.stepMethod(p)
	case inTarget:
		return v.stepTarget(p[0])
	case inScheme:
		return v.stepScheme(p[0])
	case inSlashes, inAuthority, inPort:
		return v.stepAuthority(p[0])
	case inPath, inQuery:
		return v.stepPath(p)
	case inEscape:
		return v.stepEscape(p[0])
	case inStar:
		return v.expect(p[0], ' ', inVersion, badTarget)
	case inVersion:
		return v.stepVersion(p[0])
	default:
		return v.expect(p[0], '\n', inFieldStart, bareCR)
	}
}

func (v *vetter) stepMethod(p []byte) int {
	for i, b := range p {
		switch {
		case b == ' ' && v.wordLen > 0:
			v.connect = string(v.text()) == "CONNECT"
			v.clearWord()
			v.phase = inTarget
			return i + 1
		case !isToken(b) || v.wordLen == len(v.word):
			return v.misplaced(b, badLine)
		}
		v.push(b)
	}
	return len(p)
}

// stepTarget tells the four forms apart (RFC 9112 section 3.2).
func (v *vetter) stepTarget(b byte) int {
	switch {
	case b == '/':
		v.phase = inPath
	case v.connect:
		v.phase = inAuthority
		return v.stepAuthority(b)
	case b == '*':
		v.phase = inStar
	case isLetter(b):
		v.phase = inScheme
		v.push(lower(b))
	default:
		return v.misplaced(b, badTarget)
	}
	return 1
}

func (v *vetter) stepScheme(b byte) int {
	if b != ':' {
		v.push(lower(b))
		if !isLetter(b) {
			return v.misplaced(b, badTarget)
		}
		return 1
	}
	if scheme := string(v.text()); scheme != "http" && scheme != "https" {
		return v.fail(badTarget)
	}
	v.clearWord()
	v.phase = inSlashes
	return 1
}

// stepAuthority takes a name or an IPv4 address, and a port. User names and
// bracketed addresses in a target are nothing that reaches a gateway honestly.
func (v *vetter) stepAuthority(b byte) int {
	switch {
	case v.phase == inSlashes:
		if b != '/' {
			return v.misplaced(b, badTarget)
		}
		if v.digits++; v.digits == 2 {
			v.phase, v.digits = inAuthority, 0
		}
	case isDigit(b), v.phase == inAuthority && (isLetter(b) || b == '-' || b == '.' || b == '_'):
		v.push(b)
	case v.wordLen == 0:
		return v.misplaced(b, badTarget)
	case v.phase == inAuthority && b == ':':
		v.phase = inPort
	default:
		return v.stepPastAuthority(b)
	}
	return 1
}

func (v *vetter) stepPastAuthority(b byte) int {
	v.clearWord()
	switch b {
	case '/':
		v.phase = inPath
	case '?':
		v.phase = inQuery
	case ' ':
		v.phase = inVersion
	default:
		return v.misplaced(b, badTarget)
	}
	return 1
}

// stepPath reads a path, where escapes must be whole, or a query, where
// net/http leaves them to the handler.
func (v *vetter) stepPath(p []byte) int {
	for i, b := range p {
		switch {
		case b == ' ':
			v.phase = inVersion
			return i + 1
		case isControl(b):
			return v.misplaced(b, badTarget)
		case v.phase == inQuery:
		case b == '?':
			v.phase = inQuery
		case b == '%':
			v.phase, v.digits = inEscape, 2
			return i + 1
		}
	}
	return len(p)
}

func (v *vetter) stepEscape(b byte) int {
	if unhex(b) < 0 {
		return v.misplaced(b, badTarget)
	}
	if v.digits--; v.digits == 0 {
		v.phase = inPath
	}
	return 1
}

func (v *vetter) stepVersion(b byte) int {
	const form = "HTTP/1.1"
	if b != '\r' {
		v.push(b)
		if at := v.wordLen - 1; at >= len(form) || b != form[at] && (form[at] != '1' || !isDigit(b)) {
			return v.misplaced(b, badLine)
		}
		return 1
	}
	if v.wordLen < len(form) {
		return v.fail(badLine)
	}
	switch string(v.text()) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		v.old = true
	default:
		return v.fail(badVersion)
	}
	v.clearWord()
	v.phase = inLineEnd
	return 1
}
