package approval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
)

// No event tells of Yida, and its lists are filtered by whole days, so the same
// submissions come again and again. Which of them are new is kept in a book:
//
//	approval/seen/CORP/FORM/ID   what it was like when it was last looked at
//
// The book saves work and proves nothing: an entry that is lost only has a
// submission put on the list again, where it is one item, and Kingdee asked again.
const (
	prefixSeen = "approval/seen/"
	keepSeen   = 400 * 24 * time.Hour // longer than anything is listed
)

// seen is an entry of the book. Only submissions that were agreed to have one.
type seen struct {
	Modified time.Time `json:"modified"`
	Version  int64     `json:"version,omitzero"`
	Content  string    `json:"content"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// afterChange says of an errand that its approval was changed when it had been
// taken in charge already.
const afterChange = "changed"

// Poll searches the Yida forms that rules act on for submissions that were changed
// within back (at most 364 days): those agreed to and new go on the work list, and
// so do those that changed after they were there. It costs one call of the monthly
// quota per form and 100 submissions.
func (b *Booker) Poll(ctx context.Context, back time.Duration) (Swept, error) {
	var swept Swept
	var failed []error
	for process, rule := range b.processes(false) {
		if rule.Source == SourceApproval {
			continue
		}
		from := b.cfg.Now().Add(-back)
		if from.Before(rule.Since) {
			from = rule.Since // nobody can have changed before what was begun later
		}
		for in, err := range b.cfg.Yida[rule.App].Instances(ctx, formOf(rule.Source, process), from) {
			if err != nil {
				failed = append(failed, fmt.Errorf("approval: poll %s: %w", process, err))
				break
			}
			swept.Seen++
			added, err := b.meet(ctx, rule, in)
			if err != nil {
				return swept, err
			}
			if added {
				swept.Added++
			}
		}
	}
	return swept, errors.Join(failed...)
}

// about is a rule about a form, also one that is only previewed; of a form that
// none is about, what can be told of it: Yida's have names of their own.
func (b *Booker) about(process string) Rule {
	rule, there := b.processes(true)[process]
	if there || !dingtalk.ValidYidaForm(process) || len(b.cfg.Yida) != 1 {
		rule.Process = process
		return rule
	}
	for app := range b.cfg.Yida {
		rule = Rule{Source: SourceYida, App: app, Process: process}
	}
	return rule
}

// latestYida lists the latest submissions of a form, as Latest does.
func (b *Booker) latestYida(ctx context.Context, rule Rule, most int) ([]string, error) {
	var found []string
	for _, span := range latestSpans() {
		if len(found) > 0 {
			break
		}
		for in, err := range b.cfg.Yida[rule.App].Instances(ctx, formOf(rule.Source, rule.Process), b.cfg.Now().Add(-span)) {
			if err != nil {
				return nil, err
			}
			if found = append(found, in.ID); len(found) >= most {
				break
			}
		}
	}
	return found, nil
}

// meet compares a submission with the book and puts on the list what is new about
// it.
func (b *Booker) meet(ctx context.Context, rule Rule, in dingtalk.YidaInstance) (bool, error) {
	key := prefixSeen + b.cfg.Corp + "/" + rule.Process + "/" + url.PathEscape(in.ID)
	was, known, err := b.seen(ctx, key)
	now := seen{Modified: in.Modified.UTC(), Version: in.Version, Content: contentOf(in.Instance), Unknown: was.Unknown}
	switch {
	case err != nil:
		return false, err
	case known && was.same(now), !known && (!in.Agreed() || in.Created.Before(rule.Since)):
		return false, nil
	}
	e := errand{Corp: b.cfg.Corp, Process: rule.Process, Why: "search", Source: rule.Source, App: rule.App, Title: in.Title, Begun: in.Created}
	added := false
	switch {
	case !known:
		added, err = b.add(ctx, in.ID, e)
	case was.Content != now.Content:
		e.After, e.Instance = afterChange, in.ID
		added, err = b.add(ctx, in.ID+"~"+now.print(), e)
	}
	if err != nil {
		return false, err
	}
	value, err := json.Marshal(now)
	if err == nil {
		err = b.cfg.Store.Commit(ctx, store.Put(key, value).For(keepSeen))
	}
	if err != nil {
		return false, fmt.Errorf("approval: the book of %s: %w", rule.Process, err)
	}
	return added, nil
}

// seen reads an entry of the book. One that cannot be read is none: the submission
// is looked at again.
func (b *Booker) seen(ctx context.Context, key string) (was seen, known bool, err error) {
	entry, err := b.cfg.Store.Get(ctx, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return was, false, nil
	case err != nil:
		return was, false, fmt.Errorf("approval: the book: %w", err)
	}
	readable := json.Unmarshal(entry.Value, &was) == nil
	return was, readable, nil
}

// same reports whether nothing happened in between.
func (s seen) same(now seen) bool {
	return s.Modified.Equal(now.Modified) && s.Version == now.Version && s.Content == now.Content
}

// print tells one change from another.
func (s seen) print() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", s.Modified.Unix(), s.Version, s.Content))
	return hex.EncodeToString(sum[:6])
}

// settle is how long a change waits for the bill that is being made.
const settle = 30 * time.Second

// after looks at a submission that was changed when it had been taken in charge.
// Where a bill stands that is not of its content, a person has to act, as with an
// approval that another one changes; where none stands, it is looked at anew.
func (m *machine) after(ctx context.Context) error {
	first, err := m.queue.Get(ctx, jobs.ID{Kind: KindBill, Key: m.id()})
	if err != nil && identity.KindOf(err) != identity.NotFound {
		return err
	}
	if first.State == jobs.Ready || first.State == jobs.Leased {
		return m.work.Release(ctx, m.cfg.Now().Add(settle))
	}
	return m.compared(ctx, first)
}

// compared holds the submission as it stands now to what was booked of it. first
// is its own item, which is not in hand; the zero Item when the list has it no
// longer.
func (m *machine) compared(ctx context.Context, first jobs.Item) error {
	in, err := m.origin.Instance(ctx, m.id())
	if err != nil && identity.KindOf(err) != identity.NotFound { // of one that was deleted nothing is agreed to
		return err
	}
	booked, err := m.booked(ctx)
	if err != nil {
		return err
	}
	if booked.Bill != "" && booked.Content == contentOf(in) {
		return m.pass(ctx, "its bill was made of it as it stands")
	}
	if err := m.unlessBooked(ctx, booked); err != nil {
		return err
	}
	if !endedWithoutBill(first) || !in.Agreed() {
		return m.pass(ctx, "it had no bill when it was changed")
	}
	if err := m.again(ctx); err != nil {
		return err
	}
	return m.pass(ctx, "it had no bill when it was changed, and is looked at anew")
}

// endedWithoutBill reports whether an item came to its end and made no bill.
func endedWithoutBill(item jobs.Item) bool {
	return item.State == jobs.Dead || item.State == jobs.Done && item.Step.Name == stepPassed
}

// unlessBooked fails for good when a bill of the submission stands.
func (m *machine) unlessBooked(ctx context.Context, booked Record) error {
	number, err := m.standing(ctx, m.id(), booked)
	if err != nil || number == "" {
		return err
	}
	words := fmt.Sprintf("it was changed or taken back after its bill %s was made: put that right in Kingdee, then give this one up", number)
	return jobs.Permanent(jobs.Explain(fmt.Errorf("approval: %s was changed after bill %s", m.id(), number), words))
}

// booked is the record of the submission, empty when there is none.
func (m *machine) booked(ctx context.Context) (Record, error) {
	entry, err := m.cfg.Store.Get(ctx, RecordKey(m.cfg.Corp, m.id()))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Record{}, nil
	case err != nil:
		return Record{}, fmt.Errorf("approval: the record of %s: %w", m.id(), err)
	}
	return ReadRecord(entry.Value)
}

// again has the submission itself worked anew.
func (m *machine) again(ctx context.Context) error {
	e := m.errand
	e.After, e.Instance = "", ""
	payload, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("approval: %w", err)
	}
	_, _, err = m.queue.Add(ctx, jobs.Draft{ID: jobs.ID{Kind: KindBill, Key: m.id()}, Payload: payload, Mode: jobs.Renew})
	return err
}

// standing is the number of a bill of an approval, empty when there is none: of
// what was made of it as far as that is known, and of every rule about it.
func (m *machine) standing(ctx context.Context, instance string, booked Record) (string, error) {
	type place struct{ centre, form, number string }
	places := []place{}
	if booked.Number != "" && m.cfg.Targets[booked.DataCentre] != nil {
		places = append(places, place{booked.DataCentre, booked.Form, booked.Number})
	}
	for _, rule := range m.inForce() {
		if rule.Process == m.errand.Process {
			places = append(places, place{rule.DataCentre, rule.Form, Number(m.cfg.Corp, instance, rule.Form, rule.Version)})
		}
	}
	for _, p := range places {
		target := m.cfg.Targets[p.centre]
		if target.BillForm(p.form).Runs { // its number is that of others in other periods
			p.number = ""
		}
		found, err := target.FindBill(ctx, p.form, p.number, instance)
		if err != nil {
			return "", err
		}
		if found = belonging(found, p.number, instance); len(found) > 0 {
			return found[0].Number, nil
		}
	}
	return "", nil
}
