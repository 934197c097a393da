package rulebook

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"kdgate/jobs/approval"
)

// MaxText bounds the text of a rule, in bytes.
const MaxText = 64 << 10

// ruleText is a rule as people write it, with the keys of the configuration.
type ruleText struct {
	Name         string      `yaml:"name"`
	Source       string      `yaml:"source,omitempty"`
	App          string      `yaml:"app,omitempty"`
	Process      string      `yaml:"process"`
	Corp         string      `yaml:"corp,omitempty"`
	DataCentre   string      `yaml:"data_centre,omitempty"`
	Since        string      `yaml:"since"`
	Template     string      `yaml:"template,omitempty"`
	Form         string      `yaml:"form,omitempty"`
	Version      int         `yaml:"version,omitempty"`
	Audit        bool        `yaml:"audit,omitempty"`
	When         string      `yaml:"when,omitempty"`
	Comment      *bool       `yaml:"comment,omitempty"`
	CommentAs    string      `yaml:"comment_as,omitempty"`
	Attachments  bool        `yaml:"attachments,omitempty"`
	OnRefused    string      `yaml:"on_refused,omitempty"`
	Aliases      []aliasText `yaml:"aliases,omitempty"`
	Header       []fieldText `yaml:"header,omitempty"`
	Rows         []tableText `yaml:"rows,omitempty"`
	Dictionaries []wordsText `yaml:"dictionaries,omitempty"`
}

type aliasText struct {
	Name string `yaml:"name"`
	ID   string `yaml:"id"`
}

type fieldText struct {
	Key        string `yaml:"key"`
	From       string `yaml:"from,omitempty"`
	Const      string `yaml:"const,omitempty"`
	Expr       string `yaml:"expr,omitempty"`
	As         string `yaml:"as,omitempty"`
	Dictionary string `yaml:"dictionary,omitempty"`
	Default    string `yaml:"default,omitempty"`
	Optional   bool   `yaml:"optional,omitempty"`
}

type tableText struct {
	Entry  string      `yaml:"entry"`
	From   string      `yaml:"from,omitempty"`
	When   string      `yaml:"when,omitempty"`
	Empty  bool        `yaml:"empty,omitempty"`
	Fields []fieldText `yaml:"fields,omitempty"`
}

type wordsText struct {
	Name  string     `yaml:"name"`
	Words []wordText `yaml:"words"`
}

type wordText struct {
	Value string `yaml:"value"`
	Text  string `yaml:"text"`
}

// beijing is the zone of the first day.
var beijing = time.FixedZone("UTC+8", 8*60*60)

// rule is the text as jobs/approval has it.
func (t ruleText) rule(since time.Time) approval.Rule {
	r := approval.Rule{
		Name: t.Name, Source: t.Source, App: t.App, Process: t.Process, DataCentre: t.DataCentre, Since: since, Template: t.Template, Form: t.Form, Version: t.Version,
		Audit: t.Audit, When: t.When, NoComment: t.Comment != nil && !*t.Comment, CommentAs: t.CommentAs, Attachments: t.Attachments, OnRefused: t.OnRefused, Header: fieldsOf(t.Header),
		Aliases: map[string]string{}, Dictionaries: map[string]map[string]string{},
	}
	if r.Source == "approval" { // the configuration's default, spelled out
		r.Source = approval.SourceApproval
	}
	for _, a := range t.Aliases {
		r.Aliases[a.Name] = a.ID
	}
	for _, table := range t.Rows {
		r.Rows = append(r.Rows, approval.Table{Entry: table.Entry, From: table.From, When: table.When, Empty: table.Empty, Fields: fieldsOf(table.Fields)})
	}
	for _, d := range t.Dictionaries {
		words := map[string]string{}
		for _, w := range d.Words {
			words[w.Value] = w.Text
		}
		r.Dictionaries[d.Name] = words
	}
	return r
}

func fieldsOf(list []fieldText) []approval.Field {
	var out []approval.Field
	for _, f := range list {
		out = append(out, approval.Field{
			Key: f.Key, From: f.From, Const: f.Const, Expr: f.Expr, As: approval.Form(f.As),
			Dictionary: f.Dictionary, Default: f.Default, Optional: f.Optional,
		})
	}
	return out
}

// Text writes a rule as people write it, always in the same way, so that two
// versions can be compared line by line.
func Text(corp string, r approval.Rule) string {
	t := ruleText{
		Name: r.Name, Source: r.Source, App: r.App, Process: r.Process, Corp: corp, DataCentre: r.DataCentre, Template: r.Template, Form: r.Form, Version: r.Version,
		Audit: r.Audit, When: r.When, CommentAs: r.CommentAs, Attachments: r.Attachments, OnRefused: r.OnRefused, Header: textsOf(r.Header),
	}
	if !r.Since.IsZero() {
		t.Since = r.Since.In(beijing).Format(time.DateOnly)
	}
	if r.NoComment {
		t.Comment = new(bool)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Aliases)) {
		t.Aliases = append(t.Aliases, aliasText{name, r.Aliases[name]})
	}
	for _, table := range r.Rows {
		t.Rows = append(t.Rows, tableText{Entry: table.Entry, From: table.From, When: table.When, Empty: table.Empty, Fields: textsOf(table.Fields)})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Dictionaries)) {
		words := wordsText{Name: name}
		for _, value := range slices.Sorted(maps.Keys(r.Dictionaries[name])) {
			words.Words = append(words.Words, wordText{value, r.Dictionaries[name][value]})
		}
		t.Dictionaries = append(t.Dictionaries, words)
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(t); err != nil {
		return fmt.Sprintf("# %v\n", err) // texts and lists; this cannot happen
	}
	return out.String()
}

func textsOf(list []approval.Field) []fieldText {
	var out []fieldText
	for _, f := range list {
		as := string(f.As)
		if f.As == approval.AsText {
			as = ""
		}
		out = append(out, fieldText{f.Key, f.From, f.Const, f.Expr, as, f.Dictionary, f.Default, f.Optional})
	}
	return out
}

// MarshalYAML puts a field on one line.
func (f fieldText) MarshalYAML() (any, error) {
	type plain fieldText
	return onOneLine(plain(f))
}

// MarshalYAML puts a name on one line.
func (a aliasText) MarshalYAML() (any, error) {
	type plain aliasText
	return onOneLine(plain(a))
}

// MarshalYAML puts a word on one line.
func (w wordText) MarshalYAML() (any, error) {
	type plain wordText
	return onOneLine(plain(w))
}

func onOneLine(value any) (any, error) {
	var node yaml.Node
	if err := node.Encode(value); err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	node.Style = yaml.FlowStyle
	return &node, nil
}
