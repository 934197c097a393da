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
