package dingtalksim

import (
	"regexp"
	"slices"
)

// userFields are the members that user/get and user/list share. Empty ones are
// omitted, never sent as "" or null (SIM-D63).
type userFields struct {
	UserID     string  `json:"userid"`
	UnionID    string  `json:"unionid"`
	Name       string  `json:"name"`
	Avatar     string  `json:"avatar,omitempty"`
	StateCode  string  `json:"state_code,omitempty"`
	Mobile     string  `json:"mobile,omitempty"`
	HideMobile bool    `json:"hide_mobile"`
	Telephone  string  `json:"telephone,omitempty"`
	JobNumber  string  `json:"job_number,omitempty"`
	Title      string  `json:"title,omitempty"`
	Email      string  `json:"email,omitempty"`
	OrgEmail   string  `json:"org_email,omitempty"`
	WorkPlace  string  `json:"work_place,omitempty"`
	Remark     string  `json:"remark,omitempty"`
	Enterprise bool    `json:"exclusive_account"`
	DeptIDs    []int64 `json:"dept_id_list"`
	Extension  string  `json:"extension,omitempty"`
	HiredDate  int64   `json:"hired_date,omitempty"`
	Active     bool    `json:"active"`
	Admin      bool    `json:"admin"`
	Boss       bool    `json:"boss"`
}

// userFields shows p as far as the caller's field permissions go.
func (c *call) userFields(p *Person) userFields {
	f := userFields{
		UserID: p.UserID, UnionID: p.UnionID, Name: p.Name, Avatar: p.Avatar,
		HideMobile: p.HideMobile, Telephone: p.Telephone, JobNumber: p.JobNumber, Title: p.Title,
		Enterprise: p.Enterprise, DeptIDs: p.Departments, HiredDate: p.HiredDate,
		Active: !p.Unactivated, Admin: p.Admin, Boss: p.Boss,
	}
	if c.permitted(permFieldMobile) {
		f.StateCode, f.Mobile = p.StateCode, p.Mobile
	}
	if c.permitted(permFieldEmail) {
		f.Email, f.OrgEmail, f.WorkPlace, f.Remark, f.Extension = p.Email, p.OrgEmail, p.WorkPlace, p.Remark, p.Extension
	}
	return f
}

type deptOrder struct {
	DeptID int64 `json:"dept_id"`
	Order  int64 `json:"order"`
}

type deptLeader struct {
	DeptID int64 `json:"dept_id"`
	Leader bool  `json:"leader"`
}

type userDetail struct {
	userFields
	ManagerUserID string       `json:"manager_userid,omitempty"`
	DeptOrders    []deptOrder  `json:"dept_order_list"`
	RealAuthed    bool         `json:"real_authed"`
	Senior        bool         `json:"senior"`
	LeaderInDept  []deptLeader `json:"leader_in_dept"`
	Roles         []Role       `json:"role_list,omitempty"`
}

// userGet is POST /topapi/v2/user/get (5.3).
func (c *call) userGet() answer {
	userid := c.params.text("userid")
	if userid == "" {
		return c.badParam("userid不能为空")
	}
	dir := &c.app.corp.dir
	p := dir.employee(userid)
	if p == nil {
		return c.noUser()
	}
	if !dir.inside(p, c.app.load().Range) {
		return c.refuse(50002, "请求的员工userid不在授权范围内")
	}
	d := userDetail{
		userFields: c.userFields(p), ManagerUserID: p.ManagerUserID,
		RealAuthed: p.RealAuthed, Senior: p.Senior, Roles: p.Roles,
	}
	for _, id := range p.Departments {
		d.DeptOrders = append(d.DeptOrders, deptOrder{id, dir.entered(userid)})
		d.LeaderInDept = append(d.LeaderInDept, deptLeader{id, slices.Contains(p.LeaderOf, id)})
	}
	return c.result(d)
}

func (d *directory) entered(userid string) int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := d.people[userid]; e != nil {
		return e.entered
	}
	return 0
}

// getByUnionID is POST /topapi/user/getbyunionid (SIM-D56).
func (c *call) getByUnionID() answer {
	unionid := c.params.text("unionid")
	if unionid == "" {
		return c.badParam("unionid不能为空")
	}
	p := c.app.corp.dir.byUnionID(unionid)
	if p == nil || !p.Left.IsZero() {
		return c.noUser()
	}
	if !c.app.corp.dir.inside(p, c.app.load().Range) && !p.External {
		return c.refuse(50002, "请求的员工userid不在授权范围内")
	}
	kind := 0
	if p.External {
		kind = 1
	}
	return c.result(struct {
		ContactType int    `json:"contact_type"`
		UserID      string `json:"userid"`
	}{kind, p.UserID})
}

