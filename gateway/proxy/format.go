package proxy

import (
	"net/http"
	"strings"
)

// formatGuard looks at the body of a call to Kingdee's services, as it passes,
// for the parameter that names the message format. The binary one makes the
// server build whatever objects the sender describes (T56), and it is asked for
// in a body as well as in an address: a JSON member or a form field "format"
// with the value 3. The guard decides with the byte that betrays it, before that
// byte goes on, so that Kingdee never has the whole request.
//
// What it cannot read as Kingdee might, other encodings than UTF-8 and
// compressed bodies, is not let through to a service at all; no browser sends
// such things.
type formatGuard struct {
	readers []formatReader
	binary  bool // it need not be text
	seen    int  // bytes so far, up to three
	before  byte // the last one
}

// formatReader takes a body byte by byte and reports the one that betrays it.
type formatReader interface{ takes(b byte) bool }

// guardFor is the guard of a request, nil where none is needed; ok is false for
// a body that could not be looked into.
func guardFor(r *http.Request) (guard *formatGuard, ok bool) {
	if r.Body == nil || r.Body == http.NoBody || !strings.Contains(strings.ToLower(r.URL.Path), serviceSuffix) {
		return nil, true
	}
	if len(r.Header["Content-Encoding"]) > 0 || len(r.Header["Content-Type"]) > 1 {
		return nil, false
	}
	kind := strings.ToLower(r.Header.Get("Content-Type"))
	if !readable(kind) {
		return nil, false
	}
	if strings.Contains(kind, "multipart") {
		return &formatGuard{readers: []formatReader{&partFormat{}}, binary: true}, true
	}
	isJSON, isForm := strings.Contains(kind, "json"), strings.Contains(kind, "form")
	guard = &formatGuard{binary: !isJSON && !isForm}
	if isJSON || !isForm {
		guard.readers = append(guard.readers, &jsonFormat{})
	}
	if isForm || !isJSON {
		guard.readers = append(guard.readers, &formFormat{})
	}
	return guard, true
}

// readable reports a media type whose text is ASCII where it is ASCII.
func readable(kind string) bool {
	_, charset, named := strings.Cut(kind, "charset")
	if !named {
		return true
	}
	charset, rest, _ := strings.Cut(charset, ";")
	switch strings.Trim(charset, "= \t\"'") {
	case "utf-8", "utf8", "us-ascii":
		return !strings.Contains(rest, "charset")
	default:
		return false
	}
}

// look reports whether a piece of the body asks for the binary format.
func (g *formatGuard) look(piece []byte) bool {
	if g == nil {
		return false
	}
	for _, b := range piece {
		if g.isForeign(b) {
			return true
		}
		for _, reader := range g.readers {
			if reader.takes(b) {
				return true
			}
		}
	}
	return false
}

// isForeign reports text of another encoding: a NUL, or a mark of UTF-16 or
// UTF-32, which a reader may heed whatever the header says.
func (g *formatGuard) isForeign(b byte) bool {
	if g.seen < 3 {
		g.seen++
	}
	pair := [2]byte{g.before, b}
	g.before = b
	marked := g.seen == 2 && (pair == [2]byte{0xff, 0xfe} || pair == [2]byte{0xfe, 0xff} || pair == [2]byte{})
	return b == 0 && !g.binary || marked
}

const (
	formatName    = "format"
	serviceSuffix = ".kdsvc" // of Kingdee's services; path info may stand behind it
)

// isOtherFormat reports the beginning of a value that is not, and cannot become,
// the binary format: one digit, or a word. Anything else may be read as 3
// somewhere, such as 03, 3.0 and 0x3.
func isOtherFormat(value []byte) bool {
	if len(value) == 0 {
		return true
	}
	if value[0] >= '0' && value[0] <= '9' {
		return len(value) == 1 && value[0] != '3'
	}
	for _, b := range value {
		if b < 'a' || b > 'z' {
			return false
		}
	}
	return string(value) != "binary"
}

// word keeps the beginning of a name or value, in small letters and without
// what readers may take off its ends: white space of any alphabet, and marks.
type word struct {
	room [len(formatName) + 2]byte
	size int
}

func (w *word) add(b byte) {
	if b <= ' ' || b >= 0x7f || w.size == len(w.room) {
		return
	}
	if b >= 'A' && b <= 'Z' {
		b += 'a' - 'A'
	}
	w.room[w.size] = b
	w.size++
}

func (w *word) text() []byte   { return w.room[:w.size] }
func (w *word) isFormat() bool { return string(w.text()) == formatName }

// formFormat reads name=value pairs (application/x-www-form-urlencoded), with
// ASP.NET's %uXXXX beside %XX.
type formFormat struct {
	word    word
	named   bool // word is a value
	guarded bool // of the name that counts
	escape  escape
}

func (f *formFormat) takes(b byte) bool {
	if f.escape.open() {
		if done, out := f.escape.takes(b); done {
			return f.put(out)
		}
		return false
	}
	switch b {
	case '&', ';':
		*f = formFormat{}
		return false
	case '=':
		if f.named {
			return f.put(b)
		}
		f.named, f.guarded, f.word = true, f.word.isFormat(), word{}
		return false
	case '%':
		f.escape.begin(2, true)
		return false
	case '+':
		b = ' '
	}
	return f.put(b)
}

