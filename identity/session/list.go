package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"kdgate/identity"
	"kdgate/store"
)

// Info is one live session, for "my sessions" and for administrators.
type Info struct {
	Subject   identity.Subject
	Name      string // display name at the start, never a key
	Handle    string // names it for EndOne; opens nothing
	Door      identity.Door
	Started   time.Time
	LastSeen  time.Time // to within a minute
	ExpiresAt time.Time // the absolute end
	Source    string    // client address at the start
	UserAgent string    // at the start, at most 256 bytes, as the browser sent it
}

// scanPage is how many index entries are read at a time.
const scanPage = 200

// List gives a person's live sessions, the newest first.
func (m *Manager) List(ctx context.Context, who identity.Subject) ([]Info, error) {
	var list []Info
	err := m.each(ctx, personPrefix(who), func(hash string) error {
		info, live, err := m.infoOf(ctx, hash)
		if err != nil {
			return err
		}
		if live && info.Subject == who {
			list = append(list, info)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b Info) int { return b.Started.Compare(a.Started) })
	return list, nil
}

// EndAll ends every session of a person and counts those that were live. On
// other replicas it holds within a second, by their watch. A sign-in that is under
// way, or a handover of one, does not get past it.
func (m *Manager) EndAll(ctx context.Context, who identity.Subject) (int, error) {
	barred := m.bar(ctx, who)
	ended, err := m.endUnder(ctx, personPrefix(who))
	return ended, errors.Join(barred, err)
}

// EndEverybody ends every session there is and counts those that were live.
func (m *Manager) EndEverybody(ctx context.Context) (int, error) {
	return m.endUnder(ctx, indexPrefix)
}

// endUnder goes on past a session that cannot be ended: one record that cannot
// be read must not keep the others open (T40).
func (m *Manager) endUnder(ctx context.Context, prefix string) (ended int, err error) {
	var failed []error
	err = m.each(ctx, prefix, func(hash string) error {
		live, err := m.endHash(ctx, hash)
		if live {
			ended++
		}
		if err != nil {
			failed = append(failed, err)
		}
		return ctx.Err()
	})
	return ended, errors.Join(append(failed, err)...)
}

// Count is how many sessions nobody has ended and whose absolute end has not
// come; one that is only idle still counts. For metrics, not for decisions.
func (m *Manager) Count(ctx context.Context) (int, error) {
	n := 0
	err := m.each(ctx, indexPrefix, func(string) error {
		n++
		return nil
	})
	return n, err
}

// EndOne ends one session of a person by its handle. NotFound means that this
// person has no live session of that name, whoever else may have one.
func (m *Manager) EndOne(ctx context.Context, who identity.Subject, handle string) error {
	missing := identity.Fail(identity.NotFound, "", "session: no such session")
	if !isHandle(handle) {
		return missing
	}
	index, err := m.store.Get(ctx, personPrefix(who)+handle)
	if errors.Is(err, store.ErrNotFound) {
		return missing
	}
	if err != nil {
		return down(err)
	}
	live, err := m.endHash(ctx, string(index.Value))
	if err != nil {
		return err
	}
	if !live {
		return missing
	}
	return nil
}

// each walks the index under prefix. What fn removes is not met again.
func (m *Manager) each(ctx context.Context, prefix string, fn func(hash string) error) error {
	for after := ""; ; {
		page, err := m.store.Scan(ctx, prefix, after, scanPage)
		if err != nil {
			return down(err)
		}
		if len(page) == 0 {
			return nil
		}
		for _, entry := range page {
			if err := fn(string(entry.Value)); err != nil {
				return err
			}
			after = entry.Key
		}
	}
}
