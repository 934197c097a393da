package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/kingdee"
	"kdgate/store"
)

// The kinds of work on the list.
const (
	KindPerson = "directory.person" // read a person again and bring their record
	KindLeave  = "directory.leave"  // close every door behind a leaver
)

// errand is the payload of both kinds.
type errand struct {
	Corp   string    `json:"corp"`
	UserID string    `json:"userid"`
	Why    string    `json:"why"`             // an event's type, or the run that found it
	At     time.Time `json:"at,omitzero"`     // when it happened, as far as told
	Number string    `json:"number,omitzero"` // of the leaver, when Kingdee told first
}

// key names the item of a person.
func (e errand) key() string { return printOf(e.Corp, e.UserID) }

func (k *Keeper) add(ctx context.Context, kind string, e errand) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return wrap(err)
	}
	draft := jobs.Draft{ID: jobs.ID{Kind: kind, Key: e.key()}, Payload: payload, Mode: jobs.Renew}
	if _, _, err := k.queue.Add(ctx, draft); err != nil {
		return fmt.Errorf("directory: put %s on the work list: %w", kind, err)
	}
	return nil
}

func (k *Keeper) addLeaver(ctx context.Context, userid, why string) error {
	return k.add(ctx, KindLeave, errand{Corp: k.cfg.Corp, UserID: userid, Why: why, At: k.cfg.Now()})
}

// Leave is the Handler of KindLeave: freeze, end sessions, sign out of Kingdee,
// forbid the login user, forbid the staff record, prove it. Our own doors come
// first and are closed again on every try; what is done at Kingdee is done as
// often as it takes, because each act is without effect the second time.
type Leave struct {
	Keepers  map[string]*Keeper  // by corp
	Doors    Doors               // ours
	Accounts map[string]Accounts // by data centre
	Wave     *Wave               // the breaker of events; nil: none
	Spared   []string            // login users that are signed out and never forbidden, such as Administrator
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
	proof := cut{errand: e, began: l.Now()}
	if e.Number == "" { // DingTalk's word counts, and it is asked once more: an event may be late (T42)
		_, err := keeper.cfg.Source.Person(ctx, e.UserID)
		if err == nil {
			return keeper.comeBack(ctx, e)
		}
		if identity.KindOf(err) != identity.NotFound {
			return fmt.Errorf("directory: whether %s has left: %w", e.UserID, err)
		}
	}
	if err := l.close(ctx, &proof); err != nil {
		return errors.Join(err, l.prove(ctx, &proof, err))
	}
	if err := l.Wave.admit(ctx, keeper, e.Corp); err != nil {
		return errors.Join(err, l.prove(ctx, &proof, err))
	}
	if err := l.forbid(ctx, keeper, &proof); err != nil {
		return errors.Join(err, l.prove(ctx, &proof, err))
	}
	if err := keeper.markLeft(ctx, e.UserID, l.Now()); err != nil {
		return err
	}
	return l.prove(ctx, &proof, nil)
}

// comeBack is for somebody whom DingTalk has after all.
func (k *Keeper) comeBack(ctx context.Context, e errand) error {
	return k.add(ctx, KindPerson, e)
}

// cut is what was done to one leaver, with its times: the proof.
type cut struct {
	errand
	began    time.Time
	frozen   time.Time
	sessions int
	ended    time.Time
	users    map[string][]string // login users by data centre
	kingdee  time.Time
}

// close shuts our own doors.
func (l *Leave) close(ctx context.Context, proof *cut) error {
	who := identity.Subject{Corp: proof.Corp, UserID: proof.UserID}
	var err error
	if proof.users, err = l.Doors.Freeze(ctx, who, "left: "+proof.Why); err != nil {
		return fmt.Errorf("directory: freeze the mapping: %w", err)
	}
	proof.frozen = l.Now()
	if proof.sessions, err = l.Doors.EndSessions(ctx, who); err != nil {
		return fmt.Errorf("directory: end the sessions: %w", err)
	}
	proof.ended = l.Now()
	return nil
}

// forbid closes Kingdee's doors, in every data centre that a mapping led to and
// in the one that is kept.
func (l *Leave) forbid(ctx context.Context, keeper *Keeper, proof *cut) error {
	known, _, err := keeper.Known(ctx, proof.UserID)
	if err != nil {
		return err
	}
	number, err := keeper.leaverNumber(ctx, proof.errand, known)
	if err != nil {
		return err
	}
	centres := slices.Sorted(maps.Keys(proof.users))
	if !slices.Contains(centres, keeper.cfg.DataCentre) {
		centres = append(centres, keeper.cfg.DataCentre)
	}
	for _, centre := range centres {
		if err := l.forbidIn(ctx, centre, number, proof.users[centre]); err != nil {
			return fmt.Errorf("directory: data centre %s: %w", centre, err)
		}
	}
	proof.kingdee = l.Now()
	return nil
}

func (l *Leave) forbidIn(ctx context.Context, centre, number string, names []string) error {
	accounts := l.Accounts[centre]
	if accounts == nil {
		return nil // a row of a data centre that is no longer configured
	}
	if number == "" {
		return signOut(ctx, accounts, names)
	}
	staff, err := accounts.StaffByNumber(ctx, number)
	if err != nil {
		return err
	}
	for _, record := range staff {
		users, err := accounts.UsersOfStaff(ctx, record)
		if err != nil {
			return err
		}
		for _, user := range users {
			names = append(names, user.Name)
			if !user.Forbidden && !slices.Contains(l.Spared, user.Name) {
				if err := done(accounts.ForbidUser(ctx, user.ID)); err != nil {
					return err
				}
			}
		}
		if !record.Forbidden {
			if err := done(accounts.ForbidStaff(ctx, record.ID)); err != nil {
				return err
			}
		}
	}
	return signOut(ctx, accounts, names)
}

// signOut ends what is open in Kingdee; after the user is forbidden, so that
// nobody comes back in between.
func signOut(ctx context.Context, accounts Accounts, names []string) error {
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := accounts.SignOut(ctx, name); err != nil && !errors.Is(err, kingdee.ErrNoLogoutNotice) {
			return err
		}
	}
	return nil
}

// done is the error of an operation on one record. A refusal of what is so
// already is none.
func done(results []kingdee.RowResult, err error) error {
	for _, result := range results {
		if result.Err != nil && err == nil {
			err = result.Err
		}
	}
	return err
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

// prove writes the leaver's record: who, what was closed, and when (F43, F54).
func (l *Leave) prove(ctx context.Context, proof *cut, cause error) error {
	event := audit.Event{
		Action: ActionLeave, Outcome: audit.OK, Actor: audit.System, Reason: proof.Why,
		Target: audit.Person(identity.Subject{Corp: proof.Corp, UserID: proof.UserID}),
		Detail: map[string]string{"sessions": fmt.Sprint(proof.sessions)},
	}
	for name, at := range map[string]time.Time{
		"happened": proof.At, "began": proof.began, "mapping_frozen": proof.frozen, "sessions_ended": proof.ended, "kingdee_forbidden": proof.kingdee,
	} {
		if !at.IsZero() {
			event.Detail[name] = at.UTC().Format("2006-01-02T15:04:05.000Z")
		}
	}
	for centre, names := range proof.users {
		event.Detail["users."+centre] = fmt.Sprint(names)
	}
	if cause != nil {
		event.Outcome = audit.Failed
	}
	return l.Recorder.Append(ctx, event)
}

// ActionLeave is a leaver's cut-off.
const ActionLeave audit.Action = "directory.leave"