func (d *directory) byUnionID(unionid string) *Person {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := d.people[d.byUnion[unionid]]; e != nil {
		return &e.Person
	}
	return nil
}

var mobileForm = regexp.MustCompile(`^\+?[0-9-]{5,20}$`)

// getByMobile is POST /topapi/v2/user/getbymobile (2.6).
func (c *call) getByMobile() answer {
	mobile := c.params.text("mobile")
	if !mobileForm.MatchString(mobile) {
		return c.refuse(40104, "无效的手机号")
	}
	for _, p := range c.app.corp.dir.present() {
		if p.Mobile != mobile {
			continue
		}
		if !c.app.corp.dir.inside(p, c.app.load().Range) {
			return c.refuse(50002, "请求的员工userid不在授权范围内")
		}
		return c.result(struct {
			UserID string `json:"userid"`
		}{p.UserID})
	}
	return c.noUser()
}

// present are all employees, in no order.
func (d *directory) present() []*Person {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]*Person, 0, len(d.people))
	for _, e := range d.people {
		if !e.External && e.Left.IsZero() {
			list = append(list, &e.Person)
		}
	}
	return list
}

// page is one page of a department's members.
type page struct {
	HasMore    bool
	NextCursor *int64 // absent on the last page (SIM-D60)
}

type listItem struct {
	userFields
	DeptOrder int64 `json:"dept_order"`
	Leader    bool  `json:"leader"`
}

// userList is POST /topapi/v2/user/list; its items lack what only user/get
// shows (SIM-D62).
func (c *call) userList() answer {
	return c.members(func(b []byte, dept int64, e *entry) []byte {
		item := listItem{c.userFields(&e.Person), e.entered, slices.Contains(e.LeaderOf, dept)}
		return item.append(b)
	})
}

// userListSimple is POST /topapi/user/listsimple.
func (c *call) userListSimple() answer {
	return c.members(func(b []byte, _ int64, e *entry) []byte {
		b = appendText(append(b, '{'), "userid", e.UserID, true)
		return append(appendText(b, "name", e.Name, true), '}')
	})
}

// members cuts one page out of a department's direct members. The cursor is a
// plain offset into the list as it is now: someone who moves between two pages
// is seen twice or not at all (SIM-D67).
func (c *call) members(show func(b []byte, dept int64, e *entry) []byte) answer {
	dept, bad, ok := c.deptParam(0)
	if !ok {
		return bad
	}
	cursor, _, err := c.params.integer("cursor")
	if err != nil || cursor < 0 {
		return c.refuse(40068, "不合法的偏移量")
	}
	size, present, err := c.params.integer("size")
	if !present {
		return c.refuse(40035, "缺少参数 size")
	}
	if err != nil || size < 1 || size > 100 {
		return c.refuse(40069, "不合法的size")
	}
	dir, rng := &c.app.corp.dir, c.app.load().Range
	if !dir.deptInside(dept, rng) {
		return c.outOfRangeDept()
	}
	all := dir.membersOf(dept, c.params.text("order_field"), false)
	from := min(cursor, int64(len(all)))
	to := min(from+size, int64(len(all)))
	p := page{HasMore: to < int64(len(all))}
	if p.HasMore {
		p.NextCursor = &to
	}
	items := append(make([]byte, 0, 1024*(to-from)+2), '[')
	for i, e := range all[from:to] {
		if i > 0 {
			items = append(items, ',')
		}
		items = show(items, dept, e)
	}
	return c.resultText(p.append(nil, append(items, ']')))
}

// userListID is POST /topapi/user/listid: no paging, not limited by the range
// (SIM-D57).
func (c *call) userListID() answer {
	dept, bad, ok := c.deptParam(0)
	if !ok {
		return bad
	}
	ids := []string{}
	for _, e := range c.app.corp.dir.membersOf(dept, "", true) {
		ids = append(ids, e.UserID)
	}
	return c.result(struct {
		UserIDs []string `json:"userid_list"`
	}{ids})
}

// userCount is POST /topapi/user/count: the whole organisation.
func (c *call) userCount() answer {
	onlyActive, n := c.params.boolean("only_active"), 0
	for _, p := range c.app.corp.dir.present() {
		if !onlyActive || !p.Unactivated {
			n++
		}
	}
	return c.result(struct {
		Count int `json:"count"`
	}{n})
}
