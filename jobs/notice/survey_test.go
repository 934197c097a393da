package notice_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/notice"
)

// forbid keeps every text about screws from arriving.
func (r *rig) forbid(words string) {
	r.t.Helper()
	r.must(r.ding.SetSwitches(func(s *dingtalksim.Switches) { s.MessageForbidden = words }))
}

// TestPreviewSendsNothing: a preview says what would go to whom, role by role and
// with the fallbacks; nothing leaves, and what is news stays news (F70).
func TestPreviewSendsNothing(t *testing.T) {
	r, w := newRig(t), newWarehouse(t)
	w.material("M1", "螺丝", "10")
	watch := w.watch()
	watch.To, watch.Fallbacks, watch.Sensitive = to("role:mapping-admin", "zhangsan", "mail:a@example.com"), to("mail:b@example.com"), true
	for range 2 {
		p, err := r.PreviewWatch(t.Context(), watch)
		r.must(err)
		if p.Found != 1 || p.News != 1 || p.Quiet || !strings.Contains(p.Text, "螺丝") || !p.Sensitive || len(p.Letters) != 2 {
			t.Fatalf("%+v", p)
		}
		people := p.Letters[0]
		if !slices.Equal(people.To, []string{"user:wangwu", "user:zhangsan"}) || !slices.Equal(people.Roles, []string{"mapping-admin"}) || !slices.Equal(people.Fallbacks, []string{"mail:b@example.com"}) {
			t.Errorf("%+v", people)
		}
	}
	digest, err := r.PreviewDigest(t.Context(), notice.Digest{
		Name: "daily", Title: "日报", To: to("lisi"),
		Figures: []notice.Figure{{Title: "安全库存", Form: "BD_MATERIAL", Key: "FNumber", Field: "FSafeStock"}},
	}, w)
	r.must(err)
	if !strings.Contains(digest.Text, "10.00") || digest.Letters[0].To[0] != "user:lisi" {
		t.Errorf("%+v", digest)
	}
	alarm := notice.Alarm{Name: "morning", To: to("lisi")}
	morning, err := r.PreviewMorning(t.Context(), alarm, []notice.Trouble{{What: "signin KD-203", N: 3}})
	r.must(err)
	dead, err := r.PreviewDeadLetters(t.Context(), notice.Alarm{Name: "dead", To: to("robot:ops")})
	r.must(err)
	if !strings.Contains(morning.Text, "KD-203") || !dead.Quiet || dead.Letters[0].To[0] != "robot:ops" {
		t.Errorf("%+v\n%+v", morning, dead)
	}
	r.through()
	if len(r.deliveries()) != 0 || len(r.ding.Messages("")) != 0 {
		t.Fatalf("a preview left something: %+v", r.deliveries())
	}
	if n, err := r.Look(t.Context(), watch); err != nil || n != 1 {
		t.Errorf("then %d news, %v", n, err)
	}
}

