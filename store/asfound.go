package store

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Accepting is a Store for rooms whose records are right at any age: who works on
// them asks the other side what became of an act before acting again, and they
// decide about nobody's identity. Where a failover has put such an entry back, it
// is taken as it is found: written anew above what was seen, and read. Without that
// one index entry of the work list would keep a replica from all work of its kind
// until it is started anew. Every such entry has been told to SealConfig.OnTamper.
type Accepting struct {
	Store
	// Renew is Sealed.Renew of the same store.
	Renew func(ctx context.Context, key string) error
	// Prefixes begin the keys of those rooms.
	Prefixes []string
	// Harmless tells of an error which is ErrOutdated, about any other key, that what
	// is there can open nothing which the newer one had shut. nil: of none. All that
	// neither takes stay errors (T21).
	Harmless func(err error) bool
}

// mostPutBack bounds the entries of one page that are taken as found: a failover
// forgets a second or so.
const (
	mostPutBack = 2 * MaxPage
	getTries    = 4
)

// Get implements Store.
func (a Accepting) Get(ctx context.Context, key string) (Entry, error) {
	for range getTries {
		entry, err := a.Store.Get(ctx, key)
		if !a.renewed(ctx, err) {
			return entry, err
		}
	}
	return a.Store.Get(ctx, key)
}

// Scan implements Store.
func (a Accepting) Scan(ctx context.Context, prefix, after string, limit int) ([]Entry, error) {
	for range mostPutBack {
		page, err := a.Store.Scan(ctx, prefix, after, limit)
		if !a.renewed(ctx, err) {
			return page, err
		}
	}
	return a.Store.Scan(ctx, prefix, after, limit)
}

// renewed reports whether err was about an entry that was put back and is not so
// any more.
func (a Accepting) renewed(ctx context.Context, err error) bool {
	key, outdated := OutdatedKey(err)
	if !outdated || !a.takes(key, err) {
		return false
	}
	renewErr := a.Renew(ctx, key)
	return renewErr == nil || errors.Is(renewErr, ErrConflict) || errors.Is(renewErr, ErrNotFound) // by somebody else, or gone
}

func (a Accepting) takes(key string, err error) bool {
	return slices.ContainsFunc(a.Prefixes, func(p string) bool { return strings.HasPrefix(key, p) }) ||
		a.Harmless != nil && a.Harmless(err)
}
