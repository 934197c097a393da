package kingdeesim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrUnknown is a user, staff record, row or data centre that is not there.
var ErrUnknown = errors.New("kingdeesim: no such record")

// UserPatch changes a login user; nil leaves a field as it is.
type UserPatch struct {
	Name            *string   `json:"FName"` // renames the user
	Account         *string   `json:"FUserAccount"`
	ForbidStatus    *string   `json:"FForbidStatus"`
	PersonID        *int64    `json:"FLinkObject"`
	Locked          *bool     `json:"locked"`
	Licence         *bool     `json:"licence"`
	Listed          *bool     `json:"listed"` // on the list of every row of the data centre
	PasswordExpired *bool     `json:"passwordExpired"`
	PolicyHint      *bool     `json:"policyHint"`
	LoginResult     *int      `json:"loginResult"` // LoginResultType; 1 is the honest answer again
	NoRights        *[]string `json:"noRights"`
}

// StaffPatch changes an employee record.
type StaffPatch struct {
	Number         *string `json:"FStaffNumber"`
	Name           *string `json:"FName"`
	Mobile         *string `json:"FMobile"`
	ForbidStatus   *string `json:"FForbidStatus"`
	DocumentStatus *string `json:"FDocumentStatus"`
}

// RowPatch changes an authorisation row.
type RowPatch struct {
	Enabled           *bool     `json:"enabled"`
	WindowMinutes     *int      `json:"windowMinutes"` // 0 refuses everything
	FutureSkewSeconds *int      `json:"futureSkewSeconds"`
	Once              *bool     `json:"once"`
	ListedOnly        *bool     `json:"listedOnly"`
	Users             *[]string `json:"users"`
	IntegrationUser   *string   `json:"integrationUser"`
	Secret            *string   `json:"secret"`
	WhiteList         *[]string `json:"whiteList"`
}

func set[T any](field *T, to *T) {
	if to != nil {
		*field = *to
	}
}

// inCentre runs a change in one data centre, or in the first that has the
// record when none is named.
func (s *Server) inCentre(id string, change func(*centre) (found bool, err error)) error {
	for _, c := range s.centres {
		if id != "" && c.id != id {
			continue
		}
		c.mu.Lock()
		found, err := change(c)
		c.mu.Unlock()
		if found || err != nil {
			return err
		}
	}
	return ErrUnknown
}

// PatchUser changes the login user of that name. An empty data centre means
// the first that has it.
func (s *Server) PatchUser(dataCentre, name string, p UserPatch) error {
	if p.ForbidStatus != nil && *p.ForbidStatus != Enabled && *p.ForbidStatus != Forbidden {
		return fmt.Errorf("kingdeesim: FForbidStatus %q is neither A nor B", *p.ForbidStatus)
	}
	err := s.inCentre(dataCentre, func(c *centre) (bool, error) {
		i, ok := c.userByName[name]
		if !ok {
			return false, nil
		}
		if err := p.fits(c, name); err != nil {
			return true, err
		}
		if p.Listed != nil {
			c.list(name, *p.Listed)
		}
		p.apply(&c.tables.Users[i])
		c.index()
		return true, nil
	})
	if err == nil && p.Locked != nil && !*p.Locked {
		for _, c := range s.centres {
			c.lockouts.forget(name)
		}
	}
	return err
}

// fits tells whether the tables stay sound: names are unique, links lead somewhere.
func (p UserPatch) fits(c *centre, name string) error {
	if p.Name != nil && *p.Name != name {
		if _, taken := c.userByName[*p.Name]; taken || *p.Name == "" {
			return fmt.Errorf("kingdeesim: user name %q is empty or taken", *p.Name)
		}
	}
	if p.PersonID != nil && *p.PersonID != 0 {
		if _, ok := c.personByID[*p.PersonID]; !ok {
			return fmt.Errorf("kingdeesim: there is no person %d", *p.PersonID)
		}
	}
	return nil
}

func (p UserPatch) apply(u *User) {
	set(&u.Name, p.Name)
	set(&u.Account, p.Account)
	set(&u.ForbidStatus, p.ForbidStatus)
	set(&u.PersonID, p.PersonID)
	set(&u.Locked, p.Locked)
	set(&u.PasswordExpired, p.PasswordExpired)
	set(&u.PolicyHint, p.PolicyHint)
	set(&u.NoRights, p.NoRights)
	if p.Licence != nil {
		u.NoLicence = !*p.Licence
	}
	if p.LoginResult != nil {
		u.LoginResult = p.LoginResult
		if *p.LoginResult == loginGood {
			u.LoginResult = nil
		}
	}
}

