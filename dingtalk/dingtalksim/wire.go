package dingtalksim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	exactjson "github.com/go-json-experiment/json"
)

// Content types, spelled as each host spells them (SIM-D2, SIM-D3).
const (
	typePlain  = "application/json"
	typeTopAPI = "application/json;charset=UTF-8"
	typeNew    = "application/json;charset=utf-8"
	typeHTML   = "text/html;charset=utf-8"
)

// answer is one answer before it goes out, so that it can be spoiled and
// recorded first.
type answer struct {
	status int
	ctype  string
	body   []byte
	header http.Header
	// code is the vendor's reason, for the record: errcode, sub_code or code.
	code string
}

func encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // the vendor prints & and < as they are
	if err := enc.Encode(v); err != nil {
		return fmt.Appendf(nil, `{"errcode":-1,"errmsg":%q}`, err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// exact decodes what a client has sent. The vendor's names count by their case,
// which encoding/json does not mind.
func exact(raw []byte, into any) error { return exactjson.Unmarshal(raw, into) }

// old answers as the old host does: always HTTP 200 (SIM-D1).
func (c *call) old(code string, v any) answer {
	body := encode(v)
	if c.s.sw().DocMode {
		body = documentationMode(body)
	}
	ctype := typePlain
	if c.topapi() {
		ctype = typeTopAPI
	}
	return answer{status: http.StatusOK, ctype: ctype, body: body, code: code}
}

// requestID is what /topapi answers carry; other old paths carry none (SIM-D4).
func (c *call) requestID() string {
	if !c.topapi() {
		return ""
	}
	return c.s.rand.lower(12 + int(c.s.serial.Add(1)%2))
}

type oldOK struct {
	ErrCode   int    `json:"errcode"`
	ErrMsg    string `json:"errmsg"`
	RequestID string `json:"request_id,omitempty"`
	Result    any    `json:"result,omitempty"`
}

// result is the old host's success.
func (c *call) result(v any) answer {
	return c.old("0", oldOK{ErrMsg: "ok", RequestID: c.requestID(), Result: v})
}

type oldError struct {
	ErrCode   int    `json:"errcode"`
	Success   *bool  `json:"success,omitempty"`
	SubCode   string `json:"sub_code,omitempty"`
	SubMsg    string `json:"sub_msg,omitempty"`
	ErrMsg    string `json:"errmsg"`
	RequestID string `json:"request_id,omitempty"`
}

// refuse is an error of the API itself: never wrapped in 88.
func (c *call) refuse(code int, text string) answer {
	return c.old(strconv.Itoa(code), oldError{ErrCode: code, ErrMsg: text, RequestID: c.requestID()})
}

// gate is an error of the gateway before the API: on /topapi wrapped in 88 with
// the reason as text (SIM-D23), elsewhere bare (SIM-D24). tail is appended to
// the text inside errmsg only.
func (c *call) gate(code int, text, tail string) answer {
	sub := strconv.Itoa(code)
	if !c.topapi() {
		return c.old(sub, oldError{ErrCode: code, ErrMsg: text})
	}
	return c.gateText(sub, text, tail)
}

// gateText is gate on /topapi for a reason that need not be a number.
func (c *call) gateText(sub, text, tail string) answer {
	e := oldError{
		ErrCode: 88, SubCode: sub, SubMsg: text,
		ErrMsg:    "ding talk error[subcode=" + sub + ",submsg=" + text + tail + "]",
		RequestID: c.requestID(),
	}
	if c.s.sw().ErrmsgOnly {
		e.SubCode, e.SubMsg = "", ""
	}
	return c.old(sub, e)
}

// ok is the new host's success: HTTP 200 and plain JSON (SIM-D5).
func (c *call) ok(v any) answer {
	return answer{status: http.StatusOK, ctype: typeNew, body: encode(v)}
}

// fail is the new host's error. Key order is not fixed there, so every second
// answer puts requestid first (SIM-D6); detail, when not empty, is appended as
// further members.
func (c *call) fail(status int, code, message string, detail ...byte) answer {
	id, codeText, text := encode(c.s.rand.uuid()), encode(code), encode(message)
	var b bytes.Buffer
	if c.s.serial.Add(1)%2 == 0 {
		fmt.Fprintf(&b, `{"requestid":%s,"code":%s,"message":%s`, id, codeText, text)
	} else {
		fmt.Fprintf(&b, `{"code":%s,"requestid":%s,"message":%s`, codeText, id, text)
	}
	b.Write(detail)
	b.WriteByte('}')
	return answer{status: status, ctype: typeNew, body: b.Bytes(), code: code}
}

// unknownPath answers SIM-D8 (old host), SIM-D9 (no version) and SIM-D10.
func (c *call) unknownPath() answer {
	switch {
	case c.topapi():
		text := "不合法ApiName，ApiName = " + c.apiName()
		return c.old("22", struct {
			ErrCode   int    `json:"errcode"`
			SubMsg    string `json:"sub_msg"`
			ErrMsg    string `json:"errmsg"`
			RequestID string `json:"request_id"`
		}{22, text, "Invalid method[submsg=" + text + "]", c.requestID()})
	case c.newHost():
		return c.fail(http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
	default:
		return answer{status: http.StatusOK, ctype: typePlain, code: "404", body: []byte(`{"errcode":404,"errmsg":"请求的URI地址不存在"}`)}
	}
}

// documentationMode rewrites an answer as the vendor's pages print it: quoted
// numbers and booleans, one-element arrays as objects, arrays of plain values
// as text (SIM-D13).
func documentationMode(body []byte) []byte {
	var v any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return body
	}
	return encode(asDocumented(v))
}

func asDocumented(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = asDocumented(e)
		}
		return v
	case []any:
		if len(v) == 1 {
			if m, ok := v[0].(map[string]any); ok {
				return asDocumented(m)
			}
		}
		if len(v) > 0 {
			if _, ok := v[0].(map[string]any); !ok {
				return string(encode(v))
			}
		}
		for i, e := range v {
			v[i] = asDocumented(e)
		}
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	default:
		return v
	}
}

// apiName is the vendor's name of an old-host API: topapi/v2/user/get is
// dingtalk.oapi.v2.user.get.
func (c *call) apiName() string {
	path := strings.TrimPrefix(strings.TrimPrefix(c.r.URL.Path, "/topapi"), "/")
	return "dingtalk.oapi." + strings.ReplaceAll(path, "/", ".")
}
