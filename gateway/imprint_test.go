package gateway

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"kdgate/identity"
)

// TestImprintIsThePage proves that a page from an imprint is byte for byte the
// one that rendering it for this person gives, in every language, for every
// organisation, with a script of DingTalk's or our own.
func TestImprintIsThePage(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Corps[1].JSAPI = "https://g.alicdn.com/dingding/dingtalk.js?a=1&b=2" })
	g := h.gateway
	browserID := identity.NewSecret(strings.Repeat("b", 42) + "A")
	for _, lang := range []string{"zh-CN", "zh-TW", "en"} {
		for _, corp := range []string{corpOne, corpTwo} {
			for restarts := range 2 {
				for _, id := range []string{strings.Repeat("-", 42) + "A", strings.Repeat("_", 42) + "Q"} {
					st := signIn{Corp: corp, Restarts: restarts, Wanted: wanted{Path: defaultGoal}, id: "i", state: id}
					r := httptest.NewRequest(http.MethodGet, "/signin?state="+id, nil)
					r.Header.Set("Accept-Language", lang)
					words := g.pages.Catalogue().For(r)
					got := httptest.NewRecorder()
					g.showSignIn(got, r, browserID, st)
					view := g.signInView(st, g.states.nonce(signIn{id: "i"}, browserID))
					want, err := g.render(page{name: "signin", data: view}, words, withoutLang(r))
					if err != nil || !hasImprint(r, st) || !bytes.Equal(got.Body.Bytes(), want) {
						t.Fatalf("%s %s %d: %v, got\n%s\nwant\n%s", lang, corp, restarts, err, got.Body, want)
					}
					if got.Header().Get("Content-Language") != words.Lang {
						t.Errorf("language %q", got.Header().Get("Content-Language"))
					}
				}
			}
		}
	}
	if n := len(g.imprints.made); n != 3*2*2 {
		t.Errorf("%d imprints", n)
	}
}

// TestNoImprint: what a page says beside state and nonce, or what a stranger
// wrote into its address, is rendered.
func TestNoImprint(t *testing.T) {
	id := strings.Repeat("a", 42) + "A"
	good := signIn{state: id}
	for target, st := range map[string]signIn{
		"/signin?state=" + id + "&lang=en":               good,
		"/signin?lang=en&state=" + id:                    good,
		"/signin?state=" + id + "&code=x":                good,
		"/signin?state=%61" + id[1:]:                     good,
		"/signin/dingtalk?state=" + id:                   good,
		"/signin?state=" + id:                            {state: id, Failed: identity.CodeBadAuthCode},
		"/signin?state=":                                 {},
		"/signin?state=" + url.QueryEscape(`"><script>`): {state: url.QueryEscape(`"><script>`)},
	} {
		if hasImprint(httptest.NewRequest(http.MethodGet, target, nil), st) {
			t.Errorf("%s", target)
		}
	}
	if hasImprint(httptest.NewRequest(http.MethodPost, "/signin?state="+id, nil), good) {
		t.Error("an answer to a post")
	}
	for _, text := range []string{"", "no blanks", blankState} {
		if _, err := newImprint([]byte(text)); err == nil {
			t.Errorf("%q is an imprint", text)
		}
	}
	cut, err := newImprint([]byte("a" + blankNonce + blankState + "b" + blankState))
	if got := string(cut.fill("S", "NN")); err != nil || got != "aNNSbS" {
		t.Errorf("%q, %v", got, err)
	}
}
