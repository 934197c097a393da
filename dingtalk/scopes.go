package dingtalk

import (
	"context"
	"slices"
)

// opScopes costs monthly quota: it is not on the vendor's list of free calls.
var opScopes = operation{name: "authscopes", host: oldHost, path: "/auth/scopes", get: true, quota: true, class: ClassDirectory}

// Scopes is what the application may see of the address book (reference 5.6).
type Scopes struct {
	WholeCompany bool     // the range is everybody
	Departments  []int64  // departments in the range, with everything below them
	Users        []string // people named one by one
	Fields       []string // fields of a person that are shown, by the vendor's older names
}

// Scopes reads the range of the application. A reader of the address book asks
// first: under a partial range the unseen are not leavers. The call costs
// monthly quota, so its answer is worth keeping for a day.
func (c *Client) Scopes(ctx context.Context) (Scopes, error) {
	ctx, cancel, err := c.begin(ctx, opScopes)
	if err != nil {
		return Scopes{}, err
	}
	defer cancel()
	return c.scopes(ctx, true)
}

func (c *Client) scopes(ctx context.Context, admitted bool) (Scopes, error) {
	var out struct {
		Range *struct {
			Users       listOf[string] `json:"authed_user"`
			Departments listOf[number] `json:"authed_dept"`
		} `json:"auth_org_scopes"`
		Fields listOf[string] `json:"auth_user_field"`
	}
	if err := c.do(ctx, call{op: opScopes, out: &out, admitted: admitted}); err != nil {
		return Scopes{}, err
	}
	if out.Range == nil { // "nothing" and "not told" are not the same
		return Scopes{}, c.nonsense(opScopes, "auth_org_scopes")
	}
	s := Scopes{Users: out.Range.Users, Fields: out.Fields}
	for _, id := range out.Range.Departments {
		s.Departments = append(s.Departments, int64(id))
	}
	s.WholeCompany = slices.Contains(s.Departments, RootDepartment)
	return s, nil
}
