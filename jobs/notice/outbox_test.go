package notice_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/notice"
)

// TestDelivered proves F70 and F71: a card with a link to the bill reaches
// people and roles, and the outbox knows that it did.
func TestDelivered(t *testing.T) {
	r := newRig(t)
	r.send(stock("stock/1", "zhangsan", "role:mapping-admin"))
	r.send(stock("stock/1", "zhangsan", "role:mapping-admin")) // the same notice
	r.through()
	for _, userid := range []string{"zhangsan", "wangwu"} {
		got := r.received(userid)
		if len(got) != 1 || got[0].Type != "action_card" || got[0].Links[0].URL != "https://gate.example.com/launch/live/stock" {
			t.Errorf("%s got %+v", userid, got)
		}
	}
	d := r.one(notice.Delivered)
	if len(d.Sent) != 1 || d.Sent[0].Task == 0 || d.Recipients[0].State != notice.Delivered || d.Failure != "" {
		t.Errorf("the truth is told as %+v", d)
	}
	if r.calls("asyncsend_v2") != 1 || r.calls("getsendresult") != 1 {
		t.Errorf("%d sends, %d questions", r.calls("asyncsend_v2"), r.calls("getsendresult"))
	}
	if strings.Contains(r.log.String(), "螺丝") {
		t.Error("the log holds the text (T115)")
	}
}

// TestMerged: notices to the same people within the window leave as one (F71),
// also when two workers meet; to others they do not.
func TestMerged(t *testing.T) {
	r := newRig(t)
	for _, key := range []string{"a", "b", "c"} {
		r.send(stock(key, "zhangsan"))
		r.clock.Advance(time.Second)
	}
	r.send(stock("d", "lisi"))
	r.through()
	if got := r.received("zhangsan"); len(got) != 1 || got[0].Title != "3 条通知" || len(got[0].Links) != 3 {
		t.Errorf("zhangsan got %+v", got)
	}
	if got := r.received("lisi"); len(got) != 1 {
		t.Errorf("lisi got %+v", got)
	}
	states := map[notice.State]int{}
	for _, d := range r.deliveries() {
		states[d.State]++
		if d.State == notice.Merged && d.Into == "" {
			t.Errorf("%+v does not say into what", d)
		}
	}
	if states[notice.Merged] != 2 || states[notice.Delivered] != 2 {
		t.Errorf("states %v", states)
	}
}

// TestUrgentDoesNotWait: what a person waits for leaves at once.
func TestUrgentDoesNotWait(t *testing.T) {
	r := newRig(t)
	n := stock("now", "zhangsan")
	n.Urgent = true
	r.send(n)
	r.work()
	if got := r.received("zhangsan"); len(got) != 1 {
		t.Errorf("got %+v", got)
	}
}

// TestLostAnswer proves R30 for messages: the answer of a send that arrived is
// lost, and the person has it exactly once, with the outbox knowing.
func TestLostAnswer(t *testing.T) {
	for _, kind := range []string{"reset", "truncate", "garbage"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t)
			r.fault(dingtalksim.Fault{Match: "asyncsend_v2", Kind: kind, Times: 1})
			r.send(stock("x", "zhangsan"))
			r.through()
			if got := r.received("zhangsan"); len(got) != 1 {
				t.Errorf("got %d messages", len(got))
			}
			d := r.one(notice.Delivered)
			if r.calls("asyncsend_v2") != 2 || !d.Sent[0].Again {
				t.Errorf("%d sends; %+v", r.calls("asyncsend_v2"), d.Sent)
			}
		})
	}
}

// TestNotSentAfterMidnight: once the day has turned, the same bytes would arrive
// a second time; the fallback tells, and the truth is "unclear".
func TestNotSentAfterMidnight(t *testing.T) {
	r := newRig(t)
	r.fault(dingtalksim.Fault{Match: "asyncsend_v2", Kind: "reset", Times: 1})
	n := stock("x", "zhangsan")
	n.Fallbacks = to("mail:ops@example.com")
	r.send(n)
	r.clock.Advance(20 * time.Second)
	r.work()
	r.clock.Advance(13 * time.Hour)
	r.through()
	if got := r.received("zhangsan"); len(got) != 1 || r.calls("asyncsend_v2") != 1 || len(r.mail.got) != 1 {
		t.Errorf("received %d, sends %d, mails %d", len(got), r.calls("asyncsend_v2"), len(r.mail.got))
	}
	if d := r.one(notice.Detoured); d.Recipients[0].By != "mail:ops@example.com" || d.Recipients[0].Why == "" {
		t.Errorf("%+v", d)
	}
}

