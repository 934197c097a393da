package moving

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"kdgate/mapping"
	"kdgate/store"
	"kdgate/store/archive"
)

const (
	pendingKey = restorePrefix + "pending"
	holdPrefix = restorePrefix + "hold/"
)

// ErrOccupied refuses to restore over a store that holds something.
var ErrOccupied = errors.New("moving: the store is not empty")

// Restore puts the content of an archive into a store.
type Restore struct {
	Store   *store.Sealed
	Table   *mapping.Table // over Store, with a recorder
	LeftOut LeftOut
	Options
	By  mapping.Actor
	Now func() time.Time
	// Journal gives the rows as the audit log of this host left them since a moment.
	Journal func(ctx context.Context, since time.Time) ([]mapping.Entry, error)
	// Closed closes again what other rooms shut since a moment, by the same log, and
	// gives how many entries it put right. nil: there are none.
	Closed func(ctx context.Context, since time.Time) (int, error)
}

// Options are the choices of whoever restores.
type Options struct {
	Over     bool // clear a store that holds something
	Progress Progress
}

// Restored is what came of it.
type Restored struct {
	StoreID string         `json:"store_id"`
	Backup  time.Time      `json:"backup"`    // when the backup was begun
	Entries int            `json:"entries"`   // written
	Rows    int            `json:"reapplied"` // rows put right after the audit log and the store as it was
	Closed  int            `json:"closed"`    // entries of other rooms that were closed again after the audit log
	Counts  archive.Counts `json:"archive"`
}

// slack is how much earlier than the backup the journal is read: a record is
// written before its act, and the backup may have passed between the two.
const slack = time.Minute

// Run restores from file, an archive that was verified under key. When it fails
// or dies the store is nobody's until it is run again.
func (r Restore) Run(ctx context.Context, file io.Reader, key []byte) (Restored, error) {
	if err := r.prepare(ctx); err != nil {
		return Restored{}, err
	}
	if err := r.clear(ctx); err != nil {
		return Restored{}, err
	}
	r.Store.Forget() // from here on the store goes back in time, and rightly so
	l := &loader{Restore: r}
	l.group.SetLimit(loadersAtOnce)
	header, counts, err := archive.Read(file, key, archive.Visitor{
		Entry:  func(e store.Entry) error { return l.entry(ctx, e) },
		Change: func(e store.Entry) error { return l.change(ctx, e) },
		Remove: func(key string) error { return l.remove(ctx, key) },
	})
	if err = errors.Join(err, l.flush(ctx)); err != nil {
		return Restored{}, err
	}
	done := Restored{Backup: header.At, Entries: l.done, Counts: counts}
	if done.Rows, err = r.reapply(ctx, header.At); err != nil {
		return done, err
	}
	if r.Closed != nil {
		if done.Closed, err = r.Closed(ctx, header.At.Add(-slack)); err != nil {
			return done, fmt.Errorf("what was closed after the backup: %w", err)
		}
	}
	done.StoreID, err = r.finish(ctx, l.birth, header.At)
	return done, err
}

// prepare keeps the suspensions that the store holds now, before anything of it
// is touched, and marks the restore as begun. One that was begun goes on.
func (r Restore) prepare(ctx context.Context) error {
	_, err := r.Store.Get(ctx, pendingKey)
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return err
	}
	occupied, err := Occupied(ctx, r.Store, r.LeftOut)
	if err != nil {
		return err
	}
	if occupied && !r.Over {
		return ErrOccupied
	}
	if err := r.hold(ctx); err != nil {
		return err
	}
	mark, err := json.Marshal(map[string]time.Time{"begun": r.Now().UTC()})
	if err != nil {
		return err
	}
	return r.Store.Commit(ctx, store.Put(pendingKey, mark))
}

// Occupied reports whether a store holds anything that lasts.
func Occupied(ctx context.Context, s *store.Sealed, leave LeftOut) (bool, error) {
	for after := ""; ; {
		keys, err := s.ScanKeys(ctx, "", after, store.MaxPage)
		if err != nil || len(keys) == 0 {
			return false, err
		}
		for _, key := range keys {
			if after = key; key != store.BirthKey && !leave.has(key) {
				return true, nil
			}
		}
	}
}

// hold writes down the rows that are suspended now. A row whose seal is broken
// is passed over: it opens no door, and the journal knows of it.
func (r Restore) hold(ctx context.Context) error {
	n := 0
	for after := ""; ; {
		keys, err := r.Store.ScanKeys(ctx, mapping.RowPrefix, after, store.MaxPage)
		if err != nil || len(keys) == 0 {
			return err
		}
		for _, key := range keys {
			after = key
			stored, err := r.Store.Get(ctx, key)
			if errors.Is(err, store.ErrTampered) || errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			row, err := mapping.RowOf(stored)
			if err != nil || row.Status != mapping.StatusSuspended {
				continue
			}
			n++
			if err := r.Store.Commit(ctx, store.Put(fmt.Sprintf("%s%08d", holdPrefix, n), stored.Value)); err != nil {
				return err
			}
		}
	}
}

