package approval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
)

// RecordPrefix is where the records stand in the store, one for an approval:
// approval/bill/CORP/INSTANCE.
const RecordPrefix = "approval/bill/"

// KeepRecord is how long a record is kept after its last change: a year of bills
// and the time to close it. The work list forgets what is done much sooner.
const KeepRecord = 400 * 24 * time.Hour

// Mark is a step and when it was last committed.
type Mark struct {
	Step string    `json:"step"`
	At   time.Time `json:"at"`

	Unknown jsontext.Value `json:",embed"`
}

// Record is what became of an approval: its bill and how far that came, or why
// there is none. It is written in the Commit of the step that it tells of.
type Record struct {
	Corp       string    `json:"corp"`
	Process    string    `json:"process"`
	Instance   string    `json:"instance"`
	Title      string    `json:"title,omitzero"`
	Originator string    `json:"originator,omitzero"` // userid
	Rule       string    `json:"rule,omitzero"`
	Print      string    `json:"print,omitzero"` // of the version that made the bill
	DataCentre string    `json:"data_centre,omitzero"`
	Form       string    `json:"form,omitzero"`
	Number     string    `json:"number,omitzero"`
	Bill       string    `json:"bill,omitzero"`    // id in Kingdee
	Content    string    `json:"content,omitzero"` // of the Yida form that the bill was made of
	Commented  bool      `json:"commented,omitzero"`
	Why        string    `json:"why,omitzero"` // no bill
	Received   time.Time `json:"received"`
	Trail      []Mark    `json:"trail,omitempty"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// RecordKey is where the record of an approval of an organisation stands.
func RecordKey(corp, instance string) string {
	return RecordPrefix + url.PathEscape(corp) + "/" + url.PathEscape(instance)
}

// record is what is written beside a step: nothing before a bill stands, unless
// there will be none. A look at what was changed later has no record of its own.
func (m *machine) record(ctx context.Context, step string) ([]store.Op, error) {
	if m.errand.After != "" || m.state.Bill.ID == "" && step != stepPassed {
		return nil, nil
	}
	unknown, err := m.unknown(ctx)
	if err != nil {
		return nil, err
	}
	record := m.state.record(m.work.Item(), m.errand)
	record.Unknown = unknown
	text, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("approval: record: %w", err)
	}
	return []store.Op{store.Put(RecordKey(m.cfg.Corp, m.id()), text).For(KeepRecord)}, nil
}

// unknown are the members of the approval's record that only a newer release
// knows. Whoever holds the item alone writes the record, so one look an attempt
// is enough; one that cannot be read is written anew.
func (m *machine) unknown(ctx context.Context) (jsontext.Value, error) {
	if m.cfg.Store == nil || m.looked {
		return m.unknowns, nil
	}
	entry, err := m.cfg.Store.Get(ctx, RecordKey(m.cfg.Corp, m.id()))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, identity.Fail(identity.Unavailable, identity.CodeStoreDown, "approval: the record of %s: %w", m.id(), err)
	}
	if err == nil {
		if before, broken := ReadRecord(entry.Value); broken == nil {
			m.unknowns = before.Unknown
		}
	}
	m.looked = true
	return m.unknowns, nil
}

func (s state) record(it jobs.Item, e errand) Record {
	r := Record{
		Corp: e.Corp, Process: e.Process, Instance: cmp.Or(e.Instance, it.Key), Title: s.Title, Originator: s.Originator, Rule: s.Rule, Print: s.Print,
		DataCentre: s.DataCentre, Form: s.Form, Number: s.Number, Bill: s.Bill.ID, Content: s.Content, Commented: s.Commenter != "", Why: s.Why,
		Received: it.Created, Trail: s.Trail,
	}
	if s.Bill.Number != "" {
		r.Number = s.Bill.Number
	}
	return r
}

// RecordOf is the record of an item of the work list as it stands there, also
// before a bill does.
func RecordOf(it jobs.Item) (Record, error) {
	var e errand
	if err := json.Unmarshal(it.Payload, &e); err != nil {
		return Record{Instance: it.Key, Received: it.Created}, fmt.Errorf("approval: an item: %w", err)
	}
	var s state
	if len(it.Step.Data) > 0 {
		if err := json.Unmarshal(it.Step.Data, &s); err != nil {
			return s.record(it, e), fmt.Errorf("approval: a step: %w", err)
		}
	}
	return s.record(it, e), nil
}

// ReadRecord reads a stored record.
func ReadRecord(value []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(value, &r); err != nil {
		return r, fmt.Errorf("approval: record: %w", err)
	}
	return r, nil
}

// trailed puts a step at the end of a trail; of one that comes again the last
// time counts.
func trailed(trail []Mark, step string, at time.Time) []Mark {
	now := Mark{Step: step, At: at.UTC().Truncate(time.Microsecond)}
	out := slices.DeleteFunc(slices.Clone(trail), func(m Mark) bool {
		if m.Step == step {
			now.Unknown = m.Unknown
		}
		return m.Step == step
	})
	return append(out, now)
}

// Values gives what a person put in the place of header fields of an item's
// payload, by Kingdee's key.
func Values(payload jsontext.Value) (map[string]string, error) {
	var e errand
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("approval: an item: %w", err)
	}
	return e.Set, nil
}

// WithValues is an item's payload with other values in the place of header fields.
func WithValues(payload jsontext.Value, values map[string]string) (jsontext.Value, error) {
	var e errand
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("approval: an item: %w", err)
	}
	e.Set = values
	out, err := json.Marshal(e, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("approval: an item: %w", err)
	}
	return out, nil
}
