package kingdee

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"strconv"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"kdgate/internal/peer"
)

const (
	budget     = 7500 * time.Millisecond // of one question of ours, tries and waiting included: a page within 8 s (R18, R19)
	jobBudget  = 2 * time.Minute         // of one call that nobody looks at, see Background
	firstDelay = 200 * time.Millisecond  // before a second try
	maxDelay   = 5 * time.Second
	tripAfter  = 3               // failures in a row (R23: no storm of connects)
	tripFor    = 2 * time.Second // then one probe (R26)
)

// operation is one kind of call.
type operation struct {
	name        string // metric label: login, query, logout
	where       string // for faults and alarms: login, logout, or the form
	path        string // below the base address
	contentType string
	body        []byte
	write       bool // has an effect: repeated only when it never left
	anonymous   bool // needs no session
	read        func(peer.Response) ([][]scalar, verdict)
}

// answer is a judged reply.
type answer struct {
	rows   [][]scalar
	header http.Header
}

// failure carries a fault through the retry policy.
type failure struct {
	*Fault
	again bool
}

// newRetry makes the one retry policy; which fault is worth how many tries is
// in the decision table.
func newRetry() retrypolicy.RetryPolicy[answer] {
	return retrypolicy.NewBuilder[answer]().
		HandleIf(func(_ answer, err error) bool {
			f, ok := errors.AsType[*failure](err)
			return ok && f.again
		}).
		WithMaxAttempts(-1).
		WithDelayFunc(func(exec failsafe.ExecutionAttempt[answer]) time.Duration {
			delay := firstDelay
			if f, ok := errors.AsType[*failure](exec.LastError()); ok && f.decision().delay > 0 {
				delay = f.decision().delay
			}
			return min(delay<<(exec.Attempts()-1), maxDelay)
		}).
		WithJitterFactor(0.25).
		ReturnLastFailure().
		Build()
}

func newBreaker() circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().WithFailureThreshold(tripAfter).WithDelay(tripFor).Build()
}

// call asks Kingdee once, as a person sees it: all tries together stay within
// the budget. Its error is an *identity.Error around a *Fault.
func (c *Client) call(ctx context.Context, op operation) ([][]scalar, error) {
	ctx, cancel := context.WithTimeout(ctx, c.budget())
	defer cancel()
	var last *Fault
	got, err := failsafe.With(c.retry).WithContext(ctx).GetWithExecution(
		func(exec failsafe.Execution[answer]) (answer, error) {
			got, fault := c.attempt(ctx, op)
			if fault == nil {
				return got, nil
			}
			last = fault
			worth := exec.Attempts() <= fault.decision().retries && (!op.write || unprocessed[fault.symptom])
			return answer{}, &failure{Fault: fault, again: worth}
		})
	switch {
	case err == nil:
		c.alarm.clear(op.where)
		return got.rows, nil
	case last == nil: // the context had ended before the first try
		last = causedFault(callerGone, op.where, err)
	case last.symptom == noData && !op.write:
		return nil, nil
	}
	c.alarm.raise(last)
	return nil, last.public()
}

// budget is how long all tries of one call may take together.
func (c *Client) budget() time.Duration {
	if c.background {
		return jobBudget
	}
	return budget
}

// unprocessed are the faults after which a write is known not to have begun, so
// that the decision table may repeat it: it never left, its record is held by
// somebody else, or its session had ended.
var unprocessed = map[symptom]bool{noConnection: true, recordInUse: true, sessionKicked: true}

// noTurn is why a call did not get its turn: too many before it, or nobody
// waits for it any more.
func noTurn(ctx context.Context) symptom {
	if errors.Is(ctx.Err(), context.Canceled) {
		return callerGone
	}
	return queueFull
}

// leastTurn is how much time a call must have left when its turn comes.
const leastTurn = 500 * time.Millisecond

// attempt is one try in one session, with one new login where the session turns
// out to be gone (R27).
func (c *Client) attempt(ctx context.Context, op operation) (answer, *Fault) {
	if held := c.calls.held(c.now()); held != nil {
		return answer{}, held
	}
	take := c.sessions.take
	if c.background {
		take = c.sessions.takeForJob
	}
	s, giveBack, err := take(ctx)
	if err != nil {
		return answer{}, causedFault(noTurn(ctx), op.where, err)
	}
	defer giveBack()
	if op.anonymous {
		return c.exchange(ctx, op, http.Header{})
	}
	got, fault := c.inSession(ctx, s, op)
	if fault != nil && fault.decision().relogin {
		got, fault = c.inSession(ctx, s, op)
	}
	if fault != nil && fault.decision().relogin { // once is enough
		c.logins.pull(fault, c.now(), 0)
	}
	return got, fault
}

