package gateway

import (
	"context"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"kdgate/identity"
	"kdgate/internal/randomid"
	"kdgate/internal/strictjson"
	"kdgate/store"
)

const (
	browserCookie = "__Host-kdgate-browser"
	signInPrefix  = "signin/"
	stateLife     = 5 * time.Minute  // T2
	freshState    = 10 * time.Second // how long nobody comes back to a page whose sign-in was used
	maxState      = 8 << 10          // characters of a state: the longest place, and room
)

// signIn is one login in one tab of one browser. Until it is used its browser
// carries it, sealed, as the state in its addresses; the store learns of it by
// its use.
type signIn struct {
	Corp     string        `json:"corp"`
	Browser  string        `json:"browser"` // keyed hash of the browser cookie
	Wanted   wanted        `json:"wanted"`
	At       time.Time     `json:"at"`
	Failed   identity.Code `json:"failed,omitempty"`   // why the attempt before this one failed
	Kind     identity.Kind `json:"kind,omitempty"`     // of Failed
	Restarts int           `json:"restarts,omitempty"` // automatic restarts so far (R25)
	Claim    string        `json:"claim,omitempty"`    // the claim that used it; empty: still open

	by    int    // which of the secrets sealed it, and derives what belongs to it
	id    string // the same however often its state is sealed anew; the store knows its hash only
	state string // what the browser carries
}

// states seals sign-ins and opens them again, and keeps those that were used.
type states struct {
	store store.Store
	now   func() time.Time
	rand  io.Reader
	boxes []box // the one of the secret in force first
	spent *spent
}

// box seals and opens under one secret.
type box struct {
	keys keys
	cipher.AEAD
}

func newStates(kept store.Store, k keys, now func() time.Time, random io.Reader) (*states, error) {
	s := &states{store: kept, now: now, rand: random, spent: newSpent()}
	for _, each := range k.ring() {
		seal, err := chacha20poly1305.NewX(each.secret.MAC("sign-in state"))
		if err != nil {
			return nil, fmt.Errorf("gateway: key of states: %w", err)
		}
		s.boxes = append(s.boxes, box{each, seal})
	}
	return s, nil
}

// of are the keys of one sign-in: those of the secret that sealed its state, on
// whichever replica, so that it ends as it began while the secret is changed.
func (s *states) of(st signIn) keys { return s.boxes[st.by].keys }

// elsewhere names the claim of an attempt's code under the other secrets.
func (s *states) elsewhere(a attempt) []string {
	var names []string
	for by, other := range s.boxes {
		if by != a.st.by {
			names = append(names, claimKey(other.keys, a.code))
		}
	}
	return names
}

// browserHash is how a record names the browser it belongs to.
func browserHash(k keys, browser identity.Secret) string { return k.hex("browser", browser.Reveal()) }

// nonce is bound to the page of one sign-in in one browser; nothing is stored for it.
func (s *states) nonce(st signIn, browser identity.Secret) string {
	return s.of(st).text("nonce", st.id, browser.Reveal())
}

// create makes a new open sign-in, with its id and its state.
func (s *states) create(browser identity.Secret, fresh signIn) (signIn, error) {
	id, err := randomid.New(s.rand)
	if err != nil {
		return signIn{}, err
	}
	fresh.id, fresh.by, fresh.Browser, fresh.At, fresh.Claim = id, 0, browserHash(s.boxes[0].keys, browser), s.now().UTC().Truncate(time.Microsecond), ""
	return s.sealed(fresh)
}

// carried is what stands in a state, under short names: it goes through addresses.
type carried struct {
	ID       string        `json:"i"`
	Corp     string        `json:"c"`
	Browser  []byte        `json:"b"`
	Wanted   wanted        `json:"w"`
	At       int64         `json:"t"` // Unix microseconds
	Failed   identity.Code `json:"f,omitempty"`
	Kind     identity.Kind `json:"k,omitempty"`
	Restarts int           `json:"r,omitempty"`
}

// sealed gives st with its state: encrypted, because it passes DingTalk and lies
// in histories, and names what somebody wanted to open; under the secret that began
// it, because all that belongs to it derives from that.
func (s *states) sealed(st signIn) (signIn, error) {
	browser, err := hex.DecodeString(st.Browser)
	if err != nil {
		return signIn{}, fmt.Errorf("gateway: sign-in: %w", err)
	}
	text, err := json.Marshal(carried{st.id, st.Corp, browser, st.Wanted, st.At.UnixMicro(), st.Failed, st.Kind, st.Restarts})
	if err != nil {
		return signIn{}, fmt.Errorf("gateway: sign-in: %w", err)
	}
	if st.state, err = s.box(st.by, text, statePurpose); err != nil {
		return signIn{}, err
	}
	return st, nil
}

// statePurpose keeps states apart from whatever else is sealed with their key.
const statePurpose = "state"

// box seals text for one purpose under one of the secrets, 0 being the one in
// force, as a text for addresses and cookies.
func (s *states) box(by int, text []byte, purpose string) (string, error) {
	seal := s.boxes[by]
	box := make([]byte, seal.NonceSize(), seal.NonceSize()+len(text)+seal.Overhead())
	if _, err := io.ReadFull(s.rand, box); err != nil {
		return "", fmt.Errorf("gateway: random: %w", err)
	}
	return encoded.EncodeToString(seal.Seal(box, box, text, []byte(purpose))), nil
}

