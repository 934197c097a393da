package session

import (
	"context"
	"errors"

	"kdgate/identity"
	"kdgate/store"
)

// ByHandle is the live session of a subject that a handle names, for whoever
// was told of it by the gateway itself: a handle in a request proves nothing.
// Being asked counts as use. The kinds of the error are those of Current.
func (m *Manager) ByHandle(ctx context.Context, who identity.Subject, handle string) (identity.Principal, error) {
	if !isHandle(handle) {
		return identity.Principal{}, nobody("malformed handle")
	}
	entry, err := m.store.Get(ctx, personPrefix(who)+handle)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrOutdated) {
		return identity.Principal{}, nobody("no live session of that handle")
	}
	if err != nil {
		return identity.Principal{}, down(err)
	}
	s, live, err := m.find(ctx, string(entry.Value))
	if err != nil {
		return identity.Principal{}, err
	}
	if !live || s.subject() != who || s.Handle != handle {
		return identity.Principal{}, nobody("no live session of that handle")
	}
	return s.principal(), nil
}
