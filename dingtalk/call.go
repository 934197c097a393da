package dingtalk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"kdgate/identity"
	"kdgate/internal/peer"
	"kdgate/internal/strictjson"
)

// auth is how a call proves who makes it.
type auth int

const (
	authApp    auth = iota // the application token
	authSecret             // Client ID and Secret in the call itself: token calls
	authNone               // as authSecret, but not a token call of the application
	authUser               // the token of the person, good for one call
)

// operation is one API of DingTalk.
type operation struct {
	name   string // metric label and rate bucket
	host   host
	path   string
	get    bool
	auth   auth
	single bool // carries a single-use code: sent once, never again
	quota  bool // costs monthly quota and can wait
}

// call is one use of an operation.
type call struct {
	op       operation
	query    url.Values
	body     any
	user     identity.Secret // for authUser
	admitted bool            // has waited for its turn already
	out      any             // decoded strictly from the whole body
}

// CallError is a call without a usable answer. It holds nothing secret and no
// text of the vendor's except words of a bounded shape.
type CallError struct {
	Operation string
	Rule      string // row of the decision table
	Reason    string // the vendor's reason, empty when there was none
	RequestID string // the vendor's, for their support
	Status    int    // HTTP status, 0 without an answer
	// Ambiguous says that DingTalk may have acted: a code may be used up.
	Ambiguous bool

	Permission string // scope that is missing
	ApplyLink  string // page of the vendor to apply for it
	OurAddress string // our outgoing address as DingTalk sees it

	Err error // cause, may be nil

	rule  rule
	again bool
	wait  time.Duration
}

func (e *CallError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dingtalk %s: %s", e.Operation, e.Rule)
	for _, part := range []struct{ name, value string }{
		{"reason", e.Reason}, {"request id", e.RequestID}, {"permission", e.Permission}, {"our address", e.OurAddress},
	} {
		if part.value != "" {
			fmt.Fprintf(&b, ", %s %q", part.name, part.value)
		}
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *CallError) Unwrap() error { return e.Err }

// newRetry repeats what the call itself marked as worth repeating, after the
// wait it asked for and a little more, so that many clients do not march in step.
func newRetry() retrypolicy.RetryPolicy[any] {
	failed := func(err error) *CallError {
		e, _ := errors.AsType[*CallError](err)
		return e
	}
	return retrypolicy.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { e := failed(err); return e != nil && e.again }).
		WithMaxRetries(-1). // tries are counted against the rule of each failure
		WithDelayFunc(func(exec failsafe.ExecutionAttempt[any]) time.Duration { return failed(exec.LastError()).wait }).
		WithJitterFactor(0.2).
		ReturnLastFailure().
		Build()
}

