package admin

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
	"kdgate/jobs/directory"
)

// directoryView is the page.
type directoryView struct {
	DirectoryState
	AsOf     string
	Fresh    bool   // dangerous acts would be taken without a further proof
	Prove    string // where to prove oneself
	Tomorrow string // least day of "keep until"
}

// When is a time for the page.
func (directoryView) When(t time.Time) string { return When(t) }

// Run is where a run is.
func (directoryView) Run(r directory.Run) string { return runAddress(r.ID) }

// Columns are the counts of a run that the list shows.
func (directoryView) Columns() []string {
	return []string{"people", "created", "changed", "left", "set_aside", "drift"}
}

// Person is where a person of the directory is.
func (d directoryView) Person(userid string) string { return personAddress(d.Scope.Corp, userid) }

func runAddress(id string) string { return pathDirectory + "/run/" + url.PathEscape(id) }

func (d *Directory) page(v *Visit) error {
	view, err := d.view(v)
	if err != nil {
		return err
	}
	return v.Page("directory", view)
}

func (d *Directory) view(v *Visit) (directoryView, error) {
	state, err := d.state(v.R.Context())
	if err != nil {
		return directoryView{}, err
	}
	return directoryView{
		DirectoryState: state, AsOf: When(d.Now()), Fresh: v.Fresh(),
		Prove:    pathConfirm + "?" + url.Values{"next": {pathDirectory}}.Encode(),
		Tomorrow: d.Now().In(beijing).AddDate(0, 0, 1).Format(time.DateOnly),
	}, nil
}

func (d *Directory) live(v *Visit) error {
	view, err := d.view(v)
	if err != nil {
		return err
	}
	return v.Part("directory", "live", view)
}

// changes is one page of what a run did.
type changes struct {
	List []directory.Change
	Next int // how many to pass over for the next page; zero: this was the last
}

var errPageFull = errors.New("admin: the page is full")

// changes reads one page of what a run did to whoever matches.
func (d *Directory) changes(v *Visit, id, text string, skip int) (changes, error) {
	var page changes
	n, wanted := 0, strings.ToLower(text)
	err := d.Runs.Changes(v.R.Context(), id, func(c directory.Change) error {
		if !strings.Contains(strings.ToLower(c.UserID+"\x00"+c.Name+"\x00"+c.Number), wanted) {
			return nil
		}
		if n++; n <= skip {
			return nil
		}
		if len(page.List) == changePage {
			page.Next = skip + changePage
			return errPageFull
		}
		page.List = append(page.List, c)
		return nil
	})
	if errors.Is(err, errPageFull) {
		err = nil
	}
	return page, err
}

// asked is the page of changes that a query asks for.
func (d *Directory) asked(v *Visit) (page changes, text, next string, err error) {
	read, err := v.Query("text", "cursor")
	if err != nil {
		return page, "", "", err
	}
	text = strings.TrimSpace(read["text"])
	if len(text) > maxText {
		return page, "", "", badRequest("a search of %d bytes", len(text))
	}
	id := v.R.PathValue("run")
	list := "changes " + id + " " + text
	place, err := v.OpenCursor(list, read["cursor"])
	if err != nil {
		return page, "", "", err
	}
	skip, err := strconv.Atoi("0" + place)
	if err != nil {
		return page, "", "", badRequest("cursor: %w", err)
	}
	page, err = d.changes(v, id, text, skip)
	if err == nil && page.Next > 0 {
		next = v.Cursor(list, strconv.Itoa(page.Next))
	}
	return page, text, next, err
}

// comparisonView is one run of the directory.
type comparisonView struct {
	directory.Run
	Here    string
	Corp    string
	Changes []directory.Change
	Text    string
	Next    string // address
	Refused string // how many records Kingdee refused to be put back; empty: no undo was made now
	MayUndo bool
	Fresh   bool
	Prove   string
}

// When is a time for the page.
func (comparisonView) When(t time.Time) string { return When(t) }

// Person is where a person of the directory is.
func (r comparisonView) Person(userid string) string { return personAddress(r.Corp, userid) }

// runID is what a run's id can look like.
var runID = lazyregexp.New(`^[0-9A-Za-z.-]{1,40}$`)

