package notice

import (
	"context"
	"errors"
	"slices"
)

// partly enters what a mail server said of each recipient, before anything else
// is decided: who has the mail is not given it again, who was refused for good
// did not get it (F71). It does nothing after any other failure.
func (r *run) partly(ctx context.Context, h hop, err error) error {
	unserved, ok := errors.AsType[*Unserved](err)
	if !ok {
		return nil
	}
	sent := Dispatch{At: r.now(), By: h.String(), Try: r.course.Try, Asked: r.now()}
	for _, one := range unserved.Refusals {
		sent.Drops = append(sent.Drops, Drop{Who: string(WayMail) + ":" + one.To, Code: int64(one.Code), Why: one.Words})
	}
	if r.course.Hop == 0 { // a fallback is one address, which stands for everybody who is still to be told
		sent.Got = r.sort(unserved.Refusals)
	}
	r.tried(sent)
	return r.commit(ctx, r.step)
}

// sort enters each recipient's own answer and keeps those who have nothing yet;
// got is how many have the mail now.
func (r *run) sort(refusals []Refusal) (got int) {
	var left []string
	for _, who := range r.course.Left {
		one := Recipient{State: Delivered}
		if i := slices.IndexFunc(refusals, func(f Refusal) bool { return f.To == who }); i >= 0 {
			left = append(left, who)
			one = Recipient{State: Waiting, Why: refusals[i].String(), Code: int64(refusals[i].Code)}
			if !refusals[i].Passing() {
				one.State = Failed
			}
		} else {
			got++
		}
		r.delivery.mark(string(WayMail)+":"+who, one)
	}
	r.course.Left = left
	return got
}

// tried remembers a try at a mail server. One that ended as the one before it
// takes its place: a server may say "later" for a day.
func (r *run) tried(d Dispatch) {
	if last := len(r.delivery.Sent) - 1; last >= 0 {
		before := r.delivery.Sent[last]
		if before.By == d.By && d.Got == 0 && before.Got == 0 && slices.Equal(before.Drops, d.Drops) {
			r.delivery.Sent[last] = d
			return
		}
	}
	r.delivery.Sent = append(r.delivery.Sent, d)
}
