package kingdeesim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kdgate/kingdee/kingdeesim/internal/filter"
)

// column gives one field of the row at a position of a form's table.
type column func(c *centre, row int) any

// form is one business object that can be queried.
type form struct {
	id      string // the vendor's spelling
	key     string // field of the internal id, lower case
	rows    func(*centre) int
	columns map[string]column // by lower-case field key
	hidden  map[string]func(Switches) bool
	indexes map[string]index                               // by lower-case field key
	shift   uint                                           // how far the number of a record stands from the right in a row number
	wide    map[string]bool                                // fields of an entry: asking for one gives a row for each entry row
	lines   func(*centre, int) int                         // entry rows of a record
	holding func(*centre, map[string]string) ([]int, bool) // records that may hold pieces of text, by lower-case key; nil: no index
	write   *writing                                       // how records are made and changed; nil: they are not
	// card is what View shows
	card func(c *centre, row int) card
	// status is the FForbidStatus cell, for forms that Forbid and Enable work on
	status func(c *centre, row int) *string
}

// resolve finds a column; ok is false for unknown and for switched-off fields.
func (f *form) resolve(key string, sw Switches) (column, bool) {
	lower := strings.ToLower(key)
	if hide, ok := f.hidden[lower]; ok && hide(sw) {
		return nil, false
	}
	col, ok := f.columns[lower]
	return col, ok
}

// index finds the rows where a field equals a literal; ok is false when the
// literal is not of the index's kind and every row must be looked at.
type index func(c *centre, literal any) (rows []int, ok bool)

func textIndex(find func(*centre, string) []int) index {
	return func(c *centre, literal any) ([]int, bool) {
		text, ok := literal.(string)
		if !ok {
			return nil, false
		}
		return find(c, text), true
	}
}

func idIndex(find func(*centre, int64) []int) index {
	return func(c *centre, literal any) ([]int, bool) {
		id, err := strconv.ParseInt(fmt.Sprint(literal), 10, 64)
		if err != nil {
			return nil, false
		}
		return find(c, id), true
	}
}

// one is the list of the one row that a map of positions knows, or none.
func one(positions map[int64]int, id int64) []int {
	if i, ok := positions[id]; ok {
		return []int{i}
	}
	return nil
}

// found narrows the rows by an index when the filter allows it.
func (f *form) found(c *centre, q *filter.Filter) []int {
	equals := q.Equals()
	for key := range f.indexes {
		if _, asked := equals[key]; asked {
			return f.candidates(c, equals)
		}
	}
	if f.holding != nil {
		if rows, ok := f.holding(c, q.Pieces()); ok {
			return rows
		}
	}
	return f.candidates(c, equals)
}

// candidates narrows the rows by an index of whole values when there is one.
func (f *form) candidates(c *centre, equals map[string]any) []int {
	for key, find := range f.indexes {
		if value, asked := equals[key]; asked {
			if rows, ok := find(c, value); ok {
				return rows
			}
		}
	}
	out := make([]int, f.rows(c))
	for i := range out {
		out[i] = i << f.shift
	}
	return out
}

// spread turns records into rows: one for each row of the entry.
func (f *form) spread(c *centre, records []int) []int {
	var out []int
	for _, row := range records {
		out = append(out, row)
		for i := 1; i < f.lines(c, row); i++ {
			out = append(out, row|i)
		}
	}
	return out
}

// newForms builds the forms, by lower-case id.
func newForms() (map[string]*form, map[string]*docForm) {
	out, schemas := map[string]*form{}, map[string]*docForm{}
	for _, f := range []*form{empinfo(), newStaff(), secUser(), department(), position(), currency(), organisations(), attachments()} {
		out[strings.ToLower(f.id)] = f
	}
	for _, d := range append(financeForms(), tradeForms()...) {
		out[strings.ToLower(d.id)], schemas[strings.ToLower(d.id)] = d.build(), d
	}
	return out, schemas
}

// reference adds the columns of a base-data field: the bare key is the
// internal id, .FNumber and .FName the rest (K58).
func (f *form) reference(key string, of func(*centre, int) BaseData) {
	key = strings.ToLower(key)
	f.columns[key] = func(c *centre, i int) any { return of(c, i).ID }
	f.columns[key+".fnumber"] = func(c *centre, i int) any { return textOrNull(of(c, i).Number) }
	f.columns[key+".fname"] = func(c *centre, i int) any { return textOrNull(of(c, i).Name) }
}

