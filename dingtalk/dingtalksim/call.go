package dingtalksim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// call is one vendor request on its way through.
type call struct {
	s       *Server
	r       *http.Request
	started time.Time
	ip      string
	body    []byte
	params  params
	app     *app      // whose application token it carries, or who asks for one
	token   *token    // nil on calls without application token
	user    *userGive // the user token, on users/me
}

// access says what an API asks of its caller.
type access int

const (
	accessOpen access = iota // names its application itself, or needs none
	accessApp                // application token
	accessUser               // user token
	accessPage               // the login host's page: no API at all
)

// endpoint is one vendor API.
type endpoint struct {
	method  string
	access  access
	perm    string
	counted bool // inside the monthly quota (section 9)
	run     func(*call) answer
}

func endpoints() map[string]endpoint {
	post := func(perm string, run func(*call) answer) endpoint {
		return endpoint{method: http.MethodPost, access: accessApp, perm: perm, run: run}
	}
	callback := func(method string, run func(*call) answer) endpoint { // not on the free list: counted
		return endpoint{method: method, access: accessApp, perm: permBase, counted: true, run: run}
	}
	return map[string]endpoint{
		"/gettoken":                              {method: http.MethodGet, run: (*call).getToken},
		"/v1.0/oauth2/accessToken":               {method: http.MethodPost, run: (*call).accessToken},
		"/v1.0/oauth2/{corpId}/token":            {method: http.MethodPost, counted: true, run: (*call).unifiedToken},
		"/v1.0/oauth2/userAccessToken":           {method: http.MethodPost, run: (*call).userAccessToken},
		"/v1.0/oauth2/jsapiTickets":              post(permBase, (*call).jsapiTicketNew),
		"/get_jsapi_ticket":                      {method: http.MethodGet, access: accessApp, perm: permBase, run: (*call).jsapiTicketOld},
		"/auth/scopes":                           {method: http.MethodGet, access: accessApp, perm: permBase, counted: true, run: (*call).authScopes},
		"/microapp/list":                         {method: http.MethodPost, access: accessApp, perm: permBase, counted: true, run: (*call).microappList},
		"/robot/send":                            {method: http.MethodPost, run: (*call).robotSend},
		"/oauth2/auth":                           {access: accessPage, run: (*call).authorize},
		"/v1.0/contact/users/me":                 {method: http.MethodGet, access: accessUser, run: (*call).usersMe},
		"/v1.0/contact/empLeaveRecords":          {method: http.MethodGet, access: accessApp, perm: permLeavers, run: (*call).leaveRecords},
		"/v1.0/gateway/connections/open":         {method: http.MethodPost, run: (*call).streamOpen},
		"/call_back/register_call_back":          callback(http.MethodPost, (*call).callbackRegister),
		"/call_back/update_call_back":            callback(http.MethodPost, (*call).callbackUpdate),
		"/call_back/get_call_back":               callback(http.MethodGet, (*call).callbackGet),
		"/call_back/delete_call_back":            callback(http.MethodGet, (*call).callbackDelete),
		"/call_back/get_call_back_failed_result": callback(http.MethodGet, (*call).callbackFailed),
		"/topapi/v2/user/getuserinfo":            post(permBase, (*call).getUserInfo),
		"/topapi/v2/user/get":                    post(permMember, (*call).userGet),
		"/topapi/user/getbyunionid":              post(permMember, (*call).getByUnionID),
		"/topapi/v2/user/getbymobile":            post(permByMobile, (*call).getByMobile),
		"/topapi/v2/user/list":                   post(permDeptMember, (*call).userList),
		"/topapi/user/listsimple":                post(permDeptMember, (*call).userListSimple),
		"/topapi/user/listid":                    post(permMember, (*call).userListID),
		"/topapi/user/count":                     post(permMember, (*call).userCount),
		"/topapi/v2/department/listsub":          post(permDeptList, (*call).deptListSub),
		"/topapi/v2/department/listsubid":        post(permDeptList, (*call).deptListSubID),
		"/topapi/v2/department/get":              post(permDeptList, (*call).deptGet),
		"/topapi/v2/department/listparentbydept": post(permDeptList, (*call).deptParentsByDept),
		"/topapi/v2/department/listparentbyuser": post(permDeptList, (*call).deptParentsByUser),
	}
}

func (c *call) topapi() bool { return strings.HasPrefix(c.r.URL.Path, "/topapi/") }

func (c *call) newHost() bool {
	p := c.r.URL.Path
	return strings.HasPrefix(p, "/v1.0/") || strings.HasPrefix(p, "/v2.0/")
}

func (c *call) oldHost() bool {
	switch c.r.URL.Path {
	case "/gettoken", "/get_jsapi_ticket", "/auth/scopes", "/robot/send", "/microapp/list":
		return true
	}
	return c.topapi() || strings.HasPrefix(c.r.URL.Path, "/call_back/")
}

