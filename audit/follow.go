package audit

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// followEvery is how often Follow looks for new records.
const followEvery = 250 * time.Millisecond

// gathered is how many ids an export collects before its first record goes out: 8 MB.
// Where there are more, the next one is never far in the file.
const gathered = 1_000_000

// Each calls fn for every record that q chooses, oldest first in the order of
// the file, which is the order of the chains: what an export needs. Before and
// Limit are not used. Between pages it holds no lock, so a long export does not
// keep a running gateway's file from being tidied.
//
// The indexes say first what is chosen, or between which places it lies, so that an
// export of a part does not read a file of millions from its start.
func (r *Reader) Each(ctx context.Context, q Query, fn func(Record) error) error {
	q.Before, q.Limit = Cursor{}, 0
	if q == (Query{}) {
		return r.walk(ctx, q, 1, math.MaxInt64, fn)
	}
	span := Query{From: q.From, To: q.To}
	if q != span {
		chosen, complete, err := q.all(ctx, r.db, !r.older, gathered)
		if err != nil {
			return err
		}
		if complete {
			return r.each(ctx, chosen, fn)
		}
	}
	first, last, err := q.bounds(ctx, r.db, !r.older)
	if err != nil || last == 0 {
		return err
	}
	return r.walk(ctx, q, first, last, fn)
}

func (r *Reader) each(ctx context.Context, chosen []uint64, fn func(Record) error) error {
	for page := range slices.Chunk(chosen, maxLimit) {
		records, err := byID(ctx, r.db, page)
		if err != nil {
			return err
		}
		for _, record := range records {
			if err := fn(record); err != nil {
				return err
			}
		}
	}
	return nil
}

// walk goes through the file from one id to another.
func (r *Reader) walk(ctx context.Context, q Query, first, last uint64, fn func(Record) error) error {
	for after := first - 1; ; {
		page, err := r.page(ctx, q, after)
		if err != nil {
			return err
		}
		for _, record := range page {
			if record.ID > last {
				return nil
			}
			if err := fn(record); err != nil {
				return err
			}
			after = record.ID
		}
		if len(page) < maxLimit || after == last {
			return nil
		}
	}
}

// Follow calls fn for every record with an ID above after, in order, and waits
// for more until ctx ends, whose error it returns.
func (r *Reader) Follow(ctx context.Context, after uint64, fn func(Record) error) error {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		page, err := r.page(ctx, Query{}, after)
		if err != nil {
			return err
		}
		for _, record := range page {
			if err := fn(record); err != nil {
				return err
			}
			after = record.ID
		}
		if len(page) == maxLimit {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// After gives the next records in the order of the file, at most 1,000 whose ID
// is above after. None is the end for now.
func (r *Reader) After(ctx context.Context, after uint64) ([]Record, error) {
	return r.page(ctx, Query{}, after)
}

// page walks in the order of the file. The plus signs keep SQLite from an index
// whose rows it would have to sort again for each page.
func (r *Reader) page(ctx context.Context, q Query, after uint64) ([]Record, error) {
	conditions := []condition{{"id > ?", []any{after}}}
	conditions = append(conditions, q.filters()...)
	if !q.From.IsZero() {
		conditions = append(conditions, condition{"+at >= ?", []any{stamp(q.From)}})
	}
	if !q.To.IsZero() {
		conditions = append(conditions, condition{"+at < ?", []any{stamp(q.To)}})
	}
	where, args := join(conditions)
	rows, err := r.db.QueryContext(ctx, "SELECT "+columns+" FROM record"+where+" ORDER BY id LIMIT ?", append(args, maxLimit)...)
	if err != nil {
		return nil, fmt.Errorf("audit: read: %w", err)
	}
	return collect(rows)
}
