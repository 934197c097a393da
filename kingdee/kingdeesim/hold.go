package kingdeesim

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Where a hold fault keeps a call (R30).
const (
	HoldHeaders  = "headers"  // the request's headers have come, nothing was read or done
	HoldExecuted = "executed" // it was done, nothing was answered; also the meaning of ""
	HoldReply    = "reply"    // half of the answer has left
	HoldAfter    = "after"    // the whole answer has left; the call stands among the held ones, its connection is free
)

// HeldCall is a call that the simulator keeps until it is released, so that a
// test can kill the caller at exactly this point.
type HeldCall struct {
	ID    int       `json:"id"`
	Route string    `json:"route"`
	At    string    `json:"at"`
	Since time.Time `json:"since"` // on the simulated clock
}

// held are the calls that are kept.
type held struct {
	mu    sync.Mutex
	next  int
	calls []*heldCall
	came  chan struct{} // closed and renewed when a call comes to be kept
}

type heldCall struct {
	HeldCall
	free chan bool // one value: true goes on, false abandons the call
	over bool      // nobody waits for it: it was answered
}

func newHeld() *held { return &held{came: make(chan struct{})} }

// arrest puts a call among the held ones.
func (s *Server) arrest(r *http.Request, at string) *heldCall {
	h := s.held
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	call := &heldCall{HeldCall{h.next, r.Method + " " + r.URL.Path, at, s.now()}, make(chan bool, 1), at == HoldAfter}
	h.calls = append(h.calls, call)
	close(h.came)
	h.came = make(chan struct{})
	return call
}

// keep holds the calling goroutine until the call is released, the caller goes
// away or the server closes. It tells whether the call goes on.
func (s *Server) keep(r *http.Request, at string) bool {
	call := s.arrest(r, at)
	defer func() {
		s.held.mu.Lock()
		defer s.held.mu.Unlock()
		s.held.calls = slices.DeleteFunc(s.held.calls, func(c *heldCall) bool { return c == call })
	}()
	select {
	case goOn := <-call.free:
		return goOn
	case <-r.Context().Done():
		return false
	case <-s.done:
		return false
	}
}

// Held returns the calls that are kept, oldest first.
func (s *Server) Held() []HeldCall {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	out := make([]HeldCall, 0, len(s.held.calls))
	for _, c := range s.held.calls {
		out = append(out, c.HeldCall)
	}
	return out
}

// AwaitHeld waits until a call is kept and returns the oldest.
func (s *Server) AwaitHeld(ctx context.Context) (HeldCall, error) {
	for {
		s.held.mu.Lock()
		came := s.held.came
		if len(s.held.calls) > 0 {
			first := s.held.calls[0].HeldCall
			s.held.mu.Unlock()
			return first, nil
		}
		s.held.mu.Unlock()
		select {
		case <-came:
		case <-ctx.Done():
			return HeldCall{}, fmt.Errorf("kingdeesim: no call is held: %w", ctx.Err())
		}
	}
}

// Release lets a kept call go on, or abandons it: an abandoned call is not done
// if it was kept at its headers, and its connection is cut. An id of 0 means every
// call. It says how many were released.
func (s *Server) Release(id int, abandon bool) int {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	n := 0
	for _, c := range s.held.calls {
		if id != 0 && c.ID != id {
			continue
		}
		select {
		case c.free <- !abandon:
			n++
		default: // released already
		}
	}
	s.held.calls = slices.DeleteFunc(s.held.calls, func(c *heldCall) bool { return c.over && len(c.free) > 0 })
	return n
}

// serveHeld answers a call that is kept on its way. Over a call kept at its
// headers nothing was read yet.
func (s *Server) serveHeld(w http.ResponseWriter, r *request, at string) {
	if at == HoldHeaders {
		if !s.keep(r.Request, at) {
			reset(w)
			return
		}
		body, err := readBody(w, r.Request)
		if err != nil {
			return // the caller has gone meanwhile
		}
		r.body = body
		s.serveVendor(w, r)
		return
	}
	good := &heldAnswer{header: http.Header{}, status: http.StatusOK}
	s.serveVendor(good, r)
	body := good.body.Bytes()
	sendHead := func() {
		for name, values := range good.header {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(good.status)
	}
	flush := func(part []byte) {
		_, _ = w.Write(part)                      // the caller may have gone
		_ = http.NewResponseController(w).Flush() // as above
	}
	switch at {
	case HoldReply:
		sendHead()
		flush(body[:len(body)/2])
		if s.keep(r.Request, at) {
			flush(body[len(body)/2:])
		}
	case HoldAfter:
		sendHead()
		flush(body)
		s.arrest(r.Request, at)
	default:
		if !s.keep(r.Request, at) {
			reset(w)
			return
		}
		sendHead()
		flush(body)
	}
}

func holdPoints() []string { return []string{HoldHeaders, HoldExecuted, HoldReply, HoldAfter} }

// normalise takes the spellings of the DingTalk simulator too.
func (f *Fault) normalise() error {
	if f.DelayMS > 0 && f.Delay == "" {
		f.Delay = (time.Duration(f.DelayMS) * time.Millisecond).String()
	}
	if f.ErrCode != 0 && f.Code == 0 {
		f.Code = f.ErrCode
	}
	f.DelayMS, f.ErrCode = 0, 0
	if f.Kind == FaultHold {
		f.At = orElse(f.At, HoldExecuted)
	}
	if f.At != "" && !slices.Contains(holdPoints(), f.At) {
		return fmt.Errorf("kingdeesim: at %q is none of %s", f.At, strings.Join(holdPoints(), ", "))
	}
	return nil
}

// loseSession ends the caller's session before the call is looked at.
func (s *Server) loseSession(r *request) {
	if current, ok := s.sessionOf(r); ok {
		s.sessions.close(current.id, s.now())
	}
}
