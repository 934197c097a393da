package app

import (
	"slices"
	"strings"

	"kdgate/jobs/approval/billbook"
	"kdgate/jobs/approval/rulebook"
	"kdgate/web/admin"
)

// billPages are the pages of rules and of the bills that they made.
func (s *Server) billPages(r *rooms) []admin.Page {
	desk := s.ruleDesk()
	forms := map[string]string{}
	for _, form := range r.config.Forms {
		if slices.Contains(form.Types, "bill") {
			forms[form.FormID] = form.Name
		}
	}
	pages := map[string]string{}
	for _, corp := range r.config.Corps {
		pages[corp.ID] = corp.ApprovalPage
	}
	return []admin.Page{
		&admin.Rules{Desk: desk, Centres: consoleCentres(r.config), Corps: consoleCorps(r.config), Titles: s.titles},
		&admin.Bills{
			Book: s.bills, List: s.queue, Now: s.options.Now, Centres: consoleCentres(r.config), Forms: forms, Public: r.config.PublicURL,
			Keys: func(corp, process string) []string { return headerKeys(desk, corp, process) },
			Page: func(corp, instance string) string {
				return strings.NewReplacer("{corp}", corp, "{instance}", instance).Replace(pages[corp])
			},
		},
	}
}

// titles are those of approvals that are known here, without asking DingTalk.
func (s *Server) titles(v *admin.Visit, corp string, instances []string) map[string]string {
	found, err := s.bills.Search(v.R.Context(), billbook.Query{Filter: billbook.Filter{Corp: corp}, Order: billbook.ByReceived, Down: true, Limit: 200})
	titles := map[string]string{}
	if err != nil { // the list is offered without them
		return titles
	}
	for _, b := range found.Bills {
		if slices.Contains(instances, b.Instance) {
			titles[b.Instance] = b.Title
		}
	}
	return titles
}

// headerKeys are the header fields of the rules of a form.
func headerKeys(desk *rulebook.Desk, corp, process string) []string {
	var keys []string
	for _, rule := range desk.List() {
		if rule.Corp != corp || rule.Latest.Rule.Process != process || rule.Shadow != "" {
			continue
		}
		for _, field := range rule.Latest.Rule.Header {
			if !slices.Contains(keys, field.Key) {
				keys = append(keys, field.Key)
			}
		}
	}
	return keys
}
