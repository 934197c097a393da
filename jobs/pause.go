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

// Pause says until when nobody works a kind, and why.
type Pause struct {
	Kind  string    `json:"kind"`
	Until time.Time `json:"until"`
	Why   string    `json:"why,omitzero"` // public words
	By    string    `json:"by,omitzero"`  // a person, or the replica whose peer asked for silence

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Paused gives the pause of a kind, zero when there is none.
func (q *Queue) Paused(ctx context.Context, kind string) (Pause, error) {
	pause, _, err := q.pause(ctx, kind)
	return pause, err
}

func (q *Queue) pause(ctx context.Context, kind string) (Pause, store.Version, error) {
	entry, err := q.cfg.Store.Get(ctx, pauseKey(kind))
	if errors.Is(err, store.ErrNotFound) {
		return Pause{}, 0, nil
	}
	if err != nil {
		return Pause{}, 0, storeError(err, "read the pause of %s", kind)
	}
	var pause Pause
	if err := json.Unmarshal(entry.Value, &pause); err != nil {
		return Pause{}, 0, identity.Fail(identity.Internal, identity.CodeInternal, "jobs: pause of %s: %w", kind, err)
	}
	return pause, entry.Version, nil
}

// hush pauses a kind until a time, because a peer asked for silence. A longer
// pause that is there stays.
func (q *Queue) hush(ctx context.Context, pause Pause) error {
	pause.Until = trim(pause.Until)
	for range changeTries {
		before, version, err := q.pause(ctx, pause.Kind)
		if err != nil || !pause.Until.After(before.Until) || !pause.Until.After(q.now()) {
			return err
		}
		pause.Unknown = before.Unknown
		err = q.setPause(ctx, pause, version)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil // others wrote it that often: there is a pause
}

func (q *Queue) setPause(ctx context.Context, pause Pause, over store.Version) error {
	value, err := json.Marshal(pause)
	if err != nil {
		return err
	}
	op := store.Over(pauseKey(pause.Kind), value, over)
	if err := q.cfg.Store.Commit(ctx, op.For(pause.Until.Sub(q.now()))); err != nil {
		return storeError(err, "pause %s", pause.Kind)
	}
	return nil
}

// Pauses lists the kinds that are paused now.
func (q *Queue) Pauses(ctx context.Context) ([]Pause, error) {
	page, err := q.cfg.Store.Scan(ctx, prefixPause, "", store.MaxPage)
	if err != nil {
		return nil, storeError(err, "list pauses")
	}
	pauses := make([]Pause, 0, len(page))
	for _, entry := range page {
		var pause Pause
		if err := json.Unmarshal(entry.Value, &pause); err != nil {
			return nil, identity.Fail(identity.Internal, identity.CodeInternal, "jobs: %q: %w", entry.Key, err)
		}
		pauses = append(pauses, pause)
	}
	return pauses, nil
}
