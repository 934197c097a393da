package kingdeesim

import (
	"fmt"
	"time"
)

// Values of FForbidStatus and FDocumentStatus.
const (
	Enabled   = "A" // FForbidStatus: normal
	Forbidden = "B" // FForbidStatus: forbidden
	Audited   = "C" // FDocumentStatus: audited
)

// Tables are the records of one data centre. Staff, post records and login
// users are joined by person only (K75), as in the vendor's database.
type Tables struct {
	Organisations []BaseData
	Departments   []Department
	Positions     []Position
	Persons       []Person
	Staff         []Staff
	Posts         []Post
	Users         []User
	Currencies    []BaseData
	Documents     []Document // bills, and base data without a table of its own

	lastID int64 // the highest id given out; 0 before the first
}

// BaseData is a plain reference record.
type BaseData struct {
	ID           int64
	Number, Name string
}

// Department is BD_Department.
type Department struct {
	BaseData
	FullName string
	ParentID int64 // 0 means a root
	Depth    int64
	OrgID    int64

	ForbidStatus   string // "" is stored as A
	DocumentStatus string // "" is stored as C
	Modified       time.Time
}

// Position is HR_ORG_HRPOST, a position such as "cashier in department X".
type Position struct {
	BaseData
	DepartmentID int64
	OrgID        int64

	ForbidStatus   string // "" is stored as A
	DocumentStatus string // "" is stored as C
	EffectDate     string // as 2020-01-31T00:00:00
	Modified       time.Time
}

// Person is T_BD_PERSON; its number is the staff number.
type Person struct {
	ID           int64
	Number, Name string
}

// Staff is BD_Empinfo, an employee record.
type Staff struct {
	ID             int64
	Number         string // the staff number
	Name           string
	PersonID       int64
	DepartmentID   int64
	PositionID     int64
	OrgID          int64
	Mobile, Email  string
	ForbidStatus   string // "" is stored as A
	DocumentStatus string // "" is stored as C
	JoinDate       string // as 2020-01-31T00:00:00
	Modified       time.Time
}

// Post is BD_NEWSTAFF: this person holds this position.
type Post struct {
	ID             int64
	Number         string // `<staff>_<position>_<n>` (K76); "" is filled in so
	Name           string
	PersonID       int64
	StaffID        int64
	DepartmentID   int64
	PositionID     int64
	OrgID          int64
	First          bool
	StartDate      string
	ForbidStatus   string
	DocumentStatus string
	Modified       time.Time
}

// User is SEC_User, a record that may log in.
type User struct {
	ID              int64
	Name            string // 用户名称, FName: what a link signs
	Account         string // 用户账号, FUserAccount
	Password        string
	PersonID        int64 // FLinkObject; 0 means no person
	OrgID           int64
	Phone, Email    string
	ForbidStatus    string // "" is stored as A
	Locked          bool
	NoLicence       bool // belongs to no licence group
	Administrator   bool
	PasswordExpired bool     // logs in to a session that nothing accepts (K29, K95)
	PolicyHint      bool     // a good login says CheckPasswordPolicy all the same (K20)
	LoginResult     *int     // forces this LoginResultType (K22); nil means the honest one
	NoRights        []string // form ids this user may not see or change (K57)
	ReadOnly        []string // form ids this user may see and not change
}

// Employee is one human being with everything that hangs on it, for Hire.
type Employee struct {
	Number, Name   string
	Mobile, Email  string
	ForbidStatus   string
	DocumentStatus string
	ExtraPosts     int // post records beside the main one
	Users          []User
}

// Hire adds a person, the staff record, its post records and its login users.
func (t *Tables) Hire(e Employee) {
	t.base()
	person := Person{ID: t.next(), Number: e.Number, Name: e.Name}
	t.Persons = append(t.Persons, person)
	dept, position := t.Departments[0], t.Positions[0]
	staff := Staff{
		ID: t.next(), Number: e.Number, Name: e.Name, PersonID: person.ID,
		DepartmentID: dept.ID, PositionID: position.ID, OrgID: t.Organisations[0].ID,
		Mobile: e.Mobile, Email: e.Email, ForbidStatus: e.ForbidStatus, DocumentStatus: e.DocumentStatus,
		JoinDate: "2020-01-01T00:00:00",
	}
	t.Staff = append(t.Staff, staff)
	for i := range e.ExtraPosts + 1 {
		t.Posts = append(t.Posts, Post{
			ID: t.next(), Name: e.Name, PersonID: person.ID, StaffID: staff.ID, First: i == 0,
			DepartmentID: dept.ID, PositionID: t.Positions[i%len(t.Positions)].ID, OrgID: staff.OrgID,
		})
	}
	for _, u := range e.Users {
		u.PersonID = person.ID
		t.Users = append(t.Users, u)
	}
}

