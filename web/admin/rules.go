package admin

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/rulebook"
)

const (
	pathBillRules = prefix + "approvals"
	pathBillRule  = pathBillRules + "/rule/{corp}/{name}"
	pathEdit      = pathBillRules + "/edit/{corp}/{name}"
	pathVersion   = pathBillRules + "/version/{print}"
	apiRules      = apiPrefix + "approvals/rules"
	apiRule       = apiRules + "/{corp}/{name}"

	maxRule = 4 * rulebook.MaxText // a text as a form sends it
)

// Rules are the rules by which approvals become bills: looked at, tried on a real
// approval, written, switched (F61). The desk records what people do to them.
type Rules struct {
	Desk    *rulebook.Desk
	Titles  func(v *Visit, corp string, instances []string) map[string]string // what is known of approvals without asking DingTalk; may be nil
	Centres []Centre
	Corps   []string
}

// Mount implements Page.
func (p *Rules) Mount(rt *Router) {
	rt.Link("approvals", pathBillRules, ToAdmin)
	route := func(pattern, summary string, serve Endpoint) Route {
		return Route{Pattern: pattern, Access: ToAdmin, Summary: summary, Serve: serve}
	}
	danger := func(r Route) Route { r.Danger = true; return r }
	sized := func(r Route) Route { r.MaxBody = maxRule; return r }
	save := danger(sized(route("POST "+pathBillRules+"/save", "Keep a rule of the console as a new version.", p.save)))
	save.Stale = p.stale
	compare := route("GET "+pathVersion, "One version of a rule, compared with another.", p.version)
	compare.Query = []Param{{"with", "the version to compare with"}}
	rt.Add(
		route("GET "+pathBillRules, "The rules by which approvals become bills.", p.list),
		route("GET "+pathBillRules+"/new", "Write a rule.", p.write),
		sized(route("POST "+pathBillRules+"/check", "Read the text of a rule and, if wanted, try it on an approval; nothing is kept.", p.check)),
		save,
		route("GET "+pathBillRule, "One rule: fields, text, versions.", p.rule),
		route("GET "+pathEdit, "Change a rule of the console.", p.edit),
		route("POST "+pathBillRule+"/preview", "Show the bill that an approval would become; nothing is posted.", p.preview),
		route("POST "+pathBillRule+"/latest", "List the latest approvals of its form; costs DingTalk's quota.", p.latest),
		danger(route("POST "+pathBillRule+"/switch", "Switch a version of a rule on, or the rule off.", p.turn)),
		danger(route("POST "+pathBillRule+"/remove", "Take a rule of the console out.", p.remove)),
		compare,
	)
	p.mountAPI(rt)
}

func ruleKey(v *Visit) rulebook.Key {
	return rulebook.Key{Corp: v.R.PathValue("corp"), Name: v.R.PathValue("name")}
}

func ruleAddress(under string, key rulebook.Key) string {
	return pathBillRules + under + url.PathEscape(key.Corp) + "/" + url.PathEscape(key.Name)
}

// standing is a rule for the page.
type standing struct {
	rulebook.Standing
	Address string
	State   string // on, behind (an older version acts), off, shadowed, faulty
	Centre  string
	Since   string
}

func (p *Rules) shown(s rulebook.Standing) standing {
	out := standing{Standing: s, Address: ruleAddress("/rule/", s.Key), State: "off", Since: s.Latest.Rule.Since.In(beijing).Format(time.DateOnly)}
	out.Centre = centreName(p.Centres, s.Latest.Rule.DataCentre)
	switch {
	case s.Shadow != "":
		out.State = "shadowed"
	case s.Fault != nil:
		out.State = "faulty"
	case s.Acting != "" && s.Acting != s.Latest.Print:
		out.State = "behind"
	case s.Acting != "":
		out.State = "on"
	}
	return out
}

// Short is a version's name for people.
func (standing) Short(print string) string { return shortPrint(print) }

func shortPrint(print string) string { return print[:min(len(print), 12)] }

// rulesView is the list.
type rulesView struct {
	Rules   []standing
	Console bool
}

func (p *Rules) list(v *Visit) error {
	view := rulesView{Console: p.Desk.Scene().Console}
	for _, s := range p.Desk.List() {
		view.Rules = append(view.Rules, p.shown(s))
	}
	return v.Page("rules", view)
}

// ruleView is one rule.
type ruleView struct {
	standing
	Text  string
	Edit  string // address, empty for a rule of the file
	Bills string // address
	Fresh bool
	Prove string
	MaySwitch,
	Changed bool // its switch is of another version
	Tried    *rulebook.Tried
	Versions []versionRow
	Instance string
	Preview  *tryView
	Offers   []offered
	Listed   bool
}

// When is a time for the page.
func (ruleView) When(t time.Time) string { return When(t) }

// offered is an approval to try a rule on.
type offered struct{ ID, Title string }

// versionRow is one kept version.
type versionRow struct {
	approval.Version
	Address string // compared with the one before
	Acting  bool
}

