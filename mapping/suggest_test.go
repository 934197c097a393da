package mapping_test

import (
	"slices"
	"testing"

	"kdgate/identity"
	"kdgate/mapping"
)

// F23, T22: numbers make sure, names and mobiles only suggest, and a person who
// writes another's name and mobile into their own profile gains nothing sure.
func TestSuggest(t *testing.T) {
	person := func(userid, name, job, mobile string) identity.Profile {
		return identity.Profile{Subject: identity.Subject{Corp: corp, UserID: userid}, Name: name, JobNumber: job, Mobile: mobile}
	}
	staff := []mapping.Candidate{
		{StaffNumber: "1001", Name: "张三", Mobile: "13800000001", LoginUser: "zhangsan"},
		{StaffNumber: "1002", Name: "李四", Mobile: "+86 138-0000-0002"},
		{StaffNumber: "1003", Name: "王五", Mobile: "13800000003"},
		{StaffNumber: "1004", Name: "王五", Mobile: "13800000003"},
		{StaffNumber: "1005", Name: "老板", Mobile: "13800000005"},
	}
	for name, test := range map[string]struct {
		who        identity.Profile
		number     string
		grounds    []mapping.Ground
		least, top int
		rivals     int
		differ     bool
	}{
		"userid":                {person("1001", "张三", "", ""), "1001", []mapping.Ground{mapping.GroundUserID}, 90, 99, 0, false},
		"all of it":             {person("1001", "张三", "1001", "13800000001"), "1001", []mapping.Ground{mapping.GroundUserID, mapping.GroundJobNumber, mapping.GroundMobile}, 95, 99, 0, false},
		"another's number":      {person("x", "赵六", "1001", ""), "1001", []mapping.Ground{mapping.GroundJobNumber}, 50, 60, 0, true},
		"mobile and name":       {person("x", "李四", "", "13800000002"), "1002", []mapping.Ground{mapping.GroundMobile}, 50, 60, 0, false},
		"two as good":           {person("x", "王五", "", "13800000003"), "1003", []mapping.Ground{mapping.GroundMobile}, 50, 60, 1, false},
		"a mobile alone":        {person("x", "别人", "", "13800000005"), "", nil, 0, 0, 0, false},
		"a name alone":          {person("x", "老板", "", ""), "", nil, 0, 0, 0, false},
		"one that is taken":     {person("1009", "某人", "1009", ""), "", nil, 0, 0, 0, false},
		"nothing known of them": {person("x", "", "", ""), "", nil, 0, 0, 0, false},
	} {
		got := mapping.Suggest([]identity.Profile{test.who}, append(staff, mapping.Candidate{StaffNumber: "1009", Name: "某人"}), func(n string) bool { return n == "1009" })
		if test.number == "" {
			if len(got) != 0 {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		if len(got) != 1 || got[0].StaffNumber != test.number || !slices.Equal(got[0].Grounds, test.grounds) || got[0].Rivals != test.rivals ||
			got[0].Confidence < test.least || got[0].Confidence > test.top || got[0].NamesDiffer != test.differ {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
