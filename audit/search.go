package audit

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
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
	leads, rest := q.leads()
	for _, lead := range leads {
		where, values := join(slices.Concat(lead, rest.filters(), q.span()))
		selects = append(selects, "SELECT * FROM (SELECT "+columns+", at FROM record"+where+
			" ORDER BY at DESC, id DESC LIMIT ?)")
		args = append(append(args, values...), q.Limit)
	}
	text = "SELECT " + columns + " FROM (" + strings.Join(selects, " UNION ") + ") ORDER BY at DESC, id DESC LIMIT ?"
	return text, append(args, q.Limit)
}

// leads are the conditions that pick the index of each branch: what few records
// share comes first. rest is what the lead leaves to be compared row by row.
func (q Query) leads() (leads [][]condition, rest Query) {
	is := func(column, value string) condition { return condition{column + " = ?", []any{value}} }
	rest = q
	switch {
	case q.RequestID != "":
		rest.RequestID = ""
		return [][]condition{{is(requestText, clean(q.RequestID, maxID))}}, rest
	case q.Person != "":
		rest.Person = ""
		person := clean(q.Person, maxText)
		return [][]condition{{is("actor", person)}, {is("target", person)}}, rest
	case q.Reason != "":
		rest.Reason = ""
		return [][]condition{{is(reasonText, clean(q.Reason, maxText))}}, rest
	}
	rest.Action, rest.Outcome = "", ""
	outcomes := []Outcome{OK, Refused, Failed}
	if q.Outcome != "" {
		outcomes = []Outcome{q.Outcome}
	}
	for _, outcome := range outcomes {
		lead := []condition{is("outcome", string(outcome))}
		if q.Action != "" {
			lead = append(lead, is("action", string(q.Action)))
		}
		leads = append(leads, lead)
	}
	return leads, rest
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
	if !q.To.IsZero() {
		list = append(list, condition{"at < ?", []any{stamp(q.To)}})
	}
	if q.Before.ID != 0 {
		list = append(list, condition{"(at, id) < (?, ?)", []any{stamp(q.Before.At), q.Before.ID}})
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
