package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gorilla/sessions"

	"kdgate/identity"
	"kdgate/store"
)

// shelf is our gorilla sessions.Store: the cookie is a name, the session lies
// in the store. A sessions.Session of ours has in its Values either the
// assertion it is to be started for or the record that was found.
type shelf struct{ *Manager }

type (
	assertionKey struct{}
	alongsideKey struct{}
	recordKey    struct{}
)

func recordIn(s *sessions.Session) stored {
	found, _ := s.Values[recordKey{}].(stored)
	return found
}

// Get implements sessions.Store.
func (m shelf) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(m, name)
}

// New implements sessions.Store: the live session behind the request's cookie,
// or a new one. A store that cannot be asked is an error.
func (m shelf) New(r *http.Request, name string) (*sessions.Session, error) {
	s := sessions.NewSession(m, name)
	s.Options, s.IsNew = cookieOptions(), true
	token, ok := cookieToken(r)
	if !ok {
		return s, nil
	}
	found, live, err := m.find(r.Context(), hashOf(token))
	if err != nil || !live {
		return s, err
	}
	s.ID, s.IsNew = token, false
	s.Values[recordKey{}] = found
	return s, nil
}

// Save implements sessions.Store: it starts the session, or with a negative
// MaxAge ends it, and writes the cookie when the store has it.
func (m shelf) Save(r *http.Request, w http.ResponseWriter, s *sessions.Session) error {
	if s.Options.MaxAge < 0 {
		if !s.IsNew {
			if _, err := m.endHash(r.Context(), recordIn(s).hash); err != nil {
				return err
			}
		}
		http.SetCookie(w, sessions.NewCookie(s.Name(), "", s.Options))
		return nil
	}
	a, ok := s.Values[assertionKey{}].(identity.Assertion)
	if !ok {
		return identity.Fail(identity.Internal, identity.CodeInternal, "session: save without an assertion")
	}
	alongside, _ := s.Values[alongsideKey{}].([]store.Op)
	found, err := m.open(r, s.ID, a, alongside)
	if err != nil {
		return err
	}
	s.Values[recordKey{}], s.IsNew = found, false
	http.SetCookie(w, sessions.NewCookie(s.Name(), s.ID, s.Options))
	return nil
}

// open begins the session of a token or finds it begun, and ends the browser's
// earlier one, together with what is to be written alongside. It starts over
// when another commit came in between.
func (m *Manager) open(r *http.Request, token string, a identity.Assertion, alongside []store.Op) (stored, error) {
	ctx, hash := r.Context(), hashOf(token)
	for try := range commitTries {
		found, ops, err := m.opening(r, token, a, try == 0)
		if err != nil {
			return stored{}, err
		}
		if ops = append(ops, alongside...); len(ops) == 0 {
			return found, nil
		}
		if err = m.write(ctx, &found, ops); err == nil {
			if before, ok := cookieToken(r); ok && hashOf(before) != hash {
				m.cache.forget(hashOf(before)) // it has ended
			}
			return found, nil
		}
		m.cache.forget(hash)
		if !errors.Is(err, store.ErrConflict) {
			return stored{}, down(err)
		}
	}
	return stored{}, down(fmt.Errorf("start: %w %d times", store.ErrConflict, commitTries))
}

// write commits the beginning of a session and remembers it: who has just
// signed in comes back at once.
func (m *Manager) write(ctx context.Context, s *stored, ops []store.Op) error {
	if s.version != 0 { // it had begun before
		return m.store.Commit(ctx, ops...)
	}
	ops[0] = ops[0].Tell(&s.version)
	m.cache.begin(s.hash, m.now())
	if err := m.store.Commit(ctx, ops...); err != nil {
		return err
	}
	m.cache.written(*s, m.now())
	return nil
}

// opening is the session to be had and what has to be written for it. It takes
// the token for a new one at first, without asking: nearly all are, and the
// commit tells when it is not.
func (m *Manager) opening(r *http.Request, token string, a identity.Assertion, first bool) (stored, []store.Op, error) {
	var ops []store.Op
	var s stored
	err := store.ErrNotFound
	if !first {
		s, err = m.load(r.Context(), hashOf(token))
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		s = m.fresh(r, token, a)
		if !m.alive(s) {
			return stored{}, nil, identity.Fail(identity.Unauthenticated, identity.CodeSignInExpired, "session: the person was proven too long ago")
		}
		if ops, err = m.created(s); err != nil {
			return stored{}, nil, err
		}
		past, err := m.pastBar(r.Context(), a, first)
		if err != nil {
			return stored{}, nil, err
		}
		ops = append(ops, past)
	case err != nil:
		return stored{}, nil, down(err)
	case s.subject() != a.Subject:
		return stored{}, nil, identity.Fail(identity.Conflict, identity.CodeSignInExpired, "session: the token belongs to another subject")
	case !m.alive(s):
		return stored{}, nil, identity.Fail(identity.Unauthenticated, identity.CodeSignInExpired, "session: the token's session has ended")
	}
	earlier, err := m.earlier(r, s.hash)
	if err != nil {
		return stored{}, nil, err
	}
	return s, append(ops, earlier...), nil
}

