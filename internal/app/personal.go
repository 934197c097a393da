package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/mapping"
	"kdgate/mapping/access"
	"kdgate/web/admin"
)

// holders are the places that hold something about people, besides the audit
// log (F44). A new place belongs in this list.
func (s *Server) holders(r *rooms) []admin.Holder {
	return []admin.Holder{
		{Name: "mapping", Find: r.heldRows},
		{Name: "sessions", Find: s.heldSessions},
		{Name: "directory", Find: r.heldDirectory},
		{Name: "requests", Find: func(ctx context.Context, who identity.Subject) ([]any, error) { return s.heldRequests(ctx, r, who) }},
		{Name: "work", Find: s.heldWork},
		{Name: "bills", Find: s.heldBills},
		{Name: "consent", Find: s.heldConsent},
	}
}

// heldRows are a person's rows in every data centre, each with all its versions.
func (r *rooms) heldRows(ctx context.Context, who identity.Subject) ([]any, error) {
	var held []any
	for _, dc := range r.config.DataCentres {
		key := mapping.KeyOf(who, dc.ID)
		row, err := r.table.Get(ctx, key)
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		history, err := everyVersion(ctx, r.table, key)
		if err != nil {
			return nil, err
		}
		held = append(held, struct {
			Row     mapping.Entry   `json:"row"`
			History []mapping.Entry `json:"history"`
		}{row, history})
	}
	return held, nil
}

func everyVersion(ctx context.Context, table *mapping.Table, key mapping.Key) ([]mapping.Entry, error) {
	const page = 100
	var all []mapping.Entry
	for before := uint64(0); ; {
		some, err := table.History(ctx, key, before, page)
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); len(some) < page {
			return all, nil
		}
		before = some[len(some)-1].Version
	}
}

func (s *Server) heldSessions(ctx context.Context, who identity.Subject) ([]any, error) {
	list, err := s.sessions.List(ctx, who)
	held := make([]any, 0, len(list))
	for _, info := range list {
		held = append(held, map[string]any{
			"name": info.Name, "door": info.Door, "started": info.Started, "last_seen": info.LastSeen,
			"expires_at": info.ExpiresAt, "source": info.Source, "user_agent": info.UserAgent,
		})
	}
	return held, err
}

func (r *rooms) heldDirectory(ctx context.Context, who identity.Subject) ([]any, error) {
	keeper := r.keepers()[who.Corp]
	if keeper == nil {
		return nil, nil
	}
	known, found, err := keeper.Known(ctx, who.UserID)
	if err != nil || !found {
		return nil, err
	}
	return []any{known}, nil
}

func (s *Server) heldRequests(ctx context.Context, r *rooms, who identity.Subject) ([]any, error) {
	var held []any
	for _, dc := range r.config.DataCentres {
		request, found, err := s.book.Of(ctx, access.Key{DataCentre: dc.ID, Corp: who.Corp, UserID: who.UserID})
		if err != nil {
			return nil, err
		}
		if found {
			held = append(held, request)
		}
	}
	return held, nil
}

// heldWork are the items of the work list whose payload names the person. Their
// keys are digests, so the whole list is looked through.
func (s *Server) heldWork(ctx context.Context, who identity.Subject) ([]any, error) {
	quoted, err := json.Marshal(who.UserID)
	if err != nil {
		return nil, fmt.Errorf("work items of %s: %w", who.UserID, err)
	}
	var held []any
	for _, state := range [...]jobs.State{jobs.Ready, jobs.Leased, jobs.Dead, jobs.Done, jobs.GivenUp} {
		for after := ""; ; {
			page, err := s.queue.List(ctx, jobs.Filter{State: state}, after, 200)
			if err != nil {
				return nil, err
			}
			for _, item := range page.Items {
				if bytes.Contains(item.Payload, quoted) {
					held = append(held, item)
				}
			}
			if after = page.After; after == "" {
				break
			}
		}
	}
	return held, nil
}

// heldBills are the records of approvals that a person began.
func (s *Server) heldBills(ctx context.Context, who identity.Subject) ([]any, error) {
	bills, err := s.bills.About(ctx, who.Corp, who.UserID)
	held := make([]any, 0, len(bills))
	for _, b := range bills {
		held = append(held, b)
	}
	return held, err
}
