package admin

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"kdgate/internal/checkup"
	"kdgate/jobs"
)

// Waiting is what waits for somebody.
type Waiting struct {
	Requests  int `json:"requests"`     // people who ask for access
	Conflicts int `json:"conflicts"`    // mappings that are broken or wait for approval
	Dead      int `json:"dead_letters"` // work that was given up by itself
}

// PeerHealth is a peer as it was last tested.
type PeerHealth struct {
	Name     string    `json:"name"`
	Faults   int       `json:"faults"`
	Warnings int       `json:"warnings"`
	At       time.Time `json:"at"`
}

// surround adds what stands around the counts.
func (o *Overview) surround(ctx context.Context, p *Picture) (err error) {
	p.Peers, p.Quotas = []PeerHealth{}, []QuotaInfo{}
	if o.Requests != nil {
		if p.Waiting.Requests, err = o.Requests(ctx); err != nil {
			return err
		}
	}
	if o.Work != nil {
		counts, err := o.Work(ctx)
		if err != nil {
			return err
		}
		for _, c := range counts {
			if c.State == jobs.Dead {
				p.Waiting.Dead += c.N
			}
		}
	}
	if p.Mapping != nil {
		c := coverageOf(*p.Mapping)
		p.Waiting.Conflicts = c.Broken + c.Pending
	}
	if o.Quotas != nil {
		p.Quotas = append(p.Quotas, o.Quotas(ctx)...)
	}
	if o.Checkups != nil {
		list, err := o.Checkups.List(ctx)
		if err != nil {
			return err
		}
		p.Peers = peersOf(list)
	}
	return nil
}

// peersOf is every peer as it was last tested, by name; list is newest first.
func peersOf(list []checkup.Result) []PeerHealth {
	peers := []PeerHealth{}
	tested := map[string]bool{}
	for _, result := range list {
		if result.Ended.IsZero() {
			continue
		}
		here := map[string]*PeerHealth{}
		for _, item := range result.Items {
			if tested[item.Peer] {
				continue
			}
			peer := here[item.Peer]
			if peer == nil {
				peer = &PeerHealth{Name: item.Peer, At: result.Ended}
				here[item.Peer] = peer
			}
			switch item.Status {
			case checkup.Fault:
				peer.Faults++
			case checkup.Warning:
				peer.Warnings++
			}
		}
		for name, peer := range here {
			tested[name] = true
			peers = append(peers, *peer)
		}
		if result.Only == "" { // a whole one: what is older says nothing more
			break
		}
	}
	slices.SortFunc(peers, func(a, b PeerHealth) int { return strings.Compare(a.Name, b.Name) })
	return peers
}

// curtain takes out what a role does not see elsewhere either.
func (v *Visit) curtain(p Picture) Picture {
	if !v.Who.May(ToMappers) {
		p.Mapping, p.Waiting.Conflicts, p.Waiting.Requests = nil, 0, 0
	}
	if !v.Who.May(ToAdmin) {
		p.Quotas, p.Waiting.Dead = []QuotaInfo{}, 0
	}
	if !v.Who.May(ToReaders) {
		p.Peers = []PeerHealth{}
	}
	return p
}

// overviewView is the page.
type overviewView struct {
	Picture
	Chart    Chart
	Failures Chart  // of each hour, by reason
	Legend   []Part // of Failures
	Good     string // the rate in words
	Spent    string // the budget in words
	SpentPC  int    // 0 to 100, for the meter
	Coverage *coverage
	When     string
	Counting bool // nothing was counted yet
	Mapper   bool // may follow the links into the mapping
	Admin    bool
	Months   []monthView
}

// Day is a time for the page.
func (overviewView) Day(t time.Time) string { return When(t) }

// Calm reports that nothing waits for somebody.
func (o overviewView) Calm() bool { return o.Waiting == Waiting{} }

func (o *Overview) view(v *Visit) (overviewView, error) {
	picture, err := o.picture(v.R.Context())
	if err != nil {
		return overviewView{}, err
	}
	picture = v.curtain(picture)
	view := overviewView{
		Picture: picture, When: When(cmpTime(picture.Counted, picture.At)), Counting: picture.Counted.IsZero(),
		Mapper: v.Who.May(ToMappers), Admin: v.Who.May(ToAdmin), Good: "—",
	}
	if picture.Rate >= 0 {
		view.Good = percent(picture.Rate)
	}
	view.Spent, view.SpentPC = strconv.FormatFloat(picture.Budget*100, 'f', 0, 64)+" %", int(min(picture.Budget, 1)*100)
	if picture.Mapping != nil {
		view.Coverage = coverageOf(*picture.Mapping)
	}
	for _, info := range picture.Quotas {
		if info.Calls.Limit > 0 {
			view.Months = append(view.Months, drawMonth(monthView{Corp: info.Corp, Kind: "calls", Month: info.Calls}, nil, o.Now(), ""))
		}
	}
	bars := make([]Bar, 0, len(picture.Hours))
	for _, h := range picture.Hours {
		bar := Bar{Label: hourLabel(h)}
		for _, name := range faults {
			bar.Parts = append(bar.Parts, Part{Class: name, Name: v.Words.Word("fault", name), Value: h.Faults[name]})
		}
		bars = append(bars, bar)
	}
	view.Chart = NewChart(bars)
	view.Failures, view.Legend = v.drawFailures(picture)
	return view, nil
}

func hourLabel(h HourCount) string { return h.Start.In(beijing).Format("15") }

func cmpTime(first, second time.Time) time.Time {
	if first.IsZero() {
		return second
	}
	return first
}

// mostReasons are drawn by themselves; the others are one colour.
const mostReasons = 5

// drawFailures draws the failures of each hour, the most frequent reasons apart.
func (v *Visit) drawFailures(p Picture) (Chart, []Part) {
	if len(p.Reasons) == 0 {
		return Chart{Empty: true}, nil
	}
	apart := p.Reasons[:min(len(p.Reasons), mostReasons)]
	legend := make([]Part, 0, len(apart)+1)
	for i, r := range apart {
		name := cmp.Or(string(r.Code), v.Words.T("overview.no-code"))
		legend = append(legend, Part{Class: "r" + strconv.Itoa(i+1), Name: name, Value: r.Count})
	}
	rest := Part{Class: "user", Name: v.Words.T("overview.others")}
	for _, r := range p.Reasons[len(apart):] {
		rest.Value += r.Count
	}
	bars := make([]Bar, 0, len(p.Hours))
	for _, h := range p.Hours {
		bar := Bar{Label: hourLabel(h)}
		left := 0
		for _, n := range h.Codes {
			left += n
		}
		for i, r := range apart {
			bar.Parts = append(bar.Parts, Part{Class: legend[i].Class, Name: legend[i].Name, Value: h.Codes[r.Code]})
			left -= h.Codes[r.Code]
		}
		if rest.Value > 0 {
			bar.Parts = append(bar.Parts, Part{Class: rest.Class, Name: rest.Name, Value: left})
		}
		bars = append(bars, bar)
	}
	if rest.Value > 0 {
		legend = append(legend, rest)
	}
	return NewChart(bars), legend
}
