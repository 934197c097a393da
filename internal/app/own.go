package app

import (
	"context"
	"slices"

	"kdgate/audit"
	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/identity/session"
)

// ownDoor is what people see of themselves: sessions of the manager, and the log.
type ownDoor struct {
	sessions *session.Manager
	log      *audit.Log
}

var _ gateway.Own = ownDoor{}

// Sessions implements gateway.Own.
func (d ownDoor) Sessions(ctx context.Context, who identity.Subject) ([]gateway.OwnSession, error) {
	found, err := d.sessions.List(ctx, who)
	list := make([]gateway.OwnSession, 0, len(found))
	for _, s := range found {
		list = append(list, gateway.OwnSession{
			Handle: s.Handle, Door: s.Door, Started: s.Started, LastSeen: s.LastSeen, Source: s.Source, UserAgent: s.UserAgent,
		})
	}
	return list, err
}

// EndSession implements gateway.Own.
func (d ownDoor) EndSession(ctx context.Context, who identity.Subject, handle string) error {
	return d.sessions.EndOne(ctx, who, handle)
}

// SignIns implements gateway.Own. Each question has its own place in an index.
func (d ownDoor) SignIns(ctx context.Context, who identity.Subject, limit int) ([]audit.Record, error) {
	var all []audit.Record
	for _, action := range [...]audit.Action{audit.ActionSignIn, audit.ActionMint} {
		found, err := d.log.Search(ctx, audit.Query{Person: audit.Person(who), Action: action, Limit: limit})
		if err != nil {
			return nil, identity.Fail(identity.Unavailable, identity.CodeAuditDown, "own sign-ins: %w", err)
		}
		all = append(all, found...)
	}
	slices.SortStableFunc(all, func(a, b audit.Record) int { return b.At.Compare(a.At) })
	return all[:min(len(all), limit)], nil
}
