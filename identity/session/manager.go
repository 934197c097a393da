package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/sessions"

	"kdgate/identity"
	"kdgate/internal/randomid"
	"kdgate/store"
)

// Config makes a Manager. Only Store is required.
type Config struct {
	Store    store.Store
	Idle     time.Duration // a session ends when it was not used so long; default 30 minutes
	Absolute time.Duration // a session ends so long after its person was proven, used or not; default 8 hours
	// Source is the client's address for "my sessions", from the context that
	// Start is given and the request that Wrap saw. Default: the peer's address.
	Source func(ctx context.Context, r *http.Request) string
	Now    func() time.Time
	Rand   io.Reader
	Logger *slog.Logger
}

const (
	defaultIdle     = 30 * time.Minute
	defaultAbsolute = 8 * time.Hour
	touchEvery      = time.Minute // how often a session's use is written down, at most
	commitTries     = 8           // a commit that meets another's is tried again
	maxText         = 256         // bytes kept of a source or a user agent
)

// Manager starts, finds and ends sessions. It is safe for concurrent use.
type Manager struct {
	store    store.Store
	idle     time.Duration
	absolute time.Duration
	source   func(context.Context, *http.Request) string
	now      func() time.Time
	rand     io.Reader
	logger   *slog.Logger
	cache    *cache
	doors    *doors
}

// New makes a Manager. Run must be started for sessions to come from memory.
func New(c Config) (*Manager, error) {
	m := &Manager{
		store: c.Store, idle: c.Idle, absolute: c.Absolute,
		source: c.Source, now: c.Now, rand: c.Rand, logger: c.Logger, cache: newCache(), doors: newDoors(),
	}
	if m.idle == 0 {
		m.idle = defaultIdle
	}
	if m.absolute == 0 {
		m.absolute = defaultAbsolute
	}
	if m.source == nil {
		m.source = peerOf
	}
	if m.now == nil {
		m.now = time.Now
	}
	if m.rand == nil {
		m.rand = rand.Reader
	}
	if m.logger == nil {
		m.logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case m.store == nil:
		return nil, errors.New("session: no store")
	case m.idle < 0 || m.absolute < 0 || m.idle > m.absolute:
		return nil, fmt.Errorf("session: idle end after %v, absolute end after %v: both must be positive and the first not longer", m.idle, m.absolute)
	}
	return m, nil
}

func peerOf(_ context.Context, r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

type visitKey struct{}

// Wrap lets Start see the request it answers, which it needs to end the
// browser's earlier session (T38) and to note address and user agent. Every
// handler from which Start is called stands behind it.
func (m *Manager) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitKey{}, r)))
	})
}

// visitOf is the request that Wrap saw, with ctx as its context; an empty one
// where there was no Wrap.
func visitOf(ctx context.Context) *http.Request {
	if r, ok := ctx.Value(visitKey{}).(*http.Request); ok {
		return r.WithContext(ctx)
	}
	return (&http.Request{Header: http.Header{}}).WithContext(ctx)
}

// Start opens a session for a and sets its cookie. A zero token draws a fresh
// one; another is 32 bytes in unpadded base64url, the same on each try of one
// sign-in: the same token twice for the same subject is the same session. It is
// an error for another subject, and once the session has ended. An earlier
// session of the same browser is ended in the same commit, so that a cookie
// that was set beforehand never becomes somebody (T38). So is what the caller
// has to write alongside: after an error of kind Unavailable it may be written,
// after any other it is not.
func (m *Manager) Start(ctx context.Context, w http.ResponseWriter, a identity.Assertion, token identity.Secret, alongside ...store.Op) (identity.Principal, error) {
	if a.Subject.Corp == "" || a.Subject.UserID == "" {
		return identity.Principal{}, identity.Fail(identity.Invalid, identity.CodeInternal, "session: start for nobody")
	}
	text, err := m.tokenText(token)
	if err != nil {
		return identity.Principal{}, err
	}
	r := visitOf(ctx)
	s := sessions.NewSession(shelf{m}, CookieName)
	s.ID, s.Options, s.IsNew = text, cookieOptions(), true
	s.Values[assertionKey{}], s.Values[alongsideKey{}] = a, alongside
	if err := s.Save(r, w); err != nil {
		return identity.Principal{}, err
	}
	return recordIn(s).principal(), nil
}

func (m *Manager) tokenText(token identity.Secret) (string, error) {
	if !token.IsZero() {
		if !randomid.Is(token.Reveal()) {
			return "", identity.Fail(identity.Internal, identity.CodeInternal, "session: the token is not %d bytes in base64url", randomid.Size)
		}
		return token.Reveal(), nil
	}
	text, err := randomid.New(m.rand)
	if err != nil {
		return "", identity.Fail(identity.Internal, identity.CodeInternal, "session: %w", err)
	}
	return text, nil
}

// Current is the person behind the request's cookie. The kind of the error is
// Unauthenticated when there is nobody, and Unavailable when the store cannot
// be asked. Using a session moves its idle end, never its absolute end.
func (m *Manager) Current(r *http.Request) (identity.Principal, error) {
	s, err := shelf{m}.New(r, CookieName)
	if err != nil {
		return identity.Principal{}, err
	}
	if s.IsNew {
		return identity.Principal{}, nobody("no live session")
	}
	return recordIn(s).principal(), nil
}

// Peek is Current that does not count as use: a page that refreshes itself
// keeps nobody signed in (T44).
func (m *Manager) Peek(r *http.Request) (identity.Principal, error) {
	token, ok := cookieToken(r)
	if !ok {
		return identity.Principal{}, nobody("no session cookie")
	}
	s, err := m.look(r.Context(), hashOf(token))
	switch {
	case isOver(err):
		return identity.Principal{}, nobody("no live session")
	case err != nil:
		return identity.Principal{}, down(err)
	case !m.alive(s):
		return identity.Principal{}, nobody("no live session")
	}
	return s.principal(), nil
}

// End ends the request's session, drops its cookie and says whose it was. With
// nobody there the cookie is dropped all the same and the kind of the error is
// Unauthenticated. When the store cannot be asked the cookie stays, so that the
// person can try again.
func (m *Manager) End(w http.ResponseWriter, r *http.Request) (identity.Principal, error) {
	s, err := shelf{m}.New(r, CookieName)
	if err != nil {
		return identity.Principal{}, err
	}
	s.Options.MaxAge = -1
	if err := s.Save(r, w); err != nil {
		return identity.Principal{}, err
	}
	if s.IsNew {
		return identity.Principal{}, nobody("no live session to end")
	}
	return recordIn(s).principal(), nil
}

// clip bounds a text from outside to what a list of sessions needs.
func clip(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return strings.ToValidUTF8(text, "")
}
