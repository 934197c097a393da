package kingdee_test

import (
	"errors"
	"strings"
	"testing"

	"kdgate/identity"
	"kdgate/kingdee"
)

const (
	staffRow = `[[100010,"1001","张三","A","C"]]`
	lostRow  = `[[{"Result":{"ResponseStatus":{"ErrorCode":500,"IsSuccess":false,"Errors":[{"FieldName":null,"Message":"会话信息已丢失，请重新登录","DIndex":0}],"SuccessEntitys":[],"SuccessMessages":[],"MsgCode":1}}}]]`
	n001     = `401 Forbidden ByRspRetStatusCode -- N001: Unexpectable request.`
)

func coded(code, text string) string {
	return `[[{"Result":{"ResponseStatus":{"ErrorCode":500,"IsSuccess":false,"Errors":[{"FieldName":null,"Message":"` + text + `","DIndex":0}],"SuccessEntitys":[],"SuccessMessages":[],"MsgCode":` + code + `}}},null,null]]`
}

func loginType(result, message string) step {
	return step{
		body:   `{"Message":"` + message + `","MessageCode":"","LoginResultType":` + result + `,"KDSVCSessionId":"` + testSessID + `"}`,
		header: map[string]string{"Set-Cookie": "kdservice-sessionid=" + testSessID + "; path=/; expires=Thu, 01-Jan-2099 00:00:00 GMT"},
	}
}

