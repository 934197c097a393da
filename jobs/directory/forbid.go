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
)

// Forbid is the Handler of KindForbid: forbid the login user and the staff
// record, sign out of Kingdee, prove it. What is done at Kingdee is done as often
// as it takes, because each act is without effect the second time.
type Forbid struct {
	Keepers  map[string]*Keeper  // by corp
	Accounts map[string]Accounts // by data centre
	Wave     *Wave               // the breaker of events; nil: none
	Spared   []string            // login users that are signed out and never forbidden, such as Administrator
	Recorder Recorder
	Now      func() time.Time
}

// Handle implements jobs.Handler.
func (f *Forbid) Handle(ctx context.Context, work *jobs.Work) error {
	var proof cut
	if err := json.Unmarshal(work.Item().Payload, &proof); err != nil {
		return jobs.Permanent(fmt.Errorf("directory: a leaver's item: %w", err))
	}
	keeper := f.Keepers[proof.Corp]
	if keeper == nil {
		return jobs.Permanent(fmt.Errorf("directory: organisation %q is not configured", proof.Corp))
	}
	if here, err := keeper.stillHere(ctx, proof.errand); here || err != nil {
		return err // they may have come back while this waited
	}
	err := f.Wave.admit(ctx, keeper, proof.errand)
	if err == nil {
		err = f.forbid(ctx, keeper, &proof)
	}
	return errors.Join(err, prove(ctx, f.Recorder, &proof, err))
}

// forbid closes Kingdee's doors, in every data centre that a mapping led to and
// in the one that is kept.
func (f *Forbid) forbid(ctx context.Context, keeper *Keeper, proof *cut) error {
	known, _, err := keeper.Known(ctx, proof.UserID)
	if err != nil {
		return err
	}
	number, err := keeper.leaverNumber(ctx, proof.errand, known)
	if err != nil {
		return err
	}
	centres := slices.Sorted(maps.Keys(proof.Users))
	if !slices.Contains(centres, keeper.cfg.DataCentre) {
		centres = append(centres, keeper.cfg.DataCentre)
	}
	for _, centre := range centres {
		if err := f.forbidIn(ctx, centre, number, proof.Users[centre]); err != nil {
			return fmt.Errorf("directory: data centre %s: %w", centre, err)
		}
	}
	proof.kingdee = f.Now()
	return nil
}

func (f *Forbid) forbidIn(ctx context.Context, centre, number string, names []string) error {
	accounts := f.Accounts[centre]
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
		users, err := forbidUsers(ctx, accounts, record, f.Spared)
		if err != nil {
			return err
		}
		names = append(names, users...)
		if !record.Forbidden {
			if err := done(accounts.ForbidStaff(ctx, record.ID)); err != nil {
				return err
			}
		}
	}
	return signOut(ctx, accounts, names)
}

// forbidUsers forbids the login users of a staff record and names them. Those
// that are spared are named only.
func forbidUsers(ctx context.Context, accounts Accounts, record kingdee.Staff, spared []string) (names []string, err error) {
	users, err := accounts.UsersOfStaff(ctx, record)
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		names = append(names, user.Name)
		if !user.Forbidden && !slices.Contains(spared, user.Name) {
			if err := done(accounts.ForbidUser(ctx, user.ID)); err != nil {
				return names, err
			}
		}
	}
	return names, nil
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

// prove writes the leaver's record: who, what was closed, and when (F43, F54).
func prove(ctx context.Context, log Recorder, proof *cut, cause error) error {
	event := audit.Event{
		Action: ActionLeave, Outcome: audit.OK, Actor: audit.System, Reason: proof.Why,
		Target: audit.Person(identity.Subject{Corp: proof.Corp, UserID: proof.UserID}),
		Detail: map[string]string{"sessions": fmt.Sprint(proof.Sessions)},
	}
	for name, at := range map[string]time.Time{
		"happened": proof.At, "began": proof.Began, "mapping_frozen": proof.Frozen, "sessions_ended": proof.Ended, "kingdee_forbidden": proof.kingdee,
	} {
		if !at.IsZero() {
			event.Detail[name] = at.UTC().Format("2006-01-02T15:04:05.000Z")
		}
	}
	for centre, names := range proof.Users {
		event.Detail["users."+centre] = fmt.Sprint(names)
	}
	if cause != nil {
		event.Outcome = audit.Failed
	}
	return log.Append(ctx, event)
}

// ActionLeave is a leaver's cut-off.
const ActionLeave audit.Action = "directory.leave"
