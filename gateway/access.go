package gateway

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"kdgate/identity"
)

const accessPath = "/access"

// Access is the book of people who ask to be let in. It stands here so that
// gateway need not import mapping/access.
type Access interface {
	// Ask opens a request for a person whose chain broke with code, or finds the
	// one that is open; it records that. The kind Throttled means: too soon again.
	Ask(ctx context.Context, who identity.Assertion, dataCentre string, code identity.Code) error
	// Wish is how the person's newest request stands, zero when there is none.
	Wish(ctx context.Context, who identity.Subject, dataCentre string) (Wish, error)
}

// Wish is a person's request as their own page shows it.
type Wish struct {
	State   WishState
	Asked   time.Time
	Decided time.Time
	Reason  string // of a refusal
}

// WishState is where a request stands.
type WishState string

// The states of a request; empty: nobody asked.
const (
	WishOpen    WishState = "open"
	WishGranted WishState = "granted"
	WishRefused WishState = "refused"
)

// askable are the broken chains that a mapping administrator can mend. A
// suspended row is not among them: it may be a leaver's.
var askable = []identity.Code{
	identity.CodeNotMapped, identity.CodeNoStaff, identity.CodeNoLoginUser, identity.CodeManyUsers,
	identity.CodeManyStaff, identity.CodeIdentityChanged,
}

// wishView is what the error page says about asking for access.
type wishView struct {
	Centre  string
	Next    string // where asking leads back to
	State   WishState
	Asked   string
	Decided string
	Reason  string
}

// wishOf is what the page of a broken chain offers the person it belongs to;
// nil when asking would help nothing. A book that cannot be read costs the
// button, not the page.
func (g *Gateway) wishOf(r *http.Request, f *failure, code identity.Code) *wishView {
	if g.cfg.Access == nil || f.centre == "" || f.who.Subject.IsZero() || !slices.Contains(askable, code) {
		return nil
	}
	wish, err := g.cfg.Access.Wish(r.Context(), f.who.Subject, f.centre)
	if err != nil {
		g.cfg.Logger.Warn("access request", "request_id", visitOf(r).id, "error", err)
		return nil
	}
	return &wishView{
		Centre: f.centre, Next: f.retry, State: wish.State, Reason: wish.Reason, Asked: clockOf(wish.Asked), Decided: clockOf(wish.Decided),
	}
}

// clockOf is a time as people read it, empty for none.
func clockOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(beijing).Format("2006-01-02 15:04 UTC-07:00")
}

// askAccess opens a request for the person of the session, and for nobody else: what
// the form names is a data centre. Somebody whose chain holds is sent on.
func (g *Gateway) askAccess(w http.ResponseWriter, r *http.Request) error {
	if g.cfg.Access == nil {
		return notFound()
	}
	if err := r.ParseForm(); err != nil {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "form: %w", err)
	}
	who, err := g.cfg.Sessions.Current(r)
	if err != nil {
		return &failure{err: err, retry: homePath}
	}
	centre, known := g.centres[r.PostForm.Get("centre")]
	if !known {
		return &failure{err: unknownTarget("no such data centre"), retry: defaultGoal}
	}
	next := r.PostForm.Get("next")
	if !strings.HasPrefix(next, "/launch/") || !IsCleanTarget(next) {
		next = "/launch/" + centre.ID
	}
	_, err = g.cfg.Resolver.Resolve(r.Context(), who.Assertion, centre.ID)
	if err != nil {
		_, code := verdict(err)
		if !slices.Contains(askable, code) {
			return &failure{err: err, who: who.Assertion, retry: next}
		}
		if err := g.cfg.Access.Ask(r.Context(), who.Assertion, centre.ID, code); err != nil {
			return &failure{err: err, who: who.Assertion, retry: next}
		}
	}
	seeOther(w, next)
	return nil
}
