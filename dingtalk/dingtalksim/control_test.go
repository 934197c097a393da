package dingtalksim_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
)

// TestPeopleDoor: list, add, change and remove at the control door, seen at
// the vendor's.
func TestPeopleDoor(t *testing.T) {
	s := newSim(t)
	var list []obj
	s.control("GET", "/sim/people", nil, &list, 200)
	if len(list) != 14 || list[0]["userid"] != "manager01" || list[0]["name"] != "林主管" || list[0]["corp"] != corp1 {
		t.Fatalf("people: %d, first %v", len(list), list[0])
	}
	s.control("POST", "/sim/people", obj{"userid": "new01", "name": "新人", "dept_id_list": []int{101}, "active": false, "job_number": "N1"}, nil, 201)
	u := s.result("/topapi/v2/user/get", obj{"userid": "new01"}).(obj)
	if u["name"] != "新人" || u["active"] != false || u["job_number"] != "N1" || u["unionid"] == "" {
		t.Errorf("added: %v", u)
	}
	s.control("PATCH", "/sim/people/new01", obj{"name": "老人", "active": true}, nil, 200)
	u = s.result("/topapi/v2/user/get", obj{"userid": "new01"}).(obj)
	if u["name"] != "老人" || u["active"] != true || u["job_number"] != "N1" {
		t.Errorf("changed: %v", u)
	}
	var one obj
	s.control("DELETE", "/sim/people/new01", nil, &one, 200)
	if one["leave_reason"] != "leave" || one["left"] != "2026-09-14T04:00:00Z" {
		t.Errorf("removed: %v", one)
	}
	wantCode(t, s.old("/topapi/v2/user/get", obj{"userid": "new01"}), 60121)
	s.control("POST", "/sim/people", obj{"corp": corp2, "userid": "new02", "name": "海"}, &one, 201)
	if one["corp"] != corp2 {
		t.Errorf("added to %v", one["corp"])
	}
}

// TestPeopleDoorRefuses: what is wrong is refused with the fitting status, and
// events are refused where nothing can be told, rather than left out in silence.
func TestPeopleDoorRefuses(t *testing.T) {
	s := newSim(t)
	for _, tc := range []struct {
		method, path string
		body         any
		status       int
	}{
		{"POST", "/sim/people", obj{"userid": "zhangwei", "name": "重复"}, 409},
		{"POST", "/sim/people", obj{"userid": "x", "name": ""}, 400},
		{"POST", "/sim/people", obj{"corp": "dingno", "userid": "x", "name": "x"}, 404},
		{"POST", "/sim/people", `{`, 400},
		{"PATCH", "/sim/people/nobody", obj{}, 404},
		{"PATCH", "/sim/people/zhangwei", obj{"userid": "other"}, 400},
		{"PATCH", "/sim/people/zhangwei", obj{"dept_id_list": []int{999}}, 400},
		{"DELETE", "/sim/people/nobody", nil, 404},
		{"POST", "/sim/authcode", obj{"userid": "nobody"}, 404},
		{"POST", "/sim/authcode", obj{"userid": "zhangwei", "app_key": "nobody"}, 404},
		{"POST", "/sim/clock?event=1", obj{"skew": 1}, 501},
		{"DELETE", "/sim/calls?event=1", nil, 501},
	} {
		var problem struct{ Error string }
		s.control(tc.method, tc.path, tc.body, &problem, tc.status)
		if problem.Error == "" || tc.status == 501 && !strings.Contains(problem.Error, "not yet simulated") {
			t.Errorf("%s %s: %q", tc.method, tc.path, problem.Error)
		}
	}
	wantCode(t, s.old("/topapi/v2/user/get", obj{"userid": "zhangwei"}), 0)
}

// TestUnionIDBelongsToOne: a second person cannot take a unionid over.
func TestUnionIDBelongsToOne(t *testing.T) {
	s := newSim(t)
	union := s.result("/topapi/v2/user/get", obj{"userid": "zhangwei"}).(obj)["unionid"]
	s.control("PATCH", "/sim/people/wangfang", obj{"unionid": union}, nil, 400)
	if u := s.result("/topapi/user/getbyunionid", obj{"unionid": union}).(obj); u["userid"] != "zhangwei" {
		t.Errorf("unionid now of %v", u)
	}
}

// TestAuthCodeChoice: the same userid in two organisations.
func TestAuthCodeChoice(t *testing.T) {
	s := newSim(t)
	var out struct{ Code string }
	s.control("POST", "/sim/authcode", obj{"userid": "zhangwei", "corp": corp2}, &out, 200)
	m := s.call("POST", "/topapi/v2/user/getuserinfo?access_token="+s.tokenOf(key2, secret2), obj{"code": out.Code}).json(t)
	wantCode(t, m, 0)
	s.control("POST", "/sim/authcode", obj{"userid": "zhangwei", "app_key": key2}, &out, 200)
	m = s.call("POST", "/topapi/v2/user/getuserinfo?access_token="+s.tokenOf(key2, secret2), obj{"code": out.Code}).json(t)
	wantCode(t, m, 0)
}

