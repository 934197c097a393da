package rulebook_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdgate/jobs/approval"
	"kdgate/jobs/approval/rulebook"
)

const good = `name: 借款
process: PROC-2
since: 2026-11-01
template: expense-reimbursement
when: title contains "借款"
comment: false
aliases:
  - {name: amount, id: Money_1}
header:
  - {key: FCausa, from: reason}
  - {key: FNote, expr: 'total("details", "amount")'}
rows:
  - entry: FEntity
    from: details
    fields:
      - {key: FExpID, from: item, as: number, dictionary: items}
dictionaries:
  - name: items
    words:
      - {value: 差旅, text: CI001}
      - {value: 0012, text: 1.10}
`

var defaults = rulebook.Defaults{Corp: "c1", DataCentre: "live"}

// F61: a rule is read as the configuration would read it, and written so that it
// reads the same again.
func TestParse(t *testing.T) {
	corp, rule, err := rulebook.Parse(good, defaults, nil)
	if err != nil || corp != "c1" || rule.DataCentre != "live" || !rule.NoComment || !rule.Since.Equal(time.Date(2026, 10, 31, 16, 0, 0, 0, time.UTC)) {
		t.Fatalf("%v %s %+v", err, corp, rule)
	}
	if words := rule.Dictionaries["items"]; words["0012"] != "1.10" { // texts, whatever YAML would make of them
		t.Errorf("%v", words)
	}
	_, again, err := rulebook.Parse(rulebook.Text(corp, rule), rulebook.Defaults{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, errA := approval.VersionOf(corp, rule)
	b, errB := approval.VersionOf(corp, again)
	if errA != nil || errB != nil || a.Print != b.Print {
		t.Errorf("%s\n%s", rulebook.Text(corp, rule), cmp.Diff(a.Rule, b.Rule))
	}
	_, filled, err := rulebook.Parse(rulebook.Text(corp, a.Rule), rulebook.Defaults{}, nil)
	if v, _ := approval.VersionOf(corp, filled); err != nil || v.Print != a.Print {
		t.Errorf("what a template filled in is another version: %v %s", err, cmp.Diff(a.Rule, v.Rule))
	}
}

// T123, F61: every mistake is told at once, each with its line.
func TestParseMistakes(t *testing.T) {
	bad := strings.NewReplacer(
		"since: 2026-11-01", "since: soon\nmode: on\nsoon: 1",
		"comment: false", "comment: maybe\nversion: many",
		"as: number", "as: nmuber", `contains "借款"`, "contains",
		"- {key: FCausa, from: reason}", "- {key: FCausa, from: reason}\n  - {key: FCausa, const: x, expr: y}",
		"- {value: 差旅, text: CI001}", "- {value: 差旅, text: CI001}\n      - {value: 差旅, text: CI002}",
	).Replace(good)
	_, _, err := rulebook.Parse(bad, defaults, nil)
	faults, ok := errors.AsType[rulebook.Faults](err)
	if !ok {
		t.Fatal(err)
	}
	lines := strings.Split(bad, "\n")
	for _, want := range []struct{ at, words string }{
		{"since: soon", `"soon" is not a day`},
		{"mode: on", "switched on beside the rule"},
		{"soon: 1", "no such key"},
		{"comment: maybe", "true or false"},
		{"version: many", "whole number"},
		{"when:", "when"},
		{"const: x", "filled twice"},
		{"FCausa", "exactly one of"},
		{"nmuber", `"nmuber" is none of`},
		{"text: CI002", "stands twice"},
	} {
		found := false
		for _, f := range faults {
			found = found || strings.Contains(f.Words, want.words) && f.Line > 0 && strings.Contains(lines[f.Line-1], want.at)
		}
		if !found {
			t.Errorf("no %q at the line of %q in\n%v", want.words, want.at, err)
		}
	}
	for i := 1; i < len(faults); i++ {
		if faults[i].Line < faults[i-1].Line {
			t.Errorf("not by line: %v", faults)
		}
	}
}

// What no rule needs is refused whole: it can only hide something.
func TestParseRefuses(t *testing.T) {
	for text, words := range map[string]string{
		"":                              "nothing is written",
		"name: a\n---\nname: b\n":       "second document",
		"name: &a x\nprocess: *a\n":     "anchors",
		"name: !!binary aGk=\n":         "anchors, aliases and tags",
		"- name: a\n":                   "belong to the configuration file",
		"name: [\n":                     "",
		"name: \xff\n":                  "",
		"name: a\nname: b\n":            "already defined",
		strings.Repeat("# x\n", 20_000): "bytes, at most",
		"name: " + strings.Repeat("长", 61) + "\n": "at most 60",
	} {
		_, _, err := rulebook.Parse(text, defaults, nil)
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%.40q: %v, want %q", text, err, words)
		}
	}
	_, _, err := rulebook.Parse(good, defaults, func(string, approval.Rule) error {
		return fmt.Errorf(`rule "借款": data centre "live" is not known`)
	})
	if err == nil || !strings.Contains(err.Error(), "data centre") {
		t.Errorf("the judge is not heard: %v", err)
	}
}

// A text of anybody's is read or refused, and what is read can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("name: a\nheader: [{key: FA, const: '1'}]\nrows: [{entry: FE}]")
	f.Add("a: &x [*x]")
	f.Add("{}")
	f.Fuzz(func(t *testing.T, text string) {
		corp, rule, err := rulebook.Parse(text, defaults, nil)
		if err != nil {
			if _, ok := errors.AsType[rulebook.Faults](err); !ok {
				t.Errorf("%T", err)
			}
			return
		}
		if _, _, err := rulebook.Parse(rulebook.Text(corp, rule), rulebook.Defaults{}, nil); err != nil {
			t.Errorf("%v\n%s", err, rulebook.Text(corp, rule))
		}
	})
}

