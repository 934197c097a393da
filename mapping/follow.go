package mapping

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"kdgate/audit"
	"kdgate/identity"
)

// answer is what a flight brings back: Kingdee's word, and where the staff
// number came from.
type answer struct {
	check  Check
	source Source // of the staff number
	moved  bool   // the row was changed by the answer
}

// together runs ask once for all who wait for the same question, apart from any
// one caller's context. Nobody waits longer than Config.VerifyTimeout: where
// Kingdee answers each question and takes its time, they are told to come again,
// and the asking goes on, so that who comes again finds the answer (R18). The key
// is made of escaped segments, so that no two questions share one (T24).
func (t *Table) together(ctx context.Context, key string, ask func(context.Context) (answer, error)) (answer, error) {
	if a, there := t.late.take(key, t.now()); there {
		return a, nil
	}
	patience, cancel := context.WithTimeout(ctx, t.cfg.VerifyTimeout)
	defer cancel()
	done := t.flights.DoChan(key, func() (any, error) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.cfg.VerifyTimeout+slowTime)
		defer cancel()
		a, err := ask(own)
		if err == nil && patience.Err() != nil {
			t.late.put(key, a, t.now())
		}
		return a, err
	})
	select {
	case r := <-done:
		a, _ := r.Val.(answer)
		return a, r.Err
	case <-patience.Done():
	}
	if ctx.Err() != nil {
		return answer{}, identity.Fail(identity.Unavailable, identity.CodeKingdeeDown, "mapping: wait for Kingdee: %w", ctx.Err())
	}
	return answer{}, identity.Fail(identity.Throttled, identity.CodeKingdeeBusy, "mapping: Kingdee answers, but not within %v", t.cfg.VerifyTimeout)
}

// slowTime is how long an asking may go on that nobody waits for any more.
const slowTime = 20 * time.Second

// late keeps bad words on people that came after those who asked had been told
// to come again; without it they would wait for ever, as a bad word is always
// asked again. Good ones stand in the row. The zero value is ready.
type late struct {
	mu   sync.Mutex
	kept map[string]lateAnswer
}

type lateAnswer struct {
	answer
	until time.Time
}

// lateLife is a little more than the page takes to come again.
const lateLife = 15 * time.Second

func (l *late) put(key string, a answer, now time.Time) {
	if a.check.Code == "" && a.check.LoginUser != "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.kept, func(_ string, old lateAnswer) bool { return now.After(old.until) })
	if l.kept == nil {
		l.kept = map[string]lateAnswer{}
	}
	l.kept[key] = lateAnswer{a, now.Add(lateLife)}
}

// take gives an answer once.
func (l *late) take(key string, now time.Time) (answer, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, there := l.kept[key]
	delete(l.kept, key)
	return a.answer, there && !now.After(a.until)
}

func (w walk) flight(purpose string, more ...string) string {
	if w.look {
		purpose += "-look"
	}
	segments := append([]string{w.key.DataCentre, w.key.Corp, w.key.UserID}, more...)
	return join(purpose+"/", segments...)
}

// verifyRow asks Kingdee about a row and keeps what it said.
func (t *Table) verifyRow(ctx context.Context, w walk, e Entry) (answer, error) {
	a := answer{source: SourceEntry}
	q := question{
		dataCentre: e.DataCentre, number: e.StaffNumber, loginUser: e.LoginUser, kingdeeID: e.KingdeeID,
		chosen:   e.LoginUser != "" && e.Owner != OwnerAuto,
		unlinked: t.cfg.TrustTable, approved: e.Approved(),
	}
	if needed := !q.chosen || !q.unlinked && !q.approved; q.number == "" && needed {
		var err error
		if q.number, a.source, err = t.deriveNumber(ctx, w.key.Subject()); err != nil {
			return a, err
		}
	}
	var err error
	if a.check, err = t.ask(ctx, q); err != nil || w.look {
		return a, err
	}
	ctx, cancel := afterwards(ctx)
	defer cancel()
	a.check, a.moved, err = t.keep(ctx, w, &e, a.check)
	return a, err
}

