package admin

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/billbook"
	"kdgate/store"
)

const (
	pathBills = prefix + "bills"
	pathBill  = pathBills + "/{corp}/{instance}"
	apiBills  = apiPrefix + "bills"
	apiBill   = apiBills + "/{corp}/{instance}"

	billsPage = 50
)

// BillBook finds what became of approvals: a *billbook.Index.
type BillBook interface {
	Search(ctx context.Context, q billbook.Query) (billbook.Found, error)
	Slots(ctx context.Context, f billbook.Filter, start time.Time, step time.Duration, n int) ([]billbook.Slot, error)
	Get(ctx context.Context, corp, instance string) (billbook.Detail, error)
	Forget()
}

// Bills are the bills that approvals became, and those that failed on the way
// (F62, F63). Acts on them are acts on the work list, which records them.
type Bills struct {
	Book BillBook
	List WorkList
	Now  func() time.Time
	// Keys are the header fields that a person may fill for an approval: those of
	// the rules of its form.
	Keys func(corp, process string) []string
	// Forms are the forms that a deep link may name, by form id in Kingdee.
	Forms  map[string]string
	Public string // address of the gateway, before the deep link
	// Page is the address of an approval's page at DingTalk; nil: no link is shown.
	Page    func(corp, instance string) string
	Centres []Centre
}

// Mount implements Page.
func (p *Bills) Mount(rt *Router) {
	if p.Now == nil {
		p.Now = time.Now
	}
	rt.Link("bills", pathBills, ToAdmin)
	route := func(pattern, summary string, serve Endpoint) Route {
		return Route{Pattern: pattern, Access: ToAdmin, Summary: summary, Serve: serve}
	}
	list := route("GET "+pathBills, "The bills that approvals became, and those that failed.", p.list)
	list.Query = append(slices.Clone(billParams), Param{"by", "hour or day, of the plot"})
	edit := route("POST "+pathBill+"/values", "Put values in the place of header fields, and do it again.", p.values)
	edit.Danger = true
	rt.Add(
		list,
		route("GET "+pathBill, "One approval: its bill and every step of it.", p.bill),
		edit,
		route("POST "+pathBill+"/replay", "Do a failed approval again.", p.acts(func(ctx context.Context, by jobs.Actor, id jobs.ID, _ string) error {
			_, err := p.List.Replay(ctx, by, id)
			return err
		})),
		route("POST "+pathBill+"/give-up", "End an approval that will not become a bill, with a note.", p.acts(func(ctx context.Context, by jobs.Actor, id jobs.ID, note string) error {
			_, err := p.List.GiveUp(ctx, by, id, note)
			return err
		})),
	)
	p.mountAPI(rt)
}

// billParams are what a list is chosen by; all of it stands in the address (F33).
var billParams = []Param{
	{"text", "part of an approval's id, a bill's number or a title"},
	{"state", "booked, waiting, working, failed, given-up or passed"},
	{"corp", "corpId"},
	{"form", "form id in Kingdee"},
	{"person", "userid of who asked"},
	{"rule", "name of the rule"},
	{"print", "version of the rule"},
	{"from", "first day received, yyyy-mm-dd in UTC+8"},
	{"to", "last day received"},
	{"order", "received, changed, number, form, person or state"},
	{"down", "0: the smallest first"},
	{"cursor", "of the next page, as the page before gave it"},
}

// queryOf reads a list's query. Every value is one of a set, a day, or plain text
// (T105).
func (p *Bills) queryOf(v *Visit) (billbook.Query, url.Values, error) {
	var q billbook.Query
	names := make([]string, 0, len(billParams))
	for _, param := range billParams {
		names = append(names, param.Name)
	}
	read, err := v.Query(names...)
	if err != nil {
		return q, nil, err
	}
	q.Filter = billbook.Filter{
		State: billbook.State(read["state"]), Corp: read["corp"], Form: read["form"], Person: strings.TrimSpace(read["person"]),
		Rule: read["rule"], Print: read["print"], Text: instanceOf(read["text"]),
	}
	q.Order, q.Down, q.Limit = billbook.Order(read["order"]), read["down"] != "0", billsPage
	if q.Order == "" {
		q.Order = billbook.ByReceived
	}
	known := q.State == "" || slices.Contains(billbook.States(), q.State)
	if len(q.Text) > 200 || len(q.Person) > 128 || !known || !q.Order.Known() {
		return q, nil, badRequest("a filter that no page of ours makes")
	}
	if q.From, err = dayOf(read["from"], 0); err != nil {
		return q, nil, err
	}
	if q.To, err = dayOf(read["to"], 1); err != nil {
		return q, nil, err
	}
	kept := url.Values{}
	for _, name := range names {
		if read[name] != "" && name != "cursor" {
			kept.Set(name, read[name])
		}
	}
	q.After, err = v.OpenCursor("bills "+kept.Encode(), read["cursor"])
	return q, kept, err
}