func (f *formFormat) put(b byte) bool {
	if b == '"' || b == '\'' {
		return false // quotes around a value
	}
	f.word.add(b)
	return f.guarded && !isOtherFormat(f.word.text())
}

// escape collects the hexadecimal digits of a character.
type escape struct {
	left  int
	value rune
	wide  bool // a u may still make it four digits
	begun bool
}

func (e *escape) open() bool { return e.begun }

func (e *escape) begin(digits int, wide bool) { *e = escape{left: digits, wide: wide, begun: true} }

// takes gives the character when it is complete; what is no ASCII is one that no
// name of ours has.
func (e *escape) takes(b byte) (done bool, out byte) {
	if e.wide && (b == 'u' || b == 'U') {
		e.begin(4, false)
		return false, 0
	}
	e.wide = false
	digit, ok := hexDigit(b)
	if !ok {
		*e = escape{}
		return true, b
	}
	e.value = e.value<<4 | rune(digit)
	if e.left--; e.left > 0 {
		return false, 0
	}
	value := e.value
	*e = escape{}
	if value >= 0x7f {
		return true, 0x7f
	}
	return true, byte(value)
}

func hexDigit(b byte) (byte, bool) {
	switch {
	case b >= '0' && b <= '9':
		return b - '0', true
	case b|0x20 >= 'a' && b|0x20 <= 'f':
		return (b | 0x20) - 'a' + 10, true
	default:
		return 0, false
	}
}

// jsonFormat reads the members of the outermost object, as .NET's readers do:
// with either kind of quotes or none, and with comments. Text inside a string is
// nobody's member, and neither are the members of a member.
type jsonFormat struct {
	depth   int  // of objects
	quote   byte // of the string that is open, 0: none
	slash   bool // a backslash came before, in a string
	comment comment
	escape  escape
	word    word
	guarded bool // what follows is the value of the name that counts
}

func (j *jsonFormat) takes(b byte) bool {
	if j.quote != 0 {
		return j.inString(b)
	}
	if j.comment.takes(b) {
		return false
	}
	switch b {
	case '"', '\'':
		j.quote = b
		if !j.guarded {
			j.word = word{}
		}
		return false
	case '{':
		found := j.guarded && j.depth == 1
		j.depth++
		j.word, j.guarded = word{}, false
		return found
	case '}':
		j.depth--
		j.word, j.guarded = word{}, false
		return false
	case ':':
		if j.guarded {
			return true
		}
		j.guarded = j.depth == 1 && j.word.isFormat()
		j.word = word{}
		return false
	case ',':
		j.word, j.guarded = word{}, false
		return false
	}
	return j.put(b)
}

func (j *jsonFormat) inString(b byte) bool {
	switch {
	case j.escape.open():
		done, out := j.escape.takes(b)
		return done && j.put(out)
	case j.slash:
		j.slash = false
		if b == 'u' {
			j.escape.begin(4, false)
			return false
		}
		return j.put(b)
	case b == '\\':
		j.slash = true
		return false
	case b == j.quote:
		j.quote = 0
		return false
	}
	return j.put(b)
}

func (j *jsonFormat) put(b byte) bool {
	j.word.add(b)
	return j.guarded && !isOtherFormat(j.word.text())
}

// comment follows the comments that some readers allow in JSON.
type comment struct {
	open rune // '*' or '/', 0: none
	last byte
}

func (c *comment) takes(b byte) bool {
	last := c.last
	c.last = b
	switch {
	case c.open == '*':
		if last == '*' && b == '/' {
			*c = comment{}
		}
		return true
	case c.open == '/':
		if b == '\n' || b == '\r' {
			*c = comment{}
		}
		return true
	case last == '/' && (b == '*' || b == '/'):
		*c = comment{open: rune(b)}
		return true
	}
	return b == '/'
}

// partFormat reads the heads of a form's parts (multipart/form-data). A part of
// the name that counts is not waited for: a value may be split in many ways.
type partFormat struct {
	line []byte // the beginning of this line
	goes bool   // a line has ended, and the next one may go on with it
}

const maxPartLine = 512

func (p *partFormat) takes(b byte) bool {
	if b == '\r' {
		return false
	}
	if p.goes && b != ' ' && b != '\t' {
		p.line = p.line[:0]
	}
	p.goes = b == '\n'
	if p.goes {
		return namesFormat(string(p.line))
	}
	if len(p.line) < maxPartLine {
		p.line = append(p.line, b)
	}
	return false
}

// namesFormat reports the head line of a part whose name is the one that counts.
func namesFormat(line string) bool {
	bare := strings.Map(func(r rune) rune {
		if r <= ' ' || r == '"' || r == '\'' || r >= 0x7f {
			return -1
		}
		return r
	}, strings.ToLower(line))
	rest, ok := strings.CutPrefix(bare, "content-disposition:")
	if !ok {
		return false
	}
	for field := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(field, "=")
		if strings.TrimSuffix(name, "*") == "name" && (value == formatName || strings.HasSuffix(value, formatName) && strings.ContainsAny(value, "\\%")) {
			return true
		}
	}
	return false
}
