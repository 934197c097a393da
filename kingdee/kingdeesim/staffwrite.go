package kingdeesim

import (
	"fmt"
	"slices"
	"strconv"

	"kdgate/kingdee/kingdeesim/internal/loose"
)

// taken tells whether a number belongs to another record of the organisation.
func taken(rows []int, row int, sameOrg func(int) bool) bool {
	return slices.ContainsFunc(rows, func(i int) bool { return i != row && sameOrg(i) })
}

// unlist takes a row out of an index.
func unlist(index map[string][]int, key string, row int) {
	index[key] = slices.DeleteFunc(index[key], func(i int) bool { return i == row })
}

func writeStaff() *writing {
	return &writing{
		store: func(f *fields, row int) int {
			if row > 0 {
				row >>= lineBits
			}
			return storeStaff(f, row) << lineBits
		},
		state:  func(c *centre, row int) *string { return &c.tables.Staff[row>>lineBits].DocumentStatus },
		touch:  func(c *centre, row int) { c.tables.Staff[row>>lineBits].Modified = c.now() },
		remove: func(c *centre, row int) { c.removeStaff(row >> lineBits) },
	}
}

// storeStaff writes BD_Empinfo. A new record makes the natural person too; its
// posts become post records (K75, K76).
func storeStaff(f *fields, row int) int {
	c := f.centre
	rec := Staff{ForbidStatus: Enabled, OrgID: c.tables.Organisations[0].ID}
	if row >= 0 {
		rec = c.tables.Staff[row]
	}
	number := rec.Number
	f.text("FNumber", &number, false)
	f.text("FStaffNumber", &number, false)
	if number == "" {
		number = fmt.Sprintf("YG%06d", len(c.tables.Staff)+1)
	}
	if taken(c.staffByNumber[number], row, func(i int) bool { return c.tables.Staff[i].OrgID == rec.OrgID }) {
		f.duplicate("FStaffNumber", number)
	}
	f.text("FName", &rec.Name, true)
	f.text("FMobile", &rec.Mobile, false)
	f.text("FTel", &rec.Mobile, false)
	f.text("FEmail", &rec.Email, false)
	f.date("FJoinDate", &rec.JoinDate, false)
	f.ref("FCreateOrgId", formOrganisation, &rec.OrgID, true)
	f.ref("FUseOrgId", formOrganisation, &rec.OrgID, true)
	posts, sent := f.staffPosts(rec)
	account := f.loginUser()
	var makeUser bool
	f.flag("FCreateUser", &makeUser)
	if len(f.errors) > 0 {
		return 0
	}
	row = c.putStaff(row, rec, number)
	if sent {
		c.putPosts(row, posts, f.replace)
	}
	c.linkUser(row, account, makeUser)
	return row
}

// putStaff writes a record with its person, and keeps the indexes.
func (c *centre) putStaff(row int, rec Staff, number string) int {
	t := &c.tables
	if row < 0 {
		rec.ID, rec.PersonID = t.next(), t.next()
		t.Persons = append(t.Persons, Person{ID: rec.PersonID, Number: number, Name: rec.Name})
		c.personByID[rec.PersonID] = len(t.Persons) - 1
		c.personByNo[number] = append(c.personByNo[number], rec.PersonID)
		rec.Number = number
		t.Staff = append(t.Staff, rec)
		row = len(t.Staff) - 1
		c.staffByID[rec.ID] = row
		c.staffByNumber[number] = append(c.staffByNumber[number], row)
		return row
	}
	if i, ok := c.personByID[rec.PersonID]; ok {
		person := &t.Persons[i]
		person.Name = rec.Name
		if person.Number != number {
			c.personByNo[person.Number] = slices.DeleteFunc(c.personByNo[person.Number], func(id int64) bool { return id == person.ID })
			person.Number = number
			c.personByNo[number] = append(c.personByNo[number], person.ID)
		}
	}
	if rec.Number != number {
		unlist(c.staffByNumber, rec.Number, row)
		c.staffByNumber[number] = append(c.staffByNumber[number], row)
		rec.Number = number
	}
	t.Staff[row] = rec
	return row
}