func (p *Rules) viewOf(v *Visit) (ruleView, error) {
	s, err := p.Desk.Get(ruleKey(v))
	if err != nil {
		return ruleView{}, err
	}
	view := ruleView{standing: p.shown(s), Text: rulebook.Text(s.Corp, s.Latest.Rule), Fresh: v.Fresh(), Bills: address(pathBills, nil, "rule", s.Name)}
	view.Prove = pathConfirm + "?" + url.Values{"next": {view.Address}}.Encode()
	if s.Source == rulebook.FromConsole {
		view.Edit, view.Text = ruleAddress("/edit/", s.Key), s.Written.Text
	}
	view.MaySwitch = s.Source == rulebook.FromConsole && s.Shadow == "" && s.Fault == nil || s.Mode == rulebook.ModeConsole
	view.Changed = s.Switch != nil && s.Switch.On && s.Switch.Print != s.Latest.Print
	tried, found, err := p.Desk.Tried(v.R.Context(), s.Latest.Print)
	if err != nil {
		return view, err
	}
	if found {
		view.Tried = &tried
	}
	versions, err := p.Desk.Versions(v.R.Context(), s.Key)
	for i, one := range versions {
		row := versionRow{Version: one, Address: pathBillRules + "/version/" + one.Print, Acting: one.Print == s.Acting}
		if i+1 < len(versions) {
			row.Address += "?with=" + versions[i+1].Print
		}
		view.Versions = append(view.Versions, row)
	}
	return view, err
}

func (p *Rules) rule(v *Visit) error {
	view, err := p.viewOf(v)
	if err != nil {
		return err
	}
	return v.Page("rule", view)
}

// tryView is a preview for the page.
type tryView struct {
	approval.Preview
	Fault string // why there is none, in words
	Code  identity.Code
}

// tryOf shows what came of a preview. A vendor that could not be asked is
// told on the page, where the next try is a click away.
func tryOf(shown approval.Preview, err error) (*tryView, error) {
	view := &tryView{Preview: shown}
	switch kind := identity.KindOf(err); {
	case err == nil:
	case kind == identity.NotFound, kind == identity.Upstream, kind == identity.Unavailable, kind == identity.Throttled, kind == identity.Invalid, kind == identity.Misconfigured:
		if identity.CodeOf(err) == identity.CodeAuditDown {
			return nil, err
		}
		view.Code, view.Fault = identity.CodeOf(err), string(cmp.Or(identity.CodeOf(err), codeOf[kind]))
	default:
		return nil, err
	}
	return view, nil
}

func (p *Rules) preview(v *Visit) error {
	form, err := v.Form("instance")
	if err != nil {
		return err
	}
	instance := instanceOf(form["instance"])
	shown, err := tryOf(p.Desk.Try(v.R.Context(), v.worker(), ruleKey(v), instance))
	if err != nil {
		return err
	}
	view, err := p.viewOf(v)
	if err != nil {
		return err
	}
	view.Instance, view.Preview = instance, shown
	return v.Page("rule", view)
}

// instanceOf is the instance id in what somebody pasted: the id, or the address of
// the approval's page.
func instanceOf(text string) string {
	text = strings.TrimSpace(text)
	for _, name := range []string{"procInstId=", "procInsId=", "processInstanceId="} {
		if _, after, found := strings.Cut(text, name); found {
			text, _, _ = strings.Cut(after, "&")
			text, _, _ = strings.Cut(text, "#")
		}
	}
	return text
}

func (p *Rules) latest(v *Visit) error {
	if _, err := v.Form(); err != nil {
		return err
	}
	ids, err := p.Desk.Latest(v.R.Context(), ruleKey(v))
	if err != nil {
		return err
	}
	view, err := p.viewOf(v)
	if err != nil {
		return err
	}
	view.Listed = true
	known := map[string]string{}
	if p.Titles != nil {
		known = p.Titles(v, view.Corp, ids)
	}
	for _, id := range ids {
		view.Offers = append(view.Offers, offered{id, known[id]})
	}
	return v.Page("rule", view)
}

func (p *Rules) turn(v *Visit) error {
	form, err := v.Form("on", "print")
	if err != nil {
		return err
	}
	key := ruleKey(v)
	if err := p.Desk.Switch(v.R.Context(), v.worker(), key, form["print"], form["on"] == "1"); err != nil {
		return err
	}
	return v.SeeOther(ruleAddress("/rule/", key))
}

func (p *Rules) remove(v *Visit) error {
	if _, err := v.Form(); err != nil {
		return err
	}
	if err := p.Desk.Remove(v.R.Context(), v.worker(), ruleKey(v)); err != nil {
		return err
	}
	return v.SeeOther(pathBillRules)
}

// editView is the text of a rule that is written.
type editView struct {
	Text     string
	Corp     string // of the rule that is changed; empty: a new one
	Name     string
	Expect   string
	Faults   rulebook.Faults
	Good     *rulebook.Checked
	Stale    bool // the proof is too old; nothing was kept
	Moved    bool // somebody else saved first
	Prove    string
	Instance string
	Preview  *tryView
	Back     string
}