// unbox opens what box sealed for the same purpose, and says under which secret.
func (s *states) unbox(sealed, purpose string) (text []byte, by int, err error) {
	raw, err := encoded.DecodeString(sealed)
	if err != nil {
		return nil, 0, errBox
	}
	for by, seal := range s.boxes {
		if len(raw) < seal.NonceSize() {
			break
		}
		text, err := seal.Open(nil, raw[:seal.NonceSize()], raw[seal.NonceSize():], []byte(purpose))
		if err == nil {
			return text, by, nil
		}
	}
	return nil, 0, errBox
}

// encoded is how sealed bytes stand in addresses and cookies: any other spelling
// of the same bytes is refused.
var encoded = base64.RawURLEncoding.Strict()

// errBox is a text that we did not seal for this purpose.
var errBox = errors.New("gateway: not sealed here")

// open reads a state that a browser brings. Whatever we did not seal is none.
func (s *states) open(state string) (signIn, error) {
	if len(state) > maxState {
		return signIn{}, expired("malformed state")
	}
	text, by, err := s.unbox(state, statePurpose)
	if err != nil {
		return signIn{}, expired("state that we did not seal")
	}
	var c carried
	if err := json.Unmarshal(text, &c); err != nil {
		return signIn{}, identity.Fail(identity.Internal, identity.CodeInternal, "sign-in state: %w", err)
	}
	return signIn{
		Corp: c.Corp, Browser: hex.EncodeToString(c.Browser), Wanted: c.Wanted, At: time.UnixMicro(c.At).UTC(),
		Failed: c.Failed, Kind: c.Kind, Restarts: c.Restarts, by: by, id: c.ID, state: state,
	}, nil
}

// load gives the live sign-in that a state carries. One of another browser is
// errForeign, which also carries the record's place.
//
// Whether it was used already, the store is asked only when it may have been:
// it was used here, or an address of it is opened long after it began. A use
// elsewhere that this does not see is met by the commit of the next one.
func (s *states) load(ctx context.Context, state string, browser identity.Secret) (signIn, error) {
	return s.loadWithin(ctx, state, browser, stateLife)
}

// loadPage is load for a page, which people come back to.
func (s *states) loadPage(ctx context.Context, state string, browser identity.Secret) (signIn, error) {
	return s.loadWithin(ctx, state, browser, freshState)
}

func (s *states) loadWithin(ctx context.Context, state string, browser identity.Secret, unasked time.Duration) (signIn, error) {
	st, err := s.open(state)
	if err != nil {
		return signIn{}, err
	}
	age, foreign := s.now().Sub(st.At), browser.IsZero() || !sameText(st.Browser, browserHash(s.of(st), browser))
	switch {
	case age > 2*stateLife || age > stateLife && foreign:
		return signIn{}, expired("state too old")
	case foreign:
		return st, errForeign
	case age <= unasked && !s.spent.has(st.id):
		return st, nil
	}
	used, err := s.used(ctx, st)
	switch {
	case err == nil:
		st = used
	case !errors.Is(err, store.ErrNotFound):
		return signIn{}, storeFault(err)
	}
	if s.now().Sub(st.At) > stateLife {
		return signIn{}, expired("state too old")
	}
	return st, nil
}

// used reads the record of a use. The error is the store's.
func (s *states) used(ctx context.Context, st signIn) (signIn, error) {
	entry, err := s.store.Get(ctx, signInPrefix+hashed(st.id))
	if err != nil {
		return signIn{}, err
	}
	var found signIn
	if err := strictjson.Decode(entry.Value, &found); err != nil {
		return signIn{}, fmt.Errorf("gateway: sign-in record: %w", err)
	}
	found.id, found.by, found.state = st.id, st.by, st.state
	return found, nil
}

// use is the write by which a sign-in is used up by a claim: it succeeds once.
func (s *states) use(st signIn, claim string, at time.Time) (store.Op, error) {
	st.Claim, st.At = claim, at // as old as its use, so that a repeat finds it as long as the outcome
	text, err := json.Marshal(st)
	if err != nil {
		return store.Op{}, fmt.Errorf("gateway: sign-in: %w", err)
	}
	s.spent.add(st.id)
	return store.Create(signInPrefix+hashed(st.id), text).For(usedLife), nil
}

// usedLife is how long a use is known: for as long as its state could be
// carried, with room for clocks that differ.
const usedLife = 2*stateLife + time.Minute

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

// browserOf reads the browser cookie.
func browserOf(r *http.Request) (identity.Secret, bool) {
	id, ok := randomid.InCookie(r, browserCookie)
	return identity.NewSecret(id), ok
}

// browser reads the browser cookie, or sets a new one.
func (g *Gateway) browser(w http.ResponseWriter, r *http.Request) (identity.Secret, error) {
	if known, ok := browserOf(r); ok {
		return known, nil
	}
	id, err := randomid.New(g.cfg.Rand)
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
