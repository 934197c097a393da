package dingtalk

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

var opLeavers = operation{
	name: "leaverecords", host: newHost, path: "/v1.0/contact/empLeaveRecords", get: true, class: ClassDirectory,
}

const (
	leaverPage = 50                   // the vendor's most
	leaverSpan = 360 * 24 * time.Hour // under the vendor's 365 days
	vendorTime = "2006-01-02T15:04:05Z07:00"
)

// Leaver is one leave record (reference 5.4).
type Leaver struct {
	UserID string
	Name   string
	At     time.Time // zero when DingTalk's text could not be read
	Reason string    // oapi, cancel, leave, unknown, delete, or a word not known yet
}

// LeaveRecords reads who left since a time, first leaver first, page by page.
// The walk is complete when it ends without an error; an error is its last
// item. A person hired again stays in the records: whether somebody is gone now
// is for Person to say.
func (c *Client) LeaveRecords(ctx context.Context, since time.Time) iter.Seq2[Leaver, error] {
	return func(yield func(Leaver, error) bool) {
		now := c.now().Add(time.Duration(c.skew.Load()))
		for start := since; start.Before(now); {
			end := start.Add(leaverSpan)
			if end.After(now) {
				end = now
			}
			if !c.leaversBetween(ctx, start, end, yield) {
				return
			}
			start = end
		}
	}
}

// leaversBetween walks one span; false when the walk is over.
func (c *Client) leaversBetween(ctx context.Context, start, end time.Time, yield func(Leaver, error) bool) bool {
	seen := map[string]bool{}
	for token := "0"; token != "" && !seen[token]; { // a token that comes again would never end
		seen[token] = true
		list, next, err := c.leaverPage(ctx, start, end, token)
		if err != nil {
			yield(Leaver{}, err)
			return false
		}
		for _, one := range list {
			if !yield(one, nil) {
				return false
			}
		}
		if len(list) == 0 {
			break
		}
		token = next
	}
	return true
}

// leaverPage reads one page. How the last one is marked is not documented: an
// absent, empty or repeated token, or an empty page.
func (c *Client) leaverPage(ctx context.Context, start, end time.Time, token string) ([]Leaver, string, error) {
	ctx, cancel, err := c.begin(ctx, opLeavers)
	if err != nil {
		return nil, "", err
	}
	defer cancel()
	var out struct {
		Next    jsontext.Value `json:"nextToken"`
		Records *listOf[struct {
			UserID string `json:"userId"`
			Name   string `json:"name"`
			At     string `json:"leaveTime"`
			Reason string `json:"leaveReason"`
		}] `json:"records"`
	}
	query := url.Values{
		"startTime": {start.UTC().Format(vendorTime)}, "endTime": {end.UTC().Format(vendorTime)},
		"nextToken": {token}, "maxResults": {strconv.Itoa(leaverPage)},
	}
	if err := c.do(ctx, call{op: opLeavers, query: query, out: &out, admitted: true}); err != nil {
		return nil, "", err
	}
	if out.Records == nil {
		return nil, "", c.nonsense(opLeavers, "records")
	}
	list := make([]Leaver, 0, len(*out.Records))
	for _, r := range *out.Records {
		if !validUserID(r.UserID) {
			return nil, "", c.nonsense(opLeavers, "userId")
		}
		at, err := time.Parse(time.RFC3339, r.At)
		if err != nil {
			at = time.Time{} // that somebody left matters more than when
		}
		list = append(list, Leaver{UserID: r.UserID, Name: r.Name, At: at, Reason: clean(r.Reason)})
	}
	return list, text(out.Next), nil
}
