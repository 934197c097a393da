package kingdeesim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"kdgate/kingdee/kingdeesim/internal/filter"
	"kdgate/kingdee/kingdeesim/internal/loose"
)

// numeral is a number with the digits it was written with.
func numeral(n filter.Number) any {
	if n == "" {
		return json.Number("0")
	}
	return json.Number(n)
}

// writing says how the form's documents are made, changed and moved.
func (d *docForm) writing(at func(*centre, int) *document) *writing {
	w := &writing{
		state: func(c *centre, row int) *string { return &at(c, row).state },
		touch: func(c *centre, row int) { at(c, row).modified = c.now() },
		remove: func(c *centre, row int) {
			c.table(d.id).remove(row >> lineBits)
		},
		rigid: d.title == "",
	}
	if !d.readOnly {
		w.store = d.store
	}
	return w
}

// store writes one document.
func (d *docForm) store(f *fields, row int) int {
	table := f.centre.table(d.id)
	doc := &document{forbid: Enabled, values: map[string]any{}, created: f.centre.now()}
	at := row >> lineBits
	if row >= 0 {
		old := table.list[at]
		doc = &document{
			id: old.id, number: old.number, state: old.state, forbid: old.forbid, created: old.created, modified: old.modified,
			values: maps.Clone(old.values), lines: slices.Clone(old.lines),
		}
	}
	number := doc.number
	runs := d.series != nil && !f.server.Switches().VoucherNumbersSent
	if !runs {
		number = d.ownNumber(f, table, number, at, row < 0)
	}
	f.readAll(d.head, doc.values)
	d.storeLines(f, doc)
	d.inOpenPeriod(f, doc)
	if d.check != nil && !f.lenient {
		d.check(f, doc)
	}
	if len(f.errors) > 0 {
		return 0
	}
	if runs && row < 0 {
		number = table.nextInSeries(d, doc)
	}
	if row < 0 {
		doc.id, doc.number = f.centre.tables.next(), number
		return table.add(doc) << lineBits
	}
	table.replace(at, doc, number)
	return row
}

// ownNumber is the number that was sent, or one that the coding rule gives; one
// that another document has is refused.
func (d *docForm) ownNumber(f *fields, table *docTable, number string, at int, fresh bool) string {
	f.text(d.number, &number, false)
	if number == "" {
		number = f.centre.nextNumber(d, table)
	}
	for _, i := range table.byNumber[number] {
		if fresh || i != at {
			f.duplicate(d.number, number)
			break
		}
	}
	return number
}

// nextNumber is what the coding rule gives to a record that came without one.
func (c *centre) nextNumber(d *docForm, t *docTable) string {
	for n := len(t.list) + 1; ; n++ {
		if number := fmt.Sprintf("%s%08d", d.prefix, n); len(t.byNumber[number]) == 0 {
			return number
		}
	}
}

// readAll reads fields by what they hold.
func (f *fields) readAll(list []docField, values map[string]any) {
	for _, field := range list {
		key := strings.ToLower(field.key)
		switch field.kind {
		case kindRef:
			id, _ := values[key].(int64)
			f.ref(field.key, field.form, &id, field.must)
			values[key] = id
		case kindDecimal:
			n, _ := values[key].(filter.Number)
			f.decimal(field.key, &n, field.must)
			values[key] = n
		case kindFlag:
			on, _ := values[key].(bool)
			f.flag(field.key, &on)
			values[key] = on
		case kindObject:
			if value, ok := f.given(field.key); ok {
				values[key] = value
			}
		case kindDate:
			text, _ := values[key].(string)
			f.date(field.key, &text, field.must)
			values[key] = text
		default:
			text, _ := values[key].(string)
			f.text(field.key, &text, field.must)
			values[key] = text
		}
	}
}

// storeLines writes the rows of the entry: those with a known id are changed,
// the others are new, and the ones that were not sent go with IsDeleteEntry.
func (d *docForm) storeLines(f *fields, doc *document) {
	if d.entry == "" {
		return
	}
	rows, sent := f.entry(d.entry)
	if !sent || len(rows) > maxLines {
		f.require(d.entry, len(doc.lines) == 0)
		return
	}
	var out []docLine
	if !f.replace {
		out = slices.Clone(doc.lines)
	}
	for i, row := range rows {
		id, _ := strconv.ParseInt(row.Text("FEntryID"), 10, 64)
		known := slices.IndexFunc(doc.lines, func(l docLine) bool { return l.id == id && id != 0 })
		line := docLine{id: id, values: map[string]any{}}
		if known >= 0 {
			line.values = maps.Clone(doc.lines[known].values)
		} else {
			line.id = f.centre.tables.next()
		}
		in := f.inside(row, fmt.Sprintf("%s[%d].", d.entry, i), known < 0)
		in.readAll(d.lines, line.values)
		f.errors = append(f.errors, in.errors...)
		if at := slices.IndexFunc(out, func(l docLine) bool { return l.id == line.id }); at >= 0 {
			out[at] = line
		} else {
			out = append(out, line)
		}
	}
	doc.lines = out
	f.require(d.entry, len(out) == 0)
}

// inOpenPeriod refuses a date in a period that the books have closed.
func (d *docForm) inOpenPeriod(f *fields, doc *document) {
	day, _ := doc.values[strings.ToLower(d.dated)].(string)
	if closed := f.centre.closed; closed != "" && len(day) >= 7 && day[:7] <= closed {
		f.fail(d.dated, "日期%s所在的会计期间已结账，不允许保存", day[:10])
	}
}

// Document is a record of a bill form, or of base data without a table of its
// own, as a caller puts it into a new data centre.
type Document struct {
	Form   string         `json:"form"`
	Status string         `json:"status"` // FDocumentStatus; "" means A for bills, C for base data
	Model  map[string]any `json:"model"`  // as in Save
}

// seed puts documents into a new data centre as Save would, but that their
// references may lead nowhere.
func (c *centre) seed(s *Server, list []Document) error {
	for i, d := range list {
		raw, err := json.Marshal(d.Model)
		if err != nil {
			return fmt.Errorf("document %d: %w", i, err)
		}
		value, err := loose.Parse(string(raw))
		model, isObject := value.(loose.Object)
		f := c.forms[strings.ToLower(d.Form)]
		if err != nil || !isObject || f == nil || c.schemas[strings.ToLower(d.Form)] == nil {
			return fmt.Errorf("document %d: unknown form %q, or no model", i, d.Form)
		}
		schema := c.schemas[strings.ToLower(d.Form)]
		in := fields{caller: caller{&session{centre: c}, s}, form: f, model: model, fresh: true, lenient: true, replace: true}
		row := schema.store(&in, -1)
		if len(in.errors) > 0 {
			return fmt.Errorf("document %d (%s): %s", i, d.Form, in.errors[0].Message)
		}
		status := orElse(d.Status, Created)
		if d.Status == "" && schema.title != "" {
			status = Audited
		}
		*f.write.state(c, row) = status
	}
	return nil
}
