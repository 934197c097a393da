package kingdeesim

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// keptBody bounds how much of a body the call log keeps.
const keptBody = 64 << 10

// Call is one received vendor call (K104).
type Call struct {
	Route  string      `json:"route"` // "METHOD /path", what a fault's match is looked for in
	Caller string      `json:"caller"`
	User   string      `json:"user,omitempty"`
	Time   time.Time   `json:"time"` // on the simulated clock
	Status int         `json:"status"`
	Size   int         `json:"size"` // of the answer, in bytes
	Query  string      `json:"query,omitempty"`
	Header http.Header `json:"header"`
	Body   string      `json:"body,omitempty"`
}

func callOf(r *request, out *recorder, at time.Time) Call {
	return Call{
		Route: r.Method + " " + r.URL.Path, Caller: address(r.Request), User: r.user, Time: at, Status: out.status, Size: out.size,
		Query: r.URL.RawQuery, Header: r.Header, Body: string(r.body[:min(len(r.body), keptBody)]),
	}
}

// callLog keeps the latest calls in a ring.
type callLog struct {
	mu   sync.Mutex
	ring []Call
	next int
	keep int
}

func newCallLog(keep int) *callLog { return &callLog{keep: keep} }

func (l *callLog) add(c Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < l.keep {
		l.ring = append(l.ring, c)
		return
	}
	l.ring[l.next] = c
	l.next = (l.next + 1) % l.keep
}

func (l *callLog) list() []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(slices.Clone(l.ring[l.next:]), l.ring[:l.next]...)
}

func (l *callLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring, l.next = nil, 0
}

// Calls returns the received vendor calls, oldest first.
func (s *Server) Calls() []Call { return s.calls.list() }

// ForgetCalls empties the call log.
func (s *Server) ForgetCalls() { s.calls.forget() }

// LogEntry is one line of Kingdee's own log: what a login or a link came to.
type LogEntry struct {
	Time       time.Time `json:"time"`
	Kind       string    `json:"kind"`             // login, link, header, logout, session, landing, restart
	Reason     string    `json:"reason,omitempty"` // "" means success
	Text       string    `json:"text,omitempty"`   // as the vendor's log would word it
	DataCentre string    `json:"dataCentre,omitempty"`
	User       string    `json:"user,omitempty"`
	AppID      string    `json:"appId,omitempty"`
	Caller     string    `json:"caller,omitempty"`
}

// keptEvents bounds the log view.
const keptEvents = 5000

type eventLog struct {
	mu   sync.Mutex
	ring []LogEntry
	next int
}

func (l *eventLog) add(e LogEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < keptEvents {
		l.ring = append(l.ring, e)
		return
	}
	l.ring[l.next] = e
	l.next = (l.next + 1) % keptEvents
}

// Log returns Kingdee's own log, oldest first. It alone knows why a link or a
// login was refused.
func (s *Server) Log() []LogEntry {
	l := s.events
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(slices.Clone(l.ring[l.next:]), l.ring[:l.next]...)
}

// note writes one line of that log.
func (s *Server) note(kind string, no *refusal, c claim) {
	entry := LogEntry{Time: s.now(), Kind: kind, DataCentre: c.centreID, User: c.user, AppID: c.appID, Caller: c.address}
	if no != nil {
		entry.Reason, entry.Text = no.reason, no.text
		s.logger.Info("refused", "kind", kind, "reason", no.reason, "user", c.user, "data_centre", c.centreID)
	}
	s.events.add(entry)
}
