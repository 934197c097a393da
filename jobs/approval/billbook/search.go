package billbook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/store"
)

// State is how an approval stands, for people.
type State string

// The states.
const (
	Waiting State = "waiting" // on the list, due now or later
	Working State = "working" // a worker has it
	Booked  State = "booked"  // its bill stands and nothing is left to do
	Failed  State = "failed"  // a dead letter: a person has to act
	GivenUp State = "given-up"
	Passed  State = "passed" // there is no bill, and a reason
)

// States lists all states in the order people read them.
func States() []State { return []State{Booked, Waiting, Working, Failed, GivenUp, Passed} }

// Bill is one approval and what became of it.
type Bill struct {
	approval.Record
	State   State         `json:"state"`
	Failure *jobs.Failure `json:"failure,omitempty"`
	Tries   int           `json:"tries,omitempty"`
	Note    string        `json:"note,omitempty"`
	Saved   time.Time     `json:"saved,omitzero"` // when Kingdee had the bill
	Changed time.Time     `json:"changed"`        // when it last came further
}

// short is a record without what only its own page shows.
func short(value []byte) (*Bill, error) {
	r, err := approval.ReadRecord(value)
	if err != nil {
		return nil, err
	}
	b := ofRecord(r)
	b.Trail = nil
	return b, nil
}

// savedStep is the step that says that Kingdee has the bill.
const savedStep = "saved"

func ofRecord(r approval.Record) *Bill {
	b := &Bill{Record: r, State: Booked, Changed: r.Received}
	if r.Bill == "" {
		b.State = Passed
	}
	for _, m := range r.Trail {
		if b.Changed = m.At; m.Step == savedStep {
			b.Saved = m.At
		}
	}
	return b
}

// ofItem is an approval as the work list has it. What cannot be read is shown as
// far as it can.
func ofItem(it jobs.Item) *Bill {
	r, err := approval.RecordOf(it)
	b := ofRecord(r)
	b.Failure, b.Tries, b.Note, b.Changed = it.Failure, it.Tries, it.Note, it.Updated
	if err != nil && b.Failure == nil {
		b.Failure = &jobs.Failure{Words: "cannot be read", Private: err.Error()}
	}
	switch it.State {
	case jobs.Ready:
		b.State = Waiting
	case jobs.Leased:
		b.State = Working
	case jobs.Dead:
		b.State = Failed
	case jobs.GivenUp:
		b.State = GivenUp
	}
	return b
}

// Filter chooses bills. Empty fields choose all.
type Filter struct {
	State    State
	Corp     string
	Form     string // form id in Kingdee
	Person   string // userid of the originator
	Rule     string
	Print    string    // of the version
	From, To time.Time // received at or after From and before To
	Text     string    // part of an instance id, a bill's number or a title, in whatever case
}

// Order is what a list is sorted by.
type Order string

// The orders.
const (
	ByReceived Order = "received"
	ByChanged  Order = "changed"
	ByNumber   Order = "number"
	ByForm     Order = "form"
	ByPerson   Order = "person"
	ByState    Order = "state"
)

// Known reports whether it is one of the orders.
func (o Order) Known() bool {
	return slices.Contains([]Order{ByReceived, ByChanged, ByNumber, ByForm, ByPerson, ByState}, o)
}

// Query is a search.
type Query struct {
	Filter
	Order Order
	Down  bool   // the largest first
	After string // Found.Next of the page before
	Limit int
}

// Found is one page.
type Found struct {
	Bills  []Bill
	Total  int
	States map[State]int // of all that match but for the state
	Next   string        // empty: this was the last
	Cut    bool          // there is more than was looked at
}

// Search finds bills.
func (x *Index) Search(ctx context.Context, q Query) (Found, error) {
	all, cut, err := x.all(ctx)
	if err != nil {
		return Found{}, err
	}
	found := Found{States: map[State]int{}, Cut: cut}
	anyState := q.Filter
	anyState.State = ""
	type ranked struct {
		place string
		bill  *Bill
	}
	var list []ranked
	for _, b := range all {
		if !anyState.holds(b) {
			continue
		}
		if found.States[b.State]++; q.State == "" || b.State == q.State {
			list = append(list, ranked{place(b, q.Order), b})
		}
	}
	found.Total = len(list)
	slices.SortFunc(list, func(a, b ranked) int {
		if q.Down {
			a, b = b, a
		}
		return cmp.Compare(a.place, b.place)
	})
	limit := min(max(1, q.Limit), 200)
	for _, one := range list {
		if c := cmp.Compare(one.place, q.After); q.After != "" && (c == 0 || (c < 0) != q.Down) {
			continue
		}
		if len(found.Bills) == limit {
			found.Next = place(&found.Bills[limit-1], q.Order)
			break
		}
		found.Bills = append(found.Bills, *one.bill)
	}
	return found, nil
}

// place is where a bill stands in an order; no two stand at the same.
func place(b *Bill, o Order) string {
	value := ""
	switch o {
	case ByChanged:
		value = stamp(b.Changed)
	case ByNumber:
		value = b.Number
	case ByForm:
		value = b.Form
	case ByPerson:
		value = b.Originator
	case ByState:
		value = string(b.State)
	}
	return strings.Join([]string{value, stamp(b.Received), b.Corp, b.Instance}, "\x00")
}

