package dingtalk

import (
	"crypto/sha256"
	"net/url"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/internal/strictjson"
)

// defaultWindow is how far the signed time of an event may be from ours (T64).
const defaultWindow = 5 * time.Minute

// CallbackSet is one callback address: the material in force, and for a time
// after a change the material before it (T69).
type CallbackSet struct {
	Corp    string // of the organisation that may write here
	Current *Callback
	// Previous is accepted until Until, in case DingTalk still uses it; nil
	// when nothing has changed.
	Previous *Callback
	Until    time.Time
	Window   time.Duration // how far the signed time may be off, default 5 min
}

// Delivery is an authentic event and what its receiver needs besides.
type Delivery struct {
	Event Event
	// Digest is the SHA-256 of the ciphertext: the same body is the same
	// delivery, whatever time and nonce come with it (T65).
	Digest [sha256.Size]byte

	by *Callback
}

// Reply is the answer that ends DingTalk's tries, under the keys the event came
// with. It is to be sent once the event is where a crash cannot lose it.
func (d Delivery) Reply() (CallbackReply, error) { return d.by.Reply() }

// Receive turns the query and the body of a callback request into an event
// (T62 to T64, T68). Every failure is ErrCallback, and every path to it through
// a well-formed request does the same work. An event of an unknown type is an
// event.
func (s CallbackSet) Receive(query url.Values, body []byte) (Delivery, error) {
	e, ok := readEnvelope(query, body)
	if !ok {
		return Delivery{}, ErrCallback
	}
	by, message, err := s.open(e)
	if err != nil {
		return Delivery{}, ErrCallback
	}
	event, ok := parseEvent(message)
	if !ok || event.Corp != "" && event.Corp != s.Corp {
		return Delivery{}, ErrCallback
	}
	if event.Corp == "" {
		if !event.Check() {
			return Delivery{}, ErrCallback // nobody's event
		}
		event.Corp = s.Corp
	}
	return Delivery{Event: event, Digest: sha256.Sum256([]byte(e.Encrypt)), by: by}, nil
}

// open tries the material in force and then the one before.
func (s CallbackSet) open(e Envelope) (*Callback, []byte, error) {
	window := s.Window
	if window <= 0 {
		window = defaultWindow
	}
	candidates := []*Callback{s.Current}
	if s.Previous != nil && s.Current.cfg.Now().Before(s.Until) {
		candidates = append(candidates, s.Previous)
	}
	for _, c := range candidates {
		if message, err := c.Open(e); err == nil {
			return c, message, c.Fresh(e, window)
		}
	}
	return nil, nil, ErrCallback
}

// readEnvelope takes the four values. Each has one of two names, and comes
// once: a second value would be for somebody else's parser (T62).
func readEnvelope(query url.Values, body []byte) (Envelope, bool) {
	var in struct {
		Encrypt jsontext.Value `json:"encrypt"`
	}
	if len(body) > maxEncrypted+1024 || strictjson.Decode(body, &in) != nil || in.Encrypt.Kind() != '"' {
		return Envelope{}, false
	}
	signature, signed := one(query, "signature", "msg_signature")
	timestamp, timed := one(query, "timestamp", "timeStamp")
	nonce, given := one(query, "nonce")
	e := Envelope{Signature: signature, Timestamp: timestamp, Nonce: nonce, Encrypt: text(in.Encrypt)}
	return e, signed && timed && given
}

// one is the value of a parameter that has several names. Both names may be
// there when they say the same.
func one(query url.Values, names ...string) (string, bool) {
	value, found := "", false
	for _, name := range names {
		values, there := query[name]
		if !there {
			continue
		}
		if len(values) != 1 || values[0] == "" || found && values[0] != value {
			return "", false
		}
		value, found = values[0], true
	}
	return value, found
}
