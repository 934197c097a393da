package token

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"kdgate/identity"
	"kdgate/internal/strictjson"
)

// signingKey is the key of one epoch.
type signingKey struct {
	id      string
	private ed25519.PrivateKey
	public  ed25519.PublicKey
}

// derive makes the key of one epoch. The issuer takes part, so that two issuers
// with one secret have different keys.
func derive(secret identity.Secret, issuer string, epoch int64) (signingKey, error) {
	info := fmt.Sprintf("kdgate token signing key v1\n%d\n%s", epoch, issuer)
	seed, err := hkdf.Key(sha256.New, []byte(secret.Reveal()), nil, info, ed25519.SeedSize)
	if err != nil {
		return signingKey{}, fmt.Errorf("token: derive a signing key: %w", err)
	}
	private := ed25519.NewKeyFromSeed(seed)
	public := private.Public().(ed25519.PublicKey)
	return signingKey{id: Thumbprint(public), private: private, public: public}, nil
}

// Thumbprint is the RFC 7638 name of a key: the SHA-256 of its required members
// in their order (RFC 8037, 2), in Base64url.
func Thumbprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(key) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// jwk is a public key as RFC 8037 writes it.
type jwk struct {
	KeyType   string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

// jwkSet is a JWK Set (RFC 7517, 5).
type jwkSet struct {
	Keys []jwk `json:"keys"`
}

func encodeKeys(keys ...signingKey) ([]byte, error) {
	var set jwkSet
	for _, key := range keys {
		set.Keys = append(set.Keys, jwk{"OKP", "Ed25519", base64.RawURLEncoding.EncodeToString(key.public), key.id, "sig", algorithm})
	}
	out, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("token: encode the key set: %w", err)
	}
	return out, nil
}

// KeySet is a fixed set of public keys by their kid.
type KeySet map[string]ed25519.PublicKey

// Key finds a key, for VerifierConfig.Keys.
func (s KeySet) Key(kid string) (ed25519.PublicKey, bool) {
	key, ok := s[kid]
	return key, ok
}

// errKeySet is a set that is not one of ours.
var errKeySet = errors.New("token: not a key set of this kind")

// ParseKeys reads a JWK Set as [Issuer.JWKS] writes it. Every key in it must be a
// public Ed25519 signing key whose kid is its thumbprint; one that is not spoils
// the set, because a set that was tampered with is not to be used in part.
func ParseKeys(set []byte) (KeySet, error) {
	var raw jwkSet
	if err := strictjson.DecodeClosed(set, &raw); err != nil {
		return nil, fmt.Errorf("%w: %w", errKeySet, err)
	}
	out := KeySet{}
	for i, key := range raw.Keys {
		x, err := base64.RawURLEncoding.Strict().DecodeString(key.X)
		if err != nil || len(x) != ed25519.PublicKeySize || key.KeyType != "OKP" || key.Curve != "Ed25519" ||
			key.Use != "sig" || key.Algorithm != algorithm || key.ID != Thumbprint(x) {
			return nil, fmt.Errorf("%w: key %d", errKeySet, i)
		}
		out[key.ID] = x
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: it is empty", errKeySet)
	}
	return out, nil
}
