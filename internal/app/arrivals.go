package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/dingtalk"
	"kdgate/jobs"
	"kdgate/store"
)

// seenLife is how long a delivery is known, so that a replay does nothing (T65).
const seenLife = 48 * time.Hour

// keep takes an event in charge: when it returns nil the work that the event asks
// for is on the list, where a crash cannot lose it (R36). seen are the keys by
// which the event is known to have come; fresh is false when it came before.
//
// DingTalk waits, so nothing is read: work and keys are one Commit (R39). Where
// earlier work on the same person or approval is in the way, a second one puts
// the event itself on the list, for a worker who has the time to look.
func (c *Core) keep(ctx context.Context, e dingtalk.Event, seen []string) (fresh bool, err error) {
	drafts, err := c.drafts(ctx, e)
	if err != nil || len(drafts) == 0 {
		return true, err
	}
	if len(drafts) <= jobs.MaxNew {
		if fresh, err := c.listNew(ctx, drafts, seen); !errors.Is(err, store.ErrConflict) {
			return fresh, err
		}
	}
	if drafts, err = arrivals(e); err != nil {
		return false, err
	}
	return c.listNew(ctx, drafts, seen)
}

// keepHeard is keep for events by stream, which counts them itself.
func (s *Server) keepHeard(ctx context.Context, e dingtalk.Event) error {
	_, err := s.keep(ctx, e, happenedKeys(e))
	return err
}

// listNew writes drafts and the keys of a delivery where none of either is yet.
func (c *Core) listNew(ctx context.Context, drafts []jobs.Draft, seen []string) (fresh bool, err error) {
	var marks []store.Op
	for _, key := range seen {
		marks = append(marks, store.Create(key, strconv.AppendInt(nil, c.options.Now().Unix(), 10)).For(seenLife))
	}
	err = c.queue.AddNew(ctx, drafts, marks...)
	if key, judged := store.ConflictKey(err); judged && slices.Contains(seen, key) {
		return false, nil
	}
	return err == nil, err
}

// drafts is the work that an event asks of whoever acts on it.
func (c *Core) drafts(ctx context.Context, e dingtalk.Event) ([]jobs.Draft, error) {
	r := c.rooms.Load()
	level := slog.LevelDebug
	if !e.Known() { // perhaps one that should be acted on (T68)
		level = slog.LevelInfo
	}
	c.options.Logger.Log(ctx, level, "event", "corp", e.Corp, "type", e.Type, "known", e.Known(), "via", string(e.Via), "id", e.ID)
	var all []jobs.Draft
	if keeper := r.keepers()[e.Corp]; keeper != nil && r.config.Directory.Mode == "on" {
		drafts, err := keeper.Drafts(e)
		if err != nil {
			return nil, err
		}
		all = drafts
	}
	if booker := r.bookers[e.Corp]; booker != nil {
		drafts, err := booker.Drafts(e)
		if err != nil {
			return nil, err
		}
		all = append(all, drafts...)
	}
	return all, nil
}

// takeEvent hands an event to whoever acts on it, over the work that is there.
func (c *Core) takeEvent(ctx context.Context, e dingtalk.Event) error {
	r := c.rooms.Load()
	if keeper := r.keepers()[e.Corp]; keeper != nil && r.config.Directory.Mode == "on" {
		if err := keeper.Take(ctx, e); err != nil {
			return err
		}
	}
	if booker := r.bookers[e.Corp]; booker != nil {
		return booker.Take(ctx, e)
	}
	return nil
}

// kindArrival is an event that waits to be handed out.
const kindArrival = "event"

// arrival is the payload of kindArrival: of an event what anybody acts on.
type arrival struct {
	Corp        string    `json:"corp"`
	Type        string    `json:"type"`
	At          time.Time `json:"at,omitzero"`
	Users       []string  `json:"users,omitempty"`
	Departments []int64   `json:"departments,omitempty"`
	Instance    string    `json:"instance,omitzero"`
	Process     string    `json:"process,omitzero"`
	Change      string    `json:"change,omitzero"`
	Result      string    `json:"result,omitzero"`
}

func (a arrival) event() dingtalk.Event {
	return dingtalk.Event{
		Corp: a.Corp, Type: a.Type, At: a.At, Users: a.Users, Departments: a.Departments,
		Instance: a.Instance, Process: a.Process, Change: a.Change, Result: a.Result,
	}
}

// arrivalUsers is how many people one arrival names, so that its payload is
// never too large.
const arrivalUsers = 2000

// arrivals are the items of an event that is put on the list as it came.
func arrivals(e dingtalk.Event) ([]jobs.Draft, error) {
	parts := slices.Collect(slices.Chunk(e.Users, arrivalUsers))
	if len(parts) == 0 {
		parts = [][]string{nil}
	}
	var drafts []jobs.Draft
	for _, users := range parts {
		payload, err := json.Marshal(arrival{e.Corp, e.Type, e.At, users, e.Departments, e.Instance, e.Process, e.Change, e.Result})
		if err != nil {
			return nil, fmt.Errorf("app: an event: %w", err)
		}
		drafts = append(drafts, jobs.Draft{ID: jobs.ID{Kind: kindArrival, Key: rand.Text()}, Payload: payload})
	}
	return drafts, nil
}

// arrivalKind hands out the events that had no time to be.
func (s *Server) arrivalKind() jobs.Kind {
	return jobs.Kind{Name: kindArrival, Handler: jobs.HandlerFunc(func(ctx context.Context, w *jobs.Work) error {
		var a arrival
		if err := json.Unmarshal(w.Item().Payload, &a); err != nil {
			return jobs.Permanent(fmt.Errorf("app: an event's item: %w", err))
		}
		return s.takeEvent(ctx, a.event())
	})}
}
