package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/store"
)

// linkClaim keeps the single-use links of replicas apart: a link is told by its
// user and its second, so one created record per pair is enough. The embedded
// store has one owner, who remembers by itself and dates its links after its start.
func (c *Core) linkClaim(centre string) kingdee.ClaimFunc {
	if c.options.Config.Store.Driver == "sqlite" {
		return nil
	}
	return func(ctx context.Context, user string, second int64) (bool, error) {
		name := sha256.Sum256([]byte(user)) // any length and characters make a key
		key := fmt.Sprintf("link/%s/%s/%d", centre, hex.EncodeToString(name[:12]), second)
		err := c.store.Commit(ctx, store.Create(key, nil).For(kingdee.ClaimMemory))
		if errors.Is(err, store.ErrConflict) {
			return false, nil
		}
		if err != nil {
			return false, identity.Fail(identity.Unavailable, identity.CodeStoreDown, "link: %w", err)
		}
		return true, nil
	}
}
