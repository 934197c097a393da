package admin

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kdgate/jobs/notice"
	"kdgate/web"
)

const (
	noticesPage = 50
	outboxMark  = "#outbox" // where the list begins on the page
)

// noticeStates are the states in the order people read them.
var noticeStates = []string{"delivered", "detoured", "sent", "waiting", "merged", "unclear", "dropped", "failed", "dead", "given-up"}

// noticeClass is the colour of a state, of four: it came, it came another way,
// nobody knows yet, it did not come.
func noticeClass(state string) string {
	switch state {
	case "delivered":
		return "none"
	case "detoured":
		return "kingdee"
	case "waiting", "sent", "merged":
		return "user"
	default:
		return "gateway"
	}
}

// noticeClasses in the order in which they are drawn.
var noticeClasses = [...]string{"none", "kingdee", "user", "gateway"}

// noticeQuery is which messages are wanted, as the address says.
type noticeQuery struct {
	State, Topic, Text, Sort string
	Page                     int
}

func (v *Visit) noticeQuery() (q noticeQuery, err error) {
	read, err := v.Query("state", "topic", "text", "sort", "page")
	if err != nil {
		return q, err
	}
	q = noticeQuery{State: read["state"], Topic: read["topic"], Text: strings.TrimSpace(read["text"]), Sort: cmp.Or(read["sort"], "-created"), Page: 1}
	by, _ := strings.CutPrefix(q.Sort, "-")
	if q.State != "" && !slices.Contains(noticeStates, q.State) || !slices.Contains([]string{"created", "topic", "title", "state"}, by) ||
		len(q.Text) > maxText || len(q.Topic) > 40 {
		return q, badRequest("a filter that no page of ours makes")
	}
	if read["page"] != "" {
		if q.Page, err = strconv.Atoi(read["page"]); err != nil || q.Page < 1 || q.Page > noticesKept {
			return q, badRequest("page %q", read["page"])
		}
	}
	return q, nil
}

// values are q as an address holds it, without the page.
func (q noticeQuery) values() url.Values {
	values := url.Values{}
	for name, value := range map[string]string{"state": q.State, "topic": q.Topic, "text": q.Text} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if q.Sort != "-created" {
		values.Set("sort", q.Sort)
	}
	return values
}

// chosen are the messages that q wants, in its order.
func (q noticeQuery) chosen(all []notice.Delivery) []notice.Delivery {
	list := make([]notice.Delivery, 0, len(all))
	wanted := strings.ToLower(q.Text)
	for i := range all {
		d := &all[i]
		if (q.State == "" || shown(d) == q.State) && (q.Topic == "" || d.Topic == q.Topic) && (wanted == "" || mentions(d, wanted)) {
			list = append(list, *d)
		}
	}
	by, down := strings.CutPrefix(q.Sort, "-")
	slices.SortStableFunc(list, func(a, b notice.Delivery) int {
		var order int
		switch by {
		case "topic":
			order = strings.Compare(a.Topic, b.Topic)
		case "title":
			order = strings.Compare(a.Title, b.Title)
		case "state":
			order = strings.Compare(shown(&a), shown(&b))
		default:
			order = a.Created.Compare(b.Created)
		}
		if down {
			order = -order
		}
		return cmp.Or(order, b.Created.Compare(a.Created))
	})
	return list
}

// mentions reports whether a message is about, or to, what somebody looks for.
func mentions(d *notice.Delivery, wanted string) bool {
	for _, text := range append([]string{d.Title, d.ID}, d.Roles...) {
		if strings.Contains(strings.ToLower(text), wanted) {
			return true
		}
	}
	return slices.ContainsFunc(d.Recipients, func(r notice.Recipient) bool {
		return strings.Contains(strings.ToLower(r.Who), wanted) || strings.Contains(strings.ToLower(r.By), wanted)
	})
}

// page is the part of a list that one page shows, and how many pages there are.
func (q noticeQuery) page(list []notice.Delivery) (part []notice.Delivery, pages int) {
	pages = max(1, (len(list)+noticesPage-1)/noticesPage)
	from := min((q.Page-1)*noticesPage, len(list))
	return list[from:min(from+noticesPage, len(list))], pages
}

// NoticeDay is what was told on one day, by what became of it.
type NoticeDay struct {
	Day      string         `json:"day"` // in UTC+8
	Messages int            `json:"messages"`
	States   map[string]int `json:"states"`
}

// daysOf counts by day, the oldest first.
func daysOf(all []notice.Delivery, now time.Time) []NoticeDay {
	days := make([]NoticeDay, noticeDays)
	first := firstDay(now)
	for i := range days {
		days[i] = NoticeDay{Day: first.AddDate(0, 0, i).Format(time.DateOnly), States: map[string]int{}}
	}
	for i := range all {
		at := int(all[i].Created.Sub(first) / (24 * time.Hour))
		if at >= 0 && at < len(days) {
			days[at].Messages++
			days[at].States[shown(&all[i])]++
		}
	}
	return days
}

