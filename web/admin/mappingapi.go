package admin

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"kdgate/identity"
	"kdgate/mapping"
)

const (
	apiMappings = apiPrefix + "mappings"
	apiRow      = apiMappings + "/{data_centre}/{corp}/{userid}"
	apiImports  = apiPrefix + "imports"
)

// RowPage is one page of rows.
type RowPage struct {
	Rows  []mapping.Entry `json:"rows"`
	Total int             `json:"total"`
	Next  string          `json:"next,omitempty"` // cursor
}

// NewRow is the body that creates a row.
type NewRow struct {
	DataCentre  string        `json:"data_centre"`
	Corp        string        `json:"corp"`
	UserID      string        `json:"userid"`
	StaffNumber string        `json:"staff_number,omitempty"`
	LoginUser   string        `json:"login_user,omitempty"`
	Owner       mapping.Owner `json:"owner,omitempty"`
	Shared      bool          `json:"shared,omitempty"`
	Note        string        `json:"note,omitempty"`
}

// RowEdit is the body that changes a row; what is left out stays as it is. The
// key may be repeated, and then has to be the one of the address.
type RowEdit struct {
	DataCentre  *string        `json:"data_centre,omitempty"`
	Corp        *string        `json:"corp,omitempty"`
	UserID      *string        `json:"userid,omitempty"`
	Version     uint64         `json:"version"`
	StaffNumber *string        `json:"staff_number,omitempty"`
	LoginUser   *string        `json:"login_user,omitempty"`
	Owner       *mapping.Owner `json:"owner,omitempty"`
	Shared      *bool          `json:"shared,omitempty"`
	Note        *string        `json:"note,omitempty"`
}

