package app

import (
	"context"

	"kdgate/identity"
	"kdgate/mapping"
)

// standing holds people in a proxied data centre to their rows: whoever is
// suspended, or mapped to somebody else, while they work there is out at once,
// and not at the end of their session (T40).
type standing struct {
	index      *mapping.Index
	table      func() *mapping.Table
	dataCentre string
}

// Stands implements proxy.Standing. The index answers nearly always, at the cost
// of a search in memory. It may be behind, so a no is asked of the store; whoever
// was let in and has no row, or cannot be asked about, stays.
func (s standing) Stands(ctx context.Context, who identity.Subject, loginUser string) bool {
	key := mapping.KeyOf(who, s.dataCentre)
	if opens, sure := s.index.Opens(key, loginUser); opens || !sure {
		return true
	}
	row, err := s.table().Get(ctx, key)
	if err != nil {
		return !absent(err)
	}
	return row.Opens(loginUser)
}
