package dingtalksim_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
)

// serveLocal sends one request as if its connection had arrived on local.
func serveLocal(h http.Handler, local string) int {
	addr, _ := net.ResolveTCPAddr("tcp", local)
	r := httptest.NewRequest(http.MethodGet, "/sim/people", nil)
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(addr)))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// TestTokenCalls is SIM-D16, SIM-D18, SIM-D19 and SIM-D21: three calls, three
// shapes, one token.
func TestTokenCalls(t *testing.T) {
	s := newSim(t)
	old := s.call("GET", "/gettoken?appkey="+key1+"&appsecret="+secret1, nil).json(t)
	tok, _ := old["access_token"].(string)
	if tok == "" || old["errcode"] != 0.0 || old["errmsg"] != "ok" || old["expires_in"] != 7200.0 || len(old) != 4 {
		t.Fatalf("gettoken: %v", old)
	}
	now := s.call("POST", "/v1.0/oauth2/accessToken", obj{"appKey": key1, "appSecret": secret1}).json(t)
	if now["accessToken"] != tok || now["expireIn"] != 7200.0 || len(now) != 2 {
		t.Errorf("accessToken: %v, want token %s", now, tok)
	}
	unified := func(corp, secret, grant string) reply {
		return s.call("POST", "/v1.0/oauth2/"+corp+"/token", obj{"client_id": key1, "client_secret": secret, "grant_type": grant})
	}
	one := unified(corp1, secret1, "client_credentials").json(t)
	if one["access_token"] != tok || one["expires_in"] != 7200.0 || len(one) != 2 {
		t.Errorf("unified: %v, want token %s", one, tok)
	}
	wantNew(t, unified(corp1, "wrong", "client_credentials"), 400, "invalid.client")
	wantNew(t, unified(corp1, secret1, "password"), 400, "unsupported.grant.type")
	wantNew(t, unified(corp2, secret1, "client_credentials"), 500, "unknownError")
	// Names of one generation are not there for the other.
	wantNew(t, s.call("POST", "/v1.0/oauth2/accessToken", obj{"app_key": key1, "app_secret": secret1}), 400, "MissingappKey")
}

// TestUnifiedTokenSwitch is the switch of SIM-D21.
func TestUnifiedTokenSwitch(t *testing.T) {
	s := newSim(t)
	s.set("unified_token_invalid", true)
	m := s.call("POST", "/v1.0/oauth2/"+corp1+"/token", obj{"client_id": key1, "client_secret": secret1, "grant_type": "client_credentials"}).json(t)
	tok := m["access_token"].(string)
	wantSub(t, s.call("POST", "/topapi/v2/user/get?access_token="+tok, obj{"userid": "zhangwei"}).json(t), "40014")
	if r := s.call("POST", "/v1.0/oauth2/jsapiTickets", nil, tokenHeader, tok); r.status != 200 {
		t.Errorf("the new host refused it too: %s", r.body)
	}
	wantCode(t, s.old("/topapi/v2/user/get", obj{"userid": "zhangwei"}), 0)
}

// TestTokenLife is SIM-D20 and SIM-D22: a call inside the life renews, after it
// a new token comes.
func TestTokenLife(t *testing.T) {
	s := newSim(t)
	first := s.token()
	s.Advance(7199 * time.Second)
	if again := s.token(); again != first {
		t.Fatal("inside 7200 s another token came")
	}
	s.Advance(7199 * time.Second) // 14 398 s after the first, 7 199 s after the renewal
	wantCode(t, s.call("POST", "/topapi/v2/user/get?access_token="+first, obj{"userid": "zhangwei"}).json(t), 0)
	s.Advance(2 * time.Second)
	wantSub(t, s.call("POST", "/topapi/v2/user/get?access_token="+first, obj{"userid": "zhangwei"}).json(t), "40014")
	wantNew(t, s.call("POST", "/v1.0/oauth2/jsapiTickets", nil, tokenHeader, first), 400, "InvalidAuthentication")
	if s.token() == first {
		t.Error("after its end the same token came back")
	}
}

