package localapi

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"kdgate/mapping"
	"kdgate/mapping/consent"
)

// Consents is the consent register, as commands use it. The zero value has no routes.
type Consents struct {
	List   func(ctx context.Context, f consent.Filter, after string, limit int) ([]consent.Row, string, error)
	Import func(ctx context.Context, by mapping.Actor, file io.Reader, dry bool) (consent.Report, error)
	Export func(ctx context.Context, by mapping.Actor, w io.Writer, f consent.Filter) error
}

// ConsentRows is one page of rows.
type ConsentRows struct {
	Rows []consent.Row `json:"rows"`
	Next string        `json:"next,omitzero"`
}

func (h handler) consents(mux *http.ServeMux) {
	if h.Consents.List == nil {
		return
	}
	mux.HandleFunc("GET "+Prefix+"consents", h.consentRows)
	mux.HandleFunc("POST "+Prefix+"consents/import", h.importConsents)
	mux.HandleFunc("GET "+Prefix+"consents/export", h.exportConsents)
}

func consentFilter(q url.Values) consent.Filter {
	return consent.Filter{Corp: q.Get("corp"), State: consent.State(q.Get("state")), Way: consent.Way(q.Get("way")), Text: q.Get("text")}
}

func (h handler) consentRows(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit")) // zero and nonsense mean the most
	if limit <= 0 || limit > 1000 {
		limit = 1000
	}
	rows, next, err := h.Consents.List(r.Context(), consentFilter(q), q.Get("after"), limit)
	h.reply(w, ConsentRows{rows, next}, err)
}

func (h handler) importConsents(w http.ResponseWriter, r *http.Request) {
	noDeadline(w)
	report, err := h.Consents.Import(r.Context(), actor(r), r.Body, r.URL.Query().Get("dry_run") == "true")
	h.reply(w, report, err)
}

func (h handler) exportConsents(w http.ResponseWriter, r *http.Request) {
	noDeadline(w)
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Trailer", "X-Fault") // the status is long sent when a page cannot be read
	if err := h.Consents.Export(r.Context(), actor(r), w, consentFilter(r.URL.Query())); err != nil {
		h.Logger.Error("consent export", "error", err)
		w.Header().Set("X-Fault", strings.ReplaceAll(err.Error(), "\n", " "))
	}
}

func consentQuery(f consent.Filter) url.Values {
	return url.Values{"corp": {f.Corp}, "state": {string(f.State)}, "way": {string(f.Way)}, "text": {f.Text}}
}

// ConsentList gives one page of the register.
func (c *Client) ConsentList(ctx context.Context, f consent.Filter, after string) (ConsentRows, error) {
	q := consentQuery(f)
	q.Set("after", after)
	var page ConsentRows
	return page, c.get(ctx, "consents", q, &page)
}

// ImportConsents brings a CSV file of an HR process.
func (c *Client) ImportConsents(ctx context.Context, file io.Reader, dryRun bool) (report consent.Report, err error) {
	res, err := c.send(ctx, http.MethodPost, "consents/import", url.Values{"dry_run": {strconv.FormatBool(dryRun)}}, file)
	err = taken(&report, res, err)
	return report, err
}

// ExportConsents writes the register as CSV.
func (c *Client) ExportConsents(ctx context.Context, f consent.Filter, w io.Writer) error {
	res, err := c.send(ctx, http.MethodGet, "consents/export", consentQuery(f), nil)
	return copied(w, res, err, "the export")
}
