package kingdee_test

import (
	"net/http"
	"testing"

	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
)

// TestRedeem proves what the canary asks (F14): a fresh link lets its user in
// whichever way Kingdee goes on, and a link that was used, or is of a user whom
// Kingdee forbade, or of another host, does not.
func TestRedeem(t *testing.T) {
	s := newStage(t, nil)
	client := s.client(t, nil)
	for _, byScript := range []bool{false, true} {
		s.sim.SetSwitches(kingdeesim.Switches{LandByScript: byScript})
		link, err := client.MintLink("zhangsan", kingdee.Place{})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Redeem(t.Context(), link); err != nil {
			t.Errorf("by script %v: %v", byScript, err)
		}
		if err := client.Redeem(t.Context(), link); identity.CodeOf(err) != identity.CodeLinkRefused {
			t.Errorf("a used link: %v", err)
		}
	}
	stopped, err := client.MintLink("stopped", kingdee.Place{})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Redeem(t.Context(), stopped); identity.CodeOf(err) != identity.CodeLinkRefused {
		t.Errorf("a forbidden user: %v", err)
	}
	if err := client.Redeem(t.Context(), identity.NewSecret("http://elsewhere.example/K3Cloud/html5/?ud=x")); identity.CodeOf(err) != identity.CodeKingdeeSetup {
		t.Errorf("a link of another host: %v", err)
	}
	s.web.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	link, err := client.MintLink("zhangsan", kingdee.Place{})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Redeem(t.Context(), link); identity.CodeOf(err) != identity.CodeKingdeeDown {
		t.Errorf("a gateway in front of Kingdee: %v", err)
	}
}
