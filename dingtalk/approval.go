package dingtalk

import (
	"context"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
)

var (
	opInstance = operation{
		name: "instanceget", host: newHost, path: "/v1.0/workflow/processInstances", get: true, quota: true, class: ClassApproval,
	}
	opInstanceIDs = operation{
		name: "instanceids", host: newHost, path: "/v1.0/workflow/processes/instanceIds/query", quota: true, class: ClassApproval,
	}
	// A comment has no key by which the vendor would know a repeat, so it is
	// sent once and never again from here.
	opComment = operation{
		name: "comment", host: newHost, path: "/v1.0/workflow/processInstances/comments", quota: true, single: true, class: ClassApproval,
	}
)

// States and results of an approval instance (reference 7.1).
const (
	InstanceCompleted  = "COMPLETED"
	InstanceTerminated = "TERMINATED"
	InstanceAgreed     = "agree"
)

// Limits of the vendor (reference 7.4, 7.5).
const (
	MaxCommentRunes = 1024
	instancePage    = 20
	instanceSpan    = 119 * 24 * time.Hour // under the vendor's 120 days
	instanceOldest  = 364 * 24 * time.Hour // under the vendor's 365 days
	instanceMost    = 10_000               // ids of one walk
	instanceSkew    = 5 * time.Second      // an end ahead of the vendor's clock is refused
	instanceLayout  = "2006-01-02T15:04Z07:00"
)

// Instance is an approval as it stands (reference 7.1). The vendor's answer names
// neither the process nor the instance; ID is what was asked for.
type Instance struct {
	ID         string
	BusinessID string // 审批编号
	Title      string
	Status     string // COMPLETED, TERMINATED, RUNNING, NEW, or a word not known yet
	Result     string // agree or refuse; empty while it runs
	Created    time.Time
	Finished   time.Time // zero while it runs; both have minute precision
	Originator string    // userid
	Department string    // id, "-1" for the root
	DeptName   string
	Action     string   // NONE, MODIFY or REVOKE: the latter two are about Main
	Main       string   // instance that this one changes or takes back
	Attached   []string // instances that change this one or take it back
	Fields     []FormField
	Remarks    []Remark // comments, oldest first
}

// Agreed reports whether it is over and was approved.
func (in Instance) Agreed() bool {
	return in.Status == InstanceCompleted && in.Result == InstanceAgreed
}

// Over reports whether it has ended, however.
func (in Instance) Over() bool {
	return in.Status == InstanceCompleted || in.Status == InstanceTerminated || in.Status == "CANCELED"
}

// Remark is a comment on an instance.
type Remark struct {
	UserID string
	At     time.Time // minute precision
	Text   string
}

// instanceRecord is the part of the answer that we use.
type instanceRecord struct {
	BusinessID string                  `json:"businessId"`
	Title      string                  `json:"title"`
	Status     string                  `json:"status"`
	Result     string                  `json:"result"`
	Created    string                  `json:"createTime"`
	Finished   string                  `json:"finishTime"`
	Originator string                  `json:"originatorUserId"`
	Department jsontext.Value          `json:"originatorDeptId"`
	DeptName   string                  `json:"originatorDeptName"`
	Action     string                  `json:"bizAction"`
	Main       string                  `json:"mainProcessInstanceId"`
	Attached   listOf[string]          `json:"attachedProcessInstanceIds"`
	Fields     *listOf[fieldRecord]    `json:"formComponentValues"`
	Records    listOf[operationRecord] `json:"operationRecords"`
}

type operationRecord struct {
	UserID string `json:"userId"`
	Date   string `json:"date"`
	Type   string `json:"type"`
	Remark string `json:"remark"`
}

// workflow is the envelope of the workflow API. A 2xx with success false is a
// failure (reference 7.1).
type workflow[T any] struct {
	Result  *T    `json:"result"`
	Success *flag `json:"success"`
}

func (w workflow[T]) ok() bool { return w.Result != nil && (w.Success == nil || bool(*w.Success)) }

