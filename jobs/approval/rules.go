package approval

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
)

// Version is one state of a rule: what bills are made by. The rule holds what its
// template says.
type Version struct {
	Corp  string    `json:"corp"`
	Print string    `json:"print"` // its name: a hash of the rule
	Rule  Rule      `json:"rule"`
	Kept  time.Time `json:"kept"` // when it was first kept

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Versions keeps every version of a rule that a bill was made by.
type Versions interface {
	// Keep returns when the version can be read by its print; keeping it again
	// changes nothing.
	Keep(ctx context.Context, v Version) error
}

// VersionOf is a rule with what its template says, and the print of that. It does
// not judge the rule.
func VersionOf(corp string, rule Rule) (Version, error) {
	filled, err := rule.filled()
	if err != nil {
		return Version{}, err
	}
	filled.Preview, filled.Template = false, ""
	return Version{Corp: corp, Print: printOf(filled), Rule: filled}, nil
}

// keep sees to it that the version is kept before a bill is made by it.
func (m *machine) keep(ctx context.Context, rule compiled) error {
	if _, known := m.kept.Load(rule.print); known || m.cfg.Versions == nil {
		return nil
	}
	rule.Preview, rule.Template = false, ""
	err := m.cfg.Versions.Keep(ctx, Version{Corp: m.cfg.Corp, Print: rule.print, Rule: rule.Rule, Kept: m.cfg.Now()})
	if err != nil {
		return fmt.Errorf("approval: version %s of rule %q is not kept: %w", rule.print, rule.Name, err)
	}
	m.kept.Store(rule.print, struct{}{})
	return nil
}

// inForce are the rules as they are now.
func (b *Booker) inForce() []compiled { return *b.rules.Load() }

// Use puts other rules in force, for approvals from now on; what an approval began
// with it keeps to. All mistakes are told at once, and then nothing has changed.
func (b *Booker) Use(rules []Rule) error {
	list, err := compileFor(b.cfg, rules)
	if err != nil {
		return err
	}
	b.rules.Store(&list)
	return nil
}

// Acts reports whether any rule in force makes bills.
func (b *Booker) Acts() bool { return len(b.processes(false)) > 0 }

// HasRules reports whether any rule is there, also one that is only previewed.
func (b *Booker) HasRules() bool { return len(b.inForce()) > 0 }

// Judge tells every mistake of a rule that is not in force.
func (b *Booker) Judge(rule Rule) error {
	_, err := compileFor(b.cfg, []Rule{rule})
	return err
}

// compileFor compiles rules and holds them to the data centres and the Yida
// applications that there are.
func compileFor(cfg Config, rules []Rule) ([]compiled, error) {
	list, err := compileAll(rules)
	wrong := []error{err}
	first := map[string]Rule{}
	for _, rule := range list {
		before, twice := first[rule.Process]
		first[rule.Process] = rule.Rule
		switch {
		case twice && rule.Name != "" && (before.Source != rule.Source || before.App != rule.App):
			wrong = append(wrong, fmt.Errorf("rule %q: another rule has %s of another source", rule.Name, rule.Process))
		case rule.Source != SourceApproval && cfg.Yida[rule.App] == nil:
			wrong = append(wrong, fmt.Errorf("rule %q: Yida application %q is not known: name it under corps.yida", rule.Name, rule.App))
		}
		switch target := cfg.Targets[rule.DataCentre]; {
		case target == nil && rule.Name != "":
			wrong = append(wrong, fmt.Errorf("rule %q: data centre %q is not known", rule.Name, rule.DataCentre))
		case target != nil && rule.Form != "" && target.BillForm(rule.Form).Remark == "":
			// Without it a bill whose number Kingdee changed would be made twice (R33).
			wrong = append(wrong, fmt.Errorf("rule %q: %s has no field for the approval's id: name one as remark under data_centres.forms.bills", rule.Name, rule.Form))
		}
	}
	return list, errors.Join(wrong...)
}

// latestSpans are how far back the latest approvals are looked for, the nearest
// first: each costs a call of the monthly quota.
func latestSpans() []time.Duration {
	const day = 24 * time.Hour
	return []time.Duration{day, 7 * day, 30 * day}
}

// Latest lists at most so many approvals of a process from the shortest of a day,
// a week and 30 days in which there are any, in no particular order. It costs one
// to three calls of the monthly quota.
func (b *Booker) Latest(ctx context.Context, process string, most int) ([]string, error) {
	if process == "" {
		return nil, identity.Fail(identity.Invalid, identity.CodeBadRequest, "approval: no process")
	}
	if rule := b.about(process); rule.Source != SourceApproval {
		return b.latestYida(ctx, rule, most)
	}
	var found []string
	for _, span := range latestSpans() {
		if len(found) > 0 {
			break
		}
		for id, err := range b.cfg.Source.InstanceIDs(ctx, latestQuery(process, b.cfg.Now().Add(-span))) {
			if err != nil {
				return nil, err
			}
			if found = append(found, id); len(found) >= most {
				break
			}
		}
	}
	return found, nil
}
