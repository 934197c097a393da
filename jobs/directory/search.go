package directory

import (
	"context"
	"errors"

	"kdgate/store"
)

// errEnough ends a walk that has found what it was to find.
var errEnough = errors.New("directory: enough")

// Find lists the people known who match, by userid, at most limit. It reads
// everybody in pages, for a person who searches.
func (k *Keeper) Find(ctx context.Context, match func(Known) bool, limit int) ([]Known, error) {
	var found []Known
	err := scan(ctx, k.cfg.Store, personPrefix+k.cfg.Corp+"/", func(entry store.Entry) error {
		known, err := decodeKnown(entry)
		if err != nil || !match(known) {
			return err
		}
		if len(found) == limit {
			return errEnough
		}
		found = append(found, known)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, err
}

// Holds lists what stays as Kingdee has it, by staff number.
func (k *Keeper) Holds(ctx context.Context) ([]Hold, error) {
	var list []Hold
	err := scan(ctx, k.cfg.Store, holdPrefix+k.cfg.Corp+"/", func(entry store.Entry) error {
		hold, err := decode[Hold](entry)
		list = append(list, hold)
		return err
	})
	return list, err
}