func (m *Manager) fresh(r *http.Request, token string, a identity.Assertion) stored {
	now := m.now().UTC()
	began := now // of the absolute end: a session that is carried on in another browser lives no longer for it (T44)
	if !a.At.IsZero() && a.At.Before(now) {
		began = a.At.UTC()
	}
	return stored{hash: hashOf(token), written: now, record: record{
		Handle: handleOf(token), Corp: a.Subject.Corp, UserID: a.Subject.UserID,
		UnionID: a.UnionID, Name: a.Name, Door: a.Door, ProvenAt: a.At,
		Started: now, Seen: now, Ends: began.Add(m.absolute),
		Source: clip(m.source(r.Context(), r)), UserAgent: clip(r.UserAgent()),
	}}
}

// earlier ends the session that the browser came with, if that is another one.
func (m *Manager) earlier(r *http.Request, hash string) ([]store.Op, error) {
	token, ok := cookieToken(r)
	if !ok || hashOf(token) == hash {
		return nil, nil
	}
	s, err := m.load(r.Context(), hashOf(token))
	if isOver(err) || err == nil && s.Ended {
		return nil, nil
	}
	if err != nil {
		return nil, down(err)
	}
	return m.ended(s)
}

// isOver reports a session that cannot be gone on with though the store was
// asked: it is not there, or what is there is older than what was seen. A
// failover that lost the last writes leaves such records, and the lost write may
// have been the end; so the person signs in again, rather than be told for hours
// that the store is down (R6, R14).
func isOver(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrOutdated)
}

// find gives the session of a hash, from memory while Run watches, and notes
// its use. The store is written at most once in touchEvery.
func (m *Manager) find(ctx context.Context, hash string) (s stored, live bool, err error) {
	for range commitTries {
		if s, err = m.look(ctx, hash); err != nil {
			if isOver(err) {
				return stored{}, false, nil
			}
			return stored{}, false, down(err)
		}
		if !m.alive(s) {
			return stored{}, false, nil
		}
		err := m.touch(ctx, s)
		if err == nil {
			return s, true, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return stored{}, false, down(err)
		}
		m.cache.forget(hash) // changed meanwhile: it may have ended
	}
	return stored{}, false, down(fmt.Errorf("touch: %w %d times", store.ErrConflict, commitTries))
}

// look reads from memory or the store. The last use is the later of what the
// record says and what this process saw.
func (m *Manager) look(ctx context.Context, hash string) (stored, error) {
	s, ok, ticket := m.cache.get(hash, m.now())
	if ok {
		return s, nil
	}
	s, err := m.load(ctx, hash)
	if err != nil {
		return stored{}, err
	}
	return m.cache.put(s, ticket), nil
}

// touch notes that a session is used now.
func (m *Manager) touch(ctx context.Context, s stored) error {
	now := m.now().UTC()
	if now.Sub(s.written) < touchEvery {
		m.cache.see(s.hash, now)
		return nil
	}
	s.Seen = now
	op, err := m.replaced(s)
	if err != nil {
		return err
	}
	if err := m.store.Commit(ctx, op); err != nil {
		return err
	}
	m.cache.forget(s.hash)
	return nil
}

// endHash ends one session; false when it was not live.
func (m *Manager) endHash(ctx context.Context, hash string) (bool, error) {
	for range commitTries {
		s, err := m.load(ctx, hash)
		if errors.Is(err, store.ErrNotFound) || err == nil && s.Ended {
			return false, nil
		}
		if errors.Is(err, store.ErrOutdated) {
			return true, m.remove(ctx, hash)
		}
		if err != nil {
			return false, down(err)
		}
		ops, err := m.ended(s)
		if err != nil {
			return false, err
		}
		err = m.store.Commit(ctx, ops...)
		m.cache.forget(hash)
		if err == nil {
			m.doors.shut(hash)
			return m.alive(s), nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return false, down(err)
		}
	}
	return false, down(fmt.Errorf("end: %w %d times", store.ErrConflict, commitTries))
}

// remove takes away a session whose record a failover put back: it may be live to
// replicas that never saw the newer one, and what it says cannot be gone on with
// (R14, T40).
func (m *Manager) remove(ctx context.Context, hash string) error {
	err := m.store.Commit(ctx, store.Delete(recordPrefix+hash))
	m.cache.forget(hash)
	if err != nil {
		return down(err)
	}
	m.doors.shut(hash)
	return nil
}
