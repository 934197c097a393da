package dingtalksim

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// The pages of user/list are most of what a large tenant makes the simulator
// say, and it shares a machine with what is measured. They are written by hand:
// the same text as encode gives, at a fraction of the cost.

// appendText appends a member whose value is a text; empty ones are omitted
// (SIM-D63) unless always is set.
func appendText(b []byte, name, value string, always bool) []byte {
	if value == "" && !always {
		return b
	}
	b = appendName(b, name)
	b, err := jsontext.AppendQuote(b, value)
	if err != nil { // not UTF-8: the configuration lets none in
		return append(b, `""`...)
	}
	return b
}

func appendName(b []byte, name string) []byte {
	if last := b[len(b)-1]; last != '{' {
		b = append(b, ',')
	}
	return append(append(append(b, '"'), name...), '"', ':')
}

func appendBool(b []byte, name string, value bool) []byte {
	return strconv.AppendBool(appendName(b, name), value)
}

func appendInt(b []byte, name string, value int64) []byte {
	return strconv.AppendInt(appendName(b, name), value, 10)
}

func appendInts(b []byte, name string, values []int64) []byte {
	if values == nil {
		return append(appendName(b, name), "null"...)
	}
	b = append(appendName(b, name), '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, v, 10)
	}
	return append(b, ']')
}

// append writes the fields without the closing brace.
func (f *userFields) append(b []byte) []byte {
	b = append(b, '{')
	b = appendText(b, "userid", f.UserID, true)
	b = appendText(b, "unionid", f.UnionID, true)
	b = appendText(b, "name", f.Name, true)
	b = appendText(b, "avatar", f.Avatar, false)
	b = appendText(b, "state_code", f.StateCode, false)
	b = appendText(b, "mobile", f.Mobile, false)
	b = appendBool(b, "hide_mobile", f.HideMobile)
	b = appendText(b, "telephone", f.Telephone, false)
	b = appendText(b, "job_number", f.JobNumber, false)
	b = appendText(b, "title", f.Title, false)
	b = appendText(b, "email", f.Email, false)
	b = appendText(b, "org_email", f.OrgEmail, false)
	b = appendText(b, "work_place", f.WorkPlace, false)
	b = appendText(b, "remark", f.Remark, false)
	b = appendBool(b, "exclusive_account", f.Enterprise)
	b = appendInts(b, "dept_id_list", f.DeptIDs)
	b = appendText(b, "extension", f.Extension, false)
	if f.HiredDate != 0 {
		b = appendInt(b, "hired_date", f.HiredDate)
	}
	b = appendBool(b, "active", f.Active)
	b = appendBool(b, "admin", f.Admin)
	return appendBool(b, "boss", f.Boss)
}

func (i *listItem) append(b []byte) []byte {
	b = i.userFields.append(b)
	b = appendInt(b, "dept_order", i.DeptOrder)
	return append(appendBool(b, "leader", i.Leader), '}')
}

// append writes a page around items that are written already.
func (p page) append(b, items []byte) []byte {
	b = appendBool(append(b, '{'), "has_more", p.HasMore)
	if p.NextCursor != nil {
		b = appendInt(b, "next_cursor", *p.NextCursor)
	}
	return append(append(appendName(b, "list"), items...), '}')
}

// resultText is result for a text that is JSON already.
func (c *call) resultText(text []byte) answer {
	head := encode(oldOK{ErrMsg: "ok", RequestID: c.requestID()})
	body := make([]byte, 0, len(head)+len(text)+16)
	body = append(appendName(append(body, head[:len(head)-1]...), "result"), text...)
	body = append(body, '}')
	if c.s.sw().DocMode {
		body = documentationMode(body)
	}
	return answer{status: 200, ctype: typeTopAPI, body: body, code: "0"}
}
