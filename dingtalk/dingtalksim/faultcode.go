package dingtalksim

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
)

// brokenCode is a vendor error of the wanted code, wrapped as the vendor wraps it
// and, where no other text is wanted, with all that the vendor says with it.
func (c *call) brokenCode(f *Fault) answer {
	if f.Message == "" && f.Status == 0 {
		if a, known := c.known(string(f.ErrCode)); known {
			return a
		}
	}
	if c.oldHost() {
		return c.brokenOld(f)
	}
	code := string(f.ErrCode)
	if code == "" || code == "-1" {
		code = "systemBusy"
	}
	return c.fail(cmp.Or(f.Status, codeStatus(code)), code, cmp.Or(f.Message, "系统繁忙"))
}

// codeStatus is the HTTP status that a code of the new host comes with.
func codeStatus(code string) int {
	switch {
	case strings.HasPrefix(code, "Forbidden."):
		return http.StatusForbidden
	case code == "systemBusy" || code == "system.busy":
		return http.StatusTooManyRequests
	case code == "system.error" || code == "systemError" || code == "unknownError":
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}

// known is the answer of the gateway before the API that has this code on this
// host. Some name the application and the permission, so it looks who calls.
func (c *call) known(code string) (answer, bool) {
	plain, named := map[string]func() answer{
		"InvalidAuthentication":                          c.badTokenHeader,
		"AuthenticationFailed.MissingParameter":          c.noTokenHeader,
		"Forbidden.AccessDenied.QpsLimitForAppkeyAndApi": c.throttled,
		"Forbidden.AccessDenied.QpsLimitForApi":          c.throttledAll,
		"Forbidden.AccessDenied.ApiCountLimitForOrg":     c.monthUsedUp,
	}, [2]string{"Forbidden.AccessDenied.AccessTokenPermissionDenied", "Forbidden.AccessDenied.IpNotInWhiteList"}
	if c.oldHost() {
		plain = map[string]func() answer{"90018": c.throttled, "90002": c.throttledAll, "90020": c.monthUsedUp}
		named = [2]string{"60011", "60020"}
	}
	if say := plain[code]; say != nil {
		return say(), true
	}
	ep, ok := c.endpoint()
	if !ok || ep.access != accessApp || !c.identified() {
		return answer{}, false
	}
	switch code {
	case named[0]:
		return c.noPermission(ep.perm), true
	case named[1]:
		return c.offTheList(), true
	}
	return answer{}, false
}

// identified reports whether the call carries a token that is good.
func (c *call) identified() bool {
	if _, ok := c.readParams(); !ok {
		return false
	}
	_, ok := c.checkAppToken()
	return ok
}

// brokenOld is brokenCode on the old host. A text is the reason of a service
// behind DingTalk (isp.…), which only comes wrapped.
func (c *call) brokenOld(f *Fault) answer {
	text := f.Message
	n, err := strconv.Atoi(string(f.ErrCode))
	switch {
	case err != nil && f.ErrCode != "":
		return c.gateText(string(f.ErrCode), cmp.Or(text, "远程服务出错"), "")
	case err != nil:
		n = -1
	}
	text = cmp.Or(text, oldTexts()[n])
	switch n {
	case 40000, 40014, 42001, 60011, 90002, 90018:
		return c.gate(n, text, "")
	}
	return c.refuse(n, text)
}

func oldTexts() map[int]string {
	return map[int]string{
		-1: "系统繁忙", 40000: "access_token is blank", 40014: "不合法的access_token", 42001: "access_token超时", 40078: "不存在的临时授权码",
		40079: "不存在的授权信息", 60121: "找不到该用户", 33012: "无效的USERID", 50002: "请求的员工userid不在授权范围内",
		50004: "请求的部门id不在授权范围内", 60003: "部门不存在", 90020: "当前企业本月API调用量已超过上限",
		40096: "不合法的appKey或appSecret", 60020: "访问ip不在白名单之中",
	}
}
