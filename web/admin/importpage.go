package admin

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping"
)

const (
	pathImport  = pathMapping + "/import"
	pathBulk    = pathMapping + "/bulk"
	maxUpload   = mapping.MaxCSVBytes + 64<<10 // the file, and the form around it
	planPage    = 100
	maxBulkRows = 100_000
)

func (m *Mapping) mountImports(rt *Router) {
	add := func(pattern, summary string, serve Endpoint) Route {
		return Route{Pattern: pattern, Access: ToMappers, Summary: summary, Serve: serve}
	}
	upload := add("POST "+pathImport, "Upload a CSV or XLSX file for a preview.", m.upload)
	upload.MaxBody = maxUpload
	live := add("GET "+pathImport+"/{id}/live", "The moving part of one bulk change.", m.proposalLive)
	live.Live = true
	approve := add("POST "+pathImport+"/{id}/approve", "Agree to another's bulk change, which is then written.", m.approveProposal)
	approve.Access, approve.Danger = ToAdmin, true
	undo := add("POST "+pathMapping+"/runs/{run}/undo", "Take a run back.", m.undo)
	undo.Danger = true
	rt.Add(
		add("GET "+pathImport, "The form for a file, what waits, and the runs so far.", m.importPage),
		upload,
		add("POST "+pathBulk, "Propose one change to all rows that a search finds.", m.bulk),
		add("GET "+pathImport+"/{id}", "One bulk change: its preview row by row, or how far it is.", m.proposal),
		live,
		add("POST "+pathImport+"/{id}/apply", "Write one's own bulk change; above 50 rows, ask another administrator.", m.apply),
		approve,
		undo,
	)
}

// importView is the page with the form.
type importView struct {
	Waiting []Upload
	Runs    []runView
	Admin   bool
	Max     int
}

type runView struct {
	mapping.Run
	When     string
	Undoable bool
	Undoing  bool
}

func (m *Mapping) importPage(v *Visit) error {
	waiting, err := m.Imports.Waiting(v.R.Context())
	if err != nil {
		return err
	}
	runs, err := m.Table.Runs(v.R.Context(), 20)
	if err != nil {
		return err
	}
	view := importView{Waiting: waiting, Admin: v.Who.Role == Admin, Max: fourEyesRows}
	for _, run := range runs {
		show := runView{Run: run, When: When(run.Begun), Undoable: run.State == mapping.RunDone && mayUndo(v.Who, run) == nil}
		if j := m.Imports.undoing(run.ID); j != nil {
			state, _ := j.snapshot()
			show.Undoing = running(state)
		}
		view.Runs = append(view.Runs, show)
	}
	return v.Page("import", view)
}

// mayUndo holds the taking back of many rows to the rule for changing them: not
// by the one who made the run (T100).
func mayUndo(who Person, run mapping.Run) error {
	if run.Created+run.Changed > fourEyesRows && (run.By == who.Name || who.Role != Admin || who.IsBreakGlass()) {
		return identity.Fail(identity.Forbidden, identity.CodeFourEyes, "admin: more than %d rows, by %s", fourEyesRows, run.By)
	}
	return nil
}

// upload keeps a file and shows what it would do. Nothing is written to the table.
func (m *Mapping) upload(v *Visit) error {
	v.unhurried()
	if err := v.R.ParseMultipartForm(maxUpload); err != nil {
		return badRequest("upload: %w", err)
	}
	defer func() { _ = v.R.MultipartForm.RemoveAll() }() // all of it is in memory
	if len(v.R.MultipartForm.File) != 1 || len(v.R.MultipartForm.File["file"]) != 1 || len(v.R.MultipartForm.Value) > 0 {
		return badRequest("upload: exactly one field, file")
	}
	header := v.R.MultipartForm.File["file"][0]
	file, err := header.Open()
	if err != nil {
		return badRequest("upload: %w", err)
	}
	defer file.Close()
	u, err := m.propose(v, cleanName(header.Filename), file)
	if err != nil {
		return err
	}
	return v.SeeOther(pathImport + "/" + u.ID)
}

// propose reads a file once, so that one that is no table is refused now, and keeps it.
func (m *Mapping) propose(v *Visit, name string, r io.Reader) (Upload, error) {
	content, err := io.ReadAll(io.LimitReader(r, mapping.MaxCSVBytes+1))
	if err != nil {
		return Upload{}, badRequest("upload: %w", err)
	}
	format := "csv"
	if bytes.HasPrefix(content, []byte("PK\x03\x04")) {
		format = "xlsx"
	}
	if _, err := parseSheet(format, bytes.NewReader(content)); err != nil {
		return Upload{}, err
	}
	return m.keep(v, Upload{Kind: BulkImport, Name: name, Format: format}, content)
}

// keep records a proposal and stores it.
func (m *Mapping) keep(v *Visit, u Upload, content []byte) (Upload, error) {
	u.By, u.Admin = v.Who.Name, v.Who.Role == Admin
	event := v.Event(ActionBulkPropose, audit.OK)
	event.Detail = map[string]string{"kind": string(u.Kind), "name": u.Name, "bytes": strconv.Itoa(len(content))}
	if err := v.console.record(v.R.Context(), event); err != nil {
		return u, err
	}
	return m.Imports.Propose(v.R.Context(), u, content)
}

