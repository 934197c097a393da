package dingtalksim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"time"
)

// controlFunc is one operation of the control door: status, JSON answer, error.
type controlFunc func(r *http.Request, body []byte) (int, any, error)

// controlRoutes are the control door and the client's pages.
func (s *Server) controlRoutes() *http.ServeMux {
	m := http.NewServeMux()
	m.Handle("GET /{$}", http.RedirectHandler("/workbench", http.StatusFound))
	m.HandleFunc("GET /workbench", s.workbench)
	m.HandleFunc("GET /workbench/open", s.open)
	m.HandleFunc("POST /workbench/approvals", s.hand)
	m.HandleFunc("POST /workbench/approvals/{id}", s.decide)
	m.HandleFunc("GET /workbench/style.css", serveStyle)
	m.HandleFunc("GET /workbench/external", s.external)
	m.HandleFunc("GET /jsapi/dingtalk.open.js", s.script)
	m.HandleFunc("GET /jsapi/bridge", s.bridge)
	for _, door := range []map[string]controlFunc{s.controlDoor(), s.eventDoor(), s.approvalDoor(), s.yidaDoor(), s.messageDoor()} {
		for pattern, f := range door {
			m.HandleFunc(pattern, s.controlled(f))
		}
	}
	return m
}

func (s *Server) controlDoor() map[string]controlFunc {
	return map[string]controlFunc{
		"GET /sim/people":              s.getPeople,
		"POST /sim/people":             s.postPerson,
		"GET /sim/people/{userid}":     s.getPerson,
		"PATCH /sim/people/{userid}":   s.patchPerson,
		"DELETE /sim/people/{userid}":  s.deletePerson,
		"GET /sim/departments":         s.getDepartments,
		"POST /sim/departments":        s.postDepartment,
		"PATCH /sim/departments/{id}":  s.patchDepartment,
		"DELETE /sim/departments/{id}": s.deleteDepartment,
		"POST /sim/authcode":           s.postAuthCode,
		"POST /sim/oauthcode":          s.postOAuthCode,
		"GET /sim/faults":              s.getFaults,
		"POST /sim/faults":             s.postFault,
		"DELETE /sim/faults":           s.deleteFaults,
		"DELETE /sim/faults/{id}":      s.deleteFault,
		"GET /sim/clock":               s.getClock,
		"POST /sim/clock":              s.postClock,
		"GET /sim/calls":               s.getCalls,
		"DELETE /sim/calls":            s.deleteCalls,
		"GET /sim/switches":            s.getSwitches,
		"POST /sim/switches":           s.postSwitches,
		"GET /sim/apps":                s.getApps,
		"PATCH /sim/apps/{key}":        s.patchApp,
		"POST /sim/tokens/kill":        s.postKill,
		"POST /sim/ban":                s.postBan,
		"GET /sim/quota":               s.getQuota,
		"POST /sim/quota":              s.postQuota,
		"GET /sim/useragents":          getUserAgents,
	}
}

func (s *Server) getPeople(*http.Request, []byte) (int, any, error) {
	return http.StatusOK, s.People(), nil
}

func (s *Server) getFaults(*http.Request, []byte) (int, any, error) {
	return http.StatusOK, s.Faults(), nil
}

func (s *Server) deleteFaults(*http.Request, []byte) (int, any, error) {
	s.ClearFaults(0)
	return http.StatusNoContent, nil, nil
}

func (s *Server) getCalls(r *http.Request, _ []byte) (int, any, error) {
	return http.StatusOK, s.Calls(r.URL.Query().Get("match")), nil
}

func (s *Server) deleteCalls(*http.Request, []byte) (int, any, error) {
	s.ForgetCalls()
	return http.StatusNoContent, nil, nil
}

func getUserAgents(*http.Request, []byte) (int, any, error) {
	list := map[string]string{}
	for _, p := range append(platforms(), "mac") {
		list[p] = UserAgent(p)
	}
	return http.StatusOK, list, nil
}

// errNotSimulated refuses what is asked for but not there yet, rather than
// doing half of it in silence.
var errNotSimulated = errors.New("not yet simulated")

