package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
)

type signedTaker struct {
	took []SignedRequest
	err  error
}

func (s *signedTaker) Take(_ context.Context, r SignedRequest) error {
	s.took = append(s.took, r)
	return s.err
}

// TestSigned proves F57's endpoint: only who knows the secret is heard, now, and
// what is wrong with the content is told to nobody else (T127, R59).
func TestSigned(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	const secret = "a-shared-secret-of-more-than-32-bytes"
	taker := &signedTaker{}
	door := &Signed{Receiver: taker, Secret: identity.NewSecret(secret), Now: func() time.Time { return now }}
	post := func(stamp, signature, body string) int {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hr/dingcorp1", strings.NewReader(body))
		if stamp != "" {
			r.Header.Set(identity.HeaderTimestamp, stamp)
		}
		if signature != "" {
			r.Header.Set(identity.HeaderSignature, signature)
		}
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		return w.Code
	}
	good := func(stamp, body string) string { return identity.NewSecret(secret).SignMessage(stamp, []byte(body)) }
	at := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).Unix(), 10) }
	if code := post(at(0), good(at(0), "{}"), "{}"); code != http.StatusAccepted || len(taker.took) != 1 {
		t.Fatalf("a good one: %d", code)
	}
	for name, status := range map[string]int{
		"no header":    post("", "", "{}"),
		"no signature": post(at(0), "", "{}"),
		"other body":   post(at(0), good(at(0), "{}"), "{ }"),
		"other time":   post(at(time.Second), good(at(0), "{}"), "{}"),
		"too old":      post(at(-6*time.Minute), good(at(-6*time.Minute), "{}"), "{}"),
		"too new":      post(at(6*time.Minute), good(at(6*time.Minute), "{}"), "{}"),
		"milliseconds": post(at(0)+"000", good(at(0)+"000", "{}"), "{}"),
		"capitals":     post(at(0), strings.ToUpper(good(at(0), "{}")), "{}"),
		"words":        post("soon", good("soon", "{}"), "{}"),
	} {
		if status != http.StatusForbidden {
			t.Errorf("%s: %d", name, status)
		}
	}
	if len(taker.took) != 1 {
		t.Errorf("%d requests were heard", len(taker.took))
	}
	huge := strings.Repeat("x", MaxEvent+1)
	if code := post(at(0), good(at(0), huge), huge); code != http.StatusRequestEntityTooLarge {
		t.Errorf("huge: %d", code)
	}
	for err, want := range map[error]int{
		fmt.Errorf("%w: line 1", ErrSignedContent): http.StatusUnprocessableEntity, errors.New("the store is away"): http.StatusServiceUnavailable,
	} {
		taker.err = err
		if code := post(at(0), good(at(0), "{}"), "{}"); code != want {
			t.Errorf("%v: %d", err, code)
		}
	}
}

// TestSignedWithTwoSecrets proves R57 for HR's secret: while it is changed both
// are heard, and no third.
func TestSignedWithTwoSecrets(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	secrets := map[string]int{
		"the new secret of more than 32 bytes": http.StatusAccepted, "the old secret of more than 32 bytes": http.StatusAccepted,
		"some other one of more than 32 bytes": http.StatusForbidden, "": http.StatusForbidden,
	}
	for _, old := range []string{"the old secret of more than 32 bytes", ""} {
		door := &Signed{
			Receiver: &signedTaker{}, Secret: identity.NewSecret("the new secret of more than 32 bytes"), Old: identity.NewSecret(old),
			Now: func() time.Time { return now },
		}
		for secret, want := range secrets {
			if old == "" && strings.HasPrefix(secret, "the old") {
				want = http.StatusForbidden
			}
			stamp := strconv.FormatInt(now.Unix(), 10)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hr/dingcorp1", strings.NewReader("{}"))
			r.Header.Set(identity.HeaderTimestamp, stamp)
			r.Header.Set(identity.HeaderSignature, identity.NewSecret(secret).SignMessage(stamp, []byte("{}")))
			w := httptest.NewRecorder()
			door.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("old %q, signed with %q: %d, want %d", old, secret, w.Code, want)
			}
		}
	}
}