// TestUnclearWithoutFallback: where no other way is left, it stays unclear, and
// nobody is given it a second time.
func TestUnclearWithoutFallback(t *testing.T) {
	r := newRig(t)
	r.fault(dingtalksim.Fault{Match: "asyncsend_v2", Kind: "reset", Times: 1})
	r.send(stock("x", "zhangsan"))
	r.clock.Advance(20 * time.Second)
	r.work()
	r.clock.Advance(12*time.Hour - 3*time.Minute) // three minutes to midnight: an answer could come too late
	r.through()
	if d := r.one(notice.Unclear); len(r.received("zhangsan")) != 1 || r.calls("asyncsend_v2") != 1 || d.Recipients[0].Why == "" {
		t.Errorf("%+v", d)
	}
}

// TestSameContentIsVaried proves F71: a silent drop for the same content is
// seen, and other words reach the person.
func TestSameContentIsVaried(t *testing.T) {
	r := newRig(t)
	r.send(stock("x", "zhangsan", "lisi"))
	r.clock.Advance(20 * time.Second)
	// Another program of the house sends lisi the same bytes first.
	r.work()
	sent := r.received("lisi")
	if len(sent) != 1 {
		t.Fatalf("lisi got %+v", sent)
	}
	r.through()
	again := stock("y", "lisi") // other key, same words, same second
	again.Urgent = true
	r.clock.Advance(noon.Sub(r.clock.Now()))
	r.send(again)
	r.work()
	r.clock.Advance(10 * time.Minute)
	r.through()
	got := r.received("lisi")
	if len(got) != 2 || !strings.Contains(got[1].Text, "第 2 次发送") {
		t.Fatalf("lisi got %d: %+v", len(got), got)
	}
	for _, d := range r.deliveries() {
		if d.State != notice.Delivered {
			t.Errorf("%+v", d)
		}
	}
}

// TestPassingDrop: more than the application may send in a minute is sent again
// when the minute is over, and not before.
func TestPassingDrop(t *testing.T) {
	r := newRig(t, func(c *notice.Config) { c.Ask = 5 * time.Second })
	r.must(r.ding.SetSwitches(func(s *dingtalksim.Switches) { s.MessagePerMinute = 1 }))
	n := stock("x", "zhangsan", "lisi")
	n.Urgent = true
	r.send(n)
	for range 4 { // within the minute
		r.work()
		r.clock.Advance(6 * time.Second)
	}
	if r.calls("asyncsend_v2") != 1 || r.calls("getsendresult") != 1 {
		t.Errorf("%d sends, %d questions", r.calls("asyncsend_v2"), r.calls("getsendresult"))
	}
	r.through()
	if len(r.received("zhangsan")) != 1 || len(r.received("lisi")) != 1 || r.calls("asyncsend_v2") != 2 {
		t.Errorf("zhangsan %d, lisi %d, %d sends", len(r.received("zhangsan")), len(r.received("lisi")), r.calls("asyncsend_v2"))
	}
	r.one(notice.Delivered)
}

// TestFallback proves F71: dropped for good, the robot tells, and after the
// robot the mail; the truth names each.
func TestFallback(t *testing.T) {
	for name, c := range map[string]struct {
		fallbacks []string
		stop      bool
		group     int
		mails     int
		state     notice.State
	}{
		"none":             {nil, false, 0, 0, notice.Dropped},
		"robot":            {[]string{"robot:ops", "mail:ops@example.com"}, false, 1, 0, notice.Detoured},
		"robot is stopped": {[]string{"robot:ops", "mail:ops@example.com"}, true, 0, 1, notice.Detoured},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.must(r.ding.SetSwitches(func(s *dingtalksim.Switches) { s.MessageForbidden = "螺丝" }))
			r.must(r.ding.AddRobot(dingtalksim.Robot{Name: "ops", Token: "robot-token", Secret: "SEC-robot", Stopped: c.stop}))
			n := stock("x", "zhangsan", "lisi")
			n.Fallbacks = to(c.fallbacks...)
			r.send(n)
			r.through()
			if len(r.group()) != c.group || len(r.mail.got) != c.mails {
				t.Errorf("%d in the group, %d mails", len(r.group()), len(r.mail.got))
			}
			d := r.one(c.state)
			for _, one := range d.Recipients {
				if one.State != c.state || one.Code != 1430002 || one.Why == "" {
					t.Errorf("%+v", one)
				}
			}
		})
	}
}