// TestClockDoor is SIM-D114: seconds and durations, ahead and behind.
func TestClockDoor(t *testing.T) {
	s := newSim(t)
	for _, tc := range []struct {
		body any
		want float64
	}{
		{obj{"skew": 90}, 90},
		{obj{"skew": "1h30m"}, 5400},
		{obj{"skew": "-60"}, -60},
		{obj{"skew": -0.5}, -0.5},
		{obj{"skew": 0}, 0},
		{obj{"advance": "10s"}, 10},
		{obj{"advance": 5}, 15},
	} {
		var out obj
		s.control("POST", "/sim/clock", tc.body, &out, 200)
		if out["skew_seconds"] != tc.want {
			t.Errorf("%v: %v", tc.body, out)
		}
	}
	s.control("POST", "/sim/clock", obj{"skew": "soon"}, nil, 400)
	s.control("POST", "/sim/clock", obj{"skw": 1}, nil, 400)
	if skew := s.Calls(""); len(skew) != 0 {
		t.Errorf("control calls recorded: %v", skew)
	}
}

// TestSwitchDoor is the second half of SIM-D117: every switch is listed with a
// meaning, can be set, and mistakes are refused whole.
func TestSwitchDoor(t *testing.T) {
	s := newSim(t)
	var list []dingtalksim.SwitchAbout
	s.control("GET", "/sim/switches", nil, &list, 200)
	if len(list) != 37 {
		t.Errorf("%d switches listed", len(list))
	}
	for _, one := range list {
		numbered := strings.HasPrefix(one.About, "SIM-D") || strings.HasPrefix(one.About, "5.3: ") || strings.HasPrefix(one.About, "7.6: ") // these have a section and no number
		if one.Value == nil || !numbered {
			t.Errorf("switch %+v", one)
		}
		var now obj
		s.control("POST", "/sim/switches", obj{one.Name: one.Value}, &now, 200)
		if now[one.Name] != one.Value {
			t.Errorf("%s: set to %v, is %v", one.Name, one.Value, now[one.Name])
		}
	}
	for _, bad := range []any{obj{"qps": 5, "nonsense": true}, obj{"qps": 5, "jsapi_mode": "loud"}, obj{"oauth_param": "x"}, obj{"qps": "many"}} {
		s.control("POST", "/sim/switches", bad, nil, 400)
	}
	if s.Switches().QPS != 20 {
		t.Errorf("a refused change was half done: %d", s.Switches().QPS)
	}
}

// checkMasked fails if one of the secrets is in the record.
func checkMasked(t *testing.T, s sim, secrets map[string]string) {
	t.Helper()
	record := s.call("GET", "/sim/calls", nil).body
	for name, secret := range secrets {
		if strings.Contains(record, secret) {
			t.Errorf("the %s is in the record", name)
		}
	}
}

// TestCallsDoor is SIM-D117: route, caller, time and status of every call, and
// nothing that would let a reader act.
func TestCallsDoor(t *testing.T) {
	s := newSim(t)
	tok, code := s.token(), s.authCode("zhangwei")
	s.call("GET", "/gettoken?appkey="+key1+"&appsecret="+secret1, nil)
	s.call("POST", "/topapi/v2/user/getuserinfo?access_token="+tok, obj{"code": code})
	s.call("POST", "/topapi/v2/user/getuserinfo?access_token="+tok, "code="+code+"&access_token="+tok, "Content-Type", "application/x-www-form-urlencoded")
	q := back(t, s.decide(request(), "userid", "zhangwei", "decision", "agree"))
	user := s.userToken(q.Get("code")).json(t)
	ticket := s.call("POST", "/v1.0/oauth2/jsapiTickets", nil, tokenHeader, tok).json(t)
	s.Advance(time.Minute)
	s.call("GET", "/v1.0/none", nil)

	checkMasked(t, s, map[string]string{
		"token": tok, "app secret": secret1, "code": code, "oauth code": q.Get("code"), "user token": user["accessToken"].(string),
		"refresh token": user["refreshToken"].(string), "ticket": ticket["jsapiTicket"].(string), "state": "s%26t%3D1",
	})
	var calls []dingtalksim.Call
	s.control("GET", "/sim/calls", nil, &calls, 200)
	got := []string{}
	for _, c := range calls {
		got = append(got, fmt.Sprint(c.Route, " ", c.Status, " ", c.Code, " ", c.Caller))
	}
	want := []string{
		"POST /v1.0/oauth2/accessToken 200  dingkey1",
		"GET /gettoken 200 0 dingkey1",
		"POST /topapi/v2/user/getuserinfo 200 0 dingkey1",
		"POST /topapi/v2/user/getuserinfo 200 40078 dingkey1",
		"POST /oauth2/auth 302  dingkey1",
		"POST /v1.0/oauth2/userAccessToken 200  dingkey1",
		"POST /v1.0/oauth2/jsapiTickets 200  dingkey1",
		"GET /v1.0/none 404 InvalidAction.NotFound 127.0.0.1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if d := calls[7].Time.Sub(calls[0].Time); d != time.Minute {
		t.Errorf("times on the vendor's clock: %v apart", d)
	}
	var some []dingtalksim.Call
	s.control("GET", "/sim/calls?match=getuserinfo", nil, &some, 200)
	if len(some) != 2 {
		t.Errorf("matching: %d", len(some))
	}
	s.control("DELETE", "/sim/calls", nil, nil, 204)
	if len(s.Calls("")) != 0 || s.CallCount() != 0 {
		t.Error("not forgotten")
	}
}

