package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/identity/session"
	"kdgate/internal/lazyregexp"
	"kdgate/mapping"
)

const (
	pathPeople = prefix + "people"
	pathPerson = pathPeople + "/{corp}/{userid}"
	apiPeople  = apiPrefix + "people"

	foundPeople  = 50
	foundRecords = 200
)

// Explainer walks a person's chain and tells every link: a *mapping.Table.
type Explainer interface {
	Explain(ctx context.Context, who identity.Assertion, dataCentre string) (mapping.Chain, error)
}

// Rows searches the mapping table: a *mapping.Index over it.
type Rows func(ctx context.Context, q mapping.Query) (mapping.Found, error)

// Saying is what a vendor answered, as far as it may be shown: its words are
// bounded and masked by the vendor's client.
type Saying struct {
	Peer       string `json:"peer"`                 // dingtalk or kingdee
	Rule       string `json:"rule"`                 // name of the row in our decision table
	Words      string `json:"words,omitempty"`      // the vendor's own
	Advice     string `json:"advice,omitempty"`     // what an administrator is to do, in English
	Permission string `json:"permission,omitempty"` // right that is missing
	ApplyLink  string `json:"apply_link,omitempty"` // page of the vendor where it is granted
	Address    string `json:"address,omitempty"`    // ours, where the vendor does not let it in
	Reference  string `json:"reference,omitempty"`  // the vendor's request id, for their support
}

// People finds a person by whatever the helpdesk was told, and says why they
// cannot get in: the login doctor (F13, F14).
type People struct {
	Chains  Explainer
	Rows    Rows
	Log     Log
	Keeper  Keeper
	Centres []Centre
	Corps   []string
	// Profile asks DingTalk about one person; nil: DingTalk is not asked.
	Profile func(ctx context.Context, who identity.Subject) (identity.Profile, error)
	// Names finds people of the directory by a part of their name; nil: there is none.
	Names func(ctx context.Context, text string, limit int) ([]identity.Profile, error)
	// Said is what a vendor answered, from an error that is about it.
	Said func(err error) (Saying, bool)
}

// Mount implements Page.
func (p *People) Mount(rt *Router) {
	rt.Link("people", pathPeople, ToMappers)
	text := []Param{{"text", "a name, userid, staff number, login user, short code or request id"}}
	get := func(path, summary string, serve Endpoint) Route {
		return Route{Pattern: "GET " + path, Access: ToMappers, Summary: summary, Serve: serve}
	}
	search := get(pathPeople, "Find a person, a short code or a request.", p.search)
	search.Query = text
	searchJSON := get(apiPeople, "Find a person, a short code or a request.", p.searchJSON)
	searchJSON.Query, searchJSON.Answer = text, Findings{}
	personJSON := get(apiPeople+"/{corp}/{userid}", "One person: chains asked now, last sign-ins, sessions.", p.personJSON)
	personJSON.Answer = PersonDetail{}
	rt.Add(search, get(pathPerson, "One person: chain, last sign-ins, sessions.", p.person),
		get(pathPerson+"/doctor", "The chains of one person, asked now.", p.doctor), searchJSON, personJSON)
}

// Finding is one person who was found.
type Finding struct {
	Corp   string `json:"corp"`
	UserID string `json:"userid"`
	Name   string `json:"name,omitempty"`
	// What the row says, where one was found.
	DataCentre  string         `json:"data_centre,omitempty"`
	StaffNumber string         `json:"staff_number,omitempty"`
	LoginUser   string         `json:"login_user,omitempty"`
	Status      mapping.Status `json:"status,omitempty"`
	Code        identity.Code  `json:"code,omitempty"` // of the last check
}

