package localapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"kdgate/identity"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/billbook"
	"kdgate/jobs/approval/rulebook"
)

// Rule is a rule of approvals on this wire.
type Rule struct {
	Corp    string          `json:"corp"`
	Name    string          `json:"name"`
	Source  rulebook.Source `json:"source"` // file or console
	Mode    rulebook.Mode   `json:"mode,omitzero"`
	Print   string          `json:"print"` // of the version that is written now
	Acting  string          `json:"acting,omitzero"`
	Shadow  string          `json:"shadow,omitzero"` // rule of the file in its place
	Fault   string          `json:"fault,omitzero"`
	Process string          `json:"process"`
	Form    string          `json:"form"`
	Text    string          `json:"text"`
}

// RuleVersion is one version of a rule.
type RuleVersion struct {
	Corp  string    `json:"corp"`
	Name  string    `json:"name"`
	Print string    `json:"print"`
	Kept  time.Time `json:"kept,omitzero"`
	Text  string    `json:"text"`
}

// RuleAct is what a person does to a rule.
type RuleAct struct {
	Act  string `json:"act"` // check, save, on, off or remove
	Corp string `json:"corp,omitzero"`
	Name string `json:"name,omitzero"`
	Text string `json:"text,omitzero"` // of check and save
}

// RuleDone is what came of it: the rule, or every mistake of the text.
type RuleDone struct {
	Rule   *Rule           `json:"rule,omitempty"`
	Faults rulebook.Faults `json:"faults,omitempty"`
	Print  string          `json:"print,omitzero"` // of a text that was checked
	Shadow string          `json:"shadow,omitzero"`
}

// BillFilter chooses bills.
type BillFilter struct {
	State billbook.State `json:"state,omitzero"`
	Text  string         `json:"text,omitzero"`
	After string         `json:"after,omitzero"`
	Limit int            `json:"limit,omitzero"`
}

// Bills is one page of bills.
type Bills struct {
	Bills []billbook.Bill `json:"bills"`
	Total int             `json:"total"`
	Next  string          `json:"next,omitzero"`
}

func ruleOf(s rulebook.Standing) Rule {
	rule := Rule{
		Corp: s.Corp, Name: s.Name, Source: s.Source, Mode: s.Mode, Print: s.Latest.Print, Acting: s.Acting, Shadow: s.Shadow,
		Process: s.Latest.Rule.Process, Form: s.Latest.Rule.Form, Text: rulebook.Text(s.Corp, s.Latest.Rule),
	}
	if s.Fault != nil {
		rule.Fault = s.Fault.Error()
	}
	if s.Written != nil {
		rule.Text = s.Written.Text
	}
	return rule
}

func (h handler) ruleRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+Prefix+"approvals/rules", func(w http.ResponseWriter, _ *http.Request) {
		list := []Rule{}
		for _, s := range h.Workshop.Rules.List() {
			list = append(list, ruleOf(s))
		}
		h.reply(w, list, nil)
	})
	mux.HandleFunc("POST "+Prefix+"approvals/rules/act", h.ruleAct)
	mux.HandleFunc("POST "+Prefix+"approvals/rules/versions", h.ruleVersions)
	mux.HandleFunc("POST "+Prefix+"approvals/bills", h.bills)
}

