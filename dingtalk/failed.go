package dingtalk

import (
	"bytes"
	"context"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
)

var (
	opFailed = operation{
		name: "failedevents", host: oldHost, path: "/call_back/get_call_back_failed_result", get: true, quota: true, class: ClassDirectory,
	}
	opRegister = operation{name: "callbackregister", host: oldHost, path: "/call_back/register_call_back", quota: true, single: true}
	opUpdate   = operation{name: "callbackupdate", host: oldHost, path: "/call_back/update_call_back", quota: true, single: true}
	opCallback = operation{name: "callbackget", host: oldHost, path: "/call_back/get_call_back", get: true, quota: true}
	opDelete   = operation{name: "callbackdelete", host: oldHost, path: "/call_back/delete_call_back", get: true, quota: true, single: true}
)

// FailedEvents picks up events whose delivery by HTTP callback failed, 200 at
// most; more says that others wait (reference 6.4). DingTalk may forget what it
// has told once, and may tell it again: the caller keeps the events where a
// crash cannot lose them before it asks for the next, and finds the repeated
// ones by Event.Key. An element that cannot be read is an event without a type,
// so that it is not lost in silence. The call costs monthly quota.
func (c *Client) FailedEvents(ctx context.Context) (events []Event, more bool, err error) {
	ctx, cancel, err := c.begin(ctx, opFailed)
	if err != nil {
		return nil, false, err
	}
	defer cancel()
	var out struct {
		HasMore flag                    `json:"has_more"`
		List    *listOf[jsontext.Value] `json:"failed_list"`
	}
	if err := c.do(ctx, call{op: opFailed, out: &out, admitted: true}); err != nil {
		return nil, false, err
	}
	if out.List == nil {
		return nil, false, c.nonsense(opFailed, "failed_list")
	}
	for _, raw := range *out.List {
		e, _ := failedEvent(raw)
		if e.Corp != "" && e.Corp != c.cfg.Corp {
			continue // another organisation's event is nobody's here
		}
		e.Corp = c.cfg.Corp
		events = append(events, e)
	}
	return events, bool(out.HasMore), nil
}

// failedEvent reads one element: the key that the tag names holds the fields,
// either directly or one level further down, where families of events differ.
func failedEvent(raw jsontext.Value) (Event, bool) {
	e := Event{Via: ViaFailed, Raw: bytes.Clone(raw)}
	outer, ok := readFields(raw)
	if !ok {
		return e.finished(), false
	}
	e.Type = outer.first("call_back_tag")
	e.At = outer.time("event_time")
	inner, ok := readFields(outer[strings.ToLower(e.Type)])
	if ok {
		for _, name := range []string{"bpmscallbackdata", "rolelabelchange", "callbackdata"} {
			if deeper, ok := readFields(unwrapText(inner[name])); ok {
				e.fill(deeper)
			}
		}
		e.fill(inner)
	}
	return e.finished(), e.Type != ""
}

// unwrapText gives the JSON inside a text, or the value itself.
func unwrapText(v jsontext.Value) jsontext.Value {
	var inner string
	if v.Kind() == '"' && json.Unmarshal(v, &inner) == nil {
		return jsontext.Value(inner)
	}
	return v
}

// Registration is an event callback registered by the old API. Its frames carry
// the corpId as owner key (reference 6.2).
type Registration struct {
	URL    string
	Events []string
	Token  identity.Secret
	AESKey identity.Secret
}

func (r Registration) body() map[string]any {
	return map[string]any{
		"call_back_tag": r.Events, "token": r.Token.Reveal(), "aes_key": r.AESKey.Reveal(), "url": r.URL,
	}
}

// RegisterCallback registers a callback address by the old API. DingTalk tries
// the address before it answers.
func (c *Client) RegisterCallback(ctx context.Context, r Registration) error {
	return c.ask(ctx, opRegister, r.body(), nil)
}

// UpdateCallback replaces what RegisterCallback has registered.
func (c *Client) UpdateCallback(ctx context.Context, r Registration) error {
	return c.ask(ctx, opUpdate, r.body(), nil)
}

// RegisteredCallback reads what is registered, without its secrets. Kind
// NotFound: nothing is.
func (c *Client) RegisteredCallback(ctx context.Context) (Registration, error) {
	var out struct {
		URL    string         `json:"url"`
		Events listOf[string] `json:"call_back_tag"`
	}
	if err := c.ask(ctx, opCallback, nil, &out); err != nil {
		return Registration{}, err
	}
	return Registration{URL: out.URL, Events: out.Events}, nil
}

// DeleteCallback takes the registration back.
func (c *Client) DeleteCallback(ctx context.Context) error { return c.ask(ctx, opDelete, nil, nil) }
