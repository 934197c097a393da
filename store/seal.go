package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// SealConfig is what Seal needs beside the driver.
type SealConfig struct {
	// Keys are the sealing keys, each at least MinSealKey bytes. The first
	// signs, all verify: to rotate, put the new one first and remove the old
	// one when what it sealed is rewritten or past its end.
	Keys [][]byte
	// Now is the clock lifetimes and versions go by; time.Now by default.
	Now func() time.Time
	// OnTamper hears of every ErrTampered before the caller does, for the log
	// and the alarm. It must not block. The key may be empty.
	OnTamper func(key string, err error)
	// Remember bounds the number of keys whose newest version is remembered;
	// 65536 by default (about 10 MB).
	Remember int
	// Edition gives, for the keys whose room counts what it decides, the count of a
	// value, or which way it decides; zero for all others. An error of an outdated
	// value tells both of them (OutdatedEditions): whoever has another witness can put
	// right what a failover put back. nil: nobody counts.
	Edition func(key string, value []byte) uint64
}

// applyTries bounds how often a commit is sealed again under higher versions.
// Each try starts from the floor the engine told, so only a crowd of writers on
// one key uses more than two.
const applyTries = 32

// Sealed is a Store over a Driver. Build it with Seal.
type Sealed struct {
	driver   Driver
	rings    atomic.Pointer[keyring]
	floors   *floors
	now      func() time.Time
	onTamper func(key string, err error)
	edition  func(key string, value []byte) uint64
}

// Distruster is an optional side of a Driver. Distrust is called when a reply
// belonged to another question: the driver drops the connections it holds,
// because one of them has lost step.
type Distruster interface{ Distrust() }

// Seal wraps driver so that every value is sealed on its way in and verified on
// its way out. It fails without a key or with one that is too short.
func Seal(driver Driver, cfg SealConfig) (*Sealed, error) {
	ring, err := newKeyring(cfg.Keys)
	if err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnTamper == nil {
		cfg.OnTamper = func(string, error) {}
	}
	if cfg.Edition == nil {
		cfg.Edition = func(string, []byte) uint64 { return 0 }
	}
	if cfg.Remember <= 0 {
		cfg.Remember = 1 << 16
	}
	s := &Sealed{
		driver:   driver,
		floors:   newFloors(cfg.Remember),
		now:      cfg.Now,
		onTamper: cfg.OnTamper,
		edition:  cfg.Edition,
	}
	s.rings.Store(&ring)
	return s, nil
}

// Get implements Store.
func (s *Sealed) Get(ctx context.Context, key string) (Entry, error) {
	if err := checkKey(key); err != nil {
		return Entry{}, err
	}
	mark := s.floors.mark()
	raw, err := s.driver.Get(ctx, key)
	if err != nil {
		return Entry{}, s.report(key, err)
	}
	raw.Key = key
	entry, err := s.open(raw, mark)
	if err != nil {
		return Entry{}, err
	}
	if entry.ended(s.now()) {
		return Entry{}, fmt.Errorf("%w: %q is past its end", ErrNotFound, key)
	}
	return entry, nil
}

// Scan implements Store. One entry that does not verify fails the page: a list
// that silently lacks somebody is worse than none.
func (s *Sealed) Scan(ctx context.Context, prefix, after string, limit int) ([]Entry, error) {
	if err := errors.Join(checkText("prefix", prefix), checkText("page mark", after)); err != nil {
		return nil, err
	}
	if limit <= 0 {
		return nil, fmt.Errorf("%w: scan of at most %d entries", ErrInvalid, limit)
	}
	limit = min(limit, MaxPage)
	now := s.now()
	var out []Entry
	for len(out) < limit {
		mark := s.floors.mark()
		page, err := s.driver.Scan(ctx, prefix, after, limit)
		if err != nil {
			return nil, s.report(prefix, err)
		}
		if out == nil {
			out = page[:0] // what is opened takes the place of what was sealed
		}
		for _, raw := range page {
			entry, err := s.scanned(raw, prefix, after, mark)
			if err != nil {
				return nil, err
			}
			after = raw.Key
			if !entry.ended(now) && len(out) < limit {
				out = append(out, entry)
			}
		}
		if len(page) < limit {
			break
		}
	}
	return out, nil
}

// scanned opens one entry of a page and holds it to the question asked.
func (s *Sealed) scanned(raw Entry, prefix, after string, mark uint64) (Entry, error) {
	if !strings.HasPrefix(raw.Key, prefix) || raw.Key <= after {
		return Entry{}, s.tampered(raw.Key, errOtherKey)
	}
	return s.open(raw, mark)
}

// Commit implements Store. Each put gets a version above everything known of its
// key; if the engine knows a higher one, the whole commit is sealed again above
// that: where another replica's clock is ahead, every key would ask for it in turn.
func (s *Sealed) Commit(ctx context.Context, ops ...Op) error { return s.commit(ctx, ops, true) }

