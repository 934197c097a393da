package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// The acts of people, as the audit log names them.
const (
	ActionReplay audit.Action = "queue.replay"
	ActionEdit   audit.Action = "queue.edit"
	ActionGiveUp audit.Action = "queue.give-up"
	ActionPause  audit.Action = "queue.pause"
	ActionResume audit.Action = "queue.resume"
)

// Actor is who acts, for the audit log and the item's history. Whether they may
// is for the caller to have decided.
type Actor struct {
	Name      string // audit.Person(subject), "cli:USER" or audit.System
	Source    string // client address
	RequestID string
}

// Replay makes a dead or given-up item ready now, its tries unused, to go on
// after its last step. On an item that is waiting for its next try it ends the
// wait. Repeating it does nothing more: an item that is due already, or that a
// worker has, is given back as it is. A done item is refused with ErrState.
func (q *Queue) Replay(ctx context.Context, by Actor, id ID) (Item, error) {
	return q.act(ctx, by, ActionReplay, id, func(it *Item, now time.Time) error {
		switch {
		case it.State == Done:
			return refuse(identity.Conflict, "%s is done: %w", it.ID, ErrState)
		case it.State == Leased || it.State == Ready && !it.Due.After(now):
			return errNothing
		}
		it.Tries, it.Waits, it.Losses, it.Failure, it.Note = 0, 0, 0, nil, ""
		it.Due = now
		it.move(Ready, now, now)
		return nil
	})
}

// Edit gives an item of exactly version another payload (JSON) and forgets its
// steps, which were made of the old one. A ready, dead or given-up item only;
// ErrMoved when it is at another version.
func (q *Queue) Edit(ctx context.Context, by Actor, id ID, version store.Version, payload jsontext.Value) (Item, error) {
	if err := checkPayload(payload); err != nil {
		return Item{}, err
	}
	return q.act(ctx, by, ActionEdit, id, func(it *Item, now time.Time) error {
		switch {
		case it.Version != version:
			return refuse(identity.Conflict, "%s: %w", it.ID, ErrMoved)
		case it.State == Done || it.State == Leased:
			return refuse(identity.Conflict, "%s is %s: %w", it.ID, it.State, ErrState)
		}
		it.Payload, it.Step, it.Updated = payload, Step{}, now
		return nil
	})
}

// GiveUp ends a dead item, or one that still waits, with a note (required). Its
// key stays known as that of a done one.
func (q *Queue) GiveUp(ctx context.Context, by Actor, id ID, note string) (Item, error) {
	if note == "" || len(note) > 1024 {
		return Item{}, refuse(identity.Invalid, "a note of 1 to 1,024 bytes says why")
	}
	return q.act(ctx, by, ActionGiveUp, id, func(it *Item, now time.Time) error {
		switch it.State {
		case GivenUp:
			return errNothing
		case Done, Leased:
			return refuse(identity.Conflict, "%s is %s: %w", it.ID, it.State, ErrState)
		}
		it.Note = note
		it.move(GivenUp, now, now)
		return nil
	})
}

// PauseKind keeps every replica from working a kind until a time, also one
// shorter than the pause that is there.
func (q *Queue) PauseKind(ctx context.Context, by Actor, pause Pause) error {
	if err := checkKind(pause.Kind); err != nil {
		return err
	}
	pause.Until, pause.By = trim(pause.Until), by.Name
	if !pause.Until.After(q.now()) {
		return refuse(identity.Invalid, "a pause until %s is over", pause.Until.Format(time.RFC3339))
	}
	detail := map[string]string{"until": pause.Until.Format(time.RFC3339), "why": pause.Why}
	return q.setPauseRecorded(ctx, by, ActionPause, pause, detail)
}

// ResumeKind ends a pause; without one it does nothing.
func (q *Queue) ResumeKind(ctx context.Context, by Actor, kind string) error {
	pause, err := q.Paused(ctx, kind)
	if err != nil || pause.Kind == "" {
		return err
	}
	return q.setPauseRecorded(ctx, by, ActionResume, Pause{Kind: kind}, nil)
}

