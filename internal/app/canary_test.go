package app

import (
	"slices"
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/checkup"
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

// TestLinkTwice proves T32: the check-up opens the canary's link twice and tells
// a row that takes it again; without a canary it says that nobody tried.
func TestLinkTwice(t *testing.T) {
	r := newRig(t)
	const appointed = "canary: {userid: canary, every: 1h}\nmapping: {"
	once := func(core *Core) checkup.Item {
		t.Helper()
		result, err := core.checkups.Do(t.Context(), "kingdee/live", audit.Event{Actor: audit.System}, nil)
		must(t, err)
		i := slices.IndexFunc(result.Items, func(item checkup.Item) bool { return item.Check == "once-only" })
		if i < 0 {
			t.Fatalf("not asked: %+v", result.Items)
		}
		return result.Items[i]
	}
	core := r.core(r.load())
	key := mapping.KeyOf(identity.Subject{Corp: "dingcorp1", UserID: "canary"}, "live")
	_, err := core.Table().Create(t.Context(), mapping.Actor{Name: "cli:test", Admin: true}, mapping.Draft{Key: key, StaffNumber: "1001", LoginUser: "zhangsan"})
	must(t, err)
	if got := once(core); got.Status != checkup.Unknown {
		t.Errorf("without a canary: %+v", got)
	}
	must(t, core.Close())

	core = r.core(r.load("mapping: {", appointed))
	if got := once(core); got.Status != checkup.OK {
		t.Errorf("a row for one use: %+v", got)
	}
	must(t, core.Close())

	r.king.SetSwitches(kingdeesim.Switches{LinkWinsOverRow: true})
	core = r.core(r.load("mapping: {", appointed, "integration_user: kdgate}", "integration_user: kdgate, link: {permitcount: 0}}"))
	if got := once(core); got.Status != checkup.Fault || got.Cause != "kingdee-link-reused" {
		t.Errorf("a row for many uses: %+v", got)
	}
	if held := r.king.Sessions(); slices.ContainsFunc(held, func(s kingdeesim.SessionInfo) bool { return s.User == "zhangsan" }) {
		t.Errorf("sessions stay: %+v", held)
	}
}

// TestSeriesArePublished proves F94: the series of the published list are there
// before anybody came, because an alarm sees no rise of a series that begins with
// its first event. Only those of calls wait for the first call.
func TestSeriesArePublished(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load())
	for _, name := range []string{
		"kdgate_signin_total{", "kdgate_signin_seconds_bucket{", "kdgate_launch_total{", "kdgate_proxy_seconds_bucket{",
		"kdgate_quota_remaining{corp=", "kdgate_jobs{kind=", "kdgate_sync_lag_seconds ", "kdgate_audit_records_total ",
		"kdgate_store_seconds_bucket{driver=", "kdgate_sessions ", `kdgate_canary_success{data_centre="live"} NaN`,
	} {
		eventually(t, name, func() bool {
			_, text, err := s.get(s.OpsAddr(), "/metrics")
			must(t, err)
			return strings.Contains(text, "\n"+name)
		})
	}
}
