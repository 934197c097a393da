package audit

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// A question is answered branch by branch. The indexes begin with what is
// looked for (nothing, a person, a reason), then action and outcome, then the
// time: where action and outcome are known too, one place in the index holds exactly
// what is asked for, in order, and its newest 50 cost the same in a file of millions.
// Where they are not known there is a branch for each pair that occurs; the pairs
// are found by leaps through the index, and there are few: who does something, and
// why it fails, does not change the list of actions.

// busy is how many records of one person are looked at one by one.
const busy = 1000

// lead is the part of a question that chooses the index, and in it the first column.
type lead struct {
	column, value string // no column: everything
	single        bool   // few records share the value: no branches
	person        string // column that the person stands in, compared within the index of reasons
	who           string
}

// leads say where to look, and rest what is left to be compared record by
// record: what few records share comes first. A person is looked for in two indexes.
func (q Query) leads(ctx context.Context, db querier) (leads []lead, rest Query, err error) {
	rest = q
	person, reason := clean(q.Person, maxText), clean(q.Reason, maxText)
	byPerson := q.Person != ""
	if byPerson && q.Reason != "" {
		// Of somebody with few records the reason is read in each; of somebody with
		// many the index of reasons, which holds the person too, is the shorter way.
		if byPerson, err = isFew(ctx, db, person); err != nil {
			return nil, rest, err
		}
	}
	switch {
	case q.RequestID != "":
		rest.RequestID = ""
		leads = []lead{{column: requestText, value: clean(q.RequestID, maxID), single: true}}
	case byPerson:
		rest.Person = ""
		leads = []lead{{column: "actor", value: person}, {column: "target", value: person}}
	case q.Reason != "":
		rest.Reason, rest.Person = "", ""
		leads = []lead{{column: reasonText, value: reason}}
		if q.Person != "" {
			leads = []lead{{column: reasonText, value: reason, person: "actor", who: person}, {column: reasonText, value: reason, person: "target", who: person}}
		}
	default:
		leads = []lead{{}}
	}
	return leads, rest, nil
}

// isFew reports whether a person has so few records that all can be read.
func isFew(ctx context.Context, db querier, person string) (bool, error) {
	const question = "SELECT count(*) FROM (SELECT 1 FROM record WHERE %s = ? LIMIT ?)"
	for _, column := range [...]string{"actor", "target"} {
		counts, err := ids(ctx, db, fmt.Sprintf(question, column), person, busy+1)
		if err != nil {
			return false, err
		}
		if counts[0] > busy {
			return false, nil
		}
	}
	return true, nil
}

// pair is an action and how it ended.
type pair struct {
	action  string
	outcome string
}

// pairs are those that occur with l and that q chooses, one leap each.
func (l lead) pairs(ctx context.Context, db querier, q Query) ([]pair, error) {
	if q.Action != "" {
		if q.Outcome != "" {
			return []pair{{string(q.Action), string(q.Outcome)}}, nil
		}
		return []pair{{string(q.Action), string(OK)}, {string(q.Action), string(Refused)}, {string(q.Action), string(Failed)}}, nil
	}
	var found []pair
	for last := (pair{}); ; {
		// First another outcome of the same action, then the next action. One
		// comparison of both columns would read all records of the action.
		next, err := l.leap(ctx, db, condition{"action = ?", []any{last.action}}, condition{"outcome > ?", []any{last.outcome}})
		if errors.Is(err, sql.ErrNoRows) {
			next, err = l.leap(ctx, db, condition{"action > ?", []any{last.action}})
		}
		if errors.Is(err, sql.ErrNoRows) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if last = next; q.Outcome == "" || last.outcome == string(q.Outcome) {
			found = append(found, last)
		}
	}
}

// leap finds the first pair in l's index that fits.
func (l lead) leap(ctx context.Context, db querier, fitting ...condition) (pair, error) {
	statement, args := l.leapTo(fitting...)
	return onePair(ctx, db, statement, args)
}

func (l lead) leapTo(fitting ...condition) (statement string, args []any) {
	where, args := join(append(l.conditions(), fitting...))
	return "SELECT action, outcome FROM record" + where + " ORDER BY action, outcome LIMIT 1", args
}

func onePair(ctx context.Context, db querier, statement string, args []any) (p pair, err error) {
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return p, fmt.Errorf("audit: search: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	if !rows.Next() {
		return p, cmp.Or(rows.Err(), sql.ErrNoRows)
	}
	if err := rows.Scan(&p.action, &p.outcome); err != nil {
		return p, fmt.Errorf("audit: search: %w", err)
	}
	return p, nil
}

func (l lead) conditions() []condition {
	if l.column == "" {
		return nil
	}
	return []condition{{l.column + " = ?", []any{l.value}}}
}

// within compares a person by what the index of reasons holds of them.
func (l lead) within() []condition {
	if l.person == "" {
		return nil
	}
	return []condition{{l.person + " = ?", []any{l.who}}}
}

