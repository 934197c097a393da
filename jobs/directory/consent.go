package directory

import (
	"context"
	"errors"
	"fmt"

	"kdgate/dingtalk"
)

// Consents says who has agreed that their data go to Kingdee (F44): the consent
// register.
type Consents interface {
	Agreed(ctx context.Context, userid string) (bool, error)
	All(ctx context.Context) (map[string]bool, error) // userids of those who have
}

// errNoConsent sets a person aside. The words are for administrators.
var errNoConsent = errors.New("未同意个人信息处理:不传输")

// minimum is what goes to Kingdee without consent where that is allowed: the
// number, the name and the post, which a sign-in and the employer's own register
// of staff need. What is left out is "not told", so nothing is emptied there.
func (s Staff) minimum() Staff {
	s.Mobile, s.Email, s.Joined, s.More = "", "", "", nil
	return s
}

// permit holds a record to the person's consent: whole with it; without it the
// minimum, or not at all.
func (c Config) permit(s Staff, agreed bool) (Staff, error) {
	switch {
	case c.Consents == nil || agreed:
		return s, nil
	case c.Minimum:
		return s.minimum(), nil
	default:
		return s, errNoConsent
	}
}

// agreed is one person's consent, as it is now.
func (k *Keeper) agreed(ctx context.Context, userid string) (bool, error) {
	if k.cfg.Consents == nil {
		return true, nil
	}
	agreed, err := k.cfg.Consents.Agreed(ctx, userid)
	if err != nil {
		return false, fmt.Errorf("directory: the consent of %s: %w", userid, err)
	}
	return agreed, nil
}

// errUnasked marks a register that could not be asked, which is nobody's "no".
var errUnasked = errors.New("directory: the consent register could not be asked")

// staffNow is the record that a person is to have, as far as they agree to it at
// this moment.
func (k *Keeper) staffNow(ctx context.Context, person *dingtalk.Person, home int64, given string) (Staff, error) {
	s, err := k.cfg.Rules.staffOf(person, home, given)
	if err != nil {
		return s, err
	}
	return k.permitNow(ctx, s)
}

// permitNow holds a record to the person's consent of this moment.
func (k *Keeper) permitNow(ctx context.Context, s Staff) (Staff, error) {
	agreed, err := k.agreed(ctx, s.UserID)
	if err != nil {
		return s, fmt.Errorf("%w: %w", errUnasked, err)
	}
	return k.cfg.permit(s, agreed)
}

// consents reads everybody's.
func (w *walk) consents(ctx context.Context) error {
	if w.cfg.Consents == nil || w.agrees != nil {
		return nil
	}
	var err error
	if w.agrees, err = w.cfg.Consents.All(ctx); err != nil {
		return fmt.Errorf("directory: the consents: %w", err)
	}
	return nil
}

// stillPermitted holds people to the consents of this moment: somebody may have
// withdrawn since it was read.
func (w *walk) stillPermitted(ctx context.Context, list []Staff) ([]Staff, error) {
	kept := make([]Staff, 0, len(list))
	for _, s := range list {
		agreed, err := w.agreed(ctx, s.UserID)
		if err != nil {
			return nil, err
		}
		if s, err = w.cfg.permit(s, agreed); err != nil {
			w.mu.Lock()
			w.run.Counts.SetAside++
			w.run.Counts.NoConsent++
			w.run.note(s.UserID, err.Error())
			w.mu.Unlock()
			continue
		}
		kept = append(kept, s)
	}
	return kept, nil
}

// permitted is a batch without those who may not be carried over any more.
func (w *walk) permitted(ctx context.Context, b batch) (batch, error) {
	if w.cfg.Consents == nil {
		return b, nil
	}
	var kept batch
	for i, p := range b.pages {
		var err error
		if p.Write, err = w.stillPermitted(ctx, p.Write); err != nil {
			return b, err
		}
		kept.add(b.keys[i], p)
	}
	return kept, nil
}

// Headcount is how many people are known and have not left, written or not: those
// set aside for want of a consent are known to DingTalk alone and come on top.
func (k *Keeper) Headcount(ctx context.Context) (int, error) {
	runs, err := k.Runs(ctx, 1)
	if err != nil || len(runs) == 0 {
		return 0, err
	}
	return runs[0].Counts.People, nil
}

// Again puts a person on the work list: something about them was decided here.
func (k *Keeper) Again(ctx context.Context, userid, why string) error {
	return k.add(ctx, KindPerson, errand{Corp: k.cfg.Corp, UserID: userid, Why: why, At: k.cfg.Now()})
}
