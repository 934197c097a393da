package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"kdgate/identity"
	"kdgate/store"
)

const (
	// knownCookie marks a browser in which somebody proved the emergency
	// account's secret before (OWASP: Slow Down Online Guessing Attacks with
	// Device Cookies). It proves nobody: all it gives is a count of its own.
	knownCookie = "__Host-kdgate-known"
	knownPrefix = "console/known/"
	knownFor    = 180 * 24 * time.Hour
)

// known is the hash of the browser's token if the store has it, else empty: the
// browser is a stranger's.
func (b *breakGlass) known(ctx context.Context, r *http.Request) (string, error) {
	token, ok := tokenIn(r, knownCookie)
	if !ok {
		return "", nil
	}
	hash := hashOf(token)
	_, err := b.cfg.Store.Get(ctx, knownPrefix+hash)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrOutdated) {
		return "", nil
	}
	if err != nil {
		return "", storeDown(err)
	}
	return hash, nil
}

// remember makes the browser known, under a new token each time.
func (b *breakGlass) remember(w http.ResponseWriter, r *http.Request) error {
	raw := make([]byte, tokenSize)
	if _, err := io.ReadFull(b.cfg.Rand, raw); err != nil {
		return identity.Fail(identity.Internal, identity.CodeInternal, "admin: random: %w", err)
	}
	token := tokenCode.EncodeToString(raw)
	ops := []store.Op{store.Create(knownPrefix+hashOf(token), []byte("{}")).For(knownFor)}
	if earlier, ok := tokenIn(r, knownCookie); ok {
		ops = append(ops, store.Delete(knownPrefix+hashOf(earlier)))
	}
	if err := b.cfg.Store.Commit(r.Context(), ops...); err != nil {
		return storeDown(err)
	}
	http.SetCookie(w, &http.Cookie{
		Name: knownCookie, Value: token, Path: "/", MaxAge: int(knownFor / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	return nil
}
