package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/store"
)

// The errors that callers branch on, wrapped; compare with errors.Is.
var (
	ErrHeld = errors.New("lease: held by another")
	ErrLost = errors.New("lease: lost")
)

// Config is what New needs.
type Config struct {
	Store store.Store
	Name  string        // at most 100 bytes
	Owner string        // names this replica to people; New makes it unique
	Long  time.Duration // how long a silent holder keeps it; 15 s by default

	Now     func() time.Time     // wall clock; time.Now by default
	Elapsed func() time.Duration // clock that nobody can set; monotonic since New by default
	Log     *slog.Logger         // hears why Run could not compete; nil: discard
}

// Lease is one name and this process's wish for it. It is safe for concurrent use.
type Lease struct {
	cfg   Config
	owner string

	mu    sync.Mutex
	beat  store.Version // heartbeat last seen of another holder
	term  store.Version // and its term
	since time.Duration // when that was first seen
	seen  bool
}

// record is the term as stored.
type record struct {
	Owner string    `json:"owner,omitzero"` // empty: free
	Token uint64    `json:"token"`
	Since time.Time `json:"since"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// State is who holds a lease, for people.
type State struct {
	Name  string
	Owner string // empty: nobody
	Token uint64
	Since time.Time
}

// New builds a Lease and writes nothing.
func New(cfg Config) (*Lease, error) {
	if cfg.Store == nil || cfg.Name == "" || len(cfg.Name) > 100 {
		return nil, errors.New("lease: needs a store and a name of at most 100 bytes")
	}
	if cfg.Long <= 0 {
		cfg.Long = 15 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Elapsed == nil {
		start := time.Now()
		cfg.Elapsed = func() time.Duration { return time.Since(start) }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	owner := rand.Text()[:8]
	if cfg.Owner != "" {
		owner = cfg.Owner + "#" + owner
	}
	return &Lease{cfg: cfg, owner: owner}, nil
}

// Owner is the name that terms of this process carry.
func (l *Lease) Owner() string { return l.owner }

func (l *Lease) prefix() string  { return "lease/" + url.PathEscape(l.cfg.Name) + "/" }
func (l *Lease) termKey() string { return l.prefix() + "term" }
func (l *Lease) beatKey() string { return l.prefix() + "beat" }

// Look tells who holds the lease as far as is written.
func (l *Lease) Look(ctx context.Context) (State, error) {
	rec, _, err := l.read(ctx)
	return State{Name: l.cfg.Name, Owner: rec.Owner, Token: rec.Token, Since: rec.Since}, err
}

func (l *Lease) read(ctx context.Context) (record, store.Version, error) {
	entry, err := l.cfg.Store.Get(ctx, l.termKey())
	if errors.Is(err, store.ErrNotFound) {
		return record{}, 0, nil
	}
	if err != nil {
		return record{}, 0, fmt.Errorf("lease: read %s: %w", l.cfg.Name, err)
	}
	var rec record
	if err := json.Unmarshal(entry.Value, &rec); err != nil {
		return record{}, 0, fmt.Errorf("lease: %q is no term: %w", entry.Key, err)
	}
	return rec, entry.Version, nil
}

// Try takes the lease if it is free, or if its holder has been silent for the
// whole length since this Lease first looked. Otherwise the error is ErrHeld.
// Who holds it gives it back with Term.Release, and keeps it with Term.Beat.
func (l *Lease) Try(ctx context.Context) (*Term, error) {
	rec, version, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	ops := []store.Op{store.Put(l.beatKey(), []byte(l.owner))}
	if rec.Owner != "" {
		beat, err := l.silent(ctx, version)
		if err != nil {
			return nil, err
		}
		ops = append(ops[:0], beat)
	}
	asked, now := l.cfg.Elapsed(), l.cfg.Now()
	next := record{Owner: l.owner, Token: rec.Token + 1, Since: now.UTC(), Unknown: rec.Unknown}
	if version == 0 { // nothing to be one more than: above whatever was before it went
		next.Token = max(1, uint64(max(0, now.UnixMicro())))
	}
	value, err := json.Marshal(next)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	err = l.cfg.Store.Commit(ctx, append(ops, store.Over(l.termKey(), value, version))...)
	if errors.Is(err, store.ErrConflict) {
		return nil, fmt.Errorf("%w: %s was taken just now", ErrHeld, l.cfg.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("lease: take %s: %w", l.cfg.Name, err)
	}
	return l.hold(ctx, next, asked, now)
}

// hold reads back the version that our term got: it is the guard.
func (l *Lease) hold(ctx context.Context, mine record, asked time.Duration, at time.Time) (*Term, error) {
	rec, version, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	if rec.Owner != l.owner || rec.Token != mine.Token {
		return nil, fmt.Errorf("%w: %s was taken over at once", ErrHeld, l.cfg.Name)
	}
	return &Term{lease: l, record: rec, version: version, kept: asked, keptAt: at}, nil
}

// silent gives the op that takes over the heartbeat of a holder that has stood
// still for long enough, or ErrHeld.
func (l *Lease) silent(ctx context.Context, term store.Version) (store.Op, error) {
	entry, err := l.cfg.Store.Get(ctx, l.beatKey())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Op{}, fmt.Errorf("lease: read the heartbeat of %s: %w", l.cfg.Name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Elapsed()
	if !l.seen || l.beat != entry.Version || l.term != term {
		l.seen, l.beat, l.term, l.since = true, entry.Version, term, now
	}
	if now-l.since < l.cfg.Long {
		return store.Op{}, fmt.Errorf("%w: %s", ErrHeld, l.cfg.Name)
	}
	l.seen = false
	return store.Over(l.beatKey(), []byte(l.owner), entry.Version), nil
}

// Run competes for the lease until ctx ends, and each time it is won calls work
// with a context that ends when the lease is lost (cause ErrLost) or ctx ends.
// The lease is given back when work returns. An error of work ends Run; nil, or
// any error after the lease was lost, competes again.
func (l *Lease) Run(ctx context.Context, work func(context.Context, *Term) error) error {
	for {
		heard, deaf := context.WithCancel(ctx)
		changed := l.changes(heard) // before the look, so that no release falls in between
		term, err := l.Try(ctx)
		switch {
		case err == nil:
			deaf()
			err = l.serve(ctx, term, work)
		case errors.Is(err, ErrHeld) || ctx.Err() != nil:
			err = nil
		default: // passes, or an administrator mends it
			l.cfg.Log.WarnContext(ctx, "lease: cannot compete", "lease", l.cfg.Name, "err", err)
			err = nil
		}
		over := err != nil || ctx.Err() != nil || l.await(ctx, changed)
		deaf()
		if over {
			return err
		}
	}
}

// serve does work for one term.
func (l *Lease) serve(ctx context.Context, term *Term, work func(context.Context, *Term) error) error {
	held, cancel := context.WithCancelCause(ctx)
	beating := make(chan struct{})
	go func() { defer close(beating); term.keep(held, cancel) }()
	err := work(held, term)
	lost := errors.Is(context.Cause(held), ErrLost)
	cancel(nil)
	<-beating
	if lost {
		return nil
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), l.cfg.Long/3)
	defer stop()
	_ = term.Release(last) // otherwise it runs out
	return err
}

// changes tells of changes of the term; nil when nothing can be heard.
func (l *Lease) changes(ctx context.Context) <-chan store.Event {
	changed, err := l.cfg.Store.Watch(ctx, l.termKey())
	if err != nil {
		return nil
	}
	return changed
}

// await waits until it is worth trying again, and reports whether ctx ended: a
// while after which a silent holder is noticed, or a change of the term.
func (l *Lease) await(ctx context.Context, changed <-chan store.Event) bool {
	timer := time.NewTimer(l.cfg.Long / 4)
	defer timer.Stop()
	for {
		select {
		case _, open := <-changed:
			if open {
				return false
			}
			changed = nil // nothing more will be heard; the timer is left
		case <-timer.C:
			return false
		case <-ctx.Done():
			return true
		}
	}
}
