package kingdeesim

import "slices"

// UserInfo is a login user as the control door shows it: the vendor's fields
// under the vendor's names, the rest in lower case.
type UserInfo struct {
	DataCentre      string   `json:"dataCentre"`
	ID              int64    `json:"FUserID"`
	Name            string   `json:"FName"`
	Account         string   `json:"FUserAccount"`
	ForbidStatus    string   `json:"FForbidStatus"`
	Locked          bool     `json:"FIsLocked"`
	PersonID        int64    `json:"FLinkObject"`
	StaffNumber     string   `json:"staffNumber"`
	Licence         bool     `json:"licence"`
	Listed          bool     `json:"listed"` // on every row of the data centre
	Administrator   bool     `json:"administrator"`
	PasswordExpired bool     `json:"passwordExpired"`
	LoginResult     *int     `json:"loginResult,omitempty"`
	NoRights        []string `json:"noRights,omitempty"`
}

// StaffInfo is an employee record as the control door shows it.
type StaffInfo struct {
	DataCentre     string   `json:"dataCentre"`
	ID             int64    `json:"FID"`
	Number         string   `json:"FStaffNumber"`
	Name           string   `json:"FName"`
	Mobile         string   `json:"FMobile"`
	ForbidStatus   string   `json:"FForbidStatus"`
	DocumentStatus string   `json:"FDocumentStatus"`
	PersonID       int64    `json:"FPersonId"`
	Department     string   `json:"department"`
	Posts          []string `json:"posts"` // numbers of the post records
	Users          []string `json:"users"` // names of the login users of the same person
}

// everywhere shows the rows of every data centre. Its lock is held while info runs.
func everywhere[R, I any](s *Server, rows func(*centre) []R, info func(*centre, R) I) []I {
	out := []I{}
	for _, c := range s.centres {
		c.mu.RLock()
		for _, row := range rows(c) {
			out = append(out, info(c, row))
		}
		c.mu.RUnlock()
	}
	return out
}

// Users returns the login users of every data centre.
func (s *Server) Users() []UserInfo {
	return everywhere(s, func(c *centre) []User { return c.tables.Users }, func(c *centre, u User) UserInfo {
		return UserInfo{
			DataCentre: c.id, ID: u.ID, Name: u.Name, Account: u.Account, ForbidStatus: u.ForbidStatus, Locked: c.isLocked(u),
			PersonID: u.PersonID, StaffNumber: c.person(u.PersonID).Number, Licence: !u.NoLicence, Listed: c.listed(u.Name),
			Administrator: u.Administrator, PasswordExpired: u.PasswordExpired, LoginResult: u.LoginResult, NoRights: u.NoRights,
		}
	})
}

func (c *centre) listed(name string) bool {
	return !slices.ContainsFunc(c.rows, func(r Row) bool { return r.ListedOnly && !slices.Contains(r.Users, name) })
}

// Staff returns the employee records of every data centre.
func (s *Server) Staff() []StaffInfo {
	return everywhere(s, func(c *centre) []Staff { return c.tables.Staff }, func(c *centre, e Staff) StaffInfo {
		info := StaffInfo{
			DataCentre: c.id, ID: e.ID, Number: e.Number, Name: e.Name, Mobile: e.Mobile, ForbidStatus: e.ForbidStatus,
			DocumentStatus: e.DocumentStatus, PersonID: e.PersonID, Department: c.department(e.DepartmentID).Name,
			Posts: []string{}, Users: []string{},
		}
		for _, i := range c.postsByPerson[e.PersonID] {
			info.Posts = append(info.Posts, c.tables.Posts[i].Number)
		}
		for _, i := range c.usersByPerson[e.PersonID] {
			info.Users = append(info.Users, c.tables.Users[i].Name)
		}
		return info
	})
}
