package mapping

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// tx is one decision in the making: what was read, what is to be written, and
// what is to be recorded first. Everything it read becomes an expectation of
// its Commit, so a decision stands only on a table that has not moved.
type tx struct {
	store  store.Store
	cells  map[string]*cell
	order  []string
	events []audit.Event
	undo   []step
	absent func(key string) bool // knows keys that are not there without asking; may be nil
	silent bool                  // a rehearsal: nothing is recorded of it
}

type cell struct {
	seen    store.Entry // as read
	found   bool
	value   []byte // as it is to be; nil: absent
	written bool
}

// step is what a cell was before a write, so that a refused row of many can be
// taken out again.
type step struct {
	cell    *cell
	value   []byte
	written bool
}

func newTx(s store.Store) *tx { return &tx{store: s, cells: map[string]*cell{}} }

// get gives the value of key as this tx would leave it, nil when it is absent.
func (x *tx) get(ctx context.Context, key string) ([]byte, error) {
	c, err := x.cell(ctx, key)
	if err != nil {
		return nil, err
	}
	return c.value, nil
}

func (x *tx) cell(ctx context.Context, key string) (*cell, error) {
	if c, ok := x.cells[key]; ok {
		return c, nil
	}
	c := &cell{}
	if x.absent == nil || !x.absent(key) {
		entry, err := x.store.Get(ctx, key)
		switch {
		case err == nil:
			c.seen, c.found, c.value = entry, true, entry.Value
		case !errors.Is(err, store.ErrNotFound):
			return nil, storeError("read", err)
		}
	}
	x.cells[key] = c
	x.order = append(x.order, key)
	return c, nil
}

// together reads keys at once that a decision will ask for one after the other:
// where each answer of the store is late, somebody waits for one answer's time
// instead of six (R10).
func (x *tx) together(ctx context.Context, keys ...string) error {
	type read struct {
		entry store.Entry
		err   error
	}
	wanted := slices.DeleteFunc(keys, func(key string) bool {
		return x.cells[key] != nil || x.absent != nil && x.absent(key)
	})
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	reads := make([]read, len(wanted))
	var group sync.WaitGroup
	for i, key := range wanted {
		group.Go(func() { reads[i].entry, reads[i].err = x.store.Get(ctx, key) })
	}
	group.Wait()
	for i, r := range reads {
		switch {
		case r.err == nil:
			x.cells[wanted[i]] = &cell{seen: r.entry, found: true, value: r.entry.Value}
		case errors.Is(r.err, store.ErrNotFound):
			x.cells[wanted[i]] = &cell{}
		default:
			return storeError("read", r.err)
		}
		x.order = append(x.order, wanted[i])
	}
	return nil
}

// around are the keys that a sign-in's change of a row looks at: the guard, the
// row, and the places it has and may get.
func around(rows ...*Entry) []string {
	keys := []string{guardKey}
	for _, e := range rows {
		keys = append(keys, rowKey(e.Key()))
		for _, p := range places(e) {
			keys = append(keys, p.key)
		}
		if digitsOnly(e.LoginUser) {
			keys = append(keys, digitsKey(e.DataCentre))
		}
	}
	return keys
}

// load decodes the value of key into v and reports whether it is there.
func (x *tx) load(ctx context.Context, key string, v any) (bool, error) {
	data, err := x.get(ctx, key)
	if err != nil || data == nil {
		return false, err
	}
	if err := decode(data, v); err != nil {
		return false, identity.Fail(identity.Internal, identity.CodeInternal, "%w (key %q)", err, key)
	}
	return true, nil
}

// save encodes v under key.
func (x *tx) save(ctx context.Context, key string, v any) error {
	data, err := encode(v)
	if err != nil {
		return err
	}
	c, err := x.cell(ctx, key)
	if err != nil {
		return err
	}
	x.write(c, data)
	return nil
}

func (x *tx) write(c *cell, value []byte) {
	x.undo = append(x.undo, step{c, c.value, c.written})
	c.value, c.written = value, true
}

// mark names the present state, for rollback.
func (x *tx) mark() int { return len(x.undo) }

// rollback takes back what was written since the mark. What was read stays read.
func (x *tx) rollback(mark int) {
	for _, s := range slices.Backward(x.undo[mark:]) {
		s.cell.value, s.cell.written = s.value, s.written
	}
	x.undo = x.undo[:mark]
}

// fresh saves v under a key that nothing can be under yet, without asking.
func (x *tx) fresh(ctx context.Context, key string, v any) error {
	if _, ok := x.cells[key]; !ok {
		x.cells[key] = &cell{}
		x.order = append(x.order, key)
	}
	return x.save(ctx, key, v)
}

