package store

import (
	"context"
	"fmt"
	"time"
)

// Limits that Seal holds for every driver.
const (
	MaxKey   = 512     // bytes of a key
	MaxValue = 1 << 20 // bytes of a value
	MaxOps   = 128     // ops of one Commit
	MaxPage  = 1000    // entries of one Scan; a larger limit is cut down to it
)

// Collectable is how long after its end of life a driver keeps an entry before
// its engine may collect it. It is longer than any clock difference we work
// with, so an entry written again always meets the version it has to exceed.
const Collectable = 10 * time.Minute

// Driver is what an engine offers to Seal: raw bytes under explicit versions.
// Keys and values reach it validated. Implementations are safe for concurrent
// use, return the errors of this package, and judge life only by Batch.Now.
type Driver interface {
	// Get returns the raw entry, also one past its end that is not yet
	// collected, or ErrNotFound.
	Get(ctx context.Context, key string) (Entry, error)
	// Scan is Store.Scan over raw entries. A page shorter than limit is the end.
	Scan(ctx context.Context, prefix, after string, limit int) ([]Entry, error)
	// Apply does all writes or none. A broken expectation is a *ConflictError
	// about the first one in order. Expectations are judged first, then versions: a put must exceed the version stored under its key, also when
	// that entry is past its end, and where nothing is stored the highest
	// version ever deleted. Otherwise the error is a *StaleError.
	Apply(ctx context.Context, batch Batch) error
	// Watch is Store.Watch. Events that may have been lost are reported as one
	// Event with an empty key; writers never wait for watchers.
	Watch(ctx context.Context, prefix string) (<-chan Event, error)
}

// Batch is one Commit on its way to a driver. Its keys are distinct.
type Batch struct {
	Now    time.Time // an entry whose ExpiresAt is not after Now counts as absent
	Writes []Write
}

// Write is an Op with what the sealer decided, the sealed value in Op.Value.
type Write struct {
	Op
	Version   Version   // of a put; of a delete the sealer's own note, not for the driver
	ExpiresAt time.Time // of a put; zero: does not expire
}

// StaleError says that a put's version does not exceed Floor, the version
// already used. Nothing was written; the same put with a higher version may pass.
type StaleError struct {
	Key   string
	Floor Version
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("store: version of %q does not exceed %d", e.Key, e.Floor)
}

// Unwrap makes a StaleError an ErrConflict to callers.
func (e *StaleError) Unwrap() error { return ErrConflict }

// Verdict judges the expectation of w against what is stored: nil, a
// *ConflictError or a *StaleError. Drivers that judge in Go share it; exists tells whether
// anything is stored, deleted is the highest version ever deleted.
func (w Write) Verdict(now time.Time, stored Entry, exists bool, deleted Version) error {
	live := exists && !stored.ended(now)
	switch {
	case w.Absent && live:
		return &ConflictError{Key: w.Key, Why: "is there"}
	case w.Expect != 0 && !live:
		return &ConflictError{Key: w.Key, Why: "is not there"}
	case w.Expect != 0 && stored.Version != w.Expect:
		return &ConflictError{Key: w.Key, Why: fmt.Sprintf("is at version %d, not %d", stored.Version, w.Expect)}
	case w.Kind != OpPut:
		return nil
	}
	floor := deleted
	if exists {
		floor = stored.Version
	}
	if w.Version <= floor {
		return &StaleError{Key: w.Key, Floor: floor}
	}
	return nil
}
