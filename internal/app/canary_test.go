package app

import (
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/kingdee/kingdeesim"
	"kdgate/mapping"
)

// TestCanary proves F14: the appointed visitor is signed in by the clock, leaves
// no session behind, is on record, and its metric falls when Kingdee does not let
// it in, and rises again by a reload.
func TestCanary(t *testing.T) {
	r := newRig(t)
	cfg := r.load()
	core := r.core(cfg)
	key := mapping.KeyOf(identity.Subject{Corp: "dingcorp1", UserID: "canary"}, "live")
	_, err := core.Table().Create(t.Context(), mapping.Actor{Name: "cli:test", Admin: true}, mapping.Draft{Key: key, StaffNumber: "1001", LoginUser: "zhangsan"})
	must(t, err)
	must(t, core.Close())
	forbid := func(status string) {
		t.Helper()
		must(t, r.king.PatchUser("61cd78fbc6aa78", "zhangsan", kingdeesim.UserPatch{ForbidStatus: &status}))
	}

	with := func(line string) []string { return []string{"mapping: {", line + "\nmapping: {"} }
	s := r.serve(r.load(with("canary: {userid: canary}")...))
	says := func(want string) func() bool {
		return func() bool {
			_, text, err := s.get(s.OpsAddr(), "/metrics")
			must(t, err)
			return strings.Contains(text, `kdgate_canary_success{data_centre="live"} `+want)
		}
	}
	eventually(t, "the canary is in", says("1"))
	for _, session := range r.king.Sessions() {
		if session.User == "zhangsan" {
			t.Errorf("the canary's session stays: %+v", session)
		}
	}
	records, err := s.log.Search(t.Context(), audit.Query{Action: audit.ActionCanary})
	must(t, err)
	if len(records) != 1 || records[0].Target != "zhangsan" || records[0].Outcome != audit.OK {
		t.Errorf("on record: %+v", records)
	}

	forbid("B")
	must(t, s.Reload(t.Context(), loaded(r.load(with("canary: {userid: canary, every: 2m}")...))))
	eventually(t, "the canary is kept out", says("0"))
	forbid("A")
	must(t, s.Reload(t.Context(), loaded(r.load(with("canary: {userid: canary, every: 3m}")...))))
	eventually(t, "the canary is in again", says("1"))
	if text := r.log.String(); strings.Count(text, "could not sign in to Kingdee") != 1 || strings.Count(text, "signs in again") != 1 {
		t.Errorf("told:\n%s", text)
	}
}