// RowDecision is the body of an act on a row. The version is the one that the act is
// about: 409 when the row has changed since. It may stand in If-Match instead, as an
// ETag. Only suspend may go without: whoever cuts off a leaver must not lose to a
// note that somebody else is writing.
type RowDecision struct {
	Version uint64 `json:"version,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// RowDetail is one row with its past.
type RowDetail struct {
	Row     mapping.Entry   `json:"row"`
	History []mapping.Entry `json:"history"`
}

// ChainDetail is a chain with what broke it.
type ChainDetail struct {
	Chain mapping.Chain `json:"chain"`
	Code  identity.Code `json:"code,omitempty"`
}

// Proposal is a bulk change as the API shows it.
type Proposal struct {
	Upload
	Phase   string            `json:"phase"`
	Done    int               `json:"done"`
	Total   int               `json:"total"`
	Code    identity.Code     `json:"code,omitempty"`
	Digest  string            `json:"digest,omitempty"` // what apply and approve have to name
	Create  int               `json:"create"`
	Change  int               `json:"change"`
	Same    int               `json:"same"`
	Refused int               `json:"refused"`
	Lines   []mapping.PlanRow `json:"lines"` // the first of verdict, in the order refused, change, create, same
}

// ProposalConsent is the body of apply and approve.
type ProposalConsent struct {
	Digest string `json:"digest"`
}

func (m *Mapping) mountAPI(rt *Router) {
	act := func(name, summary string, to Access, danger bool, serve func(*Visit, decision) (mapping.Entry, error)) Route {
		return Route{
			Pattern: "POST " + apiRow + "/" + name, Access: to, Danger: danger, Summary: summary, Body: RowDecision{}, Answer: mapping.Entry{},
			Serve: func(v *Visit) error { return m.actJSON(v, serve) },
		}
	}
	rt.Add(
		Route{Pattern: "GET " + apiMappings, Access: ToMappers, Summary: "Search the mapping table.", Query: listParams, Answer: RowPage{}, Serve: m.listJSON},
		Route{Pattern: "POST " + apiMappings, Access: ToMappers, Summary: "Write a new row.", Body: NewRow{}, Answer: mapping.Entry{}, Serve: m.createJSON},
		Route{Pattern: "GET " + apiRow, Access: ToMappers, Summary: "One row with its history.", Answer: RowDetail{}, Serve: m.rowJSON},
		Route{Pattern: "PUT " + apiRow, Access: ToMappers, Summary: "Change a row; 409 when somebody was quicker.", Body: RowEdit{}, Answer: mapping.Entry{}, Serve: m.editJSON},
		Route{Pattern: "GET " + apiRow + "/chain", Access: ToMappers, Summary: "The chain of one person, asked now.", Answer: ChainDetail{}, Serve: m.chainJSON},
		act("suspend", "Take a row out of force.", ToMappers, false, func(v *Visit, d decision) (mapping.Entry, error) {
			return m.Table.SuspendAt(v.R.Context(), v.Actor(), d.Key, d.Reason, d.Version)
		}),
		act("rebind", "Give a row to whoever signs in next with its userid.", ToMappers, false, func(v *Visit, d decision) (mapping.Entry, error) {
			anybody := ""
			return m.Table.Change(v.R.Context(), v.Actor(), d.Key, mapping.Edit{Version: d.Version, UnionID: &anybody})
		}),
		act("reinstate", "Put a suspended row back in force.", ToAdmin, true, func(v *Visit, d decision) (mapping.Entry, error) {
			return m.Table.Reinstate(v.R.Context(), v.Actor(), d.Key, d.Version)
		}),
		act("approve", "Approve a privileged row.", ToAdmin, true, func(v *Visit, d decision) (mapping.Entry, error) {
			if err := m.approveRow(v, d); err != nil {
				return mapping.Entry{}, err
			}
			return m.Table.Get(v.R.Context(), d.Key)
		}),
	)
	m.mountImportAPI(rt)
}

func (m *Mapping) mountImportAPI(rt *Router) {
	rt.Add(
		Route{Pattern: "GET " + apiPrefix + "conflicts", Access: ToMappers, Summary: "What needs somebody.", Answer: Trouble{}, Serve: m.conflictsJSON},
		Route{
			Pattern: "POST " + apiImports, Access: ToMappers, MaxBody: maxUpload, Answer: Upload{}, Serve: m.uploadJSON,
			Summary: "Propose an import: the body is the file, as text/csv or as XLSX by its own media type.",
		},
		Route{Pattern: "GET " + apiImports, Access: ToMappers, Summary: "Bulk changes that wait for a second administrator.", Answer: []Upload{}, Serve: m.waitingJSON},
		Route{
			Pattern: "GET " + apiImports + "/{id}", Access: ToMappers, Summary: "One bulk change and its preview.", Answer: Proposal{},
			Query: []Param{{"verdict", "create, change, same or refused"}, {"from", "lines to leave out"}}, Serve: m.proposalJSON,
		},
		Route{Pattern: "POST " + apiImports + "/{id}/apply", Access: ToMappers, Summary: "Write one's own bulk change; above 50 rows, ask another administrator.", Body: ProposalConsent{}, Answer: Proposal{}, Serve: m.consentJSON(m.applyOwn)},
		Route{Pattern: "POST " + apiImports + "/{id}/approve", Access: ToAdmin, Danger: true, Summary: "Agree to another's bulk change.", Body: ProposalConsent{}, Answer: Proposal{}, Serve: m.consentJSON(m.agree)},
		Route{Pattern: "GET " + apiPrefix + "runs", Access: ToMappers, Summary: "The newest bulk changes that were written.", Answer: []mapping.Run{}, Serve: m.runsJSON},
		Route{Pattern: "POST " + apiPrefix + "runs/{run}/undo", Access: ToMappers, Danger: true, Summary: "Take a run back.", Body: struct{}{}, Serve: m.undoJSON},
	)
}

func pathKey(v *Visit) mapping.Key {
	return mapping.Key{DataCentre: v.R.PathValue("data_centre"), Corp: v.R.PathValue("corp"), UserID: v.R.PathValue("userid")}
}

func (m *Mapping) listJSON(v *Visit) error {
	q, kept, err := m.queryOf(v)
	if err != nil {
		return err
	}
	found, err := m.Index.Search(v.R.Context(), m.Table, q)
	if err != nil {
		return err
	}
	page := RowPage{Rows: found.Rows, Total: found.Total}
	if found.Next != "" {
		page.Next = v.Cursor("mapping "+kept.Encode(), found.Next)
	}
	return v.JSON(http.StatusOK, page)
}

func (m *Mapping) rowJSON(v *Visit) error {
	e, err := m.Table.Get(v.R.Context(), pathKey(v))
	if err != nil {
		return err
	}
	history, err := m.Table.History(v.R.Context(), e.Key(), 0, historyPage)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, RowDetail{Row: e, History: history})
}

func (m *Mapping) createJSON(v *Visit) error {
	var body NewRow
	if err := v.Body(&body); err != nil {
		return err
	}
	e, err := m.Table.Create(v.R.Context(), v.Actor(), mapping.Draft{
		Key:         mapping.Key{DataCentre: body.DataCentre, Corp: body.Corp, UserID: body.UserID},
		StaffNumber: body.StaffNumber, LoginUser: body.LoginUser, Owner: body.Owner, Shared: body.Shared, Note: body.Note,
	})
	if err != nil {
		return err
	}
	return v.JSON(http.StatusCreated, e)
}

// editJSON changes the row of the address; a body that names another one is refused (T104).
func (m *Mapping) editJSON(v *Visit) error {
	var body RowEdit
	if err := v.Body(&body); err != nil {
		return err
	}
	k := pathKey(v)
	for _, pair := range [...]struct {
		named *string
		path  string
	}{{body.DataCentre, k.DataCentre}, {body.Corp, k.Corp}, {body.UserID, k.UserID}} {
		if pair.named != nil && *pair.named != pair.path {
			return badRequest("the body names %q, the address %q", *pair.named, pair.path)
		}
	}
	e, err := m.Table.Change(v.R.Context(), v.Actor(), k, mapping.Edit{
		Version: body.Version, StaffNumber: body.StaffNumber, LoginUser: body.LoginUser, Owner: body.Owner, Shared: body.Shared, Note: body.Note,
	})
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, e)
}

func (m *Mapping) actJSON(v *Visit, act func(*Visit, decision) (mapping.Entry, error)) error {
	var body RowDecision
	if err := v.Body(&body); err != nil {
		return err
	}
	if err := matchVersion(v, &body.Version); err != nil {
		return err
	}
	e, err := act(v, decision{Key: pathKey(v), Version: body.Version, Reason: body.Reason})
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, e)
}

// matchVersion reads the version out of If-Match (RFC 9110, 13.1.1) where there is
// one; a body that names another is refused.
func matchVersion(v *Visit, version *uint64) error {
	tag := v.R.Header.Get("If-Match")
	if tag == "" || tag == "*" {
		return nil
	}
	named, err := strconv.ParseUint(strings.Trim(tag, `"`), 10, 64)
	if err != nil || named == 0 || *version != 0 && *version != named {
		return badRequest("If-Match is the version of the row in quotes, the same as in the body")
	}
	*version = named
	return nil
}

