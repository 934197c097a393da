package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestSecretDoesNotPrint proves T29 and T122: whatever prints a Secret, also one
// in an unexported field or behind a pointer, shows no text.
func TestSecretDoesNotPrint(t *testing.T) {
	const canary = "canary-text"
	secret := NewSecret(canary)
	hidden := struct {
		Name   string
		secret Secret
		list   []Secret
		table  map[string]Secret
	}{"x", secret, []Secret{secret}, map[string]Secret{"k": secret}}
	var out bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&out, format+format+format, secret, hidden, &hidden)
	}
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("message", "secret", secret, "hidden", hidden)
	text, err := json.Marshal(map[string]any{"secret": secret, "hidden": hidden})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	for _, bad := range []string{canary, fmt.Sprintf("%x", canary)} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("%q is printed in:\n%s", bad, out.String())
		}
	}
	if secret.Reveal() != canary || secret.IsZero() || !NewSecret("").IsZero() || NewSecret("").Reveal() != "" {
		t.Error("the text is not what was put in")
	}
}

func TestErrorHalves(t *testing.T) {
	cause := Fail(Unavailable, CodeStoreDown, "get %q: %w", "k", fmt.Errorf("refused"))
	outer := fmt.Errorf("launch: %w", &Error{Kind: Forbidden, Err: cause})
	if KindOf(outer) != Forbidden || CodeOf(outer) != CodeStoreDown {
		t.Errorf("kind %s, code %s", KindOf(outer), CodeOf(outer))
	}
	if KindOf(fmt.Errorf("plain")) != Internal || CodeOf(fmt.Errorf("plain")) != "" || CodeOf(nil) != "" {
		t.Error("an error without a public half got one")
	}
	if got := outer.Error(); !strings.Contains(got, "KD-501") || !strings.Contains(got, "refused") {
		t.Errorf("private half %q", got)
	}
	if Kind(99).String() != "kind(99)" || Conflict.String() != "conflict" {
		t.Error("kinds have no names")
	}
}

// Equal compares the texts and not where they lie (T127); nothing equals nothing.
func TestSecretEqual(t *testing.T) {
	for pair, want := range map[[2]string]bool{{"a", "a"}: true, {"a", "b"}: false, {"a", "ab"}: false, {"", ""}: true, {"", "a"}: false} {
		if got := NewSecret(pair[0]).Equal(NewSecret(pair[1])); got != want {
			t.Errorf("%q: %v", pair, got)
		}
	}
}
