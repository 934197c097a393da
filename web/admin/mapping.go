package admin

import (
	"net/http"
	"net/url"
	"strings"

	"kdgate/identity"
	"kdgate/mapping"
)

const pathMapping = prefix + "mapping"

// Centre is a data centre as people know it.
type Centre struct{ ID, Name string }

// Mapping is the workbench of the mapping table: search, rows, conflicts,
// import and export (F20–F24).
type Mapping struct {
	Table   *mapping.Table
	Index   *mapping.Index
	Centres []Centre
	Corps   []string
	Imports *Imports // uploaded files between preview and commit
	Suggest Suggest  // nil: no suggestions
}

// Mount implements Page.
func (m *Mapping) Mount(rt *Router) {
	rt.Link("mapping", pathMapping, ToMappers)
	rt.Link("conflicts", pathConflicts, ToMappers)
	rt.Link("import", pathImport, ToMappers)
	get := func(path, summary string, serve Endpoint) Route {
		return Route{Pattern: "GET " + path, Access: ToMappers, Summary: summary, Serve: serve}
	}
	post := func(path, summary string, serve Endpoint) Route {
		return Route{Pattern: "POST " + path, Access: ToMappers, Summary: summary, Serve: serve}
	}
	dangerous := func(path, summary string, serve Endpoint) Route {
		return Route{Pattern: "POST " + path, Access: ToAdmin, Danger: true, Summary: summary, Serve: serve}
	}
	list := get(pathMapping, "Search the mapping table.", m.list)
	list.Query = listParams
	rt.Add(
		list,
		get(pathRow, "One row with its chain and its history.", m.row),
		get(pathRow+"/chain", "The chain of one person, asked now.", m.chain),
		get(pathNew, "The form for a new row.", m.newRow),
		post(pathNew, "Write a new row.", m.create),
		post(pathRow, "Change a row; 409 when somebody was quicker.", m.edit),
		post(pathRow+"/suspend", "Take a row out of force.", m.suspend),
		post(pathRow+"/rebind", "Give a row to whoever signs in next with its userid.", m.rebind),
		dangerous(pathRow+"/reinstate", "Put a suspended row back in force.", m.reinstate),
		dangerous(pathRow+"/approve", "Approve a privileged row.", m.approve),
		get(pathConflicts, "What needs somebody: conflicts, broken links, approvals.", m.conflicts),
		get(pathMapping+"/export", "The rows that match, as CSV or XLSX.", m.export),
	)
	m.mountSuggestions(rt)
	m.mountImports(rt)
	m.mountAPI(rt)
}

// listParams are what a list is chosen by; all of it stands in the address (F33).
var listParams = []Param{
	{"text", "part of userid, staff number, login user or note"},
	{"data_centre", "id of the data centre"},
	{"corp", "corpId"},
	{"status", "active, pending or suspended"},
	{"owner", "auto, manual or locked"},
	{"code", "short code of the last check, for example KD-203"},
	{"order", "userid, staff_number, login_user, status or changed"},
	{"down", "1: the largest first"},
	{"cursor", "of the next page, as the page before gave it"},
}

// listView is the list.
type listView struct {
	Rows       []mapping.Entry
	Total      int
	Query      mapping.Query
	Centres    []Centre
	Corps      []string
	Codes      []identity.Code
	Next       string // address of the next page, empty at the end
	First      string // address of the first page, empty on it
	ExportCSV  string
	ExportXLSX string
	Statuses   []mapping.Status
	Owners     []mapping.Owner
	Admin      bool
	sort       url.Values
}

// owners and statuses are the choices of a form.
var (
	owners   = []mapping.Owner{mapping.OwnerAuto, mapping.OwnerManual, mapping.OwnerLocked}
	statuses = []mapping.Status{mapping.StatusActive, mapping.StatusPending, mapping.StatusSuspended}
)

// When is when a row was changed.
func (l listView) When(e mapping.Entry) string { return When(e.Changed.At) }

