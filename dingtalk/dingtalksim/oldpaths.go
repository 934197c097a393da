package dingtalksim

import (
	"bytes"
	"mime"
)

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

// robotSend is POST /robot/send as far as SIM-D12 goes. No robot exists here
// yet, so every access token is unknown (SIM-D105).
func (c *call) robotSend() answer {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return c.refuse(40035, "缺少参数 json")
	}
	if media, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return c.refuse(43004, "无效的HTTP HEADER Content-Type")
	}
	return c.refuse(300005, "token is not exist")
}
