package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A sealing key is changed in three steps, each on every process that shares the
// store before the next begins (R57): the new key is listed and verifies; it is
// put first and signs, and what others sealed is sealed anew; the old one is
// taken out.

// soonOver is how near the end of an entry must be for Reseal to leave it: it
// ends before anybody takes the old key out.
const soonOver = 24 * time.Hour

// ring are the keys in force.
func (s *Sealed) ring() keyring { return *s.rings.Load() }

// Rekey puts other keys in force, the first to sign. It refuses a list without
// the key that signs now: what that sealed a moment ago could not be read.
func (s *Sealed) Rekey(keys [][]byte) error {
	next, err := newKeyring(keys)
	if err != nil {
		return err
	}
	if !next.verifies(s.ring()[0].seal("", nil, 1, time.Time{})) {
		return errors.New("store: the sealing key in force is not listed any more; keep it among the old keys")
	}
	s.rings.Store(&next)
	return nil
}

// Resealed is what Reseal came to.
type Resealed struct {
	Anew int // entries that were sealed anew
	Left int // entries that are still sealed by another key
}

// Reseal writes anew every entry that another key than the first has sealed. What
// it says, and its end, stay the same; its version rises, so whoever is changing
// it at the moment begins again. An entry that somebody else changed meanwhile is
// theirs, and one that ends within a day, or that busy names, is left for now;
// both are counted as left.
func (s *Sealed) Reseal(ctx context.Context, busy func(Entry) bool) (Resealed, error) {
	var done Resealed
	after := ""
	for {
		page, err := s.driver.Scan(ctx, "", after, MaxPage)
		if err != nil {
			return done, s.report("", err)
		}
		for _, raw := range page {
			after = raw.Key
			if err := s.reseal(ctx, raw, busy, &done); err != nil {
				return done, err
			}
		}
		if len(page) == 0 {
			return done, nil
		}
	}
}

func (s *Sealed) reseal(ctx context.Context, raw Entry, busy func(Entry) bool, done *Resealed) error {
	now := s.now()
	if s.ring()[0].sealed(raw.Value) || raw.ended(now) {
		return nil
	}
	entry, err := s.Unseal(raw)
	if err != nil {
		return fmt.Errorf("seal anew: %w", err)
	}
	if soon := !raw.ExpiresAt.IsZero() && raw.ExpiresAt.Before(now.Add(soonOver)); soon || busy(entry) {
		done.Left++
		return nil
	}
	switch err := s.Renew(ctx, raw.Key); {
	case err == nil:
		done.Anew++
	case errors.Is(err, ErrConflict):
		done.Left++
	case !errors.Is(err, ErrNotFound):
		return fmt.Errorf("seal anew: %w", err)
	}
	return nil
}
