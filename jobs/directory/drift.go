package directory

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/kingdee"
	"kdgate/store"
)

// Drift is a record that was changed in Kingdee after we wrote it. It waits for
// a person: accept DingTalk's word, keep Kingdee's until a day, or lock the
// fields for good (F53).
type Drift struct {
	Number string    `json:"number"`
	UserID string    `json:"userid"`
	Name   string    `json:"name"`
	Diffs  []Diff    `json:"diffs"` // Before is Kingdee's, After DingTalk's
	Found  time.Time `json:"found"`
}

// Hold is a person's decision to leave fields as Kingdee has them.
type Hold struct {
	Number string    `json:"number"`
	Fields []string  `json:"fields"`
	Until  time.Time `json:"until,omitzero"` // zero: locked until somebody unlocks it
	By     string    `json:"by"`
}

// forbiddenInKingdee is why our doors close for somebody whom Kingdee calls a leaver.
const forbiddenInKingdee = "forbidden in Kingdee"

// forbiddenStatus is FForbidStatus of what is out of use.
const forbiddenStatus = "B"

// driftLag is how far a listing of changes reaches back over the one before, for
// clocks that differ.
const driftLag = 10 * time.Minute

// drift looks for records that Kingdee changed since the last run: what differs
// waits for a person, and one that was forbidden there is a leaver here (F54).
// The forbidden ones are listed by themselves: no source says that forbidding a
// record moves the date of its last change.
func (w *walk) drift(ctx context.Context) error {
	since, err := w.beforeDrift(ctx)
	if err != nil {
		return err
	}
	listings := []kingdee.Listing{{Since: since}}
	if !since.IsZero() {
		listings = append(listings, kingdee.Listing{Filter: kingdee.Is(w.cfg.Forms.Forbid, forbiddenStatus)})
	}
	var byNumber map[string]string
	seen, judged := 0, map[string]bool{} // by internal id
	for _, listing := range listings {
		for record, err := range w.cfg.Target.AllStaff(ctx, listing) {
			if err != nil {
				return fmt.Errorf("directory: list staff: %w", err)
			}
			if seen++; seen%100 == 0 {
				w.progress(PhaseDrift, seen, 0)
			}
			if byNumber == nil { // most runs find nothing that has changed
				byNumber = w.known.written()
			}
			userid, ours := byNumber[record.Number]
			if !ours || judged[record.ID] || !w.suspect(userid, record) {
				continue
			}
			judged[record.ID] = true
			if record.Modified.Before(since) {
				record.Modified = w.run.Began // when it was forbidden nobody tells
			}
			if err := w.judgeAnew(ctx, userid, record); err != nil {
				return err
			}
		}
	}
	return nil
}

// beforeDrift brings back what is known, given and waiting already, and gives the
// time from which changes are listed.
func (w *walk) beforeDrift(ctx context.Context) (since time.Time, err error) {
	if err := w.recall(ctx); err != nil {
		return since, err
	}
	if err := w.gifts(ctx); err != nil {
		return since, err
	}
	if since, err = w.lastDrift(ctx); err != nil {
		return since, err
	}
	w.drifted, err = w.driftedNumbers(ctx)
	return since, err
}

// suspect reports whether a listed record of somebody's has to be judged, by what
// was known when the walk began.
func (w *walk) suspect(userid string, record kingdee.StaffRecord) bool {
	known := w.known.of(userid)
	return known.Staff == record.ID && (!as(known, record) || w.drifted[known.Number])
}

// judgeAnew judges a record by what is known of it now: an event may have written
// it meanwhile.
func (w *walk) judgeAnew(ctx context.Context, userid string, record kingdee.StaffRecord) error {
	known, there, err := w.Known(ctx, userid)
	if err != nil {
		return err
	}
	if !there || known.State != Active || known.View == "" || known.Staff != record.ID || known.Number != record.Number {
		return nil
	}
	return w.judgeDrift(ctx, known, record)
}

// as reports whether a record is listed as it was when it was written.
func as(known Known, record kingdee.StaffRecord) bool {
	return !record.Forbidden && view(record) == known.View
}

// driftedNumbers are those that wait already.
func (w *walk) driftedNumbers(ctx context.Context) (map[string]bool, error) {
	numbers := map[string]bool{}
	err := scan(ctx, w.cfg.Store, driftPrefix+w.cfg.Corp+"/", func(entry store.Entry) error {
		drift, err := decode[Drift](entry)
		numbers[drift.Number] = true
		return err
	})
	return numbers, err
}

