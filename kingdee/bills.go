package kingdee

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
)

// Query is a question to one form. Fields are asked in the order given; Order is
// one field key, ascending, and by default the first field.
type Query struct {
	Form   string
	Fields []string
	Filter Filter
	Order  string
	Page   Page
}

// Page is a piece of the answer: Limit records from Start on, counted from 0.
// Limit is at most 2000, and the configured page size by default.
type Page struct {
	Start, Limit int
}

// queryData is the data of ExecuteBillQuery.
type queryData struct {
	FormId       string //nolint:revive // the vendor's spelling
	FieldKeys    string
	FilterString json.RawMessage
	OrderString  string
	TopRowCount  int // an absolute end row on the server; 0 is no cap
	StartRow     int
	Limit        int
	SubSystemId  string //nolint:revive // the vendor's spelling
}

// Query asks a form and gives rows of texts, one for each field: numbers keep
// their digits, null is empty. An empty result is an answer: asked, and nothing
// there.
func (c *Client) Query(ctx context.Context, q Query) ([][]string, error) {
	data, err := c.queryData(q)
	if err != nil {
		return nil, err
	}
	rows, err := c.ask(ctx, q.Form, data, len(q.Fields))
	if err != nil {
		return nil, err
	}
	out := make([][]string, 0, len(rows))
	for _, row := range rows {
		texts := make([]string, len(row))
		for i, cell := range row {
			texts[i] = string(cell)
		}
		out = append(out, texts)
	}
	return out, nil
}

func (c *Client) queryData(q Query) (queryData, error) {
	if len(q.Fields) == 0 {
		return queryData{}, refusedFilter("no field is asked for")
	}
	order := orText(q.Order, q.Fields[0])
	for _, key := range append(slices.Clone(q.Fields), q.Form, order) {
		if err := checkKey(key); err != nil {
			return queryData{}, err
		}
	}
	filter, err := q.Filter.wire()
	if err != nil {
		return queryData{}, err
	}
	limit := q.Page.Limit
	if limit == 0 {
		limit = c.cfg.API.PageSize
	}
	if limit < 0 || limit > 2000 || q.Page.Start < 0 {
		return queryData{}, refusedFilter("a page is 1 to 2000 records from 0 on")
	}
	return queryData{
		FormId: q.Form, FieldKeys: strings.Join(q.Fields, ","), FilterString: filter,
		OrderString: order + " ASC", StartRow: q.Page.Start, Limit: limit,
	}, nil
}

// Bill is a document as look-ups and writes show it.
type Bill struct {
	ID, Number string
	Status     string // FDocumentStatus: Z temporary, A created, B under audit, C audited, D re-audit
	Remark     string
}

// FindBill asks for the bills that carry the number or hold remark in their
// remark field; either may be empty, not both. None is an empty result, and
// means that Kingdee was asked for both and has none; any error means that
// nobody knows, and nothing may be posted (R33). The number must be exact, the
// remark [0-9A-Za-z_-]{1,64} somewhere in the field.
func (c *Client) FindBill(ctx context.Context, form, number, remark string) ([]Bill, error) {
	keys := c.billForm(form)
	if number == "" && (remark == "" || keys.Remark == "") {
		return nil, refusedFilter("a bill is looked up by nothing")
	}
	var found []Bill
	if number != "" {
		bills, err := c.bills(ctx, form, Equals(keys.Number, number), func(b Bill) bool { return b.Number == number })
		if err != nil {
			return nil, err
		}
		found = bills
	}
	if remark == "" || keys.Remark == "" {
		return found, nil
	}
	bills, err := c.bills(ctx, form, Contains(keys.Remark, remark), func(b Bill) bool { return strings.Contains(b.Remark, remark) })
	if err != nil {
		return nil, err
	}
	for _, b := range bills {
		if !slices.ContainsFunc(found, func(have Bill) bool { return have.ID == b.ID }) {
			found = append(found, b)
		}
	}
	return found, nil
}

// BillForm gives the keys by which bills of a form are looked up and named.
func (c *Client) BillForm(form string) BillForm { return c.billForm(form) }

func (c *Client) billForm(form string) BillForm {
	keys, known := c.cfg.Forms.Bills[form]
	if !known {
		keys = BillForm{ID: "FID", Number: "FBillNo", Status: "FDocumentStatus"}
	}
	return keys
}

