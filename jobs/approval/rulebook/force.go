package rulebook

import (
	"cmp"
	"maps"
	"slices"

	"kdgate/jobs/approval"
)

// Snapshot is what people decided at one time. It is never changed.
type Snapshot struct {
	written  map[Key]Written
	switches map[Key]Switch
	versions map[string]approval.Version // those that the others name
}

// Written is a rule of the console.
func (s *Snapshot) Written(key Key) (Written, bool) {
	w, there := s.written[key]
	return w, there
}

// Mode is what the configuration file says of a rule.
type Mode string

// The modes.
const (
	ModePreview Mode = "preview" // never acts
	ModeOn      Mode = "on"      // acts
	ModeConsole Mode = "console" // acts once a person has switched this version on
)

// Fixed is a rule of the configuration file.
type Fixed struct {
	Corp string
	Rule approval.Rule
	Mode Mode
}

// Source is where a rule is written.
type Source string

// The sources.
const (
	FromFile    Source = "file"
	FromConsole Source = "console"
)

// Standing is a rule and how it stands.
type Standing struct {
	Key
	Source  Source
	Mode    Mode             // of the file's
	Latest  approval.Version // as it is written now
	Acting  string           // print of the version that makes bills now; empty: none does
	Switch  *Switch          // the last decision, if there was one
	Written *Written         // of the console's
	Shadow  string           // name of the rule of the file that is in its place
	Fault   error            // why the console's cannot be in force, every mistake
}

// Force tells which rules are in force: what the Bookers are to use, by
// organisation, and how each rule stands. judge tells every mistake of a rule
// where it would run.
func (s *Snapshot) Force(fixed []Fixed, judge func(corp string, r approval.Rule) error) (map[string][]approval.Rule, []Standing) {
	rules := map[string][]approval.Rule{}
	var list []Standing
	for _, f := range fixed {
		standing, rule := s.ofFile(f)
		list = append(list, standing)
		rules[f.Corp] = append(rules[f.Corp], rule)
	}
	keys := slices.SortedFunc(maps.Keys(s.written), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Corp, b.Corp), cmp.Compare(a.Name, b.Name))
	})
	for _, key := range keys {
		standing := s.ofConsole(key, fixed, judge)
		list = append(list, standing)
		if standing.Shadow != "" || standing.Fault != nil {
			continue
		}
		rule := standing.Latest.Rule
		rule.Preview = standing.Acting == ""
		if standing.Acting != "" {
			rule = s.versions[standing.Acting].Rule
		}
		rules[key.Corp] = append(rules[key.Corp], rule)
	}
	return rules, list
}

func (s *Snapshot) ofFile(f Fixed) (Standing, approval.Rule) {
	key := Key{f.Corp, f.Rule.Name}
	standing := Standing{Key: key, Source: FromFile, Mode: f.Mode}
	standing.Latest, standing.Fault = approval.VersionOf(f.Corp, f.Rule)
	if w, there := s.switches[key]; there {
		standing.Switch = &w
	}
	on := f.Mode == ModeOn ||
		f.Mode == ModeConsole && standing.Switch != nil && standing.Switch.On && standing.Switch.Print == standing.Latest.Print
	if on {
		standing.Acting = standing.Latest.Print
	}
	rule := f.Rule
	rule.Preview = !on
	return standing, rule
}

func (s *Snapshot) ofConsole(key Key, fixed []Fixed, judge func(corp string, r approval.Rule) error) Standing {
	w := s.written[key]
	standing := Standing{Key: key, Source: FromConsole, Written: &w, Latest: s.versions[w.Print]}
	if decided, there := s.switches[key]; there {
		standing.Switch = &decided
	}
	acting := standing.Latest
	if standing.Switch != nil && standing.Switch.On {
		acting = s.versions[standing.Switch.Print]
	}
	for _, f := range fixed {
		if f.Corp == key.Corp && (f.Rule.Process == acting.Rule.Process || f.Rule.Process == standing.Latest.Rule.Process || f.Rule.Name == key.Name) {
			standing.Shadow = f.Rule.Name
			return standing
		}
	}
	if standing.Fault = judge(key.Corp, acting.Rule); standing.Fault == nil && standing.Switch != nil && standing.Switch.On {
		standing.Acting = acting.Print
	}
	return standing
}
