package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/identity"
)

const (
	ownPath     = "/me"
	ownEndPath  = "/me/end"
	endOthers   = "others" // no handle of a session looks so
	lastSignIns = 10
	mostOwn     = 50 // sessions that the page shows
)

// Own is what a person may see of themselves: where they are signed in, which
// they may end, and how they came in lately (F9, F14). It stands here so that
// gateway need not import identity/session.
type Own interface {
	// Sessions are the person's live ones, the newest first.
	Sessions(ctx context.Context, who identity.Subject) ([]OwnSession, error)
	// EndSession ends one of them; the kind NotFound means that it is over already.
	EndSession(ctx context.Context, who identity.Subject, handle string) error
	// SignIns are the person's last sign-ins and launches, the newest first.
	SignIns(ctx context.Context, who identity.Subject, limit int) ([]audit.Record, error)
}

// OwnSession is one live session as its person sees it.
type OwnSession struct {
	Handle    string // names it to EndSession; opens nothing
	Door      identity.Door
	Started   time.Time
	LastSeen  time.Time // to within a minute
	Source    string    // client address at the start
	UserAgent string    // at the start
}

// ownSession is one line of the page.
type ownSession struct {
	OwnSession
	Here          bool   // it is the one of this browser
	Device        string // word of the device
	Started, Seen string // UTC+8
}

// ownSignIn is one line of the page.
type ownSignIn struct {
	Time, Action, Outcome, Door, Centre, Source string
	Reason                                      identity.Code // empty where it is none
}

// ownView is the person's own page.
type ownView struct {
	Name, UserID string
	Sessions     []ownSession
	SignIns      []ownSignIn
	Others       bool // there is a session that is not this one
}

// ownOf is the person of the session and their live sessions.
func (g *Gateway) ownOf(r *http.Request) (identity.Principal, []OwnSession, error) {
	if g.cfg.Own == nil {
		return identity.Principal{}, nil, notFound()
	}
	who, err := g.cfg.Sessions.Current(r)
	if err != nil {
		return who, nil, err
	}
	list, err := g.cfg.Own.Sessions(r.Context(), who.Subject)
	return who, list, err
}

// own shows a person where they are signed in and how they came in lately. It
// reads the log about nobody but them.
func (g *Gateway) own(w http.ResponseWriter, r *http.Request) error {
	who, list, err := g.ownOf(r)
	if identity.KindOf(err) == identity.Unauthenticated && err != nil {
		return g.begin(w, r, wanted{Path: ownPath})
	}
	if err != nil {
		return &failure{err: err, retry: ownPath}
	}
	records, err := g.cfg.Own.SignIns(r.Context(), who.Subject, lastSignIns)
	if err != nil {
		return &failure{err: err, retry: ownPath}
	}
	view := ownView{Name: who.Name, UserID: who.Subject.UserID}
	for _, s := range list[:min(len(list), mostOwn)] {
		line := ownSession{OwnSession: s, Here: s.Handle == who.SessionID, Device: deviceOf(s.UserAgent), Started: clockOf(s.Started), Seen: clockOf(s.LastSeen)}
		view.Others = view.Others || !line.Here
		view.Sessions = append(view.Sessions, line)
	}
	for _, record := range records {
		view.SignIns = append(view.SignIns, g.ownSignIn(record))
	}
	g.page(w, r, page{status: http.StatusOK, name: "own", data: view, policy: policy{framed: true, forms: true}})
	return nil
}

func (g *Gateway) ownSignIn(record audit.Record) ownSignIn {
	line := ownSignIn{
		Time: clockOf(record.At), Action: string(record.Action), Outcome: string(record.Outcome), Door: record.Door,
		Centre: record.DataCentre, Source: record.Source,
	}
	if record.Outcome != audit.OK {
		line.Reason = identity.Code(record.Reason)
	}
	for _, centre := range g.cfg.DataCentres {
		if centre.ID == record.DataCentre {
			line.Centre = centre.title()
		}
	}
	return line
}

// deviceOf names what a session was opened with, roughly and for people only.
func deviceOf(agent string) string {
	agent = strings.ToLower(agent)
	switch {
	case strings.Contains(agent, "dingtalk("):
		return "dingtalk-desktop"
	case strings.Contains(agent, "dingtalk"):
		return "dingtalk-phone"
	default:
		return "browser"
	}
}

// endOwn ends another session of the person, or all others. The one of this
// browser ends by signing out, which tells Kingdee too. What has ended meanwhile
// is what was wanted.
func (g *Gateway) endOwn(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "form: %w", err)
	}
	who, list, err := g.ownOf(r)
	if err != nil {
		return &failure{err: err, retry: ownPath}
	}
	which := r.PostForm.Get("session")
	var ending []string
	for _, s := range list {
		if s.Handle != who.SessionID && (which == endOthers || which == s.Handle) {
			ending = append(ending, s.Handle)
		}
	}
	if err := g.endEach(r, who, ending); err != nil {
		return &failure{err: err, who: who.Assertion, retry: ownPath}
	}
	seeOther(w, ownPath)
	return nil
}

// endEach records and then ends, in this order.
func (g *Gateway) endEach(r *http.Request, who identity.Principal, handles []string) error {
	if len(handles) == 0 {
		return nil
	}
	event := g.event(r, audit.ActionSessionEnd, audit.OK)
	event.Actor, event.Target = audit.Person(who.Subject), audit.Person(who.Subject)
	event.Detail = map[string]string{"which": handles[0]}
	if len(handles) > 1 {
		event.Detail = map[string]string{"which": endOthers, "count": strconv.Itoa(len(handles))}
	}
	if err := g.record(r.Context(), event); err != nil {
		return err
	}
	var failed []error
	for _, handle := range handles {
		if err := g.cfg.Own.EndSession(r.Context(), who.Subject, handle); err != nil && identity.KindOf(err) != identity.NotFound {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
