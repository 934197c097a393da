package admin

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"time"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
	"kdgate/jobs"
	"kdgate/jobs/notice"
)

const (
	pathNotices = prefix + "notices"
	pathLetter  = pathNotices + "/letter/{letter}"
	pathRule    = pathNotices + "/rule/{rule}"
	apiNotices  = apiPrefix + "notices"
	apiLetter   = apiNotices + "/letters/{letter}"

	noticeDays  = 14
	noticesKept = 20_000          // newest messages that the page looks at
	noticeFresh = 3 * time.Second // several open pages share one look at the outbox
)

// NoticeBook is what the console reads of notices.
type NoticeBook interface {
	Rules(ctx context.Context) ([]notice.Rule, error)
	// Preview looks as a rule would, and sends nothing. It records who looked.
	Preview(ctx context.Context, by jobs.Actor, rule string) (notice.Preview, error)
	Survey(ctx context.Context, since time.Time, most int) (notice.Survey, error)
	Letter(ctx context.Context, key string) (notice.Letter, error)
}

// NoticeDesk is what people do about notices. It records each act itself.
type NoticeDesk interface {
	Test(ctx context.Context, by jobs.Actor, who identity.Subject) error
	Resend(ctx context.Context, by jobs.Actor, key string) error
	GiveUp(ctx context.Context, by jobs.Actor, key, note string) error
}

// Notices is what people are told: the rules with a preview of each, and the
// outbox with what became of every message (F70-F73).
type Notices struct {
	Book NoticeBook
	Desk NoticeDesk
	Now  func() time.Time

	mu     sync.Mutex
	survey notice.Survey
	read   time.Time
}

// Mount implements Page.
func (n *Notices) Mount(rt *Router) {
	if n.Now == nil {
		n.Now = time.Now
	}
	rt.Link("notices", pathNotices, ToReaders)
	act := func(path, summary string, serve Endpoint) Route {
		return Route{Pattern: "POST " + path, Access: ToAdmin, Summary: summary, Serve: serve}
	}
	rt.Add(
		Route{Pattern: "GET " + pathNotices, Access: ToReaders, Summary: "What people are told: rules, and the outbox with what became of each message.", Query: noticeParams, Serve: n.page},
		Route{Pattern: "GET " + pathNotices + "/live", Access: ToReaders, Live: true, Summary: "The moving part of the notices.", Serve: n.live},
		Route{Pattern: "GET " + pathNotices + "/list", Access: ToReaders, Live: true, Summary: "The list of the outbox, which refreshes itself.", Query: noticeParams, Serve: n.list},
		Route{Pattern: "GET " + pathRule, Access: ToReaders, Summary: "What a rule would tell now, and to whom; nothing is sent.", Serve: n.preview},
		Route{Pattern: "GET " + pathLetter, Access: ToReaders, Summary: "One message: each attempt, and what DingTalk said of it.", Serve: n.letter},
		act(pathNotices+"/test", "Send a trial message to oneself.", n.test),
		act(pathLetter+"/resend", "Try a message again, for those who do not have it.", n.onLetter(func(v *Visit, key, _ string) error {
			return n.Desk.Resend(v.R.Context(), v.worker(), key)
		})),
		act(pathLetter+"/give-up", "End a message that will not be sent, with a note.", n.onLetter(func(v *Visit, key, note string) error {
			return n.Desk.GiveUp(v.R.Context(), v.worker(), key, note)
		})),
	)
	n.mountAPI(rt)
}

var noticeParams = []Param{
	{"state", "waiting, sent, delivered, detoured, dropped, unclear, merged, failed, dead or given-up; left out: all"},
	{"topic", "what it is about, such as stock, access or queue; left out: all"},
	{"text", "part of a title, a person, a role, a robot or an address"},
	{"sort", "created, topic, title or state, with a minus in front for the other way round; -created when left out"},
	{"page", "from 1"},
}

// look reads the outbox of the last days, at most every few seconds.
func (n *Notices) look(ctx context.Context) (notice.Survey, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.Now()
	if age := now.Sub(n.read); age >= 0 && age < noticeFresh {
		return n.survey, nil
	}
	survey, err := n.Book.Survey(ctx, firstDay(now), noticesKept)
	if err != nil {
		return notice.Survey{}, err
	}
	n.survey, n.read = survey, now
	return survey, nil
}

// forget makes the next look a fresh one, after an act.
func (n *Notices) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.read = time.Time{}
}

// firstDay is where the first of the days that are shown begins.
func firstDay(now time.Time) time.Time {
	local := now.In(beijing)
	return time.Date(local.Year(), local.Month(), local.Day()-noticeDays+1, 0, 0, 0, 0, beijing)
}

// shown is a message's state for people: what became of the work behind it says
// more than "waiting".
func shown(d *notice.Delivery) string {
	if d.Work != "" && d.State != notice.Delivered && d.State != notice.Detoured {
		return string(d.Work)
	}
	return string(d.State)
}

// reveals reports whether somebody may read the words of a message. Auditors
// read what was done, not the figures; behind the emergency account any one
// person may sit, and sensitive figures are for the people who are told (F73).
func (p Person) reveals(sensitive bool) bool {
	return p.Role == Admin && !(sensitive && p.IsBreakGlass())
}

// figures are numbers however they are written, and the bars that show them.
var figures = lazyregexp.New(`[0-9０-９][0-9０-９.,，．:%]*|▇+`)

// masked is a text without its figures, and without a hint at how long they are.
func masked(text string) string { return figures().ReplaceAllString(text, "•••") }

func (n *Notices) preview(v *Visit) error {
	p, err := n.previewOf(v)
	if err != nil {
		return err
	}
	return v.Page("noticerule", previewView{Preview: p, AsOf: When(p.At)})
}

// previewView is a rule as it would tell now.
type previewView struct {
	notice.Preview
	AsOf string
}

// Plain is what would be said, without its Markdown.
func (p previewView) Plain() string { return notice.Plain(p.Text) }

func (n *Notices) previewOf(v *Visit) (notice.Preview, error) {
	p, err := n.Book.Preview(v.R.Context(), v.worker(), v.R.PathValue("rule"))
	if err != nil {
		return notice.Preview{}, err
	}
	if !v.Who.reveals(p.Sensitive) {
		p.Title, p.Text, p.Link, p.Masked = masked(p.Title), masked(p.Text), "", true
	}
	return p, nil
}

func (n *Notices) test(v *Visit) error {
	if _, err := v.Form(); err != nil {
		return err
	}
	if err := n.testTo(v); err != nil {
		return err
	}
	return v.SeeOther(address(pathNotices, url.Values{"topic": {"test"}}))
}

// testTo sends to whoever sits there. The emergency account is nobody in DingTalk.
func (n *Notices) testTo(v *Visit) error {
	if v.Who.Subject.IsZero() {
		return badRequest("the emergency account has no DingTalk to be told by")
	}
	defer n.forget()
	return n.Desk.Test(v.R.Context(), v.worker(), v.Who.Subject)
}

// onLetter serves an act on the message of the address.
func (n *Notices) onLetter(act func(v *Visit, key, note string) error) Endpoint {
	return func(v *Visit) error {
		form, err := v.Form("note")
		if err != nil {
			return err
		}
		key := v.R.PathValue("letter")
		defer n.forget()
		if err := act(v, key, strings.TrimSpace(form["note"])); err != nil {
			return err
		}
		return v.SeeOther(pathNotices + "/letter/" + url.PathEscape(key))
	}
}
