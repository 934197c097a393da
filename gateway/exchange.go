package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// afterwards bounds what follows an exchange: the record and the outcome.
const afterwards = 5 * time.Second

// attempt is one code presented for one sign-in.
type attempt struct {
	st      signIn
	browser identity.Secret
	door    identity.Door
	code    identity.Secret
	flood   audit.Flood // of a failure that strangers can repeat at will
}

// done is where a sign-in goes next.
type done struct {
	status   int // 303 when it succeeded
	code     identity.Code
	location string
	next     *signIn // the sign-in that follows a failure
	queued   bool    // nothing was tried: the same post may come again
	err      error   // why no sign-in could be opened to follow it; nil: there is one, or it succeeded
}

// conclude redeems the code and opens the session, or opens the sign-in that
// follows the failure.
func (g *Gateway) conclude(w http.ResponseWriter, r *http.Request, a attempt) done {
	settled, err := g.redeem(w, r, &a)
	if err == nil {
		err = settled.failed()
	}
	if err == nil && !settled.opened {
		if err = g.openSession(r.Context(), w, a, settled); err != nil {
			g.noteSignIn(r, a, err)
		}
	}
	if err != nil && identity.CodeOf(err) == identity.CodeTooManyTries && a.door == identity.DoorInClient {
		return g.queued(r, a, err)
	}
	if err != nil {
		return g.again(r, a, err)
	}
	return done{status: http.StatusSeeOther, location: g.returnTo(a.st.Wanted)}
}

// openSession opens the session of a settled claim. Its token is derived, so
// that the same browser gets the same session again and neither the store nor
// another browser ever holds it (F4, T37).
func (g *Gateway) openSession(ctx context.Context, w http.ResponseWriter, a attempt, settled claim, alongside ...store.Op) error {
	token := identity.NewSecret(g.states.of(a.st).text("session", settled.Random, a.browser.Reveal()))
	_, err := g.cfg.Sessions.Start(ctx, w, *settled.Who, token, alongside...)
	return err
}

// queued leaves the sign-in open: the code was not claimed and lives for
// minutes, so the page may post the same again.
func (g *Gateway) queued(r *http.Request, a attempt, cause error) done {
	status, code := verdict(cause)
	g.logFailure(r, status, code, cause)
	same := a.st
	same.Failed, same.Kind = code, identity.KindOf(cause)
	return done{status: status, code: code, location: signInAddress(same.state), next: &same, queued: true}
}

// again opens the sign-in that follows a failed one: the same place, the reason
// shown, and no automatic start. When it is not known whether DingTalk used the
// code, it starts by itself, once (R25); the code is never sent again.
func (g *Gateway) again(r *http.Request, a attempt, cause error) done {
	status, code := verdict(cause)
	g.logFailure(r, status, code, cause)
	next := signIn{Corp: a.st.Corp, Wanted: a.st.Wanted, Restarts: a.st.Restarts, Failed: code, Kind: identity.KindOf(cause)}
	if code == identity.CodeDingTalkDown && a.st.Restarts == 0 {
		next.Restarts, next.Failed = 1, ""
	}
	created, err := g.states.create(a.browser, next)
	if err != nil {
		g.logFailure(r, status, code, err)
		return done{status: status, code: code, location: cleanFailure(err), err: err}
	}
	return done{status: status, code: code, location: signInAddress(created.state), next: &created}
}

// redeem gives the settled claim of the attempt's code: exchanged now, or by
// whoever was first (T1, F4).
func (g *Gateway) redeem(w http.ResponseWriter, r *http.Request, a *attempt) (claim, error) {
	key := claimKey(g.states.of(a.st), a.code)
	if a.st.Claim == "" {
		settled, won, err := g.redeemFirst(w, r, a, key)
		if won || err != nil {
			return settled, err
		}
	} else if !sameText(a.st.Claim, key) {
		err := expired("state was used by another code")
		g.noteSignIn(r, *a, err)
		return claim{}, err
	}
	settled, err := g.claims.await(r.Context(), key, a.st.Browser, g.cfg.Limits.Exchange)
	if err != nil {
		g.noteSignIn(r, *a, err)
	}
	return settled, err
}

