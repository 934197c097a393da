package admin

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"kdgate/identity"
	"kdgate/mapping/consent"
)

const (
	pathConsents  = prefix + "consents"
	apiConsents   = apiPrefix + "consents"
	consentsShown = 50
	consentFile   = 32 << 20 // bytes of an upload
)

// Consents is the consent register; *consent.Register is one.
type Consents interface {
	Of(ctx context.Context, who identity.Subject) (consent.Row, bool, error)
	Note(ctx context.Context, by consent.Actor, who identity.Subject, w consent.Word) (consent.Row, error)
	List(ctx context.Context, f consent.Filter, after string, limit int) ([]consent.Row, string, error)
	Tally(ctx context.Context, corp, version string) (consent.Tally, error)
	Import(ctx context.Context, by consent.Actor, file io.Reader, usual consent.Usual, dry bool) (consent.Report, error)
	Export(ctx context.Context, by consent.Actor, w io.Writer, f consent.Filter) error
}

// ConsentPage shows who has agreed that their data go to Kingdee, and takes
// notes of papers and files of an HR process (F44).
type ConsentPage struct {
	Register Consents
	Corp     string // whose people the directory keeps
	Version  string // of the text in force
	Required bool   // nothing goes without consent
	Minimum  bool   // but number, name and post
	// Known is how many people the directory knows, for the coverage; nil: it is off.
	Known func(ctx context.Context) (int, error)
}

// Mount implements Page.
func (p *ConsentPage) Mount(rt *Router) {
	rt.Link("consents", pathConsents, ToReaders)
	filter := []Param{{"state", "given or withdrawn"}, {"way", "self, import or paper"}, {"text", "part of a userid"}, {"cursor", "of the next page, as the page before gave it"}}
	rt.Add(
		Route{Pattern: "GET " + pathConsents, Access: ToReaders, Summary: "Who has agreed that their data go to Kingdee.", Query: filter, Serve: p.page},
		Route{Pattern: "POST " + pathConsents, Access: ToAdmin, Summary: "Note a person's word that is on paper.", Serve: p.note},
		Route{Pattern: "POST " + pathConsents + "/import", Access: ToAdmin, MaxBody: consentFile, Summary: "Bring a CSV file of an HR process; all lines or none.", Serve: p.upload},
		Route{Pattern: "GET " + pathConsents + "/export", Access: ToReaders, Noted: true, Summary: "The register as CSV; the export is recorded.", Query: filter, Serve: p.export},
		Route{Pattern: "GET " + apiConsents, Access: ToReaders, Summary: "Who has agreed that their data go to Kingdee.", Query: filter, Answer: ConsentList{}, Serve: p.listJSON},
		Route{Pattern: "POST " + apiConsents, Access: ToAdmin, Summary: "Note a person's word that is on paper.", Body: ConsentNote{}, Answer: consent.Row{}, Serve: p.noteJSON},
		Route{
			Pattern: "POST " + apiConsents + "/import", Access: ToAdmin, MaxBody: consentFile, Summary: "Bring lines of CSV: userid, state, and if wanted corp, version, at, note; all or none.",
			Body: ConsentImport{}, Answer: consent.Report{}, Serve: p.importJSON,
		},
	)
}

// ConsentList is one page of the register with its counts.
type ConsentList struct {
	Required bool          `json:"required"`
	Version  string        `json:"version"`
	Known    int           `json:"known"` // people of the last comparison
	Tally    consent.Tally `json:"tally"`
	Rows     []consent.Row `json:"rows"`
	Next     string        `json:"next,omitempty"`
}

// ConsentNote is the body that notes a person's word.
type ConsentNote struct {
	UserID string        `json:"userid"`
	State  consent.State `json:"state"`
	Note   string        `json:"note"` // where the paper is
}

// ConsentImport is the body that brings a file.
type ConsentImport struct {
	CSV    string `json:"csv"`
	DryRun bool   `json:"dry_run,omitempty"`
}

func (v *Visit) consentActor() consent.Actor {
	return consent.Actor{Name: v.Who.Name, Door: string(v.Who.Door), Source: v.Source(), RequestID: v.RequestID()}
}

// filter reads what the query asks for.
func (p *ConsentPage) filter(v *Visit) (consent.Filter, string, error) {
	read, err := v.Query("state", "way", "text", "cursor")
	if err != nil {
		return consent.Filter{}, "", err
	}
	f := consent.Filter{Corp: p.Corp, State: consent.State(read["state"]), Way: consent.Way(read["way"]), Text: strings.TrimSpace(read["text"])}
	if len(f.Text) > maxText {
		return f, "", badRequest("a search of %d bytes", len(f.Text))
	}
	after, err := v.OpenCursor(listName(f), read["cursor"])
	return f, after, err
}

// listName binds a cursor to the list that it is of (T105).
func listName(f consent.Filter) string {
	return strings.Join([]string{"consents", f.Corp, string(f.State), string(f.Way), f.Text}, "\x00")
}

func (p *ConsentPage) list(v *Visit) (ConsentList, consent.Filter, error) {
	f, after, err := p.filter(v)
	if err != nil {
		return ConsentList{}, f, err
	}
	ctx := v.R.Context()
	list := ConsentList{Required: p.Required, Version: p.Version}
	if list.Tally, err = p.Register.Tally(ctx, p.Corp, p.Version); err != nil {
		return list, f, err
	}
	if p.Known != nil {
		if list.Known, err = p.Known(ctx); err != nil {
			return list, f, err
		}
	}
	var next string
	if list.Rows, next, err = p.Register.List(ctx, f, after, consentsShown); err != nil {
		return list, f, err
	}
	if list.Rows == nil {
		list.Rows = []consent.Row{}
	}
	if next != "" {
		list.Next = v.Cursor(listName(f), next)
	}
	return list, f, nil
}

