package mapping

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"kdgate/identity"
)

// Order is what a search is sorted by.
type Order string

// The orders. Rows that are equal in it follow each other by key.
const (
	ByKey       Order = ""
	ByUserID    Order = "userid"
	ByNumber    Order = "staff_number"
	ByLogin     Order = "login_user"
	ByStatus    Order = "status"
	ByChanged   Order = "changed"
	maxPageSize       = 200
)

// Known reports whether o is an order.
func (o Order) Known() bool {
	switch o {
	case ByKey, ByUserID, ByNumber, ByLogin, ByStatus, ByChanged:
		return true
	}
	return false
}

// Query is one page of a search.
type Query struct {
	Filter
	Order Order
	Down  bool   // the largest first
	After string // place of the last row of the page before; empty: the first page
	Limit int    // at most 200; zero: 50
}

// Found is one page of rows, as the store has them now.
type Found struct {
	Rows  []Entry
	Total int    // rows that match, on all pages
	Next  string // place for the next page; empty at the end
}

// Search finds rows in the index and reads those of one page from the store. A
// row that changed so that it does not match any more is left out of the page.
func (x *Index) Search(ctx context.Context, t *Table, q Query) (Found, error) {
	if !q.Order.Known() {
		return Found{}, invalid("order", ReasonCharset)
	}
	rows, err := x.snapshot(ctx)
	if err != nil {
		return Found{}, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, maxPageSize)
	page, total := q.choose(rows, limit+1)
	var found Found
	found.Total = total
	if len(page) > limit {
		page = page[:limit]
		found.Next = q.place(page[limit-1])
	}
	for _, row := range page {
		e, err := t.Get(ctx, Key{DataCentre: row.dataCentre, Corp: row.corp, UserID: row.userID})
		switch {
		case identity.KindOf(err) == identity.NotFound && err != nil:
			continue
		case err != nil:
			return Found{}, err
		case q.matches(&e):
			found.Rows = append(found.Rows, e)
		}
	}
	return found, nil
}

// choose gives the first n rows of the page and counts all that match.
func (q Query) choose(rows []*indexed, n int) (page []*indexed, total int) {
	want := skeleton(q.Text)
	after, started := q.parsePlace()
	for _, row := range rows {
		if !q.fits(row, want) {
			continue
		}
		total++
		if started && q.compare(row, after) <= 0 {
			continue
		}
		if len(page) == n && q.compare(row, page[n-1]) >= 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(page, row, q.compare)
		page = slices.Insert(page, at, row)
		if len(page) > n {
			page = page[:n]
		}
	}
	return page, total
}

func (q Query) fits(row *indexed, want string) bool {
	return wanted(q.DataCentre, row.dataCentre) && wanted(q.Corp, row.corp) && wanted(q.Status, row.status) &&
		wanted(q.Owner, row.owner) && wanted(q.Code, row.code) &&
		(!q.Shared || row.flags&flagShared != 0) &&
		(!q.Privileged || row.flags&flagPrivileged != 0) &&
		(want == "" || strings.Contains(row.text, want))
}

// wanted reports whether a filter that may be empty admits a value.
func wanted[T ~string](filter, value T) bool { return filter == "" || filter == value }

// compare orders two rows; never zero for two different ones.
func (q Query) compare(a, b *indexed) int {
	c := 0
	switch q.Order {
	case ByUserID:
		c = strings.Compare(a.userID, b.userID)
	case ByNumber:
		c = strings.Compare(a.number, b.number)
	case ByLogin:
		c = strings.Compare(a.loginUser, b.loginUser)
	case ByStatus:
		c = strings.Compare(string(a.status), string(b.status))
	case ByChanged:
		c = cmp.Compare(a.changed, b.changed)
	case ByKey:
	}
	c = cmp.Or(c, strings.Compare(a.key, b.key))
	if q.Down {
		return -c
	}
	return c
}

// place names a row's place in this order, for the next page: its key and what
// it is sorted by, so that a row that was changed or removed since still leads on.
func (q Query) place(row *indexed) string {
	return strings.Join([]string{row.key, row.userID, row.number, row.loginUser, string(row.status), formatInt(row.changed)}, "\x00")
}

func (q Query) parsePlace() (*indexed, bool) {
	parts := strings.Split(q.After, "\x00")
	if len(parts) != 6 {
		return nil, false
	}
	return &indexed{
		key: parts[0], userID: parts[1], number: parts[2], loginUser: parts[3],
		status: Status(parts[4]), changed: parseInt(parts[5]),
	}, true
}

// Stats are counts over the whole table.
type Stats struct {
	Rows       int                   `json:"rows"`
	Status     map[Status]int        `json:"status"`
	Owner      map[Owner]int         `json:"owner"`
	Broken     map[identity.Code]int `json:"broken"`    // active rows by what the last look at Kingdee found wrong
	Unchecked  int                   `json:"unchecked"` // active rows that were never looked at
	Good       int                   `json:"good"`      // active rows whose last look found all links
	Shared     int                   `json:"shared"`
	Privileged int                   `json:"privileged"`
}

// Stats counts.
func (x *Index) Stats(ctx context.Context) (Stats, error) {
	s := Stats{Status: map[Status]int{}, Owner: map[Owner]int{}, Broken: map[identity.Code]int{}}
	rows, err := x.snapshot(ctx)
	if err != nil {
		return s, err
	}
	for _, row := range rows {
		s.Rows++
		s.Status[row.status]++
		s.Owner[row.owner]++
		if row.flags&flagShared != 0 {
			s.Shared++
		}
		if row.flags&flagPrivileged != 0 {
			s.Privileged++
		}
		switch {
		case row.status != StatusActive:
		case !row.checked:
			s.Unchecked++
		case row.code == "":
			s.Good++
		default:
			s.Broken[row.code]++
		}
	}
	return s, nil
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// parseInt reads what formatInt wrote; a place that somebody else wrote leads
// to some page, and to no fault.
func parseInt(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Keys lists the keys of all rows that match, in their order.
func (x *Index) Keys(ctx context.Context, f Filter) ([]Key, error) {
	rows, err := x.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	q, want := Query{Filter: f}, skeleton(f.Text)
	var keys []Key
	for _, row := range rows {
		if q.fits(row, want) {
			keys = append(keys, Key{DataCentre: row.dataCentre, Corp: row.corp, UserID: row.userID})
		}
	}
	return keys, nil
}

// Held says who has a row in a data centre, and which staff numbers rows hold.
func (x *Index) Held(ctx context.Context, dataCentre string) (people map[identity.Subject]bool, numbers map[string]bool, err error) {
	rows, err := x.snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	people, numbers = map[identity.Subject]bool{}, map[string]bool{}
	for _, row := range rows {
		if row.dataCentre != dataCentre {
			continue
		}
		people[identity.Subject{Corp: row.corp, UserID: row.userID}] = true
		if row.number != "" {
			numbers[row.number] = true
		}
	}
	return people, numbers, nil
}
