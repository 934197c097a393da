package admin

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/mapping"
	"kdgate/web"
)

// policy is the content security policy of every page of the console: nothing
// from elsewhere, nothing inline, no frame (T13, T59).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// statusError is a failure with a status that no kind names.
type statusError struct {
	status int
	reason string
}

func (e *statusError) Error() string { return "admin: " + e.reason }

// codeOf is the code of a kind that brought none.
var codeOf = map[identity.Kind]identity.Code{
	identity.Invalid: identity.CodeRefusedInput, identity.NotFound: identity.CodeNotFound,
	identity.Conflict: identity.CodeChangedBetween, identity.Forbidden: identity.CodeNoConsole,
	identity.Unauthenticated: identity.CodeConsoleSignIn, identity.Throttled: identity.CodeTooManyTries,
	identity.Unavailable: identity.CodeStoreDown,
}

// verdict is the public half of a failure.
func verdict(err error) (int, identity.Code) {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.status, identity.CodeBadRequest
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge, identity.CodeBadRequest
	}
	kind, code := identity.KindOf(err), identity.CodeOf(err)
	if r := mapping.RefusalOf(err); code == "" && r != nil {
		code = codeOfRefusal(r)
	}
	if code == "" {
		code = codeOf[kind]
	}
	if code == "" {
		code = identity.CodeInternal
	}
	return gateway.StatusOf(kind), code
}

// codeOfRefusal tells "changed meanwhile" and "needs others" from "not allowed".
func codeOfRefusal(r *mapping.Refusal) identity.Code {
	switch r.Reason {
	case mapping.ReasonVersion, mapping.ReasonChangedSince:
		return identity.CodeChangedBetween
	case mapping.ReasonOwnChange, mapping.ReasonApproved, mapping.ReasonPrivileged:
		return identity.CodeFourEyes
	case mapping.ReasonAdminNeeded:
		return identity.CodeNoConsole
	case mapping.ReasonAbsent:
		return identity.CodeNotFound
	default:
		return identity.CodeRefusedInput
	}
}

// Fault is a failure as the API tells it.
type Fault struct {
	Code      identity.Code  `json:"code"`
	RequestID string         `json:"request_id"`
	Field     string         `json:"field,omitempty"`
	Reason    mapping.Reason `json:"reason,omitempty"`
	Detail    string         `json:"detail,omitempty"`
}

// trouble is what the error page shows.
type trouble struct {
	Fault
	Time  string
	Again string // where to prove oneself again, empty where that does not help
	Back  string
}

// fail answers with a failure. The code and the request id join it to the log;
// the cause goes to the log only (T130).
func (c *Console) fail(v *Visit, err error) {
	status, code := verdict(err)
	fault := Fault{Code: code, RequestID: v.RequestID()}
	if r := mapping.RefusalOf(err); r != nil {
		fault.Field, fault.Reason, fault.Detail = r.Field, r.Reason, r.Detail
	}
	c.logFailure(v, status, code, err)
	if strings.HasPrefix(v.R.URL.Path, apiPrefix) {
		_ = v.JSON(status, fault) // it has an answer already, or the caller is gone
		return
	}
	entering := code == identity.CodeConsoleSignIn
	address := pathEnter + "?" + url.Values{"next": {ownPlace(v.R.URL.RequestURI())}}.Encode()
	switch {
	case entering && v.IsFragment():
		v.W.Header().Set("HX-Redirect", pathEnter)
	case entering && v.R.Method == http.MethodGet:
		_ = v.SeeOther(address)
		return
	}
	show := trouble{Fault: fault, Time: When(c.cfg.Now()), Back: v.back()}
	if code == identity.CodeProveAgain {
		show.Again = pathConfirm + "?" + url.Values{"next": {show.Back}}.Encode()
	}
	if entering {
		show.Again = pathEnter
	}
	_ = v.page(status, "error", show) // page has logged it
}

// back is the page that an act came from: our own Referer, else the overview.
func (v *Visit) back() string {
	from, err := url.Parse(v.R.Referer())
	if err != nil || from.Host != v.R.Host {
		return prefix
	}
	return ownPlace(from.RequestURI())
}

