package admin

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"kdgate/audit"
	"kdgate/identity"
)

const (
	pathPersonal   = prefix + "personal"
	personalShown  = 20     // things of a kind on the page; the file has all
	personalRecord = 20_000 // records in one file; the audit export has no bound
)

// ActionPersonalRead and ActionPersonalExport are looks at what is held about a
// person, and files of it.
const (
	ActionPersonalRead   audit.Action = "personal.read"
	ActionPersonalExport audit.Action = "personal.export"
)

// Holder is one place that holds something about people.
type Holder struct {
	Name string // for the words: mapping, sessions, directory, requests, work
	Find func(ctx context.Context, who identity.Subject) ([]any, error)
}

// Personal answers "what do we hold about this person?" (F44): everything that
// every place holds, on a page and as a file to hand over.
type Personal struct {
	Holders []Holder // besides the audit log
	Log     Log
	Corps   []string // to complete a userid where there is one organisation
	Now     func() time.Time
}

// Mount implements Page.
func (p *Personal) Mount(rt *Router) {
	rt.Link("personal", pathPersonal, ToReaders)
	person := []Param{{"person", "CORP/USERID, or a userid where there is one organisation"}}
	rt.Add(
		Route{Pattern: "GET " + pathPersonal, Access: ToReaders, Noted: true, Summary: "What is held about a person; the look is recorded.", Query: person, Serve: p.page},
		Route{Pattern: "GET " + pathPersonal + "/export", Access: ToReaders, Noted: true, Summary: "The same as a file to hand over, an auditor's without mobile numbers; the export is recorded.", Query: person, Serve: p.export},
		Route{Pattern: "GET " + apiPrefix + "personal", Access: ToReaders, Noted: true, Summary: "What is held about a person.", Query: person, Answer: Holdings{}, Serve: p.json},
	)
}

// Holdings is everything that is held about one person.
type Holdings struct {
	Person string    `json:"person"`
	Made   time.Time `json:"made"`
	Places []Place   `json:"places"`
}

// Place is what one place holds.
type Place struct {
	Name  string `json:"name"`
	Items []any  `json:"items"`
	Cut   bool   `json:"cut,omitempty"` // the place holds more
}

// subject reads whom the query names; none is no mistake on the page.
func (p *Personal) subject(v *Visit) (identity.Subject, error) {
	read, err := v.Query("person")
	if err != nil {
		return identity.Subject{}, err
	}
	text := strings.TrimSpace(read["person"])
	if text == "" {
		return identity.Subject{}, nil
	}
	corp, userid, whole := strings.Cut(text, "/")
	if !whole {
		if len(p.Corps) != 1 {
			return identity.Subject{}, badRequest("name the organisation: CORP/USERID")
		}
		corp, userid = p.Corps[0], text
	}
	if corp == "" || userid == "" || len(text) > 200 {
		return identity.Subject{}, badRequest("no person can be named so")
	}
	return identity.Subject{Corp: corp, UserID: userid}, nil
}

// gather records the look before anything is read.
func (p *Personal) gather(v *Visit, action audit.Action, who identity.Subject) (Holdings, error) {
	event := v.Event(action, audit.OK)
	event.Target = audit.Person(who)
	if err := v.console.record(v.R.Context(), event); err != nil {
		return Holdings{}, err
	}
	v.unhurried()
	held := Holdings{Person: audit.Person(who), Made: p.Now().UTC()}
	for _, holder := range p.Holders {
		items, err := holder.Find(v.R.Context(), who)
		if err != nil {
			return held, err
		}
		if items == nil {
			items = []any{}
		}
		if v.Who.Role != Admin {
			if items, err = withoutMobiles(items, who.UserID); err != nil {
				return held, err
			}
		}
		held.Places = append(held.Places, Place{Name: holder.Name, Items: items})
	}
	records, err := p.records(v.R.Context(), audit.Person(who))
	held.Places = append(held.Places, records)
	return held, err
}

// records are those that name the person as actor or target, the newest first.
func (p *Personal) records(ctx context.Context, person string) (Place, error) {
	place := Place{Name: "audit", Items: []any{}}
	q := audit.Query{Person: person, Limit: 1000}
	for {
		page, err := p.Log.Search(ctx, q)
		if err != nil {
			return place, unread(err)
		}
		for _, record := range page {
			place.Items = append(place.Items, record)
		}
		if len(page) < q.Limit {
			return place, nil
		}
		if len(place.Items) >= personalRecord {
			place.Cut = true
			return place, nil
		}
		q.Before = page[len(page)-1].Cursor()
	}
}

// personalView is the page.
type personalView struct {
	Asked  string
	Person string
	Made   string
	Places []shownPlace
	File   string
	Log    string // the person's records on the audit page
}

type shownPlace struct {
	Name  string
	Count int
	More  bool
	Texts []string
}

func (p *Personal) page(v *Visit) error {
	who, err := p.subject(v)
	if err != nil {
		return err
	}
	if who.IsZero() {
		return v.Page("personal", personalView{})
	}
	held, err := p.gather(v, ActionPersonalRead, who)
	if err != nil {
		return err
	}
	query := url.Values{"person": {held.Person}}.Encode()
	view := personalView{
		Asked: held.Person, Person: held.Person, Made: When(held.Made), File: pathPersonal + "/export?" + query, Log: pathAudit + "?" + query,
	}
	for _, place := range held.Places {
		shown := shownPlace{Name: place.Name, Count: len(place.Items), More: place.Cut || len(place.Items) > personalShown}
		for _, item := range place.Items[:min(len(place.Items), personalShown)] {
			text, err := written(item, jsontext.WithIndent("  "))
			if err != nil {
				return err
			}
			shown.Texts = append(shown.Texts, string(text))
		}
		view.Places = append(view.Places, shown)
	}
	return v.Page("personal", view)
}

// written is a thing as JSON, as the file has it.
func written(item any, how ...json.Options) ([]byte, error) {
	text, err := json.Marshal(item, append(how, jsontext.PreserveRawStrings(true), jsonv1.FormatDurationAsNano(true))...)
	if err != nil {
		return nil, identity.Fail(identity.Internal, identity.CodeInternal, "admin: %w", err)
	}
	return text, nil
}

// named is subject for routes that need one.
func (p *Personal) named(v *Visit) (identity.Subject, error) {
	who, err := p.subject(v)
	if err == nil && who.IsZero() {
		err = badRequest("nobody is named")
	}
	return who, err
}

func (p *Personal) export(v *Visit) error {
	who, err := p.named(v)
	if err != nil {
		return err
	}
	held, err := p.gather(v, ActionPersonalExport, who)
	if err != nil {
		return err
	}
	text, err := written(held, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	v.attachment("application/json; charset=utf-8", "personal-data.json")
	_, err = v.W.Write(append(text, '\n'))
	return v.cut("personal data export", err)
}

func (p *Personal) json(v *Visit) error {
	who, err := p.named(v)
	if err != nil {
		return err
	}
	held, err := p.gather(v, ActionPersonalRead, who)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, held)
}
