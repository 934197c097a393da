package dingtalk

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"kdgate/identity"
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
	name    string // metric label and rate bucket
	host    host
	path    string
	get     bool
	auth    auth
	single  bool // carries a single-use code: sent once, never again
	quota   bool // costs monthly quota and can wait
	counted bool // costs monthly quota and cannot
	class   Class
	probe   bool // asks for nobody: that a parameter is refused is nobody's mistake
}

// call is one use of an operation.
type call struct {
	op       operation
	query    url.Values
	body     any
	user     identity.Secret // for authUser
	admitted bool            // has waited for its turn already
	out      any             // decoded strictly from the whole body
	room     *bytes.Buffer   // for the answer's body, of a caller who asks again and again; or nil
}

// repeatable marks the error of a try that may be followed by another. The
// last one comes off before anybody else sees it.
type repeatable struct {
	error
	wait time.Duration
}

// Unwrap gives the error of the try.
func (r *repeatable) Unwrap() error { return r.error }

// newRetry repeats what the call itself marked as worth repeating, after the
// wait it asked for and a little more, so that many clients do not march in step.
func newRetry() retrypolicy.RetryPolicy[any] {
	return retrypolicy.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { _, again := errors.AsType[*repeatable](err); return again }).
		WithMaxRetries(-1). // tries are counted against the rule of each failure
		WithDelayFunc(func(exec failsafe.ExecutionAttempt[any]) time.Duration {
			r, _ := errors.AsType[*repeatable](exec.LastError())
			return r.wait
		}).
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
	if r, ok := errors.AsType[*repeatable](last); ok { // the time ran out while waiting
		return r.error
	}
	if tries == 0 { // the caller had gone before the first try
		return c.public(c.held(k.op, context.Cause(ctx)))
	}
	return last
}

// public puts the kind and code of the rule in front of a failed call.
func (c *Client) public(e *CallError) error {
	e.pause = c.pausedFor(e.op)
	return &identity.Error{Kind: e.rule.kind, Code: e.rule.code, Err: e}
}

// send is one try, with at most one new token inside it. A call refused for
// its token was not looked at, so even a single-use code may go again.
func (c *Client) send(ctx context.Context, k *call, try int) error {
	credential, err := c.credential(ctx, k)
	if err != nil {
		return err
	}
	e := c.exchange(ctx, k, credential)
	if e != nil && e.rule.act == actRefresh && k.op.auth == authApp {
		renewed, ok, err := c.tokens.renew(ctx, credential)
		if err != nil {
			return err
		}
		if ok {
			credential = renewed
			if e = c.exchange(ctx, k, renewed); e != nil && e.rule.act == actRefresh {
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
	return c.finish(ctx, k.op, e, try)
}

// finish gives a failed try the form in which the caller of the client sees
// it, and says whether the call is worth another.
func (c *Client) finish(ctx context.Context, op operation, e *CallError, try int) error {
	repeats := e.rule.act == actRetry || e.rule.act == actPause || e.rule.act == actPauseTurn
	wait := max(e.rule.wait<<(try-1), e.retryAfter, c.pauses.left(op.name))
	if repeats && !op.single && try < e.rule.tries && fits(ctx, wait+wait/4) {
		return &repeatable{error: c.public(e), wait: wait}
	}
	if !op.probe || !e.rule.aboutRecord() {
		c.alerts.raise(ctx, e)
	}
	return c.public(e)
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
func (c *Client) exchange(ctx context.Context, k *call, credential identity.Secret) *CallError {
	if !k.admitted {
		if err := c.gate(ctx, k.op); err != nil {
			return c.held(k.op, err)
		}
	}
	k.admitted = false
	req, err := c.request(ctx, k, credential)
	if err != nil {
		return c.failed(k.op, rule{name: "request", kind: identity.Internal, code: identity.CodeInternal}, err)
	}
	if e := c.open(k.op); e != nil {
		return e
	}
	started := c.now()
	c.meter.left(k.op.class, started)
	res, err := c.peer.DoInto(ctx, req, k.room)
	e := c.judge(ctx, k, res, err)
	c.charge(ctx, k.op, e)
	c.observe(k.op, e, c.now().Sub(started))
	if e != nil {
		c.settle(k.op, e)
	}
	return e
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
