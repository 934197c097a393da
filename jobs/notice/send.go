package notice

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/jobs"
)

const (
	// mostTries is how often other words are found for people who got nothing.
	mostTries = 3
	// mostAsked is how often a result is asked for that says nothing yet.
	mostAsked = 5
	// pauseMinute is longer than the minute that DingTalk counts over.
	pauseMinute = 70 * time.Second
	// turnMargin is how long before midnight nothing is sent again: the second
	// send could fall on the next day, and arrive a second time.
	turnMargin = 3 * time.Minute
)

// send makes one work notification of the letters.
func (r *run) send(ctx context.Context) (bool, error) {
	r.course.Day = day(r.now())
	if err := r.commit(ctx, stepSending); err != nil {
		return false, err
	}
	return r.dispatch(ctx)
}

// resend sends the same bytes once more after a send without an answer, or tells
// people another way when that could give them to somebody twice.
func (r *run) resend(ctx context.Context) (bool, error) {
	now := r.now()
	if day(now.Add(turnMargin)) != r.course.Day || r.impatient() && len(r.letter.Route) > 1 {
		r.delivery.markAll(Waiting, Recipient{State: Unclear, Why: "no answer to the send, and it cannot be repeated safely"})
		return r.nextWay(ctx)
	}
	if !r.course.Doubt {
		r.course.Doubt = true
		if err := r.commit(ctx, stepSending); err != nil {
			return false, err
		}
	}
	return r.dispatch(ctx)
}

// dispatch is the act between the steps sending and sent.
func (r *run) dispatch(ctx context.Context) (bool, error) {
	if _, err := r.work.Check(ctx); err != nil {
		return false, err
	}
	m := compose(r.course.Letters, r.course.Try).message(r.letter.Route[0], r.course.Left, r.cfg.MessageBytes)
	task, err := r.cfg.Messenger.SendWork(ctx, m)
	if err != nil {
		return r.notSent(ctx, err)
	}
	r.course.Task, r.course.At, r.course.Asked = task, r.now(), 0
	r.delivery.Sent = append(r.delivery.Sent, Dispatch{At: r.course.At, By: "work", Task: task, Again: r.course.Doubt, Try: r.course.Try})
	r.delivery.markAll(Waiting, Recipient{State: Sent})
	r.delivery.Failure = ""
	if err := r.commit(ctx, stepSent); err != nil {
		return false, err
	}
	return r.later(ctx, r.cfg.Ask)
}

// notSent decides about a send that failed. An ambiguous one leaves the step as
// it is; after a plain refusal nothing is in doubt.
func (r *run) notSent(ctx context.Context, cause error) (bool, error) {
	if dingtalk.Ambiguous(cause) || ctx.Err() != nil {
		return false, cause
	}
	if len(r.letter.Route) > 1 && (r.impatient() || !passing(cause, r.cfg.Patience)) {
		r.delivery.markAll(Waiting, Recipient{State: Failed, Why: identity.KindOf(cause).String()})
		return r.nextWay(ctx)
	}
	if !r.course.Doubt {
		if err := r.commit(ctx, stepGathered); err != nil {
			return false, err
		}
	}
	if identity.KindOf(cause) == identity.Invalid {
		return false, jobs.Permanent(cause)
	}
	return false, cause
}

// impatient reports whether the letter has waited long enough for this way.
func (r *run) impatient() bool {
	since := r.letter.Created
	return r.now().Sub(since) > r.cfg.Patience
}

// passing reports whether a failure goes by itself within the patience.
func passing(cause error, patience time.Duration) bool {
	switch identity.KindOf(cause) {
	case identity.Unavailable, identity.Upstream, identity.Throttled:
		wait, told := dingtalk.RetryAfter(cause)
		return !told || wait <= patience
	}
	return false
}

// askAfter is how long to wait for the nth question about a result.
func (r *run) askAfter(n int) time.Duration {
	wait := r.cfg.Ask
	for range n {
		wait *= 4
	}
	return min(wait, 4*time.Hour)
}

// ask looks what became of the send.
func (r *run) ask(ctx context.Context) (bool, error) {
	result, err := r.cfg.Messenger.SendResult(ctx, r.course.Task)
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	open := len(r.letter.Route[0].Departments) == 0
	var again []string
	if err == nil {
		again, open = r.judge(result)
		r.told(result)
	}
	if r.course.Asked++; (err != nil || open) && r.course.Asked < mostAsked && r.now().Sub(r.course.At) < dingtalk.ResultLife {
		if err := r.commit(ctx, stepSent); err != nil {
			return false, err
		}
		return r.later(ctx, r.askAfter(r.course.Asked))
	}
	if len(again) > 0 {
		return r.otherWords(ctx, again, result)
	}
	for _, one := range r.delivery.Recipients {
		if one.State == Dropped {
			return r.nextWay(ctx)
		}
	}
	return r.finish(ctx)
}

// judge enters a result into the delivery. It gives who is to be sent other
// words, and whether somebody's fate is still open.
func (r *run) judge(result dingtalk.SendResult) (again []string, open bool) {
	for _, userid := range r.course.Left {
		who := string(WayPerson) + ":" + userid
		_, got := result.Got[userid]
		code, dropped := result.Dropped[userid]
		switch {
		case got || dropped && code == dingtalk.DropSame && r.course.Doubt: // the first one came
			one := Recipient{State: Delivered}
			if read, told := result.Got[userid]; told {
				one.Read = map[bool]Read{true: Opened, false: Unopened}[read]
			}
			r.delivery.mark(who, one)
		case dropped && r.course.Try < mostTries && (code == dingtalk.DropSame || code.Passing()):
			again = append(again, userid)
		case dropped:
			r.delivery.mark(who, Recipient{State: Dropped, Why: code.String(), Code: int64(code)})
		default:
			open = true
		}
	}
	if len(r.letter.Route[0].Departments) > 0 {
		r.judgeDepartments(result)
	}
	return again, open
}

