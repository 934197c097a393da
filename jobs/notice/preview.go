package notice

import (
	"context"
	"strconv"
	"time"

	"kdgate/identity"
)

// Rule is a rule of the configuration as people look at it.
type Rule struct {
	Name       string    `json:"name"`
	Kind       string    `json:"kind"`
	Corp       string    `json:"corp"`
	DataCentre string    `json:"data_centre"`
	Every      string    `json:"every,omitempty"` // empty: when something happens
	To         []string  `json:"to"`
	Fallbacks  []string  `json:"fallbacks,omitempty"`
	Sensitive  bool      `json:"sensitive"`
	Task       string    `json:"task,omitempty"` // by which it is looked at
	Next       time.Time `json:"next,omitzero"`
	Paused     bool      `json:"paused,omitempty"`
	Last       *RuleRun  `json:"last,omitempty"` // nil: never
}

// RuleRun is how a look at a rule ended.
type RuleRun struct {
	Began time.Time     `json:"began"`
	State string        `json:"state"` // as runs of tasks are
	Told  int64         `json:"told"`  // what was new
	Code  identity.Code `json:"code,omitempty"`
	Words string        `json:"words,omitempty"` // of a failure, public
}

// Preview is what a rule would tell if it were looked at now. Making one sends
// nothing, and what the rule remembers stays as it is.
type Preview struct {
	Rule      string    `json:"rule"`
	At        time.Time `json:"at"`
	Found     int       `json:"found"` // rows, or figures of a digest
	News      int       `json:"news"`  // of these, what has not been told yet
	Quiet     bool      `json:"quiet"` // nothing would be sent
	Title     string    `json:"title,omitempty"`
	Text      string    `json:"text,omitempty"` // Markdown
	Link      string    `json:"link,omitempty"`
	Sensitive bool      `json:"sensitive"`
	Masked    bool      `json:"masked,omitempty"` // whoever looks may not see the figures
	Letters   []Planned `json:"letters"`
}

// Planned is one letter that would leave.
type Planned struct {
	To        []string `json:"to"` // as an Address is written
	Roles     []string `json:"roles,omitempty"`
	Fallbacks []string `json:"fallbacks,omitempty"`
}

// PreviewWatch looks as Look does.
func (o *Outbox) PreviewWatch(ctx context.Context, w Watch) (Preview, error) {
	seen, err := o.see(ctx, &w)
	if err != nil {
		return Preview{}, err
	}
	p := o.outline(Notice{To: w.To, Fallbacks: w.Fallbacks, Sensitive: w.Sensitive})
	if len(seen.news) > 0 {
		p = o.outline(w.notice(seen.news, seen.after.N))
	}
	p.Rule, p.Found, p.News, p.Quiet = w.Name, seen.found, len(seen.news), len(seen.news) == 0
	return p, nil
}

// PreviewDeadLetters looks as DeadLetters does.
func (o *Outbox) PreviewDeadLetters(ctx context.Context, a Alarm) (Preview, error) {
	return o.PreviewWatch(ctx, o.deadWatch(a))
}

// PreviewMorning counts as Morning does.
func (o *Outbox) PreviewMorning(ctx context.Context, a Alarm, since []Trouble) (Preview, error) {
	n, err := o.morning(ctx, a, since)
	if err != nil {
		return Preview{}, err
	}
	p := o.outline(n)
	p.Rule, p.Found, p.News = a.Name, len(since), len(since)
	return p, nil
}

// PreviewDigest asks for the figures as TellDigest does.
func (o *Outbox) PreviewDigest(ctx context.Context, d Digest, asker Asker) (Preview, error) {
	n, err := o.digest(ctx, &d, asker)
	if err != nil {
		return Preview{}, err
	}
	p := o.outline(n)
	p.Rule, p.Found, p.News = d.Name, len(d.Figures), len(d.Figures)
	return p, nil
}

// PreviewAddresses is to whom a rule tells that waits for something to happen.
func (o *Outbox) PreviewAddresses(rule string, to, fallbacks []Address) Preview {
	p := o.outline(Notice{To: to, Fallbacks: fallbacks})
	p.Rule, p.Quiet = rule, true
	return p
}

// outline is what n says and to whom it would go, letter by letter.
func (o *Outbox) outline(n Notice) Preview {
	p := Preview{At: o.now(), Title: n.Title, Text: n.Text, Link: n.Link, Sensitive: n.Sensitive, Letters: []Planned{}}
	for _, l := range n.letters(o.cfg.Corp, o.cfg.Roles, p.At) {
		one := Planned{Roles: l.Roles, To: l.Route[0].addresses()}
		for _, h := range l.Route[1:] {
			one.Fallbacks = append(one.Fallbacks, h.addresses()...)
		}
		p.Letters = append(p.Letters, one)
	}
	return p
}

// addresses are everybody on the hop, as an Address is written.
func (h hop) addresses() []string {
	list := make([]string, 0, len(h.Who)+len(h.Departments))
	for _, who := range h.Who {
		list = append(list, string(h.Way)+":"+who)
	}
	for _, id := range h.Departments {
		list = append(list, string(WayDepartment)+":"+strconv.FormatInt(id, 10))
	}
	return list
}
