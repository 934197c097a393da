package dingtalk

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// Class is what a call is for: the budgets of DingTalk's limits are kept and
// shown by it.
type Class string

// The classes of calls. An operation without one counts as sign-in, which is
// never held back for the sake of another.
const (
	ClassLogin     Class = "login"
	ClassDirectory Class = "directory"
	ClassMessage   Class = "message"
	ClassApproval  Class = "approval"
)

// Classes lists every class.
func Classes() []Class { return []Class{ClassLogin, ClassDirectory, ClassMessage, ClassApproval} }

// Counter keeps counts that outlive the process and are shared by its
// replicas. Add adds n, which may be 0, to the count of that name and gives the
// new total; a name that was never heard of has 0.
type Counter interface {
	Add(ctx context.Context, name string, n int64) (int64, error)
}

// Quota is how much of DingTalk's limits is left to one application
// (reference 9).
type Quota struct {
	Corp    string
	Calls   Budget // counted API calls of this Beijing month
	Events  Budget // counted events of this Beijing month
	Classes map[Class]Usage
	// Directory is what is left of our own share of address-book calls this
	// minute; negative when there is no limit.
	Directory int64
	// Banned and Paused are how long our address, and everything that costs
	// quota, still rest because DingTalk said so; zero when they do not.
	Banned, Paused time.Duration
}

// Budget is one monthly limit of the organisation. Other applications draw on
// it too, so Left is the most there can be.
type Budget struct {
	Limit int64 // negative: none
	Used  int64 // by us
	Left  int64 // negative: no limit
	Ends  time.Time
}

// Usage counts the calls of one class that left this process.
type Usage struct {
	Second int64 // in the current second
	Minute int64 // in the current minute
	Month  int64 // in the current month, since this process began
}

// Remaining lists what is left by kind, for a metric: "calls" and "events" of
// the month, "directory" of the minute. A kind without a limit is missing.
func (q Quota) Remaining() map[string]int64 {
	left := map[string]int64{}
	for kind, n := range map[string]int64{"calls": q.Calls.Left, "events": q.Events.Left, "directory": q.Directory} {
		if n >= 0 {
			left[kind] = n
		}
	}
	return left
}

// errQuota is a month used up by our own count.
var errQuota = errors.New("the monthly quota is used up by our own count")

// Quota reads the counts; those of the month come from the shared counter.
func (c *Client) Quota(ctx context.Context) Quota {
	now := c.now()
	q := Quota{
		Corp: c.cfg.Corp, Classes: c.meter.usage(now), Directory: -1,
		Calls: c.meter.calls.budget(ctx, now), Events: c.meter.events.budget(ctx, now),
		Banned: c.egress.BannedFor(), Paused: c.pauses.left(quotaPause),
	}
	if limit := c.limits.cfg.DirectoryPerMinute; limit >= 0 {
		q.Directory = max(0, int64(limit)-q.Classes[ClassDirectory].Minute)
	}
	if q.Paused > 0 && q.Calls.Left > 0 {
		q.Calls.Left = 0 // DingTalk knows better than our count
	}
	return q
}

// CountEvent notes an event that came, if it is of a kind that costs quota. The
// stream does so itself; receivers of callbacks do it here.
//
// It asks nobody: the count is handed over with the next look at the quota.
func (c *Client) CountEvent(e Event) {
	for _, free := range []string{"user_", "org_", "label_", EventCheckURL} {
		if strings.HasPrefix(e.Type, free) {
			return
		}
	}
	c.meter.events.note(c.now(), 1)
}

// meter counts what leaves and what comes.
type meter struct {
	calls, events *monthly

	mu      sync.Mutex
	classes map[Class]*windows
}

func newMeter(corp string, limits Limits) *meter {
	return &meter{
		calls:   &monthly{counter: limits.Counter, name: corp + "/calls/", limit: limits.Month},
		events:  &monthly{counter: limits.Counter, name: corp + "/events/", limit: limits.EventMonth},
		classes: map[Class]*windows{},
	}
}

// windows counts one class by second, minute and month.
type windows struct {
	second, minute, month tally
}

// tally is a count that begins anew with every period.
type tally struct {
	period string
	n      int64
}