// consentView is the page.
type consentView struct {
	ConsentList
	Filter  consent.Filter
	Admin   bool
	Minimum bool
	More    string // address of the next page
	File    string // of the export
	Shown   []shownConsent
	Report  *consent.Report
	Refused string
}

type shownConsent struct {
	consent.Row
	InForce     bool
	When, Wrote string
}

// Of is the coverage's whole: all who are known, or all who said something.
func (v consentView) Of() int {
	return max(v.Known, v.Tally.Given+v.Tally.Earlier+v.Tally.Withdrawn, 1)
}

func (p *ConsentPage) view(v *Visit) (consentView, error) {
	list, f, err := p.list(v)
	if err != nil {
		return consentView{}, err
	}
	query := url.Values{}
	for name, value := range map[string]string{"state": string(f.State), "way": string(f.Way), "text": f.Text} {
		if value != "" {
			query.Set(name, value)
		}
	}
	view := consentView{ConsentList: list, Filter: f, Admin: v.Who.Role == Admin, Minimum: p.Minimum, File: pathConsents + "/export?" + query.Encode()}
	if list.Next != "" {
		query.Set("cursor", list.Next)
		view.More = pathConsents + "?" + query.Encode()
	}
	for _, row := range list.Rows {
		view.Shown = append(view.Shown, shownConsent{Row: row, InForce: row.Counts(p.Version), When: When(row.At), Wrote: When(row.Noted)})
	}
	return view, nil
}

func (p *ConsentPage) page(v *Visit) error {
	view, err := p.view(v)
	if err != nil {
		return err
	}
	return v.Page("consents", view)
}

func (p *ConsentPage) listJSON(v *Visit) error {
	list, _, err := p.list(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, list)
}

// take notes a word; nobody notes their own on paper, they say it themselves.
func (p *ConsentPage) take(v *Visit, n ConsentNote) (consent.Row, error) {
	who := identity.Subject{Corp: p.Corp, UserID: strings.TrimSpace(n.UserID)}
	if who == v.Who.Subject {
		return consent.Row{}, identity.Fail(identity.Forbidden, identity.CodeFourEyes, "admin: one's own word is said on one's own page")
	}
	word := consent.Word{State: n.State, Version: p.Version, Way: consent.Paper, Note: n.Note}
	return p.Register.Note(v.R.Context(), v.consentActor(), who, word)
}

func (p *ConsentPage) note(v *Visit) error {
	form, err := v.Form("userid", "state", "note")
	if err != nil {
		return err
	}
	row, err := p.take(v, ConsentNote{UserID: form["userid"], State: consent.State(form["state"]), Note: form["note"]})
	if err != nil {
		return err
	}
	return v.SeeOther(pathConsents + "?" + url.Values{"text": {row.UserID}}.Encode())
}

func (p *ConsentPage) noteJSON(v *Visit) error {
	var n ConsentNote
	if err := v.Body(&n); err != nil {
		return err
	}
	row, err := p.take(v, n)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, row)
}

func (p *ConsentPage) bring(v *Visit, file io.Reader, dry bool) (consent.Report, error) {
	v.unhurried()
	return p.Register.Import(v.R.Context(), v.consentActor(), file, consent.Usual{Corp: p.Corp, Version: p.Version}, dry)
}

// upload takes the file of the form, and shows what came of it.
func (p *ConsentPage) upload(v *Visit) error {
	if err := v.R.ParseMultipartForm(1 << 20); err != nil {
		return badRequest("upload: %w", err)
	}
	defer func() { _ = v.R.MultipartForm.RemoveAll() }() // of the temporary files
	file, _, err := v.R.FormFile("file")
	if err != nil {
		return badRequest("upload: %w", err)
	}
	defer file.Close()
	report, err := p.bring(v, file, v.R.PostFormValue("dry") == "yes")
	refused := ""
	if identity.KindOf(err) == identity.Invalid && err != nil {
		refused, err = err.Error(), nil
	}
	if err != nil {
		return err
	}
	view, err := p.view(v)
	if err != nil {
		return err
	}
	view.Report, view.Refused = &report, refused
	status := http.StatusOK
	if refused != "" || len(report.Faults) > 0 {
		status = http.StatusBadRequest
	}
	return v.page(status, "consents", view)
}

func (p *ConsentPage) importJSON(v *Visit) error {
	var body ConsentImport
	if err := v.Body(&body); err != nil {
		return err
	}
	report, err := p.bring(v, strings.NewReader(body.CSV), body.DryRun)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if len(report.Faults) > 0 {
		status = http.StatusBadRequest
	}
	return v.JSON(status, report)
}

func (p *ConsentPage) export(v *Visit) error {
	f, _, err := p.filter(v)
	if err != nil {
		return err
	}
	v.unhurried()
	v.attachment("text/csv; charset=utf-8", "consents.csv")
	return v.cut("consent export", p.Register.Export(v.R.Context(), v.consentActor(), v.W, f))
}

// States are what people say, for the choices of the page.
func (consentView) States() []string {
	return []string{string(consent.Given), string(consent.Withdrawn)}
}

// Ways are how their word comes here.
func (consentView) Ways() []string {
	return []string{string(consent.Self), string(consent.Import), string(consent.Paper)}
}
