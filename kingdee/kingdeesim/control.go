package kingdeesim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// controlDoor is what stands under /sim/: the same as the Go methods, as JSON.
func (s *Server) controlDoor() http.Handler {
	mux := http.NewServeMux()
	get := func(route string, answer func() any) {
		mux.HandleFunc("GET "+route, func(w http.ResponseWriter, _ *http.Request) { writeControl(w, http.StatusOK, answer()) })
	}
	do := func(route string, act func(*http.Request) (any, error)) {
		mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
			answer, err := act(r)
			if err != nil {
				writeControlError(w, err)
				return
			}
			writeControl(w, http.StatusOK, answer)
		})
	}
	get("/sim/calls", func() any { return listOrEmpty(s.Calls()) })
	get("/sim/arrived", func() any { return listOrEmpty(s.Arrived()) })
	get("/sim/log", func() any { return listOrEmpty(s.Log()) })
	get("/sim/users", func() any { return s.Users() })
	get("/sim/staff", func() any { return s.Staff() })
	get("/sim/sessions", func() any { return s.Sessions() })
	get("/sim/counters", func() any { return s.Counters() })
	get("/sim/faults", func() any { return s.Faults() })
	get("/sim/switches", func() any { return s.Switches() })
	get("/sim/clock", func() any { return s.clock() })
	do("DELETE /sim/calls", func(*http.Request) (any, error) { s.ForgetCalls(); return ok(), nil })
	do("DELETE /sim/arrived", func(*http.Request) (any, error) { s.ForgetArrived(); return ok(), nil })
	do("POST /sim/notices", s.postNotice)
	do("DELETE /sim/faults", func(*http.Request) (any, error) { s.ClearFaults(); return ok(), nil })
	do("POST /sim/restart", func(*http.Request) (any, error) { s.Restart(); return ok(), nil })
	do("POST /sim/leaks", s.postLeaks)
	do("POST /sim/faults", s.postFault)
	do("POST /sim/clock", s.postClock)
	do("POST /sim/switches", s.postSwitches)
	do("POST /sim/staff", s.postStaff)
	do("PATCH /sim/users/{name}", s.patchUser)
	do("PATCH /sim/staff/{number}", s.patchStaff)
	do("PATCH /sim/rows/{appid...}", s.patchRow)
	do("PATCH /sim/datacentres/{id}", s.patchCentre)
	s.bookRoutes(mux, do)
	return mux
}

func ok() any { return map[string]bool{"ok": true} }

func listOrEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func writeControl(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(value) // the caller may have gone
}

func writeControlError(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	if errors.Is(err, ErrUnknown) {
		status = http.StatusNotFound
	}
	writeControl(w, status, map[string]string{"error": err.Error()})
}

// readControl reads a JSON body and refuses names it does not know, so that a
// mistyped setting is not silently without effect.
func readControl(r *http.Request, into any) error {
	dec := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("kingdeesim: body: %w", err)
	}
	return nil
}

func (s *Server) postFault(r *http.Request) (any, error) {
	var f Fault
	if err := readControl(r, &f); err != nil {
		return nil, err
	}
	if err := s.AddFault(f); err != nil {
		return nil, err
	}
	return s.Faults(), nil
}

// postNotice rings in the sessions of one user, or of everybody.
func (s *Server) postNotice(r *http.Request) (any, error) {
	var body struct {
		User string `json:"user"`
		Text string `json:"text"`
	}
	if err := readControl(r, &body); err != nil {
		return nil, err
	}
	return map[string]int{"sessions": s.Notify(body.User, body.Text)}, nil
}

// clockState is the simulated clock.
type clockState struct {
	Now  time.Time `json:"now"`
	Skew string    `json:"skew"`
}

func (s *Server) clock() clockState {
	return clockState{s.now(), time.Duration(s.skew.Load()).String()}
}

// postClock takes the skew as a duration ("-90m") or as seconds.
func (s *Server) postClock(r *http.Request) (any, error) {
	var body struct {
		Skew json.RawMessage `json:"skew"`
	}
	if err := readControl(r, &body); err != nil {
		return nil, err
	}
	text := strings.Trim(string(body.Skew), `"`)
	skew, err := time.ParseDuration(text)
	if err != nil {
		seconds, parseErr := strconv.ParseFloat(text, 64)
		if parseErr != nil {
			return nil, fmt.Errorf("kingdeesim: skew: %w", err)
		}
		skew = time.Duration(seconds * float64(time.Second))
	}
	s.SetSkew(skew)
	return s.clock(), nil
}

// postSwitches changes the switches that the body names and keeps the others.
func (s *Server) postSwitches(r *http.Request) (any, error) {
	next := s.Switches()
	if err := readControl(r, &next); err != nil {
		return nil, err
	}
	if next.LimitMode != "" && next.LimitMode != "cut" && next.LimitMode != "ceiling2000" {
		return nil, fmt.Errorf("kingdeesim: limitMode %q is neither empty, cut nor ceiling2000", next.LimitMode)
	}
	s.SetSwitches(next)
	return next, nil
}

func (s *Server) postStaff(r *http.Request) (any, error) {
	var e Employee
	if err := readControl(r, &e); err != nil {
		return nil, err
	}
	if err := s.Hire(r.URL.Query().Get("dc"), e); err != nil {
		return nil, err
	}
	return ok(), nil
}

func (s *Server) patchUser(r *http.Request) (any, error) {
	var p UserPatch
	if err := readControl(r, &p); err != nil {
		return nil, err
	}
	return ok(), s.PatchUser(r.URL.Query().Get("dc"), r.PathValue("name"), p)
}

func (s *Server) patchStaff(r *http.Request) (any, error) {
	var p StaffPatch
	if err := readControl(r, &p); err != nil {
		return nil, err
	}
	return ok(), s.PatchStaff(r.URL.Query().Get("dc"), r.PathValue("number"), p)
}

// patchRow takes an app id with slashes in it, because real ones have them.
func (s *Server) patchRow(r *http.Request) (any, error) {
	var p RowPatch
	if err := readControl(r, &p); err != nil {
		return nil, err
	}
	return ok(), s.PatchRow(r.URL.Query().Get("dc"), r.PathValue("appid"), p)
}

func (s *Server) patchCentre(r *http.Request) (any, error) {
	var body struct {
		Hash   *string `json:"hash"`
		Closed *string `json:"closedThrough"` // the last closed period, 2026-01
	}
	if err := readControl(r, &body); err != nil {
		return nil, err
	}
	if body.Closed != nil {
		if err := s.ClosePeriods(r.PathValue("id"), *body.Closed); err != nil || body.Hash == nil {
			return ok(), err
		}
	}
	if body.Hash == nil {
		body.Hash = new(string)
	}
	return ok(), s.SetHash(r.PathValue("id"), *body.Hash)
}
