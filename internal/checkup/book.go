package checkup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// ActionCheckup is a check-up and what it came to.
const ActionCheckup audit.Action = "checkup"

const (
	prefix  = "check/"
	kept    = 2 * 366 * 24 * time.Hour // past the yearly review of the year before
	running = 2 * patience             // of one under way: whose process dies is gone
)

// Recorder is the audit log.
type Recorder interface {
	Append(ctx context.Context, event audit.Event) error
}

// Book has the check-ups: begins them one at a time in a process, keeps what
// came out where every replica finds it, and puts it on record.
type Book struct {
	Store    store.Store
	Recorder Recorder
	Doctor   func() *Doctor // of the configuration in force
	Now      func() time.Time
	Logger   *slog.Logger

	mu   sync.Mutex
	busy bool
	stop context.CancelFunc // of one begun with Start
	over bool
	work sync.WaitGroup
}

// Run waits for the end of ctx and then stops what Start began.
func (b *Book) Run(ctx context.Context) {
	<-ctx.Done()
	b.mu.Lock()
	b.over = true
	if b.stop != nil {
		b.stop()
	}
	b.mu.Unlock()
	b.work.Wait()
}

// Start begins a check-up and returns while it is under way. The event says who
// asks. Conflict: one is under way here.
func (b *Book) Start(ctx context.Context, only string, event audit.Event) (Result, error) {
	result, err := b.begin(ctx, only, event)
	if err != nil {
		return result, err
	}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		stop()
	}
	b.stop = stop
	b.work.Go(func() {
		defer stop()
		if _, err := b.finish(working, result, event, nil); err != nil {
			b.Logger.Error("check-up", "error", err)
		}
	})
	return result, nil
}

// Do is Start that waits for the end.
func (b *Book) Do(ctx context.Context, only string, event audit.Event, progress func(done, total int)) (Result, error) {
	result, err := b.begin(ctx, only, event)
	if err != nil {
		return result, err
	}
	return b.finish(ctx, result, event, progress)
}

func (b *Book) begin(ctx context.Context, only string, event audit.Event) (Result, error) {
	if only != "" && !b.Doctor().Has(only) {
		return Result{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "checkup: no peer %q", only)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Result{}, identity.Fail(identity.Internal, identity.CodeInternal, "checkup: id: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy {
		return Result{}, identity.Fail(identity.Conflict, identity.CodeChangedBetween, "checkup: one is under way")
	}
	result := Result{ID: id.String(), By: event.Actor, Began: b.Now().UTC(), Only: only}
	if err := b.keep(ctx, result); err != nil {
		return result, err
	}
	b.busy = true
	return result, nil
}

// finish tests, records and keeps. What cannot be recorded is an error, and the
// result is given all the same.
func (b *Book) finish(ctx context.Context, begun Result, event audit.Event, progress func(done, total int)) (Result, error) {
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.busy = false
	}()
	doctor := b.Doctor()
	result := doctor.Run(ctx, begun.Only, func(done, total int) {
		begun.Done, begun.Total = done, total
		if done < total {
			if err := b.keep(ctx, begun); err != nil {
				b.Logger.Warn("check-up", "error", err) // it goes on without its picture
			}
		}
		if progress != nil {
			progress(done, total)
		}
	})
	result.ID, result.By, result.Began = begun.ID, begun.By, begun.Began
	last := context.WithoutCancel(ctx)
	return result, errors.Join(b.Recorder.Append(last, Event(event, result)), b.keep(last, result))
}

// Event is the record of a check-up: its counts, and each fault by name.
func Event(event audit.Event, result Result) audit.Event {
	event.Action, event.Outcome, event.Target = ActionCheckup, audit.OK, result.Only
	if !result.OK {
		event.Outcome = audit.Failed
	}
	detail := maps.Clone(event.Detail)
	if detail == nil {
		detail = map[string]string{}
	}
	detail["id"] = result.ID
	for _, status := range [...]Status{OK, Unknown, Warning, Fault} {
		detail[string(status)] = strconv.Itoa(result.Count(status))
	}
	var faults []string
	for _, item := range result.Items {
		if item.Status == Fault {
			faults = append(faults, item.Peer+" "+item.Check+": "+item.Cause)
		}
	}
	if faults != nil {
		detail["faults"] = strings.Join(faults, "; ")
	}
	event.Detail = detail
	return event
}

func (b *Book) keep(ctx context.Context, result Result) error {
	text, err := json.Marshal(result)
	if err != nil {
		return identity.Fail(identity.Internal, identity.CodeInternal, "checkup: %w", err)
	}
	life := running
	if !result.Ended.IsZero() {
		life = kept
	}
	if err := b.Store.Commit(ctx, store.Put(prefix+result.ID, text).For(life)); err != nil {
		return down(err)
	}
	return nil
}

func down(err error) error {
	return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "checkup: %w", err)
}

// List gives the check-ups that are kept, the newest first.
func (b *Book) List(ctx context.Context) ([]Result, error) {
	var list []Result
	for after := ""; ; {
		page, err := b.Store.Scan(ctx, prefix, after, store.MaxPage)
		if err != nil {
			return nil, down(err)
		}
		for _, entry := range page {
			result, err := decode(entry)
			if err != nil {
				return nil, err
			}
			list = append(list, result)
			after = entry.Key
		}
		if len(page) < store.MaxPage {
			slices.Reverse(list) // ids grow with time
			return list, nil
		}
	}
}

// Get gives one, identity.NotFound where there is none.
func (b *Book) Get(ctx context.Context, id string) (Result, error) {
	nothing := identity.Fail(identity.NotFound, identity.CodeNotFound, "checkup: none is named so")
	if _, err := uuid.Parse(id); err != nil {
		return Result{}, nothing
	}
	entry, err := b.Store.Get(ctx, prefix+id)
	if errors.Is(err, store.ErrNotFound) {
		return Result{}, nothing
	}
	if err != nil {
		return Result{}, down(err)
	}
	return decode(entry)
}

func decode(entry store.Entry) (Result, error) {
	var result Result
	if err := json.Unmarshal(entry.Value, &result); err != nil {
		return result, fmt.Errorf("checkup: %s: %w", entry.Key, err)
	}
	return result, nil
}
