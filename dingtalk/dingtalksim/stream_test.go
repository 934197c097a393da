package dingtalksim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// gatewaySim is a simulator whose clock stands, and the address of it.
func gatewaySim(t *testing.T, change func(*Config)) (*Server, string) {
	t.Helper()
	cfg := Sample("http://gate.example.com/launch")
	now := time.Date(2026, 9, 14, 4, 0, 0, 0, time.UTC)
	cfg.Now = func() time.Time { return now }
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() { s.Close(); srv.Close() })
	return s, srv.URL
}

// open asks for a connection; it returns status, content type and body.
func openStream(t *testing.T, base, secret, accept string) (int, string, []byte) {
	t.Helper()
	body := fmt.Sprintf(`{"clientId":"dingkey1","clientSecret":%q,"subscriptions":[{"type":"EVENT","topic":"*"},{"type":"CALLBACK","topic":"/bot"}]}`, secret)
	req, err := http.NewRequest(http.MethodPost, base+"/v1.0/gateway/connections/open", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	return res.StatusCode, res.Header.Get("Content-Type"), raw
}

// dialAddress gets a ticket and builds the address to dial.
func dialAddress(t *testing.T, base string) string {
	t.Helper()
	_, _, raw := openStream(t, base, "sample-secret-1", "application/json")
	var in struct{ Endpoint, Ticket string }
	if err := json.Unmarshal(raw, &in); err != nil || in.Ticket == "" || !strings.HasPrefix(in.Endpoint, "ws://") {
		t.Fatalf("%s: %v", raw, err)
	}
	return in.Endpoint + "?ticket=" + in.Ticket
}

// wire is a client of the gateway without any manners.
type wire struct {
	t *testing.T
	*websocket.Conn
}

func dial(t *testing.T, address string) (wire, int) {
	t.Helper()
	conn, res, err := websocket.Dial(t.Context(), address, nil)
	if err != nil {
		if res == nil {
			t.Fatal(err)
		}
		return wire{}, res.StatusCode
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return wire{t, conn}, res.StatusCode
}

// frame reads one frame; false when the connection has ended.
func (w wire) frame() (frameDown, bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	_, raw, err := w.Read(ctx)
	if err != nil {
		if ctx.Err() != nil {
			w.t.Fatal("nothing came")
		}
		return frameDown{}, false
	}
	var f frameDown
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil { // headers that are no texts fail here (SIM-D84)
		w.t.Fatalf("%s: %v", raw, err)
	}
	return f, true
}

func (w wire) answer(f frameDown, code int, data string) {
	w.t.Helper()
	raw := encode(map[string]any{
		"code": code, "message": "OK", "data": data,
		"headers": map[string]string{"messageId": f.Headers["messageId"], "contentType": "application/json"},
	})
	if err := w.Write(w.t.Context(), websocket.MessageText, raw); err != nil {
		w.t.Fatal(err)
	}
}

// TestStreamOpen proves SIM-D81 and SIM-D82.
func TestStreamOpen(t *testing.T) {
	_, base := gatewaySim(t, nil)
	if status, ctype, raw := openStream(t, base, "sample-secret-1", ""); status != 200 || !strings.Contains(ctype, "xml") || raw[0] != '<' {
		t.Errorf("without Accept: %d %s %s", status, ctype, raw)
	}
	status, _, raw := openStream(t, base, "wrong", "application/json")
	if status != 401 || !strings.Contains(string(raw), `"code":"authFailed"`) || !strings.Contains(string(raw), `"requestid"`) || !strings.Contains(string(raw), "鉴权失败") {
		t.Errorf("wrong secret: %d %s", status, raw)
	}
	res, err := http.Post(base+"/v1.0/gateway/connections/open", "application/json", strings.NewReader(
		`{"clientId":"dingkey1","clientSecret":"sample-secret-1","subscriptions":[{"Type":"EVENT","Topic":"*"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 400 {
		t.Errorf("subscriptions by other names: %d", res.StatusCode)
	}
	if strings.Contains(fmt.Sprint(calledWith(t, base)), "sample-secret-1") {
		t.Error("the record shows a secret (SIM-D117)")
	}
}

func calledWith(t *testing.T, base string) string {
	t.Helper()
	openStream(t, base, "sample-secret-1", "application/json")
	res, err := http.Get(base + "/sim/calls")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	return string(raw)
}

// TestStreamTicket proves SIM-D83: one connection, 90 seconds.
func TestStreamTicket(t *testing.T) {
	s, base := gatewaySim(t, nil)
	address := dialAddress(t, base)
	if _, status := dial(t, address); status != 101 {
		t.Fatalf("first use: %d", status)
	}
	if _, status := dial(t, address); status != 401 {
		t.Errorf("second use: %d", status)
	}
	address = dialAddress(t, base)
	s.Advance(90 * time.Second)
	if _, status := dial(t, address); status != 401 {
		t.Errorf("after 90 s: %d", status)
	}
	if err := s.SetSwitches(func(sw *Switches) { sw.StreamLimit = 1 }); err != nil {
		t.Fatal(err)
	}
	if _, status := dial(t, dialAddress(t, base)); status != 429 {
		t.Errorf("one too many: %d", status)
	}
}

// TestStreamRedelivery proves SIM-D84 and SIM-D87: the frame, LATER with either
// code, silence, and the times at which the event comes again.
func TestStreamRedelivery(t *testing.T) {
	s, base := gatewaySim(t, nil)
	w, _ := dial(t, dialAddress(t, base))
	id, err := s.Emit("", "user_add_org", map[string]any{"userId": []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	var deliveries []string
	for attempt, step := range []struct {
		reply   func(frameDown)
		outcome string
		gap     time.Duration
	}{
		{func(f frameDown) { w.answer(f, 200, `{"status":"LATER"}`) }, outcomeLater, 10 * time.Second},
		{func(f frameDown) { w.answer(f, 500, `{"status":"LATER"}`) }, outcomeLater, 20 * time.Second},
		{func(frameDown) { s.Advance(3 * time.Second) }, outcomeTimeout, 27 * time.Second},
		{func(f frameDown) { w.answer(f, 200, `{"status":"SUCCESS"}`) }, outcomeAcked, 0},
	} {
		f, ok := w.frame()
		h := f.Headers
		if !ok || f.SpecVersion != "1.0" || f.Type != frameEvent || h["topic"] != "*" || h["eventId"] != id || h["eventCorpId"] != testCorp ||
			h["eventType"] != "user_add_org" || h["eventBornTime"] == "" || h["time"] == "" || f.Data != `{"userId":["x"]}` {
			t.Fatalf("attempt %d: %+v", attempt, f)
		}
		deliveries = append(deliveries, h["messageId"])
		step.reply(f)
		eventually(t, step.outcome, func() bool {
			d := s.stateOf(id).Deliveries
			return len(d) == attempt+1 && d[attempt].Outcome == step.outcome
		})
		s.Advance(step.gap)
	}
	if deliveries[0] == deliveries[1] {
		t.Error("a redelivery with the same messageId")
	}
	if e := s.stateOf(id); e.State != StateAcknowledged {
		t.Errorf("%+v", e)
	}
}

// TestStreamGivesUp: three redeliveries, then the event is lost to Stream.
func TestStreamGivesUp(t *testing.T) {
	s, base := gatewaySim(t, nil)
	w, _ := dial(t, dialAddress(t, base))
	_ = w.Close(websocket.StatusNormalClosure, "")
	eventually(t, "nobody is connected", func() bool { return len(s.StreamConnections("")) == 0 })
	id, err := s.Emit("", "user_add_org", nil)
	if err != nil {
		t.Fatal(err)
	}
	for n, gap := range []time.Duration{0, 10 * time.Second, 20 * time.Second, 30 * time.Second} {
		s.Advance(gap)
		eventually(t, fmt.Sprint("attempt ", n+1), func() bool { return len(s.stateOf(id).Deliveries) == n+1 })
	}
	eventually(t, "given up", func() bool { return s.stateOf(id).State == StateFailed })
}

// TestStreamPing proves SIM-D85 and SIM-D89: the opaque comes back or the
// connection ends, and pings of the web socket are answered.
func TestStreamPing(t *testing.T) {
	t.Parallel()
	// The simulator waits as long after each ping; this client has to be quicker on a busy machine too.
	_, base := gatewaySim(t, func(c *Config) { c.StreamPing, c.StreamPong = 5*time.Millisecond, 500*time.Millisecond })
	w, _ := dial(t, dialAddress(t, base))
	for range 3 {
		f, ok := w.frame()
		if !ok || f.Type != frameSystem || f.Headers["topic"] != "ping" || opaqueOf(f.Data) == "" {
			t.Fatalf("%+v %v", f, ok)
		}
		w.answer(f, 200, f.Data)
	}
	f, ok := w.frame()
	if !ok {
		t.Fatal("closed although every ping was answered")
	}
	w.answer(f, 200, `{"opaque":"another"}`)
	if _, ok := w.frame(); ok {
		t.Error("a wrong opaque was taken")
	}
	silent, _ := dial(t, dialAddress(t, base))
	silent.frame()
	if _, ok := silent.frame(); ok {
		t.Error("a ping without answer did not end the connection")
	}
	_, quiet := gatewaySim(t, nil)
	w, _ = dial(t, dialAddress(t, quiet))
	reading := w.CloseRead(t.Context())
	if err := w.Ping(t.Context()); err != nil || reading.Err() != nil {
		t.Errorf("web socket ping: %v", err)
	}
}

// TestStreamGoodbye proves SIM-D86: without messageId, closed after ten seconds,
// and no event goes to a connection that is about to close.
func TestStreamGoodbye(t *testing.T) {
	s, base := gatewaySim(t, nil)
	leaving, _ := dial(t, dialAddress(t, base))
	s.StreamDisconnect("", "", false)
	f, _ := leaving.frame()
	if f.Headers["topic"] != "disconnect" || f.Headers["messageId"] != "" || !strings.Contains(f.Data, "connection is expired") {
		t.Fatalf("%+v", f)
	}
	staying, _ := dial(t, dialAddress(t, base))
	for range 10 {
		if _, err := s.Emit("", "user_add_org", nil); err != nil {
			t.Fatal(err)
		}
		if f, ok := staying.frame(); !ok || f.Type != frameEvent {
			t.Fatalf("%+v %v", f, ok)
		}
	}
	s.Advance(10 * time.Second)
	if _, ok := leaving.frame(); ok {
		t.Error("still open after ten seconds")
	}
}

// TestStreamShares proves SIM-D88: each event goes to one of the connections,
// and both get some.
func TestStreamShares(t *testing.T) {
	s, base := gatewaySim(t, nil)
	one, _ := dial(t, dialAddress(t, base))
	two, _ := dial(t, dialAddress(t, base))
	eventually(t, "both are there", func() bool { return len(s.StreamConnections("")) == 2 })
	const n = 64
	for range n {
		if _, err := s.Emit("", "user_add_org", nil); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	came := make(chan string, 2*n)
	count := func(w wire, name string) {
		for {
			if _, _, err := w.Read(ctx); err != nil {
				return
			}
			came <- name
		}
	}
	go count(one, "one")
	go count(two, "two")
	for range n {
		select {
		case name := <-came:
			got[name]++
		case <-ctx.Done():
			t.Fatalf("of %d events came %v", n, got)
		}
	}
	select {
	case name := <-came:
		t.Errorf("one more came to %s", name)
	case <-time.After(200 * time.Millisecond):
	}
	if got["one"] == 0 || got["two"] == 0 {
		t.Errorf("%v", got)
	}
}

// TestStreamTopics: an event goes only to a connection that has asked for events.
func TestStreamTopics(t *testing.T) {
	s, base := gatewaySim(t, nil)
	_, status := dial(t, dialAddress(t, base))
	if status != 101 {
		t.Fatal(status)
	}
	eventually(t, "it is there", func() bool { return len(s.StreamConnections("")) == 1 })
	taking := s.StreamConnections("")[0].ID
	for range 3 {
		s.streams.grant("robots", streamTicket{s.apps[testApp], []topic{{frameCallback, "/bot"}}, s.clock.now().Add(time.Minute)})
		if _, status := dial(t, strings.Replace(base, "http", "ws", 1)+"/connect?ticket=robots"); status != 101 {
			t.Fatal(status)
		}
	}
	eventually(t, "all are there", func() bool { return len(s.StreamConnections("")) == 4 })
	for range 16 {
		id, err := s.Emit("", "user_add_org", nil)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "sent", func() bool { return len(s.stateOf(id).Deliveries) == 1 })
		if got := s.stateOf(id).Deliveries[0].Connection; got != taking {
			t.Fatalf("an event went to %s, which asked for robots only", got)
		}
	}
}

// TestStreamFaults: a socket cut before or after the frame, and a callback that
// is sent once.
func TestStreamFaults(t *testing.T) {
	for _, kind := range []string{faultDropSocket, faultDropAfter} {
		s, base := gatewaySim(t, nil)
		w, _ := dial(t, dialAddress(t, base))
		match := map[string]string{faultDropSocket: "EVENT ", faultDropAfter: "FRAME "}[kind]
		if _, err := s.AddFault(Fault{Kind: kind, Match: match + "user_add_org"}); err != nil {
			t.Fatal(err)
		}
		id, err := s.Emit("", "user_add_org", nil)
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, ok := w.frame(); !ok {
				break
			}
		}
		eventually(t, "the socket is gone", func() bool { return len(s.StreamConnections("")) == 0 })
		w, _ = dial(t, dialAddress(t, base))
		eventually(t, "and replaced", func() bool { return len(s.StreamConnections("")) == 1 })
		eventually(t, "the event comes again", func() bool {
			s.Advance(time.Second)
			d := s.stateOf(id).Deliveries
			return len(d) > 0 && d[len(d)-1].Connection == s.StreamConnections("")[0].ID
		})
		f, _ := w.frame()
		if f.Headers["eventId"] != id {
			t.Errorf("%s: %+v", kind, f)
		}
	}
}

// TestStreamCallback: CALLBACK frames go to who has subscribed, once.
func TestStreamCallback(t *testing.T) {
	s, base := gatewaySim(t, nil)
	w, _ := dial(t, dialAddress(t, base))
	outcome := make(chan string, 1)
	if s.StreamCallback(testApp, "/other", "{}", nil) {
		t.Error("sent to nobody")
	}
	eventually(t, "sent", func() bool {
		return s.StreamCallback(testApp, "/bot", `{"text":"hi"}`, func(o string) { outcome <- o })
	})
	f, _ := w.frame()
	if f.Type != frameCallback || f.Headers["topic"] != "/bot" || f.Data != `{"text":"hi"}` {
		t.Fatalf("%+v", f)
	}
	w.answer(f, 200, `{"response":null}`)
	if got := <-outcome; got != outcomeAcked {
		t.Error(got)
	}
}
