package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// inboxEntry is one message of GET /sim/messages.
type inboxEntry struct {
	UserID string `json:"userid"`
	Title  string `json:"title"`
	State  string `json:"state"`
	Links  []struct {
		URL string `json:"url"`
	} `json:"links"`
}

func (tr *trial) inbox(t *testing.T, userid string) []inboxEntry {
	t.Helper()
	var list []inboxEntry
	if err := json.Unmarshal([]byte(sim(t, http.MethodGet, tr.workbench+"/sim/messages?userid="+userid, "")), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestRequestReachesAnAdministrator proves F11 in the trial: an unmapped person
// asks with one click, and the mapping administrator's workbench has the card,
// which leads to where it is decided.
func TestRequestReachesAnAdministrator(t *testing.T) {
	tr := start(t)
	b := newBrowser(t, clientAgent)
	unmapped := tr.clickInClient(t, b, "wangwu", "/launch/kingdee?corpId="+corpID)
	meets(t, unmapped, "KD-201")
	b.submit(unmapped, "/access", nil)
	within(t, 30*time.Second, "the card arrives", func() bool { return len(tr.inbox(t, "mapper01")) > 0 })
	card := tr.inbox(t, "mapper01")[0]
	if card.State != "received" || card.Title != "申请访问金蝶" || len(card.Links) != 1 || card.Links[0].URL != tr.gateway+"/admin/requests" {
		t.Errorf("the card is %+v", card)
	}
	if page := sim(t, http.MethodGet, tr.workbench+"/workbench?as=mapper01", ""); !strings.Contains(page, `href="`+card.Links[0].URL+`"`) {
		t.Error("the card cannot be clicked on the workbench")
	}
}
