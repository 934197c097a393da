package dingtalksim_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
)

const messagePath = "/topapi/message/corpconversation/"

func text(words string) obj { return obj{"msgtype": "text", "text": obj{"content": words}} }

// send sends a work notification of the first application and gives its task.
func (s sim) send(to, words string) int64 {
	s.t.Helper()
	m := s.old(messagePath+"asyncsend_v2", obj{"agent_id": 100001, "userid_list": to, "msg": text(words)})
	if m["errcode"] != 0.0 || m["task_id"] == nil {
		s.t.Fatalf("not sent: %v", m)
	}
	return int64(m["task_id"].(float64))
}

// sendResult asks what became of a task.
func (s sim) sendResult(task int64) obj {
	s.t.Helper()
	m := s.old(messagePath+"getsendresult", obj{"agent_id": 100001, "task_id": task})
	result, ok := m["send_result"].(obj)
	if !ok {
		s.t.Fatalf("no result: %v", m)
	}
	return result
}

func ids(v any) string { return strings.Trim(fmt.Sprint(v), "[]") }

// TestWorkNotification proves SIM-D100: a task id whatever becomes of it, and an
// inbox that tells the truth.
func TestWorkNotification(t *testing.T) {
	s := newSim(t)
	task := s.send("zhangwei, nobody,leaver01,manager01", "hello [here](https://gate.example.com/launch/live)")
	got := s.Messages("zhangwei")
	if len(got) != 1 || got[0].State != "received" || len(got[0].Links) != 1 || got[0].Links[0].URL != "https://gate.example.com/launch/live" {
		t.Fatalf("the inbox holds %+v", got)
	}
	r := s.sendResult(task)
	if ids(r["invalid_user_id_list"]) != "nobody leaver01" || ids(r["unread_user_id_list"]) != "zhangwei manager01" {
		t.Errorf("result %v", r)
	}
	s.call("POST", "/sim/messages/read", obj{"userid": "zhangwei"})
	if r := s.sendResult(task); ids(r["read_user_id_list"]) != "zhangwei" {
		t.Errorf("after reading: %v", r)
	}
	p := s.old(messagePath+"getsendprogress", obj{"agent_id": 100001, "task_id": task})["progress"].(obj)
	if p["status"] != 2.0 || p["progress_in_percent"] != 100.0 {
		t.Errorf("progress %v", p)
	}
	s.old(messagePath+"recall", obj{"agent_id": 100001, "msg_task_id": task})
	if got := s.Messages("manager01"); got[0].State != "recalled" {
		t.Errorf("after the recall: %+v", got)
	}
}

// TestMessageToDepartments: a department brings everybody below it, and an unknown one is told.
func TestMessageToDepartments(t *testing.T) {
	s := newSim(t)
	m := s.old(messagePath+"asyncsend_v2", obj{"agent_id": 100001, "dept_id_list": "103,999", "msg": text("all")})
	r := s.sendResult(int64(m["task_id"].(float64)))
	if ids(r["unread_user_id_list"]) != "enterprise01 lina wangfang" || ids(r["invalid_dept_id_list"]) != "999" {
		t.Errorf("result %v", r)
	}
}

// TestSilentDrops proves SIM-D101: success to the sender, nothing to the person,
// and the reason in the result alone.
func TestSilentDrops(t *testing.T) {
	drop := func(s sim, task int64) any {
		list := s.sendResult(task)["forbidden_list"].([]any)
		if len(list) == 0 {
			return 0.0
		}
		return list[0].(obj)["code"]
	}
	for name, c := range map[string]struct {
		set  func(*dingtalksim.Switches)
		move time.Duration
		want float64
	}{
		"same content":       {func(*dingtalksim.Switches) {}, 0, 143106},
		"same, the next day": {func(*dingtalksim.Switches) {}, 24 * time.Hour, 0},
		"per day":            {func(sw *dingtalksim.Switches) { sw.MessagePerDay = 1 }, 0, 143106},
		"per minute":         {func(sw *dingtalksim.Switches) { sw.MessagePerMinute = 1 }, 0, 143103},
		"a minute later":     {func(sw *dingtalksim.Switches) { sw.MessagePerMinute = 1 }, 24 * time.Hour, 0},
		"forbidden word":     {func(sw *dingtalksim.Switches) { sw.MessageForbidden = "same" }, 0, 1430002},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			if err := s.SetSwitches(c.set); err != nil {
				t.Fatal(err)
			}
			s.send("zhangwei", "same")
			s.Advance(c.move)
			if got := drop(s, s.send("zhangwei", "same")); got != c.want {
				t.Errorf("dropped with %v, want %v", got, c.want)
			}
		})
	}
	s := newSim(t)
	if err := s.SetSwitches(func(sw *dingtalksim.Switches) { sw.MessagePerDay = 2 }); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		task := s.send("zhangwei", fmt.Sprint("number ", i))
		if want := map[bool]float64{true: 143105}[i == 2]; drop(s, task) != want {
			t.Errorf("message %d: %v", i, drop(s, task))
		}
	}
	if all := s.Messages("zhangwei"); len(all) != 3 || all[2].State != "dropped" || all[2].Dropped != 143105 {
		t.Errorf("the drops are not marked: %+v", all)
	}
}

