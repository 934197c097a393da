package dingtalksim

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Call is one recorded vendor call, secrets masked (SIM-D117).
type Call struct {
	N        int       `json:"n"`
	Route    string    `json:"route"` // "METHOD /path"
	Method   string    `json:"method"`
	Path     string    `json:"path"`
	Query    string    `json:"query,omitempty"`
	Caller   string    `json:"caller"` // application key, or the address when none is known
	Corp     string    `json:"corp,omitempty"`
	Address  string    `json:"address"`
	Time     time.Time `json:"time"` // on the vendor's clock
	Status   int       `json:"status"`
	Code     string    `json:"code,omitempty"`  // errcode, sub_code or code; "0" on old success
	Fault    string    `json:"fault,omitempty"` // kind of the fault it met
	Request  string    `json:"request,omitempty"`
	Answer   string    `json:"answer,omitempty"`
	Location string    `json:"location,omitempty"`
}

// keepBody bounds how much of a body is kept.
const keepBody = 4 << 10

// calls is a ring of the latest calls. What it keeps is raw; masking is done
// when somebody looks, not while the vendor is busy.
type calls struct {
	mu   sync.Mutex
	keep int
	n    int
	ring []rawCall
}

type rawCall struct {
	Call
	query    string
	request  []byte
	answer   []byte
	location string
}

func (c *call) record(a answer, f *Fault) rawCall {
	raw := rawCall{
		Call: Call{
			Method: c.r.Method, Path: c.r.URL.Path, Caller: c.ip, Address: c.ip,
			Time: c.started, Status: a.status, Code: a.code,
		},
		query: c.r.URL.RawQuery, request: head(c.body), answer: head(a.body), location: a.header.Get("Location"),
	}
	if c.app != nil {
		raw.Caller, raw.Corp = c.app.key, c.app.corp.id
	}
	if f != nil {
		raw.Fault = f.Kind
	}
	return raw
}

func head(b []byte) []byte { return b[:min(len(b), keepBody):min(len(b), keepBody)] }

func (k *calls) add(one rawCall) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n++
	one.N = k.n
	if len(k.ring) < k.keep {
		k.ring = append(k.ring, one)
		return
	}
	k.ring[(k.n-1)%k.keep] = one
}

// Calls lists the recorded calls, oldest first; match is a substring of
// "METHOD /path", empty for all.
func (s *Server) Calls(match string) []Call {
	s.calls.mu.Lock()
	raws := make([]rawCall, 0, len(s.calls.ring))
	start := 0
	if len(s.calls.ring) == s.calls.keep {
		start = s.calls.n % s.calls.keep
	}
	raws = append(append(raws, s.calls.ring[start:]...), s.calls.ring[:start]...)
	s.calls.mu.Unlock()
	list := make([]Call, 0, len(raws))
	for _, raw := range raws {
		raw.Route = raw.Method + " " + raw.Path
		if strings.Contains(raw.Route, match) {
			list = append(list, raw.masked())
		}
	}
	return list
}

// CallCount is how many vendor calls were made since the last ForgetCalls, kept
// or not.
func (s *Server) CallCount() int {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return s.calls.n
}

// ForgetCalls empties the record.
func (s *Server) ForgetCalls() {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	s.calls.n, s.calls.ring = 0, nil
}

func (r rawCall) masked() Call {
	r.Query = maskQuery(r.query)
	r.Request, r.Answer = maskBody(r.request), maskBody(r.answer)
	if u, err := url.Parse(r.location); err == nil && r.location != "" {
		u.RawQuery = maskQuery(u.RawQuery)
		r.Location = u.String()
	}
	return r.Call
}

const mask = "***"

// secretName matches the names of values that let somebody act: tokens,
// secrets, keys, signatures, one-time codes, tickets. "code" of an error answer is
// no secret and "errcode" is another name.
var secretName = regexp.MustCompile(`(?i)^(access_?token|refresh_?token|app_?secret|client_?secret|corp_?secret|system_?token|code|auth_?code|tmp_?code|ticket|jsapi_?ticket|token|aes_?key|sign|signature|state)$`)

var (
	secretMember = regexp.MustCompile(`(?i)"(access_?token|refresh_?token|app_?secret|client_?secret|corp_?secret|system_?token|auth_?code|tmp_?code|ticket|jsapi_?ticket|token|aes_?key|downloadUri)"(\s*:\s*)"(?:[^"\\]|\\.)*("|$)`)
	secretTag    = regexp.MustCompile(`(<ticket>)[^<]*`)
	requestCode  = regexp.MustCompile(`"code"(\s*:\s*)"[0-9a-zA-Z]{24,}("|$)`)
)

// maskQuery masks by name; a query that does not parse is masked whole.
func maskQuery(raw string) string {
	if raw == "" {
		return ""
	}
	v, err := url.ParseQuery(raw)
	if err != nil {
		return mask
	}
	for name := range v {
		if secretName.MatchString(name) {
			v.Set(name, mask)
		}
	}
	return strings.ReplaceAll(v.Encode(), url.QueryEscape(mask), mask)
}

// maskBody masks JSON by member name and forms by field name.
func maskBody(body []byte) string {
	s := string(body)
	if s == "" {
		return ""
	}
	if s[0] != '{' && s[0] != '[' && s[0] != '<' && strings.Contains(s, "=") {
		return maskQuery(s)
	}
	s = secretTag.ReplaceAllString(s, "${1}"+mask)
	s = secretMember.ReplaceAllString(s, `"$1"$2"`+mask+`"`)
	return requestCode.ReplaceAllString(s, `"code"$1"`+mask+`"`)
}

var _ http.Handler = (*Server)(nil)
