package dingtalksim_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// cookieOf is the workbench's cookie after opening it so.
func (s sim) cookieOf(query string) string {
	s.t.Helper()
	r := s.call("GET", "/workbench"+query, nil)
	if r.status != 200 {
		s.t.Fatalf("workbench%s: %d %s", query, r.status, r.body)
	}
	return strings.SplitN(r.header.Get("Set-Cookie"), ";", 2)[0]
}

// hrefOf reads the address of the element with that id.
func hrefOf(t *testing.T, page, id string) string {
	t.Helper()
	m := regexp.MustCompile(`id="` + id + `"[^>]*href="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no element %s", id)
	}
	return html.UnescapeString(m[1])
}

// TestWorkbench: everybody, the chosen person, and the two doors of each icon
// (SIM-D36, SIM-D37).
func TestWorkbench(t *testing.T) {
	s := newSim(t)
	r := s.call("GET", "/workbench?as=wangfang", nil)
	for _, m := range s.People() {
		if !strings.Contains(r.body, `data-userid="`+m.UserID+`"`) {
			t.Errorf("%s is not on the page", m.UserID)
		}
	}
	for _, want := range []string{`data-as="wangfang"`, `class="app-icon" id="app-100001" data-door="client"`, `data-door="browser"`, "不在可见范围", "已离职", "外部联系人"} {
		if !strings.Contains(r.body, want) {
			t.Errorf("page lacks %s", want)
		}
	}
	if got := hrefOf(t, r.body, "app-100001"); got != "http://gate.example.com/launch/kingdee?corpId=dingcorp1" {
		t.Errorf("client door: %s", got)
	}
	open := s.call("GET", hrefOf(t, r.body, "app-100001-browser"), nil)
	if got := open.header.Get("Location"); got != "http://gate.example.com/launch/kingdee?corpId=$CORPID$&dd_debug_unifiedAppId=100001&dd_debug_pid=pcHome" {
		t.Errorf("browser door: %s", got)
	}
	s.control("PATCH", "/sim/apps/"+key1, obj{"home_url": "http://gate.example.com/x?corpid=$CORPID$&r=%2Fm%3FcorpId%3D$CORPID$#f"}, nil, 200)
	r = s.call("GET", "/workbench", nil, "Cookie", s.cookieOf("?as=wangfang"))
	if got := hrefOf(t, r.body, "app-100001"); got != "http://gate.example.com/x?corpid=dingcorp1&r=%2Fm%3FcorpId%3Ddingcorp1#f" {
		t.Errorf("client door: %s", got)
	}
	if got := s.call("GET", "/workbench/open?app="+key1+"&door=client", nil).header.Get("Location"); !strings.HasPrefix(got, "http://gate.example.com/x?corpid=dingcorp1") {
		t.Errorf("open by the client door: %s", got)
	}
	other := s.call("GET", "/workbench?as=zhangwei&corp="+corp2, nil)
	if !strings.Contains(other.body, `id="app-200001"`) {
		t.Error("somebody of the other organisation sees its applications")
	}
	if r := s.call("GET", "/workbench?as=nobody", nil); r.status != 404 {
		t.Errorf("an unknown person: %d", r.status)
	}
	if r := s.call("GET", "/workbench/open?app=nobody", nil); r.status != 404 {
		t.Errorf("an unknown application: %d", r.status)
	}
}

// settingsOf reads what the script was told.
func (s sim) settingsOf(header ...string) string {
	s.t.Helper()
	body := s.call("GET", "/jsapi/dingtalk.open.js", nil, header...).body
	m := regexp.MustCompile(`settings = (\{.*\});`).FindStringSubmatch(body)
	if m == nil || m[1] == "{}" {
		s.t.Fatal("the script has no settings")
	}
	return m[1]
}

// TestPlatform is SIM-D45 and the environment of SIM-D38: by user agent, else
// by the door last opened.
func TestPlatform(t *testing.T) {
	s := newSim(t)
	var agents map[string]string
	s.control("GET", "/sim/useragents", nil, &agents, 200)
	for name, want := range map[string]string{"pc": "pc", "mac": "pc", "ios": "ios", "android": "android"} {
		if got := s.settingsOf("User-Agent", agents[name]); !strings.Contains(got, `"platform":"`+want+`"`) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := s.settingsOf(); !strings.Contains(got, `"platform":"notInDingTalk"`) {
		t.Errorf("an ordinary browser: %s", got)
	}
	client := s.cookieOf("?as=zhangwei&platform=ios")
	if got := s.settingsOf("Cookie", client); !strings.Contains(got, `"platform":"ios"`) {
		t.Errorf("client door: %s", got)
	}
	left := s.call("GET", "/workbench/open?door=browser&app="+key1, nil, "Cookie", client)
	browser := strings.SplitN(left.header.Get("Set-Cookie"), ";", 2)[0]
	if got := s.settingsOf("Cookie", browser); !strings.Contains(got, `"platform":"notInDingTalk"`) {
		t.Errorf("browser door: %s", got)
	}
	s.set("jsapi_mode", "no-bridge")
	if got := s.settingsOf("Cookie", client); !strings.Contains(got, `"platform":"notInDingTalk"`) {
		t.Errorf("no bridge: %s", got)
	}
}

// bridge calls the client bridge as the script does.
func (s sim) bridge(cookie, referer string, pairs ...string) string {
	s.t.Helper()
	v := url.Values{"cb": {"c1"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	r := s.call("GET", "/jsapi/bridge?"+v.Encode(), nil, "Cookie", cookie, "Referer", referer)
	if r.status != http.StatusOK {
		s.t.Fatalf("bridge: %d %s", r.status, r.body)
	}
	return r.body
}

// TestBridge is SIM-D38: a code for the person in the client, on a page of one
// of the organisation's applications, and for nothing else.
func TestBridge(t *testing.T) {
	s := newSim(t)
	cookie := s.cookieOf("?as=zhangwei")
	const page = "http://gate.example.com/signin"
	ask := func(cookie, referer string, pairs ...string) string {
		return s.bridge(cookie, referer, append([]string{"op", "requestAuthCode", "corpId", corp1, "clientId", key1}, pairs...)...)
	}
	m := regexp.MustCompile(`\(\{"ok":\{"code":"([0-9a-f]+)"\}\}\);`).FindStringSubmatch(ask(cookie, page))
	if m == nil {
		t.Fatalf("no code: %s", ask(cookie, page))
	}
	if u := s.result("/topapi/v2/user/getuserinfo", obj{"code": m[1]}).(obj); u["userid"] != "zhangwei" {
		t.Errorf("the code is of %v", u)
	}
	for name, tc := range map[string][2]string{
		"foreign host":         {ask(cookie, "http://evil.example.org/"), `"errorCode":3`},
		"script lies":          {ask(cookie, "http://evil.example.org/", "page", page), `"errorCode":3`},
		"no host at all":       {ask(cookie, ""), `"errorCode":3`},
		"only the script says": {ask(cookie, "", "page", page), `"code":"`},
		"legacy, no clientId":  {ask(cookie, page, "clientId", ""), `"code":"`},
		"other application":    {ask(cookie, page, "clientId", key2), `"errorCode":3`},
		"other organisation":   {ask(cookie, page, "corpId", corp2), `"errorCode":2`},
		"literal $CORPID$":     {ask(cookie, page, "corpId", "$CORPID$"), `"errorCode":2`},
		"nobody in the client": {ask("", page), `"errorCode":-1`},
		"unknown call":         {s.bridge(cookie, page, "op", "x"), `"errorCode":7`},
	} {
		if !strings.Contains(tc[0], tc[1]) {
			t.Errorf("%s: %s", name, tc[0])
		}
	}
	s.set("jsapi_mode", "fail")
	if got := ask(cookie, page); !strings.Contains(got, `"errorCode":3,"errorMessage":"对应企业没有gate.example.com域名微应用"`) {
		t.Errorf("fail mode: %s", got)
	}
	for _, cb := range []string{"", "a.b", "x);alert(1", strings.Repeat("x", 65)} {
		if r := s.call("GET", "/jsapi/bridge?op=openLink&cb="+url.QueryEscape(cb), nil); r.status != 400 {
			t.Errorf("callback name %q: %d", cb, r.status)
		}
	}
}