// TestDecisionTable plays every row of reference 3.5 that a read can meet, with
// bodies as published, and counts what reached Kingdee: tries, logins, alarms.
func TestDecisionTable(t *testing.T) {
	t.Parallel()
	const down, setup = identity.CodeKingdeeDown, identity.CodeKingdeeSetup
	good := step{body: staffRow}
	cases := []struct {
		name    string
		login   []step
		query   []step
		row     int // 0: the call succeeds
		kind    identity.Kind
		code    identity.Code
		queries int
		logins  int
		alarm   string // part of the advice, empty: silence
	}{
		{name: "1 cut, then good", query: []step{{cut: true}, good}, queries: 2, logins: 1},
		{name: "1 cut for good", query: []step{{cut: true}}, row: 1, kind: identity.Unavailable, code: down, queries: 3, logins: 1},
		{name: "2 503, then good", query: []step{{status: 503}, {status: 502, body: "<html>"}, good}, queries: 3, logins: 1},
		{name: "2 504 for good", query: []step{{status: 504}}, row: 2, kind: identity.Unavailable, code: down, queries: 3, logins: 1},
		{name: "2 empty body", query: []step{{}, good}, queries: 2, logins: 1},
		{name: "3 500 once", query: []step{{status: 500, body: "<html>"}, good}, queries: 2, logins: 1},
		{name: "3 500 twice", query: []step{{status: 500}}, row: 3, kind: identity.Unavailable, code: down, queries: 2, logins: 1, alarm: "server log"},
		{name: "5 redirect", query: []step{{status: 301, header: map[string]string{"Location": "https://elsewhere.example/"}}}, row: 5, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "https instead of http"},
		{name: "6 403", query: []step{{status: 403}}, row: 6, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "IIS"},
		{name: "6 404", query: []step{{status: 404, body: "<html>"}}, row: 6, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "IIS"},
		{name: "7 html", query: []step{{body: "<!DOCTYPE html><html>"}}, row: 7, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "web page"},
		{name: "8 response_error", query: []step{{body: "response_error: boom"}}, row: 8, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "text shown"},
		{name: "8 response_error, status 500", query: []step{{status: 500, body: "response_error: boom"}}, row: 8, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "boom"},
		{name: "9 once", query: []step{{body: n001}, good}, queries: 2, logins: 2},
		{name: "9 for good", query: []step{{body: n001}}, row: 9, kind: identity.Misconfigured, code: setup, queries: 2, logins: 2, alarm: "expired password"},
		{name: "9 behind response_error", query: []step{{body: "response_error:403 Forbidden ByRspRetStatusCode -- N001: x"}, good}, queries: 2, logins: 2},
		{name: "10 gateway", query: []step{{body: "The request is not from API GateWay"}}, row: 10, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "CDPIsForcedApiGW"},
		{name: "11 passport, status 500", query: []step{{status: 500, body: "Fail to verify thirty passport"}}, row: 11, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "data-centre id"},
		{name: "13 lost after login", query: []step{{body: lostRow}}, row: 13, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "right after the login"},
		{name: "15 type 0", login: []step{loginType("0", "用户或密码错误")}, row: 15, kind: identity.Misconfigured, code: setup, logins: 1, alarm: "cannot log in"},
		{name: "15 type -1 as text", login: []step{loginType(`"-1"`, "x")}, row: 15, kind: identity.Misconfigured, code: setup, logins: 1, alarm: "cannot log in"},
		{name: "15 type -7", login: []step{loginType("-7", "x")}, row: 15, kind: identity.Misconfigured, code: setup, logins: 1, alarm: "cannot log in"},
		{name: "16 type -5", login: []step{loginType("-5", "")}, row: 16, kind: identity.Misconfigured, code: setup, logins: 1, alarm: "accept_result_minus5"},
		{name: "17 locked out", login: []step{loginType("0", "密码错误次数超限，请30分钟后再试")}, row: 17, kind: identity.Misconfigured, code: setup, logins: 1, alarm: "30 minutes"},
		{name: "18 white list", login: []step{loginType("0", "当前IP:203.0.113.7 白名单失败")}, row: 18, kind: identity.Misconfigured, code: setup, logins: 1, alarm: "203.0.113.7"},
		{name: "18 white list on a query", query: []step{{body: coded("0", "当前IP:203.0.113.7 白名单失败")}}, row: 18, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "203.0.113.7"},
		{name: "13 lost at login", login: []step{{body: `{"Result":{"ResponseStatus":{"IsSuccess":false,"Errors":[{"Message":"会话信息已丢失，请重新登录"}],"MsgCode":1}}}`}}, row: 13, kind: identity.Misconfigured, code: setup, logins: 1, alarm: "right after the login"},
		{name: "30 login without type", login: []step{{body: `{}`}}, row: 30, kind: identity.Upstream, code: down, logins: 1, alarm: "unknown form"},
		{name: "30 success without session", login: []step{{body: `{"LoginResultType":1,"KDSVCSessionId":""}`}}, row: 30, kind: identity.Upstream, code: down, logins: 1, alarm: "unknown form"},
		{name: "30 login with twin keys", login: []step{{body: `{"LoginResultType":0,"loginresulttype":1,"KDSVCSessionId":"x"}`}}, row: 30, kind: identity.Upstream, code: down, logins: 1, alarm: "unknown form"},
		{name: "19 no right", query: []step{{body: coded("2", "您没有该功能的操作权限")}}, row: 19, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "right to query"},
		{name: "19 admin login", query: []step{{body: coded(`"15"`, "x")}}, row: 19, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "right to query"},
		{name: "20 unknown form", query: []step{{body: coded("4", "标识为“BD_Empinfo”的业务对象不存在，或者被删除")}}, row: 20, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "does not exist"},
		{name: "20 unknown field", query: []step{{body: coded("9", "元数据中标识为FStaffNumber的字段不存在")}}, row: 20, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "FStaffNumber"},
		{name: "21 exception", query: []step{{body: coded("4", "GetRealExpress error")}}, row: 21, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "could not process"},
		{name: "22 database once", query: []step{{body: coded("6", "x")}, good}, queries: 2, logins: 1},
		{name: "22 database twice", query: []step{{body: coded("6", "x")}}, row: 22, kind: identity.Unavailable, code: down, queries: 2, logins: 1, alarm: "database"},
		{name: "23 licence", query: []step{{body: coded("7", "x")}}, row: 23, kind: identity.Misconfigured, code: setup, queries: 1, logins: 1, alarm: "licence"},
		{name: "24 no data", query: []step{{body: coded("10", "x")}}, queries: 1, logins: 1},
		{name: "25 validation", query: []step{{body: coded("11", "x")}}, row: 25, kind: identity.Upstream, code: setup, queries: 1, logins: 1},
		{name: "26 in use", query: []step{{body: coded("13", "…请稍候再使用")}, good}, queries: 2, logins: 1},
		{name: "27 call limit", query: []step{{body: coded("14", "x")}}, row: 27, kind: identity.Throttled, code: down, queries: 1, logins: 1, alarm: "limits the calls"},
		{name: "28 partial", query: []step{{body: `[[{"Result":{"ResponseStatus":{"IsSuccess":false,"MsgCode":11,"Errors":null,"SuccessEntitys":[{"Id":1}]}}}]]`}}, row: 28, kind: identity.Upstream, code: setup, queries: 1, logins: 1},
		{name: "29 business", query: []step{{body: coded("0", "something for people")}}, row: 29, kind: identity.Upstream, code: setup, queries: 1, logins: 1},
		{name: "29 bare entry", query: []step{{body: `[{"FieldName":null,"Message":"x","DIndex":0}]`}}, row: 29, kind: identity.Upstream, code: setup, queries: 1, logins: 1},
		{name: "29 text codes", query: []step{{body: `{"ResponseStatus":{"IsSuccess":"false","MsgCode":"0","Errors":["plain text"]}}`}}, row: 29, kind: identity.Upstream, code: setup, queries: 1, logins: 1},
		{name: "30 null status", query: []step{{body: `{"Result":{"ResponseStatus":null}}`}}, row: 30, kind: identity.Upstream, code: down, queries: 1, logins: 1, alarm: "unknown form"},
		{name: "30 success object", query: []step{{body: `{"Result":{"ResponseStatus":{"IsSuccess":true}}}`}}, row: 30, kind: identity.Upstream, code: down, queries: 1, logins: 1, alarm: "unknown form"},
		{name: "30 truncated", query: []step{{body: `[[100010,"1001","张`}}, row: 30, kind: identity.Upstream, code: down, queries: 1, logins: 1, alarm: "unknown form"},
		{name: "30 narrow row", query: []step{{body: `[["1001"]]`}}, row: 30, kind: identity.Upstream, code: down, queries: 1, logins: 1, alarm: "unknown form"},
		{name: "30 nested cell", query: []step{{body: `[[1,"1001",["x"],"A","C"]]`}}, row: 30, kind: identity.Upstream, code: down, queries: 1, logins: 1, alarm: "unknown form"},
		{name: "data behind an error row is no data", query: []step{{body: `[[100010,"1001","张三","A","C"],[{"Result":{"ResponseStatus":{"IsSuccess":false,"MsgCode":6}}}]]`}}, row: 22, kind: identity.Unavailable, code: down, queries: 2, logins: 1, alarm: "database"},
		{name: "texts inside data are data", query: []step{{body: `[[1,"1001","次数超限 ByRspRetStatusCode response_error:","A","C"]]`}}, queries: 1, logins: 1},
		{name: "empty is an answer", query: []step{{body: "[]"}}, queries: 1, logins: 1},
		{name: "byte order mark", query: []step{{body: "\ufeff[]"}}, queries: 1, logins: 1},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := newScripted(t, map[string][]step{"login": tc.login, "query": tc.query})
			log := &logbook{}
			cfg := testConfig(server.URL)
			cfg.Logger = log.logger()
			_, err := newClient(t, cfg).StaffByNumber(t.Context(), "1001")
			fault, _ := errors.AsType[*kingdee.Fault](err)
			switch {
			case tc.row == 0 && err != nil:
				t.Fatalf("failed: %v", err)
			case tc.row > 0 && fault == nil:
				t.Fatalf("no fault, err %v", err)
			case tc.row > 0 && (fault.Row != tc.row || identity.KindOf(err) != tc.kind || identity.CodeOf(err) != tc.code):
				t.Errorf("row %d kind %s code %s, want %d %s %s: %v", fault.Row, identity.KindOf(err), identity.CodeOf(err), tc.row, tc.kind, tc.code, err)
			}
			if q, l := server.count("query"), server.count("login"); q != tc.queries || l != tc.logins {
				t.Errorf("%d queries and %d logins, want %d and %d", q, l, tc.queries, tc.logins)
			}
			alarms := strings.Count(log.String(), "an administrator must act")
			if (tc.alarm != "") != (alarms == 1) || !strings.Contains(log.String(), tc.alarm) {
				t.Errorf("%d alarms, want one with %q: %s", alarms, tc.alarm, log.String())
			}
			for _, text := range []string{log.String(), errorText(err)} {
				if strings.Contains(text, testSecret) || strings.Contains(text, testSessID) {
					t.Errorf("a secret shows: %s", text)
				}
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestAcceptMinus5 proves that the manual's "may count as success" is a setting.
func TestAcceptMinus5(t *testing.T) {
	server := newScripted(t, map[string][]step{"login": {loginType("-5", "")}, "query": {{body: staffRow}}})
	cfg := testConfig(server.URL)
	cfg.API.AcceptMinus5 = true
	if got, err := newClient(t, cfg).StaffByNumber(t.Context(), "1001"); err != nil || len(got) != 1 {
		t.Fatalf("%v %v", got, err)
	}
}

// TestSessionHeaderAlone proves that the session travels as a header, without
// the cookies that prove nothing (reference 2.4, 2.7).
func TestSessionHeaderAlone(t *testing.T) {
	server := newScripted(t, map[string][]step{"query": {{body: staffRow}}})
	if _, err := newClient(t, testConfig(server.URL)).StaffByNumber(t.Context(), "1001"); err != nil {
		t.Fatal(err)
	}
	query := server.headers[1]
	if query.Get("kdservice-sessionid") != testSessID || query.Get("Cookie") != "" {
		t.Errorf("header %q cookie %q", query.Get("kdservice-sessionid"), query.Get("Cookie"))
	}
	if got := query.Get("Content-Type"); !strings.HasPrefix(got, "application/json") {
		t.Errorf("content type %q", got)
	}
	if server.headers[0].Get("kdservice-sessionid") != "" {
		t.Error("the login carries a session")
	}
}