// endpoint finds the API of the path; one of them has the corpId inside it.
func (c *call) endpoint() (endpoint, bool) {
	p := c.r.URL.Path
	if ep, ok := c.s.endpoints[p]; ok {
		return ep, true
	}
	if rest, ok := strings.CutPrefix(p, "/v1.0/oauth2/"); ok {
		if corp, ok := strings.CutSuffix(rest, "/token"); ok && corp != "" && !strings.Contains(corp, "/") {
			return c.s.endpoints["/v1.0/oauth2/{corpId}/token"], true
		}
	}
	ep, ok := c.s.endpoints[c.api()]
	return ep, ok
}

// api is the path without the id that some of Yida's end in.
func (c *call) api() string {
	for _, stem := range []string{pathYidaOne, pathYidaOneV1, pathYidaEntry} {
		if id, ok := strings.CutPrefix(c.r.URL.Path, stem); ok && id != "" && id != "search" && !strings.Contains(id, "/") {
			return stem
		}
	}
	return c.r.URL.Path
}

// run takes the call through the gateway to its API.
func (c *call) run() answer {
	if strings.HasPrefix(c.r.URL.Path, pathYundisk) && c.r.Method == http.MethodGet {
		return c.yundisk()
	}
	ep, ok := c.endpoint()
	if !ok {
		return c.unknownPath()
	}
	if ep.access == accessPage {
		return ep.run(c)
	}
	if c.r.Method != ep.method {
		return c.wrongMethod(ep.method)
	}
	if bad, ok := c.readParams(); !ok {
		return bad
	}
	switch ep.access {
	case accessApp:
		if bad, ok := c.checkAppToken(); !ok {
			return bad
		}
	case accessUser:
		if bad, ok := c.checkUserToken(); !ok {
			return bad
		}
	case accessOpen, accessPage:
		return ep.run(c) // asks admit itself once it knows the application
	}
	if bad, ok := c.admit(ep); !ok {
		return bad
	}
	return ep.run(c)
}

// admit applies what hangs on the application: its address list, its calls per
// second, its permission and the organisation's month.
func (c *call) admit(ep endpoint) (answer, bool) {
	if bad, ok := c.checkAddress(); !ok {
		return bad, false
	}
	if !c.s.quotas.second(c.s.sw().QPS, c.app.key, c.api(), c.started) {
		return c.throttled(), false
	}
	if !c.permitted(ep.perm) {
		return c.noPermission(ep.perm), false
	}
	if ep.counted && !c.s.quotas.month(c.s.sw().MonthQuota, c.app.corp.id, c.started) {
		return c.monthUsedUp(), false
	}
	return answer{}, true
}

func (c *call) wrongMethod(want string) answer {
	if !c.oldHost() {
		return c.unknownPath()
	}
	if want == http.MethodGet {
		return c.refuse(43001, "需要GET请求")
	}
	return c.refuse(43002, "需要POST请求")
}

// params are the members of the request body: JSON values or form texts.
type params map[string]json.RawMessage

// readParams decodes the body as its content type says. Names are matched
// exactly: a snake_case name on the new host is simply not there.
func (c *call) readParams() (answer, bool) {
	if c.r.Method == http.MethodGet {
		c.params = formParams(c.r.URL.Query())
		return answer{}, true
	}
	if len(bytes.TrimSpace(c.body)) == 0 {
		return answer{}, true
	}
	media, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	switch {
	case err == nil && media == "application/json":
		if json.Unmarshal(c.body, &c.params) != nil {
			return c.badParam("请求体不是合法的JSON"), false
		}
		return answer{}, true
	case err == nil && media == "application/x-www-form-urlencoded" && c.oldHost(): // SIM-D7
		form, err := url.ParseQuery(string(c.body))
		if err != nil {
			return c.badParam("请求体不是合法的表单"), false
		}
		c.params = formParams(form)
		return answer{}, true
	case c.oldHost():
		return c.refuse(43004, "无效的HTTP HEADER Content-Type"), false
	default:
		return c.fail(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "Content-Type must be application/json"), false
	}
}

func formParams(v url.Values) params {
	p := params{}
	for k := range v {
		p[k] = encode(v.Get(k))
	}
	return p
}

// badParam is a parameter error in the words of the host.
func (c *call) badParam(text string) answer {
	if c.oldHost() {
		return c.refuse(400002, "参数错误:"+text)
	}
	return c.fail(http.StatusBadRequest, "invalidParameter", text)
}

// text is a text parameter; a number is taken by its digits.
func (p params) text(name string) string {
	raw := p[name]
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	if len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') {
		return string(raw)
	}
	return ""
}

// integer is a whole number, given as a number or (forms) as text. present is
// false when the parameter is absent or empty.
func (p params) integer(name string) (n int64, present bool, err error) {
	s := p.text(name)
	if s == "" {
		return 0, false, nil
	}
	n, err = strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, true, fmt.Errorf("%s: not a whole number", name)
	}
	return n, true, nil
}

// boolean is true for true and "true".
func (p params) boolean(name string) bool {
	raw := string(p[name])
	return raw == "true" || raw == `"true"`
}
