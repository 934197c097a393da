package app

import (
	"net/http/httptest"
	"testing"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/kingdee/kingdeesim"
	"kdgate/mapping"
)

// TestNightlyRecheck proves F5 and F54: a login user whom Kingdee forbade shows as
// broken before anybody clicks, their sessions end, on record and nobody else's,
// and the row is whole again after the next look.
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
	begin := func(userid string) identity.Subject {
		t.Helper()
		who := identity.Subject{Corp: "dingcorp1", UserID: userid}
		_, err := s.sessions.Start(ctx, httptest.NewRecorder(), identity.Assertion{Subject: who, Name: userid, At: s.options.Now()}, identity.Secret{})
		must(t, err)
		return who
	}
	live := func(who identity.Subject) int {
		t.Helper()
		list, err := s.sessions.List(ctx, who)
		must(t, err)
		return len(list)
	}
	one, other := begin("1001"), begin("1002")
	look("A", "")
	if live(one) != 1 {
		t.Error("a look that found nothing ended a session")
	}
	look("B", string(identity.CodeUserForbidden))
	if live(one) != 0 || live(other) != 1 {
		t.Errorf("forbidden: %d sessions, somebody else: %d", live(one), live(other))
	}
	said, err := s.log.Search(ctx, audit.Query{Action: audit.ActionSessionEnd})
	must(t, err)
	if len(said) != 1 || said[0].Actor != audit.System || said[0].Target != "dingcorp1/1001" || said[0].Reason != "KD-204" {
		t.Errorf("on record: %+v", said)
	}
	look("A", "")
}
