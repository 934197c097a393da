package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"kdgate/identity"
	"kdgate/internal/randomid"
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
	token, ok := randomid.InCookie(r, knownCookie)
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
	token, err := randomid.New(b.cfg.Rand)
	if err != nil {
		return identity.Fail(identity.Internal, identity.CodeInternal, "admin: %w", err)
	}
	ops := []store.Op{store.Create(knownPrefix+hashOf(token), []byte("{}")).For(knownFor)}
	if earlier, ok := randomid.InCookie(r, knownCookie); ok {
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
