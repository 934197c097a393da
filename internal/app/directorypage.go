package app

import (
	"context"

	"kdgate/jobs"
	"kdgate/web/admin"
)

// directoryPages is the page of the directory, where there is one.
func (s *Server) directoryPages(r *rooms) []admin.Page {
	if r.keeper == nil {
		return nil
	}
	cfg := r.config.Directory
	return []admin.Page{&admin.Directory{
		Runs: r.keeper, Drift: r.keeper, Clock: s.schedule, Task: taskDirectory, Now: s.options.Now,
		Scope: admin.Scope{Corp: cfg.Corp, DataCentre: cfg.DataCentre, Departments: cfg.Scope, Preview: cfg.Mode == "preview"},
		Agree: func(ctx context.Context, by jobs.Actor, userid string) error {
			return r.keeper.Agree(ctx, by, userid, r.accounts()[cfg.DataCentre])
		},
	}}
}