// base gives empty tables the organisation, department, positions and currency
// that every data centre has.
func (t *Tables) base() {
	if len(t.Organisations) == 0 {
		t.Organisations = []BaseData{{ID: 1, Number: "100", Name: "总公司"}}
	}
	if len(t.Departments) == 0 {
		t.Departments = []Department{{BaseData: BaseData{t.next(), "BM000001", "财务部"}, FullName: "财务部", Depth: 1, OrgID: t.Organisations[0].ID}}
	}
	if len(t.Positions) == 0 {
		dept, org := t.Departments[0].ID, t.Organisations[0].ID
		t.Positions = []Position{
			{BaseData: BaseData{t.next(), "GW0001", "出纳"}, DepartmentID: dept, OrgID: org},
			{BaseData: BaseData{t.next(), "GW0002", "会计"}, DepartmentID: dept, OrgID: org},
		}
	}
	if len(t.Currencies) == 0 {
		t.Currencies = []BaseData{{ID: 1, Number: "PRE001", Name: "人民币"}}
	}
}

// firstID is where numbering starts, so that ids never look like numbers of people.
const firstID = 100000

// next is an id that no record of these tables has.
func (t *Tables) next() int64 {
	if t.lastID == 0 {
		t.lastID = t.highest()
	}
	t.lastID++
	return t.lastID
}

func (t *Tables) highest() int64 {
	out := int64(firstID)
	for _, d := range t.Departments {
		out = max(out, d.ID)
	}
	for _, p := range t.Positions {
		out = max(out, p.ID)
	}
	for _, p := range t.Persons {
		out = max(out, p.ID)
	}
	for _, s := range t.Staff {
		out = max(out, s.ID)
	}
	for _, p := range t.Posts {
		out = max(out, p.ID)
	}
	for _, u := range t.Users {
		out = max(out, u.ID)
	}
	return out
}

// complete fills in what a caller may leave out.
func (t *Tables) complete() {
	t.base()
	for i := range t.Departments {
		d := &t.Departments[i]
		d.ForbidStatus, d.DocumentStatus = orElse(d.ForbidStatus, Enabled), orElse(d.DocumentStatus, Audited)
	}
	for i := range t.Positions {
		p := &t.Positions[i]
		p.ForbidStatus, p.DocumentStatus = orElse(p.ForbidStatus, Enabled), orElse(p.DocumentStatus, Audited)
	}
	for i := range t.Staff {
		s := &t.Staff[i]
		s.ID = idOr(s.ID, t)
		s.ForbidStatus = orElse(s.ForbidStatus, Enabled)
		s.DocumentStatus = orElse(s.DocumentStatus, Audited)
	}
	for i := range t.Posts {
		p := &t.Posts[i]
		p.ID = idOr(p.ID, t)
		p.ForbidStatus = orElse(p.ForbidStatus, Enabled)
		p.DocumentStatus = orElse(p.DocumentStatus, Audited)
	}
	for i := range t.Users {
		u := &t.Users[i]
		u.ID = idOr(u.ID, t)
		u.ForbidStatus = orElse(u.ForbidStatus, Enabled)
		u.Account = orElse(u.Account, u.Name)
		u.OrgID = max(u.OrgID, t.Organisations[0].ID)
	}
}

func idOr(id int64, t *Tables) int64 {
	if id == 0 {
		return t.next()
	}
	return id
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func (t *Tables) validate() []error {
	var all []error
	people := map[int64]bool{0: true}
	for _, p := range t.Persons {
		if people[p.ID] {
			all = append(all, fmt.Errorf("person id %d stands twice or is 0", p.ID))
		}
		people[p.ID] = true
	}
	for _, s := range t.Staff {
		if s.Number == "" || s.PersonID == 0 || !people[s.PersonID] {
			all = append(all, fmt.Errorf("staff %q needs a number and a person", s.Number))
		}
	}
	names := map[string]bool{}
	for _, u := range t.Users {
		if u.Name == "" || names[u.Name] {
			all = append(all, fmt.Errorf("user name %q is empty or stands twice", u.Name))
		}
		if !people[u.PersonID] {
			all = append(all, fmt.Errorf("user %q points at no person", u.Name))
		}
		names[u.Name] = true
	}
	return all
}
