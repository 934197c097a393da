package token

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdgate/identity"
)

func TestVerifyGivesWhatWasSigned(t *testing.T) {
	clock := noon()
	i := issuer(t, clock)
	got, err := verifier(t, i, clock).Verify(sign(t, i))
	if err != nil {
		t.Fatal(err)
	}
	if got.ID == "" {
		t.Error("no jti")
	}
	want := Token{Claims: person(), ID: got.ID, IssuedAt: clock.Now().Local(), ExpiresAt: clock.Now().Add(time.Minute).Local()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestTricks proves T75: each of the known ways to talk a verifier into a
// signature that is not there. All but the last are signed with our own key, so
// it is the trick alone that is refused.
func TestTricks(t *testing.T) {
	clock := noon()
	i := issuer(t, clock)
	v, f := verifier(t, i, clock), forged(t, i)
	if _, err := v.Verify(f.text()); err != nil {
		t.Fatalf("the untouched forgery: %v", err)
	}
	good := f.text().Reveal()
	parts := strings.Split(good, ".")
	public := i.ring.Load().current.public
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	confused := func(key []byte) string {
		signed := encode(change(t, f.header, "alg", "HS256")) + "." + parts[1]
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		return signed + "." + encode(string(mac.Sum(nil)))
	}
	twice := strings.Replace(f.payload, `"sub":`, `"sub":"dingcorp1/boss","sub":`, 1)
	for name, test := range map[string]struct {
		token string
		want  error
	}{
		"alg none":               {f.head(t, "alg", "none").text().Reveal(), ErrMalformed},
		"alg none, no signature": {encode(change(t, f.header, "alg", "none")) + "." + parts[1] + ".", ErrMalformed},
		"alg NONE":               {f.head(t, "alg", "NoNe").text().Reveal(), ErrMalformed},
		"alg eddsa":              {f.head(t, "alg", "eddsa").text().Reveal(), ErrMalformed},
		"alg absent":             {f.head(t, "alg", nil).text().Reveal(), ErrMalformed},
		"alg a number":           {f.head(t, "alg", 1).text().Reveal(), ErrMalformed},
		"HS256, public key":      {confused(public), ErrMalformed},
		"HS256, public key text": {confused(i.JWKS()), ErrMalformed},
		"RS256":                  {f.head(t, "alg", "RS256").text().Reveal(), ErrMalformed},
		"alg twice":              {forgery{strings.Replace(f.header, `"alg":`, `"alg":"none","alg":`, 1), f.payload, f.key}.text().Reveal(), ErrMalformed},
		"alg in two cases":       {f.head(t, "ALG", "none").text().Reveal(), ErrMalformed},
		"jku":                    {f.head(t, "jku", "https://evil.example/keys").text().Reveal(), ErrMalformed},
		"x5u":                    {f.head(t, "x5u", "https://evil.example/cert").text().Reveal(), ErrMalformed},
		"jwk":                    {f.head(t, "jwk", map[string]string{"kty": "OKP"}).text().Reveal(), ErrMalformed},
		"x5c":                    {f.head(t, "x5c", []string{"MII"}).text().Reveal(), ErrMalformed},
		"crit":                   {f.head(t, "crit", []string{"exp"}).text().Reveal(), ErrMalformed},
		"b64":                    {f.head(t, "b64", false).text().Reveal(), ErrMalformed},
		"typ of another kind":    {f.head(t, "typ", "at+jwt").text().Reveal(), ErrMalformed},
		"header null":            {forgery{"null", f.payload, f.key}.text().Reveal(), ErrMalformed},
		"header an array":        {forgery{"[]", f.payload, f.key}.text().Reveal(), ErrMalformed},
		"header with a tail":     {forgery{f.header + f.header, f.payload, f.key}.text().Reveal(), ErrMalformed},
		"kid absent":             {f.head(t, "kid", nil).text().Reveal(), ErrUnknownKey},
		"kid empty":              {f.head(t, "kid", "").text().Reveal(), ErrUnknownKey},
		"kid a path":             {f.head(t, "kid", "../../../../dev/null").text().Reveal(), ErrUnknownKey},
		"kid SQL":                {f.head(t, "kid", "x' UNION SELECT 'key").text().Reveal(), ErrUnknownKey},
		"kid an address":         {f.head(t, "kid", "https://evil.example/key").text().Reveal(), ErrUnknownKey},
		"kid NUL":                {f.head(t, "kid", i.ring.Load().current.id+"\x00").text().Reveal(), ErrUnknownKey},
		"kid a list":             {f.head(t, "kid", []string{i.ring.Load().current.id}).text().Reveal(), ErrMalformed},
		"kid of the next key":    {f.head(t, "kid", published(t, i.JWKS())[2]).text().Reveal(), ErrSignature},
		"claim twice":            {forgery{f.header, twice, f.key}.text().Reveal(), ErrMalformed},
		"claim in two cases":     {f.claim(t, "SUB", "dingcorp1/boss").text().Reveal(), ErrMalformed},
		"payload null":           {forgery{f.header, "null", f.key}.text().Reveal(), ErrClaims},
		"payload an array":       {forgery{f.header, "[1]", f.key}.text().Reveal(), ErrMalformed},
		"payload not JSON":       {forgery{f.header, "{", f.key}.text().Reveal(), ErrMalformed},
		"truncated signature":    {good[:len(good)-2], ErrSignature},
		"no signature":           {parts[0] + "." + parts[1] + ".", ErrSignature},
		"two parts":              {parts[0] + "." + parts[1], ErrMalformed},
		"four parts":             {good + ".", ErrMalformed},
		"empty":                  {"", ErrMalformed},
		"two dots":               {"..", ErrMalformed},
		"padded":                 {good + "==", ErrMalformed},
		"line end":               {good + "\n", ErrMalformed},
		"line end inside":        {parts[0] + "." + parts[1] + "." + parts[2][:10] + "\r\n" + parts[2][10:], ErrMalformed},
		"spaces":                 {" " + good, ErrMalformed},
		"standard Base64":        {parts[0] + "." + parts[1] + "." + strings.Repeat("+", len(parts[2])), ErrMalformed},
		"payload changed":        {parts[0] + "." + encode(change(t, f.payload, "sub", "dingcorp1/boss")) + "." + parts[2], ErrSignature},
		"stranger's key":         {forgery{f.header, f.payload, stranger}.text().Reveal(), ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := v.Verify(identity.NewSecret(test.token))
			if !errors.Is(err, test.want) || identity.KindOf(err) != identity.Unauthenticated {
				t.Errorf("%v, want %v", err, test.want)
			}
			if got != (Token{}) {
				t.Errorf("a refused token still says %+v", got)
			}
		})
	}
}

// TestSpareBits proves that the last character of a signature has one spelling:
// its two spare bits are refused.
func TestSpareBits(t *testing.T) {
	clock := noon()
	i := issuer(t, clock)
	good := sign(t, i).Reveal()
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, good[len(good)-1])
	if _, err := verifier(t, i, clock).Verify(identity.NewSecret(good[:len(good)-1] + string(alphabet[last^1]))); !errors.Is(err, ErrMalformed) {
		t.Errorf("another spelling of the same signature: %v", err)
	}
}