// TestCallsAreBounded: the record keeps the latest and counts all.
func TestCallsAreBounded(t *testing.T) {
	s := newSim(t, func(c *dingtalksim.Config) { c.KeepCalls = 3 })
	for i := range 7 {
		s.call("GET", fmt.Sprintf("/v1.0/n%d", i), nil)
	}
	got := []string{}
	for _, c := range s.Calls("") {
		got = append(got, c.Path)
	}
	if fmt.Sprint(got) != "[/v1.0/n4 /v1.0/n5 /v1.0/n6]" || s.CallCount() != 7 {
		t.Errorf("kept %v of %d", got, s.CallCount())
	}
}

// TestAppsDoor: settings of an application, without its secret.
func TestAppsDoor(t *testing.T) {
	s := newSim(t)
	s.control("PATCH", "/sim/apps/"+key1, obj{"home_url": "http://localhost:8080/launch/kingdee?corpid=$CORPID$", "hosts": []string{"localhost:8080"}}, nil, 200)
	r := s.call("GET", "/sim/apps", nil)
	if strings.Contains(r.body, secret1) || !strings.Contains(r.body, "localhost:8080/launch") || !strings.Contains(r.body, `"corp":"dingcorp2"`) {
		t.Errorf("apps: %s", r.body)
	}
	if page := s.call("GET", "/oauth2/auth?"+request().Encode(), nil); page.status != 400 {
		t.Error("the host taken away is still registered")
	}
	s.control("PATCH", "/sim/apps/nobody", obj{}, nil, http.StatusNotFound)
	s.control("PATCH", "/sim/apps/"+key1, obj{"home_url": "nowhere"}, nil, 400)
	s.control("PATCH", "/sim/apps/"+key1, obj{"permissions": []string{"nonsense"}}, nil, 400)
}

// TestDepartmentsDoor: the tree can be changed while it runs, but not broken.
func TestDepartmentsDoor(t *testing.T) {
	s := newSim(t)
	s.control("POST", "/sim/departments", obj{"dept_id": 201, "name": "新部门", "parent_id": 104}, nil, 200)
	if got := names(s.result("/topapi/v2/department/listsub", obj{"dept_id": 104}), "name"); fmt.Sprint(got) != "[新部门]" {
		t.Errorf("below 104: %v", got)
	}
	s.control("POST", "/sim/departments", obj{"dept_id": 201, "name": "迁移", "parent_id": 102}, nil, 200)
	if d := s.result("/topapi/v2/department/get", obj{"dept_id": 201}).(obj); d["parent_id"] != 102.0 || d["name"] != "迁移" {
		t.Errorf("moved: %v", d)
	}
	s.control("DELETE", "/sim/departments/201", nil, nil, 204)
	wantCode(t, s.old("/topapi/v2/department/get", obj{"dept_id": 201}), 60003)
	s.control("POST", "/sim/departments", obj{"dept_id": 103, "name": "环", "parent_id": 104}, nil, 400)
	s.control("POST", "/sim/departments", obj{"dept_id": 5, "name": "孤", "parent_id": 999}, nil, 400)
	s.control("POST", "/sim/departments", obj{"corp": "dingno", "dept_id": 5}, nil, 404)
	s.control("DELETE", "/sim/departments/101", nil, nil, 400)
	s.control("DELETE", "/sim/departments/1", nil, nil, 400)
	s.control("DELETE", "/sim/departments/999", nil, nil, 404)
	var list []dingtalksim.Department
	s.control("GET", "/sim/departments?corp="+corp1, nil, &list, 200)
	if len(list) != 6 || list[0].ID != 1 {
		t.Errorf("departments: %v", list)
	}
}

