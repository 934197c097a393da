package directory

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"kdgate/kingdee"
	"kdgate/store"
)

// write brings departments, then people, page by page. A page whose people are
// all written or set aside has served, and goes in the commit that counts them.
func (w *walk) write(ctx context.Context) error {
	if err := w.recall(ctx); err != nil {
		return err
	}
	if w.cfg.Rules.MakeDepartments && !w.run.Dry {
		if err := w.departments(ctx); err != nil {
			return err
		}
	}
	total := w.run.Counts.Differ
	var done atomic.Int64
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(2 * w.cfg.Writers) // as many are kept as are brought
	turns := make(chan struct{}, w.cfg.Writers)
	send := func(b batch) {
		group.Go(func() error {
			err := w.writeBatch(inner, b, turns)
			w.progress(PhaseWrite, int(done.Add(int64(len(b.people)))), total)
			return err
		})
	}
	var next batch
	err := w.pages(ctx, func(key string, p page) error {
		if len(p.Write)+len(p.Back) == 0 || inner.Err() != nil {
			return inner.Err()
		}
		if next.add(key, p); next.full() {
			send(next)
			next = batch{}
		}
		return nil
	})
	if err == nil && len(next.keys) > 0 {
		send(next)
	}
	return errors.Join(group.Wait(), err)
}

// batch are pages that are written together: where few people of a page
// changed, a question and a call for each page would cost more than they do.
type batch struct {
	keys   []string
	pages  []page
	people []Staff
}

// Bounds of a batch.
const (
	batchPeople = lookUp // so many people, or more where one page has them
	batchPages  = 50     // all settled in one commit
)

func (b *batch) add(key string, p page) {
	b.keys, b.pages, b.people = append(b.keys, key), append(b.pages, p), append(b.people, p.Write...)
}

func (b *batch) full() bool { return len(b.people) >= batchPeople || len(b.keys) >= batchPages }

// writeBatch brings a batch to Kingdee in its turn, and keeps what came of it while
// the next one has it.
func (w *walk) writeBatch(ctx context.Context, b batch, turns chan struct{}) error {
	turns <- struct{}{}
	b, changes, err := w.bringBatch(ctx, b)
	<-turns
	if err != nil {
		return err
	}
	var groups [][]store.Op
	from := 0
	for i, p := range b.pages {
		ops, err := w.changeOps(changes[from:from+len(p.Write)], b.keys[i])
		if err != nil {
			return err
		}
		from += len(p.Write)
		back, err := w.backOps(p.Back)
		if err != nil {
			return err
		}
		groups = append(append(groups, ops...), back...)
	}
	if err := w.commitGroups(ctx, groups); err != nil {
		return err
	}
	return w.settle(ctx, changes, b)
}

func (w *walk) bringBatch(ctx context.Context, b batch) (batch, []Change, error) {
	b, err := w.permitted(ctx, b)
	if err != nil {
		return b, nil, err
	}
	bring := w.bring
	if w.run.Dry {
		bring = w.foresee
	}
	changes, err := bring(ctx, b.people, w.knownOf(b.people))
	return b, changes, err
}

// knownOf is what is known of people, by userid.
func (w *walk) knownOf(list []Staff) map[string]Known {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := make(map[string]Known, len(list))
	for _, s := range list {
		known[s.UserID] = w.known.of(s.UserID)
	}
	return known
}

// backOps are the ops for people who left and are here again.
func (w *walk) backOps(list []Staff) ([][]store.Op, error) {
	if w.run.Dry {
		return nil, nil
	}
	known := w.knownOf(list)
	var groups [][]store.Op
	for _, s := range list {
		ops, err := w.returned(known[s.UserID])
		if err != nil {
			return nil, err
		}
		groups = append(groups, ops)
	}
	return groups, nil
}

// settle counts what became of people, notes those that Kingdee refused, and
// keeps that while it removes the pages.
func (w *walk) settle(ctx context.Context, changes []Change, b batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := &w.run.Counts
	for _, c := range changes {
		switch {
		case c.Refused != "":
			counts.SetAside++
			w.run.note(c.UserID, c.Refused)
			continue
		case c.same:
			counts.Same++
		case c.Kind == Created:
			counts.Created++
		case c.Kind == Moved:
			counts.Moved++
			counts.Changed++
		default:
			counts.Changed++
		}
		if !w.run.Dry {
			if err := w.known.put(c.known); err != nil {
				return err
			}
		}
	}
	ops := make([]store.Op, 0, len(b.keys))
	for _, key := range b.keys {
		ops = append(ops, store.Delete(key))
	}
	return w.save(ctx, *w.run, ops...)
}

// ChangeKind is what was done to a person.
type ChangeKind string

// The kinds of change.
const (
	Created ChangeKind = "created"
	Changed ChangeKind = "changed"
	Moved   ChangeKind = "moved"
	Cut     ChangeKind = "left"
	Revived ChangeKind = "revived"
)