// ruleNamed is the one rule of a name; without an organisation the only one.
func (h handler) ruleNamed(corp, name string) (rulebook.Standing, error) {
	var found []rulebook.Standing
	for _, s := range h.Workshop.Rules.List() {
		if s.Name == name && (corp == "" || s.Corp == corp) {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 0:
		return rulebook.Standing{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "localapi: no rule %q", name)
	case corp == "" && found[len(found)-1].Corp != found[0].Corp:
		return rulebook.Standing{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "localapi: several organisations have a rule %q: name one", name)
	}
	return found[0], nil
}

func (h handler) ruleAct(w http.ResponseWriter, r *http.Request) {
	act, err := read[RuleAct](w, r)
	if err != nil {
		h.fail(w, err)
		return
	}
	done, err := h.actOnRule(r, act)
	if faults, ok := errors.AsType[rulebook.Faults](err); ok {
		done, err = RuleDone{Faults: faults}, nil
	}
	h.reply(w, done, err)
}

func (h handler) actOnRule(r *http.Request, act RuleAct) (RuleDone, error) {
	ctx, desk, by := r.Context(), h.Workshop.Rules, workActor(r)
	switch act.Act {
	case "check":
		checked, err := desk.Check(act.Text)
		return RuleDone{Print: checked.Print, Shadow: checked.Shadow}, err
	case "save":
		return h.saveRule(r, act.Text)
	}
	s, err := h.ruleNamed(act.Corp, act.Name)
	if err != nil {
		return RuleDone{}, err
	}
	switch act.Act {
	case "on", "off":
		err = desk.Switch(ctx, by, s.Key, s.Latest.Print, act.Act == "on")
	case "remove":
		return RuleDone{}, desk.Remove(ctx, by, s.Key)
	default:
		err = noAct(act.Act)
	}
	return h.ruleDone(s.Key, err)
}

// saveRule saves over the version that there is now: a command saw none.
func (h handler) saveRule(r *http.Request, text string) (RuleDone, error) {
	desk := h.Workshop.Rules
	checked, err := desk.Check(text)
	if err != nil {
		return RuleDone{}, err
	}
	draft := rulebook.Draft{Text: text}
	key := rulebook.Key{Corp: checked.Corp, Name: checked.Rule.Name}
	if s, err := desk.Get(key); err == nil && s.Source == rulebook.FromConsole {
		draft.Of, draft.Expect = key, s.Latest.Print
	}
	_, err = desk.Save(r.Context(), workActor(r), draft)
	return h.ruleDone(key, err)
}

func (h handler) ruleDone(key rulebook.Key, err error) (RuleDone, error) {
	if err != nil {
		return RuleDone{}, err
	}
	s, err := h.Workshop.Rules.Get(key)
	rule := ruleOf(s)
	return RuleDone{Rule: &rule}, err
}

// ruleVersions answers with every version of a rule, or with the one of a print.
func (h handler) ruleVersions(w http.ResponseWriter, r *http.Request) {
	act, err := read[RuleAct](w, r)
	if err != nil {
		h.fail(w, err)
		return
	}
	s, err := h.ruleNamed(act.Corp, act.Name)
	if err != nil {
		h.fail(w, err)
		return
	}
	list, err := h.Workshop.Rules.Versions(r.Context(), s.Key)
	out := []RuleVersion{}
	for _, v := range list {
		out = append(out, versionOf(v))
	}
	h.reply(w, out, err)
}

func versionOf(v approval.Version) RuleVersion {
	return RuleVersion{Corp: v.Corp, Name: v.Rule.Name, Print: v.Print, Kept: v.Kept, Text: rulebook.Text(v.Corp, v.Rule)}
}

func (h handler) bills(w http.ResponseWriter, r *http.Request) {
	f, err := read[BillFilter](w, r)
	if err != nil {
		h.fail(w, err)
		return
	}
	found, err := h.Workshop.Bills.Search(r.Context(), billbook.Query{
		Filter: billbook.Filter{State: f.State, Text: f.Text}, Order: billbook.ByReceived, Down: true, After: f.After, Limit: f.Limit,
	})
	h.reply(w, Bills{append([]billbook.Bill{}, found.Bills...), found.Total, found.Next}, err)
}

// Rules are the rules by which approvals become bills.
func (c *Client) Rules(ctx context.Context) ([]Rule, error) {
	var list []Rule
	return list, c.get(ctx, "approvals/rules", nil, &list)
}

// ActOnRule does something to a rule.
func (c *Client) ActOnRule(ctx context.Context, act RuleAct) (RuleDone, error) {
	var done RuleDone
	return done, c.post(ctx, "approvals/rules/act", act, &done)
}

// RuleVersions are the versions of a rule that are kept, the newest first.
func (c *Client) RuleVersions(ctx context.Context, corp, name string) ([]RuleVersion, error) {
	var list []RuleVersion
	return list, c.post(ctx, "approvals/rules/versions", RuleAct{Corp: corp, Name: name}, &list)
}

// Bills finds bills, the newest first.
func (c *Client) Bills(ctx context.Context, f BillFilter) (Bills, error) {
	var page Bills
	return page, c.post(ctx, "approvals/bills", f, &page)
}