func (c *Console) logFailure(v *Visit, status int, code identity.Code, err error) {
	attrs := []any{"request_id", v.RequestID(), "code", string(code), "status", status, "actor", v.Who.Name, "error", err}
	if status >= http.StatusInternalServerError {
		c.cfg.Logger.Error("console failed", attrs...)
		return
	}
	c.cfg.Logger.Info("console refused", attrs...)
}

// Page answers with a page of the console; name is its template below
// web/templates/admin.
func (v *Visit) Page(name string, data any) error { return v.page(http.StatusOK, name, data) }

// PageStatus is Page with a status of its own, for a form that comes back.
func (v *Visit) PageStatus(status int, name string, data any) error {
	return v.page(status, name, data)
}

// shell is what stands around a page.
type shell struct {
	Person Person
	Links  []Link
	Here   string // path of the request, to mark the place in the navigation
	Zone   string
	Warn   bool // somebody is in with the emergency account
}

// page renders and sends.
func (v *Visit) page(status int, name string, data any) error {
	var body bytes.Buffer
	if err := v.console.pages.Render(&body, v.view(name, data)); err != nil {
		return v.broken(err)
	}
	v.send(status, &body)
	return nil
}

// Part answers with one block of a page, for htmx.
func (v *Visit) Part(name, part string, data any) error {
	var body bytes.Buffer
	if err := v.console.pages.RenderPart(&body, v.view(name, data), part); err != nil {
		return v.broken(err)
	}
	v.send(http.StatusOK, &body)
	return nil
}

// broken answers where not even a page can be made.
func (v *Visit) broken(err error) error {
	v.console.cfg.Logger.Error("console page", "request_id", v.RequestID(), "error", err)
	http.Error(v.W, "500 "+string(identity.CodeInternal)+" "+v.RequestID(), http.StatusInternalServerError)
	return nil
}

func (v *Visit) view(name string, data any) web.View {
	view := web.View{Words: v.Words, Page: "admin/" + name, Data: data}
	around := shell{Person: v.Who, Here: v.R.URL.Path, Zone: "UTC+8", Warn: v.Who.IsBreakGlass()}
	for _, link := range v.console.router.links {
		if v.Who.May(link.Access) && !v.Who.mustChange {
			around.Links = append(around.Links, link)
		}
	}
	view.Shell = around
	if v.R.Method == http.MethodGet {
		view.Canonical = withoutLang(v.R)
	}
	return view
}

// withoutLang is this page's own address, ready for lang= to be added.
func withoutLang(r *http.Request) string {
	query := r.URL.Query()
	query.Del("lang")
	if len(query) == 0 {
		return r.URL.EscapedPath() + "?"
	}
	return r.URL.EscapedPath() + "?" + query.Encode() + "&"
}

func (v *Visit) send(status int, body *bytes.Buffer) {
	header := v.W.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Language", v.Words.Lang)
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	header.Set("Vary", "HX-Request")
	v.W.WriteHeader(status)
	_, _ = body.WriteTo(v.W) // the reader has gone: nobody is left to tell
}

// JSON answers with a value.
func (v *Visit) JSON(status int, value any) error {
	text, err := json.Marshal(value, jsontext.EscapeForHTML(true), jsontext.PreserveRawStrings(true), // a record stays as it was hashed
		jsonv1.FormatDurationAsNano(true))
	if err != nil {
		return identity.Fail(identity.Internal, identity.CodeInternal, "admin: answer: %w", err)
	}
	v.W.Header().Set("Content-Type", "application/json; charset=utf-8")
	v.W.WriteHeader(status)
	_, _ = fmt.Fprintf(v.W, "%s\n", text) // the reader has gone: nobody is left to tell
	return nil
}

// headers are set on every answer, whoever stands in front.
func headers(h http.Header) {
	for name, values := range gateway.Baseline("") {
		h[name] = values
	}
	h.Set("Content-Security-Policy", policy)
	// Forms post to ourselves; under no-referrer an old browser would send them
	// with "Origin: null", which the same-origin check refuses.
	h.Set("Referrer-Policy", "same-origin")
}
