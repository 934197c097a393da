package dingtalksim_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// One path of each host that the fault tests call.
const oldPath, newPath = "/topapi/v2/user/get", "/v1.0/oauth2/jsapiTickets"

func (s sim) askFault(path, tok string) reply {
	s.t.Helper()
	if path == oldPath {
		return s.call("POST", path+"?access_token="+tok, obj{"userid": "zhangwei"})
	}
	return s.call("POST", path, nil, tokenHeader, tok)
}

// TestFaultAnswers is SIM-D113 and the kinds that answer in place of the API.
func TestFaultAnswers(t *testing.T) {
	s := newSim(t)
	tok := s.token()
	ask := func(path string) reply { return s.askFault(path, tok) }
	for _, tc := range []struct {
		name   string
		path   string
		fault  obj
		status int
		want   string
	}{
		{"busy", oldPath, obj{"kind": "errcode"}, 200, `{"errcode":-1,"errmsg":"系统繁忙","request_id":"RID"}`},
		{"any code", oldPath, obj{"kind": "errcode", "errcode": 60121}, 200, `{"errcode":60121,"errmsg":"找不到该用户","request_id":"RID"}`},
		{"wrapped code", oldPath, obj{"kind": "errcode", "errcode": "40014"}, 200, `{"errcode":88,"sub_code":"40014","sub_msg":"不合法的access_token","errmsg":"ding talk error[subcode=40014,submsg=不合法的access_token]","request_id":"RID"}`},
		{"own text", oldPath, obj{"kind": "errcode", "errcode": 40078, "message": "自定义"}, 200, `{"errcode":40078,"errmsg":"自定义","request_id":"RID"}`},
		{"quota", oldPath, obj{"kind": "quota"}, 200, `{"errcode":90020,"errmsg":"当前企业本月API调用量已超过上限","request_id":"RID"}`},
		{"new busy", newPath, obj{"kind": "errcode"}, 429, `{"requestid":"RID","code":"systemBusy","message":"系统繁忙"}`},
		{"new code", newPath, obj{"kind": "errcode", "errcode": "InvalidAuthentication", "message": "不合法的access_token"}, 400, `{"requestid":"RID","code":"InvalidAuthentication","message":"不合法的access_token"}`},
		{"new 429", newPath, obj{"kind": "status", "status": 429}, 429, `{"requestid":"RID","code":"systemBusy","message":"系统繁忙"}`},
		{"new quota", newPath, obj{"kind": "quota"}, 403, `{"requestid":"RID","code":"Forbidden.AccessDenied.ApiCountLimitForOrg","message":"当前企业本月API调用量已超过上限"}`},
		{"forbidden", newPath, obj{"kind": "status", "status": 403}, 403, "Forbidden"},
		{"body", newPath, obj{"kind": "status", "status": 502, "body": "{}"}, 502, "{}"},
		{"empty", newPath, obj{"kind": "empty"}, 200, ""},
	} {
		tc.fault["match"] = tc.path
		s.fault(tc.fault)
		if r := ask(tc.path); r.status != tc.status || comparable(r.body) != tc.want {
			t.Errorf("%s: %d %s", tc.name, r.status, r.body)
		}
		if r := ask(tc.path); r.status != 200 || strings.Contains(r.body, "errmsg\":\"系统") {
			t.Errorf("%s: the call after it: %d %s", tc.name, r.status, r.body)
		}
	}
}