// commit is Commit; doubting: an expectation below what was seen fails unasked.
func (s *Sealed) commit(ctx context.Context, ops []Op, doubting bool) error {
	if err := checkOps(ops); err != nil {
		return err
	}
	var above Version
	var stale *StaleError
	for range applyTries {
		batch, err := s.seal(ops, above, doubting)
		if err != nil {
			return err
		}
		err = s.driver.Apply(ctx, batch)
		if err == nil {
			s.remember(batch, ops)
			return nil
		}
		if !errors.As(err, &stale) {
			return s.report(onlyKey(ops), err)
		}
		above = max(above, stale.Floor)
	}
	return fmt.Errorf("gave up after %d tries: %w", applyTries, stale)
}

// onlyKey is what a failure of ops is about where there is no choice.
func onlyKey(ops []Op) string {
	if len(ops) == 1 {
		return ops[0].Key
	}
	return ""
}

// Watch implements Store.
func (s *Sealed) Watch(ctx context.Context, prefix string) (<-chan Event, error) {
	if err := checkText("prefix", prefix); err != nil {
		return nil, err
	}
	return s.driver.Watch(ctx, prefix)
}

// seal turns ops into a batch as of now.
func (s *Sealed) seal(ops []Op, above Version, doubting bool) (Batch, error) {
	batch := Batch{Now: s.now(), Writes: make([]Write, len(ops))}
	for i, op := range ops {
		known := s.floors.of(op.Key)
		if doubting && op.Expect != 0 && op.Expect < known {
			// A newer version has been here, so this one is either history or
			// has been put back by someone: both ways the expectation fails.
			return Batch{}, fmt.Errorf("%w: %q was seen at version %d, after %d", ErrConflict, op.Key, known, op.Expect)
		}
		w := Write{Op: op}
		switch op.Kind {
		case OpDelete:
			w.Version = s.floors.afterDelete(op.Key, op.Expect)
		case OpPut:
			base := max(op.Expect, known, above)
			if base >= maxVersion {
				return Batch{}, s.tampered(op.Key, fmt.Errorf("version %d is out of range", base))
			}
			s.sealPut(&w, base, batch.Now)
		}
		batch.Writes[i] = w
	}
	return batch, nil
}

// sealPut gives w a version above base, its end of life and its envelope.
// Versions follow the clock, so they grow without asking the engine first.
func (s *Sealed) sealPut(w *Write, base Version, now time.Time) {
	w.Version = max(base+1, Version(max(1, now.UnixMicro())))
	if w.Lifetime > 0 {
		w.ExpiresAt = endTime(endMicros(now.Add(w.Lifetime)))
	}
	w.Value = s.ring()[0].seal(w.Key, w.Value, w.Version, w.ExpiresAt)
}

// remember raises the floors of what was written, and tells who asked to know.
// A deleted key's next version exceeds the deleted one, so putting the deleted
// value back is noticed too. plain are the same writes before they were sealed.
func (s *Sealed) remember(batch Batch, plain []Op) {
	for i, w := range batch.Writes {
		if w.Kind != OpCheck {
			s.floors.wrote(w.Key, w.Version, w.Kind == OpDelete)
		}
		if w.Kind == OpPut {
			s.count(w.Key, w.Version, plain[i].Value)
		}
		if w.Told != nil {
			*w.Told = w.Version
		}
	}
}

// count remembers the edition of a value that is as new as any.
func (s *Sealed) count(key string, v Version, value []byte) {
	if edition := s.edition(key, value); edition != 0 {
		s.floors.note(key, v, edition)
	}
}

// open verifies one raw entry and holds it against what was seen before.
func (s *Sealed) open(raw Entry, mark uint64) (Entry, error) {
	entry, err := s.ring().open(raw)
	if err != nil {
		return Entry{}, s.tampered(raw.Key, err)
	}
	if known := s.floors.see(raw.Key, entry.Version, mark); known != 0 {
		return Entry{}, s.tampered(raw.Key, &outdatedError{
			key: raw.Key, found: entry.Version, seen: known,
			foundEdition: s.edition(raw.Key, entry.Value), seenEdition: s.floors.edition(raw.Key),
		})
	}
	s.count(raw.Key, entry.Version, entry.Value)
	return entry, nil
}

// tampered builds the error for key, tells the hook, and has the driver drop
// its connections when a reply was of another question.
func (s *Sealed) tampered(key string, cause error) error {
	if d, ok := s.driver.(Distruster); ok && errors.Is(cause, errOtherKey) {
		d.Distrust()
	}
	return s.report(key, fmt.Errorf("%w: %q: %w", ErrTampered, key, cause))
}

// report passes err on, telling the hook about tampering.
func (s *Sealed) report(key string, err error) error {
	if errors.Is(err, ErrTampered) {
		s.onTamper(key, err)
	}
	return err
}

// ended reports whether e is past its end.
func (e Entry) ended(now time.Time) bool {
	return !e.ExpiresAt.IsZero() && !e.ExpiresAt.After(now)
}
