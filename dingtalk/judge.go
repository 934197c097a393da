package dingtalk

import (
	"context"
	"errors"
	"net/http"
	"time"

	"kdgate/internal/peer"
)

// judge turns a response into an error or decodes it.
func (c *Client) judge(ctx context.Context, k *call, res peer.Response, err error) *CallError {
	if err != nil {
		c.egress.ban.RecordSuccess() // silence is not a ban
		return c.lost(ctx, k.op, err)
	}
	c.hosts[k.op.host].RecordSuccess()
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		c.skew.Store(int64(at.Sub(c.now().Truncate(time.Second))))
	}
	out := k.out
	a := readAnswer(k.op.host, res, out)
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
		if a.status >= 400 {
			r = c.decisions.find(k.op, "", a.status)
		}
		e := c.answerError(k.op, r, a)
		e.Ambiguous = true
		return e
	}
	if out == nil || a.decoded {
		return nil
	}
	if err := a.body.Decode(out); err != nil {
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

func (c *Client) failed(op operation, r rule, err error) *CallError {
	return &CallError{Operation: op.name, Rule: r.name, Err: err, rule: r, op: op}
}

func (c *Client) answerError(op operation, r rule, a answer) *CallError {
	if op.auth == authUser && r.act == actRefresh {
		// It is the person's token that is not accepted, not ours.
		r = c.decisions.exact["accesstoken.expired"]
	}
	h := hintsOf(a)
	return &CallError{
		Operation: op.name, Rule: r.name, Reason: a.reason, RequestID: a.requestID, Status: a.status,
		Permission: h.scope, ApplyLink: h.link, OurAddress: h.address, rule: r, retryAfter: a.retryAfter, op: op,
	}
}
