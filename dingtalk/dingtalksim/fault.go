package dingtalksim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fault makes calls fail (SIM-D109, SIM-D112, SIM-D113).
type Fault struct {
	ID int `json:"id"`
	// Match is a substring of "METHOD /path"; empty matches every vendor call.
	Match string `json:"match"`
	// Kind is what happens; see faultKinds. status, errcode, html-ban, quota
	// and throttle answer in place of the API; the others run it first and spoil
	// its answer, so that its effect stays.
	Kind string `json:"kind"`
	// Times is how many calls fail; 0 means 1, negative means until cleared.
	Times int `json:"times"`
	// After lets that many matching calls through first.
	After int `json:"after"`
	// Status is the HTTP status of kind status (500) and errcode on the new host.
	Status int `json:"status,omitempty"`
	// ErrCode is the reason of kind errcode: a number for the old host, a text
	// for the new one; 90002 with kind throttle is everyone's limit.
	ErrCode Reason `json:"errcode,omitempty"`
	// Message is the text that goes with ErrCode or Status.
	Message string `json:"message,omitempty"`
	// Body replaces the whole answer body of kind status.
	Body string `json:"body,omitempty"`
	// DelayMS is the wait of slow (30 000) and the wait per byte of drip (50).
	DelayMS int `json:"delay_ms,omitempty"`
	// Size is the number of bytes that huge adds (64 MiB).
	Size int64 `json:"size,omitempty"`
	// Value is what duplicate-key puts in front of the true value.
	Value string `json:"value,omitempty"`
}

// Reason is an error code that JSON may give as number or as text.
type Reason string

// UnmarshalJSON takes 40014 and "InvalidAuthentication" alike.
func (r *Reason) UnmarshalJSON(raw []byte) error {
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		*r = Reason(n.String())
		return nil
	}
	return json.Unmarshal(raw, (*string)(r))
}

// Kinds of Fault.
const (
	faultStatus    = "status"
	faultErrCode   = "errcode"
	faultSlow      = "slow"
	faultDrip      = "drip"
	faultReset     = "reset"
	faultHTMLBan   = "html-ban"
	faultQuota     = "quota"
	faultThrottle  = "throttle"
	faultTruncate  = "truncate"
	faultGarbage   = "garbage"
	faultDuplicate = "duplicate-key"
	faultHuge      = "huge"
	faultEmpty     = "empty"
	faultBOM       = "bom"
)

// Kinds of Fault that hit events (SIM-D76). Match is then a substring of
// "EVENT type"; of "FRAME type" for drop-after; of "PING connection" for
// no-ping and stall.
const (
	faultLose       = "event-lost"
	faultTwice      = "event-duplicate"
	faultLate       = "event-late" // by DelayMS of the vendor's clock, 60 s
	faultReorder    = "event-reorder"
	faultDropSocket = "stream-drop"       // the sockets are cut before the event goes out
	faultDropAfter  = "stream-drop-after" // its socket is cut after the frame, before the answer
	faultNoPing     = "stream-no-ping"
	faultStall      = "stream-stall" // half open: nothing is read or written any more
)

func eventFaultKinds() []string {
	return []string{
		faultLose, faultTwice, faultLate, faultReorder, faultDropSocket, faultDropAfter, faultNoPing, faultStall,
	}
}

func faultKinds() []string {
	return []string{
		faultStatus, faultErrCode, faultSlow, faultDrip, faultReset, faultHTMLBan, faultQuota, faultThrottle,
		faultTruncate, faultGarbage, faultDuplicate, faultHuge, faultEmpty, faultBOM,
	}
}

func (f *Fault) validate() error {
	if known := append(faultKinds(), eventFaultKinds()...); !slices.Contains(known, f.Kind) {
		return fmt.Errorf("dingtalksim: %w: fault kind %q (want one of %s)", ErrInvalid, f.Kind, strings.Join(known, ", "))
	}
	if f.After < 0 || f.DelayMS < 0 || f.Size < 0 {
		return fmt.Errorf("dingtalksim: %w: after, delay_ms and size must not be negative", ErrInvalid)
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		return fmt.Errorf("dingtalksim: %w: status %d", ErrInvalid, f.Status)
	}
	return nil
}

// faults are the ones in force, oldest first. active lets a call pass without
// the lock while there are none.
type faults struct {
	active atomic.Int32
	mu     sync.Mutex
	serial int
	list   []*Fault
}

// AddFault puts a fault in force and returns its id.
func (s *Server) AddFault(f Fault) (int, error) {
	if err := f.validate(); err != nil {
		return 0, err
	}
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.serial++
	f.ID = s.faults.serial
	s.faults.list = append(s.faults.list, &f)
	s.faults.active.Store(int32(len(s.faults.list)))
	return f.ID, nil
}

// Faults lists what is in force, with the times that are left.
func (s *Server) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	list := make([]Fault, 0, len(s.faults.list))
	for _, f := range s.faults.list {
		list = append(list, *f)
	}
	return list
}

// ClearFaults ends the fault of that id, or all of them when id is 0.
func (s *Server) ClearFaults(id int) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = slices.DeleteFunc(s.faults.list, func(f *Fault) bool { return id == 0 || f.ID == id })
	s.faults.active.Store(int32(len(s.faults.list)))
}

// take finds the fault that this call meets and counts it down; nil: none.
func (f *faults) take(route string) *Fault { return f.find(route, faultKinds()) }

// takeEvent is take for what happens to events; kinds are those that apply.
func (f *faults) takeEvent(route string, kinds ...string) *Fault { return f.find(route, kinds) }

