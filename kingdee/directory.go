package kingdee

import (
	"context"
	"errors"
	"time"
)

// A text of a draft that is empty is left alone: on a new record it is not
// written, on an existing one it is not changed. To empty a field, name it in
// More with an empty text.

// StaffDraft is a staff record (员工) to be made or changed.
type StaffDraft struct {
	ID           string // internal id; empty makes a new record
	Number, Name string
	Mobile       string
	Email        string
	Organisation string    // number; default FormsConfig.Organisation
	JoinDate     time.Time // the day in UTC+8
	Account      string    // 用户账号 of the login user to link
	CreateUser   bool      // also make a login user
	Posts        []StaffPost
	More         Model // further fields, behind the others
}

// StaffPost is one row of a staff record: the position it holds. Rows that are
// not sent stay as they are.
type StaffPost struct {
	EntryID      string // of an existing row; empty makes one
	Organisation string // number; default that of the record
	Department   string // number
	Position     string // number
	Start        time.Time
	Primary      bool
}

// DepartmentDraft is a department (部门).
type DepartmentDraft struct {
	ID, Number, Name, FullName string
	Organisation               string
	Parent                     string // number; empty: a root, or no change
	More                       Model
}

// PositionDraft is a position (岗位).
type PositionDraft struct {
	ID, Number, Name string
	Organisation     string
	Department       string // number
	Effective        time.Time
	More             Model
}

// PostDraft is a post record (员工任岗信息): a person holds a position.
type PostDraft struct {
	ID, Number   string
	Organisation string
	Staff        string // staff number
	Department   string // number
	Position     string // number
	Start        time.Time
	Primary      bool
	Demote       bool // takes the mark of the main post off an existing record
	More         Model
}

// SaveStaff makes and changes staff records by BatchSave. There is one result
// for each draft, in the order given; the error is why those with ErrNotSent
// were not sent. A saved record is in status A: Submit and Audit it before
// anybody can sign in by it.
func (c *Client) SaveStaff(ctx context.Context, drafts []StaffDraft) ([]RowResult, error) {
	k := c.cfg.Users.Staff
	return c.saveRows(ctx, k.Form, []string{k.ID, c.cfg.Forms.Staff.EntryID}, rowsOf(drafts, c.staffRow))
}

func (c *Client) staffRow(d StaffDraft) row {
	k, f := c.cfg.Users.Staff, c.cfg.Forms.Staff
	b := modelOf(k.ID, d.ID)
	b.org(f.CreateOrg, f.UseOrg, c.orgOf(d.ID, d.Organisation))
	b.text(f.SaveNumber, d.Number)
	b.text(k.Name, d.Name)
	b.text(f.Mobile, d.Mobile)
	b.text(f.Email, d.Email)
	b.day(f.JoinDate, d.JoinDate)
	if d.Account != "" {
		b.add(f.LoginUser, UserAccount(d.Account))
	}
	if d.CreateUser {
		b.add(f.CreateUser, true)
	}
	if len(d.Posts) > 0 {
		var entries []Model
		for _, p := range d.Posts {
			entries = append(entries, f.entry(p, orText(p.Organisation, orText(d.Organisation, c.cfg.Forms.Organisation))))
		}
		b.add(f.Entries, entries)
	}
	return row{id: d.ID, number: d.Number, model: append(b.model, d.More...)}
}

func (f StaffForm) entry(p StaffPost, org string) Model {
	b := modelOf(f.EntryID, p.EntryID)
	b.ref(f.EntryOrg, org)
	b.ref(f.EntryDept, p.Department)
	b.ref(f.EntryPost, p.Position)
	b.day(f.EntryStart, p.Start)
	b.add(f.EntryPrimary, p.Primary)
	return b.model
}

// SaveDepartments makes and changes departments, as SaveStaff does. A parent
// must exist before its children: send them level by level.
func (c *Client) SaveDepartments(ctx context.Context, drafts []DepartmentDraft) ([]RowResult, error) {
	k := c.cfg.Forms.Department
	return c.saveRows(ctx, k.Form, []string{k.ID}, rowsOf(drafts, func(d DepartmentDraft) row {
		b := modelOf(k.ID, d.ID)
		b.org(k.CreateOrg, k.UseOrg, c.orgOf(d.ID, d.Organisation))
		b.text(k.Number, d.Number)
		b.text(k.Name, d.Name)
		b.text(k.FullName, d.FullName)
		b.ref(k.Parent, d.Parent)
		return row{id: d.ID, number: d.Number, model: append(b.model, d.More...)}
	}))
}

// SavePositions makes and changes positions, as SaveStaff does.
func (c *Client) SavePositions(ctx context.Context, drafts []PositionDraft) ([]RowResult, error) {
	k := c.cfg.Forms.Position
	return c.saveRows(ctx, k.Form, []string{k.ID}, rowsOf(drafts, func(d PositionDraft) row {
		b := modelOf(k.ID, d.ID)
		b.org(k.CreateOrg, k.UseOrg, c.orgOf(d.ID, d.Organisation))
		b.text(k.Number, d.Number)
		b.text(k.Name, d.Name)
		b.ref(k.Department, d.Department)
		b.day(k.EffectDate, d.Effective)
		return row{id: d.ID, number: d.Number, model: append(b.model, d.More...)}
	}))
}

