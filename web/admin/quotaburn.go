package admin

import (
	"strconv"
	"strings"
	"time"
)

// monthView is one monthly limit, drawn.
type monthView struct {
	Corp string
	Kind string // calls or events
	Month
	Burn  burn
	Until string // when it will be used up at this pace; empty: it lasts
	Past  Chart  // what earlier months used, the oldest first; Empty: nothing is known
}

// The size of a burn-down in its own units.
const burnWidth, burnHeight = 300.0, 90.0

// burn is what is left over the month: a line day by day from full at its
// beginning to what is left now, and on at the pace of the month so far. Lines
// are points as SVG has them.
type burn struct {
	Width, Height int
	Line          string // up to now
	Before        string // the month before; empty: not known
	X, Y          string // now
	EndX, EndY    string // where the pace leads to
	Bad           bool   // before the month is over
}

const mostPast = 12 // months

// drawMonth draws a month with the days of it and of earlier ones; used is the
// word for what earlier months used.
func drawMonth(view monthView, days []QuotaDay, now time.Time, used string) monthView {
	view.Past = Chart{Empty: true}
	var own []QuotaDay
	for _, day := range days {
		if day.Corp == view.Corp && day.Kind == view.Kind {
			own = append(own, day)
		}
	}
	var out time.Time
	if view.Burn, out = burnOf(view.Month, own, now); !out.IsZero() {
		view.Until = When(out)
	}
	began := view.Ends.In(beijing).AddDate(0, -1, 0)
	if past := pastMonths(own, began, used); len(past) > 0 {
		view.Past = NewChart(past)
	}
	return view
}

// burnOf draws a month; out is when it will be used up, zero when it lasts.
func burnOf(m Month, days []QuotaDay, now time.Time) (b burn, out time.Time) {
	b = burn{Width: int(burnWidth), Height: int(burnHeight)}
	began := m.Ends.In(beijing).AddDate(0, -1, 0)
	whole, past := m.Ends.Sub(began).Seconds(), now.Sub(began).Seconds()
	if m.Limit <= 0 || whole <= 0 || past <= 0 || past > whole {
		return burn{}, time.Time{}
	}
	left := float64(max(m.Left, 0)) / float64(m.Limit)
	x, y := burnWidth*past/whole, burnHeight*(1-left)
	endX, endLeft := burnWidth, left-(1-left)*(whole-past)/past
	if endLeft < 0 {
		seconds := past + left*past/(1-left)
		endX, endLeft, b.Bad = burnWidth*seconds/whole, 0, true
		out = began.Add(time.Duration(seconds * float64(time.Second)))
	}
	b.X, b.Y, b.EndX, b.EndY = point(x), point(y), point(endX), point(burnHeight*(1-endLeft))
	b.Line = burnLine(days, began, min(past, whole)) + " " + b.X + "," + b.Y
	if before := began.AddDate(0, -1, 0); hasMonth(days, before) {
		b.Before = burnLine(days, before, began.Sub(before).Seconds()+1)
	}
	return b, out
}

func point(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

func hasMonth(days []QuotaDay, began time.Time) bool {
	for _, day := range days {
		if strings.HasPrefix(day.Day, began.Format("2006-01-")) {
			return true
		}
	}
	return false
}

// burnLine is the line of a month's days that ended before so many seconds of it
// were over. A limit that was raised meanwhile counts as it was on the day.
func burnLine(days []QuotaDay, began time.Time, upTo float64) string {
	whole := began.AddDate(0, 1, 0).Sub(began).Seconds()
	points := []string{"0,0"}
	for _, day := range days {
		at, err := time.ParseInLocation(time.DateOnly, day.Day, beijing)
		if err != nil || day.Limit <= 0 {
			continue
		}
		if seconds := at.AddDate(0, 0, 1).Sub(began).Seconds(); seconds > 0 && seconds < upTo && !at.Before(began) {
			used := min(float64(day.Used)/float64(day.Limit), 1)
			points = append(points, point(burnWidth*seconds/whole)+","+point(burnHeight*used))
		}
	}
	return strings.Join(points, " ")
}

// pastMonths is what each month before the one that began has used.
func pastMonths(days []QuotaDay, began time.Time, used string) []Bar {
	var bars []Bar
	for _, day := range days {
		if len(day.Day) != len(time.DateOnly) || day.Day >= began.Format(time.DateOnly) {
			continue
		}
		bar := Bar{Label: day.Day[:len("2006-01")], Parts: []Part{{Class: "dingtalk", Name: used, Value: int(day.Used)}}}
		if last := len(bars) - 1; last >= 0 && bars[last].Label == bar.Label {
			bars[last] = bar // a later day of the same month
			continue
		}
		bars = append(bars, bar)
	}
	return bars[max(0, len(bars)-mostPast):]
}
