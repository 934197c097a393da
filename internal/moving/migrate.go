package moving

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"kdgate/store"
)

const fromKey = migratePrefix + "from"

// Migration copies what lasts from one store to another and then takes the first
// one out of use. Both are sealed under keys that know each other's values.
type Migration struct {
	From, To *store.Sealed
	LeftOut  LeftOut
	Name     string // of the target, for whoever starts a gateway on the source
	Now      func() time.Time
	Progress Progress
}

// Migrated is what came of it.
type Migrated struct {
	StoreID string `json:"store_id"`
	Entries int    `json:"entries"` // that last, the same number on both sides
	Written int    `json:"written"` // by this run; an earlier one may have written the others
	Digest  string `json:"digest"`  // SHA-256 over keys, values and ends, the same on both sides
}

// Errors of a migration, wrapped.
var (
	ErrDiffers = errors.New("moving: the two stores do not hold the same") // nothing was taken out of use
	ErrMoved   = errors.New("moving: the source was moved before")
)

// Run migrates. It can be killed at any moment and run again: until its last
// steps the target is nobody's store and the source is as it was.
func (m Migration) Run(ctx context.Context) (Migrated, error) {
	source, err := m.source(ctx)
	if err != nil {
		return Migrated{}, err
	}
	through, err := m.enter(ctx, source)
	if err != nil {
		return Migrated{}, err
	}
	done := Migrated{StoreID: source.ID}
	if !through {
		if done.Written, err = m.copy(ctx); err != nil {
			return done, err
		}
		if done.Entries, done.Digest, err = m.compare(ctx); err != nil {
			return done, err
		}
		if err := m.settle(ctx, source); err != nil {
			return done, err
		}
	}
	source.MovedTo = m.Name
	value, err := source.Encode()
	if err != nil {
		return done, err
	}
	return done, m.From.Commit(ctx, store.Put(store.BirthKey, value))
}

// source is what the source says it is. One that was never bound gets a birth.
func (m Migration) source(ctx context.Context) (store.Birth, error) {
	found, err := birthOf(ctx, m.From)
	if !errors.Is(err, store.ErrNotFound) {
		return found, err
	}
	born := store.Birth{ID: rand.Text(), At: m.Now().UTC()}
	value, err := born.Encode()
	if err != nil {
		return born, err
	}
	return born, m.From.Commit(ctx, store.Create(store.BirthKey, value))
}

func birthOf(ctx context.Context, s *store.Sealed) (store.Birth, error) {
	entry, err := s.Get(ctx, store.BirthKey)
	if err != nil {
		return store.Birth{}, err
	}
	return store.DecodeBirth(entry.Value)
}

