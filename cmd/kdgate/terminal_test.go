package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// T113 on the screen of whoever runs a command: what others wrote commands no
// terminal and turns no direction, in one piece or byte by byte.
func TestTerminalShowsWhatWouldAct(t *testing.T) {
	for text, want := range map[string]string{
		"张三\t1001\nß €\U0001f600":         "张三\t1001\nß €\U0001f600",
		"\x1b]52;c;cm0gLXJm\x07":          `\u001b]52;c;cm0gLXJm\u0007`,
		"\x1b[2J\x1b[1;31mnone\r\x08\x7f": `\u001b[2J\u001b[1;31mnone\u000d\u0008\u007f`,
		"a\u0085b\u009b31mc":              `a\u0085b\u009b31mc`,
		"\u202egnp.exe\u2066\u200bx":      `\u202egnp.exe\u2066\u200bx`,
		"a\u2028b":                        `a\u2028b`,
		"broken \xff end":                 `broken \ufffd end`,
		"":                                "",
	} {
		for _, size := range []int{1, 2, 3, 100} {
			var out bytes.Buffer
			screen := &terminal{to: &out}
			for rest := []byte(text); len(rest) > 0; {
				n := min(size, len(rest))
				if wrote, err := screen.Write(rest[:n]); err != nil || wrote != n {
					t.Fatalf("%q: %d, %v", text, wrote, err)
				}
				rest = rest[n:]
			}
			if out.String() != want {
				t.Errorf("%q in pieces of %d: %q, want %q", text, size, out.String(), want)
			}
		}
	}
	if _, err := (&terminal{to: failing{}}).Write([]byte("x")); err == nil {
		t.Error("a screen that fails looks well")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("gone") }

// T113: nor does the text of an error.
func TestErrorsAreVisible(t *testing.T) {
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, hostname: "test"}
	if code := p.run(t.Context(), []string{"check-config", "--config", "no\x1b[31m\u202efile"}); code != exitUsage {
		t.Errorf("exit %d", code)
	}
	if said := errs.String(); strings.ContainsAny(said, "\x1b\u202e") || !strings.Contains(said, "file") {
		t.Errorf("%q", said)
	}
}