// setPauseRecorded records the act, then writes or, without an end, removes the pause.
func (q *Queue) setPauseRecorded(ctx context.Context, by Actor, action audit.Action, pause Pause, detail map[string]string) error {
	e := by.event(action, pause.Kind)
	e.Detail = detail
	if err := q.record(ctx, e); err != nil {
		return err
	}
	for range changeTries {
		before, version, err := q.pause(ctx, pause.Kind)
		switch {
		case err != nil:
			return err
		case pause.Until.IsZero():
			err = q.cfg.Store.Commit(ctx, store.Delete(pauseKey(pause.Kind)))
		default:
			pause.Unknown = before.Unknown
			err = q.setPause(ctx, pause, version)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return storeError(err, "pause %s", pause.Kind)
		}
	}
	return refuse(identity.Conflict, "the pause of %s changes too fast", pause.Kind)
}

// act does what a person wants with an item: judged, recorded, then written. An
// edit that answers errNothing has nothing to do and is not recorded.
func (q *Queue) act(ctx context.Context, by Actor, action audit.Action, id ID, edit func(*Item, time.Time) error) (Item, error) {
	if err := id.check(); err != nil {
		return Item{}, err
	}
	before, err := q.load(ctx, id)
	if err != nil {
		return Item{}, err
	}
	after := before.clone()
	if err := edit(&after, q.now()); err != nil {
		if errors.Is(err, errNothing) {
			return before, nil
		}
		return before, err
	}
	e := by.event(action, id.String())
	e.Before, e.After = before.summary(), after.summary()
	if changed := changedMembers(before.Payload, after.Payload); changed != "" {
		e.Detail = map[string]string{"changed": changed}
	}
	if err := q.record(ctx, e); err != nil {
		return before, err
	}
	done, err := q.change(ctx, id, func(it *Item) error {
		now := q.now()
		if err := edit(it, now); err != nil {
			return err
		}
		it.remember(Attempt{Began: now, Ended: now, By: by.Name, Result: resultOf(action), Words: it.Note})
		return nil
	})
	switch {
	case errors.Is(err, errNothing):
		return done, nil
	case err != nil:
		e.Outcome, e.Reason = audit.Failed, identity.KindOf(err).String()
		_ = q.cfg.Recorder.Append(context.WithoutCancel(ctx), e)
		return done, err
	}
	return q.load(ctx, id)
}

func (q *Queue) record(ctx context.Context, e audit.Event) error {
	if err := q.cfg.Recorder.Append(ctx, e); err != nil {
		return identity.Fail(identity.Unavailable, identity.CodeAuditDown, "jobs: record %s: %w", e.Action, err)
	}
	return nil
}

func (a Actor) event(action audit.Action, target string) audit.Event {
	return audit.Event{
		Action: action, Outcome: audit.OK, Actor: a.Name, Source: a.Source,
		RequestID: a.RequestID, Target: target,
	}
}

// summary is the item in an audit record: what was done, never what stands in
// the payload. A notice holds the words that somebody is told, an approval what
// people wrote; the log is read by others and kept for longer than either. The
// digest tells whether two payloads are the same one.
func (it *Item) summary() string {
	sum := sha256.Sum256(it.Payload)
	return fmt.Sprintf("state=%s tries=%d step=%s payload=%d bytes, sha256 %x", it.State, it.Tries, it.Step.Name, len(it.Payload), sum[:8])
}

// mostChanged bounds the names of an edit that its record tells.
const mostChanged = 20

// changedMembers names the members of the payload that an edit changed, without
// their values. A payload that is no object is named as a whole.
func changedMembers(before, after jsontext.Value) string {
	if bytes.Equal(before, after) {
		return ""
	}
	var was, is map[string]jsontext.Value
	if json.Unmarshal(before, &was) != nil || json.Unmarshal(after, &is) != nil {
		return "payload"
	}
	var names []string
	for name, value := range is {
		if had, there := was[name]; !there || !sameJSON(had, value) {
			names = append(names, name)
		}
	}
	for name := range was {
		if _, there := is[name]; !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if more := len(names) - mostChanged; more > 0 {
		names = append(names[:mostChanged], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, " ")
}

// sameJSON reports values that differ in nothing but how they are written.
func sameJSON(a, b jsontext.Value) bool {
	a, b = a.Clone(), b.Clone()
	return a.Canonicalize() == nil && b.Canonicalize() == nil && bytes.Equal(a, b)
}

// resultOf is how an act is named in the item's history.
func resultOf(action audit.Action) Result {
	switch action {
	case ActionEdit:
		return ResultEdited
	case ActionGiveUp:
		return ResultGivenUp
	}
	return ResultReplayed
}
