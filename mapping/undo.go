package mapping

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/sleep"
	"kdgate/store"
)

// Undo takes a finished run back: rows it created are removed, rows it changed
// become what they were, in one piece. It is refused, and changes nothing, when
// a person edited any of the rows afterwards, or when what a row had before is
// another row's now. What sign-ins added and every suspension stay (T23).
func (t *Table) Undo(ctx context.Context, by Actor, id string, p Progress) (Run, error) {
	var run Run
	there, err := newTx(t.cfg.Store).load(ctx, runKey(id), &run)
	switch {
	case err != nil:
		return Run{}, err
	case !there:
		return Run{}, refuse(identity.NotFound, "run", ReasonAbsent, id)
	case run.State == RunUndone:
		return run, nil
	case run.State != RunDone:
		return run, refuse(identity.Conflict, "run", ReasonImportRunning, "")
	}
	a := act{by: by, way: byImport, run: id}
	if a.holder, err = freshID(); err != nil {
		return run, err
	}
	if err := t.begin(ctx, a, &run, audit.ActionMappingUndo); err != nil {
		return run, err
	}
	if err := t.rehearse(ctx, a); err != nil {
		if endErr := t.finish(context.WithoutCancel(ctx), a, &run, RunDone); endErr != nil {
			return run, fmt.Errorf("%w (and the table is held: %w)", err, endErr)
		}
		return run, err
	}
	return run, t.takeBack(ctx, a, &run, p)
}

// rehearse undoes a run without writing, to see whether all of it can be undone.
func (t *Table) rehearse(ctx context.Context, a act) error {
	pages, err := t.pages(ctx, a.run)
	if err != nil {
		return err
	}
	x := newTx(t.cfg.Store)
	x.silent = true
	for _, stored := range slices.Backward(pages) {
		var written page
		if err := decode(stored.Value, &written); err != nil {
			return identity.Fail(identity.Internal, identity.CodeInternal, "%w", err)
		}
		for _, row := range slices.Backward(written.Rows) {
			if err := t.edited(ctx, x, row); err != nil {
				return err
			}
			if err := t.restore(ctx, x, a, row); err != nil {
				return fmt.Errorf("mapping: %s: %w", row.key(), err)
			}
		}
	}
	return nil
}

// edited refuses a row that a person changed after the run.
func (t *Table) edited(ctx context.Context, x *tx, r pageRow) error {
	now, err := row(ctx, x, r.key())
	if err != nil || now == nil {
		return err
	}
	for version := r.Version + 1; version <= now.Version; version++ {
		e := *now
		if version < now.Version {
			if _, err := x.load(ctx, oldKey(r.key(), version), &e); err != nil {
				return err
			}
		}
		if e.Changed.By != audit.System && e.Action != audit.ActionMappingSuspend {
			return refuse(identity.Conflict, "version", ReasonChangedSince, r.key().String()+" by "+e.Changed.By)
		}
	}
	return nil
}

// takeBack undoes a run that holds the guard, from its last page to its first.
func (t *Table) takeBack(ctx context.Context, a act, run *Run, p Progress) error {
	run.State = RunUndoing
	if err := t.decide(ctx, func(x *tx) error {
		if err := t.holdGuard(ctx, x, a); err != nil {
			return err
		}
		return x.save(ctx, runKey(run.ID), run)
	}); err != nil {
		return err
	}
	pages, err := t.pages(ctx, a.run)
	if err != nil {
		return err
	}
	for i, stored := range slices.Backward(pages) {
		for left := true; left; {
			if left, err = t.restorePage(ctx, a, stored.Key); err != nil {
				return err
			}
		}
		p.tell(len(pages)-i, len(pages))
	}
	return t.finish(ctx, a, run, RunUndone)
}

func (t *Table) pages(ctx context.Context, run string) ([]store.Entry, error) {
	var pages []store.Entry
	err := eachPage(ctx, t.cfg.Store, pagePrefix(run), func(e store.Entry) error {
		pages = append(pages, e)
		return nil
	})
	return pages, err
}

// restorePage undoes the last rows of a page in one Commit, which also shortens
// the page, and says whether any are left.
func (t *Table) restorePage(ctx context.Context, a act, key string) (bool, error) {
	var written page
	err := t.decide(ctx, func(x *tx) error {
		written = page{}
		if err := t.holdGuard(ctx, x, a); err != nil {
			return err
		}
		if there, err := x.load(ctx, key, &written); err != nil || !there {
			return err
		}
		for len(written.Rows) > 0 && !x.full() {
			last := len(written.Rows) - 1
			if err := t.restore(ctx, x, a, written.Rows[last]); err != nil {
				return err
			}
			written.Rows = written.Rows[:last]
		}
		if len(written.Rows) == 0 {
			return x.remove(ctx, key)
		}
		return x.save(ctx, key, written)
	})
	return len(written.Rows) > 0, err
}

