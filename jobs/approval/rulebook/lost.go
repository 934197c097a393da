package rulebook

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/audit"
	"kdgate/store"
)

// Actions are the acts whose records Reassert reads.
func Actions() []audit.Action { return []audit.Action{ActionSave, ActionSwitch, ActionRemove} }

// Reassert holds what the store says of rules to what the audit log says was
// decided about them lately, and gives how many entries it put right (R14). records
// are in the order of time. What a failover forgot becomes a decision against the
// rule: one that was removed is removed again, and one that was switched off, or
// to another version, is off. Nothing is switched on: whoever did it sees it off.
// The text of a rule acts by no version that is not switched on, so an older one
// stays as it was found.
func (b *Book) Reassert(ctx context.Context, records []audit.Record) (changed int, err error) {
	last := map[Key]audit.Record{} // decision
	touched := map[Key]bool{}
	for _, r := range records {
		key := Key{Corp: r.Detail["corp"], Name: r.Target}
		if r.Outcome != audit.OK || key.Corp == "" || key.Name == "" {
			continue
		}
		touched[key] = true
		if r.Action == ActionSwitch || r.Action == ActionRemove {
			last[key] = r
		}
	}
	for key := range touched {
		n, err := b.reassert(ctx, key, last[key])
		if err != nil {
			return changed, err
		}
		changed += n
	}
	if changed > 0 {
		err = b.Refresh(ctx)
	}
	return changed, err
}

func (b *Book) reassert(ctx context.Context, key Key, decided audit.Record) (changed int, err error) {
	for _, put := range []func(context.Context, Key, audit.Record) (bool, error){b.reassertSwitch, b.reassertText} {
		did, err := put(ctx, key, decided)
		if err != nil {
			return changed, err
		}
		if did {
			changed++
		}
	}
	return changed, nil
}

func (b *Book) reassertSwitch(ctx context.Context, key Key, decided audit.Record) (bool, error) {
	var is Switch
	f, err := b.find(ctx, prefixSwitch+key.path(), &is)
	if err != nil || !f.there {
		return false, err
	}
	other := decided.Detail["on"] != "true" || decided.Detail["print"] != is.Print
	switch {
	case decided.Action == ActionRemove && decidedAfter(decided, is.At):
		return true, f.commit(ctx, store.DeleteAt(f.Key, f.Version))
	case decided.Action == ActionSwitch && is.On && other && decidedAfter(decided, is.At):
		is.On, is.By, is.At = false, audit.System, b.cfg.Now().UTC()
	case !f.putBack || is.On && (decided.Action != ActionSwitch || other): // stays an error until the log tells more
		return false, nil
	}
	return true, f.write(ctx, is)
}

func (b *Book) reassertText(ctx context.Context, key Key, decided audit.Record) (bool, error) {
	var is Written
	f, err := b.find(ctx, prefixRule+key.path(), &is)
	switch {
	case err != nil || !f.there:
		return false, err
	case decided.Action == ActionRemove && decidedAfter(decided, is.At):
		return true, f.commit(ctx, store.DeleteAt(f.Key, f.Version))
	case !f.putBack:
		return false, nil
	}
	return true, f.write(ctx, is)
}

// decidedAfter reports that a record is younger than what was written at a time, or
// as young: records count whole milliseconds.
func decidedAfter(r audit.Record, at time.Time) bool { return at.Before(r.At.Add(time.Millisecond)) }

// found is an entry as the engine has it.
type found struct {
	store.Entry
	in      store.Store
	there   bool
	putBack bool // it is older than what was seen
}

// find reads an entry into value, where one was put back without the store's doubts.
func (b *Book) find(ctx context.Context, key string, value any) (f found, err error) {
	f.in = b.cfg.Store
	f.Entry, err = f.in.Get(ctx, key)
	if _, f.putBack = store.OutdatedKey(err); f.putBack && b.cfg.AsFound != nil {
		f.in = b.cfg.AsFound
		f.Entry, err = f.in.Get(ctx, key)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return f, nil
	case err != nil:
		return f, storeError(err, "read %s", key)
	}
	f.there = true
	return f, json.Unmarshal(f.Value, value)
}

func (f found) write(ctx context.Context, value any) error {
	op, err := put(f.Key, value)
	if err != nil {
		return err
	}
	op.Expect = f.Version
	return f.commit(ctx, op)
}

// commit leaves alone what somebody else changed meanwhile: the next look sees it.
func (f found) commit(ctx context.Context, op store.Op) error {
	err := f.in.Commit(ctx, op)
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return storeError(err, "put %s right", f.Key)
}
