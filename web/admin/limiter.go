package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"kdgate/identity"
	"kdgate/store"
)

const (
	triesPrefix     = "console/tries/"
	triesWindow     = 15 * time.Minute
	triesPerAddress = 5
	triesPerAccount = 20 // from all addresses: more, so that one stranger cannot lock the account
	countTries      = 8
)

// limiter counts sign-ins of the emergency account in the store, so that all
// replicas share one count. A try is counted before it is judged; what cannot be
// counted is not judged (T106).
type limiter struct{ *Console }

// tries is one counter.
type tries struct {
	Count int       `json:"count"`
	Until time.Time `json:"until"` // the window's end; it does not move with further tries
}

// count takes one try of the account and of the address, or refuses it.
func (l limiter) count(ctx context.Context, source string) error {
	for range countTries {
		err := l.countOnce(ctx, source)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return identity.Fail(identity.Throttled, identity.CodeTooManyTries, "admin: too many tries at once")
}

func (l limiter) countOnce(ctx context.Context, source string) error {
	var ops []store.Op
	for _, counter := range [...]struct {
		key string
		max int
	}{
		{triesPrefix + "account/" + breakGlassAccount, triesPerAccount},
		{triesPrefix + "address/" + addressPart(source), triesPerAddress},
	} {
		op, err := l.step(ctx, counter.key, counter.max)
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	if err := l.cfg.Store.Commit(ctx, ops...); err != nil {
		return storeDown(err)
	}
	return nil
}

// step is the write that counts one more, or the refusal.
func (l limiter) step(ctx context.Context, key string, most int) (store.Op, error) {
	var t tries
	now := l.cfg.Now()
	entry, err := l.cfg.Store.Get(ctx, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return store.Op{}, storeDown(err)
	default:
		if err := json.Unmarshal(entry.Value, &t); err != nil {
			return store.Op{}, identity.Fail(identity.Internal, identity.CodeInternal, "admin: tries: %w", err)
		}
	}
	if !now.Before(t.Until) {
		t = tries{Until: now.Add(triesWindow)}
	}
	if t.Count >= most {
		return store.Op{}, identity.Fail(identity.Throttled, identity.CodeTooManyTries, "admin: %d tries", t.Count)
	}
	t.Count++
	text, err := json.Marshal(t)
	if err != nil {
		return store.Op{}, fmt.Errorf("admin: tries: %w", err)
	}
	op := store.Create(key, text)
	if entry.Version != 0 {
		op = store.Replace(key, text, entry.Version)
	}
	return op.For(max(t.Until.Sub(now), time.Second)), nil
}

// addressPart names a client's network: one address, or a /64 of IPv6, which is
// one household. What is no address shares one counter.
func addressPart(source string) string {
	addr, err := netip.ParseAddr(source)
	if err != nil {
		return "unknown"
	}
	if addr = addr.Unmap(); addr.Is6() {
		network, err := addr.WithZone("").Prefix(64)
		if err == nil {
			return network.Addr().String()
		}
	}
	return addr.String()
}
