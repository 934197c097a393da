package kingdee

import (
	"context"
	"errors"
	"slices"
	"strings"

	"kdgate/identity"
)

// RowResult is what became of one record of a batch. Err is nil when Kingdee said
// that it is done; a *Refusal behind it says why not, ErrAmbiguous that nobody
// knows, ErrNotSent that the batch ended before it.
type RowResult struct {
	Index  int    // of the record among those given
	ID     string // internal id, when Kingdee named it
	Number string
	Err    error
}

// ErrNotSent is a record that was not tried, because the batch ended before it.
var ErrNotSent = errors.New("kingdee: not sent")

// row is one record on its way to a batch.
type row struct {
	index  int
	id     string // empty creates
	number string
	model  Model
}

// saveData is the data of Save and BatchSave. Kingdee writes its flags as text.
type saveData struct {
	NeedUpDateFields      []string
	NeedReturnFields      []string
	IsDeleteEntry         string
	SubSystemId           string //nolint:revive // the vendor's spelling
	IsVerifyBaseDataField string
	IsEntryBatchFill      string
	ValidateFlag          string
	NumberSearch          string
	IsAutoAdjustField     string
	InterationFlags       string // sic
	IgnoreInterationFlag  string
	ValidateRepeatJson    string `json:",omitempty"` //nolint:revive // the vendor's spelling
	Model                 any
}

func newSaveData(model any) saveData {
	return saveData{
		NeedUpDateFields: []string{}, NeedReturnFields: []string{}, IsDeleteEntry: "false", IsVerifyBaseDataField: "true",
		IsEntryBatchFill: "true", ValidateFlag: "true", NumberSearch: "true", IsAutoAdjustField: "false", Model: model,
	}
}

// saveRows saves records in batches of one kind: new ones, and changes of the
// same fields, because NeedUpDateFields holds for a whole call. A bad record does
// not stop the others (F52), and a session lost on the way is renewed at the same
// batch (R27). ids are the keys of internal ids, of the record and of its entries,
// which name what is changed. The results stand in the order of the records. The
// error is why the rest was not sent.
func (c *Client) saveRows(ctx context.Context, form string, ids []string, rows []row) ([]RowResult, error) {
	results := make([]RowResult, len(rows))
	for i, r := range rows {
		results[i] = RowResult{Index: i, ID: r.id, Number: r.number, Err: ErrNotSent}
	}
	for _, batch := range batches(rows, c.cfg.Forms.BatchRows) {
		data := newSaveData(models(batch))
		if batch[0].id != "" {
			data.NeedUpDateFields = batch[0].model.keys()
			data.NeedUpDateFields = slices.DeleteFunc(data.NeedUpDateFields, func(key string) bool { return slices.Contains(ids, key) })
		}
		got, err := c.perform(ctx, "BatchSave", envelopeC{FormID: form, Data: data})
		if spread(results, batch, got, err) {
			continue
		}
		return results, err
	}
	return results, nil
}

func models(batch []row) []Model {
	out := make([]Model, 0, len(batch))
	for _, r := range batch {
		out = append(out, r.model)
	}
	return out
}

// batches cuts the rows into runs of at most size that one call may hold: the
// same fields, and each record once.
func batches(rows []row, size int) [][]row {
	kinds := map[string][]row{}
	var order []string
	for i, r := range rows {
		r.index = i
		kind := "new"
		if r.id != "" {
			kind = strings.Join(r.model.keys(), ",")
		}
		if _, seen := kinds[kind]; !seen {
			order = append(order, kind)
		}
		kinds[kind] = append(kinds[kind], r)
	}
	var out [][]row
	for _, kind := range order {
		out = slices.AppendSeq(out, slices.Chunk(kinds[kind], size))
	}
	return out
}

// spread gives each record of a batch its result and tells whether the next
// batch may be sent. A record that Kingdee names in neither list, or in both, is
// of unknown outcome: it may have been written.
func spread(results []RowResult, batch []row, got outcome, err error) (goOn bool) {
	no := refusalIn(err)
	if err != nil && no == nil && len(got.done) == 0 {
		for _, r := range batch {
			if errors.Is(err, ErrAmbiguous) {
				results[r.index].Err = err
			}
		}
		return false
	}
	done, refused := byRecord(batch, got)
	for i, r := range batch {
		one := &results[r.index]
		saved, wasSaved := done[i]
		objections, wasRefused := refused[i]
		switch {
		case wasSaved && !wasRefused:
			one.ID, one.Number, one.Err = orText(saved.ID, r.id), orText(saved.Number, r.number), nil
		case wasRefused && !wasSaved:
			one.Err = rowError(&Refusal{MsgCode: got.msgCode, Errors: objections})
		default:
			one.Err = unknownRow(got)
		}
	}
	return true
}

