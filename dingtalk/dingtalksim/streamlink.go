package dingtalksim

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Types of frames (6.6).
const (
	frameSystem   = "SYSTEM"
	frameEvent    = "EVENT"
	frameCallback = "CALLBACK"
)

// pushTimeout is how long the gateway waits for an acknowledgement (SIM-D87).
const pushTimeout = 3 * time.Second

// redeliveries are the times after the first push at which an event without
// acknowledgement comes again (SIM-D87, assumed).
func redeliveries() []time.Duration {
	return []time.Duration{10 * time.Second, 30 * time.Second, 60 * time.Second}
}

// frameDown is a frame of the gateway. Every header is a text (SIM-D84).
type frameDown struct {
	SpecVersion string            `json:"specVersion"`
	Type        string            `json:"type"`
	Headers     map[string]string `json:"headers"`
	Data        string            `json:"data"`
}

// frameUp is an answer of the client.
type frameUp struct {
	Code    int               `json:"code"`
	Headers map[string]string `json:"headers"`
	Message string            `json:"message"`
	Data    json.RawMessage   `json:"data"`
}

// streamLink is one connection of the event gateway.
type streamLink struct {
	server  *Server
	app     *app
	topics  []topic
	id      string
	address string
	opened  time.Time
	wire    *stallConn

	mu      sync.Mutex
	conn    *websocket.Conn
	leaving bool
	waiting map[string]*outgoing // by messageId

	ready chan struct{} // closed once the socket is open
	once  sync.Once
	gone  chan struct{} // closed when the link is dropped
}

// outgoing is a frame that waits for its answer.
type outgoing struct {
	opaque string            // of a ping
	done   func(word string) // of an event or callback
}

// drop cuts the connection without a word.
func (l *streamLink) drop() {
	l.once.Do(func() { close(l.gone) })
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn != nil {
		_ = conn.CloseNow()
	}
}

// serve reads answers until the connection ends.
func (l *streamLink) serve(conn *websocket.Conn) {
	l.mu.Lock()
	l.conn = conn
	l.mu.Unlock()
	close(l.ready)
	defer l.drop()
	select {
	case <-l.gone: // dropped during the handshake, when there was no socket to cut
		_ = conn.CloseNow()
		return
	default:
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var pinger sync.WaitGroup
	defer pinger.Wait()
	defer cancel()
	pinger.Go(func() { l.ping(ctx) })
	for {
		_, raw, err := conn.Read(ctx)
		if err != nil {
			return
		}
		l.answered(raw)
	}
}

// answered finds the frame that an answer belongs to.
func (l *streamLink) answered(raw []byte) {
	var up frameUp
	if exact(raw, &up) != nil {
		return
	}
	var text string
	if json.Unmarshal(up.Data, &text) != nil {
		text = string(up.Data)
	}
	id := up.Headers["messageId"]
	l.mu.Lock()
	one := l.waiting[id]
	delete(l.waiting, id)
	l.mu.Unlock()
	if one == nil || one.done == nil {
		if one != nil && opaqueOf(text) != one.opaque { // SIM-D85: the same opaque
			l.drop()
		}
		return
	}
	var status struct {
		Status string `json:"status"`
	}
	_ = exact([]byte(text), &status)
	switch {
	case status.Status == "LATER": // with code 200 or 500 (SIM-D87)
		one.done(outcomeLater)
	case up.Code == 200:
		one.done(outcomeAcked)
	default:
		one.done("code " + strconv.Itoa(up.Code))
	}
}

func opaqueOf(data string) string {
	var in struct {
		Opaque string `json:"opaque"`
	}
	_ = exact([]byte(data), &in)
	return in.Opaque
}

// ping asks every StreamPing for a sign of life; a missing pong closes the
// connection (SIM-D85).
func (l *streamLink) ping(ctx context.Context) {
	s := l.server
	ticker := time.NewTicker(s.streamPing)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		switch f := s.faults.takeEvent("PING "+l.id, faultNoPing, faultStall); {
		case f != nil && f.Kind == faultStall:
			l.wire.dead.Store(true)
			return
		case f != nil:
			continue
		}
		opaque := s.rand.hex(8)
		id := l.send(frameSystem, "ping", nil, string(encode(map[string]string{"opaque": opaque})), &outgoing{opaque: opaque})
		pong := time.NewTimer(s.streamPong)
		select {
		case <-ctx.Done():
			pong.Stop()
			return
		case <-pong.C:
		}
		if l.expired(id) {
			l.drop()
			return
		}
	}
}

