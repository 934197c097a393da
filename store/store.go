package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The errors a Store returns, wrapped; compare with errors.Is.
var (
	ErrNotFound    = errors.New("store: not found")            // asked, and it is not there
	ErrConflict    = errors.New("store: version conflict")     // an expectation of a Commit did not hold; nothing was written
	ErrUnavailable = errors.New("store: could not ask")        // no answer, or no trustworthy one; nothing is known
	ErrTampered    = errors.New("store: seal does not verify") // the value is not what was written under this key
	ErrInvalid     = errors.New("store: invalid operation")    // bad key, too large a value, empty or self-contradicting commit

	// ErrOutdated comes with ErrTampered: the value is genuine, but a newer one
	// was seen before. Somebody put it back, or a failover lost the newer one.
	ErrOutdated = errors.New("store: older than what was seen")

	// ErrLost comes with ErrUnavailable: the engine answers, but what it holds is
	// not what this installation wrote. See Bound.
	ErrLost = errors.New("store: not the store that was here")
)

// ConflictError is ErrConflict by the engine's own verdict. Expectations are
// judged in the order of the ops: those before Key held.
type ConflictError struct {
	Key string // of the first op whose expectation did not hold
	Why string // what is there, where the engine tells
}

func (e *ConflictError) Error() string {
	if e.Why == "" {
		return fmt.Sprintf("%v: %q", ErrConflict, e.Key)
	}
	return fmt.Sprintf("%v: %q %s", ErrConflict, e.Key, e.Why)
}

// Unwrap makes a ConflictError an ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// ConflictKey gives the key of the first expectation that did not hold, where
// the engine was asked; false for a conflict that was seen without asking.
func ConflictKey(err error) (key string, ok bool) {
	if conflict, is := errors.AsType[*ConflictError](err); is {
		return conflict.Key, true
	}
	return "", false
}

// OutdatedKey gives the key that an error which is ErrOutdated is about.
func OutdatedKey(err error) (key string, ok bool) {
	if outdated, is := errors.AsType[*outdatedError](err); is {
		return outdated.key, true
	}
	return "", false
}

// OutdatedEditions gives the edition of the value that was found and that of the
// newest one seen (SealConfig.Edition), where err is ErrOutdated; zero: unknown.
func OutdatedEditions(err error) (found, seen uint64) {
	if outdated, is := errors.AsType[*outdatedError](err); is {
		return outdated.foundEdition, outdated.seenEdition
	}
	return 0, 0
}

// outdatedError is ErrOutdated with the key.
type outdatedError struct {
	key                       string
	found, seen               Version
	foundEdition, seenEdition uint64
}

func (e *outdatedError) Error() string {
	return fmt.Sprintf("%v: version %d, after %d", ErrOutdated, e.found, e.seen)
}

func (e *outdatedError) Unwrap() error { return ErrOutdated }

// Version orders the writes of one key. It grows with every put, also across a
// delete, and is never zero for a stored entry.
type Version uint64

// Entry is one stored value.
type Entry struct {
	Key       string
	Value     []byte
	Version   Version
	ExpiresAt time.Time // zero: does not expire
}

// Event tells that a key was written, deleted or has to be forgotten. An event
// with an empty Key means "forget everything under the watched prefix": the
// driver may have missed some (after a reconnect).
type Event struct {
	Key     string
	Deleted bool
}

// Store is what domains hold. Implementations are safe for concurrent use.
type Store interface {
	// Get returns the live entry, ErrNotFound, or another error.
	Get(ctx context.Context, key string) (Entry, error)
	// Scan returns at most limit live entries whose keys start with prefix and
	// sort after the key after, in byte order of keys. An empty result is the end.
	Scan(ctx context.Context, prefix, after string, limit int) ([]Entry, error)
	// Commit applies all ops or none. A broken expectation is ErrConflict. After
	// ErrUnavailable the outcome is unknown: the caller reads before it repeats.
	Commit(ctx context.Context, ops ...Op) error
	// Watch reports changes under prefix made by any replica, within a second,
	// until ctx ends, which closes the channel.
	Watch(ctx context.Context, prefix string) (<-chan Event, error)
}

// OpKind is what an Op does.
type OpKind int

// The kinds of Op.
const (
	OpPut OpKind = iota
	OpDelete
	OpCheck
)

// Op is one step of a Commit. Build it with Put, Create, Replace, Delete or Check.
type Op struct {
	Kind     OpKind
	Key      string
	Value    []byte
	Absent   bool          // expectation: no live entry
	Expect   Version       // expectation: exactly this version; zero expects nothing
	Lifetime time.Duration // for puts; zero: does not expire
	Told     *Version      // where a Commit that succeeded leaves the version it wrote; nil: nobody asks
}

// Put writes value whatever is there.
func Put(key string, value []byte) Op { return Op{Kind: OpPut, Key: key, Value: value} }

// Create writes value where nothing is.
func Create(key string, value []byte) Op {
	return Op{Kind: OpPut, Key: key, Value: value, Absent: true}
}

// Replace writes value over exactly version v.
func Replace(key string, value []byte, v Version) Op {
	return Op{Kind: OpPut, Key: key, Value: value, Expect: v}
}

// Over writes value over what was read at version v: over zero, where nothing was
// read, it is Create, else Replace.
func Over(key string, value []byte, v Version) Op {
	if v == 0 {
		return Create(key, value)
	}
	return Replace(key, value, v)
}

// Delete removes the key; one that is not there is no error.
func Delete(key string) Op { return Op{Kind: OpDelete, Key: key} }

// DeleteAt removes exactly version v.
func DeleteAt(key string, v Version) Op { return Op{Kind: OpDelete, Key: key, Expect: v} }

// Check expects version v without writing.
func Check(key string, v Version) Op { return Op{Kind: OpCheck, Key: key, Expect: v} }

// CheckAbsent expects that nothing is there.
func CheckAbsent(key string) Op { return Op{Kind: OpCheck, Key: key, Absent: true} }

// For gives a put a lifetime.
func (op Op) For(d time.Duration) Op {
	op.Lifetime = d
	return op
}

// Tell has the version of a put written to v once the Commit has succeeded, for
// whoever goes on with the entry without reading it back.
func (op Op) Tell(v *Version) Op {
	op.Told = v
	return op
}
