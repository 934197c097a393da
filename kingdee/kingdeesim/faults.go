package kingdeesim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault makes matching calls fail. Match is looked for, whatever the letter
// case, in "METHOD /path".
type Fault struct {
	Match  string `json:"match"`
	Kind   string `json:"kind"`
	Times  int    `json:"times"`            // how many calls; 0 means one, below 0 means for ever
	After  int    `json:"after"`            // how many matching calls to let through first
	Status int    `json:"status,omitempty"` // for status; 0 means 503
	Code   int    `json:"code,omitempty"`   // MsgCode for errcode; 0 means 4
	Text   string `json:"text,omitempty"`   // for errcode and response-error
	Delay  string `json:"delay,omitempty"`  // for slow (default 3s) and drip (per byte, default 100ms)
	Size   int    `json:"size,omitempty"`   // for huge, in bytes; 0 means 64 MiB
	At     string `json:"at,omitempty"`     // for hold: headers, executed (default), reply or after

	DelayMS int `json:"delay_ms,omitempty"` // Delay in milliseconds, as the DingTalk simulator spells it
	ErrCode int `json:"errcode,omitempty"`  // Code, likewise
}

// The fault kinds.
const (
	FaultStatus        = "status"         // an empty answer with an HTTP status (K102)
	FaultErrCode       = "errcode"        // an operation error with a MsgCode
	FaultSlow          = "slow"           // the right answer, late
	FaultDrip          = "drip"           // the right answer, byte by byte
	FaultReset         = "reset"          // the connection is cut
	FaultHTMLBan       = "html-ban"       // an HTML page with status 200
	FaultQuota         = "quota"          // MsgCode 14
	FaultThrottle      = "throttle"       // 429 with Retry-After
	FaultTruncate      = "truncate"       // half of the right answer
	FaultGarbage       = "garbage"        // bytes that are no JSON
	FaultDuplicateKey  = "duplicate-key"  // an object that names a member twice
	FaultHuge          = "huge"           // an answer without a reasonable end
	FaultResponseError = "response-error" // K7: response_error: plain text
	FaultAfter         = "after"          // the call takes effect, then 500 (K72)
	FaultHang          = "hang"           // the call takes effect, then the connection is cut without an answer (K72)
	FaultHold          = "hold"           // the call is kept until Release, see HeldCall (R30)
	FaultLoseSession   = "lose-session"   // the caller's session ends just before the call (R27)
)

func faultKinds() []string {
	return []string{
		FaultStatus, FaultErrCode, FaultSlow, FaultDrip, FaultReset, FaultHTMLBan, FaultQuota, FaultThrottle,
		FaultTruncate, FaultGarbage, FaultDuplicateKey, FaultHuge, FaultResponseError, FaultAfter, FaultHang, FaultHold, FaultLoseSession,
	}
}

// faults are those that wait for their call.
type faults struct {
	mu   sync.Mutex
	list []*Fault
}

// AddFault arms a fault. It fails on an unknown kind and on an unreadable delay.
func (s *Server) AddFault(f Fault) error {
	if !slices.Contains(faultKinds(), f.Kind) {
		return fmt.Errorf("kingdeesim: unknown fault %q, know %s", f.Kind, strings.Join(faultKinds(), ", "))
	}
	if err := f.normalise(); err != nil {
		return err
	}
	if f.Delay != "" {
		if _, err := time.ParseDuration(f.Delay); err != nil {
			return fmt.Errorf("kingdeesim: delay: %w", err)
		}
	}
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, &f)
	return nil
}

// Faults returns the faults that are still armed.
func (s *Server) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	out := make([]Fault, 0, len(s.faults.list))
	for _, f := range s.faults.list {
		out = append(out, *f)
	}
	return out
}

// ClearFaults disarms every fault.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
}

// take gives the fault for a call, if one waits for it.
func (fs *faults) take(call string) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.list) == 0 {
		return nil
	}
	call = strings.ToLower(call)
	for i, f := range fs.list {
		if !strings.Contains(call, strings.ToLower(f.Match)) {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		taken := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				fs.list = slices.Delete(fs.list, i, i+1)
			}
		}
		return &taken
	}
	return nil
}