// controlled reads the body, runs f, and writes JSON.
func (s *Server) controlled(f controlFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var out any
		status := http.StatusBadRequest
		switch {
		case err != nil:
		case r.URL.Query().Has("event") && !tellsEvents(r.URL.Path):
			err = fmt.Errorf("event=%s: emitting events here is %w; leave the parameter out", r.URL.Query().Get("event"), errNotSimulated)
		default:
			status, out, err = f(r, body)
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err != nil {
			w.WriteHeader(statusOf(err))
			_, _ = w.Write(encode(map[string]string{"error": err.Error()}))
			return
		}
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			_, _ = w.Write(append(encode(out), '\n'))
		}
	}
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrExists):
		return http.StatusConflict
	case errors.Is(err, errNotSimulated):
		return http.StatusNotImplemented
	default:
		return http.StatusBadRequest
	}
}

// codeOrder asks for a code.
type codeOrder struct {
	UserID string `json:"userid"`
	Corp   string `json:"corp"`
	AppKey string `json:"app_key"`
	Scope  string `json:"scope"` // oauthcode only: "openid" leaves the corpId out
}

func (s *Server) postAuthCode(_ *http.Request, body []byte) (int, any, error) {
	var in codeOrder
	if err := json.Unmarshal(body, &in); err != nil {
		return 0, nil, err
	}
	code, err := s.AuthCode(in.UserID, in.Corp, in.AppKey)
	return http.StatusOK, map[string]string{"code": code}, err
}

func (s *Server) postOAuthCode(_ *http.Request, body []byte) (int, any, error) {
	var in codeOrder
	if err := json.Unmarshal(body, &in); err != nil {
		return 0, nil, err
	}
	code, err := s.OAuthCode(in.UserID, in.Corp, in.AppKey, in.Scope != "openid")
	return http.StatusOK, map[string]string{"code": code}, err
}

func (s *Server) postFault(_ *http.Request, body []byte) (int, any, error) {
	var f Fault
	if err := json.Unmarshal(body, &f); err != nil {
		return 0, nil, err
	}
	id, err := s.AddFault(f)
	return http.StatusCreated, map[string]int{"id": id}, err
}

func (s *Server) deleteFault(r *http.Request, _ []byte) (int, any, error) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil || id <= 0 {
		return 0, nil, fmt.Errorf("fault id %q: %w", r.PathValue("id"), ErrNotFound)
	}
	s.ClearFaults(id)
	return http.StatusNoContent, nil, nil
}

func (s *Server) getClock(*http.Request, []byte) (int, any, error) {
	skew := time.Duration(s.clock.skew.Load())
	return http.StatusOK, map[string]any{"now": s.clock.now(), "skew": skew.String(), "skew_seconds": skew.Seconds()}, nil
}

// postClock takes {"skew": …}, how far ahead of ours the clock runs, or
// {"advance": …}, how much further; seconds or a Go duration.
func (s *Server) postClock(r *http.Request, body []byte) (int, any, error) {
	in := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &in); err != nil {
		return 0, nil, err
	}
	for name, set := range map[string]func(time.Duration){"skew": s.SetClock, "advance": s.Advance} {
		if raw, ok := in[name]; ok {
			d, err := readDuration(raw)
			if err != nil {
				return 0, nil, fmt.Errorf("%s: %w", name, err)
			}
			set(d)
		}
		delete(in, name)
	}
	for name := range in {
		return 0, nil, fmt.Errorf("unknown member %q: want skew or advance", name)
	}
	return s.getClock(r, nil)
}

// readDuration reads seconds as a number or a Go duration as a text.
func readDuration(raw json.RawMessage) (time.Duration, error) {
	var seconds float64
	if json.Unmarshal(raw, &seconds) == nil {
		return time.Duration(seconds * float64(time.Second)), nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return 0, err
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return time.Duration(n * float64(time.Second)), nil
	}
	return time.ParseDuration(text)
}

func (s *Server) getSwitches(*http.Request, []byte) (int, any, error) {
	list, err := s.aboutSwitches()
	return http.StatusOK, list, err
}

func (s *Server) postSwitches(_ *http.Request, body []byte) (int, any, error) {
	if err := s.patchSwitches(body); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.Switches(), nil
}

func (s *Server) getApps(*http.Request, []byte) (int, any, error) {
	list := []any{}
	for _, c := range s.corps {
		for _, a := range c.apps {
			cfg := *a.load()
			cfg.Permissions = cfg.snapshot()
			list = append(list, struct {
				Corp string `json:"corp"`
				App
			}{c.id, cfg})
		}
	}
	return http.StatusOK, list, nil
}

