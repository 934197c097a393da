package consent

import (
	"context"
	"net/url"
	"strings"

	"kdgate/store"
)

// Filter narrows a list; empty members admit all.
type Filter struct {
	Corp  string
	State State
	Way   Way
	Text  string // part of a userid
}

func (f Filter) admits(r Row) bool {
	return (f.State == "" || r.State == f.State) && (f.Way == "" || r.Way == f.Way) &&
		(f.Text == "" || strings.Contains(strings.ToLower(r.UserID), strings.ToLower(f.Text)))
}

func (f Filter) prefix() string {
	if f.Corp == "" {
		return prefix
	}
	return prefix + url.PathEscape(f.Corp) + "/"
}

// List gives rows by person, at most limit of them after a place that an earlier
// page gave; next is the place to go on, empty at the end.
func (g *Register) List(ctx context.Context, f Filter, after string, limit int) (rows []Row, next string, err error) {
	mark := ""
	if after != "" {
		mark = prefix + after
	}
	for {
		page, err := g.cfg.Store.Scan(ctx, f.prefix(), mark, store.MaxPage)
		if err != nil {
			return nil, "", down(err)
		}
		for _, entry := range page {
			mark = entry.Key
			row, err := decode(entry)
			if err != nil {
				return nil, "", err
			}
			if !f.admits(row) {
				continue
			}
			if rows = append(rows, row); len(rows) == limit {
				return rows, mark[len(prefix):], nil
			}
		}
		if len(page) < store.MaxPage {
			return rows, "", nil
		}
	}
}

// each calls fn for every row that fits.
func (g *Register) each(ctx context.Context, f Filter, fn func(Row) error) error {
	for after := ""; ; {
		rows, next, err := g.List(ctx, f, after, store.MaxPage)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := fn(row); err != nil {
				return err
			}
		}
		if after = next; after == "" {
			return nil
		}
	}
}

// Agreed are the userids of an organisation who have agreed to a version.
func (g *Register) Agreed(ctx context.Context, corp, version string) (map[string]bool, error) {
	all := map[string]bool{}
	err := g.each(ctx, Filter{Corp: corp}, func(r Row) error {
		if r.Counts(version) {
			all[r.UserID] = true
		}
		return nil
	})
	return all, err
}

// Tally is how many people said what.
type Tally struct {
	Given     int `json:"given"`     // to the version in force
	Earlier   int `json:"earlier"`   // to another version: they are asked anew
	Withdrawn int `json:"withdrawn"` //
}

// Tally counts an organisation's rows.
func (g *Register) Tally(ctx context.Context, corp, version string) (Tally, error) {
	var t Tally
	err := g.each(ctx, Filter{Corp: corp}, func(r Row) error {
		switch {
		case r.Counts(version):
			t.Given++
		case r.State == Given:
			t.Earlier++
		default:
			t.Withdrawn++
		}
		return nil
	})
	return t, err
}