// ValidInstance reports whether id can be an instance's: opaque, case-sensitive,
// letters, digits, _ and -, at most 64 of them.
func ValidInstance(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '_' && r != '-'
	})
}

// Instance reads one approval. Kind NotFound: DingTalk was asked and has none.
// It costs monthly quota.
func (c *Client) Instance(ctx context.Context, id string) (Instance, error) {
	if !ValidInstance(id) {
		return Instance{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: malformed instance id")
	}
	ctx, cancel, err := c.begin(ctx, opInstance)
	if err != nil {
		return Instance{}, err
	}
	defer cancel()
	var out workflow[instanceRecord]
	if err := c.do(ctx, call{op: opInstance, query: url.Values{"processInstanceId": {id}}, out: &out, admitted: true}); err != nil {
		return Instance{}, err
	}
	switch {
	case !out.ok():
		return Instance{}, c.nonsense(opInstance, "success")
	case out.Result.Status == "" || out.Result.Fields == nil || out.Result.Originator != "" && !validUserID(out.Result.Originator):
		return Instance{}, c.nonsense(opInstance, "status, originatorUserId or formComponentValues")
	}
	return c.instance(id, *out.Result)
}

func (c *Client) instance(id string, r instanceRecord) (Instance, error) {
	in := Instance{
		ID: id, BusinessID: r.BusinessID, Title: r.Title, Status: r.Status, Result: r.Result,
		Originator: r.Originator, Department: text(r.Department), DeptName: r.DeptName,
		Action: r.Action, Main: r.Main, Attached: r.Attached,
	}
	var err error
	if in.Created, err = c.approvalTime(r.Created); err != nil {
		return Instance{}, c.nonsense(opInstance, "createTime")
	}
	if r.Finished != "" {
		if in.Finished, err = c.approvalTime(r.Finished); err != nil {
			return Instance{}, c.nonsense(opInstance, "finishTime")
		}
	}
	for _, f := range *r.Fields {
		in.Fields = append(in.Fields, f.field())
	}
	for _, one := range r.Records {
		if one.Type != "ADD_REMARK" {
			continue
		}
		at, err := c.approvalTime(one.Date)
		if err != nil {
			at = time.Time{} // that it was said matters more than when
		}
		in.Remarks = append(in.Remarks, Remark{UserID: one.UserID, At: at, Text: one.Remark})
	}
	return in, nil
}

// approvalTime reads "2022-08-31T11:52Z". The Z is reported to stand behind the
// organisation's own time, so a zero offset means Config.ApprovalZone (reference
// 7.2); an offset that says something is believed.
func (c *Client) approvalTime(s string) (time.Time, error) {
	for _, layout := range []string{instanceLayout, time.RFC3339} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if local, ok := strings.CutSuffix(s, "Z"); ok {
			return time.ParseInLocation(strings.TrimSuffix(layout, "Z07:00"), local, c.cfg.ApprovalZone)
		}
		return t, nil
	}
	return time.ParseInLocation("2006-01-02 15:04:05", s, c.cfg.ApprovalZone)
}

// InstanceQuery says which approvals to list.
type InstanceQuery struct {
	Process  string    // processCode
	From, To time.Time // of creation; a zero To is now
	Statuses []string  // empty: all
}

// InstanceIDs lists the approvals of a process that were created between two
// times, each once, in no particular order. The walk is complete when it ends
// without an error; an error is its last item. Times are of creation: what was
// begun long ago and ended today is found only where its creation is inside.
// More than 364 days back is refused. Each 20 ids cost one call of the quota.
func (c *Client) InstanceIDs(ctx context.Context, q InstanceQuery) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		now := c.theirNow()
		open := q.To.IsZero() || q.To.After(now)
		if open {
			q.To = now
		}
		if q.Process == "" || now.Sub(q.From) > instanceOldest {
			yield("", identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: approvals are listed by process, at most 364 days back"))
			return
		}
		walk := &instanceWalk{client: c, query: q, seen: map[string]bool{}, yield: yield}
		for start := q.From; start.Before(q.To); {
			end := start.Add(instanceSpan)
			last := !end.Before(q.To)
			if last {
				end = q.To
			}
			if last && open { // DingTalk's own now, whatever the clocks say
				end = time.Time{}
			}
			if !walk.span(ctx, start, end) || last {
				return
			}
			start = end
		}
	}
}

