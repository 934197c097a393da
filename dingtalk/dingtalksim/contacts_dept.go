package dingtalksim

import (
	"slices"
)

// schoolRoot is the root of the school address book, which contact calls refuse.
const schoolRoot = -7

// deptParam reads dept_id; absent means the default, or an error when that is
// 0. It refuses departments that do not exist, whatever the range.
func (c *call) deptParam(byDefault int64) (int64, answer, bool) {
	id, present, err := c.params.integer("dept_id")
	switch {
	case err != nil:
		return 0, c.badParam("dept_id不合法"), false
	case !present && byDefault == 0:
		return 0, c.refuse(40035, "缺少参数 dept_id"), false
	case !present:
		return byDefault, answer{}, true
	case id == schoolRoot || id <= 0:
		no := false
		return 0, c.old("40009", oldError{ErrCode: 40009, Success: &no, ErrMsg: "不合法的部门id", RequestID: c.requestID()}), false
	}
	if _, ok := c.app.corp.dir.department(id); !ok {
		return 0, c.refuse(60003, "部门不存在"), false
	}
	return id, answer{}, true
}

func (c *call) outOfRangeDept() answer {
	return c.refuse(50004, "请求的部门id不在授权范围内")
}

func (d *directory) department(id int64) (Department, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	dep, ok := d.depts[id]
	return dep, ok
}

// childrenOf lists the departments one level below id.
func (d *directory) childrenOf(id int64) []Department {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := []Department{}
	for _, child := range d.children[id] {
		list = append(list, d.depts[child])
	}
	return list
}

// chain is id and everything above it, the root last.
func (d *directory) chain(id int64) []int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var ids []int64
	for ; id != 0; id = d.depts[id].ParentID {
		ids = append(ids, id)
	}
	return ids
}

type subDept struct {
	ID              int64  `json:"dept_id"`
	Name            string `json:"name"`
	ParentID        int64  `json:"parent_id"`
	CreateDeptGroup bool   `json:"create_dept_group"`
	AutoAddUser     bool   `json:"auto_add_user"`
}

// deptListSub is POST /topapi/v2/department/listsub: one level, limited to the
// range (SIM-D57); result is an array (SIM-D58). Asked for the root under a
// partial range it shows what the range leaves of the first level.
func (c *call) deptListSub() answer {
	id, bad, ok := c.deptParam(rootDept)
	if !ok {
		return bad
	}
	dir, rng := &c.app.corp.dir, c.app.load().Range
	if id != rootDept && !dir.deptInside(id, rng) {
		return c.outOfRangeDept()
	}
	list := []subDept{}
	for _, d := range dir.childrenOf(id) {
		if dir.deptInside(d.ID, rng) {
			list = append(list, subDept{ID: d.ID, Name: d.Name, ParentID: d.ParentID, CreateDeptGroup: true, AutoAddUser: true})
		}
	}
	return c.result(list)
}

// deptListSubID is POST /topapi/v2/department/listsubid: not limited by the
// range; result is an object.
func (c *call) deptListSubID() answer {
	id, bad, ok := c.deptParam(rootDept)
	if !ok {
		return bad
	}
	ids := []int64{}
	for _, d := range c.app.corp.dir.childrenOf(id) {
		ids = append(ids, d.ID)
	}
	return c.result(struct {
		IDs []int64 `json:"dept_id_list"`
	}{ids})
}

type deptDetail struct {
	ID                  int64    `json:"dept_id"`
	Name                string   `json:"name"`
	ParentID            int64    `json:"parent_id,omitempty"` // the root has none (SIM-D59)
	Order               int64    `json:"order"`
	Managers            []string `json:"dept_manager_userid_list"`
	CreateDeptGroup     bool     `json:"create_dept_group"`
	AutoAddUser         bool     `json:"auto_add_user"`
	HideDept            bool     `json:"hide_dept"`
	Permits             []int64  `json:"dept_permits,omitempty"` // only while the department is hidden
	PermitUsers         []string `json:"user_permits,omitempty"`
	OuterDept           bool     `json:"outer_dept"`
	OrgDeptOwner        string   `json:"org_dept_owner,omitempty"`
	GroupContainSubDept bool     `json:"group_contain_sub_dept"`
	FromUnionOrg        bool     `json:"from_union_org"`
	Code                string   `json:"code,omitempty"`
	MemberCount         int      `json:"member_count"`
	OwningMemberCount   int      `json:"owning_member_count"`
	AutoApproveApply    bool     `json:"auto_approve_apply"`
}

