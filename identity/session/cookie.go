package session

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/gorilla/sessions"
)

// CookieName is the session cookie. The prefix makes browsers refuse it from
// another host, over plain HTTP or with a Domain (RFC 6265bis, 4.1.3.2).
const CookieName = "__Host-kdgate"

const tokenSize = 32 // bytes of randomness behind a cookie; T37 asks for 16

var tokenCode = base64.RawURLEncoding.Strict()

// cookieOptions give a cookie that ends with the browser; the server's own ends
// are in the record.
func cookieOptions() *sessions.Options {
	return &sessions.Options{Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// cookieToken is the token that the browser sent, false when it sent none, more
// than one, or one that we would not have written (T39). It reads the headers
// itself: net/http drops a malformed cookie and takes quotes off, and what it
// drops would no longer count as the second one. A name inside other white space
// counts, but is not ours: browsers keep U+2000 and its like in a name, so a
// neighbouring host could set such a one past the prefix.
func cookieToken(r *http.Request) (token string, ok bool) {
	found := 0
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(pair, "=")
			if strings.EqualFold(strings.TrimSpace(name), CookieName) {
				found++
				token, ok = strings.Trim(value, " \t"), strings.TrimLeft(name, " \t") == CookieName
			}
		}
	}
	if found != 1 || !ok || !isToken(token) {
		return "", false
	}
	return token, true
}

// isToken reports whether text is exactly what newToken writes: one alphabet,
// one length, no padding and no stray bits at the end.
func isToken(text string) bool {
	if len(text) != tokenCode.EncodedLen(tokenSize) || strings.ContainsAny(text, "\r\n") {
		return false // the decoder skips line ends
	}
	var raw [tokenSize]byte
	_, err := tokenCode.Decode(raw[:], []byte(text))
	return err == nil
}

// hashOf names a session in the store. Looking up by hash also leaves nothing
// to compare byte by byte (T127).
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

const handleSize = 10 // bytes; a handle names a session and opens nothing

// handleOf is the public name of a session. It says nothing about the token or
// the key in the store.
func handleOf(token string) string {
	sum := sha256.Sum256([]byte("kdgate session handle\x00" + token))
	return hex.EncodeToString(sum[:handleSize])
}

func isHandle(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == handleSize && strings.ToLower(text) == text
}
