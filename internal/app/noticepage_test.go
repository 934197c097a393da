package app

import (
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/notice"
	"kdgate/kingdee/kingdeesim"
)

// TestNoticeBook proves F70, F71 and F35 behind the console's page and the
// commands: rules with their last look, a preview that sends nothing and is on
// record, and what was dropped in silence sent again.
func TestNoticeBook(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load(r.withNotices(`
  - {name: low-stock, kind: low_stock, to: ["role:mapping-admin"], fallbacks: ["robot:ops"], link: stock}
  - {name: daily, kind: digest, to: ["1001"], figures: [{title: 库存, form: STK_Inventory, field: FBaseQty}]}
  - {name: morning, kind: errors, to: ["1001"]}
  - {name: dead, kind: dead_letters, to: ["robot:ops"]}
  - {name: leavers, kind: leavers, to: ["robot:ops"], groups: true}
`)...))
	ctx, by := t.Context(), jobs.Actor{Name: "dingcorp1/1001", Source: "10.0.0.9"}
	for _, d := range []kingdeesim.Document{
		{Form: "BD_MATERIAL", Model: map[string]any{"FNumber": "M1", "FName": "螺丝", "FSafeStock": "10"}},
		{Form: "STK_Inventory", Model: map[string]any{"FInventoryNo": "L1", "FMaterialId": map[string]any{"FNumber": "M1"}, "FBaseQty": "2.5"}},
	} {
		_, err := r.king.Put("", d)
		must(t, err)
	}
	book := noticeBook{s.Core}
	wanted := map[string]string{"low-stock": "螺丝", "daily": "2.50", "morning": "", "dead": "", "leavers": ""}
	for rule, text := range wanted {
		p, err := book.Preview(ctx, by, rule)
		if err != nil || !strings.Contains(p.Text, text) || p.Rule != rule || len(p.Letters) != 1 || (text != "" && p.Quiet) {
			t.Errorf("%s: %+v, %v", rule, p, err)
		}
		if sensitive := rule == "daily"; p.Sensitive != sensitive {
			t.Errorf("%s: sensitive %v", rule, p.Sensitive)
		}
	}
	if _, err := book.Preview(ctx, by, "nothing"); identity.KindOf(err) != identity.NotFound {
		t.Errorf("a rule that is none: %v", err)
	}
	looked, err := s.log.Search(ctx, audit.Query{Action: ActionNoticePreview})
	must(t, err)
	if len(looked) != len(wanted) || looked[0].Actor != by.Name {
		t.Errorf("%d looks are on record", len(looked))
	}
	if got := r.ding.Messages(""); len(got) != 0 {
		t.Fatalf("a preview sent %+v", got)
	}

	must(t, r.ding.SetSwitches(func(s *dingtalksim.Switches) { s.MessageForbidden = "螺丝" }))
	must(t, s.schedule.RunNow(ctx, by, "notice.low-stock"))
	eventually(t, "the rule tells of its look", func() bool {
		rules, err := book.Rules(ctx)
		must(t, err)
		last := rules[0].Last
		return len(rules) == 5 && last != nil && last.State == "complete" && last.Told == 1 && !rules[0].Next.IsZero() && rules[4].Task == "" && rules[1].Sensitive
	})
	survey, err := book.Survey(ctx, s.options.Now().AddDate(0, 0, -1), 10)
	must(t, err)
	key := survey.Deliveries[0].Key()
	if d := survey.Deliveries[0]; len(survey.Deliveries) != 1 || d.Topic != "stock" || d.Roles[0] != "mapping-admin" {
		t.Fatalf("%+v", survey)
	}
	for _, act := range []func() error{
		func() error { return book.Resend(ctx, by, "1-x") },
		func() error { return book.GiveUp(ctx, by, "1-x", "note") },
	} {
		if err := act(); identity.KindOf(err) != identity.NotFound {
			t.Errorf("an act on nothing: %v", err)
		}
	}
	must(t, book.GiveUp(ctx, by, key, "told by hand"))
	letter, err := book.Letter(ctx, key)
	must(t, err)
	if letter.Delivery.State != notice.Failed || letter.Delivery.Work != jobs.GivenUp {
		t.Errorf("%+v", letter.Delivery)
	}
	must(t, book.Resend(ctx, by, key))
	must(t, book.Test(ctx, by, identity.Subject{Corp: "dingcorp1", UserID: "1001"}))
	eventually(t, "the trial arrives", func() bool { return len(r.received("1001")) == 1 })
}