// LogLine is one record of the audit log, as these pages tell it.
type LogLine struct {
	At         time.Time     `json:"at"`
	Action     audit.Action  `json:"action"`
	Outcome    audit.Outcome `json:"outcome"`
	Reason     string        `json:"reason,omitempty"`
	Actor      string        `json:"actor,omitempty"`
	Target     string        `json:"target,omitempty"`
	Door       string        `json:"door,omitempty"`
	DataCentre string        `json:"data_centre,omitempty"`
	Source     string        `json:"source,omitempty"`
	RequestID  string        `json:"request_id,omitempty"`
	Replica    string        `json:"replica,omitempty"`
}

// Findings is what a search found.
type Findings struct {
	People []Finding `json:"people"`
	Lines  []LogLine `json:"lines"` // of the request, or of the short code, the newest first
	More   bool      `json:"more"`  // there are more people than are listed
}

func logLines(records []audit.Record) []LogLine {
	lines := make([]LogLine, 0, len(records))
	for _, r := range records {
		lines = append(lines, LogLine{
			At: r.At, Action: r.Action, Outcome: r.Outcome, Reason: r.Reason, Actor: r.Actor, Target: r.Target, Door: r.Door,
			DataCentre: r.DataCentre, Source: r.Source, RequestID: r.RequestID, Replica: r.Replica,
		})
	}
	return lines
}

var shortCode = lazyregexp.New(`^(?i)KD-[0-9]{3}$`)

// find looks everywhere that a text can lead to a person.
func (p *People) find(v *Visit, text string) (Findings, error) {
	found := Findings{People: []Finding{}, Lines: []LogLine{}}
	if text == "" {
		return found, nil
	}
	if err := readsLog(v, text); err != nil {
		return found, err
	}
	query, filter := audit.Query{RequestID: text, Limit: foundRecords}, mapping.Filter{Text: text}
	if shortCode().MatchString(text) {
		text = strings.ToUpper(text)
		query, filter = audit.Query{Reason: text, Limit: foundPeople}, mapping.Filter{Code: identity.Code(text)}
	}
	records, err := p.Log.Search(v.R.Context(), query)
	if err != nil {
		return found, logDown(err)
	}
	found.Lines = logLines(records)
	if err := p.findRows(v.R.Context(), filter, &found); err != nil || filter.Text == "" {
		return found, err
	}
	if err := p.findNames(v.R.Context(), text, &found); err != nil {
		return found, err
	}
	p.findInLines(&found)
	return found, nil
}

// findInLines adds whom the records of a request are about, so that a request id
// leads to a chain as a name does (F13).
func (p *People) findInLines(found *Findings) {
	for _, line := range found.Lines {
		for _, name := range [...]string{line.Actor, line.Target} {
			corp, userid, ok := strings.Cut(name, "/")
			known := slices.ContainsFunc(found.People, func(f Finding) bool { return f.Corp == corp && f.UserID == userid })
			if ok && userid != "" && !known && slices.Contains(p.Corps, corp) && len(found.People) < foundPeople {
				found.People = append(found.People, Finding{Corp: corp, UserID: userid, DataCentre: line.DataCentre})
			}
		}
	}
}

// logDown is a log that cannot be read.
func logDown(err error) error {
	return identity.Fail(identity.Unavailable, identity.CodeAuditDown, "admin: %w", err)
}

// readsLog puts on record that somebody reads the log about a person or a request (F40).
func readsLog(v *Visit, about string) error {
	event := v.Event(audit.ActionAuditRead, audit.OK)
	event.Target = about
	return v.console.record(v.R.Context(), event)
}

func (p *People) findRows(ctx context.Context, filter mapping.Filter, found *Findings) error {
	rows, err := p.Rows(ctx, mapping.Query{Filter: filter, Limit: foundPeople})
	if err != nil {
		return err
	}
	for _, e := range rows.Rows {
		found.People = append(found.People, Finding{
			Corp: e.Corp, UserID: e.UserID, Name: e.Name, DataCentre: e.DataCentre, StaffNumber: e.StaffNumber, LoginUser: e.LoginUser,
			Status: e.Status, Code: e.Check.Code,
		})
	}
	found.More = rows.Total > len(rows.Rows)
	return nil
}