func refusalIn(err error) *Refusal {
	no, _ := errors.AsType[*Refusal](err)
	return no
}

func orText(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// rowError is the refusal of one record, as people see it.
func rowError(no *Refusal) error {
	f := newFault(validationFailed, "", "")
	f.cause = no
	return f.public()
}

// unknownRow is a record that Kingdee did not account for.
func unknownRow(got outcome) error {
	f := newFault(writeUnknown, "", "Kingdee does not say what became of this record")
	f.ambiguous = true
	if no := got.refusal(); no != nil {
		f.cause = no
	}
	return f.public()
}

// byRecord assigns what Kingdee said to the positions in the batch. DIndex counts
// within a group on servers that group (reference 3.6), so a number that stands
// once in the batch is believed before it.
func byRecord(batch []row, got outcome) (done map[int]saved, refused map[int][]FieldError) {
	places := map[string][]int{}
	for i, r := range batch {
		places[r.number] = append(places[r.number], i)
	}
	done, refused = map[int]saved{}, map[int][]FieldError{}
	for _, one := range got.done {
		at := one.Index
		if found := places[one.Number]; one.Number != "" && len(found) == 1 {
			at = found[0]
		}
		done[at] = one
	}
	for _, one := range got.refused {
		refused[one.Index] = append(refused[one.Index], one)
	}
	return done, refused
}

// Operation is one of Kingdee's steps on records that exist.
type Operation string

// The operations. Forbid, Enable and every other name go through the general operation.
const (
	OpSubmit  Operation = "Submit"
	OpAudit   Operation = "Audit"
	OpUnAudit Operation = "UnAudit"
	OpDelete  Operation = "Delete"
	OpForbid  Operation = "Forbid"
	OpEnable  Operation = "Enable"
)

// operateData is the data of those operations.
type operateData struct {
	CreateOrgId string //nolint:revive // the vendor's spelling
	Numbers     []string
	Ids         string //nolint:revive // the vendor's spelling
	NetworkCtrl string
}

// Operate runs an operation on records by internal id, in batches, and tells what
// became of each; a refused one does not stop the others. The error is why the
// rest was not sent. An operation is never repeated here unless it never left:
// where it ended in ErrAmbiguous, look at the record's status first. A record
// that is in the wanted state already is refused by Kingdee, without effect.
func (c *Client) Operate(ctx context.Context, form string, op Operation, ids ...string) ([]RowResult, error) {
	results := make([]RowResult, len(ids))
	rows := make([]row, len(ids))
	for i, id := range ids {
		results[i] = RowResult{Index: i, ID: id, Err: ErrNotSent}
		rows[i] = row{id: id}
		if !digits(id) && !cleanToken(id) {
			return results, identity.Fail(identity.Invalid, identity.CodeKingdeeSetup, "kingdee: %s: an internal id holds more than letters, digits, _ and -", form)
		}
	}
	if !formKey(form) {
		return results, identity.Fail(identity.Invalid, identity.CodeKingdeeSetup, "kingdee: %q is not a form id", form)
	}
	for _, batch := range batches(rows, c.cfg.Forms.BatchRows) {
		got, err := c.perform(ctx, op.method(), op.envelope(form, batch))
		named(&got, batch)
		if !spread(results, batch, got, err) {
			return results, err
		}
	}
	return results, nil
}

func (op Operation) method() string {
	if op.general() {
		return "ExcuteOperation" // the vendor's spelling
	}
	return string(op)
}

// general reports an operation without a method of its own.
func (op Operation) general() bool {
	return !slices.Contains([]Operation{OpSubmit, OpAudit, OpUnAudit, OpDelete}, op)
}

func (op Operation) envelope(form string, batch []row) envelopeC {
	ids := make([]string, 0, len(batch))
	for _, r := range batch {
		ids = append(ids, r.id)
	}
	args := envelopeC{FormID: form, Data: operateData{CreateOrgId: "0", Numbers: []string{}, Ids: strings.Join(ids, ",")}}
	if op.general() {
		args.OpNumber = string(op)
	}
	return args
}

// named puts the entries of an operation where their ids stand in the batch: what
// DIndex counts here is not documented.
func named(got *outcome, batch []row) {
	for i, one := range got.done {
		for at, r := range batch {
			if r.id == one.ID {
				got.done[i].Index = at
			}
		}
	}
}
