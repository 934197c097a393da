package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/internal/handclock"
)

const (
	gate     = "https://gate.example.com"
	upstream = "https://reports.example.com"
)

func testSecret() identity.Secret { return identity.NewSecret("0123456789abcdef0123456789abcdef") }

// noon lies in the middle of an epoch of 30 days.
func noon() *handclock.Clock {
	return handclock.New(time.Unix(0, 0).Add(650*defaultRotate + defaultRotate/2).UTC())
}

func person() Claims {
	return Claims{
		Subject: identity.Subject{Corp: "dingcorp1", UserID: "manager/7089"}, Audience: upstream,
		Account:   identity.Account{DataCentre: "main", StaffNumber: "1002", LoginUser: "李四（财务）"},
		SessionID: "s-1", Name: "李四",
	}
}

func issuer(t testing.TB, clock *handclock.Clock) *Issuer {
	t.Helper()
	i, err := New(Config{Issuer: gate, Secret: testSecret(), Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func verifier(t testing.TB, i *Issuer, clock *handclock.Clock) *Verifier {
	t.Helper()
	v, err := NewVerifier(VerifierConfig{Issuer: gate, Audience: upstream, Keys: i.Key, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sign(t testing.TB, i *Issuer) identity.Secret {
	t.Helper()
	signed, err := i.Sign(t.Context(), person())
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// forgery is a token made by hand, signed with our own key unless a test says
// otherwise: what an attacker could make who can choose everything but the key,
// and what even our own key must not be able to say.
type forgery struct {
	header, payload string
	key             ed25519.PrivateKey
}

// forged is a good token in parts, by way of the library's output.
func forged(t testing.TB, i *Issuer) forgery {
	t.Helper()
	parts := strings.Split(sign(t, i).Reveal(), ".")
	return forgery{header: decode(t, parts[0]), payload: decode(t, parts[1]), key: i.ring.Load().current.private}
}

func (f forgery) text() identity.Secret {
	signed := encode(f.header) + "." + encode(f.payload)
	return identity.NewSecret(signed + "." + encode(string(ed25519.Sign(f.key, []byte(signed)))))
}

// claim changes a claim, or takes it away with nil.
func (f forgery) claim(t testing.TB, name string, value any) forgery {
	t.Helper()
	f.payload = change(t, f.payload, name, value)
	return f
}

// head changes a member of the header, or takes it away with nil.
func (f forgery) head(t testing.TB, name string, value any) forgery {
	t.Helper()
	f.header = change(t, f.header, name, value)
	return f
}

func change(t testing.TB, object, name string, value any) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(object), &members); err != nil {
		t.Fatal(err)
	}
	maps.Copy(members, map[string]any{name: value})
	if value == nil {
		delete(members, name)
	}
	for key, was := range members { // large numbers stay whole
		if n, ok := was.(float64); ok {
			members[key] = int64(n)
		}
	}
	out, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func decode(t testing.TB, segment string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