// TestHiredAgain: a leaver comes back under the same userid.
func TestHiredAgain(t *testing.T) {
	s := newSim(t)
	s.control("POST", "/sim/people", obj{"userid": "leaver01", "name": "孙离"}, nil, 201)
	wantCode(t, s.old("/topapi/v2/user/getuserinfo", obj{"code": s.authCode("leaver01")}), 0)
}

// TestExternalBrowser is the PC half of SIM-D46 on the simulator's side: the
// client door is shut, then the address opened, and only a web address.
func TestExternalBrowser(t *testing.T) {
	s := newSim(t)
	r := s.call("GET", "/workbench/external?url=http%3A%2F%2Fgate.example.com%2Fhandover%2Fx%3Fa%3D1", nil, "Cookie", s.cookieOf("?as=zhangwei"))
	if r.status != 302 || r.header.Get("Location") != "http://gate.example.com/handover/x?a=1" {
		t.Errorf("%d %s", r.status, r.header.Get("Location"))
	}
	after := strings.SplitN(r.header.Get("Set-Cookie"), ";", 2)[0]
	if got := s.settingsOf("Cookie", after); !strings.Contains(got, "notInDingTalk") {
		t.Errorf("afterwards: %s", got)
	}
	for _, to := range []string{"", "javascript:alert(1)", "/relative", "file:///etc/passwd"} {
		if r := s.call("GET", "/workbench/external?url="+to, nil); r.status != 400 {
			t.Errorf("%q: %d", to, r.status)
		}
	}
	for _, tc := range []struct {
		query string
		all   bool
		want  string
	}{{"?as=zhangwei&platform=pc", false, `"inside":false`}, {"?as=zhangwei&platform=pc", true, `"inside":true`}, {"?as=zhangwei&platform=android", false, `"inside":true`}} {
		s.set("open_link_inside", tc.all)
		if got := s.settingsOf("Cookie", s.cookieOf(tc.query)); !strings.Contains(got, tc.want) {
			t.Errorf("%s, all inside %v: %s", tc.query, tc.all, got)
		}
	}
}

// TestRecordKeepsSecrets proves SIM-D117 for what is no token of an application: a
// callback's token and key, a robot's signature, a ticket in XML, the address of a
// file. What is no secret is shown.
func TestRecordKeepsSecrets(t *testing.T) {
	const secret, aesKey = "callbacktoken77", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	s := withRobot(t, dingtalksim.Robot{Secret: "SECabc"})
	s.call("POST", "/call_back/register_call_back?access_token="+s.token(), obj{"call_back_tag": []string{"user_add_org"}, "url": "http://127.0.0.1:1/", "token": secret, "aes_key": aesKey})
	stamp := fmt.Sprint(start.UnixMilli())
	s.call("POST", "/robot/send?access_token=robot-token&timestamp="+stamp+"&sign="+url.QueryEscape(robotSign(stamp, "SECabc")), text("x"))
	opened := s.call("POST", "/v1.0/gateway/connections/open", obj{"clientId": key1, "clientSecret": secret1, "subscriptions": []obj{{"type": "EVENT", "topic": "*"}}})
	ticket := regexp.MustCompile(`<ticket>(.*)</ticket>`).FindStringSubmatch(opened.body)[1]
	in := s.started(obj{"userid": "manager01", "files": []obj{{"name": "a.pdf", "content": "eA=="}}})
	file := regexp.MustCompile(`fileId\\":\\"([0-9]+)`).FindStringSubmatch(s.instance(in.ID).body)[1]
	given := s.call("POST", "/v1.0/workflow/processInstances/spaces/files/urls/download", obj{"processInstanceId": in.ID, "fileId": file}, tokenHeader, s.token())
	address := given.json(t)["result"].(obj)["downloadUri"].(string)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	s.call("GET", u.RequestURI(), nil)
	record := s.call("GET", "/sim/calls", nil).body
	for name, value := range map[string]string{
		"token": secret, "aes_key": aesKey, "robot": "robot-token", "sign": url.QueryEscape(robotSign(stamp, "SECabc")), "ticket": ticket,
		"file": url.QueryEscape(u.Query().Get("Signature")),
	} {
		if strings.Contains(record, value) {
			t.Errorf("%s is in the record", name)
		}
	}
	for _, shown := range []string{"127.0.0.1:1", file, "call_back_tag"} {
		if !strings.Contains(record, shown) {
			t.Errorf("%s is not shown", shown)
		}
	}
}
