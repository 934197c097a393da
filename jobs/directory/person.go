package directory

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
)

// Take takes an event in charge: what it names is on the work list when Take
// returns, once for each person however often and in whatever order events come
// (R36, R40). An event that names nobody we keep is taken and does nothing.
func (k *Keeper) Take(ctx context.Context, e dingtalk.Event) error {
	drafts, err := k.Drafts(e)
	if err != nil {
		return err
	}
	for _, draft := range drafts {
		if err := k.list(ctx, draft); err != nil {
			return err
		}
	}
	return nil
}

// Drafts is the work that an event asks for, for whoever puts it on the list in a
// Commit of their own. Departments that the event is about are read anew from
// here on.
func (k *Keeper) Drafts(e dingtalk.Event) ([]jobs.Draft, error) {
	if len(e.Departments) > 0 {
		k.trees.Lock()
		k.treeAt = time.Time{}
		k.trees.Unlock()
	}
	kind := KindPerson
	if e.Type == "user_leave_org" {
		kind = KindLeave
	}
	drafts := make([]jobs.Draft, 0, len(e.Users))
	for _, userid := range e.Users {
		about := errand{Corp: k.cfg.Corp, UserID: userid, Why: e.Type, At: e.At}
		draft, err := workOf(kind, about.key(), about)
		if err != nil {
			return nil, err
		}
		drafts = append(drafts, draft)
	}
	return drafts, nil
}

// Persons is the Handler of KindPerson.
type Persons struct {
	Keepers map[string]*Keeper // by corp
}

// Handle reads a person again and does what that asks for (T67).
func (h Persons) Handle(ctx context.Context, work *jobs.Work) error {
	var e errand
	if err := json.Unmarshal(work.Item().Payload, &e); err != nil {
		return jobs.Permanent(fmt.Errorf("directory: a person's item: %w", err))
	}
	keeper := h.Keepers[e.Corp]
	if keeper == nil {
		return jobs.Permanent(fmt.Errorf("directory: organisation %q is not configured", e.Corp))
	}
	return keeper.Refresh(ctx, e.UserID, e.Why)
}

// Refresh reads one person from DingTalk and brings their record. One who has
// left goes on the list of leavers.
func (k *Keeper) Refresh(ctx context.Context, userid, why string) error {
	person, err := k.cfg.Source.Person(ctx, userid)
	if identity.KindOf(err) == identity.NotFound && err != nil {
		return k.addLeaver(ctx, userid, why, false)
	}
	if err != nil {
		return fmt.Errorf("directory: read %s: %w", userid, err)
	}
	known, _, err := k.Known(ctx, userid)
	if err != nil {
		return err
	}
	t, err := k.treeOf(ctx, person)
	if err != nil {
		return err
	}
	home := t.home(&person, known.Home)
	if home == 0 && len(k.cfg.Rules.Scope) > 0 {
		return nil // outside the scope: left alone
	}
	given, err := k.given(ctx, userid)
	if err != nil {
		return err
	}
	s, err := k.staffNow(ctx, &person, home, given.Number)
	if err != nil {
		return heldBack(err)
	}
	return k.renew(ctx, s, known)
}

// heldBack is what becomes of the item of a person who has no record to bring.
func heldBack(err error) error {
	switch {
	case errors.Is(err, errNoConsent):
		return nil // waits for their word, which puts them on the list again
	case errors.Is(err, errUnasked):
		return err
	}
	return jobs.Permanent(jobs.Explain(err, err.Error()))
}

// renew brings the record of somebody active where it differs from what was
// written; anybody else who is here again waits for a person.
func (k *Keeper) renew(ctx context.Context, s Staff, known Known) error {
	switch {
	case known.State != Active:
		ops, err := k.returned(known)
		if err != nil {
			return err
		}
		return k.commitGroups(ctx, [][]store.Op{ops})
	case known.Print == s.print():
		return nil
	}
	return k.bringOne(ctx, s, known)
}

// treeAge is how long the departments that a run or an event read serve events.
const treeAge = 10 * time.Minute