// TestFaultsInTheVendorsWords: a code on demand comes with the whole text that the
// vendor has for it (reference 0.4; SIM-D25, SIM-D30, SIM-D31, SIM-D33, SIM-D108,
// SIM-D109), as where it comes by itself.
func TestFaultsInTheVendorsWords(t *testing.T) {
	s := newSim(t)
	tok := s.token()
	for _, tc := range []struct {
		path   string
		code   any
		status int
		want   []string
	}{
		{oldPath, 40000, 200, []string{`"errcode":88,"sub_code":"40000","sub_msg":"access_token is blank"`}},
		{oldPath, 60011, 200, []string{
			`"errcode":88,"sub_code":"60011"`, `submsg=应用尚未开通所需的权限：[qyapi_get_member]，点击链接申请并开通即可：https://open-dev.dingtalk.com/appscope/apply?content=` + key1 + `%23qyapi_get_member, {requiredScopes=[qyapi_get_member]}]`,
		}},
		{oldPath, 60020, 200, []string{`"errcode":60020`, `request ip=127.0.0.1 appKey(` + key1 + `)`}},
		{oldPath, 90018, 200, []string{`"errcode":88,"sub_code":"90018"`, `apiPath(dingtalk.oapi.v2.user.get)`}},
		{oldPath, 90002, 200, []string{`"errcode":88,"sub_code":"90002"`, `apiPath(dingtalk.oapi.v2.user.get), 从 2026-09-14 12:00:00 到`, `限制将在 2026-09-14 12:00:01 结束.]`}},
		{oldPath, "isp.remote-service-error", 200, []string{`"errcode":88,"sub_code":"isp.remote-service-error"`}},
		{newPath, "Forbidden.AccessDenied.AccessTokenPermissionDenied", 403, []string{`"message":"应用尚未开通所需的权限：[qyapi_base]"`, `"AccessDeniedDetail":{"requiredScopes":["qyapi_base"]}`}},
		{newPath, "Forbidden.AccessDenied.IpNotInWhiteList", 403, []string{`request ip=127.0.0.1 appKey(` + key1 + `)`}},
		{newPath, "Forbidden.AccessDenied.QpsLimitForApi", 403, []string{`您的服务器调用钉钉开放平台当前接口的所有请求都被暂时禁用了`}},
		{newPath, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", 403, []string{`您的企业应用调用钉钉开放平台当前接口的所有请求都被暂时禁用了`}},
		{newPath, "Forbidden.AccessDenied.ApiCountLimitForOrg", 403, []string{`"message":"当前企业本月API调用量已超过上限"`}},
		{newPath, "InvalidAuthentication", 400, []string{`"message":"不合法的access_token"`}},
		{newPath, "AuthenticationFailed.MissingParameter", 400, []string{`"message":"缺少参数：x-acs-dingtalk-access-token"`}},
	} {
		s.fault(obj{"match": tc.path, "kind": "errcode", "errcode": tc.code})
		r := s.askFault(tc.path, tok)
		for _, want := range tc.want {
			if r.status != tc.status || !strings.Contains(r.body, want) {
				t.Errorf("%v: %d %s\nlacks %s", tc.code, r.status, r.body, want)
			}
		}
	}
}

// TestFaultPages is SIM-D113 and SIM-D112 where the answer is a page.
func TestFaultPages(t *testing.T) {
	s := newSim(t)
	tok := s.token()
	ask := func(path string) reply { return s.askFault(path, tok) }
	for _, status := range []int{500, 502, 503, 504} {
		s.fault(obj{"match": oldPath, "kind": "status", "status": status})
		if r := ask(oldPath); r.status != status || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
			t.Errorf("%d: %d %s", status, r.status, r.header.Get("Content-Type"))
		}
	}
	s.fault(obj{"match": oldPath, "kind": "html-ban"})
	if r := ask(oldPath); !strings.Contains(r.body, "<!DOCTYPE html>") {
		t.Errorf("html-ban: %s", r.body)
	}
	s.fault(obj{"match": oldPath, "kind": "throttle"})
	wantSub(t, ask(oldPath).json(t), "90018")
}

