package dingtalk

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/internal/strictjson"
)

// EventSource is the way an event came.
type EventSource string

// The ways of events (reference 6).
const (
	ViaStream   EventSource = "stream"
	ViaCallback EventSource = "callback"
	ViaFailed   EventSource = "failed-list"
)

// Types of events that this project acts on. Others exist and more will come:
// an unknown type is an event like any other.
const (
	EventUserAdded      = "user_add_org"
	EventUserModified   = "user_modify_org"
	EventUserLeft       = "user_leave_org"
	EventUserActive     = "user_active_org"
	EventDeptCreated    = "org_dept_create"
	EventDeptModified   = "org_dept_modify"
	EventDeptRemoved    = "org_dept_remove"
	EventAdminAdded     = "org_admin_add"
	EventAdminRemoved   = "org_admin_remove"
	EventInstance       = "bpms_instance_change"
	EventTask           = "bpms_task_change"
	EventCheckURL       = "check_url"
	eventIDFromMessage  = "sha256:"
	mostObjectsOfEvents = 10_000
)

// Event is one event, whichever way it came. It says that something changed
// and names what; what is true now is to be read from DingTalk again (T67).
// Events come more than once, in any order, late, or not at all.
type Event struct {
	Corp string
	Type string
	// ID is the vendor's eventId, the same for every delivery of one event; a
	// hash of the message where the vendor gives none.
	ID   string
	At   time.Time // when it happened, zero when not told
	Born time.Time // when the gateway took it up; Stream only
	Via  EventSource

	Users       []string // userids it names
	Departments []int64
	Instance    string // processInstanceId
	Process     string // processCode
	Task        string // taskId
	Change      string // "type" of approval events: start, finish, terminate, cancel, or a word not known yet
	Result      string // agree, refuse, redirect; absent on start and terminate

	// Raw is the message as JSON text: the business fields alone over Stream,
	// the whole message over HTTP.
	Raw []byte
}

// Check says that this is the vendor's test of the callback address and
// nothing has happened.
func (e Event) Check() bool {
	return e.Type == EventCheckURL || e.Type == "check_create_suite_url" || e.Type == "check_update_suite_url"
}

// Known says that this project knows what an event of this type tells; it need
// not act on it.
func (e Event) Known() bool {
	return e.Check() || slices.Contains([]string{
		EventUserAdded, EventUserModified, EventUserLeft, EventUserActive, EventDeptCreated, EventDeptModified, EventDeptRemoved,
		EventAdminAdded, EventAdminRemoved, EventInstance, EventTask,
	}, e.Type)
}

// Key is the same for two deliveries of one happening even where their ids
// differ: a hash over organisation, type, time, objects and outcome (T65).
func (e Event) Key() string {
	h := sha256.New()
	put := func(parts ...string) {
		for _, part := range parts {
			h.Write(strconv.AppendInt(nil, int64(len(part)), 10))
			h.Write([]byte(":" + part))
		}
	}
	put(e.Corp, e.Type, strconv.FormatInt(e.At.UnixMilli(), 10), e.Instance, e.Task, e.Change, e.Result)
	put(slices.Sorted(slices.Values(e.Users))...)
	put("departments")
	for _, id := range slices.Sorted(slices.Values(e.Departments)) {
		put(strconv.FormatInt(id, 10))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// fields are the members of a message by lower-case name: the vendor spells
// them in PascalCase, camelCase and lower case (reference 6.5). Two spellings
// in one message make it unreadable, so that nobody can hide one behind the
// other.
type fields map[string]jsontext.Value

func readFields(message []byte) (fields, bool) {
	var raw map[string]jsontext.Value
	if strictjson.Decode(message, &raw) != nil {
		return nil, false
	}
	f := make(fields, len(raw))
	for name, value := range raw {
		f[strings.ToLower(name)] = value
	}
	return f, true
}

// first is the first of the names that holds a text or a number.
func (f fields) first(names ...string) string {
	for _, name := range names {
		if s := text(f[name]); s != "" {
			return s
		}
	}
	return ""
}

// texts is a list of texts or numbers, or one alone.
func (f fields) texts(names ...string) []string {
	var list []string
	for _, name := range names {
		for _, v := range values(f[name]) {
			if s := text(v); s != "" && len(list) < mostObjectsOfEvents && !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	}
	return list
}

// values are the elements of a list, also of one in a text, as old pages print them.
func values(v jsontext.Value) []jsontext.Value {
	var list []jsontext.Value
	inner := unwrapText(v)
	if bytes.HasPrefix(inner, []byte("[")) && json.Unmarshal(inner, &list) == nil {
		return list
	}
	if v.Kind() == '[' {
		return nil
	}
	return []jsontext.Value{v}
}

func (f fields) time(names ...string) time.Time {
	ms, err := strconv.ParseInt(f.first(names...), 10, 64)
	if err != nil || ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// fill takes what the fields say into an event; what is set already stays.
func (e *Event) fill(f fields) {
	or := func(into *string, names ...string) {
		if *into == "" {
			*into = f.first(names...)
		}
	}
	or(&e.Type, "eventtype")
	or(&e.ID, "eventid")
	or(&e.Corp, "corpid", "eventcorpid")
	or(&e.Instance, "processinstanceid")
	or(&e.Process, "processcode")
	or(&e.Task, "taskid")
	if e.At.IsZero() {
		e.At = f.time("eventtime", "timestamp", "event_time")
	}
	e.Users = append(e.Users, f.texts("userid", "staffid", "useridlist")...)
	for _, s := range f.texts("deptid") {
		if id, err := strconv.ParseInt(s, 10, 64); err == nil {
			e.Departments = append(e.Departments, id)
		}
	}
	if e.Instance != "" { // elsewhere these names mean other things
		or(&e.Change, "type")
		or(&e.Result, "result")
	}
}

// finished gives an event what every event has.
func (e Event) finished() Event {
	e.Type = clean(e.Type)
	if e.ID == "" {
		sum := sha256.Sum256(e.Raw)
		e.ID = eventIDFromMessage + hex.EncodeToString(sum[:])
	}
	return e
}

// parseEvent reads a decrypted message of the HTTP callback, in the current or
// the older form; false when it is no JSON object or names no type.
func parseEvent(message []byte) (Event, bool) {
	f, ok := readFields(message)
	if !ok {
		return Event{}, false
	}
	e := Event{Via: ViaCallback, Raw: bytes.Clone(message)}
	e.fill(f)
	return e.finished(), e.Type != ""
}
