package dingtalk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kdgate/identity"
)

const (
	pathUserInfo  = "/topapi/v2/user/getuserinfo"
	pathUserToken = "/v1.0/oauth2/userAccessToken"
	pathMe        = "/v1.0/contact/users/me"
	pathByUnion   = "/topapi/user/getbyunionid"
	pathUser      = "/topapi/v2/user/get"
	pathToken     = "/v1.0/oauth2/accessToken"
	goodUserInfo  = `{"errcode":0,"errmsg":"ok","result":{"userid":"zhangsan","unionid":"u1","name":"张三","sys":true,"sys_level":1}}`
	goodUserToken = `{"accessToken":"user-token","refreshToken":"r","expireIn":7200,"corpId":"dingcorp1"}`
	goodMe        = `{"nick":"三","unionId":"u1","openId":"o"}`
	goodByUnion   = `{"errcode":0,"result":{"userid":"zhangsan","contact_type":0}}`
)

func code(n int) identity.Secret { return identity.NewSecret(fmt.Sprintf("%s-%d", testCode, n)) }

// wants fails unless err has the kind and code, and tells nothing secret.
func wants(t *testing.T, err error, kind identity.Kind, short identity.Code) {
	t.Helper()
	if err == nil || identity.KindOf(err) != kind || identity.CodeOf(err) != short {
		t.Fatalf("got %v (%v %s), want %v %s", err, identity.KindOf(err), identity.CodeOf(err), kind, short)
	}
	for _, secret := range []string{testSecret, testToken, testCode, "user-token"} {
		if strings.Contains(fmt.Sprintf("%+v %#v", err, err), secret) {
			t.Fatalf("the error tells a secret: %v", err)
		}
	}
}

func TestInClient(t *testing.T) {
	b := newBench(t)
	b.fake.with(pathUserInfo, func(r *http.Request) (int, string) {
		if r.URL.Query().Get("access_token") != testToken {
			return 200, `{"errcode":88,"sub_code":"40000"}`
		}
		return 200, goodUserInfo
	})
	got, err := b.InClient(context.Background(), code(1))
	want := identity.Assertion{
		Subject: identity.Subject{Corp: "dingcorp1", UserID: "zhangsan"},
		UnionID: "u1", Name: "张三", Door: identity.DoorInClient, At: b.clock.Now(),
	}
	if err != nil || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
	if sent := b.fake.sent(t, pathUserInfo, 0); sent["code"] != code(1).Reveal() {
		t.Errorf("sent %v", sent)
	}
	if b.result.count("getuserinfo ok") != 1 || b.result.count("accesstoken ok") != 1 {
		t.Errorf("observed %v", b.result.n)
	}
}

// TestIdentityFailsClosed proves T4 and T5: nothing but one userid as text is
// a person.
func TestIdentityFailsClosed(t *testing.T) {
	for name, result := range map[string]string{
		"missing":         `{"unionid":"u1"}`,
		"empty":           `{"userid":""}`,
		"null":            `{"userid":null}`,
		"number":          `{"userid":42}`,
		"boolean":         `{"userid":true}`,
		"array":           `{"userid":["zhangsan"]}`,
		"object":          `{"userid":{"a":1}}`,
		"other case":      `{"UserId":"zhangsan"}`,
		"twice":           `{"userid":"lisi","userid":"zhangsan"}`,
		"in two cases":    `{"userid":"lisi","USERID":"zhangsan"}`,
		"escaped twin":    `{"userid":"lisi","\u0075serid":"zhangsan"}`,
		"control":         `{"userid":"zhang\u0000san"}`,
		"line break":      `{"userid":"zhangsan\n"}`,
		"space":           `{"userid":" zhangsan"}`,
		"too long":        `{"userid":"` + strings.Repeat("a", 65) + `"}`,
		"result an array": `[{"userid":"zhangsan"}]`,
		"result a text":   `"zhangsan"`,
		"result null":     `null`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.fake.on(pathUserInfo, 200, `{"errcode":0,"errmsg":"ok","result":`+result+`}`)
			got, err := b.InClient(context.Background(), code(1))
			wants(t, err, identity.Upstream, identity.CodeDingTalkDown)
			if got != (identity.Assertion{}) || b.fake.count(pathUserInfo) != 1 {
				t.Errorf("got %+v after %d exchanges", got, b.fake.count(pathUserInfo))
			}
		})
	}
}

