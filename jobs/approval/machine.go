package approval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/kingdee"
)

// The steps; doc.go draws the ways between them.
const (
	stepRead       = "read" // nothing but what it is called is known yet
	stepFetched    = "fetched"
	stepLooking    = "looking" // from here on a Save may have happened
	stepSaved      = "saved"
	stepSubmitted  = "submitted"
	stepAttaching  = "attaching" // from here on files may stand at it
	stepAudited    = "audited"
	stepCommenting = "commenting" // from here on a comment may be there
	stepRunning    = "running"
	stepPassed     = "passed-over"
)

// state is what the steps keep. What names the bill is written down before
// anything is posted, so that a rule that changes meanwhile cannot make a second.
type state struct {
	Rule       string       `json:"rule,omitzero"`
	Print      string       `json:"print,omitzero"` // the rule's state that the bill was made by
	DataCentre string       `json:"data_centre,omitzero"`
	Form       string       `json:"form,omitzero"`
	Number     string       `json:"number,omitzero"`
	Audit      bool         `json:"audit,omitzero"`
	Commenter  string       `json:"commenter,omitzero"` // empty: no comment
	Bill       kingdee.Bill `json:"bill,omitzero"`
	Refused    int          `json:"refused,omitzero"` // times that Kingdee explicitly refused the data of a form that it numbers itself
	Content    string       `json:"content,omitzero"` // of the Yida form that the bill was made of
	Attach     string       `json:"attach,omitzero"`  // what becomes of a refused file; empty: none are wanted
	Files      []filed      `json:"files,omitempty"`  // since stepAttaching
	Looks      int          `json:"looks,omitzero"`
	Unruled    bool         `json:"unruled,omitzero"` // passed over where no rule was about it; the search may know better
	Why        string       `json:"why,omitzero"`
	Title      string       `json:"title,omitzero"`
	Originator string       `json:"originator,omitzero"`
	Trail      []Mark       `json:"trail,omitempty"` // when the steps were committed

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Bills is the Handler of KindBill.
type Bills struct {
	Bookers map[string]*Booker // by corp
}

// Handle carries one approval as far as it goes.
func (h Bills) Handle(ctx context.Context, work *jobs.Work) error {
	var e errand
	if err := json.Unmarshal(work.Item().Payload, &e); err != nil {
		return jobs.Permanent(fmt.Errorf("approval: an item: %w", err))
	}
	booker := h.Bookers[e.Corp]
	if booker == nil {
		return jobs.Permanent(jobs.Explain(fmt.Errorf("approval: organisation %q is not configured", e.Corp), "no rule is configured for this organisation"))
	}
	return booker.book(ctx, work, e)
}

// machine is one attempt at one approval.
type machine struct {
	*Booker
	work     *jobs.Work
	errand   errand
	state    state
	at       string // the last step that was committed, in whichever attempt
	origin   origin
	instance *dingtalk.Instance // as read in this attempt
	current  bool               // the bill is known as it stands now
	fresh    bool               // the bill was made in this attempt
	unknowns jsontext.Value     // members of the record that a newer release wrote
	looked   bool               // for them
}

func (b *Booker) book(ctx context.Context, work *jobs.Work, e errand) error {
	step := work.Item().Step
	m := &machine{Booker: b, work: work, errand: e, at: step.Name}
	if len(step.Data) > 0 {
		if err := json.Unmarshal(step.Data, &m.state); err != nil {
			return jobs.Permanent(fmt.Errorf("approval: a step: %w", err))
		}
	}
	var err error
	if m.origin, err = b.origin(e); err != nil {
		return err
	}
	if e.After != "" {
		return b.advised(m.after(ctx))
	}
	return b.advised(m.run(ctx))
}

func (m *machine) run(ctx context.Context) error {
	if !slices.Contains([]string{stepSaved, stepSubmitted, stepAttaching, stepAudited, stepCommenting}, m.at) {
		made, err := m.make(ctx)
		if err != nil || !made {
			return m.titled(ctx, err)
		}
	}
	if m.target() == nil {
		return jobs.Permanent(jobs.Explain(fmt.Errorf("approval: data centre %q", m.state.DataCentre), "its data centre is no longer configured"))
	}
	if m.at == stepSaved {
		if err := m.advance(ctx, kingdee.OpSubmit, stepSubmitted, "B", "C"); err != nil {
			return err
		}
	}
	if m.at == stepSubmitted && m.state.Attach != "" || m.at == stepAttaching {
		if err := m.attach(ctx); err != nil {
			return err
		}
	}
	if (m.at == stepSubmitted || m.at == stepAttaching) && m.state.Audit {
		if err := m.advance(ctx, kingdee.OpAudit, stepAudited, "C"); err != nil {
			return err
		}
	}
	return m.comment(ctx)
}

func (m *machine) target() Target { return m.cfg.Targets[m.state.DataCentre] }

// id is the approval's.
func (m *machine) id() string { return cmp.Or(m.errand.Instance, m.work.Item().Key) }

func (m *machine) step(ctx context.Context, name string) error {
	if name != stepRead {
		m.state.Trail = trailed(m.state.Trail, name, m.cfg.Now())
	}
	data, err := json.Marshal(m.state)
	if err != nil {
		return fmt.Errorf("approval: %w", err)
	}
	record, err := m.record(ctx, name)
	if err != nil {
		return err
	}
	if err := m.work.Step(ctx, name, data, record...); err != nil {
		return err
	}
	m.at = name
	return nil
}

// titled keeps what an attempt that failed before its first step read of the
// approval, so that people are shown its title. It gives the attempt's error.
func (m *machine) titled(ctx context.Context, err error) error {
	if err == nil || m.at != "" || m.instance == nil || errors.Is(err, jobs.ErrLost) {
		return err
	}
	m.state = state{Title: m.instance.Title, Originator: m.instance.Originator}
	if stepErr := m.step(ctx, stepRead); stepErr != nil {
		m.cfg.Logger.WarnContext(ctx, "approval: its title is not kept", "instance", m.id(), "error", stepErr)
	}
	return err
}

// pass ends the item without a bill.
func (m *machine) pass(ctx context.Context, why string) error {
	m.state.Why = why
	return m.step(ctx, stepPassed)
}

// make takes the approval from received to saved; false when there will be no
// bill now.
func (m *machine) make(ctx context.Context) (bool, error) {
	before := m.state
	in, err := m.origin.Instance(ctx, m.id())
	if identity.KindOf(err) == identity.NotFound && err != nil {
		return false, jobs.Permanent(jobs.Explain(err, "DingTalk has no such approval"))
	}
	if err != nil {
		return false, err
	}
	m.instance = &in
	m.state.Title, m.state.Originator = in.Title, in.Originator
	switch {
	case !in.Over():
		return false, m.notYet(ctx)
	case !in.Agreed():
		return false, m.pass(ctx, "it was not agreed")
	}
	chosen, why, err := m.choose(m.errand.Process, in, m.errand.Set, false)
	if err != nil {
		return false, jobs.Explain(identity.Fail(identity.Invalid, identity.CodeRefusedInput, "approval: %s: %w", in.ID, err), short(err.Error()))
	}
	if chosen == nil {
		return m.unwanted(ctx, why, before)
	}
	if taken, err := m.takenBack(ctx, in); err != nil || taken {
		return false, err
	}
	return true, m.save(ctx, chosen, before)
}

// save makes the bill, or finds the one that an earlier attempt made.
func (m *machine) save(ctx context.Context, chosen *builder, before state) error {
	rule := chosen.rule
	if found, err := m.foundElsewhere(ctx, rule, before); err != nil || found {
		return err
	}
	m.state = m.planned(rule, before)
	if found, err := m.found(ctx); err != nil || found {
		return err
	}
	model, err := chosen.model(ctx)
	if mistakes, ok := errors.AsType[Mistakes](err); ok {
		return jobs.Explain(identity.Fail(identity.Invalid, identity.CodeRefusedInput, "approval: %w", mistakes), short(mistakes.Error()))
	}
	if err != nil {
		return err
	}
	if err := m.keep(ctx, rule); err != nil {
		return err
	}
	return m.post(ctx, m.named(model, rule, m.id(), m.state.Refused))
}

// planned is the state of a bill that a rule is to make; of an earlier attempt it
// keeps the trail and how often Kingdee refused.
func (m *machine) planned(rule compiled, before state) state {
	plan := state{
		Refused: before.Refused,
		Rule:    rule.Name, Print: rule.print, DataCentre: rule.DataCentre, Form: rule.Form, Audit: rule.Audit,
		Number: m.numberBy(rule), Commenter: orText(rule.CommentAs, m.instance.Originator),
		Title: m.instance.Title, Originator: m.instance.Originator, Trail: before.Trail, Unknown: before.Unknown,
	}
	if rule.NoComment {
		plan.Commenter = ""
	}
	if rule.Source != SourceApproval {
		plan.Content = contentOf(*m.instance)
	}
	if rule.Attachments {
		plan.Attach = orText(rule.OnRefused, RefusedDead)
	}
	return plan
}

// foundElsewhere finds what an earlier attempt may have posted by a rule that has
// changed since. It counts before anything that would be posted now.
func (m *machine) foundElsewhere(ctx context.Context, rule compiled, before state) (bool, error) {
	moved := before.Form != rule.Form || before.DataCentre != rule.DataCentre || before.Number != m.numberBy(rule)
	if !moved {
		return false, nil
	}
	return m.posted(ctx, before)
}

// posted finds what an earlier attempt may have posted.
func (m *machine) posted(ctx context.Context, before state) (bool, error) {
	if before.Number == "" || m.cfg.Targets[before.DataCentre] == nil {
		return false, nil
	}
	now := m.state
	m.state = before
	found, err := m.found(ctx)
	if !found && err == nil {
		m.state = now
	}
	return found, err
}

// found looks for the bill by its number and by the instance in the remark, and
// if it is there goes on from it. An error means that nobody knows, and nothing
// is posted (R33).
func (m *machine) found(ctx context.Context) (bool, error) {
	bills, err := m.target().FindBill(ctx, m.state.Form, m.ownNumber(), m.id())
	bills = belonging(bills, m.state.Number, m.id())
	switch {
	case err != nil:
		return false, err
	case len(bills) == 0:
		return false, nil
	case len(bills) > 1:
		numbers := []string{}
		for _, b := range bills {
			numbers = append(numbers, b.Number)
		}
		words := "Kingdee has several bills of it: " + strings.Join(numbers, ", ")
		return false, jobs.Permanent(jobs.Explain(fmt.Errorf("approval: %s: %s", m.id(), words), words))
	}
	m.state.Bill, m.current = bills[0], true
	return true, m.step(ctx, stepSaved)
}

// post saves a bill that Kingdee does not have.
func (m *machine) post(ctx context.Context, model kingdee.Model) error {
	if err := m.step(ctx, stepFetched); err != nil {
		return err
	}
	err := m.cfg.Recorder.Append(ctx, audit.Event{
		Action: ActionBook, Outcome: audit.OK, Actor: audit.System, Target: m.state.Number, DataCentre: m.state.DataCentre,
		Detail: map[string]string{"instance": m.id(), "form": m.state.Form, "rule": m.state.Rule, "print": m.state.Print},
	})
	if err != nil {
		return fmt.Errorf("approval: %s is not made, because that cannot be recorded: %w", m.state.Number, err)
	}
	if err := m.step(ctx, stepLooking); err != nil {
		return err
	}
	if _, err := m.work.Check(ctx); err != nil {
		return err
	}
	bill, err := m.target().SaveBill(ctx, m.state.Form, model)
	if err == nil {
		m.state.Bill, m.current, m.fresh = bill, true, true
		return m.step(ctx, stepSaved)
	}
	refusal, refused := errors.AsType[*kingdee.Refusal](err)
	repeated := refused && refusal.Repeated()
	if !errors.Is(err, kingdee.ErrAmbiguous) && !repeated && (!refused || !refusal.Duplicate()) {
		return m.refused(ctx, err, refused)
	}
	found, lookErr := m.found(ctx)
	switch {
	case lookErr != nil:
		return lookErr
	case found:
		return nil
	case repeated:
		return m.lostRepeat(ctx, err)
	case refused:
		return explained(err) // a bill of somebody else has the number, or one that we may not see
	}
	return identity.Fail(identity.Unavailable, identity.CodeKingdeeDown, "approval: %s was sent and is not there: %w", m.state.Number, err)
}

// refused keeps in mind that Kingdee refused the data of a form that it numbers
// itself: nobody else can have written that under our lease, and what is sent the
// next time must be other data.
func (m *machine) refused(ctx context.Context, err error, explicit bool) error {
	if explicit && m.runs() {
		m.state.Refused = min(m.state.Refused+1, mostMarks-1)
		if stepErr := m.step(ctx, stepLooking); stepErr != nil {
			return stepErr
		}
	}
	return explained(err)
}

// lostRepeat is where Kingdee says that it was given the data before and does not
// show what became of it: it may still be writing, for a replica that was frozen.
// A person looks; what is replayed is other data.
func (m *machine) lostRepeat(ctx context.Context, err error) error {
	m.state.Refused = min(m.state.Refused+1, mostMarks-1)
	if stepErr := m.step(ctx, stepLooking); stepErr != nil {
		return stepErr
	}
	words := "Kingdee says it was given this before, and shows nothing with " + m.id() + " in its summary: look there first, then replay"
	return jobs.Permanent(jobs.Explain(err, words))
}

// runs reports whether Kingdee numbers the form's documents itself.
func (m *machine) runs() bool { return m.target().BillForm(m.state.Form).Runs }

// ownNumber is the number to look for; empty where Kingdee gives its own.
func (m *machine) ownNumber() string {
	if m.runs() {
		return ""
	}
	return m.state.Number
}

// advance runs an operation on the bill unless it stands there already, and finds
// out what became of it when the answer does not say (R34).
func (m *machine) advance(ctx context.Context, op kingdee.Operation, next string, good ...string) error {
	there := func(status string) bool { return strings.Contains(strings.Join(good, ""), status) && status != "" }
	if !m.current {
		if err := m.look(ctx); err != nil {
			return err
		}
	}
	if there(m.state.Bill.Status) {
		return m.step(ctx, next)
	}
	if _, err := m.work.Check(ctx); err != nil {
		return err
	}
	results, err := m.target().Operate(ctx, m.state.Form, op, m.state.Bill.ID)
	if err == nil && len(results) == 1 {
		err = results[0].Err
	}
	if err == nil {
		m.state.Bill.Status = good[0]
		return m.step(ctx, next)
	}
	if lookErr := m.look(ctx); lookErr != nil {
		return lookErr
	}
	if there(m.state.Bill.Status) {
		return m.step(ctx, next)
	}
	return explained(err)
}

// look reads where the bill stands now.
func (m *machine) look(ctx context.Context) error {
	number, remark := m.state.Bill.Number, ""
	if m.runs() { // its number is that of others in other periods
		number, remark = "", m.id()
	}
	bills, err := m.target().FindBill(ctx, m.state.Form, number, remark)
	if err != nil {
		return err
	}
	for _, bill := range bills {
		if bill.ID == m.state.Bill.ID {
			m.state.Bill, m.current = bill, true
			return nil
		}
	}
	words := fmt.Sprintf("its bill %s is no longer in Kingdee", m.state.Bill.Number)
	return jobs.Permanent(jobs.Explain(fmt.Errorf("approval: %s: %s", m.id(), words), words))
}

// explained gives a refusal of Kingdee its own words, for the person who mends it.
func explained(err error) error {
	refusal, ok := errors.AsType[*kingdee.Refusal](err)
	if !ok {
		return err
	}
	var texts []string
	for _, e := range refusal.Errors {
		text := e.Message
		if e.Field != "" {
			text = e.Field + ": " + text
		}
		texts = append(texts, text)
	}
	return jobs.Explain(err, short("Kingdee: "+strings.Join(texts, "; ")))
}

// advised hands a vendor's wish for silence to the list.
func (b *Booker) advised(err error) error {
	if err == nil {
		return nil
	}
	if wait, ok := dingtalk.RetryAfter(err); ok {
		return jobs.Throttled(err, b.cfg.Now().Add(wait))
	}
	return setUp(err)
}

// short bounds words for people.
func short(words string) string {
	const most = 400
	if runes := []rune(words); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return words
}

// setUp makes a fault of the connection one that waits: a password that has run
// out or a filter in between says nothing about this approval, and would leave a
// dead letter of every one. A form or field that Kingdee does not know is the
// rule's own mistake and is told soon.
func setUp(err error) error {
	const rowForm = 20 // of the vendor's decision table
	fault, ok := errors.AsType[*kingdee.Fault](err)
	if !ok || identity.KindOf(err) != identity.Misconfigured || fault.Row == rowForm {
		return err
	}
	return jobs.Explain(identity.Fail(identity.Unavailable, identity.CodeOf(err), "approval: Kingdee cannot be asked: %w", err), "Kingdee does not let us in: "+fault.Advice)
}
