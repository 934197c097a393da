package notice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
)

// The steps of a letter; doc.go draws the ways between them.
const (
	stepGathered = "gathered" // what leaves as one is fixed; nothing has been sent in doubt
	stepSending  = "sending"  // a send is under way, or had no answer
	stepSent     = "sent"     // DingTalk has given a task; what became of it is asked
	stepDetour   = "detour"   // by a robot or mail, which may be repeated
)

// mostMerged bounds the letters that leave as one: three writes each.
const mostMerged = 20

// course is how far a letter has come: the data of each of its steps.
type course struct {
	Letters []letter  `json:"letters"` // what leaves as one, the item's own first
	Hop     int       `json:"hop,omitzero"`
	Left    []string  `json:"left,omitempty"` // userids that are to be told by work notification
	Try     int       `json:"try,omitzero"`   // other words, so often
	Day     string    `json:"day,omitzero"`   // Beijing day of the last send
	Doubt   bool      `json:"doubt,omitzero"` // these very bytes may have been sent before
	Task    int64     `json:"task,omitzero"`
	At      time.Time `json:"at,omitzero"` // of the send that gave Task
	Asked   int       `json:"asked,omitzero"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// run is one attempt at a letter.
type run struct {
	*Outbox
	work     *jobs.Work
	letter   letter
	step     string
	course   course
	delivery Delivery
}

// Handle implements jobs.Handler: one attempt at a letter, from its last step on.
func (o *Outbox) Handle(ctx context.Context, w *jobs.Work) error {
	it := w.Item()
	r := &run{Outbox: o, work: w, step: it.Step.Name}
	if err := json.Unmarshal(it.Payload, &r.letter); err != nil || len(r.letter.Route) == 0 {
		return jobs.Permanent(jobs.Explain(fmt.Errorf("notice: %s is no letter", it.ID), "this is no notice"))
	}
	if len(it.Step.Data) > 0 {
		if err := json.Unmarshal(it.Step.Data, &r.course); err != nil {
			return jobs.Permanent(fmt.Errorf("notice: %s: step %s cannot be read", it.ID, r.step))
		}
	}
	var err error
	if r.delivery, err = o.delivery(ctx, &r.letter); err != nil {
		return err
	}
	for over := false; !over; {
		if over, err = r.next(ctx); err != nil {
			r.failed(ctx, err)
			return err
		}
	}
	return nil
}

// next makes one step; true when this attempt is over.
func (r *run) next(ctx context.Context) (bool, error) {
	switch r.step {
	case "":
		return r.gather(ctx)
	case stepGathered:
		if r.letter.Route[0].Way != WayPerson {
			return false, r.commit(ctx, stepDetour)
		}
		return r.send(ctx)
	case stepSending:
		return r.resend(ctx)
	case stepSent:
		return r.ask(ctx)
	case stepDetour:
		return r.detour(ctx)
	}
	return false, jobs.Permanent(fmt.Errorf("notice: %q is no step", r.step))
}

// commit writes the step with the delivery as it is now known.
func (r *run) commit(ctx context.Context, step string, with ...store.Op) error {
	data, err := json.Marshal(&r.course)
	if err != nil {
		return identity.Fail(identity.Internal, identity.CodeInternal, "notice: encode a step: %w", err)
	}
	r.delivery.settle()
	record, err := r.delivery.op(r.now())
	if err != nil {
		return err
	}
	if err := r.work.Step(ctx, step, data, append(with, record)...); err != nil {
		return err
	}
	r.step = step
	return nil
}

// later hands the letter back until a time.
func (r *run) later(ctx context.Context, after time.Duration) (bool, error) {
	return true, r.work.Release(ctx, r.now().Add(after))
}

// finish ends the letter with the truth about it.
func (r *run) finish(ctx context.Context) (bool, error) {
	r.delivery.Failure = ""
	r.delivery.settle()
	record, err := r.delivery.op(r.now())
	if err != nil {
		return false, err
	}
	r.cfg.Logger.InfoContext(ctx, "notice: over", "topic", r.letter.Topic, "letter", r.letter.ID, "state", string(r.delivery.State))
	return true, r.work.Complete(ctx, record)
}

// failed keeps the words of a failure where people look for deliveries.
func (r *run) failed(ctx context.Context, cause error) {
	words := jobs.FailureOf(cause, r.now()).Words
	if errors.Is(cause, jobs.ErrLost) || r.step == "" || r.delivery.Failure == words || ctx.Err() != nil {
		return
	}
	r.delivery.Failure = words
	if err := r.commit(ctx, r.step); err != nil {
		r.cfg.Logger.WarnContext(ctx, "notice: the failure is not written", "letter", r.letter.ID, "err", err)
	}
}

// gather fixes what leaves as one. All letters that wait for the same people
// are taken along in one Commit, which holds only if nobody else took them.
func (r *run) gather(ctx context.Context) (bool, error) {
	into, err := r.mergedInto(ctx)
	if err != nil {
		return false, err
	}
	if into != "" {
		return true, r.work.Complete(ctx)
	}
	r.course = course{Letters: []letter{r.letter}, Left: r.letter.Route[0].Who}
	var with []store.Op
	if r.letter.gathers() {
		if with, err = r.takeAlong(ctx); err != nil {
			return false, err
		}
	}
	err = r.commit(ctx, stepGathered, with...)
	if errors.Is(err, store.ErrConflict) { // another letter was quicker: look again
		return r.later(ctx, 0)
	}
	return false, err
}

func (r *run) mergedInto(ctx context.Context) (string, error) {
	entry, err := r.cfg.Store.Get(ctx, prefixMerged+r.letter.ID)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", storeError(err)
	}
	return string(entry.Value), nil
}

// takeAlong gives the ops that take waiting letters along, ours among them.
func (r *run) takeAlong(ctx context.Context) ([]store.Op, error) {
	waiting, err := r.cfg.Store.Scan(ctx, prefixWait+r.letter.people()+"/", "", 3*mostMerged)
	if err != nil {
		return nil, storeError(err)
	}
	var ops []store.Op
	for _, entry := range waiting {
		var other letter
		if err := json.Unmarshal(entry.Value, &other); err != nil {
			continue // its own item leads it alone
		}
		switch {
		case other.ID == r.letter.ID:
			ops = append(ops, store.DeleteAt(entry.Key, entry.Version))
			continue
		case len(r.course.Letters) == mostMerged || !fits(append(r.course.Letters[:len(r.course.Letters):len(r.course.Letters)], other), r.letter.Route[0], r.cfg.MessageBytes):
			continue
		}
		record, open, err := r.mergedRecord(ctx, &other)
		if err != nil {
			return nil, err
		}
		if !open { // told already, by a replica of a release that did not gather it
			ops = append(ops, store.DeleteAt(entry.Key, entry.Version))
			continue
		}
		r.course.Letters = append(r.course.Letters, other)
		ops = append(ops, store.DeleteAt(entry.Key, entry.Version), store.Create(prefixMerged+other.ID, []byte(r.letter.ID)).For(keepLog), record)
	}
	r.delivery.With = len(r.course.Letters) - 1
	return ops, nil
}

// mergedRecord writes that other leaves as part of r, if it is still to leave.
func (r *run) mergedRecord(ctx context.Context, other *letter) (record store.Op, open bool, err error) {
	d, err := r.Outbox.delivery(ctx, other)
	if err != nil || d.State != Waiting {
		return store.Op{}, false, err
	}
	d.State, d.Into = Merged, r.letter.ID
	record, err = d.op(r.now())
	return record, true, err
}
