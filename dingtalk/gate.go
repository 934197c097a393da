package dingtalk

import (
	"context"
	"errors"
	"time"
)

// gate waits for pauses and for our own rates.
func (c *Client) gate(ctx context.Context, op operation) error {
	_, waits := c.limits.costs(op)
	switch {
	case c.egress.BannedFor() > 0:
		return errBanned
	case c.hosts[op.host].RemainingDelay() > 0:
		return errBroken
	case waits && c.pauses.left(quotaPause) > 0:
		return errPaused
	case waits && op.class != ClassLogin && op.class != "" && c.meter.calls.spent(ctx, c.now()):
		return errQuota
	}
	if err := c.pauses.rest(ctx, op.name); err != nil {
		return err
	}
	for _, bucket := range append(c.limits.of(op, c.background), c.egress.rate) {
		if err := turn(ctx, bucket); err != nil {
			return err
		}
	}
	return nil
}

// pausedFor is how long a call of op would be held back now.
func (c *Client) pausedFor(op operation) time.Duration {
	wait := max(c.pauses.left(op.name), c.egress.BannedFor(), c.hosts[op.host].RemainingDelay())
	if _, waits := c.limits.costs(op); waits {
		wait = max(wait, c.pauses.left(quotaPause))
	}
	return wait
}

// Reasons for which a call does not leave, beside errPaused and errQueue.
var (
	errBanned = errors.New("DingTalk has banned our address for a while")
	errBroken = errors.New("DingTalk could not be reached a moment ago")
)

// held is a call that never left.
func (c *Client) held(op operation, err error) *CallError {
	r := rulePaused
	ours := errors.Is(err, errQueue) || errors.Is(err, errQuota)
	if !ours && !errors.Is(err, errPaused) && !errors.Is(err, errBanned) {
		r = ruleHeld // unreachable a moment ago, or the caller's time ran out
	}
	return c.failed(op, r, err)
}

// open asks both breakers. The one of the host comes first: a permit of the
// ban's half-open state must lead to a call that closes or opens it again.
func (c *Client) open(op operation) *CallError {
	if !c.hosts[op.host].TryAcquirePermit() {
		return c.held(op, errBroken)
	}
	if !c.egress.ban.TryAcquirePermit() {
		c.release(op)
		return c.held(op, errBanned)
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

// charge counts a call that cost monthly quota: one that DingTalk has looked at.
// Throttled and lost ones are free (reference 9).
func (c *Client) charge(ctx context.Context, op operation, e *CallError) {
	if counted, _ := c.limits.costs(op); !counted {
		return
	}
	if e != nil {
		switch e.rule.act {
		case actPause, actPauseTurn, actQuota, actBan:
			return
		}
		if e.Status == 0 {
			return
		}
	}
	c.meter.calls.add(ctx, c.now(), 1)
}

// settle draws the consequences of an answer beyond the call that got it.
func (c *Client) settle(op operation, e *CallError) {
	now := c.now()
	switch e.rule.act {
	case actPause:
		c.pauses.set(op.name, now.Add(max(e.rule.wait, e.retryAfter)))
	case actPauseTurn:
		c.pauses.set(op.name, now.Truncate(time.Minute).Add(time.Minute))
	case actQuota:
		c.pauses.set(quotaPause, nextMonth(now))
	}
}

// nextMonth is when the organisation's quota begins anew: DingTalk's months
// are Beijing's.
func nextMonth(now time.Time) time.Time {
	t := beijing(now)
	return time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, t.Location())
}
