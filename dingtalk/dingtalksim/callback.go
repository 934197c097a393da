package dingtalksim

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// callbacks are the addresses to which applications want their events pushed;
// one for each application.
type callbacks struct {
	mu     sync.Mutex
	byApp  map[string]*subscription
	failed map[string][]failedEvent // by application
}

// subscription is one callback address, saved in the console or registered by
// the old API.
type subscription struct {
	url        string
	token      string
	aesKey     string
	tags       []string // of the old API; empty: every event
	registered bool     // by the old API: the owner key is the corpId
	keys       keys
}

func (c *callbacks) of(app string) *subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byApp[app]
}

func (c *callbacks) set(app string, sub *subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byApp == nil {
		c.byApp = map[string]*subscription{}
	}
	if sub == nil {
		delete(c.byApp, app)
		return
	}
	c.byApp[app] = sub
}

// wants says whether an event of that type is subscribed to.
func (s *subscription) wants(kind string) bool {
	if len(s.tags) == 0 {
		return true
	}
	for _, tag := range s.tags {
		if tag == kind {
			return true
		}
	}
	return false
}

// SaveCallback saves a callback address as the developer console does: it posts
// the check event and keeps the address only when the reply is right
// (SIM-D69). An empty address removes what is saved.
func (s *Server) SaveCallback(appKey, address, token, aesKey string) error {
	a := s.apps[appKey]
	if a == nil {
		return fmt.Errorf("dingtalksim: application %q: %w", appKey, ErrNotFound)
	}
	if address == "" {
		s.callbacks.set(appKey, nil)
		return nil
	}
	sub, err := s.subscribe(a, address, token, aesKey, false)
	if err != nil {
		return err
	}
	s.callbacks.set(appKey, sub)
	return nil
}

// subscribe checks an address and tries it.
func (s *Server) subscribe(a *app, address, token, aesKey string, registered bool) (*subscription, error) {
	owner := a.key
	if registered || s.sw().CallbackOwnerCorp { // SIM-D72
		owner = a.corp.id
	}
	least, most := 3, 32 // of the console; the register call has its own (6.1)
	if registered {
		least, most = 6, 64
	}
	if len(token) < least || len(token) > most {
		return nil, fmt.Errorf("dingtalksim: callback: 71010: %w: a token has %d to %d characters", ErrInvalid, least, most)
	}
	k, err := newKeys(token, aesKey, owner)
	if err != nil {
		return nil, fmt.Errorf("dingtalksim: callback: %w", err)
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("dingtalksim: callback: 71011: %w: address %q", ErrInvalid, address)
	}
	if !s.allowRemote && !loopbackHost(u.Hostname()) {
		return nil, fmt.Errorf("dingtalksim: callback: 71013: %w: %s is not a loopback address (SIM-D118)", ErrInvalid, u.Hostname())
	}
	sub := &subscription{url: address, token: token, aesKey: aesKey, keys: k, registered: registered}
	if err := s.post(sub, encode(map[string]string{"EventType": "check_url"}), forgery{}); err != nil {
		return nil, fmt.Errorf("dingtalksim: callback: HTTP请求结果校验返回字段值失败: %w", err)
	}
	return sub, nil
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Retries of a failed push after the first try, and how long after the last
// one the event is in the failed list (SIM-D74).
func retries() []time.Duration { return []time.Duration{10 * time.Second, 30 * time.Second} }

const failedAfter = 4 * time.Minute

// push brings an event to an application's address; a failure is tried again.
func (s *Server) push(a *app, o *occurrence, attempt int) {
	if attempt > 1 && o.settled(a.key) {
		return // its twin has arrived
	}
	sub := s.callbacks.of(a.key)
	if sub == nil || !sub.wants(o.event.Type) {
		o.settle(a.key, sub != nil)
		return
	}
	started := s.clock.now()
	i := o.note(Delivery{App: a.key, Via: viaCallback, Attempt: attempt, Time: started, Outcome: outcomeSent})
	err := s.post(sub, o.event.message(s.sw().EventLegacy), forgery{})
	took := s.clock.now().Sub(started)
	if err == nil {
		o.outcome(i, outcomeAcked, took)
		o.settle(a.key, true)
		return
	}
	word := err.Error()
	if errors.Is(err, errLate) {
		word = outcomeTimeout
	}
	o.outcome(i, word, took)
	if attempt <= len(retries()) {
		s.later(started.Add(retries()[attempt-1]), func() { s.push(a, o, attempt+1) })
		return
	}
	o.settle(a.key, false)
	s.later(s.clock.now().Add(failedAfter), func() { s.callbacks.fail(a, o.copied()) })
}

// errLate is a receiver that takes longer than the deadline (SIM-D73).
var errLate = errors.New("71012: no answer within the deadline")

// forgery is what is wrong with a push on purpose (SIM-D80).
type forgery struct {
	signature bool          // signed with another token
	owner     string        // another owner key
	age       time.Duration // signed so long ago
	replay    *sentPush     // the same body and query once more
}

// sentPush is a push as it went out.
type sentPush struct {
	query url.Values
	body  []byte
}

// post sends one message and checks the reply as the vendor does.
func (s *Server) post(sub *subscription, message []byte, f forgery) error {
	push := s.sealed(sub, message, f)
	if f.replay != nil {
		push = *f.replay
	}
	u, err := url.Parse(sub.url)
	if err != nil {
		return err
	}
	query := u.Query() // an address with a query of its own keeps it (SIM-D70)
	for name, values := range push.query {
		query[name] = values
	}
	u.RawQuery = query.Encode()
	client := &http.Client{Transport: s.pushClient.Transport, Timeout: time.Duration(s.sw().CallbackDeadlineMS) * time.Millisecond}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, u.String(), bytes.NewReader(push.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return errLate
		}
		return errors.New("71012: the address cannot be reached")
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return errLate
	}
	s.callbacks.mu.Lock()
	s.lastPush = &push
	s.callbacks.mu.Unlock()
	return sub.keys.checkReply(res.StatusCode, reply)
}

