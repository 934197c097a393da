package checkup

import "strings"

// Step is one part of a first set-up. The wizard of kdgate setup and the set-up
// page of the console walk through the same steps, and the same tests say how
// each of them stands.
type Step string

// The steps, in their order.
const (
	StepAddress  Step = "address"  // public address and certificate
	StepStore    Step = "store"    // where state is kept
	StepDingTalk Step = "dingtalk" // the application at DingTalk
	StepKingdee  Step = "kingdee"  // the data centre
	StepLogin    Step = "login"    // a first sign-in, by the administrator
	StepStart    Step = "start"    // configuration written, gateway started
)

// Steps lists all steps in their order.
func Steps() []Step {
	return []Step{StepAddress, StepStore, StepDingTalk, StepKingdee, StepLogin, StepStart}
}

// StepOf is the step that a test belongs to.
func StepOf(item Item) Step {
	kind, _, _ := strings.Cut(item.Peer, "/")
	switch kind {
	case "dingtalk":
		return StepDingTalk
	case "kingdee":
		return StepKingdee
	case "store":
		return StepStore
	case "host":
		if item.Check == "disk" {
			return StepStore
		}
		if item.Check == "secrets" {
			return StepStart
		}
		return StepAddress
	default:
		return StepStart
	}
}

// IsOf reports whether a peer's name is wanted by name or by kind.
func IsOf(name, wanted string) bool {
	kind, _, _ := strings.Cut(name, "/")
	return name == wanted || kind == wanted
}

// rank orders the states from the best to the worst. Unknown is no worse than
// fine: nobody but a person can tell.
var rank = map[Status]int{OK: 1, Unknown: 1, Warning: 2, Fault: 3}

// Standing is what the tests of one step came to: the worst of them, and empty
// when none was made.
func Standing(step Step, items []Item) Status {
	var worst Status
	for _, item := range items {
		if StepOf(item) == step && rank[item.Status] > rank[worst] {
			worst = item.Status
		}
	}
	if worst == Unknown {
		return OK
	}
	return worst
}
