package app

import (
	"context"
	"errors"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/kingdee"
)

// canaryTime bounds one visit.
const canaryTime = 30 * time.Second

// canary signs the appointed visitor in, at once and then by the clock, for as
// long as the configuration appoints one (F14). Every replica has its own: each
// has its own way to Kingdee.
//
// DingTalk's half is not walked: its code can only be had by a person's client,
// and every other call would be taken from the month's quota.
func (s *Server) canary(ctx context.Context) {
	told := map[string]string{}
	for ctx.Err() == nil {
		r := s.rooms.Load()
		var next <-chan time.Time
		if r.config.Canary.UserID != "" {
			s.visitAll(ctx, r, told)
			next = time.After(r.config.Canary.Every)
		}
		select {
		case <-ctx.Done():
		case <-r.left:
		case <-next:
		}
	}
}

// visitAll visits each data centre and logs what changed since it was last told.
func (s *Server) visitAll(ctx context.Context, r *rooms, told map[string]string) {
	for _, centre := range r.config.Canary.DataCentres {
		began := s.options.Now()
		err := s.visit(ctx, r, centre)
		if ctx.Err() != nil {
			return
		}
		s.metrics.Canary(centre, err == nil, s.options.Now().Sub(began))
		was, now := told[centre], ""
		if err != nil {
			now = err.Error()
		}
		switch told[centre] = now; {
		case now != "" && was == "":
			s.options.Logger.Error("the canary could not sign in to Kingdee", "data_centre", centre, "code", string(identity.CodeOf(err)), "error", err)
		case now == "" && was != "":
			s.options.Logger.Info("the canary signs in again", "data_centre", centre)
		}
	}
}

// visit walks the way of a click: resolve, record, mint; and then, as the
// browser would, opens the link. The session is ended again.
func (c *Core) visit(ctx context.Context, r *rooms, centre string) error {
	return c.asCanary(ctx, r, centre, func(ctx context.Context, api *kingdee.Client, link identity.Secret) error {
		return api.Redeem(ctx, link)
	})
}

// linkTwice reports whether Kingdee takes one link a second time (T32).
func (c *Core) linkTwice(ctx context.Context, r *rooms, centre string) (twice bool, err error) {
	err = c.asCanary(ctx, r, centre, func(ctx context.Context, api *kingdee.Client, link identity.Secret) error {
		if err := api.Redeem(ctx, link); err != nil {
			return err
		}
		again := api.Redeem(ctx, link)
		twice = again == nil
		if identity.CodeOf(again) == identity.CodeLinkRefused {
			return nil
		}
		return again // also nil: it was taken
	})
	return twice, err
}

// asCanary gives use a fresh link of the canary, and ends the session it opened.
func (c *Core) asCanary(ctx context.Context, r *rooms, centre string, use func(context.Context, *kingdee.Client, identity.Secret) error) error {
	ctx, cancel := context.WithTimeout(ctx, canaryTime)
	defer cancel()
	who := identity.Assertion{Subject: identity.Subject{Corp: r.config.Canary.Corp, UserID: r.config.Canary.UserID}}
	event := audit.Event{Action: audit.ActionCanary, Outcome: audit.OK, Actor: audit.System, DataCentre: centre}
	account, err := r.table.Resolve(ctx, who, centre)
	if err != nil {
		return c.canaryFailed(ctx, event, err)
	}
	event.Target = account.LoginUser
	if err := c.log.Append(ctx, event); err != nil {
		return err
	}
	api := r.vendors.kingdee[centre].api
	link, err := api.MintSharedLink(ctx, account.LoginUser, kingdee.Place{Entry: kingdee.EntryHTML5})
	if err == nil {
		err = use(ctx, api, link)
	}
	if err != nil {
		return c.canaryFailed(ctx, event, err)
	}
	if err := api.SignOut(ctx, account.LoginUser); err != nil && !errors.Is(err, kingdee.ErrNoLogoutNotice) {
		c.options.Logger.Warn("the canary's session at Kingdee runs until it is idle", "data_centre", centre, "error", err)
	}
	return nil
}

// canaryFailed records why and gives it back.
func (c *Core) canaryFailed(ctx context.Context, event audit.Event, cause error) error {
	event.Outcome, event.Reason = audit.Failed, string(identity.CodeOf(cause))
	return errors.Join(cause, c.log.Append(context.WithoutCancel(ctx), event))
}
