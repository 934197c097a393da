package dingtalk

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/internal/strictjson"
)

// FormField is one component of a form as somebody filled it in. Everything is
// text, amounts too: no number of a form ever becomes a float. Match fields by
// ID or Alias, never by Name, which people edit and repeat (reference 7.3).
type FormField struct {
	ID    string
	Alias string // bizAlias
	Name  string // label
	Type  string // TextField, MoneyField, TableField, …
	Value string // empty when nothing was filled in
	Ext   string // JSON text beside the value, empty without one

	rows []Row // of a Yida sub-form, which are read already
}

// ErrForm is a value that does not have the shape of its component.
var ErrForm = errors.New("dingtalk: a form's value has not the shape of its component")

// fieldRecord is a component outside and inside of tables and suites, where the
// names differ (reference 7.3, oddities 4 and 7).
type fieldRecord struct {
	ID     string         `json:"id"`
	Key    string         `json:"key"`
	Name   string         `json:"name"`
	Label  string         `json:"label"`
	Value  jsontext.Value `json:"value"`
	Ext    jsontext.Value `json:"extValue"`
	Extend jsontext.Value `json:"extendValue"`
	Type   string         `json:"componentType"`
	Kind   string         `json:"componentName"`
	Alias  string         `json:"bizAlias"`
	Props  *struct {
		ID    string `json:"id"`
		Label string `json:"label"`
		Alias string `json:"bizAlias"`
	} `json:"props"`
}

func (r fieldRecord) field() FormField {
	f := FormField{
		ID: or(r.ID, r.Key), Alias: r.Alias, Name: or(r.Name, r.Label), Type: or(r.Type, r.Kind),
		Value: formText(r.Value), Ext: or(formText(r.Ext), formText(r.Extend)),
	}
	if r.Props != nil {
		f.ID, f.Name, f.Alias = or(f.ID, r.Props.ID), or(f.Name, r.Props.Label), or(f.Alias, r.Props.Alias)
	}
	return f
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// formText is a value as text. Nothing is the text null, in four characters or
// as JSON has it (oddity 1); what is no text stays the JSON it is.
func formText(v jsontext.Value) string {
	s := string(v)
	if v.Kind() == '"' {
		s = text(v)
	}
	if s == "null" {
		return ""
	}
	return s
}

// Row is one row of a table: its filled-in cells.
type Row []FormField

// Cell is the cell of a row that has this id or alias; an empty field when it
// was not filled in, because such cells are not in their rows at all (oddity 3).
func (r Row) Cell(id string) FormField {
	f, _ := find(r, id)
	return f
}

// Field is the field that has this id or alias, and whether the form has it.
func (in Instance) Field(id string) (FormField, bool) { return find(in.Fields, id) }

// find prefers an id: an alias may be the id of another field.
func find(list []FormField, id string) (FormField, bool) {
	for _, f := range list {
		if f.ID == id {
			return f, true
		}
	}
	for _, f := range list {
		if f.Alias == id && id != "" {
			return f, true
		}
	}
	return FormField{}, false
}

// Rows reads a table. One that nobody touched holds its own schema instead of
// rows and has none (oddity 2).
func (f FormField) Rows() ([]Row, error) {
	if f.rows != nil || f.Value == "" {
		return f.rows, nil
	}
	var list []struct {
		Cells *[]fieldRecord `json:"rowValue"`
	}
	if err := strictjson.Decode([]byte(f.Value), &list); err != nil {
		return nil, fmt.Errorf("%w: table %s", ErrForm, clean(f.ID))
	}
	var rows []Row
	for i, one := range list {
		if one.Cells == nil {
			if i > 0 && len(rows) > 0 {
				return nil, fmt.Errorf("%w: table %s holds rows and something else", ErrForm, clean(f.ID))
			}
			continue
		}
		if i > len(rows) {
			return nil, fmt.Errorf("%w: table %s holds rows and something else", ErrForm, clean(f.ID))
		}
		row := make(Row, 0, len(*one.Cells))
		for _, cell := range *one.Cells {
			row = append(row, cell.field())
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Parts reads a suite (DDBizSuite): components with values of their own.
func (f FormField) Parts() ([]FormField, error) {
	if f.Value == "" {
		return nil, nil
	}
	var list []fieldRecord
	if err := strictjson.Decode([]byte(f.Value), &list); err != nil {
		return nil, fmt.Errorf("%w: suite %s", ErrForm, clean(f.ID))
	}
	parts := make([]FormField, 0, len(list))
	for _, one := range list {
		parts = append(parts, one.field())
	}
	return parts, nil
}

// List reads a value that is a list in a text: multi-choice, photos, a date
// range, whose third element is a duration or null. Nulls are empty. A value
// that is no list is a list of one.
func (f FormField) List() ([]string, error) {
	if f.Value == "" {
		return nil, nil
	}
	if !strings.HasPrefix(strings.TrimSpace(f.Value), "[") {
		return []string{f.Value}, nil
	}
	var list []jsontext.Value
	if err := strictjson.Decode([]byte(f.Value), &list); err != nil {
		return nil, fmt.Errorf("%w: list %s", ErrForm, clean(f.ID))
	}
	texts := make([]string, 0, len(list))
	for _, v := range list {
		texts = append(texts, formText(v))
	}
	return texts, nil
}

// People are the userids of a contact field. They stand in Ext: the value holds
// display names.
func (f FormField) People() ([]string, error) {
	if f.Ext == "" {
		return nil, nil
	}
	var list []struct {
		ID string `json:"emplId"`
	}
	if err := strictjson.Decode([]byte(f.Ext), &list); err != nil {
		return nil, fmt.Errorf("%w: people %s", ErrForm, clean(f.ID))
	}
	ids := make([]string, 0, len(list))
	for _, one := range list {
		if !validUserID(one.ID) {
			return nil, fmt.Errorf("%w: people %s", ErrForm, clean(f.ID))
		}
		ids = append(ids, one.ID)
	}
	return ids, nil
}

// Choice is the key of a chosen option, which stays when its label is edited;
// empty where DingTalk told none.
func (f FormField) Choice() string {
	var one struct {
		Key string `json:"key"`
	}
	if f.Ext == "" || json.Unmarshal([]byte(f.Ext), &one) != nil {
		return ""
	}
	return one.Key
}
