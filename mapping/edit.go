package mapping

import (
	"context"

	"kdgate/audit"
	"kdgate/identity"
)

// create stages a new row.
func (t *Table) create(ctx context.Context, x *tx, a act, d Draft) (*Entry, error) {
	if err := checkKey(d.Key); err != nil {
		return nil, err
	}
	if err := t.knows(d.Key); err != nil {
		return nil, err
	}
	before, err := row(ctx, x, d.Key)
	if err != nil {
		return nil, err
	}
	if before != nil && before.holds() {
		return nil, refuse(identity.Conflict, "userid", ReasonExists, "")
	}
	after := &Entry{
		Corp: d.Key.Corp, UserID: d.Key.UserID, DataCentre: d.Key.DataCentre,
		UnionID: d.UnionID, StaffNumber: d.StaffNumber, LoginUser: d.LoginUser,
		Owner: d.Owner, Shared: d.Shared, Privileged: d.Privileged, Note: d.Note,
		Version: 1, Action: audit.ActionMappingCreate, Run: a.run, Author: a.by.Name,
		Created: Stamp{By: a.by.Name, At: t.now()},
	}
	after.Changed = after.Created
	if after.Owner == "" {
		after.Owner = OwnerManual
	}
	if before != nil { // an undone creation: its versions go on
		after.Version, after.Unknown = before.Version+1, before.Unknown
	}
	t.settle(after)
	if err := t.allowed(a, nil, after); err != nil {
		return nil, err
	}
	return stage(ctx, x, a, before, after)
}

// knows refuses a row for an organisation or a data centre that is not
// configured: nobody could ever come in by it, so it is a slip of the pen.
func (t *Table) knows(k Key) error {
	if _, configured := t.cfg.Directories[k.DataCentre]; !configured && len(t.cfg.Directories) > 0 {
		return refuse(identity.Invalid, "data_centre", ReasonUnknown, k.DataCentre)
	}
	if _, configured := t.cfg.Profiles[k.Corp]; !configured && len(t.cfg.Profiles) > 0 {
		return refuse(identity.Invalid, "corp", ReasonUnknown, k.Corp)
	}
	return nil
}

// change stages an edit of a row.
func (t *Table) change(ctx context.Context, x *tx, a act, k Key, e Edit) (*Entry, error) {
	before, err := present(ctx, x, k)
	if err != nil {
		return nil, err
	}
	if err := sameVersion(before, e.Version); err != nil {
		return nil, err
	}
	after := t.next(a, before, audit.ActionMappingChange)
	e.applyTo(after)
	chosen := after.LoginUser != before.LoginUser || after.StaffNumber != before.StaffNumber
	if chosen && e.Owner == nil && after.Owner == OwnerAuto {
		after.Owner = OwnerManual // what a person chose, no run takes back (F20)
	}
	t.restart(a, before, after)
	if sameRow(before, after) {
		return before, nil
	}
	if err := t.allowed(a, before, after); err != nil {
		return nil, err
	}
	return stage(ctx, x, a, before, after)
}

// applyTo writes the fields that are set.
func (e Edit) applyTo(row *Entry) {
	set(&row.UnionID, e.UnionID)
	set(&row.StaffNumber, e.StaffNumber)
	set(&row.LoginUser, e.LoginUser)
	set(&row.Owner, e.Owner)
	set(&row.Shared, e.Shared)
	set(&row.Privileged, e.Privileged)
	set(&row.Note, e.Note)
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// restart takes away what was said about another identity or account:
// approvals, the last check, the internal id.
func (t *Table) restart(a act, before, after *Entry) {
	account := before.LoginUser != after.LoginUser || before.StaffNumber != after.StaffNumber
	if account {
		after.Check, after.KingdeeID = Check{}, ""
	}
	rehired := before.UnionID != "" && before.UnionID != after.UnionID // binding an open row is not
	if account || rehired || before.Shared != after.Shared {
		after.Approvals, after.Author = nil, a.by.Name
	}
	t.settle(after)
}

// sameRow reports whether an edit changed nothing that is kept.
func sameRow(a, b *Entry) bool {
	return a.UnionID == b.UnionID && a.StaffNumber == b.StaffNumber && a.LoginUser == b.LoginUser &&
		a.Owner == b.Owner && a.Shared == b.Shared && a.Privileged == b.Privileged && a.Note == b.Note &&
		a.Status == b.Status
}

// allowed holds a new or changed row to the rules that need no look at other rows.
func (t *Table) allowed(a act, before, after *Entry) error {
	if err := checkFields(after); err != nil {
		return err
	}
	if a.way == byImport && before != nil {
		if err := openToImport(before); err != nil {
			return err
		}
	}
	gained := after.Privileged && (before == nil || !before.Privileged || before.LoginUser != after.LoginUser)
	if gained && (a.way != byPerson || !a.by.Admin) {
		return &identity.Error{
			Kind: identity.Forbidden, Code: identity.CodePrivilegedUser,
			Err: &Refusal{Field: "login_user", Reason: ReasonPrivileged},
		}
	}
	if a.way == byPerson && !a.by.Admin && needsAdmin(before, after) {
		return refuse(identity.Forbidden, "", ReasonAdminNeeded, "")
	}
	return nil
}

// needsAdmin reports changes that are not a mapping administrator's: sharing,
// privilege, and rows that are locked.
func needsAdmin(before, after *Entry) bool {
	if before == nil {
		return after.Shared || after.Privileged
	}
	return before.Shared != after.Shared || before.Privileged || before.Owner == OwnerLocked
}

// openToImport refuses rows that a file may not touch (T18, T23).
func openToImport(e *Entry) error {
	switch {
	case e.Status == StatusSuspended:
		return refuse(identity.Conflict, "status", ReasonSuspended, "")
	case e.Owner == OwnerLocked:
		return refuse(identity.Conflict, "owner", ReasonLocked, "")
	case e.Privileged:
		return refuse(identity.Forbidden, "login_user", ReasonPrivileged, "")
	}
	return nil
}

// checkFields validates a whole row (T16).
func checkFields(e *Entry) error {
	switch {
	case !e.Owner.known():
		return invalid("owner", ReasonOwner)
	case e.StaffNumber == "" && (e.LoginUser == "" || e.Owner == OwnerAuto):
		return invalid("staff_number", ReasonEmpty)
	case e.LoginUser == "" && e.Owner == OwnerLocked:
		return invalid("login_user", ReasonEmpty) // nothing would ever fill it in
	case e.UnionID != "":
		if err := checkName("unionid", e.UnionID); err != nil {
			return err
		}
	}
	return checkTexts(e.StaffNumber, e.LoginUser, e.Note)
}

// checkTexts validates the fields that may be empty.
func checkTexts(staffNumber, loginUser, note string) error {
	if staffNumber != "" {
		if err := CheckStaffNumber(staffNumber); err != nil {
			return err
		}
	}
	if loginUser != "" {
		if err := CheckLoginUser(loginUser); err != nil {
			return err
		}
	}
	return checkNote(note)
}
