package dingtalksim

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

const refreshLife = 30 * 24 * time.Hour

// userGive is one user token: what a person gave an application in the browser.
// expires and refreshable change under userTokens.mu.
type userGive struct {
	userSlot
	value       string
	refresh     string
	expires     time.Time
	refreshable time.Time
}

// userSlot: the same person, application and scope have one token, renewed by
// asking again, as the vendor describes it for application tokens.
type userSlot struct {
	app      *app
	person   *corp
	userid   string
	withCorp bool
}

type userTokens struct {
	mu        sync.RWMutex
	byValue   map[string]*userGive
	byRefresh map[string]*userGive
	current   map[userSlot]*userGive
}

func (u *userTokens) issue(s *Server, slot userSlot, now time.Time) userGive {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.current == nil {
		u.byValue, u.byRefresh, u.current = map[string]*userGive{}, map[string]*userGive{}, map[userSlot]*userGive{}
	}
	g := u.current[slot]
	if g == nil || !now.Before(g.expires) {
		if g != nil {
			delete(u.byValue, g.value)
			delete(u.byRefresh, g.refresh)
		}
		g = &userGive{userSlot: slot, value: s.rand.hex(16), refresh: s.rand.hex(16)}
		u.byValue[g.value], u.byRefresh[g.refresh], u.current[slot] = g, g, g
	}
	g.expires, g.refreshable = now.Add(tokenLife), now.Add(refreshLife)
	return *g
}

// find returns the live user token of that value, or nil.
func (u *userTokens) find(value string, now time.Time) *userGive {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if g := u.byValue[value]; g != nil && now.Before(g.expires) {
		return g
	}
	return nil
}

// ended says whether value was a user token once.
func (u *userTokens) ended(value string) bool {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.byValue[value] != nil
}

func (u *userTokens) bySecret(refresh string, now time.Time) (userSlot, bool) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if g := u.byRefresh[refresh]; g != nil && now.Before(g.refreshable) {
		return g.userSlot, true
	}
	return userSlot{}, false
}

// userAccessToken is POST /v1.0/oauth2/userAccessToken (SIM-D53, SIM-D54).
func (c *call) userAccessToken() answer {
	for _, name := range []string{"clientId", "clientSecret", "grantType"} {
		if c.params.text(name) == "" {
			return c.missing(name)
		}
	}
	if c.app = c.s.appBySecret(c.params.text("clientId"), c.params.text("clientSecret")); c.app == nil {
		return c.wrongPair()
	}
	if bad, ok := c.admit(endpoint{perm: permAppBase}); !ok {
		return bad
	}
	var slot userSlot
	switch c.params.text("grantType") {
	case "authorization_code":
		g, ok := c.s.codes.redeem(c.params.text("code"), oauthCode, c.app, c.started)
		if !ok {
			return c.fail(http.StatusBadRequest, "invalidParameter.authCode.notFound", "不合法的临时授权码")
		}
		slot = userSlot{c.app, g.person, g.userid, g.withCorp}
	case "refresh_token":
		var ok bool
		if slot, ok = c.s.userTokens.bySecret(c.params.text("refreshToken"), c.started); !ok || slot.app != c.app {
			return c.fail(http.StatusBadRequest, "invalidParameter.refreshToken.notFound", "不合法的refreshToken")
		}
	default:
		return c.fail(http.StatusBadRequest, "invalidParameter.grantType", "不支持的grantType")
	}
	g := c.s.userTokens.issue(c.s, slot, c.started)
	out := struct {
		AccessToken  string `json:"accessToken"`
		RefreshToken string `json:"refreshToken"`
		ExpireIn     int    `json:"expireIn"`
		CorpID       string `json:"corpId,omitempty"`
	}{g.value, g.refresh, int(tokenLife.Seconds()), ""}
	if slot.withCorp {
		out.CorpID = slot.person.id
	}
	return c.ok(out)
}

// checkUserToken finds the person by their token. An application token is the
// wrong kind: the permission error (SIM-D55).
func (c *call) checkUserToken() (answer, bool) {
	value := c.r.Header.Get(tokenHeader)
	if value == "" {
		return c.noTokenHeader(), false
	}
	if g := c.s.userTokens.find(value, c.started); g != nil {
		c.user, c.app = g, g.app
		return answer{}, true
	}
	if _, state := c.s.tokens.find(value, c.started); state == tokenLive {
		return c.noPermission(permUserRead), false
	}
	if c.s.userTokens.ended(value) {
		return c.fail(http.StatusBadRequest, "accesstoken.expired", "accessToken已过期"), false
	}
	return c.badTokenHeader(), false
}

// usersMe is GET /v1.0/contact/users/me: the person, without userid (SIM-D55).
func (c *call) usersMe() answer {
	if !c.app.load().granted(permUserRead) {
		return c.noPermission(permUserRead)
	}
	p := c.user.person.dir.person(c.user.userid)
	if p == nil {
		return c.fail(http.StatusNotFound, "invalidParameter.user.notFound", "用户不存在")
	}
	out := struct {
		Nick      string `json:"nick"`
		AvatarURL string `json:"avatarUrl,omitempty"`
		Mobile    string `json:"mobile,omitempty"`
		OpenID    string `json:"openId"`
		UnionID   string `json:"unionId"`
		Email     string `json:"email,omitempty"`
		StateCode string `json:"stateCode,omitempty"`
	}{Nick: p.Nick, AvatarURL: p.Avatar, OpenID: digest("open", c.app.key, p.UnionID)[:22] + "iEiE", UnionID: p.UnionID}
	if c.app.load().granted(permUserMobile) {
		out.Mobile, out.StateCode = p.Mobile, p.StateCode
	}
	if !strings.HasSuffix(p.PersonalEmail, "@dingtalk.com") {
		out.Email = p.PersonalEmail
	}
	return c.ok(out)
}
