package directory

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/dingtalk"
	"kdgate/kingdee"
	"kdgate/store"
)

// knownDepartment is what was last written of a department.
type knownDepartment struct {
	ID     int64  `json:"id"`
	Number string `json:"number"`
	Print  string `json:"print"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// departments brings the departments level by level, parents first. One that
// DingTalk no longer has is left as it is: bills stand on it.
func (w *walk) departments(ctx context.Context) error {
	written := map[int64]knownDepartment{}
	err := scan(ctx, w.cfg.Store, w.departmentKey(""), func(entry store.Entry) error {
		known, err := decode[knownDepartment](entry)
		written[known.ID] = known
		return err
	})
	if err != nil {
		return err
	}
	there, err := w.kingdeeDepartments(ctx)
	if err != nil {
		return err
	}
	for _, level := range w.tree.levels() {
		if err := w.level(ctx, level, written, there); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) departmentKey(id string) string { return departmentPrefix + k.cfg.Corp + "/" + id }

func (w *walk) kingdeeDepartments(ctx context.Context) (map[string]kingdee.DepartmentRecord, error) {
	there := map[string]kingdee.DepartmentRecord{}
	for record, err := range w.cfg.Target.AllDepartments(ctx, kingdee.Listing{}) {
		if err != nil {
			return nil, fmt.Errorf("directory: the departments of Kingdee: %w", err)
		}
		there[record.Number] = record
	}
	return there, nil
}

// level brings one level. What Kingdee refuses is noted; its people are then
// refused too, with Kingdee's words.
func (w *walk) level(ctx context.Context, level []dingtalk.Department, written map[int64]knownDepartment, there map[string]kingdee.DepartmentRecord) error {
	var drafts []kingdee.DepartmentDraft
	var known []knownDepartment
	for _, d := range level {
		number := w.cfg.Rules.department(d.ID)
		if _, listed := w.cfg.Rules.Departments[d.ID]; listed || number == "" {
			continue // the dictionary's are kept by people
		}
		parent := ""
		if w.tree.holds(d.ParentID) {
			parent = w.cfg.Rules.department(d.ParentID)
		}
		before, now := written[d.ID], written[d.ID]
		now.ID, now.Number, now.Print = d.ID, number, printOf(number, d.Name, parent)
		if before.Number == now.Number && before.Print == now.Print && there[number].ID != "" {
			continue
		}
		drafts = append(drafts, kingdee.DepartmentDraft{ID: there[number].ID, Number: number, Name: d.Name, Parent: parent})
		known = append(known, now)
	}
	if len(drafts) == 0 {
		return nil
	}
	return w.sendDepartments(ctx, drafts, known)
}

func (w *walk) sendDepartments(ctx context.Context, drafts []kingdee.DepartmentDraft, known []knownDepartment) error {
	results, err := w.cfg.Target.SaveDepartments(ctx, drafts)
	var fresh []string
	for i, result := range results {
		if result.Err != nil {
			if refusedBy(result.Err) {
				w.run.Counts.SetAside++
				w.run.note(drafts[i].Number, refusalWords(result.Err))
			}
			continue
		}
		if drafts[i].ID == "" {
			fresh = append(fresh, result.ID)
		}
		op, err := put(w.departmentKey(strconv.FormatInt(known[i].ID, 10)), known[i], 0)
		if err != nil {
			return err
		}
		if err := w.cfg.Store.Commit(ctx, op); err != nil {
			return wrap(err)
		}
	}
	if err != nil {
		return fmt.Errorf("directory: save departments: %w", err)
	}
	for _, op := range []kingdee.Operation{kingdee.OpSubmit, kingdee.OpAudit} {
		if len(fresh) == 0 {
			return nil
		}
		if _, err := w.cfg.Target.Operate(ctx, w.cfg.Forms.Department, op, fresh...); err != nil {
			return fmt.Errorf("directory: %s departments: %w", op, err)
		}
	}
	return nil
}

// day reads yyyy-MM-dd in UTC+8; the zero time for anything else.
func day(text string) time.Time {
	at, err := time.ParseInLocation(time.DateOnly, text, china)
	if err != nil {
		return time.Time{}
	}
	return at
}
