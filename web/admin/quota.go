package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

const pathQuota = prefix + "quota"

// Month is one monthly limit of an organisation (reference 9).
type Month struct {
	Limit int64     `json:"limit"` // negative: none
	Used  int64     `json:"used"`
	Left  int64     `json:"left"` // negative: no limit
	Ends  time.Time `json:"ends"`
}

// QuotaInfo is what is left of DingTalk's limits to one application.
type QuotaInfo struct {
	Corp   string           `json:"corp"`
	Calls  Month            `json:"calls"`
	Events Month            `json:"events"`
	Minute map[string]int64 `json:"calls_this_minute"` // by what they are for; of this replica
	Banned time.Duration    `json:"banned"`            // how long our address still rests; zero: it does not
	Paused time.Duration    `json:"paused"`            // the same of everything that costs quota
}

// StreamInfo is an event stream of this replica.
type StreamInfo struct {
	Corp        string    `json:"corp"`
	Connections int       `json:"connections"`
	Since       time.Time `json:"since,omitzero"` // open without a gap
	LastEvent   time.Time `json:"last_event,omitzero"`
	Events      int64     `json:"events"`
	Later       int64     `json:"later"` // asked for again
	Failures    int       `json:"failures"`
	Code        string    `json:"code,omitempty"` // of the last failure
}

// Quota is what DingTalk's limits leave, and how its events come in (F15).
type Quota struct {
	Quotas  func(ctx context.Context) []QuotaInfo
	Streams func() []StreamInfo
	Now     func() time.Time
}

// Mount implements Page.
func (q *Quota) Mount(rt *Router) {
	if q.Now == nil {
		q.Now = time.Now
	}
	rt.Link("quota", pathQuota, ToAdmin)
	rt.Add(
		Route{Pattern: "GET " + pathQuota, Access: ToAdmin, Summary: "DingTalk's limits and events.", Serve: q.page},
		Route{Pattern: "GET " + pathQuota + "/live", Access: ToAdmin, Live: true, Summary: "The moving part of DingTalk's limits and events.", Serve: q.live},
		Route{Pattern: "GET " + apiPrefix + "quota", Access: ToAdmin, Summary: "DingTalk's limits and events.", Answer: QuotaState{}, Serve: func(v *Visit) error {
			return v.JSON(http.StatusOK, q.state(v.R.Context()))
		}},
	)
}

// QuotaState is how the gateway stands with DingTalk.
type QuotaState struct {
	Quotas  []QuotaInfo  `json:"quotas"`
	Streams []StreamInfo `json:"streams"` // of this replica
}

func (q *Quota) state(ctx context.Context) QuotaState {
	return QuotaState{Quotas: append([]QuotaInfo{}, q.Quotas(ctx)...), Streams: append([]StreamInfo{}, q.Streams()...)}
}

// quotaView is the page.
type quotaView struct {
	QuotaState
	AsOf   string
	Months []monthView
}

// When is a time for the page.
func (quotaView) When(t time.Time) string { return When(t) }

// monthView is one monthly limit, drawn.
type monthView struct {
	Corp string
	Kind string // calls or events
	Month
	Burn  burn
	Until string // when it will be used up at this pace; empty: it lasts
}

// The size of a burn-down in its own units.
const burnWidth, burnHeight = 300.0, 90.0

// burn is what is left over the month: a line from full at its beginning to what
// is left now, and on at the same pace.
type burn struct {
	Width, Height int
	X, Y          string // now
	EndX, EndY    string // where the pace leads to
	Bad           bool   // before the month is over
}

// burnOf draws a month. It knows its beginning, now and its end; the pace is
// the average of the month so far.
func burnOf(m Month, now time.Time) (burn, time.Time) {
	b := burn{Width: int(burnWidth), Height: int(burnHeight)}
	began := m.Ends.In(beijing).AddDate(0, -1, 0)
	whole, past := m.Ends.Sub(began).Seconds(), now.Sub(began).Seconds()
	if m.Limit <= 0 || whole <= 0 || past <= 0 || past > whole {
		return burn{}, time.Time{}
	}
	left := float64(max(m.Left, 0)) / float64(m.Limit)
	x, y := burnWidth*past/whole, burnHeight*(1-left)
	endX, endLeft := burnWidth, left-(1-left)*(whole-past)/past
	var out time.Time
	if endLeft < 0 {
		seconds := past + left*past/(1-left)
		endX, endLeft, b.Bad = burnWidth*seconds/whole, 0, true
		out = began.Add(time.Duration(seconds * float64(time.Second)))
	}
	point := func(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
	b.X, b.Y, b.EndX, b.EndY = point(x), point(y), point(endX), point(burnHeight*(1-endLeft))
	return b, out
}

func (q *Quota) view(v *Visit) quotaView {
	now := q.Now()
	view := quotaView{QuotaState: q.state(v.R.Context()), AsOf: When(now)}
	for _, info := range view.Quotas {
		for _, month := range [...]monthView{{Corp: info.Corp, Kind: "calls", Month: info.Calls}, {Corp: info.Corp, Kind: "events", Month: info.Events}} {
			var out time.Time
			if month.Burn, out = burnOf(month.Month, now); !out.IsZero() {
				month.Until = When(out)
			}
			view.Months = append(view.Months, month)
		}
	}
	return view
}

func (q *Quota) page(v *Visit) error { return v.Page("quota", q.view(v)) }

func (q *Quota) live(v *Visit) error { return v.Part("quota", "live", q.view(v)) }
