package dingtalksim

// getUserInfo is POST /topapi/v2/user/getuserinfo: the in-client code for the
// userid (SIM-D39 … SIM-D44).
func (c *call) getUserInfo() answer {
	value := c.params.text("code")
	if value == "" {
		return c.refuse(40035, "缺少参数 code")
	}
	g, ok := c.s.codes.redeem(value, clientCode, c.app, c.started)
	if !ok || g.person != c.app.corp {
		return c.badCode()
	}
	dir := &c.app.corp.dir
	p := dir.person(g.userid)
	if p == nil || !p.Left.IsZero() {
		return c.noUser()
	}
	if p.External || !dir.inside(p, c.app.load().Visible) {
		return c.refuse(40079, "不存在的授权信息")
	}
	return c.result(struct {
		UserID            string `json:"userid"`
		UnionID           string `json:"unionid"`
		AssociatedUnionID string `json:"associated_unionid,omitempty"`
		DeviceID          string `json:"device_id"`
		Name              string `json:"name"`
		Sys               bool   `json:"sys"`
		SysLevel          int    `json:"sys_level"`
	}{p.UserID, p.UnionID, "", deviceID(p), p.Name, p.sysLevel() == 1 || p.sysLevel() == 2, p.sysLevel()})
}

// badCode is the one answer for unknown, used, expired and foreign codes.
func (c *call) badCode() answer {
	if c.s.sw().English {
		return c.refuse(40078, "nonexistent temp auth code")
	}
	return c.refuse(40078, "不存在的临时授权码")
}

func (c *call) noUser() answer { return c.refuse(60121, "找不到该用户") }

// sysLevel is 1 main administrator, 2 sub-administrator, 100 boss, 0 other.
func (p *Person) sysLevel() int {
	switch {
	case p.SysLevel != 0:
		return p.SysLevel
	case p.Admin:
		return 1
	case p.Boss:
		return 100
	default:
		return 0
	}
}

// deviceID is stable per person: it stands for the phone in their pocket.
func deviceID(p *Person) string { return digest("device", p.UnionID)[:32] }