// TestSpoiledBodies is the rest of SIM-D113: the call takes effect, its answer
// arrives broken.
func TestSpoiledBodies(t *testing.T) {
	s := newSim(t)
	tok := s.token()
	ask := func(kind string, more ...any) string {
		f := obj{"match": "user/get", "kind": kind}
		for i := 0; i+1 < len(more); i += 2 {
			f[more[i].(string)] = more[i+1]
		}
		s.fault(f)
		return s.call("POST", "/topapi/v2/user/get?access_token="+tok, obj{"userid": "zhangwei"}).body
	}
	for _, kind := range []string{"truncate", "garbage", "bom"} {
		if body := ask(kind); body == "" || json.Valid([]byte(body)) {
			t.Errorf("%s: still valid: %s", kind, body)
		}
	}
	if body := ask("bom"); !strings.HasPrefix(body, "\ufeff{") {
		t.Errorf("bom: %q", body)
	}
	twice := ask("duplicate-key", "value", "manager01")
	if !strings.Contains(twice, `"userid":"manager01","userid":"zhangwei"`) || !json.Valid([]byte(twice)) {
		t.Errorf("duplicate-key: %s", twice)
	}
	if huge := ask("huge", "size", 1<<20); len(huge) < 1<<20 || !json.Valid([]byte(huge)) {
		t.Errorf("huge: %d bytes", len(huge))
	}
	if drip := ask("drip", "delay_ms", 1); !json.Valid([]byte(drip)) {
		t.Errorf("drip: %s", drip)
	}
}

// TestReset: the connection is reset after the call took effect.
func TestReset(t *testing.T) {
	s := newSim(t)
	tok, code := s.token(), s.authCode("zhangwei")
	s.fault(obj{"match": "getuserinfo", "kind": "reset"})
	res, err := http.Post(s.http.URL+"/topapi/v2/user/getuserinfo?access_token="+tok, "application/x-www-form-urlencoded", formBody("code", code))
	if err == nil {
		res.Body.Close()
		t.Fatal("answered")
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("not a reset: %v", err)
	}
	wantCode(t, s.call("POST", "/topapi/v2/user/getuserinfo?access_token="+tok, obj{"code": code}).json(t), 40078)
}

// TestSlowLetsTheCallerGo: a caller that leaves ends the wait, so that a
// simulator full of slow calls can be stopped.
func TestSlowLetsTheCallerGo(t *testing.T) {
	s := newSim(t)
	s.fault(obj{"match": "gettoken", "kind": "slow"})
	conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /gettoken HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the wait went on after the caller had left")
	}
}

// TestFaultBook: times, after, match, listing and clearing.
func TestFaultBook(t *testing.T) {
	s := newSim(t)
	busy := func() bool { return s.call("GET", "/gettoken", nil).json(t)["errcode"] == -1.0 }
	s.fault(obj{"match": "GET /gettoken", "kind": "errcode", "times": 2, "after": 1})
	var got []bool
	for range 4 {
		got = append(got, busy())
	}
	if want := [4]bool{false, true, true, false}; [4]bool(got) != want {
		t.Errorf("failed %v, want %v", got, want)
	}
	s.fault(obj{"match": "POST /gettoken", "kind": "errcode"})
	s.fault(obj{"kind": "errcode", "times": -1})
	for range 3 {
		if !busy() {
			t.Error("times -1 ended")
		}
	}
	var list []struct {
		ID    int
		Kind  string
		Times int
	}
	s.control("GET", "/sim/faults", nil, &list, 200)
	if len(list) != 2 {
		t.Fatalf("in force: %v", list)
	}
	s.ClearFaults(list[1].ID)
	if busy() || len(s.Faults()) != 1 {
		t.Error("clearing one")
	}
	s.control("DELETE", "/sim/faults", nil, nil, 204)
	if len(s.Faults()) != 0 {
		t.Error("clearing all")
	}
	for _, bad := range []obj{{"kind": "nonsense"}, {"kind": "slow", "delay_ms": -1}, {"kind": "status", "status": 42}, {"kind": "slow", "after": -1}} {
		s.control("POST", "/sim/faults", bad, nil, 400)
	}
}
