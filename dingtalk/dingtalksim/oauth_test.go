package dingtalksim_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"kdgate/dingtalk/dingtalksim"
)

func formBody(pairs ...string) io.Reader {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return strings.NewReader(v.Encode())
}

// request is a correct /oauth2/auth query; pairs change it, "" removes.
func request(pairs ...string) url.Values {
	v := url.Values{
		"client_id": {key1}, "redirect_uri": {callback}, "response_type": {"code"},
		"scope": {"openid corpid"}, "prompt": {"consent"}, "state": {"s&t=1"}, "corpId": {corp1},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v
}

// decide posts the consent form.
func (s sim) decide(v url.Values, pairs ...string) reply {
	s.t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return s.call("POST", "/oauth2/auth", v)
}

// back reads where the browser was sent.
func back(t *testing.T, r reply) url.Values {
	t.Helper()
	u, err := url.Parse(r.header.Get("Location"))
	if err != nil || r.status != http.StatusFound {
		t.Fatalf("no redirect: %d %v %s", r.status, err, r.body)
	}
	return u.Query()
}

// TestAuthorizeChecks is SIM-D47 and SIM-D48: what is wrong is said on an HTML
// page, and nothing goes to the address named.
func TestAuthorizeChecks(t *testing.T) {
	s := newSim(t)
	for name, v := range map[string]url.Values{
		"unknown client":    request("client_id", "nobody"),
		"foreign host":      request("redirect_uri", "http://evil.example.org/cb"),
		"host as user info": request("redirect_uri", "http://gate.example.com@evil.example.org/cb"),
		"not web":           request("redirect_uri", "javascript://gate.example.com/%0aalert(1)"),
		"no redirect":       request("redirect_uri", ""),
		"response type":     request("response_type", "token"),
		"no prompt":         request("prompt", ""),
		"no openid":         request("scope", "corpid"),
		"unknown scope":     request("scope", "openid everything"),
		"foreign corp":      request("corpId", corp2),
	} {
		for _, r := range []reply{s.call("GET", "/oauth2/auth?"+v.Encode(), nil), s.decide(v, "userid", "zhangwei", "decision", "agree")} {
			if r.status != 400 || r.header.Get("Location") != "" || !strings.Contains(r.body, `id="oauth-error"`) {
				t.Errorf("%s: %d %q", name, r.status, r.header.Get("Location"))
			}
		}
	}
	for _, scope := range []string{"openid", "openid%20corpid", "openid+corpid", "openid%2Bcorpid", "openid%20corpid%20Contact.User.Read"} {
		v := request("scope", "")
		if r := s.call("GET", "/oauth2/auth?"+v.Encode()+"&scope="+scope, nil); r.status != 200 {
			t.Errorf("scope %s: %d %s", scope, r.status, r.body)
		}
	}
}

// TestAuthorizePage: everybody can be chosen, the form carries all parameters,
// and it needs neither script nor foreign resources.
func TestAuthorizePage(t *testing.T) {
	s := newSim(t)
	r := s.call("GET", "/oauth2/auth?"+request().Encode(), nil)
	for _, want := range []string{
		`<form class="panel" id="authorize" method="post" action="/oauth2/auth">`, `name="state" value="s&amp;t=1"`,
		`data-userid="zhangwei"`, `value="dingcorp2/haichuan01"`, `id="agree"`, `id="refuse"`, "金蝶云星空",
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("page lacks %s", want)
		}
	}
	if strings.Contains(r.body, "<script") || strings.Contains(r.body, `src="`) || strings.Contains(r.body, `href="http`) {
		t.Error("page has script or foreign resources")
	}
	if csp := r.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "form-action") {
		t.Errorf("policy %q: form-action would stop the redirect to the application", csp)
	}
}