// expired takes a frame out of those that wait; false when it was answered.
func (l *streamLink) expired(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, waits := l.waiting[id]
	delete(l.waiting, id)
	return waits
}

// goodbye announces the end, without a messageId, and closes after ten seconds
// whether or not the client answers (SIM-D86).
func (l *streamLink) goodbye() {
	l.mu.Lock()
	l.leaving = true
	l.mu.Unlock()
	l.send(frameSystem, "disconnect", nil, `{"reason":"connection is expired"}`, nil)
	l.server.later(l.server.clock.now().Add(10*time.Second), l.drop)
}

// send writes one frame; wait, if not nil, gets the answer. It returns the
// messageId, empty when nothing could be written.
func (l *streamLink) send(kind, topic string, more map[string]string, data string, wait *outgoing) string {
	select { // a link is known from its handshake on
	case <-l.ready:
	case <-l.gone:
	}
	s, id := l.server, l.server.rand.hex(16)
	headers := map[string]string{
		"appId": l.app.key, "connectionId": l.id, "contentType": "application/json",
		"time": strconv.FormatInt(s.clock.now().UnixMilli(), 10), "topic": topic, "messageId": id,
	}
	if topic == "disconnect" {
		delete(headers, "messageId")
	}
	for name, value := range more {
		headers[name] = value
	}
	l.mu.Lock()
	conn := l.conn
	if wait != nil {
		l.waiting[id] = wait
	}
	l.mu.Unlock()
	if conn == nil {
		return id
	}
	ctx, cancel := context.WithTimeout(context.Background(), pushTimeout)
	defer cancel()
	if conn.Write(ctx, websocket.MessageText, encode(frameDown{"1.0", kind, headers, data})) != nil {
		l.drop()
	}
	return id
}

// streamOut pushes an event to one of the application's connections, chosen at
// random (SIM-D88), and again when it is not acknowledged.
func (s *Server) streamOut(a *app, o *occurrence, attempt int) {
	if o.settled(a.key) && attempt > 1 {
		return
	}
	started := s.clock.now()
	again := func() {
		if plan := redeliveries(); attempt <= len(plan) {
			gap := plan[attempt-1]
			if attempt > 1 {
				gap -= plan[attempt-2]
			}
			s.later(started.Add(gap), func() { s.streamOut(a, o, attempt+1) })
			return
		}
		o.settle(a.key, false)
	}
	l := s.pickLink(a.key)
	if l == nil {
		o.note(Delivery{App: a.key, Via: viaStream, Attempt: attempt, Time: started, Outcome: "no connection"})
		again()
		return
	}
	i := o.note(Delivery{App: a.key, Via: viaStream, Connection: l.id, Attempt: attempt, Time: started, Outcome: outcomeSent})
	finish := func(word string) {
		if !o.outcome(i, word, s.clock.now().Sub(started)) {
			return
		}
		if word == outcomeAcked {
			o.settle(a.key, true)
			return
		}
		again()
	}
	headers := map[string]string{
		"eventType": o.event.Type, "eventId": o.event.ID, "eventCorpId": o.event.Corp,
		"eventBornTime": strconv.FormatInt(o.event.Born.UnixMilli(), 10), "eventUnifiedAppId": digest("app", a.key)[:32],
	}
	id := l.send(frameEvent, "*", headers, string(encode(o.event.Fields)), &outgoing{done: finish})
	if f := s.faults.takeEvent("FRAME "+o.event.Type, faultDropAfter); f != nil {
		l.drop()
	}
	s.later(started.Add(pushTimeout), func() {
		if l.expired(id) {
			finish(outcomeTimeout)
		}
	})
}

// pickLink chooses one of the connections that take events.
func (s *Server) pickLink(app string) *streamLink {
	var able []*streamLink
	for _, l := range s.streams.all(app) {
		l.mu.Lock()
		ok := !l.leaving && slices.Contains(l.topics, topic{frameEvent, "*"})
		l.mu.Unlock()
		if ok {
			able = append(able, l)
		}
	}
	if len(able) == 0 {
		return nil
	}
	return able[int(s.rand.bytes(1)[0])%len(able)]
}

// StreamCallback sends a CALLBACK frame, such as a robot message, to one
// connection that has subscribed to the topic. It is sent once only; the reply
// is the outcome and done is called with it.
func (s *Server) StreamCallback(appKey, wanted, data string, done func(outcome string)) bool {
	for _, l := range s.streams.all(appKey) {
		for _, t := range l.topics {
			if t.Type == frameCallback && t.Topic == wanted {
				l.send(frameCallback, wanted, nil, data, &outgoing{done: done})
				return true
			}
		}
	}
	return false
}