// textOrNull is null for a reference that leads nowhere.
func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (c *centre) organisation(id int64) BaseData { return find(c.tables.Organisations, id) }

func (c *centre) department(id int64) BaseData {
	if i, ok := c.deptByID[id]; ok {
		return c.tables.Departments[i].BaseData
	}
	return BaseData{}
}

func (c *centre) position(id int64) BaseData {
	if i, ok := c.positionByID[id]; ok {
		return c.tables.Positions[i].BaseData
	}
	return BaseData{}
}

func find(list []BaseData, id int64) BaseData {
	for _, b := range list {
		if b.ID == id {
			return b
		}
	}
	return BaseData{}
}

// linkedUser is the login user an employee record names: the field holds one,
// so a second user of the same person stays out of sight here.
func (c *centre) linkedUser(personID int64) User {
	if at := c.usersByPerson[personID]; len(at) > 0 {
		return c.tables.Users[at[0]]
	}
	return User{}
}

func empinfo() *form {
	at := func(c *centre, row int) Staff { return c.tables.Staff[row>>lineBits] }
	f := &form{
		id: "BD_Empinfo", key: "fid", shift: lineBits, wide: map[string]bool{},
		rows:  func(c *centre) int { return len(c.tables.Staff) },
		lines: func(c *centre, row int) int { return len(c.postsOf(at(c, row))) },
		columns: map[string]column{
			"fid":             func(c *centre, i int) any { return at(c, i).ID },
			"fnumber":         func(c *centre, i int) any { return at(c, i).Number },
			"fstaffnumber":    func(c *centre, i int) any { return at(c, i).Number },
			"fname":           func(c *centre, i int) any { return at(c, i).Name },
			"fmobile":         func(c *centre, i int) any { return at(c, i).Mobile },
			"ftel":            func(c *centre, i int) any { return at(c, i).Mobile },
			"femail":          func(c *centre, i int) any { return at(c, i).Email },
			"fforbidstatus":   func(c *centre, i int) any { return at(c, i).ForbidStatus },
			"fdocumentstatus": func(c *centre, i int) any { return at(c, i).DocumentStatus },
			"fjoindate":       func(c *centre, i int) any { return textOrNull(at(c, i).JoinDate) },
			"fmodifydate":     func(c *centre, i int) any { return moment(at(c, i).Modified) },
			"fpersonid":       func(c *centre, i int) any { return at(c, i).PersonID },
			"fuserid.fname":   func(c *centre, i int) any { return textOrNull(c.linkedUser(at(c, i).PersonID).Name) },
			"fuserid.fuseraccount": func(c *centre, i int) any {
				return textOrNull(c.linkedUser(at(c, i).PersonID).Account)
			},
		},
		hidden: map[string]func(Switches) bool{
			"fpersonid":            func(s Switches) bool { return !s.ShowEmpinfoPersonID },
			"fuserid.fname":        func(s Switches) bool { return s.HideFUserID },
			"fuserid.fuseraccount": func(s Switches) bool { return s.HideFUserID },
		},
		card: func(c *centre, i int) card {
			s := at(c, i)
			return card{s.ID, s.Number, s.Name, []member{
				{"ForbidStatus", s.ForbidStatus},
				{"DocumentStatus", s.DocumentStatus},
				{"FStaffNumber", s.Number}, // spelt so in public replies, unlike its neighbours
				{"Mobile", s.Mobile},
				{"Email", s.Email},
				{"FTel", s.Mobile},
				{"PersonId", BaseData(c.person(s.PersonID))},
				{"JoinDate", date(s.JoinDate)},
				{"UseOrgId", c.organisation(s.OrgID)},
				{"PostDept", c.department(s.DepartmentID)},
				{"Post", c.position(s.PositionID)},
				{"PostEntity", c.postEntries(s)},
			}}
		},
		status: func(c *centre, row int) *string { return &c.tables.Staff[row>>lineBits].ForbidStatus },
		write:  writeStaff(),
	}
	byNumber := textIndex(func(c *centre, v string) []int { return inLines(c.staffByNumber[v]) })
	f.indexes = map[string]index{
		"fnumber": byNumber, "fstaffnumber": byNumber, "fid": idIndex(func(c *centre, id int64) []int { return inLines(one(c.staffByID, id)) }),
	}
	for _, key := range []string{"FCreateOrgId", "FUseOrgId"} {
		f.reference(key, func(c *centre, i int) BaseData { return c.organisation(at(c, i).OrgID) })
	}
	f.postColumns(at)
	return f
}

