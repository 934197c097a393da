package dingtalk_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
)

// TestSendWork: each form of a message arrives as it was meant (F70), and the
// result tells person by person (F71, SIM-D100).
func TestSendWork(t *testing.T) {
	u := newTown(t)
	button := dingtalk.Button{Title: "Open", URL: "https://gate.example.com/launch/live/expense/1"}
	for name, m := range map[string]dingtalk.Message{
		"text":     {Text: "plain <words> & such"},
		"markdown": {Title: "库存", Text: "**0.5** left"},
		"card":     {Title: "库存", Text: "one button", Buttons: []dingtalk.Button{button}},
		"buttons":  {Title: "库存", Text: "two buttons", Buttons: []dingtalk.Button{button, {Title: "Other", URL: button.URL}}},
	} {
		t.Run(name, func(t *testing.T) {
			m.Users = []string{"zhangsan", "faraway", "gone"}
			task, err := u.SendWork(ctx, m)
			if err != nil {
				t.Fatal(err)
			}
			all := u.sim.Messages("zhangsan")
			last := all[len(all)-1]
			if last.TaskID != task || last.Text != m.Text || last.Title != m.Title || len(last.Links) != len(m.Buttons) {
				t.Errorf("arrived as %+v", last)
			}
			r, err := u.SendResult(ctx, task)
			if read, got := r.Got["zhangsan"]; err != nil || !got || read || r.Dropped["gone"] != dingtalk.DropInvalid {
				t.Errorf("result %+v, %v", r, err)
			}
		})
	}
}

