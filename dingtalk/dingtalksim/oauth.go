package dingtalksim

import (
	"bytes"
	"cmp"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// loginCookie remembers who used this browser last (SIM-D52).
const loginCookie = "dtsim_login"

// consent is a checked request of /oauth2/auth.
type consent struct {
	app      *app
	redirect *url.URL
	withCorp bool
	values   url.Values // as received, for the form to carry on
}

// authorize is the login host's page /oauth2/auth (SIM-D47 … SIM-D52): GET
// shows it, POST is the person's decision.
func (c *call) authorize() answer {
	values := c.r.URL.Query()
	if c.r.Method == http.MethodPost {
		form, err := url.ParseQuery(string(c.body))
		if err != nil {
			return c.oauthError("请求无效", "表单无法解析")
		}
		values = form
	} else if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return c.oauthError("请求无效", "不支持的请求方法")
	}
	ask, problem := c.consent(values)
	if problem != "" {
		return c.oauthError("无法登录", problem)
	}
	c.app = ask.app
	if c.r.Method == http.MethodPost {
		return c.decide(ask)
	}
	return c.showConsent(ask)
}

// consent checks the parameters; problem is the text for the error page, empty
// when all is well. Nothing is ever sent to an address that is not registered
// (SIM-D48).
func (c *call) consent(v url.Values) (ask consent, problem string) {
	ask.app, ask.values = c.s.apps[v.Get("client_id")], v
	if ask.app == nil {
		return ask, "client_id 不存在：" + v.Get("client_id")
	}
	if ask.redirect, problem = redirectTarget(ask.app, v.Get("redirect_uri")); problem != "" {
		return ask, problem
	}
	if v.Get("response_type") != "code" {
		return ask, "response_type 必须为 code"
	}
	if v.Get("prompt") != "consent" {
		return ask, "prompt 必须为 consent"
	}
	if ask.withCorp, problem = readScope(v.Get("scope")); problem != "" {
		return ask, problem
	}
	if want := v.Get("corpId"); ask.withCorp && want != "" && want != ask.app.corp.id && !c.s.sw().OAuthForeign {
		return ask, "该应用不属于组织 " + want
	}
	return ask, ""
}

// redirectTarget reads where the browser is to go back to: a web address on a
// registered host, or the text that says what is wrong.
func redirectTarget(a *app, text string) (target *url.URL, problem string) {
	target, err := url.Parse(text)
	if err != nil || !isWebAddress(text) {
		return nil, "redirect_uri 不是合法的地址"
	}
	if !registered(a.load().Hosts, target.Host) {
		return nil, "redirect_uri 的域名未在应用的安全设置中登记：" + target.Host
	}
	return target, ""
}

// readScope takes scopes separated by space or by a plus that was encoded once
// too often ("openid%2Bcorpid" in one of the vendor's answers).
func readScope(text string) (withCorp bool, problem string) {
	scopes := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '+' })
	for _, one := range scopes {
		if one != "openid" && one != "corpid" && !strings.HasPrefix(one, "Contact.") {
			return false, "scope 不合法：" + one
		}
	}
	if !slices.Contains(scopes, "openid") {
		return false, "scope 必须包含 openid"
	}
	return slices.Contains(scopes, "corpid"), ""
}

// registered says whether host ("name" or "name:port") is one of the
// application's; an entry without port stands for every port.
func registered(hosts []string, host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return slices.ContainsFunc(hosts, func(h string) bool {
		return strings.EqualFold(h, host) || strings.EqualFold(h, name)
	})
}

// consentPage is what the template shows.
type consentPage struct {
	App        string
	Icon       string
	Corp       string
	Hidden     []field
	Person     *card  // remembered: only to be confirmed
	People     []card // to choose from
	SwitchLink string
	WithCorp   bool
}

type field struct{ Name, Value string }