// remove deletes key.
func (x *tx) remove(ctx context.Context, key string) error {
	c, err := x.cell(ctx, key)
	if err != nil {
		return err
	}
	x.write(c, nil)
	return nil
}

// ops is the Commit: writes over what was read, checks of what was only read.
func (x *tx) ops() []store.Op {
	ops := make([]store.Op, 0, len(x.order))
	for _, key := range x.order {
		c := x.cells[key]
		switch {
		case c.written && c.value != nil && c.found:
			ops = append(ops, store.Replace(key, c.value, c.seen.Version))
		case c.written && c.value != nil:
			ops = append(ops, store.Create(key, c.value))
		case c.written && c.found:
			ops = append(ops, store.DeleteAt(key, c.seen.Version))
		case c.found:
			ops = append(ops, store.Check(key, c.seen.Version))
		default:
			ops = append(ops, store.CheckAbsent(key))
		}
	}
	return ops
}

// writes reports whether anything would change.
func (x *tx) writes() bool {
	for _, c := range x.cells {
		if c.written {
			return true
		}
	}
	return false
}

// unless gives a tx that is thrown away while an import holds the table: the
// rules of a change are asked and nothing of it is kept. The person gets in, and
// their next sign-in remembers.
func (x *tx) unless(held bool) *tx {
	if held {
		return newTx(x.store)
	}
	return x
}

// triesOnConflict bounds how often a decision is taken anew on a moving table.
const triesOnConflict = 8

// decide takes a decision, records it and makes it true, in that order. When
// the table moved meanwhile, it is taken anew on what is there now; a record
// whose act did not follow is itself followed by a record that says so.
func (t *Table) decide(ctx context.Context, decision func(x *tx) error) error {
	return t.decideOn(ctx, t.cfg.Store, decision)
}

// decideOn is decide on what another view of the store shows.
func (t *Table) decideOn(ctx context.Context, s store.Store, decision func(x *tx) error) error {
	var err error
	for range triesOnConflict {
		x := newTx(s)
		if err = decision(x); err != nil {
			return err
		}
		if !x.writes() {
			return nil
		}
		if err = t.record(ctx, x.events); err != nil {
			return err
		}
		if err = s.Commit(ctx, x.ops()...); err == nil {
			return nil
		}
		t.recordFailed(ctx, x.events, err)
		if !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	return storeError("write", err)
}

// recordersAtOnce is how many records of one decision wait for the disk
// together; the log writes them in one commit.
const recordersAtOnce = 512

// record appends the events; when one cannot be written, nothing is done (T111).
func (t *Table) record(ctx context.Context, events []audit.Event) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(recordersAtOnce)
	for _, e := range events {
		group.Go(func() error {
			if err := t.cfg.Recorder.Append(ctx, e); err != nil {
				return identity.Fail(identity.Unavailable, identity.CodeAuditDown, "mapping: record %s: %w", e.Action, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// recordFailed says of recorded events that they did not take effect. It is
// best effort: the Commit has failed already, and the caller is told so.
func (t *Table) recordFailed(ctx context.Context, events []audit.Event, cause error) {
	reason := "store: could not write"
	if errors.Is(cause, store.ErrConflict) {
		reason = "changed meanwhile"
	}
	for _, e := range events {
		e.Outcome, e.Reason = audit.Failed, reason
		_ = t.cfg.Recorder.Append(context.WithoutCancel(ctx), e)
	}
}

// event describes a change of one row.
func event(action audit.Action, by Actor, before, after *Entry) (audit.Event, error) {
	e := audit.Event{
		Action: action, Outcome: audit.OK, Actor: by.Name,
		Source: by.Source, RequestID: by.RequestID,
	}
	row := after
	if row == nil {
		row = before
	}
	e.Target, e.DataCentre, e.Reason = audit.Person(row.Key().Subject()), row.DataCentre, row.Reason
	var err error
	if e.Before, err = recorded(before); err != nil {
		return e, err
	}
	if e.After, err = recorded(after); err != nil {
		return e, err
	}
	if row.Run != "" {
		e.Detail = map[string]string{"run": row.Run}
	}
	return e, nil
}

// recorded is a row as the log keeps it: without the last check, which is no change.
func recorded(e *Entry) (string, error) {
	if e == nil {
		return "", nil
	}
	plain := *e
	plain.Check, plain.Unknown = Check{}, nil
	data, err := encode(plain)
	if err != nil {
		return "", fmt.Errorf("mapping: record: %w", err)
	}
	return string(data), nil
}