// SavePosts makes and changes post records, as SaveStaff does.
func (c *Client) SavePosts(ctx context.Context, drafts []PostDraft) ([]RowResult, error) {
	k, f := c.cfg.Users.Post, c.cfg.Forms.Post
	return c.saveRows(ctx, k.Form, []string{k.ID}, rowsOf(drafts, func(d PostDraft) row {
		b := modelOf(k.ID, d.ID)
		b.org(f.CreateOrg, f.UseOrg, c.orgOf(d.ID, d.Organisation))
		b.text(f.Number, d.Number)
		b.ref(f.Person, d.Staff)
		b.ref(f.Employee, d.Staff)
		b.ref(f.Department, d.Department)
		b.ref(f.Position, d.Position)
		b.day(f.StartDate, d.Start)
		if d.ID == "" || d.Primary || d.Demote {
			b.primary(f, d.Primary)
		}
		return row{id: d.ID, number: d.Number, model: append(b.model, d.More...)}
	}))
}

// primary writes the mark of the main post, which queries show at the head.
func (b *builder) primary(f PostForm, on bool) {
	if f.PrimaryIn == None {
		b.add(f.Primary, on)
		return
	}
	b.add(f.PrimaryIn, Model{{f.Primary, on}})
}

// rowsOf gives each draft its row.
func rowsOf[D any](drafts []D, of func(D) row) []row {
	rows := make([]row, 0, len(drafts))
	for _, d := range drafts {
		rows = append(rows, of(d))
	}
	return rows
}

// orgOf is the organisation to write: a new record needs one, an existing one
// keeps its own unless another is named.
func (c *Client) orgOf(id, org string) string {
	if id == "" {
		return orText(org, c.cfg.Forms.Organisation)
	}
	return org
}

// Approve submits and audits records: only an audited staff record is one that
// anybody may sign in by. A record that is submitted already is audited; the
// result is the audit's, and one that was refused tells both reasons.
func (c *Client) Approve(ctx context.Context, form string, ids ...string) ([]RowResult, error) {
	submitted, err := c.Submit(ctx, form, ids...)
	if err != nil {
		return submitted, err
	}
	audited, err := c.Audit(ctx, form, ids...)
	for i := range audited {
		if audited[i].Err != nil {
			audited[i].Err = errors.Join(audited[i].Err, submitted[i].Err)
		}
	}
	return audited, err
}

// ForbidStaff takes staff records out of use, by internal id.
func (c *Client) ForbidStaff(ctx context.Context, ids ...string) ([]RowResult, error) {
	return c.Operate(ctx, c.cfg.Users.Staff.Form, OpForbid, ids...)
}

// EnableStaff takes staff records back into use, by internal id.
func (c *Client) EnableStaff(ctx context.Context, ids ...string) ([]RowResult, error) {
	return c.Operate(ctx, c.cfg.Users.Staff.Form, OpEnable, ids...)
}

// ForbidUser takes login users out of use, by internal id (FUserID).
func (c *Client) ForbidUser(ctx context.Context, ids ...string) ([]RowResult, error) {
	return c.Operate(ctx, c.cfg.Users.User.Form, Operation(c.cfg.Users.User.Forbid), ids...)
}

// EnableUser takes login users back into use, by internal id (FUserID).
func (c *Client) EnableUser(ctx context.Context, ids ...string) ([]RowResult, error) {
	return c.Operate(ctx, c.cfg.Users.User.Form, Operation(c.cfg.Users.User.Enable), ids...)
}

// builder puts a model together and leaves out what is empty.
type builder struct{ model Model }

// modelOf begins with the primary key; 0 makes a new record.
func modelOf(key, id string) *builder {
	b := &builder{}
	switch {
	case id == "":
		b.add(key, 0)
	case digits(id) && len(id) <= 18 && (id[0] != '0' || id == "0"):
		b.add(key, Decimal(id)) // ids are numbers, but they come as text too
	default:
		b.add(key, id)
	}
	return b
}

func (b *builder) add(key string, value any) { b.model = append(b.model, Field{key, value}) }

func (b *builder) text(key, value string) {
	if value != "" {
		b.add(key, value)
	}
}

func (b *builder) ref(key, number string) {
	if number != "" {
		b.add(key, Number(number))
	}
}

// org is the organisation that makes a record and the one that uses it.
func (b *builder) org(makes, uses, number string) {
	b.ref(makes, number)
	b.ref(uses, number)
}

func (b *builder) day(key string, at time.Time) {
	if !at.IsZero() {
		b.add(key, Day(at))
	}
}