// TestExpiredSwitch is SIM-D28: only an expired token changes its number.
func TestExpiredSwitch(t *testing.T) {
	s := newSim(t)
	tok := s.token()
	s.set("expired_42001", true)
	s.control("POST", "/sim/clock", obj{"skew": "2h1s"}, nil, 200)
	wantSub(t, s.call("POST", "/topapi/v2/user/get?access_token="+tok, obj{"userid": "zhangwei"}).json(t), "42001")
	wantCode(t, s.call("GET", "/auth/scopes?access_token="+tok, nil).json(t), 42001)
	wantSub(t, s.call("POST", "/topapi/v2/user/get?access_token=madeup", obj{"userid": "zhangwei"}).json(t), "40014")
}

// TestKillToken is SIM-D29: the next call fails, a refresh heals it.
func TestKillToken(t *testing.T) {
	s := newSim(t)
	tok, other := s.token(), s.tokenOf(key2, secret2)
	var out struct{ Killed int }
	s.control("POST", "/sim/tokens/kill", obj{"app_key": key1}, &out, 200)
	if out.Killed != 1 {
		t.Errorf("killed %d, want 1", out.Killed)
	}
	wantSub(t, s.call("POST", "/topapi/v2/user/get?access_token="+tok, obj{"userid": "zhangwei"}).json(t), "40014")
	wantNew(t, s.call("POST", "/v1.0/oauth2/jsapiTickets", nil, tokenHeader, tok), 400, "InvalidAuthentication")
	wantCode(t, s.old("/topapi/v2/user/get", obj{"userid": "zhangwei"}), 0)
	wantCode(t, s.call("POST", "/topapi/v2/user/get?access_token="+other, obj{"userid": "zhangwei"}).json(t), 0)
}

// TestGrantNeedsNewToken is SIM-D32 and the detail's spelling of SIM-D31.
func TestGrantNeedsNewToken(t *testing.T) {
	s := newSim(t, func(c *dingtalksim.Config) { c.Corps[0].Apps[0].Permissions = []string{"qyapi_base"} })
	tok := s.token()
	get := func(tok string) obj {
		return s.call("POST", "/topapi/v2/user/get?access_token="+tok, obj{"userid": "zhangwei"}).json(t)
	}
	wantSub(t, get(tok), "60011")
	s.control("PATCH", "/sim/apps/"+key1, obj{"permissions": []string{"qyapi_base", "qyapi_get_member"}}, nil, 200)
	wantSub(t, get(tok), "60011")
	wantSub(t, get(s.token()), "60011") // renewed, but the same token
	s.set("permission_immediate", true)
	wantCode(t, get(tok), 0)
	s.set("permission_immediate", false)
	s.KillTokens(key1)
	wantCode(t, get(s.token()), 0)

	leave := "/v1.0/contact/empLeaveRecords?startTime=2026-08-01T00:00:00Z&maxResults=50"
	for name, lower := range map[string]bool{"AccessDeniedDetail": false, "accessdenieddetail": true} {
		s.set("lower_access_denied", lower)
		r := s.call("GET", leave, nil, tokenHeader, s.token())
		wantNew(t, r, 403, "Forbidden.AccessDenied.AccessTokenPermissionDenied")
		if d, _ := r.json(t)[name].(obj); d == nil || d["requiredScopes"].([]any)[0] != "Contact.Common.Read" {
			t.Errorf("%s: %s", name, r.body)
		}
	}
}

// TestTwoCorps is SIM-D115: codes and tokens of one are refused by the other.
func TestTwoCorps(t *testing.T) {
	s := newSim(t)
	code := s.authCode("wangfang") // of the first organisation
	other := s.tokenOf(key2, secret2)
	wantCode(t, s.call("POST", "/topapi/v2/user/getuserinfo?access_token="+other, obj{"code": code}).json(t), 40078)
	wantCode(t, s.call("POST", "/topapi/v2/user/get?access_token="+other, obj{"userid": "wangfang"}).json(t), 60121)
	wantCode(t, s.old("/topapi/v2/user/getuserinfo", obj{"code": code}), 0)
	a := s.call("POST", "/v1.0/oauth2/jsapiTickets", nil, tokenHeader, s.token()).json(t)
	b := s.call("POST", "/v1.0/oauth2/jsapiTickets", nil, tokenHeader, other).json(t)
	if a["jsapiTicket"] == b["jsapiTicket"] {
		t.Error("two applications share a ticket")
	}
}
