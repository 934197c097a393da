package dingtalksim

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// tokenLife is the life of application tokens, user tokens and page tickets.
const tokenLife = 7200 * time.Second

// token is one application token. expires and dead change under tokens.mu; the
// rest is fixed when it is made.
type token struct {
	value   string
	app     *app
	unified bool
	perms   []string // what was granted when it was made (SIM-D32)
	expires time.Time
	dead    bool // killed by hand (SIM-D29)
}

// tokens are all application tokens ever given out, those that ended included:
// an expired one may answer otherwise than an unknown one (SIM-D28).
type tokens struct {
	mu      sync.RWMutex
	byValue map[string]*token
	current map[tokenSlot]*token
}

// tokenSlot holds one token: one per application whichever call gave it, unless
// the switch of SIM-D21 sets those of the unified call apart.
type tokenSlot struct {
	key     string
	unified bool
}

// issue gives the live token and renews it, or a new one (SIM-D20).
func (t *tokens) issue(s *Server, a *app, unified bool, now time.Time) string {
	slot := tokenSlot{a.key, unified && s.sw().UnifiedTokenInvalid}
	t.mu.Lock()
	defer t.mu.Unlock()
	if cur := t.current[slot]; cur != nil && !cur.dead && now.Before(cur.expires) {
		cur.expires = now.Add(tokenLife)
		return cur.value
	}
	if t.byValue == nil {
		t.byValue, t.current = map[string]*token{}, map[tokenSlot]*token{}
	}
	t.forget(now)
	tok := &token{value: s.rand.hex(16), app: a, unified: slot.unified, perms: a.load().snapshot(), expires: now.Add(tokenLife)}
	t.byValue[tok.value], t.current[slot] = tok, tok
	return tok.value
}

// forget drops tokens that ended over a day ago, when there are many.
func (t *tokens) forget(now time.Time) {
	if len(t.byValue) < 1000 {
		return
	}
	for v, tok := range t.byValue {
		if now.Sub(tok.expires) > 24*time.Hour {
			delete(t.byValue, v)
		}
	}
}

// tokenState is what a token value is worth.
type tokenState int

const (
	tokenUnknown tokenState = iota
	tokenExpired
	tokenLive
)

func (t *tokens) find(value string, now time.Time) (*token, tokenState) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	tok := t.byValue[value]
	switch {
	case tok == nil || tok.dead:
		return nil, tokenUnknown
	case !now.Before(tok.expires):
		return nil, tokenExpired
	default:
		return tok, tokenLive
	}
}

// KillTokens makes the live application tokens of appKey void, or of every
// application when appKey is empty; it says how many (SIM-D29).
func (s *Server) KillTokens(appKey string) int {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	n := 0
	for slot, tok := range s.tokens.current {
		if (appKey == "" || slot.key == appKey) && !tok.dead {
			tok.dead = true
			n++
		}
	}
	return n
}

// appBySecret finds the application of a pair; nil when the pair is wrong.
func (s *Server) appBySecret(key, secret string) *app {
	a := s.apps[key]
	if a == nil || subtle.ConstantTimeCompare([]byte(a.load().Secret), []byte(secret)) != 1 {
		return nil
	}
	return a
}

// getToken is GET /gettoken (SIM-D14 … SIM-D16).
func (c *call) getToken() answer {
	q := c.r.URL.Query()
	if q.Get("appkey") == "" || q.Get("appsecret") == "" {
		return c.refuse(40035, "缺少参数 corpid or appkey")
	}
	if c.app = c.s.appBySecret(q.Get("appkey"), q.Get("appsecret")); c.app == nil {
		return c.refuse(40096, "不合法的appKey或appSecret")
	}
	if bad, ok := c.admit(endpoint{perm: permBase}); !ok {
		return bad
	}
	return c.old("0", struct {
		ErrCode     int    `json:"errcode"`
		AccessToken string `json:"access_token"`
		ErrMsg      string `json:"errmsg"`
		ExpiresIn   int    `json:"expires_in"`
	}{0, c.s.tokens.issue(c.s, c.app, false, c.started), "ok", int(tokenLife.Seconds())})
}

// accessToken is POST /v1.0/oauth2/accessToken (SIM-D17, SIM-D18).
func (c *call) accessToken() answer {
	for _, name := range []string{"appKey", "appSecret"} {
		if c.params.text(name) == "" {
			return c.missing(name)
		}
	}
	if c.app = c.s.appBySecret(c.params.text("appKey"), c.params.text("appSecret")); c.app == nil {
		return c.wrongPair()
	}
	if bad, ok := c.admit(endpoint{}); !ok {
		return bad
	}
	return c.ok(struct {
		AccessToken string `json:"accessToken"`
		ExpireIn    int    `json:"expireIn"`
	}{c.s.tokens.issue(c.s, c.app, false, c.started), int(tokenLife.Seconds())})
}

