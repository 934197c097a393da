package mapping

import (
	"context"
	"fmt"
	"slices"

	"kdgate/identity"
	"kdgate/kingdee"
)

// question is what Kingdee is asked about one person. Its answer is a Check.
type question struct {
	dataCentre string
	number     string // staff number; empty: there is none to ask for
	loginUser  string // the login user a row names; empty: find it
	kingdeeID  string // its internal id, once known
	chosen     bool   // a person chose the login user: it need not be the only one
	unlinked   bool   // users are not linked to people in this Kingdee (TrustTable)
	approved   bool   // two administrators approved the row
}

// ask walks links 2 and 3 in Kingdee. The Check says what was found and which
// code a broken link has; the error is set only when Kingdee could not be asked.
func (t *Table) ask(ctx context.Context, q question) (Check, error) {
	dir, ok := t.cfg.Directories[q.dataCentre]
	if !ok {
		return Check{}, identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup,
			"mapping: no directory of data centre %q", q.dataCentre)
	}
	c := Check{At: t.now(), Staff: StateUnchecked, User: StateUnchecked, StaffNo: q.number}
	excused := q.chosen && (q.unlinked || q.approved) // the login user stands for itself
	if q.number == "" && !excused {
		c.Staff, c.Code = StateMissing, identity.CodeNoStaff
		return c, nil
	}
	var users []kingdee.User
	if q.number != "" {
		staff, err := askStaff(ctx, dir, &c)
		if err != nil || c.Code != "" {
			return c, err
		}
		if !q.unlinked || !q.chosen {
			if users, err = dir.UsersOfStaff(ctx, staff); err != nil {
				return c, couldNotAsk("users of staff", err)
			}
		}
	}
	if q.chosen {
		return c, confirmUser(ctx, dir, q, users, &c)
	}
	findUser(users, q, &c)
	return c, nil
}

// askStaff is link 2: exactly one staff record in force carries the number.
func askStaff(ctx context.Context, dir Directory, c *Check) (kingdee.Staff, error) {
	all, err := dir.StaffByNumber(ctx, c.StaffNo)
	if err != nil {
		return kingdee.Staff{}, couldNotAsk("staff by number", err)
	}
	// Kingdee's engine may compare without case; a1 is not A1 (T15).
	same := slices.DeleteFunc(slices.Clone(all), func(s kingdee.Staff) bool { return s.Number != c.StaffNo })
	switch {
	case len(same) == 0:
		c.Staff, c.Code = StateMissing, identity.CodeNoStaff
	case len(same) > 1:
		c.Staff, c.Code = StateMany, identity.CodeManyStaff
	case same[0].Forbidden || !same[0].Approved:
		c.Staff, c.Code = StateForbidden, identity.CodeStaffForbidden
	default:
		c.Staff = StateOK
		return same[0], nil
	}
	return kingdee.Staff{}, nil
}

// findUser is link 3 for a row that follows Kingdee: exactly one login user
// belongs to the person. A rename shows by the internal id.
func findUser(users []kingdee.User, q question, c *Check) {
	switch {
	case len(users) == 0 || len(users) == 1 && users[0].Name == "":
		c.User, c.Code = StateMissing, identity.CodeNoLoginUser
	case len(users) > 1:
		c.User, c.Code = StateMany, identity.CodeManyUsers
	default:
		takeUser(users[0], c)
		if q.kingdeeID != "" && q.kingdeeID == users[0].ID && q.loginUser != "" && q.loginUser != users[0].Name {
			c.RenamedTo = users[0].Name
		}
	}
}

// confirmUser is link 3 for a login user that a person chose: it has to be one
// of the staff record's person, or approved by two administrators (T18).
func confirmUser(ctx context.Context, dir Directory, q question, users []kingdee.User, c *Check) error {
	if i := slices.IndexFunc(users, func(u kingdee.User) bool { return u.Name == q.loginUser }); i >= 0 {
		takeUser(users[i], c)
		return nil
	}
	if i := slices.IndexFunc(users, func(u kingdee.User) bool { return u.ID != "" && u.ID == q.kingdeeID }); i >= 0 {
		c.User, c.Code, c.KingdeeID, c.RenamedTo = StateRenamed, identity.CodeNoLoginUser, q.kingdeeID, users[i].Name
		return nil
	}
	found, err := dir.UserByName(ctx, q.loginUser)
	if err != nil {
		return couldNotAsk("user by name", err)
	}
	found = slices.DeleteFunc(slices.Clone(found), func(u kingdee.User) bool { return u.Name != q.loginUser })
	switch {
	case len(found) == 0:
		c.User, c.Code = StateMissing, identity.CodeNoLoginUser
	case len(found) > 1:
		c.User, c.Code = StateMany, identity.CodeManyUsers
	case q.kingdeeID != "" && found[0].ID != q.kingdeeID:
		// Somebody else carries the name now.
		c.User, c.Code, c.KingdeeID = StateChanged, identity.CodeIdentityChanged, found[0].ID
	default:
		takeUser(found[0], c)
		c.Foreign = !q.unlinked
		if c.Code == "" && c.Foreign && !q.approved {
			c.User, c.Code = StateForeign, identity.CodePrivilegedUser
		}
	}
	return nil
}

// takeUser notes a login user and whether it may log in.
func takeUser(u kingdee.User, c *Check) {
	c.LoginUser, c.KingdeeID, c.User = u.Name, u.ID, StateOK
	if u.Forbidden || u.Locked {
		c.User, c.Code = StateForbidden, identity.CodeUserForbidden
	}
}

// couldNotAsk gives an error of the Kingdee client its public half. It is never
// one of the "not there" codes (R7).
func couldNotAsk(what string, err error) error {
	code, kind := identity.CodeOf(err), identity.KindOf(err)
	switch {
	case code == identity.CodeKingdeeSetup || kind == identity.Misconfigured:
		return identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup, "mapping: %s: %w", what, err)
	case code == identity.CodeKingdeeBusy:
		return identity.Fail(kind, code, "mapping: %s: %w", what, err)
	case kind == identity.Throttled || kind == identity.Upstream:
		return identity.Fail(kind, identity.CodeKingdeeDown, "mapping: %s: %w", what, err)
	default:
		return identity.Fail(identity.Unavailable, identity.CodeKingdeeDown, "mapping: %s: %w", what, err)
	}
}

// broken turns the code of a Check into the error a sign-in ends with.
func (c Check) broken() error {
	if c.Code == "" {
		return nil
	}
	return identity.Fail(identity.Forbidden, c.Code, "mapping: staff %q is %s, login user %q is %s",
		c.StaffNo, c.Staff, c.LoginUser, fmt.Sprint(c.User))
}
