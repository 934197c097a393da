package dingtalksim

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	leaveMaxResults = 50
	leaveMaxSpan    = 365 * 24 * time.Hour
	vendorTime      = "2006-01-02T15:04:05Z07:00"
)

type leaveRecord struct {
	UserID      string `json:"userId"`
	Name        string `json:"name"`
	StateCode   string `json:"stateCode,omitempty"`
	Mobile      string `json:"mobile,omitempty"`
	LeaveTime   string `json:"leaveTime"`
	LeaveReason string `json:"leaveReason"`
}

// leaveRecords is GET /v1.0/contact/empLeaveRecords (SIM-D65, SIM-D66).
func (c *call) leaveRecords() answer {
	bad := c.fail(http.StatusBadRequest, "invalidParameter.param.invalid", "参数不合法")
	start, err := time.Parse(vendorTime, c.params.text("startTime"))
	if err != nil {
		return bad
	}
	end := c.started
	if text := c.params.text("endTime"); text != "" {
		if end, err = time.Parse(vendorTime, text); err != nil {
			return bad
		}
	}
	size, present, err := c.params.integer("maxResults")
	if err != nil || !present || size < 1 || size > leaveMaxResults || end.Sub(start) > leaveMaxSpan || end.Before(start) {
		return bad
	}
	from, _, err := c.params.integer("nextToken")
	if err != nil || from < 0 {
		return bad
	}
	all := c.leaversBetween(start, end)
	lo := min(from, int64(len(all)))
	hi := min(lo+size, int64(len(all)))
	var next *string
	if hi < int64(len(all)) {
		text := strconv.FormatInt(hi, 10)
		next = &text
	} else if c.s.sw().LeaveEmptyToken {
		next = new(string)
	}
	return c.ok(struct {
		NextToken *string       `json:"nextToken,omitempty"`
		Records   []leaveRecord `json:"records"`
	}{next, all[lo:hi]})
}

// leaversBetween lists who left within [start, end], first leaver first.
func (c *call) leaversBetween(start, end time.Time) []leaveRecord {
	people := c.app.corp.dir.leavers(start, end)
	slices.SortFunc(people, func(a, b *Person) int {
		return cmp.Or(a.Left.Compare(b.Left), cmp.Compare(a.UserID, b.UserID))
	})
	records := []leaveRecord{}
	for _, p := range people {
		r := leaveRecord{UserID: p.UserID, Name: p.Name, LeaveTime: p.Left.UTC().Format(vendorTime), LeaveReason: p.LeaveReason}
		if c.permitted(permFieldMobile) {
			r.StateCode, r.Mobile = p.StateCode, p.Mobile
		}
		records = append(records, r)
	}
	return records
}

// leavers are those who left within [start, end], in no order. Somebody hired
// again has left all the same, as often as it happened.
func (d *directory) leavers(start, end time.Time) []*Person {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var list []*Person
	add := func(p *Person) {
		if !p.Left.IsZero() && !p.External && !p.Left.Before(start) && !p.Left.After(end) {
			list = append(list, p)
		}
	}
	for _, e := range d.people {
		add(&e.Person)
	}
	for _, p := range d.past {
		add(p)
	}
	return list
}
