package notice_test

import (
	"context"
	"fmt"

	"kdgate/store"
)

// dying is a store that answers so many commits and is then gone, as for a
// process that was killed.
type dying struct {
	store.Store
	left int
}

func (d *dying) Commit(ctx context.Context, ops ...store.Op) error {
	if d.left--; d.left < 0 {
		return fmt.Errorf("dead: %w", store.ErrUnavailable)
	}
	return d.Store.Commit(ctx, ops...)
}