// TestSurvey: what was told since a time, with DingTalk's own result of each
// message, who had opened it, and which letters are dead (F71).
func TestSurvey(t *testing.T) {
	r := newRig(t)
	r.forbid("螺丝")
	r.send(stock("dropped", "role:mapping-admin"))
	r.through()
	r.forbid("")
	n := stock("read", "zhangsan", "gone")
	n.Text, n.Sensitive = "- 螺母：1", true
	r.send(n)
	r.clock.Advance(20 * time.Second)
	r.work()
	r.clock.Advance(time.Minute)
	r.work()
	r.mail.fault = identity.Fail(identity.Invalid, "", "test: %w", errAway)
	r.send(stock("mail", "mail:a@example.com"))
	r.work()
	s, err := r.Survey(t.Context(), noon.Add(-time.Hour), 100)
	r.must(err)
	if len(s.Deliveries) != 3 || s.More {
		t.Fatalf("%+v", s)
	}
	dead, second, first := s.Deliveries[0], s.Deliveries[1], s.Deliveries[2]
	if dead.Work != jobs.Dead || second.Work != "" || !second.Sensitive || !slices.Equal(first.Roles, []string{"mapping-admin"}) {
		t.Errorf("%+v", s.Deliveries)
	}
	if sent := first.Sent[0]; first.State != notice.Dropped || sent.Asked.IsZero() || sent.Got != 0 || sent.Drops[0].Code != 1430002 || sent.Drops[0].Who != "user:wangwu" {
		t.Errorf("%+v", first)
	}
	if got := second.Recipients[1]; got.Who != "user:zhangsan" || got.Read != notice.Unopened || second.Sent[0].Got != 1 || second.Sent[0].Drops[0].Who != "user:gone" {
		t.Errorf("%+v", second)
	}
	if few, err := r.Survey(t.Context(), noon.Add(-time.Hour), 2); err != nil || len(few.Deliveries) != 2 || !few.More {
		t.Errorf("%+v, %v", few, err)
	}
	if none, err := r.Survey(t.Context(), r.clock.Now().Add(time.Hour), 2); err != nil || len(none.Deliveries) != 0 || none.More {
		t.Errorf("%+v, %v", none, err)
	}
	letter, err := r.Letter(t.Context(), dead.Key())
	r.must(err)
	if letter.Delivery.Work != jobs.Dead || !strings.Contains(letter.Text, "螺丝 M6") || letter.Item.Failure == nil {
		t.Errorf("%+v", letter)
	}
	for _, key := range []string{"", "x", "1-", "99-abc", "1-../x", strings.Repeat("9", 20) + "-a"} {
		if _, err := r.Letter(t.Context(), key); err == nil {
			t.Errorf("%q names a message", key)
		}
	}
	_, err = r.queue.GiveUp(t.Context(), jobs.Actor{Name: "cli:test"}, letter.Item.ID, "told by telephone")
	r.must(err)
	r.must(r.GaveUp(t.Context(), dead.Key(), "told by telephone"))
	over, err := r.Letter(t.Context(), dead.Key())
	r.must(err)
	if over.Delivery.Work != jobs.GivenUp || over.Delivery.State != notice.Failed || over.Delivery.Recipients[0].Why != "told by telephone" {
		t.Errorf("%+v", over.Delivery)
	}
}

// TestAgain: who was given nothing is sent the same words once more, with those
// that went along; whoever has them gets nothing, and twice is refused.
func TestAgain(t *testing.T) {
	r := newRig(t)
	r.forbid("螺丝")
	for _, key := range []string{"a", "b"} { // leave as one
		r.send(stock(key, "zhangsan", "lisi"))
	}
	r.through()
	var lead notice.Delivery
	for _, d := range r.deliveries() {
		if d.State == notice.Dropped {
			lead = d
		}
	}
	r.forbid("")
	fresh, err := r.Again(t.Context(), lead.Key())
	r.must(err)
	_, err = r.Again(t.Context(), lead.Key())
	if !errors.Is(err, notice.ErrNotMissed) || identity.KindOf(err) != identity.Conflict {
		t.Errorf("twice: %v", err)
	}
	r.through()
	for _, who := range []string{"zhangsan", "lisi"} {
		if got := r.received(who); len(got) != 1 || strings.Count(got[0].Text, "螺丝") != 2 {
			t.Errorf("%s has %+v", who, got)
		}
	}
	old, err := r.Letter(t.Context(), lead.Key())
	r.must(err)
	if old.Delivery.Again != fresh.ID || old.Delivery.State != notice.Dropped {
		t.Errorf("%+v", old.Delivery)
	}
	if _, err := r.Again(t.Context(), fresh.Key()); err == nil {
		t.Error("what everybody has was sent again")
	}
	r.forbid("螺丝")
	r.send(stock("c", "lisi"))
	r.through()
	late := r.deliveries()[0]
	r.clock.Advance(8 * 24 * time.Hour) // its item is forgotten by then
	if _, err := r.Again(t.Context(), late.Key()); identity.KindOf(err) != identity.NotFound {
		t.Errorf("words that are no longer kept: %v", err)
	}
}
