package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// What leaves a store for an archive or another store leaves sealed: the value
// stays what was written, under the key and version it was written as, and
// whoever takes it in can prove that.

// GetSealed gives the entry under key as the engine holds it, its value still in
// its envelope, once its seal is verified. It does not ask whether a newer
// version was seen, so that what a failover left behind can be saved too.
func (s *Sealed) GetSealed(ctx context.Context, key string) (Entry, error) {
	if err := checkKey(key); err != nil {
		return Entry{}, err
	}
	raw, err := s.driver.Get(ctx, key)
	if err != nil {
		return Entry{}, s.report(key, err)
	}
	raw.Key = key
	opened, err := s.Unseal(raw)
	if err == nil && opened.ended(s.now()) {
		err = fmt.Errorf("%w: %q is past its end", ErrNotFound, key)
	}
	return raw, err
}

// ScanSealed is Scan over what GetSealed gives. Entries past their end are left
// out, so only an empty page is the end.
func (s *Sealed) ScanSealed(ctx context.Context, prefix, after string, limit int) ([]Entry, error) {
	now := s.now()
	for {
		page, err := s.driver.Scan(ctx, prefix, after, min(limit, MaxPage))
		if err != nil {
			return nil, s.report(prefix, err)
		}
		live := make([]Entry, 0, len(page))
		for _, raw := range page {
			if !strings.HasPrefix(raw.Key, prefix) || raw.Key <= after {
				return nil, s.tampered(raw.Key, errOtherKey)
			}
			after = raw.Key
			if _, err := s.Unseal(raw); err != nil {
				return nil, err
			}
			if !raw.ended(now) {
				live = append(live, raw)
			}
		}
		if len(live) > 0 || len(page) == 0 {
			return live, nil
		}
	}
}

// Unseal verifies an entry that GetSealed or ScanSealed gave, here or elsewhere,
// and returns it with its plain value. ErrTampered when it was not sealed as
// what it says it is by a key in force.
func (s *Sealed) Unseal(sealed Entry) (Entry, error) {
	entry, err := s.ring().open(sealed)
	if err != nil {
		return Entry{}, s.tampered(sealed.Key, err)
	}
	return entry, nil
}

// PutSealed writes entries that left a store sealed, all or none, at most
// MaxOps of them. Each keeps its version and its envelope where the engine
// takes them; where it knows a higher version the value is sealed anew above
// that, so that versions never go back, whatever was deleted here meanwhile.
func (s *Sealed) PutSealed(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	ops := make([]Op, len(entries))
	batch := Batch{Now: s.now(), Writes: make([]Write, len(entries))}
	for i, sealed := range entries {
		entry, err := s.Unseal(sealed)
		if err != nil {
			return err
		}
		ops[i] = Put(sealed.Key, entry.Value)
		kept := Op{Kind: OpPut, Key: sealed.Key, Value: sealed.Value}
		if !sealed.ExpiresAt.IsZero() {
			if kept.Lifetime = sealed.ExpiresAt.Sub(batch.Now); kept.Lifetime <= 0 {
				return fmt.Errorf("%w: %q is past its end", ErrInvalid, sealed.Key)
			}
		}
		batch.Writes[i] = Write{Op: kept, Version: sealed.Version, ExpiresAt: sealed.ExpiresAt}
	}
	if err := checkOps(ops); err != nil {
		return err
	}
	return s.applySealed(ctx, batch, ops)
}

// applySealed applies a batch, sealing anew whatever does not exceed a version
// that the engine knows.
func (s *Sealed) applySealed(ctx context.Context, batch Batch, plain []Op) error {
	var stale *StaleError
	for range applyTries {
		err := s.driver.Apply(ctx, batch)
		if err == nil {
			s.remember(batch, plain)
			return nil
		}
		if !errors.As(err, &stale) {
			return s.report(batch.Writes[0].Key, err)
		}
		// A floor is mostly that of everything deleted, so it stops the others too.
		for i := range batch.Writes {
			if w := &batch.Writes[i]; w.Version <= stale.Floor {
				ends := w.ExpiresAt
				w.Op = plain[i]
				w.Lifetime = 0
				s.sealPut(w, stale.Floor, batch.Now)
				if !ends.IsZero() {
					w.Lifetime, w.ExpiresAt = ends.Sub(batch.Now), ends
					w.Value = s.ring()[0].seal(w.Key, plain[i].Value, w.Version, ends)
				}
			}
		}
	}
	return fmt.Errorf("gave up after %d tries: %w", applyTries, stale)
}

// Renew writes what the engine holds under key again, above every version that
// was seen: an entry that a failover put back, and that answers ErrOutdated
// since, can be read and changed again. What it says is the caller's concern.
func (s *Sealed) Renew(ctx context.Context, key string) error {
	raw, err := s.GetSealed(ctx, key)
	if err != nil {
		return err
	}
	entry, err := s.Unseal(raw)
	if err != nil {
		return err
	}
	plain := []Op{Replace(key, entry.Value, raw.Version)}
	batch := Batch{Now: s.now(), Writes: []Write{{Op: plain[0]}}}
	w := &batch.Writes[0]
	base := max(raw.Version, s.floors.of(key))
	if base >= maxVersion {
		return s.tampered(key, fmt.Errorf("version %d is out of range", base))
	}
	if !raw.ExpiresAt.IsZero() {
		w.Lifetime = raw.ExpiresAt.Sub(batch.Now)
	}
	s.sealPut(w, base, batch.Now)
	if err := s.driver.Apply(ctx, batch); err != nil {
		return s.report(key, err)
	}
	s.remember(batch, plain)
	return nil
}

// AsFound is the store as the engine has it: its Get answers what is there although
// a newer version was seen, and its Commit expects versions of the engine alone,
// and writes above all that was seen. It is for whoever knows from elsewhere what
// an entry that was put back has to be, and decides anew on it in one Commit.
func (s *Sealed) AsFound() Store { return asFound{s} }

type asFound struct{ *Sealed }

// Get implements Store.
func (a asFound) Get(ctx context.Context, key string) (Entry, error) {
	raw, err := a.GetSealed(ctx, key)
	if err != nil {
		return Entry{}, err
	}
	return a.Unseal(raw)
}

// Commit implements Store.
func (a asFound) Commit(ctx context.Context, ops ...Op) error { return a.commit(ctx, ops, false) }

// Forget drops what was remembered of versions. It is for the one event that
// rightly takes a whole store back in time: a restore.
func (s *Sealed) Forget() { s.floors.forget() }

// ScanKeys gives keys under prefix after the key after, in order, without a look
// at what they hold: to find out whether there is anything, and to clear it.
func (s *Sealed) ScanKeys(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	page, err := s.driver.Scan(ctx, prefix, after, min(limit, MaxPage))
	if err != nil {
		return nil, s.report(prefix, err)
	}
	keys := make([]string, len(page))
	for i, e := range page {
		keys[i] = e.Key
	}
	return keys, nil
}