// list puts a user on, or takes it off, the list of every row. Taking a user
// off a row that lets everybody in turns that row into one with a list of all
// the others. Call with the lock held for writing.
func (c *centre) list(name string, on bool) {
	for i := range c.rows {
		row := &c.rows[i]
		if !on && !row.ListedOnly {
			row.ListedOnly = true
			row.Users = nil
			for _, u := range c.tables.Users {
				row.Users = append(row.Users, u.Name)
			}
		}
		others := slices.DeleteFunc(slices.Clone(row.Users), func(u string) bool { return u == name })
		if on {
			others = append(others, name)
		}
		row.Users = others
	}
}

// PatchStaff changes the employee record of that number.
func (s *Server) PatchStaff(dataCentre, number string, p StaffPatch) error {
	if p.ForbidStatus != nil && *p.ForbidStatus != Enabled && *p.ForbidStatus != Forbidden {
		return fmt.Errorf("kingdeesim: FForbidStatus %q is neither A nor B", *p.ForbidStatus)
	}
	return s.inCentre(dataCentre, func(c *centre) (bool, error) {
		at := c.staffByNumber[number]
		for _, i := range at {
			staff := &c.tables.Staff[i]
			set(&staff.Number, p.Number)
			set(&staff.Name, p.Name)
			set(&staff.Mobile, p.Mobile)
			set(&staff.ForbidStatus, p.ForbidStatus)
			set(&staff.DocumentStatus, p.DocumentStatus)
			if p.Number != nil || p.Name != nil || p.Mobile != nil { // forbidding is not an edit
				staff.Modified = c.now()
			}
			if person, ok := c.personByID[staff.PersonID]; ok && p.Number != nil {
				c.tables.Persons[person].Number = *p.Number
			}
		}
		c.index()
		return len(at) > 0, nil
	})
}

// PatchRow changes the authorisation row of that app id.
func (s *Server) PatchRow(dataCentre, appID string, p RowPatch) error {
	return s.inCentre(dataCentre, func(c *centre) (bool, error) {
		for i := range c.rows {
			if c.rows[i].AppID == appID {
				p.apply(&c.rows[i])
				return true, nil
			}
		}
		return false, nil
	})
}

func (p RowPatch) apply(row *Row) {
	set(&row.ListedOnly, p.ListedOnly)
	set(&row.Users, p.Users)
	set(&row.IntegrationUser, p.IntegrationUser)
	set(&row.Secret, p.Secret)
	set(&row.WhiteList, p.WhiteList)
	if p.Users != nil && p.ListedOnly == nil {
		row.ListedOnly = true
	}
	if p.Enabled != nil {
		row.Disabled = !*p.Enabled
	}
	if p.Once != nil {
		row.Reusable = !*p.Once
	}
	if p.WindowMinutes != nil {
		row.Window = time.Duration(*p.WindowMinutes) * time.Minute
		if *p.WindowMinutes <= 0 {
			row.Window = -1
		}
	}
	if p.FutureSkewSeconds != nil {
		row.FutureSkew = time.Duration(*p.FutureSkewSeconds) * time.Second
		if *p.FutureSkewSeconds <= 0 {
			row.FutureSkew = -1
		}
	}
}

// SetHash makes a data centre as old as before 8.0.0.202205 ("sha1") or newer
// ("sha256").
func (s *Server) SetHash(dataCentre, hash string) error {
	if hash != hashSHA1 && hash != hashSHA256 {
		return fmt.Errorf("kingdeesim: hash %q is neither sha1 nor sha256", hash)
	}
	return s.inCentre(dataCentre, func(c *centre) (bool, error) {
		c.setHash(hash)
		return true, nil
	})
}

// Hire adds an employee while the server runs.
func (s *Server) Hire(dataCentre string, e Employee) error {
	for _, c := range s.centres {
		if dataCentre == "" || strings.EqualFold(c.id, dataCentre) {
			return c.hire(e)
		}
	}
	return ErrUnknown
}
