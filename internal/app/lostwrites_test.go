package app

import (
	"slices"
	"strings"
	"testing"

	"kdgate/gateway"
	"kdgate/gateway/proxy"
	"kdgate/identity/session"
	"kdgate/mapping"
)

// TestWhatOpensDoorsIsDoubted: nothing that opens a door, or says what somebody
// decided, is taken as a failover left it (T21); what only helps to work is (R14).
func TestWhatOpensDoorsIsDoubted(t *testing.T) {
	doors := slices.Concat(gateway.Ephemeral(), proxy.Ephemeral(), []string{
		mapping.RowPrefix, "mapping/account/", "mapping/staff/", "mapping/userid/", "session/", "consent/", "approval/book/", "console/", "store/",
	})
	for _, door := range doors {
		for _, prefix := range rightAtAnyAge() {
			if strings.HasPrefix(door, prefix) || strings.HasPrefix(prefix, door) {
				t.Errorf("%s is taken as it is found, by %s", door, prefix)
			}
		}
	}
	if !slices.Contains(session.Ephemeral(), "session/") {
		t.Error("this test does not know where sessions are")
	}
	for _, work := range []string{"job/item/", "job/at/", "lease/schedule/beat", "schedule/run/", "directory/person/", "session-of/"} {
		if !slices.ContainsFunc(rightAtAnyAge(), func(prefix string) bool { return strings.HasPrefix(work, prefix) }) {
			t.Errorf("one %s that is put back stops the work", work)
		}
	}
}
