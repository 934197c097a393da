package dingtalksim

// microappList is POST /microapp/list: an old path outside /topapi, where a bad
// token has been seen bare (SIM-D24).
func (c *call) microappList() answer {
	type listed struct {
		AgentID  int64  `json:"agentId"`
		Name     string `json:"name"`
		Homepage string `json:"homepageLink"`
	}
	list := []listed{}
	for _, a := range c.app.corp.apps {
		cfg := a.load()
		list = append(list, listed{cfg.AgentID, cfg.Name, cfg.HomeURL})
	}
	return c.old("0", struct {
		ErrCode int      `json:"errcode"`
		ErrMsg  string   `json:"errmsg"`
		Apps    []listed `json:"appList"`
	}{0, "ok", list})
}
