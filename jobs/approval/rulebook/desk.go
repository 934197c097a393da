package rulebook

import (
	"context"
	"errors"
	"slices"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/approval"
)

// ActionPreview is a look at an approval and the bill that it would become.
const ActionPreview audit.Action = "approval.preview"

// Booker is what a desk asks of an organisation's machinery: *approval.Booker.
type Booker interface {
	Judge(rule approval.Rule) error
	Try(ctx context.Context, rule approval.Rule, instance string) (approval.Preview, error)
	Latest(ctx context.Context, process string, most int) ([]string, error)
}

// Scene is the configuration that rules stand in.
type Scene struct {
	Fixed    []Fixed
	Bookers  map[string]Booker // by organisation
	Defaults Defaults
	Console  bool // rules may be written in the console
}

// ErrNoConsole is a configuration that lets nobody write rules in the console.
var ErrNoConsole = errors.New("approval_console in the configuration is off: rules stand in the file only")

// judge tells every mistake of a rule where it would run.
func (s Scene) judge(corp string, r approval.Rule) error {
	booker := s.Bookers[corp]
	switch {
	case !s.Console:
		return ErrNoConsole
	case booker == nil:
		return errors.Join(approval.Check([]approval.Rule{r}), errors.New("corp: "+corp+" is no organisation of the configuration"))
	}
	return booker.Judge(r)
}

// Force tells which rules are in force in this scene.
func (s Scene) Force(decided *Snapshot) (map[string][]approval.Rule, []Standing) {
	return decided.Force(s.Fixed, s.judge)
}

// Desk is what people do with rules, in the console and by commands. Who may do
// what is for the caller to have decided; what is done is recorded here.
type Desk struct {
	Book  *Book
	Scene func() Scene // as configured now
}

// List gives every rule as it stands: those of the file in its order, then those
// of the console.
func (d *Desk) List() []Standing {
	_, list := d.Scene().Force(d.Book.Snapshot())
	return list
}

// Get gives one rule. Where file and console have one of the same name, it is the
// file's.
func (d *Desk) Get(key Key) (Standing, error) {
	for _, s := range d.List() {
		if s.Key == key {
			return s, nil
		}
	}
	return Standing{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "rulebook: no rule %q of %q", key.Name, key.Corp)
}

// Checked is a text that is a rule without a mistake.
type Checked struct {
	approval.Version
	Shadow string // name of the rule of the file that would be in its place; empty: none
}

// Check reads a text. The error holds Faults with every mistake.
func (d *Desk) Check(text string) (Checked, error) {
	scene := d.Scene()
	corp, rule, err := Parse(text, scene.Defaults, scene.judge)
	if err != nil {
		return Checked{}, identity.Fail(identity.Invalid, identity.CodeRefusedInput, "rulebook: %w", err)
	}
	v, err := approval.VersionOf(corp, rule)
	if err != nil {
		return Checked{}, identity.Fail(identity.Invalid, identity.CodeRefusedInput, "rulebook: %w", err)
	}
	at := slices.IndexFunc(scene.Fixed, func(f Fixed) bool {
		return f.Corp == corp && (f.Rule.Name == rule.Name || f.Rule.Process == rule.Process)
	})
	if at < 0 {
		return Checked{Version: v}, nil
	}
	if name := scene.Fixed[at].Rule.Name; name != rule.Name {
		return Checked{Version: v, Shadow: name}, nil
	}
	return Checked{}, identity.Fail(identity.Invalid, identity.CodeRefusedInput, "rulebook: %w", Faults{{0, "name: the configuration file has a rule of this name"}})
}

// Draft is a rule of the console as somebody wants it.
type Draft struct {
	Text   string
	Of     Key    // the rule that is changed; zero: a new one
	Expect string // print of its version that was looked at
}

// Save checks a text and keeps it as a new version of its rule. What is switched
// on stays as it is.
func (d *Desk) Save(ctx context.Context, by jobs.Actor, draft Draft) (Written, error) {
	checked, err := d.Check(draft.Text)
	if err != nil {
		return Written{}, err
	}
	key := Key{checked.Corp, checked.Rule.Name}
	if draft.Of != (Key{}) && draft.Of != key {
		fault := Faults{{0, "name, corp: this would be another rule; write that as a new one"}}
		return Written{}, identity.Fail(identity.Invalid, identity.CodeRefusedInput, "rulebook: %w", fault)
	}
	if draft.Of == (Key{}) {
		draft.Expect = ""
	}
	return d.Book.Save(ctx, by, key, draft.Text, checked.Rule, draft.Expect)
}