// postColumns are the fields of FPostEntity. Whoever asks for one gets a row for
// each post, as with every entry.
func (f *form) postColumns(at func(*centre, int) Staff) {
	post := func(c *centre, row int) Post {
		if posts, i := c.postsOf(at(c, row)), row&(maxLines-1); i < len(posts) {
			return posts[i]
		}
		return Post{}
	}
	f.reference("FWorkOrgId", func(c *centre, row int) BaseData { return c.organisation(post(c, row).OrgID) })
	f.reference("FPostDept", func(c *centre, row int) BaseData { return c.department(post(c, row).DepartmentID) })
	f.reference("FPost", func(c *centre, row int) BaseData { return c.position(post(c, row).PositionID) })
	f.columns["fstaffstartdate"] = func(c *centre, row int) any { return textOrNull(post(c, row).StartDate) }
	f.columns["fisfirstpost"] = func(c *centre, row int) any { return post(c, row).First }
	for _, key := range []string{"fworkorgid", "fpostdept", "fpost"} {
		f.wide[key], f.wide[key+".fnumber"], f.wide[key+".fname"] = true, true, true
	}
	f.wide["fstaffstartdate"], f.wide["fisfirstpost"] = true, true
}

// postsOf are the posts of an employee that are in force.
func (c *centre) postsOf(staff Staff) []Post {
	var out []Post
	for _, i := range slices.Sorted(slices.Values(c.postsByPerson[staff.PersonID])) {
		if p := c.tables.Posts[i]; p.StaffID == staff.ID && p.DocumentStatus == Audited {
			out = append(out, p)
		}
	}
	return out
}

// inLines are the first rows of records of a form with an entry.
func inLines(records []int) []int {
	out := slices.Clone(records)
	for i := range out {
		out[i] <<= lineBits
	}
	return out
}

func newStaff() *form {
	at := func(c *centre, i int) Post { return c.tables.Posts[i] }
	number := func(c *centre, i int) any { return at(c, i).Number }
	f := &form{
		id: "BD_NEWSTAFF", key: "fstaffid",
		rows: func(c *centre) int { return len(c.tables.Posts) },
		columns: map[string]column{
			"fstaffid":        func(c *centre, i int) any { return at(c, i).ID },
			"fnumber":         number,
			"fstaffnumber":    number, // the post record's number, not the employee's (K76)
			"fname":           func(c *centre, i int) any { return at(c, i).Name },
			"fisfirstpost":    func(c *centre, i int) any { return at(c, i).First },
			"fforbidstatus":   func(c *centre, i int) any { return at(c, i).ForbidStatus },
			"fdocumentstatus": func(c *centre, i int) any { return at(c, i).DocumentStatus },
			"fpersonid":       func(c *centre, i int) any { return at(c, i).PersonID },
			"fstartdate":      func(c *centre, i int) any { return textOrNull(at(c, i).StartDate) },
			"fmodifydate":     func(c *centre, i int) any { return moment(at(c, i).Modified) },
		},
		hidden: map[string]func(Switches) bool{
			"fpersonid":       func(s Switches) bool { return s.HideFPersonID },
			"fperson.fnumber": func(s Switches) bool { return s.HidePersonNumber },
		},
		card: func(c *centre, i int) card {
			p := at(c, i)
			return card{p.ID, p.Number, p.Name, []member{
				{"ForbidStatus", p.ForbidStatus},
				{"DocumentStatus", p.DocumentStatus},
				{"IsFirstPost", p.First},
				{"Dept", c.department(p.DepartmentID)},
				{"Position", c.position(p.PositionID)},
			}}
		},
		status: func(c *centre, i int) *string { return &c.tables.Posts[i].ForbidStatus },
		write:  writePosts(),
	}
	byPerson := idIndex(func(c *centre, id int64) []int { return c.postsByPerson[id] })
	f.indexes = map[string]index{
		"fstaffid": idIndex(func(c *centre, id int64) []int { return one(c.postByID, id) }),
		"fnumber":  textIndex(func(c *centre, v string) []int { return c.postByNumber[v] }),
		"fperson":  byPerson, "fpersonid": byPerson,
		"fperson.fnumber": textIndex(func(c *centre, v string) []int {
			var out []int
			for _, id := range c.personByNo[v] {
				out = append(out, c.postsByPerson[id]...)
			}
			return out
		}),
	}
	f.reference("FPerson", func(c *centre, i int) BaseData { return BaseData(c.person(at(c, i).PersonID)) })
	f.reference("FEmpInfoId", func(c *centre, i int) BaseData { return c.staffRecord(at(c, i).StaffID) })
	f.reference("FDept", func(c *centre, i int) BaseData { return c.department(at(c, i).DepartmentID) })
	f.reference("FPosition", func(c *centre, i int) BaseData { return c.position(at(c, i).PositionID) })
	for _, key := range []string{"FCreateOrgId", "FUseOrgId"} {
		f.reference(key, func(c *centre, i int) BaseData { return c.organisation(at(c, i).OrgID) })
	}
	return f
}