// deptGet is POST /topapi/v2/department/get.
func (c *call) deptGet() answer {
	id, bad, ok := c.deptParam(0)
	if !ok {
		return bad
	}
	dir := &c.app.corp.dir
	if !dir.deptInside(id, c.app.load().Range) {
		return c.outOfRangeDept()
	}
	d, _ := dir.department(id)
	own, all := dir.count(id)
	managers := d.Managers
	if managers == nil {
		managers = []string{}
	}
	detail := deptDetail{
		ID: d.ID, Name: d.Name, ParentID: d.ParentID, Order: d.Order, Managers: managers, Code: d.Code,
		CreateDeptGroup: true, AutoAddUser: true, GroupContainSubDept: true,
		MemberCount: all, OwningMemberCount: own, HideDept: d.Hidden,
	}
	if d.Hidden {
		detail.Permits, detail.PermitUsers = d.Permits, d.PermitUsers
	}
	return c.result(detail)
}

// count gives the direct members and, each person once, those of everything
// below too.
func (d *directory) count(id int64) (own, all int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	seen := map[string]bool{}
	todo := []int64{id}
	for len(todo) > 0 {
		next := todo[0]
		todo = append(todo[1:], d.children[next]...)
		for userid := range d.members[next] {
			seen[userid] = true
		}
	}
	return len(d.members[id]), len(seen)
}

// deptParentsByDept is POST /topapi/v2/department/listparentbydept.
func (c *call) deptParentsByDept() answer {
	id, bad, ok := c.deptParam(0)
	if !ok {
		return bad
	}
	return c.result(struct {
		IDs []int64 `json:"parent_id_list"`
	}{c.app.corp.dir.chain(id)})
}

// deptParentsByUser is POST /topapi/v2/department/listparentbyuser: one chain
// per department of the person.
func (c *call) deptParentsByUser() answer {
	dir := &c.app.corp.dir
	p := dir.employee(c.params.text("userid"))
	if p == nil {
		return c.noUser()
	}
	type chain struct {
		IDs []int64 `json:"parent_dept_id_list"`
	}
	list := []chain{}
	for _, id := range p.Departments {
		list = append(list, chain{dir.chain(id)})
	}
	return c.result(struct {
		Parents []chain `json:"parent_list"`
	}{list})
}

// authScopes is GET /auth/scopes: the configured range (SIM-D35). The field
// names are the older ones, as the vendor's page has them.
func (c *call) authScopes() answer {
	depts, users := []int64{rootDept}, []string{}
	if r := c.app.load().Range; r != nil {
		depts, users = append([]int64{}, r.Departments...), append(users, r.Users...)
	}
	fields := []string{"jobnumber", "name", "avatar", "isAdmin", "department", "position", "userid"}
	if c.permitted(permFieldMobile) {
		fields = append(fields, "mobile")
	}
	if c.permitted(permFieldEmail) {
		fields = append(fields, "email")
	}
	slices.Sort(fields)
	type scopes struct {
		Users []string `json:"authed_user"`
		Depts []int64  `json:"authed_dept"`
	}
	return c.old("0", struct {
		ErrCode   int      `json:"errcode"`
		ErrMsg    string   `json:"errmsg"`
		Scopes    scopes   `json:"auth_org_scopes"`
		Fields    []string `json:"auth_user_field"`
		Condition []string `json:"condition_field"`
	}{0, "ok", scopes{users, depts}, fields, []string{}})
}
