package kingdee

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"kdgate/identity"
)

// Listing narrows a listing and says where it goes on.
type Listing struct {
	Since  time.Time // only records changed at or after this moment; zero: all
	Filter Filter

	// Start and After resume a listing after its first Start records, the last of
	// which has the internal id After. Zero begins at the beginning.
	Start int
	After string

	main int // column that marks the row which stands for its record, where entries make several, or firstRow; 0: none do
}

// StaffRecord is a staff record as listings show it.
type StaffRecord struct {
	Staff
	Mobile, Email        string
	Department, Position string // numbers, of the main post
	Modified             time.Time
}

// DepartmentRecord is a department as listings show it.
type DepartmentRecord struct {
	ID, Number, Name    string
	ParentID            string // internal id; empty for a root
	Forbidden, Approved bool
	Modified            time.Time
}

// PositionRecord is a position as listings show it.
type PositionRecord struct {
	ID, Number, Name    string
	Department          string // number
	Forbidden, Approved bool
	Modified            time.Time
}

// PostRecord is a post record as listings show it.
type PostRecord struct {
	ID, Number           string
	Staff                string // staff number
	Department, Position string // numbers
	Primary              bool
	Forbidden, Approved  bool
	Modified             time.Time
}

// UserRecord is a login user as listings show it.
type UserRecord struct {
	User
	PersonID string // internal id of the person it is linked to; empty: none
}

// firstRow says that of several rows of a record the first one stands for it.
const firstRow = -1

// AllStaff lists staff records page by page, ordered by internal id; one page is
// in memory at a time. The sequence ends after its first error. Posts are rows of an
// entry, so that Kingdee answers a row for each: the main one stands for the record.
func (c *Client) AllStaff(ctx context.Context, l Listing) iter.Seq2[StaffRecord, error] {
	k, f := c.cfg.Users.Staff, c.cfg.Forms.Staff
	keys := []string{k.ID, k.Number, k.Name, k.ForbidStatus, k.DocumentStatus, f.Mobile, f.Email, f.Department, f.Position, c.cfg.Forms.ModifyDate}
	l.main = firstRow
	if f.Primary != None {
		l.main = len(keys)
		keys = append(keys, f.Primary)
	}
	return records(c, ctx, k.Form, keys, l, func(row []string) StaffRecord {
		return StaffRecord{
			Staff:  Staff{ID: row[0], Number: row[1], Name: row[2], Forbidden: forbidden(scalar(row[3])), Approved: row[4] == statusAudited},
			Mobile: row[5], Email: row[6], Department: row[7], Position: row[8], Modified: timeOrZero(row[9]),
		}
	})
}

// AllDepartments lists departments as AllStaff does staff.
func (c *Client) AllDepartments(ctx context.Context, l Listing) iter.Seq2[DepartmentRecord, error] {
	k := c.cfg.Forms.Department
	keys := []string{k.ID, k.Number, k.Name, k.ForbidStatus, k.DocumentStatus, k.Parent, c.cfg.Forms.ModifyDate}
	return records(c, ctx, k.Form, keys, l, func(row []string) DepartmentRecord {
		return DepartmentRecord{
			ID: row[0], Number: row[1], Name: row[2], Forbidden: forbidden(scalar(row[3])), Approved: row[4] == statusAudited,
			ParentID: internalID(scalar(row[5])), Modified: timeOrZero(row[6]),
		}
	})
}

// AllPositions lists positions as AllStaff does staff.
func (c *Client) AllPositions(ctx context.Context, l Listing) iter.Seq2[PositionRecord, error] {
	k := c.cfg.Forms.Position
	keys := []string{k.ID, k.Number, k.Name, k.ForbidStatus, k.DocumentStatus, k.Department + ".FNumber", c.cfg.Forms.ModifyDate}
	return records(c, ctx, k.Form, keys, l, func(row []string) PositionRecord {
		return PositionRecord{
			ID: row[0], Number: row[1], Name: row[2], Forbidden: forbidden(scalar(row[3])), Approved: row[4] == statusAudited,
			Department: row[5], Modified: timeOrZero(row[6]),
		}
	})
}

// AllPosts lists post records as AllStaff does staff.
func (c *Client) AllPosts(ctx context.Context, l Listing) iter.Seq2[PostRecord, error] {
	k, f := c.cfg.Users.Post, c.cfg.Forms.Post
	keys := []string{
		k.ID, f.Number, k.PersonNumber, f.ForbidStatus, f.DocumentStatus, f.Department + ".FNumber", f.Position + ".FNumber", f.Primary, c.cfg.Forms.ModifyDate,
	}
	return records(c, ctx, k.Form, keys, l, func(row []string) PostRecord {
		return PostRecord{
			ID: row[0], Number: row[1], Staff: row[2], Forbidden: forbidden(scalar(row[3])), Approved: row[4] == statusAudited,
			Department: row[5], Position: row[6], Primary: scalar(row[7]).isTrue(), Modified: timeOrZero(row[8]),
		}
	})
}

// AllUsers lists login users as AllStaff does staff. Since is not looked at: no
// source shows a date of change on SEC_User.
func (c *Client) AllUsers(ctx context.Context, l Listing) iter.Seq2[UserRecord, error] {
	k := c.cfg.Users.User
	keys := []string{k.ID, k.Name, k.Account, k.ForbidStatus, k.Locked, k.Link}
	l.Since = time.Time{}
	return records(c, ctx, k.Form, keys, l, func(row []string) UserRecord {
		return UserRecord{
			User:     User{ID: row[0], Name: row[1], Account: row[2], Forbidden: forbidden(scalar(row[3])), Locked: locked(scalar(row[4]))},
			PersonID: internalID(scalar(row[5])),
		}
	})
}