// staffPosts reads FPostEntity.
func (f *fields) staffPosts(rec Staff) (posts []Post, sent bool) {
	rows, sent := f.entry("FPostEntity")
	for i, row := range rows {
		p := Post{OrgID: rec.OrgID, ForbidStatus: Enabled, DocumentStatus: Audited}
		p.ID, _ = strconv.ParseInt(row.Text("FENTRYID"), 10, 64)
		if at, ok := f.centre.postByID[p.ID]; ok && f.centre.tables.Posts[at].StaffID == rec.ID {
			p = f.centre.tables.Posts[at]
		} else if p.ID != 0 {
			f.fail("FPostEntity", "内码为“%d”的分录不存在", p.ID)
		}
		in := f.inside(row, fmt.Sprintf("FPostEntity[%d].", i), p.ID == 0)
		in.ref("FWorkOrgId", formOrganisation, &p.OrgID, true)
		in.ref("FPostDept", formDepartment, &p.DepartmentID, true)
		in.ref("FPost", "HR_ORG_HRPOST", &p.PositionID, true)
		in.date("FStaffStartDate", &p.StartDate, false)
		in.flag("FIsFirstPost", &p.First)
		f.errors = append(f.errors, in.errors...)
		posts = append(posts, p)
	}
	return posts, sent
}

// putPosts writes the posts of a staff record; the main one, or the first, is
// shown on the record itself. With replace, those that were not sent go.
func (c *centre) putPosts(staffRow int, posts []Post, replace bool) {
	rec := &c.tables.Staff[staffRow]
	kept := map[int64]bool{}
	for i, p := range posts {
		p.PersonID, p.StaffID, p.Name = rec.PersonID, rec.ID, rec.Name
		if p.ID == 0 {
			p.ID = c.tables.next()
			p.Modified = c.now()
			c.addPost(p)
		} else {
			c.tables.Posts[c.postByID[p.ID]] = p
		}
		kept[p.ID] = true
		if p.First || i == 0 {
			rec.DepartmentID, rec.PositionID = p.DepartmentID, p.PositionID
		}
	}
	if !replace {
		return
	}
	old := slices.Clone(c.postsByPerson[rec.PersonID])
	slices.Sort(old)
	gone := false
	for _, i := range slices.Backward(old) {
		if p := c.tables.Posts[i]; p.StaffID == rec.ID && !kept[p.ID] {
			c.tables.Posts, gone = slices.Delete(c.tables.Posts, i, i+1), true
		}
	}
	if gone {
		c.index()
	}
}

func (c *centre) addPost(p Post) int {
	if p.Number == "" {
		p.Number = c.postNumber(p)
	}
	c.tables.Posts = append(c.tables.Posts, p)
	row := len(c.tables.Posts) - 1
	c.postByID[p.ID] = row
	c.postByNumber[p.Number] = append(c.postByNumber[p.Number], row)
	c.postsByPerson[p.PersonID] = append(c.postsByPerson[p.PersonID], row)
	return row
}

// loginUser reads FUserId{FUSERACCOUNT} or {FUserID}; 0 is none.
func (f *fields) loginUser() int64 {
	var id int64
	f.ref("FUserId", "SEC_User", &id, false)
	return id
}

// linkUser joins a login user to the person, or makes one (FCreateUser).
func (c *centre) linkUser(staffRow int, id int64, create bool) {
	rec := c.tables.Staff[staffRow]
	if row, ok := c.userByID[id]; ok && id != 0 {
		old := c.tables.Users[row].PersonID
		c.usersByPerson[old] = slices.DeleteFunc(c.usersByPerson[old], func(i int) bool { return i == row })
		c.tables.Users[row].PersonID = rec.PersonID
		c.usersByPerson[rec.PersonID] = append(c.usersByPerson[rec.PersonID], row)
	}
	if !create || len(c.usersByPerson[rec.PersonID]) > 0 {
		return
	}
	name := rec.Name
	for n := 2; ; n++ {
		if _, used := c.userByName[name]; !used {
			break
		}
		name = fmt.Sprintf("%s%d", rec.Name, n) // namesakes get a number (K77)
	}
	user := User{ID: c.tables.next(), Name: name, Account: rec.Number, PersonID: rec.PersonID, OrgID: rec.OrgID, Phone: rec.Mobile, ForbidStatus: Enabled}
	c.tables.Users = append(c.tables.Users, user)
	row := len(c.tables.Users) - 1
	c.userByName[name], c.userByID[user.ID] = row, row
	c.userByAccount[user.Account] = append(c.userByAccount[user.Account], row)
	c.usersByPerson[rec.PersonID] = append(c.usersByPerson[rec.PersonID], row)
}

