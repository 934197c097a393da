package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"kdgate/identity"
)

const (
	signInPath   = "/signin"
	clientPath   = "/signin/dingtalk"
	oauthPath    = "/signin/dingtalk/oauth"
	callbackPath = "/signin/dingtalk/callback"
	maxCode      = 512 // bytes of a code (T9)
)

// signInView is what the sign-in page shows. Auto lets its script begin by
// itself, which it never does after an error.
type signInView struct {
	State, Nonce string
	Corp, Client string
	JSAPI        string // empty: our own copy
	Browser      string // address of the browser door
	Auto         bool
	Restarted    bool // one automatic restart: say so
	Failed       identity.Code
	Retry        string
	RequestID    string
	Time         string
}

// begin opens a sign-in for a place and sends the browser to its page.
func (g *Gateway) begin(w http.ResponseWriter, r *http.Request, place wanted) error {
	_, known := browserOf(r)
	browser, err := g.browser(w, r)
	if err != nil {
		return err
	}
	if err := g.mayBegin(w, r, known); err != nil {
		return &failure{err: err, retry: place.address()}
	}
	if err := g.pulse.feel(r.Context()); err != nil {
		return err // to be said now, not after the code was got
	}
	st, err := g.states.create(browser, signIn{Corp: g.corpFor(place), Wanted: place})
	if err != nil {
		return err
	}
	seeOther(w, signInAddress(st.state))
	return nil
}

func signInAddress(state string) string {
	return signInPath + "?" + url.Values{"state": {state}}.Encode()
}

// corpFor is the organisation a place names, else the first one.
func (g *Gateway) corpFor(place wanted) string {
	if id := place.corp(g.corps); id != "" {
		return id
	}
	return g.cfg.Corps[0].ID
}

// signInPage shows the page of one state. It survives a reload, and with a live
// session (back button) it just goes on.
func (g *Gateway) signInPage(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	if !query.Has("state") {
		return g.signInWithoutState(w, r, identity.Code(query.Get("failed")))
	}
	browser, known := browserOf(r)
	st, err := g.states.loadPage(r.Context(), query.Get("state"), browser)
	if known && errors.Is(err, errForeign) {
		// Two tabs opened at once got a cookie each and one was overwritten (T12).
		// The state itself stays useless here; only its place is taken over.
		return g.begin(w, r, st.Wanted)
	}
	if err != nil {
		return &failure{err: err, retry: defaultGoal}
	}
	if _, err := g.cfg.Sessions.Current(r); err == nil && (!st.Wanted.Fresh || st.Claim != "") {
		seeOther(w, g.returnTo(st.Wanted))
		return nil
	}
	if st.Claim != "" {
		return g.begin(w, r, st.Wanted)
	}
	g.showSignIn(w, r, browser, st)
	return nil
}

// signInWithoutState is where a failed sign-in ends whose state is gone, and
// where somebody comes who typed the address.
func (g *Gateway) signInWithoutState(w http.ResponseWriter, r *http.Request, failed identity.Code) error {
	if failed == "" {
		return g.begin(w, r, wanted{Path: homePath})
	}
	kind, ok := cleanFailures[failed]
	if !ok {
		return notFound()
	}
	return &failure{err: identity.Fail(kind, failed, "shown again without its state"), retry: defaultGoal}
}

// cleanFailures are the codes that a clean address may carry.
var cleanFailures = map[identity.Code]identity.Kind{
	identity.CodeSignInExpired:   identity.Unauthenticated,
	identity.CodeAuthCodeRefused: identity.Unauthenticated,
	identity.CodeSignInDeclined:  identity.Unauthenticated,
	identity.CodeBadAuthCode:     identity.Invalid,
	identity.CodeStoreDown:       identity.Unavailable,
	identity.CodeInternal:        identity.Internal,
}

