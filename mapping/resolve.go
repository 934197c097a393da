package mapping

import (
	"context"
	"errors"
	"fmt"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// Resolve gives the account of a person whom DingTalk has just proven, or whose
// session is live. The row is read on every call (T41); Kingdee's word on it is
// asked again when it is older than Config.VerifyMaxAge.
//
// Errors are *identity.Error: KD-201 to KD-210 name the broken link, KD-401 and
// KD-402 say that Kingdee could not be asked, KD-501 that the store could not,
// KD-502 that what was derived could not be recorded.
func (t *Table) Resolve(ctx context.Context, a identity.Assertion, dataCentre string) (identity.Account, error) {
	c, err := t.walk(ctx, walk{assertion: a, key: KeyOf(a.Subject, dataCentre)})
	if err != nil {
		return identity.Account{}, err
	}
	return c.Account, nil
}

// Explain walks the same way as Resolve and tells every link, also of a broken
// chain. It changes nothing: nothing derived is remembered. Without a UnionID
// in the assertion the identity of the hire is not compared.
func (t *Table) Explain(ctx context.Context, a identity.Assertion, dataCentre string) (Chain, error) {
	return t.walk(ctx, walk{assertion: a, key: KeyOf(a.Subject, dataCentre), look: true})
}

// walk is one way along the chain.
type walk struct {
	assertion identity.Assertion
	key       Key
	look      bool // only look: write nothing
}

// errMoved is a row that changed while Kingdee was asked about it.
var errMoved = errors.New("mapping: the row changed meanwhile")

// triesOnMove bounds how often a walk starts anew on a row that keeps changing.
const triesOnMove = 4

func (t *Table) walk(ctx context.Context, w walk) (Chain, error) {
	chain := newChain(w.key)
	if checkKey(w.key) != nil {
		return chain, chain.fail(&chain.Number, StateNotMapped, identity.CodeNotMapped, "no row can have this key")
	}
	for try := range triesOnMove {
		chain = newChain(w.key)
		err := t.walkOnce(ctx, w, &chain, try == 0)
		if !errors.Is(err, errMoved) && (w.look || !t.mended(ctx, w.key, err)) {
			return chain, err
		}
	}
	return chain, storeError("resolve", fmt.Errorf("%w: %w", store.ErrUnavailable, errMoved))
}

func (t *Table) walkOnce(ctx context.Context, w walk, chain *Chain, first bool) error {
	e, err := t.rowFor(ctx, w, first)
	switch {
	case err != nil:
		chain.unreachable(err)
		return err
	case e != nil && e.holds():
		return t.walkRow(ctx, w, e, chain)
	}
	return t.walkNew(ctx, w, chain)
}

// walkRow walks from a row.
func (t *Table) walkRow(ctx context.Context, w walk, e *Entry, chain *Chain) error {
	chain.Entry = e
	chain.Number.Facts = facts("userid", e.UserID, "staff_number", e.StaffNumber)
	chain.User.Facts = facts("login_user", e.LoginUser, "kingdee_user_id", e.KingdeeID)
	if err := t.gate(w, e, chain); err != nil {
		return err
	}
	if err := t.confirmPerson(ctx, w, e, chain); err != nil {
		return err
	}
	chain.Number.State, chain.Number.Source = StateOK, SourceEntry
	check, source, err := e.Check, SourceCached, error(nil)
	var a answer
	if !t.fresh(e) {
		a, err = t.together(ctx, w.flight("verify", fmt.Sprint(e.Version)), func(ctx context.Context) (answer, error) {
			return t.verifyRow(ctx, w, *e)
		})
		check, source, chain.Number.Source = a.check, SourceKingdee, a.source
	}
	if err != nil && t.mayServeCached(e, err) {
		check, source, err = e.Check, SourceCached, nil
	}
	if err != nil {
		chain.unreachable(err)
		return err
	}
	chain.tell(check, source)
	if err := t.judge(e, check, chain); err != nil {
		return err
	}
	if !w.look && e.UnionID == "" && w.assertion.UnionID != "" {
		if a.moved {
			return errMoved // it is somebody's by now: see whose
		}
		if err := t.bind(ctx, w, e); err != nil {
			return err
		}
	}
	chain.Account = identity.Account{DataCentre: e.DataCentre, StaffNumber: check.StaffNo, LoginUser: check.LoginUser}
	return nil
}

// gate is what the row alone says: whose it is, whether it is in force, and
// whether its privilege is approved.
func (t *Table) gate(w walk, e *Entry, chain *Chain) error {
	chain.Number.Source = SourceEntry
	union := w.assertion.UnionID
	untold := w.look && union == "" // whoever looks need not know it
	switch {
	case e.UnionID != "" && e.UnionID != union && !untold:
		return chain.fail(&chain.Number, StateChanged, identity.CodeIdentityChanged, "the row belongs to another hire")
	case e.Status == StatusSuspended:
		return chain.fail(&chain.Number, StateSuspended, identity.CodeSuspended, "the row is suspended")
	case (e.Privileged || t.isPrivileged(e.LoginUser)) && !e.Approved():
		return chain.fail(&chain.Number, StatePending, identity.CodePrivilegedUser, "privileged, with too few approvals")
	case e.Status != StatusActive:
		return chain.fail(&chain.Number, StatePending, identity.CodeNotMapped, "the row is not in force")
	}
	return nil
}

// judge decides on what Kingdee said. Every way to an account passes here.
func (t *Table) judge(e *Entry, check Check, chain *Chain) error {
	if err := check.broken(); err != nil {
		return err
	}
	if t.isPrivileged(check.LoginUser) && !e.Approved() {
		return chain.fail(&chain.User, StateForbidden, identity.CodePrivilegedUser, "privileged, with too few approvals")
	}
	return nil
}

// fresh reports a good word of Kingdee on exactly this version of the row that
// is young enough to serve without asking. A bad word is always asked again, so
// that a repaired account works at once.
func (t *Table) fresh(e *Entry) bool {
	age := t.now().Sub(e.Check.At)
	return t.usable(e) && age >= 0 && age < t.cfg.VerifyMaxAge
}

func (t *Table) usable(e *Entry) bool {
	return !t.unconfirmed(e) && !e.Check.At.IsZero() && e.Check.Code == "" && e.Check.ForRow == e.Version && e.Check.LoginUser != ""
}

// mayServeCached is the policy for a Kingdee that cannot be asked: by default no (R28).
func (t *Table) mayServeCached(e *Entry, err error) bool {
	kind, code := identity.KindOf(err), identity.CodeOf(err) // an answer, even a nonsense one, is not silence
	silent := code == identity.CodeKingdeeDown || code == identity.CodeKingdeeBusy
	if !silent || kind != identity.Unavailable && kind != identity.Throttled {
		return false
	}
	age := t.now().Sub(e.Check.At)
	return t.usable(e) && age >= 0 && age <= t.cfg.AllowCached
}

// bind gives an open row to the hire that signs in first (T19). It is refused
// no one: an import that holds the table only puts it off.
func (t *Table) bind(ctx context.Context, w walk, e *Entry) error {
	_, err := t.write(ctx, func(x *tx) (*Entry, error) {
		if err := x.together(ctx, around(e)...); err != nil {
			return nil, err
		}
		held, err := t.guardHeld(ctx, x)
		if err != nil || held {
			return e, err
		}
		before, err := row(ctx, x, w.key)
		if err != nil {
			return nil, err
		}
		if before == nil || before.Version != e.Version {
			return nil, errMoved
		}
		a := act{by: itself(w), way: byItself}
		after := t.next(a, before, audit.ActionMappingChange)
		after.UnionID, after.Reason = w.assertion.UnionID, "bound at first sign-in"
		after.Name = w.named(after.Name)
		after.Check.ForRow = after.Version
		return stage(ctx, x, a, before, after)
	})
	return err
}

// itself is the actor of what follows from a sign-in.
func itself(walk) Actor { return Actor{Name: audit.System} }
