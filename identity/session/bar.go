package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/store"
)

const (
	barPrefix = "session-bar/"
	// barFor is longer than a proof can be under way to its session: what came of a
	// code serves its browser for five minutes.
	barFor = 15 * time.Minute
)

// bar says that all sessions of a person were ended: nothing that was proven
// before begins one. Without it a sign-in whose proof was under way at that moment
// would begin a session just behind the end of all the others (T40).
type bar struct {
	At      time.Time      `json:"at"`
	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

func barKey(who identity.Subject) string {
	return barPrefix + keyPart(who.Corp) + "/" + keyPart(who.UserID)
}

// bar is written before the sessions are looked for: whatever begins before it is
// found by that, and whatever begins after it meets it.
func (m *Manager) bar(ctx context.Context, who identity.Subject) error {
	value, err := json.Marshal(bar{At: m.now().UTC()})
	if err != nil {
		return fmt.Errorf("session: bar: %w", err)
	}
	if err := m.store.Commit(ctx, store.Put(barKey(who), value).For(barFor)); err != nil {
		return down(err)
	}
	return nil
}

// pastBar is the condition on which a session of a may begin. At first it is
// taken that there is no bar, which is so nearly always; the commit tells.
func (m *Manager) pastBar(ctx context.Context, a identity.Assertion, first bool) (store.Op, error) {
	key := barKey(a.Subject)
	if first {
		return store.CheckAbsent(key), nil
	}
	entry, err := m.store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return store.CheckAbsent(key), nil
	}
	if errors.Is(err, store.ErrOutdated) { // a failover lost a newer one: put up anew it lets the next proof past
		return store.Op{}, errors.Join(voided(), m.bar(ctx, a.Subject))
	}
	if err != nil {
		return store.Op{}, down(err)
	}
	var found bar
	if err := json.Unmarshal(entry.Value, &found); err != nil {
		return store.Op{}, fmt.Errorf("session: bar: %w", err)
	}
	if !a.At.IsZero() && a.At.Before(found.At) {
		return store.Op{}, voided()
	}
	return store.Check(key, entry.Version), nil
}

func voided() error {
	return identity.Fail(identity.Unauthenticated, identity.CodeSignInExpired, "session: all sessions of the person were ended since the proof")
}
