package dingtalksim_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"kdgate/dingtalk/dingtalksim"
)

var (
	oldID = regexp.MustCompile(`^[a-z0-9]{12,13}$`)
	newID = regexp.MustCompile(`^[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}$`)
)

// TestWireBodies compares whole bodies with sections 0.4 and 10, byte by byte;
// ids that vary are replaced first. It proves SIM-D8, D9, D14, D15, D17, D19,
// D23, D24, D25, D26, D27, D30, D31, D33, D40, D54 and D59.
func TestWireBodies(t *testing.T) {
	const bad = "00000000000000000000000000000000"
	wrapped := `{"errcode":88,"sub_code":"40014","sub_msg":"不合法的access_token","errmsg":"ding talk error[subcode=40014,submsg=不合法的access_token]","request_id":"RID"}`
	s := newSim(t)
	live := s.token()
	for _, tc := range []struct {
		name, method, path string
		body               any
		header             []string
		status             int
		want               string
	}{
		{
			"D8", "POST", "/topapi/v2/user/notexist?access_token=" + live,
			obj{},
			nil, 200,
			`{"errcode":22,"sub_msg":"不合法ApiName，ApiName = dingtalk.oapi.v2.user.notexist","errmsg":"Invalid method[submsg=不合法ApiName，ApiName = dingtalk.oapi.v2.user.notexist]","request_id":"RID"}`,
		},
		{"D9", "POST", "/oauth2/accessToken", obj{}, nil, 200, `{"errcode":404,"errmsg":"请求的URI地址不存在"}`},
		{"D14 none", "GET", "/gettoken", nil, nil, 200, `{"errcode":40035,"errmsg":"缺少参数 corpid or appkey"}`},
		{"D14 in the body", "GET", "/gettoken", url.Values{"appkey": {key1}, "appsecret": {secret1}}, nil, 200, `{"errcode":40035,"errmsg":"缺少参数 corpid or appkey"}`},
		{"D15", "GET", "/gettoken?appkey=" + key1 + "&appsecret=wrong", nil, nil, 200, `{"errcode":40096,"errmsg":"不合法的appKey或appSecret"}`},
		{"D17", "POST", "/v1.0/oauth2/accessToken", obj{"appKey": key1, "appSecret": "wrong"}, nil, 400, `{"requestid":"RID","code":"invalidClientIdOrSecret","message":"无效的clientId或者clientSecret"}`},
		{"D19", "POST", "/v1.0/oauth2/dingmadeup/token", obj{"client_id": key1, "client_secret": secret1, "grant_type": "client_credentials"}, nil, 500, `{"requestid":"RID","code":"unknownError","message":"未知错误"}`},
		{"D23", "POST", "/topapi/v2/user/get?access_token=" + bad, obj{"userid": "x"}, nil, 200, wrapped},
		{"D24", "GET", "/auth/scopes?access_token=" + bad, nil, nil, 200, `{"errcode":40014,"errmsg":"不合法的access_token"}`},
		{
			"D25 absent", "POST", "/topapi/v2/user/get",
			obj{"userid": "x"},
			nil, 200,
			`{"errcode":88,"sub_code":"40000","sub_msg":"access_token is blank","errmsg":"ding talk error[subcode=40000,submsg=access_token is blank]","request_id":"RID"}`,
		},
		{
			"D25 header", "POST", "/topapi/v2/user/get",
			obj{"userid": "x"},
			[]string{tokenHeader, live},
			200,
			`{"errcode":88,"sub_code":"40000","sub_msg":"access_token is blank","errmsg":"ding talk error[subcode=40000,submsg=access_token is blank]","request_id":"RID"}`,
		},
		{"D26", "POST", "/v1.0/oauth2/jsapiTickets", nil, []string{tokenHeader, bad}, 400, `{"requestid":"RID","code":"InvalidAuthentication","message":"不合法的access_token"}`},
		{"D27 absent", "POST", "/v1.0/oauth2/jsapiTickets", nil, nil, 400, `{"requestid":"RID","code":"AuthenticationFailed.MissingParameter","message":"缺少参数：x-acs-dingtalk-access-token"}`},
		{"D27 query", "GET", "/v1.0/contact/users/me?access_token=" + live, nil, nil, 400, `{"requestid":"RID","code":"AuthenticationFailed.MissingParameter","message":"缺少参数：x-acs-dingtalk-access-token"}`},
		{"D27 bearer", "GET", "/v1.0/contact/users/me", nil, []string{"Authorization", "Bearer " + live}, 400, `{"requestid":"RID","code":"AuthenticationFailed.MissingParameter","message":"缺少参数：x-acs-dingtalk-access-token"}`},
		{"D40", "POST", "/topapi/v2/user/getuserinfo?access_token=" + live, obj{"code": "madeup"}, nil, 200, `{"errcode":40078,"errmsg":"不存在的临时授权码","request_id":"RID"}`},
		{"D54", "POST", "/v1.0/oauth2/userAccessToken", obj{"clientId": key1, "clientSecret": secret1, "code": "madeup", "grantType": "authorization_code"}, nil, 400, `{"requestid":"RID","code":"invalidParameter.authCode.notFound","message":"不合法的临时授权码"}`},
		{"D55", "GET", "/v1.0/contact/users/me", nil, []string{tokenHeader, live}, 403, `{"requestid":"RID","code":"Forbidden.AccessDenied.AccessTokenPermissionDenied","message":"应用尚未开通所需的权限：[Contact.User.Read]","AccessDeniedDetail":{"requiredScopes":["Contact.User.Read"]}}`},
		{"D59", "POST", "/topapi/v2/department/listsub?access_token=" + live, obj{"dept_id": -7}, nil, 200, `{"errcode":40009,"success":false,"errmsg":"不合法的部门id","request_id":"RID"}`},
		{"D65", "POST", "/topapi/v2/user/get?access_token=" + live, obj{"userid": "leaver01"}, nil, 200, `{"errcode":60121,"errmsg":"找不到该用户","request_id":"RID"}`},
		{"D34", "POST", "/topapi/v2/user/get?access_token=" + live, obj{"userid": "hidden01"}, nil, 200, `{"errcode":50002,"errmsg":"请求的员工userid不在授权范围内","request_id":"RID"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := s.call(tc.method, tc.path, tc.body, tc.header...)
			if got := comparable(r.body); got != tc.want || r.status != tc.status {
				t.Errorf("status %d, body\n%s\nwant %d\n%s", r.status, got, tc.status, tc.want)
			}
		})
	}
}

var (
	anyID     = regexp.MustCompile(`"(request_id|requestid)":"[^"]*"`)
	codeFirst = regexp.MustCompile(`^\{("code":"[^"]*"),("requestid":"RID")`)
)

// comparable takes away what the reference leaves free: the id, and on the new
// host whether code or requestid comes first (SIM-D6).
func comparable(body string) string {
	return codeFirst.ReplaceAllString(anyID.ReplaceAllString(body, `"$1":"RID"`), `{$2,$1`)
}

// TestPermissionBodies is SIM-D30 and SIM-D33 byte by byte.
func TestPermissionBodies(t *testing.T) {
	s := newSim(t, func(c *dingtalksim.Config) { c.Corps[0].Apps[0].Permissions = []string{"qyapi_base"} })
	got := comparable(s.call("POST", "/topapi/v2/user/getbymobile?access_token="+s.token(), obj{"mobile": "13800000002"}).body)
	const text = "应用尚未开通所需的权限：[qyapi_get_member_by_mobile]，点击链接申请并开通即可：https://open-dev.dingtalk.com/appscope/apply?content=dingkey1%23qyapi_get_member_by_mobile"
	const msg = `"errmsg":"ding talk error[subcode=60011,submsg=` + text + `, {requiredScopes=[qyapi_get_member_by_mobile]}]","request_id":"RID"}`
	if want := `{"errcode":88,"sub_code":"60011","sub_msg":"` + text + `",` + msg; got != want {
		t.Errorf("body\n%s\nwant\n%s", got, want)
	}
	s.set("errmsg_only", true)
	got = comparable(s.call("POST", "/topapi/v2/user/getbymobile?access_token="+s.token(), obj{"mobile": "13800000002"}).body)
	if want := `{"errcode":88,` + msg; got != want {
		t.Errorf("switched body\n%s\nwant\n%s", got, want)
	}
	tok := s.token()
	s.control("PATCH", "/sim/apps/"+key1, obj{"allowed_ips": []string{"203.0.113.9"}}, nil, http.StatusOK)
	got = comparable(s.call("POST", "/topapi/v2/user/get?access_token="+tok, obj{"userid": "zhangwei"}).body)
	if want := `{"errcode":60020,"errmsg":"访问ip不在白名单之中,request ip=127.0.0.1 appKey(dingkey1)","request_id":"RID"}`; got != want {
		t.Errorf("address body\n%s\nwant\n%s", got, want)
	}
	wantNew(t, s.call("POST", "/v1.0/oauth2/jsapiTickets", nil, tokenHeader, tok), 403, "Forbidden.AccessDenied.IpNotInWhiteList")
}

// TestHeaders is SIM-D1, SIM-D2, SIM-D3, SIM-D4, SIM-D5 and SIM-D11.
func TestHeaders(t *testing.T) {
	s := newSim(t)
	tok := s.token()
	for _, tc := range []struct {
		method, path string
		body         any
		header       []string
		ctype        string
		old          bool
		id           string
	}{
		{"GET", "/gettoken?appkey=" + key1 + "&appsecret=" + secret1, nil, nil, "application/json", true, ""},
		{"GET", "/auth/scopes?access_token=" + tok, nil, nil, "application/json", true, ""},
		{"GET", "/get_jsapi_ticket?access_token=" + tok, nil, nil, "application/json", true, ""},
		{"POST", "/topapi/v2/user/get?access_token=" + tok, obj{"userid": "zhangwei"}, nil, "application/json;charset=UTF-8", true, "request_id"},
		{"POST", "/topapi/v2/user/get?access_token=" + tok, obj{"userid": "nobody"}, nil, "application/json;charset=UTF-8", true, "request_id"},
		{"POST", "/v1.0/oauth2/accessToken", obj{"appKey": key1, "appSecret": secret1}, nil, "application/json;charset=utf-8", false, ""},
		{"POST", "/v1.0/oauth2/accessToken", obj{"appKey": key1, "appSecret": "x"}, nil, "application/json;charset=utf-8", false, "requestid"},
		{"GET", "/contact/users/me", nil, nil, "application/json", false, ""},
	} {
		r := s.call(tc.method, tc.path, tc.body, tc.header...)
		if got := r.header.Get("Content-Type"); got != tc.ctype {
			t.Errorf("%s: content type %q, want %q", tc.path, got, tc.ctype)
		}
		if server := r.header.Get("Server"); (server == "DingTalk/1.0.0") != tc.old || r.chunks != tc.old {
			t.Errorf("%s: server %q, chunked %v, want old host %v", tc.path, server, r.chunks, tc.old)
		}
		if tc.old && r.status != 200 {
			t.Errorf("%s: old host answered %d", tc.path, r.status)
		}
		m := r.json(t)
		for name, form := range map[string]*regexp.Regexp{"request_id": oldID, "requestid": newID} {
			id, _ := m[name].(string)
			if (name == tc.id) != (id != "") || id != "" && !form.MatchString(id) {
				t.Errorf("%s: %s = %q", tc.path, name, id)
			}
		}
	}
}

// TestKeyOrderVaries is SIM-D6.
func TestKeyOrderVaries(t *testing.T) {
	s := newSim(t)
	first := map[string]bool{}
	for range 4 {
		body := s.call("POST", "/v1.0/oauth2/accessToken", obj{"appKey": "x", "appSecret": "y"}).body
		first[strings.SplitN(body, `"`, 3)[1]] = true
	}
	if !first["code"] || !first["requestid"] {
		t.Errorf("first members seen: %v, want both code and requestid", first)
	}
}

// TestOldHostBodies is SIM-D7: JSON and form alike, the token in the query or,
// on POST, in a form field; anything else is 43004 (SIM-D12's code).
func TestOldHostBodies(t *testing.T) {
	s := newSim(t)
	tok := s.token()
	form := url.Values{"userid": {"zhangwei"}}
	wantCode(t, s.call("POST", "/topapi/v2/user/get?access_token="+tok, form).json(t), 0)
	form.Set("access_token", tok)
	wantCode(t, s.call("POST", "/topapi/v2/user/get", form).json(t), 0)
	wantSub(t, s.call("POST", "/topapi/v2/user/get", obj{"userid": "zhangwei", "access_token": tok}).json(t), "40000")
	wantCode(t, s.call("POST", "/topapi/v2/user/get?access_token="+tok, `{"userid":"zhangwei"}`, "Content-Type", "text/plain").json(t), 43004)
	wantCode(t, s.call("POST", "/topapi/v2/user/get?access_token="+tok, `{"userid":`).json(t), 400002)
	wantCode(t, s.call("POST", "/topapi/v2/user/get?access_token="+tok, `{"UserID":"zhangwei"}`).json(t), 400002)
	wantCode(t, s.call("GET", "/topapi/v2/user/get?access_token="+tok, nil).json(t), 43002)
	// Sizes come as text in a form.
	wantCode(t, s.call("POST", "/topapi/user/listsimple?access_token="+tok, url.Values{"dept_id": {"101"}, "cursor": {"0"}, "size": {"10"}}).json(t), 0)
}

// TestUnknownVersionedPath is SIM-D10; the wrong method is an unknown API there.
func TestUnknownVersionedPath(t *testing.T) {
	s := newSim(t)
	wantNew(t, s.call("GET", "/v1.0/contact/nothing", nil), 404, "InvalidAction.NotFound")
	wantNew(t, s.call("GET", "/v2.0/x", nil), 404, "InvalidAction.NotFound")
	wantNew(t, s.call("GET", "/v1.0/oauth2/accessToken", nil), 404, "InvalidAction.NotFound")
	wantNew(t, s.call("POST", "/v1.0/oauth2/a/b/token", obj{}), 404, "InvalidAction.NotFound")
}

// TestDocumentationMode is SIM-D13.
func TestDocumentationMode(t *testing.T) {
	s := newSim(t)
	plain := s.old("/topapi/v2/user/get", obj{"userid": "zhangwei"})
	if u := plain["result"].(obj); plain["errcode"] != 0.0 || u["active"] != true || u["dept_id_list"].([]any)[0] != 101.0 {
		t.Fatalf("real answers use numbers, booleans and arrays: %v", plain)
	}
	s.set("doc_mode", true)
	m := s.old("/topapi/v2/user/get", obj{"userid": "zhangwei"})
	u := m["result"].(obj)
	if m["errcode"] != "0" || u["active"] != "true" || u["dept_id_list"] != "[101]" {
		t.Errorf("documentation mode: %v", m)
	}
	if _, isObject := u["leader_in_dept"].(obj); !isObject {
		t.Errorf("one-element array of objects: %v", u["leader_in_dept"])
	}
}

// TestLoopbackOnly is SIM-D118: what arrived on another address is refused.
func TestLoopbackOnly(t *testing.T) {
	for _, tc := range []struct {
		local string
		allow bool
		want  int
	}{{"127.0.0.1:80", false, 200}, {"[::1]:80", false, 200}, {"192.0.2.1:80", false, 403}, {"192.0.2.1:80", true, 200}} {
		s := newSim(t, func(c *dingtalksim.Config) { c.AllowRemote = tc.allow })
		if got := serveLocal(s.Server, tc.local); got != tc.want {
			t.Errorf("arrived on %s, allow %v: %d, want %d", tc.local, tc.allow, got, tc.want)
		}
	}
}

// TestRobotShape is SIM-D12, and SIM-D24 on the path it was seen on.
func TestRobotShape(t *testing.T) {
	s := newSim(t)
	for _, tc := range []struct {
		body  any
		ctype string
		want  string
	}{
		{nil, "application/json", `{"errcode":40035,"errmsg":"缺少参数 json"}`},
		{`{"msgtype":"text"}`, "application/json", `{"errcode":300005,"errmsg":"token is not exist"}`},
	} {
		if r := s.call("POST", "/robot/send?access_token=x", tc.body, "Content-Type", tc.ctype); r.body != tc.want {
			t.Errorf("robot: %s, want %s", r.body, tc.want)
		}
	}
	for _, ctype := range []string{"text/plain", "application/x-www-form-urlencoded"} {
		wantCode(t, s.call("POST", "/robot/send?access_token=x", `{"msgtype":"text"}`, "Content-Type", ctype).json(t), 43004)
	}
	if r := s.call("POST", "/microapp/list?access_token=x", nil); r.body != `{"errcode":40014,"errmsg":"不合法的access_token"}` {
		t.Errorf("microapp/list: %s", r.body)
	}
	m := s.call("POST", "/microapp/list?access_token="+s.token(), nil).json(t)
	if got := names(m["appList"], "agentId"); len(got) != 1 || got[0] != 100001.0 {
		t.Errorf("microapp/list: %v", m)
	}
}
