package dingtalk

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// CallError is a call without a usable answer. It holds nothing secret and no
// text of the vendor's except words of a bounded shape.
type CallError struct {
	Operation string
	Rule      string // row of the decision table
	Reason    string // the vendor's reason, empty when there was none
	RequestID string // the vendor's, for their support
	Status    int    // HTTP status, 0 without an answer
	// Ambiguous says that DingTalk may have acted: a code may be used up.
	Ambiguous bool

	Permission string // scope that is missing
	ApplyLink  string // page of the vendor to apply for it
	OurAddress string // our outgoing address as DingTalk sees it

	Err error // cause, may be nil

	rule       rule
	retryAfter time.Duration
	pause      time.Duration
	op         operation
}

// WrongAgent reports whether DingTalk refused the AgentId.
func (e *CallError) WrongAgent() bool { return e.rule.name == ruleAgent }

// WrongProcess reports whether DingTalk does not know the process code.
func (e *CallError) WrongProcess() bool { return e.rule.name == ruleProcess }

// RetryAfter is how long DingTalk, or our own pause for its sake, leaves an API
// alone: to call again earlier is in vain. It is false where the error says
// nothing of the kind.
func RetryAfter(err error) (time.Duration, bool) {
	e, ok := errors.AsType[*CallError](err)
	if !ok {
		return 0, false
	}
	wait := max(e.pause, e.retryAfter)
	return wait, wait > 0
}

// Error names the call, the rule and what the vendor said in bounded words.
func (e *CallError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dingtalk %s: %s", e.Operation, e.Rule)
	for _, part := range []struct{ name, value string }{
		{"reason", e.Reason}, {"request id", e.RequestID}, {"permission", e.Permission}, {"our address", e.OurAddress},
	} {
		if part.value != "" {
			fmt.Fprintf(&b, ", %s %q", part.name, part.value)
		}
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *CallError) Unwrap() error { return e.Err }
