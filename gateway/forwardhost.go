package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/randomid"
	"kdgate/internal/strictjson"
	"kdgate/store"
)

// An application on a host of its own cannot be sent our session cookie. It gets
// one of its own, bound to that host and to the same session here:
//
//	app  GET /page                      proxy asks /forward-auth: nobody
//	app  GET /_kdgate/start?rd=/page    sets the binding cookie of that host
//	gate GET /forward-auth/enter?bind=…&rd=…    sign-in if need be; ticket
//	app  GET /_kdgate/callback?ticket=… ticket and binding cookie: the host's own cookie
//	app  GET /page                      proxy asks /forward-auth: 200 and who
//
// The proxy of that host passes /_kdgate/ on to us. A ticket is used once, lives
// for hostTicketLife, names one host, and works only in the browser that began
// there: neither a ticket read in a log nor one that is sent to somebody else
// opens anything. The host's cookie is good on that host alone, and for as long
// as the session that it came from.
const (
	hostPath         = "/_kdgate/"
	hostStartPath    = hostPath + "start"
	hostCallbackPath = hostPath + "callback"
	forwardEnterPath = "/forward-auth/enter"

	hostCookie     = "__Host-kdgate-app"
	hostBindCookie = "__Host-kdgate-app-begin"

	hostTicketPrefix = "forward/ticket/"
	hostPassPrefix   = "forward/pass/"

	hostTicketLife = 30 * time.Second
	hostBindLife   = 10 * time.Minute
)

// pass is the record behind a host's cookie or a ticket for one.
type pass struct {
	Origin string           `json:"origin"`
	Who    identity.Subject `json:"who"`
	Handle string           `json:"handle"` // of the session here
	At     time.Time        `json:"at"`
	Bind   string           `json:"bind,omitempty"` // of a ticket: the browser that may use it
	Path   string           `json:"path,omitempty"` // of a ticket: where it leads
	Query  string           `json:"query,omitempty"`

	version store.Version
}

// hostOf is the listed host that a trusted proxy asks for.
func (g *Gateway) hostOf(asked original) (origin string, ok bool) {
	return listed(g.cfg.ForwardHosts, asked.scheme, asked.host)
}

// forwardHost answers for an application on a host of its own.
func (g *Gateway) forwardHost(w http.ResponseWriter, r *http.Request, origin string) error {
	who, err := g.hostPrincipal(r, origin)
	if err == nil {
		return g.forwardWho(w, r, who, g.asserterFor(origin))
	}
	asked := visitOf(r).asked
	if identity.KindOf(err) == identity.Unauthenticated && asked.isPage(r) && strings.HasPrefix(asked.uri, "/") && cleanTarget(asked.uri) {
		seeOther(w, origin+hostStartPath+"?"+returnParameter+"="+asked.uri)
		return nil
	}
	return err
}

func (g *Gateway) asserterFor(origin string) Asserter {
	if g.cfg.HostAsserter == nil {
		return nil
	}
	return g.cfg.HostAsserter(origin)
}

// hostPrincipal is the person behind a host's cookie.
func (g *Gateway) hostPrincipal(r *http.Request, origin string) (identity.Principal, error) {
	id, ok := randomid.InCookie(r, hostCookie)
	if !ok {
		return identity.Principal{}, expired("no cookie of this host")
	}
	found, err := g.loadPass(r.Context(), hostPassPrefix, id)
	if err != nil {
		return identity.Principal{}, err
	}
	if found.Origin != origin {
		return identity.Principal{}, expired("cookie of another host")
	}
	return g.cfg.Handles.ByHandle(r.Context(), found.Who, found.Handle)
}

func (g *Gateway) loadPass(ctx context.Context, prefix, id string) (pass, error) {
	entry, err := g.cfg.Store.Get(ctx, prefix+hashed(id))
	if errors.Is(err, store.ErrNotFound) {
		return pass{}, expired("unknown pass")
	}
	if err != nil {
		return pass{}, storeFault(err)
	}
	found := pass{version: entry.Version}
	if err := strictjson.Decode(entry.Value, &found); err != nil {
		return pass{}, identity.Fail(identity.Internal, identity.CodeInternal, "pass record: %w", err)
	}
	return found, nil
}

// hostStart begins on the application's host: it marks the browser there and
// sends it to us.
func (g *Gateway) hostStart(w http.ResponseWriter, r *http.Request) error {
	origin, ok := g.hostOf(visitOf(r).asked)
	if !ok {
		return notFound()
	}
	target, ok := strings.CutPrefix(r.URL.RawQuery, returnParameter+"=")
	if !ok || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, hostPath) || !cleanTarget(target) {
		target = "/"
	}
	bind, known := randomid.InCookie(r, hostBindCookie)
	if !known { // a second tab must not take the first one's away
		var err error
		if bind, err = randomid.New(g.cfg.Rand); err != nil {
			return err
		}
		setHostCookie(w, hostBindCookie, bind, int(hostBindLife.Seconds()))
	}
	seeOther(w, g.absolute(forwardEnterPath)+"?"+url.Values{
		"bind": {g.bindOf(origin, bind)}, returnParameter: {origin + target},
	}.Encode())
	return nil
}

// bindOf names a browser on a host, to us and to nobody else.
func (g *Gateway) bindOf(origin, id string) string { return g.keys.text(bindPurpose, origin, id) }

const bindPurpose = "forward"

