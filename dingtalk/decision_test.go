package dingtalk

import (
	"net/http"
	"strings"
	"testing"

	"kdgate/identity"
	"kdgate/internal/peer"
)

func jsonHeader() http.Header {
	return http.Header{"Content-Type": {"application/json;charset=UTF-8"}}
}

// look is one answer and what must be read in it.
type look struct {
	name    string
	op      operation
	status  int
	body    string
	verdict verdict
	reason  string
	rule    string // of a refusal
	kind    identity.Kind
	code    identity.Code
}

// oldOp and newOp stand for any operation of their host.
var (
	oldOp   = operation{name: "old", host: oldHost}
	newOp   = operation{name: "new", host: newHost}
	tokenOp = operation{name: "token", host: newHost, auth: authSecret}
)

// TestDecisionTable holds the exact bodies of reference 0.4 and one body for
// each row of 0.3 that an answer can bring.
func TestDecisionTable(t *testing.T) {
	const scopeText = "应用尚未开通所需的权限：[qyapi_get_member_by_mobile]，点击链接申请并开通即可：https://open-dev.dingtalk.com/appscope/apply?content=dingabc%23qyapi_get_member_by_mobile, {requiredScopes=[qyapi_get_member_by_mobile]}"
	setup, busy := identity.CodeDingTalkSetup, identity.CodeDingTalkBusy
	looks := []look{
		{"3 old success", oldOp, 200, `{"errcode":0,"errmsg":"ok","result":{}}`, answered, "", "", 0, ""},
		{"3 old success in documentation mode", oldOp, 200, `{"errcode":"0","errmsg":"ok"}`, answered, "", "", 0, ""},
		{"3 old success after a byte-order mark", oldOp, 200, "\xef\xbb\xbf" + `{"errcode":0}`, answered, "", "", 0, ""},
		{"3 new success", newOp, 200, `{"accessToken":"x"}`, answered, "", "", 0, ""},
		{
			"4 wrapped", oldOp, 200, `{"errcode":88,"sub_code":"40014","sub_msg":"不合法的access_token","errmsg":"ding talk error[subcode=40014,submsg=不合法的access_token]","request_id":"16l4ew3d47pdp"}`,
			refused, "40014", "token_invalid", identity.Misconfigured, setup,
		},
		{"4 wrapped, number", oldOp, 200, `{"errcode":88,"sub_code":42001,"errmsg":"x"}`, refused, "42001", "token_invalid", identity.Misconfigured, setup},
		{"4 wrapped, quoted", oldOp, 200, `{"errcode":"88","errmsg":"ding talk error[subcode=40014,submsg=x]"}`, refused, "40014", "token_invalid", identity.Misconfigured, setup},
		{"4 bare", oldOp, 200, `{"errcode":40014,"errmsg":"不合法的access_token"}`, refused, "40014", "token_invalid", identity.Misconfigured, setup},
		{"4 bare 40001", oldOp, 200, `{"errcode":40001,"errmsg":"x"}`, refused, "40001", "token_invalid", identity.Misconfigured, setup},
		{"4 new", newOp, 400, `{"code":"InvalidAuthentication","requestid":"01A08FE7-0000","message":"不合法的access_token"}`, refused, "InvalidAuthentication", "token_invalid", identity.Misconfigured, setup},
		{"4 new by status", newOp, 401, `{"code":"unauthorized","message":"x"}`, refused, "unauthorized", "token_invalid", identity.Misconfigured, setup},
		{"4 new by code, 400", newOp, 400, `{"code":"unauthorized","message":"x"}`, refused, "unauthorized", "token_invalid", identity.Misconfigured, setup},
		{"4 new by code, 500", newOp, 500, `{"code":"unauthorized","message":"x"}`, refused, "unauthorized", "token_invalid", identity.Misconfigured, setup},
		{"6 by code, 500", tokenOp, 500, `{"code":"unauthorized","message":"x"}`, refused, "unauthorized", "secret_wrong", identity.Misconfigured, setup},
		{"5 old", oldOp, 200, `{"errcode":88,"sub_code":"40000","sub_msg":"access_token is blank","errmsg":"ding talk error[subcode=40000,submsg=access_token is blank]"}`, refused, "40000", "token_missing", identity.Internal, identity.CodeInternal},
		{"5 new", newOp, 400, `{"code":"AuthenticationFailed.MissingParameter","requestid":"x","message":"缺少参数：x-acs-dingtalk-access-token"}`, refused, "AuthenticationFailed.MissingParameter", "token_missing", identity.Internal, identity.CodeInternal},
		{"6 gettoken", operation{host: oldHost, auth: authSecret}, 200, `{"errcode":40096,"errmsg":"不合法的appKey或appSecret"}`, refused, "40096", "secret_wrong", identity.Misconfigured, setup},
		{"6 gettoken 40001", operation{host: oldHost, auth: authSecret}, 200, `{"errcode":40001,"errmsg":"x"}`, refused, "40001", "secret_wrong", identity.Misconfigured, setup},
		{"6 new", tokenOp, 400, `{"requestid":"x","code":"invalidClientIdOrSecret","message":"无效的clientId或者clientSecret"}`, refused, "invalidClientIdOrSecret", "secret_wrong", identity.Misconfigured, setup},
		{"6 unified", tokenOp, 401, `{"code":"unauthorized.client","message":"x"}`, refused, "unauthorized.client", "secret_wrong", identity.Misconfigured, setup},
		{"6 unified, made up", tokenOp, 500, `{"code":"unknownError","message":"未知错误"}`, refused, "unknownError", "secret_wrong", identity.Misconfigured, setup},
		{"7 old, text only", oldOp, 200, `{"errcode":88,"errmsg":"ding talk error[subcode=60011,submsg=` + scopeText + `]"}`, refused, "60011", "permission", identity.Misconfigured, setup},
		{"7 new", newOp, 403, `{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied","message":"没有调用该接口的权限","AccessDeniedDetail":{"requiredScopes":["Contact.User.Read"]}}`, refused, "Forbidden.AccessDenied.AccessTokenPermissionDenied", "permission", identity.Misconfigured, setup},
		{"7 department", oldOp, 200, `{"errcode":43007,"errmsg":"需要授权"}`, refused, "43007", "permission", identity.Misconfigured, setup},
		{"7 approval", newOp, 400, `{"code":"needAuth","requestid":"x","message":"x"}`, refused, "needAuth", "permission", identity.Misconfigured, setup},
		{"8 old", oldOp, 200, `{"errcode":60020,"errmsg":"访问ip不在白名单之中,request ip=203.119.196.81 appKey(dingeqqp)"}`, refused, "60020", "address", identity.Misconfigured, setup},
		{"8 new", newOp, 403, `{"code":"Forbidden.AccessDenied.IpNotInWhiteList","message":"x"}`, refused, "Forbidden.AccessDenied.IpNotInWhiteList", "address", identity.Misconfigured, setup},
		{"9 person", oldOp, 200, `{"errcode":50002,"errmsg":"请求的员工userid不在授权范围内"}`, refused, "50002", "out_of_scope", identity.Forbidden, identity.CodeNotInScope},
		{"9 sign-in", oldOp, 200, `{"errcode":40079,"errmsg":"不存在的授权信息"}`, refused, "40079", "out_of_scope", identity.Forbidden, identity.CodeNotInScope},
		{"10 old", oldOp, 200, `{"errcode":88,"sub_code":"90018","errmsg":"x"}`, refused, "90018", "throttled", identity.Throttled, busy},
		{"10 new", newOp, 403, `{"code":"Forbidden.AccessDenied.QpsLimitForAppkeyAndApi","message":"x"}`, refused, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", "throttled", identity.Throttled, busy},
		{"10 new, minute", newOp, 403, `{"code":"Forbidden.AccessDenied.QpmLimitForAppkeyAndApi","message":"x"}`, refused, "Forbidden.AccessDenied.QpmLimitForAppkeyAndApi", "throttled", identity.Throttled, busy},
		{"11 old", oldOp, 200, `{"errcode":88,"errmsg":"ding talk error[subcode=90002,submsg=当前所有钉钉应用调用该接口次数过多, 限制将在 2026-09-03 00:01:03 结束.]"}`, refused, "90002", "throttled", identity.Throttled, busy},
		{"11 new", newOp, 403, `{"code":"Forbidden.AccessDenied.QpsLimitForApi","message":"x"}`, refused, "Forbidden.AccessDenied.QpsLimitForApi", "throttled", identity.Throttled, busy},
		{"12 old", oldOp, 200, `{"errcode":90020,"errmsg":"x"}`, refused, "90020", "quota", identity.Throttled, busy},
		{"12 new", newOp, 403, `{"code":"Forbidden.AccessDenied.ApiCountLimitForOrg","message":"x"}`, refused, "Forbidden.AccessDenied.ApiCountLimitForOrg", "quota", identity.Throttled, busy},
		{"13", oldOp, 200, `{"errcode":90006,"errmsg":"x"}`, refused, "90006", "api_banned", identity.Throttled, busy},
		{"14 page", oldOp, 200, "\r\n<!DOCTYPE html><html>banned</html>", banned, "", "", 0, ""},
		{"14 page, new host", newOp, 403, "<html>", banned, "", "", 0, ""},
		{"14 body", newOp, 200, `{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"x"}`, banned, "", "", 0, ""},
		{"14 body, short", oldOp, 200, `{"punish":"deny"}`, banned, "", "", 0, ""},
		{"15 old", oldOp, 200, `{"errcode":-1,"errmsg":"系统繁忙"}`, refused, "-1", "busy", identity.Unavailable, busy},
		{"15 429", newOp, 429, `{"code":"systemBusy","message":"x"}`, refused, "systemBusy", "busy", identity.Unavailable, busy},
		{"15 429 unknown", newOp, 429, `{"code":"tooMany","message":"x"}`, refused, "tooMany", "throttled", identity.Throttled, busy},
		{"15 503", newOp, 503, `{"code":"strange"}`, refused, "strange", "busy", identity.Unavailable, busy},
		{"15 504 page of a gateway", newOp, 504, "<html>504 Gateway Time-out</html>", unreadable, "", "", 0, ""},
		{"15 500 page of a load balancer", oldOp, 500, "<html>500 Internal Server Error</html>", unreadable, "", "", 0, ""},
		{"16", oldOp, 200, `{"errcode":88,"sub_code":"isp.remote-service-error","errmsg":"x"}`, refused, "isp.remote-service-error", "busy", identity.Unavailable, busy},
		{"16 bare", oldOp, 200, `{"errcode":15,"errmsg":"Remote service error"}`, refused, "15", "busy", identity.Unavailable, busy},
		{"17", oldOp, 200, `{"errcode":40078,"errmsg":"nonexistent temp auth code"}`, refused, "40078", "code_refused", identity.Unauthenticated, identity.CodeAuthCodeRefused},
		{"18", newOp, 400, `{"requestid":"x","code":"invalidParameter.authCode.notFound","message":"不合法的临时授权码"}`, refused, "invalidParameter.authCode.notFound", "code_refused", identity.Unauthenticated, identity.CodeAuthCodeRefused},
		{"19", newOp, 400, `{"code":"accesstoken.expired","message":"x"}`, refused, "accesstoken.expired", "code_refused", identity.Unauthenticated, identity.CodeAuthCodeRefused},
		{"20 old", oldOp, 200, `{"errcode":60121,"errmsg":"找不到该用户"}`, refused, "60121", "no_person", identity.NotFound, identity.CodeNotEmployee},
		{"20 new", newOp, 404, `{"code":"invalidParameter.user.notFound","message":"x"}`, refused, "invalidParameter.user.notFound", "no_person", identity.NotFound, identity.CodeNotEmployee},
		{"21", oldOp, 200, `{"errcode":40009,"success":false,"errmsg":"不合法的部门id"}`, refused, "40009", "no_department", identity.NotFound, ""},
		{"22 old", oldOp, 200, `{"errcode":22,"sub_msg":"不合法ApiName","errmsg":"Invalid method[submsg=不合法ApiName]","request_id":"15r6taqz8r6xu"}`, refused, "22", "wrong_path", identity.Internal, identity.CodeInternal},
		{"22 new", newOp, 200, `{"errcode":404,"errmsg":"请求的URI地址不存在"}`, refused, "404", "wrong_path", identity.Internal, identity.CodeInternal},
		{"23 old", oldOp, 200, `{"errcode":40035,"errmsg":"x"}`, refused, "40035", "wrong_parameter", identity.Internal, identity.CodeInternal},
		{"23 new", newOp, 400, `{"code":"invalidParameter.param.invalid","message":"x"}`, refused, "invalidParameter.param.invalid", "wrong_parameter", identity.Internal, identity.CodeInternal},
		{"24", newOp, 400, `{"code":"processInstanceNotExist","message":"x"}`, refused, "processInstanceNotExist", "no_approval", identity.NotFound, ""},
		{"25", newOp, 403, `{"message":"Forbidden"}`, refused, "", "forbidden", identity.Upstream, setup},
		{"26", oldOp, 200, `{"errcode":12345,"errmsg":"x"}`, refused, "12345", "other", identity.Upstream, identity.CodeDingTalkDown},
	}
	d := newDecisions(defaultInvalidToken(), ruleThrottled)
	for _, l := range looks {
		t.Run(l.name, func(t *testing.T) {
			a := readAnswer(l.op.host, peer.Response{Status: l.status, Header: jsonHeader(), Body: []byte(l.body)}, nil)
			if a.verdict != l.verdict || a.reason != l.reason {
				t.Fatalf("verdict %d, reason %q; want %d, %q", a.verdict, a.reason, l.verdict, l.reason)
			}
			if l.verdict != refused {
				return
			}
			r := d.find(l.op, a.reason, a.status)
			if r.name != l.rule || r.kind != l.kind || r.code != l.code {
				t.Errorf("rule %s %v %s; want %s %v %s", r.name, r.kind, r.code, l.rule, l.kind, l.code)
			}
		})
	}
}

// TestNotAnAnswer proves T4, T5 and R22: what cannot be read is neither
// success nor refusal nor a ban.
func TestNotAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		h           host
		status      int
		body, media string
	}{
		"empty":               {oldHost, 200, ``, "application/json"},
		"truncated":           {oldHost, 200, `{"errcode":0,"result":{"userid":"a`, "application/json"},
		"two values":          {oldHost, 200, `{"errcode":0}{"errcode":0}`, "application/json"},
		"array":               {oldHost, 200, `[{"errcode":0}]`, "application/json"},
		"number":              {newHost, 200, `0`, "application/json"},
		"null":                {oldHost, 200, `null`, "application/json"},
		"no errcode":          {oldHost, 200, `{"result":{"userid":"a"}}`, "application/json"},
		"errcode null":        {oldHost, 200, `{"errcode":null}`, "application/json"},
		"errcode false":       {oldHost, 200, `{"errcode":false}`, "application/json"},
		"errcode object":      {oldHost, 200, `{"errcode":{}}`, "application/json"},
		"errcode twice":       {oldHost, 200, `{"errcode":40078,"errcode":0}`, "application/json"},
		"errcode in two ways": {oldHost, 200, `{"errcode":40078,"ErrCode":0}`, "application/json"},
		"invalid UTF-8":       {oldHost, 200, "{\"errcode\":0,\"x\":\"\xff\"}", "application/json"},
		"plain text":          {oldHost, 200, `{"errcode":0}`, "text/plain"},
		"HTML label":          {newHost, 200, `{"accessToken":"x"}`, "text/html"},
		"redirect":            {newHost, 302, `{}`, "application/json"},
		"words":               {newHost, 503, `Service Unavailable`, "text/plain"},
	} {
		a := readAnswer(c.h, peer.Response{Status: c.status, Body: []byte(c.body), Header: http.Header{"Content-Type": {c.media}}}, nil)
		if a.verdict != unreadable {
			t.Errorf("%s: verdict %d, reason %q", name, a.verdict, a.reason)
		}
	}
}