// writeTime bounds the writing down of what was found.
const writeTime = 5 * time.Second

// afterwards is time of its own for writing down an answer: a queue at Kingdee
// may have used up nearly all of the asking's.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), writeTime)
}

// keep remembers a Check and tells whether the row moved by it. A row that
// follows Kingdee takes over a new or renamed login user; rows of people are only
// told (reference 5).
func (t *Table) keep(ctx context.Context, w walk, e *Entry, check Check) (_ Check, moved bool, err error) {
	if t.follows(e, check) {
		moved, err = t.takeOver(ctx, w, e, &check)
		if RefusalOf(err) == nil {
			return check, moved, err
		}
		check.User, check.Code = StateTaken, identity.CodeNotMapped
	}
	check.ForRow = e.Version
	if e.Name == w.named(e.Name) && !t.unconfirmed(e) && sameCheck(e.Check, check) && check.At.Sub(e.Check.At) < t.cfg.VerifyMaxAge/2 {
		return check, false, nil // a person who tries again and again writes nothing
	}
	_, err = t.write(ctx, func(x *tx) (*Entry, error) {
		now, err := unmoved(ctx, x, e)
		if err != nil {
			return nil, err
		}
		now.Check, now.Name = check, w.named(now.Name)
		if now.KingdeeID == "" && check.Code == "" {
			now.KingdeeID = check.KingdeeID
		}
		return now, x.save(ctx, rowKey(w.key), now)
	})
	return check, false, err
}

// maxDisplayName is how many characters of a display name are kept.
const maxDisplayName = 64

// named is the name to keep in a row: that of the sign-in, else the one it has.
func (w walk) named(before string) string {
	name := []rune(strings.ToValidUTF8(w.assertion.Name, ""))
	if len(name) == 0 {
		return before
	}
	return string(name[:min(len(name), maxDisplayName)])
}

// follows reports whether a row takes over the login user that was found.
func (t *Table) follows(e *Entry, check Check) bool {
	if check.Code != "" || check.LoginUser == e.LoginUser || t.isPrivileged(check.LoginUser) {
		return false
	}
	return e.Owner == OwnerAuto || e.LoginUser == "" && e.Owner == OwnerManual
}

// takeOver gives a row the login user that was found, and the hire who signs in
// where it is nobody's yet (T19). It tells whether the row moved: an import that
// holds the table puts it off.
func (t *Table) takeOver(ctx context.Context, w walk, e *Entry, check *Check) (moved bool, err error) {
	would := *e
	would.LoginUser = check.LoginUser
	_, err = t.write(ctx, func(x *tx) (*Entry, error) {
		if err := x.together(ctx, around(e, &would)...); err != nil {
			return nil, err
		}
		held, err := t.guardHeld(ctx, x)
		if err != nil {
			return nil, err
		}
		now, err := unmoved(ctx, x, e)
		if err != nil {
			return nil, err
		}
		a := act{by: itself(w), way: byItself}
		after := t.next(a, now, audit.ActionMappingChange)
		after.LoginUser, after.Reason = check.LoginUser, "follows Kingdee"
		after.Name = w.named(after.Name)
		if now.UnionID == "" && w.assertion.UnionID != "" {
			after.UnionID, after.Reason = w.assertion.UnionID, "follows Kingdee, bound at first sign-in"
		}
		t.restart(a, now, after)
		check.ForRow = after.Version
		after.Check, after.KingdeeID = *check, check.KingdeeID
		if err := t.allowed(a, now, after); err != nil {
			return nil, err
		}
		moved = !held
		return stage(ctx, x.unless(held), a, now, after)
	})
	return moved && err == nil, err
}

// unmoved reads a row again and insists on the version that was judged.
func unmoved(ctx context.Context, x *tx, e *Entry) (*Entry, error) {
	now, err := row(ctx, x, e.Key())
	if err != nil {
		return nil, err
	}
	if now == nil || now.Version != e.Version {
		return nil, errMoved
	}
	return now, nil
}

