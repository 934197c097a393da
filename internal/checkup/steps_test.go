package checkup

import "testing"

// Every test belongs to a step, and a step stands as its worst test does; what
// only a person can look at spoils nothing.
func TestStandingOfSteps(t *testing.T) {
	items := []Item{
		{Peer: "dingtalk/a", Check: "token", Status: OK},
		{Peer: "dingtalk/b", Check: "token", Status: Fault},
		{Peer: "dingtalk/a", Check: "clock", Status: Warning},
		{Peer: "kingdee/live", Check: "once-only", Status: Unknown},
		{Peer: "host", Check: "certificate", Status: Warning},
		{Peer: "host", Check: "disk", Status: OK},
		{Peer: "host", Check: "secrets", Status: Fault},
		{Peer: "audit", Check: "anchor", Status: Warning},
	}
	for step, want := range map[Step]Status{
		StepDingTalk: Fault, StepKingdee: OK, StepAddress: Warning, StepStore: OK, StepStart: Fault, StepLogin: "",
	} {
		if got := Standing(step, items); got != want {
			t.Errorf("%s: %q, want %q", step, got, want)
		}
	}
	if !IsOf("dingtalk/a", "dingtalk") || !IsOf("host", "host") || IsOf("dingtalk/a", "ding") {
		t.Error("kinds of peers")
	}
}