// redeemFirst tries to be the one that exchanges. It outlives its request: a
// double tap cancels the first request, and the code would be lost with it.
func (g *Gateway) redeemFirst(w http.ResponseWriter, r *http.Request, a *attempt, key string) (claim, bool, error) {
	ctx := context.WithoutCancel(r.Context())
	leave, err := g.limiter.enter(ctx, visitOf(r).address, a.st.Browser)
	if err != nil {
		g.noteSignIn(r, *a, err)
		return claim{}, false, err
	}
	refused := false
	defer func() { leave(refused) }()
	mine, won, err := g.claims.take(ctx, key, a.st, g.states, g.states.elsewhere(*a)...)
	if err != nil || !won {
		return claim{}, false, err
	}
	settled := g.exchange(ctx, r, *a, mine)
	refused = settled.Who == nil && faultOf(settled.Code) == faultUser
	ctx, cancel := context.WithTimeout(ctx, afterwards)
	defer cancel()
	settled, err = g.settle(ctx, w, r, *a, settled)
	return settled, true, err
}

// settle remembers the outcome, and opens the session of a person in the same
// commit. A session that may not be opened is no reason to forget the outcome.
func (g *Gateway) settle(ctx context.Context, w http.ResponseWriter, r *http.Request, a attempt, settled claim) (claim, error) {
	outcome, err := g.claims.outcome(settled)
	if err != nil {
		return settled, err
	}
	if settled.Who == nil {
		return settled, g.claims.settle(ctx, outcome)
	}
	foreseen := g.foresee(ctx, a, *settled.Who)
	err = g.openSession(ctx, w, a, settled, outcome)
	foreseen.Wait()
	if err == nil {
		settled.opened = true
		g.giveHint(w, *settled.Who, g.heading(a.st.Wanted))
		g.openings.finished(visitOf(r).address)
		return settled, nil
	}
	g.noteSignIn(r, a, err)
	if identity.KindOf(err) != identity.Unavailable {
		err = errors.Join(err, g.claims.settle(ctx, outcome))
	}
	return settled, err
}

// foresee has the person's row read while the session is written: where the
// store is slow, one of the two waits of a sign-in's end is spared (R10).
func (g *Gateway) foresee(ctx context.Context, a attempt, who identity.Assertion) *sync.WaitGroup {
	var reading sync.WaitGroup
	if centre := g.heading(a.st.Wanted); centre != "" && g.cfg.Foreseer != nil {
		reading.Go(func() { g.cfg.Foreseer.Expect(ctx, who, centre) })
	}
	return &reading
}

// heading is the data centre that a sign-in leads to, empty where it leads
// elsewhere or the person will choose.
func (g *Gateway) heading(place wanted) string {
	path, ok := strings.CutPrefix(place.Path, launchPath)
	if !ok || place.Origin != "" {
		return ""
	}
	var names [3]string // target, form, id
	for i, part := range strings.SplitN(path, "/", len(names)) {
		var err error
		if names[i], err = url.PathUnescape(part); err != nil {
			return ""
		}
	}
	t, err := g.goalOf(names[0], names[1], names[2])
	if err != nil {
		return ""
	}
	if _, named := g.centres[t.target]; named {
		return t.target
	}
	if open := g.centresFor(t); len(open) == 1 {
		return open[0].ID
	}
	return ""
}

// exchange sends the code upstream, the only place that does, and records the
// result before anybody learns it.
func (g *Gateway) exchange(ctx context.Context, r *http.Request, a attempt, mine claim) claim {
	began := g.cfg.Now()
	upstream, cancel := context.WithTimeout(ctx, g.cfg.Limits.Exchange)
	who, err := g.ask(upstream, a)
	cancel()
	if err == nil {
		err = checkAssertion(who, a.st.Corp)
	}
	if err == nil {
		who.Door = a.door
		if who.At.IsZero() || who.At.After(began) {
			who.At = began.UTC() // as of the question: what happened while DingTalk answered is newer (T40)
		}
		mine.Who = &who
	}
	if note := g.recordSignIn(r, a, who, err, g.took(began)); note != nil && err == nil {
		err, mine.Who = note, nil
	}
	if err != nil {
		_, mine.Code = verdict(err)
		mine.Kind = identity.KindOf(err)
	}
	mine.Done = true
	return mine
}

