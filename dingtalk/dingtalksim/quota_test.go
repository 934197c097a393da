package dingtalksim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
)

// TestCallsPerSecond is SIM-D108: the 21st call of one application to one API
// within a second, for the rest of that second.
func TestCallsPerSecond(t *testing.T) {
	s := newSim(t)
	tok := s.token()
	get := func(tok string) obj {
		return s.call("POST", "/topapi/v2/user/get?access_token="+tok, obj{"userid": "zhangwei"}).json(t)
	}
	for i := range 20 {
		if m := get(tok); m["errcode"] != 0.0 {
			t.Fatalf("call %d: %v", i+1, m)
		}
	}
	m := get(tok)
	wantSub(t, m, "90018")
	if !strings.Contains(m["errmsg"].(string), "subcode=90018") {
		t.Errorf("text: %v", m["errmsg"])
	}
	s.Advance(999 * time.Millisecond)
	wantSub(t, get(tok), "90018")
	wantCode(t, s.old("/topapi/user/count", obj{}), 0) // another API
	wantCode(t, get(s.tokenOf(key2, secret2)), 0)      // another application
	s.Advance(time.Millisecond)
	wantCode(t, get(tok), 0)
}

// TestCallsPerSecondNewHost is SIM-D108 on the new host, and the switch.
func TestCallsPerSecondNewHost(t *testing.T) {
	s := newSim(t, func(c *dingtalksim.Config) { c.QPS = 2 })
	tok := s.token()
	ticket := func() reply { return s.call("POST", "/v1.0/oauth2/jsapiTickets", nil, tokenHeader, tok) }
	ticket()
	ticket()
	r := ticket()
	wantNew(t, r, 403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi")
	if msg := r.json(t)["message"]; msg != "您的企业应用调用钉钉开放平台当前接口的所有请求都被暂时禁用了" {
		t.Errorf("message %v", msg)
	}
	s.set("qps", -1)
	for range 30 {
		if r := ticket(); r.status != 200 {
			t.Fatalf("without limit: %s", r.body)
		}
	}
}

// TestGlobalThrottle is SIM-D109: the full text, Beijing time, one second.
func TestGlobalThrottle(t *testing.T) {
	s := newSim(t)
	tok := s.token()
	s.fault(obj{"match": "listsub", "kind": "throttle", "errcode": 90002})
	const text = "当前所有钉钉应用调用该接口次数过多，超出了该接口承受的最大qps，请求被暂时限制了，建议错开整点时刻调用该接口, apiPath(dingtalk.oapi.v2.department.listsub), 从 2026-09-14 12:00:00 到 2026-09-14 12:00:00 请求总次数超过 1200 次, 限制将在 2026-09-14 12:00:01 结束."
	got := comparable(s.call("POST", "/topapi/v2/department/listsub?access_token="+tok, obj{}).body)
	if want := `{"errcode":88,"sub_code":"90002","sub_msg":"` + text + `","errmsg":"ding talk error[subcode=90002,submsg=` + text + `]","request_id":"RID"}`; got != want {
		t.Errorf("body\n%s\nwant\n%s", got, want)
	}
	s.fault(obj{"match": "jsapiTickets", "kind": "throttle", "errcode": "90002"})
	wantNew(t, s.call("POST", "/v1.0/oauth2/jsapiTickets", nil, tokenHeader, tok), 403, "Forbidden.AccessDenied.QpsLimitForApi")
}

// TestMonth is SIM-D110: what counts, what is free, the limit, the turn of the
// Beijing month.
func TestMonth(t *testing.T) {
	s := newSim(t)
	tok := s.token()
	scopes := func() obj { return s.call("GET", "/auth/scopes?access_token="+s.token(), nil).json(t) }
	s.call("POST", "/topapi/v2/user/getuserinfo?access_token="+tok, obj{"code": s.authCode("zhangwei")})
	s.call("POST", "/topapi/v2/user/get?access_token="+tok, obj{"userid": "zhangwei"})
	if n := s.MonthUsed(corp1); n != 0 {
		t.Errorf("free calls counted: %d", n)
	}
	scopes()
	unified := func() reply {
		return s.call("POST", "/v1.0/oauth2/"+corp1+"/token", obj{"client_id": key1, "client_secret": secret1, "grant_type": "client_credentials"})
	}
	unified()
	if n := s.MonthUsed(corp1); n != 2 {
		t.Errorf("counted %d, want 2", n)
	}
	s.control("POST", "/sim/quota", obj{"used": 5000}, nil, 200)
	wantCode(t, scopes(), 90020)
	wantNew(t, unified(), 403, "Forbidden.AccessDenied.ApiCountLimitForOrg")
	wantCode(t, s.old("/topapi/v2/user/get", obj{"userid": "zhangwei"}), 0)
	if n := s.MonthUsed(corp1); n != 5000 {
		t.Errorf("refused calls counted: %d", n)
	}
	// 2026-10-01 00:00 in Beijing is still September in UTC.
	s.SetClock(time.Date(2026, 9, 30, 15, 59, 59, 0, time.UTC).Sub(start))
	wantCode(t, scopes(), 90020)
	s.Advance(time.Second)
	wantCode(t, scopes(), 0)
}

// TestBan is SIM-D112: too many calls from one address, every path of both
// hosts, five minutes; and the other form of the answer.
func TestBan(t *testing.T) {
	s := newSim(t, func(c *dingtalksim.Config) { c.AddressLimit = 5 })
	for range 5 {
		s.call("GET", "/gettoken", nil)
	}
	banned := func() bool {
		r := s.call("GET", "/v1.0/contact/users/me", nil)
		return r.status == 200 && strings.HasPrefix(r.header.Get("Content-Type"), "text/html") && strings.Contains(r.body, "<html")
	}
	if !banned() {
		t.Fatal("the sixth call was answered")
	}
	s.set("ban_json", true)
	r := s.call("POST", "/topapi/v2/user/get", obj{})
	if m := r.json(t); m["status"] != 1111.0 || m["wait"] != 5.0 || m["source"] != "x5" || m["punish"] != "deny" || m["uuid"] == "" {
		t.Errorf("punish form: %v", m)
	}
	s.set("ban_json", false)
	s.Advance(299 * time.Second)
	if !banned() {
		t.Error("the ban ended early")
	}
	s.Advance(time.Second)
	if banned() {
		t.Error("the ban did not end")
	}
	s.control("POST", "/sim/ban", nil, nil, 200)
	if !banned() {
		t.Error("no ban on demand")
	}
	s.control("POST", "/sim/ban", obj{"for": 0}, nil, 200)
	if banned() {
		t.Error("the ban was not lifted")
	}
	s.SetClock(-time.Hour)
	if banned() {
		t.Error("a lifted ban came back with the clock")
	}
}

// TestDate is what a client learns of the vendor's clock (R49).
func TestDate(t *testing.T) {
	s := newSim(t)
	s.SetClock(-7 * time.Minute)
	told, err := http.ParseTime(s.call("GET", "/gettoken", nil).header.Get("Date"))
	if want := start.Add(-7 * time.Minute); err != nil || !told.Equal(want) {
		t.Errorf("Date %v, %v; the clock says %v", told, err, want)
	}
}
