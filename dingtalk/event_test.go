package dingtalk

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEventForms proves 6.5: the current form, the older one, approvals with
// lower-case corpId and failed-list families name the same things.
func TestEventForms(t *testing.T) {
	for name, tc := range map[string]struct {
		message string
		want    Event
	}{
		"current": {
			`{"EventType":"user_add_org","EventTime":1600000000000,"CorpId":"c","BizId":"b","eventId":"e1","userId":["a","b"],"timeStamp":"1500000000000"}`,
			Event{Corp: "c", Type: "user_add_org", ID: "e1", At: time.UnixMilli(1600000000000), Users: []string{"a", "b"}},
		},
		"older": {
			`{"EventType":"user_add_org","CorpId":"c","TimeStamp":"1600000000000","UserId":["a"]}`,
			Event{Corp: "c", Type: "user_add_org", At: time.UnixMilli(1600000000000), Users: []string{"a"}},
		},
		"one user, not a list": {
			`{"EventType":"user_leave_org","CorpId":"c","eventId":"e","UserId":"a"}`,
			Event{Corp: "c", Type: "user_leave_org", ID: "e", Users: []string{"a"}},
		},
		"department numbers as text": {
			`{"EventType":"org_dept_remove","CorpId":"c","eventId":"e","DeptId":["7",8,"x"]}`,
			Event{Corp: "c", Type: "org_dept_remove", ID: "e", Departments: []int64{7, 8}},
		},
		"approval": {
			`{"EventType":"bpms_task_change","corpId":"c","eventId":"e","processInstanceId":"p","processCode":"k","taskId":12,"type":"finish","result":"redirect","staffId":"s"}`,
			Event{Corp: "c", Type: "bpms_task_change", ID: "e", Instance: "p", Process: "k", Task: "12", Change: "finish", Result: "redirect", Users: []string{"s"}},
		},
		"unknown type (T68)": {
			`{"EventType":"something_new","CorpId":"c","eventId":"e","type":"kept out of the event","nested":{"a":[1]}}`,
			Event{Corp: "c", Type: "something_new", ID: "e"},
		},
	} {
		e, ok := parseEvent([]byte(tc.message))
		if !ok {
			t.Errorf("%s: refused", name)
			continue
		}
		if tc.want.ID == "" {
			if !strings.HasPrefix(e.ID, eventIDFromMessage) {
				t.Errorf("%s: id %q", name, e.ID)
			}
			e.ID = ""
		}
		if string(e.Raw) != tc.message || e.Via != ViaCallback {
			t.Errorf("%s: raw %s", name, e.Raw)
		}
		e.Raw, e.Via = nil, ""
		if !slices.Equal(e.Users, tc.want.Users) || !slices.Equal(e.Departments, tc.want.Departments) {
			t.Errorf("%s: objects %v %v", name, e.Users, e.Departments)
		}
		e.Users, e.Departments, tc.want.Users, tc.want.Departments = nil, nil, nil, nil
		if e.Key() != tc.want.Key() || e.ID != tc.want.ID || e.Process != tc.want.Process {
			t.Errorf("%s: %+v, want %+v", name, e, tc.want)
		}
	}
}

// TestEventRefused: what is no message, names no type, or names a field in two
// spellings is no event (T5, T63).
func TestEventRefused(t *testing.T) {
	for _, message := range []string{
		"", "null", "[]", `"x"`, `{}`, `{"CorpId":"c"}`, `{"EventType":""}`, `{"EventType":["user_add_org"]}`,
		`{"EventType":"a","eventtype":"b"}`, `{"EventType":"a","UserId":["x"],"userId":["y"]}`, "{\"EventType\":\"\xff\"}",
	} {
		if e, ok := parseEvent([]byte(message)); ok {
			t.Errorf("%s: %+v", message, e)
		}
	}
}

// TestEventKey proves T65: two deliveries of one happening have one key,
// whatever order their lists come in; anything that matters makes another.
func TestEventKey(t *testing.T) {
	base := Event{Corp: "c", Type: "t", ID: "1", At: time.UnixMilli(5), Users: []string{"a", "b"}, Instance: "p", Change: "finish", Result: "agree"}
	same := base
	same.ID, same.Users, same.Via, same.Raw = "2", []string{"b", "a"}, ViaFailed, []byte("x")
	if base.Key() != same.Key() {
		t.Error("two deliveries of one event have two keys")
	}
	for name, change := range map[string]func(*Event){
		"corp": func(e *Event) { e.Corp = "d" }, "type": func(e *Event) { e.Type = "u" }, "time": func(e *Event) { e.At = time.UnixMilli(6) },
		"users": func(e *Event) { e.Users = []string{"ab"} }, "result": func(e *Event) { e.Result = "refuse" },
		"shifted": func(e *Event) { e.Instance, e.Task = "", "p" }, "departments": func(e *Event) { e.Departments = []int64{1} },
	} {
		other := base
		change(&other)
		if other.Key() == base.Key() {
			t.Errorf("%s: the same key", name)
		}
	}
}

