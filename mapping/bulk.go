package mapping

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"kdgate/audit"
	"kdgate/identity"
)

// PlanSuspend works out the suspension of many rows, to be applied in one piece
// (T109). Rows that are suspended already stay as they are.
func (t *Table) PlanSuspend(ctx context.Context, by Actor, keys []Key, reason string) (*Plan, error) {
	if err := checkNote(reason); err != nil {
		return nil, err
	}
	plan, err := t.planBulk(ctx, by, keys, func(ctx context.Context, x *tx, a act, before *Entry) (*Entry, error) {
		if before.Status == StatusSuspended {
			return before, nil
		}
		return t.suspend(ctx, x, a, before, reason)
	})
	if err != nil {
		return nil, err
	}
	plan.runs = audit.ActionMappingSuspend
	return plan, nil
}

// PlanReinstate works out the explicit reinstatement of many rows, by an
// administrator (T23, T109). Rows that are not suspended stay as they are.
func (t *Table) PlanReinstate(ctx context.Context, by Actor, keys []Key) (*Plan, error) {
	if !by.Admin {
		return nil, refuse(identity.Forbidden, "", ReasonAdminNeeded, "")
	}
	plan, err := t.planBulk(ctx, by, keys, func(ctx context.Context, x *tx, a act, before *Entry) (*Entry, error) {
		switch {
		case !a.by.Admin: // who applies need not be who planned
			return nil, refuse(identity.Forbidden, "", ReasonAdminNeeded, "")
		case before.Status != StatusSuspended:
			return before, nil
		}
		return t.reinstate(ctx, x, a, before)
	})
	if err != nil {
		return nil, err
	}
	plan.runs = audit.ActionMappingResume
	return plan, nil
}

// rowChange stages one change of a row that is there.
type rowChange func(ctx context.Context, x *tx, a act, before *Entry) (*Entry, error)

// planBulk makes a plan of one change to rows that are there. Lines count from 1.
func (t *Table) planBulk(ctx context.Context, by Actor, keys []Key, change rowChange) (*Plan, error) {
	plan := &Plan{Rows: make([]PlanRow, 0, len(keys)), known: &knownKeys{}, way: byPerson}
	x := newTx(t.cfg.Store)
	x.silent = true
	sum, seen := sha256.New(), make(map[Key]int, len(keys))
	for i, k := range keys {
		row := PlanRow{Line: i + 1, Key: k, stage: func(ctx context.Context, x *tx, a act) (*Entry, *Entry, error) {
			before, err := present(ctx, x, k)
			if err != nil {
				return nil, nil, err
			}
			after, err := change(ctx, x, a, before)
			return before, after, err
		}}
		if err := row.judge(ctx, x, act{by: by, way: byPerson}, seen); err != nil {
			return nil, err
		}
		plan.add(row)
		_, _ = fmt.Fprintf(sum, "%q %s %d\n", k, row.Verdict, row.base()) // a hash does not fail
	}
	plan.Digest = hex.EncodeToString(sum.Sum(nil))
	return plan, nil
}