func (c *centre) staffRecord(id int64) BaseData {
	if i, ok := c.staffByID[id]; ok {
		s := c.tables.Staff[i]
		return BaseData{s.ID, s.Number, s.Name}
	}
	return BaseData{}
}

// linkedTo is the users of a person; 0 is every user without one.
func (c *centre) linkedTo(personID int64) []int {
	if personID != 0 {
		return c.usersByPerson[personID]
	}
	var out []int
	for i, u := range c.tables.Users {
		if u.PersonID == 0 {
			out = append(out, i)
		}
	}
	return out
}

func secUser() *form {
	at := func(c *centre, i int) User { return c.tables.Users[i] }
	f := &form{
		id: "SEC_User", key: "fuserid",
		rows: func(c *centre) int { return len(c.tables.Users) },
		columns: map[string]column{
			"fuserid":       func(c *centre, i int) any { return at(c, i).ID },
			"fnumber":       func(c *centre, i int) any { return at(c, i).Account },
			"fname":         func(c *centre, i int) any { return at(c, i).Name },
			"fuseraccount":  func(c *centre, i int) any { return at(c, i).Account },
			"fusertype":     func(*centre, int) any { return "1" },
			"fforbidstatus": func(c *centre, i int) any { return at(c, i).ForbidStatus },
			"fislocked":     func(c *centre, i int) any { return c.isLocked(at(c, i)) },
			"fphone":        func(c *centre, i int) any { return at(c, i).Phone },
			"femail":        func(c *centre, i int) any { return at(c, i).Email },
			"fdescription":  func(*centre, int) any { return "" },
			"fcreatedate":   func(*centre, int) any { return "2020-01-01T00:00:00" },
			"fprimarygroup": func(*centre, int) any { return int64(0) },
		},
		hidden: map[string]func(Switches) bool{
			"flinkobject":         func(s Switches) bool { return s.HideFLinkObject },
			"flinkobject.fnumber": func(s Switches) bool { return s.HideLinkNumber },
			"flinkobject.fname":   func(s Switches) bool { return s.HideLinkNumber },
		},
		card: func(c *centre, i int) card {
			u := at(c, i)
			return card{u.ID, u.Account, u.Name, []member{
				{"UserAccount", u.Account},
				{"ForbidStatus", u.ForbidStatus},
				{"IsLocked", u.Locked},
				{"Phone", u.Phone},
				{"Email", u.Email},
				{"LinkObject", BaseData(c.person(u.PersonID))},
			}}
		},
		status: func(c *centre, i int) *string { return &c.tables.Users[i].ForbidStatus },
	}
	f.indexes = userIndexes()
	f.reference("FOrgId", func(c *centre, i int) BaseData { return c.organisation(at(c, i).OrgID) })
	f.reference("FLinkObject", func(c *centre, i int) BaseData { return BaseData(c.person(at(c, i).PersonID)) })
	return f
}

// userIndexes find users by id, by name, and by the person they belong to.
func userIndexes() map[string]index {
	return map[string]index{
		"fnumber":     textIndex(func(c *centre, v string) []int { return c.userByAccount[v] }),
		"fuserid":     idIndex(func(c *centre, id int64) []int { return one(c.userByID, id) }),
		"flinkobject": idIndex(func(c *centre, id int64) []int { return c.linkedTo(id) }),
		"fname": textIndex(func(c *centre, v string) []int {
			if i, ok := c.userByName[v]; ok {
				return []int{i}
			}
			return nil
		}),
		"flinkobject.fnumber": textIndex(func(c *centre, v string) []int {
			var out []int
			for _, id := range c.personByNo[v] {
				out = append(out, c.usersByPerson[id]...)
			}
			return out
		}),
	}
}

// columnOf ties a column to one data centre, for the filter.
func columnOf(c *centre, col column) filter.Column {
	return func(row int) any { return col(c, row) }
}