func (t *tally) at(period string) int64 {
	if t.period != period {
		t.period, t.n = period, 0
	}
	return t.n
}

func (t *tally) add(period string) {
	t.at(period)
	t.n++
}

const (
	bySecond = "20060102150405"
	byMinute = "200601021504"
	byMonth  = "2006-01"
)

// left counts a call that leaves this process.
func (m *meter) left(class Class, now time.Time) {
	if class == "" {
		class = ClassLogin
	}
	at := beijing(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.classes[class]
	if w == nil {
		w = &windows{}
		m.classes[class] = w
	}
	w.second.add(at.Format(bySecond))
	w.minute.add(at.Format(byMinute))
	w.month.add(at.Format(byMonth))
}

func (m *meter) usage(now time.Time) map[Class]Usage {
	at := beijing(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[Class]Usage, len(Classes()))
	for _, class := range Classes() {
		if w := m.classes[class]; w != nil {
			all[class] = Usage{
				Second: w.second.at(at.Format(bySecond)), Minute: w.minute.at(at.Format(byMinute)),
				Month: w.month.at(at.Format(byMonth)),
			}
			continue
		}
		all[class] = Usage{}
	}
	return all
}

// beijing is the zone of the vendor's months.
func beijing(t time.Time) time.Time { return t.In(time.FixedZone("UTC+8", 8*60*60)) }

const (
	// freshCount is how long a total that other replicas add to is believed.
	freshCount = time.Minute
	// counterWait bounds the shared counter: a call does not wait for a count.
	counterWait = time.Second
)

// monthly is one count of the Beijing month. Without a counter, or while the
// counter cannot be reached, it counts by itself; what it could not hand over
// is added with the next success.
type monthly struct {
	counter Counter
	name    string
	limit   int64 // negative: none

	mu      sync.Mutex
	month   string
	total   int64 // as the counter said last, or by our own count
	pending int64 // not handed over
	asked   time.Time
}

// add counts n and asks for the total.
func (m *monthly) add(ctx context.Context, now time.Time, n int64) {
	m.mu.Lock()
	m.turn(now)
	m.pending += n
	m.mu.Unlock()
	m.settle(ctx, now)
}

// note counts n without asking anybody: whoever counts may have to answer at
// once. It is handed over with the next question for the total.
func (m *monthly) note(now time.Time, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	m.pending += n
}

// turn begins a new month; the caller holds the lock.
func (m *monthly) turn(now time.Time) {
	if month := beijing(now).Format(byMonth); m.month != month {
		m.month, m.total, m.pending, m.asked = month, 0, 0, time.Time{}
	}
}

// settle hands over what is pending. Two at once are harmless: each takes what
// it hands over out of the books first.
func (m *monthly) settle(ctx context.Context, now time.Time) {
	m.mu.Lock()
	m.turn(now)
	month, n := m.month, m.pending
	m.pending = 0
	m.asked = now
	m.mu.Unlock()
	total, err := int64(0), error(nil)
	if m.counter != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), counterWait)
		defer cancel()
		total, err = m.counter.Add(ctx, m.name+month, n)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.month != month: // the month turned meanwhile
	case m.counter == nil:
		m.total += n
	case err != nil:
		m.pending += n
	default:
		m.total = max(m.total, total)
	}
}

// used is the count as far as it is known, asked for again when it is old.
func (m *monthly) used(ctx context.Context, now time.Time) int64 {
	m.mu.Lock()
	m.turn(now)
	old := now.Sub(m.asked) >= freshCount
	m.mu.Unlock()
	if old {
		m.settle(ctx, now)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total + m.pending
}

// spent reports whether nothing is left.
func (m *monthly) spent(ctx context.Context, now time.Time) bool {
	return m.limit >= 0 && m.used(ctx, now) >= m.limit
}

func (m *monthly) budget(ctx context.Context, now time.Time) Budget {
	b := Budget{Limit: m.limit, Used: m.used(ctx, now), Left: -1, Ends: nextMonth(now)}
	if b.Limit >= 0 {
		b.Left = max(0, b.Limit-b.Used)
	}
	return b
}
