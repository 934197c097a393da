package mapping

import (
	"context"
	"strings"

	"kdgate/identity"
	"kdgate/store"
)

// Get returns a row, or identity.NotFound.
func (t *Table) Get(ctx context.Context, k Key) (Entry, error) {
	e, err := present(ctx, newTx(t.cfg.Store), k)
	if err != nil {
		return Entry{}, err
	}
	return *e, nil
}

// Filter chooses rows; zero fields choose all.
type Filter struct {
	DataCentre string
	Corp       string
	Status     Status
	Owner      Owner
	Code       identity.Code // of the last check
	Shared     bool          // only rows that may share
	Privileged bool          // only privileged rows
	Text       string        // part of userid, staff number, login user or note
}

// prefix is the longest common start of the keys that can match.
func (f Filter) prefix() string {
	switch {
	case f.DataCentre == "":
		return prefixRow
	case f.Corp == "":
		return join(prefixRow, f.DataCentre) + "/"
	default:
		return join(prefixRow, f.DataCentre, f.Corp) + "/"
	}
}

func (f Filter) matches(e *Entry) bool {
	return e.holds() && f.matchesFlags(e) && f.matchesText(e) &&
		(f.DataCentre == "" || f.DataCentre == e.DataCentre) &&
		(f.Corp == "" || f.Corp == e.Corp) &&
		(f.Status == "" || f.Status == e.Status) &&
		(f.Owner == "" || f.Owner == e.Owner) &&
		(f.Code == "" || f.Code == e.Check.Code)
}

func (f Filter) matchesFlags(e *Entry) bool {
	return (!f.Shared || e.Shared) && (!f.Privileged || e.Privileged)
}

func (f Filter) matchesText(e *Entry) bool {
	if f.Text == "" {
		return true
	}
	want := skeleton(f.Text)
	for _, s := range []string{e.UserID, e.StaffNumber, e.LoginUser, e.Note, e.Name} {
		if strings.Contains(skeleton(s), want) {
			return true
		}
	}
	return false
}

// List returns at most limit rows in order of their keys, from after the
// cursor, and the cursor of the next page, which is empty at the end. A cursor
// means nothing outside the filter it came from.
func (t *Table) List(ctx context.Context, f Filter, cursor string, limit int) ([]Entry, string, error) {
	prefix := f.prefix()
	if cursor != "" && !strings.HasPrefix(cursor, prefix) {
		return nil, "", invalid("cursor", ReasonCharset)
	}
	if limit <= 0 || limit > store.MaxPage {
		limit = store.MaxPage
	}
	var out []Entry
	for {
		page, err := t.cfg.Store.Scan(ctx, prefix, cursor, store.MaxPage)
		if err != nil {
			return nil, "", storeError("list", err)
		}
		for _, stored := range page {
			e, err := decodeRow(stored)
			if err != nil {
				return nil, "", err
			}
			if f.matches(e) {
				out = append(out, *e)
			}
			cursor = stored.Key
			if len(out) == limit {
				return out, cursor, nil
			}
		}
		if len(page) < store.MaxPage {
			return out, "", nil
		}
	}
}

// decodeRow reads a stored row that a Scan found.
func decodeRow(stored store.Entry) (*Entry, error) {
	var e Entry
	if err := decode(stored.Value, &e); err != nil {
		return nil, identity.Fail(identity.Internal, identity.CodeInternal, "%w (key %q)", err, stored.Key)
	}
	return &e, nil
}

// ByLoginUser lists the rows that hold a login user, spelt exactly so. More
// than one means that it is shared.
func (t *Table) ByLoginUser(ctx context.Context, dataCentre, loginUser string) ([]Key, error) {
	return t.holders(ctx, accountKey(dataCentre, loginUser), dataCentre, loginUser)
}

// ByStaffNumber lists the rows that hold a staff number, spelt exactly so.
func (t *Table) ByStaffNumber(ctx context.Context, dataCentre, number string) ([]Key, error) {
	return t.holders(ctx, staffKey(dataCentre, number), dataCentre, number)
}

func (t *Table) holders(ctx context.Context, key, dataCentre, exact string) ([]Key, error) {
	var c claimed
	there, err := newTx(t.cfg.Store).load(ctx, key, &c)
	if err != nil || !there || c.Exact != exact {
		return nil, err
	}
	keys := make([]Key, 0, len(c.Holders))
	for _, h := range c.Holders {
		keys = append(keys, Key{DataCentre: dataCentre, Corp: h.Corp, UserID: h.UserID})
	}
	return keys, nil
}

// History returns the superseded versions of a row, newest first, at most limit
// of them and older than before (zero: all). The row itself is the version in
// force; each version names its action, author and time.
func (t *Table) History(ctx context.Context, k Key, before uint64, limit int) ([]Entry, error) {
	if err := checkKey(k); err != nil {
		return nil, err
	}
	after := ""
	if before > 0 {
		after = oldKey(k, before)
	}
	page, err := t.cfg.Store.Scan(ctx, oldPrefix(k), after, limit)
	if err != nil {
		return nil, storeError("read history", err)
	}
	out := make([]Entry, 0, len(page))
	for _, stored := range page {
		e, err := decodeRow(stored)
		if err != nil {
			return nil, err
		}
		out = append(out, *e)
	}
	return out, nil
}
