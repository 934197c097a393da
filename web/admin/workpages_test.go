package admin_test

import (
	"context"
	"errors"
	"strconv"

	"kdgate/identity"
	"kdgate/mapping"
	"kdgate/web/admin"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// workPages are the pages about people and work, over the same real parts.
func (h *house) workPages() []admin.Page {
	h.Helper()
	return []admin.Page{h.requestsPage(), h.peoplePage(), &admin.SessionsPage{Keeper: h.sessions}, h.jobsPage(), h.noticesPage(), h.directoryPage(nowhere, nowhere), h.quotaPage(), h.rulesPage(), h.billsPage()}
}

// blocked is a vendor that does not let our address in.
type blocked struct{ error }

func (h *house) peoplePage() *admin.People {
	return &admin.People{
		Chains: h.table, Log: h.log, Keeper: h.sessions, Centres: []admin.Centre{{ID: live, Name: "正式账套"}}, Corps: []string{corp},
		Rows: func(ctx context.Context, q mapping.Query) (mapping.Found, error) {
			return h.index.Search(ctx, h.table, q)
		},
		Profile: func(_ context.Context, who identity.Subject) (identity.Profile, error) {
			switch who.UserID {
			case "blocked":
				return identity.Profile{}, identity.Fail(identity.Misconfigured, identity.CodeDingTalkSetup, "dingtalk: %w", blocked{errors.New("60020")})
			case "nobody":
				return identity.Profile{}, identity.Fail(identity.NotFound, identity.CodeNotEmployee, "dingtalk: 60121")
			}
			return identity.Profile{Subject: who, Name: "员工" + who.UserID, JobNumber: who.UserID, Mobile: "13800138000", Active: true}, nil
		},
		Names: func(_ context.Context, text string, _ int) ([]identity.Profile, error) {
			if text != "何七" {
				return nil, nil
			}
			return []identity.Profile{{Subject: subject("77"), Name: "何七"}}, nil
		},
		Said: func(err error) (admin.Saying, bool) {
			if e, ok := errors.AsType[blocked](err); ok {
				return admin.Saying{Peer: "dingtalk", Rule: "address", Words: e.Error(), Address: "203.0.113.7"}, true
			}
			return admin.Saying{}, false
		},
	}
}
