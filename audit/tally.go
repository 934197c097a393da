package audit

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Tally is how often an action came to one end within one hour.
type Tally struct {
	Hour    time.Time // its beginning, UTC
	Action  Action
	Outcome Outcome
	Reason  string // empty for what went well
	N       int
}

// tallySpan is how many records TalliesAfter looks at in one question.
const tallySpan = 20_000

// Tallies counts the records of some actions since a time, of every replica
// whose records are in the file. upTo is the newest record that was looked at:
// TalliesAfter goes on there. It reads the index, and the records themselves of
// failures only.
func (r *Reader) Tallies(ctx context.Context, actions []Action, from time.Time) (list []Tally, upTo uint64, err error) {
	if upTo, err = r.newest(ctx); err != nil {
		return nil, 0, err
	}
	for _, action := range actions {
		for _, outcome := range []Outcome{OK, Refused, Failed} {
			reason := "''"
			if outcome != OK {
				reason = "ifnull(" + reasonText + ", '')"
			}
			found, err := r.tally(ctx, "SELECT substr(at, 1, 13), action, outcome, "+reason+", count(*) FROM record INDEXED BY record_action"+
				" WHERE action = ? AND outcome = ? AND at >= ? AND id <= ? GROUP BY 1, 4", string(action), string(outcome), stamp(from), upTo)
			if err != nil {
				return nil, 0, err
			}
			list = append(list, found...)
		}
	}
	return list, upTo, nil
}

// TalliesAfter counts the records that came into the file after one, also such
// as another replica wrote long before. When upTo is below the newest record
// there is more to count.
func (r *Reader) TalliesAfter(ctx context.Context, actions []Action, after uint64) (list []Tally, upTo uint64, err error) {
	newest, err := r.newest(ctx)
	if err != nil || newest <= after {
		return nil, max(after, newest), err
	}
	upTo = min(newest, after+tallySpan)
	args := []any{after, upTo}
	for _, action := range actions {
		args = append(args, string(action))
	}
	list, err = r.tally(ctx, "SELECT substr(at, 1, 13), action, outcome, iif(outcome = 'ok', '', ifnull("+reasonText+", '')), count(*) FROM record"+
		" WHERE id > ? AND id <= ? AND +action IN (?"+strings.Repeat(", ?", len(actions)-1)+") GROUP BY 1, 2, 3, 4", args...)
	return list, upTo, err
}

// newest is the ID of the last record in the file, zero in an empty one.
func (r *Reader) newest(ctx context.Context) (id uint64, err error) {
	if err := r.db.QueryRowContext(ctx, "SELECT ifnull(max(id), 0) FROM record").Scan(&id); err != nil {
		return 0, fmt.Errorf("audit: count: %w", err)
	}
	return id, nil
}

func (r *Reader) tally(ctx context.Context, statement string, args ...any) (list []Tally, err error) {
	rows, err := r.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("audit: count: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		var t Tally
		var hour string
		if err := rows.Scan(&hour, &t.Action, &t.Outcome, &t.Reason, &t.N); err != nil {
			return nil, fmt.Errorf("audit: count: %w", err)
		}
		if t.Hour, err = time.Parse(timeForm[:len(hour)], hour); err != nil {
			return nil, fmt.Errorf("audit: count: %w", err)
		}
		list = append(list, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: count: %w", err)
	}
	return list, nil
}
