package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"kdgate/identity"
	"kdgate/internal/strictjson"
	"kdgate/store"
)

const (
	browserCookie = "__Host-kdgate-browser"
	signInPrefix  = "signin/"
	stateLife     = 5 * time.Minute // T2
)

// signIn is one login in one tab of one browser: the record behind a state id.
type signIn struct {
	Corp     string        `json:"corp"`
	Browser  string        `json:"browser"` // keyed hash of the browser cookie
	Wanted   wanted        `json:"wanted"`
	At       time.Time     `json:"at"`
	Failed   identity.Code `json:"failed,omitempty"`   // why the attempt before this one failed
	Kind     identity.Kind `json:"kind,omitempty"`     // of Failed
	Restarts int           `json:"restarts,omitempty"` // automatic restarts so far (R25)
	Claim    string        `json:"claim,omitempty"`    // the claim that used it; empty: still open

	id      string // not stored: the store knows its hash only
	version store.Version
}

// states keeps sign-ins in the store.
type states struct {
	store store.Store
	keys  keys
	now   func() time.Time
	rand  io.Reader
	notes *notes
}

// browserHash is how a record names the browser it belongs to.
func (s *states) browserHash(browser identity.Secret) string {
	return s.keys.hex("browser", browser.Reveal())
}

// nonce is bound to the page of one state in one browser; nothing is stored for it.
func (s *states) nonce(id string, browser identity.Secret) string {
	return s.keys.text("nonce", id, browser.Reveal())
}

// create writes a new open sign-in and gives it back with its id.
func (s *states) create(ctx context.Context, browser identity.Secret, fresh signIn) (signIn, error) {
	id, err := newID(s.rand)
	if err != nil {
		return signIn{}, err
	}
	fresh.id, fresh.Browser, fresh.At, fresh.Claim = id, s.browserHash(browser), s.now().UTC(), ""
	text, err := json.Marshal(fresh)
	if err != nil {
		return signIn{}, fmt.Errorf("gateway: sign-in: %w", err)
	}
	if err := s.store.Commit(ctx, store.Create(signInPrefix+hashed(id), text).For(stateLife).Tell(&fresh.version)); err != nil {
		return signIn{}, storeFault(err)
	}
	s.notes.put(fresh)
	return fresh, nil
}

// load gives the live sign-in behind id. One of another browser is
// errForeign, which also carries the record's place.
func (s *states) load(ctx context.Context, id string, browser identity.Secret) (signIn, error) {
	if !isID(id) {
		return signIn{}, expired("malformed state")
	}
	found, noted := s.notes.get(id)
	if !noted {
		var err error
		if found, err = s.read(ctx, id); err != nil {
			return signIn{}, err
		}
	}
	if s.now().Sub(found.At) > stateLife {
		return signIn{}, expired("state too old")
	}
	if browser.IsZero() || !sameText(found.Browser, s.browserHash(browser)) {
		return found, errForeign
	}
	return found, nil
}

// read asks the store for the sign-in behind id.
func (s *states) read(ctx context.Context, id string) (signIn, error) {
	entry, err := s.store.Get(ctx, signInPrefix+hashed(id))
	if errors.Is(err, store.ErrNotFound) {
		return signIn{}, expired("unknown state")
	}
	if err != nil {
		return signIn{}, storeFault(err)
	}
	var found signIn
	if err := strictjson.Decode(entry.Value, &found); err != nil {
		return signIn{}, identity.Fail(identity.Internal, identity.CodeInternal, "sign-in record: %w", err)
	}
	found.id, found.version = id, entry.Version
	return found, nil
}

// reload is load past the notes.
func (s *states) reload(ctx context.Context, id string, browser identity.Secret) (signIn, error) {
	s.notes.drop(id)
	return s.load(ctx, id, browser)
}

// replace writes a change over exactly the version that was read.
func (s *states) replace(ctx context.Context, changed signIn) error {
	op, err := s.replaceOp(changed)
	if err != nil {
		return err
	}
	s.notes.drop(changed.id)
	if err := s.store.Commit(ctx, op.Tell(&changed.version)); err != nil {
		return storeFault(err)
	}
	s.notes.put(changed)
	return nil
}

func (s *states) replaceOp(changed signIn) (store.Op, error) {
	text, err := json.Marshal(changed)
	if err != nil {
		return store.Op{}, fmt.Errorf("gateway: sign-in: %w", err)
	}
	life := max(stateLife-s.now().Sub(changed.At), time.Second)
	return store.Replace(signInPrefix+hashed(changed.id), text, changed.version).For(life), nil
}

// errForeign is a state that belongs to another browser (T2).
var errForeign = identity.Fail(identity.Unauthenticated, identity.CodeSignInExpired, "state of another browser")

func expired(reason string) error {
	return identity.Fail(identity.Unauthenticated, identity.CodeSignInExpired, "%s", reason)
}

// storeFault keeps "could not ask" apart from every answer.
func storeFault(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return identity.Fail(identity.Conflict, identity.CodeSignInExpired, "changed meanwhile: %w", err)
	}
	return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "store: %w", err)
}

// browserOf reads the browser cookie. Two of that name, or one we did not
// write, is none (T39).
func browserOf(r *http.Request) (identity.Secret, bool) {
	cookies := r.CookiesNamed(browserCookie)
	if len(cookies) != 1 || !isID(cookies[0].Value) {
		return identity.Secret{}, false
	}
	return identity.NewSecret(cookies[0].Value), true
}

// browser reads the browser cookie, or sets a new one.
func (g *Gateway) browser(w http.ResponseWriter, r *http.Request) (identity.Secret, error) {
	if known, ok := browserOf(r); ok {
		return known, nil
	}
	id, err := newID(g.cfg.Rand)
	if err != nil {
		return identity.Secret{}, err
	}
	http.SetCookie(w, &http.Cookie{
		Name: browserCookie, Value: id, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	return identity.NewSecret(id), nil
}

// forgetBrowser ends every half-finished login of this browser, so that a code
// posted again after sign-out opens nothing (T38).
func forgetBrowser(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{
		Name: browserCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