// showSignIn shows the page of a sign-in: what a failed one has to say is
// rendered, the others are nearly all alike.
func (g *Gateway) showSignIn(w http.ResponseWriter, r *http.Request, browser identity.Secret, st signIn) {
	origin, _ := originOf(g.corps[st.Corp].JSAPI) // checked by New
	p := page{status: http.StatusOK, name: "signin", policy: policy{script: origin, framed: true, forms: true}}
	nonce := g.states.nonce(st, browser)
	if hasImprint(r, st) {
		words := g.pages.Catalogue().For(r)
		body, err := g.imprinted(p, words, st, nonce)
		g.send(w, r, p, words.Lang, body, err)
		return
	}
	if st.Failed != "" {
		p.status, _ = verdict(identity.Fail(st.Kind, st.Failed, "shown"))
		comeAgain(w.Header(), p.status)
	}
	view := g.signInView(st, nonce)
	view.Retry, view.RequestID, view.Time = g.returnTo(st.Wanted), visitOf(r).id, g.clock()
	p.data = view
	g.page(w, r, p)
}

// signInView is what every sign-in page shows, failed or not.
func (g *Gateway) signInView(st signIn, nonce string) signInView {
	corp := g.corps[st.Corp]
	return signInView{
		State: st.state, Nonce: nonce, Corp: corp.ID, Client: corp.ClientID, JSAPI: corp.JSAPI,
		Browser: oauthPath + "?" + url.Values{"state": {st.state}}.Encode(),
		Auto:    st.Failed == "", Restarted: st.Restarts > 0 && st.Failed == "", Failed: st.Failed,
	}
}

// clock is the time as people read it, with its zone.
func (g *Gateway) clock() string {
	return g.cfg.Now().In(beijing).Format("2006-01-02 15:04:05 UTC-07:00")
}

// signInClient takes a code from the page in the DingTalk client. Cross-origin
// posts were refused before; here the state must be of this browser and the
// nonce of this page (T2). A userid or name in the request is not even read (T10).
func (g *Gateway) signInClient(w http.ResponseWriter, r *http.Request) error {
	a := attempt{door: identity.DoorInClient}
	if err := g.admitPost(r, &a); err != nil {
		g.noteSignIn(r, a, err)
		return &failure{err: err, retry: defaultGoal}
	}
	done := g.conclude(w, r, a)
	switch {
	case wantsJSON(r):
		g.tell(w, r, done)
	case done.next != nil && done.next.Failed != "":
		g.showSignIn(w, r, a.browser, *done.next)
	case done.err != nil:
		return &failure{err: done.err, retry: defaultGoal}
	default:
		seeOther(w, done.location)
	}
	return nil
}

// admitPost reads and checks what the page posts. A field given twice is
// refused, not "first wins".
func (g *Gateway) admitPost(r *http.Request, a *attempt) error {
	if err := r.ParseForm(); err != nil {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "form: %w", err)
	}
	for _, field := range [...]string{"state", "nonce", "code", "fragment"} {
		if len(r.PostForm[field]) > 1 {
			return identity.Fail(identity.Invalid, identity.CodeBadRequest, "field %s given twice", field)
		}
	}
	a.code = identity.NewSecret(r.PostForm.Get("code"))
	if err := g.admit(r, a, r.PostForm.Get("state")); err != nil {
		return err
	}
	if !sameText(r.PostForm.Get("nonce"), g.states.nonce(a.st, a.browser)) {
		return expired("nonce is not of this page")
	}
	a.st.Wanted = a.st.Wanted.withFragment(r.PostForm.Get("fragment"))
	return nil
}

// tell gives the page's script the address to go to, also after a failure.
func (g *Gateway) tell(w http.ResponseWriter, r *http.Request, d done) {
	body := map[string]string{"location": d.location, "request_id": visitOf(r).id}
	status := http.StatusOK
	if d.status != http.StatusSeeOther {
		status, body["code"] = d.status, string(d.code)
	}
	comeAgain(w.Header(), status)
	if d.queued {
		body["retry"] = retryAfter
	}
	g.json(w, status, body)
}