// serveFault answers a call wrongly.
func (s *Server) serveFault(w http.ResponseWriter, r *request, f Fault) {
	switch f.Kind {
	case FaultStatus:
		w.WriteHeader(orInt(f.Status, http.StatusServiceUnavailable))
	case FaultErrCode:
		s.operationFault(w, r, failed(orInt(f.Code, codeException), "%s", orElse(f.Text, "系统异常")))
	case FaultQuota:
		s.operationFault(w, r, failed(codeQuota, "%s", orElse(f.Text, "接口调用次数已达上限")))
	case FaultThrottle:
		w.Header().Set("Retry-After", "1")
		writeText(w, http.StatusTooManyRequests, "Too Many Requests")
	case FaultHTMLBan:
		render(w, http.StatusOK, "error", "请求参数存在可疑数据,当前请求已经被拦截")
	case FaultResponseError:
		writeText(w, http.StatusOK, "response_error:"+orElse(f.Text, "服务内部错误"))
	case FaultReset:
		reset(w)
	case FaultHuge:
		writeHuge(w, orInt(f.Size, 64<<20))
	case FaultSlow:
		if pause(r, f.Delay, 3*time.Second) {
			s.serveVendor(w, r)
		}
	case FaultHold:
		s.serveHeld(w, r, f.At)
	case FaultLoseSession:
		s.loseSession(r)
		s.serveVendor(w, r)
	case FaultHang:
		s.serveVendor(&heldAnswer{header: http.Header{}}, r)
		reset(w)
	default:
		s.spoil(w, r, f)
	}
}

func orInt(n, fallback int) int {
	if n == 0 {
		return fallback
	}
	return n
}

// operationFault is a MsgCode in the shape the called method answers errors in.
func (s *Server) operationFault(w http.ResponseWriter, r *request, e *opError) {
	call := strings.TrimSuffix(strings.ToLower(r.URL.Path), serviceTail)
	if i := strings.LastIndexByte(call, '.'); i >= 0 && strings.Contains(call, formClass) {
		s.writeOperationError(w, call[i+1:], e)
		return
	}
	s.writeOperationError(w, "", e)
}

// pause waits, unless the caller goes away first.
func pause(r *request, delay string, fallback time.Duration) bool {
	wait, err := time.ParseDuration(delay)
	if err != nil {
		wait = fallback
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// reset cuts the connection; over HTTP/2, where it cannot, it answers 502.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // so that the peer sees RST, not a tidy end
	}
	_ = conn.Close()
}

func writeHuge(w http.ResponseWriter, size int) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if _, err := w.Write([]byte(`{"Result":"`)); err != nil {
		return
	}
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	for sent := 0; sent < size; sent += len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
	_, _ = w.Write([]byte(`"}`)) // the caller may have gone
}

// heldAnswer keeps an answer back.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heldAnswer) Header() http.Header         { return h.header }
func (h *heldAnswer) WriteHeader(status int)      { h.status = status }
func (h *heldAnswer) Write(p []byte) (int, error) { return h.body.Write(p) }

// spoil makes the right answer and then ruins it.
func (s *Server) spoil(w http.ResponseWriter, r *request, f Fault) {
	good := &heldAnswer{header: http.Header{}, status: http.StatusOK}
	s.serveVendor(good, r)
	body := good.body.Bytes()
	for name, values := range good.header {
		w.Header()[name] = values
	}
	switch f.Kind {
	case FaultDrip:
		w.WriteHeader(good.status)
		drip(w, r, body, f.Delay)
		return
	case FaultTruncate:
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(good.status)
		_, _ = w.Write(body[:len(body)/2])
		return
	case FaultGarbage:
		body = []byte("\xff\xfe\x00{]:" + string(body[:min(len(body), 8)]))
	case FaultDuplicateKey:
		body = duplicateKey(body)
	case FaultAfter:
		w.Header().Del("Content-Length")
		writeText(w, http.StatusInternalServerError, "Server Error in '/K3Cloud' Application.")
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(good.status)
	_, _ = w.Write(body)
}

func drip(w http.ResponseWriter, r *request, body []byte, delay string) {
	flush := http.NewResponseController(w)
	for _, b := range body {
		if !pause(r, delay, 100*time.Millisecond) {
			return
		}
		if _, err := w.Write([]byte{b}); err != nil {
			return
		}
		if err := flush.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return
		}
	}
}

// duplicateKey makes the outermost object of a body name its first member
// twice; a body without an object becomes one.
func duplicateKey(body []byte) []byte {
	before, after, found := bytes.Cut(body, []byte("{"))
	dec := json.NewDecoder(bytes.NewReader(append([]byte("{"), after...)))
	_, _ = dec.Token() // the brace just put there
	name, err := dec.Token()
	key, isName := name.(string)
	if !found || err != nil || !isName {
		return fmt.Appendf(nil, `{"Result":%s,"Result":[]}`, body)
	}
	return fmt.Appendf(nil, `%s{%q:null,%s`, before, key, after)
}