// begin waits for a turn of the first call and starts the time that a person
// is asked to wait for DingTalk. Standing in our own queue is not part of it.
func (c *Client) begin(ctx context.Context, op operation) (context.Context, context.CancelFunc, error) {
	budget := c.cfg.Budget
	if c.background {
		budget = jobBudget
	}
	queue, leave := context.WithTimeout(ctx, c.limits.cfg.QueueWait)
	defer leave()
	if err := c.gate(queue, op); err != nil {
		return nil, nil, c.public(c.held(op, err))
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	return ctx, cancel, nil
}

// do makes a call, and makes it again where the table says so and the call may
// be repeated. Its error is always an *identity.Error.
func (c *Client) do(ctx context.Context, k call) error {
	var last error
	tries := 0
	_ = failsafe.With[any](c.retry).WithContext(ctx).RunWithExecution(func(failsafe.Execution[any]) error {
		tries++
		last = c.send(ctx, &k, tries)
		return last
	})
	if e, ok := errors.AsType[*CallError](last); ok && e == last {
		c.alerts.raise(ctx, e)
		return c.public(e)
	}
	return last
}

// public puts the kind and code of the rule in front of a failed call.
func (c *Client) public(e *CallError) error {
	return &identity.Error{Kind: e.rule.kind, Code: e.rule.code, Err: e}
}

// send is one try, with at most one new token inside it. A call refused for
// its token was not looked at, so even a single-use code may go again.
func (c *Client) send(ctx context.Context, k *call, try int) error {
	credential, err := c.credential(ctx, k)
	if err != nil {
		return err
	}
	e := c.exchange(ctx, k, credential, try)
	if e != nil && e.rule.act == actRefresh && k.op.auth == authApp {
		renewed, ok, err := c.tokens.renew(ctx, credential)
		if err != nil {
			return err
		}
		if ok {
			credential = renewed
			if e = c.exchange(ctx, k, renewed, try); e != nil && e.rule.act == actRefresh {
				c.tokens.refusedAgain()
			}
		}
	}
	if e == nil {
		return nil
	}
	if e.rule.drop && k.op.auth == authApp {
		c.tokens.drop(credential)
	}
	return e
}

func (c *Client) credential(ctx context.Context, k *call) (identity.Secret, error) {
	switch k.op.auth {
	case authApp:
		return c.tokens.get(ctx)
	case authUser:
		return k.user, nil
	}
	return identity.Secret{}, nil
}

// exchange asks DingTalk once, if it may be asked at all now.
func (c *Client) exchange(ctx context.Context, k *call, credential identity.Secret, try int) *CallError {
	if !k.admitted {
		if err := c.gate(ctx, k.op); err != nil {
			return c.held(k.op, err)
		}
	}
	k.admitted = false
	req, err := c.request(k, credential)
	if err != nil {
		return c.failed(k.op, rule{name: "request", kind: identity.Internal, code: identity.CodeInternal}, err)
	}
	if e := c.open(k.op); e != nil {
		return e
	}
	started := c.now()
	res, err := c.peer.Do(ctx, req)
	e := c.judge(ctx, k, res, err)
	c.observe(k.op, e, c.now().Sub(started))
	if e != nil {
		c.settle(ctx, k.op, e, try)
	}
	return e
}

// gate waits for pauses and for our own rates.
func (c *Client) gate(ctx context.Context, op operation) error {
	if op.quota && c.pauses.left(quotaPause) > 0 {
		return errPaused
	}
	if err := c.pauses.rest(ctx, op.name); err != nil {
		return err
	}
	for _, bucket := range append(c.limits.of(op.name, c.background), c.egress.rate) {
		if err := turn(ctx, bucket); err != nil {
			return err
		}
	}
	return nil
}

// held is a call that never left.
func (c *Client) held(op operation, err error) *CallError {
	r := rulePaused
	if !errors.Is(err, errPaused) && !errors.Is(err, errQueue) {
		r.kind = identity.Unavailable // the caller's time ran out
	}
	return c.failed(op, r, err)
}

var (
	errBanned = errors.New("DingTalk has banned our address for a while")
	errBroken = errors.New("DingTalk could not be reached a moment ago")
)

// open asks both breakers. The one of the host comes first: a permit of the
// ban's half-open state must lead to a call that closes or opens it again.
func (c *Client) open(op operation) *CallError {
	if !c.hosts[op.host].TryAcquirePermit() {
		r := ruleUnreachable
		r.act = actFail
		return c.failed(op, r, errBroken)
	}
	if !c.egress.ban.TryAcquirePermit() {
		c.release(op)
		return c.failed(op, rulePaused, errBanned)
	}
	return nil
}

// release gives back a permit of the host's breaker without an outcome. Only a
// half-open breaker counts permits; the library cannot take one back, so it is
// opened again.
func (c *Client) release(op operation) {
	if c.hosts[op.host].IsHalfOpen() {
		c.hosts[op.host].RecordFailure()
	}
}

// judge turns a response into an error or decodes it.
func (c *Client) judge(ctx context.Context, k *call, res peer.Response, err error) *CallError {
	if err != nil {
		c.egress.ban.RecordSuccess() // silence is not a ban
		return c.lost(ctx, k.op, err)
	}
	c.hosts[k.op.host].RecordSuccess()
	a := readAnswer(k.op.host, res)
	if a.verdict == banned {
		c.egress.ban.RecordFailure()
		return c.answerError(k.op, ruleBanned, a)
	}
	c.egress.ban.RecordSuccess()
	switch a.verdict {
	case refused:
		return c.answerError(k.op, c.decisions.find(k.op, a.reason, a.status), a)
	case unreadable:
		r := ruleUnreadable
		if a.status == http.StatusTooManyRequests || a.status >= 500 {
			r = ruleBusy
		}
		e := c.answerError(k.op, r, a)
		e.Ambiguous = true
		return e
	}
	if k.out == nil {
		return nil
	}
	if err := strictjson.Decode(a.body, k.out); err != nil {
		e := c.answerError(k.op, ruleUnreadable, a)
		e.Ambiguous, e.Err = true, errShape
		return e
	}
	return nil
}

// errShape replaces a decoder's error, which may quote the answer.
var errShape = errors.New("the answer does not have the expected shape")

// lost is a call that brought no answer.
func (c *Client) lost(ctx context.Context, op operation, err error) *CallError {
	r := ruleUnreachable
	class := transportClass(err)
	switch {
	case class == "tls":
		r = ruleUntrusted
	case class == "canceled" || errors.Is(ctx.Err(), context.Canceled):
		c.release(op)
		r.act = actFail
		e := c.failed(op, r, err)
		e.Rule, e.Ambiguous = "canceled", true
		return e
	}
	c.hosts[op.host].RecordFailure()
	e := c.failed(op, r, err)
	e.Rule = class
	if p, ok := errors.AsType[*peer.Error](err); ok {
		e.Ambiguous = p.Sent
	}
	return e
}

// transportClass names what went wrong on the wire, for metrics (R23).
func transportClass(err error) string {
	var (
		dns       *net.DNSError
		alert     tls.AlertError
		record    tls.RecordHeaderError
		untrusted *tls.CertificateVerificationError
		host      x509.HostnameError
		timeout   net.Error
	)
	switch {
	case errors.Is(err, peer.ErrTooLarge):
		return "too_large"
	case errors.As(err, &untrusted), errors.As(err, &host), errors.As(err, &alert), errors.As(err, &record):
		return "tls"
	case errors.As(err, &dns):
		return "dns"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "reset"
}

func (c *Client) failed(op operation, r rule, err error) *CallError {
	return &CallError{Operation: op.name, Rule: r.name, Err: err, rule: r}
}

func (c *Client) answerError(op operation, r rule, a answer) *CallError {
	if op.auth == authUser && r.act == actRefresh {
		// It is the person's token that is not accepted, not ours.
		r = c.decisions.exact["accesstoken.expired"]
	}
	h := hintsOf(a)
	return &CallError{Operation: op.name, Rule: r.name, Reason: a.reason, RequestID: a.requestID, Status: a.status,
		Permission: h.scope, ApplyLink: h.link, OurAddress: h.address, rule: r}
}

// settle draws the consequences of a failure beyond this call, and decides
// whether the call is made again.
func (c *Client) settle(ctx context.Context, op operation, e *CallError, try int) {
	wait := e.rule.wait << (try - 1)
	switch e.rule.act {
	case actPause:
		c.pauses.set(op.name, c.now().Add(e.rule.wait))
	case actPauseTurn:
		now := c.now()
		wait = now.Truncate(time.Minute).Add(time.Minute).Sub(now)
		c.pauses.set(op.name, now.Add(wait))
	case actQuota:
		c.pauses.set(quotaPause, nextMonth(c.now()))
	}
	repeats := e.rule.act == actRetry || e.rule.act == actPause || e.rule.act == actPauseTurn
	e.wait = wait
	e.again = repeats && try < e.rule.tries && !op.single && fits(ctx, wait+wait/4)
}

// nextMonth is when the organisation's quota begins anew: DingTalk's months
// are Beijing's.
func nextMonth(now time.Time) time.Time {
	t := now.In(time.FixedZone("UTC+8", 8*60*60))
	return time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, t.Location())
}

func (c *Client) observe(op operation, e *CallError, took time.Duration) {
	if c.cfg.Observer == nil {
		return
	}
	result := "ok"
	if e != nil {
		result = e.Rule
	}
	c.cfg.Observer.PeerCall(op.name, result, took)
}

// request builds the HTTP request. Old API: token in the query. New API: token
// in a header only.
func (c *Client) request(k *call, credential identity.Secret) (*http.Request, error) {
	base, query := c.oapi, url.Values{}
	if k.op.host == newHost {
		base = c.api
	}
	for name, values := range k.query {
		query[name] = values
	}
	if k.op.host == oldHost && k.op.auth == authApp {
		query.Set("access_token", credential.Reveal())
	}
	target := *base
	target.Path, target.RawQuery = base.Path+k.op.path, query.Encode()
	method, body := http.MethodPost, []byte("{}")
	if k.op.get {
		method, body = http.MethodGet, nil
	}
	if k.body != nil {
		var err error
		if body, err = json.Marshal(k.body); err != nil {
			return nil, errors.New("the request cannot be encoded")
		}
	}
	req, err := http.NewRequest(method, target.String(), strings.NewReader(string(body)))
	if err != nil {
		return nil, errors.New("the request cannot be built") // the cause would print the token
	}
	req.Header.Set("Accept", "application/json")
	if !k.op.get {
		req.Header.Set("Content-Type", "application/json")
	}
	if k.op.host == newHost && !credential.IsZero() {
		req.Header.Set("x-acs-dingtalk-access-token", credential.Reveal())
	}
	return req, nil
}
