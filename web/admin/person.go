package admin

import (
	"context"
	"net/http"
	"slices"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/identity/session"
	"kdgate/mapping"
)

const lastSignIns = 10

// PersonDetail is everything about one person.
type PersonDetail struct {
	Corp     string        `json:"corp"`
	UserID   string        `json:"userid"`
	DingTalk *DingTalkLink `json:"dingtalk,omitempty"` // absent: DingTalk is not asked
	Chains   []Diagnosis   `json:"chains"`
	SignIns  []LogLine     `json:"sign_ins"` // the last ten, the newest first
	Sessions []SessionInfo `json:"sessions"`
}

// DingTalkLink is what DingTalk says of the person, the link before the chain.
type DingTalkLink struct {
	Name   string        `json:"name,omitempty"`
	Number string        `json:"job_number,omitempty"`
	Active bool          `json:"active"`         // has activated DingTalk
	Code   identity.Code `json:"code,omitempty"` // why it is broken
	Saying *Saying       `json:"saying,omitempty"`
}

// Diagnosis is the chain of one data centre, with what the vendor said where it
// broke.
type Diagnosis struct {
	DataCentre string        `json:"data_centre"`
	Chain      mapping.Chain `json:"chain"`
	Code       identity.Code `json:"code,omitempty"`
	Saying     *Saying       `json:"saying,omitempty"`
}

func subjectOf(v *Visit) identity.Subject {
	return identity.Subject{Corp: v.R.PathValue("corp"), UserID: v.R.PathValue("userid")}
}

// signIns are the last tries of a person to get in, launches included. A
// failed sign-in has no person: nobody was proven.
func (p *People) signIns(ctx context.Context, who identity.Subject) ([]LogLine, error) {
	var all []audit.Record
	for _, action := range counted {
		records, err := p.Log.Search(ctx, audit.Query{Person: audit.Person(who), Action: action, Limit: lastSignIns})
		if err != nil {
			return nil, logDown(err)
		}
		all = append(all, records...)
	}
	slices.SortStableFunc(all, func(a, b audit.Record) int { return b.At.Compare(a.At) })
	return logLines(all[:min(len(all), lastSignIns)]), nil
}

// diagnose asks for the chains as they are now.
func (p *People) diagnose(ctx context.Context, who identity.Subject) (*DingTalkLink, []Diagnosis) {
	var link *DingTalkLink
	if p.Profile != nil {
		profile, err := p.Profile(ctx, who)
		link = &DingTalkLink{Name: profile.Name, Number: profile.JobNumber, Active: profile.Active}
		if err != nil {
			_, link.Code = verdict(err)
			link.Saying = p.said(err)
		}
	}
	list := make([]Diagnosis, 0, len(p.Centres))
	for _, centre := range p.Centres {
		chain, err := p.Chains.Explain(ctx, identity.Assertion{Subject: who}, centre.ID)
		d := Diagnosis{DataCentre: centre.ID, Chain: chain}
		if err != nil {
			_, d.Code = verdict(err)
			d.Saying = p.said(err)
		}
		list = append(list, d)
	}
	return link, list
}

func (p *People) said(err error) *Saying {
	if p.Said == nil {
		return nil
	}
	if saying, ok := p.Said(err); ok {
		return &saying
	}
	return nil
}

// personView is the page. What has to be asked of the vendors comes after it.
type personView struct {
	Who      identity.Subject
	Name     string
	SignIns  []LogLine
	Sessions []SessionInfo
	Here     string
	Doctor   string
	Rows     []centreRow
	MayEnd   bool
}

// centreRow is where a data centre's row of the person is.
type centreRow struct{ Name, Address string }

// When is a time for the page.
func (personView) When(t time.Time) string { return When(t) }

// Trace is where every record of a request is listed.
func (personView) Trace(id string) string { return traceAddress(id) }

// past is what we know of the person of the address ourselves: their last
// sign-ins and their sessions. That somebody looks is on record first.
func (p *People) past(v *Visit) (who identity.Subject, signIns []LogLine, sessions []session.Info, err error) {
	who = subjectOf(v)
	if err := readsLog(v, audit.Person(who)); err != nil {
		return who, nil, nil, err
	}
	if signIns, err = p.signIns(v.R.Context(), who); err != nil {
		return who, nil, nil, err
	}
	sessions, err = p.Keeper.List(v.R.Context(), who)
	return who, signIns, sessions, err
}

func (p *People) person(v *Visit) error {
	who, signIns, sessions, err := p.past(v)
	if err != nil {
		return err
	}
	here := personAddress(who.Corp, who.UserID)
	view := personView{
		Who: who, SignIns: signIns, Sessions: sessionsOf(sessions), Here: here, Doctor: here + "/doctor", MayEnd: v.Who.May(ToAdmin),
	}
	for _, s := range sessions {
		view.Name = s.Name
	}
	for _, centre := range p.Centres {
		view.Rows = append(view.Rows, centreRow{centre.Name, rowAddress(mapping.KeyOf(who, centre.ID))})
	}
	return v.Page("person", view)
}

// doctorView is the part that the vendors are asked for.
type doctorView struct {
	DingTalk *DingTalkLink
	Fix      string // what to do about the link to DingTalk, in words
	Chains   []diagnosisView
}

type diagnosisView struct {
	Diagnosis
	Centre string
	Links  []linkView
	Login  string // the account it ends in, empty when it breaks
	Fix    string // what to do about what the vendor said, in words
}

// fix is what an administrator is to do about what a vendor said, in the
// reader's language where the catalogue knows the rule.
func fix(v *Visit, s *Saying) string {
	if s == nil {
		return ""
	}
	key := "word.fix." + s.Peer + "." + s.Rule
	if !v.Words.Has(key) {
		return s.Advice
	}
	return v.Words.T(key, "address", s.Address, "permission", s.Permission)
}

// doctor asks both vendors and draws what they say.
func (p *People) doctor(v *Visit) error {
	link, chains := p.diagnose(v.R.Context(), subjectOf(v))
	view := doctorView{DingTalk: link}
	if link != nil {
		view.Fix = fix(v, link.Saying)
	}
	for i, d := range chains {
		view.Chains = append(view.Chains, diagnosisView{
			Diagnosis: d, Centre: p.Centres[i].Name, Links: linksOf(d.Chain), Login: d.Chain.Account.LoginUser, Fix: fix(v, d.Saying),
		})
	}
	if v.IsFragment() {
		return v.Part("doctor", "doctor", view)
	}
	return v.Page("doctor", view)
}

func (p *People) personJSON(v *Visit) error {
	who, signIns, sessions, err := p.past(v)
	if err != nil {
		return err
	}
	link, chains := p.diagnose(v.R.Context(), who)
	return v.JSON(http.StatusOK, PersonDetail{
		Corp: who.Corp, UserID: who.UserID, DingTalk: link, Chains: chains, SignIns: signIns, Sessions: sessionsOf(sessions),
	})
}