// patchApp changes settings of an application: home_url, hosts, permissions,
// range, visible, allowed_ips, name, icon.
func (s *Server) patchApp(r *http.Request, body []byte) (int, any, error) {
	key := r.PathValue("key")
	a := s.apps[key]
	if a == nil {
		return 0, nil, fmt.Errorf("application %q: %w", key, ErrNotFound)
	}
	probe := App{}
	if err := json.Unmarshal(body, &probe); err != nil {
		return 0, nil, err
	}
	err := s.ChangeApp(key, func(next *App) {
		// Slices are replaced, not written into: others read the old ones.
		fresh := *next
		clearGiven(body, &fresh)
		_ = json.Unmarshal(body, &fresh)
		*next = fresh
	})
	return http.StatusOK, a.load(), err
}

// clearGiven empties the members that body will set, so that decoding into them
// does not reuse their memory.
func clearGiven(body []byte, a *App) {
	given := map[string]json.RawMessage{}
	_ = json.Unmarshal(body, &given)
	for name := range given {
		switch name {
		case "hosts":
			a.Hosts = nil
		case "permissions":
			a.Permissions = nil
		case "range":
			a.Range = nil
		case "visible":
			a.Visible = nil
		case "allowed_ips":
			a.AllowedIPs = nil
		}
	}
}

func (s *Server) postKill(_ *http.Request, body []byte) (int, any, error) {
	var in struct {
		AppKey string `json:"app_key"`
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			return 0, nil, err
		}
	}
	return http.StatusOK, map[string]int{"killed": s.KillTokens(in.AppKey)}, nil
}

// postBan bans an address on the spot: {"address": "127.0.0.1", "for": "5m"}.
// The caller's own address and five minutes are the default; "for": 0 lifts it.
func (s *Server) postBan(r *http.Request, body []byte) (int, any, error) {
	in := struct {
		Address string          `json:"address"`
		For     json.RawMessage `json:"for"`
	}{Address: callerIP(r)}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			return 0, nil, err
		}
	}
	d := banTime
	if in.For != nil {
		var err error
		if d, err = readDuration(in.For); err != nil {
			return 0, nil, fmt.Errorf("for: %w", err)
		}
	}
	s.Ban(in.Address, d)
	return http.StatusOK, map[string]string{"address": in.Address, "for": d.String()}, nil
}

func (s *Server) getQuota(*http.Request, []byte) (int, any, error) {
	used := map[string]int{}
	for _, c := range s.corps {
		used[c.id] = s.MonthUsed(c.id)
	}
	return http.StatusOK, map[string]any{"used": used, "limit": s.sw().MonthQuota}, nil
}

// postQuota sets the monthly counter of an organisation: {"corp": …, "used": n}.
func (s *Server) postQuota(r *http.Request, body []byte) (int, any, error) {
	in := struct {
		Corp string `json:"corp"`
		Used int    `json:"used"`
	}{Corp: s.corps[0].id}
	if err := json.Unmarshal(body, &in); err != nil {
		return 0, nil, err
	}
	if s.corpByID(in.Corp) == nil {
		return 0, nil, fmt.Errorf("organisation %q: %w", in.Corp, ErrNotFound)
	}
	s.SetMonthUsed(in.Corp, in.Used)
	return s.getQuota(r, nil)
}

func serveStyle(w http.ResponseWriter, _ *http.Request) {
	css, err := fs.ReadFile(assets, "assets/style.css")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(css)
}

// external is the system browser of openLink on PC (SIM-D46): the client door
// is shut, then the address is opened. Cookies of other sites stay with the
// browser that runs this page; a test that must not have them opens the address
// in a context of its own.
func (s *Server) external(w http.ResponseWriter, r *http.Request) {
	to := r.URL.Query().Get("url")
	if !isWebAddress(to) {
		http.Error(w, "dingtalksim: url must be an http or https address", http.StatusBadRequest)
		return
	}
	cl := s.client(r)
	cl.door = doorBrowser
	http.SetCookie(w, cl.cookie())
	w.Header().Set("Cache-Control", "no-store")
	w.Header()["Location"] = []string{to}
	w.WriteHeader(http.StatusFound)
}
