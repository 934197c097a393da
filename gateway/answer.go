package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/web"
)

// endpoint is a handler that returns its failure; serve turns it into a page.
type endpoint func(w http.ResponseWriter, r *http.Request) error

// retryAfter is when to come again, in seconds.
const retryAfter = "5"

// beijing is the zone of every time that people read.
var beijing = time.FixedZone("UTC+8", 8*60*60)

func (g *Gateway) serve(h endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		if r.ContentLength > maxBody {
			g.fail(w, r, &refusal{http.StatusRequestEntityTooLarge, "body too large"})
			return
		}
		if err := h(w, r); err != nil {
			g.fail(w, r, err)
		}
	})
}

func notFound() error {
	return identity.Fail(identity.NotFound, identity.CodeNotFound, "no such page")
}

// kindStatus is the one table from kinds to statuses.
var kindStatus = [...]int{
	identity.Internal:        http.StatusInternalServerError,
	identity.Invalid:         http.StatusBadRequest,
	identity.Unauthenticated: http.StatusUnauthorized,
	identity.Forbidden:       http.StatusForbidden,
	identity.NotFound:        http.StatusNotFound,
	identity.Conflict:        http.StatusConflict,
	identity.Throttled:       http.StatusTooManyRequests,
	identity.Unavailable:     http.StatusServiceUnavailable,
	identity.Upstream:        http.StatusBadGateway,
	identity.Misconfigured:   http.StatusServiceUnavailable,
}

// StatusOf is the HTTP status of a kind, here and in the console.
func StatusOf(kind identity.Kind) int {
	if kind < 0 || int(kind) >= len(kindStatus) {
		return http.StatusInternalServerError
	}
	return kindStatus[kind]
}

// verdict is the public half of a failure: status and short code.
func verdict(err error) (int, identity.Code) {
	if e, ok := errors.AsType[*refusal](err); ok {
		return e.status, identity.CodeBadRequest
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge, identity.CodeBadRequest
	}
	kind, code := identity.KindOf(err), identity.CodeOf(err)
	if code == "" {
		code = codeOfKind(kind)
	}
	if isChain(code) && kind != identity.Unavailable {
		return http.StatusForbidden, code // the page exists and the person is known; they may not pass
	}
	return StatusOf(kind), code
}

func codeOfKind(kind identity.Kind) identity.Code {
	switch kind {
	case identity.Invalid:
		return identity.CodeBadRequest
	case identity.NotFound:
		return identity.CodeNotFound
	case identity.Unauthenticated:
		return identity.CodeSignInExpired
	case identity.Throttled:
		return identity.CodeTooManyTries
	default:
		return identity.CodeInternal
	}
}

// isChain reports a KD-2xx: the person is proven, a link of their chain is broken.
func isChain(code identity.Code) bool { return strings.HasPrefix(string(code), "KD-2") }

// trouble is what the error page shows.
type trouble struct {
	Code      identity.Code
	RequestID string
	Time      string // UTC+8, with the zone
	Person    string // userid, only of the person who is looking, once proven
	Name      string // their own display name
	Retry     string // where "try again" leads, empty for nowhere
	Chain     bool   // a link of the person's own chain is broken
	SignOut   bool   // whether "not me" makes sense
	Wish      *wishView
}

// failure is an error together with what the page may say about the person in front of it.
type failure struct {
	err   error
	who   identity.Assertion
	retry string
	// centre is the data centre whose chain broke, empty where none did.
	centre string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// fail answers with the page of an error. It shows the code and the request
// id, which join it to the log; the cause goes to the log only (T130).
func (g *Gateway) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, code := verdict(err)
	v := visitOf(r)
	g.baseline(w.Header(), v.id) // a proxied request has none of it yet
	g.logFailure(r, status, code, err)
	if code == identity.CodeStoreDown {
		g.pulse.miss()
	}
	g.tarpit.slow(r, status, v.address)
	comeAgain(w.Header(), status)
	if code == identity.CodeKingdeeBusy && r.Method == http.MethodGet {
		w.Header().Set("Refresh", retryAfter) // a short queue: the page comes again by itself
	}
	if wantsJSON(r) || isAPI(r.URL.Path) {
		g.json(w, status, map[string]string{"code": string(code), "request_id": v.id})
		return
	}
	show := trouble{Code: code, RequestID: v.id, Time: g.clock(), Chain: isChain(code)}
	if f, ok := errors.AsType[*failure](err); ok {
		show.Person, show.Name, show.Retry = f.who.Subject.UserID, f.who.Name, f.retry
		show.SignOut, show.Wish = !f.who.Subject.IsZero(), g.wishOf(r, f, code)
	}
	g.page(w, r, page{status: status, name: "error", data: show, policy: policy{forms: true}})
}

