package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/mapping"
)

// Health is one answer of the readiness questions.
type Health struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Advisory bool   `json:"advisory"` // sign-ins can be served all the same
	Words    string `json:"words"`
}

// Search is the table in memory, for pages that look at all of it.
type Search interface {
	Stats(ctx context.Context) (mapping.Stats, error)
}

// Overview is the first page: how sign-ins go, what waits, who is well (F15, F31).
type Overview struct {
	Traffic *Traffic
	Health  func(ctx context.Context) []Health
	Rows    Search // nil: no mapping in this console
	Now     func() time.Time

	// What else stands there; nil: it does not.
	Requests func(ctx context.Context) (int, error) // that are open
	Work     func(ctx context.Context) ([]jobs.Count, error)
	Checkups Checkups
	Quotas   func(ctx context.Context) []QuotaInfo
}

// Mount implements Page.
func (o *Overview) Mount(rt *Router) {
	if o.Now == nil {
		o.Now = time.Now
	}
	rt.Link("overview", prefix, ToEveryRole)
	rt.Add(
		Route{Pattern: "GET " + prefix + "{$}", Access: ToEveryRole, Summary: "The overview.", Serve: o.page},
		Route{Pattern: "GET " + prefix + "overview/live", Access: ToEveryRole, Live: true, Summary: "The moving part of the overview.", Serve: o.live},
		Route{
			Pattern: "GET " + apiPrefix + "overview", Access: ToEveryRole, Summary: "Sign-ins by hour and fault, health, and the state of the mapping.",
			Answer: Picture{}, Serve: func(v *Visit) error {
				picture, err := o.picture(v.R.Context())
				if err != nil {
					return err
				}
				return v.JSON(http.StatusOK, v.curtain(picture))
			},
		},
	)
}

// target is the success rate that the error budget is measured against (F15).
const target = 0.9998

// Picture is the overview in numbers.
type Picture struct {
	At      time.Time      `json:"at"`
	Counted time.Time      `json:"counted,omitzero"` // up to when the log is counted; absent: the first count is under way
	Hours   []HourCount    `json:"hours"`            // of the last day, the oldest first
	Faults  map[string]int `json:"faults"`           // of the day; none counts the good ones
	Reasons []Reason       `json:"reasons"`
	// Rate is good ones out of those that no user's own fault ended, zero to
	// one; minus one when there were none.
	Rate float64 `json:"rate"`
	// Budget is how much of the failures that 99.98 % allows the gateway itself
	// has used up; 1 is all of it.
	Budget  float64        `json:"budget"`
	Mapping *mapping.Stats `json:"mapping,omitempty"`
	Health  []Health       `json:"health"`
	Waiting Waiting        `json:"waiting"`
	Peers   []PeerHealth   `json:"peers"`  // as they were last tested
	Quotas  []QuotaInfo    `json:"quotas"` // administrators only
}

// HourCount is one hour.
type HourCount struct {
	Start  time.Time             `json:"start"`
	Faults map[string]int        `json:"faults"`
	Codes  map[identity.Code]int `json:"codes,omitempty"` // of failures
}

// Reason is one short code and how often it ended a try.
type Reason struct {
	Code  identity.Code `json:"code"`
	Fault string        `json:"fault"`
	Count int           `json:"count"`
}

func (o *Overview) picture(ctx context.Context) (Picture, error) {
	day, counted, err := o.Traffic.day(ctx)
	if err != nil {
		return Picture{}, identity.Fail(identity.Unavailable, identity.CodeAuditDown, "admin: %w", err)
	}
	p := Picture{At: o.Now().UTC(), Counted: counted, Faults: map[string]int{}, Health: o.Health(ctx)}
	codes := map[identity.Code]int{}
	for _, h := range day {
		count := HourCount{Start: h.Start, Faults: map[string]int{}, Codes: h.Codes}
		for i, name := range faults {
			count.Faults[name] = h.Faults[i]
			p.Faults[name] += h.Faults[i]
		}
		for code, n := range h.Codes {
			codes[code] += n
		}
		p.Hours = append(p.Hours, count)
	}
	for code, n := range codes {
		p.Reasons = append(p.Reasons, Reason{Code: code, Fault: failureOf(code), Count: n})
	}
	slices.SortFunc(p.Reasons, func(a, b Reason) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Code, b.Code)) })
	p.Rate, p.Budget = rates(p.Faults)
	if o.Rows != nil {
		stats, err := o.Rows.Stats(ctx)
		if err != nil {
			return Picture{}, err
		}
		p.Mapping = &stats
	}
	return p, o.surround(ctx, &p)
}

// rates are the success rate and the part of the error budget that is used up.
// A user's own fault (a code used twice, no mapping) is nobody's failure; a
// vendor's fault lowers the rate and costs none of our budget.
func rates(byFault map[string]int) (rate, budget float64) {
	good, ours, all := byFault[faultNone], byFault["gateway"], 0
	for name, n := range byFault {
		if name != faultUser {
			all += n
		}
	}
	if all == 0 {
		return -1, 0
	}
	return float64(good) / float64(all), float64(ours) / (float64(all) * (1 - target))
}

// percent never rounds up to a hundred: 99.996 is not "all of them".
func percent(rate float64) string {
	if rate >= 1 {
		return "100 %"
	}
	return fmt.Sprintf("%.2f %%", float64(int(rate*10000))/100)
}

func (o *Overview) page(v *Visit) error {
	view, err := o.view(v)
	if err != nil {
		return err
	}
	return v.Page("overview", view)
}

func (o *Overview) live(v *Visit) error {
	view, err := o.view(v)
	if err != nil {
		return err
	}
	return v.Part("overview", "live", view)
}
