package admin

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kdgate/jobs"
	"kdgate/jobs/notice"
	"kdgate/web"
)

// NoticeLetter is one message as the API tells it.
type NoticeLetter struct {
	Key      string          `json:"key"`
	Delivery notice.Delivery `json:"delivery"`
	Text     string          `json:"text,omitempty"`   // Markdown; kept for a week after it was sent
	Masked   bool            `json:"masked,omitempty"` // its figures are left out
	Link     string          `json:"link,omitempty"`
	Work     jobs.State      `json:"work,omitempty"` // of the item behind it
	Failure  *jobs.Failure   `json:"failure,omitempty"`
	Note     string          `json:"note,omitempty"`
	History  []jobs.Attempt  `json:"history,omitempty"` // of the work behind it
}

func (n *Notices) letterOf(v *Visit) (NoticeLetter, error) {
	key := v.R.PathValue("letter")
	found, err := n.Book.Letter(v.R.Context(), key)
	if err != nil {
		return NoticeLetter{}, err
	}
	l := NoticeLetter{
		Key: key, Delivery: found.Delivery, Text: found.Text, Link: found.Link,
		Work: found.Item.State, Failure: found.Item.Failure, Note: found.Item.Note, History: found.Item.History,
	}
	if !v.Who.reveals(found.Delivery.Sensitive) {
		l.Text, l.Link, l.Masked = masked(l.Text), "", true
	}
	return l, nil
}

// letterView is the page of one message.
type letterView struct {
	NoticeLetter
	Shown, Here         string
	Item                string // where the work behind it stands; empty: it is not kept
	MayResend, MayGive  bool
	Admin, WithoutWords bool

	words web.Words
}

// Plain is what the message says, without its Markdown.
func (l letterView) Plain() string { return notice.Plain(l.Text) }

// Reason says why somebody was given nothing: DingTalk's codes in the reader's
// language, a mail server's own words as they are.
func (l letterView) Reason(code int64, why string) string {
	number := strconv.FormatInt(code, 10)
	if words := l.words.Word("drop", number); words != number {
		return words
	}
	return why
}

// When is a time for the page.
func (letterView) When(t time.Time) string { return When(t) }

// Again is the address of the message that was sent to those whom this one missed.
func (l letterView) Again() string {
	return address(pathNotices, url.Values{"text": {l.Delivery.Again}})
}

// Into is the address of the message that took this one along.
func (l letterView) Into() string {
	return address(pathNotices, url.Values{"text": {l.Delivery.Into}})
}

// ByWork reports a work notification, which DingTalk tells about person by person.
func (letterView) ByWork(d notice.Dispatch) bool { return d.By == "work" }

func (n *Notices) letter(v *Visit) error {
	l, err := n.letterOf(v)
	if err != nil {
		return err
	}
	view := letterView{
		NoticeLetter: l, Shown: shown(&l.Delivery), Here: pathNotices + "/letter/" + url.PathEscape(l.Key),
		Admin: v.Who.May(ToAdmin), WithoutWords: l.Text == "", words: v.Words,
	}
	switch l.Work {
	case jobs.Dead, jobs.Ready:
		view.MayResend, view.MayGive = view.Admin, view.Admin
	case jobs.GivenUp:
		view.MayResend = view.Admin
	case jobs.Done:
		view.MayResend = view.Admin && l.Delivery.Again == "" && len(l.Delivery.Missed()) > 0
	}
	if l.Work != "" && view.Admin {
		view.Item = pathJobs + "/item/" + jobs.ID{Kind: notice.Kind, Key: l.Delivery.ID}.String()
	}
	return v.Page("noticeletter", view)
}

// NoticePage is one page of messages.
type NoticePage struct {
	Deliveries []notice.Delivery `json:"deliveries"` // work says dead or given-up where the message is
	Keys       []string          `json:"keys"`       // of the deliveries, in their order
	Total      int               `json:"total"`
	Pages      int               `json:"pages"`
	More       bool              `json:"more"` // older ones are not among them
}

// NoticeNote is the body of giving a message up.
type NoticeNote struct {
	Note string `json:"note"`
}

func (n *Notices) mountAPI(rt *Router) {
	get := func(path, summary string, answer any, serve Endpoint) Route {
		return Route{Pattern: "GET " + path, Access: ToReaders, Summary: summary, Answer: answer, Serve: serve}
	}
	post := func(path, summary string, body any, serve Endpoint) Route {
		return Route{Pattern: "POST " + path, Access: ToAdmin, Summary: summary, Body: body, Answer: struct{}{}, Serve: serve}
	}
	list := get(apiNotices, "Messages of the last fourteen days and what became of them.", NoticePage{}, n.listJSON)
	list.Query = noticeParams
	rt.Add(
		list,
		get(apiNotices+"/days", "Messages by day and by what became of them.", []NoticeDay{}, n.daysJSON),
		get(apiNotices+"/rules", "The rules with their last look and their next.", []notice.Rule{}, n.rulesJSON),
		get(apiNotices+"/rules/{rule}/preview", "What a rule would tell now, and to whom; nothing is sent.", notice.Preview{}, n.previewJSON),
		get(apiLetter, "One message: each attempt, and what DingTalk said of it.", NoticeLetter{}, n.letterJSON),
		post(apiNotices+"/test", "Send a trial message to oneself.", struct{}{}, n.testJSON),
		post(apiLetter+"/resend", "Try a message again, for those who do not have it.", struct{}{}, func(v *Visit) error {
			if err := v.Body(&struct{}{}); err != nil {
				return err
			}
			return n.acted(v, n.Desk.Resend(v.R.Context(), v.worker(), v.R.PathValue("letter")))
		}),
		post(apiLetter+"/give-up", "End a message that will not be sent, with a note.", NoticeNote{}, func(v *Visit) error {
			var body NoticeNote
			if err := v.Body(&body); err != nil {
				return err
			}
			return n.acted(v, n.Desk.GiveUp(v.R.Context(), v.worker(), v.R.PathValue("letter"), strings.TrimSpace(body.Note)))
		}),
	)
}

// acted answers to an act.
func (n *Notices) acted(v *Visit, err error) error {
	n.forget()
	if err != nil {
		return err
	}
	return v.JSON(http.StatusAccepted, struct{}{})
}

func (n *Notices) listJSON(v *Visit) error {
	q, err := v.noticeQuery()
	if err != nil {
		return err
	}
	survey, err := n.look(v.R.Context())
	if err != nil {
		return err
	}
	list := q.chosen(survey.Deliveries)
	page := NoticePage{Total: len(list), More: survey.More, Keys: []string{}}
	page.Deliveries, page.Pages = q.page(list)
	for i := range page.Deliveries {
		page.Keys = append(page.Keys, page.Deliveries[i].Key())
	}
	return v.JSON(http.StatusOK, page)
}

func (n *Notices) daysJSON(v *Visit) error {
	survey, err := n.look(v.R.Context())
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, daysOf(survey.Deliveries, n.Now()))
}

func (n *Notices) rulesJSON(v *Visit) error {
	rules, err := n.Book.Rules(v.R.Context())
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, append([]notice.Rule{}, rules...))
}

func (n *Notices) previewJSON(v *Visit) error {
	p, err := n.previewOf(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, p)
}

func (n *Notices) letterJSON(v *Visit) error {
	l, err := n.letterOf(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, l)
}

func (n *Notices) testJSON(v *Visit) error {
	if err := v.Body(&struct{}{}); err != nil {
		return err
	}
	return n.acted(v, n.testTo(v))
}