// inSession makes the call, logging in first where s is no session, and says
// what a lost session means (rows 9, 12 and 13).
func (c *Client) inSession(ctx context.Context, s *session, op operation) (answer, *Fault) {
	header := http.Header{}
	if fault := c.authorise(ctx, s, op, header); fault != nil {
		return answer{}, fault
	}
	got, fault := c.exchange(ctx, op, header)
	if fault == nil || fault.Row >= firstBusinessRow {
		s.served++
		s.used = c.now()
		if fault == nil || fault.symptom != callLimit {
			c.calls.proven(s.used)
		}
		c.keepSession(s, got.header)
		return got, fault
	}
	switch fault.symptom {
	case sessionLost:
		fault = c.lost(s, op.where, fault)
	case notAuthenticated:
		s.id = ""
	}
	return answer{}, fault
}

// firstBusinessRow begins the rows of the decision table that only a live session can answer.
const firstBusinessRow = 19

// lost tells idle time and restarts (log in again) from a login that never
// worked (row 13) and from our own other session having pushed this one out.
func (c *Client) lost(s *session, where string, fault *Fault) *Fault {
	signed := c.cfg.API.Auth == AuthSignedHeaders
	untried := s.served == 0
	s.id = ""
	switch {
	case signed || (untried && c.sessions.newest(s)):
		fault = newFault(authRefused, where, fault.Text)
		c.logins.pull(fault, c.now(), 0)
	case c.sessions.pushedOut(untried, s, c.now()):
		fault = newFault(sessionKicked, where, fault.Text)
	}
	return fault
}

// authorise gives header what makes the call ours.
func (c *Client) authorise(ctx context.Context, s *session, op operation, header http.Header) *Fault {
	if c.cfg.API.Auth == AuthSignedHeaders {
		if held := c.logins.held(c.now()); held != nil {
			return held
		}
		c.signHeaders(header, c.base.Path+op.path)
	} else if s.id == "" || c.now().Sub(s.used) >= c.cfg.API.SessionIdle {
		s.id = ""
		if fault := c.login(ctx, s); fault != nil {
			return fault
		}
	}
	if s.id != "" {
		header.Set(sessionField, s.id)
	}
	return nil
}

// login fills s. Logins go one at a time, and none goes while the brake is on,
// so that a wrong secret costs one failed login and not a locked user.
func (c *Client) login(ctx context.Context, s *session) *Fault {
	select {
	case c.loginTurn <- struct{}{}:
		defer func() { <-c.loginTurn }()
	case <-ctx.Done():
		return causedFault(noTurn(ctx), "login", ctx.Err())
	}
	if held := c.logins.held(c.now()); held != nil {
		return held
	}
	ctx, cancel := c.loginTime(ctx)
	defer cancel()
	at := c.clock.stamp(c.cfg.Link.Window)
	id, fault := c.sendLogin(ctx, at)
	if c.misdated(fault, at) {
		id, fault = c.sendLogin(ctx, c.clock.stamp(c.cfg.Link.Window))
	}
	if fault == nil {
		c.sessions.loggedIn(s, id, c.now())
		c.logins.release()
		c.alarm.clear("login")
		return nil
	}
	switch {
	case c.dated(fault) && c.clock.check(c.cfg.Link.Window) != nil:
		fault = newFault(timeRefused, "login", fault.Text) // whatever Kingdee calls it
	case fault.decision().relogin: // a login cannot be repaired by logging in
		fault = newFault(authRefused, "login", fault.Text)
	}
	c.logins.pull(fault, c.now(), 0)
	return fault
}

// loginTime is a whole answer's time for a login, whatever waiting for its turn has
// left of the call it is for: the session is of use to the next call as well, and a
// login cut short would look as if Kingdee were down. A caller who goes ends it.
func (c *Client) loginTime(ctx context.Context) (context.Context, context.CancelFunc) {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.budget())
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})
	return own, func() { stop(); cancel() }
}

// dated reports a refusal that a wrong date may be behind: rows 11 to 15 of the
// decision table, for Kingdee has several names for it. A lock-out is none.
func (c *Client) dated(fault *Fault) bool {
	return c.cfg.API.Auth == AuthLoginBySign && fault.Row >= 11 && fault.Row <= 15
}

// misdated reports a login that was refused with an answer from which we learn
// that Kingdee's clock is behind the date we signed: it is worth one more.
func (c *Client) misdated(fault *Fault, at time.Time) bool {
	return fault != nil && c.dated(fault) && at.Sub(c.clock.stamp(c.cfg.Link.Window)) > 10*slack
}

