package approval

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/dingtalk"
)

// Filled is one field of a previewed bill: what it is made from and what it
// becomes.
type Filled struct {
	Field      string `json:"field"`               // key in Kingdee, of a row with its number: FEntity[1].FExpID
	From       string `json:"from,omitempty"`      // component or name of the approval's own; the rule's words
	Component  string `json:"component,omitempty"` // label of that component in the form
	Const      string `json:"const,omitempty"`
	Expr       string `json:"expr,omitempty"`
	Text       string `json:"text,omitempty"` // what stands there, before dictionary and shape
	As         Form   `json:"as"`
	Dictionary string `json:"dictionary,omitempty"`
	Value      string `json:"value,omitempty"` // JSON as it would be posted, amounts with all digits; empty: left out
	Mistake    string `json:"mistake,omitempty"`
}

// note writes down how a field was filled, where somebody looks.
func (b *builder) note(at string, f compiledField, value any, err error) {
	if b.trace == nil {
		return
	}
	filled := Filled{Field: at + f.Key, From: f.From, Const: f.Const, Expr: f.Expr, As: f.As, Dictionary: f.Dictionary}
	if text, failed := b.source(f); failed == nil {
		filled.Text = text
	}
	if name, _, _ := strings.Cut(f.From, "#"); name != "" && !strings.HasPrefix(name, "@") {
		component, _ := b.find(name)
		filled.Component = component.Name
	}
	switch {
	case err != nil:
		filled.Mistake = mistake(filled.Field, err).Words
	case value != nil:
		text, failed := json.Marshal(value, json.Deterministic(true))
		if failed != nil {
			filled.Mistake = failed.Error()
		}
		filled.Value = string(text)
	}
	*b.trace = append(*b.trace, filled)
}

// read reads an approval of a rule's form to look at; one that runs is taken as if
// it ended now.
func (b *Booker) read(ctx context.Context, rule Rule, instance string) (dingtalk.Instance, Preview, error) {
	from, err := b.origin(errand{Process: rule.Process, Source: rule.Source, App: rule.App})
	if err != nil {
		return dingtalk.Instance{}, Preview{}, err
	}
	in, err := from.Instance(ctx, instance)
	if err != nil {
		return in, Preview{}, err
	}
	p := Preview{Instance: in.ID, Title: in.Title, Agreed: in.Agreed()}
	if in.Finished.IsZero() {
		in.Finished = b.cfg.Now()
	}
	return in, p, nil
}

// shown fills a preview with the bill that the builder makes.
func (b *Booker) shown(ctx context.Context, p Preview, chosen *builder) (Preview, error) {
	rule := chosen.rule
	p.Rule, p.Print, p.Form = rule.Name, rule.print, rule.Form
	if !b.cfg.Targets[rule.DataCentre].BillForm(rule.Form).Runs {
		p.Number = Number(b.cfg.Corp, p.Instance, rule.Form, rule.Version)
	}
	chosen.trace = &p.Fields
	model, err := chosen.model(ctx)
	if mistakes, ok := errors.AsType[Mistakes](err); ok {
		p.Mistakes, err = mistakes, nil
	}
	p.Model = b.named(model, rule, p.Instance, 0)
	return p, err
}

// Try is Preview by one rule, which need not be in force: what it would make of an
// approval, and nothing is posted. A rule with mistakes is refused with all of
// them. DingTalk does not tell of which form an approval is: one of another form
// shows itself by the components that are missing.
func (b *Booker) Try(ctx context.Context, rule Rule, instance string) (Preview, error) {
	list, err := compileFor(b.cfg, []Rule{rule})
	if err != nil {
		return Preview{}, err
	}
	in, p, err := b.read(ctx, list[0].Rule, instance)
	if err != nil {
		return p, err
	}
	p.Rule, p.Print, p.Form = list[0].Name, list[0].print, list[0].Form
	chosen, err := newBuilder(list[0], in, b.cfg.People, nil)
	if err != nil {
		return p, err
	}
	wanted, err := chosen.wanted()
	switch {
	case err != nil:
		p.Mistakes = Mistakes{mistake("when", err)}
		return p, nil
	case in.Created.Before(list[0].Since):
		p.Passed = "it was begun before the first day of the rule"
	case !wanted:
		p.Passed = "the rule's condition does not hold"
	}
	return b.shown(ctx, p, chosen)
}

func latestQuery(process string, from time.Time) dingtalk.InstanceQuery {
	return dingtalk.InstanceQuery{Process: process, From: from}
}
