package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"kdgate/internal/filelock"
	"kdgate/store"
	"kdgate/store/internal/feed"
)

// readers is the size of the read pool: reads take microseconds, so a few
// connections serve many requests.
const readers = 8

// groupSize is how many commits share one transaction at most.
const groupSize = 256

// Driver is a store.Driver over one SQLite file. Build it with Open.
type Driver struct {
	path         string
	now          func() time.Time
	collectEvery time.Duration
	lock         *filelock.Lock

	writeDB, readDB *sql.DB
	get, scan       *sql.Stmt
	writer          *writer
	feed            feed.Feed

	requests chan *request // unbuffered: who waits in it makes up the next group
	closing  chan struct{} // closed by Close
	close    func() error  // shut, once
	stopped  chan struct{} // closed when the writer has stopped
}

// request is one batch on its way to the writer, or a probe when it has no writes.
type request struct {
	batch store.Batch
	err   error      // the verdict, while the group is not yet durable
	done  chan error // capacity 1
}

// Get implements store.Driver.
func (d *Driver) Get(ctx context.Context, key string) (store.Entry, error) {
	if err := ctx.Err(); err != nil {
		return store.Entry{}, d.unavailable(err)
	}
	entry := store.Entry{Key: key}
	var version, ends int64
	// A point read takes microseconds; watching ctx would cost a goroutine each.
	row := d.get.QueryRowContext(context.WithoutCancel(ctx), key)
	err := row.Scan(&version, &ends, &entry.Value)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Entry{}, fmt.Errorf("%w: %q", store.ErrNotFound, key)
	}
	if err != nil {
		return store.Entry{}, d.unavailable(err)
	}
	entry.Version, entry.ExpiresAt = store.Version(version), endTime(ends)
	return entry, nil
}

// fewRows is after how many rows a scan expects to find as many as it may.
const fewRows = 64

// Scan implements store.Driver.
func (d *Driver) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	// One lower bound: of two SQLite seeks by the first, and reads everything
	// between it and the other. No key holds a control character or the byte
	// 0xff, so the next key after "after" is not before from, and every key
	// under prefix is before to.
	from, to := prefix, prefix+"\xff"
	if after >= prefix && after != "" {
		from = after + "\x01"
	}
	rows, err := d.scan.QueryContext(ctx, from, to, limit)
	if err != nil {
		return nil, d.unavailable(err)
	}
	defer rows.Close()
	var out []store.Entry
	for rows.Next() {
		if len(out) == fewRows {
			out = slices.Grow(out, limit-fewRows)
		}
		var entry store.Entry
		var version, ends int64
		if err := rows.Scan(&entry.Key, &version, &ends, &entry.Value); err != nil {
			return nil, d.unavailable(err)
		}
		entry.Version, entry.ExpiresAt = store.Version(version), endTime(ends)
		out = append(out, entry)
	}
	if err := rows.Err(); err != nil {
		return nil, d.unavailable(err)
	}
	return out, nil
}

// Apply implements store.Driver. It returns when the batch is on the disk.
func (d *Driver) Apply(ctx context.Context, batch store.Batch) error {
	return d.submit(ctx, &request{batch: batch, done: make(chan error, 1)})
}

// Watch implements store.Driver. There is one process, so nothing is missed.
func (d *Driver) Watch(ctx context.Context, prefix string) (<-chan store.Event, error) {
	return d.feed.Watch(ctx, prefix), nil
}

// Ping reports whether the file can be read, and written if the last write failed.
func (d *Driver) Ping(ctx context.Context) error {
	if _, err := d.Get(ctx, "ping"); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return d.submit(ctx, &request{done: make(chan error, 1)})
}

// submit hands req to the writer and waits for its answer. Who leaves while the
// writer works does not know the outcome; who leaves before has written nothing.
func (d *Driver) submit(ctx context.Context, req *request) error {
	if err := ctx.Err(); err != nil {
		return d.unavailable(err)
	}
	select {
	case d.requests <- req:
	case <-ctx.Done():
		return d.unavailable(ctx.Err())
	case <-d.closing:
		return d.unavailable(errClosed)
	}
	select {
	case err := <-req.done:
		return err
	case <-ctx.Done():
		return d.unavailable(ctx.Err())
	}
}

var errClosed = errors.New("the store is closed")

// run is the life of the writer.
func (d *Driver) run() {
	defer close(d.stopped)
	tick := time.NewTicker(d.collectEvery)
	defer tick.Stop()
	always := make(chan struct{})
	close(always)
	var backlog <-chan struct{} // ready while there is more to collect
	for {
		select {
		case req := <-d.requests:
			d.group(d.gather(req))
		case <-tick.C:
			backlog = always
		case <-backlog:
			if more, err := d.writer.collect(d.now()); err != nil || !more {
				backlog = nil // after an error the next tick tries again
			}
		case <-d.closing:
			return
		}
	}
}

// gather adds to req who else is waiting. It lets whoever can run come first: on
// one processor the first caller would otherwise have a transaction to itself,
// and each of the others after it as well.
func (d *Driver) gather(req *request) []*request {
	runtime.Gosched()
	group := []*request{req}
	for len(group) < groupSize {
		select {
		case next := <-d.requests:
			group = append(group, next)
		default:
			return group
		}
	}
	return group
}

// group applies requests in one transaction, tells the watchers and answers.
func (d *Driver) group(group []*request) {
	failure := d.writer.group(group)
	for _, req := range group {
		switch {
		case failure != nil:
			req.err = d.unavailable(failure)
		case req.err == nil:
			d.feed.Publish(events(req.batch.Writes)...)
		}
		req.done <- req.err
	}
}

func events(writes []store.Write) []store.Event {
	out := make([]store.Event, 0, len(writes))
	for _, w := range writes {
		if w.Kind != store.OpCheck {
			out = append(out, store.Event{Key: w.Key, Deleted: w.Kind == store.OpDelete})
		}
	}
	return out
}

// Close waits for the group in hand, ends every watch and releases the file.
// What was acknowledged is on the disk already.
func (d *Driver) Close() error { return d.close() }

func (d *Driver) shut() error {
	close(d.closing)
	<-d.stopped
	d.feed.Close()
	return d.release()
}

// release gives back what open took, as far as it came.
func (d *Driver) release() error {
	var errs []error
	if d.readDB != nil {
		errs = append(errs, d.readDB.Close())
	}
	if d.writer != nil {
		errs = append(errs, d.writer.conn.Close())
	}
	if d.writeDB != nil {
		errs = append(errs, d.writeDB.Close())
	}
	return errors.Join(append(errs, d.lock.Release())...)
}

// unavailable says in words an administrator can act on why there is no answer.
func (d *Driver) unavailable(err error) error {
	hint := "cannot be asked"
	if failure, ok := errors.AsType[*sqlite.Error](err); ok {
		switch failure.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			hint = "cannot grow: free space on its disk"
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
			hint = "cannot be written: check its owner, its mode and the mount"
		case sqlite3.SQLITE_IOERR:
			hint = "cannot be read or written by its disk"
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			hint = "is damaged: restore a backup"
		}
	}
	return fmt.Errorf("%w: %s %s: %w", store.ErrUnavailable, d.path, hint, err)
}

func endTime(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros)
}
