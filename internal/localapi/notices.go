package localapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"kdgate/jobs"
	"kdgate/jobs/notice"
)

// Outbox is what was told to people, as commands look at it. The zero value has
// no routes.
type Outbox struct {
	Deliveries func(ctx context.Context, f DeliveryFilter) (notice.Page, error)
	// Try puts a message into the outbox that says nothing but that it came, and
	// gives its letters.
	Try func(ctx context.Context, by jobs.Actor, o TrialNotice) error
	// Rules and Preview look at what is configured; nothing is sent.
	Rules   func(ctx context.Context) ([]notice.Rule, error)
	Preview func(ctx context.Context, by jobs.Actor, rule string) (notice.Preview, error)
	// Letter is one message; Act sends one again or gives it up.
	Letter func(ctx context.Context, key string) (notice.Letter, error)
	Act    func(ctx context.Context, by jobs.Actor, act NoticeAct) error
}

// NoticeAct is what a person does about a message that did not arrive.
type NoticeAct struct {
	Act    string `json:"act"` // resend or give-up
	Letter string `json:"letter"`
	Note   string `json:"note,omitzero"` // of give-up
}

// DeliveryFilter narrows a list of deliveries; empty members admit all.
type DeliveryFilter struct {
	Topic string
	State notice.State
	After string
	Limit int
}

// TrialNotice is a message that tries a way to people.
type TrialNotice struct {
	Corp string   `json:"corp,omitzero"` // the first organisation when empty
	To   []string `json:"to"`
}

func (h handler) outbox(mux *http.ServeMux) {
	if h.Outbox.Deliveries == nil {
		return
	}
	mux.HandleFunc("GET "+Prefix+"notices", h.deliveries)
	mux.HandleFunc("POST "+Prefix+"notices/test", h.tryNotice)
	mux.HandleFunc("GET "+Prefix+"notices/rules", h.noticeRules)
	mux.HandleFunc("POST "+Prefix+"notices/preview", h.previewNotice)
	mux.HandleFunc("GET "+Prefix+"notices/letter", h.noticeLetter)
	mux.HandleFunc("POST "+Prefix+"notices/act", h.actOnNotice)
}

func (h handler) deliveries(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit")) // zero means the least
	page, err := h.Outbox.Deliveries(r.Context(), DeliveryFilter{
		Topic: q.Get("topic"), State: notice.State(q.Get("state")), After: q.Get("after"), Limit: limit,
	})
	h.reply(w, page, err)
}

func (h handler) tryNotice(w http.ResponseWriter, r *http.Request) {
	o, err := read[TrialNotice](w, r)
	if err == nil {
		err = h.Outbox.Try(r.Context(), workActor(r), o)
	}
	h.reply(w, struct{}{}, err)
}

func (h handler) noticeRules(w http.ResponseWriter, r *http.Request) {
	rules, err := h.Outbox.Rules(r.Context())
	h.reply(w, rules, err)
}

func (h handler) previewNotice(w http.ResponseWriter, r *http.Request) {
	var preview notice.Preview
	o, err := read[NoticeRule](w, r)
	if err == nil {
		preview, err = h.Outbox.Preview(r.Context(), workActor(r), o.Rule)
	}
	h.reply(w, preview, err)
}

func (h handler) noticeLetter(w http.ResponseWriter, r *http.Request) {
	letter, err := h.Outbox.Letter(r.Context(), r.URL.Query().Get("letter"))
	h.reply(w, letter, err)
}

func (h handler) actOnNotice(w http.ResponseWriter, r *http.Request) {
	act, err := read[NoticeAct](w, r)
	if err == nil {
		err = h.Outbox.Act(r.Context(), workActor(r), act)
	}
	h.reply(w, struct{}{}, err)
}

// NoticeRule names a rule.
type NoticeRule struct {
	Rule string `json:"rule"`
}

// NoticeRules gives the rules with their last look.
func (c *Client) NoticeRules(ctx context.Context) ([]notice.Rule, error) {
	var rules []notice.Rule
	return rules, c.get(ctx, "notices/rules", nil, &rules)
}

// PreviewNotice asks what a rule would tell now.
func (c *Client) PreviewNotice(ctx context.Context, rule string) (notice.Preview, error) {
	var preview notice.Preview
	return preview, c.post(ctx, "notices/preview", NoticeRule{rule}, &preview)
}

// NoticeLetter gives one message.
func (c *Client) NoticeLetter(ctx context.Context, key string) (notice.Letter, error) {
	var letter notice.Letter
	return letter, c.get(ctx, "notices/letter", url.Values{"letter": {key}}, &letter)
}

// ActOnNotice sends a message again or gives it up.
func (c *Client) ActOnNotice(ctx context.Context, act NoticeAct) error {
	return c.post(ctx, "notices/act", act, &struct{}{})
}

// Deliveries gives a page of what was told to people, newest first.
func (c *Client) Deliveries(ctx context.Context, f DeliveryFilter) (notice.Page, error) {
	var page notice.Page
	return page, c.get(ctx, "notices", url.Values{
		"topic": {f.Topic}, "state": {string(f.State)}, "after": {f.After}, "limit": {strconv.Itoa(f.Limit)},
	}, &page)
}

// TryNotice puts a trial message into the outbox.
func (c *Client) TryNotice(ctx context.Context, o TrialNotice) error {
	return c.post(ctx, "notices/test", o, &struct{}{})
}
