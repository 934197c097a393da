package dingtalk

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/internal/strictjson"
)

var opUser = operation{name: "userget", host: oldHost, path: "/topapi/v2/user/get"}

// Profile reads one person from the address book (reference 5.3). Kind
// NotFound means that DingTalk was asked and has no such person in this
// organisation, or that the person has left.
func (c *Client) Profile(ctx context.Context, userid string) (identity.Profile, error) {
	if !validUserID(userid) {
		return identity.Profile{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: malformed userid")
	}
	ctx, cancel, err := c.begin(ctx, opUser)
	if err != nil {
		return identity.Profile{}, err
	}
	defer cancel()
	var out struct {
		Result userRecord `json:"result"`
	}
	body := map[string]string{"userid": userid, "language": "zh_CN"}
	if err := c.do(ctx, call{op: opUser, body: body, out: &out, admitted: true}); err != nil {
		return identity.Profile{}, err
	}
	if out.Result.UserID != userid {
		return identity.Profile{}, c.nonsense(opUser, "userid")
	}
	return out.Result.profile(c.cfg.Corp), nil
}

// userRecord is the part of user/get that we use. Absent fields stay empty.
type userRecord struct {
	UserID    string `json:"userid"`
	UnionID   string `json:"unionid"`
	Name      string `json:"name"`
	JobNumber string `json:"job_number"`
	Mobile    string `json:"mobile"`
	Title     string `json:"title"`
	Extension string `json:"extension"`
	HiredDate number `json:"hired_date"` // Unix milliseconds
	Active    flag   `json:"active"`
}

func (r userRecord) profile(corp string) identity.Profile {
	p := identity.Profile{
		Subject: identity.Subject{Corp: corp, UserID: r.UserID}, UnionID: r.UnionID, Name: r.Name,
		JobNumber: r.JobNumber, Mobile: r.Mobile, Title: r.Title,
		Extension: decodeExtension(r.Extension), Active: bool(r.Active),
	}
	if r.HiredDate != 0 {
		p.HiredAt = time.UnixMilli(int64(r.HiredDate))
	}
	return p
}

// decodeExtension reads the JSON text inside the field extension. People type
// there: what cannot be read, or names a field twice, counts as not told.
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