// TestRefusedMessages proves SIM-D103 and what else is refused at once.
func TestRefusedMessages(t *testing.T) {
	s := newSim(t)
	many := strings.TrimSuffix(strings.Repeat("u,", 101), ",")
	for i := range 101 {
		many = strings.Replace(many, "u,", fmt.Sprintf("u%d,", i), 1)
	}
	card := func(k obj) obj { return obj{"msgtype": "action_card", "action_card": k} }
	for name, c := range map[string]struct {
		body obj
		want float64
	}{
		"long":          {obj{"agent_id": 100001, "userid_list": "zhangwei", "msg": text(strings.Repeat("字", 700))}, 400002},
		"nobody":        {obj{"agent_id": 100001, "msg": text("x")}, 400002},
		"101 people":    {obj{"agent_id": 100001, "userid_list": many, "msg": text("x")}, 400002},
		"foreign agent": {obj{"agent_id": 200001, "userid_list": "zhangwei", "msg": text("x")}, 40056},
		"no content":    {obj{"agent_id": 100001, "userid_list": "zhangwei", "msg": text("")}, 400002},
		"unknown type":  {obj{"agent_id": 100001, "userid_list": "zhangwei", "msg": obj{"msgtype": "poem"}}, 400002},
		"long title":    {obj{"agent_id": 100001, "userid_list": "zhangwei", "msg": card(obj{"title": strings.Repeat("题", 21), "markdown": "x", "single_title": "a", "single_url": "https://a"})}, 400002},
		"no button":     {obj{"agent_id": 100001, "userid_list": "zhangwei", "msg": card(obj{"title": "t", "markdown": "x"})}, 400002},
		"good card":     {obj{"agent_id": 100001, "userid_list": "zhangwei", "msg": card(obj{"title": "t", "markdown": "x", "btn_orientation": "1", "btn_json_list": []obj{{"title": "a", "action_url": "https://a"}}})}, 0},
		"name's case":   {obj{"agent_id": 100001, "userid_list": "zhangwei", "msg": obj{"msgtype": "text", "text": obj{"Content": "x"}}}, 400002},
		"type's case":   {obj{"agent_id": 100001, "userid_list": "zhangwei", "msg": obj{"msgType": "text", "text": obj{"content": "x"}}}, 400002},
		"picture":       {obj{"agent_id": 100001, "userid_list": "zhangwei", "msg": obj{"msgtype": "image", "image": obj{"media_id": "@1"}}}, 0},
		"title alone":   {obj{"agent_id": 100001, "userid_list": "zhangwei", "msg": obj{"msgtype": "oa", "oa": obj{"message_url": "https://a", "body": obj{"title": "T"}}}}, 0},
		"empty oa":      {obj{"agent_id": 100001, "userid_list": "zhangwei", "msg": obj{"msgtype": "oa", "oa": obj{"message_url": "https://a"}}}, 400002},
		"msg as text":   {obj{"agent_id": "100001", "userid_list": "zhangwei", "msg": `{"msgtype":"text","text":{"content":"as text"}}`}, 0},
	} {
		if m := s.old(messagePath+"asyncsend_v2", c.body); m["errcode"] != c.want {
			t.Errorf("%s: %v, want %v", name, m, c.want)
		}
	}
	if err := s.SetSwitches(func(sw *dingtalksim.Switches) { sw.MessageLongDropped = true }); err != nil {
		t.Fatal(err)
	}
	task := s.send("one", strings.Repeat("字", 700))
	if r := s.sendResult(task); ids(r["forbidden_user_id_list"]) != "one" {
		t.Errorf("a long one was not dropped: %v", r)
	}
}

// TestResultIsGone proves SIM-D102.
func TestResultIsGone(t *testing.T) {
	s := newSim(t)
	task := s.send("zhangwei", "x")
	s.Advance(25 * time.Hour)
	if m := s.old(messagePath+"getsendresult", obj{"agent_id": 100001, "task_id": task}); m["errcode"] != -1.0 {
		t.Errorf("after a day: %v", m)
	}
}

// TestMessagesCount: work notifications cost monthly quota (reference 9).
func TestMessagesCount(t *testing.T) {
	s := newSim(t)
	before := s.MonthUsed(corp1)
	s.sendResult(s.send("zhangwei", "x"))
	if used := s.MonthUsed(corp1) - before; used != 2 {
		t.Errorf("%d counted", used)
	}
}

const robotSecret = "SEC0123456789abcdef"

func withRobot(t *testing.T, r dingtalksim.Robot) sim {
	t.Helper()
	s := newSim(t)
	r.Name, r.Token = "ops", "robot-token"
	if err := s.AddRobot(r); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s sim) robot(query, words string) float64 {
	s.t.Helper()
	m := s.call("POST", "/robot/send?access_token=robot-token"+query, text(words)).json(s.t)
	return m["errcode"].(float64)
}

