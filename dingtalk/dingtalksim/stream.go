package dingtalksim

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// streamTicketLife is how long a ticket of the event gateway lives (SIM-D83).
const streamTicketLife = 90 * time.Second

// streams are the tickets and connections of the event gateway.
type streams struct {
	mu      sync.Mutex
	tickets map[string]streamTicket
	links   []*streamLink
	apps    map[string]bool // applications that have opened the gateway once
}

// streamTicket is good for one connection.
type streamTicket struct {
	app    *app
	topics []topic
	dies   time.Time
}

// topic is one subscription of a client.
type topic struct {
	Type  string `json:"type"`
	Topic string `json:"topic"`
}

func (t *streams) known(app string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.apps[app]
}

// all lists the open connections of an application, or of every one.
func (t *streams) all(app string) []*streamLink {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*streamLink
	for _, l := range t.links {
		if app == "" || l.app.key == app {
			list = append(list, l)
		}
	}
	return list
}

func (t *streams) join(l *streamLink, most int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, other := range t.links {
		if other.app == l.app {
			n++
		}
	}
	if most >= 0 && n >= most {
		return false
	}
	t.links = append(t.links, l)
	return true
}

func (t *streams) leave(l *streamLink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.links = slices.DeleteFunc(t.links, func(other *streamLink) bool { return other == l })
}

// grant makes a ticket.
func (t *streams) grant(ticket string, one streamTicket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tickets == nil {
		t.tickets, t.apps = map[string]streamTicket{}, map[string]bool{}
	}
	t.tickets[ticket] = one
	if slices.ContainsFunc(one.topics, func(p topic) bool { return p.Type == frameEvent }) {
		t.apps[one.app.key] = true
	}
}

// redeem uses a ticket up; false for an unknown, used or old one.
func (t *streams) redeem(ticket string, now time.Time) (streamTicket, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok := t.tickets[ticket]
	delete(t.tickets, ticket)
	return one, ok && now.Before(one.dies)
}

// streamOpen is POST /v1.0/gateway/connections/open (6.6). It takes no token;
// without "Accept: application/json" the answer is XML (SIM-D81).
func (c *call) streamOpen() answer {
	a := c.s.apps[c.params.text("clientId")]
	if a == nil || a.load().Secret != c.params.text("clientSecret") {
		return c.fail(http.StatusUnauthorized, "authFailed", "鉴权失败") // SIM-D82
	}
	c.app = a
	if bad, ok := c.checkAddress(); !ok {
		return bad
	}
	if !c.s.quotas.second(c.s.sw().QPS, a.key, c.r.URL.Path, c.started) {
		return c.throttled()
	}
	var topics []topic
	if exact(c.params["subscriptions"], &topics) != nil || len(topics) == 0 {
		return c.badParam("subscriptions不能为空")
	}
	for _, t := range topics {
		if t.Type == "" || t.Topic == "" {
			return c.badParam("subscriptions不合法")
		}
		if t.Type == frameEvent && t.Topic != "*" {
			return c.badParam("EVENT只支持*")
		}
	}
	ticket := c.s.rand.uuid()
	c.s.streams.grant(ticket, streamTicket{a, topics, c.started.Add(streamTicketLife)})
	endpoint := "ws://" + c.r.Host + "/connect"
	if c.r.TLS != nil {
		endpoint = "wss://" + c.r.Host + "/connect"
	}
	if !strings.Contains(c.r.Header.Get("Accept"), "application/json") {
		return answer{
			status: http.StatusOK, ctype: "application/xml;charset=utf-8",
			body: []byte("<ConnectionsOpenResponse><endpoint>" + endpoint + "</endpoint><ticket>" + ticket + "</ticket></ConnectionsOpenResponse>"),
		}
	}
	return c.ok(struct {
		Endpoint string `json:"endpoint"`
		Ticket   string `json:"ticket"`
	}{endpoint, ticket})
}

// connect is the web socket of the event gateway. A ticket that is unknown,
// used or old is refused with 401 (SIM-D83), a connection too many with 429.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	switch f := s.faults.find("GET /connect", []string{faultStatus, faultReset}); {
	case f != nil && f.Kind == faultReset:
		reset(w)
		return
	case f != nil:
		http.Error(w, "fault", cmp.Or(f.Status, http.StatusInternalServerError))
		return
	}
	ticket, ok := s.streams.redeem(r.URL.Query().Get("ticket"), s.clock.now())
	if !ok {
		http.Error(w, "invalid ticket", http.StatusUnauthorized)
		return
	}
	l := &streamLink{
		server: s, app: ticket.app, topics: ticket.topics, id: s.rand.hex(8), opened: s.clock.now(),
		address: cmp.Or(callerIP(r), "-"), ready: make(chan struct{}), gone: make(chan struct{}), waiting: map[string]*outgoing{},
	}
	if !s.streams.join(l, s.sw().StreamLimit) {
		http.Error(w, "too many connections", http.StatusTooManyRequests)
		return
	}
	defer s.streams.leave(l)
	l.wire = &stallConn{gone: l.gone}
	conn, err := websocket.Accept(&stallable{w, l.wire}, r, nil)
	if err != nil {
		l.drop()
		return // Accept has answered
	}
	conn.SetReadLimit(maxBody)
	l.serve(conn)
}

// StreamConnection is one open connection (GET /sim/stream).
type StreamConnection struct {
	ID      string    `json:"id"`
	App     string    `json:"app"`
	Address string    `json:"address"`
	Opened  time.Time `json:"opened"`
	Leaving bool      `json:"leaving"`
	Waiting int       `json:"waiting"` // frames without an answer so far
}

// StreamConnections lists the open connections of an application, or of every
// one when appKey is empty.
func (s *Server) StreamConnections(appKey string) []StreamConnection {
	list := []StreamConnection{}
	for _, l := range s.streams.all(appKey) {
		l.mu.Lock()
		list = append(list, StreamConnection{l.id, l.app.key, l.address, l.opened, l.leaving, len(l.waiting)})
		l.mu.Unlock()
	}
	return list
}

// StreamDisconnect says goodbye to connections, as the vendor does before it
// closes one (SIM-D86); drop cuts them instead. Empty texts mean all.
func (s *Server) StreamDisconnect(appKey, connection string, drop bool) int {
	n := 0
	for _, l := range s.streams.all(appKey) {
		if connection != "" && l.id != connection {
			continue
		}
		n++
		if drop {
			l.drop()
			continue
		}
		l.goodbye()
	}
	return n
}
