package notice

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
)

// State is what became of a letter, or of one person's.
type State string

// The states.
const (
	Waiting   State = "waiting"   // not sent yet
	Sent      State = "sent"      // accepted; what became of it is not known yet, or cannot be
	Delivered State = "delivered" // the person, the group or the mail server has it
	Dropped   State = "dropped"   // DingTalk gave the person nothing, and no other way is left
	Detoured  State = "detoured"  // dropped, and told by a fallback
	Unclear   State = "unclear"   // it may have arrived; DingTalk could not be asked
	Merged    State = "merged"    // left as part of another letter
	Failed    State = "failed"    // could not be sent at all
)

// Recipient is one person, robot or mail address of a letter.
type Recipient struct {
	Who   string `json:"who"` // as an Address is written
	State State  `json:"state"`
	Why   string `json:"why,omitzero"` // of a drop, in words
	Code  int64  `json:"code,omitzero"`
	By    string `json:"by,omitzero"` // the fallback that told them
	Read  Read   `json:"read,omitzero"`
}

// Read is whether a person had opened a notification when DingTalk was asked.
type Read string

// What DingTalk tells; empty: it did not.
const (
	Opened   Read = "read"
	Unopened Read = "unread"
)

// Dispatch is one message that left, or may have.
type Dispatch struct {
	At    time.Time `json:"at"`
	By    string    `json:"by"`             // work, or the fallback's address
	Task  int64     `json:"task,omitzero"`  // DingTalk's number
	Again bool      `json:"again,omitzero"` // the same bytes once more, after no answer
	Try   int       `json:"try,omitzero"`   // other words, so often

	// What DingTalk, or the mail server, said became of it.
	Asked time.Time `json:"asked,omitzero"` // when; zero: it was not asked, or gave no answer
	Got   int       `json:"got,omitzero"`   // people who have it
	Read  int       `json:"read,omitzero"`  // of these, who had opened it by then
	Drops []Drop    `json:"drops,omitempty"`
}

// Drop is somebody whom a message that left was not given to.
type Drop struct {
	Who  string `json:"who"` // as an Address is written
	Code int64  `json:"code"`
	Why  string `json:"why"`
}

