package dingtalk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
)

// These tests let the event stream meet the simulator's gateway over real web
// sockets.

// sink is a handler that keeps events and refuses some.
type sink struct {
	mu     sync.Mutex
	seen   []dingtalk.Event
	refuse int // so many events are not taken
	came   chan dingtalk.Event
}

func newSink() *sink { return &sink{came: make(chan dingtalk.Event, 1000)} }

func (s *sink) take(_ context.Context, e dingtalk.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, e)
	s.came <- e
	if s.refuse > 0 {
		s.refuse--
		return errors.New("the disk is full")
	}
	return nil
}

func (s *sink) wait(t *testing.T) dingtalk.Event {
	t.Helper()
	select {
	case e := <-s.came:
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no event came")
		return dingtalk.Event{}
	}
}

// flow is a running stream.
type flow struct {
	*town
	*dingtalk.Stream
	sink *sink
	stop func() error
}

// listen runs a stream until the test ends and waits for its connection.
func (u *town) listen(t *testing.T, change func(*dingtalk.StreamConfig)) *flow {
	t.Helper()
	cfg := dingtalk.StreamConfig{FirstWait: 5 * time.Millisecond, MaxWait: 50 * time.Millisecond, Steady: time.Nanosecond}
	if change != nil {
		change(&cfg)
	}
	f := &flow{town: u, Stream: u.Stream(cfg), sink: newSink()}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- f.Run(ctx, f.sink.take) }()
	f.stop = sync.OnceValue(func() error { cancel(); return <-over })
	t.Cleanup(func() { _ = f.stop() })
	f.connected(t, 1)
	return f
}

// connected waits until so many connections are open and take events.
func (f *flow) connected(t *testing.T, n int) []dingtalksim.StreamConnection {
	t.Helper()
	var list []dingtalksim.StreamConnection
	within(t, fmt.Sprint(n, " connections"), func() bool {
		list = slices.DeleteFunc(f.sim.StreamConnections(keyA), func(c dingtalksim.StreamConnection) bool { return c.Leaving })
		return len(list) == n && f.Status().Connections >= n
	})
	return list
}

// within waits for what another goroutine is about to do.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if holds() {
			return
		}
		<-time.After(time.Millisecond)
	}
	t.Fatal("never: " + what)
}

