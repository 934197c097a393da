package admin

import (
	"context"
	"net/http"
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

// QuotaDay is how much of a month was used up by the end of a day, or of what of
// the day is over.
type QuotaDay struct {
	Corp  string `json:"corp"`
	Kind  string `json:"kind"` // calls or events
	Day   string `json:"day"`  // in UTC+8
	Used  int64  `json:"used"`
	Limit int64  `json:"limit"` // negative: none
}

// Quota is what DingTalk's limits leave, and how its events come in (F15).
type Quota struct {
	Quotas  func(ctx context.Context) []QuotaInfo
	Streams func() []StreamInfo
	Days    func(ctx context.Context) ([]QuotaDay, error) // of the last 400 days, each kind's oldest first; nil: none
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
			state, err := q.state(v.R.Context())
			if err != nil {
				return err
			}
			return v.JSON(http.StatusOK, state)
		}},
	)
}

// QuotaState is how the gateway stands with DingTalk.
type QuotaState struct {
	Quotas  []QuotaInfo  `json:"quotas"`
	Streams []StreamInfo `json:"streams"` // of this replica
	Days    []QuotaDay   `json:"days"`
}

func (q *Quota) state(ctx context.Context) (QuotaState, error) {
	state := QuotaState{Quotas: append([]QuotaInfo{}, q.Quotas(ctx)...), Streams: append([]StreamInfo{}, q.Streams()...), Days: []QuotaDay{}}
	if q.Days == nil {
		return state, nil
	}
	days, err := q.Days(ctx)
	state.Days = append(state.Days, days...)
	return state, err
}

// quotaView is the page.
type quotaView struct {
	QuotaState
	AsOf   string
	Months []monthView
}

// When is a time for the page.
func (quotaView) When(t time.Time) string { return When(t) }

func (q *Quota) view(v *Visit) (quotaView, error) {
	now := q.Now()
	state, err := q.state(v.R.Context())
	if err != nil {
		return quotaView{}, err
	}
	view := quotaView{QuotaState: state, AsOf: When(now)}
	for _, info := range view.Quotas {
		for _, month := range [...]monthView{{Corp: info.Corp, Kind: "calls", Month: info.Calls}, {Corp: info.Corp, Kind: "events", Month: info.Events}} {
			view.Months = append(view.Months, drawMonth(month, view.Days, now, v.Words.T("quota.used")))
		}
	}
	return view, nil
}

func (q *Quota) page(v *Visit) error {
	view, err := q.view(v)
	if err != nil {
		return err
	}
	return v.Page("quota", view)
}

func (q *Quota) live(v *Visit) error {
	view, err := q.view(v)
	if err != nil {
		return err
	}
	return v.Part("quota", "live", view)
}