func (c *call) showConsent(ask consent) answer {
	a := ask.app.load()
	page := consentPage{App: a.Name, Icon: a.icon(), Corp: ask.app.corp.name, WithCorp: ask.withCorp}
	forget := c.r.URL.Query().Get("switch") == "1"
	for name, list := range ask.values {
		if name == "switch" {
			continue
		}
		for _, v := range list {
			page.Hidden = append(page.Hidden, field{name, v})
		}
	}
	slices.SortFunc(page.Hidden, func(a, b field) int { return cmp.Compare(a.Name, b.Name) })
	if who, p := c.remembered(); p != nil && !forget {
		one := newCard(who, *p)
		page.Person = &one
		v := c.r.URL.Query()
		v.Set("switch", "1")
		page.SwitchLink = "/oauth2/auth?" + v.Encode()
	} else {
		page.People = c.s.cards(ask.app.corp, chosen(c.s, c.r))
	}
	return c.html(http.StatusOK, "consent.html", page)
}

// remembered is the person of the browser session, or nil.
func (c *call) remembered() (*corp, *Person) {
	return c.s.cookiePerson(c.r, loginCookie)
}

// decide carries out what the person decided.
func (c *call) decide(ask consent) answer {
	state := ask.values.Get("state")
	if ask.values.Get("decision") == "refuse" {
		return c.sendBack(ask, url.Values{"error": {"access_denied"}, "state": {state}}) // SIM-D50
	}
	who, p := c.remembered()
	if value := ask.values.Get("userid"); value != "" {
		who, p = c.s.findPerson(ask.app.corp, value)
	}
	if p == nil {
		return c.oauthError("无法登录", "请选择一个账号")
	}
	member := who == ask.app.corp && !p.External && p.Left.IsZero()
	if !member && !c.s.sw().OAuthForeign { // SIM-D51
		return c.oauthError("无法登录", p.Name+" 不是「"+ask.app.corp.name+"」的成员，不能使用该组织的内部应用")
	}
	grantOne := func() string {
		return c.s.codes.issue(c.s, grant{kind: oauthCode, app: ask.app, person: who, userid: p.UserID, withCorp: ask.withCorp})
	}
	code, back := grantOne(), url.Values{"state": {state}}
	switch c.s.sw().OAuthParam { // SIM-D49
	case paramAuthCode:
		back.Set("authCode", code)
	case paramCode:
		back.Set("code", code)
	case paramDifferent:
		back.Set("code", code)
		back.Set("authCode", grantOne())
	default:
		back.Set("code", code)
		back.Set("authCode", code)
	}
	a := c.sendBack(ask, back)
	cookie := http.Cookie{Name: loginCookie, Value: url.QueryEscape(who.id + "/" + p.UserID), Path: "/oauth2", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	a.header.Set("Set-Cookie", cookie.String())
	return a
}

// sendBack redirects, keeping what the address had in its query.
func (c *call) sendBack(ask consent, add url.Values) answer {
	if ask.values.Get("state") == "" {
		add.Del("state")
	}
	to := *ask.redirect
	if to.RawQuery != "" {
		to.RawQuery += "&"
	}
	to.RawQuery += add.Encode()
	return answer{status: http.StatusFound, ctype: typeHTML, header: http.Header{
		"Location":      {to.String()},
		"Cache-Control": {"no-store"},
	}}
}

func (c *call) oauthError(title, text string) answer {
	a := c.html(http.StatusBadRequest, "oauth-error.html", struct{ Title, Text string }{title, text})
	a.code = title
	return a
}

// html renders one of our own pages: no script, no foreign resource.
func (c *call) html(status int, name string, data any) answer {
	var buf bytes.Buffer
	if err := c.s.pages.ExecuteTemplate(&buf, name, data); err != nil {
		c.s.log.Error("dingtalksim: page", "name", name, "error", err)
		return answer{status: http.StatusInternalServerError, ctype: typeHTML}
	}
	return answer{status: status, ctype: typeHTML, body: buf.Bytes(), header: pageHeader()}
}

// pageHeader is for every page of the simulator. form-action is left open: the
// consent form ends in a redirect to the application.
func pageHeader() http.Header {
	return http.Header{
		"Cache-Control":           {"no-store"},
		"Content-Security-Policy": {"default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"},
		"X-Content-Type-Options":  {"nosniff"},
		"Referrer-Policy":         {"no-referrer"},
	}
}
