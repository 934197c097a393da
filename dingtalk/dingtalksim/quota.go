package dingtalksim

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// quotas count calls per application and API within a second (SIM-D108) and per
// organisation within a Beijing month (SIM-D110).
type quotas struct {
	mu      sync.Mutex
	seconds map[quotaKey]*window
	months  map[string]*monthUse
}

type quotaKey struct{ app, api string }

type window struct {
	start int64 // Unix second
	n     int
}

type monthUse struct {
	month string
	used  int
}

// second counts one call; false when the second's share is used up.
func (q *quotas) second(limit int, app, api string, now time.Time) bool {
	if limit < 0 {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	key := quotaKey{app, api}
	w := q.seconds[key]
	if w == nil {
		if q.seconds == nil {
			q.seconds = map[quotaKey]*window{}
		}
		w = &window{}
		q.seconds[key] = w
	}
	if w.start != now.Unix() {
		w.start, w.n = now.Unix(), 0
	}
	if w.n >= limit {
		return false
	}
	w.n++
	return true
}

// month counts one call against the organisation; false when the month is used up.
func (q *quotas) month(limit int, corp string, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.monthOf(corp, now)
	if limit >= 0 && m.used >= limit {
		return false
	}
	m.used++
	return true
}

func (q *quotas) monthOf(corp string, now time.Time) *monthUse {
	if q.months == nil {
		q.months = map[string]*monthUse{}
	}
	this := beijing(now).Format("2006-01")
	m := q.months[corp]
	if m == nil || m.month != this {
		m = &monthUse{month: this}
		q.months[corp] = m
	}
	return m
}

// MonthUsed says how many counted calls corp has made this Beijing month.
func (s *Server) MonthUsed(corp string) int {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	return s.quotas.monthOf(corp, s.clock.now()).used
}

// SetMonthUsed sets that counter.
func (s *Server) SetMonthUsed(corp string, used int) {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	s.quotas.monthOf(corp, s.clock.now()).used = used
}

// throttled is our own calls per second, used up (SIM-D108). No full body of
// 90018 is public; clients match the code and the 88.
func (c *call) throttled() answer {
	if c.oldHost() {
		return c.gate(90018, "您的企业应用调用钉钉开放平台当前接口的所有请求都被暂时禁用了, apiPath("+c.apiName()+")", "")
	}
	return c.fail(http.StatusForbidden, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", "您的企业应用调用钉钉开放平台当前接口的所有请求都被暂时禁用了")
}

// throttledAll is everyone's calls per second, used up (SIM-D109).
func (c *call) throttledAll() answer {
	if !c.oldHost() {
		return c.fail(http.StatusForbidden, "Forbidden.AccessDenied.QpsLimitForApi", "您的服务器调用钉钉开放平台当前接口的所有请求都被暂时禁用了")
	}
	const form = "2006-01-02 15:04:05"
	at := beijing(c.started)
	return c.gate(90002, fmt.Sprintf("当前所有钉钉应用调用该接口次数过多，超出了该接口承受的最大qps，请求被暂时限制了，建议错开整点时刻调用该接口, apiPath(%s), 从 %s 到 %s 请求总次数超过 1200 次, 限制将在 %s 结束.",
		c.apiName(), at.Format(form), at.Format(form), at.Add(time.Second).Format(form)), "")
}

// monthUsedUp is the organisation's monthly quota, used up (SIM-D110).
func (c *call) monthUsedUp() answer {
	const text = "当前企业本月API调用量已超过上限"
	if c.oldHost() {
		return c.refuse(90020, text)
	}
	return c.fail(http.StatusForbidden, "Forbidden.AccessDenied.ApiCountLimitForOrg", text)
}

const (
	banWindow = 20 * time.Second
	banTime   = 5 * time.Minute
)

// addresses count calls per caller address and hold the bans (SIM-D112).
type addresses struct {
	mu sync.Mutex
	m  map[string]*addressUse
}

type addressUse struct {
	start time.Time
	n     int
	until time.Time // banned until
}

// banned counts one call from ip and says whether it meets the ban.
func (a *addresses) banned(s *Server, ip string, now time.Time) bool {
	limit := s.sw().AddressLimit
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.of(ip)
	if now.Before(u.until) {
		return true
	}
	if d := now.Sub(u.start); d >= banWindow || d < 0 {
		u.start, u.n = now, 0
	}
	if u.n++; limit >= 0 && u.n > limit {
		u.until = now.Add(banTime)
		return true
	}
	return false
}

func (a *addresses) of(ip string) *addressUse {
	if a.m == nil {
		a.m = map[string]*addressUse{}
	}
	u := a.m[ip]
	if u == nil {
		u = &addressUse{}
		a.m[ip] = u
	}
	return u
}

// Ban bans ip for d on the vendor's clock; d of 0 lifts the ban.
func (s *Server) Ban(ip string, d time.Duration) {
	s.addresses.mu.Lock()
	defer s.addresses.mu.Unlock()
	u := s.addresses.of(ip)
	u.until, u.n = time.Time{}, 0
	if d > 0 { // a lifted ban stays lifted, also when the clock is set back
		u.until = s.clock.now().Add(d)
	}
}

// banPage answers a banned address, whichever host it asked.
func (c *call) banPage(asJSON bool) answer {
	if asJSON {
		return answer{
			status: http.StatusOK, ctype: typePlain, code: "punish",
			body: []byte(`{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"` + c.s.rand.hex(16) + `"}`),
		}
	}
	return answer{status: http.StatusOK, ctype: typeHTML, code: "ban", body: []byte(banHTML)}
}

const banHTML = `<!DOCTYPE html>
<html lang="zh-CN"><head><meta charset="utf-8"><title>访问被拦截</title></head>
<body><h1>很抱歉，由于您访问的URL有可能对网站造成安全威胁，您的访问被阻断。</h1>
<p>您的请求过于频繁，请在 5 分钟后重试。</p></body></html>
`