// branch is one statement's FROM and WHERE.
type branch struct {
	index string // the one to go by; empty: SQLite chooses
	where []condition
}

// sql completes a branch.
func (b branch) sql(columns, rest string, more ...any) (statement string, args []any) {
	where, args := join(b.where)
	from := " FROM record"
	if b.index != "" {
		from += " INDEXED BY " + b.index
	}
	return "SELECT " + columns + from + where + rest, append(args, more...)
}

// index is the one that holds what l looks for. SQLite knows no numbers of this
// file, and would sometimes go by an action that thousands share.
func (l lead) index() string {
	switch l.column {
	case "":
		return "record_action"
	case reasonText:
		return "record_reason_did"
	default:
		return "record_" + l.column + "_did"
	}
}

// branches together find what q chooses. hint says that the file has the indexes
// of this version; a copy of an older one is read without.
func (q Query) branches(ctx context.Context, db querier, hint bool) (branches []branch, err error) {
	leads, rest, err := q.leads(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, l := range leads {
		if l.single {
			branches = append(branches, branch{where: slices.Concat(l.conditions(), rest.filters(), q.span())})
			continue
		}
		pairs, err := l.pairs(ctx, db, q)
		if err != nil {
			return nil, err
		}
		rest.Action, rest.Outcome = "", ""
		for _, p := range pairs {
			of := append(l.conditions(), condition{"action = ?", []any{p.action}}, condition{"outcome = ?", []any{p.outcome}})
			b := branch{where: slices.Concat(of, l.within(), rest.filters(), q.span())}
			if hint {
				b.index = l.index()
			}
			branches = append(branches, b)
		}
	}
	return branches, nil
}

// place is where a record stands in the order of an answer.
type place struct {
	at string
	id uint64
}

// newest are the ids of the newest records that q chooses, at most its limit.
func (q Query) newest(ctx context.Context, db querier, hint bool) ([]uint64, error) {
	branches, err := q.branches(ctx, db, hint)
	if err != nil {
		return nil, err
	}
	var places []place
	for _, branch := range branches {
		statement, args := branch.newest(q.Limit)
		if places, err = appendPlaces(ctx, db, places, statement, args); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.id, a.id)) })
	places = slices.Compact(places) // who is actor and target of a record is found twice
	newest := make([]uint64, 0, q.Limit)
	for _, p := range places[:min(q.Limit, len(places))] {
		newest = append(newest, p.id)
	}
	return newest, nil
}

func (b branch) newest(limit int) (statement string, args []any) {
	return b.sql("at, id", " ORDER BY at DESC, id DESC LIMIT ?", limit)
}

func appendPlaces(ctx context.Context, db querier, places []place, statement string, args []any) ([]place, error) {
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("audit: search: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		var p place
		if err := rows.Scan(&p.at, &p.id); err != nil {
			return nil, fmt.Errorf("audit: search: %w", err)
		}
		places = append(places, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: search: %w", err)
	}
	return places, nil
}

// all are the ids of every record that q chooses, in the order of the file, unless
// there are more than limit.
func (q Query) all(ctx context.Context, db querier, hint bool, limit int) (found []uint64, complete bool, err error) {
	branches, err := q.branches(ctx, db, hint)
	if err != nil {
		return nil, false, err
	}
	for _, branch := range branches {
		statement, args := branch.sql("id", " LIMIT ?", limit+1-len(found))
		some, err := ids(ctx, db, statement, args...)
		if err != nil {
			return nil, false, err
		}
		if found = append(found, some...); len(found) > limit {
			return nil, false, nil
		}
	}
	slices.Sort(found)
	return slices.Compact(found), true, nil
}

// bounds are the first and the last id of the records that q chooses, both zero
// when there are none.
func (q Query) bounds(ctx context.Context, db querier, hint bool) (first, last uint64, err error) {
	branches, err := q.branches(ctx, db, hint)
	if err != nil {
		return 0, 0, err
	}
	for _, branch := range branches {
		statement, args := branch.sql("coalesce(min(id), 0), coalesce(max(id), 0)", "")
		low, high, err := pairOf(ctx, db, statement, args)
		if err != nil {
			return 0, 0, err
		}
		if low > 0 && (first == 0 || low < first) {
			first = low
		}
		last = max(last, high)
	}
	return first, last, nil
}

func pairOf(ctx context.Context, db querier, statement string, args []any) (low, high uint64, err error) {
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return 0, 0, fmt.Errorf("audit: search: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		if err := rows.Scan(&low, &high); err != nil {
			return 0, 0, fmt.Errorf("audit: search: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return 0, 0, fmt.Errorf("audit: search: %w", err)
	}
	return low, high, nil
}

func ids(ctx context.Context, db querier, statement string, args ...any) (list []uint64, err error) {
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("audit: search: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		var id uint64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("audit: search: %w", err)
		}
		list = append(list, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: search: %w", err)
	}
	return list, nil
}
