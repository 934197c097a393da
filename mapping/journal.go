package mapping

import (
	"context"
	"slices"
	"strings"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// Journal is what the audit log says became of rows. A record with the row as it
// was to be is durable before the row is written, so the log can put right what
// a restore took back or a failover lost (R14, R64).
type Journal struct {
	last  map[Key]Entry
	order []Key
}

// NewJournal is empty; Take fills it in the order of the log.
func NewJournal() *Journal { return &Journal{last: map[Key]Entry{}} }

// Take notes one record in the order of the log; those that are not of a row are passed over. It always
// returns nil, so that it fits audit.Reader.Each.
func (j *Journal) Take(r audit.Record) error {
	if !strings.HasPrefix(string(r.Action), "mapping.") {
		return nil
	}
	after, whole := rowIn(r.After)
	if !whole {
		j.note(unreadable(r))
		return nil
	}
	if r.Outcome == audit.OK || after.Status == StatusSuspended {
		j.note(after) // a suspension that failed may have happened: that is the safe side
		return nil
	}
	before, whole := rowIn(r.Before)
	if whole && r.Outcome == audit.Failed && j.last[after.Key()].Version == after.Version {
		j.last[after.Key()] = before // the change that was announced did not happen
	}
	return nil
}

// RowActions are the acts whose records hold a row as it became.
func RowActions() []audit.Action {
	return []audit.Action{
		audit.ActionMappingCreate, audit.ActionMappingChange, audit.ActionMappingSuspend, audit.ActionMappingResume, audit.ActionMappingUndo, ActionApprove,
	}
}

// RecordedAt is a row as records, in whatever order, say it became in one of its
// versions; false where none does. A change that was announced and did not happen
// is none. Of two at one version, which parted at a failover, a suspension wins,
// and else the later.
func RecordedAt(records []audit.Record, k Key, version uint64) (then Entry, told bool) {
	undone := map[Stamp]bool{}
	for _, r := range records {
		if e, whole := rowIn(r.After); whole && r.Outcome != audit.OK && e.Status != StatusSuspended {
			undone[e.Changed] = true
		}
	}
	for _, r := range records {
		e, whole := rowIn(r.After)
		if !whole || e.Key() != k || e.Version != version || undone[e.Changed] {
			continue
		}
		suspends, suspended := e.Status == StatusSuspended, then.Status == StatusSuspended
		if !told || suspends && !suspended || suspends == suspended && e.Changed.At.After(then.Changed.At) {
			then, told = e, true
		}
	}
	return then, told
}

// note keeps the row that went furthest: records of several replicas lie mixed.
func (j *Journal) note(e Entry) {
	if e.UserID == "" {
		return
	}
	last, known := j.last[e.Key()]
	if !known {
		j.order = append(j.order, e.Key())
	}
	if e.Version >= last.Version {
		j.last[e.Key()] = e
	}
}

// Rows are the rows as the log left them, those out of force first, so that what
// they held is free for the others.
func (j *Journal) Rows() []Entry {
	rows := make([]Entry, 0, len(j.order))
	for _, key := range j.order {
		rows = append(rows, j.last[key])
	}
	slices.SortStableFunc(rows, func(a, b Entry) int { return rank(a) - rank(b) })
	return rows
}

func rank(e Entry) int {
	if e.Status == StatusSuspended || e.Status == StatusRemoved {
		return 0
	}
	return 1
}

// rowIn reads a row as recorded wrote it. One that was cut for its length is none.
func rowIn(text string) (Entry, bool) {
	var e Entry
	if text == "" || decode([]byte(text), &e) != nil || e.UserID == "" || e.Version == 0 {
		return Entry{}, false
	}
	return e, true
}

// unreadable stands for a row that was recorded but cannot be read back: nobody
// comes in by it until an administrator has looked. Records of no row give none.
func unreadable(r audit.Record) Entry {
	corp, userid, isPerson := strings.Cut(r.Target, "/")
	if r.After == "" || !isPerson || r.DataCentre == "" {
		return Entry{}
	}
	return Entry{Corp: corp, UserID: userid, DataCentre: r.DataCentre, Status: StatusSuspended}
}

// reasonJournal is why a row is suspended whose record could not be followed.
const reasonJournal = "its last change is in the audit log but not in the table: compare them"

// Reapply brings a row to what the journal says it became, and reports whether
// there was anything to do. A row that has that change, or later ones, stays as
// it is. One that cannot be brought there, because another row holds its account
// by now, is suspended: it opens no door until an administrator decides.
func (t *Table) Reapply(ctx context.Context, by Actor, then Entry) (changed bool, err error) {
	changed, err = t.reapply(ctx, by, then)
	if RefusalOf(err) == nil {
		return changed, err
	}
	then.Status, then.Reason = StatusSuspended, reasonJournal
	changed, err = t.reapply(ctx, by, then)
	if RefusalOf(err) == nil {
		return changed, err
	}
	_, err = t.Suspend(ctx, by, then.Key(), reasonJournal)
	return err == nil, err
}

func (t *Table) reapply(ctx context.Context, by Actor, then Entry) (changed bool, err error) {
	_, err = t.write(ctx, func(x *tx) (*Entry, error) {
		var err error
		changed, err = t.restate(ctx, x, by, then)
		return &Entry{}, err
	})
	return changed && err == nil, err
}

// restate stages what brings a row to then, and reports whether that is anything.
func (t *Table) restate(ctx context.Context, x *tx, by Actor, then Entry) (changed bool, err error) {
	before, err := row(ctx, x, then.Key())
	if err != nil || has(before, then) {
		return false, err
	}
	after := t.restated(by, before, then)
	if sameState(before, after) {
		return false, nil
	}
	_, err = stage(ctx, x, act{by: by}, before, after)
	return true, err
}

// has reports whether a row has gone through the change that then is the end of.
// Two rows at one version with different stamps parted at a failover: of those a
// suspension wins.
func has(before *Entry, then Entry) bool {
	if then.Version == 0 { // unreadable: only a row that is there can be held
		return before == nil || !before.holds()
	}
	if before == nil {
		return then.Status == StatusRemoved
	}
	parted := before.Version == then.Version && before.Changed != then.Changed
	return before.Version > then.Version || before.Version == then.Version && !(parted && then.Status == StatusSuspended)
}

// restated is the row that follows before and says what then says.
func (t *Table) restated(by Actor, before *Entry, then Entry) *Entry {
	if then.Version == 0 {
		after := t.next(act{by: by}, before, audit.ActionMappingSuspend)
		after.Status, after.Reason = StatusSuspended, reasonJournal
		return after
	}
	after := then
	after.Check = Check{} // a recorded row carries none: Kingdee is asked again
	if before != nil {
		after.Unknown = before.Unknown
		after.Version = max(then.Version, before.Version+1)
	}
	return &after
}

// sameState keeps a suspension from being written twice.
func sameState(before, after *Entry) bool {
	return before != nil && before.Status == StatusSuspended && sameRow(before, after)
}

// unconfirmed reports a row that came out of a backup and about which nobody was
// asked since. What is said of it is from before the backup: it may be a
// leaver's.
func (t *Table) unconfirmed(e *Entry) bool {
	if t.cfg.Restored == nil {
		return false
	}
	restored := t.cfg.Restored()
	return !restored.IsZero() && !e.Check.At.After(restored)
}

// confirmPerson asks DingTalk whether the person of an unconfirmed row still
// belongs to the organisation. Whoever has left is suspended, whatever the
// backup says (R64, T23).
func (t *Table) confirmPerson(ctx context.Context, w walk, e *Entry, chain *Chain) error {
	if !t.unconfirmed(e) {
		return nil
	}
	_, err := t.profile(ctx, w.key.Subject())
	if err == nil {
		return nil
	}
	if identity.KindOf(err) != identity.NotFound {
		chain.unreachable(err)
		return err
	}
	if !w.look {
		if _, err := t.Suspend(ctx, itself(w), w.key, "has left DingTalk; found after a restore"); err != nil {
			return err
		}
	}
	return chain.fail(&chain.Number, StateSuspended, identity.CodeNotEmployee, "DingTalk does not know the person any more")
}

// RowPrefix begins the keys of rows in the store.
const RowPrefix = prefixRow

// RowOf reads a stored row.
func RowOf(stored store.Entry) (Entry, error) {
	e, err := decodeRow(stored)
	if err != nil {
		return Entry{}, err
	}
	return *e, nil
}