// TestRefusals: what the sign-in answers become for people. A code exchange is
// made once whatever comes back.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   identity.Kind
		code   identity.Code
	}{
		{200, `{"errcode":40078,"errmsg":"不存在的临时授权码"}`, identity.Unauthenticated, identity.CodeAuthCodeRefused},
		{200, `{"errcode":40079,"errmsg":"不存在的授权信息"}`, identity.Forbidden, identity.CodeNotInScope},
		{200, `{"errcode":88,"sub_code":"90018","errmsg":"x"}`, identity.Throttled, identity.CodeDingTalkBusy},
		{200, `{"errcode":-1,"errmsg":"x"}`, identity.Unavailable, identity.CodeDingTalkBusy},
		{200, `{"errcode":60020,"errmsg":"request ip=203.119.196.81 appKey(x)"}`, identity.Misconfigured, identity.CodeDingTalkSetup},
		{503, ``, identity.Unavailable, identity.CodeDingTalkBusy},
		{200, `{"errcode":0`, identity.Upstream, identity.CodeDingTalkDown},
		{200, `<html>`, identity.Throttled, identity.CodeDingTalkBusy},
	} {
		b := newBench(t)
		b.fake.on(pathUserInfo, c.status, c.body)
		_, err := b.InClient(context.Background(), code(1))
		wants(t, err, c.kind, c.code)
		if n := b.fake.count(pathUserInfo); n != 1 {
			t.Errorf("%s: %d exchanges", c.body, n)
		}
	}
}

// TestCodeShape proves T9: a malformed code leaves nobody asked, not even for
// a token.
func TestCodeShape(t *testing.T) {
	b := newBench(t)
	for _, text := range []string{"", " ", "a b", "a\x00b", "a\r\nb", "码", "\x7f", strings.Repeat("a", 513)} {
		_, err := b.InClient(context.Background(), identity.NewSecret(text))
		wants(t, err, identity.Invalid, identity.CodeBadAuthCode)
		_, err = b.Browser(context.Background(), identity.NewSecret(text))
		wants(t, err, identity.Invalid, identity.CodeBadAuthCode)
	}
	if n := b.fake.total(); n != 0 {
		t.Errorf("%d calls", n)
	}
	b.fake.on(pathUserInfo, 200, goodUserInfo)
	if _, err := b.InClient(context.Background(), identity.NewSecret(strings.Repeat("a", 512))); err != nil {
		t.Error(err)
	}
}

// TestOneCodeOneExchange proves T1 below the gateway: of many parallel calls
// with one code one goes out, also after an answer that was lost (R25).
func TestOneCodeOneExchange(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUserInfo, 200, goodUserInfo)
	var good atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := b.InClient(context.Background(), code(1)); err == nil {
				good.Add(1)
			} else if !errors.Is(err, errSpent) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 || b.fake.count(pathUserInfo) != 1 {
		t.Errorf("%d successes, %d exchanges", good.Load(), b.fake.count(pathUserInfo))
	}

	b.fake.with(pathUserInfo, func(*http.Request) (int, string) { panic(http.ErrAbortHandler) })
	_, err := b.InClient(context.Background(), code(2))
	wants(t, err, identity.Unavailable, identity.CodeDingTalkDown)
	if e, ok := errors.AsType[*CallError](err); !ok || !e.Ambiguous {
		t.Errorf("a lost answer is not marked ambiguous: %v", err)
	}
	_, err = b.InClient(context.Background(), code(2))
	wants(t, err, identity.Unauthenticated, identity.CodeAuthCodeRefused)
	if n := b.fake.count(pathUserInfo); n != 2 {
		t.Errorf("%d exchanges after a lost answer", n)
	}
}