func stamp(t time.Time) string { return fmt.Sprintf("%016d", max(0, t.UnixMicro())) }

func (f Filter) holds(b *Bill) bool {
	for _, pair := range [...][2]string{
		{string(f.State), string(b.State)}, {f.Corp, b.Corp}, {f.Form, b.Form}, {f.Person, b.Originator}, {f.Rule, b.Rule}, {f.Print, b.Print},
	} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	if !f.From.IsZero() && b.Received.Before(f.From) || !f.To.IsZero() && !b.Received.Before(f.To) {
		return false
	}
	if f.Text == "" {
		return true
	}
	text := strings.ToLower(strings.TrimSpace(f.Text))
	for _, field := range []string{b.Instance, b.Number, b.Title} {
		if strings.Contains(strings.ToLower(field), text) {
			return true
		}
	}
	return false
}

// Slot is what happened in one hour or day.
type Slot struct {
	Start  time.Time `json:"start"`
	Booked int       `json:"booked"` // Kingdee has the bill
	Failed int       `json:"failed"` // became a dead letter and still is, or was given up
	Passed int       `json:"passed"` // no bill, for a reason
}

// Slots counts what a filter chooses by when it happened, in n steps from start.
func (x *Index) Slots(ctx context.Context, f Filter, start time.Time, step time.Duration, n int) ([]Slot, error) {
	all, _, err := x.all(ctx)
	if err != nil {
		return nil, err
	}
	slots := make([]Slot, n)
	for i := range slots {
		slots[i].Start = start.Add(time.Duration(i) * step)
	}
	at := func(t time.Time) *Slot {
		if i := int(t.Sub(start) / step); !t.Before(start) && i < n {
			return &slots[i]
		}
		return &Slot{} // nobody looks at it
	}
	for _, b := range all {
		if !f.holds(b) {
			continue
		}
		switch {
		case b.Failure != nil && (b.State == Failed || b.State == GivenUp):
			at(b.Failure.At).Failed++
		case b.State == Passed:
			at(b.Changed).Passed++
		}
		if !b.Saved.IsZero() {
			at(b.Saved).Booked++
		}
	}
	return slots, nil
}

// Detail is one approval with all that is known.
type Detail struct {
	Bill
	Item *jobs.Item // nil when the work list no longer has it
}

// Get gives one approval. Kind NotFound: neither the records nor the work list
// have it.
func (x *Index) Get(ctx context.Context, corp, instance string) (Detail, error) {
	item, err := x.onList(ctx, corp, instance)
	if err != nil {
		return Detail{}, err
	}
	recorded, err := x.recorded(ctx, corp, instance)
	switch {
	case err != nil:
		return Detail{}, err
	case item == nil && recorded == nil:
		return Detail{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "billbook: no approval %q of %q", instance, corp)
	case item == nil:
		return Detail{Bill: *recorded}, nil
	}
	return Detail{Bill: atPresent(*item, recorded), Item: item}, nil
}

// onList is the approval's item on the work list, nil when it is not there. Kind
// NotFound: it is another organisation's.
func (x *Index) onList(ctx context.Context, corp, instance string) (*jobs.Item, error) {
	it, err := x.cfg.Queue.Get(ctx, jobs.ID{Kind: approval.KindBill, Key: instance})
	if kind := identity.KindOf(err); kind == identity.NotFound || kind == identity.Invalid {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r, broken := approval.RecordOf(it); broken == nil && r.Corp != corp {
		return nil, identity.Fail(identity.NotFound, identity.CodeNotFound, "billbook: %s is of another organisation", instance)
	}
	return &it, nil
}

// recorded is what the approval's record tells, nil when there is none.
func (x *Index) recorded(ctx context.Context, corp, instance string) (*Bill, error) {
	entry, err := x.cfg.Store.Get(ctx, approval.RecordKey(corp, instance))
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrInvalid):
		return nil, nil
	case err != nil:
		return nil, identity.Fail(identity.Unavailable, identity.CodeStoreDown, "billbook: %w", err)
	}
	r, err := approval.ReadRecord(entry.Value)
	if err != nil {
		return nil, err
	}
	return ofRecord(r), nil
}

// atPresent is an approval as its item tells it, which knows more than the record
// unless an edit made it forget its steps. recorded is nil when there is no record.
func atPresent(item jobs.Item, recorded *Bill) Bill {
	now := *ofItem(item)
	if recorded != nil && len(now.Trail) < len(recorded.Trail) {
		now.Record = recorded.Record
	}
	if item.State == jobs.Done && now.State == Passed && now.Why == "" {
		now.State = Waiting // it ran still when it was last looked at; the search sees its end
	}
	return now
}

// About are the records that name a person as the originator.
func (x *Index) About(ctx context.Context, corp, userid string) ([]Bill, error) {
	all, _, err := x.all(ctx)
	if err != nil {
		return nil, err
	}
	var out []Bill
	for _, b := range all {
		if b.Corp == corp && b.Originator == userid {
			out = append(out, *b)
		}
	}
	slices.SortFunc(out, func(a, b Bill) int { return cmp.Compare(place(&a, ByReceived), place(&b, ByReceived)) })
	return out, nil
}
