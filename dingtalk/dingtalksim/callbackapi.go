package dingtalksim

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
)

// mostFailed is how many failed events one call gives (SIM-D75).
const mostFailed = 200

// failedEvent is an element of the failed-event list.
type failedEvent struct {
	tag    string
	millis int64
	inner  map[string]any
}

// MarshalJSON writes the element as the vendor does: the tag is a name too.
func (f failedEvent) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"call_back_tag": f.tag, "event_time": f.millis, f.tag: f.inner})
}

// fail puts an event on an application's list, in the shape of its family (6.4).
func (c *callbacks) fail(a *app, e Event) {
	inner := map[string]any{"corpid": e.Corp}
	switch {
	case strings.HasPrefix(e.Type, "bpms_"):
		inner["bpmsCallBackData"] = e.Fields
	case strings.HasPrefix(e.Type, "label_"):
		inner["roleLabelChange"] = e.Fields
	case strings.HasPrefix(e.Type, "user_"):
		lower := map[string]any{}
		for name, value := range e.Fields {
			lower[strings.ToLower(name)] = value // unlike in the push
		}
		maps.Copy(inner, lower)
	default:
		inner["callbackData"] = e.Fields
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = map[string][]failedEvent{}
	}
	c.failed[a.key] = append(c.failed[a.key], failedEvent{e.Type, e.Born.UnixMilli(), inner})
}

// take gives the first of an application's failed events. Reading consumes them
// unless keep is set.
func (c *callbacks) take(app string, keep bool) (list []failedEvent, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.failed[app]
	n := min(len(all), mostFailed)
	list = append([]failedEvent{}, all[:n]...)
	if !keep && n > 0 {
		c.failed[app] = append([]failedEvent{}, all[n:]...)
	}
	return list, len(all) > n
}

// callbackFailed is GET /call_back/get_call_back_failed_result (SIM-D75).
func (c *call) callbackFailed() answer {
	list, more := c.s.callbacks.take(c.app.key, c.s.sw().FailedKeep)
	return c.old("0", struct {
		ErrCode int           `json:"errcode"`
		ErrMsg  string        `json:"errmsg"`
		HasMore bool          `json:"has_more"`
		List    []failedEvent `json:"failed_list"`
	}{0, "ok", more, list})
}

// callbackRegister is POST /call_back/register_call_back, which tries the
// address first; its frames carry the corpId as owner key (SIM-D72).
func (c *call) callbackRegister() answer {
	if c.s.callbacks.of(c.app.key) != nil {
		return c.refuse(71006, "回调地址已经存在")
	}
	return c.callbackStore()
}

// callbackUpdate is POST /call_back/update_call_back.
func (c *call) callbackUpdate() answer {
	if c.s.callbacks.of(c.app.key) == nil {
		return c.refuse(71007, "回调地址已不存在")
	}
	return c.callbackStore()
}

func (c *call) callbackStore() answer {
	var tags []string
	address, token, aesKey := c.params.text("url"), c.params.text("token"), c.params.text("aes_key")
	if json.Unmarshal(c.params["call_back_tag"], &tags) != nil || len(tags) == 0 || address == "" || token == "" || aesKey == "" {
		return c.refuse(71010, "返回的json字段不正确")
	}
	sub, err := c.s.subscribe(c.app, address, token, aesKey, true)
	if err != nil {
		return c.refuse(vendorNumber(err))
	}
	sub.tags = tags
	c.s.callbacks.set(c.app.key, sub)
	return c.old("0", oldOK{ErrMsg: "ok"})
}

// vendorNumber is the number under which the vendor shows why an address was
// refused (6.3, SIM-D69).
func vendorNumber(err error) (int, string) {
	switch {
	case errors.Is(err, errSignature):
		return 900005, "签名不匹配"
	case errors.Is(err, errDecrypt):
		return 900008, "解密失败"
	case errors.Is(err, errOwner):
		return 900010, "suiteKey不匹配"
	case strings.Contains(err.Error(), "900004"):
		return 900004, "aes_key长度不合法"
	case strings.Contains(err.Error(), "71009"):
		return 71009, "返回文本非success"
	case strings.Contains(err.Error(), "71010"):
		return 71010, "返回的json字段不正确"
	case strings.Contains(err.Error(), "71011"):
		return 71011, "url格式错误"
	case strings.Contains(err.Error(), "71013"):
		return 71013, "url的域名不在白名单内"
	}
	return 71012, "url地址访问异常"
}

// callbackGet is GET /call_back/get_call_back.
func (c *call) callbackGet() answer {
	sub := c.s.callbacks.of(c.app.key)
	if sub == nil {
		return c.refuse(71007, "回调地址已不存在")
	}
	tags := sub.tags
	if tags == nil {
		tags = []string{}
	}
	return c.old("0", struct {
		ErrCode int      `json:"errcode"`
		ErrMsg  string   `json:"errmsg"`
		Tags    []string `json:"call_back_tag"`
		Token   string   `json:"token"`
		AESKey  string   `json:"aes_key"`
		URL     string   `json:"url"`
	}{0, "ok", tags, sub.token, sub.aesKey, sub.url})
}

// callbackDelete is GET /call_back/delete_call_back.
func (c *call) callbackDelete() answer {
	if c.s.callbacks.of(c.app.key) == nil {
		return c.refuse(71007, "回调地址已不存在")
	}
	c.s.callbacks.set(c.app.key, nil)
	return c.old("0", oldOK{ErrMsg: "ok"})
}
