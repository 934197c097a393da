package dingtalksim

import (
	"crypto/sha1" //nolint:gosec // the vendor's older signature
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Platforms that the client bridge names.
const (
	platformPC      = "pc"
	platformAndroid = "android"
	platformIOS     = "ios"
	platformNone    = "notInDingTalk"
)

func platforms() []string { return []string{platformPC, platformAndroid, platformIOS} }

func knownPlatform(p string) bool { return slices.Contains(platforms(), p) }

// UserAgent is what the client sends on a platform: pc, mac, android or ios
// (SIM-D45); empty for others.
func UserAgent(platform string) string {
	switch platform {
	case platformIOS:
		return "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/23E246 AliApp(DingTalk/7.8.1) com.laiwang.DingTalk/46766536 Channel/201200 language/zh-Hans-CN UT4Aplus/0.0.6 WK"
	case platformAndroid:
		return "Mozilla/5.0 (Linux; U; Android 13; zh-CN; M2012K11AC Build/TKQ1.221114.001) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/100.0.4896.58 UWS/5.11.1.0 Mobile Safari/537.36 AliApp(DingTalk/6.0.30) com.alibaba.android.rimet/15213560 Channel/263200 language/zh-CN"
	case platformPC:
		return "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.125 Safari/537.36 dingtalk-win/1.0.0 nw(0.14.7) DingTalk(7.8.10-Release.250724002) Mojo/1.0.0 Native AppType(release) Channel/201200 Architecture/x86_64"
	case "mac":
		return "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) DingTalk(9.0.1-macOS-arm64) nw DTWKWebView Channel/201200"
	}
	return ""
}

// platform is what dd.env.platform says to this request: by user agent, else
// by the door that the workbench opened last.
func (s *Server) platform(r *http.Request) string {
	ua := strings.ToLower(r.UserAgent())
	cl := s.client(r)
	switch {
	case strings.Contains(ua, "dingtalk"):
		switch {
		case strings.Contains(ua, "iphone") || strings.Contains(ua, "ipad") || strings.Contains(ua, "com.laiwang"):
			return platformIOS
		case strings.Contains(ua, "android"):
			return platformAndroid
		}
		return platformPC
	case cl.door == doorClient && cl.person != nil:
		return cl.platform
	}
	return platformNone
}

// script is GET /jsapi/dingtalk.open.js: the stand-in for the vendor's script.
// A classic ES5 script that reaches the bridge by inserting script elements, so
// that a page needs nothing but its origin in script-src.
func (s *Server) script(w http.ResponseWriter, r *http.Request) {
	body, err := assets.ReadFile("assets/dingtalk.open.js")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sw := s.sw()
	mode, platform := sw.JSAPIMode, s.platform(r)
	if mode == modeNoBridge {
		platform = platformNone
	}
	settings := encode(map[string]any{
		"mode": mode, "platform": platform, "version": "7.8.10",
		"inside": sw.OpenLinkInside || platform != platformPC,
	})
	h := w.Header()
	h.Set("Content-Type", "application/javascript; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	_, _ = w.Write([]byte(strings.Replace(string(body), "/*SETTINGS*/{}", string(settings), 1)))
}

var callbackName = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)

// bridgeError is what onFail gets.
type bridgeError struct {
	ErrorCode    int    `json:"errorCode"`
	ErrorMessage string `json:"errorMessage"`
}

// bridge is GET /jsapi/bridge: one call of the page to the client, answered as
// a script.
func (s *Server) bridge(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if !callbackName.MatchString(q.Get("cb")) {
		http.Error(w, "dingtalksim: cb must be a plain name", http.StatusBadRequest)
		return
	}
	var out any
	var failed *bridgeError
	switch q.Get("op") {
	case "requestAuthCode":
		out, failed = s.requestAuthCode(r)
	case "config":
		out, failed = struct{}{}, s.checkConfig(q)
	case "openLink":
		out = struct{}{}
	default:
		failed = &bridgeError{7, "不支持的接口：" + q.Get("op")}
	}
	if failed != nil {
		out = nil
	}
	h := w.Header()
	h.Set("Content-Type", "application/javascript; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	// A string of JSON is a script literal but for two separators.
	arg := strings.NewReplacer("\u2028", `\u2028`, "\u2029", `\u2029`).Replace(string(encode(struct {
		OK   any          `json:"ok,omitempty"`
		Fail *bridgeError `json:"fail,omitempty"`
	}{out, failed})))
	fmt.Fprintf(w, "window.__dtsim&&window.__dtsim[%q]&&window.__dtsim[%q](%s);\n", q.Get("cb"), q.Get("cb"), arg)
}

// requestAuthCode gives the page a code for the person in the client, if the
// page is on a host of an application of that organisation (SIM-D38).
func (s *Server) requestAuthCode(r *http.Request) (any, *bridgeError) {
	q, cl := r.URL.Query(), s.client(r)
	if s.sw().JSAPIMode == modeFail {
		return nil, noMicroApp(pageHost(r))
	}
	if cl.person == nil {
		return nil, &bridgeError{-1, "客户端未登录：请先在工作台选择人员"}
	}
	c := s.corpByID(q.Get("corpId"))
	if c == nil || c != cl.corp {
		return nil, &bridgeError{2, "corpId不合法：" + q.Get("corpId")}
	}
	host := pageHost(r)
	for _, a := range c.apps {
		if id := q.Get("clientId"); id != "" && id != a.key {
			continue
		}
		if a.ownsPage(host) {
			code := s.codes.issue(s, grant{kind: clientCode, app: a, person: cl.corp, userid: cl.person.UserID})
			return struct {
				Code string `json:"code"`
			}{code}, nil
		}
	}
	return nil, noMicroApp(host)
}

func noMicroApp(host string) *bridgeError {
	return &bridgeError{3, "对应企业没有" + host + "域名微应用"}
}

// ownsPage says whether host is the home URL's or a registered one.
func (a *app) ownsPage(host string) bool {
	cfg := a.load()
	if u, err := url.Parse(cfg.HomeURL); err == nil && strings.EqualFold(u.Host, host) {
		return true
	}
	return registered(cfg.Hosts, host)
}

// pageHost is the host of the page that called: Referer or Origin, which the
// page cannot choose, before what the script says of itself.
func pageHost(r *http.Request) string {
	for _, h := range []string{r.Header.Get("Origin"), r.Referer(), r.URL.Query().Get("page")} {
		if u, err := url.Parse(h); err == nil && u.Host != "" {
			return u.Host
		}
	}
	return ""
}

// ticket is one page ticket (SIM-D116).
type ticket struct {
	value   string
	created time.Time
	expires time.Time
}

type tickets struct {
	mu sync.Mutex
	m  map[string]*ticket // by application key
}

// ticketLife is the longest life of a ticket however often it is renewed.
const ticketLife = 24 * time.Hour

func (t *tickets) issue(s *Server, key string, now time.Time) (string, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = map[string]*ticket{}
	}
	one := t.m[key]
	if one == nil || !now.Before(one.expires) {
		one = &ticket{value: s.rand.hex(32), created: now}
		t.m[key] = one
	}
	one.expires = now.Add(tokenLife)
	if last := one.created.Add(ticketLife); one.expires.After(last) {
		one.expires = last
	}
	return one.value, int(one.expires.Sub(now).Seconds())
}

func (t *tickets) live(key string, now time.Time) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.m[key]
	if one == nil || !now.Before(one.expires) {
		return "", false
	}
	return one.value, true
}

