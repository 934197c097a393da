package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// MinRetention is the shortest time that records are kept: six months, which
// network logs must be (Cybersecurity Law of the PRC, article 21).
const MinRetention = 183 * 24 * time.Hour

// trimChunk is how many records go in one transaction; appends run in between.
const trimChunk = 5000

// Trim removes the records of whole UTC days before the given time, from the
// start of each chain only and never a chain's last record. It is the one way
// that anything leaves the log. A record of it is appended first; a signed
// statement of what the chain now begins after is written in the transaction
// that removes, so Verify passes at every moment. The count is of records removed.
func (l *Log) Trim(ctx context.Context, before time.Time) (removed uint64, err error) {
	cutoff := before.UTC().Truncate(24 * time.Hour)
	if cutoff.After(l.config.Now().Add(-MinRetention)) {
		return 0, fmt.Errorf("audit: trim: records are kept for %d days, %s is newer", MinRetention/(24*time.Hour), stamp(before))
	}
	replicas, err := texts(ctx, l.db, "SELECT DISTINCT replica FROM record")
	if err != nil {
		return 0, err
	}
	for _, replica := range replicas {
		n, err := l.trimChain(ctx, replica, cutoff)
		removed += n
		if err != nil {
			return removed, fmt.Errorf("audit: trim %s: %w", replica, err)
		}
	}
	return removed, nil
}

func (l *Log) trimChain(ctx context.Context, replica string, cutoff time.Time) (removed uint64, err error) {
	first, last, err := l.trimRange(ctx, replica, cutoff)
	if err != nil || last < first {
		return 0, err
	}
	err = l.Append(ctx, Event{
		Action: ActionTrim, Outcome: OK, Actor: System, Target: replica,
		Detail: map[string]string{
			"first": strconv.FormatUint(first, 10), "last": strconv.FormatUint(last, 10), "before": stamp(cutoff),
		},
	})
	if err != nil {
		return 0, err
	}
	for from := first; from <= last; from += trimChunk {
		to := min(from+trimChunk-1, last)
		if err := l.trimTo(ctx, replica, to); err != nil {
			return from - first, err
		}
	}
	return last - first + 1, nil
}

// trimRange is the run of records from the chain's start that are all older
// than cutoff, without the chain's last record. It is empty when last < first.
func (l *Log) trimRange(ctx context.Context, replica string, cutoff time.Time) (first, last uint64, err error) {
	var end, young sql.NullInt64
	err = l.Reader.db.QueryRowContext(ctx, "SELECT min(seq), max(seq) FROM record WHERE replica = ?", replica).Scan(&first, &end)
	if err != nil {
		return 0, 0, err
	}
	err = l.Reader.db.QueryRowContext(ctx,
		"SELECT seq FROM record WHERE replica = ? AND +at >= ? ORDER BY seq LIMIT 1", replica, stamp(cutoff)).Scan(&young)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, 0, err
	}
	last = uint64(end.Int64) - 1
	if young.Valid {
		last = min(last, uint64(young.Int64)-1)
	}
	return first, last, nil
}

func (l *Log) trimTo(ctx context.Context, replica string, seq uint64) error {
	tx, err := l.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	gone := signedLine{Kind: kindTrim, Replica: replica, Seq: seq, At: l.config.Now()}
	var hash []byte
	if err := tx.QueryRowContext(ctx, "SELECT hash FROM record WHERE replica = ? AND seq = ?", replica, seq).Scan(&hash); err != nil {
		return err
	}
	if !fill(&gone.Hash, hash) {
		return errNotRecord
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM record WHERE replica = ? AND seq <= ?", replica, seq); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO trim (replica, line) VALUES (?, ?) ON CONFLICT (replica) DO UPDATE SET line = excluded.line",
		replica, string(gone.sign(l.keys.sign)))
	if err != nil {
		return err
	}
	return tx.Commit()
}
