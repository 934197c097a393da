package localapi

import (
	"context"
	"net/http"
	"net/url"

	"kdgate/audit"
	"kdgate/internal/checkup"
)

// Doctor does check-ups; *checkup.Book does it.
type Doctor interface {
	Do(ctx context.Context, only string, event audit.Event, progress func(done, total int)) (checkup.Result, error)
}

// check answers with lines: progress in peers, the result at the end.
func (h handler) check(w http.ResponseWriter, r *http.Request) {
	noDeadline(w)
	stream := newStream(w)
	event := audit.Event{Actor: actor(r).Name, Source: "local"}
	result, err := h.Doctor.Do(r.Context(), r.URL.Query().Get("only"), event, stream.progress)
	stream.finish(line{Checkup: &result}, err)
}

// Check has the gateway that runs test its peers, or only the one named.
func (c *Client) Check(ctx context.Context, only string, progress func(done, total int)) (checkup.Result, error) {
	q := url.Values{}
	if only != "" {
		q.Set("only", only)
	}
	last, err := c.long(ctx, "check", q, nil, progress)
	if err != nil || last.Checkup == nil {
		return checkup.Result{}, err
	}
	return *last.Checkup, nil
}
