package admin

import (
	"errors"
	"net/http"
	"time"

	"kdgate/identity"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/rulebook"
)

// RuleInfo is a rule as the API tells it.
type RuleInfo struct {
	Corp       string           `json:"corp"`
	Name       string           `json:"name"`
	Source     rulebook.Source  `json:"source"`         // file or console
	Mode       rulebook.Mode    `json:"mode,omitempty"` // of the file's
	State      string           `json:"state"`          // on, behind, off, shadowed or faulty
	Print      string           `json:"print"`          // of the version that is written now
	Acting     string           `json:"acting,omitempty"`
	Shadow     string           `json:"shadow,omitempty"` // rule of the file in its place
	Fault      string           `json:"fault,omitempty"`
	Process    string           `json:"process"`
	DataCentre string           `json:"data_centre"`
	Form       string           `json:"form"`
	Switch     *rulebook.Switch `json:"switch,omitempty"`
	Text       string           `json:"text"`
	By         string           `json:"by,omitempty"`
	At         time.Time        `json:"at,omitzero"`
}

// RuleDraft is the body that keeps a rule of the console as a new version.
type RuleDraft struct {
	Text   string        `json:"text"`
	Of     *rulebook.Key `json:"of,omitempty"`     // the rule that is changed; left out: a new one
	Expect string        `json:"expect,omitempty"` // print of its version that was looked at
}

// RuleText is the body that is only read.
type RuleText struct {
	Text     string `json:"text"`
	Instance string `json:"instance,omitempty"` // an approval to try it on
}

// RuleReading is what a text comes to.
type RuleReading struct {
	Faults  rulebook.Faults `json:"faults"`
	Print   string          `json:"print,omitempty"`
	Shadow  string          `json:"shadow,omitempty"`
	Preview *BillPreview    `json:"preview,omitempty"`
}

// RuleSwitch is the body of a switch.
type RuleSwitch struct {
	On    bool   `json:"on"`
	Print string `json:"print,omitempty"` // the version that was looked at, to switch it on
}

// RuleTrial is the body of a preview.
type RuleTrial struct {
	Instance string `json:"instance"`
}

// BillPreview is approval.Preview on this wire.
type BillPreview struct {
	Instance string            `json:"instance"`
	Title    string            `json:"title"`
	Agreed   bool              `json:"agreed"`
	Rule     string            `json:"rule"`
	Print    string            `json:"print"`
	Form     string            `json:"form"`
	Number   string            `json:"number"`
	Passed   string            `json:"passed,omitempty"`
	Mistakes approval.Mistakes `json:"mistakes,omitempty"`
	Fields   []approval.Filled `json:"fields"`
	Model    any               `json:"model,omitempty"` // as it would be posted
}

func billPreview(p approval.Preview) *BillPreview {
	out := &BillPreview{
		Instance: p.Instance, Title: p.Title, Agreed: p.Agreed, Rule: p.Rule, Print: p.Print, Form: p.Form, Number: p.Number,
		Passed: p.Passed, Mistakes: p.Mistakes, Fields: append([]approval.Filled{}, p.Fields...),
	}
	if p.Model != nil {
		out.Model = p.Model
	}
	return out
}

// RuleVersion is one version.
type RuleVersion struct {
	Corp  string    `json:"corp"`
	Name  string    `json:"name"`
	Print string    `json:"print"`
	Kept  time.Time `json:"kept,omitzero"`
	Text  string    `json:"text"`
}

func ruleVersion(v approval.Version) RuleVersion {
	return RuleVersion{Corp: v.Corp, Name: v.Rule.Name, Print: v.Print, Kept: v.Kept, Text: rulebook.Text(v.Corp, v.Rule)}
}

func (p *Rules) info(s rulebook.Standing) RuleInfo {
	rule := s.Latest.Rule
	info := RuleInfo{
		Corp: s.Corp, Name: s.Name, Source: s.Source, Mode: s.Mode, State: p.shown(s).State, Print: s.Latest.Print, Acting: s.Acting,
		Shadow: s.Shadow, Process: rule.Process, DataCentre: rule.DataCentre, Form: rule.Form, Switch: s.Switch, Text: rulebook.Text(s.Corp, rule),
	}
	if s.Fault != nil {
		info.Fault = s.Fault.Error()
	}
	if s.Written != nil {
		info.Text, info.By, info.At = s.Written.Text, s.Written.By, s.Written.At
	}
	return info
}

