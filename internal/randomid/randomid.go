package randomid

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Size is how many random bytes one holds (T37 asks for 16).
const Size = 32

var code = base64.RawURLEncoding.Strict()

// New makes one from random, which is crypto/rand but in tests.
func New(random io.Reader) (string, error) {
	var raw [Size]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("randomid: %w", err)
	}
	return code.EncodeToString(raw[:]), nil
}

// Is reports whether text is exactly what New writes: one alphabet, one length,
// no padding and no stray bits at the end (T39).
func Is(text string) bool {
	if len(text) != code.EncodedLen(Size) || strings.ContainsAny(text, "\r\n") {
		return false // the decoder skips line ends
	}
	var raw [Size]byte
	_, err := code.Decode(raw[:], []byte(text))
	return err == nil
}

// InCookie is the id in a cookie of ours, false when the browser sent none, more
// than one, or one that New would not have written (T39). It reads the headers
// itself: net/http drops a malformed cookie and takes quotes off, and what it
// drops would no longer count as the second one. A name inside other white space
// counts, but is not ours: browsers keep U+2000 and its like in a name, so a
// neighbouring host could set such a one past the prefix __Host-.
func InCookie(r *http.Request, cookie string) (id string, ok bool) {
	found := 0
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(pair, "=")
			if strings.EqualFold(strings.TrimSpace(name), cookie) {
				found++
				id, ok = strings.Trim(value, " \t"), strings.TrimLeft(name, " \t") == cookie
			}
		}
	}
	if found != 1 || !ok || !Is(id) {
		return "", false
	}
	return id, true
}
