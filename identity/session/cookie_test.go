package session

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kdgate/identity"
)

// tokenCode is how a token is written, said once more.
var tokenCode = base64.RawURLEncoding.Strict()

func TestCookieAttributes(t *testing.T) { // T37
	h := newHouse(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	c := b.last
	if c.Name != "__Host-kdgate" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %+v", c)
	}
	if c.MaxAge != 0 || !c.Expires.IsZero() {
		t.Errorf("the cookie outlives the browser: %+v", c)
	}
	raw, err := tokenCode.DecodeString(c.Value)
	if err != nil || len(raw)*8 < 128 {
		t.Errorf("%d random bits, %v", len(raw)*8, err)
	}
	b.do("POST", h.url+"/out")
	if c := b.last; c.MaxAge >= 0 || c.Path != "/" || !c.Secure || c.Value != "" {
		t.Errorf("dropping cookie %+v", c)
	}
}

func TestStoreHoldsNoToken(t *testing.T) { // T37, T127
	h := newHouse(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	entries, err := h.store.Scan(t.Context(), "", "", 100)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for _, e := range entries {
		if strings.Contains(e.Key+string(e.Value), b.token()) {
			t.Errorf("the cookie's value is in the store under %s", e.Key)
		}
		if e.ExpiresAt.IsZero() {
			t.Errorf("%s never leaves the store", e.Key)
		}
	}
	if entries[0].Key != "session-of/dingcorp1/u1/"+handleOf(b.token()) || entries[1].Key != "session/"+hashOf(b.token()) {
		t.Errorf("keys %s and %s", entries[0].Key, entries[1].Key)
	}
}

func TestOddCookiesAreNobody(t *testing.T) { // T39
	h := newHouse(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	good := b.token()
	other := &browser{t: t}
	other.signIn(h, "u2", "")
	swapped := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 32
		case r >= 'A' && r <= 'Z':
			return r + 32
		}
		return r
	}, good)
	name := CookieName + "="
	for what, header := range map[string]string{
		"truncated":             name + good[:42],
		"extended":              name + good + "A",
		"padded":                name + good + "=",
		"case changed":          name + swapped,
		"last bits":             name + good[:42] + strayBits(good[42]),
		"standard alphabet":     name + strings.Repeat("+", 43),
		"quoted":                name + `"` + good + `"`,
		"tab inside":            name + good[:20] + "\t" + good[20:],
		"empty":                 name,
		"no value":              CookieName,
		"other name case":       "__host-KDGATE=" + good,
		"two, same":             name + good + "; " + name + good,
		"two, good first":       name + good + "; " + name + "x",
		"two, good last":        name + "x; " + name + good,
		"two people":            name + good + "; " + other.cookie,
		"second malformed":      name + good + "; " + name + "\"a b",
		"second of other case":  name + good + "; __HOST-kdgate=" + good,
		"second without value":  name + good + "; " + CookieName,
		"spaces round the name": name + good + ";  " + CookieName + " =" + good,
		"space after the name":  CookieName + " =" + good,
		"U+2000 before":         "\u2000" + name + good, // a neighbouring host can set these with a Domain
		"U+00A0 before":         "a=b; \u00a0" + name + good,
		"U+3000 after":          CookieName + "\u3000=" + good,
		"a second with U+0085":  name + good + "; \u0085" + name + good,
	} {
		t.Run(what, func(t *testing.T) {
			(&browser{t: t, cookie: header}).expect(h, "")
		})
	}
	(&browser{t: t, cookie: "a=b; " + name + good + "; c=d"}).expect(h, "u1")
}

// strayBits is another letter that decodes to the same last byte, loosely read.
func strayBits(last byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, last)^1])
}

func TestTwoCookieHeadersAreNobody(t *testing.T) { // T39: HTTP/2 may split them
	h := newHouse(t)
	b := &browser{t: t}
	b.signIn(h, "u1", "")
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Cookie"] = []string{b.cookie, b.cookie}
	if _, err := h.Current(r); identity.KindOf(err) != identity.Unauthenticated {
		t.Errorf("got %v", err)
	}
	r.Header["Cookie"] = []string{"a=b", b.cookie}
	if p, err := h.Current(r); err != nil || p.Subject.UserID != "u1" {
		t.Errorf("got %v, %v", p, err)
	}
}
