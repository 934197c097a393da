package identity

import (
	"crypto/subtle"
	"encoding/json"
	"log/slog"
)

const placeholder = "[secret]"

// Secret is text that must not be seen: app secrets, tokens, codes, links.
// Every way of printing it gives a placeholder; Reveal is the one way out and
// is called only where the value goes on the wire or into a signature.
//
// The text stands behind a pointer, because fmt cannot call the methods of a
// Secret in an unexported field: it then prints an address and not the text.
// So two Secrets are not compared with ==.
type Secret struct{ text *string }

// NewSecret wraps text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal gives the text itself.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal compares in a time that does not tell how much fits.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// IsZero reports whether no text is held.
func (s Secret) IsZero() bool { return s.text == nil }

// String is the placeholder.
func (s Secret) String() string { return placeholder }

// GoString is the placeholder, for %#v.
func (s Secret) GoString() string { return placeholder }

// LogValue is the placeholder, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(placeholder) }

// MarshalJSON is the placeholder.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(placeholder) }

// MarshalText is the placeholder, for YAML and map keys.
func (s Secret) MarshalText() ([]byte, error) { return []byte(placeholder), nil }
