package dingtalk

import (
	"bytes"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/internal/lazyregexp"
	"kdgate/internal/peer"
	"kdgate/internal/strictjson"
)

// host is one of the two generations; each says no in its own way.
type host int

const (
	oldHost host = iota // oapi: HTTP 200 and errcode
	newHost             // api: HTTP status, code, message
)

// verdict is the first look at an answer.
type verdict int

const (
	answered   verdict = iota // success: the body may be decoded
	refused                   // the reason says why
	unreadable                // not an answer of this API
	banned                    // the page or body that DingTalk shows to banned addresses
)

// answer is what could be read of a response before anybody trusts its content.
type answer struct {
	verdict   verdict
	status    int
	reason    string // sub_code, errcode or code, cleaned for logs
	requestID string
	body      strictjson.Text
	decoded   bool   // into what the caller wants, already
	text      string // errmsg or message: searched for hints, never compared, never logged
	scopes    []string
	// retryAfter is the header of that name, bounded: 0 when there is none.
	retryAfter time.Duration
}

// envelope holds every field by which either host says how a call went. The
// values stay raw because the vendor's own examples quote numbers.
type envelope struct {
	ErrCode   jsontext.Value `json:"errcode"`
	SubCode   jsontext.Value `json:"sub_code"`
	ErrMsg    jsontext.Value `json:"errmsg"`
	RequestID jsontext.Value `json:"request_id"`

	Code         jsontext.Value `json:"code"`
	Message      jsontext.Value `json:"message"`
	NewRequestID jsontext.Value `json:"requestid"`
	Detail       jsontext.Value `json:"AccessDeniedDetail"`
	DetailLower  jsontext.Value `json:"accessdenieddetail"`

	Punish jsontext.Value `json:"punish"`
	Status jsontext.Value `json:"status"`
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// whole is an answer that has the envelope among its own fields. Of large answers
// the second reading costs as much as a third of the first.
type whole interface {
	// empty forgets what an earlier try left and gives the envelope.
	empty() *envelope
}

// sifter is an answer that knows parts of a body already.
type sifter interface {
	// sift gives what is left to be read.
	sift(body []byte) []byte
}

// openEnvelope reads the envelope of a body, and with it the whole answer where
// out can take both; the body of a refusal need not have that shape.
func openEnvelope(body strictjson.Text, out any) (e envelope, decoded bool, err error) {
	if w, ok := out.(whole); ok {
		into := w.empty()
		if body.Decode(w) == nil {
			return *into, true, nil
		}
		w.empty()
	}
	err = body.Decode(&e)
	return e, false, err
}

// readAnswer takes a response apart (reference 0.2). It never fails: what it
// cannot read it calls unreadable. Out is what the caller wants of it, or nil.
func readAnswer(h host, res peer.Response, out any) answer {
	body := bytes.TrimSpace(bytes.TrimPrefix(res.Body, byteOrderMark))
	a := answer{status: res.Status, verdict: unreadable, retryAfter: retryAfter(res.Header)}
	if bytes.HasPrefix(body, []byte("<")) {
		// A load balancer speaks HTML too when what is behind it has failed,
		// and heals sooner than a ban; every other page is the ban page.
		if res.Status < http.StatusInternalServerError {
			a.verdict = banned
		}
		return a
	}
	if s, ok := out.(sifter); ok {
		body = s.sift(body)
	}
	checked, err := strictjson.Check(body)
	if err != nil {
		return a
	}
	e, decoded, err := openEnvelope(checked, out)
	if err != nil {
		return a
	}
	a.body, a.decoded = checked, decoded
	if text(e.Punish) == "deny" || text(e.Status) == "1111" {
		a.verdict = banned
		return a
	}
	if !isJSON(res.Header) {
		return a
	}
	if h == oldHost {
		return a.readOld(e)
	}
	return a.readNew(e)
}

// retryAfter reads whole seconds up to five minutes; anything else is ignored.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 300)) * time.Second
}

// isJSON looks at the media type alone; parameters differ from path to path.
func isJSON(h http.Header) bool {
	value := h.Get("Content-Type")
	media, _, err := mime.ParseMediaType(value)
	return value == "" || err == nil && media == "application/json"
}

func (a answer) readOld(e envelope) answer {
	code, sub := text(e.ErrCode), text(e.SubCode)
	a.requestID, a.text = clean(text(e.RequestID)), text(e.ErrMsg)
	switch {
	case code == "":
		return a // without errcode nothing is proven, whatever else is there
	case code == "0" && (sub == "" || sub == "0"):
		a.verdict = answered
		return a
	}
	a.verdict, a.reason = refused, clean(code)
	if sub == "" {
		sub = subcodeIn(a.text)
	}
	if sub != "" {
		a.reason = clean(sub)
	}
	return a
}

func (a answer) readNew(e envelope) answer {
	a.requestID, a.text = clean(text(e.NewRequestID)), text(e.Message)
	good := a.status >= 200 && a.status < 300
	switch {
	case good && e.ErrCode != nil: // the unversioned-path answer
		a.verdict, a.reason = refused, clean(text(e.ErrCode))
	case good:
		a.verdict = answered
	case a.status >= 400:
		a.verdict, a.reason = refused, clean(text(e.Code))
		a.scopes = append(scopesOf(e.Detail), scopesOf(e.DetailLower)...)
	}
	return a // 1xx and 3xx stay unreadable: this API does not redirect
}

// text is a JSON text or number as text; anything else is empty.
func text(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		var s string
		if json.Unmarshal(v, &s) == nil {
			return s
		}
	case '0':
		return string(bytes.TrimSpace(v))
	}
	return ""
}

func scopesOf(detail jsontext.Value) []string {
	var d struct {
		RequiredScopes []string `json:"requiredScopes"`
	}
	if detail == nil || strictjson.Decode(detail, &d) != nil {
		return nil
	}
	return d.RequiredScopes
}

var subcode = lazyregexp.New(`^ding talk error\[subcode=([A-Za-z0-9._-]{1,64}),`)

// subcodeIn takes the number out of an errmsg that comes without sub_code.
func subcodeIn(errmsg string) string {
	if m := subcode().FindStringSubmatch(errmsg); m != nil {
		return m[1]
	}
	return ""
}

// clean keeps a vendor's word fit for logs and labels: one line, no control
// characters, 100 runes at most.
func clean(s string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		n++
		if n > 100 || r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, s)
}

// hints are the parts of a refusal that an administrator needs to see.
type hints struct {
	scope   string // permission that is missing
	link    string // page to apply for it
	address string // our address as DingTalk sees it
}

var (
	scopeHint   = lazyregexp.New(`requiredScopes=\[([A-Za-z0-9_.,: -]{1,200})\]|所需的权限：\[([A-Za-z0-9_.,: -]{1,200})\]`)
	linkHint    = lazyregexp.New(`https://open-dev\.dingtalk\.com/appscope/apply\?content=[A-Za-z0-9%_.-]{1,200}`)
	addressHint = lazyregexp.New(`request ip=([0-9A-Fa-f.:]{2,45})`)
)

// hintsOf searches the vendor's text for exact shapes, so that nothing else of
// it reaches a log.
func hintsOf(a answer) hints {
	h := hints{link: linkHint().FindString(a.text), scope: clean(strings.Join(a.scopes, ","))}
	if m := scopeHint().FindStringSubmatch(a.text); m != nil && h.scope == "" {
		h.scope = m[1] + m[2]
	}
	if m := addressHint().FindStringSubmatch(a.text); m != nil {
		h.address = m[1]
	}
	return h
}