// FuzzBridge: whatever is asked, the answer is one call of the named callback
// and nothing that a page would run beside it.
func FuzzBridge(f *testing.F) {
	f.Add("requestAuthCode", "dingcorp1", "http://a/</script>\u2028")
	f.Add("config", "x", "y")
	f.Fuzz(func(t *testing.T, op, corpID, page string) {
		s := newSim(t)
		body := s.bridge(s.cookieOf("?as=zhangwei"), "", "op", op, "corpId", corpID, "page", page)
		if !strings.HasPrefix(body, `window.__dtsim&&window.__dtsim["c1"]&&window.__dtsim["c1"]({"`) || !strings.HasSuffix(body, "});\n") || strings.Count(body, "\n") != 1 || strings.ContainsAny(body, "\u2028\u2029") {
			t.Errorf("answer %q", body)
		}
	})
}

// TestTickets is SIM-D116: the same ticket, renewed, never beyond 24 hours.
func TestTickets(t *testing.T) {
	s := newSim(t)
	ticket := func() (string, float64) {
		m := s.call("POST", "/v1.0/oauth2/jsapiTickets", nil, tokenHeader, s.token()).json(t)
		return m["jsapiTicket"].(string), m["expireIn"].(float64)
	}
	first, life := ticket()
	if life != 7200 {
		t.Errorf("life %v", life)
	}
	old := s.call("GET", "/get_jsapi_ticket?access_token="+s.token(), nil).json(t)
	if old["ticket"] != first || old["errcode"] != 0.0 || old["expires_in"] != 7200.0 {
		t.Errorf("old call: %v", old)
	}
	for range 12 {
		s.Advance(117 * time.Minute) // 12 × 117 min = 23 h 24 min
		again, left := ticket()
		if again != first {
			t.Fatal("another ticket inside its life")
		}
		life = left
	}
	if life != 36*60 {
		t.Errorf("life near its end: %v s, want 2160", life)
	}
	s.Advance(36 * time.Minute)
	if again, _ := ticket(); again == first {
		t.Error("the ticket outlived 24 hours")
	}
}