// findNames adds those whom only a name leads to, of the directory and of the
// sessions, and names those who were found already.
func (p *People) findNames(ctx context.Context, text string, found *Findings) error {
	named, err := p.named(ctx, text)
	if err != nil {
		return err
	}
	known := map[identity.Subject]bool{}
	for i := range found.People {
		f := &found.People[i]
		who := identity.Subject{Corp: f.Corp, UserID: f.UserID}
		f.Name, known[who] = cmp.Or(named[who], f.Name), true
	}
	for who, name := range named {
		if !known[who] && len(found.People) < foundPeople {
			found.People = append(found.People, Finding{Corp: who.Corp, UserID: who.UserID, Name: name})
		}
	}
	return nil
}

func (p *People) named(ctx context.Context, text string) (map[identity.Subject]string, error) {
	names := map[identity.Subject]string{}
	sessions, _, err := p.Keeper.Find(ctx, matching(text), "", foundPeople)
	if err != nil {
		return nil, err
	}
	for _, s := range sessions {
		names[s.Subject] = s.Name
	}
	if p.Names == nil {
		return names, nil
	}
	profiles, err := p.Names(ctx, text, foundPeople)
	if err != nil {
		return nil, err
	}
	for _, profile := range profiles {
		names[profile.Subject] = profile.Name
	}
	return names, nil
}

// peopleView is the page.
type peopleView struct {
	Findings
	Text  string
	Code  identity.Code // the text is a short code
	Guess []Finding     // nobody was found: the text taken for a userid
}

// When is a time for the page.
func (peopleView) When(t time.Time) string { return When(t) }

// At is where a person is looked at.
func (peopleView) At(f Finding) string { return personAddress(f.Corp, f.UserID) }

// Who is where the person of a record is looked at, empty for one that is none.
func (peopleView) Who(name string) string { return whoAddress(name) }

// whoAddress is the page of a person as the audit log names them.
func whoAddress(name string) string {
	corp, userid, ok := strings.Cut(name, "/")
	if !ok || corp == "" || userid == "" || strings.ContainsAny(corp, ": ") {
		return ""
	}
	return personAddress(corp, userid)
}

func traceAddress(id string) string { return pathPeople + "?" + url.Values{"text": {id}}.Encode() }

// Trace is where every record of a request is listed.
func (peopleView) Trace(id string) string { return traceAddress(id) }

func (p *People) searched(v *Visit) (peopleView, error) {
	read, err := v.Query("text")
	if err != nil {
		return peopleView{}, err
	}
	view := peopleView{Text: strings.TrimSpace(read["text"])}
	if len(view.Text) > maxText {
		return view, badRequest("a search of %d bytes", len(view.Text))
	}
	if shortCode().MatchString(view.Text) {
		view.Code = identity.Code(strings.ToUpper(view.Text))
	}
	if view.Findings, err = p.find(v, view.Text); err != nil {
		return view, err
	}
	nothing := len(view.People) == 0 && len(view.Lines) == 0
	if nothing && view.Text != "" && view.Code == "" && !strings.ContainsAny(view.Text, " /") {
		for _, corp := range p.Corps {
			view.Guess = append(view.Guess, Finding{Corp: corp, UserID: view.Text})
		}
	}
	return view, nil
}

func (p *People) search(v *Visit) error {
	view, err := p.searched(v)
	if err != nil {
		return err
	}
	return v.Page("people", view)
}

func (p *People) searchJSON(v *Visit) error {
	view, err := p.searched(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, view.Findings)
}

// sessionsOf are a person's sessions for a page.
func sessionsOf(list []session.Info) []SessionInfo {
	infos := make([]SessionInfo, 0, len(list))
	for _, s := range list {
		infos = append(infos, sessionInfo(s))
	}
	return infos
}
