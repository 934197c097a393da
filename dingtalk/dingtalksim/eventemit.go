package dingtalksim

import (
	"fmt"
	"slices"
	"strconv"
)

// emitPerson emits what a change of a person means: hired (again), left,
// activated, made or unmade an administrator, given other roles, changed. A
// change of nickname or picture emits nothing (6.5).
func (s *Server) emitPerson(corp string, before *Person, after Person) error {
	if after.External {
		return nil
	}
	var kinds []string
	was, is := before != nil && before.Left.IsZero(), after.Left.IsZero()
	switch {
	case !was && is:
		kinds = append(kinds, "user_add_org")
	case was && !is:
		kinds = append(kinds, "user_leave_org")
	case was && is:
		kinds = personChanges(before, after)
	}
	for _, kind := range kinds {
		if _, err := s.Emit(corp, kind, s.personFields(kind, before, after)); err != nil {
			return err
		}
	}
	return nil
}

func personChanges(before *Person, after Person) (kinds []string) {
	if prev, curr := diff(before, after); len(prev)+len(curr) > 0 {
		kinds = append(kinds, "user_modify_org")
	}
	if before.Unactivated && !after.Unactivated {
		kinds = append(kinds, "user_active_org")
	}
	if before.Admin != after.Admin {
		kinds = append(kinds, map[bool]string{true: "org_admin_add", false: "org_admin_remove"}[after.Admin])
	}
	if !slices.Equal(before.Roles, after.Roles) {
		kinds = append(kinds, "label_user_change")
	}
	return kinds
}

// personFields are the business fields of an event about a person.
func (s *Server) personFields(kind string, before *Person, after Person) map[string]any {
	fields := map[string]any{"userId": []string{after.UserID}}
	stamp := strconv.FormatInt(s.clock.now().UnixMilli(), 10)
	switch kind {
	case "user_add_org", "user_leave_org":
		fields["timeStamp"] = stamp
	case "user_modify_org":
		fields["timeStamp"] = stamp
		prev, curr := diff(before, after)
		fields["diffInfo"] = map[string]any{"userid": after.UserID, "prev": prev, "curr": curr}
	case "label_user_change":
		delete(fields, "userId")
		ids := []int64{}
		for _, r := range after.Roles {
			ids = append(ids, r.ID)
		}
		fields["userIdList"], fields["labelIdList"], fields["action"] = []string{after.UserID}, ids, "modify"
	}
	return fields
}

// diff lists the organisation-side fields that differ. A removed value is
// simply absent from curr (6.5).
func diff(before *Person, after Person) (prev, curr map[string]any) {
	prev, curr = map[string]any{}, map[string]any{}
	for _, f := range []struct {
		name     string
		old, now string
	}{
		{"name", before.Name, after.Name},
		{"jobNumber", before.JobNumber, after.JobNumber},
		{"email", before.Email, after.Email},
		{"orgEmail", before.OrgEmail, after.OrgEmail},
		{"telephone", before.Telephone, after.Telephone},
		{"mobile", before.Mobile, after.Mobile},
		{"workPlace", before.WorkPlace, after.WorkPlace},
		{"position", before.Title, after.Title},
		{"managerUserid", before.ManagerUserID, after.ManagerUserID},
		{"extension", before.Extension, after.Extension},
		{"remark", before.Remark, after.Remark},
		{"hiredDate", milliText(before.HiredDate), milliText(after.HiredDate)},
		{"department", fmt.Sprint(before.Departments), fmt.Sprint(after.Departments)},
	} {
		if f.old == f.now {
			continue
		}
		if f.old != "" {
			prev[f.name] = f.old
		}
		if f.now != "" {
			curr[f.name] = f.now
		}
	}
	return prev, curr
}

func milliText(ms int64) string {
	if ms == 0 {
		return ""
	}
	return strconv.FormatInt(ms, 10)
}

// emitDepartment emits an event about one department.
func (s *Server) emitDepartment(corp, kind string, id int64) error {
	_, err := s.Emit(corp, kind, map[string]any{"deptId": []int64{id}})
	return err
}