// TestComingBack is SIM-D49: both parameters, equal; state unchanged; the query
// that was there stays; and the switches.
func TestComingBack(t *testing.T) {
	s := newSim(t)
	agree := func() url.Values {
		return back(t, s.decide(request("redirect_uri", callback+"?keep=1%2F2&x="), "userid", "zhangwei", "decision", "agree"))
	}
	q := agree()
	if q.Get("code") == "" || q.Get("code") != q.Get("authCode") || q.Get("state") != "s&t=1" || q.Get("keep") != "1/2" || !q.Has("x") {
		t.Errorf("came back with %v", q)
	}
	for mode, want := range map[string][2]bool{"authCode": {false, true}, "code": {true, false}, "different": {true, true}} {
		s.set("oauth_param", mode)
		q := agree()
		if q.Has("code") != want[0] || q.Has("authCode") != want[1] {
			t.Errorf("%s: %v", mode, q)
		}
		if mode == "different" && q.Get("code") == q.Get("authCode") {
			t.Error("different: the values are equal")
		}
	}
}

// TestRefusal is SIM-D50.
func TestRefusal(t *testing.T) {
	s := newSim(t)
	q := back(t, s.decide(request(), "decision", "refuse"))
	if q.Get("error") == "" || q.Get("state") != "s&t=1" || q.Has("code") || q.Has("authCode") {
		t.Errorf("refused with %v", q)
	}
}

// TestForeignPerson is SIM-D51.
func TestForeignPerson(t *testing.T) {
	s := newSim(t)
	for _, who := range []string{"dingcorp2/haichuan01", "haichuan01", "leaver01", "partner01"} {
		if r := s.decide(request(), "userid", who, "decision", "agree"); r.status != 400 || r.header.Get("Location") != "" {
			t.Errorf("%s: %d %s", who, r.status, r.header.Get("Location"))
		}
	}
	s.set("oauth_foreign", true)
	q := back(t, s.decide(request(), "userid", "dingcorp2/haichuan01", "decision", "agree"))
	if m := s.userToken(q.Get("code")).json(t); m["corpId"] != corp2 {
		t.Errorf("the token must name the person's organisation: %v", m)
	}
}

// TestRememberedBrowser is SIM-D52: whoever used the browser last is offered
// without being asked for the account, also to the next person.
func TestRememberedBrowser(t *testing.T) {
	s := newSim(t)
	first := s.decide(request(), "userid", "zhangwei", "decision", "agree")
	cookie := strings.SplitN(first.header.Get("Set-Cookie"), ";", 2)[0]
	page := s.call("GET", "/oauth2/auth?"+request().Encode(), nil, "Cookie", cookie)
	if !strings.Contains(page.body, `id="remembered" data-userid="zhangwei"`) || strings.Contains(page.body, `type="radio"`) {
		t.Fatal("the remembered person is not offered alone")
	}
	silent := s.call("POST", "/oauth2/auth", request("decision", "agree"), "Cookie", cookie)
	if back(t, silent).Get("code") == "" {
		t.Error("no code without choosing again")
	}
	other := s.call("GET", "/oauth2/auth?"+request("switch", "1").Encode(), nil, "Cookie", cookie)
	if !strings.Contains(other.body, `type="radio"`) {
		t.Error("the link to another account does not offer the list")
	}
	if r := s.call("POST", "/oauth2/auth", request("decision", "agree")); r.status != 400 {
		t.Errorf("nobody chosen, nobody remembered: %d", r.status)
	}
}

func (s sim) userToken(code string) reply {
	s.t.Helper()
	return s.call("POST", "/v1.0/oauth2/userAccessToken", obj{"clientId": key1, "clientSecret": secret1, "code": code, "grantType": "authorization_code"})
}

