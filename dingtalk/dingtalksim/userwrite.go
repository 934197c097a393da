package dingtalksim

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// permManage is 通讯录编辑权限 (section 0.5).
const permManage = "qyapi_manage_addresslist"

// userWriteEndpoints are the calls that change people (5.3, "Writing").
func userWriteEndpoints() map[string]endpoint {
	write := func(run func(*call) answer) endpoint {
		return endpoint{method: http.MethodPost, access: accessApp, perm: permManage, run: run}
	}
	return map[string]endpoint{
		"/topapi/v2/user/create": write((*call).userCreate),
		"/topapi/v2/user/update": write((*call).userUpdate),
		"/topapi/v2/user/delete": write((*call).userDelete),
	}
}

var plainMobile = regexp.MustCompile(`^[0-9]{8,15}$`)

// userCreate makes a person who is in the organisation at once, or, where the
// switch says that people must agree, only invites them (40103).
func (c *call) userCreate() answer {
	p := Person{UserID: c.params.text("userid"), Name: c.params.text("name"), Mobile: c.params.text("mobile")}
	switch {
	case p.Name == "" || p.Mobile == "":
		return c.badParam("name和mobile不能为空")
	case !plainMobile.MatchString(p.Mobile):
		return c.refuse(40104, "无效的手机号")
	case c.params.text("dept_id_list") == "":
		return c.badParam("dept_id_list不能为空")
	}
	if p.UserID == "" {
		p.UserID = "u" + c.s.rand.uuid()[:12]
	}
	if ok, refusal := c.fill(&p); !ok {
		return refusal
	}
	for _, other := range c.app.corp.dir.present() {
		if other.Mobile == p.Mobile {
			return c.refuse(60104, "手机号码在公司中已存在")
		}
	}
	if c.s.sw().PeopleMustAgree {
		return c.refuse(40103, "已发送邀请,等待对方同意")
	}
	stored, err := c.app.corp.dir.add(p, c.s.clock.now())
	if errors.Is(err, ErrExists) {
		return c.refuse(60102, "UserID在公司中已存在")
	}
	if err != nil {
		return c.badParam("参数不合法")
	}
	if err := c.s.emitPerson(c.app.corp.id, nil, stored); err != nil {
		return c.refuse(-1, "系统繁忙")
	}
	return c.result(struct {
		UserID  string `json:"userid"`
		UnionID string `json:"unionId"`
	}{stored.UserID, stored.UnionID})
}

// fill reads the members that create and update share. Departments come as text
// with commas.
func (c *call) fill(p *Person) (ok bool, refusal answer) {
	for name, field := range map[string]*string{
		"job_number": &p.JobNumber, "title": &p.Title, "email": &p.Email, "work_place": &p.WorkPlace, "remark": &p.Remark,
		"telephone": &p.Telephone, "extension": &p.Extension, "name": &p.Name,
	} {
		if _, sent := c.params[name]; sent {
			*field = c.params.text(name)
		}
	}
	if hired, sent, err := c.params.integer("hired_date"); err != nil {
		return false, c.badParam("hired_date不合法")
	} else if sent {
		p.HiredDate = hired
	}
	list := c.params.text("dept_id_list")
	if list == "" {
		return true, answer{}
	}
	p.Departments = nil
	for text := range strings.SplitSeq(list, ",") {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || !c.app.corp.dir.holdsDept(id) {
			return false, c.refuse(60003, "部门不存在")
		}
		p.Departments = append(p.Departments, id)
	}
	return true, answer{}
}

func (d *directory) holdsDept(id int64) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.hasDept(id)
}

// userUpdate changes what is sent. The mobile cannot be changed (40022), nor
// title and department where 智能人事职位管理 is on (12150).
func (c *call) userUpdate() answer {
	before := c.app.corp.dir.employee(c.params.text("userid"))
	if before == nil {
		return c.noUser()
	}
	if mobile := c.params.text("mobile"); mobile != "" && mobile != before.Mobile {
		return c.refuse(40022, "不允许更新手机号")
	}
	if c.s.sw().HRManagesPosts && (c.params.text("title") != "" || c.params.text("dept_id_list") != "") {
		return c.refuse(12150, "智能人事职位管理已开启,不能修改职位和部门")
	}
	next := *before
	if ok, refusal := c.fill(&next); !ok {
		return refusal
	}
	was := *before
	stored, err := c.app.corp.dir.change(before.UserID, c.s.clock.now(), func(p *Person) error { *p = next; return nil })
	if err != nil {
		return c.badParam("参数不合法")
	}
	if err := c.s.emitPerson(c.app.corp.id, &was, stored); err != nil {
		return c.refuse(-1, "系统繁忙")
	}
	return c.result(struct{}{})
}

// userDelete takes a person out of the organisation.
func (c *call) userDelete() answer {
	before := c.app.corp.dir.employee(c.params.text("userid"))
	if before == nil {
		return c.noUser()
	}
	was := *before
	stored, err := c.app.corp.dir.change(before.UserID, c.s.clock.now(), func(p *Person) error {
		p.Left, p.LeaveReason = c.s.clock.now(), "oapi"
		return nil
	})
	if err != nil {
		return c.noUser()
	}
	if err := c.s.emitPerson(c.app.corp.id, &was, stored); err != nil {
		return c.refuse(-1, "系统繁忙")
	}
	return c.result(struct{}{})
}