// TestSomeAreDropped: people are decided about one by one.
func TestSomeAreDropped(t *testing.T) {
	r := newRig(t)
	n := stock("x", "zhangsan", "gone")
	n.Fallbacks = to("robot:ops")
	r.send(n)
	r.through()
	d := r.one(notice.Detoured)
	if len(r.received("zhangsan")) != 1 || len(r.group()) != 1 || d.Recipients[0].State != notice.Detoured || d.Recipients[1].State != notice.Delivered {
		t.Errorf("%+v", d.Recipients)
	}
}

// TestDepartmentsRobotsAndMail: every way that a notice can be meant to go.
func TestDepartmentsRobotsAndMail(t *testing.T) {
	r := newRig(t)
	r.send(stock("x", "dept:10", "robot:ops", "mail:b@example.com", "mail:a@example.com", "lisi"))
	r.through()
	if len(r.received("zhangsan")) != 1 || len(r.received("lisi")) != 1 || len(r.group()) != 1 || len(r.mail.got) != 1 || len(r.mail.got[0].To) != 2 {
		t.Errorf("department %d, person %d, group %d, mails %+v", len(r.received("zhangsan")), len(r.received("lisi")), len(r.group()), r.mail.got)
	}
	if text := r.mail.got[0].Text; !strings.Contains(text, "https://gate.example.com/launch/live/stock") || strings.Contains(text, "**") {
		t.Errorf("the mail says %q", text)
	}
	for _, d := range r.deliveries() {
		if d.State != notice.Delivered {
			t.Errorf("%+v", d)
		}
	}
}

// TestAway proves R20 and R29 for notices: while DingTalk is away they wait, and
// when its month is used up the fallback tells at once.
func TestAway(t *testing.T) {
	r := newRig(t)
	r.fault(dingtalksim.Fault{Match: "asyncsend_v2", Kind: "errcode", Times: 2})
	r.send(stock("x", "zhangsan"))
	r.clock.Advance(20 * time.Second)
	if errs := r.work(); len(errs) != 1 || identity.KindOf(errs[0]) != identity.Unavailable {
		t.Fatalf("%v", errs)
	}
	if d := r.one(notice.Waiting); d.Failure == "" {
		t.Errorf("the failure is not told: %+v", d)
	}
	r.through()
	r.one(notice.Delivered)

	used := newRig(t)
	used.ding.SetMonthUsed(corp, 5000)
	n := stock("x", "zhangsan")
	n.Fallbacks = to("mail:ops@example.com")
	used.send(n)
	used.through()
	if d := used.one(notice.Detoured); len(used.mail.got) != 1 || used.calls("asyncsend_v2") != 1 {
		t.Errorf("%d mails, %d sends, %+v", len(used.mail.got), used.calls("asyncsend_v2"), d)
	}
}

// TestDeadLetter proves R44: what can never be sent is a dead letter with a
// reason, and others go on.
func TestDeadLetter(t *testing.T) {
	r := newRig(t, func(c *notice.Config) { c.Robots = nil })
	r.send(stock("x", "robot:ops"))
	r.send(stock("y", "zhangsan"))
	for range 40 {
		r.clock.Advance(time.Minute)
		r.work()
	}
	page, err := r.queue.List(t.Context(), jobs.Filter{State: jobs.Dead}, "", 10)
	r.must(err)
	if len(page.Items) != 1 || page.Items[0].Failure == nil || len(r.received("zhangsan")) != 1 {
		t.Errorf("dead: %+v, zhangsan %d", page.Items, len(r.received("zhangsan")))
	}
}

// TestSensitive proves F73: figures go to people, never to open groups.
func TestSensitive(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct{ to, fallbacks []string }{
		{[]string{"robot:ops"}, nil},
		{[]string{"dept:10"}, nil},
		{[]string{"zhangsan"}, []string{"robot:ops"}},
	} {
		n := stock("x", c.to...)
		n.Sensitive, n.Fallbacks = true, to(c.fallbacks...)
		if err := r.Send(t.Context(), n); !errors.Is(err, notice.ErrSensitive) {
			t.Errorf("%v: %v", c, err)
		}
	}
	n := stock("x", "zhangsan", "mail:boss@example.com")
	n.Sensitive, n.Fallbacks = true, to("mail:boss@example.com")
	r.send(n)
	r.through()
	if len(r.group()) != 0 || len(r.received("zhangsan")) != 1 {
		t.Error("it went elsewhere")
	}
}