// runOf is the run of the address.
func (d *Directory) runOf(v *Visit) (directory.Run, error) {
	id := v.R.PathValue("run")
	if !runID().MatchString(id) {
		return directory.Run{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: no run has such an id")
	}
	return d.Runs.RunOf(v.R.Context(), id)
}

func (d *Directory) run(v *Visit) error {
	run, err := d.runOf(v)
	if err != nil {
		return err
	}
	page, text, next, err := d.asked(v)
	if err != nil {
		return err
	}
	here := runAddress(run.ID)
	view := comparisonView{
		Run: run, Here: here, Corp: d.Scope.Corp, Changes: page.List, Text: text, Fresh: v.Fresh(),
		MayUndo: !run.Dry && run.Undone.IsZero() && run.Ending != "" && run.Counts.Created+run.Counts.Changed > 0,
		Prove:   pathConfirm + "?" + url.Values{"next": {here}}.Encode(),
	}
	kept := url.Values{}
	if text != "" {
		kept.Set("text", text)
	}
	if next != "" {
		view.Next = address(here, kept, "cursor", next)
	}
	refused, err := v.Query("refused")
	if err != nil {
		return err
	}
	if n, err := strconv.ParseUint(refused["refused"], 10, 32); err == nil {
		view.Refused = strconv.FormatUint(n, 10)
	}
	return v.Page("comparison", view)
}

// RunDetail is one run with a page of what it did.
type RunDetail struct {
	Run     directory.Run      `json:"run"`
	Changes []directory.Change `json:"changes"`
	Next    string             `json:"next,omitempty"`
}

// RunOrder is the body that orders a comparison. Left out, the first one is a
// preview and the others are for real.
type RunOrder struct {
	Preview *bool `json:"preview,omitempty"`
}

func (o RunOrder) order() directory.Order {
	return directory.Order{Dry: o.Preview != nil && *o.Preview, Real: o.Preview != nil && !*o.Preview}
}

// RunOverride is the body that lets a run go on past the breaker.
type RunOverride struct {
	Leavers int `json:"leavers"` // exactly as many as it was stopped over
}

// Undone is what could not be put back.
type Undone struct {
	Refused []string `json:"refused"` // staff numbers
}

// DriftAnswer is the body that answers a drifted record.
type DriftAnswer struct {
	Number string `json:"number"`
	Answer string `json:"answer"`          // accept, keep or lock
	Until  string `json:"until,omitempty"` // of keep: the last day, YYYY-MM-DD in UTC+8
}

// StaffNumber is the body that names a record.
type StaffNumber struct {
	Number string `json:"number"`
}

// UserID is the body that names a person of the directory.
type UserID struct {
	UserID string `json:"userid"`
}

func (d *Directory) mountAPI(rt *Router) {
	post := func(path, summary string, danger bool, body any, serve Endpoint) Route {
		return Route{
			Pattern: "POST " + apiDirectory + path, Access: ToAdmin, Danger: danger, Summary: summary, Body: body, Answer: struct{}{}, Serve: serve,
		}
	}
	undo := post("/runs/{run}/undo", "Put back what a run wrote.", true, struct{}{}, d.undoJSON)
	undo.Answer = Undone{}
	rt.Add(
		Route{Pattern: "GET " + apiDirectory, Access: ToAdmin, Summary: "The directory as it stands.", Answer: DirectoryState{}, Serve: d.stateJSON},
		Route{Pattern: "GET " + apiDirectory + "/runs/{run}", Access: ToAdmin, Summary: "What one run did.", Query: changeParams, Answer: RunDetail{}, Serve: d.runJSON},
		post("/run", "Compare now, as a preview or for real; the first one is a preview unless it says otherwise.", false, RunOrder{}, bodied(func(v *Visit, b RunOrder) error {
			return d.order(v, b.order())
		})),
		post("/stop", "Stop the run under way.", false, struct{}{}, bodied(func(v *Visit, _ struct{}) error {
			return d.Clock.Stop(v.R.Context(), v.worker(), d.Task)
		})),
		post("/override", "Let a run that the breaker stopped go on, for exactly so many leavers.", true, RunOverride{}, bodied(func(v *Visit, b RunOverride) error {
			return d.override(v, b.Leavers)
		})),
		undo,
		post("/drift", "Answer a record that was changed in Kingdee.", false, DriftAnswer{}, bodied(func(v *Visit, b DriftAnswer) error {
			return d.answer(v, b.Number, b.Answer, b.Until)
		})),
		post("/release", "Let DingTalk win again.", false, StaffNumber{}, bodied(func(v *Visit, b StaffNumber) error { return d.release(v, b.Number) })),
		post("/agree", "Take somebody who was hired again back.", true, UserID{}, bodied(func(v *Visit, b UserID) error {
			return d.Agree(v.R.Context(), v.worker(), b.UserID)
		})),
	)
}

// bodied serves an act that reads a JSON body and has nothing to say but "done".
func bodied[B any](act func(v *Visit, body B) error) Endpoint {
	return func(v *Visit) error {
		var body B
		if err := v.Body(&body); err != nil {
			return err
		}
		if err := act(v, body); err != nil {
			return err
		}
		return v.JSON(http.StatusOK, struct{}{})
	}
}

func (d *Directory) runJSON(v *Visit) error {
	run, err := d.runOf(v)
	if err != nil {
		return err
	}
	page, _, next, err := d.asked(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, RunDetail{Run: run, Changes: append([]directory.Change{}, page.List...), Next: next})
}

func (d *Directory) undoJSON(v *Visit) error {
	if err := v.Body(&struct{}{}); err != nil {
		return err
	}
	refused, err := d.undo(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, Undone{Refused: append([]string{}, refused...)})
}