// TestErrcodeZeroWithSubCodeIsNoSuccess: the reason is sub_code when present.
func TestErrcodeZeroWithSubCodeIsNoSuccess(t *testing.T) {
	a := readAnswer(oldHost, peer.Response{Status: 200, Header: jsonHeader(), Body: []byte(`{"errcode":0,"sub_code":"60011"}`)}, nil)
	if a.verdict != refused || a.reason != "60011" {
		t.Errorf("verdict %d, reason %q", a.verdict, a.reason)
	}
}

// TestHints: an administrator is told the scope, the page and the address, and
// nothing else of the vendor's text.
func TestHints(t *testing.T) {
	old := readAnswer(oldHost, peer.Response{Status: 200, Header: jsonHeader(), Body: []byte(
		`{"errcode":88,"errmsg":"ding talk error[subcode=60011,submsg=应用尚未开通所需的权限：[qyapi_get_member]，点击链接申请并开通即可：https://open-dev.dingtalk.com/appscope/apply?content=dingabc%23qyapi_get_member, {requiredScopes=[qyapi_get_member]}]"}`)}, nil)
	if h := hintsOf(old); h.scope != "qyapi_get_member" || h.link != "https://open-dev.dingtalk.com/appscope/apply?content=dingabc%23qyapi_get_member" {
		t.Errorf("%+v", h)
	}
	for _, field := range []string{"AccessDeniedDetail", "accessdenieddetail"} {
		a := readAnswer(newHost, peer.Response{Status: 403, Header: jsonHeader(), Body: []byte(
			`{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied","` + field + `":{"requiredScopes":["Contact.User.Read"]}}`)}, nil)
		if h := hintsOf(a); h.scope != "Contact.User.Read" {
			t.Errorf("%s: %+v", field, h)
		}
	}
	address := answer{text: "访问ip不在白名单之中,request ip=203.119.196.81 appKey(dingeqqp)"}
	if h := hintsOf(address); h.address != "203.119.196.81" {
		t.Errorf("%+v", h)
	}
	if h := hintsOf(answer{text: "requiredScopes=[a\nb] https://evil.example/appscope/apply?content=x request ip=<script>"}); h != (hints{}) {
		t.Errorf("took %+v", h)
	}
}

