package token

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdgate/identity"
	"kdgate/internal/handclock"
)

// TestTokenOnTheWire proves T74 by an eye that knows nothing of the library:
// the header, every claim, and a signature that the published key accepts.
func TestTokenOnTheWire(t *testing.T) {
	clock := noon()
	i := issuer(t, clock)
	parts := strings.Split(sign(t, i).Reveal(), ".")
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(i.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	current := set.Keys[1]
	var header map[string]string
	if err := json.Unmarshal([]byte(decode(t, parts[0])), &header); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"alg": "EdDSA", "typ": "JWT", "kid": current["kid"]}, header); diff != "" {
		t.Error(diff)
	}
	var claims map[string]any
	if err := json.Unmarshal([]byte(decode(t, parts[1])), &claims); err != nil {
		t.Fatal(err)
	}
	if id, _ := claims["jti"].(string); len(id) < 22 {
		t.Errorf("jti %q has less than 128 bits", id)
	}
	delete(claims, "jti")
	at := float64(clock.Now().Unix())
	if diff := cmp.Diff(map[string]any{
		"iss": gate, "aud": upstream, "sub": "dingcorp1/manager/7089", "iat": at, "nbf": at, "exp": at + 60,
		"sid": "s-1", "name": "李四", "kd_dc": "main", "kd_staff": "1002", "kd_user": "李四（财务）",
	}, claims); diff != "" {
		t.Error(diff)
	}
	public, err := base64.RawURLEncoding.DecodeString(current["x"])
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(public, []byte(parts[0]+"."+parts[1]), []byte(decode(t, parts[2]))) {
		t.Error("the published key does not accept the signature")
	}
	if first, second := sign(t, i), sign(t, i); first.Reveal() == second.Reveal() {
		t.Error("two tokens are the same: jti does not tell them apart")
	}
}

// TestThumbprint proves T80's kid with the vector of RFC 8037, A.3.
func TestThumbprint(t *testing.T) {
	key, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := Thumbprint(key), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("thumbprint %s, want %s", got, want)
	}
}

// published are the kids of a key set, in its order.
func published(t *testing.T, set []byte) []string {
	t.Helper()
	var parsed jwkSet
	if err := json.Unmarshal(set, &parsed); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, key := range parsed.Keys {
		out = append(out, key.ID)
	}
	return out
}

