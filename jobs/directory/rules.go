package directory

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kdgate/internal/lazyregexp"
)

// Rules say how a person of DingTalk is written in Kingdee (F21).
type Rules struct {
	// Number is where FStaffNumber comes from: userid (default), job_number or
	// extension:NAME.
	Number string
	// Scope are the departments whose people are kept, with everything below
	// them; empty: the whole company. People outside are left alone.
	Scope []int64
	// Departments is the dictionary of department numbers by DingTalk's id. One
	// that is missing is DepartmentPrefix and the id, and is made in Kingdee
	// when MakeDepartments says so; otherwise its people go without.
	Departments      map[int64]string
	DepartmentPrefix string // default "D"
	MakeDepartments  bool
	// Positions is the dictionary of position numbers (岗位) by title. A title
	// that is missing takes DefaultPosition, empty: none.
	Positions       map[string]string
	DefaultPosition string
	// Posts is how a post is written; default PostsEntity.
	Posts Posts
	// Mobiles are the patterns of numbers by country code without "+"; a code
	// that is missing takes 5 to 15 digits. The defaults know 86, 852, 853, 886.
	Mobiles map[string]string
	// CreateUser asks Kingdee to make a login user beside a new staff record.
	CreateUser bool
	// More are further fields of the staff record.
	More []FieldRule

	mobiles map[string]*regexp.Regexp
}

// FieldRule fills one field of Kingdee from one of DingTalk.
type FieldRule struct {
	Field      string            // key in Kingdee, such as FTel
	From       string            // telephone, email, org_email, work_place, remark, title, job_number, userid, hired_at or extension:NAME
	Dictionary map[string]string // value by value; empty: as it is. A value that is missing sets the row aside
}

var fieldKey = lazyregexp.New(`^F[A-Za-z0-9_]{1,63}$`)

var defaultMobiles = map[string]string{
	"86": `^1[3-9][0-9]{9}$`, "852": `^[2-9][0-9]{7}$`, "853": `^6[0-9]{7}$`, "886": `^0?9[0-9]{8}$`,
}

var anyMobile = lazyregexp.New(`^[0-9]{5,15}$`)

func (r Rules) withDefaults() (Rules, error) {
	orText(&r.Number, "userid")
	orText(&r.DepartmentPrefix, "D")
	var wrong []error
	if r.Posts == "" {
		r.Posts = PostsEntity
	}
	if r.Posts != PostsEntity && r.Posts != PostsNewStaff {
		wrong = append(wrong, fmt.Errorf("directory: posts are written by %s or %s, not by %q", PostsEntity, PostsNewStaff, r.Posts))
	}
	if r.Number != "userid" && r.Number != "job_number" && !strings.HasPrefix(r.Number, extensionPrefix) {
		wrong = append(wrong, fmt.Errorf("directory: the staff number comes from userid, job_number or extension:NAME, not from %q", r.Number))
	}
	for _, rule := range r.More {
		if !fieldKey().MatchString(rule.Field) {
			wrong = append(wrong, fmt.Errorf("directory: %q is no field key of Kingdee, such as FTel", rule.Field))
		}
		if _, known := plain[rule.From]; !known && !strings.HasPrefix(rule.From, extensionPrefix) {
			wrong = append(wrong, fmt.Errorf("directory: %s comes from %q, which is none of %s or extension:NAME",
				rule.Field, rule.From, strings.Join(slices.Sorted(maps.Keys(plain)), ", ")))
		}
	}
	patterns := maps.Clone(defaultMobiles)
	maps.Copy(patterns, r.Mobiles)
	r.mobiles = map[string]*regexp.Regexp{}
	for code, pattern := range patterns {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("directory: the pattern of mobile numbers of +%s: %w", code, err))
			continue
		}
		r.mobiles[code] = compiled
	}
	return r, errors.Join(wrong...)
}

// rootDepartment is the company itself (reference 5.1), which is an organisation
// in Kingdee and no department.
const rootDepartment = 1

// department is the number of a department, empty when its people go without.
func (r Rules) department(id int64) string {
	if number, listed := r.Departments[id]; listed {
		return number
	}
	if !r.MakeDepartments || id == rootDepartment || id == 0 {
		return ""
	}
	return r.DepartmentPrefix + strconv.FormatInt(id, 10)
}

func (r Rules) position(title string) string {
	if number, listed := r.Positions[title]; listed {
		return number
	}
	return r.DefaultPosition
}

// mobileFits reports whether a number has its country's form.
func (r Rules) mobileFits(code, number string) bool {
	code = strings.TrimPrefix(code, "+")
	orText(&code, "86")
	pattern := r.mobiles[code]
	if pattern == nil {
		pattern = anyMobile()
	}
	return pattern.MatchString(number)
}
