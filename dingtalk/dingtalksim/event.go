package dingtalksim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Event is one event with everything that became of it (GET /sim/events).
type Event struct {
	ID     string         `json:"id"`
	Corp   string         `json:"corp"`
	Type   string         `json:"type"`
	Born   time.Time      `json:"born"` // on the vendor's clock
	Fields map[string]any `json:"fields"`
	// Fault is the kind of the event fault it met.
	Fault      string     `json:"fault,omitempty"`
	State      string     `json:"state"`
	Deliveries []Delivery `json:"deliveries"`
}

// States of an Event. With several applications the least settled one counts.
const (
	StatePending      = "pending"      // to be delivered, or again
	StateAcknowledged = "acknowledged" // every application has taken it
	StateFailed       = "failed"       // given up; over HTTP it is in the failed-event list
	StateLost         = "lost"         // never sent: a fault, the quota, or nobody listens
)

// Delivery is one attempt to bring an event to an application.
type Delivery struct {
	App        string    `json:"app"`
	Via        string    `json:"via"` // callback or stream
	Connection string    `json:"connection,omitempty"`
	Attempt    int       `json:"attempt"`
	Time       time.Time `json:"time"`
	Took       string    `json:"took,omitempty"`
	Outcome    string    `json:"outcome"` // acknowledged, later, timeout, or what was wrong
}

const (
	outcomeAcked   = "acknowledged"
	outcomeLater   = "later"
	outcomeTimeout = "timeout"
	outcomeSent    = "sent"
)

// keepEvents bounds the record of events.
const keepEvents = 5000

// events is the record of what was emitted, oldest first.
type events struct {
	mu   sync.Mutex
	list []*occurrence
	held map[string]func() // per organisation: an event that waits to be overtaken
}

// occurrence is an event on its way to the applications.
type occurrence struct {
	mu    sync.Mutex
	event Event
	open  map[string]bool // application key: not settled yet
	bad   bool            // some application will never have it
}

func (o *occurrence) note(d Delivery) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.event.Deliveries = append(o.event.Deliveries, d)
	return len(o.event.Deliveries) - 1
}

// outcome settles one attempt; only the first word counts.
func (o *occurrence) outcome(i int, word string, took time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := &o.event.Deliveries[i]
	if d.Outcome != outcomeSent {
		return false
	}
	d.Outcome, d.Took = word, took.String()
	return true
}

// settle says that an application has the event, or will never have it.
func (o *occurrence) settle(app string, taken bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open[app] {
		return
	}
	delete(o.open, app)
	o.bad = o.bad || !taken
	switch {
	case len(o.open) > 0:
	case o.bad:
		o.event.State = StateFailed
	default:
		o.event.State = StateAcknowledged
	}
}

func (o *occurrence) settled(app string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.open[app]
}

func (o *occurrence) copied() Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.event
	e.Deliveries = slices.Clone(e.Deliveries)
	return e
}

// Emit tells every application of an organisation that has an event channel
// that something happened; corp empty means the first organisation. fields are
// the business fields in their current spelling (reference 6.5). It returns the
// event's id without waiting for anybody.
func (s *Server) Emit(corp, kind string, fields map[string]any) (string, error) {
	c, err := s.corpNamed(corp)
	if err != nil {
		return "", err
	}
	if kind == "" {
		return "", fmt.Errorf("dingtalksim: event type: %w", ErrInvalid)
	}
	o := &occurrence{open: map[string]bool{}, event: Event{
		ID: s.rand.hex(16), Corp: c.id, Type: kind, Born: s.clock.now(), Fields: maps.Clone(fields), State: StatePending,
	}}
	if o.event.Fields == nil {
		o.event.Fields = map[string]any{}
	}
	for _, a := range c.apps {
		if s.channelOf(a) != "" {
			o.open[a.key] = true
		}
	}
	fault, delay := s.eventFault(kind)
	o.event.Fault = fault
	if len(o.open) == 0 || fault == faultLose || !s.countEvent(c, kind) {
		o.event.State = StateLost
	}
	lost := o.event.State == StateLost
	s.events.keep(o)
	if !lost {
		s.dispatch(c, o, fault, delay)
	}
	return o.event.ID, nil
}