// TestRobotSecurity proves SIM-D106. The signatures are vectors of the reference.
func TestRobotSecurity(t *testing.T) {
	s := withRobot(t, dingtalksim.Robot{Secret: robotSecret})
	stamp := fmt.Sprint(start.UnixMilli())
	sign := robotSign(stamp, robotSecret)
	for name, c := range map[string]struct {
		query string
		want  float64
	}{
		"signed":        {"&timestamp=" + stamp + "&sign=" + url.QueryEscape(sign), 0},
		"unsigned":      {"", 310000},
		"wrong":         {"&timestamp=" + stamp + "&sign=AAAA", 310000},
		"too old":       {"&timestamp=" + fmt.Sprint(start.Add(-2*time.Hour).UnixMilli()) + "&sign=" + url.QueryEscape(sign), 310000},
		"other's stamp": {"&timestamp=" + stamp + "1&sign=" + url.QueryEscape(sign), 310000},
	} {
		if got := s.robot(c.query, "x"); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	words := withRobot(t, dingtalksim.Robot{Keywords: []string{"告警"}})
	if words.robot("", "nothing") != 310000 || words.robot("", "告警: x") != 0 {
		t.Error("keywords are not looked at")
	}
	ip := withRobot(t, dingtalksim.Robot{AllowedIPs: []string{"203.0.113.7"}})
	if ip.robot("", "x") != 310000 {
		t.Error("addresses are not looked at")
	}
}

// TestRobotRate proves SIM-D104: the 21st in a minute, and all for ten minutes.
func TestRobotRate(t *testing.T) {
	s := withRobot(t, dingtalksim.Robot{})
	for i := range 20 {
		if code := s.robot("", fmt.Sprint(i)); code != 0 {
			t.Fatalf("message %d: %v", i, code)
		}
	}
	for _, c := range []struct {
		wait time.Duration
		want float64
	}{{0, 660026}, {2 * time.Minute, 660026}, {9 * time.Minute, 0}} {
		s.Advance(c.wait)
		if got := s.robot("", "late"); got != c.want {
			t.Errorf("after %s: %v", c.wait, got)
		}
	}
}

// TestRobotMessages proves SIM-D105, SIM-D107 and that its group has it.
func TestRobotMessages(t *testing.T) {
	s := withRobot(t, dingtalksim.Robot{})
	for range 2 {
		s.call("POST", "/robot/send?access_token=robot-token", obj{"msgtype": "markdown", "msgUuid": "one", "markdown": obj{"title": "t", "text": "x"}})
	}
	if got := s.Messages(""); len(got) != 1 || got[0].Robot != "ops" {
		t.Errorf("the group has %+v", got)
	}
	for name, c := range map[string]struct {
		path string
		body any
		want float64
	}{
		"unknown token": {"/robot/send?access_token=other", text("x"), 300005},
		"no title":      {"/robot/send?access_token=robot-token", obj{"msgtype": "markdown", "markdown": obj{"text": "x"}}, 400402},
		"unknown type":  {"/robot/send?access_token=robot-token", obj{"msgtype": "poem"}, 400105},
		"card":          {"/robot/send?access_token=robot-token", obj{"msgtype": "actionCard", "actionCard": obj{"title": "t", "text": "x", "singleTitle": "a", "singleURL": "https://a"}}, 0},
		"singleUrl":     {"/robot/send?access_token=robot-token", obj{"msgtype": "actionCard", "actionCard": obj{"title": "t", "text": "x", "singleTitle": "a", "singleUrl": "https://a"}}, 40035},
		"action_url":    {"/robot/send?access_token=robot-token", obj{"msgtype": "actionCard", "actionCard": obj{"title": "t", "text": "x", "btns": []obj{{"title": "a", "actionUrl": "https://a"}}}}, 40035},
	} {
		if m := s.call("POST", c.path, c.body).json(t); m["errcode"] != c.want {
			t.Errorf("%s: %v", name, m)
		}
	}
}

// TestInboxOnTheWorkbench: what a person received stands there, to be clicked;
// what was dropped does not.
func TestInboxOnTheWorkbench(t *testing.T) {
	s := newSim(t)
	for range 2 {
		s.send("zhangwei", "see [the bill](https://gate.example.com/launch/live/expense/1)")
	}
	page := s.call("GET", "/workbench?as=zhangwei", nil).body
	if strings.Count(page, `href="https://gate.example.com/launch/live/expense/1"`) != 1 {
		t.Errorf("the link is not there once:\n%s", page)
	}
	var list []obj
	s.door("GET", "/sim/messages?userid=zhangwei", nil, &list)
	if len(list) != 2 || list[1]["state"] != "dropped" || list[0]["read"] != true {
		t.Errorf("the door tells %v", list)
	}
}
