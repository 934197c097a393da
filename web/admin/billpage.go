package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/billbook"
	"kdgate/store"
)

// Milestone is one step of an approval on its way to a bill.
type Milestone struct {
	Step  string    `json:"step"`  // received, fetched, looking, saved, submitted, attaching, audited or written-back
	State string    `json:"state"` // done, failed, next or open
	At    time.Time `json:"at,omitzero"`
}

// The steps in the order in which they are taken; those after submitted are
// there where the rule asks for them.
const (
	stepReceived    = "received"
	stepWrittenBack = "written-back"
	stepPassed      = "passed-over"
)

// milestones are the steps of an approval with their times. A bill that was found
// at Kingdee skips those that make one.
func milestones(d billbook.Detail) []Milestone {
	at := stepTimes(d)
	if d.Why != "" {
		return []Milestone{{stepReceived, "done", d.Received}, {stepPassed, "done", at[stepPassed]}}
	}
	steps := stepsOf(d, at)
	next := afterLast(steps, at)
	out := []Milestone{{stepReceived, "done", d.Received}}
	for i, step := range steps {
		m := Milestone{Step: step, State: "open", At: at[step]}
		switch {
		case i < next:
			m.State = "done"
		case i == next:
			m.State = nextState(d.State)
		}
		out = append(out, m)
	}
	return out
}

// stepTimes are when the steps were taken; those that were not are missing.
func stepTimes(d billbook.Detail) map[string]time.Time {
	at := map[string]time.Time{}
	for _, m := range d.Trail {
		at[m.Step] = m.At
	}
	if d.Commented && d.State == billbook.Booked {
		at[stepWrittenBack] = writtenBack(d)
	}
	return at
}

// stepsOf are the steps that an approval takes after it was received.
func stepsOf(d billbook.Detail, at map[string]time.Time) []string {
	steps := []string{"fetched", "looking", "saved", "submitted"}
	for _, wanted := range []string{"attaching", "audited"} {
		if !at[wanted].IsZero() {
			steps = append(steps, wanted)
		}
	}
	if d.Commented {
		steps = append(steps, stepWrittenBack)
	}
	return steps
}

// afterLast is the place of the step behind the last one that was taken.
func afterLast(steps []string, at map[string]time.Time) int {
	for i, step := range slices.Backward(steps) {
		if !at[step].IsZero() {
			return i + 1
		}
	}
	return 0
}

// nextState is how the step stands that comes next.
func nextState(s billbook.State) string {
	switch s {
	case billbook.Failed, billbook.GivenUp:
		return "failed"
	case billbook.Booked:
		return "open"
	}
	return "next"
}

// writtenBack is when the comment was there: the end of the attempt that wrote it,
// or, when the work list no longer knows that, when it was begun.
func writtenBack(d billbook.Detail) time.Time {
	if d.Item != nil {
		for _, a := range slices.Backward(d.Item.History) {
			if a.Result == jobs.ResultDone {
				return a.Ended
			}
		}
	}
	for _, m := range d.Trail {
		if m.Step == "commenting" {
			return m.At
		}
	}
	return d.Changed
}

// billView is one approval.
type billView struct {
	billbook.Detail
	Steps   []Milestone
	Here    string
	Item    *jobs.Item
	Values  []valueField
	Fresh   bool
	Prove   string
	Raw     string // the item on the page of the work list
	Version string // address of the version that made it
	Rule    string // address of the rule
	Kingdee string // deep link
	Ding    string // the approval's page
	Centre  string
	MayEdit, MayReplay,
	MayGiveUp bool
}

// valueField is a header field that a person may fill.
type valueField struct{ Key, Value string }

// When is a time for the page.
func (billView) When(t time.Time) string { return When(t) }

// Short is a version's name for people.
func (billView) Short(print string) string { return shortPrint(print) }

func (p *Bills) bill(v *Visit) error {
	d, err := p.Book.Get(v.R.Context(), v.R.PathValue("corp"), v.R.PathValue("instance"))
	if err != nil {
		return err
	}
	view := billView{
		Detail: d, Steps: milestones(d), Here: billAddress(d.Corp, d.Instance), Item: d.Item, Fresh: v.Fresh(), Centre: centreName(p.Centres, d.DataCentre),
		Kingdee: p.kingdee(d.Bill),
	}
	view.Prove = pathConfirm + "?" + url.Values{"next": {view.Here}}.Encode()
	if d.Print != "" {
		view.Version = pathBillRules + "/version/" + url.PathEscape(d.Print)
	}
	if p.Page != nil {
		view.Ding = p.Page(d.Corp, d.Instance)
	}
	if d.Item != nil {
		view.Raw = pathJobs + "/item/" + d.Item.String()
		waits := d.Item.State == jobs.Dead || d.Item.State == jobs.Ready
		view.MayReplay, view.MayGiveUp = waits || d.Item.State == jobs.GivenUp, waits
		view.MayEdit = view.MayReplay
		set, _ := approval.Values(d.Item.Payload) // keys gives none where it cannot be read
		for _, key := range p.keys(d) {
			view.Values = append(view.Values, valueField{key, set[key]})
		}
	}
	return v.Page("bill", view)
}