// removeStaff deletes a record with its posts; the person and users stay.
func (c *centre) removeStaff(row int) {
	id := c.tables.Staff[row].ID
	c.tables.Staff = slices.Delete(c.tables.Staff, row, row+1)
	c.tables.Posts = slices.DeleteFunc(c.tables.Posts, func(p Post) bool { return p.StaffID == id })
	c.index()
}

func writePosts() *writing {
	return &writing{
		store: storePost,
		state: func(c *centre, row int) *string { return &c.tables.Posts[row].DocumentStatus },
		touch: func(c *centre, row int) {
			c.tables.Posts[row].Modified = c.now()
			c.showMain(c.tables.Posts[row])
		},
		remove: func(c *centre, row int) {
			c.tables.Posts = slices.Delete(c.tables.Posts, row, row+1)
			c.index()
		},
	}
}

// showMain has a staff record show its main post, once that is audited.
func (c *centre) showMain(p Post) {
	if i, ok := c.staffByID[p.StaffID]; ok && p.First && p.ForbidStatus == Enabled && p.DocumentStatus == Audited {
		rec := &c.tables.Staff[i]
		rec.DepartmentID, rec.PositionID, rec.Modified = p.DepartmentID, p.PositionID, c.now()
	}
}

// postEntries are the posts of a staff record as View shows them.
func (c *centre) postEntries(staff Staff) []members {
	list := []members{}
	for _, i := range slices.Sorted(slices.Values(c.postsByPerson[staff.PersonID])) {
		if p := c.tables.Posts[i]; p.StaffID == staff.ID {
			list = append(list, members{
				{"Id", p.ID},
				{"Seq", len(list) + 1},
				{"Post_Id", p.PositionID},
				{"StaffStartDate", textOrNull(p.StartDate)},
				{"PostDept_Id", p.DepartmentID},
				{"StaffDetails", p.ID},
				{"IsFirstPost", p.First},
			})
		}
	}
	return list
}

// hasMainPost reports whether another post of a staff record is the main one and
// in use.
func (c *centre) hasMainPost(staff, but int64) bool {
	i, ok := c.staffByID[staff]
	return ok && slices.ContainsFunc(c.postsByPerson[c.tables.Staff[i].PersonID], func(row int) bool {
		p := c.tables.Posts[row]
		return p.StaffID == staff && p.ID != but && p.First && p.ForbidStatus != Forbidden
	})
}

// storePost writes BD_NEWSTAFF. A person holds any number of posts, one of them
// as the main one (K76).
func storePost(f *fields, row int) int {
	c := f.centre
	rec := Post{ForbidStatus: Enabled, OrgID: c.tables.Organisations[0].ID}
	if row >= 0 {
		rec = c.tables.Posts[row]
	}
	number := rec.Number
	f.text("FNumber", &number, false)
	if number != "" && taken(c.postByNumber[number], row, func(i int) bool { return c.tables.Posts[i].OrgID == rec.OrgID }) {
		f.duplicate("FNumber", number)
	}
	f.ref("FCreateOrgId", formOrganisation, &rec.OrgID, true)
	f.ref("FUseOrgId", formOrganisation, &rec.OrgID, true)
	f.ref("FEmpInfoId", formStaff, &rec.StaffID, row < 0)
	f.ref("FDept", formDepartment, &rec.DepartmentID, true)
	f.ref("FPosition", "HR_ORG_HRPOST", &rec.PositionID, true)
	f.date("FStartDate", &rec.StartDate, false)
	if value, ok := f.given("FPOSTBILLEntity"); ok { // queries show FIsFirstPost at the head, a Save takes it here (reference 4.2)
		if o, isObject := value.(loose.Object); isObject {
			f.inside(o, "FPOSTBILLEntity.", f.fresh).flag("FIsFirstPost", &rec.First)
		}
	}
	if rec.First && rec.ForbidStatus != Forbidden && c.hasMainPost(rec.StaffID, rec.ID) {
		f.fail("FIsFirstPost", "员工已存在主任岗")
	}
	if len(f.errors) > 0 {
		return 0
	}
	if i, ok := c.staffByID[rec.StaffID]; ok {
		rec.PersonID, rec.Name = c.tables.Staff[i].PersonID, c.tables.Staff[i].Name
	}
	if row < 0 {
		rec.ID, rec.Number = c.tables.next(), number
		return c.addPost(rec)
	}
	if rec.Number != number && number != "" {
		unlist(c.postByNumber, rec.Number, row)
		c.postByNumber[number] = append(c.postByNumber[number], row)
		rec.Number = number
	}
	c.tables.Posts[row] = rec
	return row
}
