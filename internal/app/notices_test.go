package app

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/internal/config"
	"kdgate/jobs"
	"kdgate/kingdee/kingdeesim"
	"kdgate/mapping/access"
)

// withNotices is the configuration with a robot and rules.
func (r *rig) withNotices(rules string, replace ...string) []string {
	r.put("robot.token", "robot-token-0001")
	must(r.t, r.ding.AddRobot(dingtalksim.Robot{Name: "ops", Token: "robot-token-0001"}))
	return append(replace, "sessions: {idle: 30m}", "sessions: {idle: 30m}\n"+
		"admins: [{corp: dingcorp1, userid: '1001', role: admin}]\n"+
		"robots: [{name: ops, token_file: robot.token, keyword: 金蝶网关}]\nforms: [{name: stock, form_id: STK_Inventory, types: [list, bill]}]\n"+
		"notices:\n"+rules)
}

// received are the messages that somebody, or a robot's group, got.
func (r *rig) received(who string) []dingtalksim.Message {
	var list []dingtalksim.Message
	for _, m := range r.ding.Messages("") {
		if m.State == "received" && (m.UserID == who || m.Robot == who) {
			list = append(list, m)
		}
	}
	return list
}

// TestNoticesRun proves F70, F72 and F11 in the running gateway: a rule is a task
// that becomes a message, and a request for access is a card for those who decide.
func TestNoticesRun(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load(r.withNotices(`
  - {name: low-stock, kind: low_stock, to: ["role:mapping-admin"], link: stock}
  - {name: morning, kind: errors, to: ["1001"], fallbacks: ["robot:ops"]}
  - {name: dead, kind: dead_letters, to: ["robot:ops"]}
  - {name: daily, kind: digest, to: ["1001"], link: stock, figures: [{title: 库存, form: STK_Inventory, field: FBaseQty}]}
`)...))
	ctx, by := t.Context(), jobs.Actor{Name: "cli:test"}
	for _, d := range []kingdeesim.Document{
		{Form: "BD_MATERIAL", Model: map[string]any{"FNumber": "M1", "FName": "螺丝", "FSafeStock": "10"}},
		{Form: "STK_Inventory", Model: map[string]any{"FInventoryNo": "L1", "FMaterialId": map[string]any{"FNumber": "M1"}, "FBaseQty": "2.5"}},
	} {
		_, err := r.king.Put("", d)
		must(t, err)
	}
	for _, name := range []string{"low-stock", "morning", "daily"} {
		must(t, s.schedule.RunNow(ctx, by, "notice."+name))
	}
	eventually(t, "digests arrive", func() bool { return len(r.received("1001")) == 2 })
	for _, m := range r.received("1001") {
		if m.Title == "经营日报" && (!strings.Contains(m.Text, "2.50") || m.Links[0].URL != "http://localhost:8080/launch/live/stock") {
			t.Errorf("the digest is %+v", m)
		}
	}
	box := s.rooms.Load().notices.boxes["dingcorp1"]
	eventually(t, "the stock is in the outbox", func() bool {
		page, err := box.Deliveries(ctx, "stock", "", "", 10)
		must(t, err)
		return len(page.Deliveries) == 1 && page.Deliveries[0].Recipients[0].Who == "user:1001"
	})

	who := access.Key{DataCentre: "live", Corp: "dingcorp1", UserID: "1001"}
	_, err := s.book.Ask(ctx, access.Actor{Name: "dingcorp1/1001"}, who, "张三", identity.CodeNotMapped)
	must(t, err)
	eventually(t, "the card arrives", func() bool {
		list := r.received("1001")
		return len(list) == 3 && list[2].Links[0].URL == "http://localhost:8080/admin/requests"
	})
}

// TestLeaverIsTold proves the leaver notice of F72: to a group, after the doors
// are closed, once.
func TestLeaverIsTold(t *testing.T) {
	r := newRig(t)
	cfg := r.withDirectory("", r.withNotices(`
  - {name: leavers, kind: leavers, to: ["robot:ops"], groups: true}
`)...)
	options := r.options(r.load(cfg...))
	options.NoticeGather = time.Millisecond
	r.leaves(r.serveWith(options))
	eventually(t, "the group is told", func() bool { return len(r.received("ops")) > 0 })
	got := r.received("ops")
	if len(got) != 1 || got[0].Title != "员工离职" || !strings.Contains(got[0].Text, "张三（1001）") || !strings.HasPrefix(got[0].Text, "金蝶网关") {
		t.Errorf("the group has %+v", got)
	}
}

// loaded gives a configuration that was read already.
func loaded(cfg *config.Config) func() (*config.Config, error) {
	return func() (*config.Config, error) { return cfg, nil }
}

// TestNoticesReload: who is told changes at once; that a rule is there, or when
// it is looked at, needs a restart, and says so (R55).
func TestNoticesReload(t *testing.T) {
	r := newRig(t)
	rules := "  - {name: morning, kind: errors, to: ['1001']}\n"
	with := r.withNotices(rules)
	s := r.serve(r.load(with...))
	robotBefore := s.rooms.Load().notices.robots["ops"].speaker
	with[len(with)-1] = strings.Replace(with[len(with)-1], "to: ['1001']", "to: ['robot:ops']", 1)
	must(t, s.Reload(t.Context(), loaded(r.load(with...))))
	if s.rooms.Load().notices.robots["ops"].speaker != robotBefore {
		t.Error("the robot is another one, and has forgotten how long it must be silent")
	}
	must(t, s.schedule.RunNow(t.Context(), jobs.Actor{Name: "cli:test"}, "notice.morning"))
	eventually(t, "the group has the digest", func() bool { return len(r.received("ops")) == 1 })
	with[len(with)-1] += "  - {name: more, kind: errors, to: ['1001']}\n"
	if err := s.Reload(t.Context(), loaded(r.load(with...))); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("a new rule: %v", err)
	}
	if status, _, err := s.get(s.PublicAddr(), "/"); err != nil || status >= http.StatusInternalServerError {
		t.Errorf("after a refused reload: %d, %v", status, err)
	}
}