// dayOf is the beginning of a day in UTC+8, so many days later; zero for none.
func dayOf(text string, later int) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	day, err := time.ParseInLocation(time.DateOnly, text, beijing)
	if err != nil {
		return day, badRequest("a day: %w", err)
	}
	return day.AddDate(0, 0, later), nil
}

// billsView is the list.
type billsView struct {
	billbook.Found
	Query    billbook.Query
	Chips    []stateChip
	Kept     url.Values
	Forms    []string
	NextAt   string
	First    string
	Chart    Chart
	By       string
	HourAt   string
	DayAt    string
	Reset    string
	centres  []Centre
	FromText string
	ToText   string
}

// stateChip is one state with its count, as a link.
type stateChip struct {
	State   billbook.State
	N       int
	At      string
	Current bool
}

// When is a time for the page.
func (billsView) When(t time.Time) string { return When(t) }

// At is where a bill is.
func (billsView) At(b billbook.Bill) string { return billAddress(b.Corp, b.Instance) }

func billAddress(corp, instance string) string {
	return pathBills + "/" + url.PathEscape(corp) + "/" + url.PathEscape(instance)
}

// Sort is the address that sorts by a column, the other way round when it is
// sorted by it already.
func (b billsView) Sort(order string) string {
	down := "0"
	if string(b.Query.Order) == order && !b.Query.Down || string(b.Query.Order) != order && (order == "received" || order == "changed") {
		down = "1"
	}
	return address(pathBills, b.Kept, "order", order, "down", down)
}

// Sorted is how a column is sorted, in ARIA's words.
func (b billsView) Sorted(order string) string {
	switch {
	case string(b.Query.Order) != order:
		return "none"
	case b.Query.Down:
		return "descending"
	}
	return "ascending"
}

func (p *Bills) list(v *Visit) error {
	q, kept, err := p.queryOf(v)
	if err != nil {
		return err
	}
	by, err := v.Query("by")
	if err != nil {
		return err
	}
	found, err := p.Book.Search(v.R.Context(), q)
	if err != nil {
		return err
	}
	view := billsView{Found: found, Query: q, Kept: kept, By: by["by"], centres: p.Centres, FromText: kept.Get("from"), ToText: kept.Get("to"), Reset: pathBills}
	if view.By != "day" {
		view.By = "hour"
	}
	slots, err := p.slots(v.R.Context(), q.Filter, view.By)
	if err != nil {
		return err
	}
	view.Chart = billChart(v, slots, view.By)
	view.HourAt, view.DayAt = address(pathBills, kept, "by", "hour"), address(pathBills, kept, "by", "day")
	for _, state := range billbook.States() {
		chip := stateChip{State: state, N: found.States[state], At: address(pathBills, kept, "state", string(state)), Current: q.State == state}
		if chip.Current {
			chip.At = address(pathBills, without(kept, "state"))
		}
		view.Chips = append(view.Chips, chip)
	}
	for id := range p.Forms {
		view.Forms = append(view.Forms, id)
	}
	if q.Form != "" && !slices.Contains(view.Forms, q.Form) {
		view.Forms = append(view.Forms, q.Form)
	}
	slices.Sort(view.Forms)
	if found.Next != "" {
		view.NextAt = address(pathBills, kept, "cursor", v.Cursor("bills "+kept.Encode(), found.Next))
	}
	if q.After != "" {
		view.First = address(pathBills, kept)
	}
	return v.Page("bills", view)
}

func without(kept url.Values, name string) url.Values {
	out := url.Values{}
	for key := range kept {
		if key != name {
			out.Set(key, kept.Get(key))
		}
	}
	return out
}

// The plots: the last day by hours, the last 30 days by days.
const (
	plotHours = 24
	plotDays  = 30
)