// bulk proposes one change to every row that a search finds now. The rows are
// fixed at this moment; the preview counts them (T109).
func (m *Mapping) bulk(v *Visit) error {
	form, err := v.Form("act", "reason", "text", "data_centre", "corp", "status", "owner", "code")
	if err != nil {
		return err
	}
	u := Upload{Kind: Bulk(form["act"]), Reason: form["reason"]}
	if u.Kind != BulkSuspend && u.Kind != BulkReinstate || !knownStatus(mapping.Status(form["status"])) || !knownOwner(mapping.Owner(form["owner"])) {
		return badRequest("no such change")
	}
	if u.Kind == BulkReinstate && v.Who.Role != Admin {
		return identity.Fail(identity.Forbidden, identity.CodeNoConsole, "admin: only an administrator reinstates")
	}
	keys, err := m.Index.Keys(v.R.Context(), mapping.Filter{
		DataCentre: form["data_centre"], Corp: form["corp"], Status: mapping.Status(form["status"]),
		Owner: mapping.Owner(form["owner"]), Code: identity.Code(form["code"]), Text: strings.TrimSpace(form["text"]),
	})
	if err != nil {
		return err
	}
	if len(keys) == 0 || len(keys) > maxBulkRows {
		return badRequest("%d rows", len(keys))
	}
	content, err := json.Marshal(keys)
	if err != nil {
		return badRequest("rows: %w", err)
	}
	if u, err = m.keep(v, u, content); err != nil {
		return err
	}
	return v.SeeOther(pathImport + "/" + u.ID)
}

// proposalView is one bulk change.
type proposalView struct {
	Upload   Upload
	When     string
	Phase    string
	Done     int
	Total    int
	Percent  int
	Code     identity.Code
	Refusal  *mapping.Refusal
	Plan     *mapping.Plan
	Rows     []mapping.PlanRow
	Verdict  mapping.Verdict
	From, To int // the lines shown, from 1
	Of       int
	Next     string
	Previous string
	Moving   bool
	Writes   int
	Mine     bool
	MayApply bool // the author, and few enough rows or not asked yet
	MayAgree bool // another administrator
	Many     bool // needs another
	Max      int
}

func (m *Mapping) proposal(v *Visit) error {
	view, err := m.proposalView(v)
	if err != nil {
		return err
	}
	return v.Page("plan", view)
}

func (m *Mapping) proposalLive(v *Visit) error {
	view, err := m.proposalView(v)
	if err != nil {
		return err
	}
	return v.Part("plan", "live", view)
}

func (m *Mapping) proposalView(v *Visit) (proposalView, error) {
	query, err := v.Query("verdict", "from")
	if err != nil {
		return proposalView{}, err
	}
	u, err := m.Imports.Get(v.R.Context(), v.R.PathValue("id"))
	if err != nil {
		return proposalView{}, err
	}
	j, err := m.Imports.job(v.R.Context(), m.Table, u)
	if err != nil {
		return proposalView{}, err
	}
	state, plan := j.snapshot()
	view := proposalView{
		Upload: u, When: When(u.At), Phase: state.Phase, Done: state.Done, Total: state.Total, Plan: plan,
		Moving: running(state), Mine: u.By == v.Who.Name, Max: fourEyesRows, Verdict: mapping.Verdict(query["verdict"]),
	}
	if u.Run != "" && !view.Moving {
		view.Phase = "done"
	}
	if state.Total > 0 {
		view.Percent = state.Done * 100 / state.Total
	}
	if state.Err != nil {
		_, view.Code = verdict(state.Err)
		view.Refusal = mapping.RefusalOf(state.Err)
	}
	if plan == nil {
		return view, nil
	}
	view.weigh(plan, u, mayAgree(v.Who, u) == nil)
	return view, view.choose(query["from"])
}

// weigh says what a plan comes to, and who may do what with it.
func (p *proposalView) weigh(plan *mapping.Plan, u Upload, mayAgree bool) {
	p.Writes = plan.Create + plan.Change
	p.Many = p.Writes > fourEyesRows
	ready := p.Phase == "ready" && plan.Refused == 0 && p.Writes > 0 && u.Run == ""
	p.MayApply = ready && p.Mine && !u.Waiting
	p.MayAgree = ready && u.Waiting && mayAgree
}

// choose takes the lines of one page: those of one verdict, or all, the refused first.
func (p *proposalView) choose(from string) error {
	start := 0
	if from != "" {
		n, err := strconv.Atoi(from)
		if err != nil || n < 0 {
			return badRequest("from: a number of rows")
		}
		start = n
	}
	var rows []mapping.PlanRow
	for _, order := range [...]mapping.Verdict{mapping.VerdictRefused, mapping.VerdictChange, mapping.VerdictCreate, mapping.VerdictSame} {
		if p.Verdict != "" && p.Verdict != order {
			continue
		}
		for _, row := range p.Plan.Rows {
			if row.Verdict == order {
				rows = append(rows, row)
			}
		}
	}
	start = min(start, len(rows))
	end := min(start+planPage, len(rows))
	p.Rows, p.From, p.To, p.Of = rows[start:end], min(start+1, len(rows)), end, len(rows)
	at := func(n int) string {
		return pathImport + "/" + p.Upload.ID + "?verdict=" + string(p.Verdict) + "&from=" + strconv.Itoa(n)
	}
	if end < len(rows) {
		p.Next = at(end)
	}
	if start > 0 {
		p.Previous = at(max(0, start-planPage))
	}
	return nil
}