func (p *Rules) mountAPI(rt *Router) {
	route := func(pattern, summary string, body, answer any, serve Endpoint) Route {
		return Route{Pattern: pattern, Access: ToAdmin, Summary: summary, Body: body, Answer: answer, Serve: serve}
	}
	danger := func(r Route) Route { r.Danger, r.MaxBody = true, maxRule; return r }
	check := route("POST "+apiPrefix+"approvals/check", "Read the text of a rule and, if wanted, try it; nothing is kept.", RuleText{}, RuleReading{}, p.checkJSON)
	check.MaxBody = maxRule
	rt.Add(
		route("GET "+apiRules, "The rules by which approvals become bills.", nil, []RuleInfo{}, p.listJSON),
		danger(route("PUT "+apiRules, "Keep a rule of the console as a new version; 409 when it has changed.", RuleDraft{}, RuleInfo{}, p.saveJSON)),
		check,
		route("GET "+apiRule, "One rule.", nil, RuleInfo{}, func(v *Visit) error { return p.answer(v, ruleKey(v)) }),
		danger(route("DELETE "+apiRule, "Take a rule of the console out.", nil, struct{}{}, p.removeJSON)),
		route("POST "+apiRule+"/preview", "The bill that an approval would become; nothing is posted.", RuleTrial{}, BillPreview{}, p.previewJSON),
		route("POST "+apiRule+"/latest", "The latest approvals of its form; costs DingTalk's quota.", struct{}{}, []string{}, p.latestJSON),
		danger(route("POST "+apiRule+"/switch", "Switch a version on, or the rule off.", RuleSwitch{}, RuleInfo{}, p.switchJSON)),
		route("GET "+apiRule+"/versions", "Every version that is kept, the newest first.", nil, []RuleVersion{}, p.versionsJSON),
		route("GET "+apiPrefix+"approvals/versions/{print}", "One version.", nil, RuleVersion{}, p.versionJSON),
	)
}

func (p *Rules) answer(v *Visit, key rulebook.Key) error {
	s, err := p.Desk.Get(key)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, p.info(s))
}

func (p *Rules) listJSON(v *Visit) error {
	out := []RuleInfo{}
	for _, s := range p.Desk.List() {
		out = append(out, p.info(s))
	}
	return v.JSON(http.StatusOK, out)
}

func (p *Rules) checkJSON(v *Visit) error {
	var body RuleText
	if err := v.Body(&body); err != nil {
		return err
	}
	checked, err := p.Desk.Check(body.Text)
	if faults, ok := errors.AsType[rulebook.Faults](err); ok {
		return v.JSON(http.StatusOK, RuleReading{Faults: faults})
	}
	if err != nil {
		return err
	}
	reading := RuleReading{Faults: rulebook.Faults{}, Print: checked.Print, Shadow: checked.Shadow}
	if body.Instance != "" {
		preview, err := p.Desk.TryText(v.R.Context(), v.worker(), body.Text, body.Instance)
		if err != nil {
			return err
		}
		reading.Preview = billPreview(preview)
	}
	return v.JSON(http.StatusOK, reading)
}

func (p *Rules) saveJSON(v *Visit) error {
	var body RuleDraft
	if err := v.Body(&body); err != nil {
		return err
	}
	draft := rulebook.Draft{Text: body.Text, Expect: body.Expect}
	if body.Of != nil {
		draft.Of = *body.Of
	}
	w, err := p.Desk.Save(v.R.Context(), v.worker(), draft)
	if faults, ok := errors.AsType[rulebook.Faults](err); ok {
		return v.JSON(http.StatusBadRequest, RefusedText{Fault{Code: identity.CodeRefusedInput, RequestID: v.RequestID()}, faults})
	}
	if err != nil {
		return err
	}
	return p.answer(v, w.Key)
}

// RefusedText is a Fault with every mistake of a text.
type RefusedText struct {
	Fault
	Faults rulebook.Faults `json:"faults"`
}

func (p *Rules) removeJSON(v *Visit) error {
	if err := p.Desk.Remove(v.R.Context(), v.worker(), ruleKey(v)); err != nil {
		return err
	}
	return v.JSON(http.StatusOK, struct{}{})
}

func (p *Rules) previewJSON(v *Visit) error {
	var body RuleTrial
	if err := v.Body(&body); err != nil {
		return err
	}
	preview, err := p.Desk.Try(v.R.Context(), v.worker(), ruleKey(v), body.Instance)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, billPreview(preview))
}

func (p *Rules) latestJSON(v *Visit) error {
	if err := v.Body(&struct{}{}); err != nil {
		return err
	}
	ids, err := p.Desk.Latest(v.R.Context(), ruleKey(v))
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, append([]string{}, ids...))
}

func (p *Rules) switchJSON(v *Visit) error {
	var body RuleSwitch
	if err := v.Body(&body); err != nil {
		return err
	}
	if err := p.Desk.Switch(v.R.Context(), v.worker(), ruleKey(v), body.Print, body.On); err != nil {
		return err
	}
	return p.answer(v, ruleKey(v))
}

func (p *Rules) versionsJSON(v *Visit) error {
	list, err := p.Desk.Versions(v.R.Context(), ruleKey(v))
	if err != nil {
		return err
	}
	out := []RuleVersion{}
	for _, one := range list {
		out = append(out, ruleVersion(one))
	}
	return v.JSON(http.StatusOK, out)
}

func (p *Rules) versionJSON(v *Visit) error {
	one, err := p.Desk.Version(v.R.Context(), v.R.PathValue("print"))
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, ruleVersion(one))
}
