package admin

import (
	"net/url"
	"strconv"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping"
)

const (
	pathRow = pathMapping + "/row"
	pathNew = pathMapping + "/new"

	historyPage = 20
)

var keyFields = [...]string{"data_centre", "corp", "userid"}

// rowAddress is where a row's page is.
func rowAddress(k mapping.Key) string {
	return pathRow + "?" + url.Values{"data_centre": {k.DataCentre}, "corp": {k.Corp}, "userid": {k.UserID}}.Encode()
}

func keyOf(read map[string]string) mapping.Key {
	return mapping.Key{DataCentre: read["data_centre"], Corp: read["corp"], UserID: read["userid"]}
}

// draft is what stands in the fields of a row's form.
type draft struct {
	StaffNumber, LoginUser, Note string
	Owner                        mapping.Owner
	Shared                       bool
}

func draftOf(e mapping.Entry) draft {
	return draft{StaffNumber: e.StaffNumber, LoginUser: e.LoginUser, Note: e.Note, Owner: e.Owner, Shared: e.Shared}
}

// rowView is one row.
type rowView struct {
	Entry      mapping.Entry
	History    []mapping.Entry
	Form       draft
	Refusal    *mapping.Refusal // why the form came back
	Conflict   bool             // somebody was quicker; Form is what this person wrote
	Admin      bool
	MayApprove bool // neither author nor beneficiary, nor has approved
	Needed     int  // approvals that are missing
	Chain      string
	New        bool
	Centres    []Centre
	Corps      []string
	Key        mapping.Key
}

func (m *Mapping) row(v *Visit) error {
	read, err := v.Query(keyFields[:]...)
	if err != nil {
		return err
	}
	view, err := m.rowView(v, keyOf(read))
	if err != nil {
		return err
	}
	return v.Page("row", view)
}

// rowView reads a row as it is now.
func (m *Mapping) rowView(v *Visit, k mapping.Key) (rowView, error) {
	e, err := m.Table.Get(v.R.Context(), k)
	if err != nil {
		return rowView{}, err
	}
	history, err := m.Table.History(v.R.Context(), k, 0, historyPage)
	if err != nil {
		return rowView{}, err
	}
	return rowView{
		Entry: e, History: history, Form: draftOf(e), Key: k, Admin: v.Who.Role == Admin,
		MayApprove: mayApprove(v.Who, e), Needed: max(0, mapping.ApprovalsNeeded-len(e.Approvals)),
		Chain: pathRow + "/chain?" + url.Values{"data_centre": {k.DataCentre}, "corp": {k.Corp}, "userid": {k.UserID}}.Encode(),
	}, nil
}

// mayApprove reports whether this person could be a second pair of eyes (T100).
// The table judges again; the emergency account never is one.
func mayApprove(who Person, e mapping.Entry) bool {
	if who.Role != Admin || who.IsBreakGlass() || !e.Privileged || e.Approved() || e.Status == mapping.StatusSuspended {
		return false
	}
	if who.Name == e.Author || who.Name == audit.Person(e.Key().Subject()) {
		return false
	}
	for _, stamp := range e.Approvals {
		if stamp.By == who.Name {
			return false
		}
	}
	return true
}

// chainView is the chain, link by link.
type chainView struct {
	Links []linkView
	Code  identity.Code
	Login string // the account it ends in, empty when it breaks
}

type linkView struct {
	Name string // number, staff or user
	Step mapping.Step
	Mark string // ok, bad or off
	At   string
}

// chain asks for the chain as it is now. It may ask Kingdee, so the row's page
// fetches it after itself.
func (m *Mapping) chain(v *Visit) error {
	read, err := v.Query(keyFields[:]...)
	if err != nil {
		return err
	}
	view := m.explain(v, keyOf(read))
	if v.IsFragment() {
		return v.Part("chain", "chain", view)
	}
	return v.Page("chain", view)
}

func (m *Mapping) explain(v *Visit, k mapping.Key) chainView {
	chain, err := m.Table.Explain(v.R.Context(), identity.Assertion{Subject: k.Subject()}, k.DataCentre)
	view := chainView{Login: chain.Account.LoginUser}
	if err != nil {
		_, view.Code = verdict(err)
	}
	view.Links = linksOf(chain)
	return view
}

// linksOf are the links as they are drawn.
func linksOf(chain mapping.Chain) []linkView {
	var links []linkView
	for _, link := range [...]linkView{{Name: "number", Step: chain.Number}, {Name: "staff", Step: chain.Staff}, {Name: "user", Step: chain.User}} {
		link.Mark = "bad"
		switch link.Step.State {
		case mapping.StateOK, mapping.StateRenamed:
			link.Mark = "ok"
		case mapping.StateUnchecked:
			link.Mark = "off"
		}
		if !link.Step.CheckedAt.IsZero() {
			link.At = When(link.Step.CheckedAt)
		}
		links = append(links, link)
	}
	return links
}

var draftFields = [...]string{"staff_number", "login_user", "owner", "note", "shared"}

func readDraft(form map[string]string) draft {
	return draft{
		StaffNumber: form["staff_number"], LoginUser: form["login_user"], Note: form["note"],
		Owner: mapping.Owner(form["owner"]), Shared: form["shared"] == "yes",
	}
}