// sample is what a new rule begins with.
func (p *Rules) sample() string {
	d := p.Desk.Scene().Defaults
	return `name: ` + "\n" + `process: PROC-` + "\n" + `corp: ` + d.Corp + "\n" + `data_centre: ` + d.DataCentre + "\n" + `since: ` + "\n" + `template: expense-reimbursement
aliases:
  - {name: reason, id: }
header:
  - {key: FCausa, from: reason}
dictionaries:
  - name: departments
    words:
      - {value: "*", text: BM000001}
`
}

func (p *Rules) write(v *Visit) error {
	return v.Page("ruleedit", editView{Text: p.sample(), Back: pathBillRules})
}

func (p *Rules) edit(v *Visit) error {
	s, err := p.Desk.Get(ruleKey(v))
	switch {
	case err != nil:
		return err
	case s.Written == nil:
		return identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: %q stands in the configuration file", s.Name)
	}
	return v.Page("ruleedit", editView{Text: s.Written.Text, Corp: s.Corp, Name: s.Name, Expect: s.Written.Print, Back: ruleAddress("/rule/", s.Key)})
}

func (p *Rules) draft(v *Visit) (editView, error) {
	form, err := v.Form("text", "corp", "name", "expect", "instance")
	if err != nil {
		return editView{}, err
	}
	view := editView{
		Text: strings.ReplaceAll(form["text"], "\r\n", "\n"), Corp: form["corp"], Name: form["name"], Expect: form["expect"],
		Instance: instanceOf(form["instance"]), Back: pathBillRules,
	}
	if view.Name != "" {
		view.Back = ruleAddress("/rule/", rulebook.Key{Corp: view.Corp, Name: view.Name})
	}
	view.Prove = pathConfirm + "?" + url.Values{"next": {pathBillRules}}.Encode()
	return view, nil
}

// read fills in what a text comes to; false when it has mistakes.
func (p *Rules) read(view *editView) (bool, error) {
	checked, err := p.Desk.Check(view.Text)
	if faults, ok := errors.AsType[rulebook.Faults](err); ok {
		view.Faults = faults
		return false, nil
	}
	view.Good = &checked
	return err == nil, err
}

func (p *Rules) check(v *Visit) error {
	view, err := p.draft(v)
	if err != nil {
		return err
	}
	good, err := p.read(&view)
	if err == nil && good && view.Instance != "" {
		view.Preview, err = tryOf(p.Desk.TryText(v.R.Context(), v.worker(), view.Text, view.Instance))
	}
	if err != nil {
		return err
	}
	return v.PageStatus(statusOfText(good), "ruleedit", view)
}

func statusOfText(good bool) int {
	if good {
		return http.StatusOK
	}
	return http.StatusBadRequest
}

// stale gives the text back to somebody whose proof has become too old.
func (p *Rules) stale(v *Visit) error {
	view, err := p.draft(v)
	if err != nil {
		return err
	}
	view.Stale = true
	return v.PageStatus(http.StatusForbidden, "ruleedit", view)
}

func (p *Rules) save(v *Visit) error {
	view, err := p.draft(v)
	if err != nil {
		return err
	}
	w, err := p.Desk.Save(v.R.Context(), v.worker(), rulebook.Draft{
		Text: view.Text, Of: rulebook.Key{Corp: view.Corp, Name: view.Name}, Expect: view.Expect,
	})
	if faults, ok := errors.AsType[rulebook.Faults](err); ok {
		view.Faults = faults
		return v.PageStatus(http.StatusBadRequest, "ruleedit", view)
	}
	if identity.KindOf(err) == identity.Conflict && err != nil {
		view.Moved = true
		return v.PageStatus(http.StatusConflict, "ruleedit", view)
	}
	if err != nil {
		return err
	}
	return v.SeeOther(ruleAddress("/rule/", w.Key))
}

// versionView is one version, beside another.
type versionView struct {
	approval.Version
	Text   string
	With   *approval.Version
	Lines  []rulebook.Change
	Same   bool
	Others []approval.Version
	Rule   string // address of the rule
	Bills  string // address of the bills that it made
}

// When is a time for the page.
func (versionView) When(t time.Time) string { return When(t) }

// Short is a version's name for people.
func (versionView) Short(print string) string { return shortPrint(print) }

func (p *Rules) version(v *Visit) error {
	read, err := v.Query("with")
	if err != nil {
		return err
	}
	one, err := p.Desk.Version(v.R.Context(), v.R.PathValue("print"))
	if err != nil {
		return err
	}
	key := rulebook.Key{Corp: one.Corp, Name: one.Rule.Name}
	view := versionView{
		Version: one, Text: rulebook.Text(one.Corp, one.Rule), Rule: ruleAddress("/rule/", key), Bills: address(pathBills, nil, "print", one.Print),
	}
	if view.Others, err = p.Desk.Versions(v.R.Context(), key); err != nil {
		return err
	}
	if read["with"] != "" {
		other, err := p.Desk.Version(v.R.Context(), read["with"])
		if err != nil {
			return err
		}
		view.With, view.Lines = &other, rulebook.Diff(rulebook.Text(other.Corp, other.Rule), view.Text)
		view.Same = true
		for _, line := range view.Lines {
			view.Same = view.Same && line.Op == "same"
		}
	}
	return v.Page("ruleversion", view)
}
