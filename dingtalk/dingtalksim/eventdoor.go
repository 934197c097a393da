package dingtalksim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// eventDoor are the operations of the control door about events.
func (s *Server) eventDoor() map[string]controlFunc {
	return map[string]controlFunc{
		"GET /sim/events":             s.getEvents,
		"POST /sim/events":            s.postEvent,
		"DELETE /sim/events":          s.deleteEvents,
		"POST /sim/events/forge":      s.postForgery,
		"GET /sim/callback":           s.getCallbacks,
		"POST /sim/callback":          s.postCallback,
		"GET /sim/stream":             s.getStream,
		"POST /sim/stream/disconnect": s.postDisconnect,
	}
}

// wantsEvent says whether a change at the control door is to be told.
func wantsEvent(r *http.Request) bool {
	switch strings.ToLower(r.URL.Query().Get("event")) {
	case "", "0", "false", "no":
		return false
	}
	return true
}

// tellsEvents says whether a route of the control door knows ?event=1.
func tellsEvents(path string) bool {
	return strings.HasPrefix(path, "/sim/people") || strings.HasPrefix(path, "/sim/departments")
}

func (s *Server) getEvents(r *http.Request, _ []byte) (int, any, error) {
	return http.StatusOK, s.Events(r.URL.Query().Get("match")), nil
}

func (s *Server) deleteEvents(*http.Request, []byte) (int, any, error) {
	s.ForgetEvents()
	return http.StatusNoContent, nil, nil
}

// eventOrder is an event to be emitted: any type, any fields.
type eventOrder struct {
	Corp   string         `json:"corp"`
	AppKey string         `json:"app_key"` // forgeries only
	Kind   string         `json:"kind"`    // forgeries only
	Type   string         `json:"type"`
	Fields map[string]any `json:"fields"`
}

func (s *Server) postEvent(_ *http.Request, body []byte) (int, any, error) {
	var in eventOrder
	if err := json.Unmarshal(body, &in); err != nil {
		return 0, nil, err
	}
	id, err := s.Emit(in.Corp, in.Type, in.Fields)
	return http.StatusCreated, map[string]string{"id": id}, err
}

// postForgery answers with how the receiver refused; an empty text means that
// the forgery was taken in.
func (s *Server) postForgery(_ *http.Request, body []byte) (int, any, error) {
	in := eventOrder{Type: "bpms_instance_change"}
	if err := json.Unmarshal(body, &in); err != nil {
		return 0, nil, err
	}
	if in.AppKey == "" {
		in.AppKey = s.corps[0].apps[0].key
	}
	if s.callbacks.of(in.AppKey) == nil {
		return 0, nil, fmt.Errorf("callback of %q: %w", in.AppKey, ErrNotFound)
	}
	err := s.Forge(in.AppKey, in.Kind, in.Type, in.Fields)
	refused := ""
	if err != nil {
		refused = err.Error()
	}
	return http.StatusOK, map[string]string{"refused": refused}, nil
}

func (s *Server) getCallbacks(*http.Request, []byte) (int, any, error) {
	list := map[string]any{}
	for key := range s.apps {
		if sub := s.callbacks.of(key); sub != nil {
			list[key] = map[string]any{"url": sub.url, "owner": sub.keys.owner, "registered": sub.registered, "tags": sub.tags}
		}
	}
	return http.StatusOK, list, nil
}

// postCallback saves an address as the developer console does: {"app_key",
// "url", "token", "aes_key"}; an empty url removes it.
func (s *Server) postCallback(_ *http.Request, body []byte) (int, any, error) {
	var in struct {
		AppKey string `json:"app_key"`
		URL    string `json:"url"`
		Token  string `json:"token"`
		AESKey string `json:"aes_key"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return 0, nil, err
	}
	if in.AppKey == "" {
		in.AppKey = s.corps[0].apps[0].key
	}
	return http.StatusOK, map[string]string{"app_key": in.AppKey, "url": in.URL}, s.SaveCallback(in.AppKey, in.URL, in.Token, in.AESKey)
}

func (s *Server) getStream(r *http.Request, _ []byte) (int, any, error) {
	return http.StatusOK, s.StreamConnections(r.URL.Query().Get("app_key")), nil
}

// postDisconnect says goodbye to connections, or cuts them: {"app_key",
// "connection", "drop"}; without the first two it means all.
func (s *Server) postDisconnect(_ *http.Request, body []byte) (int, any, error) {
	var in struct {
		AppKey     string `json:"app_key"`
		Connection string `json:"connection"`
		Drop       bool   `json:"drop"`
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			return 0, nil, err
		}
	}
	return http.StatusOK, map[string]int{"connections": s.StreamDisconnect(in.AppKey, in.Connection, in.Drop)}, nil
}