// clear empties the store: first of what makes it anybody's.
func (r Restore) clear(ctx context.Context) error {
	if err := r.Store.Commit(ctx, store.Delete(store.BirthKey)); err != nil {
		return err
	}
	return drop(ctx, r.Store, func(key string) bool { return key != pendingKey && !strings.HasPrefix(key, holdPrefix) })
}

// drop deletes the entries whose keys are chosen, whatever they hold.
func drop(ctx context.Context, s *store.Sealed, chosen func(key string) bool) error {
	for after := ""; ; {
		keys, err := s.ScanKeys(ctx, "", after, store.MaxOps)
		if err != nil || len(keys) == 0 {
			return err
		}
		after = keys[len(keys)-1]
		ops := make([]store.Op, 0, len(keys))
		for _, key := range keys {
			if chosen(key) {
				ops = append(ops, store.Delete(key))
			}
		}
		if len(ops) == 0 {
			continue
		}
		if err := s.Commit(ctx, ops...); err != nil {
			return err
		}
	}
}

// reapply puts right what changed after the backup: rows that the store held
// suspended before it was cleared, and rows as the audit log left them.
func (r Restore) reapply(ctx context.Context, backup time.Time) (int, error) {
	rows, err := r.Journal(ctx, backup.Add(-slack))
	if err != nil {
		return 0, fmt.Errorf("what the audit log says of the time after the backup: %w", err)
	}
	held, err := r.held(ctx)
	if err != nil {
		return 0, err
	}
	changed := 0
	for _, row := range append(rows, held...) {
		did, err := r.Table.Reapply(ctx, r.By, row)
		if err != nil {
			return changed, fmt.Errorf("row %s: %w", row.Key(), err)
		}
		if did {
			changed++
		}
	}
	return changed, nil
}

func (r Restore) held(ctx context.Context) ([]mapping.Entry, error) {
	var rows []mapping.Entry
	for after := ""; ; {
		page, err := r.Store.Scan(ctx, holdPrefix, after, store.MaxPage)
		if err != nil || len(page) == 0 {
			return rows, err
		}
		for _, stored := range page {
			row, err := mapping.RowOf(stored)
			if err != nil {
				return nil, err
			}
			rows, after = append(rows, row), stored.Key
		}
	}
}

// finish gives the store its birth back, as the last thing.
func (r Restore) finish(ctx context.Context, was *store.Birth, backup time.Time) (id string, err error) {
	birth := store.Birth{ID: rand.Text(), At: r.Now().UTC()}
	if was != nil {
		birth = *was
	}
	birth.Restored, birth.Backup, birth.MovedTo = r.Now().UTC(), backup, ""
	value, err := birth.Encode()
	if err != nil {
		return "", err
	}
	if err := drop(ctx, r.Store, func(key string) bool { return strings.HasPrefix(key, holdPrefix) }); err != nil {
		return "", err
	}
	// The mark is the newest entry and goes with this: versions stay above it for good.
	return birth.ID, r.Store.Commit(ctx, store.Put(store.BirthKey, value), store.Delete(pendingKey))
}

// loader writes entries in full commits, several at once, until the first change
// among them: from there on order matters.
type loader struct {
	Restore
	batch []store.Entry
	group errgroup.Group
	birth *store.Birth // what the archive says of the store it was taken from
	done  int
	order bool // one at a time from here
}

// loadersAtOnce keeps the disk busy without holding much.
const loadersAtOnce = 4

func (l *loader) entry(ctx context.Context, e store.Entry) error {
	if l.order || e.Key == store.BirthKey {
		return l.change(ctx, e)
	}
	if l.passes(e) {
		return nil
	}
	e.Value = bytes.Clone(e.Value)
	l.batch = append(l.batch, e)
	if len(l.batch) < store.MaxOps {
		return nil
	}
	batch := l.batch
	l.batch = nil
	l.group.Go(func() error { return l.Store.PutSealed(ctx, batch...) })
	l.done += len(batch)
	l.Progress.tell(l.done, 0)
	return ctx.Err()
}

// passes leaves out what an older release still saved, and what is over by now.
func (l *loader) passes(e store.Entry) bool {
	return l.LeftOut.has(e.Key) || !e.ExpiresAt.IsZero() && !e.ExpiresAt.After(l.Now())
}

// flush waits for what is being written and writes the rest.
func (l *loader) flush(ctx context.Context) error {
	batch := l.batch
	l.batch = nil
	l.done += len(batch)
	return errors.Join(l.group.Wait(), l.Store.PutSealed(ctx, batch...))
}

func (l *loader) change(ctx context.Context, e store.Entry) error {
	if e.Key == store.BirthKey {
		plain, err := l.Store.Unseal(e)
		if err != nil {
			return err
		}
		said, err := store.DecodeBirth(plain.Value)
		l.birth = &said
		return err
	}
	if err := l.inOrder(ctx); err != nil || l.passes(e) {
		return err
	}
	return l.Store.PutSealed(ctx, e)
}

func (l *loader) remove(ctx context.Context, key string) error {
	if err := l.inOrder(ctx); err != nil {
		return err
	}
	return l.Store.Commit(ctx, store.Delete(key))
}

// inOrder ends the writing of several at once.
func (l *loader) inOrder(ctx context.Context) error {
	if l.order {
		return nil
	}
	l.order = true
	return l.flush(ctx)
}