// TestThrottleBeforeForbidden: codes that begin alike do not decide alike, and
// codes nobody has listed yet fall to their family.
func TestThrottleBeforeForbidden(t *testing.T) {
	d := newDecisions(defaultInvalidToken(), ruleThrottled)
	for reason, want := range map[string]string{
		"Forbidden.AccessDenied.QpsLimitForSomethingNew": "throttled",
		"Forbidden.AccessDenied.QpmLimitForSomethingNew": "throttled",
		"Forbidden.AccessDenied.SomethingNew":            "other",
		"Forbidden":                                      "forbidden",
		"invalidParameter.somethingNew":                  "wrong_parameter",
		"isp.somethingNew":                               "busy",
	} {
		if got := d.find(newOp, reason, 403).name; got != want {
			t.Errorf("%s: %s, want %s", reason, got, want)
		}
	}
}

// TestInvalidTokenListIsConfigured (open question 3 of the reference).
func TestInvalidTokenListIsConfigured(t *testing.T) {
	d := newDecisions([]string{"77777"}, ruleThrottled)
	if got := d.find(oldOp, "77777", 200).act; got != actRefresh {
		t.Errorf("configured reason: action %d", got)
	}
	if got := d.find(oldOp, "40014", 200).act; got == actRefresh {
		t.Error("a reason that is not on the list refreshes")
	}
	if got := d.find(newOp, "", 401).act; got != actRefresh {
		t.Errorf("status 401: action %d", got)
	}
}