// treeOf is the departments as a run would see them, read anew when the person
// is in one that is not known.
func (k *Keeper) treeOf(ctx context.Context, p dingtalk.Person) (tree, error) {
	k.trees.Lock()
	defer k.trees.Unlock()
	fits := len(k.cfg.Rules.Scope) > 0 || !slices.ContainsFunc(p.Departments, func(id int64) bool { return !k.tree.holds(id) })
	if fits && !k.treeAt.IsZero() && k.cfg.Now().Sub(k.treeAt) < treeAge {
		return k.tree, nil
	}
	list, err := k.cfg.Source.Departments(ctx, k.cfg.Rules.Scope...)
	if err != nil {
		return tree{}, fmt.Errorf("directory: the departments of %s: %w", p.UserID, err)
	}
	k.tree, k.treeAt = newTree(list), k.cfg.Now()
	return k.tree, nil
}

func (k *Keeper) rememberTree(t tree) {
	k.trees.Lock()
	defer k.trees.Unlock()
	k.tree, k.treeAt = t, k.cfg.Now()
}

func (k *Keeper) bringOne(ctx context.Context, s Staff, known Known) error {
	if err := k.unclaimed(ctx, s); err != nil {
		return err
	}
	if err := k.makePath(ctx, s.Home); err != nil {
		return err
	}
	changes, err := k.bring(ctx, []Staff{s}, map[string]Known{s.UserID: known})
	if err != nil {
		return err
	}
	c := changes[0]
	if c.Refused != "" {
		return jobs.Permanent(jobs.Explain(fmt.Errorf("directory: %s: %s", s.UserID, c.Refused), c.Refused))
	}
	ops, err := k.keep(c.known)
	if err != nil {
		return err
	}
	if !c.same {
		err = k.cfg.Recorder.Append(ctx, audit.Event{
			Action: audit.ActionSync, Outcome: audit.OK, Actor: audit.System, Target: audit.Person(identity.Subject{Corp: k.cfg.Corp, UserID: s.UserID}),
			DataCentre: k.cfg.DataCentre, Detail: map[string]string{"act": string(c.Kind), "number": s.Number},
		})
		if err != nil {
			return err
		}
	}
	return wrap(k.cfg.Store.Commit(ctx, ops...))
}

// makePath makes sure that a department and those above it are in Kingdee.
func (k *Keeper) makePath(ctx context.Context, home int64) error {
	if k.cfg.Rules.department(home) == "" || !k.cfg.Rules.MakeDepartments {
		return nil
	}
	_, err := k.cfg.Store.Get(ctx, k.departmentKey(strconv.FormatInt(home, 10)))
	if !errors.Is(err, store.ErrNotFound) {
		return wrap(err)
	}
	k.trees.Lock()
	path := k.tree.path(home)
	k.trees.Unlock()
	w := &walk{Keeper: k, run: &Run{}, tree: newTree(path), progress: func(Phase, int, int) {}}
	return w.departments(ctx)
}

// unclaimed refuses a staff number that another person has or had (T19).
func (k *Keeper) unclaimed(ctx context.Context, s Staff) error {
	entry, err := k.cfg.Store.Get(ctx, k.numberKey(s.Number))
	if errors.Is(err, store.ErrNotFound) || err == nil && string(entry.Value) == s.UserID {
		return nil
	}
	if err != nil {
		return wrap(err)
	}
	words := fmt.Sprintf("%s:%s(%s)", errTwice.Error(), s.Number, entry.Value)
	return jobs.Permanent(jobs.Explain(fmt.Errorf("directory: %s", words), words))
}

// active counts the people who are known and have not left.
func (k *Keeper) active(ctx context.Context) (int, error) {
	all, err := k.everybody(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for known := range all.each() {
		if !known.gone {
			n++
		}
	}
	return n, nil
}

// returned are the ops for somebody who left and is here again: they wait for a
// person, whoever they are now (T19, T42).
func (k *Keeper) returned(known Known) ([]store.Op, error) {
	if known.State == Waiting {
		return nil, nil
	}
	known.State, known.Since = Waiting, k.cfg.Now()
	return k.keep(known)
}

// Waiting lists the people who were hired again and wait for a person.
func (k *Keeper) Waiting(ctx context.Context) ([]Known, error) {
	all, err := k.everybody(ctx)
	if err != nil {
		return nil, err
	}
	var list []Known
	for known := range all.all() {
		if known.State == Waiting {
			list = append(list, known)
		}
	}
	return list, nil
}

func (k *Keeper) driftKey(number string) string {
	return driftPrefix + k.cfg.Corp + "/" + url.PathEscape(number)
}
