package mapping

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"kdgate/audit"
	"kdgate/store"
)

// Witness is what this host knows of rows apart from the store, for the row that
// a failover put back to an older version (R14).
type Witness interface {
	// At is the row as the audit log says it became in one of its versions; false:
	// the log does not tell.
	At(ctx context.Context, k Key, version uint64) (Entry, bool, error)
	// AsFound is the store without its doubts (store.Sealed.AsFound).
	AsFound() store.Store
}

// Edition is the version of a row, by which the store tells how far one that was
// put back had come (store.SealConfig.Edition); zero for every other key.
func Edition(key string, value []byte) uint64 {
	if !strings.HasPrefix(key, prefixRow) {
		return 0
	}
	var row struct {
		Version uint64 `json:"version"`
	}
	if decode(value, &row) != nil {
		return 0
	}
	return row.Version
}

// mended puts right what cause says is older than it was, and reports whether it
// is: the row k, or the guard, which comes and goes with a whole import. That an
// older row is an error stays (T21); it ends only where something else than the
// store tells what the row was:
//
//	the version that was seen last is the one that is there   only Kingdee's word on it is lost, which is asked anew
//	the audit log tells the version that was seen last        the row is made what the log says, and Kingdee asked anew
//	neither (the log of another replica is still on its way)  it stays an error
//
// It is one Commit, so that at no moment the row says again what it said before.
func (t *Table) mended(ctx context.Context, k Key, cause error) bool {
	key, outdated := store.OutdatedKey(cause)
	found, seen := store.OutdatedEditions(cause)
	switch {
	case !outdated || t.cfg.Witness == nil:
		return false
	case key == guardKey:
		return t.redecided(ctx, key, func(x *tx) error { return again(ctx, x, key) })
	case key != rowKey(k) || found == 0 || found > seen: // another row's change: that one brings it along
		return false
	case found == seen:
		return t.redecided(ctx, key, func(x *tx) error { return unchecked(ctx, x, k) })
	}
	then, told, err := t.cfg.Witness.At(ctx, k, seen)
	return err == nil && told && t.redecided(ctx, key, func(x *tx) error { return t.bring(ctx, x, then) })
}

// redecided decides on the store as it is found, unless key is as new as it was
// by now.
func (t *Table) redecided(ctx context.Context, key string, decision func(x *tx) error) bool {
	return t.decideOn(ctx, t.cfg.Witness.AsFound(), func(x *tx) error {
		if _, err := t.cfg.Store.Get(ctx, key); !errors.Is(err, store.ErrOutdated) {
			return err
		}
		return decision(x)
	}) == nil
}

// again stages a value as it is found.
func again(ctx context.Context, x *tx, key string) error {
	c, err := x.cell(ctx, key)
	if err == nil && c.found {
		x.write(c, c.value)
	}
	return err
}

// unchecked stages a row as it is found, about which Kingdee is asked anew.
func unchecked(ctx context.Context, x *tx, k Key) error {
	e, err := row(ctx, x, k)
	if err != nil || e == nil {
		return err
	}
	e.Check = Check{}
	return x.save(ctx, rowKey(k), e)
}

// bring stages a row as the log says it was. Where another row has its account by
// now, it opens no door until an administrator decides, as after a restore.
func (t *Table) bring(ctx context.Context, x *tx, then Entry) error {
	by, mark := Actor{Name: audit.System}, x.mark()
	changed, err := t.restate(ctx, x, by, then)
	if RefusalOf(err) != nil {
		x.rollback(mark)
		then.Status, then.Reason = StatusSuspended, reasonJournal
		changed, err = t.restate(ctx, x, by, then)
	}
	if err == nil && !changed {
		return unchecked(ctx, x, then.Key())
	}
	return err
}

// Mend puts right every row that a failover put back, as far as that can be, and
// gives how many. Whoever clicks is mended in that click; this is for the lists,
// which one such row keeps from everybody.
func (t *Table) Mend(ctx context.Context) (mended int, err error) {
	var left error
	for after := ""; ; {
		page, err := t.cfg.Store.Scan(ctx, prefixRow, after, store.MaxPage)
		key, outdated := store.OutdatedKey(err)
		switch k, known := keyOfRow(key); {
		case outdated && known && t.mended(ctx, k, err):
			mended++
		case outdated:
			after, left = key, err
		case err != nil:
			return mended, storeError("mend", err)
		case len(page) < store.MaxPage:
			return mended, left
		default:
			after = page[len(page)-1].Key
		}
	}
}

// keyOfRow takes apart what rowKey joined.
func keyOfRow(key string) (Key, bool) {
	rest, is := strings.CutPrefix(key, prefixRow)
	parts := strings.Split(rest, "/")
	if !is || len(parts) != 3 {
		return Key{}, false
	}
	for i := range parts {
		plain, err := url.PathUnescape(parts[i])
		if err != nil {
			return Key{}, false
		}
		parts[i] = plain
	}
	k := Key{DataCentre: parts[0], Corp: parts[1], UserID: parts[2]}
	return k, checkKey(k) == nil && rowKey(k) == key
}