// told keeps DingTalk's own result beside the message that it is about.
func (r *run) told(result dingtalk.SendResult) {
	if len(r.delivery.Sent) == 0 {
		return
	}
	sent := &r.delivery.Sent[len(r.delivery.Sent)-1]
	sent.Asked, sent.Got, sent.Read, sent.Drops = r.now(), len(result.Got), 0, nil
	for _, read := range result.Got {
		if read {
			sent.Read++
		}
	}
	for _, userid := range slices.Sorted(maps.Keys(result.Dropped)) {
		code := result.Dropped[userid]
		sent.Drops = append(sent.Drops, Drop{Who: string(WayPerson) + ":" + userid, Code: int64(code), Why: code.String()})
	}
}

// judgeDepartments enters what a result says of departments: how many got it.
func (r *run) judgeDepartments(result dingtalk.SendResult) {
	missing := map[int64]bool{}
	for _, id := range result.InvalidDepartments {
		missing[id] = true
	}
	for _, id := range r.letter.Route[0].Departments {
		who := fmt.Sprintf("%s:%d", WayDepartment, id)
		switch {
		case missing[id]:
			r.delivery.mark(who, Recipient{State: Dropped, Why: "no such department", Code: int64(dingtalk.DropInvalid)})
		case len(result.Dropped) > 0:
			r.delivery.mark(who, Recipient{State: Sent, Why: fmt.Sprintf("%d got it, %d were given nothing", len(result.Got), len(result.Dropped))})
		case len(result.Got) > 0:
			r.delivery.mark(who, Recipient{State: Delivered})
		}
	}
}

// otherWords sends to those who were given nothing because of what it said or when.
func (r *run) otherWords(ctx context.Context, again []string, result dingtalk.SendResult) (bool, error) {
	wait := time.Duration(0)
	for _, userid := range again {
		code := result.Dropped[userid]
		r.delivery.mark(string(WayPerson)+":"+userid, Recipient{State: Waiting, Why: code.String(), Code: int64(code)})
		if code.Passing() {
			wait = pauseMinute
		}
	}
	r.course.Left, r.course.Doubt, r.course.Task = again, false, 0
	r.course.Try++
	if err := r.commit(ctx, stepGathered); err != nil {
		return false, err
	}
	if wait == 0 {
		return false, nil
	}
	return r.later(ctx, wait)
}

// nextWay goes on to the next fallback, or ends the letter where there is none.
func (r *run) nextWay(ctx context.Context) (bool, error) {
	if r.course.Hop+1 >= len(r.letter.Route) {
		return r.finish(ctx)
	}
	r.course.Hop++
	return false, r.commit(ctx, stepDetour)
}

// detour tells people by a robot or by mail. Both may be repeated.
func (r *run) detour(ctx context.Context) (bool, error) {
	if _, err := r.work.Check(ctx); err != nil {
		return false, err
	}
	h := r.letter.Route[r.course.Hop]
	if err := r.speak(ctx, h); err != nil {
		if also := r.partly(ctx, h, err); also != nil {
			return false, also
		}
		last := r.course.Hop+1 >= len(r.letter.Route)
		switch {
		case ctx.Err() != nil:
			return false, err
		case !last && (r.impatient() || !passing(err, r.cfg.Patience)):
			r.delivery.markAll(Waiting, Recipient{State: Failed, Why: jobs.FailureOf(err, r.now()).Words})
			return r.nextWay(ctx)
		case identity.KindOf(err) == identity.Invalid:
			return false, jobs.Permanent(err)
		}
		return false, err
	}
	r.delivery.Sent = append(r.delivery.Sent, Dispatch{At: r.now(), By: h.String(), Try: r.course.Try})
	if r.course.Hop == 0 {
		r.delivery.markAll(Waiting, Recipient{State: Delivered})
		r.delivery.markAll(Failed, Recipient{State: Delivered}) // a person had it tried again
	}
	for _, state := range []State{Dropped, Failed, Unclear} {
		r.delivery.markAll(state, Recipient{State: Detoured, By: h.String()})
	}
	return r.finish(ctx)
}

// errNoWay is a robot or a mail server that the configuration no longer has.
var errNoWay = errors.New("notice: the configuration has no such way")

func (r *run) speak(ctx context.Context, h hop) error {
	w := compose(r.course.Letters, r.course.Try)
	id := fmt.Sprintf("%s-%d", r.letter.ID, r.course.Hop)
	switch h.Way {
	case WayRobot:
		robot := r.cfg.Robots[h.Who[0]]
		if robot == nil {
			return identity.Fail(identity.Misconfigured, identity.CodeDingTalkSetup, "%w: robot %s", errNoWay, h.Who[0])
		}
		return robot.Send(ctx, dingtalk.RobotMessage{ID: id, Title: w.title, Text: w.text, Buttons: w.buttons})
	case WayMail:
		if r.cfg.Mailer == nil {
			return identity.Fail(identity.Misconfigured, "", "%w: mail", errNoWay)
		}
		only := h.Who
		if r.course.Hop == 0 {
			only = r.course.Left
		}
		return r.cfg.Mailer.Send(ctx, w.mail(id, h.Who, only, r.letter.Created))
	}
	return identity.Fail(identity.Internal, identity.CodeInternal, "notice: %q is no detour", h.Way)
}
