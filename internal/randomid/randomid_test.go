package randomid

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// T37: an id has 256 bits and all of them are random; where there is too little
// randomness there is no id.
func TestNew(t *testing.T) {
	random := bytes.Repeat([]byte{0xA5}, Size)
	id, err := New(bytes.NewReader(random))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || !bytes.Equal(raw, random) || Size*8 < 128 {
		t.Errorf("%q holds %x, %v", id, raw, err)
	}
	if id, err := New(bytes.NewReader(random[1:])); !errors.Is(err, io.ErrUnexpectedEOF) || id != "" {
		t.Errorf("of %d bytes: %q, %v", Size-1, id, err)
	}
	dry := errors.New("dry")
	if id, err := New(iotest.ErrReader(dry)); !errors.Is(err, dry) || id != "" {
		t.Errorf("of none: %q, %v", id, err)
	}
}

// T39: what decodes to the same bytes but is written otherwise is no id.
func TestIs(t *testing.T) {
	id := strings.Repeat("A", 43)
	for _, text := range []string{
		"", id[1:], id + "A", id + "=", id[1:] + "=", id[1:] + "B", " " + id[1:], id[1:] + "\n", "\r\n" + id[2:], "\n" + id, id[:20] + "\n" + id[20:],
		id[1:] + "+", id[1:] + "/", id[2:] + "é", id[1:] + "\x00", id[:40] + "A==",
	} {
		if Is(text) {
			t.Errorf("%q is one", text)
		}
	}
	for _, text := range []string{id, id[1:] + "E", "-_" + id[2:], strings.Repeat("z", 42) + "8"} {
		if !Is(text) {
			t.Errorf("%q is none", text)
		}
	}
}

// T39: a cookie counts only as we wrote it and alone; what net/http would leave out
// or mend counts too.
func TestInCookie(t *testing.T) {
	const name = "__Host-kdgate-app"
	id := strings.Repeat("A", 43)
	other := strings.Repeat("B", 42) + "A"
	for _, line := range []string{
		"", name + "=", name + "=" + id[1:], name + "=" + id + "A", name + "=" + id + "=", name + "=" + id[1:] + "B", name + `="` + id + `"`,
		name + "=" + id + "; " + name + "=" + id, name + "=" + id + "; " + name + "=" + other, name + "=" + id + "; " + name + `=a\b`, name + "=\x01; " + name + "=" + id,
		name + "=" + id + "; " + name, name + "=" + id + "; __HOST-kdgate-app=" + other, "__host-kdgate-app=" + id, "\u2000" + name + "=" + id,
		name + "=" + id + "; \u2000" + name + "=" + other, name + "\u00a0=" + id,
	} {
		r := &http.Request{Header: http.Header{"Cookie": {line}}}
		if got, ok := InCookie(r, name); ok || got != "" {
			t.Errorf("%q is %q", line, got)
		}
	}
	for _, lines := range [][]string{{name + "=" + id}, {"a=b; " + name + "=" + id + " ;c=d"}, {"a=b", name + "=" + id}, {name + "-begin=x; " + name + "=" + id}} {
		r := &http.Request{Header: http.Header{"Cookie": lines}}
		if got, ok := InCookie(r, name); !ok || got != id {
			t.Errorf("%q is %q, %v", lines, got, ok)
		}
	}
	twice := &http.Request{Header: http.Header{"Cookie": {name + "=" + id, name + "=" + id}}}
	if _, ok := InCookie(twice, name); ok {
		t.Error("the cookie in two lines is one")
	}
}

// FuzzInCookie: T39. Whatever a browser sends, an id is ours to the letter and stands
// there once.
func FuzzInCookie(f *testing.F) {
	const name = "__Host-kdgate"
	good := name + "=" + strings.Repeat("A", 43)
	for _, seed := range []string{good, good + ";" + good, "", ";;=;", name + "=\r\n", `__Host-kdgate="x"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		id, ok := InCookie(&http.Request{Header: http.Header{"Cookie": {header}}}, name)
		if !ok {
			return
		}
		raw, err := code.DecodeString(id)
		if err != nil || code.EncodeToString(raw) != id || len(raw) != Size {
			t.Errorf("%q gave %q", header, id)
		}
		if strings.Count(strings.ToLower(header), strings.ToLower(name)+"=") != 1 {
			t.Errorf("%q was taken, though it names the cookie more than once", header)
		}
	})
}
