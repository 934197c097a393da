package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/store"
)

const (
	triesPrefix = "console/tries/"
	triesWindow = 15 * time.Minute
	triesEach   = 5 // of one address, or of one known browser, in a window
	countTries  = 8

	// The brake of the account: twenty tries from strangers at once, then one in
	// 45 seconds, which is a hundred an hour (ASVS 6.3.1). It slows and never
	// locks: an account that strangers can lock is theirs to take away.
	brakeBurst = 20
	brakeEvery = 45 * time.Second
	brakeKey   = triesPrefix + "brake/" + breakGlassAccount
)

// limiter counts sign-ins of the emergency account in the store, so that all
// replicas share one count. A try is counted before it is judged; what cannot be
// counted is not judged (T106).
type limiter struct{ *Console }

// caller is who tries, as far as is known before the try is judged.
type caller struct {
	network string // addressPart of the client
	browser string // hash of a known browser's token, empty for a stranger
	excused bool   // not held by the account's brake
}

// own is the key of the caller's own counter. A known browser has one of its
// own, wherever it is: strangers behind its address take nothing from it.
func (c caller) own() string {
	if c.browser != "" {
		return triesPrefix + "browser/" + c.browser
	}
	return triesPrefix + "address/" + c.network
}

// tries is one counter of a window.
type tries struct {
	Count int       `json:"count"`
	Until time.Time `json:"until"` // the window's end; it does not move with further tries

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// brake is the account's pace, as GCRA keeps it.
type brake struct {
	Full time.Time `json:"full"` // when every try that was let through is paid for

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// tooMany is the private half of a refusal, with how long it holds.
type tooMany struct {
	what string
	wait time.Duration
}

func (e *tooMany) Error() string {
	return fmt.Sprintf("admin: too many tries of %s, again in %s", e.what, e.wait.Round(time.Second))
}

// waitOf is how long a refusal of the limiter holds, zero for any other error.
func waitOf(err error) time.Duration {
	if e, ok := errors.AsType[*tooMany](err); ok {
		return max(e.wait, time.Second)
	}
	return 0
}

// count takes one try of the caller and of the account, or refuses it. A
// refused one is not counted: nobody's own tries are used up by waiting.
func (l limiter) count(ctx context.Context, who caller) error {
	for range countTries {
		err := l.countOnce(ctx, who)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return refusedFor("the account at once", time.Second)
}

func (l limiter) countOnce(ctx context.Context, who caller) error {
	op, err := l.step(ctx, who.own())
	if err != nil {
		return err
	}
	ops := []store.Op{op}
	if !who.excused {
		op, err := l.press(ctx)
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

// step is the write that counts one more in a window, or the refusal.
func (l limiter) step(ctx context.Context, key string) (store.Op, error) {
	var t tries
	version, err := l.read(ctx, key, &t)
	if err != nil {
		return store.Op{}, err
	}
	now := l.cfg.Now()
	if !now.Before(t.Until) {
		t.Count, t.Until = 0, now.Add(triesWindow)
	}
	left := t.Until.Sub(now)
	if t.Count >= triesEach {
		return store.Op{}, refusedFor("one address or browser", left)
	}
	t.Count++
	return write(key, t, version, left)
}

// press is the write that takes one try off the account's pace, or the refusal.
func (l limiter) press(ctx context.Context) (store.Op, error) {
	var b brake
	version, err := l.read(ctx, brakeKey, &b)
	if err != nil {
		return store.Op{}, err
	}
	now := l.cfg.Now()
	if b.Full.Before(now) {
		b.Full = now
	}
	b.Full = b.Full.Add(brakeEvery)
	if wait := b.Full.Sub(now) - brakeBurst*brakeEvery; wait > 0 {
		return store.Op{}, refusedFor("the account", wait)
	}
	return write(brakeKey, b, version, b.Full.Sub(now))
}

// forgive gives a caller who proved the secret their own tries back. The
// account's brake stays: others' tries are not theirs.
func (l limiter) forgive(ctx context.Context, who caller) error {
	if err := l.cfg.Store.Commit(ctx, store.Delete(who.own())); err != nil {
		return storeDown(err)
	}
	return nil
}

// clearBatch is how many counters one commit takes away.
const clearBatch = 100

// clear forgets every try, of every address and of the account.
func (l limiter) clear(ctx context.Context) error {
	for {
		entries, err := l.cfg.Store.Scan(ctx, triesPrefix, "", clearBatch)
		if err != nil {
			return storeDown(err)
		}
		if len(entries) == 0 {
			return nil
		}
		ops := make([]store.Op, len(entries))
		for i, entry := range entries {
			ops[i] = store.Delete(entry.Key)
		}
		if err := l.cfg.Store.Commit(ctx, ops...); err != nil {
			return storeDown(err)
		}
	}
}

// read decodes a counter; what is not there leaves it as it is, at version zero.
func (l limiter) read(ctx context.Context, key string, into any) (store.Version, error) {
	entry, err := l.cfg.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, storeDown(err)
	}
	if err := json.Unmarshal(entry.Value, into); err != nil {
		return 0, identity.Fail(identity.Internal, identity.CodeInternal, "admin: tries: %w", err)
	}
	return entry.Version, nil
}

// write puts a counter over exactly the version that was read.
func write(key string, counter any, version store.Version, lasts time.Duration) (store.Op, error) {
	text, err := json.Marshal(counter)
	if err != nil {
		return store.Op{}, fmt.Errorf("admin: tries: %w", err)
	}
	return store.Over(key, text, version).For(max(lasts, time.Second)), nil
}

func refusedFor(what string, wait time.Duration) error {
	return identity.Fail(identity.Throttled, identity.CodeTooManyTries, "%w", &tooMany{what, wait})
}

// thisMachine is the part of every address that is this machine's own.
const thisMachine = "loopback"

// addressPart names a client's network: one address, or a /64 of IPv6, which is
// one household. This machine is one network however it calls itself, and what
// is no address shares one counter.
func addressPart(source string) string {
	addr, err := netip.ParseAddr(source)
	if err != nil {
		return "unknown"
	}
	addr = addr.Unmap().WithZone("")
	switch {
	case addr.IsLoopback():
		return thisMachine
	case addr.Is6():
		network, err := addr.Prefix(64)
		if err == nil {
			return network.Addr().String()
		}
	}
	return addr.String()
}