// jsapiTicketNew is POST /v1.0/oauth2/jsapiTickets.
func (c *call) jsapiTicketNew() answer {
	value, left := c.s.tickets.issue(c.s, c.app.key, c.started)
	return c.ok(struct {
		Ticket   string `json:"jsapiTicket"`
		ExpireIn int    `json:"expireIn"`
	}{value, left})
}

// jsapiTicketOld is GET /get_jsapi_ticket.
func (c *call) jsapiTicketOld() answer {
	value, left := c.s.tickets.issue(c.s, c.app.key, c.started)
	return c.old("0", struct {
		ErrCode   int    `json:"errcode"`
		ErrMsg    string `json:"errmsg"`
		Ticket    string `json:"ticket"`
		ExpiresIn int    `json:"expires_in"`
	}{0, "ok", value, left})
}

// checkConfig judges dd.config as section 4 has it; nil is success.
func (s *Server) checkConfig(q url.Values) *bridgeError {
	c := s.corpByID(q.Get("corpId"))
	if c == nil {
		return &bridgeError{52010, "无效的corpid"}
	}
	signer := s.signer(q)
	var agent *app
	for _, one := range c.apps {
		if fmt.Sprint(one.load().AgentID) == q.Get("agentId") {
			agent = one
		}
	}
	switch {
	case signer != nil && signer.corp != c:
		return &bridgeError{52011, "jsapi ticket 读取失败"}
	case agent == nil || signer != nil && signer != agent:
		return &bridgeError{52019, "无效的agentId"}
	}
	for _, part := range []struct {
		name, missing string
		code          int
	}{{"signature", "签名缺失", 52016}, {"page", "无效的url", 52014}, {"nonceStr", "无效的随机字符串", 52015}, {"timeStamp", "无效的时间戳", 52018}} {
		if q.Get(part.name) == "" {
			return &bridgeError{part.code, part.missing}
		}
	}
	if _, ok := s.tickets.live(agent.key, s.clock.now()); !ok {
		return &bridgeError{52011, "jsapi ticket 读取失败"}
	}
	if signer == nil {
		return &bridgeError{52013, "签名校验失败"}
	}
	return nil
}

// signer is the application whose live ticket made the signature, or nil. Both
// digests are accepted: the vendor's samples disagree.
func (s *Server) signer(q url.Values) *app {
	address, _, _ := strings.Cut(q.Get("page"), "#")
	if base, query, ok := strings.Cut(address, "?"); ok {
		if decoded, err := url.QueryUnescape(query); err == nil {
			address = base + "?" + decoded
		}
	}
	for _, a := range s.apps {
		value, ok := s.tickets.live(a.key, s.clock.now())
		if !ok {
			continue
		}
		plain := []byte("jsapi_ticket=" + value + "&noncestr=" + q.Get("nonceStr") + "&timestamp=" + q.Get("timeStamp") + "&url=" + address)
		long, short := sha256.Sum256(plain), sha1.Sum(plain)
		if got := q.Get("signature"); got == hex.EncodeToString(long[:]) || got == hex.EncodeToString(short[:]) {
			return a
		}
	}
	return nil
}
