package audit

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Reader answers questions from a log's file without writing to it, also while
// a gateway writes.
type Reader struct{ db *sql.DB }

// OpenReader opens the log in dir for reading.
func OpenReader(ctx context.Context, dir string) (*Reader, error) {
	db, err := openReadOnly(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &Reader{db: db}, nil
}

// Close releases the file.
func (r *Reader) Close() error { return r.db.Close() }

// Query chooses records; a zero field does not choose.
type Query struct {
	Person  string    // actor or target, as Person names them
	Action  Action    //
	Outcome Outcome   //
	From    time.Time // at or after
	To      time.Time // before
	Before  Cursor    // continue after this record, going back in time
	Limit   int       // at most 1,000; default 50
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
	statement, args := q.statement()
	rows, err := r.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("audit: search: %w", err)
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

// statement asks each index for its newest rows and merges them, so that a page
// costs the same in a file of millions. A person is looked for in two indexes;
// without an outcome an action is looked for in three places of one.
func (q Query) statement() (text string, args []any) {
	var selects []string
	for _, branch := range q.branches() {
		where, values := q.where(branch)
		selects = append(selects, "SELECT * FROM (SELECT "+columns+", at FROM record"+where+
			" ORDER BY at DESC, id DESC LIMIT ?)")
		args = append(append(args, values...), q.Limit)
	}
	text = "SELECT " + columns + " FROM (" + strings.Join(selects, " UNION ") + ") ORDER BY at DESC, id DESC LIMIT ?"
	return text, append(args, q.Limit)
}

func (q Query) branches() [][]condition {
	outcome := func(o Outcome) condition { return condition{"outcome = ?", []any{string(o)}} }
	if q.Person != "" {
		person := clean(q.Person, maxText)
		return [][]condition{
			{{"actor = ?", []any{person}}},
			{{"target = ?", []any{person}}},
		}
	}
	if q.Outcome != "" {
		return [][]condition{{outcome(q.Outcome)}}
	}
	return [][]condition{{outcome(OK)}, {outcome(Refused)}, {outcome(Failed)}}
}

func (q Query) where(conditions []condition) (text string, args []any) {
	if q.Action != "" {
		conditions = append(conditions, condition{"action = ?", []any{string(q.Action)}})
	}
	if q.Person != "" && q.Outcome != "" {
		conditions = append(conditions, condition{"outcome = ?", []any{string(q.Outcome)}})
	}
	if !q.From.IsZero() {
		conditions = append(conditions, condition{"at >= ?", []any{stamp(q.From)}})
	}
	if !q.To.IsZero() {
		conditions = append(conditions, condition{"at < ?", []any{stamp(q.To)}})
	}
	if q.Before.ID != 0 {
		conditions = append(conditions, condition{"(at, id) < (?, ?)", []any{stamp(q.Before.At), q.Before.ID}})
	}
	return join(conditions)
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