// restore stages one row as it was before the run. A suspension that came since
// stays, and so does the hire that signed in first.
func (t *Table) restore(ctx context.Context, x *tx, a act, r pageRow) error {
	now, err := row(ctx, x, r.key())
	if err != nil || now == nil || !now.holds() {
		return err
	}
	was, err := superseded(ctx, x, r)
	if err != nil {
		return err
	}
	after := t.next(a, now, audit.ActionMappingUndo)
	switch {
	case was != nil:
		after.StaffNumber, after.LoginUser, after.KingdeeID = was.StaffNumber, was.LoginUser, was.KingdeeID
		after.Owner, after.Shared, after.Privileged, after.Note = was.Owner, was.Shared, was.Privileged, was.Note
		after.Author, after.Approvals, after.Check = was.Author, was.Approvals, Check{}
		if was.UnionID != "" {
			after.UnionID = was.UnionID
		}
		if err := a.restoreStatus(now, was, after, r); err != nil {
			return err
		}
	case now.Status == StatusSuspended:
		return nil // a removed row could be derived anew: a leaver's door
	default:
		after.Status = StatusRemoved
	}
	_, err = stage(ctx, x, a, now, after)
	return err
}

// restoreStatus gives a row the status it had, when nothing happened to it since
// the run. Taking a suspension of a finished run back is a reinstatement, and so
// an administrator's (T23).
func (a act) restoreStatus(now, was, after *Entry, r pageRow) error {
	if now.Version != r.Version || now.Status == was.Status {
		return nil
	}
	if now.Status == StatusSuspended && !a.rewind && !a.by.Admin {
		return refuse(identity.Forbidden, "status", ReasonAdminNeeded, "")
	}
	after.Status = was.Status
	return nil
}

// superseded is the version that a run replaced, nil for a row that it created.
func superseded(ctx context.Context, x *tx, r pageRow) (*Entry, error) {
	var was Entry
	there, err := x.load(ctx, oldKey(r.key(), r.Version-1), &was)
	if err != nil || !there || !was.holds() {
		return nil, err
	}
	return &was, nil
}

// Recover undoes an import whose process died. It waits for the lease of a run
// that may be alive, returns at once when there is none, and is safe to call on
// every replica at every start.
func (t *Table) Recover(ctx context.Context) error {
	for {
		var g guard
		there, err := newTx(t.cfg.Store).load(ctx, guardKey, &g)
		if err != nil || !there {
			return err
		}
		if wait := g.Until.Sub(t.now()); wait >= 0 {
			if err := sleep.For(ctx, wait+time.Millisecond); err != nil {
				return fmt.Errorf("mapping: wait for an import: %w", err)
			}
			continue
		}
		if err := t.takeOverRun(ctx, g); err != nil {
			return err
		}
	}
}

// takeOverRun takes the lease of a dead run and undoes it.
func (t *Table) takeOverRun(ctx context.Context, dead guard) error {
	run := Run{ID: dead.Run}
	holder, err := freshID()
	if err != nil {
		return err
	}
	// A dead Undo was judged before it began; who goes on with it needs no role.
	a := act{by: Actor{Name: audit.System, Admin: true}, way: byImport, run: dead.Run, holder: holder}
	err = t.decide(ctx, func(x *tx) error {
		var g guard
		there, err := x.load(ctx, guardKey, &g)
		if err != nil || !there || g.Run != dead.Run || g.Holder != dead.Holder || !g.Until.Equal(dead.Until) {
			run.ID = "" // somebody else was quicker
			return err
		}
		if _, err := x.load(ctx, runKey(dead.Run), &run); err != nil {
			return err
		}
		x.events = append(x.events, runEvent(a, &run, audit.ActionMappingUndo))
		g.Holder, g.Until = holder, t.now().Add(guardLease)
		return x.save(ctx, guardKey, g)
	})
	if err != nil || run.ID == "" {
		return err
	}
	a.rewind = run.State == RunApplying
	if run.State == RunDone { // died before the first row of an Undo
		return t.finish(ctx, a, &run, RunDone)
	}
	return t.takeBack(ctx, a, &run, nil)
}
