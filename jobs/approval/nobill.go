package approval

import (
	"context"
	"fmt"
	"time"

	"kdgate/dingtalk"
	"kdgate/jobs"
)

const (
	mostLooks = 4
	firstLook = 15 * time.Second
)

// notYet looks at an approval again that an event called finished and DingTalk
// does not. After some looks it is left to the search, which sees it when it is.
func (m *machine) notYet(ctx context.Context) error {
	m.state.Looks++
	if err := m.step(ctx, stepRunning); err != nil || m.state.Looks > mostLooks {
		return err
	}
	return m.work.Release(ctx, m.cfg.Now().Add(firstLook<<(m.state.Looks-1)))
}

// unwanted is an approval that no rule wants now. An earlier attempt may have
// posted its bill by one that did; that is carried on.
func (m *machine) unwanted(ctx context.Context, why string, before state) (bool, error) {
	if found, err := m.posted(ctx, before); err != nil || found {
		return found, err
	}
	if !m.has(m.errand.Process) {
		return false, m.unruled(ctx, why)
	}
	return false, m.pass(ctx, why)
}

const (
	mostUnruled = 8 // looks: three quarters of an hour
	longestLook = 10 * time.Minute
)

// unruled waits for a rule. That none is about the approval's process need not be
// so: another replica put it on the list because one is. This one may run on the
// file of before an update, or may not have heard yet what was switched on. At
// last it is passed over, until the search of a replica with a rule meets it.
func (m *machine) unruled(ctx context.Context, why string) error {
	if m.state.Looks++; m.state.Looks > mostUnruled {
		m.state.Unruled = true
		return m.pass(ctx, why)
	}
	if err := m.step(ctx, stepRead); err != nil {
		return err
	}
	return m.work.Release(ctx, m.cfg.Now().Add(min(longestLook, firstLook<<(m.state.Looks-1))))
}

// mostAttached bounds how many other approvals are read about one.
const mostAttached = 5

// takenBack is true when there must be no bill because another approval takes
// this one back or has come in its place. Where this one takes back or changes
// another whose bill stands, a person has to act.
func (m *machine) takenBack(ctx context.Context, in dingtalk.Instance) (bool, error) {
	for i, other := range in.Attached {
		if i == mostAttached || !dingtalk.ValidInstance(other) {
			break
		}
		later, err := m.origin.Instance(ctx, other)
		if err != nil {
			return false, err
		}
		if later.Agreed() && (later.Action == "REVOKE" || later.Action == "MODIFY") {
			return true, m.pass(ctx, "another approval took it back or replaced it: "+other)
		}
	}
	if in.Action != "REVOKE" && (in.Action != "MODIFY" || in.Main == "") {
		return false, nil
	}
	if err := m.billOf(ctx, in.Main); err != nil {
		return false, err
	}
	if in.Action == "REVOKE" {
		return true, m.pass(ctx, "it takes back an approval that has no bill")
	}
	return false, nil
}

// billOf fails for good when another approval's bill stands.
func (m *machine) billOf(ctx context.Context, main string) error {
	if !dingtalk.ValidInstance(main) {
		return nil
	}
	number, err := m.standing(ctx, main, Record{})
	if err != nil || number == "" {
		return err
	}
	words := fmt.Sprintf("it changes or takes back an approval whose bill %s stands in Kingdee: put that right there, then give this one up", number)
	return jobs.Permanent(jobs.Explain(fmt.Errorf("approval: %s is about %s, bill %s", m.id(), main, number), words))
}
