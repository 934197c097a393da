package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"kdgate/identity"
	"kdgate/internal/strictjson"
)

// algorithm is the one signature of this package (RFC 8037).
const algorithm = "EdDSA"

// MaxLength bounds a token, in bytes; a longer one is not even looked at (T75).
const MaxLength = 8 << 10

// maxHeader bounds the first part alone: ours has 108, and what is read
// before any key is known should cost little.
const maxHeader = 512

// maxLeeway bounds the tolerance: more would outlive the tokens themselves.
const maxLeeway = time.Minute

// Why a token was refused. Each is the cause of an *identity.Error of kind
// Unauthenticated. They are found in this order: a token that is both badly
// signed and expired is badly signed (T76).
var (
	ErrMalformed  = errors.New("token: malformed")
	ErrUnknownKey = errors.New("token: signed with no key of ours")
	ErrSignature  = errors.New("token: bad signature")
	ErrClaims     = errors.New("token: not for us, not from us, or not yet")
	ErrExpired    = errors.New("token: expired")
)

// VerifierConfig describes a verifier. All but Leeway and Now are required.
type VerifierConfig struct {
	Issuer   string
	Audience string
	Keys     func(kid string) (ed25519.PublicKey, bool) // Issuer.Key or KeySet.Key; must not call out
	Leeway   time.Duration                              // tolerance between clocks; 0 means none, at most a minute
	Now      func() time.Time                           // nil means the machine's clock
}

// Verifier checks tokens for one audience. It is safe for concurrent use.
type Verifier struct {
	keys   func(kid string) (ed25519.PublicKey, bool)
	parser *jwt.Parser
}

// NewVerifier builds the one strict verifier. It fails on an impossible
// configuration, naming every mistake.
func NewVerifier(cfg VerifierConfig) (*Verifier, error) {
	var all []error
	if cfg.Issuer == "" || cfg.Audience == "" {
		all = append(all, errors.New("issuer and audience must be named"))
	}
	if cfg.Keys == nil {
		all = append(all, errors.New("there are no keys"))
	}
	if cfg.Leeway < 0 || cfg.Leeway > maxLeeway {
		all = append(all, fmt.Errorf("the leeway must be between 0 and %v", maxLeeway))
	}
	if err := errors.Join(all...); err != nil {
		return nil, fmt.Errorf("token: verifier: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	// Each of these is off in the library unless asked for.
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{algorithm}), jwt.WithStrictDecoding(), jwt.WithTimeFunc(cfg.Now), jwt.WithLeeway(cfg.Leeway),
		jwt.WithExpirationRequired(), jwt.WithNotBeforeRequired(), jwt.WithIssuedAt(), jwt.WithIssuer(cfg.Issuer), jwt.WithAudience(cfg.Audience),
	)
	return &Verifier{keys: cfg.Keys, parser: parser}, nil
}

// Verify checks a token and gives what it says. The error is of kind
// Unauthenticated and wraps one of the causes above; it holds nothing of the
// token.
func (v *Verifier) Verify(token identity.Secret) (Token, error) {
	text := token.Reveal()
	kid, err := readHeader(text)
	if err != nil {
		return Token{}, refused(err)
	}
	key, known := v.keys(kid)
	if !known {
		return Token{}, refused(ErrUnknownKey)
	}
	var claims payload
	if _, err := v.parser.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
		return Token{}, refused(cause(err))
	}
	return claims.token(), nil
}

func refused(cause error) error {
	return &identity.Error{Kind: identity.Unauthenticated, Err: cause}
}

// cause names the library's failure in our words, and drops its text, which may
// repeat parts of the token.
func cause(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return ErrSignature
	case errors.Is(err, jwt.ErrTokenInvalidIssuer), errors.Is(err, jwt.ErrTokenInvalidAudience),
		errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return ErrClaims
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		return ErrClaims
	default:
		return ErrMalformed
	}
}

// readHeader gives the kid of a token whose header is exactly ours. The header
// is what an attacker writes first and the signature covers last, so nothing in
// it may choose anything but one of our keys: the algorithm is compared, never
// obeyed, and any further member refuses the token (RFC 8725, 3.1 and 3.10).
func readHeader(text string) (kid string, err error) {
	// The Base64 decoder skips line ends, which would give one token many spellings.
	if len(text) > MaxLength || strings.Count(text, ".") != 2 || strings.ContainsAny(text, "\r\n") {
		return "", ErrMalformed
	}
	segment, _, _ := strings.Cut(text, ".")
	if len(segment) > maxHeader {
		return "", ErrMalformed
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return "", ErrMalformed
	}
	var header struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
		KeyID     string `json:"kid"`
	}
	if strictjson.DecodeClosed(raw, &header) != nil || header.Algorithm != algorithm || header.Type != "JWT" {
		return "", ErrMalformed
	}
	return header.KeyID, nil
}
