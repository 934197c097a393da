package dingtalk

import (
	"context"
	"strconv"
	"strings"
	"time"

	"kdgate/identity"
)

// The calls that change people (reference 5.3, "Writing") need the permission
// 通讯录编辑 (qyapi_manage_addresslist), which only a house whose HR system is the
// master gives. None has an idempotency key: each is sent once, and whoever meets
// an ambiguous failure reads the person again.
var (
	opCreateUser = operation{name: "usercreate", host: oldHost, path: "/topapi/v2/user/create", single: true, class: ClassDirectory}
	opUpdateUser = operation{name: "userupdate", host: oldHost, path: "/topapi/v2/user/update", single: true, class: ClassDirectory}
	opDeleteUser = operation{name: "userdelete", host: oldHost, path: "/topapi/v2/user/delete", single: true, class: ClassDirectory}
)

// PersonDraft is a person to be made or changed. An empty field is left alone.
type PersonDraft struct {
	UserID      string
	Name        string
	Mobile      string // for a new person only: DingTalk lets nobody change it for somebody else
	JobNumber   string
	Title       string
	Email       string
	Departments []int64
	HiredAt     time.Time
}

type personBody struct {
	UserID      string `json:"userid"`
	Name        string `json:"name,omitempty"`
	Mobile      string `json:"mobile,omitempty"`
	JobNumber   string `json:"job_number,omitempty"`
	Title       string `json:"title,omitempty"`
	Email       string `json:"email,omitempty"`
	Departments string `json:"dept_id_list,omitempty"` // ids apart by commas
	HiredDate   int64  `json:"hired_date,omitempty"`   // Unix milliseconds
}

func (d PersonDraft) body() personBody {
	ids := make([]string, 0, len(d.Departments))
	for _, id := range d.Departments {
		ids = append(ids, strconv.FormatInt(id, 10))
	}
	body := personBody{
		UserID: d.UserID, Name: d.Name, Mobile: d.Mobile, JobNumber: d.JobNumber, Title: d.Title, Email: d.Email,
		Departments: strings.Join(ids, ","),
	}
	if !d.HiredAt.IsZero() {
		body.HiredDate = d.HiredAt.UnixMilli()
	}
	return body
}

// CreatePerson makes a person. An organisation that asks people first answers
// with an invitation, which is a CallError of reason 40103.
func (c *Client) CreatePerson(ctx context.Context, d PersonDraft) error {
	return c.writePerson(ctx, opCreateUser, d.body())
}

// UpdatePerson changes what the draft tells, but for the mobile.
func (c *Client) UpdatePerson(ctx context.Context, d PersonDraft) error {
	d.Mobile = ""
	return c.writePerson(ctx, opUpdateUser, d.body())
}

// DeletePerson takes a person out of the organisation. One who is not there any
// more is no error.
func (c *Client) DeletePerson(ctx context.Context, userid string) error {
	err := c.writePerson(ctx, opDeleteUser, personBody{UserID: userid})
	if err != nil && identity.KindOf(err) == identity.NotFound {
		return nil
	}
	return err
}

func (c *Client) writePerson(ctx context.Context, op operation, body personBody) error {
	if !validUserID(body.UserID) {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: malformed userid")
	}
	var out struct{}
	return c.ask(ctx, op, body, &out)
}