// drawDays is the chart of the days.
func (v *Visit) drawDays(days []NoticeDay) Chart {
	bars := make([]Bar, 0, len(days))
	for _, day := range days {
		counts := map[string]int{}
		for state, count := range day.States {
			counts[noticeClass(state)] += count
		}
		bar := Bar{Label: day.Day[len("2006-"):]}
		for _, class := range noticeClasses {
			bar.Parts = append(bar.Parts, Part{Class: class, Name: v.Words.Word("fate", class), Value: counts[class]})
		}
		bars = append(bars, bar)
	}
	return NewChart(bars)
}

// noticesView is the page.
type noticesView struct {
	noticeQuery
	Rules   []notice.Rule
	Chart   Chart
	Fates   []namedCount // of all days, by class
	Failed  int          // dead letters, which wait for somebody
	List    []notice.Delivery
	Total   int
	Pages   int
	More    bool // older ones were left out
	States  []string
	Topics  []string
	AsOf    string
	Act     bool   // may send, resend and give up
	Self    bool   // is somebody whom DingTalk can tell
	LivesAt string // where the list refreshes itself
}

// When is a time for the page.
func (noticesView) When(t time.Time) string { return When(t) }

// Rhythm is when a rule looks.
func (noticesView) Rhythm(w web.Words, spec string) string { return rhythm(w, spec) }

// At is where a message is looked at.
func (noticesView) At(d notice.Delivery) string {
	return pathNotices + "/letter/" + url.PathEscape(d.Key())
}

// Shown is a message's state for people.
func (noticesView) Shown(d notice.Delivery) string { return shown(&d) }

// First are the first recipients; Rest is how many there are besides.
func (noticesView) First(d notice.Delivery) []notice.Recipient {
	return d.Recipients[:min(3, len(d.Recipients))]
}

// Rest is how many recipients First left out.
func (noticesView) Rest(d notice.Delivery) int { return max(0, len(d.Recipients)-3) }

// Sorted is the address of the list in the order of a column, the other way
// round where it stands so already.
func (n noticesView) Sorted(column string) string {
	q := n.noticeQuery
	if q.Sort == column {
		column = "-" + column
	}
	q.Sort = column
	return address(pathNotices, q.values()) + outboxMark
}

// Order is how a column stands, as aria-sort says it.
func (n noticesView) Order(column string) string {
	switch n.Sort {
	case column:
		return "ascending"
	case "-" + column:
		return "descending"
	}
	return "none"
}

// Turn is the address of the page so many further on, empty where there is none.
func (n noticesView) Turn(by int) string {
	page := n.Page + by
	if page < 1 || page > n.Pages {
		return ""
	}
	return address(pathNotices, n.values(), "page", strconv.Itoa(page)) + outboxMark
}

// draw fills in the moving part: how the days went, and the rules.
func (n *Notices) draw(v *Visit, view *noticesView) error {
	survey, err := n.look(v.R.Context())
	if err != nil {
		return err
	}
	if view.Rules, err = n.Book.Rules(v.R.Context()); err != nil {
		return err
	}
	days := daysOf(survey.Deliveries, n.Now())
	view.Chart, view.AsOf, view.Act, view.Self = v.drawDays(days), When(n.Now()), v.Who.May(ToAdmin), !v.Who.Subject.IsZero()
	fates := map[string]int64{}
	for _, day := range days {
		for state, count := range day.States {
			fates[noticeClass(state)] += int64(count)
		}
		view.Failed += day.States["dead"]
	}
	for _, class := range noticeClasses {
		view.Fates = append(view.Fates, namedCount{class, fates[class]})
	}
	return nil
}

// fill fills in the list.
func (n *Notices) fill(v *Visit, view *noticesView) (err error) {
	if view.noticeQuery, err = v.noticeQuery(); err != nil {
		return err
	}
	survey, err := n.look(v.R.Context())
	if err != nil {
		return err
	}
	view.LivesAt = address(pathNotices+"/list", view.values(), "page", strconv.Itoa(view.Page))
	view.States, view.More = noticeStates, survey.More
	for i := range survey.Deliveries {
		if topic := survey.Deliveries[i].Topic; !slices.Contains(view.Topics, topic) {
			view.Topics = append(view.Topics, topic)
		}
	}
	slices.Sort(view.Topics)
	list := view.chosen(survey.Deliveries)
	view.Total = len(list)
	view.List, view.Pages = view.page(list)
	return nil
}

func (n *Notices) page(v *Visit) error {
	var view noticesView
	if err := n.fill(v, &view); err != nil {
		return err
	}
	if err := n.draw(v, &view); err != nil {
		return err
	}
	return v.Page("notices", view)
}

func (n *Notices) live(v *Visit) error {
	var view noticesView
	if err := n.draw(v, &view); err != nil {
		return err
	}
	return v.Part("notices", "live", view)
}

func (n *Notices) list(v *Visit) error {
	var view noticesView
	if err := n.fill(v, &view); err != nil {
		return err
	}
	return v.Part("notices", "list", view)
}
