package directory

import (
	"context"
	"fmt"
)

// Given is a staff number that a person chose for somebody, over the rule.
type Given struct {
	Number string // empty: the rule counts
	// Own says that the number's record and login user are this person's alone
	// and ordinary: a leaver's may be forbidden.
	Own bool
}

// Numbers are the staff numbers that people have given out by hand: the mapping
// table's. They win over Rules.Number, because whoever was mapped to an existing
// record must not get a second one.
type Numbers interface {
	Given(ctx context.Context, userid string) (Given, error)
	All(ctx context.Context) (map[string]Given, error) // by userid
}

// given is the number of one person.
func (k *Keeper) given(ctx context.Context, userid string) (Given, error) {
	if k.cfg.Numbers == nil {
		return Given{}, nil
	}
	g, err := k.cfg.Numbers.Given(ctx, userid)
	if err != nil {
		return g, fmt.Errorf("directory: the number given to %s: %w", userid, err)
	}
	return g, nil
}

// gifts reads the numbers of everybody.
func (w *walk) gifts(ctx context.Context) error {
	if w.cfg.Numbers == nil || w.given != nil {
		return nil
	}
	var err error
	if w.given, err = w.cfg.Numbers.All(ctx); err != nil {
		return fmt.Errorf("directory: the numbers given by hand: %w", err)
	}
	return nil
}

// leaverNumber is the staff number whose record and login user are forbidden,
// empty when nothing is sure to be the leaver's alone.
func (k *Keeper) leaverNumber(ctx context.Context, e errand, known Known) (string, error) {
	g, err := k.given(ctx, e.UserID)
	switch {
	case err != nil:
		return "", err
	case g.Number != "" && !g.Own:
		return "", nil
	}
	return firstOf(e.Number, known.Number, g.Number), nil
}