// comeAgain says when, where an answer is for now only (RFC 9110 10.2.3, RFC 6585 4).
func comeAgain(h http.Header, status int) {
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		h.Set("Retry-After", retryAfter)
	}
}

func (g *Gateway) logFailure(r *http.Request, status int, code identity.Code, err error) {
	attrs := []any{"request_id", visitOf(r).id, "code", string(code), "status", status, "error", err}
	if status >= http.StatusInternalServerError {
		g.cfg.Logger.Error("failed", attrs...)
		return
	}
	g.cfg.Logger.Info("refused", attrs...)
}

// page is one answer in HTML.
type page struct {
	status int
	name   string
	data   any
	policy policy
}

// page renders and sends. The language switch is shown where a GET can bring
// the same page again.
func (g *Gateway) page(w http.ResponseWriter, r *http.Request, p page) {
	words, canonical := g.pages.Catalogue().For(r), ""
	if r.Method == http.MethodGet && r.URL.Path != callbackPath {
		canonical = withoutLang(r)
	}
	body, err := g.render(p, words, canonical)
	g.send(w, r, p, words.Lang, body, err)
}

func (g *Gateway) render(p page, words web.Words, canonical string) ([]byte, error) {
	var body bytes.Buffer
	err := g.pages.Render(&body, web.View{Words: words, Page: p.name, Data: p.data, Canonical: canonical})
	return body.Bytes(), err
}

// send answers with what was rendered, or says that it was not.
func (g *Gateway) send(w http.ResponseWriter, r *http.Request, p page, lang string, body []byte, err error) {
	if err != nil {
		v := visitOf(r)
		g.cfg.Logger.Error("page", "request_id", v.id, "error", err)
		http.Error(w, "500 "+string(identity.CodeInternal)+" "+v.id, http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Language", lang)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Content-Security-Policy", p.policy.with(g).text())
	// Our forms post to ourselves. Under no-referrer an old browser sends them
	// with "Origin: null", which the same-origin check refuses.
	header.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the reader has gone: nobody is left to tell
	}
}

// withoutLang is this page's own address, ready for ?lang= to be added. Of the
// query only what our own pages need is kept: somebody may have put a code there.
func withoutLang(r *http.Request) string {
	query, kept := r.URL.Query(), url.Values{}
	for _, name := range [...]string{"state", "failed", "kingdee", "via", "corpId"} {
		if query.Has(name) {
			kept.Set(name, query.Get(name))
		}
	}
	if len(kept) == 0 {
		return r.URL.EscapedPath() + "?"
	}
	return r.URL.EscapedPath() + "?" + kept.Encode() + "&"
}

func wantsJSON(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/json")
}

func (g *Gateway) json(w http.ResponseWriter, status int, body map[string]string) {
	text, err := json.Marshal(body)
	if err != nil { // a map of strings always encodes
		text = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}

// seeOther sends a browser on with GET, whatever it came with, and says nothing
// in the body: an address that carries a link must not be in a page (T30).
func seeOther(w http.ResponseWriter, address string) {
	w.Header().Set("Location", address)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusSeeOther)
}

// policy is the content security policy of one page.
type policy struct {
	script  string   // origin of a client script that is not ours
	framed  bool     // may stand in a frame of DingTalk
	forms   bool     // holds a form of ours
	targets []string // origins that a form's answer may redirect to: Chromium applies form-action to redirects too
}

const dingTalkFrames = "https://*.dingtalk.com"

// with adds the data centres to a page with forms, since launch may follow.
func (p policy) with(g *Gateway) policy {
	if !p.forms {
		return p
	}
	for _, dc := range g.cfg.DataCentres {
		if origin, err := originOf(dc.Origin); err == nil && origin != "" && !slices.Contains(p.targets, origin) {
			p.targets = append(p.targets, origin)
		}
	}
	p.targets = append(append(p.targets, g.cfg.ForwardAuth...), g.cfg.ForwardHosts...)
	return p
}

func (p policy) text() string {
	frames, forms := "'none'", "'none'"
	if p.framed {
		frames = "'self' " + dingTalkFrames
	}
	if p.forms {
		forms = strings.Join(append([]string{"'self'"}, p.targets...), " ")
	}
	script := "'self'"
	if p.script != "" {
		script += " " + p.script
	}
	return "default-src 'none'; script-src " + script + "; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"form-action " + forms + "; base-uri 'none'; frame-ancestors " + frames
}
