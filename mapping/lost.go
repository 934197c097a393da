package mapping

import (
	"context"
	"errors"
	"net/url"
	"slices"
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
	// Renew makes what the store holds under key readable again, changed by edit.
	// store.ErrConflict: it was written meanwhile.
	Renew(ctx context.Context, key string, edit func(value []byte) ([]byte, error)) error
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

// mostRenewed bounds the keys that are renewed for one row.
const mostRenewed = 32

// mended puts right what cause says is older than it was, and reports whether it
// did: the row k, or the guard, which comes and goes with a whole import. That an
// older row is an error stays (T21); it ends only where something else than the
// store tells what the row was:
//
//	the version that was seen last is the one that is there   only Kingdee's word on it is lost, which is asked anew
//	the audit log tells the version that was seen last        the row is made what the log says, and Kingdee asked anew
//	neither (the log of another replica is still on its way)  it stays an error
//
// At no moment does the row say again what it said before.
func (t *Table) mended(ctx context.Context, k Key, cause error) bool {
	key, outdated := store.OutdatedKey(cause)
	switch {
	case !outdated || t.cfg.Witness == nil:
		return false
	case key == guardKey:
		return done(t.cfg.Witness.Renew(ctx, key, asItIs))
	case key != rowKey(k):
		return false // of the row whose change it was: that one brings it along
	}
	found, seen := store.OutdatedEditions(cause)
	if found == seen && seen != 0 {
		return done(t.cfg.Witness.Renew(ctx, key, withoutCheck))
	}
	if found == 0 || found > seen {
		return false
	}
	then, told, err := t.cfg.Witness.At(ctx, k, seen)
	if err != nil || !told {
		return false
	}
	return done(t.cfg.Witness.Renew(ctx, key, outOfForce)) && t.brought(ctx, then) == nil
}

// done reports whether a renewal was made, by us or by somebody else.
func done(err error) bool { return err == nil || errors.Is(err, store.ErrConflict) }

func asItIs(value []byte) ([]byte, error) { return value, nil }

// withoutCheck is a row about which Kingdee is asked anew.
func withoutCheck(value []byte) ([]byte, error) {
	var e Entry
	if err := decode(value, &e); err != nil {
		return nil, err
	}
	e.Check = Check{}
	return encode(e)
}

// outOfForce is a row that opens no door until it is brought to where it was.
func outOfForce(value []byte) ([]byte, error) {
	var e Entry
	if err := decode(value, &e); err != nil {
		return nil, err
	}
	if e.holds() {
		e.Status, e.Reason = StatusSuspended, reasonJournal
	}
	e.Check = Check{}
	return encode(e)
}

// brought brings a row to what the log says, with the index keys that the same
// change had touched.
func (t *Table) brought(ctx context.Context, then Entry) error {
	var err error
	for range mostRenewed {
		_, err = t.Reapply(ctx, Actor{Name: audit.System}, then)
		key, outdated := store.OutdatedKey(err)
		if !outdated || !t.belongs(ctx, key, then) {
			return err
		}
		if renewErr := t.cfg.Witness.Renew(ctx, key, asItIs); !done(renewErr) {
			return renewErr
		}
	}
	return err
}

// belongs reports whether a change from the row that is there to then touches a
// key.
func (t *Table) belongs(ctx context.Context, key string, then Entry) bool {
	rows := []*Entry{&then}
	if now, err := row(ctx, newTx(t.cfg.Store), then.Key()); err == nil && now != nil {
		rows = append(rows, now)
	}
	return slices.Contains(around(rows...), key)
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
