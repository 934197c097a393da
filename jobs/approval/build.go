package approval

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/kingdee"
)

// People tell which employee of a data centre a userid is mapped to.
type People interface {
	// Staff gives the FStaffNumber. Kind NotFound means that there is none; any
	// other error that nobody could be asked.
	Staff(ctx context.Context, dataCentre, userid string) (string, error)
}

// builder makes the model of one bill.
type builder struct {
	rule     compiled
	instance dingtalk.Instance
	people   People
	fields   []dingtalk.FormField // the form's, suites opened
	set      map[string]string    // what a person put in the place of a header field's value
	row      dingtalk.Row         // at hand; nil outside of tables
	inRow    bool
	trace    *[]Filled // of a preview; nil: nobody looks
}

// Mistake is a field of the bill that cannot be filled.
type Mistake struct {
	Field string `json:"field"`
	Words string `json:"words"`
	Err   error  `json:"-"`
}

// Mistakes are all fields that cannot be filled, for one person to mend at once.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	texts := make([]string, 0, len(m))
	for _, one := range m {
		texts = append(texts, one.Field+": "+one.Words)
	}
	return strings.Join(texts, "; ")
}

// newBuilder opens the form of an instance.
func newBuilder(rule compiled, in dingtalk.Instance, people People, set map[string]string) (*builder, error) {
	b := &builder{rule: rule, instance: in, people: people, set: set}
	for _, f := range in.Fields {
		b.fields = append(b.fields, f)
		if f.Type != "DDBizSuite" {
			continue
		}
		parts, err := f.Parts()
		if err != nil {
			return nil, err
		}
		b.fields = append(b.fields, parts...)
	}
	return b, nil
}

// wanted reports whether the rule's condition holds.
func (b *builder) wanted() (bool, error) { return b.rule.when.holds(b.scope()) }

// model is the bill without its number. A *Mistakes error tells every field that
// a person has to mend; any other error that somebody could not be asked.
func (b *builder) model(ctx context.Context) (kingdee.Model, error) {
	var wrong Mistakes
	header, err := b.filled(ctx, b.rule.header, "", b.set, &wrong)
	if err != nil {
		return nil, err
	}
	for _, table := range b.rule.rows {
		rows, err := b.entry(ctx, table, &wrong)
		if err != nil {
			return nil, err
		}
		header = header.Set(table.Entry, append(rowsOf(header, table.Entry), rows...))
	}
	wrong = append(wrong, b.unbalanced(header)...)
	for key := range b.set {
		if !hasField(b.rule.header, key) {
			wrong = append(wrong, Mistake{Field: key, Words: "the rule fills no such field, so it cannot be set"})
		}
	}
	if len(wrong) > 0 {
		return header, wrong
	}
	return header, nil
}

// rowsOf are the rows that an earlier table made of the same entry: a voucher has
// debits and credits.
func rowsOf(model kingdee.Model, entry string) []kingdee.Model {
	for _, f := range model {
		if rows, ok := f.Value.([]kingdee.Model); ok && strings.EqualFold(f.Key, entry) {
			return rows
		}
	}
	return []kingdee.Model{}
}

func hasField(list []compiledField, key string) bool {
	for _, f := range list {
		if strings.EqualFold(f.Key, key) {
			return true
		}
	}
	return false
}

// entry makes the rows of one entry.
func (b *builder) entry(ctx context.Context, table compiledTable, wrong *Mistakes) ([]kingdee.Model, error) {
	rows := []dingtalk.Row{nil}
	if table.From != "" {
		var err error
		if rows, err = b.table(table.From); err != nil {
			*wrong = append(*wrong, mistake(table.Entry, err))
			return nil, nil
		}
	}
	out := []kingdee.Model{}
	for i, row := range rows {
		b.row, b.inRow = row, table.From != ""
		good, err := table.when.holds(b.scope())
		if err != nil {
			*wrong = append(*wrong, mistake(fmt.Sprintf("%s[%d]", table.Entry, i+1), err))
			continue
		}
		if !good {
			continue
		}
		model, err := b.filled(ctx, table.fields, fmt.Sprintf("%s[%d].", table.Entry, i+1), nil, wrong)
		if err != nil {
			return nil, err
		}
		out = append(out, model)
	}
	b.row, b.inRow = nil, false
	if len(out) == 0 && !table.Empty {
		*wrong = append(*wrong, Mistake{Field: table.Entry, Words: "the form has no row for it"})
	}
	return out, nil
}

