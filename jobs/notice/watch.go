package notice

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
	"kdgate/store"
)

const (
	// mostRows bounds what a watch may find: more is a mistake in its filter.
	mostRows = 5000
	// mostLines is how many rows a notice names; the others are counted.
	mostLines = 12
)

// Row is one thing that a watch has found.
type Row struct {
	Key  string // names the thing
	Text string // Markdown of one line; texts of others are to be escaped
	Link string // where the thing itself opens; may be empty
}

// Watch makes news of what a query finds: a row is told when it was not there
// the last time, and forgotten when it is gone.
type Watch struct {
	Name  string // names what was told last: a-z, 0-9 and dash
	Topic string
	Title string
	Rows  func(ctx context.Context) ([]Row, error)
	Words func(news []Row) string // nil: a line for each row

	To, Fallbacks []Address
	Sensitive     bool
	Changed       bool   // tell a row again when its text is another
	Link          string // of the list, when there is more than one row
}

// told is what a watch remembers: digests of keys and texts.
type told struct {
	Rows map[string]string `json:"rows"`
	N    uint64            `json:"n"` // notices sent so far

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// ErrTooMany is a watch that finds more than anybody could be told.
var ErrTooMany = fmt.Errorf("notice: a watch finds more than %d rows: narrow its filter", mostRows)

var namePattern = lazyregexp.New(`^[a-z0-9][a-z0-9-]{0,39}$`)

// sight is one look of a watch: what it told before, and what is news now.
type sight struct {
	before, after told
	version       store.Version // of what was told before
	found         int
	news          []Row
}

// see asks once and writes nothing.
func (o *Outbox) see(ctx context.Context, w *Watch) (s sight, err error) {
	if !namePattern().MatchString(w.Name) || w.Rows == nil {
		return s, refused(fmt.Errorf("%.40q names no watch", w.Name))
	}
	if s.before, s.version, err = o.told(ctx, w.Name); err != nil {
		return s, err
	}
	rows, err := w.Rows(ctx)
	switch {
	case err != nil:
		return s, err // what could not be asked is neither news nor gone
	case len(rows) > mostRows:
		return s, identity.Fail(identity.Invalid, identity.CodeBadRequest, "%w", ErrTooMany)
	}
	s.found = len(rows)
	s.after, s.news = s.before.compare(rows, w.Changed)
	return s, nil
}

// Look asks once and tells what is new; n is how many rows that is. What was
// told is remembered in the Commit that puts the notice into the outbox, so a
// crash tells nothing twice and forgets nothing. The ops in with hold both to
// the same expectation, such as being the one replica that looks.
func (o *Outbox) Look(ctx context.Context, w Watch, with ...store.Op) (n int, err error) {
	seen, err := o.see(ctx, &w)
	if err != nil || len(seen.news) == 0 && len(seen.after.Rows) == len(seen.before.Rows) {
		return 0, err
	}
	remember, err := seen.after.op(w.Name, seen.version)
	if err != nil {
		return 0, err
	}
	with = append(with, remember)
	if len(seen.news) == 0 {
		if err := o.cfg.Store.Commit(ctx, with...); err != nil {
			return 0, storeError(err)
		}
		return 0, nil
	}
	return len(seen.news), o.Send(ctx, w.notice(seen.news, seen.after.N), with...)
}

// compare gives what is to be remembered of rows, and which of them are news.
func (t told) compare(rows []Row, changed bool) (after told, news []Row) {
	after = told{Rows: make(map[string]string, len(rows)), N: t.N, Unknown: t.Unknown}
	for _, row := range rows {
		key, text := digest(row.Key), digest(row.Text)
		if had, known := t.Rows[key]; !known || changed && had != text {
			news = append(news, row)
		}
		after.Rows[key] = text
	}
	if len(news) > 0 {
		after.N++
	}
	return after, news
}

func (o *Outbox) told(ctx context.Context, name string) (told, store.Version, error) {
	entry, err := o.cfg.Store.Get(ctx, prefixTold+name)
	if errors.Is(err, store.ErrNotFound) {
		return told{}, 0, nil
	}
	if err != nil {
		return told{}, 0, storeError(err)
	}
	var t told
	if err := json.Unmarshal(entry.Value, &t); err != nil {
		return told{}, 0, identity.Fail(identity.Internal, identity.CodeInternal, "notice: %q: %w", entry.Key, err)
	}
	return t, entry.Version, nil
}

func (t *told) op(name string, over store.Version) (store.Op, error) {
	value, err := json.Marshal(t, json.Deterministic(true))
	if err != nil {
		return store.Op{}, identity.Fail(identity.Internal, identity.CodeInternal, "notice: encode what was told: %w", err)
	}
	return store.Over(prefixTold+name, value, over), nil
}

// notice is the nth notice of a watch. Its key hangs on the news too: were a
// crash to come between two of its letters, other news would be another notice.
func (w *Watch) notice(news []Row, n uint64) Notice {
	parts := []string{w.Name, fmt.Sprint(n)}
	for _, row := range news {
		parts = append(parts, row.Key, row.Text)
	}
	words := w.Words
	if words == nil {
		words = Lines
	}
	one := Notice{
		Key: "watch/" + w.Name + "/" + digest(parts...), Topic: w.Topic, To: w.To, Title: w.Title, Text: words(news),
		Link: w.Link, Sensitive: w.Sensitive, Fallbacks: w.Fallbacks,
	}
	if len(news) == 1 && news[0].Link != "" {
		one.Link = news[0].Link
	}
	return one
}

// Lines says rows line by line, so many as a message has room for.
func Lines(rows []Row) string {
	var b strings.Builder
	for i, row := range rows {
		if i == mostLines {
			fmt.Fprintf(&b, "\n\n另有 %d 条", len(rows)-i)
			break
		}
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString("- " + row.Text)
		if row.Link != "" && len(rows) > 1 {
			b.WriteString(" [" + defaultLink + "](" + row.Link + ")")
		}
	}
	return b.String()
}
