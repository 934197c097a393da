package mapping

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
)

// claimed is the value of an index key: the one spelling in use, and the rows
// that use it.
type claimed struct {
	Exact   string         `json:"exact"`
	Holders []holder       `json:"holders"`
	Unknown jsontext.Value `json:",embed"`
}

type holder struct {
	Corp   string `json:"corp"`
	UserID string `json:"userid"`
	Active bool   `json:"active,omitempty"` // in force or waiting to be: it counts for uniqueness
	Shared bool   `json:"shared,omitempty"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

func (h holder) is(k Key) bool { return h.Corp == k.Corp && h.UserID == k.UserID }

// same compares what this release knows of two holders.
func (h holder) same(other holder) bool {
	return h.Corp == other.Corp && h.UserID == other.UserID && h.Active == other.Active && h.Shared == other.Shared
}

func holderOf(e *Entry) holder {
	return holder{Corp: e.Corp, UserID: e.UserID, Active: e.Status != StatusSuspended, Shared: e.Shared}
}

// claim puts a row in a place. Of any two rows in force there at least one must
// be flagged as shared (T17), and all must spell the id alike (T16).
func claim(ctx context.Context, x *tx, p place, e *Entry) error {
	var c claimed
	there, err := x.load(ctx, p.key, &c)
	if err != nil {
		return err
	}
	self := holderOf(e)
	if i := slices.IndexFunc(c.Holders, func(h holder) bool { return h.is(e.Key()) }); i >= 0 {
		self.Unknown = c.Holders[i].Unknown
	}
	others := slices.DeleteFunc(slices.Clone(c.Holders), func(h holder) bool { return h.is(e.Key()) })
	if there && len(others) == len(c.Holders)-1 && c.Exact == p.exact && slices.ContainsFunc(c.Holders, self.same) {
		return nil
	}
	if len(others) > 0 && c.Exact != p.exact {
		return refuse(identity.Conflict, p.field, ReasonLookAlike, fmt.Sprintf("%q of %s/%s", c.Exact, others[0].Corp, others[0].UserID))
	}
	for _, h := range others {
		if h.Active && self.Active && !h.Shared && !self.Shared {
			return refuse(identity.Conflict, p.field, ReasonTaken, fmt.Sprintf("by %s/%s", h.Corp, h.UserID))
		}
	}
	c.Exact, c.Holders = p.exact, append(others, self)
	return x.save(ctx, p.key, c)
}

// release takes a row from under an index key.
func release(ctx context.Context, x *tx, key string, k Key) error {
	var c claimed
	if there, err := x.load(ctx, key, &c); err != nil || !there {
		return err
	}
	c.Holders = slices.DeleteFunc(c.Holders, func(h holder) bool { return h.is(k) })
	if len(c.Holders) == 0 {
		return x.remove(ctx, key)
	}
	return x.save(ctx, key, c)
}

// place is one index key a row occupies.
type place struct{ key, field, exact string }

// places are the index keys a row occupies; none once it is removed.
func places(e *Entry) []place {
	if e == nil || !e.holds() {
		return nil
	}
	out := []place{{userIDKey(e.Key()), "userid", e.UserID}}
	if e.LoginUser != "" {
		out = append(out, place{accountKey(e.DataCentre, e.LoginUser), "login_user", e.LoginUser})
	}
	if e.StaffNumber != "" {
		out = append(out, place{staffKey(e.DataCentre, e.StaffNumber), "staff_number", e.StaffNumber})
	}
	return out
}

// put writes a row with everything that hangs on it: its index keys, and the
// version it supersedes.
func put(ctx context.Context, x *tx, before, after *Entry) error {
	now := places(after)
	for _, p := range places(before) {
		if !slices.ContainsFunc(now, func(q place) bool { return q.key == p.key }) {
			if err := release(ctx, x, p.key, before.Key()); err != nil {
				return err
			}
		}
	}
	for _, p := range now {
		if err := claim(ctx, x, p, after); err != nil {
			return err
		}
	}
	if before != nil {
		if err := x.fresh(ctx, oldKey(before.Key(), before.Version), before); err != nil {
			return err
		}
	}
	return x.save(ctx, rowKey(after.Key()), after)
}

// row reads a row; nil when there is none. One that is under another key than
// its own is refused as no answer (T20), whatever the store's seal says.
func row(ctx context.Context, x *tx, k Key) (*Entry, error) {
	var e Entry
	there, err := x.load(ctx, rowKey(k), &e)
	if err != nil || !there {
		return nil, err
	}
	if e.Key() != k {
		return nil, identity.Fail(identity.Unavailable, identity.CodeStoreDown, "mapping: asked for %s, got %s", k, e.Key())
	}
	return &e, nil
}