// TestDropsAreTold proves F71: a silent drop is seen in the result, and the same
// message sent again after an unclear failure reaches nobody twice.
func TestDropsAreTold(t *testing.T) {
	u := newTown(t)
	m := dingtalk.Message{Users: []string{"zhangsan"}, Text: "once"}
	u.fault(t, dingtalksim.Fault{Match: "asyncsend_v2", Kind: "reset", Times: 1})
	_, err := u.SendWork(ctx, m)
	if !dingtalk.Ambiguous(err) || u.calls("asyncsend_v2") != 1 {
		t.Fatalf("a lost answer: %v after %d calls", err, u.calls("asyncsend_v2"))
	}
	task, err := u.SendWork(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	r, err := u.SendResult(ctx, task)
	if err != nil || r.Dropped["zhangsan"] != dingtalk.DropSame || len(r.Got) != 0 {
		t.Errorf("result %+v, %v", r, err)
	}
	received := 0
	for _, one := range u.sim.Messages("zhangsan") {
		if one.State == "received" {
			received++
		}
	}
	if received != 1 {
		t.Errorf("received %d times", received)
	}
	if done, err := u.SendDone(ctx, task); !done || err != nil {
		t.Errorf("progress %v, %v", done, err)
	}
	if err := u.Recall(ctx, task); err != nil {
		t.Error(err)
	}
}

// TestQuotaOfMessages: a used-up month is told as throttling (20), costs nothing
// more, and nothing of a message stands in the log.
func TestQuotaOfMessages(t *testing.T) {
	u := newTown(t)
	u.sim.SetMonthUsed(corpA, 5000)
	const words = "salary 31415926"
	for range 2 {
		_, err := u.SendWork(ctx, dingtalk.Message{Users: []string{"zhangsan"}, Text: words})
		wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
		if wait, ok := dingtalk.RetryAfter(err); !ok || wait <= 0 || strings.Contains(err.Error(), words) {
			t.Errorf("%v, wait %v", err, wait)
		}
	}
	if n := u.calls("asyncsend_v2"); n != 1 {
		t.Errorf("%d calls during the pause (R20)", n)
	}
	if strings.Contains(u.log.String(), words) {
		t.Error("the log holds the message (T115)")
	}
}

// TestMessagesRefusedHere: what DingTalk would drop in silence never leaves.
func TestMessagesRefusedHere(t *testing.T) {
	u := newTown(t)
	one := []string{"zhangsan"}
	for name, m := range map[string]dingtalk.Message{
		"too long":    {Users: one, Text: strings.Repeat("字", 700)},
		"escapes":     {Users: one, Text: strings.Repeat("<", 400)}, // six bytes each on the wire
		"nobody":      {Text: "x"},
		"no text":     {Users: one},
		"many":        {Users: make([]string, 101), Text: "x"},
		"comma":       {Users: []string{"a,b"}, Text: "x"},
		"long title":  {Users: one, Title: strings.Repeat("题", 21), Text: "x", Buttons: []dingtalk.Button{{Title: "a", URL: "https://a"}}},
		"long button": {Users: one, Title: "t", Text: "x", Buttons: []dingtalk.Button{{Title: "a", URL: "https://" + strings.Repeat("a", 500)}}},
		"not UTF-8":   {Users: one, Text: "\xff"},
	} {
		if _, err := u.SendWork(ctx, m); !errors.Is(err, dingtalk.ErrMessage) || identity.KindOf(err) != identity.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := u.calls("asyncsend_v2"); n != 0 {
		t.Errorf("%d calls left", n)
	}
	users := make([]string, 250)
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	parts := dingtalk.Message{Users: users, Departments: make([]int64, 21), Text: "x"}.Chunks()
	if len(parts) != 5 || len(parts[2].Users) != 50 || len(parts[4].Departments) != 1 {
		t.Errorf("%d parts", len(parts))
	}
}

func (u *town) robot(t *testing.T, secret string) *dingtalk.Robot {
	t.Helper()
	must(t, u.sim.AddRobot(dingtalksim.Robot{Name: "ops", Token: "robot-token", Secret: "SEC-right"}))
	r, err := u.Robot(dingtalk.RobotConfig{Token: identity.NewSecret("robot-token"), Secret: identity.NewSecret(secret)})
	must(t, err)
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestRobot proves the robots of F72: signed, once under its id, refused with a
// wrong secret, and silent before the vendor blocks it (SIM-D104, 106, 107).
func TestRobot(t *testing.T) {
	u := newTown(t)
	r := u.robot(t, "SEC-right")
	m := dingtalk.RobotMessage{ID: "one", Title: "Digest", Text: "all well"}
	u.fault(t, dingtalksim.Fault{Match: "/robot/send", Kind: "reset", Times: 1})
	must(t, r.Send(ctx, m))
	must(t, r.Send(ctx, m))
	if got := u.sim.Messages(""); len(got) != 1 || got[0].Title != "Digest" {
		t.Errorf("the group has %+v", got)
	}
	var err error
	for i := 0; err == nil && i < 20; i++ {
		err = r.Send(ctx, dingtalk.RobotMessage{ID: fmt.Sprint(i), Title: "t", Text: "x"})
	}
	wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
	if wait, ok := dingtalk.RetryAfter(err); !ok || wait > time.Minute || u.calls("/robot/send") > 20 {
		t.Errorf("wait %v after %d calls", wait, u.calls("/robot/send"))
	}
	err = u.robot(t, "SEC-wrong").Send(ctx, m)
	wants(t, err, identity.Misconfigured, identity.CodeDingTalkSetup)
	if strings.Contains(err.Error()+u.log.String(), "robot-token") {
		t.Error("the token is told")
	}
}

// TestRobotBlocked: a block by the vendor, whichever number it has, is ten
// minutes of silence (R20).
func TestRobotBlocked(t *testing.T) {
	for _, documented := range []bool{false, true} {
		u := newTown(t)
		must(t, u.sim.SetSwitches(func(sw *dingtalksim.Switches) { sw.RobotDocCodes = documented }))
		u.robot(t, "SEC-right") // puts it into the group
		var err error
		for i := 0; i < 25 && err == nil; i++ { // as five replicas would
			r, e := u.Robot(dingtalk.RobotConfig{Token: identity.NewSecret("robot-token"), Secret: identity.NewSecret("SEC-right")})
			must(t, e)
			if err = r.Send(ctx, dingtalk.RobotMessage{ID: fmt.Sprint(i), Title: "t", Text: "x"}); err == nil {
				continue
			}
			before := u.calls("/robot/send")
			again := r.Send(ctx, dingtalk.RobotMessage{ID: "later", Title: "t", Text: "x"})
			wants(t, again, identity.Throttled, identity.CodeDingTalkBusy)
			if wait, _ := dingtalk.RetryAfter(again); wait < 9*time.Minute || u.calls("/robot/send") != before {
				t.Errorf("wait %v, %d calls during the block", wait, u.calls("/robot/send")-before)
			}
		}
		wants(t, err, identity.Throttled, identity.CodeDingTalkBusy)
	}
}