// TestSpentCodesAreForgotten bounds the memory of codes.
func TestSpentCodesAreForgotten(t *testing.T) {
	clock := newClock()
	s := newSpentCodes(clock.Now)
	for n := range 100 {
		if !s.spend(code(n)) || s.spend(code(n)) {
			t.Fatal("a code was not spent exactly once")
		}
	}
	clock.Advance(codeLife)
	if !s.spend(code(0)) || len(s.until) != 1 {
		t.Errorf("%d codes kept", len(s.until))
	}
}

// TestUnsentCodeIsNotSpent: a code that waited in vain for its turn may come
// again.
func TestUnsentCodeIsNotSpent(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUserInfo, 200, goodUserInfo)
	gone, cancel := context.WithCancel(context.Background())
	b.pauses.set("getuserinfo", b.clock.Now().Add(1<<40))
	cancel()
	_, err := b.InClient(gone, code(1))
	if err == nil || b.fake.total() != 0 {
		t.Fatalf("%v, %d calls", err, b.fake.total())
	}
	b.clock.Advance(1 << 40)
	if _, err := b.InClient(context.Background(), code(1)); err != nil {
		t.Error(err)
	}
}

func TestAuthorizeURL(t *testing.T) {
	b := newBench(t)
	got := b.AuthorizeURL("s+1&x=2", "https://gate.example.com/signin/dingtalk/callback?a=b c")
	want := b.fake.URL + "/oauth2/auth?redirect_uri=https%3A%2F%2Fgate.example.com%2Fsignin%2Fdingtalk%2Fcallback%3Fa%3Db%20c" +
		"&response_type=code&client_id=dingkey1&scope=openid%20corpid&state=s%2B1%26x%3D2&prompt=consent&corpId=dingcorp1"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	plain := newBench(t, func(c *Config) { c.Scope = "openid" })
	if strings.Contains(plain.AuthorizeURL("s", "https://g.example"), "corpId=") {
		t.Error("corpId without the scope corpid")
	}
}

func TestBrowser(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUserToken, 200, goodUserToken)
	b.fake.with(pathMe, func(r *http.Request) (int, string) {
		if r.Header.Get("x-acs-dingtalk-access-token") != "user-token" || r.Method != http.MethodGet || r.URL.RawQuery != "" {
			return 400, `{"code":"InvalidAuthentication"}`
		}
		return 200, goodMe
	})
	b.fake.on(pathByUnion, 200, goodByUnion)
	got, err := b.Browser(context.Background(), code(1))
	want := identity.Assertion{
		Subject: identity.Subject{Corp: "dingcorp1", UserID: "zhangsan"},
		UnionID: "u1", Name: "三", Door: identity.DoorBrowser, At: b.clock.Now(),
	}
	if err != nil || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
	sent := b.fake.sent(t, pathUserToken, 0)
	if sent["clientId"] != "dingkey1" || sent["clientSecret"] != testSecret || sent["code"] != code(1).Reveal() || sent["grantType"] != "authorization_code" {
		t.Errorf("sent %v", sent)
	}
	if sent := b.fake.sent(t, pathByUnion, 0); sent["unionid"] != "u1" {
		t.Errorf("asked for %v", sent)
	}
}

