package mapping

import (
	"time"

	"kdgate/identity"
)

// State is how a link of the chain stands. It is a word for programs; the words
// for people belong to the catalogue, by Step.Code.
type State string

// The states of a link.
const (
	StateOK          State = "ok"
	StateUnchecked   State = "unchecked"   // not looked at: an earlier link broke, or nothing was asked
	StateNotMapped   State = "not-mapped"  // no row, and nothing can be derived
	StateSuspended   State = "suspended"   // the row is suspended
	StatePending     State = "pending"     // approvals are missing
	StateChanged     State = "changed"     // the userid belongs to somebody else now
	StateTaken       State = "taken"       // what was derived belongs to another row
	StateMissing     State = "missing"     // Kingdee was asked and has none
	StateMany        State = "many"        // Kingdee has several
	StateForbidden   State = "forbidden"   // forbidden, locked or not approved in Kingdee
	StateForeign     State = "foreign"     // the login user is not one of this person
	StateRenamed     State = "renamed"     // the login user carries another name now
	StateStranger    State = "stranger"    // DingTalk was asked and has no such employee
	StateUnreachable State = "unreachable" // could not ask
)

// Source is where the facts of a link come from.
type Source string

// The sources of facts.
const (
	SourceNone     Source = ""
	SourceEntry    Source = "entry"    // the stored row
	SourceDerived  Source = "derived"  // from the userid, without asking
	SourceDingTalk Source = "dingtalk" // from the DingTalk profile
	SourceKingdee  Source = "kingdee"  // asked just now
	SourceCached   Source = "cached"   // asked earlier, see Step.CheckedAt
)

// Fact is one named value behind a state, for the doctor and the log.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Step is one link of the chain.
type Step struct {
	State     State         `json:"state"`
	Code      identity.Code `json:"code,omitempty"` // set on the broken link
	Source    Source        `json:"source,omitempty"`
	CheckedAt time.Time     `json:"checked_at,omitzero"` // when Kingdee said so
	Facts     []Fact        `json:"facts,omitempty"`
}

// Chain is the way of one person to one account, link by link.
type Chain struct {
	Key     Key              `json:"key"`
	Entry   *Entry           `json:"entry,omitempty"` // the row, nil when there is none
	Number  Step             `json:"number"`          // link 1: userid → FStaffNumber
	Staff   Step             `json:"staff"`           // link 2: FStaffNumber → staff record
	User    Step             `json:"user"`            // link 3: person → login user
	Account identity.Account `json:"account"`         // complete only when the chain holds
}

func newChain(k Key) Chain {
	unchecked := Step{State: StateUnchecked}
	return Chain{Key: k, Number: unchecked, Staff: unchecked, User: unchecked}
}

// fail marks a step as the broken one and gives the error of it.
func (c *Chain) fail(step *Step, state State, code identity.Code, why string) error {
	step.State, step.Code = state, code
	return identity.Fail(identity.Forbidden, code, "mapping: %s: %s", c.Key, why)
}

// unreachable marks the step that could not be asked about. That DingTalk was
// asked and has nobody is an answer.
func (c *Chain) unreachable(err error) {
	step, state := &c.Number, StateUnreachable
	code := identity.CodeOf(err)
	switch code {
	case identity.CodeKingdeeDown, identity.CodeKingdeeSetup, identity.CodeKingdeeBusy:
		step = &c.Staff
	case identity.CodeNotEmployee:
		state = StateStranger
	}
	step.State, step.Code = state, code
}

// tell writes what Kingdee said into links 2 and 3.
func (c *Chain) tell(check Check, source Source) {
	c.Staff = Step{State: check.Staff, Source: source, CheckedAt: check.At}
	c.User = Step{State: check.User, Source: source, CheckedAt: check.At}
	if check.Staff != StateOK && check.Staff != StateUnchecked {
		c.Staff.Code = check.Code
	} else {
		c.User.Code = check.Code
	}
	c.Number.Facts = facts("userid", c.Key.UserID, "staff_number", check.StaffNo)
	c.Staff.Facts = facts("staff_number", check.StaffNo)
	c.User.Facts = facts("login_user", check.LoginUser, "kingdee_user_id", check.KingdeeID, "renamed_to", check.RenamedTo)
	if check.Foreign {
		c.User.Facts = append(c.User.Facts, Fact{"foreign", "yes"})
	}
}

// facts pairs names and values, leaving out what is empty.
func facts(pairs ...string) []Fact {
	var out []Fact
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out = append(out, Fact{pairs[i], pairs[i+1]})
		}
	}
	return out
}