// Change is what was done to one person, for the diff of a run and for undo.
type Change struct {
	UserID  string     `json:"userid"`
	Number  string     `json:"number"`
	Name    string     `json:"name"`
	Kind    ChangeKind `json:"kind"`
	Staff   string     `json:"staff,omitzero"` // Kingdee's internal id
	Diffs   []Diff     `json:"diffs,omitempty"`
	Refused string     `json:"refused,omitzero"` // Kingdee's words, or ours

	known Known // what is known from now on
	post  *placing
	same  bool // Kingdee has it so already
	fresh bool // to be submitted and audited
}

// changeOps are the ops that keep what was done, person by person.
func (w *walk) changeOps(changes []Change, key string) ([][]store.Op, error) {
	var groups [][]store.Op
	var told []Change
	for _, c := range changes {
		if c.Refused == "" && !w.run.Dry {
			ops, err := w.keep(c.known)
			if err != nil {
				return nil, err
			}
			groups = append(groups, ops)
		}
		if !c.same {
			told = append(told, c)
		}
	}
	if len(told) == 0 {
		return groups, nil
	}
	diff, err := put(changePrefix+w.cfg.Corp+"/"+w.run.ID+"/"+key[len(key)-pageDigits:], told, keepRuns)
	return append(groups, []store.Op{diff}), err
}

// bring makes Kingdee's records of these people what DingTalk says. A record
// that Kingdee refuses is in the answer; an error means that nobody knows about
// those it does not name, and the same people are brought again later.
func (k *Keeper) bring(ctx context.Context, list []Staff, known map[string]Known) ([]Change, error) {
	changes, drafts, at, err := k.plans(ctx, list, known)
	if err != nil {
		return nil, err
	}
	return changes, k.send(ctx, drafts, at, changes)
}

// plans looks the people up and says what is to be sent; at is the index in
// changes of each draft.
func (k *Keeper) plans(ctx context.Context, list []Staff, known map[string]Known) (changes []Change, drafts []kingdee.StaffDraft, at []int, err error) {
	if len(list) == 0 {
		return nil, nil, nil, nil
	}
	there, err := k.records(ctx, list)
	if err != nil {
		return nil, nil, nil, err
	}
	holds, err := k.holdsOf(ctx, list)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, s := range list {
		c, draft, err := k.plan(ctx, holds.over(s), there[s.Number], known[s.UserID])
		if err != nil {
			return nil, nil, nil, err
		}
		changes = append(changes, c)
		if c.Refused == "" && !c.same {
			drafts, at = append(drafts, draft), append(at, len(changes)-1)
		}
	}
	return changes, drafts, at, nil
}

// foresee is bring without writing: what a run would do.
func (k *Keeper) foresee(ctx context.Context, list []Staff, known map[string]Known) ([]Change, error) {
	changes, _, _, err := k.plans(ctx, list, known)
	return changes, err
}

// lookUp is how many numbers one question names.
const lookUp = 200

// records asks for the staff records that carry these numbers.
func (k *Keeper) records(ctx context.Context, list []Staff) (map[string][]kingdee.StaffRecord, error) {
	found := map[string][]kingdee.StaffRecord{}
	for from := 0; from < len(list); from += lookUp {
		chunk := list[from:min(from+lookUp, len(list))]
		numbers := make([]string, 0, len(chunk))
		for _, s := range chunk {
			numbers = append(numbers, s.Number)
		}
		for record, err := range k.cfg.Target.AllStaff(ctx, kingdee.Listing{Filter: kingdee.OneOf(k.cfg.Forms.Number, numbers...)}) {
			if err != nil {
				return nil, fmt.Errorf("directory: look up staff: %w", err)
			}
			found[record.Number] = append(found[record.Number], record)
		}
	}
	return found, nil
}

