package session

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"kdgate/internal/randomid"

	"github.com/gorilla/sessions"
)

// CookieName is the session cookie. The prefix makes browsers refuse it from
// another host, over plain HTTP or with a Domain (RFC 6265bis, 4.1.3.2).
const CookieName = "__Host-kdgate"

// cookieOptions give a cookie that ends with the browser; the server's own ends
// are in the record.
func cookieOptions() *sessions.Options {
	return &sessions.Options{Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// cookieToken is the token that the browser sent.
func cookieToken(r *http.Request) (token string, ok bool) { return randomid.InCookie(r, CookieName) }

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