// filled fills a list of fields in their order.
func (b *builder) filled(ctx context.Context, list []compiledField, at string, set map[string]string, wrong *Mistakes) (kingdee.Model, error) {
	model := kingdee.Model{}
	for _, f := range list {
		value, there, err := b.value(ctx, f, set)
		b.note(at, f, value, err)
		switch {
		case err != nil && unasked(err):
			return nil, err
		case err != nil:
			*wrong = append(*wrong, mistake(at+f.Key, err))
		case there:
			model = placed(model, f.Key, value)
		}
	}
	return model, nil
}

// placed puts a value at its key, which may be that of a field within another.
func placed(model kingdee.Model, key string, value any) kingdee.Model {
	outer, inner, within := strings.Cut(key, ".")
	if !within {
		return model.Set(key, value)
	}
	nested := kingdee.Model{}
	for _, f := range model {
		if have, ok := f.Value.(kingdee.Model); ok && strings.EqualFold(f.Key, outer) {
			nested = have
		}
	}
	return model.Set(outer, nested.Set(inner, value))
}

// unasked is an error that says nothing about the form: somebody could not be
// asked.
func unasked(err error) bool {
	kind := identity.KindOf(err)
	return !errors.Is(err, errValue) && !errors.Is(err, errFormula) && !errors.Is(err, dingtalk.ErrForm) && kind != identity.NotFound
}

func mistake(field string, err error) Mistake {
	words := strings.TrimPrefix(strings.TrimPrefix(err.Error(), errValue.Error()+": "), "approval: ")
	if identity.KindOf(err) == identity.NotFound && !errors.Is(err, errValue) {
		words = "the person is not mapped to an employee of this data centre"
	}
	return Mistake{Field: field, Words: words, Err: err}
}