// signInBrowser sends a browser to DingTalk's own sign-in page.
func (g *Gateway) signInBrowser(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	browser, _ := browserOf(r)
	st, err := g.states.loadPage(r.Context(), query.Get("state"), browser)
	if err != nil {
		return &failure{err: err, retry: defaultGoal}
	}
	if st.Claim != "" {
		return g.begin(w, r, st.Wanted)
	}
	// The way over DingTalk's page would lose the fragment.
	if place := st.Wanted.withFragment(query.Get("fragment")); place != st.Wanted {
		st.Wanted = place
		if st, err = g.states.sealed(st); err != nil {
			return err
		}
	}
	seeOther(w, g.corps[st.Corp].Provider.AuthorizeURL(st.state, g.absolute(callbackPath)))
	return nil
}

// absolute is an address of ours as others see it, from configuration only (T50).
func (g *Gateway) absolute(path string) string {
	return g.cfg.PublicURL.Scheme + "://" + g.cfg.PublicURL.Host + path
}

// signInCallback is where DingTalk sends the browser back to. Whatever happens,
// the answer is a 303 to an address without the code (T6).
func (g *Gateway) signInCallback(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	a := attempt{door: identity.DoorBrowser}
	err := g.admitCallback(r, &a, query)
	if err == nil {
		seeOther(w, g.conclude(w, r, a).location)
		return nil
	}
	g.noteSignIn(r, a, err)
	g.logFailure(r, http.StatusSeeOther, identity.CodeOf(err), err)
	if a.st.id != "" {
		seeOther(w, g.again(r, a, err).location)
		return nil
	}
	seeOther(w, cleanFailure(err))
	return nil
}

// admitCallback checks state before it looks at a code: one of DingTalk's two
// spellings, or both and equal (reference 3.2).
func (g *Gateway) admitCallback(r *http.Request, a *attempt, query url.Values) error {
	if len(query["state"]) != 1 || len(query["code"]) > 1 || len(query["authCode"]) > 1 {
		return expired("state missing, or a parameter given twice")
	}
	code, other := query.Get("code"), query.Get("authCode")
	if code == "" {
		code = other
	}
	a.code = identity.NewSecret(code)
	if !query.Has("error") {
		if other != "" && other != code {
			a.code = identity.Secret{}
		}
		return g.admit(r, a, query.Get("state"))
	}
	if err := g.admitState(r, a, query.Get("state")); err != nil {
		return err
	}
	return identity.Fail(identity.Unauthenticated, identity.CodeSignInDeclined, "DingTalk answered with an error")
}

// cleanFailure is the address that shows err without a state.
func cleanFailure(err error) string {
	_, code := verdict(err)
	if _, ok := cleanFailures[code]; !ok {
		code = identity.CodeInternal
	}
	return signInPath + "?" + url.Values{"failed": {string(code)}}.Encode()
}

// admit checks the state and the shape of the code; nothing malformed goes upstream (T9).
func (g *Gateway) admit(r *http.Request, a *attempt, state string) error {
	if err := g.admitState(r, a, state); err != nil {
		return err
	}
	if !cleanCode(a.code) {
		return identity.Fail(identity.Invalid, identity.CodeBadAuthCode, "malformed code")
	}
	return nil
}

func (g *Gateway) admitState(r *http.Request, a *attempt, state string) error {
	browser, ok := browserOf(r)
	if !ok {
		return expired("no browser cookie")
	}
	st, err := g.states.load(r.Context(), state, browser)
	if err != nil {
		return err
	}
	a.browser, a.st = browser, st
	return nil
}

// cleanCode reports whether text can be a code: 1 to 512 visible ASCII characters.
func cleanCode(code identity.Secret) bool {
	text := code.Reveal()
	if text == "" || len(text) > maxCode {
		return false
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

// took measures with the injected clock.
func (g *Gateway) took(since time.Time) time.Duration { return g.cfg.Now().Sub(since) }