// missing is the new host's word for an absent body member.
func (c *call) missing(name string) answer {
	return c.fail(http.StatusBadRequest, "Missing"+name, name+" is mandatory for this action.")
}

func (c *call) wrongPair() answer {
	return c.fail(http.StatusBadRequest, "invalidClientIdOrSecret", "无效的clientId或者clientSecret")
}

// unifiedToken is POST /v1.0/oauth2/{corpId}/token (SIM-D19).
func (c *call) unifiedToken() answer {
	corpID := strings.TrimSuffix(strings.TrimPrefix(c.r.URL.Path, "/v1.0/oauth2/"), "/token")
	a := c.s.apps[c.params.text("client_id")]
	if a == nil || a.corp.id != corpID {
		return c.fail(http.StatusInternalServerError, "unknownError", "未知错误")
	}
	if c.s.appBySecret(a.key, c.params.text("client_secret")) == nil {
		return c.fail(http.StatusBadRequest, "invalid.client", "无效的client_id或者client_secret")
	}
	if c.params.text("grant_type") != "client_credentials" {
		return c.fail(http.StatusBadRequest, "unsupported.grant.type", "不支持的grant_type")
	}
	c.app = a
	if bad, ok := c.admit(endpoint{counted: true}); !ok {
		return bad
	}
	return c.ok(struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}{c.s.tokens.issue(c.s, a, true, c.started), int(tokenLife.Seconds())})
}

// tokenHeader is the only place where the new host looks for a token.
const tokenHeader = "x-acs-dingtalk-access-token"

// checkAppToken finds the caller by its application token (SIM-D23 … SIM-D28).
func (c *call) checkAppToken() (answer, bool) {
	if !c.oldHost() {
		value := c.r.Header.Get(tokenHeader)
		if value == "" {
			return c.noTokenHeader(), false
		}
		tok, state := c.s.tokens.find(value, c.started)
		if state == tokenLive {
			c.token, c.app = tok, tok.app
			return answer{}, true
		}
		if c.s.userTokens.find(value, c.started) != nil {
			return c.noPermission(permUserRead), false // the wrong kind of token
		}
		return c.badTokenHeader(), false
	}
	value := c.oldToken()
	if value == "" {
		if c.topapi() {
			return c.gate(40000, "access_token is blank", ""), false
		}
		return c.refuse(41001, "缺少access_token参数"), false
	}
	tok, state := c.s.tokens.find(value, c.started)
	switch {
	case state == tokenExpired && c.s.sw().Expired42001:
		return c.gate(42001, "access_token超时", ""), false
	case state != tokenLive, tok.unified && c.topapi():
		return c.gate(40014, "不合法的access_token", ""), false
	}
	c.token, c.app = tok, tok.app
	return answer{}, true
}

// oldToken reads the query and, on POST, the form field (SIM-D7).
func (c *call) oldToken() string {
	if v := c.r.URL.Query().Get("access_token"); v != "" {
		return v
	}
	if c.r.Method == http.MethodPost && strings.HasPrefix(c.r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return c.params.text("access_token")
	}
	return ""
}

func (c *call) noTokenHeader() answer {
	return c.fail(http.StatusBadRequest, "AuthenticationFailed.MissingParameter", "缺少参数："+tokenHeader)
}

func (c *call) badTokenHeader() answer {
	return c.fail(http.StatusBadRequest, "InvalidAuthentication", "不合法的access_token")
}

// checkAddress refuses callers off the application's allow-list (SIM-D33).
func (c *call) checkAddress() (answer, bool) {
	allowed := c.app.load().AllowedIPs
	if len(allowed) == 0 {
		return answer{}, true
	}
	for _, ip := range allowed {
		if ip == c.ip {
			return answer{}, true
		}
	}
	return c.offTheList(), false
}

func (c *call) offTheList() answer {
	text := fmt.Sprintf("访问ip不在白名单之中,request ip=%s appKey(%s)", c.ip, c.app.key)
	if c.oldHost() {
		return c.refuse(60020, text)
	}
	return c.fail(http.StatusForbidden, "Forbidden.AccessDenied.IpNotInWhiteList", text)
}

// noPermission is SIM-D30 on the old host and SIM-D31 on the new.
func (c *call) noPermission(scope string) answer {
	if c.oldHost() {
		key := ""
		if c.app != nil {
			key = c.app.key
		}
		text := "应用尚未开通所需的权限：[" + scope + "]，点击链接申请并开通即可：https://open-dev.dingtalk.com/appscope/apply?content=" + key + "%23" + scope
		return c.gate(60011, text, ", {requiredScopes=["+scope+"]}")
	}
	name := "AccessDeniedDetail"
	if c.s.sw().LowerAccessDenied {
		name = "accessdenieddetail"
	}
	detail := fmt.Appendf(nil, `,%q:{"requiredScopes":[%q]}`, name, scope)
	return c.fail(http.StatusForbidden, "Forbidden.AccessDenied.AccessTokenPermissionDenied", "应用尚未开通所需的权限：["+scope+"]", detail...)
}
