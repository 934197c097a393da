package mapping

import (
	"context"
	"errors"
	"slices"

	"kdgate/audit"
	"kdgate/identity"
)

// Actor is who changes the table. The caller has proven it, and the role.
type Actor struct {
	Name      string // as in audit.Event: audit.Person(subject), audit.System or "cli:USER"
	Admin     bool   // holds the role admin: may share, privilege, approve and reinstate
	Source    string // client address
	RequestID string
}

// Draft is a new row.
type Draft struct {
	Key         Key
	UnionID     string // empty: bound at the first sign-in
	StaffNumber string // empty: derived
	LoginUser   string // empty: found through the staff number at the first sign-in
	Owner       Owner  // empty: manual
	Shared      bool
	Privileged  bool
	Note        string
}

// Edit changes a row; a nil field stays as it is.
type Edit struct {
	Version     uint64  // the version the editor saw; another one now is identity.Conflict (T26)
	UnionID     *string // gives the row to another hire, or (empty) to whoever signs in next (T19)
	StaffNumber *string
	LoginUser   *string
	Owner       *Owner
	Shared      *bool
	Privileged  *bool
	Note        *string
}

// way is how a change comes in; each has rules of its own.
type way int

const (
	byPerson way = iota // console or command line
	byImport            // a file: may not touch privileged, locked or suspended rows
	byItself            // a sign-in that derives or follows: only auto rows and empty fields
)

// act is one change being made.
type act struct {
	by     Actor
	way    way
	run    string // import run, empty for single changes
	holder string // of the run's guard
	rewind bool   // takes back a run that never ended, so no door was ever meant to change
}

// Create writes a new row. A row there is already, a login user or staff number
// that another row holds, and a look-alike are identity.Conflict; the error
// wraps a *Refusal. A privileged login user needs an administrator and starts
// as pending.
func (t *Table) Create(ctx context.Context, by Actor, d Draft) (Entry, error) {
	return t.write(ctx, func(x *tx) (*Entry, error) {
		if err := t.checkGuard(ctx, x); err != nil {
			return nil, err
		}
		return t.create(ctx, x, act{by: by}, d)
	})
}

// Change edits a row. When the row is not at e.Version any more it is
// identity.Conflict (T26). A new identity or account takes earlier approvals
// away. A suspended row may be edited and stays suspended (T23).
func (t *Table) Change(ctx context.Context, by Actor, k Key, e Edit) (Entry, error) {
	return t.write(ctx, func(x *tx) (*Entry, error) {
		if err := t.checkGuard(ctx, x); err != nil {
			return nil, err
		}
		return t.change(ctx, x, act{by: by}, k, e)
	})
}

// Suspend takes a row out of force, whatever its version and also while an
// import runs: a leaver does not wait. Suspending twice changes nothing.
func (t *Table) Suspend(ctx context.Context, by Actor, k Key, reason string) (Entry, error) {
	return t.SuspendAt(ctx, by, k, reason, 0)
}

// SuspendAt is Suspend of the row as somebody saw it: identity.Conflict when it is
// not at that version any more (T26). Zero is whatever the version.
func (t *Table) SuspendAt(ctx context.Context, by Actor, k Key, reason string, version uint64) (Entry, error) {
	if err := checkNote(reason); err != nil {
		return Entry{}, err
	}
	return t.write(ctx, func(x *tx) (*Entry, error) {
		before, err := present(ctx, x, k)
		if err == nil && version > 0 {
			err = sameVersion(before, version)
		}
		if err != nil || before.Status == StatusSuspended && before.Run == "" {
			return before, err // one that a run suspended becomes its own: the run may be undone
		}
		return t.suspend(ctx, x, act{by: by}, before, reason)
	})
}

func (t *Table) suspend(ctx context.Context, x *tx, a act, before *Entry, reason string) (*Entry, error) {
	after := t.next(a, before, audit.ActionMappingSuspend)
	after.Status, after.Reason = StatusSuspended, reason
	return stage(ctx, x, a, before, after)
}

// Reinstate puts a suspended row back in force. It is the only way back (T23),
// needs an administrator, and asks a privileged row for its approvals again.
func (t *Table) Reinstate(ctx context.Context, by Actor, k Key, version uint64) (Entry, error) {
	return t.write(ctx, func(x *tx) (*Entry, error) {
		before, err := t.openFor(ctx, x, by, k, version)
		if err != nil {
			return nil, err
		}
		if before.Status != StatusSuspended {
			return nil, refuse(identity.Conflict, "status", ReasonNotSuspended, "")
		}
		return t.reinstate(ctx, x, act{by: by}, before)
	})
}