// TestClaims proves T74's checks: each claim broken alone, under a good
// signature, refuses the token.
func TestClaims(t *testing.T) {
	clock := noon()
	i := issuer(t, clock)
	v, f := verifier(t, i, clock), forged(t, i)
	at := clock.Now().Unix()
	for name, test := range map[string]struct {
		claim string
		value any
		want  error
	}{
		"no iss":             {"iss", nil, ErrClaims},
		"another iss":        {"iss", gate + "/", ErrClaims},
		"no aud":             {"aud", nil, ErrClaims},
		"empty aud":          {"aud", "", ErrClaims},
		"another aud":        {"aud", upstream + "/", ErrClaims},
		"two audiences":      {"aud", []string{upstream, "https://other.example"}, ErrClaims},
		"no audiences":       {"aud", []string{}, ErrClaims},
		"aud a number":       {"aud", 7, ErrMalformed},
		"no exp":             {"exp", nil, ErrClaims},
		"exp reached":        {"exp", at, ErrExpired},
		"exp text":           {"exp", "4102444800", ErrMalformed},
		"exp beyond time":    {"exp", int64(1) << 60, ErrClaims},
		"exp below zero":     {"exp", -1, ErrClaims},
		"no nbf":             {"nbf", nil, ErrClaims},
		"nbf ahead":          {"nbf", at + 1, ErrClaims},
		"no iat":             {"iat", nil, ErrClaims},
		"iat ahead":          {"iat", at + 1, ErrClaims},
		"no jti":             {"jti", nil, ErrClaims},
		"no sub":             {"sub", nil, ErrClaims},
		"sub without corp":   {"sub", "/boss", ErrClaims},
		"sub without slash":  {"sub", "boss", ErrClaims},
		"sub without userid": {"sub", "dingcorp1/", ErrClaims},
		"sub a list":         {"sub", []string{"dingcorp1/boss"}, ErrMalformed},
	} {
		if _, err := v.Verify(f.claim(t, test.claim, test.value).text()); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	for name, claim := range map[string]any{"one audience in a list": []string{upstream}, "one audience": upstream} {
		if _, err := v.Verify(f.claim(t, "aud", claim).text()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := v.Verify(f.claim(t, "further", "claim").text()); err != nil {
		t.Errorf("a claim that is not known here: %v", err)
	}
}

// TestPrecedence proves T76: a bad signature is named before any claim is.
func TestPrecedence(t *testing.T) {
	clock := noon()
	i := issuer(t, clock)
	v, f := verifier(t, i, clock), forged(t, i)
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	expired := f.claim(t, "exp", clock.Now().Unix()-1000)
	if _, err := v.Verify(expired.text()); !errors.Is(err, ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	if _, err := v.Verify(expired.claim(t, "aud", "other").text()); !errors.Is(err, ErrClaims) {
		t.Errorf("expired and for somebody else: %v", err)
	}
	for name, claims := range map[string]forgery{"expired": expired, "aud": f.claim(t, "aud", "other"), "no exp": f.claim(t, "exp", nil)} {
		claims.key = stranger
		if _, err := v.Verify(claims.text()); !errors.Is(err, ErrSignature) || errors.Is(err, ErrExpired) {
			t.Errorf("%s and badly signed: %v", name, err)
		}
	}
}

// TestTime proves the edges of a token's life, with and without leeway.
func TestTime(t *testing.T) {
	for _, leeway := range []time.Duration{0, 5 * time.Second} {
		for _, test := range []struct {
			after time.Duration
			want  error
		}{
			{-leeway - time.Second, ErrClaims},
			{-leeway, nil},
			{0, nil},
			{time.Minute + leeway - time.Second, nil},
			{time.Minute + leeway, ErrExpired},
		} {
			clock := noon()
			i := issuer(t, clock)
			v, err := NewVerifier(VerifierConfig{Issuer: gate, Audience: upstream, Keys: i.Key, Leeway: leeway, Now: clock.Now})
			if err != nil {
				t.Fatal(err)
			}
			signed := sign(t, i)
			clock.Advance(test.after)
			if _, err := v.Verify(signed); !errors.Is(err, test.want) {
				t.Errorf("leeway %v, after %v: %v, want %v", leeway, test.after, err, test.want)
			}
		}
	}
}

// TestOldKeysEnd proves that a key two epochs old signs nothing any more, even
// for a token that says it is fresh.
func TestOldKeysEnd(t *testing.T) {
	clock := noon()
	i := issuer(t, clock)
	old := forged(t, i)
	v := verifier(t, i, clock)
	for n, want := range []error{nil, nil, ErrUnknownKey} {
		fresh := old
		for _, claim := range []string{"iat", "nbf"} {
			fresh = fresh.claim(t, claim, clock.Now().Unix())
		}
		if _, err := v.Verify(fresh.claim(t, "exp", clock.Now().Unix()+60).text()); !errors.Is(err, want) {
			t.Errorf("%d epochs later: %v, want %v", n, err, want)
		}
		clock.Advance(defaultRotate)
	}
}

// TestGarbageIsCheap proves T75: what is too long or full of dots is refused
// within a millisecond. The best of five counts: the machine may be busy.
func TestGarbageIsCheap(t *testing.T) {
	clock := noon()
	i := issuer(t, clock)
	v, f := verifier(t, i, clock), forged(t, i)
	huge := f.claim(t, "name", strings.Repeat("x", MaxLength)).text().Reveal()
	for name, text := range map[string]string{
		"100,000 dots": strings.Repeat(".", 100_000),
		"8 KiB dots":   strings.Repeat(".", MaxLength),
		"too long":     huge,
		"deep header":  encode(strings.Repeat("[", 6000)) + "..",
		"deep claims":  encode(f.header) + "." + encode(strings.Repeat(`{"a":`, 1100)) + ".AAAA",
		"wide claims":  encode(f.header) + "." + encode("{"+strings.Repeat(`"a":1,`, 900)+`"b":1}`) + ".AAAA",
	} {
		best := time.Hour
		for range 5 {
			started := time.Now()
			_, err := v.Verify(identity.NewSecret(text))
			best = min(best, time.Since(started))
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if best > time.Millisecond {
			t.Errorf("%s took %v", name, best)
		}
	}
	longest := f.claim(t, "name", strings.Repeat("x", 5400)).text()
	if _, err := v.Verify(longest); err != nil || len(longest.Reveal()) > MaxLength {
		t.Errorf("%d bytes: %v", len(longest.Reveal()), err)
	}
}

// TestErrorsHoldNothing proves that no refusal repeats what the token said.
func TestErrorsHoldNothing(t *testing.T) {
	clock := noon()
	i := issuer(t, clock)
	v, f := verifier(t, i, clock), forged(t, i)
	for _, token := range []identity.Secret{
		f.claim(t, "MARKER", 1).claim(t, "marker", 2).text(), f.head(t, "marker", 1).text(), f.head(t, "kid", "marker").text(),
		f.claim(t, "aud", "marker").text(), f.claim(t, "exp", "marker").text(), identity.NewSecret("marker.marker.marker"),
	} {
		_, err := v.Verify(token)
		if err == nil || strings.Contains(strings.ToLower(fmt.Sprintf("%v %+v", err, err)), "marker") {
			t.Errorf("refused with %v", err)
		}
	}
}

func TestVerifierConfig(t *testing.T) {
	key := KeySet{}.Key
	for name, cfg := range map[string]VerifierConfig{
		"no issuer":       {Audience: upstream, Keys: key},
		"no audience":     {Issuer: gate, Keys: key},
		"no keys":         {Issuer: gate, Audience: upstream},
		"negative leeway": {Issuer: gate, Audience: upstream, Keys: key, Leeway: -1},
		"long leeway":     {Issuer: gate, Audience: upstream, Keys: key, Leeway: time.Hour},
	} {
		if _, err := NewVerifier(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestManyAtOnce proves that issuer and verifier serve many callers while the
// epoch changes under them.
func TestManyAtOnce(t *testing.T) {
	clock := noon()
	i := issuer(t, clock)
	v := verifier(t, i, clock)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 50 {
				signed, err := i.Sign(t.Context(), person())
				if err != nil {
					t.Error(err)
				}
				// The clock may have gone on since: then expired is right.
				if _, err := v.Verify(signed); err != nil && !errors.Is(err, ErrExpired) && !errors.Is(err, ErrUnknownKey) {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		clock.Advance(defaultRotate)
	}
	wait.Wait()
	if _, err := v.Verify(sign(t, i)); err != nil {
		t.Error(err)
	}
}

// FuzzVerify proves that nothing panics, and that what is accepted is signed with
// our key, in its one spelling. Ed25519 signs alike twice, so signing again tells.
func FuzzVerify(f *testing.F) {
	clock := noon()
	i := issuer(f, clock)
	v, key := verifier(f, i, clock), i.ring.Load().current.private
	for range 3 {
		text := sign(f, i).Reveal()
		f.Add(text)
		f.Add(text[:len(text)-1])
	}
	f.Add("..")
	f.Add(encode(`{"alg":"none","typ":"JWT","kid":"x"}`) + "." + encode(`{}`) + ".")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := v.Verify(identity.NewSecret(text)); err != nil {
			return
		}
		signed := text[:strings.LastIndexByte(text, '.')]
		if text != signed+"."+encode(string(ed25519.Sign(key, []byte(signed)))) {
			t.Fatalf("accepted %q", text)
		}
	})
}

// FuzzParseKeys proves that nothing panics, and that every key that is read has
// the name it must have.
func FuzzParseKeys(f *testing.F) {
	f.Add(issuer(f, noon()).JWKS())
	f.Add([]byte(`{"keys":[{"kty":"OKP"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		set, err := ParseKeys(raw)
		if err != nil {
			return
		}
		for kid, key := range set {
			if kid != Thumbprint(key) {
				t.Fatalf("%q names %x", kid, key)
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	i := issuer(b, noon())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Sign(b.Context(), person()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	clock := noon()
	i := issuer(b, clock)
	v, signed := verifier(b, i, clock), sign(b, i)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(signed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyDots(b *testing.B) {
	clock := noon()
	v, dots := verifier(b, issuer(b, clock), clock), identity.NewSecret(strings.Repeat(".", 100_000))
	for b.Loop() {
		if _, err := v.Verify(dots); err == nil {
			b.Fatal("accepted")
		}
	}
}