func (m *Mapping) chainJSON(v *Visit) error {
	k := pathKey(v)
	chain, err := m.Table.Explain(v.R.Context(), identity.Assertion{Subject: k.Subject()}, k.DataCentre)
	detail := ChainDetail{Chain: chain}
	if err != nil {
		_, detail.Code = verdict(err)
	}
	return v.JSON(http.StatusOK, detail)
}

// uploadJSON takes a file as it is. Neither media type is one that a form can
// post, so no page from elsewhere can send it unasked (T101).
func (m *Mapping) uploadJSON(v *Visit) error {
	v.unhurried()
	kind, _, err := mime.ParseMediaType(v.R.Header.Get("Content-Type"))
	if err != nil || kind != "text/csv" && kind != "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" {
		return &statusError{http.StatusUnsupportedMediaType, "neither CSV nor XLSX"}
	}
	u, err := m.propose(v, "", v.R.Body)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusCreated, u)
}

func (m *Mapping) waitingJSON(v *Visit) error {
	waiting, err := m.Imports.Waiting(v.R.Context())
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, append([]Upload{}, waiting...))
}

func (m *Mapping) proposalJSON(v *Visit) error {
	view, err := m.proposalView(v)
	if err != nil {
		return err
	}
	p := Proposal{Upload: view.Upload, Phase: view.Phase, Done: view.Done, Total: view.Total, Code: view.Code, Lines: view.Rows}
	if plan := view.Plan; plan != nil {
		p.Digest, p.Create, p.Change, p.Same, p.Refused = plan.Digest, plan.Create, plan.Change, plan.Same, plan.Refused
	}
	return v.JSON(http.StatusOK, p)
}

func (m *Mapping) consentJSON(act func(v *Visit, id, digest string) error) Endpoint {
	return func(v *Visit) error {
		var body ProposalConsent
		if err := v.Body(&body); err != nil {
			return err
		}
		if err := act(v, v.R.PathValue("id"), body.Digest); err != nil {
			return err
		}
		return m.proposalJSON(v)
	}
}

func (m *Mapping) runsJSON(v *Visit) error {
	runs, err := m.Table.Runs(v.R.Context(), 100)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, append([]mapping.Run{}, runs...))
}

func (m *Mapping) undoJSON(v *Visit) error {
	if err := v.Body(&struct{}{}); err != nil {
		return err
	}
	if err := m.undoRun(v, v.R.PathValue("run")); err != nil {
		return err
	}
	return v.JSON(http.StatusAccepted, struct{}{})
}
