package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"kdgate/store"
)

// collectSize is how many entries past their end go in one transaction, so that
// commits wait for a collection no longer than for a group.
const collectSize = 500

// writer is the one connection that writes. Only the goroutine of Driver.run
// uses it after Open. It works without a context of its own: a transaction of a
// group does not end because one of its callers has left.
type writer struct {
	conn                    *sql.Conn
	begin, commit, rollback *sql.Stmt
	load, put, remove       *sql.Stmt
	mark, probe, expired    *sql.Stmt

	deleted store.Version // highest version ever deleted
	marked  store.Version // the same as meta has it: less only within a transaction
	failing bool          // the last transaction failed
}

func newWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{conn: conn}
	for _, s := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&w.begin, `BEGIN IMMEDIATE`},
		{&w.commit, `COMMIT`},
		{&w.rollback, `ROLLBACK`},
		{&w.load, `SELECT version, ends FROM entries WHERE key = ?`},
		{&w.put, `INSERT OR REPLACE INTO entries (key, version, ends, value) VALUES (?, ?, ?, ?)`},
		{&w.remove, `DELETE FROM entries WHERE key = ?`},
		{&w.mark, `UPDATE meta SET value = ? WHERE name = 'deleted'`},
		{&w.probe, `UPDATE meta SET value = value + 1 WHERE name = 'probe'`},
		{&w.expired, `SELECT key, version FROM entries WHERE ends > 0 AND ends < ? ORDER BY ends LIMIT ?`},
	} {
		if *s.stmt, err = conn.PrepareContext(ctx, s.text); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if err := w.reload(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return w, nil
}

// reload reads deleted as it stands on the disk.
func (w *writer) reload(ctx context.Context) error {
	err := w.conn.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'deleted'`).Scan(&w.marked)
	w.deleted = w.marked
	return err
}

// group applies requests in order in one transaction. A request that is refused
// has its err set and has written nothing, because all its ops are judged before
// the first is applied; the others go on. The error returned is of the whole
// transaction: then nobody has written anything.
func (w *writer) group(group []*request) error {
	return w.transact(func(ctx context.Context) error {
		for _, req := range group {
			if err := w.apply(ctx, req); err != nil {
				return err
			}
		}
		return nil
	})
}

// transact runs do between BEGIN and COMMIT.
func (w *writer) transact(do func(context.Context) error) error {
	ctx := context.Background()
	_, err := w.begin.ExecContext(ctx)
	if err == nil {
		if err = do(ctx); err == nil {
			err = w.remember(ctx)
		}
		if err == nil {
			_, err = w.commit.ExecContext(ctx)
		}
		if err != nil {
			// SQLite has rolled back by itself after some errors; then this one
			// says "no transaction is active", which tells nobody anything.
			_, _ = w.rollback.ExecContext(ctx)
			err = errors.Join(err, w.reload(ctx))
		}
	}
	w.failing = err != nil
	return err
}

// apply judges req and, when it holds, writes it. The error is the engine's.
func (w *writer) apply(ctx context.Context, req *request) error {
	if len(req.batch.Writes) == 0 {
		return w.probed(ctx)
	}
	stored := make([]store.Version, len(req.batch.Writes))
	for i, op := range req.batch.Writes {
		entry, exists, err := w.stored(ctx, op.Key)
		if err != nil {
			return err
		}
		req.err = op.Verdict(req.batch.Now, entry, exists, w.deleted)
		if req.err != nil {
			return nil //nolint:nilerr // it is the caller's answer; the group goes on
		}
		stored[i] = entry.Version
	}
	for i, op := range req.batch.Writes {
		if err := w.write(ctx, op, stored[i]); err != nil {
			return err
		}
	}
	return nil
}

// probed answers a Ping: after a failure only a write shows that it has passed.
func (w *writer) probed(ctx context.Context) error {
	if !w.failing {
		return nil
	}
	_, err := w.probe.ExecContext(ctx)
	return err
}

func (w *writer) stored(ctx context.Context, key string) (store.Entry, bool, error) {
	entry := store.Entry{Key: key}
	var ends int64
	err := w.load.QueryRowContext(ctx, key).Scan(&entry.Version, &ends)
	if errors.Is(err, sql.ErrNoRows) {
		return entry, false, nil
	}
	entry.ExpiresAt = endTime(ends)
	return entry, err == nil, err
}

// write applies one op over the version stored, zero when there is none.
func (w *writer) write(ctx context.Context, op store.Write, stored store.Version) error {
	switch op.Kind {
	case store.OpPut:
		var ends int64
		if !op.ExpiresAt.IsZero() {
			ends = op.ExpiresAt.UnixMicro()
		}
		value := op.Value
		if value == nil {
			value = []byte{} // nil would be NULL, and its refusal would take the whole group along
		}
		_, err := w.put.ExecContext(ctx, op.Key, int64(op.Version), ends, value)
		return err
	case store.OpDelete:
		if stored == 0 {
			return nil
		}
		return w.delete(ctx, op.Key, stored)
	}
	return nil
}

// delete removes key; that its versions never go back is remembered at the end of
// the transaction, for all its deletes at once.
func (w *writer) delete(ctx context.Context, key string, version store.Version) error {
	w.deleted = max(w.deleted, version)
	_, err := w.remove.ExecContext(ctx, key)
	return err
}

// remember keeps the highest version deleted with what was deleted.
func (w *writer) remember(ctx context.Context) error {
	if w.deleted == w.marked {
		return nil
	}
	if _, err := w.mark.ExecContext(ctx, int64(w.deleted)); err != nil {
		return err
	}
	w.marked = w.deleted
	return nil
}

// collect removes entries long past their end and reports whether there are more.
func (w *writer) collect(now time.Time) (bool, error) {
	var gone []store.Entry
	before := now.Add(-store.Collectable).UnixMicro()
	err := w.transact(func(ctx context.Context) error {
		var err error
		if gone, err = w.collectable(ctx, before); err != nil {
			return err
		}
		for _, entry := range gone {
			if err := w.delete(ctx, entry.Key, entry.Version); err != nil {
				return err
			}
		}
		return nil
	})
	return len(gone) == collectSize, err
}

func (w *writer) collectable(ctx context.Context, before int64) ([]store.Entry, error) {
	rows, err := w.expired.QueryContext(ctx, before, collectSize)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []store.Entry
	for rows.Next() {
		var entry store.Entry
		if err := rows.Scan(&entry.Key, &entry.Version); err != nil {
			return nil, err
		}
		out = append(out, entry)
	}
	return out, rows.Err()
}