func (t *Table) reinstate(ctx context.Context, x *tx, a act, before *Entry) (*Entry, error) {
	after := t.next(a, before, audit.ActionMappingResume)
	after.Status, after.Approvals, after.Author = StatusActive, nil, a.by.Name
	t.settle(after)
	return stage(ctx, x, a, before, after)
}

// ActionApprove is recorded for each approval of a privileged row.
const ActionApprove audit.Action = "mapping.approve"

// Approve adds the actor's approval of the row as it stands at version. The
// author of its identity or account and the person it is for may not (T100);
// the second approval puts a pending row in force (F10).
func (t *Table) Approve(ctx context.Context, by Actor, k Key, version uint64) (Entry, error) {
	return t.write(ctx, func(x *tx) (*Entry, error) {
		before, err := t.openFor(ctx, x, by, k, version)
		if err != nil {
			return nil, err
		}
		if by.Name == before.Author || by.Name == audit.Person(k.Subject()) {
			return nil, refuse(identity.Forbidden, "approvals", ReasonOwnChange, "")
		}
		if slices.ContainsFunc(before.Approvals, func(s Stamp) bool { return s.By == by.Name }) {
			return nil, refuse(identity.Conflict, "approvals", ReasonApproved, "")
		}
		after := t.next(act{by: by}, before, ActionApprove)
		after.Approvals = append(slices.Clone(before.Approvals), after.Changed)
		t.settle(after)
		return stage(ctx, x, act{by: by}, before, after)
	})
}

// openFor is the common start of what only administrators do to a row.
func (t *Table) openFor(ctx context.Context, x *tx, by Actor, k Key, version uint64) (*Entry, error) {
	if !by.Admin {
		return nil, refuse(identity.Forbidden, "", ReasonAdminNeeded, "")
	}
	if err := t.checkGuard(ctx, x); err != nil {
		return nil, err
	}
	before, err := present(ctx, x, k)
	if err != nil {
		return nil, err
	}
	return before, sameVersion(before, version)
}

// write runs one decision about one row.
func (t *Table) write(ctx context.Context, decision func(x *tx) (*Entry, error)) (Entry, error) {
	var out Entry
	attempt := func() error {
		return t.decide(ctx, func(x *tx) error {
			e, err := decision(x)
			if err != nil {
				return err
			}
			out = *e
			return nil
		})
	}
	err := attempt()
	if errors.Is(err, errGuardExpired) {
		if err = t.Recover(ctx); err == nil {
			err = attempt()
		}
	}
	if err != nil {
		return Entry{}, err
	}
	return out, nil
}

// present reads a row that has to be there.
func present(ctx context.Context, x *tx, k Key) (*Entry, error) {
	if err := checkKey(k); err != nil {
		return nil, err
	}
	e, err := row(ctx, x, k)
	if err != nil {
		return nil, err
	}
	if e == nil || !e.holds() {
		return nil, refuse(identity.NotFound, "", ReasonAbsent, k.String())
	}
	return e, nil
}

func sameVersion(e *Entry, version uint64) error {
	if e.Version == version {
		return nil
	}
	return refuse(identity.Conflict, "version", ReasonVersion, "changed by "+e.Changed.By)
}

// next is the following version of a row, before anything is changed in it.
func (t *Table) next(a act, before *Entry, action audit.Action) *Entry {
	after := *before
	after.Version++
	after.Action, after.Run, after.Reason = action, a.run, ""
	after.Changed = Stamp{By: a.by.Name, At: t.now()}
	return &after
}

// settle works out what follows from the other fields: privilege from the login
// user, status from privilege and approvals. It never leaves suspended (T23).
func (t *Table) settle(e *Entry) {
	e.Privileged = e.Privileged || t.isPrivileged(e.LoginUser)
	switch {
	case e.Status == StatusSuspended:
	case e.Privileged && !e.Approved():
		e.Status = StatusPending
	default:
		e.Status = StatusActive
	}
}

// stage puts a changed row into the decision, with its record.
func stage(ctx context.Context, x *tx, a act, before, after *Entry) (*Entry, error) {
	if err := checkDigits(ctx, x, before, after); err != nil {
		return nil, err
	}
	if err := put(ctx, x, before, after); err != nil {
		return nil, err
	}
	if x.silent {
		return after, nil
	}
	e, err := event(after.Action, a.by, before, after)
	if err != nil {
		return nil, err
	}
	x.events = append(x.events, e)
	return after, nil
}
