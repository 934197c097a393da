package app

import (
	"context"
	"errors"
	"strings"

	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/jobs/directory"
	"kdgate/kingdee"
	"kdgate/mapping"
	"kdgate/web/admin"
)

// peoplePage joins the login doctor to both vendors.
func (s *Server) peoplePage(r *rooms) *admin.People {
	page := &admin.People{
		Chains: r.table, Log: s.log, Keeper: s.sessions, Centres: consoleCentres(r.config), Corps: consoleCorps(r.config),
		Rows: func(ctx context.Context, q mapping.Query) (mapping.Found, error) {
			return s.index.Search(ctx, r.table, q)
		},
		Profile: func(ctx context.Context, who identity.Subject) (identity.Profile, error) {
			client, ok := r.vendors.dingtalk[who.Corp]
			if !ok {
				return identity.Profile{}, identity.Fail(identity.NotFound, identity.CodeForeignCorp, "no such organisation here")
			}
			return client.api.Background().Profile(ctx, who.UserID)
		},
		Said: said,
	}
	if r.keeper != nil {
		page.Names = func(ctx context.Context, text string, limit int) ([]identity.Profile, error) {
			return namesOf(ctx, r.keeper, r.config.Directory.Corp, text, limit)
		}
	}
	return page
}

// namesOf finds people of the directory by a part of their name.
func namesOf(ctx context.Context, keeper *directory.Keeper, corp, text string, limit int) ([]identity.Profile, error) {
	wanted := strings.ToLower(text)
	known, err := keeper.Find(ctx, func(k directory.Known) bool {
		return strings.Contains(strings.ToLower(k.Name), wanted) || strings.Contains(strings.ToLower(k.UserID), wanted)
	}, limit)
	profiles := make([]identity.Profile, 0, len(known))
	for _, k := range known {
		profiles = append(profiles, identity.Profile{Subject: identity.Subject{Corp: corp, UserID: k.UserID}, Name: k.Name})
	}
	return profiles, err
}

// said is what a vendor answered, from an error about it. Both clients keep no
// secret in what is taken here, and bound and mask the vendor's words.
func said(err error) (admin.Saying, bool) {
	if f, ok := errors.AsType[*kingdee.Fault](err); ok {
		return admin.Saying{Peer: "kingdee", Rule: f.Name, Words: f.Text, Advice: f.Advice}, true
	}
	if e, ok := errors.AsType[*dingtalk.CallError](err); ok {
		return admin.Saying{
			Peer: "dingtalk", Rule: e.Rule, Words: e.Reason, Permission: e.Permission, ApplyLink: e.ApplyLink,
			Address: e.OurAddress, Reference: e.RequestID,
		}, true
	}
	return admin.Saying{}, false
}