func (u *town) emit(t *testing.T, kind string, fields map[string]any) string {
	t.Helper()
	id, err := u.sim.Emit(corpA, kind, fields)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (u *town) state(id string) dingtalksim.Event {
	for _, e := range u.sim.Events("") {
		if e.ID == id {
			return e
		}
	}
	return dingtalksim.Event{}
}

// TestStreamDelivers proves SIM-D84 and SIM-D87 from our side: an event brings
// what its headers and data say, and is acknowledged once the handler has it.
func TestStreamDelivers(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	u := newTown(t)
	f := u.listen(t, nil)
	id := u.emit(t, "user_leave_org", map[string]any{"userId": []string{"zhangsan", "lisi"}, "timeStamp": "1600000000000"})
	e := f.sink.wait(t)
	if e.ID != id || e.Type != dingtalk.EventUserLeft || e.Corp != corpA || !slices.Equal(e.Users, []string{"zhangsan", "lisi"}) ||
		e.At.UnixMilli() != 1600000000000 || e.Born.IsZero() || e.Via != dingtalk.ViaStream {
		t.Errorf("event %+v", e)
	}
	within(t, "acknowledged", func() bool { return u.state(id).State == dingtalksim.StateAcknowledged })
	id = u.emit(t, "org_dept_modify", map[string]any{"deptId": []int{7, 8}})
	if e := f.sink.wait(t); !slices.Equal(e.Departments, []int64{7, 8}) || e.ID != id {
		t.Errorf("event %+v", e)
	}
	u.emit(t, "bpms_instance_change", map[string]any{
		"processInstanceId": "p-1", "processCode": "PROC-1", "type": "finish", "result": "agree", "staffId": "zhangsan",
	})
	if e := f.sink.wait(t); e.Instance != "p-1" || e.Process != "PROC-1" || e.Change != "finish" || e.Result != "agree" {
		t.Errorf("event %+v", e)
	}
	if q := u.Quota(ctx); q.Events.Used > 1 || q.Events.Limit != 3000 {
		t.Errorf("counted %+v, want the approval alone", q.Events)
	}
	if err := f.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	if n := f.Status().Connections; n != 0 {
		t.Errorf("%d connections after the end", n)
	}
	http.DefaultClient.CloseIdleConnections()
	u.close()
}

// TestStreamNotDurable proves R36: an event that the handler could not keep is
// not acknowledged and comes again, with the same id.
func TestStreamNotDurable(t *testing.T) {
	u := newTown(t)
	f := u.listen(t, nil)
	f.sink.refuse = 1
	id := u.emit(t, "user_add_org", map[string]any{"userId": []string{"n"}})
	first := f.sink.wait(t)
	within(t, "LATER", func() bool {
		d := u.state(id).Deliveries
		return len(d) == 1 && d[0].Outcome == "later"
	})
	u.sim.Advance(10 * time.Second)
	if second := f.sink.wait(t); second.ID != first.ID || second.Key() != first.Key() {
		t.Errorf("%+v, then %+v", first, second)
	}
	within(t, "acknowledged", func() bool { return u.state(id).State == dingtalksim.StateAcknowledged })
	if f.Status().Later != 1 {
		t.Errorf("status %+v", f.Status())
	}
}

// TestStreamReplaced proves SIM-D86 from our side: after "disconnect" another
// connection is opened while the old one still delivers.
func TestStreamReplaced(t *testing.T) {
	u := newTown(t)
	f := u.listen(t, nil)
	old := f.connected(t, 1)[0].ID
	u.sim.StreamDisconnect(keyA, old, false)
	within(t, "a second connection", func() bool { return len(u.sim.StreamConnections(keyA)) == 2 })
	if list := f.connected(t, 1); list[0].ID == old {
		t.Error("the same connection")
	}
	id := u.emit(t, "user_add_org", nil)
	if e := f.sink.wait(t); e.ID != id {
		t.Errorf("event %+v", e)
	}
	u.sim.Advance(11 * time.Second)
	within(t, "the old one is gone", func() bool { return len(u.sim.StreamConnections("")) == 1 && f.Status().Connections == 1 })
}

// TestStreamReconnects: a cut socket, a gateway that falls silent and a peer
// that is half open are each followed by a new connection with a new ticket,
// and what was under way comes again (R23).
func TestStreamReconnects(t *testing.T) {
	for name, breaks := range map[string]func(*testing.T, *flow){
		"cut": func(_ *testing.T, f *flow) { f.sim.StreamDisconnect("", "", true) },
		"half open": func(t *testing.T, f *flow) {
			f.fault(t, dingtalksim.Fault{Kind: "stream-stall"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newTown(t, func(c *dingtalksim.Config) { c.StreamPing = 20 * time.Millisecond })
			f := u.listen(t, func(c *dingtalk.StreamConfig) { c.Ping, c.Pong = 40*time.Millisecond, 200*time.Millisecond })
			opened := f.Status().Opened
			breaks(t, f)
			within(t, "another connection", func() bool { return f.Status().Opened > opened && f.Status().Connections == 1 })
			id := u.emit(t, "user_add_org", nil)
			within(t, "the event", func() bool {
				u.sim.Advance(10 * time.Second)
				return u.state(id).State == dingtalksim.StateAcknowledged
			})
		})
	}
}

// TestStreamNoPing: pings of the gateway that stop coming do no harm as long as
// ours are answered.
func TestStreamNoPing(t *testing.T) {
	u := newTown(t, func(c *dingtalksim.Config) { c.StreamPing = 5 * time.Millisecond })
	u.fault(t, dingtalksim.Fault{Kind: "stream-no-ping", Times: -1})
	f := u.listen(t, func(c *dingtalk.StreamConfig) { c.Ping = 10 * time.Millisecond })
	u.emit(t, "user_add_org", nil)
	f.sink.wait(t)
	if st := f.Status(); st.Opened != 1 {
		t.Errorf("status %+v", st)
	}
}

// TestStreamPongs proves SIM-D85 from our side: pings are answered with their
// own opaque while every hand is busy with events.
func TestStreamPongs(t *testing.T) {
	t.Parallel()
	u := newTown(t, func(c *dingtalksim.Config) { c.StreamPing, c.StreamPong = 5*time.Millisecond, time.Second })
	free := make(chan struct{})
	s := u.Stream(dingtalk.StreamConfig{Workers: 1, AckWithin: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	busy := make(chan struct{}, 10)
	go func() {
		over <- s.Run(ctx, func(context.Context, dingtalk.Event) error { busy <- struct{}{}; <-free; return nil })
	}()
	within(t, "a connection", func() bool { return len(u.sim.StreamConnections(keyA)) == 1 })
	first := u.emit(t, "user_add_org", nil)
	<-busy
	second := u.emit(t, "user_add_org", nil)
	within(t, "the second one waits at DingTalk", func() bool {
		d := u.state(second).Deliveries
		return len(d) > 0 && d[0].Outcome == "later"
	})
	<-time.After(2500 * time.Millisecond) // a ping without its pong would have cut the connection twice
	if st := s.Status(); st.Opened != 1 || st.Connections != 1 {
		t.Errorf("status %+v", st)
	}
	close(free)
	within(t, "the first one is taken", func() bool { return u.state(first).State == dingtalksim.StateAcknowledged })
	cancel()
	<-over
}

// TestStreamStops proves R36 for a shutdown: an event that the handler has begun
// is finished and acknowledged before Run returns, and no other begins.
func TestStreamStops(t *testing.T) {
	u := newTown(t)
	s := u.Stream(dingtalk.StreamConfig{})
	run, cancel := context.WithCancel(context.Background())
	begun, finish, over := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		over <- s.Run(run, func(ctx context.Context, _ dingtalk.Event) error {
			close(begun) // a second event would panic here
			<-finish
			return ctx.Err() // the end of the program is no reason to lose what is begun
		})
	}()
	within(t, "a connection", func() bool { return len(u.sim.StreamConnections(keyA)) == 1 })
	id := u.emit(t, "user_add_org", nil)
	<-begun
	cancel()
	later := u.emit(t, "user_add_org", nil)
	select {
	case err := <-over:
		t.Fatalf("Run returned %v before the event was settled", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	within(t, "acknowledged", func() bool { return u.state(id).State == dingtalksim.StateAcknowledged })
	if u.state(later).State == dingtalksim.StateAcknowledged {
		t.Error("an event after the end was acknowledged")
	}
}

// TestStreamTwoRuns: a stream runs once at a time, and several streams of one
// application share its events (SIM-D88).
func TestStreamTwoRuns(t *testing.T) {
	u := newTown(t)
	f, g := u.listen(t, nil), (*flow)(nil)
	if err := f.Run(ctx, f.sink.take); !errors.Is(err, dingtalk.ErrStreamRunning) {
		t.Errorf("a second Run: %v", err)
	}
	g = &flow{town: u, Stream: u.Stream(dingtalk.StreamConfig{}), sink: f.sink}
	second, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- g.Run(second, g.sink.take) }()
	within(t, "two connections", func() bool { return len(u.sim.StreamConnections(keyA)) == 2 })
	const n = 60
	ids := map[string]bool{}
	for range n {
		ids[u.emit(t, "org_dept_modify", nil)] = true
	}
	within(t, "all are taken", func() bool {
		for id := range ids {
			if u.state(id).State != dingtalksim.StateAcknowledged {
				return false
			}
		}
		return true
	})
	if a, b := f.Status().Events, g.Status().Events; a == 0 || b == 0 || a+b < n {
		t.Errorf("%d and %d events", a, b)
	}
	cancel()
	<-over
}

// TestStreamRefused proves SIM-D82, SIM-D83 and the limit of connections from
// our side: a wrong secret waits long, anything else backs off, and no text of
// an error holds a ticket or a secret.
func TestStreamRefused(t *testing.T) {
	u := newTown(t)
	wrong := u.client(t, corpA, keyA, "wrong-secret-0123456789", nil).Stream(dingtalk.StreamConfig{})
	run, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- wrong.Run(run, newSink().take) }()
	within(t, "refused", func() bool { return wrong.Status().LastError != nil })
	cancel()
	<-over
	if st := wrong.Status(); st.Failures != 1 || strings.Contains(st.LastError.Error(), "wrong-secret") {
		t.Errorf("status %+v", st)
	}
	if err := u.sim.SetSwitches(func(s *dingtalksim.Switches) { s.StreamLimit = 0 }); err != nil {
		t.Fatal(err)
	}
	full := u.Stream(dingtalk.StreamConfig{FirstWait: time.Millisecond, MaxWait: 5 * time.Millisecond})
	run, cancel = context.WithCancel(context.Background())
	go func() { over <- full.Run(run, newSink().take) }()
	within(t, "some refusals", func() bool { return full.Status().Failures >= 3 })
	cancel()
	<-over
	err := full.Status().LastError
	if err == nil || !strings.Contains(err.Error(), "429") || strings.Contains(err.Error(), "ticket") || strings.Contains(u.log.String(), "ticket=") {
		t.Errorf("error %v, log %s", err, u.log)
	}
	if n := len(u.sim.Calls("connections/open")); n > 50 {
		t.Errorf("%d calls: no back-off", n)
	}
}