func (e *events) keep(o *occurrence) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.list = append(e.list, o); len(e.list) > keepEvents {
		e.list = slices.Delete(e.list, 0, len(e.list)-keepEvents)
	}
}

// dispatch sends an event on its way, spoiled as the fault says (SIM-D76).
func (s *Server) dispatch(c *corp, o *occurrence, fault string, delay time.Duration) {
	send := func() { s.deliverAll(c, o) }
	switch fault {
	case faultTwice:
		send()
	case faultLate:
		s.later(s.clock.now().Add(delay), send)
		return
	case faultReorder:
		s.hold(c.id, send)
		return
	case faultDropSocket:
		for _, a := range c.apps {
			for _, l := range s.streams.all(a.key) {
				l.drop()
			}
		}
	}
	send()
	s.release(c.id)
}

// hold keeps an event back until another one has passed it, for 30 seconds at
// most.
func (s *Server) hold(corp string, send func()) {
	var once sync.Once
	held := func() { once.Do(send) }
	s.release(corp) // one waits at a time
	s.events.mu.Lock()
	if s.events.held == nil {
		s.events.held = map[string]func(){}
	}
	s.events.held[corp] = held
	s.events.mu.Unlock()
	s.later(s.clock.now().Add(30*time.Second), held)
}

func (s *Server) release(corp string) {
	s.events.mu.Lock()
	held := s.events.held[corp]
	delete(s.events.held, corp)
	s.events.mu.Unlock()
	if held != nil {
		held()
	}
}

func (s *Server) deliverAll(c *corp, o *occurrence) {
	for _, a := range c.apps {
		o.mu.Lock()
		wanted := o.open[a.key]
		o.mu.Unlock()
		if !wanted {
			continue
		}
		if s.channelOf(a) == viaCallback {
			s.later(s.clock.now(), func() { s.push(a, o, 1) })
			continue
		}
		s.later(s.clock.now(), func() { s.streamOut(a, o, 1) })
	}
}

const (
	viaCallback = "callback"
	viaStream   = "stream"
)

// channelOf says how an application gets its events: by the callback address it
// has saved or registered, else over Stream once it has opened a connection.
func (s *Server) channelOf(a *app) string {
	switch {
	case s.callbacks.of(a.key) != nil:
		return viaCallback
	case s.streams.known(a.key):
		return viaStream
	}
	return ""
}

// countEvent counts against the organisation's event quota; the address book's
// events are free (SIM-D111).
func (s *Server) countEvent(c *corp, kind string) bool {
	for _, free := range []string{"user_", "org_", "label_"} {
		if strings.HasPrefix(kind, free) {
			return true
		}
	}
	return s.eventQuota.month(s.sw().EventQuota, c.id, s.clock.now())
}

// Events lists what was emitted, newest last; match is a substring of the type.
func (s *Server) Events(match string) []Event {
	s.events.mu.Lock()
	list := slices.Clone(s.events.list)
	s.events.mu.Unlock()
	out := []Event{}
	for _, o := range list {
		if e := o.copied(); strings.Contains(e.Type, match) {
			out = append(out, e)
		}
	}
	return out
}

// ForgetEvents empties the record; what is on its way goes on.
func (s *Server) ForgetEvents() {
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	s.events.list = nil
}

// message is the event as the HTTP callback carries it, in the current form or
// the older one (SIM-D77).
func (e *Event) message(legacy bool) []byte {
	m := map[string]any{"EventType": e.Type, "CorpId": e.Corp}
	ms := e.Born.UnixMilli()
	approval := strings.HasPrefix(e.Type, "bpms_")
	if legacy {
		for name, value := range e.Fields {
			if !approval {
				name = strings.ToUpper(name[:1]) + name[1:]
			}
			m[name] = value
		}
		if approval {
			delete(m, "CorpId")
			m["corpId"] = e.Corp
		}
		m["TimeStamp"] = strconv.FormatInt(ms, 10)
		return encode(m)
	}
	maps.Copy(m, e.Fields)
	m["EventTime"], m["BizId"], m["eventId"] = ms, cmp.Or(fieldText(e.Fields["bizId"]), e.ID[:8]), e.ID
	return encode(m)
}

func fieldText(v any) string {
	s, _ := v.(string)
	return s
}