// kingdee is the deep link to a bill, empty while there is none, or none is allowed.
func (p *Bills) kingdee(b billbook.Bill) string {
	name := p.Forms[b.Form]
	if name == "" || b.Bill == "" {
		return ""
	}
	target := "kingdee"
	if len(p.Centres) > 1 {
		target = b.DataCentre
	}
	return p.Public + "/launch/" + url.PathEscape(target) + "/" + url.PathEscape(name) + "/" + url.PathEscape(b.Bill)
}

func versionOf(text string) (store.Version, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, badRequest("version: %w", err)
	}
	return store.Version(n), nil
}

// BillInfo is one approval as the API tells it.
type BillInfo struct {
	billbook.Bill
	Milestones []Milestone    `json:"milestones,omitempty"`
	History    []jobs.Attempt `json:"history,omitempty"`
	Version    uint64         `json:"version,omitempty"` // of the item, which an edit has to name
	Kingdee    string         `json:"kingdee,omitempty"` // deep link
	DingTalk   string         `json:"dingtalk,omitempty"`
}

// BillPage is one page of bills.
type BillPage struct {
	Bills  []BillInfo             `json:"bills"`
	Total  int                    `json:"total"`
	States map[billbook.State]int `json:"states"`
	Next   string                 `json:"next,omitempty"`
	Cut    bool                   `json:"cut,omitempty"` // there is more than was looked at
}

// BillValues is the body that fills header fields and does the approval again.
type BillValues struct {
	Version uint64            `json:"version"`
	Values  map[string]string `json:"values"`
}

func (p *Bills) mountAPI(rt *Router) {
	route := func(pattern, summary string, body, answer any, serve Endpoint) Route {
		return Route{Pattern: pattern, Access: ToAdmin, Summary: summary, Body: body, Answer: answer, Serve: serve}
	}
	list := route("GET "+apiBills, "The bills that approvals became, and those that failed.", nil, BillPage{}, p.listJSON)
	list.Query = billParams
	slots := route("GET "+apiPrefix+"bill-counts", "Booked and failed bills of the last 24 hours or 30 days.", nil, []billbook.Slot{}, p.slotsJSON)
	slots.Query = append(slices.Clone(billParams), Param{"by", "hour or day"})
	edit := route("PUT "+apiBill+"/values", "Put values in the place of header fields, and do it again; 409 when it has changed.", BillValues{}, BillInfo{}, p.valuesJSON)
	edit.Danger = true
	rt.Add(
		list, slots,
		route("GET "+apiBill, "One approval with every step.", nil, BillInfo{}, p.billJSON),
		edit,
		route("POST "+apiBill+"/replay", "Do a failed approval again.", struct{}{}, BillInfo{}, func(v *Visit) error {
			if err := v.Body(&struct{}{}); err != nil {
				return err
			}
			if _, err := p.owned(v); err != nil {
				return err
			}
			if _, err := p.List.Replay(v.R.Context(), v.worker(), billID(v)); err != nil {
				return err
			}
			p.Book.Forget()
			return p.billJSON(v)
		}),
		route("POST "+apiBill+"/give-up", "End an approval that will not become a bill, with a note.", ItemNote{}, BillInfo{}, func(v *Visit) error {
			var body ItemNote
			if err := v.Body(&body); err != nil {
				return err
			}
			if _, err := p.owned(v); err != nil {
				return err
			}
			if _, err := p.List.GiveUp(v.R.Context(), v.worker(), billID(v), body.Note); err != nil {
				return err
			}
			p.Book.Forget()
			return p.billJSON(v)
		}),
	)
}

func (p *Bills) listJSON(v *Visit) error {
	q, kept, err := p.queryOf(v)
	if err != nil {
		return err
	}
	found, err := p.Book.Search(v.R.Context(), q)
	if err != nil {
		return err
	}
	page := BillPage{Bills: []BillInfo{}, Total: found.Total, States: found.States, Cut: found.Cut}
	for _, b := range found.Bills {
		page.Bills = append(page.Bills, BillInfo{Bill: b, Kingdee: p.kingdee(b)})
	}
	if found.Next != "" {
		page.Next = v.Cursor("bills "+kept.Encode(), found.Next)
	}
	return v.JSON(http.StatusOK, page)
}

func (p *Bills) slotsJSON(v *Visit) error {
	q, _, err := p.queryOf(v)
	if err != nil {
		return err
	}
	by, err := v.Query("by")
	if err != nil {
		return err
	}
	slots, err := p.slots(v.R.Context(), q.Filter, by["by"])
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, slots)
}

func (p *Bills) billJSON(v *Visit) error {
	d, err := p.Book.Get(v.R.Context(), v.R.PathValue("corp"), v.R.PathValue("instance"))
	if err != nil {
		return err
	}
	info := BillInfo{Bill: d.Bill, Milestones: milestones(d), Kingdee: p.kingdee(d.Bill)}
	if p.Page != nil {
		info.DingTalk = p.Page(d.Corp, d.Instance)
	}
	if d.Item != nil {
		info.History, info.Version = d.Item.History, uint64(d.Item.Version)
	}
	return v.JSON(http.StatusOK, info)
}

func (p *Bills) valuesJSON(v *Visit) error {
	var body BillValues
	if err := v.Body(&body); err != nil {
		return err
	}
	d, err := p.owned(v)
	if err != nil {
		return err
	}
	if err := p.set(v, d, store.Version(body.Version), body.Values); err != nil {
		return err
	}
	return p.billJSON(v)
}
