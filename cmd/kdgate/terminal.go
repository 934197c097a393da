package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// onTerminal shows what people look at: names, titles and reasons that others
// wrote must neither command the terminal nor turn what is read (T113). What
// goes into a file or a pipe stays as it is.
func onTerminal(file *os.File) io.Writer {
	if term.IsTerminal(int(file.Fd())) {
		return &terminal{to: file}
	}
	return file
}

// terminal passes text on with everything visible that would do something. A
// character may come in two pieces.
type terminal struct {
	to   io.Writer
	rest []byte
}

// Write implements io.Writer.
func (t *terminal) Write(p []byte) (int, error) {
	text := append(t.rest, p...)
	whole := len(text)
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if from := len(text) - back; utf8.RuneStart(text[from]) {
			if !utf8.FullRune(text[from:]) {
				whole = from
			}
			break
		}
	}
	t.rest = append([]byte(nil), text[whole:]...)
	if _, err := io.WriteString(t.to, visible(string(text[:whole]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// visible writes out what has no shape of its own: control characters but line
// ends and tabs, marks that turn the writing direction, and broken text.
func visible(text string) string {
	does := func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == utf8.RuneError
	}
	if strings.IndexFunc(text, does) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if does(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
