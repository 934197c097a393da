package mapping

import (
	"context"
	"fmt"

	"kdgate/identity"
)

// Recheck asks Kingdee about a row whatever the age of its word, and keeps the
// answer: the nightly look at rows that nobody signs in by (F5). A broken link is
// in the Check, not an error; an error means that Kingdee could not be asked. A
// suspended row is left alone.
func (t *Table) Recheck(ctx context.Context, k Key) (Check, error) {
	e, err := t.Get(ctx, k)
	if err != nil {
		return Check{}, err
	}
	if e.Status == StatusSuspended {
		return e.Check, nil
	}
	w := walk{assertion: identity.Assertion{Subject: k.Subject()}, key: k}
	a, err := t.together(ctx, w.flight("verify", fmt.Sprint(e.Version)), func(ctx context.Context) (answer, error) {
		return t.verifyRow(ctx, w, e)
	})
	return a.check, err
}
