package mapping

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
)

// guard says that an import run holds the table. It has no lifetime in the
// store: a run that died leaves it behind, and whoever meets it past its end
// undoes the run before anything else is written.
type guard struct {
	Run     string         `json:"run"`
	Holder  string         `json:"holder"` // who works on the run; changes when it is taken over, so that a late riser is fenced off
	Until   time.Time      `json:"until"`
	Unknown jsontext.Value `json:",embed"`
}

// guardLease is how long a run may go without a commit before it counts as
// dead. It is longer than any clock difference we work with and any one commit.
const guardLease = 30 * time.Second

// errGuardExpired is a guard whose run died.
var errGuardExpired = errors.New("mapping: an import died and waits to be undone")

// checkGuard refuses a change while an import holds the table. Read in the
// change's own tx, it also fails the Commit when an import begins meanwhile.
func (t *Table) checkGuard(ctx context.Context, x *tx) error {
	held, err := t.guardHeld(ctx, x)
	if err == nil && held {
		return refuse(identity.Conflict, "", ReasonImportRunning, "")
	}
	return err
}

func (t *Table) guardHeld(ctx context.Context, x *tx) (bool, error) {
	var g guard
	there, err := x.load(ctx, guardKey, &g)
	switch {
	case err != nil || !there:
		return false, err
	case t.now().After(g.Until):
		return false, fmt.Errorf("%w: run %s", errGuardExpired, g.Run)
	}
	return true, nil
}
