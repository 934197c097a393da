package admin

import (
	"encoding/csv"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"kdgate/audit"
	"kdgate/audit/review"
)

const (
	pathReview  = prefix + "review"
	reviewShown = 500 // rows on a page; a file and the printed page hold more
	printShown  = 10_000

	reviewDays  = 31 // of a period that nobody chose
	dormantDays = 90
)

// Review is the reviewer pack (F43): questions about a period, each as a page, a
// file and a page to print. It reads the log, so each answer is on record (T117).
type Review struct {
	Reviewer *review.Reviewer
	Now      func() time.Time
}

var reviewParams = []Param{
	{"kind", "leavers, privileged, dormant, access, administration or failures"},
	{"from", "first day or moment of the period"},
	{"to", "day or moment before which it ends"},
}

// Mount implements Page.
func (p *Review) Mount(rt *Router) {
	rt.Link("review", pathReview, ToReaders)
	get := func(path, summary string, answer any, serve Endpoint) Route {
		return Route{Pattern: "GET " + path, Access: ToReaders, Noted: true, Summary: summary, Query: reviewParams, Answer: answer, Serve: serve}
	}
	rt.Add(
		get(pathReview, "The reviewer pack: one question about a period.", nil, p.page),
		get(pathReview+"/print", "The same to print.", nil, p.print),
		get(pathReview+"/export", "The same as CSV; the export is recorded.", nil, p.export),
		get(apiPrefix+"review", "One question about a period.", review.Sheet{}, p.json),
	)
}

// reviewView is the page.
type reviewView struct {
	review.Sheet
	Kinds    []review.Kind
	Chosen   map[string]string
	Period   string
	MadeAt   string
	Total    int
	Print    bool
	CSV      string
	ForPrint string
	kept     url.Values
}

// Question is the address of another question about the same period.
func (r reviewView) Question(kind review.Kind) string {
	return address(pathReview, r.kept, "kind", string(kind))
}

// choice is what a query asks for.
type choice struct {
	kind   review.Kind
	period review.Period
	kept   url.Values
}

func (p *Review) choice(v *Visit) (choice, error) {
	c := choice{kind: review.Leavers, kept: url.Values{}}
	read, err := v.Query("kind", "from", "to")
	if err != nil {
		return c, err
	}
	if read["kind"] != "" {
		c.kind = review.Kind(read["kind"])
	}
	if !slices.Contains(review.Kinds[:], c.kind) {
		return c, badRequest("no such question")
	}
	if c.period.From, err = moment(read["from"]); err != nil {
		return c, err
	}
	if c.period.To, err = moment(read["to"]); err != nil {
		return c, err
	}
	for _, name := range [...]string{"from", "to"} {
		if read[name] != "" {
			c.kept.Set(name, read[name])
		}
	}
	if c.period.To.IsZero() {
		c.period.To = p.Now()
	}
	if c.period.From.IsZero() {
		days := reviewDays
		if c.kind == review.Dormant {
			days = dormantDays
		}
		c.period.From = c.period.To.AddDate(0, 0, -days)
	}
	if !c.period.From.Before(c.period.To) {
		return c, badRequest("the period ends before it begins")
	}
	return c, nil
}

// make records the look, and draws the sheet.
func (p *Review) make(v *Visit, action audit.Action) (review.Sheet, choice, error) {
	c, err := p.choice(v)
	if err != nil {
		return review.Sheet{}, c, err
	}
	if err := v.look(action, "review "+string(c.kind), c.kept); err != nil {
		return review.Sheet{}, c, err
	}
	v.unhurried()
	sheet, err := p.Reviewer.Make(v.R.Context(), c.kind, c.period)
	return sheet, c, err
}

func (p *Review) page(v *Visit) error  { return p.show(v, reviewShown, false) }
func (p *Review) print(v *Visit) error { return p.show(v, printShown, true) }

func (p *Review) show(v *Visit, most int, print bool) error {
	sheet, c, err := p.make(v, audit.ActionAuditRead)
	if err != nil {
		return err
	}
	named := url.Values{"kind": {string(c.kind)}}
	for name := range c.kept {
		named.Set(name, c.kept.Get(name))
	}
	view := reviewView{
		Sheet: sheet, Kinds: review.Kinds[:], kept: c.kept, Print: print, Total: len(sheet.Rows),
		Chosen: map[string]string{"from": c.kept.Get("from"), "to": c.kept.Get("to")},
		Period: When(sheet.From) + " – " + When(sheet.To), MadeAt: When(sheet.Made),
		CSV: address(pathReview+"/export", named), ForPrint: address(pathReview+"/print", named),
	}
	view.Rows = view.Rows[:min(len(view.Rows), most)]
	return v.Page("review", view)
}

func (p *Review) json(v *Visit) error {
	sheet, _, err := p.make(v, audit.ActionAuditRead)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, sheet)
}

func (p *Review) export(v *Visit) error {
	sheet, c, err := p.make(v, audit.ActionAuditExport)
	if err != nil {
		return err
	}
	v.attachment("text/csv; charset=utf-8", "review-"+string(c.kind)+".csv")
	return v.cut("review export", writeSheet(v.W, sheet.Columns, sheet.Rows))
}

// writeSheet writes comma-separated values that no spreadsheet runs (T110).
func writeSheet(w io.Writer, columns []string, rows [][]string) error {
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return err
	}
	sheet := csv.NewWriter(w)
	sheet.UseCRLF = true
	if err := sheet.Write(columns); err != nil {
		return err
	}
	for _, row := range rows {
		safe := make([]string, 0, len(row))
		for _, cell := range row {
			safe = append(safe, audit.SafeCell(cell))
		}
		if err := sheet.Write(safe); err != nil {
			return err
		}
	}
	sheet.Flush()
	return sheet.Error()
}
