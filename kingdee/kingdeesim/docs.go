package kingdeesim

import (
	"maps"
	"slices"
	"strings"
	"time"

	"kdgate/kingdee/kingdeesim/internal/filter"
	"kdgate/kingdee/kingdeesim/internal/loose"
)

// kind is what a field of a document holds.
type kind int

const (
	kindText kind = iota
	kindDate
	kindDecimal
	kindFlag
	kindRef
	kindObject // kept as it came, such as the dimensions of a voucher row
)

// docField is one field of a document form.
type docField struct {
	key  string
	kind kind
	form string // what a kindRef points at
	must bool

	searched bool // look-ups ask for a part of its text
}

// docForm describes a form whose records are kept as documents: bills, and base
// data that has no table of its own.
type docForm struct {
	id, key, number string // form id, primary key, field of the number
	prefix          string // of the numbers that the coding rule gives out
	title           string // field of the name, for base data
	head            []docField
	entry           string // key of the entry, "" for none
	shown           string // what View calls the entry; "" means entry
	lines           []docField
	readOnly        bool
	dated           string // the field that a closed period is compared with
	check           func(f *fields, d *document)
	series          func(d *document) string // what numbers run within that Kingdee gives itself; nil: a number is the caller's
}

// document is one record of such a form.
type document struct {
	id                int64
	number            string
	state, forbid     string
	created, modified time.Time
	values            map[string]any // by lower-case key: string, filter.Number, bool, int64 for references
	lines             []docLine
}

type docLine struct {
	id     int64
	values map[string]any
}

// docTable holds the documents of one form in one data centre, oldest first.
type docTable struct {
	list     []*document
	byID     map[int64]int
	byNumber map[string][]int
	searched map[string]grams // by lower-case key
}

func newDocTable(searched []string) *docTable {
	t := &docTable{byID: map[int64]int{}, byNumber: map[string][]int{}, searched: map[string]grams{}}
	for _, key := range searched {
		t.searched[key] = grams{}
	}
	return t
}

func (t *docTable) add(d *document) int {
	t.list = append(t.list, d)
	at := len(t.list) - 1
	t.byID[d.id] = at
	t.byNumber[d.number] = append(t.byNumber[d.number], at)
	t.mark(at)
	return at
}

// replace puts a changed document in the place of the old one.
func (t *docTable) replace(at int, d *document, number string) {
	t.list[at] = d
	t.renumber(at, number)
	t.mark(at)
}

func (t *docTable) renumber(at int, number string) {
	d := t.list[at]
	if d.number == number {
		return
	}
	t.byNumber[d.number] = slices.DeleteFunc(t.byNumber[d.number], func(i int) bool { return i == at })
	d.number = number
	t.byNumber[number] = append(t.byNumber[number], at)
}

func (t *docTable) remove(at int) {
	list := slices.Delete(t.list, at, at+1)
	*t = *newDocTable(slices.Collect(maps.Keys(t.searched)))
	for _, d := range list {
		t.add(d)
	}
}

// A query over a document form sees rows: a document in the high bits, one of
// its entry rows in the low ones.
const (
	lineBits = 12
	maxLines = 1 << lineBits
)

func (c *centre) table(formID string) *docTable {
	key := strings.ToLower(formID)
	if c.docs[key] == nil {
		c.docs[key] = newDocTable(c.schemas[key].searchedFields())
	}
	return c.docs[key]
}

// build makes the form that queries, View and the operations work on.
func (d *docForm) build() *form {
	id := strings.ToLower(d.id)
	at := func(c *centre, row int) *document { return c.docs[id].list[row>>lineBits] }
	f := &form{
		id: d.id, key: strings.ToLower(d.key), shift: lineBits, wide: map[string]bool{}, hidden: nil,
		rows: func(c *centre) int {
			if c.docs[id] == nil {
				return 0
			}
			return len(c.docs[id].list)
		},
		columns: map[string]column{
			strings.ToLower(d.key):    func(c *centre, row int) any { return at(c, row).id },
			strings.ToLower(d.number): func(c *centre, row int) any { return at(c, row).number },
			"fdocumentstatus":         func(c *centre, row int) any { return at(c, row).state },
			"fforbidstatus":           func(c *centre, row int) any { return at(c, row).forbid },
			"fcreatedate":             func(c *centre, row int) any { return moment(at(c, row).created) },
			"fmodifydate":             func(c *centre, row int) any { return moment(at(c, row).modified) },
		},
		lines:   func(c *centre, row int) int { return len(at(c, row).lines) },
		holding: func(c *centre, pieces map[string]string) ([]int, bool) { return c.docs[id].holding(pieces) },
	}
	d.addColumns(f, at)
	f.indexes = map[string]index{
		strings.ToLower(d.number): textIndex(func(c *centre, v string) []int { return shifted(c.docs[id], v) }),
		strings.ToLower(d.key): idIndex(func(c *centre, v int64) []int {
			if c.docs[id] == nil {
				return nil
			}
			if i, ok := c.docs[id].byID[v]; ok {
				return []int{i << lineBits}
			}
			return nil
		}),
	}
	f.indexes["fnumber"] = f.indexes[strings.ToLower(d.number)] // what Numbers and references name
	f.card = func(c *centre, row int) card { return d.card(c, at(c, row)) }
	f.write = d.writing(at)
	if d.title != "" {
		f.status = func(c *centre, row int) *string { return &at(c, row).forbid }
	}
	return f
}