// queryOf reads a list's query. Every value is one of a set, or plain text (T105).
func (m *Mapping) queryOf(v *Visit) (mapping.Query, url.Values, error) {
	names := make([]string, 0, len(listParams))
	for _, p := range listParams {
		names = append(names, p.Name)
	}
	read, err := v.Query(names...)
	if err != nil {
		return mapping.Query{}, nil, err
	}
	q := mapping.Query{
		Filter: mapping.Filter{
			DataCentre: read["data_centre"], Corp: read["corp"], Status: mapping.Status(read["status"]),
			Owner: mapping.Owner(read["owner"]), Code: identity.Code(read["code"]), Text: strings.TrimSpace(read["text"]),
		},
		Order: mapping.Order(read["order"]), Down: read["down"] == "1",
	}
	if len(q.Text) > 200 || !q.Order.Known() || !knownStatus(q.Status) || !knownOwner(q.Owner) {
		return q, nil, badRequest("a filter that no page of ours makes")
	}
	kept := url.Values{}
	for _, name := range names {
		if read[name] != "" && name != "cursor" {
			kept.Set(name, read[name])
		}
	}
	q.After, err = v.OpenCursor("mapping "+kept.Encode(), read["cursor"])
	return q, kept, err
}

func knownStatus(s mapping.Status) bool {
	switch s {
	case "", mapping.StatusActive, mapping.StatusPending, mapping.StatusSuspended:
		return true
	}
	return false
}

func knownOwner(o mapping.Owner) bool {
	switch o {
	case "", mapping.OwnerAuto, mapping.OwnerManual, mapping.OwnerLocked:
		return true
	}
	return false
}

func (m *Mapping) list(v *Visit) error {
	q, kept, err := m.queryOf(v)
	if err != nil {
		return err
	}
	found, err := m.Index.Search(v.R.Context(), m.Table, q)
	if err != nil {
		return err
	}
	view := listView{
		Rows: found.Rows, Total: found.Total, Query: q, Centres: m.Centres, Corps: m.Corps, sort: kept, Codes: chainCodes,
		Statuses: statuses, Owners: owners, Admin: v.Who.Role == Admin,
		ExportCSV: address(pathMapping+"/export", kept, "format", "csv"), ExportXLSX: address(pathMapping+"/export", kept, "format", "xlsx"),
	}
	if found.Next != "" {
		view.Next = address(pathMapping, kept, "cursor", v.Cursor("mapping "+kept.Encode(), found.Next))
	}
	if q.After != "" {
		view.First = address(pathMapping, kept)
	}
	if v.IsFragment() {
		return v.Part("mapping", "rows", view)
	}
	return v.Page("mapping", view)
}

// chainCodes are the codes of broken links, for the filter.
var chainCodes = []identity.Code{
	identity.CodeNoStaff, identity.CodeNoLoginUser, identity.CodeUserForbidden, identity.CodeManyUsers,
	identity.CodePrivilegedUser, identity.CodeManyStaff, identity.CodeStaffForbidden, identity.CodeIdentityChanged,
}

// Sort is the address that sorts by a column, the other way round when it is
// sorted by it already.
func (l listView) Sort(order string) string {
	values := url.Values{}
	for name := range l.sort {
		values.Set(name, l.sort.Get(name))
	}
	values.Set("order", order)
	values.Del("down")
	if string(l.Query.Order) == order && !l.Query.Down {
		values.Set("down", "1")
	}
	return pathMapping + "?" + values.Encode()
}

// Sorted is how a column is sorted, in ARIA's words.
func (l listView) Sorted(order string) string {
	switch {
	case string(l.Query.Order) != order:
		return "none"
	case l.Query.Down:
		return "descending"
	default:
		return "ascending"
	}
}

// At is the address of a row.
func (l listView) At(e mapping.Entry) string { return rowAddress(e.Key()) }

// address is path with the kept values and some more.
func address(path string, kept url.Values, more ...string) string {
	values := url.Values{}
	for name := range kept {
		values.Set(name, kept.Get(name))
	}
	for i := 0; i+1 < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}

// export sends the rows that match. The table records it first.
func (m *Mapping) export(v *Visit) error {
	q, _, err := m.queryOf(v)
	if err != nil {
		return err
	}
	format, err := v.Query("format")
	if err != nil {
		return err
	}
	v.unhurried()
	switch format["format"] {
	case "csv", "":
		v.attachment("text/csv; charset=utf-8", "mapping.csv")
		err = m.Table.ExportCSV(v.R.Context(), v.Actor(), v.W, q.Filter, nil)
	case "xlsx":
		v.attachment("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "mapping.xlsx")
		err = m.Table.ExportXLSX(v.R.Context(), v.Actor(), v.W, q.Filter, nil)
	default:
		return badRequest("format is csv or xlsx")
	}
	if err != nil {
		// The status may be long sent: a download that breaks off is not taken for whole.
		v.console.cfg.Logger.Error("export", "request_id", v.RequestID(), "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}
