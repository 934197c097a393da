package directory

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kdgate/dingtalk"
	"kdgate/kingdee"
)

// Staff is a person as Kingdee is to have them. An empty text says "not told":
// DingTalk leaves out what is empty and what the application may not see alike,
// so nothing is ever emptied in Kingdee because of it (reference 5.3).
type Staff struct {
	UserID     string  `json:"userid"`
	UnionID    string  `json:"unionid,omitzero"`
	Number     string  `json:"number"`
	Name       string  `json:"name"`
	Mobile     string  `json:"mobile,omitzero"`
	Email      string  `json:"email,omitzero"`
	Department string  `json:"department,omitzero"` // number
	Position   string  `json:"position,omitzero"`   // number
	Joined     string  `json:"joined,omitzero"`     // yyyy-MM-dd in UTC+8
	More       []Value `json:"more,omitempty"`
	Home       int64   `json:"home,omitzero"` // DingTalk's id of the main department
}

// Value is one further field.
type Value struct {
	Field string `json:"field"`
	Text  string `json:"text"`
}

const extensionPrefix = "extension:"

// china is the zone that Kingdee's dates are in.
var china = time.FixedZone("UTC+8", 8*60*60)

// plain are the attributes that rules may name.
var plain = map[string]func(*dingtalk.Person) string{
	"userid":     func(p *dingtalk.Person) string { return p.UserID },
	"job_number": func(p *dingtalk.Person) string { return p.JobNumber },
	"telephone":  func(p *dingtalk.Person) string { return p.Telephone },
	"email":      func(p *dingtalk.Person) string { return p.Email },
	"org_email":  func(p *dingtalk.Person) string { return p.OrgEmail },
	"work_place": func(p *dingtalk.Person) string { return p.WorkPlace },
	"remark":     func(p *dingtalk.Person) string { return p.Remark },
	"title":      func(p *dingtalk.Person) string { return p.Title },
	"hired_at":   hired,
}

func hired(p *dingtalk.Person) string {
	if p.HiredAt.IsZero() {
		return ""
	}
	return p.HiredAt.In(china).Format(time.DateOnly)
}

// attribute is what a rule's From names.
func attribute(p *dingtalk.Person, from string) string {
	if name, ok := strings.CutPrefix(from, extensionPrefix); ok {
		return strings.TrimSpace(p.Extension()[name])
	}
	return strings.TrimSpace(plain[from](p))
}

// The reasons why a person is set aside. The words are for administrators.
var (
	errNoNumber = errors.New("没有工号:按规则取得的员工编号为空")
	errNumber   = errors.New("员工编号只能是字母、数字、下划线和连字符,最多 64 位")
	errNoName   = errors.New("没有姓名")
	errMobile   = errors.New("手机号格式不符")
	errTwice    = errors.New("员工编号与另一人相同")
)

// isStaffNumber reports whether Kingdee takes text as the number of a record.
func isStaffNumber(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', c == '_', c == '-':
		default:
			return false
		}
	}
	return text != "" && len(text) <= 64
}

// maxName is the length of a staff name in bytes that Kingdee is given.
const maxName = 200

// home picks the main department: the one that was the main one before, while
// the person still belongs to it, otherwise the one deepest in the tree, and of
// those the oldest. DingTalk names none (reference 5.3), and a choice that
// depended on its order would move people back and forth.
func (t tree) home(p *dingtalk.Person, before int64) int64 {
	var best int64
	for _, id := range p.Departments {
		if !t.holds(id) {
			continue
		}
		if id == before {
			return id
		}
		if best == 0 || t.depth[id] > t.depth[best] || t.depth[id] == t.depth[best] && id < best {
			best = id
		}
	}
	return best
}

// staffOf derives a person's record; given is a number that wins over the rule.
// An error sets the person aside.
func (r Rules) staffOf(p *dingtalk.Person, home int64, given string) (Staff, error) {
	s := Staff{
		UserID: p.UserID, UnionID: p.UnionID, Number: firstOf(given, attribute(p, r.Number)), Name: strings.TrimSpace(p.Name),
		Mobile: p.Mobile, Email: firstOf(p.OrgEmail, p.Email), Home: home, Joined: hired(p),
		Department: r.department(home), Position: r.position(p.Title),
	}
	if s.Department == "" {
		s.Position = "" // both stand in the row of the post, which needs the department
	}
	switch {
	case s.Number == "":
		return s, errNoNumber
	case !isStaffNumber(s.Number):
		return s, fmt.Errorf("%w: %q", errNumber, s.Number)
	case s.Name == "":
		return s, errNoName
	case p.Mobile != "" && !r.mobileFits(p.StateCode, p.Mobile):
		return s, errMobile
	}
	if len(s.Name) > maxName {
		s.Name = strings.ToValidUTF8(s.Name[:maxName], "")
	}
	return r.withMore(s, p)
}

func (r Rules) withMore(s Staff, p *dingtalk.Person) (Staff, error) {
	for _, rule := range r.More {
		text := attribute(p, rule.From)
		if text == "" {
			continue
		}
		if len(rule.Dictionary) > 0 {
			translated, listed := rule.Dictionary[text]
			if !listed {
				return s, fmt.Errorf("%s 的值 %q 不在字典中", rule.Field, text)
			}
			text = translated
		}
		s.More = append(s.More, Value{rule.Field, text})
	}
	return s, nil
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// print is what tells one state of a record from another: a hash over every
// field, each with its length before it (T24).
func (s Staff) print() string {
	var room [32]string // everybody is printed in every run
	fields := append(room[:0], s.UserID, s.UnionID, s.Number, s.Name, s.Mobile, s.Email, s.Department, s.Position, s.Joined)
	for _, v := range s.More {
		fields = append(fields, v.Field, v.Text)
	}
	return printOf(fields...)
}

func printOf(fields ...string) string {
	var room [512]byte
	text := room[:0]
	for _, field := range fields {
		text = binary.AppendUvarint(text, uint64(len(field)))
		text = append(text, field...)
	}
	sum := sha256.Sum256(text)
	return base64.RawStdEncoding.EncodeToString(sum[:15])
}

// view is the print of what Kingdee lists of a record, for drift.
func view(r kingdee.StaffRecord) string {
	return printOf(r.Name, r.Mobile, r.Email, r.Department, r.Position)
}

// after is the record as Kingdee will list it once s has been written over it.
func (s Staff) after(r kingdee.StaffRecord) kingdee.StaffRecord {
	for field, text := range map[*string]string{
		&r.Name: s.Name, &r.Mobile: s.Mobile, &r.Email: s.Email, &r.Department: s.Department, &r.Position: s.Position,
	} {
		if text != "" {
			*field = text
		}
	}
	return r
}

// Diff is one field before and after.
type Diff struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// diffs lists what writing s over r changes, of the fields that Kingdee lists.
func (s Staff) diffs(r kingdee.StaffRecord) []Diff {
	var list []Diff
	for _, d := range []Diff{
		{"name", r.Name, s.Name},
		{"mobile", r.Mobile, s.Mobile},
		{"email", r.Email, s.Email},
		{"department", r.Department, s.Department},
		{"position", r.Position, s.Position},
	} {
		if d.After != "" && d.After != d.Before {
			list = append(list, d)
		}
	}
	return list
}

// moves reports whether the person's department or position changes.
func moves(list []Diff) bool {
	return slices.ContainsFunc(list, func(d Diff) bool { return d.Field == "department" || d.Field == "position" })
}