func shifted(t *docTable, number string) []int {
	if t == nil {
		return nil
	}
	return inLines(t.byNumber[number])
}

func (d *docForm) addColumns(f *form, at func(*centre, int) *document) {
	add := func(field docField, get func(c *centre, row int) any, wide bool) {
		key := strings.ToLower(field.key)
		f.columns[key] = get
		f.wide[key] = wide
		if field.kind != kindRef {
			return
		}
		if wide {
			f.wide[key+".fnumber"], f.wide[key+".fname"] = true, true
		}
		f.columns[key+".fnumber"] = func(c *centre, row int) any { return textOrNull(c.named(field.form, get(c, row)).Number) }
		f.columns[key+".fname"] = func(c *centre, row int) any { return textOrNull(c.named(field.form, get(c, row)).Name) }
	}
	for _, field := range d.head {
		key := strings.ToLower(field.key)
		add(field, func(c *centre, row int) any { return plainCell(field, at(c, row).values[key]) }, false)
	}
	line := func(c *centre, row int) docLine {
		if lines, i := at(c, row).lines, row&(maxLines-1); i < len(lines) {
			return lines[i]
		}
		return docLine{}
	}
	for _, field := range d.lines {
		key := strings.ToLower(field.key)
		add(field, func(c *centre, row int) any { return plainCell(field, line(c, row).values[key]) }, true)
	}
	if d.entry != "" {
		add(docField{key: d.entry + "_FEntryId"}, func(c *centre, row int) any { return line(c, row).id }, true)
	}
}

// plainCell is a value as a query shows it.
func plainCell(field docField, value any) any {
	switch v := value.(type) {
	case nil:
		if field.kind == kindRef {
			return int64(0)
		}
		return nil
	case loose.Object:
		return loose.Format(v)
	case string:
		return textOrNull(v)
	default:
		return v
	}
}

// named is the record of another form that an internal id leads to.
func (c *centre) named(formID string, id any) BaseData {
	n, ok := id.(int64)
	f := c.forms[strings.ToLower(formID)]
	if !ok || n == 0 || f == nil {
		return BaseData{}
	}
	for _, row := range f.candidates(c, map[string]any{f.key: n}) {
		if shown := f.card(c, row); shown.id == n {
			return BaseData{shown.id, shown.number, shown.name}
		}
	}
	return BaseData{}
}

// moment is a time as the vendor's server writes it, in UTC+8.
func moment(at time.Time) any {
	if at.IsZero() {
		return "2020-01-01T00:00:00"
	}
	return at.In(time.FixedZone("UTC+8", 8*60*60)).Format(momentLayout)
}

// card is what View shows.
func (d *docForm) card(c *centre, doc *document) card {
	out := card{id: doc.id, number: doc.number}
	if d.title != "" {
		out.name, _ = doc.values[strings.ToLower(d.title)].(string)
	}
	out.more = append(out.more, member{strings.TrimPrefix(d.number, "F"), doc.number}, member{"DocumentStatus", doc.state})
	out.more = append(out.more, d.properties(c, d.head, doc.values)...)
	if d.entry == "" {
		return out
	}
	rows := make([]members, 0, len(doc.lines))
	for i, line := range doc.lines {
		row := members{{"Id", line.id}, {"Seq", i + 1}}
		for _, one := range d.properties(c, d.lines, line.values) {
			if b, ok := one.value.(BaseData); ok {
				row = append(row, member{one.name + "_Id", b.ID}, member{one.name, members{{"Id", b.ID}, {"Number", b.Number}, {"Name", []translated{{2052, b.Name}}}}})
				continue
			}
			row = append(row, one)
		}
		rows = append(rows, row)
	}
	out.more = append(out.more, member{orElse(d.shown, d.entry), rows})
	return out
}

func (d *docForm) properties(c *centre, list []docField, values map[string]any) []member {
	var out []member
	for _, field := range list {
		name := strings.TrimPrefix(field.key, "F")
		switch v := values[strings.ToLower(field.key)].(type) {
		case string:
			if field.kind == kindDate {
				out = append(out, member{name, date(v)})
				continue
			}
			out = append(out, member{name, v})
		case int64:
			out = append(out, member{name, c.named(field.form, v)})
		case filter.Number:
			out = append(out, member{name, numeral(v)})
		case loose.Object:
			out = append(out, member{name, loose.Format(v)})
		default:
			out = append(out, member{name, v})
		}
	}
	return out
}
