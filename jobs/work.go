package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/audit"
	"kdgate/store"
)

// Work is an item that this process holds. Its methods are safe for concurrent
// use, so that the Pool extends while the handler works; each answers ErrLost,
// having written nothing, when the item is no longer held.
//
// The ops in with are written in the same Commit or not at all: that is how a
// handler makes its own records part of a step. If it is they that do not hold,
// the error is store.ErrConflict and the item is as before.
type Work struct {
	queue *Queue
	id    ID
	fence uint64    // of our Take
	since time.Time // when that was: a failover may put a fence back, which is then given twice

	mu   sync.Mutex
	item Item
}

// Item is the item as it was last read or written.
func (w *Work) Item() Item {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.item.clone()
}

// Step commits that the handler has come as far as name, with data (JSON) that
// the next attempt will find in Item.Step. What is to be done once is done
// between two steps.
func (w *Work) Step(ctx context.Context, name string, data jsontext.Value, with ...store.Op) error {
	if err := checkPayload(data); err != nil {
		return err
	}
	return w.hold(ctx, func(it *Item, now time.Time) {
		it.Step = Step{Name: name, Data: data, At: now}
		it.Losses = 0
		it.extend(w.queue.cfg.Lease, now)
	}, with...)
}

// Extend keeps the lease for its whole length from now.
func (w *Work) Extend(ctx context.Context) error {
	return w.hold(ctx, func(it *Item, now time.Time) { it.extend(w.queue.cfg.Lease, now) })
}

// Complete ends the item well. Where a newer payload arrived meanwhile (Renew)
// it is ready again with that.
func (w *Work) Complete(ctx context.Context, with ...store.Op) error {
	return w.end(ctx, ResultDone, func(it *Item, now time.Time) {
		it.ended(now, ResultDone, Failure{})
		if next := it.Next; next != nil {
			it.again(next.Payload, next.Due, now)
			return
		}
		it.Failure = nil
		it.move(Done, now, now)
	}, with...)
}

// Release hands the item back without counting a try; due zero means at once.
func (w *Work) Release(ctx context.Context, due time.Time) error {
	return w.end(ctx, ResultReturned, func(it *Item, now time.Time) {
		it.ended(now, ResultReturned, Failure{})
		if due.IsZero() {
			due = now
		}
		it.Due = trim(due)
		it.move(Ready, it.Due, now)
	})
}

// Fail ends an attempt with its cause and gives what became of it: ResultFailed
// or ResultPutOff with the item ready again later, or ResultDead. That an item
// is dead is in the audit log before it is; when it cannot be recorded, the
// item is put off instead.
func (w *Work) Fail(ctx context.Context, cause error, retry Retry) (Result, error) {
	retry, said := retry.withDefaults(), advice(cause)
	held, err := w.Check(ctx)
	if err != nil {
		return "", err
	}
	result := held.judge(said, retry, w.queue.now())
	if result == ResultDead {
		if unrecorded := w.queue.recordDead(ctx, held, said); unrecorded != nil {
			result, cause = ResultPutOff, errors.Join(cause, unrecorded)
			said = advice(cause)
		}
	}
	return result, w.end(ctx, result, func(it *Item, now time.Time) { it.fail(said, retry, result, now) })
}

// Check reads the item anew and reports whether it is still held.
func (w *Work) Check(ctx context.Context) (Item, error) {
	it, err := w.queue.load(ctx, w.id)
	if err == nil {
		err = w.held(&it)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%w: %w", ErrLost, err)
	}
	return it, err
}

// held reports ErrLost unless it carries our fence.
func (w *Work) held(it *Item) error {
	if it.State != Leased || it.Lease.Fence != w.fence || it.Lease.Owner != w.queue.owner || !it.Lease.Since.Equal(w.since) {
		return fmt.Errorf("%w: %s is %s, fence %d", ErrLost, it.ID, it.State, it.Lease.Fence)
	}
	return nil
}

// hold commits a change of the item under its fence. A lease that ran out and
// that nobody took is still ours: only a Take can make another act.
func (w *Work) hold(ctx context.Context, edit func(*Item, time.Time), with ...store.Op) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	it, err := w.queue.change(ctx, w.id, func(it *Item) error {
		if err := w.held(it); err != nil {
			return err
		}
		edit(it, w.queue.now())
		return nil
	}, with...)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrLost, err)
	case err != nil:
		return err
	}
	w.item = it
	return nil
}

// end is hold for the last write of an attempt, which is counted.
func (w *Work) end(ctx context.Context, result Result, edit func(*Item, time.Time), with ...store.Op) error {
	began := w.Item().Lease.Since
	if err := w.hold(ctx, edit, with...); err != nil {
		return err
	}
	it := w.Item()
	w.queue.cfg.Observer.JobAttempt(it.Kind, string(result), it.Updated.Sub(began))
	return nil
}

// extend moves the end of the lease.
func (it *Item) extend(length time.Duration, now time.Time) {
	it.Filed, it.Updated = now.Add(length), now
	it.Lease.Heard, it.Lease.Until = now, it.Filed
}

// judge says what a failure comes to.
func (it *Item) judge(said hint, retry Retry, now time.Time) Result {
	switch {
	case said.permanent:
		return ResultDead
	case said.away():
		if it.Failure != nil && now.Sub(it.Failure.Since) >= retry.Patience {
			return ResultDead
		}
		return ResultPutOff
	case it.Tries+1 >= retry.Tries:
		return ResultDead
	}
	return ResultFailed
}

// waitMost is the longest an item waits for a peer that is away: the Pool asks an
// absent peer rarely whatever is due, and its return should be noticed (R26).
const waitMost = 10 * time.Second

// fail writes the failure down and gives the item its next place.
func (it *Item) fail(said hint, retry Retry, result Result, now time.Time) {
	failure := said.failure(now)
	if it.Failure != nil {
		failure.Since = it.Failure.Since
	}
	it.Failure = &failure
	it.ended(now, result, failure)
	var delay time.Duration
	switch result {
	case ResultDead:
		it.Tries++
		if it.Next == nil {
			it.move(Dead, now, now)
			return
		}
		it.again(it.Next.Payload, it.Next.Due, now) // a newer payload is another chance
		return
	case ResultPutOff:
		it.Waits++
		delay = min(retry.delay(it.Waits), waitMost)
	default:
		it.Tries, it.Waits = it.Tries+1, 0
		delay = retry.delay(it.Tries)
	}
	it.Due = now.Add(delay).Truncate(time.Microsecond)
	if said.until.After(it.Due) {
		it.Due = trim(said.until)
	}
	it.move(Ready, it.Due, now)
}

// recordDead writes to the audit log that an item is about to be dead (T111).
func (q *Queue) recordDead(ctx context.Context, it Item, said hint) error {
	failure := said.failure(q.now())
	reason := string(failure.Code)
	if reason == "" {
		reason = failure.Words
	}
	err := q.cfg.Recorder.Append(ctx, audit.Event{
		Action: audit.ActionQueueDead, Outcome: audit.Failed, Actor: audit.System,
		Target: it.String(), Reason: reason,
		Detail: map[string]string{
			"cause": failure.Private, "step": it.Step.Name,
			"tries": fmt.Sprint(it.Tries + 1), "created": it.Created.Format(time.RFC3339),
		},
	})
	if err != nil {
		return fmt.Errorf("jobs: %s is not dead, because that cannot be recorded: %w", it.ID, err)
	}
	return nil
}