// TestBrowserRefuses proves T3 and T10: each step of the chain must name our
// organisation and an employee.
func TestBrowserRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		path, body string
		status     int
		kind       identity.Kind
		code       identity.Code
		never      string // path that must not be asked afterwards
	}{
		"foreign corp":     {pathUserToken, `{"accessToken":"user-token","corpId":"dingcorp2"}`, 200, identity.Forbidden, identity.CodeForeignCorp, pathMe},
		"no corp":          {pathUserToken, `{"accessToken":"user-token"}`, 200, identity.Forbidden, identity.CodeForeignCorp, pathMe},
		"corp in capitals": {pathUserToken, `{"accessToken":"user-token","corpId":"DINGCORP1"}`, 200, identity.Forbidden, identity.CodeForeignCorp, pathMe},
		"corp twice":       {pathUserToken, `{"accessToken":"user-token","corpId":"dingcorp2","corpId":"dingcorp1"}`, 200, identity.Upstream, identity.CodeDingTalkDown, pathMe},
		"no token":         {pathUserToken, `{"corpId":"dingcorp1"}`, 200, identity.Upstream, identity.CodeDingTalkDown, pathMe},
		"token with break": {pathUserToken, `{"accessToken":"a\r\nb","corpId":"dingcorp1"}`, 200, identity.Upstream, identity.CodeDingTalkDown, pathMe},
		"code unknown":     {pathUserToken, `{"code":"invalidParameter.authCode.notFound"}`, 400, identity.Unauthenticated, identity.CodeAuthCodeRefused, pathMe},
		"secret wrong":     {pathUserToken, `{"code":"invalidClientIdOrSecret"}`, 400, identity.Misconfigured, identity.CodeDingTalkSetup, pathMe},
		"no unionId":       {pathMe, `{"nick":"x"}`, 200, identity.Upstream, identity.CodeDingTalkDown, pathByUnion},
		"unionId a number": {pathMe, `{"unionId":7}`, 200, identity.Upstream, identity.CodeDingTalkDown, pathByUnion},
		"user token dead":  {pathMe, `{"code":"InvalidAuthentication"}`, 400, identity.Unauthenticated, identity.CodeAuthCodeRefused, pathToken},
		"no permission":    {pathMe, `{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied"}`, 403, identity.Misconfigured, identity.CodeDingTalkSetup, pathByUnion},
		"external contact": {pathByUnion, `{"errcode":0,"result":{"userid":"zhangsan","contact_type":1}}`, 200, identity.Forbidden, identity.CodeNotEmployee, pathUser},
		"external, quoted": {pathByUnion, `{"errcode":"0","result":{"userid":"zhangsan","contact_type":"1"}}`, 200, identity.Forbidden, identity.CodeNotEmployee, pathUser},
		"unknown type":     {pathByUnion, `{"errcode":0,"result":{"userid":"zhangsan","contact_type":2}}`, 200, identity.Forbidden, identity.CodeNotEmployee, pathUser},
		"no type":          {pathByUnion, `{"errcode":0,"result":{"userid":"zhangsan"}}`, 200, identity.Upstream, identity.CodeDingTalkDown, pathUser},
		"stranger":         {pathByUnion, `{"errcode":60121,"errmsg":"找不到该用户"}`, 200, identity.Forbidden, identity.CodeNotEmployee, pathUser},
		"userid a number":  {pathByUnion, `{"errcode":0,"result":{"userid":1,"contact_type":0}}`, 200, identity.Upstream, identity.CodeDingTalkDown, pathUser},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.fake.on(pathUserToken, 200, goodUserToken)
			b.fake.on(pathMe, 200, goodMe)
			b.fake.on(pathByUnion, 200, goodByUnion)
			b.fake.on(c.path, c.status, c.body)
			got, err := b.Browser(context.Background(), code(1))
			wants(t, err, c.kind, c.code)
			if got != (identity.Assertion{}) || b.fake.count(c.never) != 0 || b.fake.count(pathUserToken) != 1 {
				t.Errorf("got %+v; calls %v", got, b.fake.calls)
			}
		})
	}
}

// TestManyRefusedCodesRaiseAnAlert (decision table, row 18).
func TestManyRefusedCodesRaiseAnAlert(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUserToken, 400, `{"code":"invalidParameter.authCode.notFound"}`)
	for n := range refusedInARow {
		if strings.Contains(b.log.String(), "allow-list") {
			t.Fatalf("alert after %d refusals", n)
		}
		_, err := b.Browser(context.Background(), code(n))
		wants(t, err, identity.Unauthenticated, identity.CodeAuthCodeRefused)
	}
	if strings.Count(b.log.String(), "allow-list") != 1 {
		t.Errorf("log: %s", b.log)
	}
}
