package app

import (
	"context"

	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/mapping"
)

// suggest asks both vendors for everybody and proposes rows for people without
// one (F23). Its questions are background work, which sign-ins go before.
func (c *Core) suggest(r *rooms) func(ctx context.Context, dataCentre string) ([]mapping.Suggestion, error) {
	return func(ctx context.Context, dataCentre string) ([]mapping.Suggestion, error) {
		held, numbers, err := c.index.Held(ctx, dataCentre)
		if err != nil {
			return nil, err
		}
		var people []identity.Profile
		for _, client := range r.vendors.dingtalk {
			found, err := everybody(ctx, client.api.Background(), held)
			if err != nil {
				return nil, err
			}
			people = append(people, found...)
		}
		staff, err := candidates(ctx, r.vendors.kingdee[dataCentre].api.Background())
		if err != nil {
			return nil, err
		}
		return mapping.Suggest(people, staff, func(number string) bool { return numbers[number] }), nil
	}
}

// everybody lists the people of an organisation who have no row.
func everybody(ctx context.Context, client *dingtalk.Client, held map[identity.Subject]bool) ([]identity.Profile, error) {
	departments, err := client.Departments(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[identity.Subject]bool{}
	var people []identity.Profile
	for _, id := range append([]int64{dingtalk.RootDepartment}, departmentIDs(departments)...) {
		for page, err := range client.Members(ctx, id, 0) {
			if err != nil {
				return nil, err
			}
			for _, p := range page.People {
				if !held[p.Subject] && !seen[p.Subject] {
					seen[p.Subject] = true
					people = append(people, identity.Profile{
						Subject: p.Subject, Name: p.Name, JobNumber: p.JobNumber, Mobile: p.Mobile,
					})
				}
			}
		}
	}
	return people, nil
}

func departmentIDs(departments []dingtalk.Department) []int64 {
	ids := make([]int64, 0, len(departments))
	for _, d := range departments {
		if d.ID != dingtalk.RootDepartment {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

// candidates lists the staff records of a data centre with the one login user
// of each; where a person has several, a person has to choose.
func candidates(ctx context.Context, client *kingdee.Client) ([]mapping.Candidate, error) {
	logins := map[string]string{}
	for user, err := range client.AllUsers(ctx, kingdee.Listing{}) {
		if err != nil {
			return nil, err
		}
		if _, several := logins[user.PersonID]; several {
			logins[user.PersonID] = ""
			continue
		}
		logins[user.PersonID] = user.Name
	}
	delete(logins, "")
	var staff []mapping.Candidate
	for s, err := range client.AllStaff(ctx, kingdee.Listing{}) {
		if err != nil {
			return nil, err
		}
		staff = append(staff, mapping.Candidate{StaffNumber: s.Number, Name: s.Name, Mobile: s.Mobile, LoginUser: logins[s.PersonID]})
	}
	return staff, nil
}