// plan says what is to be sent for one person.
func (k *Keeper) plan(ctx context.Context, s Staff, there []kingdee.StaffRecord, known Known) (Change, kingdee.StaffDraft, error) {
	c := Change{UserID: s.UserID, Number: s.Number, Name: s.Name, known: known}
	c.known.UserID, c.known.UnionID, c.known.Name, c.known.Number = s.UserID, s.UnionID, s.Name, s.Number
	c.known.Print, c.known.Home = s.print(), s.Home
	draft := draftOf(s)
	switch {
	case len(there) > 1:
		c.Refused = "金蝶中有多条员工记录使用同一编号"
		return c, draft, nil
	case len(there) == 0:
		c.Kind, c.fresh = Created, true
		draft.CreateUser = k.cfg.Rules.CreateUser
		if k.cfg.Rules.Posts == PostsNewStaff {
			c.post = placingOf(s, kingdee.StaffRecord{})
		} else {
			draft.Posts = postOf(s, "")
		}
		c.known.View = view(s.after(kingdee.StaffRecord{}))
		return c, draft, nil
	}
	record := there[0]
	if known.Staff != "" && known.Staff != record.ID {
		c.Refused = "编号在金蝶中已属于另一条员工记录"
		return c, draft, nil
	}
	if record.Forbidden {
		c.Refused = "员工在金蝶中已禁用;确认返聘后启用"
		return c, draft, nil
	}
	c.Kind, c.Staff, c.known.Staff = Changed, record.ID, record.ID
	c.Diffs = s.diffs(record)
	c.known.View = view(s.after(record))
	draft.ID = record.ID
	if moves(c.Diffs) {
		c.Kind = Moved
		if k.cfg.Rules.Posts == PostsNewStaff {
			c.post = placingOf(s, record)
		} else {
			entry, err := k.mainPost(ctx, record.ID)
			if err != nil {
				return c, draft, err
			}
			draft.Posts = postOf(s, entry)
		}
	}
	c.fresh = !record.Approved // a crash came between the save and the audit, or somebody left it there
	c.same = len(c.Diffs) == 0 && len(s.More) == 0 && !c.fresh
	return c, draft, nil
}

func draftOf(s Staff) kingdee.StaffDraft {
	draft := kingdee.StaffDraft{Number: s.Number, Name: s.Name, Mobile: s.Mobile, Email: s.Email, JoinDate: day(s.Joined)}
	for _, v := range s.More {
		draft.More = draft.More.Set(v.Field, v.Text)
	}
	return draft
}

// postOf is the row of the main post; none without a department.
func postOf(s Staff, entry string) []kingdee.StaffPost {
	if s.Department == "" {
		return nil
	}
	return []kingdee.StaffPost{{EntryID: entry, Department: s.Department, Position: s.Position, Start: day(s.Joined), Primary: true}}
}

// mainPost is the id of the row that a move changes, empty when there is none.
func (k *Keeper) mainPost(ctx context.Context, id string) (string, error) {
	record, err := k.cfg.Target.View(ctx, k.cfg.Forms.Staff, id)
	if err != nil {
		return "", fmt.Errorf("directory: the posts of a staff record: %w", err)
	}
	entries := record.Entries(k.cfg.Forms.Entries)
	for _, entry := range entries {
		if main := entry.Text(k.cfg.Forms.Main, 0); main == "true" || main == "1" {
			return entry.Text(k.cfg.Forms.EntryID, 0), nil
		}
	}
	if len(entries) == 1 {
		return entries[0].Text(k.cfg.Forms.EntryID, 0), nil
	}
	return "", nil
}

// send saves the drafts, and brings new records to the status that people can
// sign in by.
func (k *Keeper) send(ctx context.Context, drafts []kingdee.StaffDraft, at []int, changes []Change) error {
	if len(drafts) == 0 {
		return nil
	}
	results, err := k.cfg.Target.SaveStaff(ctx, drafts)
	var made []string
	byID := map[string]int{}
	for i, result := range results {
		c := &changes[at[i]]
		switch {
		case result.Err == nil:
			c.Staff, c.known.Staff = result.ID, result.ID
			made = append(made, result.ID)
			byID[result.ID] = at[i]
		case refusedBy(result.Err):
			c.Refused = refusalWords(result.Err)
		default:
			err = errors.Join(err, result.Err)
		}
	}
	if err != nil {
		return fmt.Errorf("directory: save staff: %w", err)
	}
	if err := k.approve(ctx, made, byID, changes); err != nil {
		return err
	}
	return k.placeChanged(ctx, changes)
}

// approve submits and audits what is not yet in force. One that was submitted
// already is refused at the first step, without effect; the second one counts.
func (k *Keeper) approve(ctx context.Context, ids []string, byID map[string]int, changes []Change) error {
	for _, op := range []kingdee.Operation{kingdee.OpSubmit, kingdee.OpAudit} {
		var fresh []string
		for _, id := range ids {
			if changes[byID[id]].fresh {
				fresh = append(fresh, id)
			}
		}
		if len(fresh) == 0 {
			return nil
		}
		results, err := k.cfg.Target.Operate(ctx, k.cfg.Forms.Staff, op, fresh...)
		for _, result := range results {
			if op == kingdee.OpAudit && refusedBy(result.Err) {
				c := &changes[byID[result.ID]]
				c.Refused = refusalWords(result.Err)
			}
		}
		if err != nil {
			return fmt.Errorf("directory: %s staff: %w", op, err)
		}
	}
	return nil
}

func refusedBy(err error) bool {
	_, ok := errors.AsType[*kingdee.Refusal](err)
	return ok
}

func refusalWords(err error) string {
	refusal, _ := errors.AsType[*kingdee.Refusal](err)
	for _, e := range refusal.Errors {
		return e.Message
	}
	return refusal.Error()
}