// edit changes a row at the version that the editor saw. When somebody was
// quicker, the page comes back with what this person wrote beside what is there
// now, and nothing is lost or overwritten (T26).
func (m *Mapping) edit(v *Visit) error {
	form, err := v.Form(append(append(keyFields[:], draftFields[:]...), "version")...)
	if err != nil {
		return err
	}
	k, wrote := keyOf(form), readDraft(form)
	version, err := strconv.ParseUint(form["version"], 10, 64)
	if err != nil {
		return badRequest("version: %w", err)
	}
	edit := mapping.Edit{
		Version: version, StaffNumber: &wrote.StaffNumber, LoginUser: &wrote.LoginUser, Owner: &wrote.Owner, Note: &wrote.Note,
	}
	if v.Who.Role == Admin {
		edit.Shared = &wrote.Shared
	}
	_, err = m.Table.Change(v.R.Context(), v.Actor(), k, edit)
	return m.answerEdit(v, k, wrote, err)
}

// answerEdit goes back to the row, or shows the form again with the reason.
func (m *Mapping) answerEdit(v *Visit, k mapping.Key, wrote draft, err error) error {
	if err == nil {
		return v.SeeOther(rowAddress(k))
	}
	refusal := mapping.RefusalOf(err)
	if refusal == nil || identity.KindOf(err) == identity.NotFound {
		return err
	}
	view, readErr := m.rowView(v, k)
	if readErr != nil {
		return readErr
	}
	view.Form, view.Refusal, view.Conflict = wrote, refusal, refusal.Reason == mapping.ReasonVersion
	status, code := verdict(err)
	v.console.logFailure(v, status, code, err)
	return v.PageStatus(status, "row", view)
}

func (m *Mapping) newRow(v *Visit) error {
	read, err := v.Query(append(keyFields[:], "staff_number", "login_user")...)
	if err != nil {
		return err
	}
	view := rowView{New: true, Key: keyOf(read), Form: readDraft(read), Centres: m.Centres, Corps: m.Corps, Admin: v.Who.Role == Admin}
	view.Form.Owner = mapping.OwnerManual
	return v.Page("row", view)
}

// create writes a new row.
func (m *Mapping) create(v *Visit) error {
	form, err := v.Form(append(keyFields[:], draftFields[:]...)...)
	if err != nil {
		return err
	}
	k, wrote := keyOf(form), readDraft(form)
	_, err = m.Table.Create(v.R.Context(), v.Actor(), mapping.Draft{
		Key: k, StaffNumber: wrote.StaffNumber, LoginUser: wrote.LoginUser, Owner: wrote.Owner, Note: wrote.Note, Shared: wrote.Shared,
	})
	if err == nil {
		return v.SeeOther(rowAddress(k))
	}
	refusal := mapping.RefusalOf(err)
	if refusal == nil {
		return err
	}
	status, code := verdict(err)
	v.console.logFailure(v, status, code, err)
	return v.PageStatus(status, "row", rowView{
		New: true, Key: k, Form: wrote, Refusal: refusal, Centres: m.Centres, Corps: m.Corps, Admin: v.Who.Role == Admin,
	})
}

// decision is what a button of a row's page posts.
type decision struct {
	Key     mapping.Key
	Version uint64
	Reason  string
}

func readDecision(v *Visit) (decision, error) {
	form, err := v.Form(append(keyFields[:], "version", "reason")...)
	if err != nil {
		return decision{}, err
	}
	version, err := strconv.ParseUint(form["version"], 10, 64)
	if err != nil {
		return decision{}, badRequest("version: %w", err)
	}
	return decision{Key: keyOf(form), Version: version, Reason: form["reason"]}, nil
}

// decide reads a decision, makes it and goes back to the row.
func (m *Mapping) decide(v *Visit, act func(decision) error) error {
	d, err := readDecision(v)
	if err != nil {
		return err
	}
	if err := act(d); err != nil {
		return err
	}
	return v.SeeOther(rowAddress(d.Key))
}

func (m *Mapping) suspend(v *Visit) error {
	return m.decide(v, func(d decision) error {
		_, err := m.Table.Suspend(v.R.Context(), v.Actor(), d.Key, d.Reason)
		return err
	})
}

func (m *Mapping) rebind(v *Visit) error {
	return m.decide(v, func(d decision) error {
		anybody := ""
		_, err := m.Table.Change(v.R.Context(), v.Actor(), d.Key, mapping.Edit{Version: d.Version, UnionID: &anybody})
		return err
	})
}

func (m *Mapping) reinstate(v *Visit) error {
	return m.decide(v, func(d decision) error {
		_, err := m.Table.Reinstate(v.R.Context(), v.Actor(), d.Key, d.Version)
		return err
	})
}

// approve is a second pair of eyes. Behind the emergency account sits nobody in
// particular, so it cannot be one (T100).
func (m *Mapping) approve(v *Visit) error {
	return m.decide(v, func(d decision) error { return m.approveRow(v, d) })
}

func (m *Mapping) approveRow(v *Visit, d decision) error {
	if v.Who.IsBreakGlass() {
		return identity.Fail(identity.Forbidden, identity.CodeFourEyes, "admin: the emergency account approves nothing")
	}
	_, err := m.Table.Approve(v.R.Context(), v.Actor(), d.Key, d.Version)
	return err
}

// Back is where a cancelled form leads.
func (r rowView) Back() string {
	if r.New {
		return pathMapping
	}
	return rowAddress(r.Key)
}

// Owners are the choices of the form.
func (r rowView) Owners() []mapping.Owner { return owners }

// When is a time for the page.
func (r rowView) When(e mapping.Entry) string { return When(e.Changed.At) }

// Checked is when Kingdee was last asked, for the page.
func (r rowView) Checked() string { return When(r.Entry.Check.At) }