// enter marks the target as ours while it is filled. through says that an
// earlier run came to its end but for the last step.
func (m Migration) enter(ctx context.Context, source store.Birth) (through bool, err error) {
	there, err := birthOf(ctx, m.To)
	switch {
	case err == nil && there.ID == source.ID && there.MovedTo == "":
		return true, nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return false, err
	case source.MovedTo != "":
		return false, fmt.Errorf("%w: to %s", ErrMoved, source.MovedTo)
	}
	mark, err := m.To.Get(ctx, fromKey)
	if err == nil && string(mark.Value) == source.ID {
		return false, nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	occupied, err := Occupied(ctx, m.To, m.LeftOut)
	if err != nil || occupied {
		return false, errors.Join(err, ErrOccupied)
	}
	return false, m.To.Commit(ctx, store.Delete(store.BirthKey), store.Put(fromKey, []byte(source.ID)))
}

// settle makes the target the store, in one commit.
func (m Migration) settle(ctx context.Context, source store.Birth) error {
	value, err := source.Encode()
	if err != nil {
		return err
	}
	return m.To.Commit(ctx, store.Put(store.BirthKey, value), store.Delete(fromKey))
}

// copy makes the target hold what the source holds. Both are read in the order
// of keys side by side, so what an earlier run wrote is passed over.
func (m Migration) copy(ctx context.Context) (written int, err error) {
	from, to := m.reader(m.From), m.reader(m.To)
	var batch []store.Entry
	put := func() error {
		err := m.To.PutSealed(ctx, batch...)
		batch = batch[:0]
		return err
	}
	for {
		source, target, order, err := side(ctx, from, to)
		if err != nil {
			return written, err
		}
		switch {
		case source == nil && target == nil:
			return written, put()
		case order > 0: // an earlier run wrote what the source lost since
			err = m.To.Commit(ctx, store.Delete(target.Key))
			to.skip()
		case order == 0 && m.same(*source, *target):
			from.skip()
			to.skip()
		default:
			batch, written = append(batch, *source), written+1
			from.skip()
			if order == 0 {
				to.skip()
			}
		}
		if err == nil && len(batch) == store.MaxOps {
			err = put()
		}
		if err != nil {
			return written, err
		}
		m.Progress.tell(from.read, 0)
	}
}

// side gives what each reader is at, and how their keys compare; a reader at its
// end is behind every key.
func side(ctx context.Context, from, to *reader) (source, target *store.Entry, order int, err error) {
	if source, err = from.at(ctx); err == nil {
		target, err = to.at(ctx)
	}
	switch {
	case err != nil:
	case source == nil:
		order = 1
	case target == nil || source.Key < target.Key:
		order = -1
	case source.Key > target.Key:
		order = 1
	}
	return source, target, order, err
}

// same compares values, not envelopes: a target that had seen higher versions
// sealed them anew.
func (m Migration) same(source, target store.Entry) bool {
	a, errA := m.From.Unseal(source)
	b, errB := m.To.Unseal(target)
	return errA == nil && errB == nil && target.Version >= source.Version &&
		a.ExpiresAt.Equal(b.ExpiresAt) && bytes.Equal(a.Value, b.Value)
}

// compare reads both sides again and holds them to one another.
func (m Migration) compare(ctx context.Context) (entries int, digest string, err error) {
	n, source, err := m.reader(m.From).digest(ctx)
	if err != nil {
		return 0, "", err
	}
	k, target, err := m.reader(m.To).digest(ctx)
	if err != nil {
		return 0, "", err
	}
	if n != k || source != target {
		return 0, "", fmt.Errorf("%w: %d entries (%.12s) and %d (%.12s)", ErrDiffers, n, source, k, target)
	}
	return n, source, nil
}

func (m Migration) reader(s *store.Sealed) *reader {
	return &reader{store: s, leave: m.LeftOut}
}

// reader walks what lasts in a store, in order of keys.
type reader struct {
	store *store.Sealed
	leave LeftOut
	page  []store.Entry
	after string
	end   bool
	read  int
}

// at gives the entry the reader stands at, nil at the end.
func (r *reader) at(ctx context.Context) (*store.Entry, error) {
	for {
		for len(r.page) > 0 {
			if e := &r.page[0]; e.Key != store.BirthKey && !r.leave.has(e.Key) {
				return e, nil
			}
			r.page = r.page[1:]
		}
		if r.end {
			return nil, nil //nolint:nilnil // the end is no error
		}
		var err error
		if r.page, err = r.store.ScanSealed(ctx, "", r.after, store.MaxPage); err != nil {
			return nil, err
		}
		if r.end = len(r.page) == 0; !r.end {
			r.after = r.page[len(r.page)-1].Key
		}
	}
}

func (r *reader) skip() {
	r.page = r.page[1:]
	r.read++
}

// digest is over every key, value and end, each with its length.
func (r *reader) digest(ctx context.Context) (entries int, digest string, err error) {
	sum := sha256.New()
	var head []byte
	for {
		e, err := r.at(ctx)
		if err != nil {
			return 0, "", err
		}
		if e == nil {
			return r.read, hex.EncodeToString(sum.Sum(nil)), nil
		}
		plain, err := r.store.Unseal(*e)
		if err != nil {
			return 0, "", err
		}
		var ends uint64
		if !plain.ExpiresAt.IsZero() {
			ends = uint64(plain.ExpiresAt.UnixMicro())
		}
		head = binary.BigEndian.AppendUint64(head[:0], uint64(len(plain.Key)))
		head = binary.BigEndian.AppendUint64(head, uint64(len(plain.Value)))
		head = binary.BigEndian.AppendUint64(head, ends)
		sum.Write(head) // a hash takes everything
		sum.Write([]byte(plain.Key))
		sum.Write(plain.Value)
		r.skip()
	}
}