func (g *Gateway) ask(ctx context.Context, a attempt) (identity.Assertion, error) {
	provider := g.corps[a.st.Corp].Provider
	ask := provider.InClient
	if a.door == identity.DoorBrowser {
		ask = provider.Browser
	}
	who, err := ask(ctx, a.code)
	if err == nil {
		return who, nil
	}
	if errors.Is(err, context.DeadlineExceeded) || identity.CodeOf(err) == "" && identity.KindOf(err) == identity.Unavailable {
		err = identity.Fail(identity.Unavailable, identity.CodeDingTalkDown, "exchange: %w", err)
	}
	return identity.Assertion{}, err
}

// checkAssertion fails closed on an answer that names nobody, or somebody of
// another organisation (T3, T4).
func checkAssertion(who identity.Assertion, corp string) error {
	switch {
	case who.Subject.UserID == "":
		return identity.Fail(identity.Upstream, identity.CodeAuthCodeRefused, "assertion without userid")
	case who.Subject.Corp != corp:
		return identity.Fail(identity.Forbidden, identity.CodeForeignCorp, "assertion for another organisation")
	default:
		return nil
	}
}

// The faults that sign-ins are counted by (F15).
const (
	faultNone     = "none"
	faultUser     = "user"
	faultDingTalk = "dingtalk"
	faultKingdee  = "kingdee"
	faultGateway  = "gateway"
)

func faultOf(code identity.Code) string {
	switch {
	case code == "":
		return faultNone
	case code == identity.CodeDingTalkDown || code == identity.CodeDingTalkBusy || code == identity.CodeDingTalkSetup:
		return faultDingTalk
	case strings.HasPrefix(string(code), "KD-4"):
		return faultKingdee
	case strings.HasPrefix(string(code), "KD-5"):
		return faultGateway
	default:
		return faultUser
	}
}

// recordSignIn writes the audit record of a finished exchange and counts it.
// No record, no session: the error says so.
func (g *Gateway) recordSignIn(r *http.Request, a attempt, who identity.Assertion, cause error, took time.Duration) error {
	event := g.event(r, audit.ActionSignIn, audit.OK)
	event.Door, event.Actor = string(a.door), audit.Person(who.Subject)
	event.Detail, event.Flood = map[string]string{}, a.flood
	if a.st.Corp != "" {
		event.Detail["corp"] = a.st.Corp
	}
	result, code := "ok", identity.Code("")
	if cause != nil {
		_, code = verdict(cause)
		result, event.Reason, event.Outcome = "failed", string(code), outcomeOf(cause)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), afterwards)
	defer cancel()
	err := g.record(ctx, event)
	if err != nil && cause == nil {
		result, code = "failed", identity.CodeAuditDown
	}
	g.cfg.Observer.SignIn(a.door, result, faultOf(code), took)
	return err
}

// noteSignIn records a sign-in that failed before or without an exchange. It
// fails anyway, so a log that cannot be written changes nothing but the log
// line. A flood from one address leaves records at a bounded rate (T118).
func (g *Gateway) noteSignIn(r *http.Request, a attempt, cause error) {
	a.flood = addressFlood(visitOf(r).address)
	_ = g.recordSignIn(r, a, identity.Assertion{}, cause, 0) // record has logged it
}

// event fills what every record carries.
func (g *Gateway) event(r *http.Request, action audit.Action, outcome audit.Outcome) audit.Event {
	v := visitOf(r)
	return audit.Event{
		Action: action, Outcome: outcome, Source: v.address.String(), RequestID: v.id, UserAgent: clip(r.UserAgent(), 256),
	}
}

// record appends, and names the failure: nothing is done that is not recorded.
func (g *Gateway) record(ctx context.Context, event audit.Event) error {
	if err := g.cfg.Recorder.Append(ctx, event); err != nil {
		g.cfg.Logger.Error("audit", "request_id", event.RequestID, "action", string(event.Action), "error", err)
		return identity.Fail(identity.Unavailable, identity.CodeAuditDown, "audit: %w", err)
	}
	return nil
}

// outcomeOf tells "may not" from "did not work".
func outcomeOf(err error) audit.Outcome {
	switch identity.KindOf(err) {
	case identity.Unauthenticated, identity.Forbidden, identity.Invalid, identity.NotFound, identity.Throttled:
		return audit.Refused
	default:
		return audit.Failed
	}
}
