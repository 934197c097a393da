package kingdeesim

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// keptArrivals bounds the list of what the console sent.
const keptArrivals = 200

// Arrival is one request of the console's working parts as it reached the
// server, and what was wrong with it (K98, K99).
type Arrival struct {
	Part   string            `json:"part"` // the method of a page call, or progress, socket, upload, download
	Time   time.Time         `json:"time"` // on the simulated clock
	User   string            `json:"user"`
	Path   string            `json:"path"`
	Host   string            `json:"host"`
	Header http.Header       `json:"header"`
	Fields map[string]string `json:"fields,omitempty"`
	Body   string            `json:"body,omitempty"`
	Faults []string          `json:"faults"` // empty means that it came as it was sent
}

type arrivals struct {
	mu   sync.Mutex
	list []Arrival
}

func (a *arrivals) add(one Arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.list) >= keptArrivals {
		a.list = slices.Delete(a.list, 0, keptArrivals/2)
	}
	a.list = append(a.list, one)
}

// Arrived returns the latest requests of the console's working parts, oldest
// first.
func (s *Server) Arrived() []Arrival {
	s.arrived.mu.Lock()
	defer s.arrived.mu.Unlock()
	return slices.Clone(s.arrived.list)
}

// ForgetArrived empties that list.
func (s *Server) ForgetArrived() {
	s.arrived.mu.Lock()
	defer s.arrived.mu.Unlock()
	s.arrived.list = nil
}

// arrive notes one request.
func (s *Server) arrive(r *request, part string, fields url.Values, faults []string) {
	flat := map[string]string{}
	for name, values := range fields {
		flat[name] = values[len(values)-1]
	}
	s.arrived.add(Arrival{
		Part: part, Time: s.now(), User: r.user, Path: r.URL.Path, Host: r.Host, Header: r.Header.Clone(),
		Fields: flat, Body: string(r.body[:min(len(r.body), keptBody)]), Faults: listOrEmpty(faults),
	})
}
