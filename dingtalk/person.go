package dingtalk

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/internal/strictjson"
)

var opUser = operation{name: "userget", host: oldHost, path: "/topapi/v2/user/get", class: ClassLogin}

// Person is one person of the address book (reference 5.3). DingTalk omits
// empty fields, and fields whose permission the application lacks, alike: an
// empty field here says "not told", never "removed". Scopes.Fields tells what
// the application may see.
type Person struct {
	identity.Subject
	UnionID    string
	Name       string
	JobNumber  string // neither mandatory nor unique
	StateCode  string
	Mobile     string
	Telephone  string
	Title      string
	Email      string
	OrgEmail   string
	WorkPlace  string
	Remark     string
	Manager    string // userid of the direct manager; user/get only
	Active     bool   // has activated DingTalk; false does not mean "left"
	Admin      bool
	Boss       bool
	Enterprise bool      // an enterprise account
	HiredAt    time.Time // zero when not filled in

	Departments []int64           // in no documented order: no main department first
	Leads       []int64           // departments the person leads; in Members only the one asked for
	Orders      []DepartmentOrder // rank within departments; in Members only the one asked for
	Roles       []Role            // user/get only

	// ExtensionText is the JSON text of the organisation's own fields; see
	// Extension.
	ExtensionText string
}

// DepartmentOrder is a person's rank within one department.
type DepartmentOrder struct{ Department, Order int64 }

// Role is a role that a person has.
type Role struct {
	ID          int64
	Name, Group string
}

// Extension reads the organisation's own fields. People type there: a text
// that cannot be read, or names a field twice, counts as not told.
func (p Person) Extension() map[string]string { return decodeExtension(p.ExtensionText) }

// Person reads one person in full. Kind NotFound means that DingTalk was asked
// and has no such person in this organisation, or that the person has left.
func (c *Client) Person(ctx context.Context, userid string) (Person, error) {
	op := opUser
	if c.background {
		op.class = ClassDirectory // the same API and rate, another budget
	}
	r, err := c.user(ctx, op, userid)
	if err != nil {
		return Person{}, err
	}
	return r.person(c.cfg.Corp), nil
}

// user reads the record and makes sure that it is the one asked for.
func (c *Client) user(ctx context.Context, op operation, userid string) (personRecord, error) {
	if !validUserID(userid) {
		return personRecord{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: malformed userid")
	}
	var out struct {
		Result personRecord `json:"result"`
	}
	if err := c.ask(ctx, op, map[string]string{"userid": userid, "language": "zh_CN"}, &out); err != nil {
		return personRecord{}, err
	}
	if out.Result.UserID != userid {
		return personRecord{}, c.nonsense(op, "userid")
	}
	return out.Result, nil
}

// personRecord is the part of user/get and of the items of user/list that we
// use. Absent fields stay empty.
type personRecord struct {
	UserID     string `json:"userid"`
	UnionID    string `json:"unionid"`
	Name       string `json:"name"`
	JobNumber  string `json:"job_number"`
	StateCode  string `json:"state_code"`
	Mobile     string `json:"mobile"`
	Telephone  string `json:"telephone"`
	Title      string `json:"title"`
	Email      string `json:"email"`
	OrgEmail   string `json:"org_email"`
	WorkPlace  string `json:"work_place"`
	Remark     string `json:"remark"`
	Manager    string `json:"manager_userid"`
	Extension  string `json:"extension"`
	HiredDate  number `json:"hired_date"` // Unix milliseconds
	Active     flag   `json:"active"`
	Admin      flag   `json:"admin"`
	Boss       flag   `json:"boss"`
	Enterprise flag   `json:"exclusive_account"`
	DeptIDs    ids    `json:"dept_id_list"`
	// user/get
	LeaderIn listOf[leaderRecord] `json:"leader_in_dept"`
	Orders   listOf[orderRecord]  `json:"dept_order_list"`
	Roles    listOf[roleRecord]   `json:"role_list"`
	// user/list, about the department asked for
	Leader    flag   `json:"leader"`
	DeptOrder number `json:"dept_order"`
}

type leaderRecord struct {
	DeptID number `json:"dept_id"`
	Leader flag   `json:"leader"`
}

type orderRecord struct {
	DeptID number `json:"dept_id"`
	Order  number `json:"order"`
}

type roleRecord struct {
	ID    number `json:"id"`
	Name  string `json:"name"`
	Group string `json:"group_name"`
}

func (r *personRecord) person(corp string) Person {
	p := Person{
		Subject: identity.Subject{Corp: corp, UserID: r.UserID}, UnionID: r.UnionID, Name: r.Name,
		JobNumber: r.JobNumber, StateCode: r.StateCode, Mobile: r.Mobile, Telephone: r.Telephone, Title: r.Title,
		Email: r.Email, OrgEmail: r.OrgEmail, WorkPlace: r.WorkPlace, Remark: r.Remark, Manager: r.Manager,
		Active: bool(r.Active), Admin: bool(r.Admin), Boss: bool(r.Boss), Enterprise: bool(r.Enterprise),
		HiredAt: milli(r.HiredDate), ExtensionText: r.Extension, Departments: r.DeptIDs,
	}
	for _, l := range r.LeaderIn {
		if l.Leader {
			p.Leads = append(p.Leads, int64(l.DeptID))
		}
	}
	for _, o := range r.Orders {
		p.Orders = append(p.Orders, DepartmentOrder{int64(o.DeptID), int64(o.Order)})
	}
	for _, role := range r.Roles {
		p.Roles = append(p.Roles, Role{int64(role.ID), role.Name, role.Group})
	}
	return p
}

// milli is a time in Unix milliseconds, zero for an absent one.
func milli(n number) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(n))
}

func decodeExtension(raw string) map[string]string {
	if raw == "" {
		return nil
	}
	var fields map[string]jsontext.Value
	if strictjson.Decode([]byte(raw), &fields) != nil {
		return nil
	}
	told := make(map[string]string, len(fields))
	for name, value := range fields {
		if s := text(value); s != "" {
			told[name] = s
		}
	}
	return told
}
