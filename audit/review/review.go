package review

import (
	"context"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping"
)

// Log is what is read of the audit log.
type Log interface {
	Search(ctx context.Context, q audit.Query) ([]audit.Record, error)
}

// Rows is what is read of the mapping table.
type Rows interface {
	List(ctx context.Context, f mapping.Filter, cursor string, limit int) ([]mapping.Entry, string, error)
}

// Reviewer draws the sheets. Log, Rows and Now are required.
type Reviewer struct {
	Log  Log
	Rows Rows
	// Department names the department of somebody, as far as the directory knows
	// it; nil, or an empty name: not known.
	Department func(ctx context.Context, who identity.Subject) (string, error)
	// Administrators are who may enter the console now, with their roles.
	Administrators []Administrator
	Now            func() time.Time
}

// Administrator is somebody who may enter the console.
type Administrator struct{ Person, Role string }

// Kind names a question.
type Kind string

// The questions.
const (
	Leavers        Kind = "leavers"        // who left, and when their last door closed
	Privileged     Kind = "privileged"     // links that were made to privileged accounts
	Dormant        Kind = "dormant"        // rows in force that nobody came in by
	Access         Kind = "access"         // who may come in, by department, and who agreed
	Administration Kind = "administration" // who administers, and what changed about that
	Failures       Kind = "failures"       // sign-ins that failed, by person and reason
)

// Kinds are the questions in the order of a review.
var Kinds = [...]Kind{Leavers, Privileged, Dormant, Access, Administration, Failures}

// Period is what a review covers: From up to but not including To.
type Period struct{ From, To time.Time }

// Sheet is one answer.
type Sheet struct {
	Kind    Kind       `json:"kind"`
	From    time.Time  `json:"from"`
	To      time.Time  `json:"to"`
	Made    time.Time  `json:"made"`
	Columns []string   `json:"columns"` // names, the same in every language
	Rows    [][]string `json:"rows"`
	// Cut says that there was more than is looked at in one answer: a shorter
	// period shows it.
	Cut bool `json:"cut,omitempty"`
}

// most bounds the records that one sheet looks at, and its rows.
const most = 100_000

// pageOf is how many records are asked for at once.
const pageOf = 1000

// Make answers one question for a period. For Dormant the period is how long
// nobody came in. An unknown kind is identity.Invalid.
func (r *Reviewer) Make(ctx context.Context, kind Kind, p Period) (Sheet, error) {
	s := Sheet{Kind: kind, From: p.From.UTC(), To: p.To.UTC(), Made: r.Now().UTC(), Rows: [][]string{}}
	var err error
	switch kind {
	case Leavers:
		err = r.leavers(ctx, &s)
	case Privileged:
		err = r.privileged(ctx, &s)
	case Dormant:
		err = r.dormant(ctx, &s)
	case Access:
		err = r.access(ctx, &s)
	case Administration:
		err = r.administration(ctx, &s)
	case Failures:
		err = r.failures(ctx, &s)
	default:
		err = identity.Fail(identity.Invalid, identity.CodeBadRequest, "review: no question %q", kind)
	}
	return s, err
}

// add appends a row while there is room.
func (s *Sheet) add(cells ...string) {
	if len(s.Rows) == most {
		s.Cut = true
		return
	}
	s.Rows = append(s.Rows, cells)
}

// each calls fn for what q chooses within the sheet's period, the newest first.
func (r *Reviewer) each(ctx context.Context, s *Sheet, q audit.Query, fn func(audit.Record)) error {
	q.From, q.To, q.Limit = s.From, s.To, pageOf
	for seen := 0; ; {
		page, err := r.Log.Search(ctx, q)
		if err != nil {
			return unread(err)
		}
		for _, record := range page {
			fn(record)
		}
		if seen += len(page); len(page) < pageOf {
			return nil
		}
		if seen >= most {
			s.Cut = true
			return nil
		}
		q.Before = page[len(page)-1].Cursor()
	}
}

func unread(err error) error {
	return identity.Fail(identity.Unavailable, identity.CodeAuditDown, "review: read the log: %w", err)
}

// rows calls fn for every row that f chooses.
func (r *Reviewer) rows(ctx context.Context, f mapping.Filter, fn func(mapping.Entry) error) error {
	for cursor := ""; ; {
		page, next, err := r.Rows.List(ctx, f, cursor, 0)
		if err != nil {
			return err
		}
		for _, row := range page {
			if err := fn(row); err != nil {
				return err
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// newest is the newest record of a person's successful act in a data centre,
// before to; false when there is none.
func (r *Reviewer) newest(ctx context.Context, who, centre string, action audit.Action, p Period) (audit.Record, bool, error) {
	q := audit.Query{Person: who, Action: action, Outcome: audit.OK, From: p.From, To: p.To, Limit: 20}
	for {
		page, err := r.Log.Search(ctx, q)
		if err != nil {
			return audit.Record{}, false, unread(err)
		}
		for _, record := range page {
			if record.Actor == who && (centre == "" || record.DataCentre == centre) {
				return record, true, nil
			}
		}
		if len(page) < q.Limit {
			return audit.Record{}, false, nil
		}
		q.Before = page[len(page)-1].Cursor()
	}
}

// beijing is the zone of every time that people read (F34).
var beijing = time.FixedZone("UTC+8", 8*60*60)

// Stamp is a time as a sheet has it, empty for none.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(beijing).Format("2006-01-02 15:04:05 UTC-07:00")
}
