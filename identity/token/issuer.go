package token

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"kdgate/identity"
)

const (
	defaultLifetime = time.Minute
	defaultRotate   = 30 * 24 * time.Hour
	maxLifetime     = time.Hour
	minRotate       = 24 * time.Hour // the next key is published at least so long before it signs (T80)
	minSecret       = 32             // bytes
	setMaxAge       = time.Hour      // how long a fetched key set may be kept; a changed secret is known after that
)

// Config describes an issuer. Issuer and Secret are required.
type Config struct {
	Issuer string          // iss of every token: our public origin
	Secret identity.Secret // at least 32 bytes, the same on every replica
	// Others are secrets that do not sign here and whose keys are published all the
	// same, while the secret is changed: those of replicas before or after it, and
	// of tokens that were signed a moment ago (R57).
	Others   []identity.Secret
	Lifetime time.Duration    // of a token; 0 means 60 s, at most an hour
	Rotate   time.Duration    // life of a signing key; 0 means 30 days, at least 24 h. A change replaces all keys at once
	Now      func() time.Time // nil means the machine's clock
}

func (c Config) validate() error {
	var all []error
	if c.Issuer == "" || !utf8.ValidString(c.Issuer) {
		all = append(all, errors.New("the issuer must be named"))
	}
	for _, secret := range append([]identity.Secret{c.Secret}, c.Others...) {
		if len(secret.Reveal()) < minSecret {
			all = append(all, fmt.Errorf("the secret must have at least %d bytes", minSecret))
		}
	}
	if c.Lifetime < time.Second || c.Lifetime > maxLifetime {
		all = append(all, fmt.Errorf("the lifetime must be between 1s and %v", maxLifetime))
	}
	if c.Rotate < minRotate {
		all = append(all, fmt.Errorf("keys must live at least %v", minRotate))
	}
	return errors.Join(all...)
}

func (c Config) withDefaults() Config {
	if c.Lifetime == 0 {
		c.Lifetime = defaultLifetime
	}
	if c.Rotate == 0 {
		c.Rotate = defaultRotate
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Issuer signs tokens and publishes the keys they are checked with. It is safe
// for concurrent use.
type Issuer struct {
	name     string
	lifetime time.Duration
	rotate   time.Duration
	now      func() time.Time
	// derive holds the secret, because fmt looks into unexported fields and would
	// print a Secret there; it cannot look into a function.
	derive func(secret int, epoch int64) (signingKey, error)
	others int // secrets after the first
	ring   atomic.Pointer[ring]
}

// ring is what one epoch works with.
type ring struct {
	epoch   int64
	current signingKey
	public  KeySet
	jwks    []byte
	tag     string
}

// New builds an issuer. It fails on an impossible configuration, naming every
// mistake.
func New(cfg Config) (*Issuer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	i := &Issuer{
		name: cfg.Issuer, lifetime: cfg.Lifetime, rotate: cfg.Rotate, now: cfg.Now,
		others: len(cfg.Others),
	}
	secrets := append([]identity.Secret{cfg.Secret}, cfg.Others...)
	i.derive = func(secret int, epoch int64) (signingKey, error) { return derive(secrets[secret], cfg.Issuer, epoch) }
	first, err := i.forge(i.epoch())
	if err != nil {
		return nil, err
	}
	i.ring.Store(first)
	return i, nil
}

// epoch is the number of the running epoch.
func (i *Issuer) epoch() int64 {
	now, length := i.now().Unix(), int64(i.rotate/time.Second)
	epoch := now / length
	if now < 0 && now%length != 0 {
		epoch-- // towards the past, also before 1970
	}
	return epoch
}

// keys is the ring of the running epoch. Two callers that meet a new epoch at
// once forge the same ring, so neither waits.
func (i *Issuer) keys() (*ring, error) {
	epoch := i.epoch()
	if held := i.ring.Load(); held.epoch == epoch {
		return held, nil
	}
	fresh, err := i.forge(epoch)
	if err != nil {
		return nil, err
	}
	i.ring.Store(fresh)
	return fresh, nil
}

func (i *Issuer) forge(epoch int64) (*ring, error) {
	var all []signingKey // three of each secret: previous, current, next
	public := KeySet{}
	for secret := range 1 + i.others {
		for n := range int64(3) {
			key, err := i.derive(secret, epoch+n-1)
			if err != nil {
				return nil, err
			}
			all, public[key.id] = append(all, key), key.public
		}
	}
	set, err := encodeKeys(all...)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(set)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return &ring{epoch: epoch, current: all[1], public: public, jwks: set, tag: tag}, nil
}

// Key finds one of the published keys, for VerifierConfig.Keys.
func (i *Issuer) Key(kid string) (ed25519.PublicKey, bool) {
	ring, err := i.keys()
	if err != nil {
		return nil, false
	}
	return ring.public.Key(kid)
}

// JWKS is the set of the previous, the current and the next public key of each
// secret (RFC 7517). It is nil only when keys cannot be derived at all, which New refuses.
func (i *Issuer) JWKS() []byte {
	ring, err := i.keys()
	if err != nil {
		return nil
	}
	return append([]byte(nil), ring.jwks...)
}

// Handler publishes the key set, with an hour of caching. It answers GET and
// HEAD at whatever address it is mounted.
func (i *Issuer) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		ring, err := i.keys()
		if err != nil {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(setMaxAge/time.Second)))
		w.Header().Set("Etag", ring.tag)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Header.Get("If-None-Match") == ring.tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Content-Length", fmt.Sprint(len(ring.jwks)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(ring.jwks) // the caller may have gone
		}
	})
}

// Sign makes a token for one audience, good for Config.Lifetime from now. A
// caller may use it again for half that time. It fails with kind Invalid when
// the claims name no subject or no audience, or are not UTF-8.
func (i *Issuer) Sign(ctx context.Context, claims Claims) (identity.Secret, error) {
	if err := ctx.Err(); err != nil {
		return identity.Secret{}, fmt.Errorf("token: sign: %w", err)
	}
	if err := claims.validate(); err != nil {
		return identity.Secret{}, identity.Fail(identity.Invalid, "", "token: sign: %w", err)
	}
	ring, err := i.keys()
	if err != nil {
		return identity.Secret{}, err
	}
	now := i.now().Unix()
	unsigned := jwt.NewWithClaims(jwt.SigningMethodEdDSA, newPayload(claims, stamp{
		issuer: i.name, id: rand.Text(), issued: now, expires: now + int64(i.lifetime/time.Second),
	}))
	unsigned.Header["kid"] = ring.current.id
	signed, err := unsigned.SignedString(ring.current.private)
	if err != nil {
		return identity.Secret{}, fmt.Errorf("token: sign: %w", err)
	}
	return identity.NewSecret(signed), nil
}
