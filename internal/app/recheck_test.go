package app

import (
	"testing"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/kingdee/kingdeesim"
	"kdgate/mapping"
)

// TestNightlyRecheck proves F5: a login user whom Kingdee forbade shows as broken
// before anybody clicks, and is whole again after the next look.
func TestNightlyRecheck(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load())
	ctx, key := t.Context(), mapping.KeyOf(identity.Subject{Corp: "dingcorp1", UserID: "1001"}, "live")
	_, err := s.Table().Create(ctx, mapping.Actor{Name: "cli:test", Admin: true}, mapping.Draft{Key: key, StaffNumber: "1001", LoginUser: "zhangsan"})
	must(t, err)
	look := func(status, want string) {
		t.Helper()
		must(t, r.king.PatchUser("61cd78fbc6aa78", "zhangsan", kingdeesim.UserPatch{ForbidStatus: &status}))
		must(t, s.schedule.RunNow(ctx, jobs.Actor{Name: "cli:test"}, taskRecheck))
		eventually(t, "the row says "+want, func() bool {
			row, err := s.Table().Get(ctx, key)
			must(t, err)
			return !row.Check.At.IsZero() && string(row.Check.Code) == want
		})
		eventually(t, "the look is over", func() bool {
			runs, _, err := s.schedule.Runs(ctx, taskRecheck, "", 1)
			must(t, err)
			return len(runs) == 1 && !runs[0].Ended.IsZero()
		})
	}
	look("B", string(identity.CodeUserForbidden))
	look("A", "")
}