// sendLogin is one login dated at; it gives the session's id.
func (c *Client) sendLogin(ctx context.Context, at time.Time) (string, *Fault) {
	op := c.loginCall(at)
	var id string
	op.read = func(res peer.Response) ([][]scalar, verdict) {
		var v verdict
		id, v = readLogin(res, c.cfg.API.AcceptMinus5)
		return nil, v
	}
	_, fault := c.exchange(ctx, op, http.Header{})
	return id, fault
}

// keepSession remembers the session that signed headers have opened, so that
// the next call need not open another.
func (c *Client) keepSession(s *session, header http.Header) {
	if c.cfg.API.Auth != AuthSignedHeaders {
		return
	}
	for _, cookie := range (&http.Response{Header: header}).Cookies() {
		if cookie.Name == sessionField && cleanToken(cookie.Value) {
			s.id = cookie.Value
		}
	}
}

// exchange is one request and one judged answer.
func (c *Client) exchange(ctx context.Context, op operation, header http.Header) (answer, *Fault) {
	if err := c.pace.Wait(ctx); err != nil {
		return answer{}, causedFault(noTurn(ctx), op.where, err)
	}
	// A turn that comes too late for an answer is no turn: what would end in a
	// time-out must not look as if Kingdee were down.
	if end, bounded := ctx.Deadline(); bounded && time.Until(end) < leastTurn {
		return answer{}, causedFault(queueFull, op.where, context.DeadlineExceeded)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+op.path, bytes.NewReader(op.body))
	if err != nil {
		return answer{}, causedFault(badRequest, op.where, err)
	}
	req.Header = header
	req.Header.Set("Content-Type", op.contentType)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "kdgate")
	if !c.breaker.TryAcquirePermit() {
		return answer{}, newFault(circuitOpen, op.where, "")
	}
	began := c.now()
	res, err := c.peer.Do(ctx, req)
	got, fault := c.judge(ctx, op, res, err)
	c.record(op, fault, c.now().Sub(began))
	return got, fault
}

// judge names what came back.
func (c *Client) judge(ctx context.Context, op operation, res peer.Response, err error) (answer, *Fault) {
	if err != nil {
		return answer{}, transportFault(ctx, err, op)
	}
	c.clock.note(res.Header, c.cfg.Link.Window)
	rows, v := op.read(res)
	if v.symptom == fine {
		return answer{rows: rows, header: res.Header}, nil
	}
	fault := newFault(v.symptom, op.where, mask(v.text, c.cfg.AppSecret))
	fault.ambiguous = op.write && unclear[v.symptom]
	if v.symptom == callLimit {
		fault.wait = retryAfter(res.Header)
		c.calls.pull(fault, c.now(), jitter(30*time.Second))
	}
	return answer{}, fault
}

// retryAfter is what an answer asks for: whole seconds up to five minutes;
// anything else is ignored.
func retryAfter(h http.Header) time.Duration {
	const longest = 300
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, longest)) * time.Second
}

// record tells the breaker and the metrics what happened.
func (c *Client) record(op operation, fault *Fault, took time.Duration) {
	result := "ok"
	if fault != nil {
		result = fault.Name
	}
	if c.cfg.Observer != nil {
		c.cfg.Observer(op.name, result, took)
	}
	switch {
	case fault == nil:
		c.breaker.RecordSuccess()
	case fault.symptom == noConnection || fault.symptom == serverDown:
		c.breaker.RecordFailure()
	case fault.symptom == callerGone: // says nothing about Kingdee, but a probe must end
		if c.breaker.IsHalfOpen() {
			c.breaker.RecordFailure()
		}
	default:
		c.breaker.RecordSuccess()
	}
}

// unclear are the answers to a write from which nobody can tell whether it took
// effect: broken ones, and those that something in between may have given.
var unclear = map[symptom]bool{writeUnknown: true, unexpected: true, htmlPage: true, responseError: true}

// transportFault names a call without an answer. A write that may have left is
// of unknown outcome, whyever the answer is missing.
func transportFault(ctx context.Context, err error, op operation) *Fault {
	s := noConnection
	p, isPeer := errors.AsType[*peer.Error](err)
	maybe := op.write && (!isPeer || p.Sent)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		s = callerGone
	case certificateError(err):
		s = badCertificate
	case errors.Is(err, peer.ErrTooLarge):
		s = unexpected
	case maybe:
		s = writeUnknown
	}
	fault := causedFault(s, op.where, err)
	fault.ambiguous = maybe
	return fault
}

// certificateError reports what another try cannot heal: a certificate that is
// expired, foreign or of another host, or a peer without a TLS we accept (R23).
func certificateError(err error) bool {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
	)
	return errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid) ||
		errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &alert)
}

// jitter is a random part of at most limit, so that replicas do not come back together.
func jitter(limit time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(limit)))
	if err != nil {
		return limit
	}
	return time.Duration(n.Int64())
}