// mayAgree is the rule of four eyes: an administrator who did not propose it,
// and not the emergency account (T100).
func mayAgree(who Person, u Upload) error {
	if who.Role != Admin || who.IsBreakGlass() || who.Name == u.By {
		return identity.Fail(identity.Forbidden, identity.CodeFourEyes, "admin: proposed by %s", u.By)
	}
	return nil
}

// planOf reads the plan that the page showed; another digest means that the
// table moved on and the page shows something else than what would happen.
func (m *Mapping) planOf(v *Visit, u Upload, digest string) (*mapping.Plan, error) {
	j, err := m.Imports.job(v.R.Context(), m.Table, u)
	if err != nil {
		return nil, err
	}
	state, plan := j.snapshot()
	switch {
	case u.Run != "":
		return nil, identity.Fail(identity.Conflict, identity.CodeChangedBetween, "admin: applied already as %s", u.Run)
	case state.Phase != "ready" || plan == nil || plan.Digest != digest:
		return nil, identity.Fail(identity.Conflict, identity.CodeChangedBetween, "admin: the preview is another one now (%s)", state.Phase)
	}
	return plan, nil
}

// apply writes one's own proposal, or asks another administrator to agree.
func (m *Mapping) apply(v *Visit) error {
	form, err := v.Form("digest")
	if err != nil {
		return err
	}
	if err := m.applyOwn(v, v.R.PathValue("id"), form["digest"]); err != nil {
		return err
	}
	return v.SeeOther(pathImport + "/" + v.R.PathValue("id"))
}

func (m *Mapping) applyOwn(v *Visit, id, digest string) error {
	u, err := m.Imports.Get(v.R.Context(), id)
	if err != nil {
		return err
	}
	plan, err := m.planOf(v, u, digest)
	if err != nil {
		return err
	}
	switch {
	case u.By != v.Who.Name:
		return identity.Fail(identity.Forbidden, identity.CodeFourEyes, "admin: proposed by %s", u.By)
	case plan.Create+plan.Change <= fourEyesRows:
		return m.Imports.apply(v.R.Context(), m.Table, u, v.Actor())
	}
	u.Waiting = true
	return m.Imports.save(v.R.Context(), u)
}

// approveProposal agrees to another's proposal and writes it.
func (m *Mapping) approveProposal(v *Visit) error {
	form, err := v.Form("digest")
	if err != nil {
		return err
	}
	if err := m.agree(v, v.R.PathValue("id"), form["digest"]); err != nil {
		return err
	}
	return v.SeeOther(pathImport + "/" + v.R.PathValue("id"))
}

func (m *Mapping) agree(v *Visit, id, digest string) error {
	u, err := m.Imports.Get(v.R.Context(), id)
	if err != nil {
		return err
	}
	if err := mayAgree(v.Who, u); err != nil {
		return err
	}
	if !u.Waiting {
		return identity.Fail(identity.Conflict, identity.CodeChangedBetween, "admin: nobody asked for it")
	}
	if _, err := m.planOf(v, u, digest); err != nil {
		return err
	}
	event := v.Event(ActionBulkApprove, audit.OK)
	event.OnBehalfOf = u.By
	event.Detail = map[string]string{"upload": u.ID, "digest": digest}
	if err := v.console.record(v.R.Context(), event); err != nil {
		return err
	}
	by := mapping.Actor{Name: u.By, Admin: u.Admin, Source: v.Source(), RequestID: v.RequestID()}
	return m.Imports.apply(v.R.Context(), m.Table, u, by)
}

// undo takes a run back.
func (m *Mapping) undo(v *Visit) error {
	if _, err := v.Form(); err != nil {
		return err
	}
	if err := m.undoRun(v, v.R.PathValue("run")); err != nil {
		return err
	}
	return v.SeeOther(pathImport)
}

func (m *Mapping) undoRun(v *Visit, id string) error {
	runs, err := m.Table.Runs(v.R.Context(), 1000)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.ID != id {
			continue
		}
		if err := mayUndo(v.Who, run); err != nil {
			return err
		}
		return m.Imports.undo(v.R.Context(), m.Table, id, v.Actor())
	}
	return identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: no such run")
}

// Side is one side of a line's difference, for the page.
func (p proposalView) Side(e *mapping.Entry) string {
	if e == nil {
		return "—"
	}
	parts := []string{e.StaffNumber, e.LoginUser, string(e.Owner), string(e.Status)}
	return strings.Join(parts, " · ")
}

// Failed reports that it came to nothing.
func (p proposalView) Failed() bool { return p.Phase == "failed" }