func (p *Bills) slots(ctx context.Context, f billbook.Filter, by string) ([]billbook.Slot, error) {
	f.State = ""
	now := p.Now().In(beijing)
	if by == "day" {
		today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, beijing)
		return p.Book.Slots(ctx, f, today.AddDate(0, 0, 1-plotDays), 24*time.Hour, plotDays)
	}
	hour := now.Truncate(time.Hour)
	return p.Book.Slots(ctx, f, hour.Add((1-plotHours)*time.Hour), time.Hour, plotHours)
}

func billChart(v *Visit, slots []billbook.Slot, by string) Chart {
	layout := map[string]string{"hour": "15:00", "day": "01-02"}[by]
	bars := make([]Bar, 0, len(slots))
	for _, s := range slots {
		bars = append(bars, Bar{Label: s.Start.In(beijing).Format(layout), Parts: []Part{
			{Class: "none", Name: v.Words.Word("bill", billbook.Booked), Value: s.Booked},
			{Class: "gateway", Name: v.Words.Word("bill", billbook.Failed), Value: s.Failed},
			{Class: "user", Name: v.Words.Word("bill", billbook.Passed), Value: s.Passed},
		}})
	}
	return NewChart(bars)
}

func billID(v *Visit) jobs.ID {
	return jobs.ID{Kind: approval.KindBill, Key: v.R.PathValue("instance")}
}

// owned makes sure that the item of the address is of the organisation of the
// address, before anybody acts on it.
func (p *Bills) owned(v *Visit) (billbook.Detail, error) {
	d, err := p.Book.Get(v.R.Context(), v.R.PathValue("corp"), v.R.PathValue("instance"))
	if err == nil && d.Item == nil {
		err = identity.Fail(identity.Conflict, identity.CodeRefusedInput, "admin: %s is no longer on the work list", d.Instance)
	}
	return d, err
}

// acts serves an act on the item behind a bill.
func (p *Bills) acts(act func(ctx context.Context, by jobs.Actor, id jobs.ID, note string) error) Endpoint {
	return func(v *Visit) error {
		form, err := v.Form("note")
		if err != nil {
			return err
		}
		if _, err := p.owned(v); err != nil {
			return err
		}
		if err := act(v.R.Context(), v.worker(), billID(v), strings.TrimSpace(form["note"])); err != nil {
			return err
		}
		p.Book.Forget()
		return v.SeeOther(billAddress(v.R.PathValue("corp"), v.R.PathValue("instance")))
	}
}

// values puts a person's values in the place of header fields, and does the
// approval again.
func (p *Bills) values(v *Visit) error {
	d, err := p.owned(v)
	if err != nil {
		return err
	}
	names := []string{"version"}
	keys := p.keys(d)
	for _, key := range keys {
		names = append(names, "set."+key)
	}
	form, err := v.Form(names...)
	if err != nil {
		return err
	}
	version, err := versionOf(form["version"])
	if err != nil {
		return err
	}
	set := map[string]string{}
	for _, key := range keys {
		if value := form["set."+key]; value != "" {
			set[key] = value
		}
	}
	if err := p.set(v, d, version, set); err != nil {
		return err
	}
	return v.SeeOther(billAddress(d.Corp, d.Instance))
}

func (p *Bills) set(v *Visit, d billbook.Detail, version store.Version, set map[string]string) error {
	payload, err := approval.WithValues(d.Item.Payload, set)
	if err != nil {
		return badRequest("values: %w", err)
	}
	if _, err := p.List.Edit(v.R.Context(), v.worker(), d.Item.ID, version, payload); err != nil {
		return err
	}
	defer p.Book.Forget()
	_, err = p.List.Replay(v.R.Context(), v.worker(), d.Item.ID)
	return err
}

// keys are the header fields of an approval that a person may fill, with those
// that are filled already.
func (p *Bills) keys(d billbook.Detail) []string {
	var keys []string
	if p.Keys != nil {
		keys = slices.Clone(p.Keys(d.Corp, d.Process))
	}
	if d.Item == nil {
		return keys
	}
	set, err := approval.Values(d.Item.Payload)
	if err != nil {
		return nil // such an item is mended as JSON, on the page of the work list
	}
	for key := range set {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

var _ BillBook = (*billbook.Index)(nil)
