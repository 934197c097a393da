package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/randomid"
	"kdgate/store"
)

const (
	// cookieName is the console's own cookie: a session of the gateway opens
	// no page of the console by itself (T14).
	cookieName    = "__Host-kdgate-admin"
	sessionPrefix = "console/session/"
	touchEvery    = time.Minute
)

// Ephemeral are the prefixes of what is of the moment and has no place in a backup.
func Ephemeral() []string { return []string{sessionPrefix, triesPrefix} }

// seat is a console session as the store holds it, under the hash of its cookie.
type seat struct {
	Corp       string        `json:"corp,omitzero"`
	UserID     string        `json:"userid,omitzero"`
	Account    string        `json:"account,omitzero"` // of the emergency account
	Display    string        `json:"display,omitzero"`
	Door       identity.Door `json:"door"`
	ProvenAt   time.Time     `json:"proven_at"`
	Started    time.Time     `json:"started"`
	Seen       time.Time     `json:"seen"` // to within touchEvery
	Ends       time.Time     `json:"ends"`
	Generation uint64        `json:"generation,omitzero"` // of the emergency password; another one ends the session
	MustChange bool          `json:"must_change,omitzero"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)

	hash    string
	version store.Version
}

func (s seat) subject() identity.Subject { return identity.Subject{Corp: s.Corp, UserID: s.UserID} }

// desk keeps the console's sessions. A person's seat lives no longer than
// their session at the gateway: whatever ends that one, a leaver's event, an
// administrator or a sign-out, ends the seat at the same moment (T40, T45).
type desk struct{ *Console }

// who is the person at the console. The kind is Unauthenticated when there is
// nobody, and Forbidden when they lost their role since they entered.
func (d *desk) who(r *http.Request, use bool) (Person, error) {
	token, ok := cookieToken(r)
	if !ok {
		return Person{}, nobody("no cookie")
	}
	s, err := d.load(r.Context(), hashOf(token))
	if err != nil {
		return Person{}, err
	}
	now := d.cfg.Now()
	if !now.Before(s.Ends) || !now.Before(s.Seen.Add(d.cfg.Idle)) {
		return Person{}, nobody("the session is over")
	}
	person, err := d.person(r, s, use)
	if err != nil || !use || now.Sub(s.Seen) < touchEvery {
		return person, err
	}
	s.Seen = now.UTC()
	err = d.save(r.Context(), s)
	if errors.Is(err, store.ErrConflict) { // another request of the same session noted it, or ended it: the next one sees
		err = nil
	}
	return person, err
}

// person is whoever a seat is for, as they stand now.
func (d *desk) person(r *http.Request, s seat, use bool) (Person, error) {
	if s.Account != "" {
		if d.breakGlass == nil {
			return Person{}, nobody("the emergency account is off")
		}
		return d.breakGlass.person(r.Context(), s)
	}
	ask := d.cfg.Sessions.Peek
	if use {
		ask = d.cfg.Sessions.Current
	}
	principal, err := ask(r)
	if err != nil {
		return Person{}, err
	}
	if principal.Subject != s.subject() {
		return Person{}, nobody("somebody else signed in in this browser")
	}
	return d.standing(r.Context(), principal, s.Ends)
}

// standing gives a proven person their role, if they have one and are not barred.
func (d *desk) standing(ctx context.Context, principal identity.Principal, ends time.Time) (Person, error) {
	person := Person{
		Name: audit.Person(principal.Subject), Display: principal.Name, Subject: principal.Subject,
		Door: principal.Door, ProvenAt: principal.At, Ends: ends,
	}
	role, listed := d.cfg.Admins[principal.Subject]
	if !listed {
		return person, identity.Fail(identity.Forbidden, identity.CodeNoConsole, "admin: no role in the console")
	}
	if d.cfg.Barred != nil {
		barred, err := d.cfg.Barred(ctx, principal.Subject)
		if err != nil {
			return person, err
		}
		if barred {
			return person, identity.Fail(identity.Forbidden, identity.CodeNoConsole, "admin: barred, whatever the role")
		}
	}
	person.Role = role
	return person, nil
}

// sit opens a session, sets its cookie and ends the browser's earlier one, so
// that a cookie that was set beforehand never becomes somebody (T38).
func (d *desk) sit(w http.ResponseWriter, r *http.Request, s seat) error {
	token, err := randomid.New(d.cfg.Rand)
	if err != nil {
		return identity.Fail(identity.Internal, identity.CodeInternal, "admin: %w", err)
	}
	now := d.cfg.Now().UTC()
	s.hash, s.Started, s.Seen, s.Ends = hashOf(token), now, now, now.Add(d.cfg.Absolute)
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("admin: session: %w", err)
	}
	ops := []store.Op{store.Create(sessionPrefix+s.hash, text).For(d.cfg.Absolute)}
	if earlier, ok := cookieToken(r); ok {
		ops = append(ops, store.Delete(sessionPrefix+hashOf(earlier)))
	}
	if err := d.cfg.Store.Commit(r.Context(), ops...); err != nil {
		return storeDown(err)
	}
	http.SetCookie(w, cookie(token))
	return nil
}

// rise ends the browser's console session.
func (d *desk) rise(w http.ResponseWriter, r *http.Request) error {
	if token, ok := cookieToken(r); ok {
		if err := d.cfg.Store.Commit(r.Context(), store.Delete(sessionPrefix+hashOf(token))); err != nil {
			return storeDown(err)
		}
	}
	gone := cookie("")
	gone.MaxAge = -1
	http.SetCookie(w, gone)
	return nil
}

func (d *desk) load(ctx context.Context, hash string) (seat, error) {
	entry, err := d.cfg.Store.Get(ctx, sessionPrefix+hash)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrOutdated) {
		return seat{}, nobody("no such session")
	}
	if err != nil {
		return seat{}, storeDown(err)
	}
	s := seat{hash: hash, version: entry.Version}
	if err := json.Unmarshal(entry.Value, &s); err != nil {
		return seat{}, identity.Fail(identity.Internal, identity.CodeInternal, "admin: session: %w", err)
	}
	return s, nil
}

// save writes a session over exactly the one that was read: one that was ended
// meanwhile stays ended.
func (d *desk) save(ctx context.Context, s seat) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("admin: session: %w", err)
	}
	err = d.cfg.Store.Commit(ctx, store.Replace(sessionPrefix+s.hash, text, s.version).For(max(s.Ends.Sub(d.cfg.Now()), time.Second)))
	if err != nil {
		return storeDown(err)
	}
	return nil
}

func cookie(value string) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// cookieToken is the token of the console's session.
func cookieToken(r *http.Request) (token string, ok bool) { return randomid.InCookie(r, cookieName) }

// hashOf names a session in the store: who reads the store cannot use it (T37).
func hashOf(token string) string {
	sum := sha256.Sum256([]byte("kdgate console\x00" + token))
	return hex.EncodeToString(sum[:])
}

func storeDown(err error) error {
	return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "admin: %w", err)
}

func nobody(why string) error {
	return identity.Fail(identity.Unauthenticated, identity.CodeConsoleSignIn, "admin: %s", why)
}