// TestConfigSignature is the second half of SIM-D116.
func TestConfigSignature(t *testing.T) {
	s := newSim(t)
	ticket := s.call("POST", "/v1.0/oauth2/jsapiTickets", nil, tokenHeader, s.token()).json(t)["jsapiTicket"].(string)
	const page, decoded = "http://gate.example.com/p%20q?a=%E9%87%91&b=1#frag", "http://gate.example.com/p%20q?a=金&b=1"
	plain := []byte("jsapi_ticket=" + ticket + "&noncestr=n&timestamp=1&url=" + decoded)
	long, short := fmt.Sprintf("%x", sha256.Sum256(plain)), fmt.Sprintf("%x", sha1.Sum(plain))
	config := func(pairs ...string) string {
		return s.bridge("", "", append([]string{"op", "config", "corpId", corp1, "agentId", "100001", "timeStamp", "1", "nonceStr", "n", "page", page, "signature", long}, pairs...)...)
	}
	for name, tc := range map[string][2]string{
		"sha-256":         {config(), `({"ok":{}})`},
		"sha-1":           {config("signature", short), `({"ok":{}})`},
		"wrong signature": {config("signature", strings.Repeat("0", 64)), `"errorCode":52013`},
		"other page":      {config("page", "http://gate.example.com:81/"), `"errorCode":52013`},
		"no signature":    {config("signature", ""), `"errorCode":52016`},
		"no page":         {config("page", ""), `"errorCode":52014`},
		"no nonce":        {config("nonceStr", ""), `"errorCode":52015`},
		"no timestamp":    {config("timeStamp", ""), `"errorCode":52018`},
		"wrong corp":      {config("corpId", corp2), `"errorCode":52011`},
		"unknown corp":    {config("corpId", "dingno"), `"errorCode":52010`},
		"wrong agent":     {config("agentId", "7"), `"errorCode":52019`},
	} {
		if !strings.Contains(tc[0], tc[1]) {
			t.Errorf("%s: %s", name, tc[0])
		}
	}
}

// TestApprovalsOnTheWorkbench: whoever is in the client hands a form in and
// decides by the buttons; a decision stands.
func TestApprovalsOnTheWorkbench(t *testing.T) {
	s := newSim(t)
	cookie := s.cookieOf("?as=wangfang")
	press := func(path, result string) reply {
		t.Helper()
		return s.call("POST", "/workbench/approvals"+path, url.Values{"result": {result}}, "Cookie", cookie)
	}
	if got := press("", ""); got.status != http.StatusSeeOther || got.header.Get("Location") != "/workbench#approvals" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	made := s.Approvals()
	if len(made) != 1 || made[0].Originator != "wangfang" || made[0].Status != "RUNNING" {
		t.Fatalf("%+v", made)
	}
	if page := s.call("GET", "/workbench?as=wangfang", nil).body; !strings.Contains(page, `data-id="`+made[0].ID+`"`) || !strings.Contains(page, `value="agree"`) {
		t.Errorf("no button for it:\n%s", page)
	}
	if got := press("/"+made[0].ID, "agree"); got.status != http.StatusSeeOther {
		t.Errorf("agree: %d %s", got.status, got.body)
	}
	if got := press("/"+made[0].ID, "refuse"); got.status != http.StatusConflict {
		t.Errorf("twice: %d", got.status)
	}
	if now := s.Approvals()[0]; now.Result != "agree" {
		t.Errorf("%+v", now)
	}
	if page := s.call("GET", "/workbench?as=wangfang", nil).body; !strings.Contains(page, "审批通过") || strings.Contains(page, `value="agree"`) {
		t.Errorf("after the decision:\n%s", page)
	}
}