// sameCheck compares what was found, not when.
func sameCheck(a, b Check) bool {
	return a.Code == b.Code && a.Staff == b.Staff && a.User == b.User && a.StaffNo == b.StaffNo &&
		a.LoginUser == b.LoginUser && a.KingdeeID == b.KingdeeID && a.Foreign == b.Foreign &&
		a.RenamedTo == b.RenamedTo && a.ForRow == b.ForRow
}

// walkNew walks without a row: the chain is derived, and remembered when it
// holds and is nobody else's.
func (t *Table) walkNew(ctx context.Context, w walk, chain *Chain) error {
	a, err := t.together(ctx, w.flight("derive", w.assertion.UnionID), func(ctx context.Context) (answer, error) {
		return t.deriveRow(ctx, w)
	})
	chain.Number.Source = a.source
	if err != nil {
		chain.unreachable(err)
		return err
	}
	if a.check.StaffNo == "" {
		return chain.fail(&chain.Number, StateNotMapped, identity.CodeNotMapped, "no row, and no staff number to derive one from")
	}
	chain.tell(a.check, SourceKingdee)
	chain.Number.State = StateOK
	if a.check.Code == identity.CodeNotMapped {
		chain.Number.State, chain.Number.Code = StateNotMapped, identity.CodeNotMapped
	}
	if err := t.judge(&Entry{}, a.check, chain); err != nil {
		return err
	}
	chain.Account = identity.Account{DataCentre: w.key.DataCentre, StaffNumber: a.check.StaffNo, LoginUser: a.check.LoginUser}
	return nil
}

// deriveRow asks Kingdee about a person without a row.
func (t *Table) deriveRow(ctx context.Context, w walk) (answer, error) {
	var a answer
	number, source, err := t.deriveNumber(ctx, w.key.Subject())
	a.source = source
	if err != nil || number == "" {
		return a, err
	}
	a.check, err = t.ask(ctx, question{dataCentre: w.key.DataCentre, number: number})
	switch {
	case err != nil:
		return a, err
	case a.check.Staff == StateMissing:
		a.check.Code = identity.CodeNotMapped // a guess that names nobody is no staff number of theirs
		return a, nil
	case a.check.Code != "" || t.isPrivileged(a.check.LoginUser):
		return a, nil
	}
	ctx, cancel := afterwards(ctx)
	defer cancel()
	err = t.adopt(ctx, w, a.check)
	if r := RefusalOf(err); r != nil {
		if r.Reason == ReasonExists {
			return a, errMoved
		}
		a.check.User, a.check.Code, err = StateTaken, identity.CodeNotMapped, nil
	}
	return a, err
}

// adopt creates the row of a derived chain; a look only asks the rules.
func (t *Table) adopt(ctx context.Context, w walk, check Check) error {
	would := Entry{
		Corp: w.key.Corp, UserID: w.key.UserID, DataCentre: w.key.DataCentre, Status: StatusActive,
		StaffNumber: check.StaffNo, LoginUser: check.LoginUser,
	}
	_, err := t.write(ctx, func(x *tx) (*Entry, error) {
		if err := x.together(ctx, around(&would)...); err != nil {
			return nil, err
		}
		held, err := t.guardHeld(ctx, x)
		if err != nil {
			return nil, err
		}
		to := x.unless(held || w.look)
		after, err := t.create(ctx, to, act{by: itself(w), way: byItself}, Draft{
			Key: w.key, UnionID: w.assertion.UnionID, Owner: OwnerAuto,
			StaffNumber: check.StaffNo, LoginUser: check.LoginUser,
		})
		if err != nil {
			return nil, err
		}
		check.ForRow = after.Version
		after.Check, after.KingdeeID, after.Name = check, check.KingdeeID, w.named("")
		return after, to.save(ctx, rowKey(w.key), after)
	})
	return err
}