// Delivery is the truth about one letter. It holds no text.
type Delivery struct {
	ID         string      `json:"id"` // names the letter; its item is KIND/ID
	Corp       string      `json:"corp"`
	Topic      string      `json:"topic"`
	Title      string      `json:"title"`
	Sensitive  bool        `json:"sensitive,omitzero"` // figures that only people are told (F73)
	Roles      []string    `json:"roles,omitempty"`    // that named people of it
	Again      string      `json:"again,omitzero"`     // the letter that was sent to those whom this one missed
	State      State       `json:"state"`
	Into       string      `json:"into,omitzero"`    // the letter that took it along
	With       int         `json:"with,omitzero"`    // letters that it took along
	Recipients []Recipient `json:"recipients"`       //
	Sent       []Dispatch  `json:"sent,omitempty"`   // oldest first
	Failure    string      `json:"failure,omitzero"` // why the last attempt failed, in words
	Created    time.Time   `json:"created"`
	Updated    time.Time   `json:"updated"`

	// Work is dead or given-up where its item stands so. It is read off the work
	// list and never written here.
	Work jobs.State `json:"work,omitzero"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

const (
	prefixLog    = "notice/log/"
	prefixWait   = "notice/wait/"
	prefixMerged = "notice/merged/"
	prefixTold   = "notice/told/"

	keepLog    = 90 * 24 * time.Hour
	lastMicros = int64(1e16 - 1)
)

// logKey sorts newest first.
func logKey(created time.Time, id string) string {
	return fmt.Sprintf("%s%016d/%s", prefixLog, lastMicros-created.UnixMicro(), id)
}

func newDelivery(l *letter) Delivery {
	d := Delivery{ID: l.ID, Corp: l.Corp, Topic: l.Topic, Title: l.Title, Sensitive: l.Sensitive, Roles: l.Roles, State: Waiting, Created: l.Created, Updated: l.Created}
	first := l.Route[0]
	for _, who := range first.Who {
		d.Recipients = append(d.Recipients, Recipient{Who: string(first.Way) + ":" + who, State: Waiting})
	}
	for _, id := range first.Departments {
		d.Recipients = append(d.Recipients, Recipient{Who: fmt.Sprintf("%s:%d", WayDepartment, id), State: Waiting})
	}
	return d
}

// mark sets the state of one recipient.
func (d *Delivery) mark(who string, set Recipient) {
	for i := range d.Recipients {
		if d.Recipients[i].Who == who {
			set.Who = who
			d.Recipients[i] = set
		}
	}
}

// markAll sets the state of everybody in from.
func (d *Delivery) markAll(from State, set Recipient) {
	for i, r := range d.Recipients {
		if r.State == from {
			if set.Why == "" {
				set.Why, set.Code = r.Why, r.Code
			}
			set.Who = r.Who
			d.Recipients[i] = set
		}
	}
}

// settle draws the letter's own state from its recipients': the worst of them.
func (d *Delivery) settle() {
	for _, state := range []State{Waiting, Dropped, Failed, Unclear, Sent, Detoured, Delivered} {
		for _, r := range d.Recipients {
			if r.State == state {
				d.State = state
				return
			}
		}
	}
}

// op writes the delivery, in the Commit of the step that made it true.
func (d *Delivery) op(now time.Time) (store.Op, error) {
	d.Updated, d.Work = now.UTC(), ""
	value, err := json.Marshal(d)
	if err != nil {
		return store.Op{}, identity.Fail(identity.Internal, identity.CodeInternal, "notice: encode the delivery: %w", err)
	}
	return store.Put(logKey(d.Created, d.ID), value).For(keepLog), nil
}

// Page is one page of deliveries, newest first.
type Page struct {
	Deliveries []Delivery `json:"deliveries"`
	After      string     `json:"after,omitzero"` // mark of the next page; empty: this was the last
}

// Deliveries lists what was sent and what became of it. The mark after comes
// from the page before, empty for the first. topic and state narrow it, empty:
// all; a page may then hold less than limit and not be the last.
func (o *Outbox) Deliveries(ctx context.Context, topic string, state State, after string, limit int) (Page, error) {
	if after != "" && !strings.HasPrefix(after, prefixLog) {
		return Page{}, refused(errors.New("a page mark of another list"))
	}
	limit = min(max(limit, 1), store.MaxPage)
	entries, err := o.cfg.Store.Scan(ctx, prefixLog, after, limit)
	if err != nil {
		return Page{}, storeError(err)
	}
	page := Page{}
	for _, entry := range entries {
		d, err := readDelivery(entry)
		if err != nil {
			return Page{}, err
		}
		if (topic == "" || d.Topic == topic) && (state == "" || d.State == state) {
			page.Deliveries = append(page.Deliveries, d)
		}
	}
	if len(entries) == limit {
		page.After = entries[limit-1].Key
	}
	return page, nil
}

func readDelivery(entry store.Entry) (Delivery, error) {
	var d Delivery
	if err := json.Unmarshal(entry.Value, &d); err != nil {
		return Delivery{}, identity.Fail(identity.Internal, identity.CodeInternal, "notice: %q is no delivery: %w", entry.Key, err)
	}
	return d, nil
}

// delivery reads a letter's record; a record past its life begins anew.
func (o *Outbox) delivery(ctx context.Context, l *letter) (Delivery, error) {
	entry, err := o.cfg.Store.Get(ctx, logKey(l.Created, l.ID))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return newDelivery(l), nil
	case err != nil:
		return Delivery{}, storeError(err)
	}
	return readDelivery(entry)
}

func storeError(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return identity.Fail(identity.Conflict, "", "notice: %w", err)
	}
	return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "notice: %w", err)
}