// TestEveryRuleIsNamed keeps the metric labels a closed list of short words.
func TestEveryRuleIsNamed(t *testing.T) {
	for _, e := range append(append(throttleEntries(ruleThrottled), setupEntries()...), personEntries()...) {
		if e.rule.name == "" || strings.Trim(e.rule.name, "abcdefghijklmnopqrstuvwxyz_") != "" || len(e.reasons) == 0 {
			t.Errorf("rule %+v", e.rule)
		}
		if e.rule.act == actRetry && e.rule.tries < 2 {
			t.Errorf("rule %s never repeats", e.rule.name)
		}
	}
}

// FuzzReadAnswer proves T4: no body makes the reader panic, success is never
// read out of a refusal, and what goes to logs is one short line.
func FuzzReadAnswer(f *testing.F) {
	f.Add(true, 200, []byte(`{"errcode":0,"errmsg":"ok","result":{"userid":"a"}}`))
	f.Add(true, 200, []byte(`{"errcode":88,"errmsg":"ding talk error[subcode=60011,submsg=x]"}`))
	f.Add(false, 403, []byte(`{"code":"Forbidden.AccessDenied.QpsLimitForApi","AccessDeniedDetail":{"requiredScopes":["x"]}}`))
	f.Add(false, 200, []byte(`<html>`))
	f.Add(true, 200, []byte(`{"status":1111,"punish":"deny"}`))
	d := newDecisions(defaultInvalidToken(), ruleThrottled)
	f.Fuzz(func(t *testing.T, old bool, status int, body []byte) {
		op := newOp
		if old {
			op = oldOp
		}
		a := readAnswer(op.host, peer.Response{Status: status, Header: jsonHeader(), Body: body}, nil)
		if a.verdict == answered && !old && (status < 200 || status > 299) {
			t.Fatalf("success with status %d", status)
		}
		if a.verdict == answered && old && !strings.Contains(string(body), "errcode") && !strings.Contains(string(body), `\`) {
			t.Fatal("success without errcode")
		}
		if a.verdict == refused && d.find(op, a.reason, status).name == "" {
			t.Fatalf("no rule for %q", a.reason)
		}
		h := hintsOf(a)
		for _, word := range []string{a.reason, a.requestID, h.scope, h.link, h.address} {
			if strings.ContainsAny(word, "\r\n\x00") || len(word) > 800 {
				t.Fatalf("unfit for a log: %q", word)
			}
		}
	})
}
