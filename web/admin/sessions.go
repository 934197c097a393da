package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/identity/session"
)

const (
	pathSessions = prefix + "sessions"
	apiSessions  = apiPrefix + "sessions"

	sessionsPage = 50
	maxText      = 200 // bytes of what somebody searches for
)

// Keeper finds and ends sessions: a *session.Manager. What it ends is ended on
// every replica within a second.
type Keeper interface {
	Find(ctx context.Context, match func(session.Info) bool, after string, limit int) ([]session.Info, string, error)
	List(ctx context.Context, who identity.Subject) ([]session.Info, error)
	EndOne(ctx context.Context, who identity.Subject, handle string) error
	EndAll(ctx context.Context, who identity.Subject) (int, error)
	EndEverybody(ctx context.Context) (int, error)
	Count(ctx context.Context) (int, error)
}

// SessionsPage says who is signed in, and ends that (F9, T45). Sessions of the
// console end with those they were entered from; only the emergency account
// has one of its own, which this page does not end.
type SessionsPage struct{ Keeper Keeper }

// Mount implements Page.
func (p *SessionsPage) Mount(rt *Router) {
	rt.Link("sessions", pathSessions, ToAdmin)
	params := []Param{{"text", "part of a name or userid"}, {"cursor", "of the next page, as the page before gave it"}}
	rt.Add(
		Route{Pattern: "GET " + pathSessions, Access: ToAdmin, Summary: "Who is signed in.", Query: params, Serve: p.list},
		Route{Pattern: "POST " + pathSessions + "/end", Access: ToAdmin, Summary: "End one session of a person, or all of them.", Serve: p.end},
		Route{Pattern: "POST " + pathSessions + "/end-everybody", Access: ToAdmin, Danger: true, Summary: "End every session there is.", Serve: p.endEverybody},
		Route{Pattern: "GET " + apiSessions, Access: ToAdmin, Summary: "Who is signed in.", Query: params, Answer: SessionPage{}, Serve: p.listJSON},
		Route{Pattern: "POST " + apiSessions + "/end", Access: ToAdmin, Summary: "End one session of a person, or all of them.", Body: SessionEnd{}, Answer: Ended{}, Serve: p.endJSON},
		Route{Pattern: "POST " + apiSessions + "/end-everybody", Access: ToAdmin, Danger: true, Summary: "End every session there is.", Body: struct{}{}, Answer: Ended{}, Serve: p.endEverybodyJSON},
	)
}

// SessionInfo is one live session. The handle names it and opens nothing.
type SessionInfo struct {
	Corp      string        `json:"corp"`
	UserID    string        `json:"userid"`
	Name      string        `json:"name,omitempty"`
	Handle    string        `json:"handle"`
	Door      identity.Door `json:"door"`
	Started   time.Time     `json:"started"`
	LastSeen  time.Time     `json:"last_seen"`
	ExpiresAt time.Time     `json:"expires_at"`
	Source    string        `json:"source,omitempty"`
	UserAgent string        `json:"user_agent,omitempty"`
}

// SessionPage is one page of sessions. It may be short and still have a next.
type SessionPage struct {
	Sessions []SessionInfo `json:"sessions"`
	Total    int           `json:"total"` // of everybody, whatever was searched for
	Next     string        `json:"next,omitempty"`
}

// SessionEnd is the body that ends sessions of a person: the one of the handle,
// or without a handle all of them.
type SessionEnd struct {
	Corp   string `json:"corp"`
	UserID string `json:"userid"`
	Handle string `json:"handle,omitempty"`
}

// Ended is how many sessions an act ended.
type Ended struct {
	Ended int `json:"ended"`
}

func sessionInfo(s session.Info) SessionInfo {
	return SessionInfo{
		Corp: s.Subject.Corp, UserID: s.Subject.UserID, Name: s.Name, Handle: s.Handle, Door: s.Door, Started: s.Started,
		LastSeen: s.LastSeen, ExpiresAt: s.ExpiresAt, Source: s.Source, UserAgent: s.UserAgent,
	}
}

// page reads one page of what the query asks for.
func (p *SessionsPage) page(v *Visit) (SessionPage, string, error) {
	read, err := v.Query("text", "cursor")
	if err != nil {
		return SessionPage{}, "", err
	}
	text := strings.TrimSpace(read["text"])
	if len(text) > maxText {
		return SessionPage{}, "", badRequest("a search of %d bytes", len(text))
	}
	list := "sessions " + text
	after, err := v.OpenCursor(list, read["cursor"])
	if err != nil {
		return SessionPage{}, "", err
	}
	found, next, err := p.Keeper.Find(v.R.Context(), matching(text), after, sessionsPage)
	if err != nil {
		return SessionPage{}, "", err
	}
	page := SessionPage{Sessions: []SessionInfo{}}
	if page.Total, err = p.Keeper.Count(v.R.Context()); err != nil {
		return SessionPage{}, "", err
	}
	for _, s := range found {
		page.Sessions = append(page.Sessions, sessionInfo(s))
	}
	if next != "" {
		page.Next = v.Cursor(list, next)
	}
	return page, text, nil
}