// TestRefusedNotices: a notice that cannot be delivered is refused where it is made.
func TestRefusedNotices(t *testing.T) {
	r := newRig(t)
	for name, change := range map[string]func(*notice.Notice){
		"no key":             func(n *notice.Notice) { n.Key = "" },
		"no title":           func(n *notice.Notice) { n.Title = "" },
		"no text":            func(n *notice.Notice) { n.Text = "" },
		"nobody":             func(n *notice.Notice) { n.To = nil },
		"empty role":         func(n *notice.Notice) { n.To = to("role:none") },
		"fallback to people": func(n *notice.Notice) { n.Fallbacks = to("zhangsan") },
		"huge":               func(n *notice.Notice) { n.Text = strings.Repeat("x", 20<<10) },
	} {
		n := stock("x", "zhangsan")
		change(&n)
		err := r.Send(t.Context(), n)
		if identity.KindOf(err) != identity.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestManyPeople: more people than one call takes are several letters, long
// texts are cut where DingTalk would drop them, and nobody is missed.
func TestManyPeople(t *testing.T) {
	r := newRig(t)
	n := stock("x", names(250)...)
	n.Text = strings.Repeat("很长的文字 ", 900)
	r.send(n)
	r.through()
	list := r.deliveries()
	if len(list) != 3 || len(list[0].Recipients)+len(list[1].Recipients)+len(list[2].Recipients) != 250 || r.calls("asyncsend_v2") != 3 {
		t.Errorf("%d letters, %d sends", len(list), r.calls("asyncsend_v2"))
	}
	for _, call := range r.ding.Calls("asyncsend_v2") {
		if call.Code != "0" {
			t.Errorf("refused: %s", call.Answer)
		}
	}
}

// TestMessageBytes: how long a work notification may be is a setting (reference
// 11, question 26).
func TestMessageBytes(t *testing.T) {
	const most = 700
	r := newRig(t, func(cfg *notice.Config) { cfg.MessageBytes = most })
	n := stock("x", "zhangsan")
	n.Text = strings.Repeat("很长的文字 ", 900)
	r.send(n)
	r.through()
	for _, call := range r.ding.Calls("asyncsend_v2") {
		var sent struct {
			Msg json.RawMessage `json:"msg"`
		}
		r.must(json.Unmarshal([]byte(call.Request), &sent))
		if len(sent.Msg) > most || len(sent.Msg) < most-50 {
			t.Errorf("%d bytes sent", len(sent.Msg))
		}
	}
	if r.calls("asyncsend_v2") != 1 || len(r.deliveries()) != 1 {
		t.Error("not one letter")
	}
}

// TestRestart proves R30: a process that dies at any step leaves a letter that
// another carries on, and the person has it once.
func TestRestart(t *testing.T) {
	for fence := 1; fence <= 6; fence++ {
		r := newRig(t)
		r.send(stock("x", "zhangsan"))
		r.clock.Advance(20 * time.Second)
		dying := &dying{Store: r.store, left: fence}
		cfg := jobs.Config{Store: dying, Recorder: nobody{}, Owner: "dies", Alone: true, Now: r.clock.Now}
		queue, err := jobs.New(cfg)
		r.must(err)
		broken := r.cfg
		broken.Store, broken.Queue = dying, queue
		outbox, err := notice.New(broken)
		r.must(err)
		if taken, err := queue.Take(t.Context(), notice.Kind, 1); err == nil && len(taken.Work) == 1 {
			_ = outbox.Handle(t.Context(), taken.Work[0]) // it died: nobody hears of it
		}
		r.queue, err = jobs.New(jobs.Config{Store: r.store, Recorder: nobody{}, Owner: "two", Alone: true, Now: r.clock.Now})
		r.must(err)
		r.cfg.Queue = r.queue
		r.Outbox, err = notice.New(r.cfg)
		r.must(err)
		r.through()
		if got := r.received("zhangsan"); len(got) != 1 {
			t.Errorf("died at write %d: received %d times", fence, len(got))
		}
		r.one(notice.Delivered)
	}
}