// bills are those that fit the filter, each once, however many entry rows the
// server answers with.
func (c *Client) bills(ctx context.Context, form string, filter Filter, fits func(Bill) bool) ([]Bill, error) {
	keys := c.billForm(form)
	fields := []string{keys.ID, keys.Number, keys.Status}
	if keys.Remark != "" {
		fields = append(fields, keys.Remark)
	}
	rows, err := c.Query(ctx, Query{Form: form, Fields: fields, Filter: filter, Page: Page{Limit: mostBills}})
	if err != nil {
		return nil, err
	}
	if len(rows) >= mostBills { // the filter was not applied; none of it is believed
		fault := newFault(implausible, form, fmt.Sprintf("%d records and more", len(rows)))
		c.alarm.raise(fault)
		return nil, fault.public()
	}
	var found []Bill
	for _, row := range rows {
		b := Bill{ID: row[0], Number: row[1], Status: row[2]}
		if keys.Remark != "" {
			b.Remark = row[3]
		}
		if fits(b) && !slices.ContainsFunc(found, func(have Bill) bool { return have.ID == b.ID }) {
			found = append(found, b)
		}
	}
	return found, nil
}

// mostBills bounds a look-up: entry rows of one bill may each be a row.
const mostBills = 2000

// SaveBill makes a bill, or changes the one whose primary key the model holds.
// The error is a *Refusal (Kingdee refused it, nothing was written), or
// ErrAmbiguous (look it up first), or a fault of the call. It is never repeated
// here once it may have left.
func (c *Client) SaveBill(ctx context.Context, form string, model Model) (Bill, error) {
	return c.save(ctx, "Save", form, model)
}

// DraftBill is SaveBill without the checks of a complete bill: status Z.
func (c *Client) DraftBill(ctx context.Context, form string, model Model) (Bill, error) {
	return c.save(ctx, "Draft", form, model)
}

func (c *Client) save(ctx context.Context, method, form string, model Model) (Bill, error) {
	if err := checkKey(form); err != nil {
		return Bill{}, err
	}
	if _, err := json.Marshal(model); err != nil {
		return Bill{}, identity.Fail(identity.Invalid, identity.CodeKingdeeSetup, "kingdee: %s: %w", form, err)
	}
	data := newSaveData(model)
	if c.billForm(form).Runs && method == "Save" {
		data.ValidateRepeatJson = "true" // nothing else would tell a second one from the first
	}
	got, err := c.perform(ctx, method, envelopeC{FormID: form, Data: data})
	if err != nil {
		return Bill{}, err
	}
	b := Bill{ID: internalID(scalar(got.id)), Number: got.number}
	if len(got.done) == 1 {
		b.ID, b.Number = orText(b.ID, got.done[0].ID), orText(b.Number, got.done[0].Number)
	}
	if b.ID == "" { // saved, but nobody knows as what
		return b, unknownRow(outcome{})
	}
	return b, nil
}

// Submit hands documents in: A or D becomes B.
func (c *Client) Submit(ctx context.Context, form string, ids ...string) ([]RowResult, error) {
	return c.Operate(ctx, form, OpSubmit, ids...)
}

// Audit approves documents: B becomes C.
func (c *Client) Audit(ctx context.Context, form string, ids ...string) ([]RowResult, error) {
	return c.Operate(ctx, form, OpAudit, ids...)
}

// Record is a record as View shows it, by property name.
type Record struct {
	members map[string]jsontext.Value
}

// View reads one record by internal id. A missing one is an *identity.Error of
// kind NotFound.
func (c *Client) View(ctx context.Context, form, id string) (Record, error) {
	if err := checkKey(form); err != nil {
		return Record{}, err
	}
	if !cleanToken(id) {
		return Record{}, refusedFilter("an internal id holds more than letters, digits, _ and -")
	}
	return c.view(ctx, form, id)
}

// Text is a property as text: plain values keep their digits, a multi-language
// text gives lcid or its first language. Empty when it is missing or no text.
func (r Record) Text(name string, lcid int) string {
	value := r.members[name]
	if value.Kind() != '[' {
		return plainValue(value)
	}
	var texts []struct{ Key, Value scalar }
	if jsonv2.Unmarshal(value, &texts) != nil || len(texts) == 0 {
		return ""
	}
	for _, one := range texts {
		if string(one.Key) == fmt.Sprint(lcid) {
			return string(one.Value)
		}
	}
	return string(texts[0].Value)
}

// Sub is a nested record, such as base data; an empty one when there is none.
func (r Record) Sub(name string) Record {
	var out Record
	if r.members[name].Kind() == '{' && jsonv2.Unmarshal(r.members[name], &out.members) != nil {
		return Record{}
	}
	return out
}

// Entries are the rows of an entry.
func (r Record) Entries(name string) []Record {
	var rows []map[string]jsontext.Value
	if r.members[name].Kind() != '[' || jsonv2.Unmarshal(r.members[name], &rows) != nil {
		return nil
	}
	out := make([]Record, 0, len(rows))
	for _, row := range rows {
		out = append(out, Record{row})
	}
	return out
}
