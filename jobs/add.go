package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/store"
)

// Mode says what Add does with a key that is there already.
type Mode int

// The modes.
const (
	// Once leaves what is there alone: the first word counts. For events and
	// documents, whose key names one happening.
	Once Mode = iota
	// Supersede replaces the payload of an item that is still ready and that
	// no step was made of; any other it leaves alone.
	Supersede
	// Renew makes sure that the newest payload is worked: it replaces a ready
	// or dead item's, keeps it beside a leased item until its holder has
	// finished, and makes a done item ready again. For "bring this up to date",
	// whose key names a thing.
	Renew
)

// Draft is an item to be.
type Draft struct {
	ID
	Payload jsontext.Value // JSON, at most MaxPayload bytes
	Due     time.Time      // zero: now
	Mode    Mode
}

// Outcome says what an Add came to.
type Outcome string

// The outcomes of Add.
const (
	Added        Outcome = "added"         // a new item
	AlreadyThere Outcome = "there"         // an item with this key; nothing was written
	AlreadyKnown Outcome = "known"         // done long ago and no longer there; nothing was written
	Replaced     Outcome = "replaced"      // there, and now has this payload
	Queued       Outcome = "queued behind" // a worker has it; worked again afterwards (Renew)
	Renewed      Outcome = "renewed"       // was done, dead or known; now ready with this payload
)

// Add puts d on the list, durably when it returns (R36). The same key twice, also
// at the same moment from two replicas, is one item. The ops in with are written
// in the same Commit whenever something is written; if it is they that do not
// hold, the error is store.ErrConflict.
func (q *Queue) Add(ctx context.Context, d Draft, with ...store.Op) (Item, Outcome, error) {
	if err := errors.Join(d.check(), checkPayload(d.Payload)); err != nil {
		return Item{}, "", err
	}
	for range changeTries {
		it, err := q.create(ctx, d, with)
		if err == nil {
			return it, Added, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return Item{}, "", storeError(err, "add %s", d.ID)
		}
		it, outcome, err := q.meet(ctx, d, with)
		if err == nil || !errors.Is(err, store.ErrNotFound) {
			return it, outcome, err
		}
	}
	return Item{}, "", refuse(identity.Conflict, "add %s: what goes with it, or the key: %w", d.ID, store.ErrConflict)
}

// AddNew puts all drafts on the list in one Commit, looking at nothing before:
// for whoever has to answer within a second and may not wait for two replies
// (R39). The ops in first are judged before the items and written with them.
// store.ErrConflict says that nothing was written; store.ConflictKey tells an
// expectation of first from an item that is there already, which Add is for. At
// most MaxNew drafts fit.
func (q *Queue) AddNew(ctx context.Context, drafts []Draft, first ...store.Op) error {
	ops := append(make([]store.Op, 0, len(first)+opsNew*len(drafts)), first...)
	for _, d := range drafts {
		if err := errors.Join(d.check(), checkPayload(d.Payload)); err != nil {
			return err
		}
		_, made, err := q.made(d)
		if err != nil {
			return err
		}
		ops = append(ops, made...)
	}
	if err := q.cfg.Store.Commit(ctx, ops...); err != nil {
		return storeError(err, "add %d items", len(drafts))
	}
	return nil
}

// MaxNew is how many drafts one AddNew takes, beside a few ops of the caller.
const MaxNew = (store.MaxOps - 8) / opsNew

const opsNew = 3 // of one new item

// create writes d where neither an item nor the memory of one is.
func (q *Queue) create(ctx context.Context, d Draft, with []store.Op) (Item, error) {
	it, ops, err := q.made(d)
	if err != nil {
		return Item{}, err
	}
	return it, q.commit(ctx, append(ops, with...), itemKey(d.ID))
}

// made is the item that d becomes, and the ops that write it where none is and
// none is remembered. With Renew the memory is no obstacle.
func (q *Queue) made(d Draft) (Item, []store.Op, error) {
	now := q.now()
	it := Item{ID: d.ID, Payload: d.Payload, Due: q.due(d.Due), Created: now}
	it.move(Ready, it.Due, now)
	value, err := json.Marshal(&it)
	if err != nil {
		return Item{}, nil, identity.Fail(identity.Internal, identity.CodeInternal, "jobs: encode %s: %w", d.ID, err)
	}
	known := store.CheckAbsent(knownKey(d.ID))
	if d.Mode == Renew {
		known = store.Delete(knownKey(d.ID))
	}
	return it, []store.Op{store.Create(itemKey(d.ID), value), store.Put(it.atKey(), nil), known}, nil
}

// meet handles a key that is there. store.ErrNotFound says it is gone meanwhile.
func (q *Queue) meet(ctx context.Context, d Draft, with []store.Op) (Item, Outcome, error) {
	it, err := q.load(ctx, d.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		if d.Mode == Renew { // create does not mind a key that is only known
			return Item{}, "", err
		}
		if _, err := q.cfg.Store.Get(ctx, knownKey(d.ID)); err != nil {
			return Item{}, "", storeError(err, "add %s", d.ID)
		}
		return Item{ID: d.ID, State: Done}, AlreadyKnown, nil
	case err != nil || d.Mode == Once:
		return it, AlreadyThere, err
	}
	outcome := AlreadyThere
	it, err = q.change(ctx, d.ID, func(it *Item) error {
		outcome = q.supersede(it, d)
		if outcome == AlreadyThere {
			return errNothing
		}
		return nil
	}, with...)
	if errors.Is(err, errNothing) {
		err = nil
	}
	return it, outcome, err
}

// errNothing ends a change that has nothing to write.
var errNothing = errors.New("jobs: nothing to write")

// supersede gives it the payload of d where d's mode allows.
func (q *Queue) supersede(it *Item, d Draft) Outcome {
	now, due := q.now(), q.due(d.Due)
	switch {
	case it.State == Ready && (d.Mode == Renew || it.Step.Name == ""):
		it.Payload, it.Step, it.Updated = d.Payload, Step{}, now
		if due.Before(it.Due) && it.Failure == nil { // a failed one keeps its back-off
			it.Due = due
			it.move(Ready, due, now)
		}
		return Replaced
	case d.Mode != Renew:
		return AlreadyThere
	case it.State == Leased:
		it.Next, it.Updated = &Next{Payload: d.Payload, Due: due}, now
		return Queued
	}
	it.again(d.Payload, due, now)
	return Renewed
}

// again makes it ready as if it were new.
func (it *Item) again(payload jsontext.Value, due, now time.Time) {
	it.Payload, it.Due, it.Step, it.Next, it.Note = payload, due, Step{}, nil, ""
	it.Tries, it.Waits, it.Losses, it.Failure = 0, 0, 0, nil
	it.move(Ready, due, now)
}

func (q *Queue) due(t time.Time) time.Time {
	if t.IsZero() {
		return q.now()
	}
	return trim(t)
}
