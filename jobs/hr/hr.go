package hr

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/jobs"
)

// Kind is the kind of work that a change is.
const Kind = "hr.person"

// ActionAccept is a batch taken in charge, or refused.
const ActionAccept audit.Action = "hr.accept"

// People is the address book that HR is the master of: a *dingtalk.Client's
// view for jobs.
type People interface {
	Person(ctx context.Context, userid string) (dingtalk.Person, error)
	CreatePerson(ctx context.Context, d dingtalk.PersonDraft) error
	UpdatePerson(ctx context.Context, d dingtalk.PersonDraft) error
	DeletePerson(ctx context.Context, userid string) error
	Headcount(ctx context.Context, onlyActive bool) (int, error)
}

// Recorder writes the audit log: *audit.Log.
type Recorder interface {
	Append(ctx context.Context, event audit.Event) error
}

// Breaker bounds the leavers of one batch.
type Breaker struct {
	Share float64 // of the headcount
	Least int     // so many are always admitted
}

// Desk takes what HR says for one organisation.
type Desk struct {
	Corp     string
	People   People
	Queue    *jobs.Queue
	Recorder Recorder
	Breaker  Breaker
}

// Origin says where a batch came from, for the audit log.
type Origin struct {
	Name      string // hr:http or hr:FILE
	Source    string // client address
	RequestID string
}

// errand is the payload of an item.
type errand struct {
	Corp   string `json:"corp"`
	Change Change `json:"change"`
}

// Accept puts a batch on the work list and returns when all of it is there. The
// same batch again does nothing more than the first time: an item is brought up
// to date, not doubled.
func (d *Desk) Accept(ctx context.Context, from Origin, list []Change) error {
	if err := d.admit(ctx, list); err != nil {
		return errors.Join(err, d.record(ctx, from, list, audit.Refused))
	}
	if err := d.record(ctx, from, list, audit.OK); err != nil {
		return err
	}
	for _, c := range list {
		payload, err := json.Marshal(errand{d.Corp, c})
		if err != nil {
			return fmt.Errorf("hr: %w", err)
		}
		draft := jobs.Draft{ID: jobs.ID{Kind: Kind, Key: keyOf(d.Corp, c.UserID)}, Payload: payload, Mode: jobs.Renew}
		if _, _, err := d.Queue.Add(ctx, draft); err != nil {
			return fmt.Errorf("hr: put on the work list: %w", err)
		}
	}
	return nil
}

// keyOf makes a person's word one item: the newest counts.
func keyOf(corp, userid string) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%d:%s/%s", len(corp), corp, userid)))
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}

// admit is the breaker (R46).
func (d *Desk) admit(ctx context.Context, list []Change) error {
	leavers := 0
	for _, c := range list {
		if c.Act == Leave {
			leavers++
		}
	}
	if leavers <= d.Breaker.Least {
		return nil
	}
	people, err := d.People.Headcount(ctx, false)
	if err != nil {
		return fmt.Errorf("hr: the headcount: %w", err)
	}
	if leavers > int(d.Breaker.Share*float64(people)) {
		return fmt.Errorf("%w: %d of %d people would leave, more than the breaker admits; send them in smaller batches once a person has looked",
			ErrBatch, leavers, people)
	}
	return nil
}

func (d *Desk) record(ctx context.Context, from Origin, list []Change, outcome audit.Outcome) error {
	counts := map[Act]int{}
	for _, c := range list {
		counts[c.Act]++
	}
	return d.Recorder.Append(ctx, audit.Event{
		Action: ActionAccept, Outcome: outcome, Actor: from.Name, Source: from.Source, RequestID: from.RequestID, Target: d.Corp,
		Detail: map[string]string{"join": fmt.Sprint(counts[Join]), "move": fmt.Sprint(counts[Move]), "leave": fmt.Sprint(counts[Leave])},
	})
}

// Handle implements jobs.Handler: the person is read first, so that a repeat
// after an ambiguous answer finds what was done.
func (d *Desk) Handle(ctx context.Context, work *jobs.Work) error {
	var e errand
	if err := json.Unmarshal(work.Item().Payload, &e); err != nil {
		return jobs.Permanent(fmt.Errorf("hr: an item: %w", err))
	}
	if e.Corp != d.Corp {
		return jobs.Permanent(fmt.Errorf("hr: organisation %q is not this desk's", e.Corp))
	}
	person, err := d.People.Person(ctx, e.Change.UserID)
	there := err == nil
	if err != nil && identity.KindOf(err) != identity.NotFound {
		return fmt.Errorf("hr: read %s: %w", e.Change.UserID, err)
	}
	switch {
	case e.Change.Act == Leave && !there:
		return nil
	case e.Change.Act == Leave:
		return d.explain(d.People.DeletePerson(ctx, e.Change.UserID))
	case !there && e.Change.Act == Move:
		return jobs.Permanent(jobs.Explain(fmt.Errorf("hr: move of %s, who is not there", e.Change.UserID), "钉钉中没有这个人,不能调动"))
	case !there:
		return d.explain(d.People.CreatePerson(ctx, e.Change.draft()))
	case e.Change.holds(person):
		return nil
	default:
		return d.explain(d.People.UpdatePerson(ctx, e.Change.draft()))
	}
}

// explain gives DingTalk's refusals words; none of them mends itself.
func (d *Desk) explain(err error) error {
	refused, ok := errors.AsType[*dingtalk.CallError](err)
	if !ok {
		return err
	}
	words := map[string]string{
		"40103": "钉钉已发出邀请,等待对方同意", "60104": "手机号在钉钉中已属于另一人", "40104": "手机号无效", "60003": "部门不存在",
		"12150": "智能人事职位管理已开启,职位和部门须在钉钉人事中修改", "40022": "钉钉不允许修改手机号",
	}[refused.Reason]
	if words == "" {
		return err
	}
	return jobs.Permanent(jobs.Explain(err, words))
}

func (c Change) draft() dingtalk.PersonDraft {
	draft := dingtalk.PersonDraft{
		UserID: c.UserID, Name: c.Name, Mobile: c.Mobile, JobNumber: c.JobNumber, Title: c.Title, Email: c.Email, Departments: c.Departments,
	}
	if day, err := time.ParseInLocation(time.DateOnly, c.Hired, china); err == nil {
		draft.HiredAt = day
	}
	return draft
}

// holds reports whether a person is already as told.
func (c Change) holds(p dingtalk.Person) bool {
	same := func(told, is string) bool { return told == "" || told == is }
	departments := len(c.Departments) == 0 || len(c.Departments) == len(p.Departments)
	for _, id := range c.Departments {
		departments = departments && slices.Contains(p.Departments, id)
	}
	hired := c.Hired == "" || !p.HiredAt.IsZero() && p.HiredAt.In(china).Format(time.DateOnly) == c.Hired
	return departments && hired && same(c.Name, p.Name) && same(c.JobNumber, p.JobNumber) && same(c.Title, p.Title) && same(c.Email, p.Email)
}
