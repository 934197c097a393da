package admin

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/internal/strictjson"
	"kdgate/web"
)

// beijing is the zone of every time that people read (F34).
var beijing = time.FixedZone("UTC+8", 8*60*60)

// Visit is one request, by somebody who may make it.
type Visit struct {
	W     http.ResponseWriter
	R     *http.Request
	Who   Person // zero on a route for anyone that nobody proven visits
	Words web.Words

	console *Console
	route   *Route
}

// Source is the client's address, after trusted proxies.
func (v *Visit) Source() string {
	if source := gateway.SourceOf(v.R.Context()); source != "" {
		return source
	}
	return peerOf(v.R)
}

// RequestID joins answer, log and audit record.
func (v *Visit) RequestID() string { return gateway.RequestIDOf(v.R.Context()) }

// IsFragment reports a request of htmx, which wants a part and not a page.
func (v *Visit) IsFragment() bool { return v.R.Header.Get("HX-Request") == "true" }

// When is a time as people read it, in UTC+8 and with the zone named.
func When(t time.Time) string {
	if t.IsZero() {
		return "—"
	}
	return t.In(beijing).Format("2006-01-02 15:04:05 UTC-07:00")
}

// Form reads the posted fields. A field that is not named, or one given twice,
// is refused: nothing reaches a record that a page does not show (T104).
func (v *Visit) Form(names ...string) (map[string]string, error) {
	if err := v.R.ParseForm(); err != nil {
		return nil, badRequest("form: %w", err)
	}
	return once(v.R.PostForm, names, true)
}

// Query reads the names of a query. One given twice is refused; an unknown one
// is nobody's and is left alone (T105).
func (v *Visit) Query(names ...string) (map[string]string, error) {
	return once(v.R.URL.Query(), names, false)
}

func once(values url.Values, names []string, closed bool) (map[string]string, error) {
	read := make(map[string]string, len(names))
	for name, given := range values {
		known := slices.Contains(names, name)
		switch {
		case !known && closed:
			return nil, badRequest("unknown field %q", name)
		case !known:
			continue
		case len(given) > 1:
			return nil, badRequest("field %q twice", name)
		}
		read[name] = given[0]
	}
	return read, nil
}

// Body reads the JSON body: the right media type, known members only, none
// twice (T101, T104).
func (v *Visit) Body(into any) error {
	kind, _, err := mime.ParseMediaType(v.R.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return &statusError{http.StatusUnsupportedMediaType, "the body is not application/json"}
	}
	data, err := io.ReadAll(v.R.Body)
	if err != nil {
		return badRequest("body: %w", err)
	}
	if err := strictjson.DecodeClosed(data, into); err != nil {
		return badRequest("body: %w", err)
	}
	return nil
}

// SeeOther sends the browser on with GET.
func (v *Visit) SeeOther(path string) error {
	v.W.Header().Set("Location", path)
	v.W.Header().Set("Content-Length", "0")
	v.W.WriteHeader(http.StatusSeeOther)
	return nil
}

// ownPlace is a path that the console may send a browser to after a door: one
// of its own pages, never an address from elsewhere (T58).
func ownPlace(path string) string {
	page, _, _ := strings.Cut(path, "?")
	doors := page == pathEnter || page == pathConfirm || strings.HasPrefix(page, apiPrefix)
	if len(path) > 1024 || !strings.HasPrefix(page, prefix) || !gateway.IsCleanTarget(path) || doors {
		return prefix
	}
	return path
}

// Fresh reports a proof that is young enough for a dangerous act.
func (v *Visit) Fresh() bool { return v.console.fresh(v.Who.ProvenAt) }

func (c *Console) fresh(at time.Time) bool {
	age := c.cfg.Now().Sub(at)
	return age < freshFor && age > -time.Minute
}

func badRequest(format string, args ...any) error {
	return identity.Fail(identity.Invalid, identity.CodeBadRequest, "admin: "+format, args...)
}

// unhurried frees long work from the listener's deadlines.
func (v *Visit) unhurried() {
	control := http.NewResponseController(v.W)
	_ = control.SetReadDeadline(time.Time{}) // not a network: nothing to free
	_ = control.SetWriteDeadline(time.Time{})
}

// attachment makes the answer a file that is saved and not shown.
func (v *Visit) attachment(kind, name string) {
	v.W.Header().Set("Content-Type", kind)
	v.W.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}
