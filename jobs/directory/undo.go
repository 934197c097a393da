package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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
// records it made are forbidden with the login users that Kingdee made beside
// them, because Kingdee keeps what bills may stand on.
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
	back, err := k.backwards(ctx, id)
	if err != nil {
		return nil, err
	}
	if refused, err = k.putBack(ctx, back); err != nil {
		return refused, err
	}
	for _, userid := range back.people {
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

// back is what undoes a run: what was there before, the records that it made,
// and the people whom all of it is about.
type back struct {
	drafts []kingdee.StaffDraft
	posts  []placing
	made   []kingdee.Staff
	people []string
}

func (k *Keeper) backwards(ctx context.Context, id string) (back back, err error) {
	err = k.Changes(ctx, id, func(c Change) error {
		switch {
		case c.Refused != "" || c.Staff == "":
			return nil
		case c.Kind == Created:
			back.made = append(back.made, kingdee.Staff{ID: c.Staff, Number: c.Number})
		default:
			draft, post, err := k.before(ctx, c)
			if err != nil {
				return err
			}
			back.drafts = append(back.drafts, draft)
			if post != nil {
				back.posts = append(back.posts, *post)
			}
		}
		back.people = append(back.people, c.UserID)
		return nil
	})
	return back, err
}

func (k *Keeper) putBack(ctx context.Context, b back) (refused []string, err error) {
	if len(b.drafts) > 0 {
		results, err := k.cfg.Target.SaveStaff(ctx, b.drafts)
		for _, result := range results {
			if refusedBy(result.Err) {
				refused = append(refused, result.Number+": "+refusalWords(result.Err))
			}
		}
		if err != nil {
			return refused, fmt.Errorf("directory: put back: %w", err)
		}
	}
	no, err := k.place(ctx, b.posts)
	for _, number := range slices.Sorted(maps.Keys(no)) {
		refused = append(refused, number+": "+no[number])
	}
	if err != nil {
		return refused, err
	}
	if err := k.forbidMade(ctx, b.made); err != nil {
		return refused, fmt.Errorf("directory: forbid what the run made: %w", err)
	}
	return refused, nil
}

// forbidMade forbids the records that a run made, and the login users that came
// into being with them: a user whose record is forbidden can still sign in.
func (k *Keeper) forbidMade(ctx context.Context, made []kingdee.Staff) error {
	if len(made) == 0 {
		return nil
	}
	ids := make([]string, len(made))
	for i, record := range made {
		ids[i] = record.ID
	}
	if _, err := k.cfg.Target.Operate(ctx, k.cfg.Forms.Staff, kingdee.OpForbid, ids...); err != nil {
		return err
	}
	if !k.cfg.Rules.CreateUser || k.cfg.Accounts == nil {
		return nil
	}
	for _, record := range made {
		names, err := forbidUsers(ctx, k.cfg.Accounts, record, k.cfg.Spared)
		if err == nil {
			err = signOut(ctx, k.cfg.Accounts, names)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", record.Number, err)
		}
	}
	return nil
}

// before is the draft that puts the changed fields back, and the post where it is
// a record of its own.
func (k *Keeper) before(ctx context.Context, c Change) (kingdee.StaffDraft, *placing, error) {
	draft, post := restored(c)
	if !moves(c.Diffs) {
		return draft, nil, nil
	}
	post, err := k.completed(ctx, c, post)
	if err != nil {
		return draft, nil, err
	}
	if k.cfg.Rules.Posts == PostsNewStaff && post.Department != "" {
		return draft, &placing{staff: c.Number, department: post.Department, position: post.Position}, nil
	}
	if post.EntryID, err = k.mainPost(ctx, c.Staff); err != nil || post.Department == "" {
		return draft, nil, err
	}
	draft.Posts = []kingdee.StaffPost{post}
	return draft, nil, nil
}

// restored is the record and the main post with the texts that a change replaced.
func restored(c Change) (kingdee.StaffDraft, kingdee.StaffPost) {
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
	return draft, post
}

// completed takes from Kingdee what a post lacks because only its position was
// changed, or because there was none before.
func (k *Keeper) completed(ctx context.Context, c Change, post kingdee.StaffPost) (kingdee.StaffPost, error) {
	if post.Department != "" && (k.cfg.Rules.Posts != PostsNewStaff || post.Position != "") {
		return post, nil
	}
	there, err := k.records(ctx, []Staff{{Number: c.Number}})
	if err != nil {
		return post, err
	}
	for _, record := range there[c.Number] {
		if record.ID == c.Staff {
			post.Department = firstOf(post.Department, record.Department)
			post.Position = firstOf(post.Position, record.Position)
		}
	}
	return post, nil
}