// value is the value of one field, and whether it is there at all.
func (b *builder) value(ctx context.Context, f compiledField, set map[string]string) (any, bool, error) {
	text, err := b.source(f)
	if err == nil && f.words != nil && text != "" {
		text, err = translate(f.words, f.Dictionary, text)
	}
	for key, own := range set { // what a person wrote is final
		if strings.EqualFold(key, f.Key) {
			text, err = own, nil
		}
	}
	switch {
	case err != nil:
		return nil, false, err
	case text == "":
		text = f.Default
	}
	if text == "" {
		if f.Optional {
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("%w: nothing is filled in", errValue)
	}
	value, err := b.shaped(ctx, f.As, text)
	return value, err == nil, err
}

func translate(words map[string]string, name, text string) (string, error) {
	for _, word := range []string{text, "*"} {
		if to, ok := words[word]; ok {
			return to, nil
		}
	}
	return "", fmt.Errorf("%w: the dictionary %s does not have %q", errValue, name, clip(text))
}

// source is the text that a field is made of.
func (b *builder) source(f compiledField) (string, error) {
	switch {
	case f.Const != "":
		return f.Const, nil
	case f.formula != nil:
		return f.formula.words(b.scope())
	case strings.HasPrefix(f.From, "@"):
		return b.own(f.From), nil
	}
	name, part, _ := strings.Cut(f.From, "#")
	field, there := b.find(name)
	if !there && !b.inRow && !f.Optional {
		return "", fmt.Errorf("%w: the form has no component %q", errValue, name)
	}
	return textOf(field, part, f.As)
}

// own is a value of the approval itself.
func (b *builder) own(name string) string {
	in := b.instance
	switch name {
	case "@originator":
		return in.Originator
	case "@title":
		return in.Title
	case "@business_id":
		return in.BusinessID
	case "@instance":
		return in.ID
	case "@department":
		return in.Department
	case "@created":
		return beijing(in.Created)
	case "@finished":
		return beijing(in.Finished)
	}
	return ""
}

// beijing is a time as forms write it; nothing for one that is not there.
func beijing(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(kingdee.Beijing()).Format("2006-01-02 15:04")
}

// find is a component by id or alias, in a row its cells first.
func (b *builder) find(name string) (dingtalk.FormField, bool) {
	if id, ok := b.rule.Aliases[name]; ok {
		name = id
	}
	if b.inRow {
		if f := b.row.Cell(name); f.ID != "" || f.Alias != "" {
			return f, true
		}
	}
	return dingtalk.Instance{Fields: b.fields}.Field(name)
}

// textOf is the text of a component: its value, the key of its option, an element
// of its list, or, where a person is wanted, the one userid.
func textOf(f dingtalk.FormField, part string, as Form) (string, error) {
	switch {
	case part == "key":
		return f.Choice(), nil
	case part != "":
		list, err := f.List()
		if at := int(part[0] - '1'); err == nil && at < len(list) {
			return list[at], nil
		}
		return "", err
	case (as == AsStaff || as == AsEmployee) && f.Ext != "":
		ids, err := f.People()
		if err == nil && len(ids) > 1 {
			err = fmt.Errorf("%w: %d people, where one is wanted", errValue, len(ids))
		}
		if err != nil || len(ids) == 0 {
			return "", err
		}
		return ids[0], nil
	}
	return f.Value, nil
}

// table reads the rows of a component, boundedly many.
func (b *builder) table(name string) ([]dingtalk.Row, error) {
	inRow := b.inRow
	b.inRow = false
	field, there := b.find(name)
	b.inRow = inRow
	if !there {
		return nil, fmt.Errorf("%w: the form has no table %q", errValue, name)
	}
	rows, err := field.Rows()
	if err == nil && len(rows) > maxRows {
		err = fmt.Errorf("%w: %d rows, at most %d", errValue, len(rows), maxRows)
	}
	return rows, err
}

// scope is what expressions see at this place.
func (b *builder) scope() scope {
	in := b.instance
	day := func(name string) string { text, _, _ := strings.Cut(b.own(name), " "); return text }
	row, inRow := b.row, b.inRow
	return scope{
		Originator: in.Originator, Department: in.Department, Title: in.Title, Business: in.BusinessID, Instance: in.ID,
		Created: day("@created"), Finished: day("@finished"),
		Value: func(id string) string { return (&builder{rule: b.rule, fields: b.fields}).text(id) },
		Cell: func(id string) string {
			return (&builder{rule: b.rule, fields: b.fields, row: row, inRow: inRow}).text(id)
		},
		Rows:  b.lines,
		Total: b.total,
		Word: func(dictionary, word string) (string, error) {
			words, ok := b.rule.Dictionaries[dictionary]
			if !ok {
				return "", fmt.Errorf("%w: there is no dictionary %q", errValue, dictionary)
			}
			return translate(words, dictionary, word)
		},
	}
}

// text is the value of a component, empty when there is none.
func (b *builder) text(name string) string {
	f, _ := b.find(name)
	return f.Value
}

func (b *builder) lines(table string) ([]line, error) {
	rows, err := b.table(table)
	if err != nil {
		return nil, err
	}
	out := make([]line, 0, len(rows))
	for i, row := range rows {
		at := &builder{rule: b.rule, row: row, inRow: true}
		out = append(out, line{Number: i + 1, Value: at.text})
	}
	return out, nil
}

func (b *builder) total(table, cell string) (amount, error) {
	rows, err := b.lines(table)
	if err != nil {
		return amount{}, err
	}
	var sum amount
	for _, row := range rows {
		text := row.Value(cell)
		if text == "" {
			continue
		}
		d, err := exact(text)
		if err != nil {
			return amount{}, err
		}
		sum.value = sum.value.Add(d)
	}
	return sum, nil
}
