package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"kdgate/kingdee"
)

// Posts is how the post that a person holds is written in Kingdee.
type Posts string

// The ways of posts. Public sources show both (reference 8.2); which one a
// Kingdee has in use is for whoever keeps it to say.
const (
	PostsEntity   Posts = "entity"   // a row of the staff record (FPostEntity); a move changes the main one
	PostsNewStaff Posts = "newstaff" // a record of its own (员工任岗信息); a move ends the main one and makes another
)

// placing is the main post that somebody is to hold, as a record of its own.
type placing struct {
	staff, department, position string // numbers
	start                       time.Time
}

// placingOf is the post that s asks for, where record says what s does not; nil
// without a department.
func placingOf(s Staff, record kingdee.StaffRecord) *placing {
	p := &placing{s.Number, firstOf(s.Department, record.Department), firstOf(s.Position, record.Position), day(s.Joined)}
	if p.department == "" {
		return nil
	}
	return p
}

// fits reports whether a post record is the one that p asks for.
func (p placing) fits(r kingdee.PostRecord) bool {
	return !r.Forbidden && r.Department == p.department && r.Position == p.position
}

// placeChanged writes the posts of the people whose records were saved.
func (k *Keeper) placeChanged(ctx context.Context, changes []Change) error {
	var list []placing
	for _, c := range changes {
		if c.post != nil && c.Refused == "" && !c.same {
			list = append(list, *c.post)
		}
	}
	refused, err := k.place(ctx, list)
	for i := range changes {
		if words, no := refused[changes[i].Number]; no && changes[i].post != nil {
			changes[i].Refused = words
		}
	}
	return err
}

// place has people hold their posts, and tells by staff number what Kingdee
// refused. What was their main post ends first, and only then loses the mark, so
// that a crash in between leaves something that is found again: an ended main
// post. Posts beside the main one are other people's business.
func (k *Keeper) place(ctx context.Context, list []placing) (refused map[string]string, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	main, err := k.mainPosts(ctx, list)
	if err != nil {
		return nil, err
	}
	var drafts []kingdee.PostDraft
	var ending, demoting []kingdee.PostRecord
	var ids []string             // of posts to be brought in force
	staff := map[string]string{} // by id
	for _, p := range list {
		stands := false
		for _, post := range main[p.staff] {
			switch {
			case p.fits(post) && !stands:
				if stands = true; !post.Approved { // a crash came between the save and the audit
					ids, staff[post.ID] = append(ids, post.ID), post.Staff
				}
			default:
				demoting = append(demoting, post)
				if !post.Forbidden {
					ending = append(ending, post)
				}
			}
		}
		if !stands {
			drafts = append(drafts, kingdee.PostDraft{Staff: p.staff, Department: p.department, Position: p.position, Start: p.start, Primary: true})
		}
	}
	refused = map[string]string{}
	if err := k.endPosts(ctx, ending, demoting, refused); err != nil {
		return refused, err
	}
	made, err := k.makePosts(ctx, drafts, refused)
	if err != nil {
		return refused, err
	}
	maps.Copy(staff, made)
	return refused, k.approvePosts(ctx, slices.Concat(ids, slices.Sorted(maps.Keys(made))), staff, refused)
}

// mainPosts are the posts with the mark of the main one, by staff number. There
// should be one; a crash or a person may have left more.
func (k *Keeper) mainPosts(ctx context.Context, list []placing) (map[string][]kingdee.PostRecord, error) {
	found := map[string][]kingdee.PostRecord{}
	for from := 0; from < len(list); from += lookUp {
		var numbers []string
		for _, p := range list[from:min(from+lookUp, len(list))] {
			numbers = append(numbers, p.staff)
		}
		for post, err := range k.cfg.Target.AllPosts(ctx, kingdee.Listing{Filter: kingdee.OneOf(k.cfg.Forms.PostPerson, numbers...)}) {
			if err != nil {
				return nil, fmt.Errorf("directory: look up posts: %w", err)
			}
			if post.Primary {
				found[post.Staff] = append(found[post.Staff], post)
			}
		}
	}
	return found, nil
}

// endPosts forbids posts, and takes the mark off them. One that Kingdee will not
// end keeps its holder from a new one; that an ended one keeps its mark does not.
func (k *Keeper) endPosts(ctx context.Context, ending, demoting []kingdee.PostRecord, refused map[string]string) error {
	staff := map[string]string{}
	var ids []string
	for _, post := range ending {
		ids, staff[post.ID] = append(ids, post.ID), post.Staff
	}
	if len(ids) > 0 {
		results, err := k.cfg.Target.Operate(ctx, k.cfg.Forms.Post, kingdee.OpForbid, ids...)
		for i, result := range results {
			if refusedBy(result.Err) {
				refused[staff[ids[i]]] = refusalWords(result.Err)
			}
		}
		if err != nil {
			return fmt.Errorf("directory: end posts: %w", err)
		}
	}
	var drafts []kingdee.PostDraft
	for _, post := range demoting {
		if refused[post.Staff] == "" {
			drafts = append(drafts, kingdee.PostDraft{ID: post.ID, Demote: true})
		}
	}
	if len(drafts) == 0 {
		return nil
	}
	results, err := k.cfg.Target.SavePosts(ctx, drafts)
	for _, result := range results {
		if result.Err != nil && !refusedBy(result.Err) {
			err = errors.Join(err, result.Err)
		}
	}
	if err != nil {
		return fmt.Errorf("directory: take the mark off posts: %w", err)
	}
	return nil
}

// makePosts saves new posts, which Kingdee numbers, and gives whose they are by id.
func (k *Keeper) makePosts(ctx context.Context, drafts []kingdee.PostDraft, refused map[string]string) (map[string]string, error) {
	wanted := slices.DeleteFunc(drafts, func(draft kingdee.PostDraft) bool { return refused[draft.Staff] != "" })
	if len(wanted) == 0 {
		return nil, nil
	}
	results, err := k.cfg.Target.SavePosts(ctx, wanted)
	made := map[string]string{}
	for i, result := range results {
		switch {
		case result.Err == nil:
			made[result.ID] = wanted[i].Staff
		case refusedBy(result.Err):
			refused[wanted[i].Staff] = refusalWords(result.Err)
		default:
			err = errors.Join(err, result.Err)
		}
	}
	if err != nil {
		return made, fmt.Errorf("directory: save posts: %w", err)
	}
	return made, nil
}

// approvePosts submits and audits posts: only an audited one is in force. The
// first step refuses one that was submitted already; the second one counts.
func (k *Keeper) approvePosts(ctx context.Context, ids []string, staff, refused map[string]string) error {
	if len(ids) == 0 {
		return nil
	}
	for _, op := range []kingdee.Operation{kingdee.OpSubmit, kingdee.OpAudit} {
		results, err := k.cfg.Target.Operate(ctx, k.cfg.Forms.Post, op, ids...)
		for i, result := range results {
			if op == kingdee.OpAudit && refusedBy(result.Err) {
				refused[staff[ids[i]]] = refusalWords(result.Err)
			}
		}
		if err != nil {
			return fmt.Errorf("directory: %s posts: %w", op, err)
		}
	}
	return nil
}