// matching finds a text in name, userid or CORP/USERID, in whatever case.
func matching(text string) func(session.Info) bool {
	wanted := strings.ToLower(text)
	return func(s session.Info) bool {
		return strings.Contains(strings.ToLower(s.Name), wanted) || strings.Contains(strings.ToLower(audit.Person(s.Subject)), wanted)
	}
}

// sessionsView is the page.
type sessionsView struct {
	SessionPage
	Text  string
	Ended string // how many the last act ended; empty: none
	Next  string // address
	First string // address, empty on the first page
}

// When is a time for the page.
func (sessionsView) When(t time.Time) string { return When(t) }

// Person is where a session's person is looked at.
func (sessionsView) Person(s SessionInfo) string { return personAddress(s.Corp, s.UserID) }

// personAddress is where everything about a person is.
func personAddress(corp, userid string) string {
	return prefix + "people/" + url.PathEscape(corp) + "/" + url.PathEscape(userid)
}

func (p *SessionsPage) list(v *Visit) error {
	page, text, err := p.page(v)
	if err != nil {
		return err
	}
	read, err := v.Query("ended", "cursor")
	if err != nil {
		return err
	}
	view := sessionsView{SessionPage: page, Text: text}
	if n, err := strconv.ParseUint(read["ended"], 10, 32); err == nil {
		view.Ended = strconv.FormatUint(n, 10)
	}
	kept := url.Values{}
	if text != "" {
		kept.Set("text", text)
	}
	if page.Next != "" {
		view.Next = address(pathSessions, kept, "cursor", page.Next)
	}
	if read["cursor"] != "" {
		view.First = address(pathSessions, kept)
	}
	if v.IsFragment() {
		return v.Part("sessions", "rows", view)
	}
	return v.Page("sessions", view)
}

// endSessions records and then ends, in this order: what is not on record is not done.
func endSessions(v *Visit, keeper Keeper, which SessionEnd) (int, error) {
	who := identity.Subject{Corp: which.Corp, UserID: which.UserID}
	if who.Corp == "" || who.UserID == "" {
		return 0, badRequest("nobody is named")
	}
	event := v.Event(audit.ActionSessionEnd, audit.OK)
	event.Target = audit.Person(who)
	event.Detail = map[string]string{"which": cmp.Or(which.Handle, "all")}
	if err := v.console.record(v.R.Context(), event); err != nil {
		return 0, err
	}
	if which.Handle == "" {
		return keeper.EndAll(v.R.Context(), who)
	}
	if err := keeper.EndOne(v.R.Context(), who, which.Handle); err != nil {
		return 0, err
	}
	return 1, nil
}

// end ends what the form names. Somebody quicker is no failure: it has ended.
func (p *SessionsPage) end(v *Visit) error {
	form, err := v.Form("corp", "userid", "handle", "text", "next")
	if err != nil {
		return err
	}
	n, err := endSessions(v, p.Keeper, SessionEnd{Corp: form["corp"], UserID: form["userid"], Handle: form["handle"]})
	if err != nil && identity.KindOf(err) != identity.NotFound {
		return err
	}
	if form["next"] != "" {
		return v.SeeOther(ownPlace(form["next"]))
	}
	return v.SeeOther(address(pathSessions, url.Values{"text": {form["text"]}}, "ended", strconv.Itoa(n)))
}

func (p *SessionsPage) everybody(v *Visit) (int, error) {
	event := v.Event(audit.ActionSessionEnd, audit.OK)
	event.Detail = map[string]string{"which": "everybody"}
	if err := v.console.record(v.R.Context(), event); err != nil {
		return 0, err
	}
	return p.Keeper.EndEverybody(v.R.Context())
}

// endEverybody also ends the session of whoever asks, unless it is the
// emergency account's.
func (p *SessionsPage) endEverybody(v *Visit) error {
	if _, err := v.Form(); err != nil {
		return err
	}
	n, err := p.everybody(v)
	if err != nil {
		return err
	}
	return v.SeeOther(address(pathSessions, nil, "ended", strconv.Itoa(n)))
}

func (p *SessionsPage) listJSON(v *Visit) error {
	page, _, err := p.page(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, page)
}

func (p *SessionsPage) endJSON(v *Visit) error {
	var body SessionEnd
	if err := v.Body(&body); err != nil {
		return err
	}
	n, err := endSessions(v, p.Keeper, body)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, Ended{n})
}

func (p *SessionsPage) endEverybodyJSON(v *Visit) error {
	if err := v.Body(&struct{}{}); err != nil {
		return err
	}
	n, err := p.everybody(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, Ended{n})
}
