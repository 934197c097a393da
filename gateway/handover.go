package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"kdgate/identity"
	"kdgate/internal/randomid"
	"kdgate/internal/strictjson"
	"kdgate/store"
)

const (
	handoverPath   = "/handover"
	handoverPrefix = "handover/"
	ticketLife     = time.Minute
)

// ticket carries a person from the DingTalk client to the system browser, which
// has none of the client's cookies (reference 2.8). The store knows the hash of
// the ticket's id only. What ends the session that it was made in ends the
// ticket too (T40, T45).
type ticket struct {
	Who    identity.Assertion `json:"who"`
	Handle string             `json:"handle"` // of that session
	Wanted wanted             `json:"wanted"`
	At     time.Time          `json:"at"`

	version store.Version
}

// handoverView is the page in the client, with the address to open, or the page
// in the browser, with the person it will sign in.
type handoverView struct {
	Name, UserID string
	Address      string // absolute, in the client
	Action       string // where the browser's button posts
	Wanted       string // place to go to, in the client's form
	Other        string // another person is signed in in this browser
	JSAPI        string // address of the client script; empty: our own copy
}

// showHandover offers the system browser for the place asked for.
func (g *Gateway) showHandover(w http.ResponseWriter, r *http.Request, who identity.Principal) {
	place := wantedOf(r)
	place.Query = ""
	corp := g.corps[g.corpFor(place)]
	origin, _ := originOf(corp.JSAPI) // checked by New
	g.page(w, r, page{
		status: http.StatusOK, name: "handover", policy: policy{framed: true, forms: true, script: origin},
		data: handoverView{Name: who.Name, UserID: who.Subject.UserID, Wanted: place.address(), JSAPI: corp.JSAPI},
	})
}

// handoverIssue makes a ticket for the live session.
func (g *Gateway) handoverIssue(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "form: %w", err)
	}
	who, err := g.cfg.Sessions.Current(r)
	if err != nil {
		return &failure{err: err, retry: homePath}
	}
	id, err := randomid.New(g.cfg.Rand)
	if err != nil {
		return err
	}
	place := g.handoverPlace(r)
	text, err := json.Marshal(ticket{Who: who.Assertion, Handle: who.SessionID, Wanted: place, At: g.cfg.Now().UTC()})
	if err != nil {
		return fmt.Errorf("gateway: ticket: %w", err)
	}
	if err := g.cfg.Store.Commit(r.Context(), store.Create(handoverPrefix+hashed(id), text).For(ticketLife)); err != nil {
		return storeFault(err)
	}
	address := g.absolute(handoverPath + "/" + id)
	if wantsJSON(r) {
		g.json(w, http.StatusOK, map[string]string{"url": address})
		return nil
	}
	g.page(w, r, page{
		status: http.StatusOK, name: "handover-link", policy: policy{framed: true, forms: true},
		data: handoverView{Name: who.Name, UserID: who.Subject.UserID, Address: address, Wanted: place.address()},
	})
	return nil
}

// handoverPlace is where the browser goes afterwards: a launch page of ours, or Kingdee.
func (g *Gateway) handoverPlace(r *http.Request) wanted {
	place := wanted{Path: r.PostForm.Get("wanted")}
	if place.Path == homePath || !ownPlace(place.Path) {
		return wanted{Path: defaultGoal}
	}
	return place
}

// handoverPage names the person and waits for a click, so that nobody is signed
// in as somebody else by a link they were sent.
func (g *Gateway) handoverPage(w http.ResponseWriter, r *http.Request) error {
	found, err := g.ticket(r.Context(), r.PathValue("ticket"))
	if err != nil {
		return &failure{err: err, retry: defaultGoal}
	}
	view := handoverView{Name: found.Who.Name, UserID: found.Who.Subject.UserID, Action: handoverPath + "/" + r.PathValue("ticket")}
	if now, err := g.cfg.Sessions.Current(r); err == nil && now.Subject != found.Who.Subject {
		view.Other = now.Name
	}
	g.page(w, r, page{status: http.StatusOK, name: "handover-confirm", data: view, policy: policy{forms: true}})
	return nil
}

func (g *Gateway) ticket(ctx context.Context, id string) (ticket, error) {
	if !randomid.Is(id) {
		return ticket{}, expired("malformed ticket")
	}
	entry, err := g.cfg.Store.Get(ctx, handoverPrefix+hashed(id))
	if errors.Is(err, store.ErrNotFound) {
		return ticket{}, expired("unknown ticket")
	}
	if err != nil {
		return ticket{}, storeFault(err)
	}
	found := ticket{version: entry.Version}
	if err := strictjson.Decode(entry.Value, &found); err != nil {
		return ticket{}, identity.Fail(identity.Internal, identity.CodeInternal, "ticket record: %w", err)
	}
	if g.cfg.Now().Sub(found.At) > ticketLife {
		return ticket{}, expired("ticket too old")
	}
	if _, err := g.cfg.Handles.ByHandle(ctx, found.Who.Subject, found.Handle); err != nil {
		return ticket{}, err
	}
	return found, nil
}

// handoverRedeem uses the ticket up and opens a session of the browser's own.
func (g *Gateway) handoverRedeem(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("ticket")
	found, err := g.ticket(r.Context(), id)
	if err == nil {
		err = g.useTicket(r.Context(), id, found)
	}
	a := attempt{st: signIn{Corp: found.Who.Subject.Corp}, door: identity.DoorHandover}
	if err != nil {
		if _, live := g.cfg.Sessions.Current(r); live == nil {
			seeOther(w, homePath) // a double tap: the first one signed in
			return nil
		}
		g.noteSignIn(r, a, err)
		return &failure{err: err, retry: defaultGoal}
	}
	who := found.Who
	who.Door = identity.DoorHandover
	if err := g.recordSignIn(r, a, who, nil, 0); err != nil {
		return &failure{err: err, retry: defaultGoal}
	}
	token, err := randomid.New(g.cfg.Rand)
	if err != nil {
		return err
	}
	if _, err := g.cfg.Sessions.Start(r.Context(), w, who, identity.NewSecret(token)); err != nil {
		return &failure{err: err, retry: defaultGoal}
	}
	seeOther(w, g.returnTo(found.Wanted))
	return nil
}

// useTicket deletes exactly the ticket that was read; of two at once one wins.
func (g *Gateway) useTicket(ctx context.Context, id string, found ticket) error {
	err := g.cfg.Store.Commit(ctx, store.DeleteAt(handoverPrefix+hashed(id), found.version))
	if errors.Is(err, store.ErrConflict) {
		return expired("ticket already used")
	}
	if err != nil {
		return storeFault(err)
	}
	return nil
}
