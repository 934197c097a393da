package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// ErrNoRecord is a record that the file does not hold: never written, or
// removed by retention.
var ErrNoRecord = errors.New("audit: no such record")

// Record gives the record with number seq in a replica's chain.
func (r *Reader) Record(ctx context.Context, replica string, seq uint64) (Record, error) {
	rows, err := r.db.QueryContext(ctx, "SELECT "+columns+" FROM record WHERE replica = ? AND seq = ?", replica, seq)
	if err != nil {
		return Record{}, fmt.Errorf("audit: read: %w", err)
	}
	found, err := collect(rows)
	if err != nil {
		return Record{}, err
	}
	if len(found) == 0 {
		return Record{}, fmt.Errorf("%w: %d of %s", ErrNoRecord, seq, replica)
	}
	return found[0], nil
}

// Chain is where one replica's chain stands in this file. It is told, not
// proved: that is Verify's.
type Chain struct {
	Replica string
	First   uint64    // Seq of the oldest record that is held
	Last    uint64    // Seq of the newest
	LastAt  time.Time // its time
	Head    Digest    // its hash
	Sworn   uint64    // Seq that the newest checkpoint names, zero without one
	SwornAt time.Time // when it was signed
	Trimmed uint64    // records up to this one were removed by retention
}

// Chains tells of every replica whose records the file holds, by name.
func (r *Reader) Chains(ctx context.Context) ([]Chain, error) {
	replicas, err := r.replicas(ctx)
	if err != nil {
		return nil, err
	}
	chains := make([]Chain, 0, len(replicas))
	for _, replica := range replicas {
		chain, err := r.chain(ctx, replica)
		if err != nil {
			return nil, err
		}
		chains = append(chains, chain)
	}
	return chains, nil
}

// replicas goes from name to name in the index: SELECT DISTINCT would read all of it.
func (r *Reader) replicas(ctx context.Context) ([]string, error) {
	var names []string
	for last := ""; ; {
		var next sql.NullString
		if err := r.db.QueryRowContext(ctx, "SELECT min(replica) FROM record WHERE replica > ?", last).Scan(&next); err != nil {
			return nil, fmt.Errorf("audit: read the chains: %w", err)
		}
		if !next.Valid {
			return names, nil
		}
		last = next.String
		names = append(names, last)
	}
}

func (r *Reader) chain(ctx context.Context, replica string) (Chain, error) {
	c := Chain{Replica: replica}
	err := r.db.QueryRowContext(ctx, "SELECT seq FROM record WHERE replica = ? ORDER BY seq LIMIT 1", replica).Scan(&c.First)
	if err != nil {
		return c, fmt.Errorf("audit: read chain %s: %w", replica, err)
	}
	tip, err := tipOf(ctx, r.db, replica)
	if err != nil {
		return c, err
	}
	newest, err := r.Record(ctx, replica, tip.seq)
	if err != nil {
		return c, err
	}
	c.Last, c.LastAt, c.Head = newest.Seq, newest.At, newest.Hash
	if c.Sworn, c.SwornAt, err = r.signedPlace(ctx, "checkpoint", replica); err != nil {
		return c, err
	}
	c.Trimmed, _, err = r.signedPlace(ctx, "trim", replica)
	return c, err
}

// signedPlace reads what a replica's line of a table names, zero without one.
func (r *Reader) signedPlace(ctx context.Context, table, replica string) (uint64, time.Time, error) {
	raw, err := signedOf(ctx, r.db, table, replica)
	if err != nil || raw == nil {
		return 0, time.Time{}, err
	}
	line, err := parseLine(raw)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("audit: the %s of %s: %w", table, replica, err)
	}
	return line.Seq, line.At, nil
}
