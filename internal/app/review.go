package app

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"kdgate/audit"
	"kdgate/audit/review"
	"kdgate/identity"
)

// reviewer answers the questions of a review from this gateway's log and rows.
func (s *Server) reviewer(r *rooms) *review.Reviewer {
	made := &review.Reviewer{Log: s.log, Rows: r.table, Now: s.options.Now}
	for who, role := range consoleAdmins(r.config) {
		made.Administrators = append(made.Administrators, review.Administrator{Person: audit.Person(who), Role: string(role)})
	}
	slices.SortFunc(made.Administrators, func(a, b review.Administrator) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Person, b.Person))
	})
	if r.keeper != nil {
		made.Department = r.department
	}
	return made
}

// department is the number of somebody's main department at DingTalk, which is
// what the directory knows of it.
func (r *rooms) department(ctx context.Context, who identity.Subject) (string, error) {
	keeper := r.keepers()[who.Corp]
	if keeper == nil {
		return "", nil
	}
	known, ok, err := keeper.Known(ctx, who.UserID)
	if err != nil || !ok || known.Home == 0 {
		return "", err
	}
	return strconv.FormatInt(known.Home, 10), nil
}
