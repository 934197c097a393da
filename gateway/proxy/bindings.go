package proxy

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/store"
)

const (
	bindingPrefix = "kingdee-session/"
	maxBindings   = 100_000         // in memory; past it the memory starts anew
	seenEvery     = 4 * time.Minute // how often use is told to the other replicas, at most
)

// record says whose a Kingdee session cookie is, under the cookie's hash. It is
// in the store, so that it holds on every replica (T35).
type record struct {
	Handle    string    `json:"handle"` // of the gateway's session that it was given to
	Corp      string    `json:"corp"`
	UserID    string    `json:"userid"`
	LoginUser string    `json:"login_user"`
	Seen      time.Time `json:"seen"` // last use, to within seenEvery
	Ends      time.Time `json:"ends"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// binding is a record in memory. A record changes only in Seen, so it need not
// be watched: what ends it is the end of the gateway's session, which is.
type binding struct {
	record
	used    atomic.Int64 // last use here, Unix nanoseconds
	written atomic.Int64 // last use that the store was told of
	badge   atomic.Pointer[badge]
}

// badge is a signed assertion that still holds.
type badge struct {
	header []string // the header's values, ready
	renew  time.Time
}

func (b *binding) subject() identity.Subject {
	return identity.Subject{Corp: b.Corp, UserID: b.UserID}
}

// lastUse is the latest use known here.
func (b *binding) lastUse() time.Time {
	return time.Unix(0, max(b.used.Load(), b.Seen.UnixNano()))
}

type bindings struct {
	store  store.Store
	centre string
	now    func() time.Time

	mu   sync.RWMutex
	live map[mark]*binding
}

func newBindings(s store.Store, centre string, now func() time.Time) *bindings {
	return &bindings{store: s, centre: centre, now: now, live: map[mark]*binding{}}
}

func (b *bindings) key(m mark) string {
	return bindingPrefix + b.centre + "/" + hex.EncodeToString(m[:])
}

// find gives the binding of a cookie, nil when there is none.
func (b *bindings) find(ctx context.Context, m mark) (*binding, error) {
	b.mu.RLock()
	known := b.live[m]
	b.mu.RUnlock()
	if known != nil {
		return known, nil
	}
	return b.load(ctx, m)
}

// load reads the store, whatever is in memory.
func (b *bindings) load(ctx context.Context, m mark) (*binding, error) {
	entry, err := b.store.Get(ctx, b.key(m))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, identity.Fail(identity.Unavailable, identity.CodeStoreDown, "proxy: %w", err)
	}
	found := &binding{}
	if err := json.Unmarshal(entry.Value, &found.record); err != nil {
		return nil, identity.Fail(identity.Internal, identity.CodeInternal, "proxy: binding: %w", err)
	}
	found.written.Store(found.Seen.UnixNano())
	return b.keep(m, found), nil
}

func (b *bindings) keep(m mark, fresh *binding) *binding {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.live[m]; known != nil && known.Handle == fresh.Handle {
		known.used.Store(max(known.used.Load(), fresh.Seen.UnixNano()))
		return known
	}
	if len(b.live) >= maxBindings {
		clear(b.live)
	}
	b.live[m] = fresh
	return fresh
}

// bind gives the cookies to a gateway session. A cookie that another session
// holds already is not taken from it: an upstream that hands one session to two
// people must not mix them up here too.
func (b *bindings) bind(ctx context.Context, who identity.Principal, loginUser string, marks []mark) error {
	now := b.now().UTC()
	for _, m := range marks {
		known, err := b.find(ctx, m)
		if err != nil {
			return err
		}
		if known != nil && known.Handle == who.SessionID {
			continue
		}
		if known != nil && known.subject() != who.Subject {
			return identity.Fail(identity.Upstream, identity.CodeLinkRefused, "proxy: Kingdee gave one session to two people")
		}
		fresh := &binding{record: record{
			Handle: who.SessionID, Corp: who.Subject.Corp, UserID: who.Subject.UserID,
			LoginUser: loginUser, Seen: now, Ends: who.ExpiresAt,
		}}
		fresh.written.Store(now.UnixNano())
		if err := b.write(ctx, m, fresh.record); err != nil {
			return err
		}
		b.forget(m)
		b.keep(m, fresh)
	}
	return nil
}

func (b *bindings) write(ctx context.Context, m mark, r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("proxy: binding: %w", err)
	}
	life := max(r.Ends.Sub(b.now()), time.Second)
	if err := b.store.Commit(ctx, store.Put(b.key(m), text).For(life)); err != nil {
		return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "proxy: binding: %w", err)
	}
	return nil
}

func (b *bindings) forget(m mark) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.live, m)
}

// release ends bindings for good.
func (b *bindings) release(ctx context.Context, marks []mark) error {
	ops := make([]store.Op, 0, len(marks))
	for _, m := range marks {
		b.forget(m)
		ops = append(ops, store.Delete(b.key(m)))
	}
	if len(ops) == 0 {
		return nil
	}
	return b.store.Commit(ctx, ops...)
}

// use notes that a Kingdee session is used now. The other replicas are told now
// and then; when that fails they launch somebody once too often, no more.
func (b *bindings) use(ctx context.Context, m mark, bound *binding) {
	now := b.now()
	bound.used.Store(now.UnixNano())
	told := bound.written.Load()
	if now.UnixNano()-told < int64(seenEvery) || !bound.written.CompareAndSwap(told, now.UnixNano()) {
		return
	}
	changed := bound.record
	changed.Seen = now.UTC()
	_ = b.write(ctx, m, changed) // see above
}