func (f *faults) find(route string, kinds []string) *Fault {
	if f.active.Load() == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, one := range f.list {
		if !strings.Contains(route, one.Match) || !slices.Contains(kinds, one.Kind) {
			continue
		}
		if one.After > 0 {
			one.After--
			continue
		}
		met := *one
		if one.Times > 0 {
			if one.Times--; one.Times == 0 {
				f.list = slices.Delete(f.list, i, i+1)
				f.active.Store(int32(len(f.list)))
			}
		}
		return &met
	}
	return nil
}

// before answers in place of the API, if the fault is of that sort.
func (f *Fault) before(c *call) (answer, bool) {
	if f == nil {
		return answer{}, false
	}
	// The texts of throttling and quota name the application where it is known.
	switch f.Kind {
	case faultStatus:
		return c.brokenStatus(f), true
	case faultErrCode:
		return c.brokenCode(f), true
	case faultHTMLBan:
		return c.banPage(c.s.sw().BanJSON), true
	case faultQuota:
		return c.monthUsedUp(), true
	case faultThrottle:
		if f.ErrCode == "90002" {
			return c.throttledAll(), true
		}
		return c.throttled(), true
	}
	return answer{}, false
}

// brokenStatus is an HTTP failure: 429 in the API's words, 5xx as the page of a
// load balancer.
func (c *call) brokenStatus(f *Fault) answer {
	status := f.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	if f.Body != "" {
		return answer{status: status, ctype: typeNew, body: []byte(f.Body), code: strconv.Itoa(status)}
	}
	switch {
	case status == http.StatusTooManyRequests:
		return c.fail(status, "systemBusy", "系统繁忙")
	case status == http.StatusInternalServerError && c.newHost():
		return c.fail(status, "system.error", "系统错误")
	case status == http.StatusForbidden:
		return answer{status: status, ctype: typeHTML, code: "403", body: []byte("Forbidden")}
	case status >= 500:
		text := strconv.Itoa(status) + " " + http.StatusText(status)
		return answer{
			status: status, ctype: typeHTML, code: strconv.Itoa(status),
			body: []byte("<html>\n<head><title>" + text + "</title></head>\n<body>\n<center><h1>" + text + "</h1></center>\n<hr><center>Tengine</center>\n</body>\n</html>\n"),
		}
	default:
		return c.fail(status, "unknownError", "未知错误")
	}
}

// after spoils the body of an answer.
func (f *Fault) after(c *call, a answer) answer {
	if f == nil {
		return a
	}
	switch f.Kind {
	case faultTruncate:
		a.body = a.body[:len(a.body)/2]
	case faultGarbage:
		a.body = []byte("\x1f\x8b\x00\xff\xfe{]garbage\x00<\xc3\x28")
	case faultDuplicate:
		a.body = duplicateKey(a.body, f.Value)
	case faultEmpty:
		a.body = nil
	case faultBOM:
		a.body = append([]byte("\xef\xbb\xbf"), a.body...)
	}
	return a
}

// duplicateKey puts a second value before the true one of the member that
// matters most, so that a decoder taking the first or the last of two equal
// names gives two different people.
func duplicateKey(body []byte, value string) []byte {
	if value == "" {
		value = "manager01"
	}
	for _, name := range []string{"userid", "unionId", "unionid", "corpId", "accessToken", "access_token", "errcode", "code"} {
		key := []byte(`"` + name + `":`)
		if i := bytes.Index(body, key); i >= 0 {
			extra := append(append([]byte{}, key...), encode(value)...)
			return slices.Concat(body[:i], extra, []byte(","), body[i:])
		}
	}
	return body
}

// write sends the answer, in the fault's own way if it has one.
func (f *Fault) write(w http.ResponseWriter, c *call, a answer) {
	if f == nil {
		c.write(w, a)
		return
	}
	switch f.Kind {
	case faultSlow:
		if f.wait(c, 30_000) {
			c.write(w, a)
		}
	case faultDrip:
		f.drip(w, c, a)
	case faultReset:
		reset(w)
	case faultHuge:
		f.huge(w, c, a)
	default:
		c.write(w, a)
	}
}

// wait lasts DelayMS (or byDefault) of real time; false when the caller left.
func (f *Fault) wait(c *call, byDefault int) bool {
	ms := f.DelayMS
	if ms == 0 {
		ms = byDefault
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.r.Context().Done():
		return false
	}
}

// drip sends byte by byte.
func (f *Fault) drip(w http.ResponseWriter, c *call, a answer) {
	body := a.body
	a.body = nil
	c.write(w, a)
	out := http.NewResponseController(w)
	for i := range body {
		if _, err := w.Write(body[i : i+1]); err != nil || out.Flush() != nil || !f.wait(c, 50) {
			return
		}
	}
}

// reset closes the connection with a TCP reset, after the call took effect.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // not a real connection: an empty answer is the nearest thing
	}
	if lingering, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = lingering.SetLinger(0)
	}
	_ = conn.Close()
}

// huge sends the answer with a member of Size bytes at its end.
func (f *Fault) huge(w http.ResponseWriter, c *call, a answer) {
	size := f.Size
	if size == 0 {
		size = 64 << 20
	}
	a.body = slices.Concat(bytes.TrimSuffix(a.body, []byte("}")), []byte(`,"padding":"`))
	c.write(w, a)
	chunk := bytes.Repeat([]byte("x"), 32<<10)
	for size > 0 {
		n, err := w.Write(chunk[:min(size, int64(len(chunk)))])
		if err != nil {
			return
		}
		size -= int64(n)
	}
	_, _ = w.Write([]byte(`"}`))
}