// lastDrift is when the last run that came so far began.
func (w *walk) lastDrift(ctx context.Context) (time.Time, error) {
	runs, err := w.Runs(ctx, 50)
	for _, run := range runs {
		if run.Phase == PhaseDrift && (run.Ending == Complete || run.Ending == Partial) {
			return run.Began.Add(-driftLag), err
		}
	}
	return time.Time{}, err
}

func (w *walk) judgeDrift(ctx context.Context, known Known, record kingdee.StaffRecord) error {
	if record.Forbidden {
		w.run.Counts.Drift++
		return w.add(ctx, KindLeave, errand{
			Corp: w.cfg.Corp, UserID: known.UserID, Why: forbiddenInKingdee, At: record.Modified, Number: known.Number,
		})
	}
	if view(record) == known.View {
		if !w.drifted[known.Number] {
			return nil
		}
		return wrap(w.cfg.Store.Commit(ctx, store.Delete(w.driftKey(known.Number)))) // somebody put it back
	}
	person, err := w.cfg.Source.Person(ctx, known.UserID)
	if identity.KindOf(err) == identity.NotFound && err != nil {
		return nil //nolint:nilerr // the next run's leaver
	}
	if err != nil {
		return fmt.Errorf("directory: read %s: %w", known.UserID, err)
	}
	s, err := w.staffNow(ctx, &person, known.Home, w.given[known.UserID].Number)
	if errors.Is(err, errUnasked) {
		return err
	}
	if err != nil {
		return nil //nolint:nilerr // set aside already, with its reason
	}
	holds, err := w.holdsOf(ctx, []Staff{s})
	if err != nil {
		return err
	}
	diffs := holds.over(s).diffs(record)
	if len(diffs) == 0 {
		return w.change(ctx, known.UserID, func(k *Known) { k.View = view(record) }, store.Delete(w.driftKey(known.Number)))
	}
	w.run.Counts.Drift++
	op, err := put(w.driftKey(known.Number), Drift{known.Number, known.UserID, person.Name, diffs, w.cfg.Now()}, 0)
	if err != nil {
		return err
	}
	return wrap(w.cfg.Store.Commit(ctx, op))
}

// Drifts lists what waits for a decision, by staff number, at most limit after
// a number.
func (k *Keeper) Drifts(ctx context.Context, after string, limit int) ([]Drift, error) {
	mark := ""
	if after != "" {
		mark = k.driftKey(after)
	}
	page, err := k.cfg.Store.Scan(ctx, driftPrefix+k.cfg.Corp+"/", mark, limit)
	if err != nil {
		return nil, wrap(err)
	}
	list := make([]Drift, 0, len(page))
	for _, entry := range page {
		drift, err := decode[Drift](entry)
		if err != nil {
			return nil, err
		}
		list = append(list, drift)
	}
	return list, nil
}

// The acts of people on the directory, as the audit log names them.
const (
	ActionDrift  audit.Action = "directory.drift"
	ActionAgree  audit.Action = "directory.rehire"
	ActionUndo   audit.Action = "directory.undo"
	ActionUnhold audit.Action = "directory.unhold"
)

// AcceptDingTalk writes DingTalk's word over a drifted record.
func (k *Keeper) AcceptDingTalk(ctx context.Context, by jobs.Actor, number string) error {
	drift, err := k.decide(ctx, by, number, "accept-dingtalk")
	if err != nil {
		return err
	}
	if err := k.change(ctx, drift.UserID, func(known *Known) { known.Print = "" }, store.Delete(k.driftKey(number)), store.Delete(k.holdKey(number))); err != nil {
		return err
	}
	return k.add(ctx, KindPerson, errand{Corp: k.cfg.Corp, UserID: drift.UserID, Why: "drift"})
}

// KeepKingdee leaves the drifted fields as Kingdee has them, until a day or, with
// the zero time, until somebody calls Release.
func (k *Keeper) KeepKingdee(ctx context.Context, by jobs.Actor, number string, until time.Time) error {
	drift, err := k.decide(ctx, by, number, "keep-kingdee")
	if err != nil {
		return err
	}
	hold := Hold{Number: number, Until: until, By: by.Name}
	for _, d := range drift.Diffs {
		hold.Fields = append(hold.Fields, d.Field)
	}
	life := time.Duration(0)
	if !until.IsZero() {
		if life = until.Sub(k.cfg.Now()); life <= 0 {
			return identity.Fail(identity.Invalid, "", "directory: %s is over", until.Format(time.DateOnly))
		}
	}
	op, err := put(k.holdKey(number), hold, life)
	if err != nil {
		return err
	}
	return wrap(k.cfg.Store.Commit(ctx, op, store.Delete(k.driftKey(number))))
}

