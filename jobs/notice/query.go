package notice

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/kingdee"
)

// Asker answers questions about a data centre; *kingdee.Client is one.
type Asker interface {
	LowStock(ctx context.Context) ([]kingdee.StockLevel, error)
	Query(ctx context.Context, q kingdee.Query) ([][]string, error)
}

// StockRows are materials below their safety stock (F70).
func StockRows(levels []kingdee.StockLevel) []Row {
	rows := make([]Row, 0, len(levels))
	for _, level := range levels {
		rows = append(rows, Row{Key: level.Material, Text: fmt.Sprintf("%s（%s）：现存 **%s**，安全库存 %s",
			escape(level.Name), escape(level.Material), level.Quantity, level.SafetyStock)})
	}
	return rows
}

// Condition is one condition of a query as configurations write it.
type Condition struct {
	Field  string
	Is     string   // one of Comparisons
	Values []string // one, or for "in" up to 200
}

// Comparisons lists what Condition.Is may be: equal, one of several, holding a
// part; numbers below, at least and above; dates not before and before a day
// (2026-01-31), or that long ago (24h, 7d).
func Comparisons() []string {
	return []string{"=", "in", "contains", "<", ">=", ">", "since", "before"}
}

// ErrCondition is a condition that makes no sense.
var ErrCondition = errors.New("notice: not a condition")

// Filter makes the filter of conditions; all must hold.
func Filter(conditions []Condition, now time.Time) (kingdee.Filter, error) {
	var all []kingdee.Filter
	for _, c := range conditions {
		one, err := c.filter(now)
		if err != nil {
			return kingdee.Filter{}, fmt.Errorf("%w: %s %s: %w", ErrCondition, c.Field, c.Is, err)
		}
		all = append(all, one)
	}
	return kingdee.Where(all...), nil
}

func (c Condition) filter(now time.Time) (kingdee.Filter, error) {
	if c.Is == "in" && len(c.Values) > 0 {
		return kingdee.Is(c.Field, c.Values...), nil
	}
	if len(c.Values) != 1 {
		return kingdee.Filter{}, errors.New("it takes one value")
	}
	value := c.Values[0]
	number := func(compare func(string, kingdee.Decimal) kingdee.Filter) (kingdee.Filter, error) {
		if !kingdee.Decimal(value).Valid() {
			return kingdee.Filter{}, errors.New("the value is no number")
		}
		return compare(c.Field, kingdee.Decimal(value)), nil
	}
	moment := func(compare func(string, time.Time) kingdee.Filter) (kingdee.Filter, error) {
		t, err := ParseMoment(value, now)
		return compare(c.Field, t), err
	}
	switch c.Is {
	case "=":
		return kingdee.Is(c.Field, value), nil
	case "contains":
		return kingdee.Contains(c.Field, value), nil
	case "<":
		return number(kingdee.Below)
	case ">=":
		return number(kingdee.NotBelow)
	case ">":
		return number(kingdee.Above)
	case "since":
		return moment(kingdee.Since)
	case "before":
		return moment(kingdee.Before)
	}
	return kingdee.Filter{}, errors.New("no such comparison")
}

// ParseMoment reads a day in UTC+8 (2026-01-31), "today", or a time ago: 24h, 7d.
func ParseMoment(text string, now time.Time) (time.Time, error) {
	local := now.In(zone())
	today := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, local.Location())
	if text == "today" {
		return today, nil
	}
	if at, err := time.ParseInLocation(time.DateOnly, text, zone()); err == nil {
		return at, nil
	}
	var days int
	if n, err := fmt.Sscanf(text, "%dd", &days); n == 1 && err == nil && text == fmt.Sprintf("%dd", days) && days >= 0 && days <= 3650 {
		return today.AddDate(0, 0, -days), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 && d <= 3650*24*time.Hour {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%.40q is neither a day, nor today, nor a time ago such as 24h or 7d", text)
}

// Column is a field that a row shows.
type Column struct {
	Field string
	Title string // empty: the value alone
}

// Inquiry is a watched query on any form.
type Inquiry struct {
	Form    string
	Key     string // field that names a record, by which the answer is ordered; mostly the internal id
	Columns []Column
	Where   []Condition
	Link    func(key string) string // nil: rows have no link
}

// pageSize of queries; Kingdee gives at most 2,000 at once.
const pageSize = 1000

// Rows asks for everything that fits.
func (q Inquiry) Rows(ctx context.Context, asker Asker, now time.Time) ([]Row, error) {
	fields := []string{q.Key}
	for _, c := range q.Columns {
		fields = append(fields, c.Field)
	}
	var rows []Row
	err := each(ctx, asker, q.Form, fields, q.Where, now, func(cells []string) error {
		if len(rows) > mostRows {
			return identity.Fail(identity.Invalid, identity.CodeBadRequest, "%w", ErrTooMany)
		}
		row := Row{Key: cells[0]}
		parts := make([]string, 0, len(q.Columns))
		for i, c := range q.Columns {
			text := escape(cells[i+1])
			if c.Title != "" {
				text = c.Title + " " + text
			}
			parts = append(parts, text)
		}
		row.Text = strings.Join(parts, " · ")
		if q.Link != nil {
			row.Link = q.Link(cells[0])
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// each gives every record of a query to do, page by page.
func each(ctx context.Context, asker Asker, form string, fields []string, where []Condition, now time.Time, do func([]string) error) error { //nolint:revive // it is one question
	filter, err := Filter(where, now)
	if err != nil {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "%w", err)
	}
	for start := 0; ; start += pageSize {
		page, err := asker.Query(ctx, kingdee.Query{Form: form, Fields: fields, Filter: filter, Page: kingdee.Page{Start: start, Limit: pageSize}})
		if err != nil {
			return err
		}
		for _, cells := range page {
			if err := do(cells); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
	}
}

// Figure is one number of a digest: the sum of a field.
type Figure struct {
	Title string
	Form  string
	Key   string // field that the answer is ordered by
	Field string
	Where []Condition
	Cost  bool // what it adds up to is spent
}

// sum adds the field up exactly: no float ever holds an amount.
func (f Figure) sum(ctx context.Context, asker Asker, now time.Time) (*big.Rat, error) {
	total, seen := new(big.Rat), 0
	err := each(ctx, asker, f.Form, []string{f.Key, f.Field}, f.Where, now, func(cells []string) error {
		if seen++; seen > 100*mostRows {
			return identity.Fail(identity.Invalid, identity.CodeBadRequest, "%w", ErrTooMany)
		}
		amount := kingdee.Decimal(cells[1])
		if amount == "" {
			return nil
		}
		one, ok := new(big.Rat).SetString(string(amount))
		if !ok || !amount.Valid() {
			return identity.Fail(identity.Upstream, identity.CodeKingdeeSetup, "notice: %s of %s holds what is no plain number", f.Field, f.Form)
		}
		total.Add(total, one)
		return nil
	})
	if f.Cost {
		total.Neg(total)
	}
	return total, err
}