// theirNow is a time that has passed by DingTalk's clock too, as far as we know it.
func (c *Client) theirNow() time.Time {
	return c.now().Add(time.Duration(c.skew.Load())).Add(-instanceSkew)
}

// instanceWalk is one listing under way.
type instanceWalk struct {
	client *Client
	query  InstanceQuery
	seen   map[string]bool // ids may come twice in neighbouring spans
	yield  func(string, error) bool
}

// span walks what was created within [start, end]; a zero end is now. It is false
// when the walk is over.
// A span that holds more than the vendor shows is walked again in halves.
func (w *instanceWalk) span(ctx context.Context, start, end time.Time) bool {
	cursors := map[string]bool{}
	shown := 0
	for token := "0"; token != "" && !cursors[token]; { // a cursor that comes again would never end
		cursors[token] = true
		list, next, err := w.client.instancePage(ctx, w.query, start, end, token)
		if err != nil {
			w.yield("", err)
			return false
		}
		shown += len(list)
		for _, id := range list {
			if w.seen[id] {
				continue
			}
			w.seen[id] = true
			if !w.yield(id, nil) {
				return false
			}
		}
		if len(list) == 0 || shown >= instanceMost {
			break
		}
		token = next
	}
	if end.IsZero() {
		end = w.client.theirNow()
	}
	if half := end.Sub(start) / 2; shown >= instanceMost && half > time.Second {
		return w.span(ctx, start, start.Add(half)) && w.span(ctx, start.Add(half), end)
	}
	return true
}

func (c *Client) instancePage(ctx context.Context, q InstanceQuery, start, end time.Time, token string) ([]string, string, error) {
	cursor, err := strconv.ParseInt(token, 10, 64)
	if err != nil || cursor < 0 {
		return nil, "", c.nonsense(opInstanceIDs, "nextToken")
	}
	body := map[string]any{
		"processCode": q.Process, "startTime": start.UnixMilli(), "nextToken": cursor, "maxResults": instancePage,
	}
	if !end.IsZero() {
		body["endTime"] = end.UnixMilli()
	}
	if len(q.Statuses) > 0 {
		body["statuses"] = q.Statuses
	}
	var out workflow[struct {
		List *listOf[string] `json:"list"`
		Next jsontext.Value  `json:"nextToken"`
	}]
	if err := c.ask(ctx, opInstanceIDs, body, &out); err != nil {
		return nil, "", err
	}
	if !out.ok() || out.Result.List == nil || slices.ContainsFunc(*out.Result.List, func(id string) bool { return !ValidInstance(id) }) {
		return nil, "", c.nonsense(opInstanceIDs, "list")
	}
	return *out.Result.List, text(out.Result.Next), nil
}

// Comment puts a comment on an approval in somebody's name. DingTalk keeps every
// comment it gets, also the same one twice: after an error that is not an
// explicit refusal, read Instance.Remarks before sending again. It costs monthly
// quota.
func (c *Client) Comment(ctx context.Context, id, words, userid string) error {
	if n := utf8.RuneCountInString(words); !ValidInstance(id) || !validUserID(userid) || n == 0 || n > MaxCommentRunes || !utf8.ValidString(words) {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: a comment needs an instance, a userid and 1 to %d characters", MaxCommentRunes)
	}
	var out workflow[flag]
	body := map[string]string{"processInstanceId": id, "text": words, "commentUserId": userid}
	if err := c.ask(ctx, opComment, body, &out); err != nil {
		return err
	}
	if !out.ok() || !bool(*out.Result) {
		return c.nonsense(opComment, "result")
	}
	return nil
}
