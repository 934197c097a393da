package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
)

// The kinds of work on the list.
const (
	KindPerson = "directory.person" // read a person again and bring their record
	KindLeave  = "directory.leave"  // close our doors behind a leaver
	KindForbid = "directory.forbid" // close Kingdee's
)

// errand is the payload of the first two kinds.
type errand struct {
	Corp   string    `json:"corp"`
	UserID string    `json:"userid"`
	Why    string    `json:"why"`             // an event's type, or the run that found it
	At     time.Time `json:"at,omitzero"`     // when it happened, as far as told
	Number string    `json:"number,omitzero"` // of the leaver, when Kingdee told first
	Judged bool      `json:"judged,omitzero"` // a run's breaker admitted it
}

// key names the item of a person.
func (e errand) key() string { return printOf(e.Corp, e.UserID) }

func (k *Keeper) add(ctx context.Context, kind string, e errand) error {
	return k.put(ctx, kind, e.key(), e)
}

// put puts work on the list, over what waits there for the same person.
func (k *Keeper) put(ctx context.Context, kind, key string, what any) error {
	draft, err := workOf(kind, key, what)
	if err != nil {
		return err
	}
	return k.list(ctx, draft)
}

// workOf is work as it is put on the list.
func workOf(kind, key string, what any) (jobs.Draft, error) {
	payload, err := json.Marshal(what)
	return jobs.Draft{ID: jobs.ID{Kind: kind, Key: key}, Payload: payload, Mode: jobs.Renew}, wrap(err)
}

func (k *Keeper) list(ctx context.Context, draft jobs.Draft) error {
	if _, _, err := k.queue.Add(ctx, draft); err != nil {
		return fmt.Errorf("directory: put %s on the work list: %w", draft.Kind, err)
	}
	return nil
}

func (k *Keeper) addLeaver(ctx context.Context, userid, why string, judged bool) error {
	return k.add(ctx, KindLeave, errand{Corp: k.cfg.Corp, UserID: userid, Why: why, At: k.cfg.Now(), Judged: judged})
}

// Leave is the Handler of KindLeave: freeze, end sessions, and put the rest on
// the list as KindForbid. Our own doors come first, wait for nobody, and are
// closed again on every try.
type Leave struct {
	Keepers  map[string]*Keeper // by corp
	Doors    Doors              // ours
	Recorder Recorder
	Now      func() time.Time
}

// Handle implements jobs.Handler.
func (l *Leave) Handle(ctx context.Context, work *jobs.Work) error {
	var e errand
	if err := json.Unmarshal(work.Item().Payload, &e); err != nil {
		return jobs.Permanent(fmt.Errorf("directory: a leaver's item: %w", err))
	}
	keeper := l.Keepers[e.Corp]
	if keeper == nil {
		return jobs.Permanent(fmt.Errorf("directory: organisation %q is not configured", e.Corp))
	}
	proof := cut{errand: e, Began: l.Now()}
	if here, err := keeper.stillHere(ctx, e); here || err != nil {
		return err
	}
	if err := l.close(ctx, &proof); err != nil {
		return errors.Join(err, prove(ctx, l.Recorder, &proof, err))
	}
	if err := keeper.markLeft(ctx, e.UserID, l.Now()); err != nil {
		return err
	}
	return keeper.put(ctx, KindForbid, e.key(), proof)
}

// stillHere asks DingTalk once more, because an event may be late (T42), and
// sends whoever is there after all the other way. Of somebody whom Kingdee calls
// a leaver DingTalk is not asked.
func (k *Keeper) stillHere(ctx context.Context, e errand) (bool, error) {
	if e.Number != "" {
		return false, nil
	}
	_, err := k.cfg.Source.Person(ctx, e.UserID)
	switch {
	case err == nil:
		return true, k.comeBack(ctx, e)
	case identity.KindOf(err) == identity.NotFound:
		return false, nil
	}
	return false, fmt.Errorf("directory: whether %s has left: %w", e.UserID, err)
}

// comeBack is for somebody whom DingTalk has after all.
func (k *Keeper) comeBack(ctx context.Context, e errand) error {
	return k.add(ctx, KindPerson, e)
}

// cut is what was done to one leaver, with its times: the proof, and the payload
// of KindForbid.
type cut struct {
	errand
	Began    time.Time           `json:"began"`
	Frozen   time.Time           `json:"frozen,omitzero"`
	Sessions int                 `json:"sessions,omitzero"`
	Ended    time.Time           `json:"ended,omitzero"`
	Users    map[string][]string `json:"users,omitempty"` // login users by data centre
	kingdee  time.Time
}

// close shuts our own doors.
func (l *Leave) close(ctx context.Context, proof *cut) error {
	who := identity.Subject{Corp: proof.Corp, UserID: proof.UserID}
	var err error
	if proof.Users, err = l.Doors.Freeze(ctx, who, "left: "+proof.Why); err != nil {
		return fmt.Errorf("directory: freeze the mapping: %w", err)
	}
	proof.Frozen = l.Now()
	if proof.Sessions, err = l.Doors.EndSessions(ctx, who); err != nil {
		return fmt.Errorf("directory: end the sessions: %w", err)
	}
	proof.Ended = l.Now()
	return nil
}

// markLeft keeps that somebody has left, so that a return waits for a person.
func (k *Keeper) markLeft(ctx context.Context, userid string, at time.Time) error {
	return k.change(ctx, userid, func(known *Known) { known.State, known.Since = Left, at })
}

// changeTries bounds how often a change of one person is tried over others.
const changeTries = 10

// change writes what is known of a person over whatever another wrote meanwhile.
func (k *Keeper) change(ctx context.Context, userid string, edit func(*Known), with ...store.Op) error {
	var err error
	for range changeTries {
		var known Known
		if known, _, err = k.Known(ctx, userid); err != nil {
			return err
		}
		edit(&known)
		var ops []store.Op
		if ops, err = k.keep(known); err != nil {
			return err
		}
		if err = k.cfg.Store.Commit(ctx, append(ops, with...)...); !errors.Is(err, store.ErrConflict) {
			return wrap(err)
		}
	}
	return wrap(err)
}
