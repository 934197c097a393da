package mapping

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// Verdict is what an import would do with a line.
type Verdict string

// The verdicts.
const (
	VerdictCreate  Verdict = "create"
	VerdictChange  Verdict = "change"
	VerdictSame    Verdict = "same"
	VerdictRefused Verdict = "refused"
)

// PlanRow is one line of the preview.
type PlanRow struct {
	Line    int      `json:"line"`
	Key     Key      `json:"key"`
	Verdict Verdict  `json:"verdict"`
	Refusal *Refusal `json:"refusal,omitempty"`
	Before  *Entry   `json:"before,omitempty"` // nil for a new row
	After   *Entry   `json:"after,omitempty"`  // nil when refused

	// stage makes the change of this line in a decision, for the preview and
	// again for the Commit.
	stage func(ctx context.Context, x *tx, a act) (before, after *Entry, err error)
}

// Plan is an import, or another change of many rows, before it happens: the
// preview, and what Apply will do. It is applied by the process that made it.
type Plan struct {
	Rows    []PlanRow `json:"rows"`
	Create  int       `json:"create"`
	Change  int       `json:"change"`
	Same    int       `json:"same"`
	Refused int       `json:"refused"`
	Digest  string    `json:"digest"` // of lines, verdicts and versions: two equal previews have one digest

	known *knownKeys
	way   way
	runs  audit.Action // what a run of it is recorded as
}

// Plan works out what an import would do, line by line in the order of the
// file: what an earlier line frees a later one may take. It writes nothing.
func (t *Table) Plan(ctx context.Context, by Actor, sheet *Sheet, p Progress) (*Plan, error) {
	plan := &Plan{Rows: make([]PlanRow, 0, len(sheet.Rows))}
	known, err := t.knownKeys(ctx, sheet)
	if err != nil {
		return nil, err
	}
	plan.known, plan.way, plan.runs = known, byImport, audit.ActionMappingImport
	x := newTx(t.cfg.Store)
	x.absent, x.silent = known.absent, true
	sum := sha256.New()
	seen := make(map[Key]int, len(sheet.Rows))
	for i, line := range sheet.Rows {
		row := PlanRow{
			Line: line.Line, Key: line.Key, Refusal: line.Refusal,
			stage: func(ctx context.Context, x *tx, a act) (*Entry, *Entry, error) { return t.importRow(ctx, x, a, line) },
		}
		if err := row.judge(ctx, x, act{by: by, way: byImport}, seen); err != nil {
			return nil, err
		}
		plan.add(row)
		_, _ = fmt.Fprintf(sum, "%d %q %s %d %q %q %q %q\n", row.Line, row.Key, row.Verdict, row.base(),
			line.StaffNumber, line.LoginUser, line.Owner, line.Note) // a hash does not fail
		p.tell(i+1, len(sheet.Rows))
	}
	plan.Digest = hex.EncodeToString(sum.Sum(nil))
	return plan, nil
}

// judge gives the verdict on one line. The error is of asking, not of the line.
func (r *PlanRow) judge(ctx context.Context, x *tx, a act, seen map[Key]int) error {
	r.Verdict = VerdictRefused
	if r.refused() {
		return nil
	}
	if first, twice := seen[r.Key]; twice {
		r.Refusal = &Refusal{Field: "userid", Reason: ReasonDuplicate, Detail: fmt.Sprintf("line %d", first)}
		return nil
	}
	seen[r.Key] = r.Line
	mark := x.mark()
	before, after, err := r.stage(ctx, x, a)
	r.Before = before
	r.Refusal, err = sift(err)
	switch {
	case err != nil:
		return err
	case r.refused():
		x.rollback(mark)
		return nil
	case before == nil:
		r.Verdict = VerdictCreate
	case after.Version == before.Version:
		r.Verdict = VerdictSame
	default:
		r.Verdict = VerdictChange
	}
	r.After = after
	return nil
}

// importRow stages one line: an edit of the row that is there, or a new one.
func (t *Table) importRow(ctx context.Context, x *tx, a act, line SheetRow) (before, after *Entry, err error) {
	before, err = row(ctx, x, line.Key)
	if err != nil {
		return nil, nil, err
	}
	if before == nil || !before.holds() {
		after, err = t.create(ctx, x, a, Draft{
			Key: line.Key, StaffNumber: line.StaffNumber, LoginUser: line.LoginUser, Owner: line.Owner, Note: line.Note,
		})
		return nil, after, err
	}
	after, err = t.change(ctx, x, a, line.Key, Edit{
		Version:     before.Version,
		StaffNumber: unlessEmpty(line.StaffNumber), LoginUser: unlessEmpty(line.LoginUser),
		Owner: unlessEmpty(line.Owner), Note: unlessEmpty(line.Note),
	})
	return before, after, err
}

func unlessEmpty[T ~string](s T) *T {
	if s == "" {
		return nil
	}
	return &s
}

func (r *PlanRow) refused() bool { return r.Refusal != nil }

// sift parts a verdict on a line from a failure to ask.
func sift(err error) (*Refusal, error) {
	if r := RefusalOf(err); r != nil {
		return r, nil
	}
	return nil, err
}

// add takes a judged line into the plan and its counts.
func (p *Plan) add(r PlanRow) {
	p.Rows = append(p.Rows, r)
	switch r.Verdict {
	case VerdictCreate:
		p.Create++
	case VerdictChange:
		p.Change++
	case VerdictSame:
		p.Same++
	case VerdictRefused:
		p.Refused++
	}
}

// base is the version a line was judged against, zero for a new row.
func (r PlanRow) base() uint64 {
	if r.Before == nil {
		return 0
	}
	return r.Before.Version
}

// writes reports whether Apply has anything to do for the line.
func (r PlanRow) writes() bool { return r.Verdict == VerdictCreate || r.Verdict == VerdictChange }

// knownKeys remembers which keys there are under some prefixes, so that a large
// import into a small table does not ask for what is not there. It only saves
// questions: an absence it claims becomes an expectation of the Commit.
type knownKeys struct {
	prefixes []string
	keys     map[string]struct{}
}

// askSingly is the size of file up to which every key is asked for.
const askSingly = 2000

func (t *Table) knownKeys(ctx context.Context, sheet *Sheet) (*knownKeys, error) {
	k := &knownKeys{keys: map[string]struct{}{}}
	if len(sheet.Rows) <= askSingly {
		return k, nil
	}
	centres := map[string]struct{}{}
	for _, row := range sheet.Rows {
		if row.Refusal == nil {
			centres[row.Key.DataCentre] = struct{}{}
		}
	}
	for centre := range centres {
		for _, prefix := range []string{prefixRow, prefixUserID, prefixAccount, prefixStaff} {
			prefix = join(prefix, centre) + "/"
			k.prefixes = append(k.prefixes, prefix)
			err := eachPage(ctx, t.cfg.Store, prefix, func(e store.Entry) error {
				k.keys[e.Key] = struct{}{}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return k, nil
}

func (k *knownKeys) absent(key string) bool {
	for _, prefix := range k.prefixes {
		if strings.HasPrefix(key, prefix) {
			_, there := k.keys[key]
			return !there
		}
	}
	return false
}

// learn takes the keys of a tx that was committed.
func (k *knownKeys) learn(x *tx) {
	if len(k.prefixes) == 0 {
		return
	}
	for _, key := range x.order {
		k.keys[key] = struct{}{}
	}
}

// errRefusedRows is a plan that may not be applied as it is.
func errRefusedRows(n int) error {
	return refuse(identity.Conflict, "file", ReasonRefusedRows, fmt.Sprintf("%d", n))
}