// Try shows what a rule, as it is written now, makes of a real approval; nothing
// is posted. Who looks is recorded first: a form holds what people are paid back
// for. A preview that comes out well lets this version be switched on.
func (d *Desk) Try(ctx context.Context, by jobs.Actor, key Key, instance string) (approval.Preview, error) {
	s, err := d.Get(key)
	if err != nil {
		return approval.Preview{}, err
	}
	return d.try(ctx, by, s.Latest, instance)
}

// TryText is Try with a text that is not saved yet.
func (d *Desk) TryText(ctx context.Context, by jobs.Actor, text, instance string) (approval.Preview, error) {
	checked, err := d.Check(text)
	if err != nil {
		return approval.Preview{}, err
	}
	return d.try(ctx, by, checked.Version, instance)
}

func (d *Desk) try(ctx context.Context, by jobs.Actor, v approval.Version, instance string) (approval.Preview, error) {
	booker := d.Scene().Bookers[v.Corp]
	if booker == nil {
		return approval.Preview{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "rulebook: %s is not configured", v.Corp)
	}
	err := d.Book.cfg.Recorder.Append(ctx, audit.Event{
		Action: ActionPreview, Outcome: audit.OK, Actor: by.Name, Source: by.Source, RequestID: by.RequestID, Target: instance,
		Detail: map[string]string{"rule": v.Rule.Name, "print": v.Print},
	})
	if err != nil {
		return approval.Preview{}, identity.Fail(identity.Unavailable, identity.CodeAuditDown, "rulebook: preview: %w", err)
	}
	p, err := booker.Try(ctx, v.Rule, instance)
	if err != nil || len(p.Mistakes) > 0 || p.Passed != "" {
		return p, err
	}
	return p, d.Book.NoteTried(ctx, Tried{Print: v.Print, Instance: p.Instance, Number: p.Number, By: by.Name})
}

// mostLatest bounds the approvals that are offered for a preview.
const mostLatest = 20

// Latest lists approvals of a rule's form for a preview. It costs up to three
// calls of DingTalk's monthly quota.
func (d *Desk) Latest(ctx context.Context, key Key) ([]string, error) {
	s, err := d.Get(key)
	if err != nil {
		return nil, err
	}
	booker := d.Scene().Bookers[key.Corp]
	if booker == nil {
		return nil, identity.Fail(identity.NotFound, identity.CodeNotFound, "rulebook: %s is not configured", key.Corp)
	}
	return booker.Latest(ctx, s.Latest.Rule.Process, mostLatest)
}

// ErrNotHere is a switch that the configuration keeps for itself.
var ErrNotHere = errors.New("the configuration file decides about this rule; mode: console there hands the switch to the console")

// Switch switches the version of a rule that was looked at on, or the rule off.
func (d *Desk) Switch(ctx context.Context, by jobs.Actor, key Key, print string, on bool) error {
	s, err := d.Get(key)
	switch {
	case err != nil:
		return err
	case s.Source == FromFile && s.Mode != ModeConsole:
		return identity.Fail(identity.Conflict, identity.CodeRefusedInput, "rulebook: %q: %w", key.Name, ErrNotHere)
	case on && s.Fault != nil:
		return identity.Fail(identity.Conflict, identity.CodeRefusedInput, "rulebook: %q: %w", key.Name, s.Fault)
	case on && print != s.Latest.Print:
		return changedMeanwhile(key)
	}
	return d.Book.Switch(ctx, by, key, print, on)
}

// Remove takes a rule of the console out. What it made stays, and so do its versions.
func (d *Desk) Remove(ctx context.Context, by jobs.Actor, key Key) error {
	return d.Book.Remove(ctx, by, key)
}

// Tried is on what a version was last tried well.
func (d *Desk) Tried(ctx context.Context, print string) (Tried, bool, error) {
	return d.Book.Tried(ctx, print)
}

// Versions are those of a rule that are kept, the newest first.
func (d *Desk) Versions(ctx context.Context, key Key) ([]approval.Version, error) {
	return d.Book.Versions(ctx, key)
}

// Version is one version that is kept, or one that is written now.
func (d *Desk) Version(ctx context.Context, print string) (approval.Version, error) {
	for _, s := range d.List() {
		if s.Latest.Print == print {
			return s.Latest, nil
		}
	}
	return d.Book.Version(ctx, print)
}

var _ Booker = (*approval.Booker)(nil)
