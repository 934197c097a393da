package kingdeesim

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
)

// shortestSecret keeps words like "s" in a toy configuration from being found everywhere.
const shortestSecret = 6

// Leaks looks for what must never stand in a log: app secrets, passwords, links,
// session ids, user tokens and header signatures that this server has seen. It
// returns the kinds that it found, each once (K104).
func (s *Server) Leaks(text []byte) []string {
	found := []string{}
	look := func(kind, value string) {
		if len(value) >= shortestSecret && !slices.Contains(found, kind) && bytes.Contains(text, []byte(value)) {
			found = append(found, kind)
		}
	}
	for _, c := range s.centres {
		c.mu.RLock()
		for _, row := range c.rows {
			look("app-secret", row.Secret)
		}
		for _, u := range c.tables.Users {
			look("password", u.Password)
		}
		c.mu.RUnlock()
	}
	s.sessions.each(func(id, asp, token string) {
		look("session-id", id)
		look("session-id", asp)
		look("user-token", token)
	})
	for _, call := range s.Calls() {
		lookInCall(call, look)
	}
	slices.Sort(found)
	return found
}

func lookInCall(call Call, look func(kind, value string)) {
	look("header-signature", call.Header.Get("X-Kd-Signature"))
	raw, ok := rawParameter(call.Query, "ud")
	if !ok {
		return
	}
	look("link", raw)
	value, err := url.PathUnescape(raw)
	if err != nil {
		return
	}
	look("link", value)
	look("link", base64.StdEncoding.EncodeToString(payloadOf(value)))
	if l, err := parseUD(raw, "", false); err == nil {
		look("link-signature", l.sign)
	}
}

// postLeaks takes any text and says what it gives away.
func (s *Server) postLeaks(r *http.Request) (any, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return map[string][]string{"found": s.Leaks(text)}, nil
}