// F67: a rule about a Yida form is written with the configuration's keys.
func TestParseYida(t *testing.T) {
	yida := strings.Replace(good, "process: PROC-2", "source: yida\napp: APP_X1Y2Z3\nprocess: FORM-AB12CD34", 1)
	_, rule, err := rulebook.Parse(yida, defaults, nil)
	if err != nil || rule.Source != approval.SourceYida || rule.App != "APP_X1Y2Z3" {
		t.Fatalf("%v %+v", err, rule)
	}
	if _, again, err := rulebook.Parse(rulebook.Text("c1", rule), defaults, nil); err != nil || again.App != rule.App || again.Source != rule.Source {
		t.Errorf("%v %+v", err, again)
	}
	if _, rule, err = rulebook.Parse("source: approval\n"+good, defaults, nil); err != nil || rule.Source != approval.SourceApproval {
		t.Errorf("%v %q", err, rule.Source)
	}
}

// Everything that a rule can say can be written, and read again: a version that
// lost something would be another rule.
func TestTextIsWhole(t *testing.T) {
	rule := ruleOf(t, good)
	v := reflect.ValueOf(&rule).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if !v.Field(i).IsZero() || name == "Preview" || name == "Unknown" { // whether it acts is no part of a rule, nor is what nobody here can write
			continue
		}
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(map[string]string{"Source": "yida", "OnRefused": "note", "Form": "GL_X"}[name] + map[string]string{"App": "APP_X1", "CommentAs": "1001"}[name])
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int:
			f.SetInt(2)
		default:
			t.Fatalf("%s: this test does not know how to fill it", name)
		}
		if f := v.Field(i); f.IsZero() {
			t.Fatalf("%s: this test does not know what to fill it with", name)
		}
	}
	_, again, err := rulebook.Parse(rulebook.Text("c1", rule), rulebook.Defaults{}, func(string, approval.Rule) error { return nil })
	if diff := cmp.Diff(rule, again, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestDiff(t *testing.T) {
	got := ""
	for _, c := range rulebook.Diff("a\nb\nc\n", "a\nx\nc\nd\n") {
		got += map[string]string{"same": " ", "gone": "-", "new": "+"}[c.Op] + c.Text + "\n"
	}
	if want := " a\n-b\n+x\n c\n+d\n"; got != want {
		t.Errorf("%s", cmp.Diff(want, got))
	}
}