func setHostCookie(w http.ResponseWriter, name, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// forwardEnter carries the session of a person who is signed in to a listed
// host, and signs in who is not.
func (g *Gateway) forwardEnter(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	place, ok := g.hostPlace(query.Get(returnParameter))
	place.Bind = query.Get("bind")
	if !ok || !randomid.Is(place.Bind) || len(query[returnParameter]) != 1 || len(query["bind"]) != 1 || speculative(r) {
		return &failure{err: expired("no listed host, or no browser"), retry: homePath}
	}
	who, err := g.cfg.Sessions.Current(r)
	if err != nil && identity.KindOf(err) == identity.Unauthenticated {
		return g.begin(w, r, place)
	}
	if err != nil {
		return &failure{err: err, retry: homePath}
	}
	id, err := randomid.New(g.cfg.Rand)
	if err != nil {
		return err
	}
	ticket := pass{
		Origin: place.Origin, Who: who.Subject, Handle: who.SessionID, At: g.cfg.Now().UTC(),
		Bind: place.Bind, Path: place.Path, Query: place.Query,
	}
	if err := g.putPass(r.Context(), hostTicketPrefix, id, ticket, hostTicketLife); err != nil {
		return err
	}
	seeOther(w, place.Origin+hostCallbackPath+"?"+url.Values{"ticket": {id}}.Encode())
	return nil
}

// hostPlace is an address on a listed host.
func (g *Gateway) hostPlace(address string) (wanted, bool) {
	return placeOn(g.cfg.ForwardHosts, address)
}

func (g *Gateway) putPass(ctx context.Context, prefix, id string, p pass, life time.Duration, also ...store.Op) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("gateway: pass: %w", err)
	}
	if err := g.cfg.Store.Commit(ctx, append(also, store.Create(prefix+hashed(id), text).For(life))...); err != nil {
		return storeFault(err)
	}
	return nil
}

// hostCallback trades a ticket for the host's own cookie, once.
func (g *Gateway) hostCallback(w http.ResponseWriter, r *http.Request) error {
	origin, ok := g.hostOf(visitOf(r).asked)
	if !ok {
		return notFound()
	}
	if speculative(r) {
		return &refusal{http.StatusMethodNotAllowed, "not a person's click"}
	}
	ticket, id, err := g.hostTicket(r, origin)
	if err != nil {
		if _, live := g.hostPrincipal(r, origin); live == nil {
			seeOther(w, origin+"/") // a double tap or a reload: the first one opened the door
			return nil
		}
		return g.refuseHost(r, origin, ticket, err)
	}
	who, err := g.cfg.Handles.ByHandle(r.Context(), ticket.Who, ticket.Handle)
	if err != nil {
		return g.refuseHost(r, origin, ticket, err)
	}
	if err := g.record(r.Context(), g.hostEvent(r, origin, ticket)); err != nil {
		return &failure{err: err, retry: homePath}
	}
	value, err := randomid.New(g.cfg.Rand)
	if err != nil {
		return err
	}
	// Of two at once one wins: the ticket goes in the same commit.
	used := store.DeleteAt(hostTicketPrefix+hashed(id), ticket.version)
	opened := pass{Origin: origin, Who: ticket.Who, Handle: ticket.Handle, At: g.cfg.Now().UTC()}
	if err := g.putPass(r.Context(), hostPassPrefix, value, opened, max(who.ExpiresAt.Sub(g.cfg.Now()), time.Second), used); err != nil {
		return &failure{err: err, retry: homePath}
	}
	setHostCookie(w, hostCookie, value, 0)
	seeOther(w, wanted{Origin: origin, Path: ticket.Path, Query: ticket.Query}.there())
	return nil
}

// hostTicket is the ticket that a request brings, if it may use it.
func (g *Gateway) hostTicket(r *http.Request, origin string) (ticket pass, id string, err error) {
	query := r.URL.Query()
	id = query.Get("ticket")
	if len(query["ticket"]) != 1 || !randomid.Is(id) {
		return pass{}, "", expired("malformed ticket")
	}
	bind, ok := randomid.InCookie(r, hostBindCookie)
	if !ok {
		return pass{}, "", expired("no binding cookie")
	}
	ticket, err = g.loadPass(r.Context(), hostTicketPrefix, id)
	switch {
	case err != nil:
		return pass{}, "", err
	case ticket.Origin != origin:
		return ticket, id, expired("ticket for another host")
	case !g.keys.knows(ticket.Bind, bindPurpose, origin, bind):
		return ticket, id, expired("ticket of another browser")
	case g.cfg.Now().Sub(ticket.At) > hostTicketLife:
		return ticket, id, expired("ticket too old")
	default:
		return ticket, id, nil
	}
}

// refuseHost records a ticket that was refused and gives the failure back.
func (g *Gateway) refuseHost(r *http.Request, origin string, ticket pass, cause error) error {
	_, code := verdict(cause)
	event := g.hostEvent(r, origin, ticket)
	event.Outcome, event.Reason, event.Flood = outcomeOf(cause), string(code), addressFlood(visitOf(r).address)
	_ = g.record(context.WithoutCancel(r.Context()), event) // it fails either way
	return &failure{err: cause, retry: homePath}
}

func (g *Gateway) hostEvent(r *http.Request, origin string, ticket pass) audit.Event {
	event := g.event(r, audit.ActionForwardEnter, audit.OK)
	if !ticket.Who.IsZero() {
		event.Actor = audit.Person(ticket.Who)
	}
	event.Target, event.Detail = origin, map[string]string{"session": ticket.Handle}
	return event
}