// sealed builds the query and body of a push, with new random bytes each time.
func (s *Server) sealed(sub *subscription, message []byte, f forgery) sentPush {
	sw, k := s.sw(), sub.keys
	pad := 32
	if sw.CallbackPad16 {
		pad = 16
	}
	k.owner = cmp.Or(f.owner, k.owner)
	timestamp := strconv.FormatInt(s.clock.now().Add(-f.age).UnixMilli(), 10)
	nonce := s.rand.lower(8)
	encrypt := k.seal(s.rand.bytes(16), message, pad)
	if f.signature {
		k.token += "x"
	}
	signature := k.sign(timestamp, nonce, encrypt)
	query := url.Values{"nonce": {nonce}}
	switch sw.CallbackNames {
	case namesMsg:
		query["msg_signature"], query["timestamp"] = []string{signature}, []string{timestamp}
	case paramBoth:
		query["signature"], query["msg_signature"], query["timestamp"] = []string{signature}, []string{signature}, []string{timestamp}
	case namesTimeStamp:
		query["signature"], query["timeStamp"] = []string{signature}, []string{timestamp}
	default:
		query["signature"], query["timestamp"] = []string{signature}, []string{timestamp}
	}
	return sentPush{query, encode(map[string]string{"encrypt": encrypt})}
}

// Values of Switches.CallbackNames.
const (
	namesPlain     = "signature"
	namesMsg       = "msg_signature"
	namesTimeStamp = "timeStamp"
)

// checkReply wants HTTP 200 and JSON with the encrypted word "success" (6.3).
func (k keys) checkReply(status int, body []byte) error {
	if status != http.StatusOK {
		return fmt.Errorf("71012: HTTP status %d", status)
	}
	var in struct {
		Signature string `json:"msg_signature"`
		Timestamp string `json:"timeStamp"`
		Nonce     string `json:"nonce"`
		Encrypt   string `json:"encrypt"`
	}
	if exact(body, &in) != nil || in.Encrypt == "" || in.Timestamp == "" || in.Nonce == "" {
		return errors.New("71009: 返回文本非success: not the JSON of a reply")
	}
	if k.sign(in.Timestamp, in.Nonce, in.Encrypt) != in.Signature {
		return errSignature
	}
	text, err := k.unseal(in.Encrypt)
	if err != nil {
		return err
	}
	if text != "success" {
		return errors.New("71009: 返回文本非success")
	}
	return nil
}

// Forge sends a push that no receiver may believe (SIM-D80): kind is
// "signature", "owner", "old" or "replay", which repeats the last push. The
// error says how the receiver refused; nil means that it was taken in.
func (s *Server) Forge(appKey, kind, event string, fields map[string]any) error {
	a, sub := s.apps[appKey], s.callbacks.of(appKey)
	if a == nil || sub == nil {
		return fmt.Errorf("dingtalksim: no callback of %q: %w", appKey, ErrNotFound)
	}
	e := Event{ID: s.rand.hex(16), Corp: a.corp.id, Type: event, Born: s.clock.now(), Fields: fields}
	var f forgery
	switch kind {
	case "signature":
		f.signature = true
	case "owner":
		f.owner = "dingforeign"
	case "old":
		f.age = 24 * time.Hour
	case "replay":
		s.callbacks.mu.Lock()
		f.replay = s.lastPush
		s.callbacks.mu.Unlock()
	default:
		return fmt.Errorf("dingtalksim: forgery %q: %w: want signature, owner, old or replay", kind, ErrInvalid)
	}
	return s.post(sub, e.message(false), f)
}
