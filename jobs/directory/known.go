package directory

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"

	"kdgate/store"
)

// State is where a person stands.
type State string

// The states of a person.
const (
	Active  State = ""
	Left    State = "left"
	Waiting State = "waiting" // hired again; a person has to agree
)

// Known is what is known of a person: what was last written, and their state.
type Known struct {
	UserID  string    `json:"userid"`
	UnionID string    `json:"unionid,omitzero"` // of the hire that was written (T19)
	Name    string    `json:"name,omitzero"`
	Number  string    `json:"number"`
	Staff   string    `json:"staff,omitzero"` // Kingdee's internal id
	Print   string    `json:"print,omitzero"` // of the record as DingTalk had it when it was written
	View    string    `json:"view,omitzero"`  // of the record as Kingdee lists it since
	Home    int64     `json:"home,omitzero"`  // main department at DingTalk
	State   State     `json:"state,omitzero"`
	Since   time.Time `json:"since,omitzero"` // of the state, unless active

	Version store.Version  `json:"-"`
	claimed string         // the number that was theirs when this was read
	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

func (k *Keeper) personKey(userid string) string {
	return personPrefix + k.cfg.Corp + "/" + url.PathEscape(userid)
}

const (
	personPrefix     = "directory/person/"
	departmentPrefix = "directory/department/"
	numberPrefix     = "directory/number/"
	nowPrefix        = "directory/now/"
	runPrefix        = "directory/run/"
	pagePrefix       = "directory/page/"
	gonePrefix       = "directory/gone/"
	changePrefix     = "directory/change/"
	driftPrefix      = "directory/drift/"
	holdPrefix       = "directory/hold/"
	readingPrefix    = "directory/reading/"
	scopePrefix      = "directory/scope/"
	orderPrefix      = "directory/order/"
)

// Known gives what is known of a person; false when nothing is.
func (k *Keeper) Known(ctx context.Context, userid string) (Known, bool, error) {
	entry, err := k.cfg.Store.Get(ctx, k.personKey(userid))
	if errors.Is(err, store.ErrNotFound) {
		return Known{UserID: userid}, false, nil
	}
	if err != nil {
		return Known{}, false, fmt.Errorf("directory: %w", err)
	}
	known, err := decodeKnown(entry)
	return known, err == nil, err
}

func decodeKnown(entry store.Entry) (Known, error) {
	known, err := decode[Known](entry)
	known.Version, known.claimed = entry.Version, known.Number
	return known, err
}

// keep are the ops that write what is known of a person over the version that
// was read, so that a run never undoes what an event wrote meanwhile. A number
// that is new to the person is claimed for good: whoever got it next would get
// their login user (T19).
func (k *Keeper) keep(known Known) ([]store.Op, error) {
	value, err := json.Marshal(known)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	person := store.Over(k.personKey(known.UserID), value, known.Version)
	if known.Number == "" || known.claimed == known.Number {
		return []store.Op{person}, nil
	}
	return []store.Op{person, store.Create(k.numberKey(known.Number), []byte(known.UserID))}, nil
}

func (k *Keeper) numberKey(number string) string {
	return numberPrefix + k.cfg.Corp + "/" + url.PathEscape(number)
}

// scan calls fn for every entry under prefix, a page at a time.
func scan(ctx context.Context, s store.Store, prefix string, fn func(store.Entry) error) error {
	return scanAfter(ctx, s, prefix, "", fn)
}

func scanAfter(ctx context.Context, s store.Store, prefix, after string, fn func(store.Entry) error) error {
	for {
		page, err := s.Scan(ctx, prefix, after, store.MaxPage)
		if err != nil {
			return fmt.Errorf("directory: %w", err)
		}
		for _, entry := range page {
			if err := fn(entry); err != nil {
				return err
			}
			after = entry.Key
		}
		if len(page) < store.MaxPage {
			return nil
		}
	}
}

func decode[T any](entry store.Entry) (T, error) {
	var value T
	if err := json.Unmarshal(entry.Value, &value); err != nil {
		return value, fmt.Errorf("directory: %s: %w", entry.Key, err)
	}
	return value, nil
}

// put is an op that writes value as JSON whatever is there.
func put(key string, value any, life time.Duration) (store.Op, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return store.Op{}, fmt.Errorf("directory: %w", err)
	}
	op := store.Put(key, text)
	op.Lifetime = life
	return op, nil
}

// clear removes everything under prefix.
func (k *Keeper) clear(ctx context.Context, prefix string) error {
	for {
		page, err := k.cfg.Store.Scan(ctx, prefix, "", store.MaxOps)
		if err != nil || len(page) == 0 {
			return err
		}
		ops := make([]store.Op, 0, len(page))
		for _, entry := range page {
			ops = append(ops, store.Delete(entry.Key))
		}
		if err := k.cfg.Store.Commit(ctx, ops...); err != nil {
			return fmt.Errorf("directory: %w", err)
		}
	}
}

// commitGroups commits as much at once as the store takes, and what is too much
// for one commit in several at the same time, which a store makes durable
// together. One person whom an event changed meanwhile must not hold up the
// others: the next run looks at them again.
func (k *Keeper) commitGroups(ctx context.Context, groups [][]store.Op) error {
	commits, ctx := errgroup.WithContext(ctx)
	for len(groups) > 0 {
		var ops []store.Op
		n := 0
		for n < len(groups) && len(ops)+len(groups[n]) <= store.MaxOps {
			ops = append(ops, groups[n]...)
			n++
		}
		if len(ops) == 0 {
			break
		}
		some := groups[:n]
		groups = groups[n:]
		commits.Go(func() error {
			err := k.cfg.Store.Commit(ctx, ops...)
			if errors.Is(err, store.ErrConflict) {
				err = k.commitSingly(ctx, some)
			}
			return err
		})
	}
	return wrap(commits.Wait())
}

func (k *Keeper) commitSingly(ctx context.Context, groups [][]store.Op) error {
	for _, ops := range groups {
		if len(ops) == 0 {
			continue
		}
		if err := k.cfg.Store.Commit(ctx, ops...); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	return nil
}
