package directory

import (
	"context"
	"errors"
	"fmt"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/kingdee"
	"kdgate/store"
)

// Changes calls fn with everything that a run did, in the order it was done.
func (k *Keeper) Changes(ctx context.Context, id string, fn func(Change) error) error {
	return scan(ctx, k.cfg.Store, changePrefix+k.cfg.Corp+"/"+id+"/", func(entry store.Entry) error {
		list, err := decode[[]Change](entry)
		if err != nil {
			return err
		}
		for _, c := range list {
			if err := fn(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// noRun tells a run that is not there from a store that does not answer.
func noRun(id string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return identity.Fail(identity.NotFound, identity.CodeNotFound, "directory: there is no run %s that has ended", id)
	}
	return wrap(err)
}

// Undo puts back what a run wrote: changed fields get the text they had, and
// records it made are forbidden, because Kingdee keeps what bills may stand on.
// Leavers stay out: taking one back is Agree's. Until the rules or DingTalk
// differ, the next run would do the same again, so the schedule should stand
// still meanwhile. What Kingdee refused is given back: staff number and words.
func (k *Keeper) Undo(ctx context.Context, by jobs.Actor, id string) (refused []string, err error) {
	run, err := k.undoable(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := k.act(ctx, by, ActionUndo, id, nil); err != nil {
		return nil, err
	}
	drafts, made, people, err := k.backwards(ctx, id)
	if err != nil {
		return nil, err
	}
	if refused, err = k.putBack(ctx, drafts, made); err != nil {
		return refused, err
	}
	for _, userid := range people {
		if err := k.change(ctx, userid, func(known *Known) { known.Print, known.View = "", "" }); err != nil {
			return refused, err
		}
	}
	run.Undone = k.cfg.Now()
	op, err := put(runPrefix+k.cfg.Corp+"/"+id, run, keepRuns)
	if err != nil {
		return refused, err
	}
	return refused, wrap(k.cfg.Store.Commit(ctx, op))
}

// undoable gives a run that can be undone.
func (k *Keeper) undoable(ctx context.Context, id string) (Run, error) {
	entry, err := k.cfg.Store.Get(ctx, runPrefix+k.cfg.Corp+"/"+id)
	if err != nil {
		return Run{}, noRun(id, err)
	}
	run, err := decode[Run](entry)
	switch {
	case err != nil:
		return run, err
	case run.Dry:
		return run, identity.Fail(identity.Conflict, "", "directory: run %s was a dry run: there is nothing to undo", id)
	case !run.Undone.IsZero():
		return run, identity.Fail(identity.Conflict, "", "directory: run %s was undone already", id)
	}
	return run, nil
}

// backwards is what undoes a run: drafts of what was there before, the records
// that it made, and the people whom all of it is about.
func (k *Keeper) backwards(ctx context.Context, id string) (drafts []kingdee.StaffDraft, made, people []string, err error) {
	err = k.Changes(ctx, id, func(c Change) error {
		switch {
		case c.Refused != "" || c.Staff == "":
			return nil
		case c.Kind == Created:
			made = append(made, c.Staff)
		default:
			draft, err := k.before(ctx, c)
			if err != nil {
				return err
			}
			drafts = append(drafts, draft)
		}
		people = append(people, c.UserID)
		return nil
	})
	return drafts, made, people, err
}

func (k *Keeper) putBack(ctx context.Context, drafts []kingdee.StaffDraft, made []string) (refused []string, err error) {
	if len(drafts) > 0 {
		results, err := k.cfg.Target.SaveStaff(ctx, drafts)
		for _, result := range results {
			if refusedBy(result.Err) {
				refused = append(refused, result.Number+": "+refusalWords(result.Err))
			}
		}
		if err != nil {
			return refused, fmt.Errorf("directory: put back: %w", err)
		}
	}
	if len(made) > 0 {
		if _, err := k.cfg.Target.Operate(ctx, k.cfg.Forms.Staff, kingdee.OpForbid, made...); err != nil {
			return refused, fmt.Errorf("directory: forbid what the run made: %w", err)
		}
	}
	return refused, nil
}

// before is the draft that puts the changed fields back.
func (k *Keeper) before(ctx context.Context, c Change) (kingdee.StaffDraft, error) {
	draft := kingdee.StaffDraft{ID: c.Staff, Number: c.Number}
	post := kingdee.StaffPost{Primary: true}
	for _, d := range c.Diffs {
		switch d.Field {
		case "name":
			draft.Name = d.Before
		case "mobile":
			draft.Mobile = d.Before
		case "email":
			draft.Email = d.Before
		case "department":
			post.Department = d.Before
		case "position":
			post.Position = d.Before
		}
	}
	if !moves(c.Diffs) {
		return draft, nil
	}
	if post.Department == "" { // only the position was changed, or there was no post before
		there, err := k.records(ctx, []Staff{{Number: c.Number}})
		if err != nil {
			return draft, err
		}
		for _, record := range there[c.Number] {
			if record.ID == c.Staff {
				post.Department = record.Department
			}
		}
	}
	var err error
	if post.EntryID, err = k.mainPost(ctx, c.Staff); err != nil || post.Department == "" {
		return draft, err
	}
	draft.Posts = []kingdee.StaffPost{post}
	return draft, nil
}