// TestRotation proves T80 over three epochs: the set holds the previous, the
// current and the next key; the next was published at least 24 hours before it
// signs, and a token outlives the rotation it was made before.
func TestRotation(t *testing.T) {
	for _, rotate := range []time.Duration{24 * time.Hour, 30 * 24 * time.Hour} {
		clock := handclock.New(time.Unix(0, 0).Add(1000 * rotate))
		i, err := New(Config{Issuer: gate, Secret: testSecret(), Rotate: rotate, Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		v := verifier(t, i, clock)
		was := published(t, i.JWKS())
		for range 3 {
			clock.Advance(rotate - time.Second)
			if got := published(t, i.JWKS()); !slices.Equal(got, was) {
				t.Errorf("%v: the set changed within its epoch", rotate)
			}
			before := sign(t, i)
			clock.Advance(time.Second)
			is := published(t, i.JWKS())
			if len(is) != 3 || is[0] != was[1] || is[1] != was[2] || slices.Contains(was, is[2]) {
				t.Fatalf("%v: %v came after %v", rotate, is, was)
			}
			for _, token := range []identity.Secret{before, sign(t, i)} {
				if _, err := v.Verify(token); err != nil {
					t.Errorf("%v: %v", rotate, err)
				}
			}
			was = is
		}
	}
}

// TestReplicasAgree proves that keys come from the secret, the issuer and the
// time alone, and that each of them matters.
func TestReplicasAgree(t *testing.T) {
	clock := noon()
	one, two := issuer(t, clock), issuer(t, clock)
	if diff := cmp.Diff(string(one.JWKS()), string(two.JWKS())); diff != "" {
		t.Error(diff)
	}
	if _, err := verifier(t, two, clock).Verify(sign(t, one)); err != nil {
		t.Error(err)
	}
	for name, cfg := range map[string]Config{
		"secret": {Issuer: gate, Secret: identity.NewSecret(strings.Repeat("x", 32)), Now: clock.Now},
		"issuer": {Issuer: gate + "/", Secret: testSecret(), Now: clock.Now},
	} {
		other, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, kid := range published(t, other.JWKS()) {
			if _, shared := one.Key(kid); shared {
				t.Errorf("another %s has the key %s too", name, kid)
			}
		}
	}
	// A replica whose clock runs a little behind still knows the key.
	late := handclock.New(time.Unix(0, 0).Add(650*defaultRotate - time.Second))
	ahead := handclock.New(late.Now().Add(2 * time.Second))
	if _, known := issuer(t, late).Key(published(t, issuer(t, ahead).JWKS())[1]); !known {
		t.Error("the key of a new epoch is unknown to a replica two seconds behind")
	}
}

// TestEpochBefore1970 proves that a clock that was never set does not make two
// epochs one.
func TestEpochBefore1970(t *testing.T) {
	clock := handclock.New(time.Unix(-1, 0))
	i := issuer(t, clock)
	before := published(t, i.JWKS())
	clock.Advance(time.Second)
	if after := published(t, i.JWKS()); after[0] != before[1] || after[1] != before[2] {
		t.Errorf("%v came after %v", after, before)
	}
}

// TestNoPrivateKeyLeaves proves that neither the set nor a printed issuer holds
// more than public keys.
func TestNoPrivateKeyLeaves(t *testing.T) {
	i := issuer(t, noon())
	if set := string(i.JWKS()); strings.Contains(set, `"d"`) || !regexp.MustCompile(`^\{"keys":\[(\{"kty":"OKP","crv":"Ed25519","x":"[\w-]{43}","kid":"[\w-]{43}","use":"sig","alg":"EdDSA"\},?){3}\]\}$`).MatchString(set) {
		t.Errorf("set %s", set)
	}
	seed := i.ring.Load().current.private.Seed()
	for _, printed := range []string{fmt.Sprintf("%v", i), fmt.Sprintf("%+v", i), fmt.Sprintf("%#v", i)} {
		for _, bad := range []string{testSecret().Reveal(), fmt.Sprintf("%x", seed), fmt.Sprint(seed)} {
			if strings.Contains(printed, bad) {
				t.Errorf("printed: %s", printed)
			}
		}
	}
	set := i.JWKS()
	set[0] = 'x'
	if i.JWKS()[0] != '{' {
		t.Error("a caller can change the set")
	}
}

// TestHandler proves the publishing of the set: type, caching, an unchanged set
// not sent again, and no other method.
func TestHandler(t *testing.T) {
	clock := noon()
	i := issuer(t, clock)
	ask := func(method, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/anywhere", nil)
		if tag != "" {
			r.Header.Set("If-None-Match", tag)
		}
		w := httptest.NewRecorder()
		i.Handler().ServeHTTP(w, r)
		return w
	}
	got := ask(http.MethodGet, "")
	if got.Code != http.StatusOK || got.Body.String() != string(i.JWKS()) {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/jwk-set+json", "Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff",
	} {
		if value := got.Header().Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	tag := got.Header().Get("Etag")
	if got := ask(http.MethodHead, ""); got.Code != http.StatusOK || got.Body.Len() != 0 || got.Header().Get("Etag") != tag {
		t.Errorf("HEAD: %d, %d bytes", got.Code, got.Body.Len())
	}
	if got := ask(http.MethodGet, tag); got.Code != http.StatusNotModified || got.Body.Len() != 0 {
		t.Errorf("unchanged: %d", got.Code)
	}
	clock.Advance(defaultRotate)
	if got := ask(http.MethodGet, tag); got.Code != http.StatusOK || got.Header().Get("Etag") == tag {
		t.Errorf("changed: %d", got.Code)
	}
	if got := ask(http.MethodPost, ""); got.Code != http.StatusMethodNotAllowed || got.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", got.Code)
	}
}

func TestConfigNamesEveryMistake(t *testing.T) {
	_, err := New(Config{Secret: identity.NewSecret("short and secret"), Lifetime: 2 * time.Hour, Rotate: time.Hour})
	if err == nil {
		t.Fatal("an impossible configuration was taken")
	}
	for _, want := range []string{"issuer", "32 bytes", "lifetime", "24h"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word on %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "short and secret") {
		t.Errorf("the secret stands in %v", err)
	}
	if _, err := New(Config{Issuer: gate, Secret: testSecret(), Lifetime: -time.Second}); err == nil {
		t.Error("a token that is expired when made")
	}
}

// TestSignRefuses proves that a token always names one person and one audience,
// byte for byte.
func TestSignRefuses(t *testing.T) {
	i := issuer(t, noon())
	for name, spoil := range map[string]func(*Claims){
		"no corp":       func(c *Claims) { c.Subject.Corp = "" },
		"no userid":     func(c *Claims) { c.Subject.UserID = "" },
		"slash in corp": func(c *Claims) { c.Subject.Corp = "ding/corp1" },
		"no audience":   func(c *Claims) { c.Audience = "" },
		"not UTF-8":     func(c *Claims) { c.Account.LoginUser = "\xd5\xc5" },
		"not UTF-8 id":  func(c *Claims) { c.Subject.UserID = "a\xff" },
	} {
		claims := person()
		spoil(&claims)
		if token, err := i.Sign(t.Context(), claims); identity.KindOf(err) != identity.Invalid || !token.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := i.Sign(ended, person()); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
}

// TestParseKeys proves that a set is read as it was written, and that none that
// was touched is read in part.
func TestParseKeys(t *testing.T) {
	clock := noon()
	i := issuer(t, clock)
	good := string(i.JWKS())
	set, err := ParseKeys([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(VerifierConfig{Issuer: gate, Audience: upstream, Keys: set.Key, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(sign(t, i)); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]string{
		"empty":         `{"keys":[]}`,
		"no set":        `[]`,
		"private":       strings.Replace(good, `"use"`, `"d":"AAAA","use"`, 1),
		"another kid":   strings.Replace(good, `"kid":"`, `"kid":"x`, 1),
		"swapped key":   strings.Replace(good, `"x":"`, `"x":"AAAA`, 1),
		"encryption":    strings.Replace(good, `"sig"`, `"enc"`, 1),
		"another curve": strings.Replace(good, `Ed25519`, `X25519`, 1),
		"algorithm":     strings.Replace(good, `EdDSA`, `HS256`, 1),
		"named twice":   strings.Replace(good, `{"keys":`, `{"keys":[],"keys":`, 1),
		"two values":    good + good,
	} {
		if _, err := ParseKeys([]byte(bad)); !errors.Is(err, errKeySet) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOtherSecrets proves R57: while the secret is changed, the tokens of each
// replica verify at the others, whichever of the secrets it signs with, and a key
// set that was fetched before the change knows the key that signs after it.
func TestOtherSecrets(t *testing.T) {
	clock := noon()
	first, second := testSecret(), identity.NewSecret(strings.Repeat("y", 32))
	made := func(secret identity.Secret, others ...identity.Secret) *Issuer {
		t.Helper()
		i, err := New(Config{Issuer: gate, Secret: secret, Others: others, Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	before, listed, after := made(first), made(first, second), made(second, first)
	for _, pair := range [][2]*Issuer{{before, listed}, {listed, before}, {listed, after}, {after, listed}} {
		if _, err := verifier(t, pair[1], clock).Verify(sign(t, pair[0])); err != nil {
			t.Error(err)
		}
	}
	fetched, err := ParseKeys(listed.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	if kid := published(t, after.JWKS())[1]; fetched[kid] == nil {
		t.Error("the set of before the change does not know the key of after it")
	}
	if n := len(published(t, listed.JWKS())); n != 6 {
		t.Errorf("%d keys of two secrets", n)
	}
	if _, err := New(Config{Issuer: gate, Secret: first, Others: []identity.Secret{identity.NewSecret("short")}}); err == nil {
		t.Error("a short secret is taken")
	}
}