// Release ends a hold: DingTalk wins again at the next run.
func (k *Keeper) Release(ctx context.Context, by jobs.Actor, number string) error {
	if err := k.act(ctx, by, ActionUnhold, number, nil); err != nil {
		return err
	}
	return wrap(k.cfg.Store.Commit(ctx, store.Delete(k.holdKey(number))))
}

// decide gives a drift, once the decision about it is recorded.
func (k *Keeper) decide(ctx context.Context, by jobs.Actor, number, what string) (Drift, error) {
	entry, err := k.cfg.Store.Get(ctx, k.driftKey(number))
	if errors.Is(err, store.ErrNotFound) {
		return Drift{}, identity.Fail(identity.NotFound, "", "directory: no drift of staff number %s waits", number)
	}
	if err != nil {
		return Drift{}, wrap(err)
	}
	drift, err := decode[Drift](entry)
	if err != nil {
		return drift, err
	}
	return drift, k.act(ctx, by, ActionDrift, number, map[string]string{"decision": what, "userid": drift.UserID})
}

func (k *Keeper) act(ctx context.Context, by jobs.Actor, action audit.Action, target string, detail map[string]string) error {
	return k.cfg.Recorder.Append(ctx, audit.Event{
		Action: action, Outcome: audit.OK, Actor: by.Name, Source: by.Source, RequestID: by.RequestID,
		Target: target, DataCentre: k.cfg.DataCentre, Detail: detail,
	})
}

func (k *Keeper) holdKey(number string) string {
	return holdPrefix + k.cfg.Corp + "/" + url.PathEscape(number)
}

// holds are the fields that stay as Kingdee has them, by staff number.
type holds map[string][]string

// holdsOf reads the holds that concern a few people.
func (k *Keeper) holdsOf(ctx context.Context, list []Staff) (holds, error) {
	found := holds{}
	if len(list) == 1 {
		entry, err := k.cfg.Store.Get(ctx, k.holdKey(list[0].Number))
		if errors.Is(err, store.ErrNotFound) {
			return found, nil
		}
		if err != nil {
			return nil, wrap(err)
		}
		hold, err := decode[Hold](entry)
		found[hold.Number] = hold.Fields
		return found, err
	}
	err := scan(ctx, k.cfg.Store, holdPrefix+k.cfg.Corp+"/", func(entry store.Entry) error {
		hold, err := decode[Hold](entry)
		found[hold.Number] = hold.Fields
		return err
	})
	return found, err
}

// over takes the held fields out of what is to be written: they are "not told".
func (h holds) over(s Staff) Staff {
	fields := h[s.Number]
	for name, field := range map[string]*string{
		"name": &s.Name, "mobile": &s.Mobile, "email": &s.Email, "department": &s.Department, "position": &s.Position,
	} {
		if slices.Contains(fields, name) {
			*field = ""
		}
	}
	return s
}

// Agree takes somebody who was hired again back (T42): their record and login
// user are enabled, and the record is brought. The mapping is another person's
// explicit act.
func (k *Keeper) Agree(ctx context.Context, by jobs.Actor, userid string, accounts Accounts) error {
	known, ok, err := k.Known(ctx, userid)
	if err != nil {
		return err
	}
	if !ok || known.State != Waiting {
		return identity.Fail(identity.NotFound, "", "directory: %s does not wait", userid)
	}
	if err := k.act(ctx, by, ActionAgree, audit.Person(identity.Subject{Corp: k.cfg.Corp, UserID: userid}), map[string]string{"number": known.Number}); err != nil {
		return err
	}
	if err := enable(ctx, accounts, known.Number); err != nil {
		return fmt.Errorf("directory: take %s back: %w", userid, err)
	}
	err = k.change(ctx, userid, func(known *Known) { known.State, known.Since, known.Print = Active, time.Time{}, "" })
	if err != nil {
		return err
	}
	return k.add(ctx, KindPerson, errand{Corp: k.cfg.Corp, UserID: userid, Why: "rehired"})
}

func enable(ctx context.Context, accounts Accounts, number string) error {
	staff, err := accounts.StaffByNumber(ctx, number)
	if err != nil {
		return err
	}
	for _, record := range staff {
		if record.Forbidden {
			if err := done(accounts.EnableStaff(ctx, record.ID)); err != nil {
				return err
			}
		}
		users, err := accounts.UsersOfStaff(ctx, record)
		if err != nil {
			return err
		}
		for _, user := range users {
			if user.Forbidden {
				if err := done(accounts.EnableUser(ctx, user.ID)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
