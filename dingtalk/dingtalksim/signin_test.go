package dingtalksim_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
)

// TestGetUserInfo is SIM-D42: the fields, their types, and no corpId.
func TestGetUserInfo(t *testing.T) {
	s := newSim(t)
	u := s.result("/topapi/v2/user/getuserinfo", obj{"code": s.authCode("manager01")}).(obj)
	if u["userid"] != "manager01" || u["name"] != "林主管" || u["unionid"] == "" || u["sys"] != true || u["sys_level"] != 1.0 {
		t.Errorf("result: %v", u)
	}
	for _, name := range []string{"corpId", "corpid", "corp_id"} {
		if _, there := u[name]; there {
			t.Errorf("%s must not be in the answer", name)
		}
	}
	plain := s.result("/topapi/v2/user/getuserinfo", obj{"code": s.authCode("zhangwei")}).(obj)
	if plain["sys"] != false || plain["sys_level"] != 0.0 {
		t.Errorf("ordinary person: %v", plain)
	}
}

// TestCodeRules is SIM-D39 and SIM-D40: single use, five minutes, bound to
// organisation, application and kind.
func TestCodeRules(t *testing.T) {
	s := newSim(t, func(c *dingtalksim.Config) {
		c.Corps[0].Apps = append(c.Corps[0].Apps, dingtalksim.App{Key: "dingkey3", Secret: "s3", AgentID: 100002, Name: "报销", HomeURL: homeURL})
	})
	exchange := func(code string) obj { return s.old("/topapi/v2/user/getuserinfo", obj{"code": code}) }

	once := s.authCode("zhangwei")
	wantCode(t, exchange(once), 0)
	wantCode(t, exchange(once), 40078)

	lasting, late := s.authCode("zhangwei"), s.authCode("zhangwei")
	s.Advance(5*time.Minute - time.Second)
	wantCode(t, exchange(lasting), 0)
	s.Advance(2 * time.Second)
	wantCode(t, exchange(late), 40078)

	foreign, err := s.AuthCode("zhangwei", corp1, "dingkey3")
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, exchange(foreign), 40078)
	oauth, err := s.OAuthCode("zhangwei", corp1, key1, true)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, exchange(oauth), 40078)
	wantCode(t, exchange(""), 40035)

	s.set("english", true)
	if m := exchange("madeup"); m["errmsg"] != "nonexistent temp auth code" {
		t.Errorf("English text: %v", m)
	}
}

// TestWhoMayNot is SIM-D41, and a leaver's and an external contact's code.
func TestWhoMayNot(t *testing.T) {
	s := newSim(t)
	for userid, code := range map[string]float64{"hidden01": 40079, "partner01": 40079, "leaver01": 60121} {
		wantCode(t, s.old("/topapi/v2/user/getuserinfo", obj{"code": s.authCode(userid)}), code)
	}
	if m := s.old("/topapi/v2/user/getuserinfo", obj{"code": s.authCode("hidden01")}); m["errmsg"] != "不存在的授权信息" {
		t.Errorf("text of 40079: %v", m)
	}
	s.control("PATCH", "/sim/apps/"+key1, obj{"visible": obj{"departments": []int{101}}}, nil, 200)
	wantCode(t, s.old("/topapi/v2/user/getuserinfo", obj{"code": s.authCode("zhangwei")}), 0)
	wantCode(t, s.old("/topapi/v2/user/getuserinfo", obj{"code": s.authCode("zhangwei2")}), 40079)
}

// TestOneWinner is SIM-D43: many exchanges of one code at once, one success.
// The answers are slowed down, so that all of them are under way together.
func TestOneWinner(t *testing.T) {
	s := newSim(t, func(c *dingtalksim.Config) { c.QPS = -1 })
	s.fault(obj{"match": "getuserinfo", "kind": "slow", "delay_ms": 50, "times": -1})
	tok, code := s.token(), s.authCode("zhangwei")
	var wg sync.WaitGroup
	answers := make([]obj, 20)
	for i := range answers {
		wg.Go(func() {
			answers[i] = s.call("POST", "/topapi/v2/user/getuserinfo?access_token="+tok, obj{"code": code}).json(t)
		})
	}
	wg.Wait()
	won := 0
	for _, m := range answers {
		switch m["errcode"] {
		case 0.0:
			won++
		case 40078.0:
		default:
			t.Errorf("neither won nor lost: %v", m)
		}
	}
	if won != 1 {
		t.Errorf("%d exchanges won, want 1", won)
	}
}

// TestTimedOutExchangeUsesCode is SIM-D44: the caller gives up, the code is gone.
func TestTimedOutExchangeUsesCode(t *testing.T) {
	s := newSim(t)
	tok, code := s.token(), s.authCode("zhangwei")
	s.fault(obj{"match": "getuserinfo", "kind": "slow"})
	client := http.Client{Timeout: 50 * time.Millisecond}
	res, err := client.Post(s.http.URL+"/topapi/v2/user/getuserinfo?access_token="+tok, "application/x-www-form-urlencoded", formBody("code", code))
	if err == nil {
		res.Body.Close()
		t.Fatal("the slow exchange answered in time")
	}
	wantCode(t, s.call("POST", "/topapi/v2/user/getuserinfo?access_token="+tok, obj{"code": code}).json(t), 40078)
}