// TestUserToken is SIM-D53 and SIM-D54.
func TestUserToken(t *testing.T) {
	s := newSim(t)
	oauth := func(scope string) string {
		var out struct{ Code string }
		s.control("POST", "/sim/oauthcode", obj{"userid": "zhangwei", "scope": scope}, &out, 200)
		return out.Code
	}
	code := oauth("openid corpid")
	m := s.userToken(code).json(t)
	if m["accessToken"] == "" || m["refreshToken"] == "" || m["expireIn"] != 7200.0 || m["corpId"] != corp1 || len(m) != 4 {
		t.Errorf("with corpid: %v", m)
	}
	if m := s.userToken(oauth("openid")).json(t); m["corpId"] != nil || len(m) != 3 {
		t.Errorf("without corpid: %v", m)
	}
	wantNew(t, s.userToken(code), 400, "invalidParameter.authCode.notFound")
	wantNew(t, s.userToken(s.authCode("zhangwei")), 400, "invalidParameter.authCode.notFound")
	late := oauth("openid")
	s.control("POST", "/sim/clock", obj{"advance": 301}, nil, 200)
	wantNew(t, s.userToken(late), 400, "invalidParameter.authCode.notFound")

	again := s.call("POST", "/v1.0/oauth2/userAccessToken", obj{"clientId": key1, "clientSecret": secret1, "refreshToken": m["refreshToken"], "grantType": "refresh_token"})
	if again.status != 200 {
		t.Errorf("refresh: %s", again.body)
	}
	wantNew(t, s.call("POST", "/v1.0/oauth2/userAccessToken", obj{"clientId": key2, "clientSecret": secret2, "refreshToken": m["refreshToken"], "grantType": "refresh_token"}), 400, "invalidParameter.refreshToken.notFound")
	wantNew(t, s.call("POST", "/v1.0/oauth2/userAccessToken", obj{"client_id": key1, "client_secret": secret1, "code": "x", "grant_type": "authorization_code"}), 400, "MissingclientId")
	wantNew(t, s.call("POST", "/v1.0/oauth2/userAccessToken", obj{"clientId": key1, "clientSecret": "x", "code": "x", "grantType": "authorization_code"}), 400, "invalidClientIdOrSecret")
}

// TestUsersMe is SIM-D55.
func TestUsersMe(t *testing.T) {
	s := newSim(t, func(c *dingtalksim.Config) {
		c.Corps[0].People[1].Nick = "伟哥"
		c.Corps[0].People[1].PersonalEmail = "zw@mail.example"
		c.Corps[0].People[0].PersonalEmail = "lin@dingtalk.com"
	})
	me := func(userid string) obj {
		code, err := s.OAuthCode(userid, corp1, key1, true)
		if err != nil {
			t.Fatal(err)
		}
		return s.call("GET", "/v1.0/contact/users/me", nil, tokenHeader, s.userToken(code).json(t)["accessToken"].(string)).json(t)
	}
	m := me("zhangwei")
	if m["nick"] != "伟哥" || m["mobile"] != "13800000002" || m["stateCode"] != "86" || m["email"] != "zw@mail.example" || m["unionId"] == "" || m["openId"] == "" {
		t.Errorf("me: %v", m)
	}
	if m["userid"] != nil || m["userId"] != nil {
		t.Errorf("a userid in %v", m)
	}
	if u := s.result("/topapi/user/getbyunionid", obj{"unionid": m["unionId"]}).(obj); u["userid"] != "zhangwei" || u["contact_type"] != 0.0 {
		t.Errorf("getbyunionid: %v", u)
	}
	for _, who := range []string{"manager01", "one"} {
		if _, there := me(who)["email"]; there {
			t.Errorf("%s: an @dingtalk.com or unset address must be omitted", who)
		}
	}
	s.control("PATCH", "/sim/apps/"+key1, obj{"permissions": []string{"qyapi_base", "open_app_api_base", "Contact.User.Read"}}, nil, 200)
	if _, there := me("zhangwei")["mobile"]; there {
		t.Error("mobile without its permission")
	}
	code, _ := s.OAuthCode("zhangwei", corp1, key1, true)
	tok := s.userToken(code).json(t)["accessToken"].(string)
	s.control("POST", "/sim/clock", obj{"skew": 7201}, nil, 200)
	wantNew(t, s.call("GET", "/v1.0/contact/users/me", nil, tokenHeader, tok), 400, "accesstoken.expired")
}

// TestGetByUnionID is SIM-D56.
func TestGetByUnionID(t *testing.T) {
	s := newSim(t)
	union := map[string]string{}
	for _, m := range s.People() {
		union[m.Corp+"/"+m.UserID] = m.UnionID
	}
	if u := s.result("/topapi/user/getbyunionid", obj{"unionid": union[corp1+"/partner01"]}).(obj); u["contact_type"] != 1.0 {
		t.Errorf("external contact: %v", u)
	}
	for _, who := range []string{corp1 + "/leaver01", corp2 + "/haichuan01"} {
		wantCode(t, s.old("/topapi/user/getbyunionid", obj{"unionid": union[who]}), 60121)
	}
	wantCode(t, s.old("/topapi/user/getbyunionid", obj{"unionid": union[corp1+"/hidden01"]}), 50002)
}