// FuzzEvent: no message breaks the parser, and an event always has a type, an id
// and the message itself (T63).
func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"EventType":"user_add_org","CorpId":"c","userId":["a"],"EventTime":1}`))
	f.Add([]byte(`{"EventType":"bpms_instance_change","corpId":"c","processInstanceId":"p","type":"finish"}`))
	f.Add([]byte(`{"call_back_tag":"x","event_time":1,"x":{"callbackData":"{\"userid\":\"a\"}","corpid":"c"}}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		for _, parse := range []func([]byte) (Event, bool){
			parseEvent, func(m []byte) (Event, bool) { return failedEvent(m) },
		} {
			e, ok := parse(message)
			if ok && (e.Type == "" || e.ID == "" || !bytes.Equal(e.Raw, message) || e.Key() == "") {
				t.Errorf("%q: %+v", message, e)
			}
		}
	})
}

// FuzzStreamFrame: no frame breaks the reader, and what it accepts can be
// answered.
func FuzzStreamFrame(f *testing.F) {
	f.Add([]byte(`{"specVersion":"1.0","type":"EVENT","headers":{"messageId":"m","eventType":"user_add_org","eventBornTime":"1"},"data":"{\"userId\":[\"a\"]}"}`))
	f.Add([]byte(`{"type":"SYSTEM","header":{"topic":"ping","messageId":"m"},"data":"{\"opaque\":\"x\"}"}`))
	f.Add([]byte(`{"type":"SYSTEM","headers":{"topic":"disconnect"},"data":{"reason":"x"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		fr, ok := readFrame(raw)
		if !ok {
			return
		}
		if e := fr.event(); e.ID == "" {
			t.Errorf("%q: an event without id", raw)
		}
		if answer, err := fr.answer(200, "OK", string(fr.data)); err != nil || len(answer) == 0 {
			t.Errorf("%q: %v", raw, err)
		}
	})
}

// TestFrames proves 6.6: header and headers, data as text and as an object; a
// frame that names a member twice is not read.
func TestFrames(t *testing.T) {
	for raw, want := range map[string]string{
		`{"type":"SYSTEM","headers":{"topic":"ping","messageId":"m"},"data":"{\"opaque\":\"o\"}"}`: `SYSTEM ping m {"opaque":"o"}`,
		`{"type":"SYSTEM","header":{"Topic":"ping","MessageId":7},"data":{"opaque":"o"}}`:          `SYSTEM ping 7 {"opaque":"o"}`,
		`{"type":"SYSTEM","headers":{"topic":"disconnect"}}`:                                       `SYSTEM disconnect  `,
		`{"type":"EVENT","type":"SYSTEM"}`:                                                         "refused",
		`{"type":"EVENT","Type":"SYSTEM"}`:                                                         "refused",
		`{"headers":{}}`:                                                                           "refused",
		`nonsense`:                                                                                 "refused",
	} {
		f, ok := readFrame([]byte(raw))
		got := "refused"
		if ok {
			got = strings.Join([]string{f.kind, f.topic, f.id, string(f.data)}, " ")
		}
		if got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

// TestEnvelopeQuery proves T62: each value comes once, under one of its names or
// under both with the same value.
func TestEnvelopeQuery(t *testing.T) {
	body := `{"encrypt":"x"}`
	for query, want := range map[string]bool{
		"signature=s&timestamp=1&nonce=n":                   true,
		"msg_signature=s&timeStamp=1&nonce=n":               true,
		"signature=s&msg_signature=s&timestamp=1&nonce=n":   true,
		"signature=s&msg_signature=t&timestamp=1&nonce=n":   false,
		"signature=s&signature=s&timestamp=1&nonce=n":       false,
		"signature=s&timestamp=1&timestamp=2&nonce=n":       false,
		"timestamp=1&nonce=n":                               false,
		"signature=&timestamp=1&nonce=n":                    false,
		"signature=s&nonce=n":                               false,
		"signature=s&timestamp=1":                           false,
		"signature=s&timestamp=1&nonce=n&nonce=n":           false,
		"own=1&own=2&signature=s&timestamp=1&nonce=n&lang=": true,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := readEnvelope(q, []byte(body)); ok != want {
			t.Errorf("%s: %v", query, ok)
		}
	}
	good := url.Values{"signature": {"s"}, "timestamp": {"1"}, "nonce": {"n"}}
	for _, bad := range []string{
		"", "x", `{"encrypt":1}`, `{"encrypt":null}`, `{"encrypt":"a","Encrypt":"b"}`, `{"encrypt":"a","encrypt":"a"}`,
		`{"encrypt":"` + strings.Repeat("a", maxEncrypted+2048) + `"}`,
	} {
		if _, ok := readEnvelope(good, []byte(bad)); ok && bad != `{"encrypt":null}` {
			t.Errorf("body %.40s accepted", bad)
		}
	}
}
