package dingtalk

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/internal/strictjson"
)

// maxFrame bounds a frame of the event stream.
const maxFrame = 1 << 20

// Types of frames (reference 6.6).
const (
	frameSystem   = "SYSTEM"
	frameEvent    = "EVENT"
	frameCallback = "CALLBACK"
)

// streamFrame is one message of the event gateway.
type streamFrame struct {
	kind    string
	topic   string
	id      string // messageId, absent on some SYSTEM frames
	headers fields
	data    []byte // JSON text
}

// readFrame takes a frame apart; false when it cannot be answered to, because
// it is not a frame or names a member twice.
func readFrame(raw []byte) (streamFrame, bool) {
	var wire struct {
		Type    string                    `json:"type"`
		Headers map[string]jsontext.Value `json:"headers"`
		Header  map[string]jsontext.Value `json:"header"` // one vendor example
		Data    jsontext.Value            `json:"data"`
	}
	if len(raw) > maxFrame || strictjson.Decode(raw, &wire) != nil {
		return streamFrame{}, false
	}
	if wire.Headers == nil {
		wire.Headers = wire.Header
	}
	f := streamFrame{kind: wire.Type, headers: make(fields, len(wire.Headers)), data: []byte(text(wire.Data))}
	for name, value := range wire.Headers {
		f.headers[strings.ToLower(name)] = value
	}
	if wire.Data.Kind() == '{' || wire.Data.Kind() == '[' { // an object where its text belongs
		f.data = bytes.Clone(wire.Data)
	}
	f.id, f.topic = f.headers.first("messageid"), f.headers.first("topic")
	return f, f.kind != ""
}

// event is what an EVENT frame tells: the envelope is in the headers, the
// business fields are the data. Data that cannot be read names nothing.
func (f streamFrame) event() Event {
	e := Event{
		Corp: f.headers.first("eventcorpid"), Type: f.headers.first("eventtype"), ID: f.headers.first("eventid"),
		Born: f.headers.time("eventborntime"), Via: ViaStream, Raw: f.data,
	}
	if data, ok := readFields(f.data); ok {
		e.fill(data)
	}
	if e.At.IsZero() {
		e.At = e.Born
	}
	return e.finished()
}

// reply is a frame up.
type reply struct {
	Code    int               `json:"code"`
	Headers map[string]string `json:"headers"`
	Message string            `json:"message"`
	Data    string            `json:"data"`
}

// answer builds the reply to a frame; data is JSON as text.
func (f streamFrame) answer(code int, message, data string) ([]byte, error) {
	return json.Marshal(reply{
		Code: code, Message: message, Data: data,
		Headers: map[string]string{"contentType": "application/json", "messageId": f.id},
	})
}

// The two answers to an event. Sources disagree on the code of LATER; 200 is
// what two of three vendor clients send.
const (
	ackTaken = `{"status":"SUCCESS","message":"success"}`
	ackLater = `{"status":"LATER","message":"later"}`
)
