package audit

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Reader answers questions from a log's file without writing to it, also while
// a gateway writes.
type Reader struct {
	db    *sql.DB
	older bool // the file is a copy of an earlier version's, with other indexes
}

// OpenReader opens the log in dir for reading.
func OpenReader(ctx context.Context, dir string) (*Reader, error) {
	db, err := openReadOnly(ctx, dir)
	if err != nil {
		return nil, err
	}
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return nil, errors.Join(fmt.Errorf("audit: open: %w", err), db.Close())
	}
	return &Reader{db: db, older: version < schemaVersion}, nil
}

// Close releases the file.
func (r *Reader) Close() error { return r.db.Close() }

// Query chooses records; a zero field does not choose.
type Query struct {
	Person    string    // actor or target, as Person names them
	Action    Action    //
	Outcome   Outcome   //
	Reason    string    // exactly, mostly a short code
	RequestID string    // exactly
	From      time.Time // at or after
	To        time.Time // before
	Before    Cursor    // continue after this record, going back in time
	Limit     int       // at most 1,000; default 50
}

// Cursor is a place in the answer to a Query: the last record seen.
type Cursor struct {
	At time.Time
	ID uint64
}

// Cursor is the place of r, for the next page.
func (r Record) Cursor() Cursor { return Cursor{At: r.At, ID: r.ID} }

const (
	defaultLimit = 50
	maxLimit     = 1000
	columns      = "id, body, hash, mac"
)

// Search gives the newest records first. The next page is Query.Before set to
// the last record's Cursor; a page shorter than the limit is the last.
func (r *Reader) Search(ctx context.Context, q Query) ([]Record, error) {
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	q.Limit = min(q.Limit, maxLimit)
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // the places and their records of one moment
	if err != nil {
		return nil, fmt.Errorf("audit: search: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // read only: nothing can be lost
	places, err := q.newest(ctx, tx, !r.older)
	if err != nil || len(places) == 0 {
		return nil, err
	}
	records, err := byID(ctx, tx, places)
	slices.SortFunc(records, func(a, b Record) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.ID, a.ID)) })
	return records, err
}

// byID reads records by their ids, in the order of the file.
func byID(ctx context.Context, db querier, ids []uint64) ([]Record, error) {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	places := strings.TrimSuffix(strings.Repeat("?,", len(ids)), ",")
	rows, err := db.QueryContext(ctx, "SELECT "+columns+" FROM record WHERE id IN ("+places+") ORDER BY id", args...)
	if err != nil {
		return nil, fmt.Errorf("audit: read: %w", err)
	}
	return collect(rows)
}

func collect(rows *sql.Rows) (records []Record, err error) {
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		var id uint64
		var body, hash, mac sql.RawBytes
		if err := rows.Scan(&id, &body, &hash, &mac); err != nil {
			return nil, fmt.Errorf("audit: read: %w", err)
		}
		record, err := decodeRecord(id, body, hash, mac)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: read: %w", err)
	}
	return records, nil
}

// condition is one comparison of a WHERE.
type condition struct {
	text string
	args []any
}

// filters compare row by row: the plus signs keep SQLite from an index whose
// rows it would have to sort again.
func (q Query) filters() []condition {
	var list []condition
	if q.Person != "" {
		person := clean(q.Person, maxText)
		list = append(list, condition{"(+actor = ? OR +target = ?)", []any{person, person}})
	}
	for _, one := range [...]struct{ column, value string }{
		{"action", string(q.Action)},
		{"outcome", string(q.Outcome)},
		{reasonText, clean(q.Reason, maxText)},
		{requestText, clean(q.RequestID, maxID)},
	} {
		if one.value != "" {
			list = append(list, condition{"+" + one.column + " = ?", []any{one.value}})
		}
	}
	return list
}

// span is the part of the time that is left, within the index that leads.
func (q Query) span() []condition {
	var list []condition
	if !q.From.IsZero() {
		list = append(list, condition{"at >= ?", []any{stamp(q.From)}})
	}
	// One upper bound, the lower of the two: of two SQLite takes the first for the
	// index, and would pass over everything between them record by record.
	switch {
	case q.Before.ID != 0 && (q.To.IsZero() || q.Before.At.Before(q.To)):
		list = append(list, condition{"(at, id) < (?, ?)", []any{stamp(q.Before.At), q.Before.ID}})
	case !q.To.IsZero():
		list = append(list, condition{"at < ?", []any{stamp(q.To)}})
	}
	return list
}

func join(conditions []condition) (text string, args []any) {
	var texts []string
	for _, c := range conditions {
		texts = append(texts, c.text)
		args = append(args, c.args...)
	}
	if len(texts) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(texts, " AND "), args
}

func stamp(t time.Time) string { return t.UTC().Format(timeForm) }
