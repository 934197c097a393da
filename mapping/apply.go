package mapping

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"kdgate/identity"
	"kdgate/store"
)

// A row of a run touches at most: itself, two old versions, its userid, two
// accounts, two staff numbers and the length of digit-only users. Beside rows a
// Commit holds the guard and the page.
const (
	keysOfRow   = 9
	keysBesides = 2
)

// full reports that another row may not fit into the Commit.
func (x *tx) full() bool { return len(x.order)+keysOfRow+keysBesides > store.MaxOps }

// pagesAtOnce is how many Commits of a run are under way together. Log and store
// wait for the disk once for all of them.
const pagesAtOnce = 16

// draft of a page: its rows, staged but not committed.
type pageDraft struct {
	n    int
	rows []PlanRow
	tx   *tx
}

// applyRows writes the lines of a plan: pages that touch nothing in common are
// recorded and committed together, the next ones after them.
func (t *Table) applyRows(ctx context.Context, a act, plan *Plan, p Progress) error {
	rows := make([]PlanRow, 0, plan.Create+plan.Change)
	for _, row := range plan.Rows {
		if row.writes() {
			rows = append(rows, row)
		}
	}
	total, n := len(rows), 0
	for len(rows) > 0 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("mapping: import stopped: %w", err)
		}
		if err := t.decide(ctx, func(x *tx) error { return t.holdGuard(ctx, x, a) }); err != nil {
			return err
		}
		drafts, err := t.draftPages(ctx, a, n, rows, plan.known)
		if err != nil {
			return err
		}
		if err := t.commitPages(ctx, a, drafts, plan.known); err != nil {
			return err
		}
		n += len(drafts)
		for _, d := range drafts {
			rows = rows[len(d.rows):]
		}
		p.tell(total-len(rows), total)
	}
	return nil
}

// draftPages stages pages from the first rows on, until there are enough or one
// touches what another one writes.
func (t *Table) draftPages(ctx context.Context, a act, n int, rows []PlanRow, known *knownKeys) ([]pageDraft, error) {
	var drafts []pageDraft
	written := map[string]bool{} // key touched by a draft → written by it
	for len(drafts) < pagesAtOnce && len(rows) > 0 {
		x := newTx(t.cfg.Store)
		x.absent = known.absent
		took, err := t.stagePage(ctx, x, a, n+len(drafts), rows)
		early := len(drafts) > 0 && RefusalOf(err) != nil // may need what is staged before it
		if early || err == nil && x.meets(written) {
			break
		}
		if err != nil {
			return nil, err
		}
		for key, c := range x.cells {
			written[key] = written[key] || c.written
		}
		drafts = append(drafts, pageDraft{n + len(drafts), rows[:took], x})
		rows = rows[took:]
	}
	return drafts, nil
}

// meets reports whether x writes a key that was touched, or touches one that was written.
func (x *tx) meets(written map[string]bool) bool {
	for key, c := range x.cells {
		if w, touched := written[key]; touched && (w || c.written) {
			return true
		}
	}
	return false
}

// stagePage stages the first rows into x, as many as fit, and says how many.
// The guard is only read, so that pages can be committed side by side.
func (t *Table) stagePage(ctx context.Context, x *tx, a act, n int, rows []PlanRow) (int, error) {
	if err := t.checkHold(ctx, x, a); err != nil {
		return 0, err
	}
	var written page
	took := 0
	for took < len(rows) && !x.full() {
		row := rows[took]
		if err := applyRow(ctx, x, a, row, &written); err != nil {
			return 0, fmt.Errorf("mapping: line %d: %w", row.Line, err)
		}
		took++
	}
	return took, x.fresh(ctx, pageKey(a.run, n), written)
}

// commitPages records everything, then commits the pages together. A page whose
// rows moved meanwhile (a check, a suspension) is decided anew by itself.
func (t *Table) commitPages(ctx context.Context, a act, drafts []pageDraft, known *knownKeys) error {
	var all tx
	for _, d := range drafts {
		all.events = append(all.events, d.tx.events...)
	}
	if err := t.record(ctx, all.events); err != nil {
		return err
	}
	var mu sync.Mutex
	var moved []pageDraft
	var group errgroup.Group
	for _, d := range drafts {
		group.Go(func() error {
			err := t.cfg.Store.Commit(ctx, d.tx.ops()...)
			if err == nil {
				return nil
			}
			t.recordFailed(ctx, d.tx.events, err)
			if !errors.Is(err, store.ErrConflict) {
				return storeError("write a page", err)
			}
			mu.Lock()
			defer mu.Unlock()
			moved = append(moved, d)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, d := range moved {
		if err := t.applyAgain(ctx, a, d); err != nil {
			return err
		}
	}
	for _, d := range drafts {
		known.learn(d.tx)
	}
	return nil
}

// applyAgain decides one page on what is there now, asking for every key.
func (t *Table) applyAgain(ctx context.Context, a act, d pageDraft) error {
	return t.decide(ctx, func(x *tx) error {
		took, err := t.stagePage(ctx, x, a, d.n, d.rows)
		if err == nil && took != len(d.rows) {
			return identity.Fail(identity.Internal, identity.CodeInternal, "mapping: page %d took %d of %d rows", d.n, took, len(d.rows))
		}
		return err
	})
}

func applyRow(ctx context.Context, x *tx, a act, row PlanRow, written *page) error {
	before, after, err := row.stage(ctx, x, a)
	if err != nil {
		return err
	}
	base := uint64(0)
	if before != nil {
		base = before.Version
	}
	if base != row.base() {
		return refuse(identity.Conflict, "version", ReasonVersion, "changed after the preview")
	}
	if before == nil || after.Version != before.Version {
		written.Rows = append(written.Rows, pageRow{row.Key.Corp, row.Key.UserID, row.Key.DataCentre, after.Version})
	}
	return nil
}