const statusAudited = "C"

// records reads a listing row by row; the first key is the unique one.
func records[T any](c *Client, ctx context.Context, form string, keys []string, l Listing, read func([]string) T) iter.Seq2[T, error] { //nolint:revive // a generic method cannot be
	filter := l.Filter
	if !l.Since.IsZero() {
		filter = Where(filter, Since(c.cfg.Forms.ModifyDate, l.Since))
	}
	return func(yield func(T, error) bool) {
		walk := walker{client: c, query: Query{Form: form, Fields: keys, Filter: filter}, start: l.Start, last: l.After, entries: l.main != 0}
		for {
			page, more, err := walk.next(ctx)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, row := range mains(page, l.main) {
				if !yield(read(row), nil) {
					return
				}
			}
			if !more {
				return
			}
		}
	}
}

// mains are the rows that stand for their records: of each the one that the column
// marks, or the first.
func mains(page [][]string, main int) [][]string {
	if main == 0 {
		return page
	}
	var out [][]string
	for _, row := range page {
		last := len(out) - 1
		switch {
		case last < 0 || out[last][0] != row[0]:
			out = append(out, row)
		case main != firstRow && scalar(row[main]).isTrue() && !scalar(out[last][main]).isTrue():
			out[last] = row
		}
	}
	return out
}

// walker pages through a form that changes meanwhile. Each page begins with the
// last row of the page before: where another record stands there, records before it
// have gone, and the walk steps back rather than leave some out.
type walker struct {
	client  *Client
	query   Query
	start   int    // rows read so far
	last    string // id of the last record
	entries bool   // a record may have several rows
}

// mostRowsOfOne is how many rows of an entry one record can plausibly have.
const mostRowsOfOne = 50

func (w *walker) next(ctx context.Context) (rows [][]string, more bool, err error) {
	size := max(w.client.cfg.API.PageSize, 2) // one record is the overlap
	if w.entries {
		size = max(size, mostRowsOfOne+2)
	}
	for from := max(w.start-1, 0); ; from = max(from-size, 0) {
		w.query.Page = Page{Start: from, Limit: size}
		page, err := w.client.Query(ctx, w.query)
		if err != nil {
			return nil, false, err
		}
		if err := ordered(w.query.Form, page, w.entries); err != nil {
			return nil, false, err
		}
		full := len(page) == size
		if w.entries && full { // the last record may go on behind the page: it comes with the next one
			page = withoutLast(page)
			if len(page) < 2 {
				return nil, false, newFault(implausible, w.query.Form, "a record with very many rows").public()
			}
		}
		overlaps := w.last == "" || len(page) > 0 && !newer(page[0][0], w.last)
		if !overlaps && from > 0 {
			continue // what stood here has moved forward
		}
		fresh := page
		if w.last != "" {
			fresh = slices.DeleteFunc(slices.Clone(page), func(row []string) bool { return !newer(row[0], w.last) })
		}
		if len(page) > 0 {
			w.start = from + len(page)
			w.last = maxID(w.last, page[len(page)-1][0])
		}
		return fresh, full, nil
	}
}

// withoutLast leaves the rows of the last record out.
func withoutLast(page [][]string) [][]string {
	last := page[len(page)-1][0]
	return page[:slices.IndexFunc(page, func(row []string) bool { return row[0] == last })]
}

// ordered refuses a page that is not in the order of its key: paging through it
// would leave records out. With entries a record may stand there several times.
func ordered(form string, page [][]string, entries bool) error {
	for i := 1; i < len(page); i++ {
		same := entries && page[i][0] == page[i-1][0]
		if !same && !newer(page[i][0], page[i-1][0]) {
			return newFault(unexpected, form, "a page is not ordered by its key").public()
		}
	}
	return nil
}

// newer compares internal ids: numbers by value, others as text.
func newer(a, b string) bool {
	if digits(a) && digits(b) && len(a) != len(b) {
		return len(a) > len(b)
	}
	return a > b
}

func maxID(a, b string) string {
	if a != "" && newer(a, b) {
		return a
	}
	return b
}

// ParseTime reads a date as Kingdee writes it, in UTC+8: with T or a space, with
// or without a time and fractions, or /Date(milliseconds)/.
func ParseTime(text string) (time.Time, error) {
	if ms, ok := strings.CutPrefix(text, "/Date("); ok {
		return slashDate(strings.TrimSuffix(ms, ")/"))
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", dayLayout} {
		if t, err := time.ParseInLocation(layout, text, Beijing()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, identity.Fail(identity.Upstream, identity.CodeKingdeeSetup, "kingdee: a date of %d characters in an unknown form", len(text))
}

func slashDate(ms string) (time.Time, error) {
	ms, _, _ = strings.Cut(ms, "+") // an offset changes how it is shown, not when it is
	var n int64
	if _, err := fmt.Sscanf(ms, "%d", &n); err != nil || !digits(strings.TrimPrefix(ms, "-")) {
		return time.Time{}, identity.Fail(identity.Upstream, identity.CodeKingdeeSetup, "kingdee: a /Date()/ that is no number")
	}
	return time.UnixMilli(n).In(Beijing()), nil
}

// timeOrZero is for fields that only tell when: an unreadable one is none.
func timeOrZero(text string) time.Time {
	t, err := ParseTime(text)
	if err != nil {
		return time.Time{}
	}
	return t
}
