package gateway

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"kdgate/audit"
	"kdgate/identity"
)

const (
	signedOutPath = "/signed-out"
	signOutLimit  = 8 * time.Second
)

// homeView is the small page that says who one is.
type homeView struct {
	SignedIn     bool
	Name, UserID string
	Until        string // the session's absolute end, UTC+8
	Desktop      bool   // DingTalk on a computer: offer the system browser
	Consent      bool   // people are asked for their consent
	Own          bool   // people see their own sessions
	Centres      []centreView
	Chosen       string
}

func (g *Gateway) home(w http.ResponseWriter, r *http.Request) error {
	who, err := g.cfg.Sessions.Current(r)
	if err != nil && identity.KindOf(err) != identity.Unauthenticated {
		return &failure{err: err, retry: homePath}
	}
	view := homeView{SignedIn: err == nil, Desktop: isDesktopClient(r), Consent: g.cfg.Consents != nil, Own: g.cfg.Own != nil}
	if view.SignedIn {
		view.Name, view.UserID = who.Name, who.Subject.UserID
		view.Until = who.ExpiresAt.In(beijing).Format("2006-01-02 15:04 UTC-07:00")
		for _, dc := range g.cfg.DataCentres {
			view.Centres = append(view.Centres, centreView{dc.ID, dc.title()})
		}
		if len(view.Centres) > 1 {
			if view.Chosen, err = g.chosen(r.Context(), who.Subject); err != nil {
				return err
			}
		}
	}
	g.page(w, r, page{status: http.StatusOK, name: "home", data: view, policy: policy{framed: true, forms: true}})
	return nil
}

// isDesktopClient chooses what is offered, never who somebody is: DingTalk on
// Windows and macOS writes "DingTalk(", on phones "DingTalk/" (reference 2.7).
func isDesktopClient(r *http.Request) bool {
	return strings.Contains(strings.ToLower(r.UserAgent()), "dingtalk(")
}

// signOut ends the session here, then in Kingdee, and says whether the second
// half worked (T36, F9). A log that cannot be written does not keep a door
// open: the session ends all the same, and the failure is in the program's log.
func (g *Gateway) signOut(w http.ResponseWriter, r *http.Request) error {
	who, err := g.cfg.Sessions.End(w, r)
	nobody := err != nil && identity.KindOf(err) == identity.Unauthenticated
	if err != nil && !nobody {
		return &failure{err: err, retry: homePath}
	}
	forgetBrowser(w)
	if nobody {
		seeOther(w, signedOutPath)
		return nil
	}
	if g.proxied != nil {
		g.proxied.Proxy.Leave(w, r, who)
	}
	incomplete := g.signOutOfKingdee(r, who)
	event := g.event(r, audit.ActionSignOut, audit.OK)
	event.Actor, event.Door = audit.Person(who.Subject), string(who.Door)
	event.Detail = map[string]string{"session": who.SessionID}
	if len(incomplete) > 0 {
		event.Outcome, event.Reason = audit.Failed, "kingdee session may be open"
		event.Detail["incomplete"] = strings.Join(incomplete, " ")
	}
	_ = g.record(context.WithoutCancel(r.Context()), event) // record has logged it
	if len(incomplete) > 0 {
		seeOther(w, signedOutPath+"?kingdee=open")
		return nil
	}
	seeOther(w, signedOutPath+"?kingdee=ended")
	return nil
}

// signOutOfKingdee asks every data centre at once and names those that could
// not confirm. A person whom a data centre does not know has nothing open there.
func (g *Gateway) signOutOfKingdee(r *http.Request, who identity.Principal) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), signOutLimit)
	defer cancel()
	failed := make([]bool, len(g.cfg.DataCentres))
	var all sync.WaitGroup
	for i, dc := range g.cfg.DataCentres {
		all.Go(func() {
			if err := g.signOutOf(ctx, who, dc); err != nil {
				g.cfg.Logger.Warn("kingdee sign-out", "request_id", visitOf(r).id, "data_centre", dc.ID, "error", err)
				failed[i] = true
			}
		})
	}
	all.Wait()
	var names []string
	for i, dc := range g.cfg.DataCentres {
		if failed[i] {
			names = append(names, dc.ID)
		}
	}
	return names
}

func (g *Gateway) signOutOf(ctx context.Context, who identity.Principal, dc DataCentre) error {
	account, err := g.cfg.Resolver.Resolve(ctx, who.Assertion, dc.ID)
	if err == nil {
		return dc.ServiceProvider.SignOut(ctx, account)
	}
	if isNowhere(identity.CodeOf(err)) && identity.KindOf(err) != identity.Unavailable {
		return nil
	}
	return err
}

// isNowhere are the states in which no login user could have been let in.
// Suspended or forbidden ones are not among them: they may have been, earlier.
func isNowhere(code identity.Code) bool {
	switch code {
	case identity.CodeNotMapped, identity.CodeNoStaff, identity.CodeNoLoginUser:
		return true
	default:
		return false
	}
}

// signedOutView says how complete the sign-out was.
type signedOutView struct{ Kingdee string }

func (g *Gateway) signedOut(w http.ResponseWriter, r *http.Request) error {
	state := r.URL.Query().Get("kingdee")
	if state != "open" && state != "ended" {
		state = ""
	}
	g.page(w, r, page{status: http.StatusOK, name: "signed-out", data: signedOutView{state}, policy: policy{framed: true}})
	return nil
}
