package dingtalk

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// link is one web socket of a stream.
//
//	reading ──disconnect──► leaving (still reading) ──closed, Linger──► over
//	   └──────────────closed, no pong, shutdown──────────────────────────┘
type link struct {
	stream *Stream
	conn   *websocket.Conn
	handle EventHandler
	queue  chan struct{} // one for each event taken and not answered
	slots  chan struct{} // one for each event in the handler
	// leaving is closed when the stream should open another connection.
	leaving chan struct{}
	leave   sync.Once
	events  sync.WaitGroup

	mu  sync.Mutex
	err error
}

func newLink(s *Stream, conn *websocket.Conn, handle EventHandler) *link {
	return &link{
		stream: s, conn: conn, handle: handle, leaving: make(chan struct{}),
		queue: make(chan struct{}, s.cfg.Queue), slots: make(chan struct{}, s.cfg.Workers),
	}
}

var (
	errSaidGoodbye = errors.New("dingtalk: the event gateway closes this connection")
	errSilent      = errors.New("dingtalk: the event gateway does not answer a ping")
)

// over keeps the first reason for which the link ends and lets go of it.
func (l *link) over(err error) {
	l.mu.Lock()
	if l.err == nil {
		l.err = err
	}
	l.mu.Unlock()
	l.leave.Do(func() { close(l.leaving) })
}

func (l *link) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// serve reads until the connection ends. It returns when all goroutines of the
// link have ended and every event taken has been answered as far as possible.
func (l *link) serve(ctx context.Context) {
	s := l.stream
	now := s.client.now()
	s.note(func(st *StreamStatus) {
		if st.Connections == 0 {
			st.Since = now
		}
		st.Connections++
		st.Opened++
		st.Failures, st.LastError = 0, nil
	})
	defer s.note(func(st *StreamStatus) { st.Connections-- })
	// The socket outlives the end of the context by as long as events that the
	// handler has begun need for their answer.
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	var aides sync.WaitGroup
	aides.Go(func() { l.watch(ctx, alive) })
	aides.Go(func() { l.keepAlive(alive) })
	for {
		_, raw, err := l.conn.Read(alive)
		if err != nil {
			l.over(lostConnection(err))
			break
		}
		s.note(func(st *StreamStatus) { st.LastFrame = s.client.now() })
		if ctx.Err() == nil { // what comes later is DingTalk's to deliver again
			l.take(alive, raw)
		}
	}
	l.events.Wait()
	stop()
	aides.Wait()
	_ = l.conn.CloseNow() // closed already, unless the peer is gone
}

// lostConnection drops the library's text, which is long and says little.
func lostConnection(err error) error {
	if code := websocket.CloseStatus(err); code != -1 {
		return &closedError{code}
	}
	return &closedError{}
}

// closedError is a connection that ended.
type closedError struct{ code websocket.StatusCode }

// Error names the close code if there was one.
func (e *closedError) Error() string {
	if e.code != 0 {
		return "dingtalk: the event gateway closed the connection: " + e.code.String()
	}
	return "dingtalk: the connection to the event gateway is lost"
}

// watch closes the socket when the program ends, or some time after the vendor
// has said goodbye and not done so itself.
func (l *link) watch(ctx, alive context.Context) {
	select {
	case <-ctx.Done():
	case <-alive.Done():
		return
	case <-l.leaving:
		timer := time.NewTimer(l.stream.cfg.Linger)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-alive.Done():
			return
		}
	}
	l.drain()
	_ = l.conn.Close(websocket.StatusNormalClosure, "")
}

// drain waits for the events taken, each of them bounded by AckWithin, and lets
// no other begin: whoever holds all places of the queue is alone.
func (l *link) drain() {
	for range cap(l.queue) {
		l.queue <- struct{}{}
	}
}

// keepAlive finds connections that are half open: DingTalk's own pings may
// simply stop (R23).
func (l *link) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(l.stream.cfg.Ping)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		pong, cancel := context.WithTimeout(ctx, l.stream.cfg.Pong)
		err := l.conn.Ping(pong)
		cancel()
		if err != nil && ctx.Err() == nil {
			l.over(errSilent)
			_ = l.conn.CloseNow()
			return
		}
	}
}

// take deals with one frame. The reader never waits: events go to the handler
// in goroutines of their own, which take turns.
func (l *link) take(ctx context.Context, raw []byte) {
	f, ok := readFrame(raw)
	switch {
	case !ok:
		l.stream.log.WarnContext(ctx, "the event stream brought something unreadable", "bytes", len(raw))
	case f.kind == frameSystem && f.topic == "ping":
		l.send(ctx, f, 200, "OK", string(f.data))
	case f.kind == frameSystem && f.topic == "disconnect":
		l.over(errSaidGoodbye)
	case f.kind == frameSystem: // CONNECTED, REGISTERED, KEEPALIVE: no answer
	case f.kind == frameEvent:
		l.event(ctx, f)
	default: // not subscribed to
		l.send(ctx, f, 404, "no handler", "{}")
	}
}

func (l *link) event(ctx context.Context, f streamFrame) {
	e := f.event()
	if e.Corp == "" {
		e.Corp = l.stream.client.cfg.Corp
	}
	if e.Corp != l.stream.client.cfg.Corp {
		l.stream.log.WarnContext(ctx, "an event of another organisation was refused", "event", e.ID)
		l.send(ctx, f, 400, "another organisation", "{}")
		return
	}
	select {
	case l.queue <- struct{}{}:
	default: // more than we should hold: DingTalk keeps it for us
		l.later(ctx, f)
		return
	}
	l.events.Go(func() {
		defer func() { <-l.queue }()
		l.handOver(ctx, f, e)
	})
}

// handOver lets the handler decide, and answers in time.
func (l *link) handOver(ctx context.Context, f streamFrame, e Event) {
	s := l.stream
	bound, cancel := context.WithTimeout(ctx, s.cfg.AckWithin)
	defer cancel()
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-bound.Done():
		l.later(ctx, f)
		return
	}
	s.note(func(st *StreamStatus) { st.LastEvent, st.Events = s.client.now(), st.Events+1 })
	defer s.client.CountEvent(e)
	if err := l.handle(bound, e); err != nil {
		s.log.WarnContext(ctx, "an event could not be taken and comes again", "type", e.Type, "event", e.ID, "error", err)
		l.later(ctx, f)
		return
	}
	l.send(ctx, f, 200, "OK", ackTaken)
}

func (l *link) later(ctx context.Context, f streamFrame) {
	l.stream.note(func(st *StreamStatus) { st.Later++ })
	l.send(ctx, f, 200, "OK", ackLater)
}

// send answers a frame. A failure to write ends the connection, which the
// reader notices; DingTalk then delivers again what was not acknowledged.
func (l *link) send(ctx context.Context, f streamFrame, code int, message, data string) {
	body, err := f.answer(code, message, data)
	if err != nil {
		return // texts always encode
	}
	ctx, cancel := context.WithTimeout(ctx, l.stream.cfg.Pong)
	defer cancel()
	_ = l.conn.Write(ctx, websocket.MessageText, body)
}
